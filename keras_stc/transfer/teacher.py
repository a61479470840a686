"""`FrameTeacher`: a frozen 2D network that looks at the frames of a clip; bases of all teachers."""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_stc.checks import wrong
from keras_stc.models.first_step import QuickFirstStep

if TYPE_CHECKING:
    from typing_extensions import Self

#: Pattern of the whole name of a model in `keras.applications`, in small letters and without
#: `-_.` -> the module with its preprocessing. Networks that are not there, such as ResNet-18, were
#: trained elsewhere, on pixels prepared otherwise.
PREPROCESSING = {
    r"resnet(50|101|152)v2": "resnet_v2",
    r"resnet(50|101|152)": "resnet",
    r"inceptionresnetv2": "inception_resnet_v2",
    r"inceptionv3": "inception_v3",
    r"xception": "xception",
    r"vgg16": "vgg16",
    r"vgg19": "vgg19",
    r"densenet(121|169|201)": "densenet",
    r"mobilenetv2(\d+(none)?)?": "mobilenet_v2",
    r"mobilenetv3(small|large)": "mobilenet_v3",
    r"mobilenet(\d+(none)?)?": "mobilenet",
    r"nasnet(mobile|large)?": "nasnet",
    r"efficientnetv2(b[0-3]|[sml])": "efficientnet_v2",
    r"efficientnetb[0-7]": "efficientnet",
    r"convnext(tiny|small|base|large|xlarge)": "convnext",
}


class Teacher:
    """A Keras model that is frozen where it stands: every layer of it gets `trainable=False`.

    Args:
        model: A Keras model.
    """

    def __init__(self, model: keras.Model) -> None:
        for layer in _layers(model):
            # One by one: on TensorFlow a parent that is frozen already passes nothing on.
            layer.trainable = False
        self.model = model

    def fingerprint(self) -> str:
        """SHA-256 of the weights in hexadecimal: whether two teachers are the same one."""
        digest = hashlib.sha256()
        for weight in self.model.weights:
            digest.update(ops.convert_to_numpy(weight).tobytes())
        return digest.hexdigest()

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "model": keras.saving.deserialize_keras_object(config["model"])})


class Taught(QuickFirstStep, keras.Model):
    """A student and its teacher, as `fit` takes them; the base of those that say what is learned.

    `save_weights` leaves the teacher's weights out; `save` writes them along, once, since a model
    without its teacher is not whole.
    """

    student: keras.Model
    teacher: Any  #: A `Teacher`, of the kind that this student has.

    #: Called without anything: outputs as of one clip, of any values.
    _example_outputs: Callable[[], Any]

    #: Called with outputs: `(what they are to be, what of them is compared with that)`.
    _compared: Callable[..., tuple[Any, Any]]

    #: Called with weights of samples, never `None`: those of what is compared.
    _weighted: Callable[..., Any]

    def _compared_in_training(self, labels):
        return self._compared(self._example_outputs())

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        weight = None if sample_weight is None else self._weighted(sample_weight)
        return super().compute_loss(x, *self._compared(y_pred), weight, training)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        weight = None if sample_weight is None else self._weighted(sample_weight)
        return super().compute_metrics(x, *self._compared(y_pred), weight)

    def save_assets(self, folder: str) -> None:
        """Called by `save`, and not by `save_weights`: the teacher's weights."""
        self.teacher.model.save_weights(f"{folder}/teacher.weights.h5")

    def load_assets(self, folder: str) -> None:
        self.teacher.model.load_weights(f"{folder}/teacher.weights.h5")

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "student": keras.saving.serialize_keras_object(self.student),
            "teacher": keras.saving.serialize_keras_object(self.teacher),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        parts = {
            key: keras.saving.deserialize_keras_object(config[key])
            for key in ("student", "teacher")
        }
        return cls(**{**config, **parts})

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)


