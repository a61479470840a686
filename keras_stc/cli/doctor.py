"""`keras-stc doctor`: what this machine has, what is missing and the line that installs it."""

import importlib
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import shutil
import sys

from keras_stc._version import __version__
from keras_stc.cli.console import print_json, quiet_start
from keras_stc.data.cores import available_cores, has_bfloat16

#: Codecs of the data sets and of what cameras and browsers write.
CODECS = ("mpeg4", "h264", "hevc", "vp8", "vp9", "av1")

#: Package -> (what it is for, the line that installs it).
OPTIONAL = {
    "tensorflow_io": (
        "decoding inside the TensorFlow graph (TensorFlow 2.16 only)",
        "pip install 'keras-stc[tfio]' 'tensorflow==2.16.2'",
    ),
    "tf2onnx": ("keras-stc export to ONNX", "pip install 'keras-stc[onnx]'"),
    "matplotlib": ("pictures", "pip install 'keras-stc[plots]'"),
    "pillow": ("keras-stc predict --video", "pip install 'keras-stc[video]'"),
    "opencv_contrib_python_headless": ("optical flow", "pip install 'keras-stc[flow]'"),
    "gradio": ("keras-stc app", "pip install 'keras-stc[app]'"),
    "shtab": ("keras-stc completion", "pip install 'keras-stc[shell]'"),
}


#: What Keras runs on.
BACKENDS = ("tensorflow", "jax", "torch")

#: What stands in /dev where there is an accelerator: NVIDIA's, WSL's, AMD's, Google's.
ACCELERATORS = ("nvidia0", "dxg", "kfd", "accel0", "vfio")


def register(add):
    command = add(
        "doctor",
        help="what this machine has and what is missing",
        description="Reports the backend, devices, decoders and optional packages. The backend is "
        "started, which takes seconds, only where there is an accelerator it should see.",
    )
    command.add_argument("--start", action="store_true", help="start the backend in any case")
    command.set_defaults(run=run, needs_keras=False)


def run(arguments):
    report = examine(arguments.start)
    if arguments.json:
        print_json(report)
    else:
        for section, entries in report.items():
            if section == "missing" or not entries:
                continue
            print(section)
            for name, value in entries.items():
                print(f"  {name:14s} {value}")
        print("missing" if report["missing"] else "nothing is missing")
        for line in report["missing"]:
            print(f"  {line}")
    return 1 if "av" in report["problems"] or "backend" in report["problems"] else 0


def examine(start=False):
    """Everything this machine has, as a dictionary of sections.

    Args:
        start: Whether to start the backend where there is no accelerator, too.
    """
    problems, missing = {}, []
    decoders = {}
    try:
        import av
        import av.codec

        codec = ".".join(map(str, av.library_versions["libavcodec"]))
        decoders["PyAV"] = f"{av.__version__} (FFmpeg's libavcodec {codec})"
        lacking = [name for name in CODECS if not _has_codec(av, name)]
        decoders["codecs"] = ", ".join(name for name in CODECS if name not in lacking)
        if lacking:
            missing.append(f"codecs {', '.join(lacking)}: pip install --upgrade av")
    except ImportError as error:
        problems["av"] = str(error)
        missing.append("PyAV, which reads videos: pip install av")
    optional = {}
    for name, (purpose, line) in OPTIONAL.items():
        try:
            optional[name] = importlib.metadata.version(name.replace("_", "-"))
        except importlib.metadata.PackageNotFoundError:
            optional[name] = "not installed"
            missing.append(f"{name}, for {purpose}: {line}")
    backend, devices = _backend(start, problems, missing)
    return {
        "machine": {
            "python": sys.version.split()[0],
            "system": f"{platform.system()} {platform.machine()}",
            "cores": available_cores(),
            **_bfloat16(),
            "free disk": f"{shutil.disk_usage('.').free / 1e9:.0f} GB here",
        },
        "packages": {"keras-stc": __version__, **backend, **optional},
        "devices": devices,
        "decoders": decoders,
        "problems": problems,
        "missing": missing,
    }


def _backend(start, problems, missing):
    name = backend_name()
    packages = {"keras": "not installed", "backend": name}
    try:
        packages["keras"] = importlib.metadata.version("keras")
        packages[name] = _installed(name)
        gpus = _started_gpus(name) if start or has_accelerator() else []
    except Exception as error:  # A broken driver raises anything.
        problems["backend"] = f"{type(error).__name__}: {error}"
        return packages, {"GPUs": "unknown"}
    if not gpus:
        line = {
            "tensorflow": "pip install 'tensorflow[and-cuda]'",
            "jax": "pip install 'jax[cuda13]'",
            "torch": "see pytorch.org for the CUDA build",
        }[name]
        missing.append(f"a GPU for {name} (with an NVIDIA card: {line})")
    return packages, {"GPUs": ", ".join(gpus) or "none: training runs on the CPU"}


def _bfloat16():
    known = has_bfloat16()
    if known is None:
        return {}
    return {"bfloat16": "in hardware" if known else "emulated: float32 is faster on the CPU"}


def backend_name():
    """The backend that Keras will take, without importing it."""
    home = pathlib.Path(os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras")
    try:
        kept = json.loads((home / "keras.json").read_text(encoding="utf-8"))["backend"]
    except (OSError, ValueError, KeyError, TypeError):
        kept = "tensorflow"
    return os.environ.get("KERAS_BACKEND") or kept


def has_accelerator():
    """Whether this machine may have one; where that is not to be seen, it may."""
    if not pathlib.Path("/dev/null").exists() or platform.system() == "Darwin":
        return True
    return any(pathlib.Path("/dev", name).exists() for name in ACCELERATORS)


def _installed(name):
    """The version of a backend that is installed, under whatever name (`tensorflow-cpu`)."""
    if name not in BACKENDS:
        raise ValueError(f"Keras has no backend {name!r}: it is one of {', '.join(BACKENDS)}")
    if importlib.util.find_spec(name) is None:
        raise ImportError(f"{name} is not installed: pip install {name}")
    packages = importlib.metadata.packages_distributions().get(name, [name])
    return importlib.metadata.version(name if name in packages else packages[0])


def _started_gpus(name):
    with quiet_start():
        import keras

        if name == "torch":
            import torch

            others = [name for name in ("mps", "xpu") if getattr(torch, name).is_available()]
            cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
            return cuda + others
        # Asking JAX for GPUs where it has none is an error.
        devices = keras.distribution.list_devices()
        return [device for device in devices if not device.startswith("cpu")]


def _has_codec(av, name):
    try:
        av.codec.Codec(name, "r")
    except ValueError:
        return False
    return True
