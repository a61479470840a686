import collections

import numpy as np
import pytest

from keras_stc.data.geometry import (
    Geometry,
    evaluation_geometry,
    generator,
    training_geometry,
)


@pytest.mark.parametrize(
    ("geometry", "frame", "size", "window"),
    [
        (Geometry((112, 112), 122), (240, 320), (122, 163), (5, 25)),
        (Geometry((112, 112), 122), (320, 240), (163, 122), (25, 5)),
        (Geometry((112, 112), 122, position="bottom_right"), (240, 320), (122, 163), (10, 51)),
        (Geometry((112, 112), 122, position="top_right"), (240, 320), (122, 163), (0, 51)),
        (Geometry((112, 112), 122, position="bottom_left"), (240, 320), (122, 163), (10, 0)),
        (Geometry((112, 112), 122, when_smaller=True), (240, 320), (240, 320), (64, 104)),
        (Geometry((112, 112), 122, when_smaller=True), (61, 100), (122, 200), (5, 44)),
        (Geometry((112, 112), 122), (1, 1), (122, 122), (5, 5)),
        (Geometry((112, 200), 122), (240, 320), (150, 200), (19, 0)),  # as wide as the crop
        (Geometry((112, 112)), (240, 320), (240, 320), (64, 104)),
        (Geometry((112, 112)), (48, 64), (112, 149), (0, 18)),
        (Geometry(short_side=24), (48, 64), (24, 32), (0, 0)),
        (Geometry((112, 112), (128, 171)), (256, 455), (128, 171), (8, 29)),
        (Geometry((112, 112), (100, 171)), (50, 50), (112, 171), (0, 29)),
        (Geometry(), (47, 65), (47, 65), (0, 0)),
    ],
)
def test_sizes(geometry, frame, size, window):
    assert geometry.frame_size(*frame) == size
    assert geometry.window(*size) == window


def test_cut_crops_and_mirrors_every_frame_alike():
    clip = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    cut = Geometry((2, 3), position="bottom_right").cut(clip)
    np.testing.assert_array_equal(cut, clip[:, 2:4, 2:5])
    cut = Geometry((2, 3), position="top_left", flip=True).cut(clip)
    np.testing.assert_array_equal(cut, clip[:, 0:2, [2, 1, 0]])


def test_training_uses_five_positions_and_mirrors_half():
    drawn = [training_geometry((112, 112), 122, generator(0, k)) for k in range(1000)]
    positions = collections.Counter(geometry.position for geometry in drawn)
    assert len(positions) == 5 and min(positions.values()) > 150
    assert 430 < sum(geometry.flip for geometry in drawn) < 570
    assert {geometry.short_side for geometry in drawn} == {122}


def test_mirroring_can_be_switched_off_and_changes_nothing_else():
    for k in range(50):
        on = training_geometry((112, 112), 122, generator(k))
        off = training_geometry((112, 112), 122, generator(k), flip=False)
        assert not off.flip and off.position == on.position


def test_multiscale_crops_are_fractions_of_the_short_side():
    drawn = [training_geometry((112, 112), 122, generator(k), multiscale=True) for k in range(200)]
    assert {g.short_side for g in drawn} == {112, 133, 158, 188, 224}  # 112 / scale
    assert all(min(g.frame_size(240, 320)) == g.short_side for g in drawn)


def test_evaluation_is_the_centre():
    assert evaluation_geometry((112, 112), 122) == Geometry((112, 112), 122)


def test_generators_differ_by_key_alone():
    assert generator(1, 2).random() == generator(1, 2).random()
    assert len({generator(1, k).random() for k in range(1, 100)}) == 99


@pytest.mark.parametrize(
    ("short_side", "larger"), [(48, 96), ((48, 60), (96, 120)), ((128, 171), (256, 342))]
)
def test_a_crop_of_another_size_shows_the_same(short_side, larger):
    """The window in frames that are twice as large is twice the window."""
    geometry = Geometry((32, 32), short_side, position="bottom_right", flip=True)
    twice = geometry.for_crop((64, 64))
    assert twice == Geometry((64, 64), larger, position="bottom_right", flip=True)
    sizes = [each.frame_size(240, 320) for each in (geometry, twice)]
    assert [2 * side for side in geometry.window(*sizes[0])] == [*twice.window(*sizes[1])]
    for bad in (Geometry((32, 32)), Geometry(short_side=48)):
        with pytest.raises(ValueError, match="`crops` must cut clips from frames that are resized"):
            bad.for_crop((64, 64))


@pytest.mark.parametrize(
    "bad",
    [
        {"crop": (0, 5)},
        {"short_side": 0},
        {"short_side": (0, 5)},
        {"short_side": (1, 2, 3)},
        {"position": "left"},
    ],
)
def test_impossible_geometry_is_refused(bad):
    with pytest.raises(ValueError, match="Received"):
        Geometry(**bad)
