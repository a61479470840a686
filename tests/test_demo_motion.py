"""The demonstration's videos: they move as their class says, and one frame does not tell."""

import dataclasses

import numpy as np
import pytest

from keras_stc.demo.motion import (
    CLASSES,
    draw_scene,
    render,
    silhouette,
    texture,
    wave_states,
    write_motion_videos,
)

av = pytest.importorskip("av")

FRAMES, SIZE = 24, 64


def decode(path):
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def still_camera(scene):
    return dataclasses.replace(scene, shake=scene.shake * 0, middle=np.array([0.5, 0.5]))


def grey_video(scene, name):
    """The motion of the objects' texture alone, about the middle of the picture."""
    scene = still_camera(scene)
    return 255 * texture(scene, wave_states(scene, name), scene.middle).astype(float)


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(np.random.default_rng((5, k)), FRAMES, SIZE) for k in range(8)]


def test_folder_of_classes(tmp_path):
    folder = write_motion_videos(tmp_path / "motion", 2, frames=6, size=32, fps=12)
    assert folder == tmp_path / "motion"
    assert sorted(path.name for path in folder.iterdir()) == list(CLASSES) == sorted(CLASSES)
    assert len(CLASSES) == 8
    for name in CLASSES:
        assert sorted(p.name for p in (folder / name).iterdir()) == ["000.mp4", "001.mp4"]
    pictures = decode(folder / "clockwise" / "001.mp4")
    assert pictures.shape == (6, 32, 32, 3)
    # What was encoded comes back, but for compression and chroma at half the resolution.
    drawn = render(draw_scene(np.random.default_rng((0, 1)), 6, 32), "clockwise")
    assert np.abs(pictures.astype(float) - drawn).mean() < 8


def test_seed_decides_and_count_does_not(tmp_path):
    one = write_motion_videos(tmp_path / "a", 1, frames=4, size=32, seed=3, classes=["recede"])
    two = write_motion_videos(tmp_path / "b", 2, frames=4, size=32, seed=3, classes=["recede"])
    other = write_motion_videos(tmp_path / "c", 1, frames=4, size=32, seed=4, classes=["recede"])
    first = (one / "recede" / "000.mp4").read_bytes()
    assert first == (two / "recede" / "000.mp4").read_bytes()
    assert first != (two / "recede" / "001.mp4").read_bytes()
    assert first != (other / "recede" / "000.mp4").read_bytes()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"classes": ["sideways"]}, "sideways"),
        ({"classes": []}, "classes"),
        ({"size": 33}, "size"),
        ({"videos_per_class": 0}, "videos_per_class"),
        ({"frames": 0}, "frames"),
    ],
)
def test_bad_arguments_are_named(tmp_path, changes, word):
    with pytest.raises(ValueError, match=word):
        write_motion_videos(**{"folder": tmp_path, "videos_per_class": 1, **changes})


@pytest.mark.parametrize(
    ("name", "down", "right"),
    [("move_left", 0, -1), ("move_right", 0, 1), ("move_up", -1, 0), ("move_down", 1, 0)],
)
def test_objects_drift_with_their_texture(scenes, name, down, right):
    """At one pixel a frame, frame 7 is frame 0 moved by 7 pixels."""
    for scene in scenes:
        scene = dataclasses.replace(still_camera(scene), speed=1 / SIZE)
        for pixels in (
            texture(scene, wave_states(scene, name), scene.middle),
            silhouette(scene, name),
        ):
            moved = np.roll(pixels[0], (7 * down, 7 * right), axis=(0, 1))
            inside = slice(7, -7)
            np.testing.assert_allclose(pixels[7][inside, inside], moved[inside, inside], atol=1e-2)
            assert np.abs(pixels[7] - pixels[0]).max() > 0.1


def test_the_background_stands_still(scenes):
    for scene in scenes:
        scene = dataclasses.replace(still_camera(scene), noise=scene.noise * 0)
        for name in CLASSES:
            pictures, behind = render(scene, name).astype(float), silhouette(scene, name) == 0
            seen_twice = behind[0] & behind[1]
            np.testing.assert_allclose(pictures[0][seen_twice], pictures[1][seen_twice], atol=1)


