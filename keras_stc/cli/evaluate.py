"""`keras-stc evaluate`: accuracy of a run or a model, by a protocol."""

import json
import pathlib
import sys
import time

from keras_stc.cli import options
from keras_stc.cli.console import (
    print_json,
    print_table,
    progress_bar,
    say,
    show_report,
    written_report,
)


def register(add):
    command = add(
        "evaluate",
        help="accuracy of trained networks on videos",
        description="Evaluates a run on labelled videos: clip@1, video@1, video@5, each class. "
        "Killed and run again with the same line, it goes on. With data of several splits, such "
        "as ucf101:ROOT:all, give a run for each; the result is their mean. Several runs on data "
        "of one split are evaluated together: their late fusion, probabilities of each video "
        "averaged.",
    )
    command.add_argument(
        "models",
        metavar="RUN",
        nargs="+",
        help="a run folder, a .keras file, hf://owner/repo or weights of the zoo "
        "(stc_resnet18.ucf101-35), for each split",
    )
    options.fusion_weights(command)
    options.data(command)
    command.add_argument(
        "--subset", choices=("train", "val", "test"), help="test, else val, else all"
    )
    options.checkpoint(command)
    command.add_argument("--batch-size", type=int, default=8)
    command.add_argument(
        "--protocol",
        default="paper",
        help="paper: all clips that do not overlap, centre crop; 30-views: 10 clips, 3 crops",
    )
    command.add_argument("--max-clips", type=int, help="most clips of a video (all)")
    command.add_argument("--out", metavar="FILE", help="write the result there too, as JSON")
    command.add_argument(
        "--report",
        metavar="FILE",
        help="an HTML page of the result (evaluation.html in the run folder)",
    )
    command.set_defaults(run=run_evaluate)


def run_evaluate(arguments):
    from keras_stc.evaluation import late_fusion, mean_over_splits
    from keras_stc.files import sha256, write_atomically
    from keras_stc.models.load import named_model, weights_file
    from keras_stc.report.facts import facts
    from keras_stc.runs import Run

    options.check_written_file("--out", arguments.out)
    options.check_written_file("--report", arguments.report)
    started = time.monotonic()
    splits = options.source(arguments).splits
    fused = len(splits) == 1 < len(arguments.models)
    options.check_fusion(arguments, arguments.models if fused else arguments.models[:1])
    if fused:
        splits *= len(arguments.models)
    if len(splits) != len(arguments.models):
        raise ValueError(
            f"{arguments.data} has {len(splits)} splits and there are {len(arguments.models)} "
            "runs: give one for each split, trained on it, in their order."
        )
    results, evaluations = [], []
    for path, split in zip(arguments.models, splits, strict=True):
        model = named_model(path, arguments.checkpoint)
        videos, subset = _videos(path, split, arguments.subset, model.video_config.class_names)
        say(arguments, f"{len(videos)} videos" + (f" of subset {subset!r}" if subset else ""))
        run = Run(path)
        evaluation = evaluate(
            model,
            videos,
            arguments,
            batch_size=arguments.batch_size,
            protocol=arguments.protocol,
            max_clips=arguments.max_clips,
            partial=run.partial_evaluation_path if run.folder.is_dir() else None,
        )
        name = {
            "data": options.data_name(split),
            "subset": subset,
            "checkpoint": arguments.checkpoint,
        }
        if pathlib.Path(path).exists():
            name["weights_sha256"] = sha256(weights_file(path, arguments.checkpoint))
        evaluations.append(evaluation)
        results.append({**name, **evaluation.to_dict()})
    result = results[0]
    if fused:
        evaluations = [late_fusion(evaluations, arguments.fusion_weights)]
        say(arguments, f"Late fusion: {evaluations[0]}")
        parts = zip(arguments.models, results, strict=True)
        result = {
            **{key: result[key] for key in ("data", "subset", "checkpoint")},
            **evaluations[0].to_dict(),
            "models": [{"model": path, **part} for path, part in parts],
        }
    elif len(splits) > 1:
        result = {**mean_over_splits(evaluations), "splits": results}
        _print_splits(arguments, result)
    if report := arguments.report if fused else _report_path(arguments):
        result["report"] = written_report(
            report,
            f"Evaluation on {options.data_name(arguments.data)}",
            ", ".join(arguments.models),
            evaluation=evaluations[0]
            if len(evaluations) == 1
            else {row["data"]: each for row, each in zip(results, evaluations, strict=True)},
            figures=None
            if len(evaluations) == 1
            else {
                f"{name}, mean of {len(splits)} splits": f"{value:.1%}"
                for name, value in result["mean"].items()
            },
            facts=facts(
                arguments.line,
                time.monotonic() - started,
                network=f"late fusion of {len(arguments.models)}"
                if fused
                else f"{model.name}, {model.count_params():,} parameters",
                checkpoint=arguments.checkpoint,
                subset=results[0]["subset"],
            ),
        )
        if not arguments.json:
            show_report(result["report"])
    if arguments.json:
        print_json(result)
    if arguments.out:
        write_atomically(pathlib.Path(arguments.out), json.dumps(result, indent=1) + "\n")


