"""An explanation as a page shows it: frames with heat, gates as charts and pictures."""

import numpy as np

from keras_stc.report.charts import line_chart
from keras_stc.report.pictures import data_uri, strip
from keras_stc.report.render import write_page

#: Frames of a clip that are shown, channels of a block, and classes.
FRAMES, CHANNELS, CLASSES = 8, 64, 12

#: Colours of heat from little to much, and those of gates below and above the mean.
HEAT = np.array([(255, 224, 60), (255, 120, 20), (220, 10, 40)], float)
BELOW, ABOVE = (74, 111, 212), (214, 106, 31)


def write_views(path, views, facts=None):
    """Writes a page of explanations: one file, without scripts.

    Args:
        path: Of the file to write.
        views: What `explanation_view` returned, of each.
        facts: `{name: text}`, such as `keras_stc.report.facts.facts`.

    Returns:
        `path` as a `pathlib.Path`.
    """
    return write_page(path, "explanation.html", views=views, facts=facts or {})


def heated(frames, maps):
    """Frames with a map laid over them.

    Args:
        frames: uint8 `(..., H, W, 3)`.
        maps: `(..., H, W)`, 0 to 1.

    Returns:
        uint8 `(..., H, W, 3)`.
    """
    places = np.linspace(0, 1, len(HEAT))
    colours = np.stack([np.interp(maps, places, HEAT[:, k]) for k in range(3)], axis=-1)
    share = 0.75 * np.clip(maps, 0, 1)[..., None] ** 0.8
    # Grey below the heat, so that its colours are not those of the scene.
    grey = frames.mean(axis=-1, keepdims=True)
    return np.round((1 - share) * (0.5 * frames + 0.5 * grey) + share * colours).astype("uint8")


def explanation_view(explanation):
    """What the template of an explanation shows; a dictionary."""
    count = explanation.clips.shape[1]
    places = np.linspace(0, count - 1, min(FRAMES, count)).round().astype(int)
    clips = []
    for i, (start, end) in enumerate(explanation.clip_times):
        frames = explanation.clips[i, places]
        clips.append(
            {
                "start": start,
                "end": end,
                "frames": strip(frames),
                "heated": strip(heated(frames, explanation.maps[i, places])),
                "random": []
                if explanation.random_maps is None or i
                else strip(heated(frames, explanation.random_maps[i, places])),
            }
        )
    return {
        "path": explanation.path,
        "label": explanation.label,
        "top": list(explanation.probabilities.items()),
        "layer": explanation.layer,
        "map_size": explanation.map_size,
        "clips": clips,
        "over_time": _over_time(explanation),
        "checks": explanation.checks,
        "stages": _stages(explanation.gates),
        "gate_rows": _gate_rows(explanation),
        "selectivity": _selectivity(explanation.class_gates),
        "class_blocks": _class_blocks(explanation),
    }


def _over_time(explanation):
    lines = {}
    for (start, end), maps in zip(explanation.clip_times, explanation.maps, strict=True):
        times = np.linspace(start, end, len(maps), endpoint=False)
        points = zip(times.tolist(), maps.mean(axis=(1, 2)).tolist(), strict=True)
        lines[f"mean of the map, {start:.1f} – {end:.1f} s"] = list(points)
    return line_chart(lines, "The map over time", "second", marks=0)


def _stages(gates):
    """`[(heading, chart)]`: how the gates of each branch are spread, block after block."""
    charts = []
    for branch in ("temporal", "spatial"):
        blocks = [branches[branch] for branches in gates.values() if branch in branches]
        lines = {
            caption: [(k, float(measure(each))) for k, each in enumerate(blocks, start=1)]
            for caption, measure in (
                ("a tenth of the channels is above", lambda each: np.quantile(each, 0.9)),
                ("mean", np.mean),
                ("a tenth is below", lambda each: np.quantile(each, 0.1)),
            )
        }
        if blocks:
            chart = line_chart(lines, f"Gates of the {branch} branch", "STC block", shares=True)
            charts.append((f"{branch.capitalize()} branch", chart))
    return charts


def _ends_of_stages(gates):
    """Names of the last block of each stage; of blocks of other names, up to four of them."""
    last = {name.split("_")[0]: name for name in gates}
    names = list(last.values()) if len(last) > 1 else list(gates)
    return [names[i] for i in np.unique(np.linspace(0, len(names) - 1, 4).astype(int))]


def _gate_rows(explanation):
    """Pictures of gates over time: a row for each channel, a column for each clip."""
    rows = []
    for block in _ends_of_stages(explanation.gates) if explanation.gates else ():
        for branch, gates in explanation.gates[block].items():
            change = gates - gates.mean(axis=0)
            most = np.argsort(-change.std(axis=0), kind="stable")[:CHANNELS]
            # Channels that rise together lie together.
            most = most[np.argsort(change[:, most].argmax(axis=0), kind="stable")]
            rows.append(
                {
                    "block": block,
                    "branch": branch,
                    "picture": data_uri(_deviation(change[:, most].T)),
                    "deviation": float(change.std(axis=0).mean()),
                    "most": float(np.abs(change).max()),
                }
            )
    return rows


def _selectivity(class_gates):
    if class_gates is None:
        return ""
    lines = {
        f"{branch} branch": list(enumerate(values, start=1))
        for branch, values in class_gates.selectivity().items()
    }
    return line_chart(lines, "How much gates differ between classes", "STC block")


def _class_blocks(explanation):
    """Of the last block of each stage: this video's and each class's gates against the mean."""
    blocks, known = [], explanation.class_gates
    if known is None or not explanation.gates:  # of the video none were asked for
        return blocks
    for block in _ends_of_stages(known.gates):
        for branch, gates in known.gates[block].items():
            mean = known.mean(block, branch)
            change = gates - mean
            classes = np.flatnonzero(known.counts)
            most = np.argsort(-np.nanstd(change, axis=0), kind="stable")[:CHANNELS]
            of_video = explanation.gates[block][branch].mean(axis=0) - mean
            order = classes[np.argsort(-np.abs(change[classes]).mean(axis=1), kind="stable")]
            shown = [i for i in order if known.class_names[i] == explanation.label]
            shown += [i for i in order if i not in shown]
            scale = float(np.nanmax(np.abs(change[:, most])))
            rows = [("this video", "", data_uri(_deviation(of_video[None, most], scale)))]
            for i in shown[:CLASSES]:
                picture = data_uri(_deviation(change[i][None, most], scale))
                # How alike the video and the class are in what sets them off from the mean.
                alike = of_video.std() > 0 and change[i].std() > 0
                likeness = f"{np.corrcoef(of_video, change[i])[0, 1]:+.2f}" if alike else "–"
                rows.append((known.class_names[i], likeness, picture))
            blocks.append({"block": block, "branch": branch, "rows": rows, "scale": scale})
    return blocks


def _deviation(values, scale=None):
    """RGBA pixels of deviations: orange above, blue below, clear at zero."""
    scale = scale or max(float(np.abs(values).max()), 1e-6)
    pixels = np.empty((*values.shape, 4), np.uint8)
    pixels[..., :3] = np.where((values > 0)[..., None], ABOVE, BELOW)
    pixels[..., 3] = np.round(255 * np.clip(np.abs(values) / scale, 0, 1))
    return pixels
