import csv
import os
import shutil
import warnings

import pytest
import video_files
from helpers import splits

from keras_stc.data import (
    HMDB51,
    UCF101,
    Kinetics,
    VideoError,
    VideoReader,
    VideoWarning,
    divide,
    open_data,
    open_source,
)

#: Lines as the official lists have them, Windows' line ends included.
UCF_LISTS = {
    "classInd.txt": "1 ApplyEyeMakeup\r\n2 HandstandPushups\r\n",
    "trainlist01.txt": "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\r\n"
    "HandstandPushups/v_HandStandPushups_g08_c01.avi 2\r\n",
    "testlist01.txt": "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi\r\n",
    "trainlist02.txt": "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi 1\r\n",
    "testlist02.txt": "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi\r\n"
    "HandstandPushups/v_HandStandPushups_g08_c01.avi\r\n",
}
HMDB_LISTS = {
    "chew_test_split1.txt": "#2_Gum_chew_h_nm_np1_fr_med_0.avi 1 \n"
    "#2_Gum_chew_h_nm_np1_fr_med_1.avi 0 \n",
    "cartwheel_test_split1.txt": "(Rad)Schlag_die_Bank!_cartwheel_f_cm_np1_le_med_0.avi 1 \n"
    "Bodenturnen_[2]_&_mehr;_x~y@z+_cartwheel_f_cm_np1_le_bad_0.avi 2 \n",
}
KINETICS = (
    "label,youtube_id,time_start,time_end,split,is_cc\n"
    "abseiling,0wR5jVB-WPk,417,427,val,0\n"
    "zumba,-Gd_wxP5koA,83,93,val,0\n"
    "zumba,ZVDR2od1gn8,37,47,train,0\n"
    "zumba,__DR2od1gn8,0,10,validate,0\n"
)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "small.avi"
    return video_files.write_video(path, count=5, codec="mpeg4", size=(16, 16))


def write_lists(folder, lists):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in lists.items():
        (folder / name).write_text(text, newline="")


