"""`keras-stc ablate`: the paper's ablations."""

import functools
import pathlib

from keras_stc import checks
from keras_stc.cli import options
from keras_stc.cli.console import print_json, say

#: Fields of a `Form` that say what a study compares: type, and words for the user.
COMPARED = {
    "depths": (str, "MODEL", "networks that the study depth compares"),
    "lengths": (int, "FRAMES", "frames in a clip that the study frames compares"),
    "strides": (int, "STRIDE", "distances between two frames that the study stride compares"),
    "ratios": (int, "RATIO", "reduction ratios that the study ratio compares"),
    "networks": (
        str,
        "MODEL",
        "networks of the zoo that the study network compares, each without and with STC blocks",
    ),
}


def register(add):
    command = add(
        "ablate",
        help="train the paper's ablations, with seeds, a table and a plot; run again, it goes on",
        description="Trains networks that differ in one thing, each with several seeds: branches "
        "and place of the STC block, its reduction ratio, depth, clip length, frame stride, "
        "knowledge transfer, any networks of the zoo; the same without gates and without motion. "
        "Killed and run again with the same line, it goes on; run several times at once, the "
        "processes share the trainings.",
    )
    text = f"motion, videos it writes itself (the default), or {options.DATA_HELP}"
    options.data(command, nargs="?", default="motion", help=text)
    command.add_argument("--out", required=True, help="folder to write to")
    command.add_argument(
        "--studies",
        nargs="+",
        metavar="STUDY",
        help="branches, start, single-frame, placement, depth, frames, stride, ratio, transfer, "
        "network (all; network only with --networks)",
    )
    command.add_argument("--form", default="small", help="small, for two cores, or paper (small)")
    command.add_argument("--seeds", type=int, default=3, help="trainings of each setting (3)")
    command.add_argument("--model", help="STC network that all others differ from in one thing")
    options.width(command)
    options.numbers(command, options.CLIP, frames=None, stride=None, size=None, frame_size=None)
    for name, (kind, metavar, text) in COMPARED.items():
        command.add_argument(f"--{name}", nargs="+", type=kind, metavar=metavar, help=text)
    options.numbers(command, options.FITTING, epochs=None, batch_size=None, lr=None)
    command.add_argument("--precision", help="float32, mixed_bfloat16 or mixed_float16 (float32)")
    command.add_argument("--flip", action="store_true", default=None, help="mirror at random")
    command.add_argument("--transfer-epochs", type=int, help="of every transfer")
    options.teacher(command)
    options.validation(command, "evaluate")
    command.add_argument("--plot", metavar="FILE", help="draw the table (.svg or .png)")
    # Which videos are held out is the same for every seed of the trainings.
    command.set_defaults(run=run_ablate, seed=0)


def run_ablate(arguments):
    from keras_stc.ablation import markdown, run_ablation, save_plot
    from keras_stc.ablation.plot import check_plot
    from keras_stc.ablation.run import chosen_settings, motion_videos
    from keras_stc.files import write_atomically

    tell = functools.partial(say, arguments)
    form = _form(arguments)
    options.at_least(arguments, 1, "seeds")
    settings = chosen_settings(form, arguments.studies)
    if arguments.plot:
        check_plot(arguments.plot)  # before hours of training
        options.check_written_file("--plot", arguments.plot)
    studies, teacher = arguments.studies, None
    if any(setting.transfer for setting in settings):
        studies, teacher = _teacher(arguments, form, tell)
    out = pathlib.Path(arguments.out)
    if arguments.data == "motion":
        videos, test = motion_videos(out / "videos", form, tell)
        origin = "motion"
    else:
        videos, test, origin = _data(arguments)
    tell(f"{len(videos)} videos to train on, {len(test)} to evaluate on")
    results = run_ablation(
        videos, test, form, out, studies, range(arguments.seeds), teacher, origin, tell
    )
    text = markdown(form, results, studies)
    write_atomically(out / "ablation.md", text)
    if arguments.plot:
        save_plot(form, results, arguments.plot, studies)
    if arguments.json:
        return print_json(results)
    print(f"\n{text}")
    hours = sum(result["seconds"] for result in results) / 3600
    print(f"{len(results)} trainings, {hours:.1f} hours. The table is in {out / 'ablation.md'}")


def _form(arguments):
    from keras_stc.ablation import FORMS
    from keras_stc.models.configs import VARIANTS
    from keras_stc.models.zoo import CONSTRUCTORS

    checks.one_of(FORMS, **{"--form": arguments.form})
    form = FORMS[arguments.form]
    changes = {name: getattr(arguments, name) for name in ("model", "frames", "stride", "alpha")}
    base = form.base.replace(**options.typed(**changes))
    if not base.has_stc:
        raise ValueError(
            f"--model must be a network with STC blocks, such as stc_resnet18. "
            f"Received: {base.model}"
        )
    checks.positive("a positive number", **{"--alpha": base.alpha})
    choices = {"depths": VARIANTS, "networks": CONSTRUCTORS}
    compared = options.typed(**{name: getattr(arguments, name) for name in COMPARED})
    for name, values in compared.items():
        for value in values:
            if name in choices:
                checks.one_of(choices[name], **{f"--{name}": value})
            else:
                checks.at_least(1, **{f"--{name}": value})
    wide = [name for name in compared.get("networks", ()) if name not in VARIANTS]
    if wide and base.alpha != 1:
        raise ValueError(f"--alpha is the width of residual networks. Received: {wide[0]}")
    recipe = form.recipe.replace(
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        flip=arguments.flip,
        precision=arguments.precision,
    )
    if "network" in (arguments.studies or ()) and not arguments.networks:
        raise ValueError("--studies network compares what --networks names, such as resnet3d18 s3d")
    if arguments.lr is not None:
        recipe = recipe.replace(learning_rate=arguments.lr, reference_batch=0)
    return form.replace(
        base=base,
        recipe=recipe,
        size=arguments.size,
        frame_size=arguments.frame_size,
        transfer_recipe=form.transfer_recipe.replace(epochs=arguments.transfer_epochs),
        **{name: tuple(values) for name, values in compared.items()},
    )


def _data(arguments):
    data = options.division(arguments)
    if not data.validation:
        raise ValueError(
            f"{arguments.data} leaves no videos to evaluate on: give --validation DATA or a larger "
            "--hold-out."
        )
    return data.train, data.validation, data.origin


def _teacher(arguments, form, tell):
    """The studies that can be run and the teacher; without one, all but that of transfer."""
    import keras

    from keras_stc.transfer.teachers import create_teacher

    keras.utils.set_random_seed(0)  # a random one has to be the same when the line is run again
    try:
        return arguments.studies, create_teacher(arguments.teacher, arguments.teacher_weights)
    except (ValueError, OSError) as error:
        if arguments.studies:
            raise
        tell(f"Left out, the study of transfer: {error}")
        return [name for name in form.studies() if name != "transfer"], None
