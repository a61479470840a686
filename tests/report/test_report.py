"""The HTML report: one file, well-formed, escaped, with the figures it was given."""

import io
import sys

import av
import numpy as np
import pages
import pytest

import keras_stc
from keras_stc.cli import main
from keras_stc.data import Video
from keras_stc.report import prediction_report, wilson_interval, write_report
from keras_stc.report.charts import line_chart, nice_ticks
from keras_stc.report.evaluation import confused_pairs, evaluation_view, worst_mistakes
from keras_stc.report.facts import duration, facts
from keras_stc.report.pictures import jpeg, png, read_strip

HOSTILE = '<b onload="x">up</b>'
NAMES = ("left & right", HOSTILE)
HISTORY = [
    {"epoch": 1, "accuracy": 0.5, "loss": 2.0},
    {"epoch": 2, "accuracy": 1.0, "val_accuracy": 0.75, "loss": 1.0},
]


def evaluation_of(labels, probabilities, names=NAMES, paths=None, **more):
    labels, probabilities = np.array(labels), np.array(probabilities)
    paths = paths or tuple(f"{i}.mp4" for i in range(len(labels)))
    more.setdefault("failures", {})
    return keras_stc.Evaluation(
        names, labels, probabilities, 0.5, 6, {"frames": 8}, tuple(paths), **more
    )


def small_evaluation(**more):
    return evaluation_of([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], **more)


def large_evaluation(classes=400, videos=900):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes - 1, videos)  # the last class has no video
    probabilities = rng.dirichlet(np.full(classes, 0.05), videos)
    probabilities[np.arange(videos), labels] += 0.3
    names = tuple(f"class number {i} of a long name" for i in range(classes))
    return evaluation_of(labels, probabilities / probabilities.sum(1, keepdims=True), names)


def decoded(data, form, pixels="rgb24"):
    with av.open(io.BytesIO(data), format=form) as container:
        return next(container.decode(video=0)).to_ndarray(format=pixels)


@pytest.mark.parametrize("channels", [3, 4])
def test_png_holds_the_frame(channels):
    frame = np.random.default_rng(0).integers(0, 256, (6, 9, channels), dtype="uint8")
    found = decoded(png(frame), "png_pipe", {3: "rgb24", 4: "rgba"}[channels])
    np.testing.assert_array_equal(found, frame)


def test_jpeg_shows_the_frame():
    y, x = np.mgrid[0:33, 0:47]
    frame = np.stack([5 * x, 255 - 7 * y, 100 + x + y], axis=-1).astype("uint8")
    difference = decoded(jpeg(frame), "jpeg_pipe").astype(int) - frame
    assert np.abs(difference).mean() < 3 and len(jpeg(frame)) < 3000


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson_interval(right, total, low, high):
    assert wilson_interval(right, total) == pytest.approx((low, high), abs=5e-5)
    mirrored = wilson_interval(total - right, total)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_wilson_interval_says_what_is_wrong():
    with pytest.raises(ValueError, match="`right`"):
        wilson_interval(3, 2)
    with pytest.raises(ValueError, match="`confidence`"):
        wilson_interval(1, 2, 95)


def test_page(tmp_path):
    prediction = keras_stc.VideoPrediction(
        "a.mp4", NAMES, np.array([[0.9, 0.1]]), np.array([[0.0, 1.0]])
    )
    frames = np.zeros((2, 8, 8, 3), "uint8")
    evaluation = small_evaluation(failures={f"{HOSTILE}.mp4": "is <i>empty</i>"})
    path = write_report(
        tmp_path / "r.html",
        HOSTILE,
        "subtitle",
        evaluation=evaluation,
        history=HISTORY,
        samples=[(prediction, NAMES[0], frames)],
        quarantine={"bad.mp4": "bad.mp4 is truncated"},
        facts=facts("keras-stc train '<x>'", 185, recipe=None),
    )
    text, tags = pages.read_page(path.read_text())
    assert "66.7% of videos are right" in text and "95% interval 20.8% – 93.9%" in text
    assert f"0% (0 of 1) {HOSTILE}" not in text and f"{HOSTILE} 50% (1 of 2)" in text
    assert "is <i>empty</i>" in text and "bad.mp4 is truncated" in text
    assert f"{HOSTILE} (40%), taken for left & right (60%)" in text
    assert "2.mp4 does not exist" in text  # no frames of a video that is gone, and why
    assert "keras-stc train '<x>'" in text and "3 min 05 s" in text and "recipe" not in text
    assert "Accuracy" in text and "Loss" in text and "Learning rate" not in text
    assert HOSTILE not in path.read_text() and len(tags.pictures) == 2


