"""Trained networks, from a run folder, a file or the Hub."""

import inspect
import os
import pathlib

import keras

from keras_stc.checks import did_you_mean
from keras_stc.files import first_line
from keras_stc.models.video_model import VideoModel
from keras_stc.models.zoo import CONSTRUCTORS, create_model
from keras_stc.runs import Run, RunError
from keras_stc.video_config import VideoConfig
from keras_stc.weights.hub import fetch_published, parse_address
from keras_stc.weights.registry import records_of, tags

_NO_CHECKPOINT = "The run in {} has no checkpoint yet: repeat its command line to go on."
_NO_BEST = "Only a run folder has a best checkpoint, and {} is none."


def load_model(source: str | os.PathLike[str], checkpoint: str = "last") -> VideoModel:
    """A trained model with its `video_config`.

    Example:

    ```python
    model = keras_stc.load_model("runs/a")
    keras_stc.predict_video(model, "x.mp4").top(5)
    ```

    Args:
        source: A run folder, a `.keras` file, or `"hf://owner/repo[@revision]"`.
        checkpoint: Of a run folder: `"last"` epoch or `"best"` on the validation videos.

    Returns:
        A `keras_stc.VideoModel`.

    Raises:
        RunError: If there is no such model.
    """
    if checkpoint not in ("last", "best"):
        raise RunError(
            f'`checkpoint` must be "last" or "best". Received: checkpoint={checkpoint!r}'
        )
    path = pathlib.Path(source)
    if checkpoint == "best" and not path.is_dir():
        raise RunError(_NO_BEST.format(source))
    if str(source).startswith("hf://"):
        published = fetch_published(parse_address(str(source)))
        return _rebuilt(published.config, published.weights)
    if path.is_dir():
        run = Run(path)
        if not run.config_path.exists():
            raise RunError(f"{path} is no run folder: it has no config.json.")
        if checkpoint == "best":
            return _best_model(run)
        path = run.model_path
        if run.student_path.exists():
            raise RunError(
                f"The run in {run.folder} is a transfer, and its student has no classes yet: train "
                f"it with keras-stc train DATA --weights {run.folder}."
            )
        if not path.exists() and not run.state():
            raise RunError(_NO_CHECKPOINT.format(run.folder))
        if not path.exists():
            raise RunError(
                f"The run in {run.folder} is not finished ({run.state()['epoch']} epochs done): "
                "repeat its command line to go on, or use its best checkpoint."
            )
    if not path.exists():
        raise RunError(f"The model {path} does not exist: give a run folder or a .keras file.")
    try:
        model = keras.models.load_model(path)
    except Exception as error:  # Keras raises many types for a file that is not its own.
        raise RunError(f"{path} is no model that Keras can load: {first_line(error)}") from error
    if not isinstance(model, VideoModel):
        raise RunError(
            f"{path} carries no video_config, so nobody can say how to feed it: save a model that "
            "keras_stc built."
        )
    return model


def named_model(name, checkpoint="last", video_config=None, also=()):
    """What a user means: a network with its weights, by name, or what `load_model` takes.

    Args:
        name: As `load_model`'s source; one of `keras_stc.list_weights()`, such as
            `"stc_resnet18.ucf101-35"`; or the name of a network alone, for the first of those that
            name their classes.
        checkpoint: As of `load_model`.
        video_config: Of networks of the zoo alone: a dictionary of the fields in which its clips
            are to differ from those that its weights were trained on.
        also: Further names that would have done, for the error's question.

    Returns:
        A `keras_stc.VideoModel`.

    Raises:
        RunError: If there is no such model, or its weights do not name classes.
        WeightsError: If nobody has published such weights of the network.
    """
    arch, _, tag = str(name).partition(".")
    found = pathlib.Path(name).exists() or str(name).startswith("hf://")
    of_zoo = arch in CONSTRUCTORS and tag != "keras" and not found
    if not (found or of_zoo):
        raise RunError(
            f"The model {name} does not exist: give a run folder, a .keras file or a network with "
            f"weights.{did_you_mean(str(name), [*CONSTRUCTORS, *also])}"
        )
    if not of_zoo:
        if video_config is not None:
            raise RunError(
                f"{name} sees clips as it was trained: leave out other clips, which only a network "
                "of the zoo can have."
            )
        return load_model(name, checkpoint)
    if checkpoint == "best":
        raise RunError(_NO_BEST.format(name))
    records = [record for record in records_of(arch) if tag in ("", record.tag)]
    if not records:
        known = ", ".join(f"{arch}.{each}" for each in tags(arch)) or "none"
        raise RunError(f"There are no weights {name}: those of this network are {known}.")
    # Weights without names of classes, such as ImageNet's, cannot say what a video shows.
    record = next((record for record in records if record.classes), None)
    if record is None:
        raise RunError(f"The weights {name} name no classes, so nobody could read their answers.")
    return create_model(arch, weights=record.tag, video_config=video_config)


def weights_file(source, checkpoint="last"):
    """The file that `load_model` takes the weights of a run folder or a `.keras` file from."""
    run = Run(source)
    if not run.folder.is_dir():
        return run.folder
    return run.best_path if checkpoint == "best" else run.model_path


def _best_model(run):
    config = run.config()
    if not run.state():
        raise RunError(_NO_CHECKPOINT.format(run.folder))
    if not run.best_path.exists() or config["architecture"] is None:
        raise RunError(
            f"The run in {run.folder} has no best checkpoint: it had no validation videos, or its "
            "network is not one of the zoo. Use its last one."
        )
    return _rebuilt(config, run.best_path)


def _rebuilt(config, weights):
    """The network that a `config.json` describes, with weights of a file."""
    video_config = VideoConfig.from_dict(config["video_config"])
    structure = config["architecture"]
    make = CONSTRUCTORS.get(structure["name"])  # `create_model` names what is not there
    known = {"name", *inspect.signature(make).parameters} if make else {*structure}
    if unknown := sorted({*structure} - known):
        raise RunError(
            f"{weights} is of a network built with {', '.join(unknown)}, which this version of "
            "keras-stc does not know: install a newer one."
        )
    return create_model(**structure, weights=weights, video_config=video_config)
