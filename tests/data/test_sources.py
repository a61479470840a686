import csv
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from helpers import splits

from keras_stc.cli import evaluate
from keras_stc.data import (
    Video,
    VideoCSV,
    VideoError,
    VideoFolder,
    VideoInfo,
    VideoSet,
    VideoWarning,
    divide,
    divide_unlabelled,
    held_out,
    open_data,
    open_source,
    open_unlabelled,
)
from keras_stc.data.sets.listed import find_videos


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def table(path, text):
    path.write_text(text)
    return path


def names(videos, root):
    return [(v.path.removeprefix(f"{root}/"), videos.class_names[v.label]) for v in videos]


def test_folder_of_class_folders(tmp_path):
    touch(tmp_path, "run/b.mp4", "run/a.AVI", "jump/deep/c.webm", "run/notes.txt", "run/._a.mp4")
    touch(tmp_path, ".cache/x.mp4", "README.md")
    videos = VideoFolder(tmp_path)
    assert videos.class_names == ("jump", "run")
    assert names(videos, tmp_path) == [
        ("jump/deep/c.webm", "jump"),
        ("run/a.AVI", "run"),
        ("run/b.mp4", "run"),
    ]
    assert videos.labels.tolist() == [0, 1, 1] and videos.labels.dtype == np.int32


def test_folder_with_given_classes(tmp_path):
    touch(tmp_path, "run/a.mp4")
    videos = VideoFolder(tmp_path, ["walk", "run"])
    assert names(videos, tmp_path) == [("run/a.mp4", "run")]
    with pytest.raises(VideoError, match="folder run, which is none of the 1 classes"):
        VideoFolder(tmp_path, ["walk"])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), "holds no videos"),
        (("run/notes.txt",), "no videos of the class run"),
        (("run/a.mp4", "walk/notes.txt"), "no videos of the class walk"),
        (("a.mp4",), "a.mp4 lies in no class folder"),
    ],
)
def test_folders_without_what_is_needed_are_refused(tmp_path, files, message):
    touch(tmp_path, *files)
    with pytest.raises(VideoError, match=message) as caught:
        VideoFolder(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(VideoError, match="does not exist"):
        VideoFolder(tmp_path / "none")


TABLE = "path,label,split\na.mp4,run,train\nb.mp4,walk,train\nc.mp4,run,test\nd.mp4,,test\n"


def test_csv_splits_share_the_classes_of_the_whole_file(tmp_path):
    path = table(touch(tmp_path, "a.mp4", "c.mp4") / "list.csv", TABLE)
    with pytest.warns(VideoWarning, match="1 of 4 rows have no label .* the first in line 5"):
        videos = VideoCSV(path)
    assert names(videos, tmp_path) == [
        ("a.mp4", "run"),
        ("b.mp4", "walk"),
        ("c.mp4", "run"),
    ]
    test = VideoCSV(path, split="test")
    assert names(test, tmp_path) == [("c.mp4", "run")] and test.class_names == ("run", "walk")
    assert VideoCSV(path, class_names=["walk", "run"]).labels.tolist() == [1, 0, 1]


def test_csv_with_root_pieces_and_a_byte_order_mark(tmp_path):
    touch(tmp_path, "videos/a.mp4")
    path = table(tmp_path / "l.csv", '\ufeffpath, action ,start,end\n"a.mp4",run,1.5,\n')
    videos = VideoCSV(path, root=tmp_path / "videos", label_column="action")
    assert videos[0] == Video(str(tmp_path / "videos/a.mp4"), 0, 1.5, None)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("where,label\na.mp4,run\n", {}, "no column 'path'; its columns are where, label"),
        (TABLE, {"label_column": "action"}, "no column 'action'"),
        ("path,label\na.mp4,run\n", {"split": "train"}, "no column 'split'"),
        (TABLE, {"split": "val"}, "no split 'val'; its splits are test, train"),
        (TABLE, {"class_names": ["run"]}, "line 3, has the label 'walk', .* 1 classes \\(run\\)"),
        ("path,label\n", {}, "lists no videos"),
        ("", {}, "no column 'path'"),
        ("path,label\nz.mp4,run\n", {}, "lists 1 videos and none of them exists"),
        ("path,label,start\na.mp4,run,soon\n", {}, "line 2, has 'soon' as start"),
        ("path,label,end\na.mp4,run,inf\n", {}, "line 2, has 'inf' as end"),
        ("path,label\n\xff\xfe,x", {"encoding": "latin-1"}, "cannot be read as a CSV"),
    ],
)
def test_csv_that_lacks_something_is_refused(tmp_path, text, options, message):
    path = touch(tmp_path, "a.mp4", "b.mp4") / "list.csv"
    path.write_text(text, encoding=options.pop("encoding", "utf-8"))
    with pytest.raises(VideoError, match=message) as caught:
        VideoCSV(path, **options)
    assert str(path) in str(caught.value)