@pytest.mark.parametrize(
    ("name", "turn", "growth"),
    [
        ("clockwise", 0.7 * 2 * np.pi, 0),
        ("counter_clockwise", -0.7 * 2 * np.pi, 0),
        ("approach", 0, 2.5),
        ("recede", 0, -2.5),
    ],
)
def test_optical_flow_turns_and_grows(scenes, name, turn, growth):
    for scene in scenes:
        flow = turn_and_growth(grey_video(scene, name)) / scene.speed
        # Brightness is constant but for the waves that fade in and out.
        np.testing.assert_allclose(flow, [turn, growth], atol=0.8)


def test_first_frame_is_the_same_in_every_class(scenes):
    for scene in scenes:
        first = [render(scene, name)[0] for name in CLASSES]
        last = [render(scene, name)[-1] for name in CLASSES]
        for k in range(1, len(CLASSES)):
            np.testing.assert_array_equal(first[0], first[k])
            assert np.abs(last[0].astype(float) - last[k]).mean() > 1


@pytest.mark.parametrize("frame", [0, FRAMES // 2, FRAMES - 1])
def test_waves_are_uniform_in_every_frame_of_every_class(frame):
    drawn = [draw_scene(np.random.default_rng((9, k)), FRAMES, 16) for k in range(100)]
    for name in CLASSES:
        states = np.concatenate([wave_states(scene, name)[frame] for scene in drawn])
        for values in states.T:
            counts = np.histogram(values, bins=8, range=(0, 1))[0]
            # Chi-squared with 7 degrees of freedom stays below 30 in all but 1 of 10,000 draws.
            assert ((counts - len(values) / 8) ** 2 / (len(values) / 8)).sum() < 30


@pytest.mark.parametrize("frame", [FRAMES // 2, pytest.param(FRAMES - 1, marks=pytest.mark.slow)])
def test_statistics_of_one_frame_do_not_tell_the_class(frame):
    def features(seed):
        drawn = [draw_scene(np.random.default_rng((seed, k)), FRAMES, 32) for k in range(40)]
        return np.array([[statistics(render(s, name)[frame]) for s in drawn] for name in CLASSES])

    train, test = features(1), features(2)
    scale = train.std(axis=(0, 1))
    centroids = train.mean(axis=1) / scale
    distance = np.linalg.norm(test[:, :, np.newaxis] / scale - centroids, axis=-1)
    accuracy = (distance.argmin(axis=-1) == np.arange(len(CLASSES))[:, np.newaxis]).mean()
    # Chance is 1/8; of 320 guesses the standard deviation is 0.0185.
    assert accuracy < 0.125 + 4 * 0.0185


def turn_and_growth(grey):
    """Radians and parts of its size by which a video turns and grows a frame.

    Least squares on the brightness constancy equation, about the middle of the picture.
    """
    middle = (np.arange(grey.shape[-1]) + 0.5) - grey.shape[-1] / 2
    gy, gx = np.gradient(grey, axis=(1, 2))
    gt = np.diff(grey, axis=0)
    gy, gx = (gy[1:] + gy[:-1]) / 2, (gx[1:] + gx[:-1]) / 2
    turn = gy * middle - gx * middle[:, np.newaxis]
    growth = gx * middle + gy * middle[:, np.newaxis]
    near = np.hypot(middle, middle[:, np.newaxis]) < grey.shape[-1] / 3  # small steps alone
    basis = np.stack([turn[:, near].ravel(), growth[:, near].ravel()], axis=1)
    return np.linalg.lstsq(basis, -gt[:, near].ravel(), rcond=None)[0]


def statistics(picture):
    """Of one frame: colour, contrast, orientation, coarseness, and where it is light."""
    grey = picture.astype(float).mean(axis=-1)
    gy, gx = np.gradient(grey)
    coarse = grey.reshape(4, 8, 4, 8).mean(axis=(1, 3))
    edges = [np.mean(gx * gx), np.mean(gy * gy), np.mean(gx * gy)]
    return [*picture.mean(axis=(0, 1)), grey.std(), *edges, *coarse.ravel()]
