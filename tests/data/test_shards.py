import functools
import http.server
import json
import os
import shutil
import threading

import numpy as np
import pytest
import video_files
from helpers import splits

from keras_stc import files
from keras_stc.data import (
    Geometry,
    PackedVideos,
    Quarantine,
    Video,
    VideoError,
    VideoReader,
    clip_dataset,
    find_video_error,
    open_data,
    open_source,
    open_video,
    pack,
    packing,
    verify_shards,
    video_clips,
)
from keras_stc.data.clips import sampling
from keras_stc.data.sets.packed import read_index
from keras_stc.data.video import shard
from keras_stc.video_config import VideoConfig

CONFIG = VideoConfig(frames=8, stride=2, size=28, resize=32)
OPTIONS = {"short_side": 32, "videos_per_shard": 2, "quality": 95, "workers": 2}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Five videos of 60, 20, 33, 5 and 40 frames, and a piece of the first."""
    folder = tmp_path_factory.mktemp("videos")
    rows = ["path,label,split,start,end"]
    for k, count in enumerate((60, 20, 33, 5, 40)):
        video_files.write_video(folder / f"{k}.mp4", count=count, g=10)
        rows.append(f"{k}.mp4,{'ab'[k % 2]},{'test' if k == 4 else 'train'},,")
    rows.append("0.mp4,b,train,0.4,1.2")
    (folder / "list.csv").write_text("\n".join(rows) + "\n")
    return folder / "list.csv"


@pytest.fixture(scope="module")
def packed(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("packed") / "out"
    pack(table, out, **OPTIONS)
    return out


def test_a_folder_without_splits_by_its_long_name(packed):
    spec = f"shards:{packed}:all"
    assert splits(spec) == (spec,) and len(open_data(spec)) == 6


def test_lists_that_contradict_themselves_are_refused(table, tmp_path):
    lines = table.read_text().splitlines()
    folder = tmp_path / "videos"
    shutil.copytree(table.parent, folder)
    for more, words in (
        ("1.mp4,a,train,,", "lists .*1.mp4 as 'b' and 'a'"),
        ("1.mp4,b,test,,", "has .*1.mp4 in both 'train' and 'test'"),
    ):
        (folder / "list.csv").write_text("\n".join([*lines, more]) + "\n")
        with pytest.raises(VideoError, match=words):
            pack(folder / "list.csv", tmp_path / "out", **OPTIONS)


def test_an_address_that_failed_is_asked_again(table, tmp_path):
    folder = tmp_path / "videos"
    shutil.copytree(table.parent, folder)
    server = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), server) as running:
        address = f"http://127.0.0.1:{running.server_port}/0.mp4"
        text = "path,label\n1.mp4,a\n2.mp4,b\n" + f"{address},a\n"
        (folder / "list.csv").write_text(text)
        out = tmp_path / "out"
        (folder / "0.mp4").rename(folder / "away.mp4")
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            index = pack(folder / "list.csv", out, **OPTIONS)
            assert len(index["videos"]) == 2 and list(index["failures"]) == [address]
            assert (out / "quarantine.csv").exists()
            (folder / "away.mp4").rename(folder / "0.mp4")
            index = pack(folder / "list.csv", out, **OPTIONS)
        finally:
            running.shutdown()
            thread.join()
    assert len(index["videos"]) == 3 and not index["failures"]
    assert not (out / "quarantine.csv").exists() and verify_shards(out) == []


def test_packed_videos_are_data(packed, table):
    assert open_source(packed).subsets == ("train", "test") and splits(packed) == (str(packed),)
    for subset in ("train", "test", None):
        found, source = open_data(packed, subset), open_data(table, subset)
        assert found.labels.tolist() == source.labels.tolist()
        assert found.class_names == source.class_names == ("a", "b")
        for one, other in zip(found, source, strict=True):
            with open_video(one.path) as reader, VideoReader(other.path) as original:
                first, count = other.frame_range(original.info)
                assert reader.info.num_frames == count
                assert reader.info.fps == original.info.fps
                assert (reader.info.height, reader.info.width) == (32, 43)
                clip = reader.read(range(count))
                assert video_files.numbers(clip) == list(range(first, first + count))
                expected = original.read(range(first, first + count), Geometry(short_side=32))
                assert np.abs(clip.astype(int) - expected).mean() < 5  # quality 95
    swapped = PackedVideos(packed, "test", class_names=("b", "c", "a"))
    assert swapped.labels.tolist() == [2]
    with pytest.raises(VideoError, match="class b, which is none of the 1 classes"):
        open_data(packed, class_names=["a"])
    with pytest.raises(VideoError, match="no videos of subset 'val'; it has train, test"):
        open_data(packed, "val")


def test_only_the_frames_of_a_clip_are_read(packed, monkeypatch):
    reads, read = [], os.pread
    monkeypatch.setattr(os, "pread", lambda *a: reads.append(a[1]) or read(*a))
    with open_video(open_data(packed)[0].path) as reader:
        reader.read(range(10, 26, 2))
        assert len(reads) == 8 and sum(reads) == sum(map(len, reader.encoded(np.arange(10, 26, 2))))


def test_frames_are_the_same_without_tensorflow(packed):
    """For those who have Keras on JAX or PyTorch alone."""
    simplejpeg = pytest.importorskip("simplejpeg")
    for video in open_data(packed):
        with open_video(video.path) as reader:
            numbers = np.arange(reader.info.num_frames)
            made = [simplejpeg.decode_jpeg(j, fastdct=True) for j in reader.encoded(numbers)]
            np.testing.assert_array_equal(made, reader.read(numbers))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("position", ["centre", "top_left", "bottom_right"])
def test_a_crop_decodes_as_it_does_within_the_whole(packed, flip, position):
    with open_video(open_data(packed)[0].path) as reader:
        whole = reader.read([3, 7])
        geometry = Geometry((17, 22), 32, position=position, flip=flip)
        np.testing.assert_array_equal(reader.read([3, 7], geometry), geometry.cut(whole))
        smaller = reader.read([3], Geometry((20, 20), 24))
        assert smaller.shape == (1, 20, 20, 3) and video_files.numbers(whole) == [3, 7]


def test_records_are_what_tensorflow_reads(packed):
    """The plain way of TensorFlow's Model Garden: parse_single_sequence_example."""
    import tensorflow as tf

    features = {
        "clip/label/index": tf.io.FixedLenFeature((), tf.int64),
        "clip/label/text": tf.io.FixedLenFeature((), tf.string),
        "clip/data_path": tf.io.FixedLenFeature((), tf.string),
        "image/frame_rate": tf.io.FixedLenFeature((), tf.float32),
    }
    lists = {
        "image/encoded": tf.io.FixedLenSequenceFeature((), tf.string),
        "image/timestamp": tf.io.FixedLenSequenceFeature((), tf.int64),
    }
    records = tf.data.TFRecordDataset(sorted(map(str, packed.glob("*.tfrecord"))))
    counts = []
    for record in records:
        context, frames = tf.io.parse_single_sequence_example(record, features, lists)
        clip = tf.map_fn(tf.io.decode_jpeg, frames["image/encoded"], tf.uint8).numpy()
        counts.append(len(clip))
        first = 10 if len(counts) == 6 else 0  # the piece that begins at 0.4 s
        assert video_files.numbers(clip) == list(range(first, first + len(clip)))
        assert frames["image/timestamp"].numpy().tolist() == [40_000 * k for k in range(len(clip))]
        label = int(context["clip/label/index"])
        assert context["clip/label/text"].numpy() == b"ab"[label : label + 1]
        assert context["clip/data_path"].numpy().endswith(b".mp4")
        assert float(context["image/frame_rate"]) == 25.0
    assert counts == [60, 20, 33, 5, 40, 20]


