"""Which room may know which: the import graph, and what an import costs."""

import ast
import configparser
import graphlib
import pathlib
import platform
import subprocess
import sys

import keras
import pytest

import keras_stc

PACKAGE = pathlib.Path(keras_stc.__file__).parent

#: The ground floor: how an argument is checked, which every room may ask.
CHECKS = "checks"

#: Each room may import those before it in its own list, and nothing else of the package.
ALLOWED = {
    CHECKS: set(),
    "_version": set(),
    "files": set(),
    "video_config": set(),
    "layers": set(),
    "runs": {"files"},
    "weights": {"files", "runs"},
    "models": {"files", "layers", "weights", "runs", "video_config"},
    "data": {"files", "video_config"},
    "convert": {"models", "weights"},
    "export": {"layers", "models"},
    "bench": {"models", "data"},
    # Evaluations and predictions show themselves in a notebook; the page takes them as they are.
    "report": {"_version", "data", "files"},
    "predict": {"files", "models", "data", "report", "video_config"},
    "evaluation": {"predict", "data", "report", "video_config"},
    "explain": {"data", "layers", "models", "predict", "report"},
    "app": {"explain", "files", "models", "predict", "report"},
    "distribute": set(),
    "training": {"files", "runs", "layers", "models", "data", "distribute"},
    "publish": {"_version", "files", "runs", "weights", "models", "video_config"},
    "transfer": {"models", "data", "distribute", "training", "video_config"},
    "demo": {"models", "data", "training", "predict", "evaluation", "report"},
    "ablation": {
        *("files", "runs", "models", "data", "distribute", "training", "transfer", "evaluation"),
        "demo",
    },
    "cli": {
        *("_version", "ablation", "models", "weights", "convert", "publish", "data", "training"),
        *("distribute", "transfer", "predict", "evaluation", "report", "demo", "export"),
        *("app", "bench", "explain", "files", "runs"),
    },
    "__init__": {"_version", "video_config"},
    "__main__": {"cli"},
}


#: Pairs of rooms of which one imports the other, wherever in its files; but for `CHECKS`, for those
#: that put the others together, and for what is imported for type checkers alone. To be lowered,
#: not raised.
MOST_ARROWS = 71
TOGETHER = {"cli", "__main__", "__init__"}


def room(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports(path, types=True):
    """Yields the modules that a file imports, and `module.name` of what it takes from them."""
    nodes = [ast.parse(path.read_text())]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif types or not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            nodes.extend(ast.iter_child_nodes(node))


def edges(types=True):
    for path in PACKAGE.rglob("*.py"):
        relative = path.relative_to(PACKAGE)
        for name in imports(path, types):
            yield str(relative), relative.parts[0].removesuffix(".py"), name


def test_arrows_point_one_way():
    assert {source for _, source, _ in edges()} <= set(ALLOWED)
    wrong = [
        f"{file} imports {name}"
        for file, source, name in edges()
        if name.split(".")[0] == "keras_stc"
        and room(name) not in ALLOWED[source] | {source, CHECKS}
    ]
    assert not wrong


def test_the_rules_have_no_circle():
    order = list(ALLOWED)
    for name, known in ALLOWED.items():
        assert all(order.index(other) < order.index(name) for other in known), name


def test_rooms_know_few_others():
    arrows = {
        (source, room(name))
        for _, source, name in edges(types=False)
        if name.split(".")[0] == "keras_stc"
        and room(name) not in (source, CHECKS)
        and source not in TOGETHER
    }
    assert len(arrows) <= MOST_ARROWS, sorted(arrows)


def test_no_file_imports_itself_over_others():
    """In data/ or any other room: files have an order, in which each imports those before it."""
    files = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py"
    }
    known = {
        file: {
            module
            for name in imports(path, types=False)
            for module in (name, name.rpartition(".")[0])
            if module in files
        }
        for file, path in files.items()
    }
    try:
        graphlib.TopologicalSorter(known).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_layers_and_models_speak_keras_only():
    """But for files of that name, which are imported where TensorFlow is what runs."""
    for file, source, name in edges():
        if source in ("layers", "models") and "/tensorflow_" not in file:
            assert name.split(".")[0] not in ("tensorflow", "jax", "torch", "av"), file


