"""ResizedCrop against what resizes and cuts the frames of videos."""

import keras
import numpy as np
import pytest

from keras_stc.data.geometry import evaluation_geometry
from keras_stc.data.video.video_file import resize_rgb
from keras_stc.layers import ResizedCrop


@pytest.mark.parametrize(
    ("height", "width", "crop", "resize"),
    [
        (240, 320, (112, 112), 122),
        (90, 70, (112, 112), 122),
        (130, 129, (64, 96), 70),
        (96, 300, (112, 112), (128, 171)),
    ],
)
def test_swscale_resizes_alike(height, width, crop, resize):
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (2, 3, height // 8, width // 8, 3), "uint8")
    frames = small.repeat(8, axis=2).repeat(8, axis=3)  # edges, at every place of the filter
    frames = np.pad(frames, [(0, 0), (0, 0), (0, height % 8), (0, width % 8), (0, 0)], "edge")
    geometry = evaluation_geometry(crop, resize)
    size = geometry.frame_size(height, width)
    expected = [[geometry.cut(resize_rgb(frame, *size)) for frame in clip] for clip in frames]
    found = keras.ops.convert_to_numpy(ResizedCrop(crop, resize)(frames))
    assert found.shape == (2, 3, *crop, 3) and np.array_equal(found, found.round())
    differences = np.abs(found - np.array(expected, "float32"))
    # swscale's weights are integers, and it rounds after either side.
    assert differences.mean() < 1 and differences.max() <= 4


def test_what_a_frame_shows_stays_where_it_is():
    """A ramp of the width keeps its slope, and its middle is the middle of the crop."""
    ramp = np.broadcast_to(np.arange(200)[None, None, None, :, None], (1, 1, 100, 200, 3))
    found = keras.ops.convert_to_numpy(ResizedCrop((40, 40), 50)(ramp.astype("uint8")))
    assert np.abs(found[0, 0, 20, :, 0] - (60.5 + 2 * np.arange(40))).max() <= 0.5


def test_errors_and_configuration():
    with pytest.raises(ValueError, match=r"`resize` a number or .* pixels. Received: crop=\(0"):
        ResizedCrop((0, 112), 122)
    layer = ResizedCrop((48, 40), 64)
    again = ResizedCrop.from_config(layer.get_config())
    assert (again.crop, again.resize) == ((48, 40), 64)
    assert layer(keras.Input((4, None, None, 3), dtype="uint8")).shape == (None, 4, 48, 40, 3)
