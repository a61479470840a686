"""Trainings that end before their time: killed, without room, without data, without a number."""

import contextlib
import dataclasses
import os
import random
import resource
import shutil
import signal
import subprocess
import threading
import time
import types

import distributed_worker
import helpers
import numpy as np
import pytest
from test_distribute import assert_same_run, start, succeed

from keras_stc.data import Quarantine, VideoError
from keras_stc.data.clips.quarantine import saved_reasons
from keras_stc.files import write_atomically
from keras_stc.runs import Follower, Run, RunError
from keras_stc.training import TrainingError
from keras_stc.training.callbacks import Checkpoint, StopOnNaN

RECIPE = distributed_worker.PLAIN


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return helpers.write_videos(tmp_path_factory.mktemp("videos"))


def weights(folder):
    """Arrays of the run's last checkpoint."""
    model = distributed_worker.small_model()
    run = Run(folder)
    model.load_weights(run.folder / run.state()["file"], skip_mismatch=False)
    return model.get_weights()


@pytest.mark.slow
# 24 passes through the network, 12 an epoch, two to an update; and a transfer of 18 steps.
@pytest.mark.parametrize(("name", "passes"), [("rich", 12), ("transfer", 9)])
def test_killed_at_any_moment_it_loses_the_interval_at_most(videos, tmp_path, name, passes):
    """Three kills at random moments of two epochs; a checkpoint every second step."""
    if name == "transfer":
        distributed_worker.transfer(videos, tmp_path / "whole")
    else:
        distributed_worker.run(videos, tmp_path / "whole", distributed_worker.RECIPES_BY_NAME[name])
    out, chance = tmp_path / "killed", random.Random(0)
    run, kills = Run(out / name), 0
    end = run.student_path if name == "transfer" else run.model_path
    line = (1, videos, out, name, "--save-steps", 2, "--slow", 0.25)
    while not end.exists():
        before, steps = run.state(), out / "steps.log"
        steps.unlink(missing_ok=True)
        process = start(*line)
        if kills == 3:
            succeed(process)
            break
        while not steps.exists() and process.poll() is None:
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 1.2))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
        after = run.state() or {"epoch": 0, "step": 0}
        begun = before or {"epoch": 0, "step": 0}
        done = steps.read_text().count("\n")
        kept = passes * (after["epoch"] - begun["epoch"]) + after["step"] - begun["step"]
        assert 0 <= done - kept <= 2, (begun, after, done)
    assert kills == 3
    assert_same_run(out / name, tmp_path / "whole")


def test_after_an_epoch_that_was_broken_off_epochs_are_whole(videos, tmp_path, monkeypatch):
    """Broken off in the first of three epochs, the other two have all their steps."""
    recipe = dataclasses.replace(distributed_worker.EXACT, epochs=3)
    distributed_worker.run(videos, tmp_path / "whole", recipe)
    after_step = Checkpoint.on_train_batch_end

    def break_off(self, batch, logs=None):
        after_step(self, batch, logs)
        if self.state["step"] == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpoint, "on_train_batch_end", break_off)
        distributed_worker.run(videos, tmp_path / "broken", recipe, save_steps=3)
    assert Run(tmp_path / "broken").state()["step"] == 3
    distributed_worker.run(videos, tmp_path / "broken", recipe, save_steps=3)
    assert_same_run(tmp_path / "broken", tmp_path / "whole")


def test_bad_videos_are_listed_whenever_it_is_killed(videos, tmp_path, monkeypatch):
    shutil.copytree(videos, tmp_path / "videos")
    bad = next((tmp_path / "videos" / "train").rglob("*.mp4"))
    bad.write_bytes(b"")

    def break_off(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Run, "save_model", break_off)
        distributed_worker.run(tmp_path / "videos", tmp_path / "run", RECIPE)
    history = Run(tmp_path / "run").state()["history"]
    again, _ = distributed_worker.run(tmp_path / "videos", tmp_path / "run", RECIPE)
    assert again == history
    assert list(saved_reasons(tmp_path / "run" / "quarantine.csv")) == [str(bad)]


