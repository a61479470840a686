"""`keras-stc transfer`: a network learns from a frozen 2D network, without labels."""

import functools
import time

from keras_stc.checks import one_of
from keras_stc.cli import options
from keras_stc.cli.console import fit_verbosity, print_line_to_train, say, show_run, trained


def register(add):
    command = add(
        "transfer",
        help="teach a 3D network with an ImageNet network, on videos without labels",
        description="A frozen 2D network teaches a 3D network which frames and clips belong "
        "together. Killed and run again with the same line, it goes on from its last epoch. "
        "Afterwards: keras-stc train DATA --model STUDENT --weights OUT.",
    )
    options.student(command)
    options.run(command)
    options.teacher(command)
    options.windows(command, 0)
    command.add_argument("--recipe", default="default", help="default or paper")
    options.numbers(
        command, options.FITTING, epochs=None, batch_size="32", accumulation="1", lr=None
    )
    options.numbers(command, options.CLIP, frames=16, stride=2, size=112, frame_size=224)
    options.part_to_measure_on(command)
    command.set_defaults(run=run_transfer)


def run_transfer(arguments):
    from keras_stc import distribute
    from keras_stc.data import divide_unlabelled
    from keras_stc.runs import Run
    from keras_stc.transfer.build import create_transfer
    from keras_stc.transfer.loop import train_transfer
    from keras_stc.transfer.recipe import RECIPES
    from keras_stc.transfer.teachers import create_teacher

    options.check_numbers(arguments)
    options.at_least(arguments, 0, "windows")
    one_of(RECIPES, **{"--recipe": arguments.recipe})
    recipe = options.changed(RECIPES[arguments.recipe], arguments)
    distribute.strategy()  # Workers have to find one another before anything else.
    how = {"seed": arguments.seed, "groups": arguments.groups}
    data = divide_unlabelled(arguments.videos, arguments.hold_out, **how)
    videos, held_out = data.train, data.validation
    say(arguments, f"{len(videos)} videos to learn from, {len(held_out or ())} to measure on")
    if done := Run(arguments.out).state().get("epoch"):
        say(arguments, f"Going on after epoch {done} of the run in {arguments.out}")

    transfer = create_transfer(
        arguments.student,
        functools.partial(create_teacher, arguments.teacher, arguments.teacher_weights),
        seed=arguments.seed,
        video_config={name: getattr(arguments, name) for name in ("frames", "stride", "size")},
        **options.structure(arguments.student, arguments),
    )
    started = time.monotonic()
    history = train_transfer(
        transfer,
        videos,
        recipe,
        arguments.out,
        held_out,
        arguments.seed,
        arguments.frame_size,
        data=data.origin,
        verbose=fit_verbosity(arguments),
        save_steps=arguments.checkpoint_steps,
        validation_freq=arguments.validation_freq,
        windows=arguments.windows,
    )
    if not distribute.is_chief():
        return
    result = trained(arguments, history)
    apart = f"{history[-1]['val_pair_accuracy']:.1%}" if held_out else None
    if not show_run(
        arguments,
        result,
        time.monotonic() - started,
        f"Transfer: {arguments.teacher} teaches {arguments.student}",
        f"{len(videos)} videos without labels to learn from, {len(held_out or ())} to measure on",
        {"teacher": f"{arguments.teacher}, {arguments.teacher_weights}", "recipe": recipe.name},
        figures={"of held-out pairs are told apart": apart} if apart else None,
        history=history,
    ):
        return
    if apart:
        print(f"\nPairs of held-out videos told apart: {apart}")
    print_line_to_train(arguments)
