"""Lists of videos as the field writes them: what is read, what is said of it, what is refused."""

import json
import re
import warnings

import pytest

from keras_stc.cli.main import parser
from keras_stc.cli.options import division
from keras_stc.data import (
    VideoCSV,
    VideoError,
    VideoWarning,
    divide,
    divide_unlabelled,
    held_out,
    open_data,
    open_source,
    open_unlabelled,
    pack,
)
from keras_stc.data.sets.division import as_trained

FILES = ("d/a/1.mp4", "d/a/2 b.mp4", "d/c/3.avi", "d/frames/x/image_00001.jpg")
FILES += ("d/frames/y/image_00001.jpg", "v_4.mp4")
A, B, C, X, Y = "d/a/1.mp4", "d/a/2 b.mp4", "d/c/3.avi", "d/frames/x", "d/frames/y"


@pytest.fixture()
def folder(tmp_path, monkeypatch):
    """Files by the names of videos, beside which the lists lie; somebody works elsewhere."""
    for name in FILES:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "data"


def read(folder, name, text, **more):
    """`([(path, name of the class)], what was said)`."""
    for file, content in {name: text, **more}.items():
        (folder / file).write_text(content)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        videos = open_data(folder / name)
    found = [(v.path.removeprefix(f"{folder}/"), videos.class_names[v.label]) for v in videos]
    return found, [str(warning.message) for warning in caught]


@pytest.mark.parametrize(
    ("name", "text", "wanted", "said"),
    [
        ("l.csv", f"path,label\n{A},run\n{C},run fast\n", [(A, "run"), (C, "run fast")], None),
        ("l.csv", f"path;label\n{A};run\n{C};a,b\n", [(A, "run"), (C, "a,b")], "by semicolons"),
        ("l.txt", f"path\tlabel\n{B}\trun\n", [(B, "run")], "separated by tabs"),
        ("l.tsv", f"{B}\trun fast\n{C}\t7\n", [(B, "run fast"), (C, "7")], "tabs, without a head"),
        ("l.csv", f"{A},run\n{C},0\n", [(A, "run"), (C, "0")], "commas, without a header"),
        ("l.csv", f"{A};run\n", [(A, "run")], "semicolons, without a header"),
        ("l.txt", f"{A} 0\n\n{B} 10\n{C} 9\r\n", [(A, "0"), (B, "10"), (C, "9")], "by blanks"),
        ("l.csv", f"path label\n{A} 0\n", [(A, "0")], "separated by blanks"),
        ("l.list", f"{X} 100 0\n{Y} 30 1\n", [(X, "0"), (Y, "1")], "the number of frames (not us"),
        ("l.txt", f"{X},100,run\n", [(X, "run")], "the path, the number of frames"),
        ("l.txt", f"{X} 3\n{Y} 1\n", [(X, "3"), (Y, "1")], "a line is the path, the label"),
        ("l.csv", f"video,class\n{A},run\n", [(A, "run")], "the column video is the path; the co"),
        ("l.csv", f"Filename,Tag\n{A},run\n", [(A, "run")], "column Filename is the path; the co"),
        (
            "l.csv",
            "video_name,label\nv_4,run\n",
            [("v_4.mp4", "run")],
            "without their ending",
        ),
        ("l.csv", f"frames,video,label\n3,{A},x\n", [(A, "x")], "the column video is the path"),
        ("l.csv", f"clip_name,clip_path,label\na,{A},x\n", [(A, "x")], "column clip_path is the p"),
        (
            "l.csv",
            f"path,class_id,class\n{A},4,x\n{C},2,y\n",
            [(A, "x"), (C, "y")],
            "column class",
        ),
        ("l.csv", "path,label\nd\\a\\1.mp4,run\n", [(A, "run")], "backslashes are slashes"),
        ("l.txt", "d\\a\\2 b.mp4 run\n", [(B, "run")], "backslashes are slashes"),
    ],
)
def test_lists_of_the_field(folder, name, text, wanted, said):
    found, texts = read(folder, name, text)
    assert found == wanted
    if said is None:
        assert not texts
    else:
        (line,) = texts
        assert line.startswith(f"{folder / name} is read like this: ") and said in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "d/a/1.mp4,x.mp4 0\n",
            "two ways: 'd/a/1.mp4' of class 'x.mp4 0', separated by c",
        ),
        (
            "d/a/1.mp4 100 0\n",
            "two ways: after d/a/1.mp4 come a number of frames and",
        ),
        ("d/x 1 100 0\n", "two ways: after d/x come its first frame, a number of frames and its l"),
        ("d/a/1.mp4 run fast\n", "two ways: after d/a/1.mp4 comes one label, 'run fast', or 2 of"),
        (
            "video,clip,label\na.mp4,b.mp4,x\n",
            "the columns video and clip, and either may",
        ),
        (
            "path,class,tag\na.mp4,x,y\nb.mp4,x,z\n",
            "columns class and tag, and either may",
        ),
        (
            "path,label\nd/a/1.mp4,run|jump\n",
            "line 2, has several labels, 'run|jump', and",
        ),
        ('path,label\nd/a/1.mp4,"3, 7"\n', "line 2, has several labels, '3, 7', and multi-label"),
        ("d/a/1.mp4 3 5 7\n", "line 1, has several labels, '3 5 7', and multi-label data is not"),
        ("d/a/1.mp4,run,jump\n", "line 1, has several labels, 'run jump', and multi-label"),
        ("path,label\nd/a/1.mp4,run,jump\n", "line 2, has 3 fields, separated by commas, and the"),
        ("d/a/1.mp4 3\nd/a/1.mp4 5\n", "lists d/a/1.mp4 as '3' and '5', the latter in line 2;"),
        (
            "d/a/1.mp4\nd/c/3.avi\n",
            "has no column 'label'; its columns are path:",
        ),
        ("d/a/1.mp4 0\nd/c/3.avi\n", "line 2, is not separated by blanks into as many fields as"),
        ("d/a/1.mp4,0\nd/c/3.avi;0\n", "line 2, is not separated by commas into as many fields as"),
        ("path,label,label\nd/a/1.mp4,x,y\n", "has two columns 'label', and either may be meant"),
        ("d/a/1.mp4 -1\nd/c/3.avi 0\n", "line 1, has the label -1, and classes are numbered from"),
        ("some words\nof a poem\n", "is no list of videos, its first line being 'some words'; exp"),
        ("", "is no list of videos, its first line being ''; expected a folder"),
        ("no/1.mp4 0\n", "lists 1 videos and none of them exists, the first being "),
    ],
)
def test_lists_that_say_two_things_or_none_are_refused(folder, text, words):
    (folder / "l.txt").write_text(text)
    with pytest.raises(VideoError, match=re.escape(words)) as caught:
        open_data(folder / "l.txt")
    assert str(folder / "l.txt") in str(caught.value) and "\n" not in str(caught.value)


