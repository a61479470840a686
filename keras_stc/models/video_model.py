"""A functional Keras model that knows how it wants to be fed."""

from typing import Any

import keras

from keras_stc.checks import wrong
from keras_stc.layers.conv import on_tensorflow_cpu
from keras_stc.models.first_step import QuickFirstStep
from keras_stc.models.recompute import UnitByUnit
from keras_stc.video_config import VideoConfig


@keras.saving.register_keras_serializable("keras_stc")
class VideoModel(QuickFirstStep, keras.Model):
    """A functional model with a `video_config`, saved with it.

    Example:

    ```python
    model = keras_stc.STCResNet18(classes=3)
    model.save("model.keras")
    keras_stc.load_model("model.keras").video_config
    ```

    With TensorFlow, `fit` traces its step once, into one graph, and on the CPU runs it as it was
    traced: see `keras_stc.models.first_step.QuickFirstStep`.

    `model.recompute = "unit"` trains a residual network in less memory, for the time of a second
    pass forward.

    `keras.models.load_model` reads it too, after `import keras, keras_stc` in this order. A clone
    is `VideoModel.from_config(model.get_config())`: `keras.models.clone_model` leaves the
    `video_config` out, and is refused.

    Args:
        inputs: As `keras.Model`.
        outputs: As `keras.Model`.
        name: As `keras.Model`.
        video_config: The `VideoConfig` of the clips it takes; needed.
        architecture: Plain dictionary of the arguments `keras_stc.create_model` builds the same
            network from, or `None`.

    Raises:
        ValueError: If `video_config` is missing or does not fit the model's input.
    """

    def __init__(
        self,
        inputs: Any,
        outputs: Any,
        name: str | None = None,
        *,
        video_config: VideoConfig | dict[str, Any] | None = None,
        architecture: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(inputs=inputs, outputs=outputs, name=name, **kwargs)
        if on_tensorflow_cpu():
            from keras_stc.layers.tensorflow_kernels import warn_without_onednn

            warn_without_onednn()
        if isinstance(video_config, dict):
            video_config = VideoConfig.from_dict(video_config)
        if video_config is None:
            raise ValueError(
                "`video_config` must be given, since nobody could say how to feed the model "
                "without; keras.models.clone_model leaves it out: clone a model with "
                "VideoModel.from_config(model.get_config()). Received: video_config=None"
            )
        # Keras gives a model that comes from a file the policy of the moment.
        policies = (layer.dtype_policy for layer in self.layers if layer.weights)
        self.dtype_policy = next(policies, self.dtype_policy)
        self._video_config = video_config
        self.video_config = video_config
        self._architecture = _Opaque(architecture)
        self._by_unit = None

    def call(
        self, inputs: Any, training: bool | None = None, mask: Any = None, **kwargs: Any
    ) -> Any:
        if training and self._by_unit is not None and not keras.utils.is_keras_tensor(inputs):
            return self._by_unit(inputs)
        return super().call(inputs, training=training, mask=mask, **kwargs)

    def _compared_in_training(self, labels):
        return None if labels is None else (labels, self.output)

    @property
    def recompute(self) -> str | None:
        """What a training step computes twice instead of keeping it: `"unit"`, or `None`.

        With `"unit"`, of residual networks alone, the feature maps within one unit at a time are
        kept for the gradient. Results differ by rounding; a saved model says nothing of it.
        """
        return None if self._by_unit is None else "unit"

    @recompute.setter
    def recompute(self, value: str | None) -> None:
        if value not in (None, "unit"):
            raise wrong('None or "unit"', recompute=value)
        self._by_unit = None if value is None else UnitByUnit(self)
        self.train_function = None  # of a step that was built otherwise

    @property
    def video_config(self) -> VideoConfig:
        """How a clip has to look like: a `VideoConfig`."""
        return self._video_config

    @video_config.setter
    def video_config(self, config: VideoConfig) -> None:
        _check_fits(config, self.input_shape, self._video_config)
        classes = self.output_shape[-1]
        names = config.class_names
        if names is not None and len(names) != classes:
            raise ValueError(
                f"`class_names` must name each of the model's {classes} outputs. "
                f"Received: {len(names)} names"
            )
        self._video_config = config

    @property
    def architecture(self) -> dict[str, Any] | None:
        """Arguments from which `keras_stc.create_model` builds this network, or `None`."""
        return self._architecture.value

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "video_config": self.video_config.to_dict(),
            "architecture": self.architecture,
        }


class _Opaque:
    """Keeps Keras from turning a plain dictionary into a tracked one."""

    def __init__(self, value):
        self.value = value


def _check_fits(config, input_shape, previous):
    # A model built on an `input_tensor` may start from something that is not a clip.
    is_clip = isinstance(input_shape, tuple) and len(input_shape) == 5
    wanted = input_shape[1:] if is_clip else config.clip_shape
    if any(
        dim is not None and dim != given
        for dim, given in zip(wanted, config.clip_shape, strict=True)
    ):
        raise ValueError(
            f"`video_config` must describe clips of the model's input shape {wanted}. "
            f"Received: clips of shape {config.clip_shape}"
        )
    if (config.mean, config.std) != (previous.mean, previous.std):
        raise ValueError(
            "`mean` and `std` are part of the model (its layer `normalization`) and cannot be "
            f"changed afterwards. Received: mean={config.mean}, std={config.std}; the model has "
            f"mean={previous.mean}, std={previous.std}"
        )