def test_tensorflow_appears_where_it_must():
    rooms = {source for _, source, name in edges() if name.split(".")[0] == "tensorflow"}
    assert rooms <= {"data", "distribute", "explain", "export", "layers", "models", "transfer"}


def test_what_is_no_python_is_installed_too():
    """By the patterns of setup.cfg: templates, tables, stubs."""
    setup = configparser.ConfigParser()
    setup.read(pathlib.Path(__file__).parents[1] / "setup.cfg")
    patterns = setup["options.package_data"]["*"].replace(",", " ").split()
    packages = [path.parent for path in PACKAGE.rglob("__init__.py")]
    files = {path for path in PACKAGE.rglob("*.*") if path.suffix not in (".py", ".pyc")}
    installed = {
        path for package in packages for pattern in patterns for path in package.glob(pattern)
    }
    assert files <= installed and PACKAGE / "publish" / "card.md.j2" in files


@pytest.mark.parametrize("module", ["keras_stc", "keras_stc.data"])
def test_import_is_light(module):
    """At most 0.3 s of the processor on top of Keras, once in three times at least."""
    probe = (
        "import time, sys, keras; start = time.process_time();"
        f"import {module}; print(time.process_time() - start, 'av' in sys.modules)"
    )
    seconds = []
    while len(seconds) < 3 and not any(each < 0.3 for each in seconds):
        done = subprocess.run(
            [sys.executable, "-c", probe], capture_output=True, text=True, check=True
        )
        took, has_av = done.stdout.split()
        assert has_av == "False"
        seconds.append(float(took))
    assert min(seconds) < 0.3


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow" or platform.machine() not in ("x86_64", "AMD64"),
    reason="TensorFlow's kernels, and where they are in its wheels",
)
@pytest.mark.slow
def test_onednn_is_on_unless_tensorflow_came_first(monkeypatch):
    probe = """{}
clip = keras.Input((2, 4, 4, 3))
for _ in range(2):
    keras_stc.VideoModel(clip, clip, video_config=keras_stc.VideoConfig(2, 1, 4))
print(keras_stc.layers.conv.has_onednn())
"""
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")

    def run(first_line):
        done = subprocess.run(
            [sys.executable, "-c", probe.format(first_line)],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip(), done.stderr.count("TF_ENABLE_ONEDNN_OPTS=1 ")

    assert run("import keras_stc, keras") == ("True", 0)
    # On by itself on newer processors; where it is not, that is said once.
    assert run("import keras, keras_stc") in (("True", 0), ("False", 1))


def test_onednn_is_the_users(monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    probe = "import os, keras_stc; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.stdout.strip() == "0"


def test_keras_loads_what_was_saved_here(tmp_path):
    """In a process that has only imported both: every class of a file is registered."""
    clip = keras.Input((2, 8, 8, 3))
    x = keras_stc.layers.STCBlock()(keras.layers.Conv3D(8, 3, padding="same")(clip))
    x = keras.layers.Dense(2, "softmax")(keras.layers.GlobalAveragePooling3D()(x))
    model = keras_stc.VideoModel(clip, x, video_config=keras_stc.VideoConfig(2, 1, 8))
    model.compile(keras_stc.training.SGD(0.1), "sparse_categorical_crossentropy")
    model.save(tmp_path / "m.keras")
    probe = "import sys, keras, keras_stc; print(keras.models.load_model(sys.argv[1]).video_config)"
    done = subprocess.run(
        [sys.executable, "-c", probe, tmp_path / "m.keras"], capture_output=True, text=True
    )
    assert done.stdout.strip() == str(model.video_config), done.stderr
