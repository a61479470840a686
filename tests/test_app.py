"""The page of `keras-stc app`, in a real browser with real videos."""

import shutil
import socket
import subprocess
import sys

import pytest

from keras_stc.cli import main


@pytest.fixture
def page(small_run):
    """A Chromium page at the app of a small run, served by the command line."""
    pytest.importorskip("gradio")
    sync_api = pytest.importorskip("playwright.sync_api")
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if not browser:
        pytest.skip("no Chromium: apt-get install chromium")
    command = [sys.executable, "-m", "keras_stc", "app", "--model", str(small_run.folder)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = server.stdout.readline()
        assert line.startswith("The page is at http://127.0.0.1:")
        with sync_api.sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            page = chromium.new_page()
            page.asked = []
            page.on("request", lambda request: page.asked.append(request.url))
            page.goto(line.split()[4])
            page.wait_for_selector("button:has-text('What does it show?')")
            yield page
            chromium.close()
    finally:
        server.terminate()
        server.wait()


@pytest.mark.browser
def test_a_video_is_dropped_and_answered(page, small_run):
    page.click("button:has-text('What does it show?')")
    page.wait_for_selector("text=There is no video yet: drop one, or record one")
    video = next((small_run.videos / "test" / "move_left").iterdir())
    with page.expect_response(lambda answer: "/upload" in answer.url):
        page.set_input_files("input[type=file]", video)
    page.wait_for_selector("video")
    page.click("button:has-text('What does it show?')")
    page.wait_for_selector("text=3 clips in")
    text = page.inner_text("body")
    assert "move_left" in text and "move_right" in text and "Clip by clip" in text
    assert page.locator("svg[aria-label='Probabilities over time']").is_visible()
    page.click("button:has-text('Where does the network look?')")
    page.wait_for_selector("text=/What speaks for move_(left|right)/")
    assert page.locator(".gallery-item img, .thumbnail-item img").count() == 4  # frames of a clip
    box = page.get_by_label("Model")
    box.fill("runs/none")
    box.press("Enter")
    page.click("button:has-text('What does it show?')")
    page.wait_for_selector("text=The model runs/none does not exist")
    local = ("http://127.0.0.1:", "data:", "blob:")
    assert all(url.startswith(local) for url in page.asked)


def test_strangers_choose_among_what_was_named(small_run):
    pytest.importorskip("gradio")
    from keras_stc.app import _Models

    models = _Models([str(small_run.folder)])
    assert models.get(str(small_run.folder)) is models.get(f" {small_run.folder} ")
    with pytest.raises(ValueError, match="Choose a model: one of .*Received: '/etc/passwd'"):
        models.get("/etc/passwd")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["app", "--port", "0"], "--port must be from 1 to 65535. Received: 0"),
        (["app", "--max-clips", "0"], "--max-clips must be at least 1. Received: 0"),
    ],
)
def test_mistakes_get_one_sentence(capsys, line, words):
    assert main(line) == 1
    assert words in capsys.readouterr().err


def test_an_address_of_another_machine_gets_a_sentence():
    gradio = pytest.importorskip("gradio")
    from keras_stc.app import serve

    with gradio.Blocks() as page:
        pass
    with pytest.raises(ValueError, match="cannot listen on 203.0.113.1: take an address"):
        serve(page, "203.0.113.1")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"cannot listen on 127.0.0.1:{port}: "):
            serve(page, port=port)


def test_without_gradio(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    from keras_stc.app import build_app

    with pytest.raises(ImportError, match=r"pip install 'keras-stc\[app\]'"):
        build_app()
