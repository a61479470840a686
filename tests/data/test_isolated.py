import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import types

import numpy as np
import pytest
import video_files

import keras_stc
from keras_stc.data import (
    Geometry,
    Video,
    VideoError,
    VideoReader,
    VideoSet,
    clip_dataset,
    video_clips,
)
from keras_stc.data.video import cache, isolated, video_file, worker
from keras_stc.video_config import VideoConfig

CONFIG = VideoConfig(frames=4, stride=2, size=32, resize=32)

#: A helper's start that makes it crash or hang in C when it opens files of a certain name.
FAULTS = """
import ctypes, time
from keras_stc.data.video import video_file

scan = video_file.VideoFile.scan

def faulty(self):
    if "crash" in self.path:
        ctypes.string_at(0)
    if "hang" in self.path:
        ctypes.PyDLL(None).sleep(1000)
    return scan(self)

video_file.VideoFile.scan = faulty
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module")
def path(folder):
    return str(video_files.write_video(folder / "good.mp4", size=(48, 48)))


def test_a_helper_finds_the_package_where_it_was_found(path, tmp_path):
    """Also where that is neither installed nor in PYTHONPATH."""
    root = os.path.dirname(os.path.dirname(keras_stc.__file__))
    program = (
        f"import sys; sys.path.insert(0, {root!r})\n"
        "from keras_stc.data.video.isolated import open_isolated\n"
        f"print(open_isolated({path!r}).info.num_frames)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert int(done.stdout) > 0, done.stderr


@pytest.fixture()
def faulty_helpers(tmp_path, monkeypatch):
    """Real helper processes, in which real crashes and hangs happen at the right moment."""
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(FAULTS))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    isolated.close_helpers()
    yield
    isolated.close_helpers()


def test_a_helper_reads_the_same_frames(path):
    clips, geometry = [np.arange(0, 8, 2), np.arange(20, 28)], Geometry((20, 24), 30, flip=True)
    with VideoReader(path) as here, isolated.open_isolated(path) as there:
        assert there.info == here.info
        for a, b in zip(here.clips(clips, geometry), there.clips(clips, geometry), strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(there.read([5]), here.read([5]))
        with pytest.raises(ValueError, match="`indices` must be frame numbers"):
            there.read([40])


def test_helpers_are_used_again_and_given_up_when_left(path):
    isolated.close_helpers()
    for _ in range(3):
        with isolated.open_isolated(path) as reader:
            reader.read([0])
    assert len(isolated._idle) == 1
    (helper,) = isolated._idle
    clips = reader.clips([np.arange(4)] * 3)
    next(clips)
    clips.close()
    assert not helper.alive and not isolated._idle
    assert reader.read([0]).shape == (1, 48, 48, 3)


def test_what_a_file_is_is_asked_once(folder, path, monkeypatch):
    monkeypatch.setattr(cache, "KNOWN_FILES", cache.KnownFiles())
    with isolated.open_isolated(path) as reader:
        first = reader.known
    with isolated.open_isolated(path) as reader:
        assert reader.known is first and first.index.num_frames == 40


def test_errors_come_through(tmp_path):
    with pytest.raises(VideoError, match="none.mp4 does not exist; check the path"):
        isolated.open_isolated(str(tmp_path / "none.mp4"))


def test_relative_paths_mean_the_folder_of_now(tmp_path, monkeypatch):
    for k, name in enumerate("ab"):
        (tmp_path / name).mkdir()
        video_files.write_video(tmp_path / name / "1.mp4", size=(48, 48), count=6 + k)
    counts = []
    for name in "ab":
        monkeypatch.chdir(tmp_path / name)
        with isolated.open_isolated("1.mp4") as reader:
            counts.append((reader.info.num_frames, len(reader.read([5]))))
    assert counts == [(6, 1), (7, 1)]


def test_a_working_directory_that_is_gone_does_no_harm(path, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    video_files.write_video(tmp_path / "gone" / "1.mp4", size=(48, 48))
    monkeypatch.chdir(tmp_path / "gone")
    isolated.open_isolated("1.mp4").read([0])
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(tmp_path / "gone")
    assert isolated.open_isolated(path).read([0]).shape == (1, 48, 48, 3)
    os.link(path, "2.mp4")
    assert isolated.open_isolated("2.mp4").read([0]).shape == (1, 48, 48, 3)


#: Reads a video again and again until a file is there.
READING = """
import os, sys
from keras_stc.data.video import isolated

isolated.PATIENCE = 1.5
reads = 0
while not os.path.exists(sys.argv[2]):
    isolated.open_isolated(sys.argv[1]).read(range(40))
    reads += 1
    if reads == 5:
        open(sys.argv[2] + ".begun", "w").close()
