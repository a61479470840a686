"""The card of a published network: what was measured, how, and what was not."""

import inspect
import re
import shlex

from keras_stc.models.zoo import CONSTRUCTORS

#: Figures of a measurement: key, name on the card.
FIGURES = (
    ("video@1", "video top-1"),
    ("video@5", "video top-5"),
    ("clip@1", "clip top-1"),
)

UNKNOWN = "not recorded"

#: The folders of an absolute path, at the start of a word or after `=` or `:`; no address.
_ABSOLUTE = re.compile(r"(^|[=:])(?:~|[A-Za-z]:)?[/\\](?!/)(?:[^/\\:]*[/\\])*(?=[^/\\])")


def model_card(config, training, repo):
    """The `README.md` of a repository.

    Args:
        config: Its `config.json`.
        training: The run's own `config.json`, with its command line as `command`; `{}` where
            the network does not come from a run.
        repo: `"owner/repo"`.

    Returns:
        Text: Markdown below the Hub's metadata.
    """
    import huggingface_hub

    body = "\n\n".join(
        (
            f"# {repo.partition('/')[2]}",
            _introduction(config),
            "## Use",
            _use(config, repo),
            "## Accuracy",
            *_accuracy(config),
            "## Network",
            _table(_network(config)),
            "## Training",
            *_training(config, training),
            "## Licence",
            config["license"] or "None was given by whoever published this.",
        )
    )
    return str(huggingface_hub.ModelCard(f"---\n{_metadata(config, repo)}\n---\n\n{body}\n"))


def public_line(line):
    """A command line without the folders of the machine it was typed on.

    `train /home/a/ucf --out ~/runs/b` becomes `train ucf --out b`; relative paths stay.
    """
    return shlex.join(_ABSOLUTE.sub(r"\1", word) for word in shlex.split(line))


def _metadata(config, repo):
    import huggingface_hub

    results = [
        huggingface_hub.EvalResult(
            task_type="video-classification",
            dataset_type=_slug(metrics["data"]),
            dataset_name=metrics["data"] or UNKNOWN,
            dataset_split=metrics["subset"],
            metric_type="accuracy",
            metric_name=name,
            metric_value=metrics[key],
        )
        for metrics in config["metrics"]
        for key, name in _figures(config)
    ]
    return huggingface_hub.ModelCardData(
        license=config["license"],
        library_name="keras",
        pipeline_tag="video-classification",
        tags=["keras-stc", "action-recognition", config["architecture"]["name"]],
        model_name=repo.partition("/")[2],
        eval_results=results or None,
    ).to_yaml()


def _introduction(config):
    names = config["video_config"]["class_names"]
    return (
        f"`{CONSTRUCTORS[config['architecture']['name']].__name__}` of "
        f"keras-stc {config['keras_stc']}, for {len(names)} classes: "
        f"{', '.join(names[:20])}{', ... (all in config.json)' if len(names) > 20 else ''}."
    )


def _use(config, repo):
    constructor = CONSTRUCTORS[config["architecture"]["name"]]
    defaults = inspect.signature(constructor).parameters
    arguments = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in config["architecture"].items()
        if key not in ("name", "classes")
    }
    # Another value than the default has to be repeated for the weights to fit.
    repeated = "".join(
        f"    {key}={value!r},\n"
        for key, value in arguments.items()
        if value != defaults[key].default
    )
    return f"""```python
import keras_stc

model = keras_stc.load_model("hf://{repo}")
keras_stc.predict_video(model, "x.mp4").top(5)

# A start for classes of your own: everything but the classifier.
model = keras_stc.{constructor.__name__}(
    weights="hf://{repo}",
    classes=10,
{repeated})
```"""


def _accuracy(config):
    if not config["metrics"]:
        yield "Not measured."
        return
    figures = _figures(config)
    yield _table(
        [
            (
                metrics["data"] or UNKNOWN,
                metrics["subset"] or "all",
                metrics["videos"],
                metrics["clips"],
                *(f"{metrics[key]:.1%}" for key, _ in figures),
            )
            for metrics in config["metrics"]
        ],
        ("data", "videos of it", "videos", "clips", *(name for _, name in figures)),
    )
    for metrics in config["metrics"]:
        protocol = metrics["protocol"]
        unreadable = metrics["unreadable"]
        yield (
            f"Protocol on {metrics['data'] or UNKNOWN}: clips of {protocol['frames']} frames, "
            f"{_pace(protocol, 'stride {}')}; {_resize(protocol['resize'])}, crop "
            f"{'x'.join(map(str, protocol['crop']))} at the {protocol['crop_position']}; clips per "
            f"video: {protocol['clips_per_video']}; averaged: {protocol['averaging']}."
            + (f" {unreadable} videos could not be read and do not count." if unreadable else "")
        )
    if config["checkpoint"] == "best":
        yield (
            "The checkpoint is the epoch with the best accuracy on the run's validation videos: "
            "on those, it flatters itself."
        )
    yield "Measured by whoever published this, with `keras-stc`."


def _network(config):
    video = config["video_config"]
    frames, height, width, _ = config["architecture"]["input_shape"]
    options = {
        key: value
        for key, value in config["architecture"].items()
        if key not in ("name", "input_shape", "classes", "include_top", "pooling")
    }
    return (
        ("network", f"`{config['architecture']['name']}`"),
        *((key.replace("_", " "), _text(value)) for key, value in options.items()),
        ("parameters", f"{config['parameters'] / 1e6:.2f} M"),
        ("multiply-accumulates", f"{config['macs'] / 1e9:.2f} G a clip (FLOPs are twice that)"),
        ("clip", f"{frames} frames, {height}x{width} pixels, RGB 0-255"),
        ("pace" if video.get("fps") else "stride", _pace(video, "{} frames of video")),
        ("frame before the crop", _resize(video["resize"])),
        ("weights", f"{config['weights']['bytes']} bytes, SHA-256 {config['weights']['sha256']}"),
    )


def _resize(sides):
    if isinstance(sides, (list, tuple)):
        return f"stretched to {'x'.join(map(str, sides))} pixels"
    return f"short side {sides} pixels"


def _pace(config, stride):
    """How far apart the frames of a clip are; `stride` says it by the stride."""
    fps = config.get("fps")
    return f"{fps:g} frames a second" if fps else stride.format(config["stride"])


def _training(config, training):
    if not training:
        yield "Not recorded: this network was published from a model file, not from a run."
        return
    recipe = training["recipe"]
    data = training["data"] if isinstance(training["data"], dict) else {}
    yield _table(
        (
            ("checkpoint", f"{config['checkpoint']} epoch"),
            (
                "started from",
                _ABSOLUTE.sub(r"\1", data.get("weights") or "")
                or ("random weights" if data else UNKNOWN),
            ),
            ("videos", training["videos"]),
            ("seed", training["seed"]),
            *(
                (key.replace("_", " "), _text(value))
                for key, value in recipe.items()
                if key not in ("source",)
            ),
        )
    )
    if "command" in training:
        yield f"```\n{public_line(training['command'])}\n```"
    else:
        yield "The command line was not recorded."


def _figures(config):
    """Top-5 says nothing of five classes or fewer."""
    few = len(config["video_config"]["class_names"]) <= 5
    return [(key, name) for key, name in FIGURES if not (few and key == "video@5")]


def _table(rows, columns=("", "")):
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(value):
    return str(value).replace("|", r"\|")


def _text(value):
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _slug(name):
    return re.sub(r"[^a-z0-9]+", "-", (name or UNKNOWN).lower()).strip("-") or "data"