def link(video, *paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(video, path)


def stems(videos):
    return [os.path.basename(v.path).rpartition(".")[0] for v in videos]


@pytest.fixture()
def ucf(tmp_path, video):
    root = tmp_path / "UCF-101"
    write_lists(tmp_path / "ucfTrainTestlist", UCF_LISTS)
    link(
        video,
        root / "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi",
        root / "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi",
        root / "HandstandPushups/v_HandStandPushups_g08_c01.avi",
    )
    return root


@pytest.mark.filterwarnings("ignore::keras_stc.data.VideoWarning")
def test_ucf101_by_its_lists(ucf):
    train, test = UCF101(ucf), UCF101(ucf, split=1, subset="test")
    assert train.class_names == test.class_names == ("ApplyEyeMakeup", "HandstandPushups")
    assert stems(train) == ["v_ApplyEyeMakeup_g08_c01", "v_HandStandPushups_g08_c01"]
    assert train.labels.tolist() == [0, 1] and stems(test) == ["v_ApplyEyeMakeup_g01_c01"]
    with pytest.warns(VideoWarning):
        assert len(UCF101(ucf, split="all", subset=None)) == 3
    other = UCF101(ucf, 2, "test", class_names=("HandstandPushups", "x", "ApplyEyeMakeup"))
    assert other.labels.tolist() == [2, 0]
    with pytest.raises(VideoError, match="class ApplyEyeMakeup, which is none of the 1 classes"):
        UCF101(ucf, class_names=("HandstandPushups",))
    with pytest.raises(VideoError, match="trainlist03.txt cannot be read"):
        UCF101(ucf, split=3)


def test_lists_that_are_not_whole_are_named(ucf):
    with pytest.warns(VideoWarning, match="UCF101 name 3 videos; the official ones name 13,320"):
        assert UCF101(ucf).missing == ()


@pytest.mark.filterwarnings("ignore::keras_stc.data.VideoWarning")
def test_videos_lie_anywhere_and_may_be_encoded_anew_or_frames(ucf, video):
    shutil.rmtree(ucf / "ApplyEyeMakeup")
    link(video, ucf / "a/b/v_ApplyEyeMakeup_g01_c01.mkv")
    (ucf / "frames/v_ApplyEyeMakeup_g08_c01").mkdir(parents=True)
    (ucf / "frames/v_ApplyEyeMakeup_g08_c01/image_00001.jpg").write_bytes(b"x")
    videos = UCF101(ucf, split="all", subset=None)
    assert [os.path.relpath(v.path, ucf) for v in videos] == [
        "frames/v_ApplyEyeMakeup_g08_c01",
        "HandstandPushups/v_HandStandPushups_g08_c01.avi",
        "a/b/v_ApplyEyeMakeup_g01_c01.mkv",
    ]


def test_folders_that_may_not_be_read_are_passed_over(ucf, monkeypatch):
    (ucf / "lost+found").mkdir(mode=0)
    scandir = os.scandir

    def refused(path):  # as to anybody but root, who may run this
        if os.path.basename(path) == "lost+found":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.warns(VideoWarning):
        assert len(UCF101(ucf, split="all", subset=None)) == 3


def test_incomplete_downloads_are_reported(ucf):
    (ucf / "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi").unlink()
    with pytest.warns(VideoWarning) as caught:
        videos = UCF101(ucf, split="all", subset=None)
    name = "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi"
    assert (len(videos), videos.listed, videos.missing) == (2, 3, (name,))
    assert f"is incomplete: 1 of 3 videos are missing, {name};" in str(caught[0].message)
    assert caught[0].filename == __file__
    (ucf / "HandstandPushups/v_HandStandPushups_g08_c01.avi").unlink()
    with pytest.raises(VideoError, match="2 of 3 videos are missing, .* download them"):
        UCF101(ucf, split="all", subset=None)


def test_hmdb51_by_its_lists(tmp_path, video):
    write_lists(tmp_path / "hmdb/testTrainMulti_7030_splits", HMDB_LISTS)
    names = [line.rpartition(".avi")[0] for t in HMDB_LISTS.values() for line in t.splitlines()]
    link(video, *(tmp_path / f"hmdb/{n.split('_')[-6]}/{n}.avi" for n in names))
    with pytest.warns(VideoWarning, match="HMDB51 name 4 videos; the official ones name 6,766"):
        train = HMDB51(tmp_path / "hmdb", split=1, subset="train")
    assert train.class_names == ("cartwheel", "chew") and train.labels.tolist() == [0, 1]
    with pytest.warns(VideoWarning):
        videos = HMDB51(tmp_path / "hmdb", split="all", subset=None)
    assert sorted(stems(videos)) == sorted(names)
    for one in videos:
        with VideoReader(one.path) as reader:  # names with #, ; and & are files like others
            assert reader.info.num_frames == 5


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({}, "has no lists of UCF101: expected classInd.txt there, in .*ucfTrainTestlist"),
        ({"classInd.txt": "1 A\n3 B\n"}, "line 2, is '3 B'; expected the number 2"),
        ({"trainlist01.txt": "ApplyEyeMakeup/v.avi 2\n"}, "trainlist01.txt, line 1, is"),
        ({"testlist01.txt": "Aply/v.avi\n"}, "testlist01.txt, line 1, is"),
    ],
)
def test_damaged_lists_are_refused(tmp_path, lists, message):
    write_lists(tmp_path, {**UCF_LISTS, **lists} if lists else {})
    with pytest.raises(VideoError, match=message):
        UCF101(tmp_path)


def test_damaged_hmdb51_lists_are_refused(tmp_path):
    write_lists(tmp_path, {"chew_test_split2.txt": "a.avi 1\nb.avi 3\n"})
    with pytest.raises(VideoError, match="split2.txt, line 2, is 'b.avi 3'; expected"):
        HMDB51(tmp_path, split=2)


def test_impossible_splits_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`split` must be 1, 2, 3 or 'all'"):
        UCF101(tmp_path, split=4)
    with pytest.raises(ValueError, match="`subset` must be 'train', 'test' or None"):
        HMDB51(tmp_path, subset="val")
    with pytest.raises(ValueError, match="`subset` must be None with split='all'"):
        UCF101(tmp_path, split="all")