def test_split_holds_out_a_part_of_every_class():
    videos = VideoSet([Video(f"{k}", k % 3 % 2) for k in range(30)] + [Video("one", 2)], "abc")
    train, held = videos.split(0.2, seed=1)
    assert np.bincount(held.labels, minlength=3).tolist() == [4, 2, 0]
    assert sorted(v.path for v in (*train, *held)) == sorted(v.path for v in videos)
    assert train.class_names == held.class_names == ("a", "b", "c")
    assert [v.path for v in videos.split(0.2, seed=1)[1]] == [v.path for v in held]
    assert [v.path for v in videos.split(0.2, seed=2)[1]] != [v.path for v in held]
    tiny = VideoSet([Video("x", 0), Video("y", 0)], ["a"]).split(0.01)
    assert [len(part) for part in tiny] == [1, 1]
    with pytest.raises(ValueError, match="`fraction`"):
        videos.split(1.0)


def test_pieces_of_a_file_stay_together():
    videos = VideoSet([Video(f"{k // 3}.mp4", 0, k % 3, k % 3 + 1) for k in range(30)], "a")
    train, held = videos.split(0.2)
    assert len(held) == 6 and not {v.path for v in train} & {v.path for v in held}
    assert videos[4].name == "1.mp4#t=1,2" and videos[4].file == "1.mp4"


def test_pieces_of_other_classes_stay_with_their_file():
    """Recordings with a piece of every class, and one class that is in two of them alone."""
    rows = [Video(f"{k}.mp4", label, label, label + 1) for k in range(10) for label in range(3)]
    rows += [Video(f"{k}.mp4", 3, 8, 9) for k in (2, 7)]
    for seed in range(5):
        train, held = VideoSet(rows, "abcd").split(0.2, seed)
        assert not {v.path for v in train} & {v.path for v in held}
        assert len(train) + len(held) == len(rows)
        assert np.bincount(held.labels, minlength=4)[:3].tolist() in ([2] * 3, [3] * 3)
        assert np.bincount(train.labels, minlength=4).min() == 1
        assert np.bincount(held.labels, minlength=4)[3] == 1


def test_groups_are_held_out_whole():
    """Of UCF101's names: groups of other classes with one number are other recordings."""
    names = [
        f"{action}/v_{action}_g{group:02d}_c{cut:02d}.avi"
        for action in ("Biking", "Diving")
        for group in range(1, 11)
        for cut in range(1, 5)
    ]
    videos = VideoSet([Video(name, "BD".index(name[0])) for name in names], ("Biking", "Diving"))
    for seed in range(3):
        train, held = videos.split(0.2, seed, groups=r"v_(.+_g\d+)_")
        groups = [{video.path[:-8] for video in part} for part in (train, held)]
        assert not groups[0] & groups[1] and np.bincount(held.labels).tolist() == [8, 8]
        assert [len(part) for part in groups] == [16, 4]
    # What is found without parentheses; and without groups they are torn.
    assert len({v.path[:-8] for v in videos.split(0.2, 0, r"v_.+_g\d+")[1]}) == 4
    assert len({v.path[:-8] for v in videos.split(0.2, 0)[1]}) > 4
    for bad, words in (("v_(", "a regular expression \\("), ("x", "finds something in Biking/v_B")):
        with pytest.raises(ValueError, match=f"`groups` must be .*{words}"):
            videos.split(0.2, groups=bad)


