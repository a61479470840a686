"""The HTML report: one file, well-formed, with the figures it was given."""

import html.parser
import io

import av
import numpy as np

from keras_stc.evaluation import Evaluation
from keras_stc.predict import VideoPrediction
from keras_stc.report import write_report
from keras_stc.report.page import png

VOID = {"meta", "img", "line", "polyline"}


class Tags(html.parser.HTMLParser):
    """Checks that every element is closed in its turn and nothing comes from elsewhere."""

    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("src", "href"):
                assert value.startswith("data:"), value
        assert tag != "script"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        assert tag in VOID

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_png_holds_the_frame():
    frame = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype="uint8")
    with av.open(io.BytesIO(png(frame)), format="png_pipe") as container:
        decoded = next(container.decode(video=0)).to_ndarray(format="rgb24")
    np.testing.assert_array_equal(decoded, frame)


def test_page(tmp_path):
    names = ("left & right", "<b>up</b>")
    evaluation = Evaluation(
        class_names=names,
        labels=np.array([0, 1, 1]),
        probabilities=np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]),
        clip1=0.5,
        clips=6,
        protocol={"frames": 8},
        paths=("a", "b", "c"),
        failures={},
    )
    prediction = VideoPrediction("a.mp4", names, np.array([[0.9, 0.1]]), np.array([[0.0, 1.0]]))
    frames = np.zeros((2, 8, 8, 3), "uint8")
    history = [{"epoch": 1, "accuracy": 0.5}, {"epoch": 2, "accuracy": 1.0, "val_accuracy": 0.75}]
    path = write_report(
        tmp_path / "r.html",
        "Title",
        "subtitle",
        {"video accuracy": "66.7%"},
        history,
        evaluation,
        [(prediction, names[0], frames)],
    )
    text = path.read_text()
    tags = Tags()
    tags.feed(text)
    assert not tags.open
    shown = " ".join(tags.text)
    assert "66.7%" in shown and "left & right 90%" in shown and "<b>up</b>" in shown
    assert "<b>up</b>" not in text and text.count("data:image/png") == 2
