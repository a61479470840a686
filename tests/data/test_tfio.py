"""Runs where tensorflow-io does: .ci/tfio makes an environment for it."""

import numpy as np
import pytest
import video_files

from keras_stc.data import Geometry, Video, VideoError, VideoReader, clip_dataset, open_video
from keras_stc.video_config import VideoConfig

pytestmark = pytest.mark.tfio

#: Mean difference in levels between two versions of FFmpeg; they round the conversion to RGB and
#: MPEG-4's transform in different ways.
TOLERANCE = 1.5


@pytest.fixture(scope="module", autouse=True)
def tfio(tmp_path_factory):
    pytest.importorskip("tensorflow_io")
    path = video_files.write_video(tmp_path_factory.mktemp("tfio") / "x.mp4", count=2)
    try:
        with open_video(path, decoder="tfio") as reader:
            reader.read([0])
    except ImportError as error:
        pytest.skip(str(error))


FILES = {
    "constant.mp4": {},
    "b_frames.mp4": {"bf": 3, "g": 12, "count": 60},
    "xvid.avi": {"codec": "mpeg4", "bf": 2, "g": 12, "b": 10**6},
    "vp9.webm": {"codec": "libvpx-vp9", "g": 20, "cpu_used": 8},
    "odd.mkv": {"codec": "ffv1", "size": (47, 65)},
    "variable.mkv": {"times": [0, 40, 80, 400, 440, 480, 900]},
}


@pytest.mark.parametrize("name", FILES)
def test_frames_are_those_of_pyav_and_of_ffmpeg(tmp_path, name):
    path = video_files.write_video(tmp_path / name, **FILES[name])
    with VideoReader(path) as one, open_video(path, decoder="tfio") as other:
        assert one.info == other.info
        every = range(one.info.num_frames)
        frames, expected = other.read(every), one.read(every)
        assert video_files.numbers(frames) == video_files.numbers(expected)
        assert np.abs(frames.astype(int) - expected).mean() < TOLERANCE
        if "times" not in FILES[name]:
            ffmpeg = video_files.ffmpeg_frames(path, *frames.shape[1:3])
            assert np.abs(frames.astype(int) - ffmpeg).mean() < TOLERANCE
        geometry = Geometry((24, 24), 30, position="top_right", flip=True)
        small = [reader.read([1, 5], geometry).astype(int) for reader in (one, other)]
        assert np.abs(small[0] - small[1]).mean() < 2 * TOLERANCE


@pytest.mark.parametrize("flip", [(), ("-display_hflip",)], ids=["rotated", "mirrored"])
def test_rotated_frames_stand_upright(tmp_path, flip):
    source = video_files.write_video(tmp_path / "x.mp4", count=12)
    path = tmp_path / "turned.mp4"
    video_files.ffmpeg("-display_rotation", 90, *flip, "-i", source, "-c", "copy", path)
    ffmpeg = video_files.ffmpeg_frames(path, 64, 48)
    with VideoReader(path) as one, open_video(path, decoder="tfio") as other:
        frames = other.read(range(12))
        assert frames.shape == ffmpeg.shape
        assert np.abs(frames.astype(int) - ffmpeg).mean() < TOLERANCE
        # Another size on each side, of which the crop has a corner.
        geometry = Geometry((40, 20), 32, position="top_right")
        small = [reader.read([1, 5], geometry).astype(int) for reader in (one, other)]
        assert np.abs(small[0] - small[1]).mean() < 2 * TOLERANCE


def test_clip_dataset_takes_the_decoder(tmp_path):
    path = video_files.write_video(tmp_path / "x.mp4")
    config = VideoConfig(frames=4, stride=3, size=32)
    clips = [
        next(iter(clip_dataset([Video(str(path), None)], video_config=config, decoder=decoder)))[0]
        for decoder in ("pyav", "tfio")
    ]
    assert np.abs(clips[0].numpy().astype(int) - clips[1].numpy()).mean() < 2 * TOLERANCE


def test_what_it_cannot_decode_is_refused_by_name(tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"no video")
    with pytest.raises(VideoError, match="x.mp4 is not a video"):
        open_video(tmp_path / "x.mp4", decoder="tfio")


@pytest.mark.shared
def test_real_clips(shared):
    paths = sorted((shared / "clips").glob("v_*.avi")) + sorted((shared / "clips").glob("a*.mp4"))
    assert len(paths) > 3
    for path in paths[::3]:
        with VideoReader(path) as one, open_video(path, decoder="tfio") as other:
            some = np.random.default_rng(0).integers(one.info.num_frames, size=8)
            difference = np.abs(one.read(some).astype(int) - other.read(some))
            assert difference.mean() < TOLERANCE, path
