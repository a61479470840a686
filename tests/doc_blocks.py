"""The fenced blocks of README and docs, with the comment above each that says how it is tested.

A block of `python`, `bash` or `console` is run by tests/test_docs_blocks.py unless a comment in
the line above it says what it needs that a test has not got, and why:

    <!-- needs minutes: 25 trainings -->

What a test adds to commands, or puts in the place of Python's arguments, so that they end in
seconds, stands there as well:

    <!-- tested with train --epochs 1, transfer --frame-size 64 -->
    <!-- tested with epochs=1 -->
"""

import dataclasses
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])

#: Commands to type, a session with what it printed, and text that nobody runs.
LANGUAGES = ("python", "bash", "console", "text")

#: What keeps a block from being run.
NEEDS = {
    "data": "the videos that a figure was measured on, or a whole data set",
    "weights": "weights from servers of others",
    "minutes": "longer than a test may take, or until somebody stops it",
    "network": "a package index",
    "token": "somebody's account",
    "machines": "other machines, a GPU or a camera",
}

FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^ *```$",
    flags=re.M | re.S,
)


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: File.
        line: Where its fence is, counted from 1.
        language: Of the fence; `""` where it has none.
        text: What is between the fences.
        mark: What the comment above says; `""` without one.
    """

    page: pathlib.Path
    line: int
    language: str
    text: str
    mark: str

    @property
    def needs(self):
        """Why it is not run, `"minutes: 25 trainings"`, or `None`."""
        return self.mark.removeprefix("needs ") if self.mark.startswith("needs ") else None

    @property
    def runs(self):
        return self.language != "text" and not self.needs

    @property
    def changes(self):
        """What the test changes: `[["train", "--epochs", "1"]]`, of Python `[["epochs=1"]]`."""
        if not self.mark.startswith("tested with "):
            return []
        return [shlex.split(part) for part in self.mark.removeprefix("tested with ").split(",")]

    @property
    def lines(self):
        """What is typed, a command a line, without comments."""
        lines = self.text.replace("\\\n", " ").splitlines()
        if self.language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return [line for line in lines if line and not line.startswith("#")]


def blocks(page, *languages):
    """The blocks of a page, of these languages or of all."""
    text = page.read_text(encoding="utf-8")
    found = (
        Block(
            page,
            text.count("\n", 0, match.start("language")) + 1,
            match["language"],
            match["text"],
            match["mark"] or "",
        )
        for match in FENCE.finditer(text)
    )
    return [block for block in found if not languages or block.language in languages]


def words(line, block=None):
    """A command line of keras-stc without its first word, and with what a test adds to it."""
    command, *rest = shlex.split(line, comments=True)[1:]
    added = {name: options for name, *options in (block.changes if block else ())}
    return [command, *rest, *added.get(command, ())]


def code(block):
    """A block of Python with the arguments that a test gives it."""
    text = block.text
    for (argument,) in block.changes:
        name, _, value = argument.partition("=")
        text, count = re.subn(rf"\b{name}=[^,)]+", f"{name}={value}", text)
        assert count, f"{block.page.name}:{block.line} has no {name}="
    return text


def run(page):
    """Runs what may be run of a page, in the working directory."""
    from keras_stc.cli import main

    names = {}
    for block in blocks(page):
        if not block.runs:
            continue
        if block.language == "python":
            # An error then names the line of the page.
            exec(compile("\n" * block.line + code(block), block.page, "exec"), names)
        elif all(line.startswith("keras-stc ") for line in block.lines):
            for line in block.lines:
                assert main(words(line, block)) == 0, f"{page.name}:{block.line}: {line}"
        else:
            subprocess.run(["bash", "-e", "-c", block.text], check=True, timeout=300)


if __name__ == "__main__":
    run(pathlib.Path(sys.argv[1]))
