"""`keras-stc explain`: why a network sees what it sees."""

import pathlib
import time

from keras_stc.cli import options
from keras_stc.cli.console import print_json, say, show_report
from keras_stc.cli.predict import DEFAULT


def register(commands, common):
    command = commands.add_parser(
        "explain",
        parents=[common],
        help="where a network looks in a video, and what its STC gates do",
        description="Writes a page: Grad-CAM over the frames of a video, whether it depends on "
        "what was learned, and of networks with STC blocks their gates by stage, over time and, "
        "with --against, by class.",
    )
    command.add_argument("video", metavar="VIDEO")
    command.add_argument(
        "--model",
        default=DEFAULT,
        help=f"a run folder, a .keras file or hf://owner/repo ({DEFAULT})",
    )
    command.add_argument("--checkpoint", choices=("last", "best"), default="last")
    command.add_argument("--label", help="the class to explain (the most probable one)")
    command.add_argument(
        "--layer", help="whose features to look at (the last map of at least 64 places)"
    )
    command.add_argument("--clips", type=int, default=3, help="of the video to show (3)")
    command.add_argument(
        "--against", metavar="DATA", help="videos with labels, to compare the gates by class"
    )
    command.add_argument("--per-class", type=int, default=4, help="videos of a class there (4)")
    command.add_argument(
        "--out", metavar="FILE", help="the page (NAME-explained.html where the command is typed)"
    )
    command.add_argument(
        "--frames", metavar="FOLDER", help="also write every frame with its heat there, as PNG"
    )
    command.add_argument("--no-check", action="store_true", help="without shuffled weights: faster")
    command.set_defaults(run=run)


def run(arguments):
    from keras_stc.explain import class_gates, explain_video
    from keras_stc.explain.view import explanation_report
    from keras_stc.models.load import named_model
    from keras_stc.predict import model_config
    from keras_stc.report.facts import facts

    out = arguments.out or f"{pathlib.Path(arguments.video).stem}-explained.html"
    options.check_written_file("--out", out)
    for option in ("clips", "per_class"):
        if (value := getattr(arguments, option)) < 1:
            raise ValueError(f"--{option.replace('_', '-')} must be at least 1. Received: {value}")
    started = time.monotonic()
    model = named_model(arguments.model, arguments.checkpoint)
    model_config(model)
    compared = None
    if arguments.against:
        data = options.source(arguments, arguments.against)
        subset = next((name for name in ("test", "val") if name in data.subsets), None)
        compared = class_gates(
            model, data.open(subset, model.video_config.class_names), arguments.per_class
        )
    explanation = explain_video(
        model,
        arguments.video,
        arguments.label,
        arguments.layer,
        arguments.clips,
        check=not arguments.no_check,
        compare_with=compared,
    )
    about = facts(arguments.line, time.monotonic() - started, network=model.name)
    explanation_report(out, [explanation], about)
    if arguments.frames:
        _write_frames(pathlib.Path(arguments.frames), explanation)
    if arguments.json:
        return print_json(
            {
                "path": explanation.path,
                "label": explanation.label,
                "top": explanation.probabilities,
                "layer": explanation.layer,
                "rank_correlation_with_shuffled": explanation.checks,
                "page": str(out),
            }
        )
    say(arguments, f"{explanation.label}: {explanation.probabilities[explanation.label]:.1%}")
    for part, value in explanation.checks.items():
        say(arguments, f"Rank correlation of the map with that of a shuffled {part}: {value:+.2f}")
    show_report(out)


def _write_frames(folder, explanation):
    from keras_stc.explain.view import heated
    from keras_stc.report.pictures import png

    folder.mkdir(parents=True, exist_ok=True)
    for i, (clip, maps) in enumerate(zip(explanation.clips, explanation.maps, strict=True)):
        for k, frame in enumerate(heated(clip, maps)):
            (folder / f"clip{i + 1:02d}-frame{k + 1:03d}.png").write_bytes(png(frame))