"""


def test_being_stopped_is_not_hanging(path, tmp_path):
    """As by Ctrl-Z and fg, for longer than the patience with a decoder."""
    end = tmp_path / "end"
    child = subprocess.Popen(
        [sys.executable, "-c", READING, path, end],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    begun, deadline = tmp_path / "end.begun", time.monotonic() + 60
    while not begun.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    for _ in range(2):
        os.killpg(child.pid, signal.SIGSTOP)
        time.sleep(2)
        os.killpg(child.pid, signal.SIGCONT)
        time.sleep(0.5)
    end.touch()
    _, text = child.communicate(timeout=60)
    assert child.returncode == 0 and begun.exists(), text


def test_modules_in_the_working_directory_do_no_harm(path, tmp_path, monkeypatch):
    for name in ("random", "token", "logging"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    isolated.close_helpers()
    with isolated.open_isolated(path) as reader:
        assert len(reader.read([0])) == 1


def test_an_interrupt_is_for_the_parent(path):
    isolated.close_helpers()
    with isolated.open_isolated(path) as reader:
        clips = reader.clips([np.arange(30)] * 50)
        next(clips)
        (helper,) = all_helpers()
        os.kill(helper._process.pid, signal.SIGINT)
        assert len(list(clips)) == 49


def test_what_is_not_installed_is_no_damaged_file(path):
    pytest.importorskip("tensorflow")
    try:
        import tensorflow_io  # noqa: F401
    except ImportError:
        with (
            isolated.open_isolated(path, decoder="tfio") as reader,
            pytest.raises(ImportError, match="needs tensorflow-io"),
        ):
            reader.read([0])
    else:
        pytest.skip("tensorflow-io is installed")


def test_a_file_that_takes_long_says_so(monkeypatch):
    """Where packets are read, a helper says so; a test of what the parent makes of it follows."""
    said = []
    answers = types.SimpleNamespace(send=said.append)
    naps = iter([None, None, None])

    def nap(seconds):
        if next(naps, "over") == "over":
            raise InterruptedError
        video_file.packets_read += len(said) == 0

    monkeypatch.setattr(worker.time, "sleep", nap)
    with pytest.raises(InterruptedError):
        worker._follow(os.getppid(), answers)
    assert said == [isolated.STILL_READING]


def test_still_reading_is_waited_for(path, monkeypatch):
    ours, theirs = multiprocessing.Pipe()
    helper = isolated.Helper()
    pipe = helper._pipe
    helper._listen(ours)
    for what in (isolated.STILL_READING, isolated.STILL_READING, None):
        theirs.send(what)
    assert helper.receive(path) is None
    helper._pipe = pipe
    helper.close()


def test_an_idle_helper_that_ended_costs_nothing(path, monkeypatch):
    ended = isolated.Helper()
    ended._process.kill()
    ended._process.wait()
    monkeypatch.setattr(isolated, "_take", lambda: ended)
    with isolated.open_isolated(path) as reader:
        assert reader.read([1]).shape == (1, 48, 48, 3)
    isolated.close_helpers()


def test_a_killed_helper_costs_one_file(path, monkeypatch):
    with isolated.open_isolated(path) as reader:
        clips = reader.clips([np.arange(30)] * 50)
        next(clips)
        (child,) = {h._process.pid for h in all_helpers()}
        os.kill(child, signal.SIGKILL)
        with pytest.raises(VideoError, match="good.mp4 crashes its decoder .SIGKILL."):
            list(clips)
        assert reader.read([1]).shape == (1, 48, 48, 3)


def all_helpers():
    import gc

    return [x for x in gc.get_objects() if isinstance(x, isolated.Helper) and x.alive]


def test_crashes_and_hangs_are_put_aside(path, folder, faulty_helpers, monkeypatch):
    monkeypatch.setattr(isolated, "PATIENCE", 2.0)
    names = ["crash.mp4", "hang.mp4"]
    for name in names:
        (folder / name).write_bytes(open(path, "rb").read())
    videos = VideoSet(
        [Video(str(folder / names[0]), 0), *[Video(path, 0)] * 2, Video(str(folder / names[1]), 0)]
        + [Video(path, 0, start=k / 10) for k in range(4)],
        ["x"],
    )
    paths = len({video.path for video in videos})
    clips = clip_dataset(videos, video_config=CONFIG, batch_size=4, training=True)
    clips.quarantine.limit = 2 / paths
    start = time.monotonic()
    assert sum(len(x) for x, _ in clips) == 8
    assert time.monotonic() - start < 30
    reasons = clips.quarantine.reasons
    assert "crashes its decoder (SIGSEGV)" in reasons[videos[0].path]
    assert "hangs its decoder: no answer in 2 s" in reasons[videos[3].path]
    with pytest.raises(VideoError, match="crashes its decoder"):
        list(video_clips(videos[0].path, CONFIG))


def test_with_and_without_helpers_clips_are_the_same(path):
    videos = VideoSet([Video(path, 0)] * 3, ["x"])
    options = {"video_config": CONFIG, "training": True, "batch_size": 3}
    a, b = (clip_dataset(videos, isolate=isolate, **options) for isolate in (True, False))
    for (x, _), (y, _) in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def test_remote_files_of_this_process_stay_in_it(path):
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe("/isolation/x.mp4", open(path, "rb").read())
    with isolated.open_isolated("memory://isolation/x.mp4") as reader:
        assert isinstance(reader, VideoReader) and reader.info.num_frames == 40