def test_what_was_held_out_by_groups_is_found_again(tmp_path):
    names = [f"{c}/{c}{group}-{cut}.mp4" for c in "ab" for group in range(5) for cut in range(3)]
    touch(tmp_path, *names)
    division = divide(tmp_path, groups=r"(\w+)-")
    counts = len(division.train), len(division.validation)
    assert counts == (24, 6) and division.origin["groups"] == r"(\w+)-"
    videos, name = held_out(tmp_path, division.origin, 0, counts, ("a", "b"))
    assert list(videos) == list(division.validation) and "held out" in name
    unlabelled = divide_unlabelled(tmp_path, 0.2, groups=r"(\w+)-")
    assert {v.path[-6] for v in unlabelled.validation} and len(unlabelled.validation) % 3 == 0
    with pytest.raises(ValueError, match="`groups` must be such that a class has more than one"):
        divide(tmp_path, groups="mp4")
    with pytest.raises(ValueError, match="`groups` must be such that there is a group to hold out"):
        divide_unlabelled(tmp_path, groups="mp4")
    for divides in (divide, divide_unlabelled):
        with pytest.raises(ValueError, match="`groups` must be None where nothing is held out"):
            divides(tmp_path, hold_out=0, groups="mp4")
    for part in ("train", "test"):
        touch(tmp_path / "divided" / part, *names)
    with pytest.raises(ValueError, match="`groups` must be None where .* what to validate on"):
        divide(tmp_path / "divided", groups="mp4")


def test_subsets_by_any_letters_and_no_other_folders(tmp_path):
    for name in ("Train/a", "Train/b", "Test/a"):
        touch(tmp_path / "good" / name, "1.mp4")
        touch(tmp_path / "bad" / name, "1.mp4")
    assert open_source(tmp_path / "good").subsets == ("train", "test")
    assert open_data(tmp_path / "good", "test")[0].path.endswith("Test/a/1.mp4")
    touch(tmp_path / "bad" / "unused", "1.mp4")
    with pytest.raises(VideoError, match="has the folder unused beside test, train"):
        open_data(tmp_path / "bad")
    table = tmp_path / "good" / "Train" / "a" / "list.csv"
    table.write_text("path,label,split\n1.mp4,a,Train\n1.mp4,a,TEST\n")
    assert open_source(table).subsets == ("train", "test") and len(open_data(table, "test")) == 1
    touch(tmp_path / "twice" / "Train/a", "1.mp4")
    touch(tmp_path / "twice" / "train/a", "2.mp4")
    with pytest.raises(VideoError, match="has both Train and train, which mean the same"):
        open_data(tmp_path / "twice", "train")
    table.write_text("path,label,split\n1.mp4,a,train\n1.mp4,a,Train\n1.mp4,a,test\n")
    with pytest.raises(VideoError, match="has both Train and train, which mean the same"):
        open_data(table, "train")
    table.write_text("path,label,split\n1.mp4,a,train\n1.mp4,a,\n1.mp4,a,\n")
    with pytest.warns(VideoWarning, match="2 of 3 rows have no split .* first in line 3"):
        assert len(open_data(table, "train")) == 1
    table.write_text("path,label,split\n1.mp4,a,train\n1.mp4,a,odd\n")
    with pytest.raises(VideoError, match="has the split 'odd'; expected train"):
        open_data(table)
    table.write_text("path,label,split\n1.mp4,a,train\n1.mp4,a,val\n1.mp4,a,valid\n")
    with pytest.raises(VideoError, match="has both val and valid"):
        open_data(table)


