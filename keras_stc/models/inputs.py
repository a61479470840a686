"""Input and output of every network: checks, normalisation, pooling and classifier."""

import dataclasses

import keras
import numpy as np

from keras_stc.checks import positive_integer, wrong
from keras_stc.layers.frames import MiddleFrame
from keras_stc.models.video_model import VideoModel
from keras_stc.video_config import VideoConfig

#: More channels than this are taken for a side of the clip.
MAX_CHANNELS = 16

#: Shares of R, G and B in a grey value (ITU-R BT.601).
LUMA = (0.299, 0.587, 0.114)

#: Mean of channels that are no colours, such as optical flow stored as pixels: the middle of 0-255,
#: where nothing moves (our choice).
MIDDLE = 127.5


def clip_input(input_tensor, input_shape, default_shape, min_size, fixed_frames, min_frames=1):
    """The tensor a model starts from.

    Args:
        input_tensor: Keras tensor of shape `(B, T, H, W, C)`, or `None` for a new `Input`.
        input_shape: `(T, H, W, C)` or `None` for `default_shape`.
        default_shape: `(T, H, W, 3)` of the model's usual clip.
        min_size: Fewest pixels of height and width that leave something for the last stage.
        fixed_frames: Whether the network needs a fixed clip length.
        min_frames: Fewest frames that leave something for the last stage.

    Returns:
        A Keras tensor of shape `(B, T, H, W, C)`.

    Raises:
        ValueError: If the shape cannot be a clip for this network.
    """
    if keras.config.image_data_format() == "channels_first":
        raise ValueError(
            "Clips have shape (T, H, W, C) with the channels last, and Keras is set to "
            "channels_first: call keras.config.set_image_data_format('channels_last')."
        )
    if input_tensor is not None and not keras.utils.is_keras_tensor(input_tensor):
        raise ValueError(
            "`input_tensor` must be a Keras tensor, such as keras.Input((16, 112, 112, 3)). "
            f"Received: input_tensor of type {type(input_tensor).__name__}"
        )
    if input_shape is not None:
        _check_is_shape(input_shape)
    if input_tensor is not None:
        shape = tuple(input_tensor.shape[1:])
        if input_shape is not None and tuple(input_shape) != shape:
            raise ValueError(
                "`input_shape` must be that of `input_tensor`, or left out. Received: "
                f"input_shape={tuple(input_shape)}, input_tensor of shape {shape}"
            )
    else:
        shape = tuple(default_shape if input_shape is None else input_shape)
    _check_clip_shape(shape, min_size, fixed_frames, min_frames)
    return keras.Input(shape, name="clip") if input_tensor is None else input_tensor


def full_precision():
    """The dtype of what mixed precision leaves whole, logits and softmax: float32, or float64."""
    return "float64" if keras.config.dtype_policy().compute_dtype == "float64" else "float32"


def normalize(x, config):
    """Subtracts the mean and divides by the deviation that the weights were trained with.

    It is part of the model, so that every model takes the same clips, RGB 0-255, and no weights
    can meet the wrong preprocessing. In `full_precision` whatever the policy: it is cheap.
    """
    return keras.layers.Rescaling(
        scale=[1 / std for std in config.std],
        offset=[-mean / std for mean, std in zip(config.mean, config.std, strict=True)],
        dtype=full_precision(),
        name="normalization",
    )(x)


def asked_config(given, usual):
    """The `VideoConfig` that a caller asks for.

    Args:
        given: A `VideoConfig`; a dictionary of some of its fields, the others being `usual`'s,
            where a new `size` keeps the crop's share of the frame; or `None` for `usual`.
        usual: The `VideoConfig` of the network or its weights.

    Returns:
        A `VideoConfig`.
    """
    if not isinstance(given, dict):
        if given is not None and not isinstance(given, VideoConfig):
            raise wrong("a VideoConfig or a dictionary of some of its fields", video_config=given)
        return usual if given is None else given
    unknown = sorted(set(given) - {field.name for field in dataclasses.fields(VideoConfig)})
    if unknown:
        raise ValueError(
            "`video_config` must be a VideoConfig, or a dictionary of some of its fields. "
            f"Received: {', '.join(map(repr, unknown))}"
        )
    config = usual.replace(**given)
    if "size" in given and "resize" not in given:
        config = config.replace(resize=usual.resize_for(config.crop))
    return config


def fit_video_config(config, x):
    """The `VideoConfig` of a model that starts from clips `x`; unknown axes stay as they are."""
    return _sized(for_channels(config, x.shape[-1]), x)


def single_frame_clip(frames, size):
    """What a network without motion starts from, `input_tensor` of its constructor.

    Args:
        frames: Frames in a clip, of which the middle one stands in the place of all.
        size: Their height and width.

    Returns:
        A Keras tensor of shape `(B, frames, size, size, 3)`, made of an `Input`.
    """
    return MiddleFrame(name="middle_frame")(keras.Input((frames, size, size, 3), name="clip"))


