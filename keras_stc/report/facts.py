"""What a page says of how it came about: versions, machine, time."""

import datetime
import importlib.metadata
import platform

from keras_stc._version import __version__
from keras_stc.data.cores import available_cores


def facts(command=None, seconds=None, **more):
    """Rows of a table.

    Args:
        command: The command line, or `None`.
        seconds: How long it took, or `None`.
        **more: Other rows; of `None`, none.

    Returns:
        `{name: text}`.
    """
    import keras

    backend = keras.backend.backend()
    versions = {"keras-stc": __version__, "Keras": keras.__version__}
    for name in (backend, "numpy", "av"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # installed under another name
            continue
    rows = {
        "command": command,
        **more,
        "took": None if seconds is None else duration(seconds),
        "finished": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "machine": f"Python {platform.python_version()}, {platform.system()} "
        f"{platform.machine()}, {available_cores()} cores",
    }
    return {name: str(text) for name, text in rows.items() if text is not None}


def duration(seconds):
    """Seconds as people say them: `48 s`, `3 min 05 s`, `2 h 10 min`."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
