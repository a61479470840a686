"""A page in the browser: a video in, what it shows out."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from keras_stc.explain import explain_video
from keras_stc.explain.view import heated
from keras_stc.files import first_line
from keras_stc.models.load import named_model
from keras_stc.predict import model_config, predict_video
from keras_stc.report.prediction import timeline_chart
from keras_stc.report.render import render

if TYPE_CHECKING:
    import gradio

#: Networks that stay in memory, the last ones used.
KEPT = 2

#: Frames of a clip that are shown with where the network looks.
SHOWN = 8

#: Classes in the list.
LISTED = 5

#: The machine's own letters: a page that runs here asks nobody else for any.
FONTS = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}

ABOUT = """# What does this video show?
Drop a video, or record one with the camera. All its clips go through the network, and their
probabilities are averaged."""


def build_app(
    models: Iterable[str] = ("inception_i3d",), any_model: bool = True, max_clips: int = 20
) -> gradio.Blocks:
    """The page as a Gradio app.

    Example:

    ```python
    keras_stc.app.build_app(["runs/a", "inception_i3d"]).launch()
    ```

    Args:
        models: Names to choose from, the first one chosen: run folders, `.keras` files,
            `hf://owner/repo`, or networks of the zoo that have weights of a video data set.
        any_model: Whether a visitor may type another such name. Not for a page that strangers see:
            what they type is a file of this machine, or a download.
        max_clips: Most clips of a video to look at, spread evenly.

    Returns:
        A `gradio.Blocks`; `.launch()` serves it.

    Raises:
        ImportError: If Gradio is not installed.
        ValueError: If there is no model to choose from.
    """
    try:
        import gradio
    except ImportError as error:
        raise ImportError("The page needs Gradio: pip install 'keras-stc[app]'") from error
    models = list(models)
    if not models:
        raise ValueError("`models` must name at least one model. Received: models=[]")
    loaded = _Models(None if any_model else models)

    def told(work):
        """`work` of a model and a video, its errors as a sentence on the page."""

        def work_or_say(video, name):
            try:
                if not video:
                    raise ValueError("There is no video yet: drop one, or record one.")
                return work(loaded.get(name), video)
            except (ValueError, RuntimeError, ImportError, OSError) as error:
                shown = gradio.Error(first_line(error), duration=None, print_exception=False)
                raise shown from error

        return work_or_say

    with gradio.Blocks(title="keras-stc", analytics_enabled=False) as page:
        gradio.Markdown(ABOUT)
        with gradio.Row():
            with gradio.Column():
                video = gradio.Video(label="Video", sources=["upload", "webcam"], height=320)
                name = gradio.Dropdown(
                    models,
                    value=models[0],
                    label="Model",
                    info="A run folder, a .keras file, hf://owner/repo or inception_i3d"
                    if any_model
                    else None,
                    allow_custom_value=any_model,
                )
                ask = gradio.Button("What does it show?", variant="primary")
                why = gradio.Button("Where does the network look?")
                looks = gradio.Gallery(label="Where the network looks", columns=4, height=330)
            with gradio.Column():
                labels = gradio.Label(label="The whole video", num_top_classes=LISTED)
                timeline = gradio.HTML(label="Over time", container=True)
                clips = gradio.Dataframe(
                    headers=["from (s)", "to (s)", "shows", "probability"],
                    label="Clip by clip",
                    interactive=False,
                )
                said = gradio.Markdown()
        outputs = [labels, timeline, clips, said]
        given = [video, name]
        ask.click(told(lambda *of: _answer(*of, max_clips)), given, outputs, api_name="predict")
        why.click(told(_looks), given, looks, api_name="explain")
    return page


def serve(
    page: gradio.Blocks, host: str = "127.0.0.1", port: int | None = None, share: bool = False
) -> str:
    """Starts the server of a page in the background.

    Args:
        page: What `build_app` gave.
        host: Address to listen on; `"0.0.0.0"` for other machines too.
        port: Port, or `None` for the first free one from 7860 on.
        share: Whether Gradio makes a public address that lasts a week.

    Returns:
        The address of the page.

    Raises:
        ValueError: If nothing can listen there: the port is taken, or the address another
            machine's.
    """
    import gradio

    try:
        # Gradio tries a hundred ports of an address of another machine, seconds each.
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port or 0), family=family).close()
        _, local, public = page.launch(
            server_name=host,
            server_port=port,
            share=share,
            prevent_thread_lock=True,
            quiet=True,
            theme=gradio.themes.Default(**FONTS),
        )
    except OSError as error:
        where = f"{host}:{port}" if port else host
        raise ValueError(
            f"The page cannot listen on {where}: take an address of this machine, such as "
            "127.0.0.1 or 0.0.0.0, and a port that is free."
        ) from error
    return public or local


class _Models:
    """Networks by name, loaded once, one at a time."""

    def __init__(self, allowed):
        self._allowed, self._kept, self._lock = allowed, {}, threading.Lock()

    def get(self, name):
        name = (name or "").strip()
        if not name or (self._allowed is not None and name not in self._allowed):
            choices = f" one of {', '.join(self._allowed)}" if self._allowed else ""
            raise ValueError(f"Choose a model:{choices}. Received: {name!r}")
        with self._lock:
            model = self._kept.pop(name, None)
            if model is None:
                model = named_model(name)
                model_config(model)  # what lacks is said before a video is read
            self._kept[name] = model
            while len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
            return model


def _answer(model, video, max_clips):
    start = time.perf_counter()
    prediction = predict_video(model, video, max_clips=max_clips)
    seconds = time.perf_counter() - start
    rows = [
        [f"{clip.start:.2f}", f"{clip.end:.2f}", clip.label, f"{clip.probability:.1%}"]
        for clip in prediction.timeline
    ]
    count = len(rows)
    said = f"{count} clip{'s' * (count > 1)} in {seconds:.1f} s, {count / seconds:.1f} a second."
    chart = timeline_chart(prediction) or "The video is as long as one clip."
    timeline = render("timeline_fragment.html", timeline=chart)
    return dict(prediction.top(LISTED)), timeline, rows, said


def _looks(model, video):
    """Frames of one clip under the heat of their Grad-CAM map, in a gallery."""
    import gradio
    import numpy as np

    explanation = explain_video(model, video, max_clips=1, check=False, gates=False)
    frames = heated(explanation.clips[0], explanation.maps[0])
    start, end = explanation.clip_times[0]
    chosen = np.linspace(0, len(frames) - 1, min(SHOWN, len(frames))).round().astype(int)
    times = start + (end - start) * chosen / len(frames)
    pictures = [(frames[i], f"{time:.1f} s") for i, time in zip(chosen, times, strict=True)]
    return gradio.Gallery(pictures, label=f"What speaks for {explanation.label} (Grad-CAM)")
