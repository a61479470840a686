"""Streams to labels, against the same windows read by frame number; and a real stream."""

import json
import socket
import subprocess
import time

import imageio_ffmpeg
import numpy as np
import pytest
import video_files

import keras_stc
from keras_stc.cli import main
from keras_stc.data import Geometry, VideoError, VideoReader
from keras_stc.predict import classify, feed, predict_stream, stream
from keras_stc.video_config import VideoConfig


@pytest.fixture(scope="module")
def model(small_run):
    return keras_stc.load_model(small_run.folder)


@pytest.fixture(scope="module")
def video(small_run):
    return str(next((small_run.videos / "test").rglob("*.mp4")))


def test_windows_are_the_newest_frames(model, video):
    """Each answer is the network's on the clip that ends at its time; then the smoothing."""
    config = model.video_config
    answers = list(predict_stream(model, video, smoothing=0.5, every=1e-3, live=False))
    with VideoReader(video) as reader:
        fps, count = reader.info.fps, reader.info.num_frames
        geometry = Geometry(crop=config.crop, short_side=config.resize)
        frames = reader.read(range(count), geometry)
    touched = (config.frames - 1) * config.stride
    assert len(answers) == count - touched
    smoothed = None
    for k, answer in enumerate(answers):
        clip = frames[k : k + touched + 1 : config.stride]
        wanted = classify(model, clip[None])[0]
        np.testing.assert_allclose(answer.window_probabilities, wanted, atol=1e-4)
        assert answer.time == pytest.approx((k + touched) / fps, abs=1e-3)
        own = answer.window_probabilities
        kept = np.exp(-1 / fps / 0.5)
        smoothed = own if smoothed is None else kept * smoothed + (1 - kept) * own
        np.testing.assert_allclose(answer.probabilities, smoothed, atol=1e-4)
    assert answers[-1].window == pytest.approx(config.frames * config.stride / fps)


@pytest.mark.parametrize(
    ("changed", "stored"),
    [
        ((), lambda clip: clip),
        (("-itsoffset", "5"), lambda clip: clip),
        (("-display_rotation", "90"), lambda clip: np.rot90(clip, -1, (1, 2))),
        (
            ("-display_rotation", "90", "-display_hflip"),
            lambda clip: np.rot90(clip[:, :, ::-1], -1, (1, 2)),
        ),
    ],
    ids=["upright", "late", "rotated", "mirrored"],
)
def test_windows_are_the_readers_pixels(tmp_path, changed, stored):
    """Upright, resized and cut; the frame numbers are read after turning pictures back by hand."""
    source = video_files.write_video(tmp_path / "x.mp4", count=20)
    path = tmp_path / "changed.mp4"
    video_files.ffmpeg(*changed, "-i", source, "-c", "copy", path)
    size = (32, 24) if "-display_rotation" in changed else (24, 32)  # half of what is shown
    whole = VideoConfig(frames=4, stride=3, size=size, resize=24)
    cut = VideoConfig(frames=4, stride=3, size=(20, 16), resize=26)
    for config in (whole, cut):
        windows = list(feed.Feed(path, config, live=False).each(1e-3))
        assert len(windows) == 11  # the first one ends at frame 9
        with VideoReader(path) as reader:
            frames = reader.read(range(20), Geometry(config.crop, config.resize)).astype(int)
        for k, (clip, at, _) in enumerate(windows):
            # One level of rounding; a neighbouring frame, or BGR, is 5 off in the mean at least.
            assert np.abs(clip - frames[k : k + 10 : 3]).max() <= 1
            assert at == pytest.approx((k + 9) / 25)
            if config is whole:
                assert video_files.numbers(stored(clip)) == [k, k + 3, k + 6, k + 9]


def test_what_is_no_video_is_none_here_either(tmp_path, model):
    """FFmpeg shows text as on a terminal; and a song's cover is a picture."""
    notes = tmp_path / "notes.txt"
    notes.write_text("wave\n" * 200)
    song, cover = video_files.write_sound(tmp_path / "x.wav"), tmp_path / "cover.png"
    video_files.ffmpeg("-f", "lavfi", "-i", "color=red:size=64x64", "-frames:v", "1", cover)
    covered = tmp_path / "song.m4a"
    how = ("-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v:0", "attached_pic")
    video_files.ffmpeg("-i", song, "-i", cover, *how, covered)
    for path, words in ((notes, "is a text file"), (covered, "has no video stream")):
        with pytest.raises(VideoError, match=words):
            VideoReader(path)
        with pytest.raises(VideoError, match=words):
            next(predict_stream(model, path, live=False))


def test_without_smoothing_each_window_speaks_for_itself(model, video):
    answers = list(predict_stream(model, video, smoothing=0, live=False))
    for answer in answers:
        np.testing.assert_array_equal(answer.probabilities, answer.window_probabilities)
    times = [answer.time for answer in answers]
    assert min(np.diff(times)) >= answers[0].window / 2 - 1e-3  # half a window apart


