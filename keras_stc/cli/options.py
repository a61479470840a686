"""Options that several commands share, and what all of them mean."""

import pathlib

from keras_stc import checks

DATA_HELP = (
    "a folder of class folders, a CSV file with path,label[,split] or another list of videos and "
    "labels, ucf101:ROOT:SPLIT, hmdb51:ROOT:SPLIT, kinetics:CSV:ROOT, or what keras-stc pack wrote"
)

#: What answers where no model is named: it has the most accurate Kinetics weights.
DEFAULT = "inception_i3d"

#: Options of a clip, and those of any training: name, type, what it is.
CLIP = {
    "frames": (int, "frames in a clip"),
    "stride": (int, "frames of video from one to the next"),
    "size": (int, "pixels of the square crop"),
    "frame_size": (int, "pixels of the teacher's crop"),
}
FITTING = {
    "epochs": (int, "of the training"),
    "batch_size": (int, "videos in an update"),
    "accumulation": (int, "parts of a batch that go through the network one by one"),
    "lr": (float, "highest learning rate, whatever the batch"),
}


def numbers(command, table, **notes):
    """Adds some of the options of a table; each with its default, or what else to say of it."""
    for name, note in notes.items():
        kind, text = table[name]
        default = None if isinstance(note, str) else note
        text += f" ({note})" if note is not None else ""
        command.add_argument(f"--{name.replace('_', '-')}", type=kind, default=default, help=text)


def data(command, **options):
    """DATA, for `source`."""
    options.setdefault("help", DATA_HELP)
    command.add_argument("data", metavar="DATA", **options)
    class_names(command)


def class_names(command):
    """What goes with DATA."""
    command.add_argument(
        "--class-names",
        metavar="FILE",
        help="what numbers in a list stand for: a name in each line, or a number and a name "
        "(classInd.txt or labels.txt beside the list)",
    )


def source(arguments, spec=None):
    """The `Data` that a user means by DATA, or by another option."""
    from keras_stc.data import open_source
    from keras_stc.data.sets.open import is_list

    if spec is None:
        return open_source(arguments.data, arguments.class_names)
    return open_source(spec, arguments.class_names if is_list(spec) else None)


def division(arguments):
    """What to train on and what to validate on, a `Division`."""
    from keras_stc.data import divide

    validation = arguments.validation and source(arguments, arguments.validation)
    how = arguments.hold_out, arguments.seed, arguments.groups
    return divide(source(arguments), validation, *how)


def validation(command, verb="validate"):
    """What is not trained on."""
    command.add_argument("--validation", metavar="DATA", help=f"videos to {verb} on")
    command.add_argument(
        "--hold-out",
        type=float,
        default=0.2,
        help=f"part of each class to {verb} on where the data has no split (0.2); 0 for none",
    )
    groups(command)


def groups(command):
    """How what is held out stays together."""
    command.add_argument(
        "--groups",
        metavar="REGEX",
        help="hold out whole groups: videos whose paths agree in what this finds, such as takes of "
        "one recording; of UCF101 'v_(.+_g[0-9]+)_'",
    )


def run(command):
    """What every run folder has."""
    command.add_argument("--out", required=True, help="run folder")
    command.add_argument(
        "--placement",
        choices=("block", "stage", "module", "last"),
        help="of the STC blocks: block or stage in a residual network with such blocks (block); "
        "module, behind every one, or last in another, which has none without this option",
    )
    command.add_argument(
        "--final-endpoint",
        metavar="MODULE",
        help="what the network ends with, where it is no residual one, such as Mixed_4f",
    )
    width(command)
    command.add_argument(
        "--no-flip", action="store_true", help="never mirror, where left and right matter"
    )
    command.add_argument("--seed", type=int, default=0)
    command.add_argument(
        "--checkpoint-steps",
        type=int,
        metavar="STEPS",
        help="steps that a kill costs at most (one epoch)",
    )
    command.add_argument(
        "--validation-freq",
        type=int,
        default=1,
        metavar="EPOCHS",
        help="epochs from one validation to the next (1); the last one always has one",
    )


def changed(recipe, arguments, names=("epochs", "batch_size", "accumulation"), **more):
    """A recipe with what options say otherwise: `names`, --lr and --no-flip, and `more` fields."""
    changes = {name: getattr(arguments, name) for name in names}
    if arguments.lr is not None:
        changes.update(learning_rate=arguments.lr, reference_batch=0)
    return recipe.replace(**changes, flip=False if arguments.no_flip else None, **more)


def files(command):
    """FILE…, for `keras_stc.cli.predict.find_files`."""
    text = "a video, a folder of them, or a pattern"
    command.add_argument("files", nargs="+", metavar="FILE", help=text)


