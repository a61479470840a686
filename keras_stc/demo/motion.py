"""Motion videos: small encoded videos whose class is how an object moves, and nothing else.

Textured objects of a random shape move before a still, random background, filmed by a slightly
shaking camera. It drifts to one of four sides, turns one way or the other, approaches or recedes.
What a single frame shows says nothing about the class, by construction:

- Place, angle and size of the object live on circles, drawn uniformly, and motion goes around
  them: who leaves on the left comes back on the right, and who has become too large fades out
  while a small one fades in, as in Shepard's endlessly rising tone. Adding to something uniform on
  a circle leaves it uniform: every frame of every class is drawn from one and the same
  distribution. The same holds for the texture, a sum of waves, each with a phase, a direction and
  a pitch (the logarithm of its frequency).
- The same number shows the same scene in every class: the first frame of `move_left/007.mp4` is
  the first frame of `recede/007.mp4`, up to compression.

So a network that sees one frame at a time can only guess; it is the control of the demonstration.
"""

import concurrent.futures
import dataclasses
import os
import pathlib
import tempfile

import numpy as np

from keras_stc.checks import at_least
from keras_stc.data import VideoFolder
from keras_stc.data.cores import available_cores

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

#: Distance between neighbouring objects, in parts of a picture's side: the ends of the circle of
#: sizes.
SPACINGS = (0.8, 2.4)

#: Largest radius of an object, in parts of that distance.
RADIUS = 0.55

#: Name of a shape -> radius of its outline at an angle, at most 1.
SHAPES = {
    "ellipse": lambda angle: 1.0,
    "triangle": lambda angle: _polygon(angle, 3),
    "rectangle": lambda angle: _polygon(angle, 4),
    "hexagon": lambda angle: _polygon(angle, 6),
    "star": lambda angle: 0.75 + 0.25 * np.cos(5 * angle),
}


@dataclasses.dataclass(frozen=True)
class Scene:
    """Everything about a video but its class, drawn from one distribution.

    Attributes:
        waves: Phase, direction and pitch of each wave in the first frame, `(WAVES, 3)`, each on
            the circle [0, 1).
        speed: How fast it moves, within `SPEEDS`.
        middle: Where things turn and grow about, (x, y) in parts of a picture's side.
        shape: One of `SHAPES`.
        aspect: Width over height of the object.
        place: Of the objects in the first frame, between their neighbours, each of two on the
            circle [0, 1).
        angle: Of the objects in the first frame, on the circle [0, 1).
        size: Of the objects in the first frame, on the circle [0, 1): from the small end of
            `SPACINGS` to the large one.
        background: Waves of the background, as `waves`.
        background_colours: As `colours`.
        sharpness: Of the border between light and dark.
        colours: The dark one and the light one, `(2, 3)`, 0-255.
        shake: Camera's displacement (x, y) in each frame, in parts of a side, `(frames, 2)`.
        noise: Pixel noise, `(frames, size, size, 3)`, 0-255.
    """

    waves: np.ndarray
    speed: float
    middle: np.ndarray
    shape: str
    aspect: float
    place: np.ndarray
    angle: float
    size: float
    background: np.ndarray
    background_colours: np.ndarray
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
    at_least(1, videos_per_class=videos_per_class, frames=frames, fps=fps)
    if size < 16 or size % 2:
        raise ValueError(f"`size` must be even and at least 16 pixels. Received: size={size!r}")

    for name in classes:
        os.makedirs(os.path.join(folder, name), exist_ok=True)

    def write(number):
        scene = draw_scene(np.random.default_rng((seed, number)), frames, size)
        for name in classes:
            path = os.path.join(folder, name, f"{number:03d}.mp4")
            _encode(path, render(scene, name), fps)

    # NumPy and the encoder let each other run.
    with concurrent.futures.ThreadPoolExecutor(available_cores()) as pool:
        list(pool.map(write, range(videos_per_class)))
    return folder


def motion_sets(folder, train_videos, test_videos, seed=0, **options):
    """Motion videos to train and to test on, written once and whole.

    Args:
        folder: Where to; left as it is if it is there.
        train_videos: Number of videos in each class to train on.
        test_videos: Likewise to test on, of other scenes.
        seed: Of all that is random.
        **options: Of `write_motion_videos`.

    Returns:
        Two `VideoFolder`s.
    """
    folder = pathlib.Path(folder)
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
            unfinished = pathlib.Path(unfinished) / folder.name
            for part, (subset, count) in enumerate(
                (("train", train_videos), ("test", test_videos))
            ):
                write_motion_videos(unfinished / subset, count, seed=2 * seed + part, **options)
            unfinished.rename(folder)
    videos = VideoFolder(folder / "train")
    return videos, VideoFolder(folder / "test", videos.class_names)


