import os
import types

import numpy as np
import pytest
import video_files

from keras_stc.data import (
    Geometry,
    VideoError,
    VideoReader,
    probe,
)
from keras_stc.data.video import cache, frame_index, numbering, video_file

#: Every file that must be read as FFmpeg's program reads it: name, then arguments of write_video.
FILES = {
    "constant.mp4": {},
    "thirty.mkv": {"rate": 30, "count": 100},  # times rounded to milliseconds
    "b_frames.mp4": {"bf": 3, "g": 12, "count": 60},
    "open_gop.mp4": {"x264_params": "open-gop=1:keyint=15:min-keyint=15:bframes=3", "count": 90},
    "open_gop.mkv": {"x264_params": "open-gop=1:keyint=15:min-keyint=15:bframes=3", "count": 90},
    "intra_refresh.mp4": {"x264_params": "intra-refresh=1:keyint=20:bframes=0", "count": 90},
    "long_gop.mp4": {"g": 120, "count": 250, "bf": 2},
    "transport.ts": {"g": 25, "bf": 2, "count": 90},  # begins at 1.4 s
    "raw.h264": {"g": 25, "bf": 2, "count": 60},  # no times at all
    "h265.mp4": {"codec": "libx265", "x265_params": "keyint=20:log-level=none", "count": 60},
    "xvid.avi": {"codec": "mpeg4", "bf": 2, "g": 12, "count": 60, "b": 10**6},
    "mpeg2.mpg": {"codec": "mpeg2video", "bf": 2, "g": 12, "count": 60, "b": 10**6},
    "vp8.webm": {"codec": "libvpx", "auto_alt_ref": 1, "lag_in_frames": 16, "b": 10**6},
    "vp9.webm": {"codec": "libvpx-vp9", "g": 20, "lag_in_frames": 16, "cpu_used": 8},
    "ten_bit.mkv": {"codec": "ffv1", "pix_fmt": "yuv420p10le"},
    "grey.mkv": {"codec": "ffv1", "pix_fmt": "gray"},
    "grey16.mkv": {"codec": "ffv1", "pix_fmt": "gray16le"},
    "chroma444.mp4": {"pix_fmt": "yuv444p"},
    "odd.mkv": {"codec": "ffv1", "pix_fmt": "yuv420p", "size": (47, 65)},
    "rgb.mp4": {"codec": "libx264rgb", "pix_fmt": "rgb24", "size": (47, 65), "qp": 0},
    "alpha.mov": {"codec": "qtrle", "pix_fmt": "argb"},
    "alpha.mkv": {"codec": "ffv1", "pix_fmt": "yuva420p"},
    "palette.gif": {"codec": "gif", "pix_fmt": "rgb8", "rate": 20},
    "full_range.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "one.mp4": {"count": 1},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("videos")


def written(folder, name, **arguments):
    path = folder / name
    return path if path.exists() else video_files.write_video(path, **arguments)


def read_all(path, **options):
    with VideoReader(path, **options) as reader:
        return reader.read(range(reader.info.num_frames))


@pytest.fixture
def decoded(monkeypatch):
    """The times of all frames that are decoded, skipped ones left out."""
    decode, times = video_file.VideoFile.decode, []
    monkeypatch.setattr(
        video_file.VideoFile,
        "decode",
        lambda *a: (times.append(frame.pts) or frame for frame in decode(*a)),
    )
    return times


@pytest.mark.parametrize("name", FILES)
def test_frames_are_ffmpegs_and_numbered(folder, name):
    path = written(folder, name, **FILES[name])
    count = FILES[name].get("count", 40)
    height, width = FILES[name].get("size", (48, 64))
    with VideoReader(path) as reader:
        info = reader.info
        assert (info.num_frames, info.height, info.width) == (count, height, width)
        assert info.fps == pytest.approx(FILES[name].get("rate", 25), rel=0.02)
        assert info.duration == pytest.approx(count / info.fps)
        clip = reader.read(range(count))
        assert clip.dtype == np.uint8
        assert video_files.numbers(clip) == list(range(count))
        np.testing.assert_array_equal(clip, video_files.ffmpeg_frames(path, height, width))
    # Anywhere, from one end to the other, repeated, and thinly spread; by readers that have not
    # found out anything about the file yet.
    rng = np.random.default_rng(0)
    for indices in (*rng.integers(count, size=(4, 5)), [count - 1], [0, 0], [0, count - 1]):
        with VideoReader(path) as reader:
            np.testing.assert_array_equal(reader.read(indices), clip[indices])


def test_frames_that_an_edit_list_trims_do_not_count(folder):
    source = written(folder, "b_frames.mp4", **FILES["b_frames.mp4"])
    path = folder / "trimmed.mp4"
    video_files.ffmpeg("-ss", "1.2", "-i", source, "-c", "copy", path)
    expected = video_files.ffmpeg_frames(path, 48, 64)
    frames = read_all(path)
    assert video_files.numbers(frames) == list(range(30, 60))
    np.testing.assert_array_equal(frames, expected)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_do_not_change_frames(folder, threads):
    path = written(folder, "open_gop.mp4", **FILES["open_gop.mp4"])
    np.testing.assert_array_equal(read_all(path, threads=threads), read_all(path))


@pytest.mark.parametrize("name", ["open_gop.mp4", "open_gop.mkv", "long_gop.mp4", "vp9.webm"])
def test_a_late_clip_is_decoded_from_its_key_frame(folder, name, decoded):
    path = written(folder, name, **FILES[name])
    whole = read_all(path)
    decoded.clear()
    with VideoReader(path) as reader:
        first = len(whole) - 8
        np.testing.assert_array_equal(reader.read(range(first, first + 4)), whole[first:-4])
    assert 0 < len(decoded) < first - 8


@pytest.mark.parametrize("late", [0, 5000])
def test_variable_rate_is_sampled_and_held(folder, late):
    # 25 per second, then 5, then 50.
    steps = [40] * 20 + [200] * 14 + [20] * 25
    times = (late + np.cumsum([0, *steps])[:-1]).tolist()
    path = written(folder, f"variable{late}.mkv", times=times, g=10)
    info = probe(path)
    assert info.num_frames == 59
    assert info.fps == pytest.approx(59 / 4.1, rel=0.01)
    clip = read_all(path)
    held = video_files.numbers(clip)
    middles = (np.arange(59) + 0.5) / info.fps * 1000 + late
    expected = [int(np.flatnonzero(np.array(times) <= middle)[-1]) for middle in middles]
    assert held == expected
    assert len(set(held)) < 59  # it really varies
    filtered = video_files.ffmpeg_frames(path, 48, 64, "-vf", f"fps={info.fps}")
    assert video_files.numbers(filtered)[:59] == held[: len(filtered)]
    with VideoReader(path) as reader:
        np.testing.assert_array_equal(reader.read([55, 30, 3]), clip[[55, 30, 3]])


def test_missing_frames_leave_a_constant_rate_alone(folder):
    lost = {20, 21, 40}
    times = [40 * k for k in range(60) if k not in lost]
    path = written(folder, "gaps.mkv", times=times)
    info = probe(path)
    assert (info.num_frames, info.fps) == (60, pytest.approx(25))
    shown = iter(range(57))
    expected, now = [], 0
    for k in range(60):
        now = now if k in lost else next(shown)
        expected.append(now)
    assert video_files.numbers(read_all(path)) == expected


@pytest.mark.parametrize("angle", [90, 180, 270])
@pytest.mark.parametrize("flip", [(), ("-display_hflip",)])
def test_rotated_frames_stand_upright(folder, angle, flip):
    source = written(folder, "constant.mp4")
    path = folder / f"rotated{angle}{len(flip)}.mp4"
    options = ("-display_rotation", angle, *flip)
    video_files.ffmpeg(*options, "-i", source, "-c", "copy", path)
    height, width = (48, 64) if angle == 180 else (64, 48)
    expected = video_files.ffmpeg_frames(path, height, width)
    info = probe(path)
    assert (info.height, info.width) == (height, width)
    if not flip:
        assert info.rotation == -angle % 360  # FFmpeg's option counts counterclockwise
    np.testing.assert_array_equal(read_all(path), expected)
    geometry = Geometry(crop=(20, 16), short_side=24, position="top_left")
    with VideoReader(path) as reader:
        clip = reader.read([7], geometry)
    assert clip.shape == (1, 20, 16, 3)
    whole = expected[7, :, :, :].reshape(height // 2, 2, width // 2, 2, 3).mean((1, 3))
    # 24 of 48 pixels: a bilinear filter two pixels wide differs little from the mean of 2 x 2.
    assert np.abs(clip[0] - whole[:20, :16]).mean() < 8


def test_colours_follow_the_files_matrix(folder):
    source = written(folder, "chroma444.mp4", **FILES["chroma444.mp4"])
    path = folder / "bt709.mkv"
    as_bt709 = ("-bsf:v", "h264_metadata=matrix_coefficients=1")
    video_files.ffmpeg("-i", source, "-c", "copy", *as_bt709, path)
    frames = read_all(path)
    np.testing.assert_array_equal(frames, video_files.ffmpeg_frames(path, 48, 64))
    assert np.abs(frames.astype(int) - read_all(source)).max() > 3  # not as bt601 would be


def test_resize_happens_before_the_crop(folder):
    path = written(folder, "constant.mp4")
    with VideoReader(path) as reader:
        small = reader.read([5], Geometry(short_side=24))
        assert small.shape == (1, 24, 32, 3)
        assert video_files.numbers(small) == [5]
        crop = reader.read([5], Geometry((16, 16), 24, position="bottom_right", flip=True))
        np.testing.assert_array_equal(crop, small[:, 8:, 16:][:, :, ::-1])


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p", "yuv444p", "yuv422p10le", "gray"])
@pytest.mark.parametrize("size", [(30, 41), (31, 42)])
def test_resized_frames_are_ffmpegs(folder, pix_fmt, size):
    codec = {"codec": "mjpeg" if pix_fmt == "yuvj420p" else "ffv1", "pix_fmt": pix_fmt}
    path = written(folder, f"resize_{pix_fmt}.mkv", size=(96, 130), count=3, **codec)
    height, width = size
    scale = ("-vf", f"scale={width}:{height}:flags=bilinear+full_chroma_int")
    expected = video_files.ffmpeg_frames(path, height, width, *scale).astype(int)
    geometry = Geometry(crop=size, short_side=height)
    assert geometry.frame_size(96, 130) == size
    with VideoReader(path) as reader:
        difference = np.abs(reader.read(range(3), geometry) - expected)
    assert difference.max() <= 1 and difference.mean() < 0.05


def test_avi_without_reordering_is_entered_at_key_frames(folder, decoded):
    path = written(folder, "plain.avi", codec="mpeg4", g=12, count=80, b=10**6)
    whole = read_all(path)
    decoded.clear()
    with VideoReader(path) as reader:
        np.testing.assert_array_equal(reader.read([64, 66, 68]), whole[[64, 66, 68]])
    assert decoded[0] == 60 and len(decoded) < 12


def test_of_frames_counted_before_those_nobody_wants_are_skipped(folder, decoded):
    path = written(folder, "reordered.avi", codec="mpeg4", bf=2, g=300, count=80, b=10**6)
    whole = video_files.ffmpeg_frames(path, 48, 64)
    for first, fewest, most in [
        (10, 17, 24),  # nothing was counted: all frames up to the last one
        (10, 8, 14),  # the same again
        (60, 44 + 6, 62),  # beyond what was counted, nothing is skipped
        (60, 27, 42),
        (30, 17, 29),
    ]:
        decoded.clear()
        indices = [first, first + 2, first + 4, first + 6]
        with VideoReader(path) as reader:
            np.testing.assert_array_equal(reader.read(indices), whole[indices])
        assert fewest <= len(decoded) <= most
    np.testing.assert_array_equal(read_all(path), whole)


def test_what_a_file_is_is_found_out_once_and_anew_when_it_changes(folder, monkeypatch):
    path = written(folder, "twice.mp4", g=10)
    scans, scan = [], video_file.VideoFile.scan
    monkeypatch.setattr(video_file.VideoFile, "scan", lambda self: scans.append(1) or scan(self))
    first = read_all(path)
    np.testing.assert_array_equal(read_all(path), first)
    assert len(scans) == 1
    video_files.write_video(path, count=7)
    assert len(read_all(path)) == 7 and len(scans) == 2


def test_known_files_take_no_more_than_they_may():
    files = cache.KnownFiles(capacity=3 * (cache.ENTRY + 10))
    for name in "abc":
        files.put(name, name, 10)
    assert files.get("a") == "a"
    files.put("d", "d", 10)  # b was used the longest time ago
    assert [files.get(name) for name in "abcd"] == ["a", None, "c", "d"]
    files.put("a", "A", 10)
    assert len(files) == 3 and files.get("a") == "A"
    files.put(None, "remote", 10)
    assert files.get(None) is None


def test_clips_share_frames_and_decode_once(folder, decoded):
    path = written(folder, "long_gop.mp4", **FILES["long_gop.mp4"])
    whole = read_all(path)
    decoded.clear()
    clips = [np.arange(0, 16), np.arange(8, 40, 2), np.arange(38, 54), np.array([40, 53, 41])]
    with VideoReader(path) as reader:
        for indices, clip in zip(clips, reader.clips(clips), strict=True):
            np.testing.assert_array_equal(clip, whole[indices])
        assert list(reader.clips([])) == []
    assert len(decoded) == len(set(decoded)) < 54  # some that nobody wants are not decoded at all


@pytest.mark.parametrize("indices", [[-1], [40], [], [0.5], [[0, 1]]])
def test_numbers_that_are_no_frames_are_refused(folder, indices):
    with VideoReader(written(folder, "constant.mp4")) as reader:
        with pytest.raises(ValueError, match="`indices` must be"):
            reader.read(indices)


def _empty(path):
    path.write_bytes(b"")


def _text(path):
    path.write_text("no video at all\n" * 200)


def _playlist(path):
    path.write_text("ffconcat version 1.0\nfile constant.mp4\n")


def _noise(path):
    path.write_bytes(np.random.default_rng(0).bytes(20000))


def _no_end(path):
    data = video_files.write_video(path).read_bytes()
    path.write_bytes(data[: len(data) // 2])  # the index at the end is gone


def _no_pictures(path):
    video_files.write_video(path)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    end = data.index(b"moov")
    data[start:end] = bytes(end - start)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("missing.mp4", lambda path: None, "does not exist"),
        ("folder.mp4", os.mkdir, "is a folder"),
        ("empty.mp4", _empty, "is empty"),
        ("text.mp4", _text, "not a video"),
        ("text.txt", _text, "not a video"),
        ("playlist.mp4", _playlist, "not a video"),
        ("noise.avi", _noise, "not a video"),
        ("sound.wav", video_files.write_sound, "no video stream, only audio"),
        ("no_end.mp4", _no_end, "not a video that FFmpeg can open"),
        ("no_pictures.mp4", _no_pictures, "no frame decodes"),
    ],
)
def test_what_is_no_video_is_refused_by_name(tmp_path, name, make, message):
    path = tmp_path / name
    make(path)
    with pytest.raises(VideoError, match=message) as caught:
        probe(path)
    text = str(caught.value)
    assert name in text and "\n" not in text and text.endswith(".")


@pytest.mark.parametrize("name", ["cut.mkv", "cut.avi", "cut.ts", "cut.mp4"])
def test_a_truncated_video_has_the_frames_that_decode(folder, name):
    codec = {"codec": "mpeg4", "b": 10**6} if name == "cut.avi" else {"g": 10}
    path = folder / name
    source = video_files.write_video(folder / f"whole_{name}", count=100, **codec)
    if name == "cut.mp4":
        video_files.ffmpeg("-i", source, "-c", "copy", "-movflags", "faststart", path)
        source = path
    whole = read_all(source)
    data = source.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.6)])
    with VideoReader(path) as reader:
        count = reader.info.num_frames
        assert 25 < count < 90
        clip = reader.read(range(count))
        assert clip.shape == (count, 48, 64, 3)
        # The last frames refer to what is lost.
        np.testing.assert_array_equal(clip[: count - 6], whole[: count - 6])
        np.testing.assert_array_equal(reader.read([count - 1])[0], clip[-1])


