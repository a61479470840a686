import csv
import os

import numpy as np
import pytest
import video_files

from keras_stc.data import (
    Quarantine,
    Video,
    VideoError,
    VideoReader,
    VideoSet,
    clip_dataset,
    evaluation_geometry,
    find_video_error,
    video_clips,
)
from keras_stc.data.clips import sampling
from keras_stc.data.clips.quarantine import saved_reasons
from keras_stc.video_config import VideoConfig

COUNTS = (60, 20, 33, 5, 40)

#: Square videos whose crop is the whole frame, so that frame numbers can be read back.
CONFIG = VideoConfig(frames=8, stride=2, size=32, resize=32)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Five videos, labelled 0 to 4, of 60, 20, 33, 5 and 40 frames."""
    folder = tmp_path_factory.mktemp("videos")
    paths = [folder / f"{k}.mp4" for k in range(len(COUNTS))]
    for path, count in zip(paths, COUNTS, strict=True):
        video_files.write_video(path, count=count, g=10, size=(48, 48))
    return VideoSet([Video(str(path), k) for k, path in enumerate(paths)], "abcde")


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    """Three videos that cannot be used."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("text")
    return [Video(str(folder / name), 0) for name in ("empty.mp4", "text.mp4", "missing.mp4")]


def dataset(videos, **options):
    return clip_dataset(videos, **{"video_config": CONFIG, "batch_size": 2, **options})


def collected(clips):
    """All clips and labels of one iteration."""
    batches = [(x.numpy(), y.numpy()) for x, y in clips]
    return np.concatenate([x for x, _ in batches]), np.concatenate([y for _, y in batches])


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_evaluation_takes_the_centre_clip_of_every_video(videos):
    clips = dataset(videos)
    spec = clips.element_spec
    assert spec[0].shape.as_list() == [None, 8, 32, 32, 3] and spec[0].dtype.name == "uint8"
    assert spec[1].shape.as_list() == [None] and spec[1].dtype.name == "int32"
    assert int(clips.cardinality()) == 3 == len(list(clips))
    x, y = collected(clips)
    assert y.tolist() == [0, 1, 2, 3, 4]
    for clip, count in zip(x, COUNTS, strict=True):
        assert video_files.numbers(clip) == sampling.uniform_clips(count, 8, 2, 1)[0].tolist()
    assert_same(collected(clips), (x, y))
    assert len(clips.quarantine) == 0 and clips.quarantine.report() == ""


def test_last_batch_can_be_dropped(videos):
    clips = dataset(videos, drop_remainder=True)
    assert clips.element_spec[0].shape.as_list() == [2, 8, 32, 32, 3]
    assert int(clips.cardinality()) == 2 == len(list(clips))


def test_sizes_come_from_arguments_too(videos):
    clips = clip_dataset(videos, frames=4, stride=3, size=(16, 24), batch_size=5)
    x, _ = collected(clips)
    assert x.shape == (5, 4, 16, 24, 3)
    assert clips.video_config == VideoConfig(4, 3, (16, 24))
    with VideoReader(videos[0].path) as reader:
        geometry = evaluation_geometry((16, 24), 17)
        expected = reader.read(sampling.uniform_clips(60, 4, 3, 1)[0], geometry)
    np.testing.assert_array_equal(x[0], expected)


def test_several_clips_of_a_video_are_spread_evenly(videos):
    x, y = collected(dataset(videos, clips_per_video=3))
    assert y.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    assert [video_files.numbers(clip)[0] for clip in x[:3]] == [0, 22, 45]


