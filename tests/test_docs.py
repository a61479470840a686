"""What README and docs say exists: commands, options, Python names, and the paper's symbols."""

import ast
import configparser
import contextlib
import importlib.util
import io
import re
import subprocess
import sys

import doc_blocks
import pytest

import keras_stc
from keras_stc.cli.main import parser
from keras_stc.models.complexity import zoo_complexity
from keras_stc.weights import registry

ROOT = doc_blocks.ROOT
DOCS = ROOT / "docs"
sys.path.append(str(DOCS / "hooks"))

import source_lines  # noqa: E402


def command_lines():
    """Those of the blocks, and those of the timed walk, a table."""
    for line in re.findall(r"^\|.*?`(keras-stc [^`]+)`", (DOCS / "index.md").read_text(), re.M):
        yield pytest.param(None, line, id=f"index.md:{line[:40]}")
    for page in doc_blocks.PAGES:
        for block in doc_blocks.blocks(page, "bash", "console"):
            for line in block.lines:
                line = re.sub(r"^.*&& ", "", line)
                if line.startswith("keras-stc "):
                    yield pytest.param(block, line, id=f"{page.name}:{line[:40]}")


@pytest.mark.parametrize(("block", "line"), command_lines())
def test_commands_are_understood(block, line):
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parser().parse_args(doc_blocks.words(line, block))
    except SystemExit:
        pytest.fail(said.getvalue())


@pytest.mark.parametrize("page", doc_blocks.PAGES, ids=lambda page: page.name)
def test_python_blocks_parse_and_their_names_exist(page):
    """They need videos or weights to run; that each name of ours in them is there needs none."""
    for block in doc_blocks.blocks(page, "python"):
        for node in ast.walk(ast.parse(block.text)):
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
    return row.findall((DOCS / "paper.md").read_text())


@pytest.mark.parametrize(("said", "module", "name", "line"), claims(), ids=lambda each: each[:30])
def test_the_paper_is_where_the_page_says(said, module, name, line):
    path, first, last, text = source_lines.locate(module, name)
    assert 1 <= first <= last <= len((ROOT / path).read_text().splitlines())
    assert " ".join(line.split()) in " ".join(text.split()), f"{said}: {path}, {first}-{last}"


def test_every_section_of_the_paper_has_rows():
    """None is lost to how a row is written."""
    page = (DOCS / "paper.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ") and "`keras_stc" in line]
    assert len(rows) == len(claims()) > 50
    for section in ("3.1", "3.2", "4.1", "4.2", "4.3"):
        assert f"## Section {section}" in page


def test_symbols_become_files_and_lines_on_the_site():
    shown = source_lines.on_page_markdown("see `keras_stc.layers.stc:check_branches`")
    path, first, last = re.fullmatch(r"see `check_branches` in `(.+):(\d+)-(\d+)`", shown).groups()
    lines = (ROOT / path).read_text().splitlines()[int(first) - 1 : int(last)]
    assert lines[0].startswith("def check_branches") and lines[-1] == "    return known"


def test_pictures_are_there_and_small_and_said_in_words():
    shown = [
        (page.parent / path, words)
        for page in doc_blocks.PAGES
        for words, path in re.findall(r"!\[([^\]]*)\]\((.+?)\)", page.read_text())
    ]
    assert shown
    for path, words in shown:
        assert path.stat().st_size < 200_000 and len(words) > 20, path


def test_the_zoo_has_every_network_and_every_weight_with_where_it_comes_from():
    rows = [line for line in (DOCS / "zoo.md").read_text().splitlines() if line.startswith("| `")]
    for name, entry in zoo_complexity().items():
        (row,) = (row for row in rows if row.startswith(f"| `{name}` | `{entry['constructor']}`"))
        cells = [cell.strip() for cell in row.split("|")]
        assert "×".join(map(str, entry["clip"])) in cells
        for key, count in entry["parameters"].items():
            assert f"{count / 1e6:.2f}" in cells or key == "stage-32"
        for key, count in entry["macs"].items():
            assert f"{count / 1e9:.2f}" in cells or key.startswith(("stage", "stc"))
        for record in registry.records_of(name):
            if record.status == "available":
                (row,) = (row for row in rows if f'`{name}` `"{record.tag}"`' in row)
                assert f"`{record.file}` of `{record.repository}`" in row
                assert f"| {record.license} |" in row and "| Trained on " in row
                assert re.search(r"\d\d\.\d%, \S+( validation|, split 1, test) \| \[\d+\]", row)


def test_the_zoo_is_what_its_script_writes():
    spec = importlib.util.spec_from_file_location("make_zoo", DOCS / "make_zoo.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert (DOCS / "zoo.md").read_text() == script.page(), "python docs/make_zoo.py"


def test_the_readme_has_every_extra():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    rows = re.findall(r"^\| (`[a-z`, ]+) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall("`([a-z]+)`", row)}
    assert set(setup["options.extras_require"]) <= named


def test_every_benchmark_is_named():
    """Each backs a figure, or it is said that it has none yet; or another one imports it."""
    pages = "".join(page.read_text() for page in doc_blocks.PAGES)
    scripts = list((ROOT / "benchmarks").rglob("*.py"))
    imported = "".join(path.read_text() for path in scripts)
    for path in scripts:
        is_named = str(path.relative_to(ROOT)) in pages or path.name in pages
        assert is_named or re.search(rf"^from {path.stem} import", imported, re.MULTILINE), path


def test_scripts_have_the_options_that_pages_and_docstrings_give_them():
    rooms = ("benchmarks", "weights", "examples")
    scripts = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    call = rf"python ((?:{'|'.join(rooms)})/\S+\.py)([^`\n]*)"
    texts = [page.read_text() for page in doc_blocks.PAGES]
    texts += [ast.get_docstring(ast.parse(path.read_text())) or "" for path in scripts]
    seen = set()
    for text in texts:
        lines = re.sub(r"\\\n\s*", "", text)  # long ones go over several
        for script, given in re.findall(call, lines):
            source = (ROOT / script).read_text()
            for option in re.findall(r"(?<!\S)--[a-z][a-z0-9-]*", given.partition("#")[0]):
                seen.add((script, option))
                name = option[2:].replace("-", "_")  # or from a table of names
                assert f'"{option}"' in source or f'"{name}"' in source, (script, option)
    assert len(seen) > 40


def test_the_sentences_of_troubleshooting_are_said():
    """Each is in the source, where sentences go over several lines and have values in them."""
    table = (DOCS / "troubleshooting.md").read_text()
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
