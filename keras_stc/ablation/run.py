"""Trains and evaluates every setting of an ablation; what is done is not done again."""

from __future__ import annotations

import json
import os
import pathlib
import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras

from keras_stc.demo.motion import motion_sets
from keras_stc.distribute import DistributionError, worker_count
from keras_stc.evaluation import evaluate_videos
from keras_stc.files import alone, write_atomically
from keras_stc.models.complexity import count_macs
from keras_stc.models.inputs import single_frame_clip
from keras_stc.models.load import load_model
from keras_stc.runs import Run, RunError
from keras_stc.training import train
from keras_stc.training.build import build_for
from keras_stc.training.upgrade import upgraded
from keras_stc.transfer.build import create_transfer
from keras_stc.transfer.loop import train_transfer

if TYPE_CHECKING:
    from keras_stc.ablation.studies import Form
    from keras_stc.data.sets.video import VideoSet
    from keras_stc.transfer.teacher import FrameTeacher

#: Shorter trainings are begun again after a kill: a checkpoint costs as much as some of their
#: steps.
SHORT = 10


def run_ablation(
    videos: VideoSet,
    test: VideoSet,
    form: Form,
    out: str | os.PathLike[str],
    studies: Sequence[str] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    teacher: FrameTeacher | None = None,
    data: Any = None,
    say: Callable[[str], object] = print,
    verbose: str | int = 0,
) -> list[dict[str, Any]]:
    """Trains a network for every setting and seed and evaluates it on the test videos.

    Settings that several studies share are trained once. Run again with the same arguments, or
    with more studies or seeds, it goes on with what is missing. Several processes with the same
    `out` share the work. The trained networks are deleted after their evaluation; their histories
    stay in `out/runs`.

    Example:

    ```python
    form = keras_stc.ablation.FORMS["small"]
    videos, test = keras_stc.ablation.run.motion_videos("runs/ablation/videos", form)
    results = run_ablation(videos, test, form, "runs/ablation", studies=("branches",))
    print(keras_stc.ablation.markdown(form, results))
    ```

    Args:
        videos: `keras_stc.data.VideoSet` to train on.
        test: The same to evaluate on, other videos of the same classes.
        form: A `Form`.
        out: Folder to write to.
        studies: Names of the form's studies; `None` for all.
        seeds: Of weights, order, clips and crops.
        teacher: `keras_stc.transfer.FrameTeacher` of the study of transfer.
        data: What `out/config.json` is to say of the data's origin.
        say: Called with a line for the user before each training.
        verbose: As `keras.Model.fit`.

    Returns:
        A list of dictionaries, one for each setting and seed that has been trained: `key`,
        `seed`, `video@1`, `clip@1`, `parameters`, `macs` (multiply-accumulates of a clip),
        `seconds` and, after a transfer, `pair_accuracy` and the fingerprint of the `teacher`.

    Raises:
        ValueError: If there is no such study, or that of transfer has no teacher.
        RunError: If `out` holds an ablation with other settings.
        VideoError: If more than half of the videos cannot be read.
    """
    if worker_count() > 1:
        raise DistributionError(
            "An ablation runs on one machine, on all of its GPUs: unset TF_CONFIG."
        )
    settings = chosen_settings(form, studies)
    if teacher is None and any(setting.transfer for setting in settings):
        raise ValueError("`teacher` must be a FrameTeacher for the study of transfer. Got: None")
    config = {
        "recipe": form.recipe.to_dict(),
        "transfer_recipe": form.transfer_recipe.to_dict(),
        "size": form.size,
        "frame_size": form.frame_size,
        "data": data,
        "videos": len(videos),
        "test_videos": len(test),
    }
    run = Run(out)
    trainings = run.folder / "runs"
    with run.alone():
        begun = [path for name in ("result", "state") for path in trainings.glob(f"*/{name}.json")]
        run.open(config, anew=not begun, upgrade=upgraded)
    teacher_weights = teacher and teacher.fingerprint()
    jobs = [(setting, seed) for seed in seeds for setting in settings]

    def folder_of(setting, seed):
        return trainings / f"{setting.key}-seed{seed}"

    def kept(setting, seed):
        """Its result, or `None`."""
        path = folder_of(setting, seed) / "result.json"
        if not path.exists():
            return None
        result = json.loads(path.read_text())
        if setting.transfer and result["teacher"] != teacher_weights:
            raise RunError(
                f"{out} holds results after transfer from another teacher: repeat its command "
                "line, or choose another --out."
            )
        return result

    for number, (setting, seed) in enumerate(jobs, start=1):
        folder, what = (
            folder_of(setting, seed),
            f"{number} of {len(jobs)}: {setting.key}, seed {seed}",
        )
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with alone(folder, _OtherProcessError(), ".ablation.lock"):
                if kept(setting, seed):
                    continue
                say(what)
                result = _run(videos, test, form, setting, seed, teacher, folder, verbose)
                if setting.transfer:
                    result["teacher"] = teacher_weights
                write_atomically(folder / "result.json", json.dumps(result) + "\n")
                for pattern in ("*.weights.h5", "*.keras"):
                    for file in folder.rglob(pattern):
                        file.unlink()
        except _OtherProcessError:
            say(f"{what}: another process trains it")
    results = [(setting, seed, kept(setting, seed)) for setting, seed in jobs]
    return [
        {"key": setting.key, "seed": seed, **result} for setting, seed, result in results if result
    ]