def test_paths_start_from_the_list_or_from_the_working_directory(folder, monkeypatch):
    (folder / "lists").mkdir()
    (folder / "lists" / "l.txt").write_text(f"{A} 0\n{C} 1\n")
    with pytest.raises(VideoError, match="none of them exists, .* from .*lists or the work"):
        open_data(folder / "lists" / "l.txt")
    monkeypatch.chdir(folder)
    with pytest.warns(VideoWarning, match="the label; paths start from the working directory"):
        assert [video.path for video in open_data("lists/l.txt")] == [A, C]
    (folder / "lists" / "d" / "a").mkdir(parents=True)
    (folder / "lists" / A).write_bytes(b"x")
    with pytest.raises(VideoError, match="two ways: from lists, where 1 of 2 .* where 2 are;"):
        open_data("lists/l.txt")
    with pytest.warns(VideoWarning):
        assert len(VideoCSV("lists/l.txt", root=folder)) == 2
    (folder / "lists" / "d" / "c").mkdir()
    (folder / "lists" / C).write_bytes(b"x")  # the folder of the list comes first
    with pytest.warns(VideoWarning):
        assert open_data("lists/l.txt")[0].path == f"lists/{A}"


UCF = "1 a\n2 b\n3 c\n"


@pytest.mark.parametrize(
    ("text", "more", "wanted", "said"),
    [
        # From 1 as UCF101 counts, or from 0 as mmaction2 does with the same file of names.
        (f"{C} 3\n{A} 1\n", {"classInd.txt": UCF}, "ca", "counted from 1, named by .*classInd.txt"),
        (f"{C} 2\n{A} 0\n", {"classInd.txt": UCF}, "ca", "counted from 0, named by .*classInd.txt"),
        (f"{C} 2\n{A} 0\n", {"labels.txt": "a\nb\nc\n"}, "ca", "counted from 0, named by"),
        (f"{C} 3\n{A} 1\n", {"labels.txt": "a\nb\nc\n"}, "ca", "counted from 1, named by"),
        # Neither number decides, the folder does.
        (f"{C} 2\n{A} 1\n", {"labels.txt": "z\na\nc\nd\n"}, "ca", "counted from 0"),
        (f"{C} 2\n{A} 1\n", {"labels.txt": "a\nc\nd\n"}, "ca", "counted from 1"),
        (f"path,label\n{A},1\n", {"labels.txt": "0 x\n1 y\n2 z\n"}, "y", "counted from 0"),
        (f"{A} 1\n", {"class_names.txt": "x,0\ny,1\n"}, "y", "counted from 0"),
        (f"{A} 0\n", {"labels.txt": "d/a/1.mp4 0\n"}, "0", "a line is the path, the label.$"),
    ],
)
def test_numbers_have_names_beside_them(folder, text, more, wanted, said):
    found, (line,) = read(folder, "l.csv", text, **more)
    assert [name for _, name in found] == list(wanted)
    assert re.search(said, line)