@pytest.mark.parametrize("training", [False, True])
def test_clips_of_shards_are_those_of_the_videos(packed, table, training):
    options = {"video_config": CONFIG, "batch_size": 6, "training": training, "seed": 3}
    (x, labels), (y, others) = (
        next(iter(clip_dataset(open_data(data), **options))) for data in (packed, table)
    )
    assert labels.numpy().tolist() == others.numpy().tolist()
    assert np.abs(x.numpy().astype(int) - y.numpy()).mean() < 5  # the same frames, crop and mirror
    # Those decoded by the graph are those decoded by the reader.
    slow = clip_dataset(open_data(packed), clips_per_video=2, clips_per_decode=2, **options)
    assert next(iter(slow))[0].shape == (6, 8, 28, 28, 3)
    if not training:
        for video, clip in zip(open_data(packed), x.numpy(), strict=True):
            with open_video(video.path) as reader:
                indices = sampling.uniform_clips(reader.info.num_frames, 8, 2, 1)[0]
                np.testing.assert_array_equal(reader.read(indices, Geometry((28, 28), 32)), clip)


def test_shards_at_another_size_and_whole_videos(packed):
    config = VideoConfig(frames=4, stride=1, size=20, resize=24)
    clips = clip_dataset(open_data(packed), video_config=config, batch_size=6)
    assert next(iter(clips))[0].shape == (6, 4, 20, 20, 3)
    batches = list(video_clips(open_data(packed)[0].path, CONFIG))
    assert np.concatenate([batch.first_frames for batch in batches]).tolist() == [0, 16, 32, 45]


