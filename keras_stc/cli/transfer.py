"""`keras-stc transfer`."""

import functools

from keras_stc.cli.console import print_json, quarantined, say
from keras_stc.cli.train import check_numbers, placement


def register(commands, common):
    command = commands.add_parser(
        "transfer",
        parents=[common],
        help="teach a 3D network with an ImageNet network, on videos without labels",
        description="A frozen 2D network teaches a 3D network which frames and clips belong "
        "together. Killed and run again with the same line, it goes on from its last epoch. "
        "Afterwards: keras-stc train DATA --model STUDENT --weights OUT.",
    )
    command.add_argument(
        "videos",
        metavar="VIDEOS",
        help="a folder of videos, a CSV file with the column path, or a known data set",
    )
    command.add_argument("--student", default="stc_resnet18", help="see keras-stc models")
    command.add_argument("--out", required=True, help="run folder")
    teacher_options(command)
    command.add_argument("--recipe", default="default", help="default or paper")
    command.add_argument("--epochs", type=int)
    command.add_argument("--batch-size", type=int, help="videos in an update (32)")
    command.add_argument(
        "--accumulation",
        type=int,
        help="parts of a batch, one after the other, to save memory (1)",
    )
    command.add_argument("--lr", type=float, help="highest learning rate")
    command.add_argument("--frames", type=int, default=16, help="frames in a clip (16)")
    command.add_argument(
        "--stride", type=int, default=2, help="frames of video from one to the next (2)"
    )
    command.add_argument("--size", type=int, default=112, help="pixels of the student's crop (112)")
    command.add_argument(
        "--frame-size", type=int, default=224, help="pixels of the teacher's crop (224)"
    )
    command.add_argument(
        "--placement", choices=("block", "stage"), help="of the STC blocks (block)"
    )
    command.add_argument("--no-flip", action="store_true", help="never mirror")
    command.add_argument(
        "--hold-out",
        type=float,
        default=0.1,
        help="part of the videos to measure on (0.1); 0 for none",
    )
    command.add_argument("--seed", type=int, default=0)
    command.add_argument(
        "--checkpoint-steps",
        type=int,
        metavar="STEPS",
        help="steps that a kill costs at most (one epoch)",
    )
    command.set_defaults(run=run_transfer)


def teacher_options(command):
    """What `create_teacher` takes."""
    command.add_argument("--teacher", default="resnet50", help="2D network (resnet50)")
    command.add_argument(
        "--teacher-weights",
        default="imagenet",
        metavar="PATH",
        help="a weights file of keras.applications, imagenet (fetched once), or random, a control",
    )


def run_transfer(arguments):
    from keras_stc import distribute
    from keras_stc.files import write_atomically
    from keras_stc.runs import Run
    from keras_stc.transfer.build import create_transfer
    from keras_stc.transfer.loop import train_transfer
    from keras_stc.transfer.recipe import RECIPES
    from keras_stc.transfer.teachers import create_teacher

    check_numbers(arguments)
    if arguments.recipe not in RECIPES:
        raise ValueError(
            f"--recipe must be one of {', '.join(RECIPES)}. Received: {arguments.recipe}"
        )
    recipe = RECIPES[arguments.recipe].replace(
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        accumulation=arguments.accumulation,
        learning_rate=arguments.lr,
        flip=False if arguments.no_flip else None,
    )
    distribute.strategy()  # Workers have to find one another before anything else.
    videos, held_out, origin = _videos(arguments)
    run = Run(arguments.out)
    say(arguments, f"{len(videos)} videos to learn from, {len(held_out or ())} to measure on")
    if done := run.state().get("epoch"):
        say(arguments, f"Going on after epoch {done} of the run in {arguments.out}")

    transfer = create_transfer(
        arguments.student,
        functools.partial(create_teacher, arguments.teacher, arguments.teacher_weights),
        (arguments.frames, arguments.size, arguments.size, 3),
        arguments.stride,
        arguments.seed,
        **placement(arguments.student, arguments.placement),
    )
    history = train_transfer(
        transfer,
        videos,
        recipe,
        arguments.out,
        held_out,
        arguments.seed,
        arguments.frame_size,
        data=origin,
        verbose=0 if arguments.json else "auto",
        save_steps=arguments.checkpoint_steps,
    )
    if not distribute.is_chief():
        return
    write_atomically(run.command_path, arguments.line + "\n")
    result = {"run": arguments.out, "epochs": len(history), "last": history[-1]}
    result.update(quarantined(run))
    if arguments.json:
        return print_json(result)
    if held_out:
        print(f"\nPairs of held-out videos told apart: {history[-1]['val_pair_accuracy']:.1%}")
    print(f"\nThe student is in {arguments.out}. With labels it becomes a classifier:")
    print(f"  keras-stc train DATA --model {arguments.student} --weights {arguments.out}", end="")
    print(f" --frames {arguments.frames} --stride {arguments.stride} --size {arguments.size}")


def _videos(arguments):
    """Videos to learn from, held-out ones, and what the run's configuration says of them."""
    from keras_stc.data import absolute_data
    from keras_stc.data.sets.unlabelled import open_learnable

    spec = arguments.videos
    videos, subset = open_learnable(spec)
    origin = {"videos": absolute_data(spec)}
    origin.update(subset=subset, hold_out=arguments.hold_out)
    if not arguments.hold_out:
        return videos, None, origin
    rest, held_out = videos.split(arguments.hold_out, seed=arguments.seed)
    if len(held_out) < 2:  # Pairs take two; one alone is better learned from.
        return videos, None, origin
    return rest, held_out, origin