@pytest.mark.parametrize(
    ("text", "more", "words"),
    [
        (
            f"{X} 1\n",
            {"labels.txt": "p\nq\nr\n"},
            "two ways: 1 is 'q', counted from 0, or 'p'",
        ),
        (f"{X} 7\n", {"labels.txt": "p\nq\n"}, "has the labels 7 to 7, which do not fit the 2"),
        (f"{A} 0\n", {"labels.txt": "c\na\n"}, "labels 0 to 0, which do not fit the 2 names in"),
        (
            f"{X} 0\n",
            {"labels.txt": "p\n", "classInd.txt": "1 q\n"},
            "labels.txt name them",
        ),
    ],
)
def test_names_that_do_not_fit_are_refused(folder, text, more, words):
    with pytest.raises(VideoError, match=words):
        read(folder, "l.txt", text, **more)


def test_names_that_are_given(folder, tmp_path):
    (folder / "l.txt").write_text(f"{X} 0\n{Y} 2\n")
    (folder / "names.json").write_text(json.dumps({"p": 0, "q": 1, "r": 2}))
    (tmp_path / "names.txt").write_text("p\nq\nr\n")
    for names in (folder / "names.json", tmp_path / "names.txt", ["p", "q", "r"]):
        with pytest.warns(VideoWarning, match="counted from 0, named by"):
            videos = open_source(folder / "l.txt", names).open()
        # Classes are those of which there are videos, in the order of the names.
        assert videos.class_names == ("p", "r") and videos.labels.tolist() == [0, 1]
    line = ["train", str(folder / "l.txt"), "--class-names", str(tmp_path / "names.txt")]
    line += ["--hold-out", "0", "--out", "run"]
    with pytest.warns(VideoWarning):
        assert division(parser().parse_args(line)).train.class_names == ("p", "r")
    with pytest.raises(VideoError, match="'0', .* --class-names, or"):
        open_data(folder / "l.txt", class_names=("p", "r"))
    with pytest.warns(VideoWarning):  # a network may know them by their numbers
        assert open_data(folder / "l.txt", class_names=("2", "0")).labels.tolist() == [1, 0]
    with pytest.raises(ValueError, match="must be a list, such as a CSV file, then"):
        open_source(folder, ["p"])
    (tmp_path / "names.json").write_text('{"p": 3, "q": 9}')
    with pytest.raises(VideoError, match="does not number its classes one by one"):
        open_source(folder / "l.txt", tmp_path / "names.json").open()


def test_a_run_keeps_the_names_that_were_given(folder, tmp_path, monkeypatch):
    """What was held out is found again with the same names, from every folder."""
    (folder / "l.txt").write_text(f"{A} 0\n{B} 0\n{X} 1\n{Y} 1\n")
    (tmp_path / "names.txt").write_text("p\nq\n")
    monkeypatch.chdir(tmp_path)
    with pytest.warns(VideoWarning, match="named by names.txt"):
        data = divide(open_source("data/l.txt", "names.txt"), hold_out=0.5)
    assert data.origin["class_names"] == str(tmp_path / "names.txt")
    monkeypatch.chdir(folder)
    with pytest.warns(VideoWarning, match="named by"):
        videos, name = held_out("l.txt", data.origin, 0, (2, 2), ("p", "q"))
    wanted = [(video.path, video.label) for video in data.validation]
    assert [(f"data/{video.path}", video.label) for video in videos] == wanted
    assert "held out" in name
    (folder / "labels.txt").write_text("x\ny\n")  # which are of other networks
    with pytest.raises(VideoError, match="none of the 2 classes"):
        open_source("l.txt").open(None, ("p", "q"))
    with pytest.warns(VideoWarning):
        assert held_out("l.txt", {**data.origin, "data": "other"}, 0, (2, 2))[1] is None


