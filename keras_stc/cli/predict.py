"""`keras-stc predict`: files to labels."""

import contextlib
import csv
import dataclasses
import glob
import os
import pathlib
import sys
import time

from keras_stc.cli import options
from keras_stc.cli.console import count_clips, print_json, progress_bar, show_report

#: Classes that are printed, and those in a CSV file, where --top does not say.
PRINTED, IN_CSV = 5, 1

#: `clips` is how many were averaged, `seconds` where the last of them ends.
COLUMNS = ("path", "label", "probability", "clips", "seconds", "error")


def register(add):
    command = add(
        "predict",
        help="what videos show",
        description="Classifies whole videos: all their clips, probabilities averaged. Without "
        "--model, among the 400 actions of Kinetics-400 by InceptionI3D, whose weights are fetched "
        "the first time.",
    )
    options.files(command)
    fused = "; given more than once, the late fusion of all: their probabilities, averaged"
    options.model(command, fused, action="append", dest="models")
    options.fusion_weights(command)
    options.checkpoint(command)
    command.add_argument("--top", type=int, help="classes of a video (5; 1 in the CSV file)")
    command.add_argument(
        "--csv",
        metavar="OUT",
        help=f"write {', '.join(COLUMNS)} there, a row for each of the top classes of a video, or "
        "one with the reason where it cannot be used",
    )
    command.add_argument(
        "--video",
        metavar="OUT",
        help="write the video with label, probability and a bar over time there; of several "
        "videos, into that folder",
    )
    command.add_argument(
        "--report", metavar="OUT", help="an HTML page: the best classes of each video over time"
    )
    command.add_argument("--timeline", action="store_true", help="also what each clip shows")
    command.add_argument("--batch-size", type=int, help="clips at a time (8, or fewer large ones)")
    command.add_argument("--max-clips", type=int, help="most clips of a video, spread evenly (all)")
    command.set_defaults(run=run)


def run(arguments):
    from keras_stc.data import VideoError
    from keras_stc.models.load import named_model
    from keras_stc.predict import annotate_video, model_config
    from keras_stc.report import prediction_report
    from keras_stc.report.facts import facts

    started = time.monotonic()
    options.at_least(arguments, 1, "top")
    options.check_written_file("--csv", arguments.csv)
    options.check_written_file("--report", arguments.report)
    files = find_files(arguments.files)
    annotated = _annotated_paths(arguments.video, files)
    names = arguments.models or [options.DEFAULT]
    options.check_fusion(arguments, names)
    models = [named_model(name, arguments.checkpoint) for name in names]
    for model in models:
        model_config(model)  # Said once, and not of every video.
    results, failures, shown, clips = [], {}, [], 0
    with contextlib.ExitStack() as stack:
        rows = stack.enter_context(_csv_rows(arguments.csv)) if arguments.csv else None
        bar = stack.enter_context(progress_bar(len(files), "video", arguments))
        predictions = _predictions(models, files, arguments)
        for path, prediction in zip(files, predictions, strict=True):
            if isinstance(prediction, VideoError):
                failures[path] = str(prediction)
                if rows:
                    rows([[path, "", "", "", "", failures[path]]])
            else:
                results.append(_result(prediction, arguments))
                if arguments.report:
                    shown.append(prediction)
                clips += results[-1]["clips"]
                count_clips(bar, clips)
                if path in annotated:
                    annotate_video(prediction, annotated[path])
                if rows:
                    rows(_of_prediction(prediction, arguments.top or IN_CSV))
                if not arguments.json and (rows is None or arguments.timeline):
                    bar.clear()
                    _show(results[-1])
            bar.update()
    if arguments.report:
        about = facts(arguments.line, time.monotonic() - started, model=", ".join(names))
        prediction_report(arguments.report, shown, failures=failures, facts=about)
    if not arguments.json:
        show_report(arguments.report)
        written = [annotated[row["path"]] for row in results if row["path"] in annotated]
        print(*(f"Video: {path}" for path in written), sep="\n", end="\n" if written else "")
    if arguments.json:
        model = names[0] if len(names) == 1 else names
        print_json({"model": model, "videos": results, "failures": failures})
    elif arguments.csv:
        print(f"{len(results)} videos in {arguments.csv}")
    return unusable(failures, len(files))