def test_packing_goes_on_where_it_was(table, packed, tmp_path, monkeypatch):
    out = tmp_path / "out"
    calls, work = [], packing._pack_video

    def interrupted(video, *rest):
        calls.append(video)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return work(video, *rest)

    monkeypatch.setattr(packing, "_pack_video", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pack(table, out, **{**OPTIONS, "workers": 1})
    assert (out / "videos-00000.json").exists() and not (out / "index.json").exists()
    with pytest.raises(VideoError, match="is not packed to the end"):
        open_data(out)
    left = out / f".{2**22 + 1}-videos-00001.tfrecord"  # no process has this number
    left.write_bytes(b"left by a kill")
    calls.clear()
    monkeypatch.setattr(packing, "_pack_video", lambda *a: calls.append(a[0]) or work(*a))
    steps = []
    pack(table, out, **OPTIONS, progress=lambda *a: steps.append(a))
    assert len(calls) == 4 and steps[-1] == (6, 6)  # those of the first shard are kept
    assert not left.exists() and verify_shards(out) == []
    for name in ("index.json", "videos-00002.tfrecord"):
        assert (out / name).read_bytes() == (packed / name).read_bytes()
    calls.clear()
    pack(table, out, **OPTIONS)
    assert not calls


def test_a_source_that_changed_is_packed_again(table, packed, tmp_path, monkeypatch):
    out = tmp_path / "out"
    shutil.copytree(packed, out)
    calls, work = [], packing._pack_video
    monkeypatch.setattr(packing, "_pack_video", lambda *a: calls.append(a[0]) or work(*a))
    stat = os.stat(table.parent / "2.mp4")
    os.utime(table.parent / "2.mp4", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    try:
        pack(table, out, **OPTIONS)
    finally:
        os.utime(table.parent / "2.mp4", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert {os.path.basename(video.path) for video in calls} == {"2.mp4", "3.mp4"}


def test_a_list_by_another_path_is_the_same_list(table, packed, tmp_path, monkeypatch):
    monkeypatch.chdir(table.parent)
    monkeypatch.setattr(packing, "_pack_video", lambda *_: pytest.fail("packed again"))
    assert pack(table.name, packed, **OPTIONS)["videos"] == read_index(packed)["videos"]
    one, other = (open_data(path, None) for path in (table, table.name))
    assert [video.identity for video in one] == [video.identity for video in other]
    assert [video.path for video in one] != [video.path for video in other]


def test_other_folders_are_left_alone(table, packed, tmp_path):
    with pytest.raises(VideoError, match="holds shards with short_side=32, not 48"):
        pack(table, packed, **{**OPTIONS, "short_side": 48})
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(VideoError, match="holds other files"):
        pack(table, tmp_path, **OPTIONS)
    packing = pytest.raises(VideoError, match="written by another process")
    with packing, files.alone(packed, AssertionError()):
        pack(table, packed, **OPTIONS)


@pytest.mark.parametrize(
    "wrong", [{"short_side": 4}, {"quality": 0}, {"quality": 101}, {"videos_per_shard": 0}]
)
def test_impossible_settings_are_refused(table, tmp_path, wrong):
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}` must be"):
        pack(table, tmp_path / "out", **wrong)


def test_bad_videos_are_left_out_and_named(table, tmp_path):
    folder = tmp_path / "videos"
    shutil.copytree(table.parent, folder)
    (folder / "1.mp4").write_bytes(b"")
    quarantine = Quarantine()
    for _ in range(2):  # the second time from what the shards remember
        index = pack(folder / "list.csv", tmp_path / "out", **OPTIONS, quarantine=quarantine)
        assert list(index["failures"]) == [str(folder / "1.mp4")] == list(quarantine.reasons)
    assert "1.mp4 is empty" in (tmp_path / "out/quarantine.csv").read_text()
    assert len(open_data(tmp_path / "out")) == 5


def test_damage_is_noticed(packed, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(packed, out)
    path = out / "videos-00001.tfrecord"
    data = bytearray(path.read_bytes())
    data[3000] ^= 1
    path.write_bytes(data)
    assert verify_shards(out) == ["videos-00001.tfrecord"]
    videos = open_data(out)
    clips = clip_dataset(videos, video_config=CONFIG, clips_per_video=4, batch_size=8)
    assert sum(len(x) for x, _ in clips) == 24
    (path, reason), *others = clips.quarantine.reasons.items()
    assert path.endswith("videos-00001.tfrecord#0") and not others
    assert reason.endswith("is damaged: its frames are not what was packed; pack again.")
    (out / "videos-00002.npy").unlink()
    shard._open_shard.cache_clear()
    with pytest.raises(VideoError, match="videos-00002.tfrecord cannot be read with .* pack it"):
        open_video(videos[5].path)
    (out / "videos-00001.npy").write_bytes(b"")
    (out / "videos-00000.json").unlink()
    shard._open_shard.cache_clear()
    with pytest.raises(VideoError, match="videos-00001.tfrecord cannot be read with .* pack it"):
        open_video(videos[2].path)
    assert verify_shards(out) == [
        *("videos-00000.json", "videos-00001.tfrecord", "videos-00001.npy", "videos-00002.npy")
    ]
    with pytest.raises(VideoError, match="6 of 6 videos cannot be used|too many to go on"):
        try:
            list(clip_dataset(videos, video_config=CONFIG))
        except Exception as error:
            raise find_video_error(error) from error
    (out / "index.json").write_text(json.dumps({"layout": 99}))
    with pytest.raises(VideoError, match="has layout 99, this version reads 1"):
        open_data(out)


@pytest.mark.filterwarnings("ignore::keras_stc.data.VideoWarning")
def test_all_splits_of_a_data_set_share_its_shards(tmp_path):
    root = tmp_path / "hmdb"
    for k in range(3):
        path = root / f"wave/v{k}.avi"
        path.parent.mkdir(parents=True, exist_ok=True)
        video_files.write_video(path, count=4 + k, codec="mpeg4", size=(16, 16))
    for split, uses in enumerate(("120", "012", "201"), 1):
        lines = "".join(f"v{k}.avi {use} \n" for k, use in enumerate(uses))
        (root / f"wave_test_split{split}.txt").write_text(lines)
    out = tmp_path / "out"
    index = pack(f"hmdb51:{root}:all", out, short_side=16)
    assert len(index["videos"]) == 3
    assert splits(f"shards:{out}:all") == tuple(f"shards:{out}:{k}" for k in (1, 2, 3))
    for split in (1, 2, 3):
        for subset in ("train", "test"):
            names = [os.path.basename(v.path) for v in open_data(f"hmdb51:{root}:{split}", subset)]
            found = []
            for video in open_data(f"shards:{out}:{split}", subset):
                with open_video(video.path) as reader:
                    found.append(f"v{reader.info.num_frames - 4}.avi")
            assert sorted(found) == sorted(names) and len(found) == 1
    assert len(open_data(f"shards:{out}:all")) == 3
    assert open_source(f"shards:{out}:2").subsets == ("train", "test")
    with pytest.raises(VideoError, match="splits 1, 2, 3, and none called None: name one, as in"):
        open_data(out)
    with pytest.raises(VideoError, match="no subset 'train' over all splits"):
        open_data(f"shards:{out}:all", "train")


def test_videos_without_labels(tmp_path):
    video_files.write_video(tmp_path / "x.mp4", count=4)
    record, what, jpegs, _ = packing._pack_video(Video(str(tmp_path / "x.mp4")), None, 32, 90)
    assert what["label"] is None and b"clip/label" not in record and len(jpegs) == 4
