"""`keras-stc explain`: why a network sees what it sees."""

import collections
import pathlib
import time

from keras_stc.cli import options
from keras_stc.cli.console import print_json, progress_bar, say
from keras_stc.cli.predict import find_files, paths_in, unusable

#: What the name of a page ends in.
ENDING = "-explained.html"


def register(add):
    command = add(
        "explain",
        help="where a network looks in videos, and what its STC gates do",
        description="Writes a page of each video: Grad-CAM over its frames, whether that depends "
        "on what was learned, and of networks with STC blocks their gates by stage, over time and, "
        "with --against, by class.",
    )
    options.files(command)
    options.model(command, default=options.DEFAULT)
    options.checkpoint(command)
    command.add_argument("--label", help="the class to explain (the most probable one)")
    command.add_argument(
        "--layer", help="whose features to look at (the last map of at least 64 places)"
    )
    command.add_argument("--clips", type=int, default=3, help="of the video to show (3)")
    command.add_argument(
        "--against", metavar="DATA", help="videos with labels, to compare the gates by class"
    )
    options.class_names(command)
    command.add_argument("--per-class", type=int, default=4, help="videos of a class there (4)")
    command.add_argument(
        "--out",
        metavar="OUT",
        help="a folder for the pages, NAME-explained.html each (where the command is typed); or "
        "NAME.html, one page of all videos",
    )
    command.add_argument(
        "--frames",
        metavar="FOLDER",
        help="also write every frame with its heat there, as PNG; of several videos, into folders",
    )
    command.add_argument("--no-check", action="store_true", help="without shuffled weights: faster")
    command.set_defaults(run=run)


def run(arguments):
    from keras_stc.data import VideoError
    from keras_stc.explain import class_gates
    from keras_stc.explain.video import explain_videos
    from keras_stc.explain.view import explanation_view, write_views
    from keras_stc.models.load import named_model
    from keras_stc.predict import model_config
    from keras_stc.report.facts import facts

    options.at_least(arguments, 1, "clips", "per_class")
    files = find_files(arguments.files)
    pages, folders = _pages(arguments.out, files), _folders(arguments.frames, files)
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
    explanations = explain_videos(
        model,
        files,
        arguments.label,
        arguments.layer,
        arguments.clips,
        check=not arguments.no_check,
        compare_with=compared,
    )
    results, failures, views = [], {}, collections.defaultdict(list)
    with progress_bar(len(files), "video", arguments) as bar:
        for path, explanation in zip(files, explanations, strict=True):
            if isinstance(explanation, VideoError):
                failures[path] = str(explanation)
            else:
                page = pages[path]
                views[page].append(explanation_view(explanation))
                # Written again with each video, so that a kill costs none that is done.
                about = facts(arguments.line, time.monotonic() - started, network=model.name)
                write_views(page, views[page], about)
                if path in folders:
                    _write_frames(folders[path], explanation)
                results.append(_result(explanation, page))
                bar.clear()
                _show(arguments, results[-1])
            bar.update()
    if arguments.json:
        print_json({"model": arguments.model, "videos": results, "failures": failures})
    elif views:
        print("", *(f"Report: {page}" for page in views), sep="\n")
    return unusable(failures, len(files))


def _pages(out, files):
    """`{file: path of its page}`: one page of all, or one for each."""
    path = pathlib.Path(out or ".")
    if path.suffix and not path.is_dir():
        options.check_written_file("--out", path)
        return dict.fromkeys(files, path)
    return dict(zip(files, paths_in(path, files, ENDING), strict=True))


def _folders(frames, files):
    """`{file: where its frames go}`."""
    if not frames:
        return {}
    folder = pathlib.Path(frames)
    return dict(
        zip(files, [folder] if len(files) == 1 else paths_in(folder, files, ""), strict=True)
    )


def _result(explanation, page):
    return {
        "path": explanation.path,
        "label": explanation.label,
        "top": explanation.probabilities,
        "layer": explanation.layer,
        "rank_correlation_with_shuffled": explanation.checks,
        "page": str(page),
    }


def _show(arguments, result):
    say(arguments, result["path"])
    say(arguments, f"  {result['label']}: {result['top'][result['label']]:.1%}")
    for part, value in result["rank_correlation_with_shuffled"].items():
        say(
            arguments, f"  Rank correlation of the map with that of a shuffled {part}: {value:+.2f}"
        )


def _write_frames(folder, explanation):
    from keras_stc.explain.view import heated
    from keras_stc.report.pictures import png

    folder.mkdir(parents=True, exist_ok=True)
    for i, (clip, maps) in enumerate(zip(explanation.clips, explanation.maps, strict=True)):
        for k, frame in enumerate(heated(clip, maps)):
            (folder / f"clip{i + 1:02d}-frame{k + 1:03d}.png").write_bytes(png(frame))
