"""The public names: those the documents promise are there, hinted, and seen by an editor.

jedi, which completes, reads source and stubs, and runs nothing.
"""

import importlib
import inspect
import pathlib
import pkgutil
import re

import jedi
import pytest

import keras_stc
from keras_stc.models.zoo import CONSTRUCTORS

ROOT = pathlib.Path(keras_stc.__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MENTIONED = sorted(
    {name for path in DOCUMENTS for name in re.findall(r"\bkeras_stc(?:\.\w+)+", path.read_text())}
)
IN_API = re.findall(r"^::: (\S+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)

#: Rooms of the package whose names are public; commands and the demo are typed, not imported.
ROOMS = sorted(
    each.parent.name
    for each in (ROOT / "keras_stc").glob("*/__init__.py")
    if each.parent.name not in ("cli", "demo")
)


def completed(code):
    return {completion.name for completion in jedi.Script(code).complete()}


@pytest.mark.parametrize("name", ["keras_stc", *(f"keras_stc.{room}" for room in ROOMS)])
def test_public_names_are_there(name):
    package = importlib.import_module(name)
    assert package.__all__
    for each in package.__all__:
        assert getattr(package, each) is not None


def test_every_room_is_public():
    assert set(ROOMS) <= set(keras_stc.__all__)


def test_names_in_the_documents_are_there():
    assert len(MENTIONED) > 60
    for name in MENTIONED:
        assert pkgutil.resolve_name(name) is not None, name


def test_names_in_the_documents_need_no_other_import():
    """`keras_stc.X` after `import keras_stc` alone; a longer path may be a file's."""
    public = {*keras_stc.__all__, "video_config"}
    assert not {name for name in MENTIONED if name.split(".")[1] not in public}


def test_names_in_the_api_page_are_public():
    """A name of a file is one of the package or of the file's room."""
    assert len(IN_API) > 25
    for name in IN_API:
        _, room, *_, last = name.split(".")
        package = getattr(keras_stc, room)
        public = last in keras_stc.__all__ or last in getattr(package, "__all__", [last])
        assert public, name
        there = keras_stc if last in keras_stc.__all__ else package
        assert getattr(there, last) is pkgutil.resolve_name(name), name


def test_names_in_the_documents_complete():
    """Those of the package and of rooms whose names load when they are first used."""
    for package in ("keras_stc", "keras_stc.data", "keras_stc.transfer"):
        pattern = re.escape(package) + r"\.(\w+)"
        wanted = {found[1] for name in MENTIONED if (found := re.fullmatch(pattern, name))}
        assert len(wanted) > 4 and wanted <= completed(f"import {package}\n{package}."), package


def test_every_constructor_is_public_and_shows_its_arguments():
    for constructor in CONSTRUCTORS.values():
        assert getattr(keras_stc, constructor.__name__) is constructor
    for name in ("STCResNet18", "InceptionI3D", "predict_video", "load_model"):
        code = f"import keras_stc\nkeras_stc.{name}("
        (seen,) = jedi.Script(code).get_signatures()
        real = inspect.signature(getattr(keras_stc, name)).parameters
        assert [parameter.name for parameter in seen.params] == list(real)


def public_callables():
    """`(name, function)` of all that is public, with the methods that are written here."""
    modules = filter(inspect.ismodule, (getattr(keras_stc, name) for name in keras_stc.__all__))
    for module in [keras_stc, *modules]:
        for name in getattr(module, "__all__", None) or written_in(module):
            each = getattr(module, name)
            if inspect.isfunction(inspect.unwrap(each)):
                yield f"{module.__name__}.{name}", each
            elif inspect.isclass(each):
                yield from methods(each)


def written_in(module):
    """Names of a room that is a single file."""
    own = (name for name, each in vars(module).items() if callable(each) and name[0] != "_")
    return [name for name in own if getattr(module, name).__module__ == module.__name__]


def methods(cls):
    ours = [base for base in cls.__mro__ if base.__module__.startswith("keras_stc.")]
    for base in ours:
        for name, value in vars(base).items():
            value = getattr(value, "fget", None) or getattr(value, "__func__", value)
            is_public = not name.startswith("_") or name in ("__init__", "__call__", "__getitem__")
            if is_public and inspect.isfunction(value):
                yield f"{base.__name__}.{name}", value


def test_public_names_are_hinted():
    """Every parameter and what is returned."""
    unhinted, count = set(), 0
    for name, function in public_callables():
        signature = inspect.signature(function)
        hints = {key: each.annotation for key, each in signature.parameters.items()}
        hints = {**hints, "return": signature.return_annotation}
        count += 1
        unhinted |= {
            f"{name}: {key}"
            for key, hint in hints.items()
            if hint is inspect.Parameter.empty and key not in ("self", "cls")
        }
    assert count > 200 and not unhinted