def test_page_without_anything(tmp_path):
    text, _ = pages.read_page(write_report(tmp_path / "r.html", "Nothing").read_text())
    assert text.startswith("Nothing")


def test_names_that_are_no_text(tmp_path):
    evaluation = small_evaluation(paths=("a", "b", "bad\udcff.mp4"))
    page = write_report(tmp_path / "r.html", "T", evaluation=evaluation).read_text("utf-8")
    assert "bad?.mp4" in page


def test_several_evaluations_each_have_a_place(tmp_path):
    splits = {"split 1": small_evaluation(), "split 2": small_evaluation()}
    path = write_report(tmp_path / "r.html", "Splits", evaluation=splits, figures={"mean": "5%"})
    text, _ = pages.read_page(path.read_text())
    assert text.count("of videos are right") == 2 and text.index("5% mean") < text.index("split 1")


def test_matrix_of_many_classes_is_a_picture_and_a_list():
    evaluation = large_evaluation()
    view = evaluation_view(evaluation)
    assert not view["rows"] and view["picture"].startswith("data:image/png")
    # Against a count by hand.
    said = evaluation.probabilities.argmax(axis=1)
    counts = {}
    for label, other in zip(evaluation.labels.tolist(), said.tolist(), strict=True):
        if label != other:
            counts[label, other] = counts.get((label, other), 0) + 1
    names = evaluation.class_names
    best = view["pairs"][0]
    assert best["count"] == max(counts.values())
    assert counts[names.index(best["label"]), names.index(best["said"])] == best["count"]
    assert [pair["count"] for pair in view["pairs"]] == sorted(counts.values())[::-1][:12]
    assert view["classes"][-1]["name"] == names[-1] and not view["classes"][-1]["total"]


def test_confused_pairs():
    confusion = np.array([[8, 2, 0], [0, 3, 2], [0, 0, 0]])
    pairs = confused_pairs("abc", confusion)
    assert [(p["label"], p["said"], p["count"]) for p in pairs] == [("b", "c", 2), ("a", "b", 2)]
    assert [p["share"] for p in pairs] == [0.4, 0.2]


def test_worst_mistakes_are_the_surest_first():
    rows = [[0.6, 0.4], [0.9, 0.1], [0.1, 0.9], [0.7, 0.3]]
    assert worst_mistakes(evaluation_of([1, 1, 1, 1], rows), 2) == [1, 3]
    assert worst_mistakes(evaluation_of([0, 0, 1, 0], rows), 5) == []


def test_worst_mistakes_show_their_piece_of_a_video(small_run):
    """Of a video that is a piece of a file, frames of the piece alone."""
    path = str(next((small_run.videos / "test").rglob("*.mp4")))
    piece = read_strip(Video(path, start=0.5), count=2, short_side=48)
    whole = read_strip(path, count=2, short_side=48)
    assert piece.shape == whole.shape == (2, 48, 48, 3)
    assert (piece[1] == whole[1]).all() and (piece[0] != whole[0]).any()
    evaluation = small_evaluation(videos=(Video(path), Video(path), Video(path, start=0.5)))
    (mistake,) = evaluation_view(evaluation, worst=3)["mistakes"]
    assert mistake["name"].endswith("#t=0.5,") and len(mistake["frames"]) == 8