def test_kinetics_by_its_csv(tmp_path, video):
    table = tmp_path / "k.csv"
    table.write_text(KINETICS)
    root = tmp_path / "videos"
    link(video, root / "val/abseiling/0wR5jVB-WPk_000417_000427.mp4", root / "-Gd_wxP5koA.webm")
    link(video, root / "zumba/__DR2od1gn8_0_10.mkv")
    with pytest.warns(VideoWarning, match="1 of 4 videos are missing, ZVDR2od1gn8_000037_000047"):
        videos = Kinetics(table, root)
    assert videos.class_names == ("abseiling", "zumba") and videos.labels.tolist() == [0, 1, 1]
    assert videos.missing == ("ZVDR2od1gn8_000037_000047",)
    assert [v.start for v in videos] == [None] * 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        val = Kinetics(table, root, "val", trimmed=False)
    assert [(v.start, v.end) for v in val] == [(None, None), (83, 93), (None, None)]
    assert val.report() == ""
    with pytest.raises(VideoError, match="has no subset 'test'; it has train, val"):
        Kinetics(table, root, "test")
    with pytest.raises(VideoError, match="1 of 1 videos are missing"):
        Kinetics(table, root, "train")
    with pytest.raises(VideoError, match="label 'zumba', which is none of the 1 classes"):
        Kinetics(table, root, class_names=["abseiling"])


def test_kinetics_test_rows_have_no_label(tmp_path, video):
    table = tmp_path / "test.csv"
    table.write_text("youtube_id,time_start,time_end,split\nabcdefghijk,1,11,test\n")
    link(video, tmp_path / "v/abcdefghijk_000001_000011.mp4")
    assert Kinetics(table, tmp_path / "v")[0].label is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label,id\na,b\n", "no column 'youtube_id'; its columns are label, id"),
        ("label,youtube_id,time_start,time_end\na,b,x,2\n", "line 2, has 'x' as time_start"),
        ("label,youtube_id,time_start,time_end\n", "lists no videos"),
    ],
)
def test_damaged_kinetics_csv_is_refused(tmp_path, text, message):
    (tmp_path / "k.csv").write_text(text)
    with pytest.raises(VideoError, match=message):
        Kinetics(tmp_path / "k.csv", tmp_path)


@pytest.mark.filterwarnings("ignore::keras_stc.data.VideoWarning")
def test_data_sets_by_spec(ucf, tmp_path, video):
    one, every = f"ucf101:{ucf}:1", f"ucf101:{ucf}:all"
    assert open_source(one).subsets == ("train", "test") and open_source(every).subsets == ()
    assert len(open_data(one, "train")) == 2 and len(open_data(every)) == 3
    assert splits(every) == tuple(f"ucf101:{ucf}:{k}" for k in (1, 2, 3))
    assert splits(one) == (one,) and splits(ucf) == (str(ucf),)
    with pytest.raises(VideoError, match="has no subset 'train', since .* take each split"):
        open_data(every, "train")
    table = tmp_path / "k.csv"
    table.write_text(KINETICS)
    link(video, tmp_path / "k/ZVDR2od1gn8.mp4")
    spec = f"kinetics:{table}:{tmp_path / 'k'}"
    assert open_source(spec).subsets == ("train", "val") and len(open_data(spec, "train")) == 1
    for wrong in (f"ucf101:{ucf}", f"hmdb51:{ucf}:4", "kinetics:x.csv"):
        with pytest.raises(VideoError, match=r"must be (\w+):\w+:\w+"):
            open_data(wrong)


@pytest.mark.filterwarnings("ignore::keras_stc.data.VideoWarning")
def test_a_source_reads_its_list_and_searches_its_folder_once(ucf, tmp_path, monkeypatch):
    calls, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: calls.append(str(path)) or scandir(path))
    data = open_source(f"ucf101:{ucf}:1")
    assert data.subsets == ("train", "test") and not calls
    counts = [len(data[subset]) for subset in ("train", "test", None)]
    assert counts == [2, 1, 3] and calls.count(str(ucf)) == 1
    assert open_source(data) is data and str(data) == f"ucf101:{ucf}:1"
    (tmp_path / "link").symlink_to(ucf)
    assert open_source(f"ucf101:{tmp_path / 'link'}:1").spec == data.spec
    assert [split.name[-1] for split in open_source(f"ucf101:{ucf}:all").splits] == ["1", "2", "3"]