def test_the_first_answer_waits_for_no_folding(model, video, monkeypatch):
    asked, fold = [], stream.for_inference
    monkeypatch.setattr(stream, "for_inference", lambda model: asked.append(1) or fold(model))
    answers = predict_stream(model, video, every=1e-3, smoothing=0, live=False)
    first = next(answers)
    assert not asked
    again = list(predict_stream(model, video, every=1e-3, smoothing=0, live=False))
    assert asked == [1]
    np.testing.assert_array_equal(again[0].probabilities, first.probabilities)
    monkeypatch.setattr(stream, "for_inference", lambda model: model)
    whole = predict_stream(model, video, every=1e-3, smoothing=0, live=False)
    for folded, unfolded in zip(again, whole, strict=True):
        np.testing.assert_allclose(folded.probabilities, unfolded.probabilities, atol=1e-5)


def test_live_a_file_takes_its_time(model, video):
    begun = time.monotonic()
    answers = list(predict_stream(model, video))
    took = time.monotonic() - begun
    times = [answer.time for answer in answers]
    assert times == sorted(times) and took > times[-1]
    assert answers[-1].rate > 0 and all(0 <= answer.delay < took for answer in answers)
    assert answers[-1].top(1)[0][0] in model.video_config.class_names


def test_every_is_kept_live(model, video):
    times = [answer.time for answer in predict_stream(model, video, every=0.3)]
    assert len(times) > 1 and min(np.diff(times)) >= 0.3 - 1e-3


def test_seldom_is_no_silence(model, video, monkeypatch):
    """A camera is given up when no picture comes, and not when no answer is due."""
    monkeypatch.setattr(feed, "TIMEOUT", 0.3)
    source = feed.Feed(video, model.video_config, live=True)
    frames = list(source.each(1000))[0][0]
    source = feed.Feed(video, model.video_config, live=True)
    source._is_file = False

    def paced(last):
        for number in range(1, last):
            time.sleep(0.05)
            yield 0.1 * number, time.monotonic(), frames[0]
        time.sleep(0 if last > 20 else 3)

    every = source.window + 2
    source._decoded = lambda: paced(last=10 * int(every + 2))
    times = [window[1] for window in source.newest(every)]
    assert len(times) == 2 and times[1] - times[0] >= every - 1e-3
    source = feed.Feed(video, model.video_config, live=True)
    source._is_file, source._decoded = False, lambda: paced(last=3)
    monkeypatch.setattr(feed, "TIMEOUT", -source.window + 0.3)
    with pytest.raises(VideoError, match="sends no pictures"):
        list(source.newest(None))
    source.close()


@pytest.mark.parametrize("live", [True, False])
def test_short_sources_loop(model, video, tmp_path, live):
    short = tmp_path / "short.mp4"
    cut = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", video, "-frames:v", "3", short]
    subprocess.run(cut, check=True)
    (answer,) = predict_stream(model, short, live=live)
    assert answer.probabilities.sum() == pytest.approx(1, abs=1e-4)


def test_a_stream_from_the_network(model, video):
    """FFmpeg serves the video at its own speed, over and over, and whoever looks stops first."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    serve = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-re", "-stream_loop", "-1"]
    serve += ["-i", video, "-c:v", "libx264", "-g", "8", "-tune", "zerolatency"]
    with subprocess.Popen([*serve, "-f", "mpegts", f"{address}?listen=1"]) as server:
        try:
            for _ in range(100):  # until the server listens
                try:
                    answers = predict_stream(model, address)
                    found = [next(answers) for _ in range(6)]
                    break
                except VideoError:
                    time.sleep(0.1)
            answers.close()
        finally:
            server.kill()
    times = [answer.time for answer in found]
    assert times == sorted(set(times)) and found[-1].rate > 0


def test_what_is_wrong_is_said(model, video, tmp_path, capsys, small_run):
    with pytest.raises(ValueError, match="`smoothing`"):
        next(predict_stream(model, video, smoothing=-1))
    with pytest.raises(ValueError, match="`every`"):
        next(predict_stream(model, video, every=0))
    usual = model.video_config
    model.video_config = usual.replace(segments=True)
    with pytest.raises(ValueError, match="clips of a moment .* Received: segments=True"):
        next(predict_stream(model, video))
    model.video_config = usual
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n")
    for source, words in (
        (str(tmp_path / "none.mp4"), "does not exist"),
        (str(tmp_path / "list.m3u8"), "list.m3u8"),
        ("97", "Camera 97 cannot be opened"),
        ("rtsp://127.0.0.1:9/x", "cannot be opened"),
    ):
        assert main(["watch", source, "--model", str(small_run.folder)]) == 1
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1, error


def test_watch(small_run, video, capsys):
    line = ["watch", video, "--model", str(small_run.folder), "--all-frames", "--every", "0.1"]
    assert main([*line, "--json", "--top", "1"]) == 0
    rows = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
    assert len(rows) > 2 and all(len(row["top"]) == 1 for row in rows)
    assert main([*line, "--seconds", "0.5"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert 0 < len(shown) < len(rows) and "answers/s" in shown[-1]
