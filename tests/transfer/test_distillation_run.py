"""Who can teach, clips for student and teacher, a run that survives a kill, and the command."""

import json

import helpers
import keras
import numpy as np
import pytest
import transfer_parts
from helpers import run

import keras_stc
from keras_stc.data import VideoSet
from keras_stc.data.video.shard import clip_of_jpegs
from keras_stc.transfer import (
    Answers,
    ClipTeacher,
    FrameTeacher,
    distillation_dataset,
    train_distillation,
)
from keras_stc.transfer.build import create_distillation


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return helpers.write_videos(tmp_path_factory.mktemp("videos"))


def test_both_see_the_same_moment(videos):
    """The teacher's clip has the student's middle, crop and mirroring, at its own size."""
    config = keras_stc.VideoConfig
    student, teacher = config(4, 2, 32, 36), config(8, 1, 32, 36)
    videos = keras_stc.data.open_unlabelled(videos)
    for seed in range(3):
        made = distillation_dataset(
            videos, student, teacher, batch_size=2, seed=seed, backend="pydataset"
        )
        part = made[0]
        for clip, theirs in zip(part["clip"], part["teacher_clip"], strict=True):
            # The student's seven frames lie in the teacher's eight, from the first or second on.
            assert any(np.array_equal(clip, theirs[first : first + 7 : 2]) for first in (0, 1))
        assert (part["label"] == -1).all()
    with pytest.raises(ValueError, match="clips of a moment .* Received: segments=True"):
        distillation_dataset(videos, student, teacher.replace(segments=True))


def test_clips_of_shards_are_decoded_by_the_graph(videos, tmp_path, monkeypatch):
    """With answers, as `clip_dataset` does it: the pixels and answers that the reader gives."""
    keras_stc.data.pack(videos, tmp_path, short_side=36)
    packed = keras_stc.data.open_data(tmp_path)
    config = keras_stc.VideoConfig(4, 2, 32, 36)
    values = np.arange(4 * len(packed), dtype="float32").reshape(-1, 2, 2)
    answers = Answers(values, -values, config)
    decoded = []

    def counted(*tensors):
        decoded.append(tensors)
        return clip_of_jpegs(*tensors)

    monkeypatch.setattr("keras_stc.data.clips.dataset.clip_of_jpegs", counted)
    made = (
        distillation_dataset(packed, config, config, answers, 4, seed=3, backend=backend)
        for backend in ("tf.data", "pydataset")
    )
    for ours, theirs in zip(*made, strict=True):
        assert ours.keys() == theirs.keys() == {"clip", "answers", "features", "label"}
        for name in ours:
            np.testing.assert_array_equal(np.asarray(ours[name]), theirs[name])
    assert len(decoded) == 1  # traced


def test_the_nearest_window_teaches():
    values = np.arange(3, dtype="float32").reshape(1, 3, 1)
    answers = Answers(values, -values, keras_stc.VideoConfig(10, 1, 32))
    # Windows of 10 of 110 frames begin at 0, 50 and 100: middles 4.5, 54.5, 104.5.
    for middle, window in ((0, 0), (29, 0), (30, 1), (79, 1), (80, 2), (109, 2)):
        said, features = answers.nearest(0, 110, 25.0, middle)
        assert (said[0], features[0]) == (window, -window)


@pytest.mark.parametrize(
    ("name", "frames", "features"),
    [("stc_resnet18", 4, 512), ("inception_i3d", 16, 1024), ("c3d", 16, 4096)],
)
def test_networks_of_the_zoo_can_teach(name, frames, features):
    """Pooled at once, at positions that are averaged later, and through dense layers."""
    network = keras_stc.create_model(name, classes=3, input_shape=(frames, 32, 32, 3))
    teacher = ClipTeacher(network)
    assert (teacher.classes, teacher.features) == (3, features)


@pytest.mark.parametrize("clip", [{"frames": 16}, {"size": 96}])
def test_a_teachers_clip_differs_in_what_is_said(clip):
    """All else is what its weights were trained on: 8 frames, stride 4, 80x80."""
    made = create_distillation(
        "stc_resnet18", "stc_resnet18.ucf101-35", teacher_clip=clip, alpha=0.125
    )
    config = made.teacher.video_config
    wanted = {"frames": 8, "size": 80, **clip}
    assert (config.frames, config.stride, config.crop[0]) == (wanted["frames"], 4, wanted["size"])


