"""The decoders behind `open_video` agree on which frame is number i."""

import functools
import http.server
import sys
import threading

import numpy as np
import pytest
import video_files

from keras_stc.data import (
    Geometry,
    Video,
    VideoError,
    VideoFolder,
    VideoReader,
    clip_dataset,
    open_video,
    pack,
)
from keras_stc.data.video.frame_folder import FrameFolder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module")
def path(folder):
    (folder / "class").mkdir()
    return video_files.write_video(folder / "class" / "x.mp4", bf=2, g=12)


@pytest.fixture(scope="module")
def images(folder, path):
    """The video's frames, extracted by FFmpeg without loss; more than nine, so that names sort."""
    out = folder / "frames" / "class" / "x"
    out.mkdir(parents=True)
    video_files.ffmpeg("-i", path, "-sws_flags", "bilinear", out / "image_%d.png")
    (out / "n_frames").write_text("40")
    return out


@pytest.fixture(scope="module")
def address(folder, path):
    """The video's address on a server of this machine."""
    pytest.importorskip("aiohttp", reason="fsspec's http needs aiohttp")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    handler.log_message = lambda *a: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/class/x.mp4"
    server.shutdown()


@pytest.fixture(params=["images", "memory", "address", "packed"])
def source(request, path, folder, tmp_path):
    """What one video is called by each decoder, and how far from FFmpeg its levels may be."""
    if request.param == "memory":
        fsspec = pytest.importorskip("fsspec")
        fsspec.filesystem("memory").pipe("/decoders/x.mp4", path.read_bytes())
        return "memory://decoders/x.mp4", 0
    if request.param == "packed":
        (tmp_path / "list.csv").write_text(f"path,label\n{path},x\n")
        index = pack(tmp_path / "list.csv", tmp_path / "out", short_side=48, quality=98)
        assert len(index["videos"]) == 1
        return f"{tmp_path / 'out'}/videos-00000.tfrecord#0", 2.5
    return request.getfixturevalue(request.param), 0


def test_frames_are_ffmpegs(source, path):
    name, tolerance = source
    expected = video_files.ffmpeg_frames(path, 48, 64).astype(int)
    with open_video(name) as reader:
        info = reader.info
        assert (info.num_frames, info.height, info.width, info.fps) == (40, 48, 64, 25.0)
        frames = reader.read(range(40))
        assert video_files.numbers(frames) == list(range(40))
        assert np.abs(frames - expected).mean() <= tolerance
        np.testing.assert_array_equal(reader.read([31, 4, 4]), frames[[31, 4, 4]])
        geometry = Geometry((20, 24), 30, position="bottom_left", flip=True)
        with VideoReader(path) as video:
            expected = video.read([7, 9], geometry).astype(int)
        difference = np.abs(reader.read([7, 9], geometry) - expected)
        # Resized from RGB instead of from the video's own planes.
        assert difference.mean() < 3 + tolerance
        with pytest.raises(ValueError, match="`indices` must be frame numbers"):
            reader.read([40])


def test_folders_of_frames_are_videos_of_data(images, path):
    clips = clip_dataset([Video(str(images), 0), Video(str(path), 0)], 4, 3, 32, batch_size=2)
    x, _ = next(iter(clips))
    assert video_files.numbers(x.numpy()[0]) == video_files.numbers(x.numpy()[1])
    # As a folder of class folders, where a folder of images is a video.
    videos = VideoFolder(images.parents[1])
    assert [video.path for video in videos] == [str(images)] and videos.class_names == ("class",)


def test_folders_that_are_no_frames_are_refused(tmp_path):
    with pytest.raises(VideoError, match="is a folder without images"):
        open_video(tmp_path)
    (tmp_path / "1.jpg").write_bytes(b"no picture")
    with pytest.raises(VideoError, match="1.jpg"):
        FrameFolder(tmp_path)


def test_hidden_images_are_no_frames(images, tmp_path):
    for k in (1, 2):
        (tmp_path / f"{k}.png").write_bytes((images / f"image_{k}.png").read_bytes())
    (tmp_path / "._1.png").write_bytes(b"as a Mac leaves them beside every file")
    with open_video(tmp_path) as reader:
        assert reader.info.num_frames == 2


def test_one_image_that_is_damaged_costs_the_clip(images, tmp_path):
    for k in range(1, 5):
        (tmp_path / f"{k}.png").write_bytes((images / f"image_{k}.png").read_bytes())
    (tmp_path / "3.png").write_bytes(b"")
    with open_video(tmp_path) as reader:
        assert reader.read([0, 1, 3]).shape == (3, 48, 64, 3)
        with pytest.raises(VideoError, match="3.png is empty"):
            reader.read([2])


def test_decoders_have_names(path, monkeypatch):
    with pytest.raises(ValueError, match="`decoder` must be one of"):
        open_video(path, decoder="opencv")
    monkeypatch.setitem(sys.modules, "tensorflow_io", None)
    with pytest.raises(ImportError, match="pip install 'keras-stc.tfio.' 'tensorflow==2.16.2'"):
        open_video(path, decoder="tfio")