def _predictions(models, files, arguments):
    """A `VideoPrediction` or `VideoError` of each file; of several models, of their late fusion."""
    from keras_stc.data import VideoError
    from keras_stc.evaluation import late_fusion
    from keras_stc.predict import predict_videos

    each = (
        predict_videos(model, files, arguments.batch_size, arguments.max_clips) for model in models
    )
    for answers in zip(*each, strict=True):
        bad = [answer for answer in answers if isinstance(answer, VideoError)]
        if bad or len(answers) == 1:
            yield (bad or answers)[0]
        else:
            yield late_fusion(answers, arguments.fusion_weights)


def find_files(arguments):
    """Paths of videos: files as they are, those below folders, those that fit patterns.

    Args:
        arguments: What was typed: paths, folders, addresses and patterns such as `"*.mp4"`.

    Returns:
        List of paths, each once, in the order of the arguments.

    Raises:
        ValueError: If a folder has no video below it, or no file fits a pattern.
    """
    from keras_stc.data.sets.names import is_frames, videos_below

    files = []
    for argument in arguments:
        if os.path.isdir(argument) and not is_frames(*next(os.walk(argument))):
            paths = [str(path) for path in videos_below(argument)]
            if not paths:
                raise ValueError(
                    f"{argument} has no videos below it: give a video, or their folder."
                )
        elif glob.has_magic(argument) and not os.path.exists(argument) and "://" not in argument:
            paths = sorted(filter(os.path.isfile, glob.iglob(argument, recursive=True)))
            if not paths:
                raise ValueError(f"No file fits {argument!r}: give a video, a folder or a pattern.")
        else:
            paths = [argument]
        files += paths
    return list(dict.fromkeys(files))


def _annotated_paths(out, files):
    """`{file: where its annotated video goes}`; a file for one video, a folder for several."""
    if not out:
        return {}
    out = pathlib.Path(out)
    if len(files) == 1 and not out.is_dir():
        options.check_written_file("--video", out)
        if not out.suffix:
            raise ValueError(f"--video {out} must end in .mp4 or .mkv, or be a folder.")
        paths = [out]
    elif out.suffix and not out.is_dir():
        raise ValueError(f"--video {out} must be a folder, since there are {len(files)} videos.")
    else:
        paths = paths_in(out, files, ".mp4")
    own = {_identity(file) for file in files if os.path.exists(file)}
    for path in paths:
        if path.exists() and _identity(path) in own:
            raise ValueError(f"--video {path} would replace one of the videos: choose another.")
    return dict(zip(files, paths, strict=True))


def _identity(path):
    """Of a file, by whatever name."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def paths_in(folder, files, ending):
    """What is written into a folder, made if need be, for each of some files, under its name."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for file in files:
        stem = pathlib.PurePath(file).stem
        name, number = f"{stem}{ending}", 2
        while folder / name in paths:
            name, number = f"{stem}-{number}{ending}", number + 1
        paths.append(folder / name)
    return paths


def unusable(failures, count):
    """Says which of so many videos could not be used: `{path: reason}`; the exit status."""
    if not failures:
        return 0
    print(
        f"keras-stc: {len(failures)} of {count} videos could not be used:",
        *(f"  {reason}" for reason in failures.values()),
        sep="\n",
        file=sys.stderr,
    )
    return 1


@contextlib.contextmanager
def _csv_rows(path):
    """A function that writes rows at once, so that a kill costs none that are done."""
    # Names of files may be no text.
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)

        def write(rows):
            writer.writerows(rows)
            file.flush()

        yield write


def _of_prediction(prediction, top):
    clips, seconds = len(prediction.clip_probabilities), prediction.clip_times.max()
    for label, probability in prediction.top(top):
        yield [prediction.path, label, f"{probability:.6f}", clips, f"{seconds:.2f}", ""]


def _result(prediction, arguments):
    result = {
        "path": prediction.path,
        "clips": len(prediction.clip_probabilities),
        "top": [
            {"label": label, "probability": probability}
            for label, probability in prediction.top(arguments.top or PRINTED)
        ],
    }
    if arguments.timeline:
        result["timeline"] = [dataclasses.asdict(clip) for clip in prediction.timeline]
    return result


def _show(result):
    print(result["path"])
    for row in result["top"]:
        print(f"  {row['probability']:6.1%}  {row['label']}")
    for clip in result.get("timeline", ()):
        print(
            f"  {clip['start']:8.2f} s - {clip['end']:7.2f} s  "
            f"{clip['probability']:6.1%}  {clip['label']}"
        )
