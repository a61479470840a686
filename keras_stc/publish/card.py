"""The card of a published network: what was measured, how, and what was not."""

import inspect
import pathlib
import re
import shlex

from keras_stc.models.zoo import CONSTRUCTORS

TEMPLATE = pathlib.Path(__file__).with_name("card.md.j2")

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

    name = repo.partition("/")[2]
    # Top-5 says nothing of five classes or fewer.
    few = len(config["video_config"]["class_names"]) <= 5
    figures = [(key, figure) for key, figure in FIGURES if not (few and key == "video@5")]
    card = huggingface_hub.ModelCard.from_template(
        _metadata(config, name, figures),
        template_str=TEMPLATE.read_text(encoding="utf-8"),
        **config,
        **_constructor(config["architecture"]),
        name=name,
        repo=repo,
        figures=figures,
        unknown=UNKNOWN,
        training=training,
        start=_start(training),
        command=public_line(training.get("command", "")),
    )
    return f"{card}\n"


def public_line(line):
    """A command line without the folders of the machine it was typed on.

    `train /home/a/ucf --out ~/runs/b` becomes `train ucf --out b`; relative paths stay.
    """
    return shlex.join(_ABSOLUTE.sub(r"\1", word) for word in shlex.split(line))


def _metadata(config, name, figures):
    import huggingface_hub

    results = [
        huggingface_hub.EvalResult(
            task_type="video-classification",
            dataset_type=_slug(measured["data"] or UNKNOWN),
            dataset_name=measured["data"] or UNKNOWN,
            dataset_split=measured["subset"],
            metric_type="accuracy",
            metric_name=figure,
            metric_value=measured[key],
        )
        for measured in config["metrics"]
        for key, figure in figures
    ]
    return huggingface_hub.ModelCardData(
        license=config["license"],
        library_name="keras",
        pipeline_tag="video-classification",
        tags=["keras-stc", "action-recognition", config["architecture"]["name"]],
        model_name=name,
        eval_results=results or None,
    )


def _constructor(architecture):
    """The constructor's name, and those arguments that the weights need, as Python writes them."""
    constructor = CONSTRUCTORS[architecture["name"]]
    defaults = inspect.signature(constructor).parameters
    arguments = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in architecture.items()
        if key not in ("name", "classes")
    }
    repeated = {
        key: repr(value) for key, value in arguments.items() if value != defaults[key].default
    }
    return {"constructor": constructor.__name__, "arguments": repeated}


def _start(training):
    """What a run started from."""
    data = training.get("data")
    if not isinstance(data, dict) or not data:
        return UNKNOWN
    return _ABSOLUTE.sub(r"\1", data.get("weights") or "") or "random weights"


def _slug(name):
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "data"