def draw_scene(rng, frames, size):
    """A random `Scene`."""
    shake = rng.normal(scale=0.005, size=(frames, 2))
    return Scene(
        waves=rng.random((WAVES, 3)),
        speed=rng.uniform(*SPEEDS),
        middle=rng.uniform(0.4, 0.6, 2),
        shape=rng.choice(list(SHAPES)),
        aspect=np.exp(rng.uniform(-0.4, 0.4)),
        place=rng.random(2),
        angle=rng.random(),
        size=rng.random(),
        background=rng.random((WAVES, 3)),
        background_colours=_two_colours(rng, contrast=0.2),
        sharpness=rng.uniform(1, 2.5),
        colours=_two_colours(rng),
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
    object_light = texture(scene, wave_states(scene, motion), scene.middle)
    still = np.broadcast_to(scene.background, (len(scene.shake), WAVES, 3))
    picture = _paint(texture(scene, still, np.full(2, 0.5)), scene.background_colours)
    picture += silhouette(scene, motion)[..., np.newaxis] * (
        _paint(object_light, scene.colours) - picture
    )
    picture += scene.noise
    return np.clip(picture, 0, 255, out=picture).astype("uint8")


def texture(scene, states, middle):
    """Light between 0 and 1 in each pixel of each frame, `(frames, size, size)`.

    Args:
        scene: A `Scene`, for its size, shake and sharpness.
        states: Phase, direction and pitch of each wave in each frame, as `wave_states`.
        middle: Where the waves turn and grow about, (x, y).
    """
    phase, direction, pitch = np.moveaxis(states, -1, 0)
    kx, ky = 2 * np.pi * np.stack(_wave_vector(direction, pitch))
    weight = np.sin(np.pi * pitch) ** 2
    # Of the waves' sum in every frame: as sharp a picture whichever pitches are about.
    weight *= scene.sharpness * np.sqrt(2 / np.sum(weight**2, axis=1, keepdims=True))

    x, y = _axes(scene, middle)
    # sin(a + b) from the columns' a and the rows' b: one matrix product instead of a sine a pixel.
    a = x[..., np.newaxis] * kx[:, np.newaxis]
    b = y[..., np.newaxis] * ky[:, np.newaxis]
    b += 2 * np.pi * phase[:, np.newaxis]
    w = weight[:, np.newaxis]
    rows = np.concatenate([w * np.sin(b), w * np.cos(b)], axis=-1).astype("float32")
    columns = np.concatenate([np.cos(a), np.sin(a)], axis=-1).astype("float32")
    return 0.5 + 0.5 * np.tanh(rows @ columns.transpose(0, 2, 1))


def silhouette(scene, motion):
    """How much of each pixel is an object, `(frames, size, size)`, between 0 and 1."""
    right, down, clockwise, nearer = scene.speed * np.array(MOTIONS[motion])
    time = np.arange(len(scene.shake))
    x, y = _axes(scene, scene.middle)
    x = (x - right * time[:, np.newaxis])[:, np.newaxis, :].astype("float32")
    y = (y - down * time[:, np.newaxis])[:, :, np.newaxis].astype("float32")
    turn = 2 * np.pi * (scene.angle + clockwise * time)[:, np.newaxis, np.newaxis]
    cos, sin = np.cos(turn).astype("float32"), np.sin(turn).astype("float32")
    u, v = x * cos + y * sin, y * cos - x * sin
    stretch = np.float32(np.sqrt(scene.aspect))
    circle = scene.size + nearer * time / np.log(SPACINGS[1] / SPACINGS[0])
    background = 1.0
    for half in (0, 0.5):
        # Two sizes half a circle apart, whose opacities add up to one.
        place = ((circle + half) % 1)[:, np.newaxis, np.newaxis].astype("float32")
        spacing = SPACINGS[0] * (SPACINGS[1] / SPACINGS[0]) ** place
        # Each pixel's place around the object it is nearest to.
        a = ((u / spacing + np.float32(scene.place[0])) % 1 - 0.5) / stretch
        b = ((v / spacing + np.float32(scene.place[1])) % 1 - 0.5) * stretch
        outline = RADIUS * SHAPES[scene.shape](np.arctan2(b, a))
        edge = 1.5 / scene.noise.shape[1] / spacing
        inside = np.clip((outline - np.hypot(a, b)) / edge, 0, 1)
        background = background * (1 - np.sin(np.pi * place) ** 2 * inside)
    return 1 - background


def _axes(scene, middle):
    """Columns' x and rows' y in each frame, from `middle`, `(frames, size)` each."""
    axis = (np.arange(scene.noise.shape[1]) + 0.5) / scene.noise.shape[1]
    x, y = np.moveaxis(axis[:, np.newaxis, np.newaxis] - middle - scene.shake, -1, 0)
    return x.T, y.T


def _paint(light, colours):
    dark, bright = colours.astype("float32")
    return light[..., np.newaxis] * (bright - dark) + dark


def _two_colours(rng, contrast=1.0):
    dark, bright = rng.uniform(0, 90, 3), rng.uniform(165, 255, 3)
    # Around a random place between the two.
    middle = dark + rng.random() * (1 - contrast) * (bright - dark)
    return rng.uniform(0.6, 1) * np.stack([middle, middle + contrast * (bright - dark)])


def _polygon(angle, sides):
    part = 2 * np.pi / sides
    return np.cos(part / 2) / np.cos(angle % part - part / 2)


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