def _report_path(arguments):
    """Where the page goes; `None` of a model that has no folder of its own."""
    from keras_stc.runs import Run

    if arguments.report:
        return arguments.report
    run = Run(arguments.models[0])
    return run.evaluation_report_path if run.folder.is_dir() else None


def _videos(path, split, subset, class_names):
    """The videos of a split that a run is evaluated on, and what they are called."""
    from keras_stc.data import held_out
    from keras_stc.data.sets.division import as_trained
    from keras_stc.runs import Run

    path, config = pathlib.Path(path), {}
    if path.exists():  # and not weights of the zoo, or on the Hub
        config = Run(path if path.is_dir() else path.parent).config()
    trained = config.get("data")
    origin = (trained.get("origin") or {}) if isinstance(trained, dict) else {}
    split = as_trained(split, origin, len(class_names or ()))
    # What was trained on undivided may have subsets, all of which were then trained on.
    undivided = origin.get("data") == split.spec and origin.get("subset", "") is None
    if not undivided and subset is None:
        subset = next((name for name in ("test", "val") if name in split.subsets), None)
    if subset is not None:
        return split.open(subset, class_names), subset
    counts = (config.get("videos", 0), config.get("validation_videos") or 0)
    return held_out(split, origin, config.get("seed", 0), counts, class_names, path)


def evaluate(model, videos, arguments, **how):
    """An `Evaluation`, with a progress bar and tables; how as `evaluate_videos`."""
    from keras_stc.evaluation import evaluate_videos

    with progress_bar(len(videos), "video", arguments) as bar:
        evaluation = evaluate_videos(model, videos, progress=lambda _: bar.update(), **how)
    say(arguments, str(evaluation))
    if not arguments.json:
        counts = evaluation.confusion.sum(axis=1)
        rows = [
            (name, str(count), "" if accuracy != accuracy else f"{accuracy:.1%}")
            for (name, accuracy), count in zip(evaluation.per_class.items(), counts, strict=True)
        ]
        print_table(("class", "videos", "video@1"), rows)
    for reason in evaluation.failures.values():
        print(f"keras-stc: not counted: {reason}", file=sys.stderr)
    return evaluation


def _print_splits(arguments, result):
    if arguments.json:
        return
    figures = tuple(result["mean"])
    rows = [
        (split["data"], str(split["videos"]), *(f"{split[figure]:.1%}" for figure in figures))
        for split in result["splits"]
    ]
    spread = result["standard_deviation"]
    means = (f"{result['mean'][name]:.1%} ± {spread[name]:.1%}" for name in figures)
    print_table(("split", "videos", *figures), [*rows, ("mean", "", *means)])
