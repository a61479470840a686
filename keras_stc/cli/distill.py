"""`keras-stc distill`: a network learns from the answers of another video network."""

import time

from keras_stc.checks import one_of
from keras_stc.cli import options
from keras_stc.cli.console import fit_verbosity, say, show_run, trained


def register(add):
    command = add(
        "distill",
        help="teach a network what a larger video network says of videos without labels",
        description="A frozen video network says what it sees in the videos, and the student "
        "learns to say the same, in the teacher's classes. Killed and run again with the same "
        "line, it goes on. Afterwards: keras-stc predict x.mp4 --model OUT.",
    )
    options.student(command)
    command.add_argument(
        "--teacher",
        default="inception_i3d",
        help="a network with weights (inception_i3d), a run folder, a .keras file or hf://owner/repo",
    )
    command.add_argument(
        "--teacher-frames", type=int, help="frames of the teacher's clip, where it is of the zoo"
    )
    command.add_argument(
        "--teacher-size", type=int, help="pixels of its crop, where it is of the zoo"
    )
    options.windows(command, 4)
    command.add_argument("--temperature", type=float, default=2.0, help="of the softmaxes (2)")
    command.add_argument(
        "--label-weight",
        type=float,
        default=0.0,
        help="of the videos' own labels, from 0 to 1 (0): below 1 they are the teacher's classes, "
        "with 1 the student learns its own and takes the teacher's features alone",
    )
    command.add_argument(
        "--feature-weight",
        type=float,
        default=1.0,
        help="of the teacher's pooled features (1); 0 for its answers alone",
    )
    options.run(command)
    command.add_argument("--recipe", default="default", help="default, paper or modern")
    options.numbers(
        command, options.FITTING, epochs=None, batch_size=None, accumulation="1", lr=None
    )
    options.numbers(command, options.CLIP, frames=16, stride=2, size=112)
    command.add_argument(
        "--precision", help="float32, mixed_bfloat16 or mixed_float16 (by the recipe)"
    )
    options.part_to_measure_on(command)
    command.set_defaults(run=run_distill)


def run_distill(arguments):
    from keras_stc import distribute
    from keras_stc.data import divide_unlabelled, open_source
    from keras_stc.runs import Run
    from keras_stc.training import RECIPES
    from keras_stc.transfer.build import create_distillation
    from keras_stc.transfer.distillation_loop import train_distillation

    options.check_numbers(arguments)
    options.at_least(arguments, 0, "windows")
    one_of(("default", "paper", "modern"), **{"--recipe": arguments.recipe})
    # Smoothed labels are what the teacher's answers are already.
    more = {"label_smoothing": 0.0, "precision": arguments.precision}
    recipe = options.changed(RECIPES[arguments.recipe], arguments, **more)
    distribute.strategy()  # Workers have to find one another before anything else.
    if done := Run(arguments.out).state().get("epoch"):
        say(arguments, f"Going on after epoch {done} of the run in {arguments.out}")
    source, own_classes = open_source(arguments.videos), None
    if arguments.label_weight == 1:
        own_classes = source.open(source.learnable).class_names
    distillation = create_distillation(
        arguments.student,
        arguments.teacher,
        teacher_clip=_teacher_clip(arguments),
        temperature=arguments.temperature,
        label_weight=arguments.label_weight,
        feature_weight=arguments.feature_weight,
        class_names=own_classes,
        seed=arguments.seed,
        precision=recipe.precision,
        video_config={name: getattr(arguments, name) for name in ("frames", "stride", "size")},
        **options.structure(arguments.student, arguments),
    )
    config = distillation.teacher.video_config
    labels = own_classes
    if 0 < arguments.label_weight < 1:
        labels = _labels(arguments, config)
    data = divide_unlabelled(source, arguments.hold_out, arguments.seed, class_names=labels)
    videos, held_out = data.train, data.validation
    say(arguments, f"{len(videos)} videos to learn from, {len(held_out or ())} to measure on")
    say(
        arguments,
        f"The teacher sees clips of {config.frames} frames, {config.crop[0]}x{config.crop[1]}",
    )
    started = time.monotonic()
    history = train_distillation(
        distillation,
        videos,
        recipe,
        arguments.out,
        held_out,
        arguments.windows,
        arguments.seed,
        data={"origin": data.origin},
        verbose=fit_verbosity(arguments),
        save_steps=arguments.checkpoint_steps,
        validation_freq=arguments.validation_freq,
    )
    if not distribute.is_chief():
        return
    result = trained(arguments, history)
    figures = {
        said: f"{history[-1][name]:.1%}"
        for name, said in (
            ("val_answers_agreement", "of held-out clips the student names the teacher's class"),
            ("val_label_accuracy", "of held-out clips the student names the right class"),
        )
        if name in history[-1]
    }
    if not show_run(
        arguments,
        result,
        time.monotonic() - started,
        f"Distillation: {arguments.teacher} teaches {arguments.student}",
        f"{len(videos)} videos to learn from, {len(held_out or ())} to measure on",
        {"teacher": arguments.teacher, "recipe": recipe.name},
        figures=figures or None,
        history=history,
    ):
        return
    for said, figure in figures.items():
        print(f"\n{figure} {said}")
    print(f"\nThe student is in {arguments.out}. What a video shows:")
    print(f"  keras-stc predict x.mp4 --model {arguments.out}")


def _teacher_clip(arguments):
    """In what the teacher's clips are to differ from those of its weights, if in anything."""
    options.at_least(arguments, 1, "teacher_frames", "teacher_size")
    return options.typed(frames=arguments.teacher_frames, size=arguments.teacher_size) or None


def _labels(arguments, config):
    """Names of the classes that labels have to be of."""
    if config.class_names is None:
        raise ValueError(
            f"--label-weight needs a teacher that names its classes, and {arguments.teacher} does "
            "not: leave it out."
        )
    return config.class_names
