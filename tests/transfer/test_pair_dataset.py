"""Frames and clip of one moment at two sizes, from videos whose frames say their number."""

import shutil

import numpy as np
import pytest
import video_files

from keras_stc.data import (
    Geometry,
    Video,
    VideoError,
    VideoReader,
    VideoSet,
    find_video_error,
    open_data,
    open_unlabelled,
    pack,
    training_geometry,
)
from keras_stc.data.clips import sampling
from keras_stc.data.geometry import generator
from keras_stc.data.video import video_file
from keras_stc.transfer import Answers, distillation_dataset, pair_dataset
from keras_stc.video_config import VideoConfig

COUNTS = (60, 20, 33, 5, 40)

#: Square videos whose crop is the whole frame, so that frame numbers can be read back.
CONFIG = VideoConfig(frames=4, stride=2, size=32, resize=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five videos of 60, 20, 33, 5 and 40 frames, at several depths of a folder."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "deep").mkdir()
    for k, count in enumerate(COUNTS):
        path = (folder / "deep" if k % 2 else folder) / f"{k}.mp4"
        video_files.write_video(path, count=count, g=10, size=(96, 96))
    return folder


@pytest.fixture(scope="module")
def videos(folder):
    return VideoSet(sorted(open_unlabelled(folder), key=lambda video: video.path[-5:]))


def pairs(videos, **options):
    options = {"video_config": CONFIG, "frame_size": 64, "batch_size": 2, **options}
    return pair_dataset(videos, **options)


def collected(dataset):
    batches = [{name: value.numpy() for name, value in batch.items()} for batch in dataset]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def assert_same(one, other):
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def test_shapes(videos):
    dataset = pairs(videos, frame_size=64)
    spec = dataset.element_spec
    assert spec["frames"].shape.as_list() == [2, 4, 64, 64, 3]
    assert spec["clip"].shape.as_list() == [2, 4, 32, 32, 3]
    assert spec["video"].shape.as_list() == [2]
    assert int(dataset.cardinality()) == 2 == len(list(dataset))
    wide = pairs(videos, video_config=VideoConfig(4, 2, (32, 48)), frame_size=64)
    assert wide.element_spec["frames"].shape.as_list() == [2, 4, 64, 96, 3]


def test_frames_and_clip_show_the_same_moment(videos):
    """The same frame numbers, read back from the pixels, of the video that `video` names."""
    got = collected(pairs(videos, flip=False, clips_per_video=3, batch_size=5))
    starts = set()
    for frames, clip, video in zip(got["frames"], got["clip"], got["video"], strict=True):
        seen = video_files.numbers(clip)
        assert video_files.numbers(frames) == seen
        assert seen == sampling.clip_at(seen[0], COUNTS[video], 4, 2).tolist()
        starts.add((int(video), seen[0]))
    assert sorted(got["video"]) == sorted(list(range(5)) * 3)
    assert len(starts) > 8  # of 15; the video of five frames has one


@pytest.mark.parametrize("backend", ["tf.data", "pydataset"])
def test_features_of_the_nearest_window_come_with_the_clip(videos, backend):
    """In the place of frames; of the video that the clip is of, of three windows of 8 frames."""
    config = VideoConfig(frames=4, stride=2, size=64, resize=64)
    features = np.float32([[[10 * video + window] for window in range(3)] for video in range(5)])
    dataset = pairs(
        videos,
        flip=False,
        clips_per_video=6,
        batch_size=5,
        answers=Answers(None, features, config),
        backend=backend,
    )
    numbers = set()
    for batch in dataset:
        assert batch.keys() == {"frame_features", "clip", "video"}
        for said, clip, video in zip(*(np.asarray(batch[name]) for name in batch), strict=True):
            last = max(COUNTS[video] - 7, 0)  # a window's last start
            middles = np.array([0, round(last / 2), last]) + 3
            middle = video_files.numbers(clip)[0] + 3
            nearest = np.flatnonzero(abs(middles - middle) == abs(middles - middle).min())
            assert said[0] in 10 * video + nearest
            numbers.add(float(said[0]))
    assert len(numbers) > 8  # of 13; the video of five frames has one window
    with pytest.raises(ValueError, match="must be of these 5 videos. Received: answers on 4"):
        pairs(videos, answers=Answers(None, features[:4], config))


@pytest.mark.parametrize("resize", [48, (48, 60)])
def test_same_crop_and_mirror_at_both_sizes(videos, resize):
    """Against crops cut by hand: the larger picture, made smaller, is the smaller one."""
    config = VideoConfig(frames=2, stride=1, size=32, resize=resize)
    got = collected(pairs(videos, video_config=config, clips_per_video=4, batch_size=20))
    halves = got["frames"].astype("float32").reshape(20, 2, 32, 2, 32, 2, 3).mean((3, 5))
    differences = np.abs(halves - got["clip"]).mean((1, 2, 3, 4))
    assert differences.max() < 6
    # It tells apart: mirrored pictures and those of other places are far off.
    for wrong in (halves[:, :, :, ::-1], np.roll(halves, 8, axis=3), np.roll(halves, 1, axis=0)):
        assert np.median(np.abs(wrong - got["clip"]).mean((1, 2, 3, 4))) > 12


def test_frames_a_second(folder):
    """25 frames a second at 5 frames a second: every fifth frame, whatever the stride says."""
    videos = [Video(str(folder / "0.mp4")), Video(str(folder / "2.mp4"))]
    config = CONFIG.replace(frames=3, fps=5)
    for training in (True, False):
        got = collected(pairs(videos, video_config=config, training=training, flip=False))
        for clip in got["clip"]:
            steps = np.diff(video_files.numbers(clip))
            assert (steps == 5).all()


@pytest.fixture(scope="module")
def gradients(tmp_path_factory):
    """Two videos of 96 x 96 pixels whose red is the pixel's column, and whose green its row."""
    path = tmp_path_factory.mktemp("gradients") / "0.mkv"
    picture = "nullsrc=size=96x96:rate=25,format=gbrp,geq=r=X:g=Y:b=0"
    video_files.ffmpeg("-f", "lavfi", "-i", picture, "-frames:v", 8, "-c:v", "ffv1", path)
    shutil.copy(path, path.with_name("1.mkv"))
    return [Video(str(path)), Video(str(path.with_name("1.mkv")))]


def crop_of(clip):
    """`(side, left, top)` of a clip of `gradients` in pixels of the video."""
    picture = clip.astype(float).mean(axis=0)[2:-2, 2:-2]  # at borders, filters see too little
    places = np.arange(2, 2 + len(picture)) + 0.5
    wide, left = np.polyfit(places, picture[..., 0].mean(axis=0) + 0.5, 1)
    high, top = np.polyfit(places, picture[..., 1].mean(axis=1) + 0.5, 1)
    assert wide == pytest.approx(high, abs=0.02 * high)
    return len(clip[0]) * wide, left, top


@pytest.mark.parametrize("multiscale", [False, True])
def test_multiscale_crops_are_of_five_sizes(gradients, multiscale):
    """Read from the pixels; the sizes are of Hara et al., relative to the short side of 96."""
    sizes = 96 * np.array([1, 0.841, 0.707, 0.595, 0.5]) if multiscale else np.array([48.0])
    options = {"flip": False, "clips_per_video": 32, "batch_size": 32, "frame_size": 64}
    config = VideoConfig(4, 2, 32, resize=64)
    got = collected(pairs(gradients, video_config=config, multiscale=multiscale, **options))
    found, places = set(), set()
    for clip, frames in zip(got["clip"], got["frames"], strict=True):
        side, left, top = crop_of(clip)
        size = int(np.abs(sizes - side).argmin())
        # Frames are resized, and cut, at whole pixels: 45 of 32 is nearly 1 of 0.707.
        assert side == pytest.approx(sizes[size], abs=1.5)
        assert crop_of(frames) == pytest.approx((side, left, top), abs=1.5)
        found.add(size)
        if size or not multiscale:  # there is room beside the crop
            shares = np.array([left, top]) / (96 - side)
            np.testing.assert_allclose(shares, np.round(2 * shares) / 2, atol=0.1)
            places.add(tuple(np.round(2 * shares) / 2))
    assert found == set(range(len(sizes)))
    assert places == {(0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5)}


def test_evaluation_is_in_no_folders_order_and_shows_several_clips(folder):
    videos = [Video(str(folder / "0.mp4"))] + [Video(str(folder / f"{k}.mp4")) for k in (2, 4)]
    got = collected(pairs(videos, training=False, clips_per_video=2, batch_size=6))
    firsts = {}
    for clip, video in zip(got["clip"], got["video"], strict=True):
        firsts.setdefault(int(video), set()).add(int(video_files.numbers(clip)[0]))
    assert all(len(places) == 2 for places in firsts.values()) and len(firsts) == 3
    many = [Video(str(folder / "0.mp4"), start=k / 25) for k in range(12)]
    many += [Video(str(folder / "2.mp4"), start=k / 25) for k in range(12)]
    order = collected(pairs(many, training=False, batch_size=24))["clip"]
    starts = [int(video_files.numbers(clip)[0]) for clip in order]
    assert starts != sorted(starts)


def test_crops_are_those_of_training(videos):
    """The student sees exactly what `training_geometry` draws for the sample."""
    config = VideoConfig(frames=2, stride=1, size=32, resize=40)
    got = collected(pairs(videos, video_config=config, seed=3))
    for place, video in enumerate(got["video"]):
        rng = generator(3, 0, 1 + place)
        indices = sampling.training_clip(COUNTS[video], 2, 1, rng)
        geometry = training_geometry((32, 32), 40, rng)
        with VideoReader(videos[video].path) as reader:
            np.testing.assert_array_equal(got["clip"][place], reader.read(indices, geometry))


def test_epochs_repeat(videos):
    dataset = pairs(videos)
    first, second = collected(dataset), collected(dataset)
    assert any((first[name] != second[name]).any() for name in first)
    again = pairs(videos, first_epoch=1, num_parallel_calls=1)
    assert_same(collected(again), second)
    again.set_epoch(0)
    assert_same(collected(again), first)


def test_evaluation_is_always_the_same(videos):
    dataset = pairs(videos, training=False, batch_size=3)
    first = collected(dataset)
    assert_same(collected(dataset), first)
    assert sorted(first["video"]) == [0, 1, 2, 3, 4]
    for clip, video in zip(first["clip"], first["video"], strict=True):
        wanted = sampling.uniform_clips(COUNTS[video], 4, 2, 1)[0].tolist()
        assert video_files.numbers(clip) == wanted


def test_a_last_clip_alone_is_left_out(videos):
    dataset = pairs(videos, training=False, batch_size=4)
    assert int(dataset.cardinality()) == 1 == len(list(dataset))


def test_no_batch_is_of_one_video(videos):
    dataset = pairs(videos[:2], clips_per_video=20)
    for _ in range(3):
        for batch in dataset:
            assert len(set(batch["video"].numpy())) == 2


def test_pieces_of_a_file_are_one_video(videos):
    path = videos[0].path
    pieces = [Video(path, None, 0.0, 1.0), Video(path, None, 1.0, 2.0), videos[1], videos[2]]
    for seed in range(5):
        for batch in pairs(pieces, seed=seed):
            assert len(set(batch["video"].numpy())) == 2


def test_packed_videos_give_the_same_pairs(folder, videos, tmp_path):
    """From shards, the pairs of the files, but for what JPEG loses."""
    pack(folder, tmp_path / "packed", short_side=96, labels=False)
    packed = open_unlabelled(tmp_path / "packed")
    assert [video.file for video in packed] == [video.path for video in open_unlabelled(folder)]
    with pytest.raises(VideoError, match="was packed without labels"):
        open_data(tmp_path / "packed")
    source = open_unlabelled(folder)
    options = {"seed": 2, "batch_size": 5, "video_config": CONFIG}
    got, wanted = collected(pairs(packed, **options)), collected(pairs(source, **options))
    np.testing.assert_array_equal(got["video"], wanted["video"])
    for name in ("frames", "clip"):
        assert np.abs(got[name].astype(int) - wanted[name]).mean() < 5


def test_every_frame_is_decoded_once(videos, monkeypatch):
    decoded, decode = [], video_file.VideoFile.decode

    def counted(self, wanted=None):
        for frame in decode(self, wanted):
            decoded.append(frame)
            yield frame

    monkeypatch.setattr(video_file.VideoFile, "decode", counted)
    geometries = [Geometry((32, 32), 36), Geometry((64, 64), 72, flip=True)]
    with VideoReader(videos[0].path) as reader:
        ((small, large),) = reader.views([range(4, 12, 2)], geometries)
        assert len(decoded) <= 12
        for pixels, geometry in zip((small, large), geometries, strict=True):
            np.testing.assert_array_equal(pixels, reader.read(range(4, 12, 2), geometry))


def test_parts_of_a_batch_make_the_batch(videos):
    options = {"batch_size": 4, "clips_per_video": 3, "seed": 1}
    whole = list(pairs(videos, **options).as_numpy_iterator())
    parts = [list(pairs(videos, share=(k, 2), **options).as_numpy_iterator()) for k in (0, 1)]
    assert len(whole) == len(parts[0]) == len(parts[1]) == 3
    for batch, *halves in zip(whole, *parts, strict=True):
        assert_same({name: np.concatenate([h[name] for h in halves]) for name in batch}, batch)
    rest = pairs(videos, first_batch=2, **options)
    assert rest.batches == 3 and int(rest.cardinality()) == 1
    assert_same(next(rest.as_numpy_iterator()), whole[2])


def test_a_bad_video_is_replaced_and_named(videos, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"")
    dataset = pairs([*videos, Video(str(tmp_path / "bad.mp4"))], batch_size=6, flip=False)
    got = collected(dataset)
    assert list(dataset.quarantine.reasons) == [str(tmp_path / "bad.mp4")]
    # The number is that of the video which came in its place.
    assert 5 not in got["video"] and len(got["video"]) == 6
    for clip, video in zip(got["clip"], got["video"], strict=True):
        seen = video_files.numbers(clip)
        assert seen == [(seen[0] + step) % COUNTS[video] for step in (0, 2, 4, 6)]


def test_the_replacement_is_of_another_video_than_its_partner(videos, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"")
    some = [videos[0], Video(str(tmp_path / "bad.mp4")), videos[1], videos[2]]
    for seed in range(6):
        for batch in pairs(some, seed=seed):
            assert len(set(batch["video"].numpy())) == 2


def test_two_bad_neighbours_are_replaced_by_two_videos(videos, tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.mp4").write_bytes(b"")
    bad = [Video(str(tmp_path / f"{name}.mp4")) for name in "ab"]
    for seed in range(6):
        for clips in (1, 2):
            dataset = pairs([*videos[:3], *bad], seed=seed, clips_per_video=clips)
            for batch in dataset:
                assert len(set(batch["video"].numpy())) == 2


def test_mostly_bad_videos_end_in_a_sentence(videos, tmp_path):
    bad = [Video(str(tmp_path / f"{k}.mp4")) for k in range(7)]
    with pytest.raises(Exception) as caught:
        list(pairs([*videos, *bad], batch_size=4))
    assert "videos cannot be used" in str(find_video_error(caught.value))


def test_a_real_video(shared):
    paths = sorted((shared / "clips").glob("*.avi"))[:2]
    dataset = pair_dataset([Video(str(path)) for path in paths], batch_size=2)
    batch = next(iter(dataset))
    frames, clip = batch["frames"].numpy(), batch["clip"].numpy()
    assert frames.shape == (2, 16, 224, 224, 3) and clip.shape == (2, 16, 112, 112, 3)
    halves = frames.astype("float32").reshape(2, 16, 112, 2, 112, 2, 3).mean((3, 5))
    assert np.abs(halves - clip).mean() < 8


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 1}, "`batch_size` must be at least 2"),
        ({"batch_size": 6}, "`batch_size` must not be above the number of clips"),
        ({"frame_size": 0}, "`frame_size` must be at least 1"),
        ({"clips_per_video": 0}, "`clips_per_video` must be at least 1"),
        ({"seed": -1}, "`seed` must be at least 0"),
        ({"share": (0, 3)}, "`share` must be"),
    ],
)
def test_bad_arguments_get_a_sentence(videos, options, words):
    with pytest.raises(ValueError, match=words):
        pairs(videos, **options)