def test_links_to_folders_are_followed_once(tmp_path):
    touch(tmp_path / "elsewhere", "1.mp4", "2.mp4")
    touch(tmp_path / "frames" / "clip", "1.jpg", "2.jpg")
    touch(tmp_path / "data" / "a" / "own", "3.mp4")
    (tmp_path / "data" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "a" / "more").symlink_to(tmp_path / "frames")
    (tmp_path / "data" / "a" / "own" / "circle").symlink_to(tmp_path / "data" / "a")
    folder = VideoFolder(tmp_path / "data")
    names = [pathlib.Path(video.path).name for video in folder]
    assert (names, folder.labels.tolist()) == (["clip", "3.mp4", "1.mp4", "2.mp4"], [0, 0, 1, 1])
    anywhere = open_unlabelled(tmp_path / "data")
    assert sorted(v.path for v in anywhere) == sorted(v.path for v in folder)
    (tmp_path / "data" / "circle").symlink_to(tmp_path / "data")
    assert set(find_videos(tmp_path / "data", "x")) == {"1", "2", "3", "clip"}


def test_a_picture_beside_folders_of_videos_hides_none(tmp_path):
    """Frames with a folder of thumbnails are still a video."""
    touch(tmp_path / "a" / "day1", "cover.jpg")
    touch(tmp_path / "a" / "day1" / "morning" / "early", "1.mp4")
    touch(tmp_path / "a" / "frames", "1.jpg", "2.jpg")
    touch(tmp_path / "a" / "frames" / "small", "1.jpg")
    names = [pathlib.Path(video.path).name for video in VideoFolder(tmp_path)]
    assert names == ["1.mp4", "frames"]
    assert set(find_videos(tmp_path, "x")) == {"1", "frames"}


def test_subsets_of_unlabelled_videos(tmp_path):
    touch(tmp_path / "train" / "deep", "1.mp4", "2.mp4")
    touch(tmp_path / "test", "3.mp4")
    assert len(open_unlabelled(tmp_path, "train")) == 2 and len(open_unlabelled(tmp_path)) == 3
    table = tmp_path / "list.csv"
    table.write_text("path,split\ntest/3.mp4,train\ntrain/deep/1.mp4,test\n")
    assert [v.path for v in open_unlabelled(table, "train")] == [str(tmp_path / "test/3.mp4")]


def test_set_is_a_sequence():
    videos = VideoSet([Video(name, 0) for name in "abc"], ["x"])
    assert [v.path for v in videos[1:]] == ["b", "c"] and videos[1:].class_names == ("x",)
    assert [v.path for v in videos.subset(np.array([2, 0]))] == ["c", "a"]
    assert VideoSet([Video("a")]).labels.tolist() == [-1]
    with pytest.raises(ValueError, match="`videos` must have labels from 0 to 0"):
        VideoSet([Video("a", 1)], ["x"])


@pytest.mark.parametrize(
    ("start", "end", "frames"),
    [(None, None, (0, 100)), (1.0, 2.0, (25, 25)), (3.0, 99.0, (75, 25)), (None, 0.04, (0, 1))],
)
def test_piece_of_a_video_in_frames(start, end, frames):
    info = VideoInfo("x", 100, 25.0, 4.0, 64, 48, 0, "h264")
    assert Video("x", 0, start, end).frame_range(info) == frames


@pytest.mark.parametrize(("start", "end"), [(4.0, None), (2.0, 1.0), (-1.0, 2.0)])
def test_piece_without_frames_is_refused(start, end):
    info = VideoInfo("x.mp4", 100, 25.0, 4.0, 64, 48, 0, "h264")
    with pytest.raises(VideoError, match="x.mp4 has no frames between .* lasts 4.00 s"):
        Video("x.mp4", 0, start, end).frame_range(info)


