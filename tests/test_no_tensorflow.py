"""Keras on JAX or PyTorch where TensorFlow is not installed: everything that needs none.

.ci/no_tensorflow       # an environment of its own, and these tests on both backends
"""

import dataclasses
import importlib.util
import subprocess
import sys

import numpy as np
import pytest

if importlib.util.find_spec("tensorflow"):
    pytest.skip("TensorFlow is installed", allow_module_level=True)

import keras
from transfer_parts import frame_teacher, small_distillation, small_student

import keras_stc
from keras_stc.demo.motion import write_motion_videos
from keras_stc.training import RECIPES, train
from keras_stc.transfer import CorrespondenceTransfer, pair_dataset, train_distillation

CLASSES = ("move_left", "move_right")
CLIP = (4, 32, 32, 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    write_motion_videos(folder, 4, frames=16, size=48, seed=0, classes=CLASSES)
    return folder


@pytest.fixture(scope="module")
def videos(folder):
    return keras_stc.data.VideoFolder(folder)


@pytest.fixture(scope="module")
def run(videos, tmp_path_factory):
    """A run folder of one epoch."""
    keras.utils.set_random_seed(0)
    model = keras_stc.STCResNet18(classes=2, input_shape=CLIP, alpha=0.125)
    recipe = dataclasses.replace(RECIPES["default"], epochs=1, batch_size=8, flip=False)
    out = tmp_path_factory.mktemp("runs") / "run"
    (row,) = train(model, videos, recipe, out, videos, verbose=0)
    assert np.isfinite([row["loss"], row["val_loss"]]).all()
    return out


def test_fit_and_predict_from_videos(videos):
    options = {"video_config": keras_stc.VideoConfig(*CLIP[:1], 2, 32), "batch_size": 4}
    clips = keras_stc.data.clip_dataset(videos, training=True, **options)
    held_out = keras_stc.data.clip_dataset(videos, **options)
    assert isinstance(clips, keras_stc.data.ClipSequence)
    model = keras.Sequential([keras.layers.GlobalAveragePooling3D(), keras.layers.Dense(2)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(clips, validation_data=held_out, epochs=2, verbose=0).history
    assert np.isfinite([*history["loss"], *history["val_loss"]]).all()
    assert model.predict(held_out, verbose=0).shape == (8, 2)


def test_a_run_answers_for_whole_videos(run, videos):
    model = keras_stc.load_model(run)
    result = keras_stc.evaluate_videos(model, videos)
    assert len(result.labels) == 8 and not result.failures
    answers = [keras_stc.predict_video(model, video).probabilities for video in videos]
    np.testing.assert_allclose(answers, result.probabilities, atol=1e-5)


def test_the_command_line_predicts(run, videos):
    command = [sys.executable, "-m", "keras_stc", "predict", videos[0].path, "--model", str(run)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "move_left" in done.stdout and not done.stderr


def test_transfer_from_videos(videos):
    transfer = CorrespondenceTransfer(student=small_student(), teacher=frame_teacher())
    transfer.compile("sgd")
    config = keras_stc.VideoConfig(frames=4, size=16)
    pairs = pair_dataset(videos, video_config=config, frame_size=16, batch_size=4)
    history = transfer.fit(pairs, verbose=0).history
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize("windows", [0, 2])
def test_distillation_from_videos(videos, tmp_path, windows):
    """From a teacher that is asked in every step, or once before the first."""
    recipe = RECIPES["default"].replace(epochs=1, batch_size=4)
    model = small_distillation(feature_weight=1.0)
    (row,) = train_distillation(model, videos, recipe, tmp_path, windows=windows, verbose=0)
    assert np.isfinite(row["loss"])


def test_what_needs_tensorflow_says_so(folder, tmp_path):
    with pytest.raises(ImportError, match="Packing videos needs TensorFlow: pip install"):
        keras_stc.data.pack(folder, tmp_path / "packed")


def test_nothing_looks_for_tensorflow():
    assert "tensorflow" not in sys.modules
