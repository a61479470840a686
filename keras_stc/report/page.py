"""Fills the page from what was measured."""

import base64
import fractions
import html
import pathlib
import string

import numpy as np

from keras_stc.report.curves import curves_svg

TEMPLATE = pathlib.Path(__file__).with_name("template.html")


def write_report(path, title, subtitle, figures, history, evaluation, samples=()):
    """Writes a self-contained HTML page: no script, no file beside it, nothing from the network.

    Args:
        path: Of the file to write.
        title: Heading.
        subtitle: A line below it.
        figures: `{caption: text}` for the large numbers at the top.
        history: The history of a run, a dictionary for each epoch.
        evaluation: A `keras_stc.Evaluation`.
        samples: `[(prediction, label, frames)]`: a `VideoPrediction`, the name of the right class
            and uint8 frames `(T, H, W, 3)` to show.

    Returns:
        `path`.
    """
    page = string.Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        subtitle=html.escape(subtitle),
        figures="".join(
            f"<div><b>{html.escape(text)}</b>{html.escape(caption)}</div>"
            for caption, text in figures.items()
        ),
        curves=curves_svg(history),
        matrix=_matrix(evaluation),
        samples="".join(_sample(*sample) for sample in samples),
        protocol=_protocol(evaluation),
    )
    pathlib.Path(path).write_text(page, encoding="utf-8")
    return path


def png(frame):
    """PNG bytes of a uint8 frame `(H, W, 3)`, through FFmpeg."""
    import av

    encoder = av.CodecContext.create("png", "w")
    encoder.height, encoder.width = frame.shape[:2]
    encoder.pix_fmt = "rgb24"
    encoder.time_base = fractions.Fraction(1, 25)
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])


def _matrix(evaluation):
    names, matrix = evaluation.class_names, evaluation.confusion
    head = "".join(f"<th><span>{html.escape(name)}</span></th>" for name in names)
    rows = []
    for name, row in zip(names, matrix, strict=True):
        shares = row / max(1, row.sum())
        cells = "".join(
            f'<td style="background: rgba(var(--good), {share:.2f});'
            f'{" color: #fff" if share > 0.6 else ""}">{count or ""}</td>'
            for count, share in zip(row, shares, strict=True)
        )
        rows.append(f"<tr><th>{html.escape(name)}</th>{cells}</tr>")
    return (
        f'<table class="matrix"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _sample(prediction, label, frames):
    images = "".join(
        f'<img alt="" src="data:image/png;base64,{base64.b64encode(png(frame)).decode()}">'
        for frame in frames
    )
    top = prediction.top(3)
    kind = "" if top[0][0] == label else ' class="wrong"'
    said = ", ".join(f"{html.escape(name)} {probability:.0%}" for name, probability in top)
    return (
        f'<figure><div class="strip">{images}</div><figcaption{kind}>'
        f"{html.escape(label)}: {said}</figcaption></figure>"
    )


def _protocol(evaluation):
    rows = {
        **evaluation.protocol,
        "videos": len(evaluation.labels),
        "clips": evaluation.clips,
        "clip@1": f"{evaluation.clip1:.1%}",
        "video@1": f"{evaluation.video1:.1%}",
    }
    cells = "".join(
        f'<tr><td class="note">{html.escape(str(key).replace("_", " "))}</td>'
        f"<td>{html.escape(str(value))}</td></tr>"
        for key, value in rows.items()
    )
    return f"<table>{cells}</table>"
