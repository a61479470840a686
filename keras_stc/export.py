"""A model for other programs: a SavedModel or an ONNX file, with how it wants to be fed inside."""

import importlib.util
import json
import pathlib
import tempfile
import warnings

import keras
import numpy as np

#: Name of the `video_config` within a SavedModel, where TensorFlow keeps users' own files.
CONFIG_FILE = "assets.extra/video_config.json"

#: Key of the `video_config` in an ONNX file's metadata.
CONFIG_KEY = "video_config"


def export_model(model, path):
    """Writes a model for programs that have no Keras, and runs what it wrote.

    The input is a batch of clips, float32 `(B, T, H, W, 3)`, RGB 0-255; the network normalises them
    itself. The output is what the model puts out, in inference mode. Frames, stride, size and names
    of classes stand in `assets.extra/video_config.json` of a SavedModel and under `video_config` in
    the metadata of an ONNX file, as JSON.

    Example:

    ```python
    keras_stc.export_model(model, "stc.onnx")
    session = onnxruntime.InferenceSession("stc.onnx")
    config = json.loads(session.get_modelmeta().custom_metadata_map["video_config"])
    probabilities = session.run(None, {"clip": clips})[0]
    ```

    Args:
        model: A model of this package, on the TensorFlow backend.
        path: A file that ends in `.onnx`, or a folder for a SavedModel. It must not exist.

    Returns:
        The largest difference between the outputs of the model and of what was written, on a random
        clip; `None` for an ONNX file where onnxruntime is not installed.

    Raises:
        ValueError: If something is in the way at `path`, or the backend or the model's precision
            does not allow it.
        ImportError: If ONNX is asked for and tf2onnx is not installed.
    """
    path = pathlib.Path(path)
    onnx = path.suffix == ".onnx"
    if path.exists():
        raise ValueError(f"{path} exists already: remove it, or choose another name.")
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Models are exported on the TensorFlow backend: set KERAS_BACKEND=tensorflow. "
            f"Received: {keras.backend.backend()}"
        )
    if onnx:
        _check_onnx(model)
    clip = np.random.default_rng(0).integers(0, 256, (2, *model.input_shape[1:]))
    clip = clip.astype("float32")
    # Before anything else: Keras exports models that were called.
    expected = keras.ops.convert_to_numpy(model(clip, training=False))
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside its place, so that it gets there in one step, whole.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        made = pathlib.Path(folder) / path.name
        write, run = (_write_onnx, _run_onnx) if onnx else (_write_saved_model, _run_saved_model)
        write(model, made)
        found = run(made, clip)
        made.replace(path)
    return None if found is None else float(np.abs(found - expected).max())


def _write_saved_model(model, path):
    model.export(path, format="tf_saved_model", verbose=False)
    config = path / CONFIG_FILE
    config.parent.mkdir()
    config.write_text(_config(model))


def _run_saved_model(path, clip):
    import tensorflow as tf

    model = tf.saved_model.load(str(path))
    return model.serve(clip).numpy()


def _check_onnx(model):
    for name in ("tf2onnx", "onnx"):
        if importlib.util.find_spec(name) is None:
            raise ImportError(f"ONNX needs the package {name}: pip install 'keras-stc[onnx]'")
    if model.dtype_policy.name != "float32":
        raise ValueError(
            f"ONNX files are written of models in float32; this one is in {model.dtype_policy.name}"
            ": build it anew in float32 with its weights, or export a SavedModel."
        )


def _write_onnx(model, path):
    import onnx

    with warnings.catch_warnings():  # of NumPy, about tf2onnx
        warnings.simplefilter("ignore")
        model.export(path, format="onnx", verbose=False)
    proto = onnx.load(path)
    onnx.helper.set_model_props(proto, {CONFIG_KEY: _config(model)})
    onnx.checker.check_model(proto)
    onnx.save(proto, path)


def _run_onnx(path, clip):
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return session.run(None, {given.name: clip})[0]


def _config(model):
    return json.dumps(model.video_config.to_dict())
