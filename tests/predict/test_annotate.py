"""Videos with what was seen in them: the frames as they were, the panel below."""

import builtins
import pathlib

import av
import numpy as np
import pages
import pytest

import keras_stc
from keras_stc.cli import main, predict
from keras_stc.data import Video, VideoReader
from keras_stc.predict.annotate import COLOURS

NAMES = ("a very long name of a class that fits on no line at all\n<b>", "other")


@pytest.fixture(scope="module")
def path(small_run):
    return str(next((small_run.videos / "test").rglob("*.mp4")))


def prediction_of(path, probabilities, **more):
    ends = np.linspace(0, 1, len(probabilities) + 1) * 0.96
    times = np.stack([ends[:-1], ends[1:]], axis=1)
    return keras_stc.VideoPrediction(path, NAMES, np.array(probabilities), times, **more)


def frames_of(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream.average_rate, [f.to_ndarray(format="rgb24") for f in container.decode(stream)]


def test_frames_stay_and_the_panel_tells(path, tmp_path):
    out = keras_stc.annotate_video(
        prediction_of(path, [[0.9, 0.1], [0.2, 0.8]]), tmp_path / "out.mp4"
    )
    with VideoReader(path) as reader:
        info, source = reader.info, reader.read(range(reader.info.num_frames))
    rate, frames = frames_of(out)
    assert float(rate) == pytest.approx(info.fps) and len(frames) == info.num_frames
    height, width = source.shape[1:3]
    left = (frames[0].shape[1] - width) // 2
    assert frames[0].shape[0] > height and frames[0].shape[1] == 320
    for mine, its in zip(frames, source, strict=True):
        difference = mine[:height, left : left + width].astype(int) - its
        assert np.abs(difference).mean() < 6
    # The first row's bar is as wide as its class is probable, in the colour of what wins.
    for frame, share, colour in ((frames[2], 0.9, COLOURS[0]), (frames[-3], 0.8, COLOURS[1])):
        row = frame[height + 10].astype(int)
        lit = np.abs(row - np.array(colour) // 3).sum(axis=1) < 60
        assert lit[: int(320 * share) - 6].mean() > 0.5 and lit[int(320 * share) + 6 :].mean() < 0.1
    # The mark in the bar over time moves from left to right.
    marks = [frame[-14:-8].min(axis=(0, 2)).argmax() for frame in (frames[0], frames[-1])]
    assert marks[0] < 20 and marks[1] > 300


def test_a_piece_of_a_video(path, tmp_path):
    piece = prediction_of(path, [[0.9, 0.1]], video=Video(path, start=0.4))
    _, frames = frames_of(keras_stc.annotate_video(piece, tmp_path / "out.mkv"))
    with VideoReader(path) as reader:
        assert len(frames) == reader.info.num_frames - round(0.4 * reader.info.fps)


def test_what_is_wrong_is_said(path, tmp_path, monkeypatch):
    prediction = prediction_of(path, [[0.9, 0.1]])
    with pytest.raises(ValueError, match=r"The ending of out\.txt is none of a video"):
        keras_stc.annotate_video(prediction, tmp_path / "out.txt")
    with pytest.raises(ValueError, match="`font` must be a TrueType font"):
        keras_stc.annotate_video(prediction, tmp_path / "out.mp4", font=path)
    real = builtins.__import__

    def without_pillow(name, *more):
        if name.startswith("PIL"):
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without_pillow)
    with pytest.raises(ImportError, match="pip install"):
        keras_stc.annotate_video(prediction, tmp_path / "out.mp4")
    assert not list(tmp_path.iterdir())


def test_predict_writes_videos_and_a_page(small_run, tmp_path, capsys):
    files = [str(path) for path in sorted((small_run.videos / "test").rglob("*.mp4"))]
    line = ["predict", *files, "--model", str(small_run.folder)]
    (tmp_path / "bad.mp4").write_bytes(b"")
    more = ["--video", str(tmp_path / "seen"), "--report", str(tmp_path / "page.html")]
    assert main([line[0], str(tmp_path / "bad.mp4"), *line[1:], *more]) == 1
    out = capsys.readouterr().out
    # Files of one name do not write over one another.
    written = sorted(path.name for path in (tmp_path / "seen").iterdir())
    assert written == ["000-2.mp4", "000.mp4", "001-2.mp4", "001.mp4"]
    assert out.count("Video: ") == 4 and "Report: " in out
    text, _ = pages.read_page((tmp_path / "page.html").read_text())
    assert "What 4 videos show" in text and "bad.mp4 is empty" in text
    for more, words in (
        (["--video", str(tmp_path / "one.mp4")], "must be a folder"),
        (["--report", str(tmp_path / "none" / "x.html")], "make it first"),
    ):
        assert main([*line, *more]) == 1
        assert words in capsys.readouterr().err
    one = ["predict", files[0], "--model", str(small_run.folder), "--video"]
    wrong = ((files[0], "would replace one of the videos"), (str(tmp_path / "x"), "must end"))
    for name, words in wrong:
        assert main([*one, name]) == 1
        assert words in capsys.readouterr().err


def test_no_video_gives_way_to_that_of_another(tmp_path):
    files = [str(tmp_path / name) for name in ("a.avi", "a.mp4")]
    for file in files:
        pathlib.Path(file).touch()
    with pytest.raises(ValueError, match=r"a.mp4 would replace one of the videos"):
        predict._annotated_paths(tmp_path, files)
