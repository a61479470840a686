import numpy as np
import pytest

from keras_stc.data.clips import sampling


@pytest.mark.parametrize(
    ("num_frames", "frames", "stride", "starts"),
    [
        (1, 16, 2, [0]),
        (31, 16, 2, [0]),  # exactly what one clip touches
        (32, 16, 2, [0]),
        (33, 16, 2, [0]),
        (47, 16, 2, [0]),  # a rest of 15 frames is less than half a span of 32
        (48, 16, 2, [0, 17]),  # half a span: moved back, last frame 17 + 30 = 47
        (62, 16, 2, [0, 31]),
        (63, 16, 2, [0, 32]),  # the second clip just fits where it belongs
        (64, 16, 2, [0, 32]),
        (100, 16, 2, [0, 32, 64]),
        (116, 16, 2, [0, 32, 64, 85]),
        (9, 4, 1, [0, 4]),
        (10, 4, 1, [0, 4, 6]),
        (23, 4, 3, [0, 12]),  # touches 10 of a span of 12: frames 12 to 21
        (5, 1, 4, [0]),
        (6, 1, 4, [0, 4]),
    ],
)
def test_evaluation_clips_begin_at_multiples_of_the_span(num_frames, frames, stride, starts):
    clips = sampling.evaluation_clips(num_frames, frames, stride)
    assert clips[:, 0].tolist() == starts
    assert clips.shape == (len(starts), frames)
    assert clips.max() < num_frames
    if num_frames >= (frames - 1) * stride + 1:
        assert (np.diff(clips, axis=1) == stride).all()  # nothing loops


@pytest.mark.parametrize(
    ("num_frames", "frames", "stride", "clip"),
    [
        (4, 4, 1, [0, 1, 2, 3]),
        (5, 4, 1, [0, 1, 2, 3]),
        (6, 4, 1, [1, 2, 3, 4]),
        (7, 4, 2, [0, 2, 4, 6]),
        (9, 4, 2, [1, 3, 5, 7]),
        (3, 4, 1, [0, 1, 2, 0]),
        (6, 4, 2, [0, 2, 4, 0]),
        (1, 4, 2, [0, 0, 0, 0]),
    ],
)
def test_centre_clip(num_frames, frames, stride, clip):
    assert sampling.uniform_clips(num_frames, frames, stride, 1)[0].tolist() == clip


def test_training_clip_starts_are_uniform_over_all_that_fit():
    rng = np.random.default_rng(0)
    clips = np.stack([sampling.training_clip(10, 4, 2, rng) for _ in range(4000)])
    starts, counts = np.unique(clips[:, 0], return_counts=True)
    assert starts.tolist() == [0, 1, 2, 3]  # 3 + 6 = 9 is the last frame
    assert counts.min() > 900  # of 1000 expected; five standard deviations are 137
    assert (np.diff(clips, axis=1) == 2).all()


def test_short_videos_loop_in_training():
    rng = np.random.default_rng(0)
    assert sampling.training_clip(3, 5, 2, rng).tolist() == [0, 2, 1, 0, 2]


@pytest.mark.parametrize(
    ("num_frames", "count", "starts"),
    [(10, 1, [3]), (10, 2, [0, 6]), (10, 3, [0, 3, 6]), (4, 3, [0, 0, 0]), (2, 2, [0, 0])],
)
def test_uniform_clips(num_frames, count, starts):
    assert sampling.uniform_clips(num_frames, 4, 1, count)[:, 0].tolist() == starts


def test_spread_takes_the_middle_of_equal_parts():
    assert sampling.spread(np.arange(10), 2).tolist() == [2, 7]
    assert sampling.spread(np.arange(9), 3).tolist() == [1, 4, 7]
    assert sampling.spread(np.arange(3), 5).tolist() == [0, 1, 2]
    assert sampling.spread(np.arange(3), None).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("num_frames", "frames", "stride", "clip"),
    [
        # Steps of 0, 2.5, 5 and 7.5 touch 8 of 100 frames: 46 before them and 46 after.
        (100, 4, 2.5, [46, 48, 51, 53]),
        (100, 4, 0.5, [49, 49, 50, 50]),  # 49 before and after
        (10, 4, 20.979 / 6.993, [0, 3, 6, 9]),  # 3 but for rounding: 2.9999999999999996
    ],
)
def test_a_stride_need_not_be_whole(num_frames, frames, stride, clip):
    assert sampling.uniform_clips(num_frames, frames, stride, 1)[0].tolist() == clip


def test_evaluation_clips_at_a_frame_rate():
    clips = sampling.evaluation_clips(100, 8, 2.5)  # spans of 20 frames
    assert clips[:, 0].tolist() == [0, 20, 40, 60, 80]
    assert clips[1].tolist() == [20, 22, 25, 27, 30, 32, 35, 37]


@pytest.mark.parametrize(
    ("num_frames", "segments", "clip"),
    [
        (9, 3, [1, 4, 7]),
        (10, 3, [1, 5, 8]),  # parts of 0-2, 3-5, 6-9
        (8, 4, [1, 3, 5, 7]),  # of two middles the later, as TSN's own code
        (5, 5, [0, 1, 2, 3, 4]),
        (2, 4, [0, 0, 1, 1]),
        (1, 3, [0, 0, 0]),
    ],
)
def test_segments_show_the_middle_of_each_part(num_frames, segments, clip):
    (found,) = sampling.evaluation_clips(num_frames, segments, None)
    assert (
        found.tolist() == sampling.uniform_clips(num_frames, segments, None, 1)[0].tolist() == clip
    )
    assert sampling.ends(found[None], num_frames, segments, None).tolist() == [num_frames]


def test_several_clips_of_segments_divide_each_part():
    clips = sampling.uniform_clips(24, 3, None, 2)
    assert clips.tolist() == [[2, 10, 18], [6, 14, 22]]
    # Together, they are the middles of as many parts.
    assert sorted(clips.ravel()) == sampling.uniform_clips(24, 6, None, 1)[0].tolist()


@pytest.mark.parametrize(("num_frames", "parts"), [(10, [(0, 3), (3, 6), (6, 10)]), (2, None)])
def test_segments_of_training_are_uniform_over_each_part(num_frames, parts):
    rng = np.random.default_rng(0)
    clips = np.stack([sampling.training_clip(num_frames, 3, None, rng) for _ in range(3000)])
    for column, (begin, end) in zip(clips.T, parts or [(0, 1), (0, 1), (1, 2)], strict=True):
        frames, counts = np.unique(column, return_counts=True)
        assert frames.tolist() == list(range(begin, end))
        assert counts.min() > 0.85 * 3000 / (end - begin)


@pytest.mark.parametrize("bad", [(0, 4, 1), (4, 0, 1), (4, 4, 0)])
def test_impossible_clips_are_refused(bad):
    with pytest.raises(ValueError, match="must be .*. Received"):
        sampling.evaluation_clips(*bad)