@keras.saving.register_keras_serializable("keras_stc")
class FrameTeacher(Teacher):
    """A 2D image model, frozen for good, whose features are averaged over the frames of a clip.

    The model is frozen where it stands: every layer of it gets `trainable=False`. It always runs in
    inference mode, and no gradient goes through it. Since a `FrameTeacher` is no Keras layer, the
    weights are neither among those of a model that uses it nor in a file that `save_weights`
    writes, and setting that model's `trainable` does not reach them. With JAX they are constants of
    a compiled step: load other weights before the first one.

    Example:

    ```python
    resnet = keras.applications.ResNet50(include_top=False, pooling="avg")
    teacher = keras_stc.transfer.FrameTeacher(resnet)
    teacher(frames)     # (B, 16, 224, 224, 3), RGB 0-255 -> (B, 2048)
    ```

    Args:
        model: A Keras model from images `(B, H, W, 3)` to features, `(B, D)` or `(B, H', W', D)`;
            a feature map is averaged. Under a `tf.distribute` strategy, make it inside the
            strategy's scope, or every replica fetches the weights from the first at each step.
        preprocess: What `model` was trained with: the name of a module of `keras.applications`
            ("resnet"), or a function of float32 images, RGB 0-255, that speaks `keras.ops`.
            Defaults to the module that belongs to `model.name`.
        chunk: Most frames that run through the model at a time, which bounds the memory. They run
            in equal parts, so a number of frames that nothing divides runs frame by frame.

    Attributes:
        features: D, the number of features.
        classes: 0: it names no classes.

    Raises:
        ValueError: If the model has a classifier or gives no features, if nothing is known of its
            preprocessing, or if `chunk` is not positive.
    """

    classes = 0

    def __init__(
        self,
        model: keras.Model,
        preprocess: str | Callable[..., Any] | None = None,
        chunk: int = 64,
    ) -> None:
        if not isinstance(model, keras.Model) or len(getattr(model, "inputs", None) or ()) != 1:
            raise ValueError(
                "`model` must be a Keras model with one input, images (B, H, W, 3). "
                f"Received: {model!r}"
            )
        rank = len(model.output_shape) if isinstance(model.output_shape, tuple) else 0
        if len(model.input_shape) != 4 or rank not in (2, 4):
            raise ValueError(
                "`model` must map images (B, H, W, 3) to features (B, D) or (B, H', W', D). "
                f"Received: {model.input_shape} to {model.output_shape}"
            )
        last = model.layers[-1]
        if (
            last.name == "predictions"
            or isinstance(last, keras.layers.Softmax)
            or getattr(last, "activation", None) is keras.activations.softmax
        ):
            raise ValueError(
                "`model` must end in features: build it with include_top=False, pooling='avg'. "
                f"Received: {model.name!r} with its classifier"
            )
        if not isinstance(chunk, int) or chunk < 1:
            raise ValueError(f"`chunk` must be a positive number of frames. Received: {chunk!r}")
        super().__init__(model)
        self.preprocess = _preprocessing_of(model) if preprocess is None else preprocess
        self.chunk = chunk
        self.features = model.output_shape[-1]
        self._prepare = _preprocess_function(self.preprocess)

    def __call__(self, frames: Any) -> Any:
        """The features of clips.

        Args:
            frames: `(B, T, H, W, 3)`, RGB 0-255, T known.

        Returns:
            float32 `(B, D)`.
        """
        batch, count = frames.shape[:2]
        if count is None:
            raise ValueError(
                f"`frames` must have a known number of frames. Received: shape {frames.shape}"
            )
        total = count * (batch or 1)
        chunk = next(d for d in range(min(total, self.chunk), 0, -1) if total % d == 0)
        images = ops.reshape(frames, (-1, chunk, *ops.shape(frames)[2:]))
        if images.shape[0] == 1:
            features = self._features(images[0])
        else:
            features = _one_by_one(self._features, images, (chunk, self.features))
        features = ops.mean(ops.reshape(features, (-1, count, self.features)), axis=1)
        return ops.stop_gradient(features)

    def said(self, frames: Any) -> dict[str, Any]:
        """What calling it returns, by the name of a distillation's loss."""
        return {"features": self(frames)}

    def check_frame_size(self, frame_size: int) -> None:
        """Raises the `ValueError` for frames of which its last layers have nothing left."""
        try:
            self.model.compute_output_shape((1, frame_size, frame_size, 3))
        except ValueError as error:
            raise ValueError(
                f"`frame_size` must be a size that the teacher {self.model.name} can see: its last "
                f"layers have nothing left of smaller frames. Received: frame_size={frame_size}"
            ) from error

    def get_config(self) -> dict[str, Any]:
        return {
            "model": keras.saving.serialize_keras_object(self.model),
            "preprocess": self.preprocess
            if isinstance(self.preprocess, str)
            else keras.saving.serialize_keras_object(self.preprocess),
            "chunk": self.chunk,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        config = dict(config)
        if not isinstance(config["preprocess"], str):
            config["preprocess"] = keras.saving.deserialize_keras_object(config["preprocess"])
        return super().from_config(config)

    def _features(self, images):
        """`(N, H, W, 3)` to float32 `(N, D)`."""
        features = self.model(self._prepare(ops.cast(images, "float32")), training=False)
        features = ops.cast(features, "float32")
        return ops.mean(features, axis=(1, 2)) if len(features.shape) == 4 else features


def _one_by_one(function, chunks, shape):
    """`function` of each chunk, stacked; never two of them in memory at once."""
    if keras.backend.backend() != "tensorflow":
        return ops.map(function, chunks)
    import tensorflow as tf

    # `ops.map` lets TensorFlow run ten at a time.
    return tf.map_fn(
        function,
        chunks,
        parallel_iterations=1,
        fn_output_signature=tf.TensorSpec(shape, tf.float32),
    )


def _layers(model):
    """All layers, those in models and wrappers inside too."""
    yield model
    inner = [*getattr(model, "layers", ()), getattr(model, "layer", None)]
    for layer in inner:
        if isinstance(layer, keras.Layer):
            yield from _layers(layer)


def _preprocessing_of(model):
    name = re.sub(r"[-_.]", "", model.name).lower()
    for pattern, module in PREPROCESSING.items():
        if re.fullmatch(pattern, name):
            return module
    raise ValueError(
        "`preprocess` must say how the teacher's images were prepared when it was trained, since "
        f"the name of the model, {model.name!r}, is none of keras.applications: give the name of a "
        "module there, such as 'resnet', or a function of images, RGB 0-255."
    )


def _preprocess_function(preprocess):
    if callable(preprocess):
        return preprocess
    known = sorted(set(PREPROCESSING.values()))
    if preprocess not in known:
        raise wrong(f"one of {', '.join(known)} or a function", preprocess=preprocess)
    return importlib.import_module(f"keras.applications.{preprocess}").preprocess_input
