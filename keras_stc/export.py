"""A model for other programs: a SavedModel or an ONNX file, with how it wants to be fed inside."""

import gc
import importlib.util
import json
import os
import pathlib
import tempfile
import warnings

import keras
import numpy as np

from keras_stc.layers import ResizedCrop
from keras_stc.models.classifier import check_classifier, ends_in_softmax
from keras_stc.models.fold import for_inference

#: Name of the `video_config` within a SavedModel, where TensorFlow keeps users' own files.
CONFIG_FILE = "assets.extra/video_config.json"

#: Key of the `video_config` in an ONNX file's metadata.
CONFIG_KEY = "video_config"

#: Endings of files that somebody may ask for, and why they are not written.
REFUSED = {
    ".tflite": "TensorFlow Lite has no 3D pooling, which every network here begins with",
    ".keras": "that is what a run folder holds, and model.save writes",
    ".h5": "that is a file of Keras: model.save_weights writes it",
    ".pb": "a SavedModel is a folder, with a file saved_model.pb in it",
    ".pt": "PyTorch reads no graphs of TensorFlow",
    ".pth": "PyTorch reads no graphs of TensorFlow",
}


def export_model(
    model: keras.Model, path: str | os.PathLike[str], preprocessing: bool = False
) -> float | None:
    """Writes a model for programs that have no Keras, and runs what it wrote.

    The input is a batch of clips of any number, float32 `(B, T, H, W, 3)`, RGB 0-255; the network
    normalises them itself. The output is what the model puts out, in inference mode; batch
    normalisation of the zoo's networks is folded into their convolutions, as `fold_batch_norm`
    does. Frames, stride, size and names of classes stand in `assets.extra/video_config.json` of a
    SavedModel and under `video_config` in the metadata of an ONNX file, as JSON.

    Example:

    ```python
    keras_stc.export_model(model, "stc.onnx", preprocessing=True)
    session = onnxruntime.InferenceSession("stc.onnx")
    config = json.loads(session.get_modelmeta().custom_metadata_map["video_config"])
    probabilities = session.run(None, {"frames": frames})[0]
    ```

    Args:
        model: A model of this package, on the TensorFlow backend.
        path: A file that ends in `.onnx`, or a folder for a SavedModel. It must not exist.
        preprocessing: See `with_preprocessing`, which is what is exported then: uint8 frames of any
            size in, probabilities out.

    Returns:
        The largest difference between the outputs of the model and of what was written, on random
        clips; `None` for an ONNX file where onnxruntime is not installed.

    Raises:
        ValueError: If something is in the way at `path`, its ending is that of another kind of
            file, or the backend, the model's precision or its outputs do not allow it.
        ImportError: If ONNX is asked for and tf2onnx is not installed.
    """
    path = pathlib.Path(path)
    onnx = path.suffix == ".onnx"
    if path.suffix in REFUSED:
        raise ValueError(
            f"{path} cannot be written: {REFUSED[path.suffix]}. Name a file that ends in .onnx, or "
            "a folder for a SavedModel."
        )
    if path.exists():
        raise ValueError(f"{path} exists already: remove it, or choose another name.")
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Models are exported on the TensorFlow backend: set KERAS_BACKEND=tensorflow. "
            f"Received: {keras.backend.backend()}"
        )
    if onnx:
        _check_onnx(model)
    config = json.dumps(model.video_config.to_dict())
    clips = _random_clips(model, preprocessing)
    given = with_preprocessing(model) if preprocessing else model
    expected = keras.ops.convert_to_numpy(given(clips, training=False))
    model = for_inference(model)
    if preprocessing:
        model = with_preprocessing(model)
    model(clips[:1], training=False)  # Keras exports models that were called.
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside its place, so that it gets there in one step, whole.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        made = pathlib.Path(folder) / path.name
        write, run = (_write_onnx, _run_onnx) if onnx else (_write_saved_model, _run_saved_model)
        write(model, made, config)
        found = run(made, clips)
        made.replace(path)
    return None if found is None else float(np.abs(found - expected).max())


def with_preprocessing(model: keras.Model) -> keras.Model:
    """The model behind what `predict_video` does to frames, for programs that only decode.

    Frames are resized by their shorter side and cut at the centre as the `video_config` says;
    logits become probabilities. Which frames make a clip stays with the caller: `frames` of them,
    `stride` apart.

    Args:
        model: A `keras_stc.VideoModel` with a classifier, for RGB clips.

    Returns:
        A `keras.Model` from `frames`, uint8 `(B, T, height, width, 3)` of any height and width, RGB
        0-255, to probabilities, float32 `(B, classes)`.

    Raises:
        ValueError: If the model has no classifier, or takes clips that are not RGB.
    """
    config = model.video_config
    config.check_rgb()
    check_classifier(model, "`preprocessing` makes probabilities of frames, so ")
    frames = keras.Input((config.frames, None, None, 3), dtype="uint8", name="frames")
    outputs = model(ResizedCrop(config.crop, config.resize)(frames), training=False)
    if not ends_in_softmax(model):
        outputs = keras.layers.Softmax(dtype="float32", name="probabilities")(outputs)
    return keras.Model(frames, outputs, name=f"{model.name}_with_preprocessing")


def _random_clips(model, preprocessing):
    """Two clips for the model; with preprocessing, of frames larger than its crop, and wide."""
    config = model.video_config
    frames, height, width, channels = config.clip_shape
    if preprocessing:
        sides = config.resize if isinstance(config.resize, tuple) else (config.resize,) * 2
        height, width = 2 * sides[0] + 1, 3 * sides[1]
    clips = np.random.default_rng(0).integers(0, 256, (2, frames, height, width, channels), "uint8")
    return clips if preprocessing else clips.astype("float32")


def _write_saved_model(model, path, config):
    model.export(path, format="tf_saved_model", verbose=False)
    file = path / CONFIG_FILE
    file.parent.mkdir()
    file.write_text(config)


def _run_saved_model(path, clips):
    import tensorflow as tf

    model = tf.saved_model.load(str(path))
    return model.serve(clips).numpy()


def _check_onnx(model):
    for name in ("tf2onnx", "onnx"):
        if importlib.util.find_spec(name) is None:
            raise ImportError(f"ONNX needs the package {name}: pip install 'keras-stc[onnx]'")
    if model.dtype_policy.name != "float32":
        raise ValueError(
            f"ONNX files are written of models in float32; this one is in {model.dtype_policy.name}"
            ": build it anew in float32 with its weights, or export a SavedModel."
        )


def _write_onnx(model, path, config):
    import onnx

    with warnings.catch_warnings():  # of NumPy, about tf2onnx
        warnings.simplefilter("ignore")
        model.export(path, format="onnx", verbose=False)
    gc.collect()  # tf2onnx leaves some fifty copies of the weights in cycles.
    proto = onnx.load(path)
    onnx.helper.set_model_props(proto, {CONFIG_KEY: config})
    onnx.checker.check_model(proto)
    onnx.save(proto, path)


def _run_onnx(path, clips):
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return session.run(None, {given.name: clips})[0]
