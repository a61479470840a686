"""What a shell sees: completion, colours on a terminal only, the bar, and exit status."""

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios

import pytest

from keras_stc.cli import main

COMMAND = [sys.executable, "-m", "keras_stc"]


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("completion") / "keras-stc.bash"
    probe = (
        "import sys; from keras_stc.cli import main; status = main(['completion', 'bash']);"
        "assert 'keras' not in sys.modules; sys.exit(status)"  # a shell that starts waits for it
    )
    made = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    path.write_text(made.stdout)
    return path


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["tra"], {"train", "transfer"}),
        (["export", "--pre"], {"--preprocessing"}),
        (["train", "x", "--placement", "st"], {"stage"}),
        (["dis"], {"distill"}),
        (
            ["distill", "x", "--teacher-"],
            {"--teacher-frames", "--teacher-size", "--teacher-weights"},
        ),
        (["predict", "vid"], {"video.mp4"}),
        (["explain", "x.mp4", "vid"], {"video.mp4"}),
        (["distill", "vid"], {"video.mp4"}),
        (["distill", "x", "--teacher", "vid"], {"video.mp4"}),
        (["train", "x", "--weights", "vid"], {"video.mp4"}),
    ],
)
def test_bash_completes(script, tmp_path, words, completed):
    if not shutil.which("bash"):
        pytest.skip("no bash")
    (tmp_path / "video.mp4").touch()
    line = """
        source "$1"; shift
        COMP_WORDS=(keras-stc "$@"); COMP_CWORD=$#
        function=$(complete -p keras-stc | sed "s/.*-F \\([^ ]*\\).*/\\1/")
        $function keras-stc "${@: -1}" ""
        printf "%s\\n" "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "-c", line, "bash", script, *words], capture_output=True, text=True, cwd=tmp_path
    )
    assert set(done.stdout.split()) == completed, done.stderr


def test_zsh_and_json(capsys):
    assert main(["completion", "zsh", "--json"]) == 0
    assert "#compdef keras-stc" in capsys.readouterr().out


def on_a_terminal(*arguments, **environment):
    """Exit status and what a terminal of 80 columns shows of a command."""
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    names = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    process = subprocess.Popen([*COMMAND, *arguments], stdout=writer, stderr=writer, env=names)
    os.close(writer)
    shown = b""
    while True:
        try:
            part = os.read(reader, 4096)
        except OSError:  # how Linux says that the other end is closed
            part = b""
        if not part:
            break
        shown += part
    os.close(reader)
    return process.wait(), shown.decode()


def test_colours_are_for_terminals(capsys):
    line = ["models", "none"]
    status, shown = on_a_terminal(*line)
    assert status == 1 and "\x1b[1;31merror\x1b[0m: " in shown
    status, shown = on_a_terminal(*line, NO_COLOR="1")
    assert status == 1 and "error: " in shown and "\x1b[1;31m" not in shown
    assert main(line) == 1
    assert "\x1b" not in capsys.readouterr().err


def test_the_bar_counts_clips(small_run):
    videos = [str(path) for path in sorted((small_run.videos / "test").rglob("*.mp4"))]
    line = ["predict", *videos, "--model", str(small_run.folder)]
    status, shown = on_a_terminal(*line, TQDM_MININTERVAL="0")  # four short videos are quick
    assert status == 0 and re.search(r"4/4 .* \d+.\d clips/s", shown)


def test_exit_status_of_a_line_that_is_not_understood():
    with pytest.raises(SystemExit) as stopped:
        main(["predict"])
    assert stopped.value.code == 2