def test_a_list_of_which_some_rows_have_a_label(folder, tmp_path):
    """They are left out, but where unlabelled videos are learned from; then too, what was held out
    is found again."""
    paths = [A, B, C, X, Y, "d/a/9.mp4", "d/a/8.mp4", "d/a/7.mp4"]
    labels = ["run", "jump", "", "run", "", "", "jump", ""]
    rows = [f"{path},{label}\n" for path, label in zip(paths, labels, strict=True)]
    (folder / "l.csv").write_text("path,label\n" + "".join(rows))
    with pytest.warns(VideoWarning, match="4 of 8 rows have no label or path and are left out"):
        assert len(open_data(folder / "l.csv")) == 4
    videos = VideoCSV(folder / "l.csv", keep_unlabelled=True)
    assert videos.class_names == ("jump", "run")
    assert videos.labels.tolist() == [1, 0, -1, 1, -1, -1, 0, -1]
    source = open_source(folder / "l.csv")
    division = divide_unlabelled(source, 0.5, class_names=("jump", "run"))
    assert len(division.train) == len(division.validation) == 4
    found, name = held_out(source, division.origin, 0, (4, 4), ("jump", "run"))
    wanted = [(video.path, video.label) for video in division.validation if video.label is not None]
    assert [(video.path, video.label) for video in found] == wanted and len(wanted) == 2
    assert "partly_labelled" not in divide_unlabelled(source, 0.5).origin
    (folder / "l.csv").write_text(f"path,label\n{A},\n")
    with pytest.raises(VideoError, match="lists no videos with a label"):
        open_source(folder / "l.csv").partly_labelled()


def test_a_list_of_as_many_numbers_has_the_names_of_the_run(folder, tmp_path):
    """Such as that of --validation; not where others may be meant."""
    (tmp_path / "names.txt").write_text("p\nq\n")
    origin = {"data": "other", "class_names": str(tmp_path / "names.txt")}
    (folder / "l.txt").write_text(f"{A} 0\n{X} 1\n")
    with pytest.warns(VideoWarning, match="named by"):
        videos = as_trained(folder / "l.txt", origin, 2).open(None, ("q", "p"))
    assert videos.labels.tolist() == [1, 0]
    for classes, known in ((3, origin), (2, {"data": "other"})):
        with pytest.raises(VideoError, match="say what the numbers stand for"):
            as_trained(folder / "l.txt", known, classes).open(None, ("q", "p"))
    (folder / "labels.txt").write_text("x\ny\n")  # names of its own
    with pytest.warns(VideoWarning):
        assert as_trained(folder / "l.txt", origin, 2).open().class_names == ("x", "y")


def test_names_may_be_given_an_order(folder):
    (folder / "l.csv").write_text(f"path,label\n{A},run\n{C},jump\n")
    videos = open_source(folder / "l.csv", ["walk", "run", "jump"]).open()
    assert videos.class_names == ("run", "jump") and videos.labels.tolist() == [0, 1]
    with pytest.raises(VideoError, match="label 'jump', which is none of the 1 names"):
        open_source(folder / "l.csv", ["run"]).open()


def test_addresses_in_lists(folder):
    (folder / "l.txt").write_text("s3://b/x.mp4 0\nhttps://h/y z.mp4 1\n")
    with pytest.warns(VideoWarning, match="a line is the path, the label"):
        videos = open_data(folder / "l.txt")
    assert [v.path for v in videos] == ["s3://b/x.mp4", "https://h/y z.mp4"]


def test_numbers_are_classes_in_their_order(folder):
    rows = "".join(f"{X}{k} {k}\n" for k in (10, 9, 2))
    (folder / "l.txt").write_text(f"{X} 0\n{rows}")
    with pytest.warns(VideoWarning):
        assert open_data(folder / "l.txt").class_names == ("0", "2", "9", "10")