class _OtherProcessError(Exception):
    pass


def chosen_settings(form, studies=None):
    """The settings of these studies, each once.

    Raises:
        ValueError: If there is no such study.
    """
    there = form.studies()
    studies = tuple(there) if studies is None else tuple(studies)
    for name in studies:
        if name not in there:
            raise ValueError(
                f"`studies` must be names out of {', '.join(there)}. Received: {name!r}"
            )
    settings = [setting for name in studies for setting in there[name].settings.values()]
    return list(dict.fromkeys(settings))


def motion_videos(folder, form, say=print):
    """The demonstration's videos, as many and as long as the form says; written once.

    Returns:
        Two `VideoSet`s, to train and to test on.
    """
    folder = pathlib.Path(folder)
    if not folder.exists():
        say(f"Writing motion videos to {folder}")
    return motion_sets(folder, form.train_videos, form.test_videos, frames=form.video_frames)


def _run(videos, test, form, setting, seed, teacher, folder, verbose):
    started = time.monotonic()
    figures, weights = {}, None
    if setting.transfer:
        history = _transfer(videos, form, setting, seed, teacher, folder / "transfer", verbose)
        figures["pair_accuracy"] = history[-1].get("pair_accuracy")
        weights = folder / "transfer"
    keras.utils.clear_session(free_memory=True)
    recipe = form.recipe
    clips = {"frames": setting.frames, "stride": setting.stride, "size": form.size}
    arguments = {"weights": weights, "video_config": clips, **setting.arguments}
    if setting.single_frame:
        arguments["input_tensor"] = single_frame_clip(setting.frames, form.size)
    model = build_for(videos, recipe, setting.model, seed, **arguments)
    if setting.halved:
        halve_residual_branches(model)
    watches = recipe.schedule == "plateau" or recipe.early_stop
    history = train(
        model,
        videos,
        recipe,
        folder,
        test if watches else None,
        seed,
        verbose=verbose,
        save_every=recipe.epochs if recipe.epochs < SHORT else 1,
    )
    evaluation = evaluate_videos(load_model(folder), test)
    return {
        **figures,
        "video@1": evaluation.video1,
        "clip@1": evaluation.clip1,
        "parameters": model.count_params(),
        "macs": count_macs(model),
        "loss": history[-1]["loss"],
        "seconds": round(time.monotonic() - started, 1),
    }


def halve_residual_branches(model):
    """Halves what each residual unit adds: the scale of its last batch normalisation.

    An STC block's gates start near one half, and this may be all that they do.
    """
    norms = (re.fullmatch(r"(layer\d_block\d+)_bn\d", layer.name) for layer in model.layers)
    last = {match[1]: match[0] for match in norms if match}
    for name in last.values():
        gamma = model.get_layer(name).gamma
        gamma.assign(0.5 * gamma)


def _transfer(videos, form, setting, seed, teacher, folder, verbose):
    transfer = create_transfer(
        setting.model,
        teacher,
        seed=seed,
        video_config={"frames": setting.frames, "stride": setting.stride, "size": form.size},
        **setting.arguments,
    )
    return train_transfer(
        transfer,
        videos,
        form.transfer_recipe.replace(flip=form.recipe.flip),
        folder,
        seed=seed,
        frame_size=form.frame_size,
        verbose=verbose,
    )
