"""Knowledge transfer: a frozen 2D network teaches a 3D network on unlabelled videos.

Names load when they are first used, so that importing this package imports no TensorFlow.
"""

import importlib

_HOME = {
    "CorrespondenceTransfer": "model",
    "FrameTeacher": "teacher",
    "RECIPES": "recipe",
    "TransferRecipe": "recipe",
    "create_teacher": "teachers",
    "create_transfer": "build",
    "pair_dataset": "dataset",
    "train_transfer": "loop",
}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(set(globals()) | set(__all__))
