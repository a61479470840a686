"""Motion videos: small encoded videos whose class is how the picture moves, and nothing else.

A camera looks at an endless random landscape of light and dark patches. The picture drifts to one
of four sides, turns one way or the other, approaches or recedes. What it shows says nothing about
the class, by construction:

- The landscape is a sum of waves. Each has a phase, a direction and a pitch (the logarithm of its
  frequency), and all three live on circles, drawn uniformly: the weight of a wave fades to
  nothing where the pitch wraps around, as in Shepard's endlessly rising tone. Drifting adds to
  the phases, turning to the directions, approaching and receding to the pitches. Adding to
  something uniform on a circle leaves it uniform: every frame of every class is drawn from one
  and the same distribution.
- The same number shows the same scene in every class: the first frame of `move_left/007.mp4` is
  the first frame of `recede/007.mp4`, up to compression.

So a network that sees one frame at a time can only guess; it is the control of the demonstration.
"""

import dataclasses
import os

import numpy as np

#: Class -> (right, down, clockwise, nearer) in speeds. A speed of 1 is one picture's side, one
#: turn or a factor of e in size a frame, times `Scene.speed`.
MOTIONS = {
    "approach": (0, 0, 0, 2.5),
    "clockwise": (0, 0, 0.7, 0),
    "counter_clockwise": (0, 0, -0.7, 0),
    "move_down": (0, 1, 0, 0),
    "move_left": (-1, 0, 0, 0),
    "move_right": (1, 0, 0, 0),
    "move_up": (0, -1, 0, 0),
    "recede": (0, 0, 0, -2.5),
}

#: Names of the classes, sorted as a folder of classes is read.
CLASSES = tuple(MOTIONS)

#: Slowest and fastest motion. Our choice, with `MOTIONS`: between two frames of the recipe's
#: clips most of the picture moves by one or two pixels, which a stem of 7 pixels can follow.
SPEEDS = (0.014, 0.026)

#: Cycles on a picture's side, lowest and highest: the ends of the circle of pitches. On 35
#: pixels, waves of 6 to 25 pixels.
CYCLES = (1.4, 5.6)

WAVES = 16


@dataclasses.dataclass(frozen=True)
class Scene:
    """Everything about a video but its class, drawn from one distribution.

    Attributes:
        waves: Phase, direction and pitch of each wave in the first frame, `(WAVES, 3)`, each on
            the circle [0, 1).
        speed: How fast it moves, within `SPEEDS`.
        middle: Where it turns and grows about, (x, y) in parts of a picture's side.
        sharpness: Of the border between light and dark.
        colours: The dark one and the light one, `(2, 3)`, 0-255.
        shake: Camera's displacement (x, y) in each frame, in parts of a side, `(frames, 2)`.
        noise: Pixel noise, `(frames, size, size, 3)`, 0-255.
    """

    waves: np.ndarray
    speed: float
    middle: np.ndarray
    sharpness: float
    colours: np.ndarray
    shake: np.ndarray
    noise: np.ndarray


def write_motion_videos(
    folder, videos_per_class, frames=24, size=64, fps=24, seed=0, classes=CLASSES
):
    """Writes `folder/<class>/<number>.mp4`, H.264, as a folder of classes.

    Example:

    ```python
    train = write_motion_videos("motion/train", 60, seed=0)
    test = write_motion_videos("motion/test", 16, seed=1)      # other scenes
    ```

    Args:
        folder: Where to; made if it is not there.
        videos_per_class: Number of videos in each class.
        frames: Frames in a video.
        size: Height and width in pixels; even, as H.264 wants it.
        fps: Frames per second.
        seed: Of all that is random. Video number i does not depend on how many there are.
        classes: Names out of `CLASSES`.

    Returns:
        `folder`.

    Raises:
        ValueError: If an argument is outside its range.
        ImportError: If PyAV is missing.
    """
    unknown = [name for name in classes if name not in MOTIONS]
    if unknown or not classes:
        raise ValueError(f"`classes` must be names out of {CLASSES}. Received: classes={classes!r}")
    for name, value in (("videos_per_class", videos_per_class), ("frames", frames), ("fps", fps)):
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {name}={value!r}")
    if size < 16 or size % 2:
        raise ValueError(f"`size` must be even and at least 16 pixels. Received: size={size!r}")

    for name in classes:
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    for number in range(videos_per_class):
        scene = draw_scene(np.random.default_rng((seed, number)), frames, size)
        for name in classes:
            path = os.path.join(folder, name, f"{number:03d}.mp4")
            _encode(path, render(scene, name), fps)
    return folder


