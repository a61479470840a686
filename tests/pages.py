"""What the tests of pages share: a reader of HTML that is strict, and a real browser."""

import html
import html.parser
import shutil
import subprocess

import pytest

VOID = {"meta", "img", "br"}

#: Widths of a phone and of a desk, in pixels.
WIDTHS = (360, 1200)


class Tags(html.parser.HTMLParser):
    """Checks that every element is closed in its turn and nothing comes from elsewhere."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.pictures = [], [], []

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("src", "href"):
                assert value.startswith("data:"), value
                self.pictures.append(value)
            assert not name.startswith("on"), name
        assert tag not in ("script", "link", "iframe")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        raise AssertionError(f"<{tag}/>")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read_page(text):
    """What people read on a page, with its `Tags`."""
    tags = Tags()
    tags.feed(text)
    assert not tags.open
    return " ".join(" ".join(tags.text).split()), tags


def overflow(page, folder):
    """For each of `WIDTHS`, by how many pixels a page is wider, as Chromium lays it out."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium")
    frames = "".join(
        f'<iframe width="{width}" height="700" srcdoc="{html.escape(page, quote=True)}"></iframe>'
        for width in WIDTHS
    )
    measure = (
        "onload = () => document.title = [...document.querySelectorAll('iframe')].map(each =>"
        "each.contentDocument.documentElement).map(each =>"
        "each.scrollWidth - each.clientWidth).join(' ')"
    )
    file = folder / "frames.html"
    file.write_text(f"<meta charset='utf-8'><script>{measure}</script>{frames}", encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    title = done.stdout.split("<title>")[1].split("</title>")[0]
    return [int(pixels) for pixels in title.split()]