def test_line_chart_places_points():
    chart = line_chart({"a": [(1, 0.0), (2, 1.0), (3, float("nan"))]}, "n", "x", shares=True)
    assert 'points="58.0,186.0 408.0,12.0"' in chart and "a, x 2: 100.0%" in chart
    assert line_chart({"a": [(1, float("nan"))]}, "n", "x") == ""
    pages.read_page(line_chart({HOSTILE: [(1, 5)]}, HOSTILE, HOSTILE, markers=[(1, HOSTILE)]))


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.3, 3.9, [0, 1, 2, 3, 4]),
        (2.0, 2.0, [1, 1.5, 2, 2.5, 3]),
        (0, 0.1, [0, 0.025, 0.05, 0.075, 0.1]),
    ],
)
def test_ticks(low, high, ticks):
    assert nice_ticks(low, high) == pytest.approx(ticks)


def test_durations():
    shown = [duration(seconds) for seconds in (3.4, 185, 7800)]
    assert shown == ["3 s", "3 min 05 s", "2 h 10 min"]


def test_prediction_report(small_run, tmp_path):
    files = sorted((small_run.videos / "test").rglob("*.mp4"))[:2]
    model = keras_stc.load_model(small_run.folder)
    predictions = list(keras_stc.predict_videos(model, files))
    path = prediction_report(tmp_path / "p.html", predictions, failures={HOSTILE: "is empty"})
    text, tags = pages.read_page(path.read_text())
    for prediction in predictions:
        assert prediction.path in text and f"{prediction.top(1)[0][1]:.1%}" in text
    assert len(tags.pictures) == 16 and "Over time" in text and f"{HOSTILE} : is empty" in text


def test_notebooks_show_results():
    prediction = keras_stc.VideoPrediction(
        HOSTILE, NAMES, np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[0.0, 1.0], [1.0, 2.0]])
    )
    text, tags = pages.read_page(prediction._repr_html_())
    assert "left & right 55.0%" in text and "1.0 s 2.0 s" in text and not tags.pictures
    text, _ = pages.read_page(small_evaluation()._repr_html_())
    assert "66.7%" in text and HOSTILE in text
    assert HOSTILE not in prediction._repr_html_() + small_evaluation()._repr_html_()


def test_evaluate_writes_a_page(small_run, tmp_path, capsys):
    out = tmp_path / "page.html"
    line = ["evaluate", small_run.folder, small_run.videos, "--report", out]
    assert main([str(part) for part in line]) == 0
    assert f"Report: {out}" in capsys.readouterr().out
    text, _ = pages.read_page(out.read_text())
    assert "4 videos" in text or "videos 4" in text
    assert "keras-stc evaluate" in text and "stc_resnet18" in text
    line[-1] = tmp_path / "none" / "page.html"
    assert main([str(part) for part in line]) == 1
    assert "make it first" in capsys.readouterr().err


@pytest.mark.browser
@pytest.mark.parametrize("evaluation", [small_evaluation(), large_evaluation()])
def test_pages_fit_a_phone_and_a_desk(tmp_path, evaluation):
    history = [{"epoch": i, "loss": 1 / i, "accuracy": 1 - 1 / i} for i in range(1, 100)]
    command = "keras-stc train " + "x" * 500
    page = write_report(
        tmp_path / "r.html", "T", evaluation=evaluation, history=history, facts=facts(command, 9)
    )
    assert pages.overflow(page.read_text(), tmp_path) == [0, 0]


@pytest.mark.browser
def test_a_wide_page_is_seen(tmp_path):
    page = "<body style='margin: 0'><div style='width: 500px; height: 5px'></div>"
    assert pages.overflow(page, tmp_path) == [140, 0]


def test_what_was_measured_does_not_depend_on_the_page(tmp_path, monkeypatch, capsys):
    """Where a page cannot be written, or nothing can write it, that is said and no more."""
    from keras_stc.cli.console import written_report
    from keras_stc.report import render

    assert written_report(tmp_path / "none" / "r.html", "T") is None
    assert "No such file or directory" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "jinja2", None)
    render.environment.cache_clear()
    assert written_report(tmp_path / "r.html", "T") is None
    assert "pip install jinja2" in capsys.readouterr().err
    render.environment.cache_clear()