def part_of(name, tmp_path, video, classes, absent=()):
    """A spec of a data set with four videos of each of four classes, where some of them are."""
    root = tmp_path / name
    there = [f"{c}/v_{c}_{k}" for c in classes for k in range(4) if f"{c}{k}" not in absent]
    if name == "ucf101":
        lists = {"classInd.txt": "".join(f"{k} {c}\n" for k, c in enumerate("abcd", 1))}
        for use, numbers in (("train", (0, 1, 2)), ("test", (3,))):
            lines = [f"{c}/v_{c}_{k}.avi\n" for c in "abcd" for k in numbers]
            lists[f"{use}list01.txt"] = "".join(lines)
        write_lists(root / "lists", lists)
    elif name == "hmdb51":
        uses = "1112"
        for c in "abcd":
            lines = [f"v_{c}_{k}.avi {use}\n" for k, use in enumerate(uses)]
            write_lists(root / "lists", {f"{c}_test_split1.txt": "".join(lines)})
    else:
        rows = [
            f"{c},v_{c}_{k},0,9,{'val' if k == 3 else 'train'}" for c in "abcd" for k in range(4)
        ]
        text = "\n".join(["label,youtube_id,time_start,time_end,split", *rows])
        write_lists(root, {"k.csv": text})
    link(video, *(root / "videos" / f"{each}.mp4" for each in there))
    return (
        f"kinetics:{root / 'k.csv'}:{root / 'videos'}" if name == "kinetics" else f"{name}:{root}:1"
    )


KNOWN = pytest.mark.parametrize("name", ["ucf101", "hmdb51", "kinetics"])


@KNOWN
def test_a_part_of_a_data_set_is_a_data_set(name, tmp_path, video):
    spec = part_of(name, tmp_path, video, "bd", absent=["d0", "d1", "d3"])
    with pytest.warns(VideoWarning) as caught:
        data = divide(spec)
    (text,) = [str(each.message) for each in caught]
    assert "has 2 of its 4 classes, and of these 5 of 8 videos; the rest is left out. " in text
    assert "Most videos are missing of d (1 of 4 are there)." in text
    assert data.train.class_names == data.validation.class_names == ("b", "d")
    assert data.train.labels.tolist() == [0, 0, 0, 1] and data.validation.labels.tolist() == [0]


@KNOWN
@pytest.mark.filterwarnings("ignore::keras_stc.data.VideoWarning")
def test_a_model_of_a_part_knows_that_part_alone(name, tmp_path, video):
    spec, names = part_of(name, tmp_path, video, "bd"), ("b", "d")
    assert len(open_data(spec, class_names=names)) == 8
    swapped = open_data(spec, "train", class_names=("d", "c", "b"))
    assert swapped.labels.tolist() == [2, 2, 2, 0, 0, 0]
    with pytest.raises(VideoError, match="'?d'?, which is none of the 2 classes"):
        open_data(spec, class_names=("b", "c"))


@KNOWN
@pytest.mark.parametrize("absent", [("b0", "b1", "b2", "c0", "c2", "c3"), None])
def test_a_broken_download_is_no_part(name, tmp_path, video, absent):
    spec = part_of(name, tmp_path, video, "bc" if absent else "b", absent or ())
    with pytest.raises(VideoError, match="is incomplete: .* are missing, .* download them"):
        open_data(spec)


