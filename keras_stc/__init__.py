"""Keras 3 model zoo for action classification in videos.

```python
import keras_stc

model = keras_stc.STCResNet18(classes=3, input_shape=(16, 112, 112, 3))
```

Public names load when they are first used, so that `import keras_stc` costs next to nothing. Where
Keras is there already, it learns at once what `keras.models.load_model` may meet in a file.
"""

import importlib
import sys

from keras_stc._version import __version__
from keras_stc.video_config import VideoConfig

_SUBMODULES = (
    "ablation",
    "data",
    "distribute",
    "evaluation",
    "layers",
    "models",
    "publish",
    "training",
    "transfer",
    "weights",
)

#: Public name -> the module it lives in.
_PUBLIC = {
    "Evaluation": "keras_stc.evaluation",
    "evaluate_videos": "keras_stc.evaluation",
    "VideoPrediction": "keras_stc.predict",
    "predict_video": "keras_stc.predict",
    "predict_videos": "keras_stc.predict",
    "load_model": "keras_stc.models.load",
    "list_weights": "keras_stc.weights",
    "convert_checkpoint": "keras_stc.convert",
    "export_model": "keras_stc.export",
    **{name: "keras_stc.models" for name in ("VideoModel", "create_model", "list_models")},
    **{
        f"{family}{depth}": "keras_stc.models"
        for family, depths in {
            "ResNet3D": (18, 34, 50, 101, 152),
            "ResNeXt3D": (50, 101),
            "STCResNet": (18, 34, 50, 101, 152),
            "STCResNeXt": (50, 101),
        }.items()
        for depth in depths
    },
    "InceptionI3D": "keras_stc.models",
}

__all__ = ["VideoConfig", "__version__", *_SUBMODULES, *_PUBLIC]


def __getattr__(name):
    if name in _SUBMODULES:
        return importlib.import_module(f"keras_stc.{name}")
    if name in _PUBLIC:
        value = getattr(importlib.import_module(_PUBLIC[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'keras_stc' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)


if "keras" in sys.modules:
    for _name in ("models", "training", "transfer.model"):
        importlib.import_module(f"keras_stc.{_name}")