def test_damage_in_the_middle_is_passed_over(folder):
    source = written(folder, "long_gop.mp4", **FILES["long_gop.mp4"])
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 60] = os.urandom(60)
    path = folder / "damaged.mp4"
    path.write_bytes(data)
    assert read_all(path).shape == (250, 48, 64, 3)


def test_remote_files_go_through_fsspec(folder):
    fsspec = pytest.importorskip("fsspec")
    path = written(folder, "b_frames.mp4", **FILES["b_frames.mp4"])
    memory = fsspec.filesystem("memory")
    memory.pipe("/videos/x.mp4", path.read_bytes())
    np.testing.assert_array_equal(read_all("memory://videos/x.mp4"), read_all(path))
    with pytest.raises(VideoError, match="cannot be opened"):
        probe("memory://videos/none.mp4")


def test_without_pyav_there_is_one_sentence(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(ImportError, match="pip install av"):
        probe(folder / "any.mp4")


def test_times_that_make_no_sense_are_not_used():
    same = frame_index.by_time([0] * 8, [True] + [False] * 7, 512, 1 / 15360, 30.0)
    assert same.times is None and (same.num_frames, same.fps) == (8, 30.0)
    broken_clock = frame_index.by_time([*range(100, 200), *range(50)], [True] * 150, 1, 0.04, 25.0)
    assert broken_clock.times is None
    reordered = frame_index.by_time([0, 3, 1, 2, 4], [True] + [False] * 4, 1, 0.04, 99.0)
    assert reordered.times == range(5)
    assert reordered.fps == pytest.approx(25)


def test_frames_without_the_times_of_their_packets_are_counted():
    def ordinals(*times, first=0, known=range(10, 41, 10)):
        numbers = numbering.ByTime(frame_index.FrameIndex(4, 25.0, known), first)
        return [ordinal for ordinal, _ in numbers.number(frames("pts", *times))]

    assert ordinals(1, 7, known=np.array([1, 2, 7, 8])) == [0, 2]
    assert ordinals(10, 20, 40) == [0, 1, 3]
    assert ordinals(5, 20, 30, 40, first=2) == [2, 3]
    for lie in [(10, 25), (10, None), (20, 10), (10, 10), (40, 50)]:
        with pytest.raises(numbering.TimesLie):
            ordinals(*lie)


def test_counted_frames_are_known_again_by_when_they_left_the_decoder():
    def ordinals(*times, known=(2, 3, 5)):
        numbers = numbering.ByExit(known)
        found = [k for k, _ in numbers.number(frames("dts", *times))]
        return found, [] if numbers.learned is None else list(numbers.learned)

    assert ordinals(2, 3, 5) == ([0, 1, 2], [])
    assert ordinals(5, 6, 9, None, None) == ([2, 3, 4, 5, 6], [2, 3, 5, 6, 9])
    assert ordinals(1, 2, 3, None, known=()) == ([0, 1, 2, 3], [1, 2, 3])
    assert ordinals(None, None, known=()) == ([0, 1], [])
    for lie in [(2, 4), (3, 2), (2, 2), (5, 6, 6), (6, None, 7), (None, 6)]:
        with pytest.raises(numbering.TimesLie):
            ordinals(*lie)


def frames(clock, *times):
    return [types.SimpleNamespace(**{clock: time}) for time in times]


@pytest.mark.shared
def test_real_clips_are_read_as_ffmpeg_reads_them(shared):
    paths = [p for p in sorted((shared / "clips").iterdir()) if p.suffix not in (".csv", ".md")]
    paths += [shared / "fights/fight/fi079.mp4", shared / "fights/fight/fi127.mp4"]
    assert len(paths) > 10
    for path in paths:
        with VideoReader(path) as reader:
            info = reader.info
            expected = video_files.ffmpeg_frames(path, info.height, info.width)
            assert info.num_frames == len(expected), path
            rng = np.random.default_rng(0)
            for count in (6, 6, 2):  # what was decoded once may be skipped the next time
                some = rng.integers(len(expected), size=count)
                np.testing.assert_array_equal(reader.read(some), expected[some], str(path))
            assert 5 < info.fps < 61, path
