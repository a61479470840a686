"""Every block of README and docs is run, in the order of its page, or says why it is not."""

import os
import re
import shutil
import subprocess
import sys

import doc_blocks
import hub_server
import pytest

from keras_stc.demo.motion import write_motion_videos

BLOCKS = [block for page in doc_blocks.PAGES for block in doc_blocks.blocks(page)]
RUNS = [page for page in doc_blocks.PAGES if any(b.runs for b in doc_blocks.blocks(page))]

CLASSES = ("move_left", "move_right")


def name(block):
    return f"{block.page.name}:{block.line}"


# === What stands in a page's folder before its first block ===


def write_videos(folder, count=4, classes=CLASSES):
    return write_motion_videos(folder, count, frames=24, size=48, classes=classes)


def write_ucf101(root):
    """Three groups of two of its classes, by lists as the official ones are written."""
    names = {"Archery": "move_left", "Biking": "move_right"}
    made = write_videos(root.with_name("motion"), 3, tuple(names.values()))
    lists = root.with_name("ucfTrainTestlist")
    lists.mkdir()
    (lists / "classInd.txt").write_text("1 Archery\n2 Biking\n")
    for split in (1, 2, 3):
        lines = {"train": [], "test": []}
        for number, (label, motion) in enumerate(names.items(), 1):
            for group in (1, 2, 3):
                file = root / label / f"v_{label}_g0{group}_c01.mp4"
                file.parent.mkdir(parents=True, exist_ok=True)
                if not file.exists():
                    os.link(made / motion / f"{group - 1:03}.mp4", file)
                path = f"{label}/{file.stem}.avi"
                test = group == split
                lines["test" if test else "train"].append(path if test else f"{path} {number}")
        for subset, text in lines.items():
            (lists / f"{subset}list0{split}.txt").write_text("\n".join(text) + "\n")


def write_list(path):
    """A CSV, `path,label,split`, with a third of its videos to test on."""
    made = write_videos(path.with_suffix(""), 3)
    rows = [
        f"{video.relative_to(path.parent)},{video.parent.name},{'train' if number % 3 else 'test'}"
        for number, video in enumerate(sorted(made.rglob("*.mp4")))
    ]
    path.write_text("path,label,split\n" + "\n".join(rows) + "\n")


def write_file(path):
    folder = write_motion_videos(path.with_name("one"), 1, frames=40, size=64, classes=CLASSES[:1])
    (folder / CLASSES[0] / "000.mp4").rename(path)


#: Name in the blocks -> what makes it.
SCENE = {
    "x.mp4": write_file,
    "new.mp4": write_file,
    "videos": write_videos,
    "DATA": write_videos,
    "VIDEOS": write_videos,
    "UCF-101": write_ucf101,
    "fights.csv": write_list,
    "split1.csv": write_list,
}

#: Page -> the runs that it takes for granted.
GIVEN_RUNS = {
    "README.md": ("small_run",),
    "index.md": ("small_run",),
    "explain.md": ("runs/a",),
    "weights.md": ("runs/a", "runs/kinetics"),
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A fresh folder, the working directory, with `keras-stc` and a Hub in reach."""
    program = tmp_path / "bin" / "keras-stc"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m keras_stc "$@"\n')
    program.chmod(0o755)
    folder = tmp_path / "page"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(doc_blocks.ROOT))
    with hub_server.HubServer().running() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        monkeypatch.setenv("HF_TOKEN", hub_server.WRITER)
        yield folder


# === The blocks ===


@pytest.mark.parametrize("block", BLOCKS, ids=name)
def test_a_block_is_run_or_says_why_not(block):
    assert block.language in doc_blocks.LANGUAGES
    if block.needs:
        word, _, why = block.needs.partition(": ")
        assert word in doc_blocks.NEEDS and why
        assert block.language != "text"
    else:
        assert re.fullmatch(r"(tested with .*)?", block.mark), block.mark
    if block.language == "python":
        doc_blocks.code(block)
    else:
        typed = {line.split()[1] for line in block.lines if line.startswith("keras-stc ")}
        assert {command for command, *_ in block.changes} <= typed


def test_no_fence_is_missed():
    for page in doc_blocks.PAGES:
        fences = re.findall(r"^\s*```", page.read_text(encoding="utf-8"), flags=re.M)
        assert len(fences) == 2 * len(doc_blocks.blocks(page)), page.name


def test_half_of_them_at_least_are_run():
    typed = [block for block in BLOCKS if block.language != "text"]
    assert len([block for block in typed if block.runs]) >= 0.5 * len(typed)


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNS, ids=lambda page: page.name)
def test_a_page_runs(page, place, request):
    pytest.importorskip("tf2onnx")
    found = [block for block in doc_blocks.blocks(page) if block.runs]
    for thing, make in SCENE.items():
        if any(re.search(rf"(?<![\w/]){re.escape(thing)}\b", block.text) for block in found):
            make(place / thing)
    for run in GIVEN_RUNS.get(page.name, ()):
        shutil.copytree(request.getfixturevalue("small_run").folder, place / run)
    # In a process of its own: graphs of several pages' networks have taken 17 GB.
    command = [sys.executable, doc_blocks.__file__, page]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
