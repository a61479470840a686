"""One device against two, and one worker against two real processes; each in its own process."""

import importlib
import json
import multiprocessing.pool
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import zipfile

import distributed_worker
import helpers
import keras
import numpy as np
import pytest

from keras_stc import distribute
from keras_stc.models.load import load_model
from keras_stc.runs import Run

WORKER = pathlib.Path(distributed_worker.__file__)

#: Of runs in double precision, whose sums are taken in another order. Learning rates are float32,
#: and a schedule is rounded once more where the graph of a step is not rewritten, on one device.
TOLERANCE = 1e-8

multi_device = pytest.mark.multi_device


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return helpers.write_videos(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="module")
def on_one_device(videos, tmp_path_factory):
    """`{recipe: run folder}` of trainings in this process."""
    out = tmp_path_factory.mktemp("one")
    for name in ("exact", "rich", "single"):
        distributed_worker.run(videos, out / name, distributed_worker.RECIPES_BY_NAME[name])
    return out


def start(*arguments, cluster=None, index=0, **environment):
    environment = {**os.environ, **environment}
    environment.pop("TF_CONFIG", None)
    if cluster:
        task = {"type": "worker", "index": index}
        environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": cluster}, "task": task})
    command = [sys.executable, WORKER, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def start_workers(*arguments, count=2, **environment):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    cluster = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return [start(*arguments, cluster=cluster, index=i, **environment) for i in range(count)]


def finish(*processes, timeout=600):
    """Waits for processes; returns their exit statuses and last lines of standard error."""
    try:
        texts = [process.communicate(timeout=timeout)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(p.returncode, text.strip()) for p, text in zip(processes, texts, strict=True)]


def succeed(*processes):
    for status, text in finish(*processes):
        assert status == 0, text


def trained(folder):
    """The model of a run, or its student."""
    student = Run(folder).student_path
    return keras.models.load_model(student) if student.exists() else load_model(folder)


def assert_same_run(got, want, tolerance=TOLERANCE):
    """Loss, accuracy and validation of every epoch, and every weight."""
    histories = [Run(folder).state()["history"] for folder in (got, want)]
    assert len(histories[0]) == len(histories[1]) >= 2
    for one, other in zip(*histories, strict=True):
        assert one.keys() == other.keys() and np.isfinite(list(one.values())).all()
        for key, value in other.items():
            assert one[key] == pytest.approx(value, abs=tolerance), (one["epoch"], key)
    for one, other in zip(*(trained(folder).get_weights() for folder in (got, want)), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


def test_training_moves_the_weights(on_one_device):
    """What the comparisons below compare is not the initial state."""
    model = load_model(on_one_device / "exact")
    with distributed_worker.precision("float64"):
        fresh = distributed_worker.small_model()
    pairs = zip(model.get_weights(), fresh.get_weights(), strict=True)
    moved = [np.abs(a - b).max() for a, b in pairs]
    assert min(moved) > 1e-4


@pytest.mark.slow
@multi_device
def test_two_devices_compute_what_one_does(videos, on_one_device, tmp_path):
    names = ("exact", "rich", "single", "bfloat16", "float16")
    succeed(start(2, videos, tmp_path, *names, "fit"))
    for name in ("exact", "rich"):
        assert_same_run(tmp_path / name, on_one_device / name)
    want = distributed_worker.fit_plainly(videos)
    for row, other in zip(json.loads((tmp_path / "fit.json").read_text()), want, strict=True):
        assert row == pytest.approx(other, abs=TOLERANCE)
        assert row.keys() == {"loss", "accuracy", "val_loss", "val_accuracy"}
    # Rounding is another in halves of a batch, and so is what it leads to: losses are close, and
    # kernels have gone the same way.
    start_of = distributed_worker.small_model().get_weights()
    for name, tolerance, apart in (
        ("single", 1e-4, 0.005),
        ("bfloat16", 0.005, 0.05),
        ("float16", 0.005, 0.05),
    ):
        folders = tmp_path / name, on_one_device / "single"
        got, want = (Run(folder).state()["history"] for folder in folders)
        for row, other in zip(got, want, strict=True):
            assert row["loss"] == pytest.approx(other["loss"], abs=tolerance)
        ends = (load_model(folder).get_weights() for folder in folders)
        for begin, ours, theirs in zip(start_of, *ends, strict=True):
            if begin.ndim > 1:
                way = np.linalg.norm(theirs - begin)
                assert np.linalg.norm(ours - theirs) < apart * way, name
    for name in names:
        with zipfile.ZipFile(tmp_path / name / "model.keras") as archive:
            assert '"synchronized": true' not in archive.read("config.json").decode()


@pytest.mark.slow
@multi_device
def test_two_workers_compute_what_one_does(videos, on_one_device, tmp_path):
    succeed(*start_workers(1, videos, tmp_path, "exact"))
    assert_same_run(tmp_path / "exact", on_one_device / "exact")


@multi_device
@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_lost_worker_ends_in_a_sentence_and_the_same_lines_go_on(
    videos, on_one_device, tmp_path, victim
):
    line = (1, videos, tmp_path, "exact", "--save-steps", 4)
    # Collecting a pool that runs is noisy by chance; this warning of it is not.
    warn = "default:unclosed running multiprocessing pool:ResourceWarning"
    workers = start_workers(*line, "--slow", 0.3, PYTHONWARNINGS=warn)
    run, deadline = Run(tmp_path / "exact"), time.monotonic() + 60
    while not run.state() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert run.state(), "no checkpoint in time"
    workers[victim].send_signal(signal.SIGKILL)
    result = finish(*workers)
    status, text = result[1 - victim]
    assert "unclosed running multiprocessing pool" not in text
    last = text.splitlines()[-1]
    assert status == 1 and last.startswith("keras-stc: error: Worker "), text
    assert "lost the connection" in last and "start all of them again" in last
    assert not run.model_path.exists()
    succeed(*start_workers(*line))
    assert_same_run(tmp_path / "exact", on_one_device / "exact")


def test_the_pool_of_a_failed_reduction_is_closed(monkeypatch):
    """As TensorFlow leaves it where a worker is lost while all of them are reducing."""
    errors = pytest.importorskip("tensorflow").errors
    module = importlib.import_module("keras_stc.distribute.strategy")
    monkeypatch.setattr(module, "share", lambda model: (0, 2))
    left = []

    def reduce():
        pool = multiprocessing.pool.ThreadPool(1)
        left.append(pool)
        raise errors.UnavailableError(None, None, "gone")

    with pytest.raises(distribute.DistributionError), distribute.connected(None):
        reduce()
    with pytest.raises(ValueError, match="not running"):
        left[0].map(abs, [1])


@multi_device
@pytest.mark.slow
@pytest.mark.jax
def test_two_jax_devices_compute_what_one_does(videos, tmp_path):
    pytest.importorskip("jax")
    processes = [
        start(
            *(count, videos, tmp_path / str(count), "exact"),
            KERAS_BACKEND="jax",
            JAX_ENABLE_X64="1",
            XLA_FLAGS=f"--xla_force_host_platform_device_count={count}",
        )
        for count in (1, 2)
    ]
    succeed(*processes)
    # JAX takes sums in an order of its own when it divides a program.
    assert_same_run(tmp_path / "2" / "exact", tmp_path / "1" / "exact", tolerance=1e-6)


@multi_device
@pytest.mark.jax
def test_outside_the_scope_one_device_trains_with_jax(tmp_path):
    pytest.importorskip("jax")
    program = (
        "import keras; from keras_stc import distribute\n"
        "def model(): return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])\n"
        "outside = model()\n"
        "with distribute.strategy().scope(): inside = model()\n"
        "print(distribute.devices(outside), distribute.devices(inside))\n"
    )
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout == "1 2\n", done.stderr


@pytest.mark.slow
@multi_device
def test_a_transfer_on_two_devices_or_workers_is_that_on_one(videos, tmp_path):
    distributed_worker.transfer(videos, tmp_path / "one")

    succeed(start(2, videos, tmp_path / "devices", "transfer"))
    assert_same_run(tmp_path / "devices" / "transfer", tmp_path / "one")
    succeed(*start_workers(1, videos, tmp_path / "workers", "transfer"))
    assert_same_run(tmp_path / "workers" / "transfer", tmp_path / "one")


def test_one_device_is_the_default():
    strategy = distribute.strategy()
    assert strategy is distribute.strategy() and distribute.is_chief()
    with strategy.scope():
        model = keras.Sequential([keras.Input((2,)), keras.layers.BatchNormalization()])
    assert distribute.devices(model) == 1 and distribute.share(model) == (0, 1)
    with distribute.synchronized(model):
        assert not model.layers[0].synchronized
    value = {"a": [1, None, "ü"]}
    assert distribute.from_chief(model, value) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        (
            '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
            "worker 2, is none of its 2 workers",
        ),
    ],
)
def test_a_tf_config_that_makes_no_sense_gets_a_sentence(monkeypatch, text, words):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(distribute.DistributionError, match=words):
        distribute.strategy.__wrapped__()