def test_a_misspelt_option_is_said_of_what_was_called(videos):
    with pytest.raises(TypeError, match=r"^pair_dataset\(\) .* 'flips'"):
        pair_dataset(videos, flips=False)
    with pytest.raises(TypeError, match=r"^distillation_dataset\(\) .* 'flips'"):
        distillation_dataset(videos, VideoConfig(), VideoConfig(), flips=False)


def test_one_video_gets_a_sentence(videos):
    with pytest.raises(VideoError, match="at least two different videos"):
        pairs([videos[0], videos[0]])


# === Videos without labels ===


def test_any_folder_of_videos(folder):
    assert [v.path[-5:] for v in open_unlabelled(folder)] == [f"{k}.mp4" for k in (0, 2, 4, 1, 3)]
    assert all(video.label is None for video in open_unlabelled(folder))


def test_csv_without_labels(folder, tmp_path):
    rows = [f"{folder}/0.mp4,0.5", f"{folder}/2.mp4,"]
    (tmp_path / "v.csv").write_text("\n".join(["path,start", *rows]))
    got = open_unlabelled(tmp_path / "v.csv")
    assert [(v.path[-5:], v.label, v.start) for v in got] == [
        ("0.mp4", None, 0.5),
        ("2.mp4", None, None),
    ]


def test_folders_without_videos_get_a_sentence(tmp_path):
    with pytest.raises(VideoError, match="holds no videos"):
        open_unlabelled(tmp_path)
    with pytest.raises(VideoError, match="does not exist"):
        open_unlabelled(tmp_path / "nowhere")