def test_training_is_random_by_epoch_and_the_same_by_seed(videos):
    options = {"training": True, "clips_per_video": 3, "flip": False, "seed": 3}
    clips = dataset(videos, **options, num_parallel_calls=1)
    epochs = [collected(clips) for _ in range(3)]
    orders = [y.tolist() for _, y in epochs]
    assert all(sorted(order) == sorted([0, 1, 2, 3, 4] * 3) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    starts = [[video_files.numbers(clip)[0] for clip in x] for x, _ in epochs]
    assert len({start for epoch in starts for start in epoch}) > 10
    for (x, y), first in zip(epochs, starts, strict=True):
        for clip, label, start in zip(x, y, first, strict=True):
            expected = sampling.clip_at(start, COUNTS[label], 8, 2)
            assert video_files.numbers(clip) == expected.tolist()
    again = dataset(videos, **options, num_parallel_calls=4)
    for epoch in epochs:
        assert_same(collected(again), epoch)
    resumed = dataset(videos, **options, first_epoch=2)
    assert_same(collected(resumed), epochs[2])
    resumed.set_epoch(1)
    assert_same(collected(resumed), epochs[1])
    unmoved = dataset(videos, **options, shuffle=False)
    (one, _), (two, _) = collected(unmoved), collected(unmoved)
    assert (one != two).any(axis=(1, 2, 3, 4)).sum() > 5  # not the clips of the epoch before
    other = collected(dataset(videos, **{**options, "seed": 4}))
    assert other[1].tolist() != orders[0]


@pytest.mark.parametrize("training", [True, False])
def test_shares_are_parts_of_every_batch(videos, training):
    """20 clips in batches of 6: three full ones and one of two, dropped in training."""
    options = {"batch_size": 6, "clips_per_video": 4, "training": training, "seed": 3}
    options["drop_remainder"] = training
    whole = [(x.numpy(), y.numpy()) for x, y in dataset(videos, **options)]
    parts = [dataset(videos, **options, share=(i, 2)) for i in range(2)]
    assert [part.batches for part in parts] == [len(whole)] * 2 == [3 if training else 4] * 2
    assert [int(part.cardinality()) for part in parts] == [len(whole)] * 2
    for want, *got in zip(whole, *parts, strict=True):
        assert len({len(labels) for _, labels in got}) == 1
        for a, b in zip(want, zip(*got, strict=True), strict=True):
            np.testing.assert_array_equal(a, np.concatenate(b))


def test_an_epoch_can_begin_with_a_later_batch(videos):
    options = {"training": True, "clips_per_video": 2, "seed": 3}
    whole = dataset(videos, **options, first_epoch=4)
    want = [[labels.numpy().tolist() for _, labels in whole] for _ in range(2)]
    late = dataset(videos, **options, first_epoch=4, first_batch=3)
    got = [[labels.numpy().tolist() for _, labels in late] for _ in range(2)]
    assert got == [want[0][3:], want[1][3:]] and late.batches == 5
    assert late.cardinality() == 2
    next(iter(late))  # somebody looks at one batch
    late.set_epoch(4)
    assert [labels.numpy().tolist() for _, labels in late] == want[0][3:]


def test_training_mirrors_whole_clips(videos):
    x, y = collected(dataset(videos, training=True, clips_per_video=20, batch_size=10))
    # Red grows to the right in the lower half, unless mirrored.
    slope = x[:, :, 28, -4, 0].astype(int) - x[:, :, 28, 3, 0]
    mirrored = (slope < 0).all(axis=1)
    assert (mirrored | (slope > 0).all(axis=1)).all()
    assert 30 < mirrored.sum() < 70
    x, _ = collected(dataset(videos, training=True, clips_per_video=5, flip=False))
    assert (x[:, :, 28, -4, 0].astype(int) > x[:, :, 28, 3, 0]).all()


def test_training_crops_at_five_positions(videos):
    config = VideoConfig(frames=1, size=32, resize=48)
    options = {"video_config": config, "training": True, "flip": False, "clips_per_video": 20}
    x, _ = collected(dataset(videos, **options))
    # Red says where the crop lies across, green where it lies down.
    corner = {(round(int(c[0, -1, 0, 0]) / 20), round(int(c[0, -1, 0, 1]) / 20)) for c in x}
    assert len({red for red, _ in corner}) >= 3 and len({green for _, green in corner}) >= 3


def test_several_clips_of_one_decoding(videos):
    options = {"clips_per_video": 4, "batch_size": 5}
    plain, together = (dataset(videos, clips_per_decode=k, **options) for k in (1, 4))
    assert_same(collected(plain), collected(together))  # evaluation: the same clips in order
    assert int(together.cardinality()) == 4 == len(list(together))
    options |= {"training": True, "flip": False, "seed": 5, "clips_per_decode": 2}
    clips = dataset(videos, **options)
    epochs = [collected(clips) for _ in range(2)]
    for x, y in epochs:
        assert sorted(y.tolist()) == sorted([0, 1, 2, 3, 4] * 4)
        for clip, label in zip(x, y, strict=True):
            start = video_files.numbers(clip)[0]
            expected = sampling.clip_at(start, COUNTS[label], 8, 2)
            assert video_files.numbers(clip) == expected.tolist()
    assert epochs[0][1].tolist() != epochs[1][1].tolist()
    # Mixed: what was decoded together is not always side by side.
    assert (epochs[0][1][::2] != epochs[0][1][1::2]).any()
    for workers in (1, 4):
        again = dataset(videos, **options, num_parallel_calls=workers, isolate=False)
        assert_same(collected(again), epochs[0])
    resumed = dataset(videos, **options, first_epoch=1)
    assert_same(collected(resumed), epochs[1])


def test_clips_at_a_frame_rate_of_their_own(tmp_path):
    paths = [
        video_files.write_video(tmp_path / f"{rate}.mp4", count=60, rate=rate, size=(48, 48))
        for rate in (25, 10)
    ]
    config = VideoConfig(frames=4, size=32, resize=32, fps=10.0)
    x, _ = collected(dataset([Video(str(path)) for path in paths], video_config=config))
    # Of 25 frames a second, every 2.5th; of 10, every one; in the middle of the video.
    assert video_files.numbers(x[0]) == [26, 28, 31, 33]
    assert video_files.numbers(x[1]) == [28, 29, 30, 31]
    by_argument = clip_dataset([Video(str(paths[0]))], 4, size=32, resize=32, fps=10.0)
    np.testing.assert_array_equal(collected(by_argument)[0], x[:1])
    (batch,) = video_clips(paths[1], VideoConfig(frames=16, size=32, resize=32, fps=2.5))
    assert video_files.numbers(batch.clips[0])[:3] == [0, 4, 8]
    with pytest.raises(ValueError, match="`fps` must be positive"):
        VideoConfig(fps=0.0)


def test_clips_of_segments_show_the_whole_video(videos):
    config = CONFIG.replace(frames=4, segments=True)
    x, _ = collected(dataset(videos[:3], video_config=config))
    for clip, count in zip(x, COUNTS, strict=False):
        assert video_files.numbers(clip) == [(2 * k + 1) * count // 8 for k in range(4)]
    random = dataset(videos[:1], video_config=config, training=True, clips_per_video=3, flip=False)
    x, _ = collected(random)
    numbers = np.array([video_files.numbers(clip) for clip in x])
    assert (numbers // 15 == np.arange(4)).all() and len(np.unique(numbers, axis=0)) == 3
    (batch,) = video_clips(Video(videos[0].path, start=1.0, end=1.64), config)
    assert video_files.numbers(batch.clips[0]) == [27, 31, 35, 39]  # of frames 25 to 40
    assert (batch.start.tolist(), batch.end.tolist()) == ([1.0], [41 / 25])
    with pytest.raises(ValueError, match="`segments` must be True or False"):
        VideoConfig(segments=3)


def test_pieces_of_videos(videos):
    pieces = [Video(videos[0].path, 0, start=1.0, end=1.4), Video(videos[0].path, 1, start=2.0)]
    x, _ = collected(dataset(pieces))
    assert video_files.numbers(x[0]) == [25, 27, 29, 31, 33, 25, 27, 29]
    assert video_files.numbers(x[1]) == [50, 52, 54, 56, 58, 50, 52, 54]


def test_bad_videos_are_replaced_and_reported(videos, bad, tmp_path):
    mixed = VideoSet([bad[0], *videos, *bad[1:]], "abcde")
    options = {"training": True, "seed": 1, "batch_size": 8}
    clips = dataset(mixed, **options, num_parallel_calls=1)
    first = collected(clips)
    assert sorted(first[1].tolist()) == [0, 0, 0, 0, 1, 2, 3, 4]  # each by the next good one
    assert set(clips.quarantine.reasons) == {video.path for video in bad}
    assert len(clips.quarantine) == 3
    second = collected(clips)
    again = dataset(mixed, **options, num_parallel_calls=4)
    assert_same(collected(again), first)
    assert_same(collected(again), second)
    report = clips.quarantine.report()
    assert report.startswith("3 of 8 videos could not be used:")
    assert "empty.mp4 is empty" in report and "missing.mp4 does not exist" in report
    clips.quarantine.save(tmp_path / "bad.csv")
    with open(tmp_path / "bad.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["path"] for row in rows} == {video.path for video in bad}


def test_names_that_are_no_text_are_saved(tmp_path):
    name = os.fsdecode(b"caf\xe9.mp4")
    quarantine = Quarantine(limit=1)
    quarantine.watch([name])
    quarantine.add(name, f"{name} is empty")
    quarantine.save(tmp_path / "bad.csv")
    assert saved_reasons(tmp_path / "bad.csv") == quarantine.reasons


def test_training_finishes_with_a_third_of_the_files_bad(videos, bad):
    import keras

    mixed = VideoSet([*bad, *videos, *videos[:1]], "abcde")
    clips = dataset(mixed, training=True)
    model = keras.Sequential(
        [keras.layers.GlobalAveragePooling3D(), keras.layers.Dense(5, activation="softmax")]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    history = model.fit(clips, epochs=2, verbose=0).history["loss"]
    assert len(history) == 2 and np.isfinite(history).all()
    assert set(clips.quarantine.reasons) == {video.path for video in bad}


def test_more_than_half_bad_stops_with_one_sentence(videos, bad):
    import keras

    mixed = VideoSet([*bad, *videos[:2]], "abcde")
    clips = dataset(mixed, training=True)
    model = keras.Sequential(
        [keras.layers.GlobalAveragePooling3D(), keras.layers.Dense(5, activation="softmax")]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(Exception) as caught:
        model.fit(clips, verbose=0)
    error = find_video_error(caught.value)
    assert str(error).startswith("3 of 5 videos cannot be used, too many to go on; the first: ")
    assert str(error) == clips.quarantine.fatal
    assert find_video_error(ValueError("something else")) is None


def test_nothing_but_bad_videos(bad):
    with pytest.raises(Exception) as caught:
        list(dataset(bad))
    assert "videos cannot be used" in str(find_video_error(caught.value))


def test_where_none_is_left_it_ends():
    """Though far fewer than half of all that are watched are bad."""
    quarantine = Quarantine()
    quarantine.watch(f"{k}.mp4" for k in range(20))
    videos = [Video("0.mp4"), Video("1.mp4")]

    def read(video):
        raise VideoError(f"{video.path} is empty.")

    with pytest.raises(VideoError, match="2 of 2 videos cannot be used.*; the first: 0.mp4 is"):
        quarantine.first_usable(videos, 1, read)


def test_a_bad_piece_is_not_the_file():
    quarantine = Quarantine()
    videos = [
        Video("0.mp4", start=0.0, end=1.0),
        Video("0.mp4", start=1.0, end=0.5),
        Video("1.mp4"),
    ]
    quarantine.watch(video.name for video in videos)
    quarantine.add(videos[1].name, VideoError("no frames"))
    assert quarantine.first_usable(videos, 1, lambda video: 7, avoid={"1.mp4"}) == (videos[0], 7)
    assert quarantine.first_usable(videos, 1, lambda video: 7, avoid={"0.mp4"}) == (videos[2], 7)
    assert list(quarantine.reasons) == ["0.mp4#t=1,0.5"]


def test_quarantine_is_shared():
    quarantine = Quarantine()
    quarantine.watch(["a", "b"])
    quarantine.watch(["b", "c", "d"])
    quarantine.add("a", VideoError("a is bad."))
    quarantine.add("a", VideoError("a is bad again."))
    quarantine.add("b", VideoError("b is bad."))
    assert quarantine.reasons == {"a": "a is bad.", "b": "b is bad."}
    with pytest.raises(VideoError, match="3 of 4 videos .* the first: a is bad."):
        quarantine.add("c", VideoError("c is bad."))
    with pytest.raises(VideoError):
        quarantine.check()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
        ({"clips_per_video": 0}, "`clips_per_video` must be at least 1"),
        ({"clips_per_video": 4, "clips_per_decode": 3}, "`clips_per_decode` must divide"),
        (
            {"clips_per_video": 2, "clips_per_decode": 2, "first_batch": 1},
            "`clips_per_decode` must be 1 where only a part",
        ),
        ({"seed": -1}, "`seed` must be at least 0"),
        ({"share": (2, 2)}, "`share` must be .index, count."),
        ({"batch_size": 3, "share": (0, 2)}, "count must divide `batch_size`"),
    ],
)
def test_impossible_arguments_are_refused(videos, options, message):
    with pytest.raises(ValueError, match=message):
        dataset(videos, **options)


def test_what_cannot_be_trained_on_is_refused():
    with pytest.raises(VideoError, match="`videos` holds no video"):
        dataset([])
    with pytest.raises(VideoError, match="x.mp4 has no label"):
        dataset([Video("x.mp4")], training=True)


def test_video_clips_cover_a_video_with_times(videos):
    batches = list(video_clips(videos[0].path, CONFIG, batch_size=2))
    assert [batch.clips.shape for batch in batches] == [(2, 8, 32, 32, 3)] * 2
    starts = np.concatenate([batch.first_frames for batch in batches]).tolist()
    assert starts == [0, 16, 32, 45]  # of 60 frames; the last one is moved back
    for batch in batches:
        for clip, start in zip(batch.clips, batch.first_frames, strict=True):
            assert video_files.numbers(clip) == list(range(start, start + 16, 2))
    np.testing.assert_allclose(batches[0].start, [0, 0.64])
    np.testing.assert_allclose(batches[1].end, [47 / 25, 60 / 25])


def test_video_clips_of_short_and_cut_videos(videos):
    (batch,) = video_clips(videos[3].path, CONFIG)
    assert video_files.numbers(batch.clips[0]) == [0, 2, 4, 1, 3, 0, 2, 4]
    assert (batch.start.tolist(), batch.end.tolist()) == ([0.0], [0.2])
    (batch,) = video_clips(Video(videos[0].path, start=1.0, end=1.64), CONFIG)
    assert batch.first_frames.tolist() == [25] and batch.end.tolist() == [40 / 25]
    (batch,) = video_clips(videos[0].path, CONFIG, max_clips=2)
    assert batch.first_frames.tolist() == [16, 45]
    with pytest.raises(ValueError, match="`batch_size`"):
        list(video_clips(videos[0].path, CONFIG, batch_size=0))


@pytest.mark.shared
def test_a_long_real_video_is_read_one_clip_at_a_time(shared, monkeypatch):
    path = shared / "clips" / "arm_wrestling.mp4"
    held = []
    to_rgb = "keras_stc.data.video.video_file.VideoFile.to_rgb"
    convert = VideoReader.__init__.__globals__["video_file"].VideoFile.to_rgb
    monkeypatch.setattr(to_rgb, lambda *a: held.append(1) or convert(*a))
    with VideoReader(path) as reader:
        clips = reader.clips(list(sampling.evaluation_clips(reader.info.num_frames, 16, 2)))
        next(clips)
        assert len(held) == 16
        assert len(list(clips)) == 8