def test_open_data_takes_folders_divided_folders_and_csv(tmp_path):
    plain = touch(tmp_path / "plain", "run/a.mp4", "test/b.mp4")
    assert open_source(plain).subsets == () and len(open_data(plain)) == 2
    divided = touch(tmp_path / "divided", "train/run/a.mp4", "train/walk/b.mp4", "valid/run/c.mp4")
    assert open_source(divided).subsets == ("train", "val")
    val = open_data(str(divided), "val")
    assert names(val, divided) == [("valid/run/c.mp4", "run")]
    assert val.class_names == ("run", "walk") and len(open_data(divided)) == 3
    path = table(touch(tmp_path, "a.mp4", "c.mp4") / "list.csv", TABLE)
    assert open_source(path).subsets == ("train", "test")
    assert names(open_data(path, "test"), tmp_path) == [("c.mp4", "run")]
    with pytest.raises(VideoError, match="no subset 'val'; it has train, test"):
        open_data(path, "val")
    with pytest.raises(VideoError, match="no subset 'train'; it is not divided"):
        open_data(plain, "train")


def test_what_was_trained_on_undivided_is_not_tested_on(tmp_path):
    """A list that has subsets, but none to train on."""
    touch(tmp_path, *(f"{name}.mp4" for name in "abcdefghij"))
    rows = [f"{name}.mp4,{'run' if name < 'f' else 'walk'},val" for name in "abcdefghij"]
    (tmp_path / "x.csv").write_text("\n".join(["path,label,split", *rows]))
    division = divide(tmp_path / "x.csv")
    run = tmp_path / "run"
    run.mkdir()
    config = {"data": {"origin": division.origin}, "seed": 0}
    config |= {"videos": len(division.train), "validation_videos": len(division.validation)}
    (run / "config.json").write_text(json.dumps(config))
    names = division.train.class_names
    videos, _ = evaluate._videos(run, open_source(tmp_path / "x.csv"), None, names)
    assert list(videos) == list(division.validation) and len(videos) == 2
    videos, subset = evaluate._videos(run, open_source(tmp_path / "x.csv"), "val", names)
    assert len(videos) == 10 and subset == "val"


@pytest.mark.parametrize("name", ["ucf101", "kinetics", "shards"])
def test_folders_may_be_called_like_data_sets(tmp_path, monkeypatch, name):
    touch(tmp_path / name, "train/run/a.mp4", "test/run/b.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(open_data(name, "test")) == 1 and open_source(name).subsets == ("train", "test")
    assert splits(name) == (name,)


@pytest.mark.parametrize("spec", ["none", "ucf101", "ucf9:somewhere:1", "list.txt"])
def test_open_data_refuses_what_it_does_not_know(tmp_path, monkeypatch, spec):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text("x")
    with pytest.raises(VideoError, match=f"{spec} .*expected a folder"):
        open_data(spec)
    with pytest.raises(ValueError, match="`subset` must be one of"):
        open_data(spec, "training")


def test_importing_the_package_imports_no_decoder():
    code = "import sys, keras_stc.data as d; d.Video, d.VideoError; print(sorted(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert b"'keras_stc.data.sets.video'" in modules
    assert b"'av'" not in modules and b"'tensorflow'" not in modules


@pytest.mark.shared
def test_real_lists(shared):
    fights = shared / "fights" / "fights.csv"
    assert open_source(fights).subsets == ("train", "test")
    assert [len(open_data(fights, subset)) for subset in ("train", "test", None)] == [200, 100, 300]
    clips = VideoCSV(shared / "clips" / "clips.csv", label_column="ucf101")
    with open(shared / "clips" / "clips.csv", newline="") as file:
        labelled = [row["ucf101"] for row in csv.DictReader(file) if row["ucf101"]]
    assert [clips.class_names[label] for label in clips.labels] == labelled
