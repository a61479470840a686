"""What README and docs say exists: commands, options, Python names, and the paper's symbols."""

import ast
import contextlib
import importlib
import io
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

import keras_stc
from keras_stc.cli.main import parser

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "docs" / "hooks"))

import source_lines  # noqa: E402

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.M | re.S)


def blocks(page, *languages):
    return [text for language, text in BLOCK.findall(page.read_text()) if language in languages]


def command_lines():
    for page in PAGES:
        for block in blocks(page, "", "bash"):
            for line in block.replace("\\\n", " ").splitlines():
                line = re.sub(r"^.*&& ", "", line.removeprefix("$ ").strip())
                if line.startswith("keras-stc ") and "/ " not in line:
                    yield pytest.param(line, id=f"{page.name}:{line[:40]}")


@pytest.mark.parametrize("line", command_lines())
def test_commands_are_understood(line):
    words = shlex.split(line.replace("SEED", "0"), comments=True)[1:]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parser().parse_args(words)
    except SystemExit:
        pytest.fail(said.getvalue())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_parse_and_their_names_exist(page):
    """They need videos or weights to run; that each name of ours in them is there needs none."""
    for text in blocks(page, "python", "py"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("keras_stc"):
                module = importlib.import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)
            elif isinstance(node, ast.Attribute):
                first, *names = ast.unparse(node).split(".")
                if first == "keras_stc" and all(name.isidentifier() for name in names):
                    found = keras_stc
                    for name in names:
                        assert hasattr(found, name), ast.unparse(node)
                        found = getattr(found, name)


def claims():
    """`(what of the paper, module, symbol, line of it)`: the rows of docs/paper.md."""
    row = re.compile(r"^\| (.+?) \| `(keras_stc[\w.]*):([\w.]+)` \| `(.+)` \|$", flags=re.M)
    return row.findall((ROOT / "docs" / "paper.md").read_text())


@pytest.mark.parametrize(("said", "module", "name", "line"), claims(), ids=lambda each: each[:30])
def test_the_paper_is_where_the_page_says(said, module, name, line):
    path, first, last, text = source_lines.locate(module, name)
    assert 1 <= first <= last <= len((ROOT / path).read_text().splitlines())
    assert " ".join(line.split()) in " ".join(text.split()), f"{said}: {path}, {first}-{last}"


def test_every_section_of_the_paper_has_rows():
    """None is lost to how a row is written."""
    page = (ROOT / "docs" / "paper.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ") and "`keras_stc" in line]
    assert len(rows) == len(claims()) > 50
    for section in ("3.1", "3.2", "4.1", "4.2", "4.3"):
        assert f"## Section {section}" in page


def test_symbols_become_files_and_lines_on_the_site():
    shown = source_lines.on_page_markdown("see `keras_stc.layers.stc:check_ratio`")
    path, first, last = re.fullmatch(r"see `check_ratio` in `(.+):(\d+)-(\d+)`", shown).groups()
    lines = (ROOT / path).read_text().splitlines()[int(first) - 1 : int(last)]
    assert lines[0].startswith("def check_ratio") and lines[-1] == "    return reduction_ratio"


def test_the_sentences_of_troubleshooting_are_said():
    """Each is in the source, where sentences go over several lines and have values in them."""
    table = (ROOT / "docs" / "troubleshooting.md").read_text()
    source = "".join(path.read_text() for path in (ROOT / "keras_stc").rglob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source)
    sentences = re.findall(r"^\| `(.+?)` \|", table, flags=re.M)
    assert len(sentences) > 10
    for sentence in sentences:
        parts = sentence.split("cannot be written: ")  # the reason comes from a table
        assert all(part in source for part in parts), sentence


@pytest.mark.slow
def test_the_site_builds_without_warnings(tmp_path):
    pytest.importorskip("mkdocstrings")
    pytest.importorskip("material")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    api = (tmp_path / "api" / "index.html").read_text()
    for name in ("layers.stc.STCBlock", "predict.videos.predict_video", "export.export_model"):
        assert f'id="keras_stc.{name}"' in api