def test_a_run_that_kept_nothing_begins_anew(videos, tmp_path):
    """As its last sentence says: with a lower rate, in the same folder."""
    wild = dataclasses.replace(RECIPE, learning_rate=1e38, warmup_epochs=0)
    with pytest.raises(TrainingError, match="try a lower learning rate"):
        distributed_worker.run(videos, tmp_path / "run", wild)
    history, _ = distributed_worker.run(videos, tmp_path / "run", RECIPE)
    assert len(history) == RECIPE.epochs
    assert Run(tmp_path / "run").config()["recipe"]["learning_rate"] == RECIPE.learning_rate
    with pytest.raises(RunError, match="with other settings"):
        distributed_worker.run(videos, tmp_path / "run", wild)


def test_the_best_of_every_second_epoch_is_that_of_a_whole_run(tmp_path):
    quality = [0.9, 0.8, 0.7, 0.85, 0.5, 0.6]
    history = [{"epoch": k, "val_accuracy": q, "val_loss": 1.0} for k, q in enumerate(quality, 1)]
    state = {"epoch": 2, "step": 0, "history": history[:2]}
    session = types.SimpleNamespace(state=state, save_every=2, save_steps=None)
    checkpoint = Checkpoint(session, steps=1, example=())
    assert checkpoint.best["epoch"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_best_is_kept_whenever_it_is_killed(videos, tmp_path, monkeypatch, ema):
    """Broken off when the first epoch is about to count, the run has its best in the end."""
    recipe = dataclasses.replace(distributed_worker.EXACT, ema=ema)
    distributed_worker.run(videos, tmp_path / "whole", recipe)

    def break_off(path, text):
        if path.name == "state.json":
            raise KeyboardInterrupt
        write_atomically(path, text)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("keras_stc.runs.write_atomically", break_off)
        distributed_worker.run(videos, tmp_path / "broken", recipe)
    left = tmp_path / "broken" / f".{2**22 + 1}-state-0001.weights.h5"
    left.write_bytes(b"of a process that is no more")
    distributed_worker.run(videos, tmp_path / "broken", recipe)
    assert_same_run(tmp_path / "broken", tmp_path / "whole")
    models = []
    for name in ("broken", "whole"):
        models.append(distributed_worker.small_model())
        models[-1].load_weights(Run(tmp_path / name).best_path)
    for one, two in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)
    assert not left.exists()


