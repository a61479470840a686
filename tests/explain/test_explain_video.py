"""A video explained: the page, the command, and that the map depends on what was learned."""

import dataclasses
import json
import pathlib

import numpy as np
import pages
import pytest
import transfer_parts

import keras_stc
from keras_stc.cli import main
from keras_stc.demo.motion import write_motion_videos
from keras_stc.explain.view import explanation_view, heated, write_views


@pytest.fixture(scope="module")
def explained(small_run):
    model = keras_stc.load_model(small_run.folder)
    video = next((small_run.videos / "test").rglob("*.mp4"))
    videos = keras_stc.data.VideoFolder(small_run.videos / "test")
    compared = keras_stc.explain.class_gates(model, videos)
    return keras_stc.explain_video(model, video, max_clips=2, compare_with=compared)


def test_explanation(explained):
    assert explained.maps.shape == explained.clips.shape[:4] == (2, 4, 32, 32)
    assert explained.maps.max() == pytest.approx(1) and explained.maps.min() >= 0
    assert explained.label == next(iter(explained.probabilities))
    assert len(explained.gates) == 8 and len(explained.gate_times) == 16
    assert (np.diff(explained.gate_times) >= 0).all()
    # Adebayo et al.: a shuffled network's map is another one.
    assert set(explained.checks) == {"classifier", "whole network"}
    assert abs(explained.checks["whole network"]) < 0.8


def test_a_page_without_gates_of_the_video(explained, tmp_path):
    views = [
        explanation_view(dataclasses.replace(explained, gates={})),
        explanation_view(explained),
    ]
    without, whole = (write_views(tmp_path / "e.html", [v], {}).read_text() for v in views)
    assert "Why" in without and len(without) < len(whole)


def test_explanation_page(explained, tmp_path):
    path = write_views(tmp_path / "e.html", [explanation_view(explained)], {"network": "<b>x</b>"})
    text, tags = pages.read_page(path.read_text())
    assert f"Why {explained.label}?" in text and "shuffled: whole network" in text
    assert "layer4_block2_stc" in text and "By class" in text and "this video" in text
    assert len(tags.pictures) > 2 * 8 and "<b>x</b>" in text
    assert pages.read_page(explained._repr_html_())[0].count("Where it looks") == 1


@pytest.mark.browser
def test_explanation_fits_a_phone(explained, tmp_path):
    page = write_views(tmp_path / "e.html", [explanation_view(explained)]).read_text()
    assert pages.overflow(page, tmp_path) == [0, 0]


def test_heat_is_red_where_the_map_is_one():
    frame = np.full((1, 2, 3), 100, "uint8")
    cold, hot = heated(frame, np.array([[0.0, 1.0]]))[0]
    assert cold.tolist() == [100, 100, 100] and hot[0] > 180 and hot[1:].max() < 60


def test_explain_command(small_run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    video = next((small_run.videos / "test").rglob("*.mp4"))
    line = ["explain", str(video), "--model", str(small_run.folder), "--clips", "1"]
    assert main([*line, "--json", "--frames", "frames", "--no-check", "--label", "move_left"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["videos"]
    assert result["label"] == "move_left" and result["page"] == f"{video.stem}-explained.html"
    assert (tmp_path / result["page"]).exists() and len(list((tmp_path / "frames").iterdir())) == 4
    for more, words in (
        (["--label", "move_lef"], "Did you mean 'move_left'?"),
        (["--layer", "x"], "`layer` must be a layer with a feature map"),
        (["--clips", "0"], "--clips must be at least 1"),
        (["--out", "none/x.html"], "make it first"),
        (["--against", "nowhere"], "nowhere"),
        (["--against", "nowhere.csv"], "nowhere.csv"),
    ):
        assert main([*line, *more]) == 1
        error = capsys.readouterr().err
        assert words in error and "Traceback" not in error, error


def test_explain_many(tmp_path, capsys):
    """Folders, two of one name, and one that cannot be read, which is told at the end."""
    model = transfer_parts.clip_teacher(classes=2)
    model.video_config = model.video_config.replace(class_names=("move_left", "move_right"))
    model.save(tmp_path / "model.keras")
    folder = write_motion_videos(tmp_path / "videos", 2, 24, 48, classes=("move_left",))
    first, second = sorted(folder.rglob("*.mp4"))
    beside = tmp_path / "beside" / first.name
    beside.parent.mkdir()
    beside.write_bytes(second.read_bytes())
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    line = ["explain", str(folder), str(bad), str(beside), "--clips", "1"]
    line += ["--model", str(tmp_path / "model.keras")]
    pages_of, frames = tmp_path / "pages", tmp_path / "frames"
    assert main([*line, "--out", str(pages_of), "--frames", str(frames), "--json"]) == 1
    out, err = capsys.readouterr()
    found = json.loads(out)
    names = [first.stem, second.stem, f"{first.stem}-2"]
    wanted = [str(pages_of / f"{name}-explained.html") for name in names]
    assert [result["page"] for result in found["videos"]] == wanted
    assert list(found["failures"]) == [str(bad)]
    assert "1 of 4 videos could not be used" in err and "bad.mp4" in err
    for result in found["videos"]:
        text, _ = pages.read_page(pathlib.Path(result["page"]).read_text())
        assert f"Why {result['label']}?" in text and result["path"] in text
    assert {each.parent.name for each in frames.glob("*/*.png")} == set(names)

    assert main([*line, "--out", str(tmp_path / "all.html")]) == 1
    shown = capsys.readouterr().out
    assert shown.count("Report: ") == 1 and shown.count(f"{first.name}\n") == 2
    text, _ = pages.read_page((tmp_path / "all.html").read_text())
    assert "Why? 3 videos" in text and str(beside) in text and str(second) in text


@pytest.mark.slow
@pytest.mark.shared
def test_i3d_looks_at_who_climbs(shared):
    """On a real clip the map lies on the climber, and depends on what was learned."""
    model = keras_stc.InceptionI3D(weights="kinetics400")
    found = keras_stc.explain_video(model, shared / "clips" / "abseiling_k400.mp4", max_clips=1)
    assert found.label == "abseiling" and found.layer == "Mixed_5c"
    assert max(abs(value) for value in found.checks.values()) < 0.5
