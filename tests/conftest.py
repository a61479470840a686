import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest  # noqa: E402


@pytest.fixture(scope="session")
def shared():
    """Folder of real clips beside the checkout, or where KERAS_STC_SHARED says."""
    beside = pathlib.Path(__file__).resolve().parents[2] / "shared"
    folder = pathlib.Path(os.environ.get("KERAS_STC_SHARED", beside))
    if not (folder / "clips").is_dir():
        pytest.skip(f"no real clips in {folder}; set KERAS_STC_SHARED")
    return folder