@pytest.fixture()
def small_disk(tmp_path):
    """A file system of one megabyte, where tests may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


def once_saved(out, act):
    """Runs `act` in a thread as soon as there is a checkpoint."""

    def wait():
        while not Run(out).state():
            time.sleep(0.005)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def check_kept(out, error):
    assert "\n" not in str(error.value) and "make room" in str(error.value)
    assert 1 <= Run(out).state()["epoch"] < 200
    assert all(np.isfinite(array).all() for array in weights(out))
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_a_full_disk_leaves_the_last_checkpoint(videos, small_disk):
    out = small_disk / "run"

    def fill():
        with contextlib.suppress(OSError), (small_disk / "filler").open("wb", 0) as file:
            while True:
                file.write(bytes(1024))

    thread = once_saved(out, fill)
    with pytest.raises(RunError, match="could not be written: No space left") as error:
        distributed_worker.run(videos, out, dataclasses.replace(RECIPE, epochs=200))
    thread.join()
    check_kept(out, error)
    # With room again it goes on.
    (small_disk / "filler").unlink()
    epoch = Run(out).state()["epoch"]
    thread = once_saved(out, fill)
    with pytest.raises(RunError, match="could not be written: No space left") as error:
        distributed_worker.run(videos, out, dataclasses.replace(RECIPE, epochs=200))
    thread.join()
    check_kept(out, error)
    assert Run(out).state()["epoch"] >= epoch


def test_a_limit_on_files_leaves_the_last_checkpoint(videos, tmp_path):
    """Writing breaks off in the middle of a file."""
    out = tmp_path / "run"
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    thread = once_saved(out, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limit[1])))
    try:
        with pytest.raises(RunError, match="could not be written: File too large") as error:
            distributed_worker.run(videos, out, dataclasses.replace(RECIPE, epochs=200))
    finally:
        thread.join()
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    check_kept(out, error)


def test_data_that_vanish_leave_the_last_checkpoint(videos, tmp_path):
    out, data = tmp_path / "run", tmp_path / "videos"
    shutil.copytree(videos, data)
    thread = once_saved(out, lambda: shutil.rmtree(data))
    recipe = dataclasses.replace(RECIPE, epochs=200)
    with pytest.raises(VideoError, match="cannot be used, too many to go on") as error:
        distributed_worker.run(data, out, recipe)
    thread.join()
    assert "\n" not in str(error.value)
    assert 1 <= Run(out).state()["epoch"] < 200
    assert all(np.isfinite(array).all() for array in weights(out))


def test_a_loss_that_is_no_number_leaves_the_last_checkpoint(videos, tmp_path):
    """The rate starts at zero, so that the first step is harmless."""
    wild = dataclasses.replace(RECIPE, learning_rate=1e38)
    with pytest.raises(TrainingError, match="step . of epoch 1, is kept in") as error:
        distributed_worker.run(videos, tmp_path / "run", wild, save_steps=1)
    assert "lower learning rate" in str(error.value) and "\n" not in str(error.value)
    assert all(np.isfinite(array).all() for array in weights(tmp_path / "run"))


def test_weights_that_are_no_numbers_are_never_kept(tmp_path):
    """A step can spoil the weights before a loss shows it."""
    model = distributed_worker.small_model()
    model.compile(RECIPE.optimizer(1), "sparse_categorical_crossentropy")
    (tmp_path / "run").mkdir()
    run, state = Run(tmp_path / "run"), {"epoch": 0, "step": 0, "history": []}
    session = types.SimpleNamespace(
        **{"run": run, "state": state, "recipe": RECIPE.replace(epochs=9), "network": model},
        **{"save_every": 1, "save_steps": None, "keep_quarantine": lambda: None},
    )
    checkpoint = Checkpoint(session, steps=1, example=())
    checkpoint.set_model(model)
    checkpoint.on_epoch_end(0, {"loss": 0.5})
    kept = run.state()
    model.layers[2].kernel.assign(np.nan * np.ones(model.layers[2].kernel.shape))
    with pytest.raises(TrainingError, match="The weights are no numbers.* of epoch 1, is kept"):
        checkpoint.on_epoch_end(1, {"loss": 0.4})
    assert run.state() == kept and np.isfinite(weights(run.folder)[0]).all()
    # Where what is best is a file of its own, it is not written either.
    session.network = distributed_worker.small_model()
    checkpoint.best = None
    with pytest.raises(TrainingError, match="at step 1 of epoch 3: .* of epoch 1, is kept"):
        checkpoint.on_epoch_end(2, {"val_accuracy": 0.5, "val_loss": 1.0})
    assert not run.best_path.exists()


@pytest.mark.parametrize(
    ("precision", "words"),
    [
        ("float32", "try a lower learning rate."),
        ("mixed_bfloat16", "or instead of mixed_bfloat16 the precision float32."),
        (
            "mixed_float16",
            "the precision mixed_bfloat16, which has the range of float32, or float32",
        ),
    ],
)
def test_a_stop_for_nan_says_what_else_to_try(tmp_path, precision, words):
    with distributed_worker.precision(precision):
        network = distributed_worker.small_model()
    session = types.SimpleNamespace(
        run=Run(tmp_path), state={"epoch": 0, "step": 0, "history": []}, network=network
    )
    with pytest.raises(TrainingError, match=words):
        StopOnNaN(session).on_train_batch_end(0, {"loss": np.nan})


def test_a_follower_writes_nothing(tmp_path):
    model = distributed_worker.small_model()
    run = Follower(tmp_path / "run")
    with run.alone():
        run.open({"seed": 0})
        run.save(model, {"epoch": 1, "step": 0, "history": []})
        run.save_best(model)
        run.save_model(model, run.model_path)
        run.save_quarantine(Quarantine(reasons={"a": "bad"}))
    writers = {name for name in vars(Run) if name.startswith(("save", "open", "alone"))}
    assert writers <= set(vars(Follower)) and not run.folder.exists()