def draw_scene(rng, frames, size):
    """A random `Scene`."""
    shake = rng.normal(scale=0.005, size=(frames, 2))
    dark, light = rng.uniform(0, 90, 3), rng.uniform(165, 255, 3)
    return Scene(
        waves=rng.random((WAVES, 3)),
        speed=rng.uniform(*SPEEDS),
        middle=rng.uniform(0.4, 0.6, 2),
        sharpness=rng.uniform(1, 2.5),
        colours=rng.uniform(0.6, 1) * np.stack([dark, light]),
        shake=shake - shake.mean(axis=0),
        noise=rng.normal(scale=rng.uniform(1, 5), size=(frames, size, size, 3)).astype("float32"),
    )


def wave_states(scene, motion):
    """Phase, direction and pitch of each wave in each frame, `(frames, WAVES, 3)`, on [0, 1).

    The shake is not in it.
    """
    right, down, clockwise, nearer = scene.speed * np.array(MOTIONS[motion])
    phase, direction, pitch = scene.waves.T
    time = np.arange(len(scene.shake))[:, np.newaxis]
    # y points down, so a growing angle turns clockwise. Only one of the three ever moves.
    x, y = _wave_vector(direction, pitch)
    phase = phase - time * (x * right + y * down)
    direction = direction + time * clockwise
    pitch = pitch - time * nearer / np.log(CYCLES[1] / CYCLES[0])
    return np.stack([phase, direction, pitch], axis=-1) % 1


def render(scene, motion):
    """The frames of a video, `(frames, size, size, 3)` uint8, RGB.

    Args:
        scene: A `Scene`.
        motion: One of `CLASSES`.
    """
    phase, direction, pitch = np.moveaxis(wave_states(scene, motion), -1, 0)
    kx, ky = 2 * np.pi * np.stack(_wave_vector(direction, pitch))
    weight = np.sin(np.pi * pitch) ** 2
    # Of the waves' sum in every frame: as sharp a picture whichever pitches are about.
    weight *= scene.sharpness * np.sqrt(2 / np.sum(weight**2, axis=1, keepdims=True))

    axis = (np.arange(scene.noise.shape[1]) + 0.5) / scene.noise.shape[1]
    x, y = np.moveaxis(axis[:, np.newaxis, np.newaxis] - scene.middle - scene.shake, -1, 0)
    # sin(a + b) from the columns' a and the rows' b: one matrix product instead of a sine a pixel.
    a = np.moveaxis(x, 0, 1)[..., np.newaxis] * kx[:, np.newaxis]
    b = np.moveaxis(y, 0, 1)[..., np.newaxis] * ky[:, np.newaxis]
    b += 2 * np.pi * phase[:, np.newaxis]
    w = weight[:, np.newaxis]
    rows = np.concatenate([w * np.sin(b), w * np.cos(b)], axis=-1).astype("float32")
    columns = np.concatenate([np.cos(a), np.sin(a)], axis=-1).astype("float32")
    light = 0.5 + 0.5 * np.tanh(rows @ columns.transpose(0, 2, 1))

    dark, bright = scene.colours.astype("float32")
    picture = light[..., np.newaxis] * (bright - dark)
    picture += dark
    picture += scene.noise
    return np.clip(picture, 0, 255, out=picture).astype("uint8")


def _wave_vector(direction, pitch):
    """Cycles on a picture's side, along x and along y."""
    cycles = CYCLES[0] * (CYCLES[1] / CYCLES[0]) ** pitch
    return cycles * np.cos(2 * np.pi * direction), cycles * np.sin(2 * np.pi * direction)


def _encode(path, pictures, fps):
    try:
        import av
    except ImportError as error:
        raise ImportError("Writing videos needs PyAV: pip install av") from error

    with av.open(str(path), "w") as container:
        # One thread and no look-ahead: setting those up is most of the time for so small a video.
        options = {"crf": "20", "preset": "veryfast", "tune": "zerolatency"}
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
