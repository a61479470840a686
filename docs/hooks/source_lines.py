"""Where a symbol is in the source: `module:name` on a page becomes its file and lines.

MkDocs calls `on_page_markdown`; tests/test_docs.py takes `locate`.
"""

import ast
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]

#: A symbol as pages write it.
SYMBOL = re.compile(r"`(keras_stc[\w.]*):([\w.]+)`")


def locate(module, name):
    """File, first and last line and text of a function, class, method or module's variable.

    Args:
        module: Its dotted name.
        name: `"STCBlock.call"`, say.

    Returns:
        `(path below the root, first line, last line, text)`.

    Raises:
        LookupError: If there is no such symbol.
    """
    path = pathlib.Path(*module.split("."))
    path = path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py")
    source = (ROOT / path).read_text(encoding="utf-8")
    node = ast.parse(source)
    for part in name.split("."):
        node = next((each for each in node.body if part in _names(each)), None)
        if node is None:
            raise LookupError(f"{path} has no {name}")
    first = min(each.lineno for each in (node, *getattr(node, "decorator_list", ())))
    lines = source.splitlines()[first - 1 : node.end_lineno]
    return path.as_posix(), first, node.end_lineno, "\n".join(lines)


def on_page_markdown(markdown, **_):
    def lines(match):
        path, first, last, _ = locate(*match.groups())
        return f"`{match[2]}` in `{path}:{first}-{last}`"

    return SYMBOL.sub(lines, markdown)


def _names(node):
    """What a statement gives a name to."""
    if isinstance(node, ast.Assign):
        return [ast.unparse(target) for target in node.targets]
    if isinstance(node, ast.AnnAssign):
        return [ast.unparse(node.target)]
    return [getattr(node, "name", None)]