@pytest.mark.parametrize("windows", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_a_run_goes_on_where_it_was(videos, tmp_path, windows):
    videos = VideoSet(list(keras_stc.data.open_unlabelled(videos))[:4])
    recipe = keras_stc.training.RECIPES["default"].replace(epochs=2, batch_size=4)

    def run(model, out):
        return train_distillation(model, videos, recipe, tmp_path / out, videos, windows, verbose=0)

    whole = run(transfer_parts.small_distillation(), "whole")

    class Killed(Exception):
        pass

    model, fit = transfer_parts.small_distillation(), keras.Model.fit

    def cut(*args, **options):
        def kill(epoch, _):
            if epoch == 1:
                raise Killed

        options["callbacks"] = [
            *options["callbacks"],
            keras.callbacks.LambdaCallback(on_epoch_begin=kill),
        ]
        return fit(model, *args, **options)

    model.fit = cut
    with pytest.raises(Killed):
        run(model, "cut")
    assert keras_stc.runs.Run(tmp_path / "cut").state()["epoch"] == 1
    resumed = run(transfer_parts.small_distillation(), "cut")
    assert [row["loss"] for row in resumed] == pytest.approx([row["loss"] for row in whole], 1e-3)
    loaded = keras_stc.load_model(tmp_path / "cut")
    assert loaded.output_shape == (None, 3)
    with pytest.raises(keras_stc.runs.RunError, match="teacher"):
        other = transfer_parts.clip_teacher(seed=7)
        run(transfer_parts.small_distillation(teacher=other), "cut")
    moments = transfer_parts.clip_teacher()
    moments.video_config = moments.video_config.replace(stride=3)
    with pytest.raises(keras_stc.runs.RunError, match="teacher.video_config.stride: 1 there, 3"):
        run(transfer_parts.small_distillation(teacher=moments), "cut")
    # As an earlier version wrote it, which did not say what the teacher saw.
    config = keras_stc.runs.Run(tmp_path / "cut").config()
    del config["teacher"]["video_config"]
    keras_stc.runs.Run(tmp_path / "cut").config_path.write_text(json.dumps(config))
    assert run(transfer_parts.small_distillation(), "cut") == resumed
    with pytest.raises(ValueError, match="`videos` must be at least 2 videos"):
        few, parts = videos.subset([0]), recipe.replace(accumulation=2)
        train_distillation(transfer_parts.small_distillation(), few, parts, tmp_path / "x")
    assert not (tmp_path / "x").exists()
    with pytest.raises(ValueError, match="`recompute` must be 'none' in a distillation"):
        recipe = recipe.replace(recompute="unit")
        run(transfer_parts.small_distillation(), "other")


@pytest.mark.parametrize("windows", [0, 2])
def test_a_2d_network_teaches_a_student_without_classifier(videos, tmp_path, windows):
    """In every step and asked once; what comes of it starts a classifier."""
    videos = VideoSet(list(keras_stc.data.open_unlabelled(videos))[:4])
    small = transfer_parts.small_student()
    student = keras_stc.VideoModel(
        small.inputs[0], small.outputs[0], video_config=keras_stc.VideoConfig(4, 1, 16)
    )
    model = transfer_parts.small_distillation(
        student, FrameTeacher(transfer_parts.image_model(24), "resnet"), feature_weight=1.0
    )
    recipe = keras_stc.training.RECIPES["default"].replace(epochs=1, batch_size=4)
    out, options = tmp_path / "d", {"verbose": 0, "frame_size": 24}
    with pytest.raises(ValueError, match="`frame_size` must be a size that the teacher"):
        train_distillation(model, videos, recipe, out, windows=windows, frame_size=1)
    (row,) = train_distillation(model, videos, recipe, out, videos, windows, **options)
    assert 0 < row["val_loss"] < 2 and "answers_loss" not in row
    config = keras_stc.runs.Run(out).config()["teacher"]["video_config"]
    assert (config["frames"], config["size"]) == (4, 24)
    kept = keras.models.load_model(out / "student.keras")
    for one, other in zip(kept.get_weights(), student.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(keras_stc.runs.RunError, match="its student has no classes yet"):
        keras_stc.load_model(out)


# === The command line ===


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A file of a network that knows the two classes of the videos, by name."""
    model = transfer_parts.clip_teacher(classes=2)
    model.video_config = model.video_config.replace(class_names=helpers.CLASSES)
    path = tmp_path_factory.mktemp("teacher") / "teacher.keras"
    model.save(path)
    return path


@pytest.mark.slow
def test_distill_then_predict(capsys, videos, teacher, tmp_path):
    """With labels and a teacher that is asked in every step; the student names its classes."""
    line = ["distill", videos, "--teacher", teacher, "--student", "resnet3d18", "--alpha", 0.0625]
    line += ["--frames", 2, "--size", 32, "--windows", 0, "--label-weight", 0.5, "--epochs", 1]
    line += ["--batch-size", 8, "--hold-out", 0.3, "--out", tmp_path / "d", "--json"]
    status, out, err = run(capsys, *line)
    assert status == 0, err
    last = json.loads(out)["last"]
    assert {"label_loss", "val_answers_agreement", "val_label_accuracy"} <= set(last)
    config = json.loads((tmp_path / "d" / "config.json").read_text())
    assert config["videos"] == 8 and config["distillation"]["windows"] == 0
    video = next((videos / "test").rglob("*.mp4"))
    status, out, err = run(capsys, "predict", video, "--model", tmp_path / "d", "--json")
    assert status == 0, err
    top = json.loads(out)["videos"][0]["top"]
    assert {row["label"] for row in top} == set(helpers.CLASSES)


@pytest.mark.slow
def test_distill_by_a_2d_network_then_train(capsys, videos, tmp_path):
    """Features alone, then with labels beside them, of some of the videos."""
    small = ["--alpha", 0.0625, "--frames", 2, "--size", 32, "--epochs", 1, "--batch-size", 8]
    line = ["distill", videos, "--teacher", "mobilenetv2", "--teacher-weights", "random"]
    line += ["--teacher-size", 40, "--student", "resnet3d18", *small, "--hold-out", 0.3]
    status, out, err = run(capsys, *line, "--out", tmp_path / "f")
    assert status == 0, err
    assert "The teacher sees clips of 2 frames, 40x40" in err + out
    typed = out.strip().splitlines()[-1].split()
    assert typed[:3] == ["keras-stc", "train", "DATA"]
    status, out, err = run(capsys, "train", videos, *typed[3:], *small, "--out", tmp_path / "c")
    assert status == 0, err
    paths = sorted((videos / "train").rglob("*.mp4"))
    some = [f"{path},{path.parent.name if n % 2 else ''}" for n, path in enumerate(paths)]
    (tmp_path / "some.csv").write_text("\n".join(["path,label", *some]))
    line[1] = tmp_path / "some.csv"
    status, out, err = run(capsys, *line, "--label-weight", 0.5, "--out", tmp_path / "l")
    assert status == 0, err
    assert "8 videos to learn from, 4 to measure on; 4 of the former have a label" in err + out
    assert "left out" not in err
    last = keras_stc.runs.Run(tmp_path / "l").state()["history"][-1]
    assert {"label_loss", "features_loss", "val_label_accuracy"} <= set(last)
    assert keras_stc.load_model(tmp_path / "l").video_config.class_names == helpers.CLASSES
    status, out, err = run(capsys, "evaluate", tmp_path / "l", line[1], "--json")
    assert status == 0 and json.loads(out)["videos"] == 2, err  # which were held out


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            ["{videos}", "--teacher", "resnet50", "--teacher-frames", "4"],
            "--teacher-frames must be",
        ),
        (["{videos}", "--teacher", "resnet50", "--temperature", "4"], "--temperature must be left"),
        (["{videos}", "--teacher-weights", "random"], "--teacher-weights is of a 2D network"),
        (["{videos}", "--teacher", "resnet50", "--teacher-weights", "x"], "weights x do not exist"),
        (["nowhere"], "nowhere does not exist"),
        (["{videos}", "--teacher", "x"], "The model x does not exist"),
        (["{videos}", "--teacher", "resnet5"], "Did you mean 'resnet50'"),
        (["{videos}", "--teacher", "{teacher}", "--teacher-size", "32"], "leave out other clips"),
        (["{videos}", "--teacher-frames", "0"], "--teacher-frames must be at least 1"),
        (["{videos}", "--teacher", "{teacher}", "--windows", "-1"], "--windows must be at least 0"),
        (["{videos}", "--teacher", "{teacher}", "--temperature", "0"], "`temperature` must be at"),
        (["{videos}", "--teacher", "{teacher}", "--student", "x"], "`name` must be one of"),
        (["{videos}", "--recipe", "classifier"], "--recipe must be one of default, paper, modern"),
        (["{videos}", "--hold-out", "1"], "--hold-out must be at least 0 and below 1"),
    ],
)
def test_mistakes_get_one_sentence(capsys, videos, teacher, tmp_path, more, words):
    small = ["--alpha", "0.0625", "--frames", "2", "--size", "32", "--out", tmp_path / "d"]
    line = [part.format(videos=videos, teacher=teacher) for part in more]
    status, _, err = run(capsys, "distill", *line, *small)
    assert status == 1
    assert err.startswith("keras-stc: error: ") and words in err
    assert err.count("\n") == 1 and "Traceback" not in err