def model(command, more="", **options):
    """What `named_model` takes."""
    text = (
        "a run folder, a .keras file, hf://owner/repo or weights of the zoo, such as "
        f"stc_resnet18.ucf101-35{more} ({DEFAULT})"
    )
    command.add_argument("--model", help=text, **options)


def checkpoint(command):
    """Which weights of a run."""
    command.add_argument("--checkpoint", choices=("last", "best"), default="last")


def student(command):
    """VIDEOS, and what learns from them without labels."""
    command.add_argument(
        "videos",
        metavar="VIDEOS",
        help="a folder of videos, a CSV file with the column path, or a known data set",
    )
    command.add_argument("--student", default="stc_resnet18", help="see keras-stc models")


def part_to_measure_on(command):
    """What `divide_unlabelled` holds out."""
    text = "part of the videos to measure on (0.1); 0 for none"
    command.add_argument("--hold-out", type=float, default=0.1, help=text)
    groups(command)


def teacher(command):
    """What `create_teacher` takes."""
    command.add_argument("--teacher", default="resnet50", help="2D network (resnet50)")
    teacher_weights(command, "imagenet")


def teacher_weights(command, default):
    """`--teacher-weights` of a 2D network."""
    command.add_argument(
        "--teacher-weights",
        default=default,
        metavar="PATH",
        help="of a 2D network: a weights file of keras.applications, imagenet (fetched once), or "
        "random, a control",
    )


def windows(command, default):
    """`--windows`: clips of which a teacher is asked once."""
    command.add_argument(
        "--windows",
        type=int,
        default=default,
        help=f"clips of every video that the teacher is asked of, once ({default}); 0 for asking "
        "it in every step of the very clip that the student sees",
    )


def at_least(arguments, least, *names):
    """Raises the `ValueError` for an option that is given and is less."""
    for name in names:
        value = getattr(arguments, name)
        if value is not None:
            checks.at_least(least, **{f"--{name.replace('_', '-')}": value})


def fusion_weights(command):
    """Of a late fusion of several models."""
    command.add_argument(
        "--fusion-weights",
        type=float,
        nargs="+",
        metavar="WEIGHT",
        help="what each model counts in their late fusion (all the same)",
    )


def check_fusion(arguments, models):
    """Raises the `ValueError` for weights of a fusion that are not one for each of its models."""
    weights = arguments.fusion_weights
    if weights is not None and (len(models) < 2 or len(weights) != len(models)):
        raise ValueError(
            "--fusion-weights must be a number for each of two or more models. "
            f"Received: {len(weights)} for {len(models)}"
        )


def check_numbers(arguments):
    """Raises the `ValueError` for a number that no run can have."""
    checks.below_one(**{"--hold-out": arguments.hold_out})
    at_least(arguments, 0, "seed")
    at_least(arguments, 1, "checkpoint_steps", "validation_freq")


def width(command):
    """`--alpha`."""
    command.add_argument(
        "--alpha",
        type=float,
        help="width of a residual network: all its channels times this (1); 0.5 is about a "
        "quarter of the work",
    )


def structure(model, arguments):
    """What `--placement`, `--alpha` and `--final-endpoint` add to `create_model`'s arguments."""
    from keras_stc.models.configs import VARIANTS
    from keras_stc.models.zoo import model_name

    variant = VARIANTS.get(model_name(model))
    added = {}
    if arguments.placement:
        places = (("block", "stage") if variant.stc else ()) if variant else ("module", "last")
        if arguments.placement not in places:
            there = f"goes with {' or '.join(places)}" if places else "has none"
            raise ValueError(
                f"--placement says where STC blocks go, and this network {there}: {model}. "
                f"Received: {arguments.placement}"
            )
        added["stc_placement"] = arguments.placement
        if not variant:
            added["stc"] = True
    if arguments.final_endpoint is not None:
        if variant:
            raise ValueError(
                "--final-endpoint ends networks that are no residual ones, such as inception_i3d. "
                f"Received: {model}"
            )
        added["final_endpoint"] = arguments.final_endpoint
    if arguments.alpha is not None:
        checks.positive("a positive number", **{"--alpha": arguments.alpha})
        if variant is None:
            raise ValueError(
                "--alpha is the width of residual networks: choose one such as stc_resnet18. "
                f"Received: {model}"
            )
        added["alpha"] = arguments.alpha
    return added


def data_name(spec):
    """What data is called where its accuracy is shown: `DATA` without the folders above it."""
    return ":".join(pathlib.PurePath(part).name or part for part in str(spec).split(":"))


def typed(**fields):
    """Those of some fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}


def check_written_file(option, path):
    """Raises the `ValueError` for a file that cannot be written, before the work is done."""
    if path and pathlib.Path(path).is_dir():
        raise ValueError(f"{option} {path} is a folder: give the name of a file.")
    if path and not pathlib.Path(path).absolute().parent.is_dir():
        raise ValueError(f"The folder of {option} {path} does not exist: make it first.")
