"""`keras-stc distill`: a network learns what another one, of videos or images, says of them."""

import time

from keras_stc.checks import one_of
from keras_stc.cli import options
from keras_stc.cli.console import fit_verbosity, print_line_to_train, say, show_run, trained


def register(add):
    command = add(
        "distill",
        help="teach a network what a larger video network says of videos without labels",
        description="A frozen video network says what it sees in the videos, and the student "
        "learns to say the same, in the teacher's classes. Afterwards: keras-stc predict x.mp4 "
        "--model OUT. A 2D network such as resnet50 teaches by its features of the frames alone; "
        "without labels, keras-stc train DATA --model STUDENT --weights OUT comes after it. Killed "
        "and run again with the same line, it goes on.",
    )
    options.student(command)
    command.add_argument(
        "--teacher",
        default="inception_i3d",
        help="a network with weights (inception_i3d), a run folder, a .keras file, "
        "hf://owner/repo, or a 2D network such as resnet50",
    )
    options.teacher_weights(command, None)
    command.add_argument(
        "--teacher-frames", type=int, help="frames of the teacher's clip, where it is of the zoo"
    )
    command.add_argument(
        "--teacher-size",
        type=int,
        help="pixels of its crop, where it is of the zoo or a 2D network (224)",
    )
    options.windows(command, 4)
    command.add_argument("--temperature", type=float, help="of the softmaxes (2)")
    command.add_argument(
        "--label-weight",
        type=float,
        default=0.0,
        help="of the videos' own labels, from 0 to 1 (0): below 1 they are a video network's "
        "classes, with 1 the student learns its own and takes the teacher's features alone; videos "
        "without a label may be among them",
    )
    command.add_argument(
        "--feature-weight",
        type=float,
        help="of the teacher's pooled features (1, and 40 where they alone teach: of a 2D network, "
        "or with a label weight of 1); 0 for a video network's answers alone",
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
    from keras_stc.transfer.teachers import is_frame_teacher

    options.check_numbers(arguments)
    options.at_least(arguments, 0, "windows")
    one_of(("default", "paper", "modern"), **{"--recipe": arguments.recipe})
    of_images = is_frame_teacher(arguments.teacher)
    _check_teacher(arguments, of_images)
    # Smoothed labels are what the teacher's answers are already.
    more = {"label_smoothing": 0.0, "precision": arguments.precision}
    recipe = options.changed(RECIPES[arguments.recipe], arguments, **more)
    distribute.strategy()  # Workers have to find one another before anything else.
    if done := Run(arguments.out).state().get("epoch"):
        say(arguments, f"Going on after epoch {done} of the run in {arguments.out}")
    source, own_classes = open_source(arguments.videos), None
    if arguments.label_weight == 1 or (of_images and arguments.label_weight > 0):
        own_classes = source.partly_labelled(source.learnable).class_names
    distillation = create_distillation(
        arguments.student,
        arguments.teacher,
        teacher_clip=None if of_images else _teacher_clip(arguments),
        temperature=2.0 if arguments.temperature is None else arguments.temperature,
        label_weight=arguments.label_weight,
        feature_weight=_feature_weight(arguments, of_images),
        class_names=own_classes,
        teacher_weights=arguments.teacher_weights or "imagenet",
        seed=arguments.seed,
        precision=recipe.precision,
        video_config={name: getattr(arguments, name) for name in ("frames", "stride", "size")},
        **options.structure(arguments.student, arguments),
    )
    frame_size = arguments.teacher_size or 224
    config = distillation.config_of_teacher(frame_size)
    labels = own_classes
    if 0 < arguments.label_weight < 1 and not of_images:
        labels = _labels(arguments, config)
    how = {"seed": arguments.seed, "class_names": labels, "groups": arguments.groups}
    data = divide_unlabelled(source, arguments.hold_out, **how)
    videos, held_out = data.train, data.validation
    counted = f"{len(videos)} videos to learn from, {len(held_out or ())} to measure on"
    unlabelled = sum(video.label is None for video in videos)
    if labels is not None and unlabelled:
        counted += f"; {len(videos) - unlabelled} of the former have a label"
    say(arguments, counted)
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
        frame_size=frame_size,
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
        counted,
        {"teacher": arguments.teacher, "recipe": recipe.name},
        figures=figures or None,
        history=history,
    ):
        return
    for said, figure in figures.items():
        print(f"\n{figure} {said}")
    if of_images and not arguments.label_weight:
        return print_line_to_train(arguments)
    print(f"\nThe student is in {arguments.out}. What a video shows:")
    print(f"  keras-stc predict x.mp4 --model {arguments.out}")


def _check_teacher(arguments, of_images):
    """Raises the `ValueError` for what has no meaning with a teacher of its kind."""
    options.at_least(arguments, 1, "teacher_frames", "teacher_size")
    if not of_images and arguments.teacher_weights is not None:
        raise ValueError(
            "--teacher-weights is of a 2D network such as resnet50: a video network comes with its "
            f"weights. Received: {arguments.teacher_weights}"
        )
    if of_images and arguments.teacher_frames is not None:
        raise ValueError(
            f"--teacher-frames must be left out of a 2D network: {arguments.teacher} sees the "
            f"frames of the student's clips. Received: {arguments.teacher_frames}"
        )
    if of_images and arguments.temperature is not None:
        raise ValueError(
            f"--temperature must be left out of a 2D network: {arguments.teacher} teaches by its "
            f"features, not by answers. Received: {arguments.temperature}"
        )


def _feature_weight(arguments, of_images):
    if arguments.feature_weight is not None:
        return arguments.feature_weight
    # Of a 2D network, without labels: on 2,639 videos a held-out cosine of 0.71 after four epochs,
    # with 10 of 0.69, with 1 of 0.61, which is that of the mean of all features. Of RGB-I3D, beside
    # labels: 45% of held-out videos, with 5 40%, with 160 44% (docs/results.md).
    return 40.0 if of_images or arguments.label_weight == 1 else 1.0


def _teacher_clip(arguments):
    """In what the teacher's clips are to differ from those of its weights, if in anything."""
    return options.typed(frames=arguments.teacher_frames, size=arguments.teacher_size) or None


def _labels(arguments, config):
    """Names of the classes that labels have to be of."""
    if config.class_names is None:
        raise ValueError(
            f"--label-weight needs a teacher that names its classes, and {arguments.teacher} does "
            "not: leave it out."
        )
    return config.class_names