@pytest.mark.shared
def test_a_real_part_of_ucf101(shared, tmp_path):
    (tmp_path / "ucfTrainTestlist").symlink_to(shared / "splits/ucf101")
    for folder in (shared / "ucf101_35").iterdir():
        if folder.is_dir():
            (tmp_path / folder.name).symlink_to(folder)
    with pytest.warns(VideoWarning) as caught:
        data = divide(f"ucf101:{tmp_path}:1")
    assert len(caught) == 1 and "35 of its 101 classes, and" in str(caught[0].message)
    assert (len(data.train), len(data.validation), len(data.train.class_names)) == (2932, 1154, 35)
    with open(shared / "ucf101_35/split1.csv", newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    for subset, videos in (("train", data.train), ("test", data.validation)):
        for each in videos:
            row = rows[os.path.relpath(each.path, tmp_path)]
            assert (row["split"], row["label"]) == (subset, videos.class_names[each.label])


@pytest.fixture(scope="module")
def official(shared, tmp_path_factory, video):
    """All names of the official lists, as hard links of one small video."""
    root, lists = tmp_path_factory.mktemp("official"), shared / "splits"
    for name in ("trainlist01", "testlist01"):
        for line in (lists / f"ucf101/{name}.txt").read_text().splitlines():
            link(video, root / "UCF-101" / line.split()[0])
    for path in (lists / "hmdb51").glob("*_test_split1.txt"):
        folder = root / "hmdb51_org" / path.name.removesuffix("_test_split1.txt")
        folder.mkdir(parents=True)
        for line in path.read_text().splitlines():
            os.link(video, folder / line.rsplit(" ", 2)[0])
    return root


@pytest.mark.shared
@pytest.mark.parametrize(
    ("split", "train", "test"), [(1, 9537, 3783), (2, 9586, 3734), (3, 9624, 3696)]
)
def test_official_ucf101(official, shared, split, train, test):
    options = {"lists": shared / "splits/ucf101"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        both = [UCF101(official / "UCF-101", split, s, **options) for s in ("train", "test")]
    assert [len(videos) for videos in both] == [train, test] and train + test == 13_320
    assert len(both[0].class_names) == 101 == len(set(both[0].labels.tolist()))
    for video in (*both[0], *both[1]):
        assert os.path.basename(os.path.dirname(video.path)) == both[0].class_names[video.label]
    groups = [{video.path.rpartition("_c")[0] for video in videos} for videos in both]
    assert not groups[0] & groups[1]  # what the splits are made for


@pytest.mark.shared
@pytest.mark.parametrize("split", [1, 2, 3])
def test_official_hmdb51(official, shared, split):
    options = {"lists": shared / "splits/hmdb51"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        root = official / "hmdb51_org"
        train, test = (HMDB51(root, split, s, **options) for s in ("train", "test"))
        every = HMDB51(root, "all", None, **options)
    assert (len(train), len(test), len(every)) == (3570, 1530, 6766)
    assert len(every.class_names) == 51
    assert set(train.labels.tolist()) == set(range(51))
    for name in range(51):
        assert (train.labels == name).sum() == 70 and (test.labels == name).sum() == 30
    assert not {v.path for v in train} & {v.path for v in test}
    for video in every:
        assert os.path.basename(os.path.dirname(video.path)) == every.class_names[video.label]


@pytest.mark.shared
def test_one_official_video_that_is_missing(official, shared):
    path = official / "UCF-101/YoYo/v_YoYo_g25_c05.avi"
    kept = path.read_bytes()
    path.unlink()
    try:
        with pytest.warns(VideoWarning, match="1 of 9,537 videos are missing, YoYo/v_YoYo_g25_c05"):
            UCF101(official / "UCF-101", lists=shared / "splits/ucf101")
    finally:
        path.write_bytes(kept)


@pytest.mark.shared
def test_official_kinetics(shared, tmp_path, video):
    table = shared / "splits/kinetics400/kinetics-400_val.csv"
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows[:-6]:
        start, end = int(row["time_start"]), int(row["time_end"])
        path = tmp_path / row["label"] / f"{row['youtube_id']}_{start:06d}_{end:06d}.mp4"
        path.parent.mkdir(exist_ok=True)
        os.link(video, path)
    with pytest.warns(VideoWarning, match="6 of 19,906 videos are missing, .*, …; they"):
        videos = Kinetics(table, tmp_path, "val")
    assert (len(videos), videos.listed, len(videos.missing)) == (19_900, 19_906, 6)
    names = (shared / "kinetics400_classes.txt").read_text().splitlines()
    assert sorted(videos.class_names) == sorted(names)
    for row, video in zip(rows, videos, strict=False):
        assert os.path.basename(video.path).startswith(row["youtube_id"])
        assert videos.class_names[video.label] == row["label"]
