"""Iterators that run ahead, and batches that several videos share."""

import threading
import time

import numpy as np
import pytest
import video_files

from keras_stc.data import VideoError, video_clips
from keras_stc.data.clips.background import Background, one_after_the_other
from keras_stc.data.clips.whole_video import shared_batches
from keras_stc.video_config import VideoConfig

COUNTS = (60, 5, 20, 33)
CONFIG = VideoConfig(frames=8, stride=2, size=32, resize=32)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    return [
        str(video_files.write_video(folder / f"{k}.mp4", count=count, size=(48, 48)))
        for k, count in enumerate(COUNTS)
    ]


def test_items_come_in_order_and_some_in_advance():
    made = []

    def items():
        for k in range(6):
            made.append(k)
            yield k

    running = Background(items(), 2)
    deadline = time.monotonic() + 10
    while len(made) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert made == [0, 1, 2]  # two wait, and one waits for room
    assert list(running) == list(range(6))
    assert list(running) == []


def test_an_error_comes_after_what_was_made_before_it():
    def items():
        yield 1
        raise VideoError("x.mp4 is empty.")

    running = Background(items(), 4)
    assert next(running) == 1
    with pytest.raises(VideoError, match="x.mp4 is empty"):
        next(running)


def test_closing_ends_threads_and_generators():
    before, ended = threading.active_count(), []

    def items(name):
        try:
            while True:
                yield name
        finally:
            ended.append(name)

    merged = one_after_the_other(map(items, "abc"), parallel=2, ahead=1)
    assert next(merged) == "a"
    merged.close()
    assert sorted(ended) == ["a", "b"] and threading.active_count() == before


def test_several_run_at_a_time():
    """Each waits for the other: one by one they would wait forever."""
    meet = threading.Barrier(2, timeout=10)

    def items(k):
        meet.wait()
        yield k

    assert list(one_after_the_other(map(items, range(4)), 2, 1)) == [0, 1, 2, 3]


@pytest.mark.parametrize("parallel", [1, 3])
@pytest.mark.parametrize("crops", [1, 3])
def test_shared_batches_are_the_clips_of_each_video(paths, tmp_path, parallel, crops):
    (tmp_path / "bad.mp4").write_text("text")
    videos = [*paths[:2], str(tmp_path / "bad.mp4"), *paths[2:]]
    options = {"batch_size": 4, "parallel": parallel, "crops": crops}
    batches = list(shared_batches(videos, CONFIG, **options))
    full = [batch for batch in batches if batch.clips is not None]
    sizes = [len(batch.owners) for batch in full]
    assert set(sizes[:-1]) == {4} and 0 < sizes[-1] <= 4 and len(batches) - len(full) <= 1
    owners = np.concatenate([batch.owners for batch in full])
    parts = zip(*(batch.clips for batch in full), strict=True)
    fields = [np.concatenate(part) for part in parts]
    ended = {}
    for batch in batches:
        ended.update(batch.ended)
    assert list(ended) == [0, 1, 2, 3, 4] and isinstance(ended[2], VideoError)
    for number, path in enumerate(videos):
        if number == 2:
            assert 2 not in owners
            continue
        (alone,) = video_clips(path, CONFIG, batch_size=100, crops=crops)
        assert ended[number] == (owners == number).sum() == len(alone.clips)
        for field, expected in zip(fields, alone, strict=True):
            np.testing.assert_array_equal(field[owners == number], expected)


def test_nothing_but_bad_videos_still_has_news(tmp_path):
    (batch,) = shared_batches([str(tmp_path / "missing.mp4")], CONFIG)
    assert batch.clips is None and len(batch.owners) == 0
    assert "missing.mp4 does not exist" in str(batch.ended[0])
    assert list(shared_batches([], CONFIG)) == []