def finish(clip, outputs, input_tensor, config, name, architecture):
    """The `VideoModel` from `clip`, or from what `input_tensor` was made of.

    That may be no clip, or one of other channels, whose `video_config` then says how many.

    Args:
        clip: What `clip_input` gave.
        outputs: Keras tensor.
        input_tensor: As the caller gave it, or `None`.
        config: The `VideoConfig` of `clip`.
        name: Name of the model.
        architecture: Arguments of `create_model`, which builds no network on an `input_tensor`.

    Returns:
        A `VideoModel`.
    """
    if input_tensor is None:
        return VideoModel(clip, outputs, name=name, video_config=config, architecture=architecture)
    inputs = keras.utils.get_source_inputs(input_tensor)
    inputs = inputs[0] if len(inputs) == 1 else inputs
    if not isinstance(inputs, list) and len(inputs.shape) == 5:
        config = _sized(config.replace(channels=inputs.shape[-1]), inputs)
    return VideoModel(inputs, outputs, name=name, video_config=config)


def _sized(base, x):
    """`base` with the frames and the size of clips `x`, where they are known."""
    _, frames, height, width, _ = x.shape
    size = (height or base.crop[0], width or base.crop[1])
    changes = {"frames": frames or base.frames}
    if size != base.crop:
        # The crop keeps its share of the frame.
        changes["size"] = size
        changes["resize"] = base.resize_for(size)
    return base.replace(**changes)


def for_channels(config, channels):
    """A `VideoConfig` for clips of so many channels.

    A grey clip has the luma of the mean of R, G and B, and the mean of what they are divided by;
    channels that are no colours have the middle of 0-255 as their mean.

    Args:
        config: A `VideoConfig`.
        channels: Integer.

    Returns:
        A `VideoConfig`; `config` where its mean and std are of so many channels.
    """
    if channels == config.channels == len(config.mean):
        return config
    mean = (MIDDLE,) * channels
    if channels == 1 and len(config.mean) == 3:
        mean = (sum(share * each for share, each in zip(LUMA, config.mean, strict=True)),)
    std = (sum(config.std) / len(config.std),) * channels
    return config.replace(channels=channels, mean=mean, std=std)


def head(x, include_top, pooling, classes, classifier_activation, classifier=None):
    """Pooling and classifier, as `keras.applications` arranges them.

    `classifier` is a function of `x`, `classes` and `classifier_activation`, for a network with a
    top of its own; by default, the mean of all positions and a dense layer.

    Returns:
        `(B, classes)` with the top; without it `(B, C)` for `pooling` "avg" or "max", otherwise
        the feature map `(B, T, H, W, C)`.
    """
    if pooling not in (None, "avg", "max"):
        raise ValueError(f'`pooling` must be None, "avg" or "max". Received: pooling={pooling!r}')
    if include_top:
        positive_integer(classes=classes)
        return (classifier or dense_classifier)(x, int(classes), classifier_activation)
    if pooling == "avg":
        return keras.layers.GlobalAveragePooling3D(name="avg_pool")(x)
    if pooling == "max":
        return keras.layers.GlobalMaxPooling3D(name="max_pool")(x)
    return x


def dense_classifier(x, classes, activation, dropout_rate=0.0):
    """The mean of all positions and a dense layer."""
    x = keras.layers.GlobalAveragePooling3D(name="avg_pool")(x)
    if dropout_rate:
        x = keras.layers.Dropout(dropout_rate, name="dropout")(x)
    dtype = full_precision()
    return keras.layers.Dense(classes, activation, dtype=dtype, name="predictions")(x)


def _check_is_shape(shape):
    sides = shape if isinstance(shape, (tuple, list)) else ["no side"]
    if not all(side is None or isinstance(side, (int, np.integer)) for side in sides):
        raise wrong("(frames, height, width, 3)", input_shape=shape)


def _check_clip_shape(shape, min_size, fixed_frames, min_frames):
    if len(shape) != 4:
        raise wrong("(frames, height, width, 3)", input_shape=shape)
    frames, height, width, channels = shape
    if channels is None or not 1 <= channels <= MAX_CHANNELS:
        hint = " Channels come last, not first." if 3 in (frames, height) else ""
        raise ValueError(
            "`input_shape` must be (frames, height, width, channels), with 3 channels for RGB and "
            f"at most {MAX_CHANNELS}.{hint} Received: input_shape={shape}"
        )
    if frames is None and fixed_frames:
        raise ValueError(
            "`input_shape` must fix the number of frames: the spatial branch of an STC block has "
            "weights for each time step. Give a number, as in (16, 112, 112, 3). "
            f"Received: input_shape={shape}"
        )
    if frames is not None and frames < min_frames:
        fewest = "one frame" if min_frames == 1 else f"{min_frames} frames"
        raise ValueError(
            f"`input_shape` must have at least {fewest}. Received: input_shape={shape}"
        )
    if any(side is not None and side < min_size for side in (height, width)):
        raise ValueError(
            f"`input_shape` must have a height and width of at least {min_size} pixels. "
            f"Received: input_shape={shape}"
        )