def test_a_list_is_read_and_told_of_once(folder, monkeypatch):
    rows = [f"{A};a;Train", f"{B};b;Train", f"{C};a;test", f"{X};b;test"]
    (folder / "l.csv").write_text("\n".join(["video;class;subset", *rows]))
    with pytest.warns(VideoWarning) as caught:
        data = divide(folder / "l.csv")
    assert [len(part) for part in (data.train, data.validation)] == [2, 2] and data.name == "test"
    (line,) = [str(warning.message) for warning in caught]
    assert "separated by semicolons; the column video is the path; the column class is" in line
    assert line.endswith("the column subset is the split.")
    (folder / "l.csv").write_text(f"path,label,set\n{A},a,x\n")  # a set of something else
    assert open_source(folder / "l.csv").subsets == ()


def test_videos_without_labels_from_lists(folder):
    for text in (f"{A} 0\n{B} 1\n", f"{A}\n{B}\n", f"video\n{A}\n{B}\n"):
        (folder / "l.txt").write_text(text)
        with pytest.warns(VideoWarning, match="is read like this"):
            videos = open_unlabelled(folder / "l.txt")
        assert [v.path for v in videos] == [str(folder / A), str(folder / B)]


def test_kinetics_header_in_a_plain_csv(folder, tmp_path):
    table = folder / "val.csv"
    rows = ("run,aaaaaaaaaaa,3,13,validate,0", "jump,bbbbbbbbbbb,0,10,validate,0")
    table.write_text("\n".join(["label,youtube_id,time_start,time_end,split,is_cc", *rows]))
    (folder / "k").mkdir()
    for name in ("aaaaaaaaaaa_000003_000013.mp4", "bbbbbbbbbbb.webm"):
        (folder / "k" / name).write_bytes(b"x")
    data = open_source(table)
    with pytest.warns(VideoWarning, match="one of Kinetics' lists; its videos are looked for bel"):
        videos = data["val"]
    assert data.subsets == ("val",) and data.spec == str(table)
    assert videos.class_names == ("jump", "run") and videos.labels.tolist() == [1, 0]
    assert len(open_data(f"kinetics:{table}:{folder / 'k'}")) == 2


@pytest.mark.shared
def test_lists_of_real_clips(shared, tmp_path):
    """The fights and UCF101's own lists, written as mmaction2 does, with labels from 0."""
    import csv

    with open(shared / "fights/fights.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    (tmp_path / "train.txt").write_text(
        "".join(f"{row['path']} {int(row['label'] == 'fight')}\n" for row in rows)
    )
    (tmp_path / "labels.txt").write_text("peace\nfight\n")
    with pytest.warns(VideoWarning):
        videos = VideoCSV(tmp_path / "train.txt", root=shared / "fights")
    assert len(videos) == 300 and videos.class_names == ("peace", "fight")
    names = (shared / "splits/ucf101/classInd.txt").read_text()
    (tmp_path / "classInd.txt").write_text(names)
    (tmp_path / "labels.txt").unlink()
    order = [line.split()[1] for line in names.splitlines()]
    official = shared / "splits/ucf101/trainlist01.txt"
    for first in (1, 0):
        lines = [line.split() for line in official.read_text().splitlines()]
        text = "".join(f"{path} {int(n) - 1 + first}\n" for path, n in lines)
        (tmp_path / "list.txt").write_text(text.replace(".avi", ".mp4"))
        with pytest.warns(VideoWarning, match=f"counted from {first}, named by .*classInd.txt"):
            videos = VideoCSV(tmp_path / "list.txt", root=shared / "ucf101_35")
        assert videos.class_names == tuple(order)
        assert all(f"/{order[video.label]}/" in video.path for video in videos)


def test_a_list_is_packed(tmp_path):
    import video_files

    for k in range(2):
        video_files.write_video(tmp_path / f"{k}.mp4", count=4)
    (tmp_path / "l.txt").write_text("0.mp4 1\n1.mp4 0\n")
    (tmp_path / "labels.txt").write_text("x\ny\n")
    with pytest.warns(VideoWarning):
        index = pack(tmp_path / "l.txt", tmp_path / "out", short_side=16)
    assert index["class_names"] == ["x", "y"] and index["data"] == str(tmp_path / "l.txt")
    assert open_data(tmp_path / "out").labels.tolist() == [1, 0]
