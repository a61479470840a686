"""The main job on an embedded default: videos to a trained network, its accuracy and a report."""

import dataclasses
import pathlib
import shutil
import time

from keras_stc.demo.motion import CLASSES, motion_sets
from keras_stc.demo.recipe import DEMO
from keras_stc.evaluation import evaluate_videos
from keras_stc.models.load import load_model
from keras_stc.predict import predict_video
from keras_stc.report import write_report
from keras_stc.report.facts import facts
from keras_stc.report.pictures import read_strip
from keras_stc.training import train
from keras_stc.training.build import build_for

#: File that says of a folder that a demo wrote it.
MARK = ".keras-stc-demo"


@dataclasses.dataclass(frozen=True)
class DemoResult:
    """What the demo measured.

    Attributes:
        evaluation: `keras_stc.Evaluation` of the network on held-out videos.
        control: The same of the network that saw one frame of each clip.
        prediction: `VideoPrediction` of one held-out video.
        label: What that video shows.
        report: Path of the HTML page.
        seconds: From start to end.
    """

    evaluation: object
    control: object
    prediction: object
    label: str
    report: pathlib.Path
    seconds: float


def run_demo(out, demo=DEMO, seed=0, say=print, verbose: str | int = "auto"):
    """Writes videos, trains a network and a control on them, evaluates both, writes a report.

    The control is the same network trained with the same recipe on clips of one frame: the class
    of a video is the object's motion, which one frame does not show.

    Args:
        out: Folder to write to. What is in it of an earlier demo is replaced.
        demo: A `keras_stc.demo.recipe.Demo`.
        seed: Of the videos and the training.
        say: Called with every line for the user.
        verbose: As `keras.Model.fit`.

    Returns:
        A `DemoResult`.

    Raises:
        ValueError: If the folder holds something else than an earlier demo.
    """
    started = time.monotonic()
    out = pathlib.Path(out)
    _clear(out)
    total = (demo.train_videos + demo.test_videos) * len(CLASSES)
    say(f"Writing {total} videos of {len(CLASSES)} motions to {out / 'videos'}")
    train_videos, test_videos = motion_sets(
        out / "videos",
        demo.train_videos,
        demo.test_videos,
        seed,
        frames=demo.video_frames,
        size=demo.video_size,
    )

    say(f"\nTraining {demo.model} on {len(train_videos)} videos")
    model, history = _train(
        demo, demo.frames, train_videos, test_videos, out / "run", seed, verbose
    )
    evaluation = evaluate_videos(model, test_videos, demo.recipe.batch_size)
    say(f"On {len(test_videos)} videos it has never seen: {evaluation}")

    say("\nThe control: the same network and recipe, one frame of each clip")
    control_model, _ = _train(demo, 1, train_videos, test_videos, out / "control", seed, verbose)
    control = evaluate_videos(control_model, test_videos, demo.recipe.batch_size)

    samples = [_sample(model, test_videos, label) for label in range(len(CLASSES))]
    seconds = time.monotonic() - started
    report = write_report(
        out / "report.html",
        title="keras-stc demo: which way does it move?",
        subtitle=f"{demo.model} trained from random weights on {len(train_videos)} generated "
        f"videos, evaluated on {len(test_videos)} others. The class is the motion.",
        figures={
            "video accuracy": f"{evaluation.video1:.1%}",
            "the same with single frames": f"{control.video1:.1%}",
            "chance": f"{1 / len(CLASSES):.1%}",
            "from start to end": f"{seconds:.0f} s",
        },
        history=history,
        evaluation=evaluation,
        samples=samples,
        facts=facts(seconds=seconds, network=demo.model, recipe=demo.recipe.name),
    )
    prediction, label, _ = samples[0]
    return DemoResult(evaluation, control, prediction, label, report, seconds)


def _clear(out):
    """Makes room for a demo; what is no earlier demo's stays untouched."""
    mark = out / MARK
    if not mark.exists() and out.exists() and any(out.iterdir()):
        raise ValueError(
            f"{out} holds other files, which the demo would replace: choose another --out."
        )
    for name in ("videos", "run", "control"):
        shutil.rmtree(out / name, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    mark.write_text("What keras-stc demo wrote here, it may delete.\n")


def _train(demo, frames, videos, validation, out, seed, verbose):
    model = build_for(
        videos,
        demo.recipe,
        demo.model,
        seed,
        video_config={"frames": frames, "stride": demo.stride, "size": demo.size},
        **demo.arguments,
    )
    history = train(
        model,
        videos,
        demo.recipe,
        out,
        validation,
        seed,
        data="demo",
        verbose=verbose,
        # A checkpoint is a quarter of a gigabyte, and nobody resumes a demonstration.
        save_every=demo.recipe.epochs,
    )
    # As users meet it; on several devices the one in memory needs all of them for a single clip.
    return load_model(out), history


def _sample(model, videos, label):
    """Prediction, right class and frames of the first video of a class."""
    path = next(video.path for video in videos if video.label == label)
    frames = read_strip(path, short_side=None)
    return predict_video(model, path), videos.class_names[label], frames
