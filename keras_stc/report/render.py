"""Templates to text. Everything that is put into them is escaped: names are anybody's."""

import functools
import pathlib

from keras_stc.files import write_atomically

TEMPLATES = pathlib.Path(__file__).with_name("templates")


@functools.cache
def environment():
    """Jinja's environment of the pages."""
    try:
        import jinja2
    except ImportError as error:
        raise ImportError("Pages need Jinja2: pip install jinja2") from error

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["percent"] = percent
    return made


def render(template, **context):
    """The text of a template."""
    text = environment().get_template(template).render(**context)
    # Names of files may be no text; a browser shows a mark in place of such a byte.
    return text.encode("utf-8", "replace").decode("utf-8")


def write_page(path, template, **context):
    """Writes a page, at once or not at all.

    Args:
        path: Of the file to write.
        template: Name of a file in `templates/`.
        **context: What the template shows.

    Returns:
        `path` as a `pathlib.Path`.
    """
    path = pathlib.Path(path)
    write_atomically(path, render(template, **context))
    return path


def percent(share, digits=1):
    """A share as people read it; a dash where there is none."""
    return "–" if share != share else f"{share:.{digits}%}"
