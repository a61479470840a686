"""Keras 3 model zoo for action classification in videos.

```python
import keras_stc

model = keras_stc.STCResNet18(classes=3, input_shape=(16, 112, 112, 3))
```

Public names load when they are first used, so that `import keras_stc` costs next to nothing. Where
Keras is there already, it learns at once what `keras.models.load_model` may meet in a file.
Where TensorFlow is not there yet, `TF_ENABLE_ONEDNN_OPTS=1` is set unless you set it: TensorFlow
leaves its faster kernels off without it on CPUs without AVX-512, and reads it only on its import.
"""

import importlib
import os
import sys

import lazy_loader

from keras_stc._version import __version__  # noqa: F401
from keras_stc.video_config import VideoConfig  # noqa: F401

# What is public, and where it lives: `__init__.pyi`, which editors read too.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

if "tensorflow" not in sys.modules:
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

if "keras" in sys.modules:
    for _name in ("models.zoo", "training", "transfer.model"):
        importlib.import_module(f"keras_stc.{_name}")
