"""A transfer with a run folder that survives a kill."""

import math

import keras

from keras_stc.data import Quarantine, find_video_error
from keras_stc.training.callbacks import Checkpoint, StopOnNaN
from keras_stc.training.loop import MIN_EPOCH_CLIPS
from keras_stc.training.run import Run
from keras_stc.transfer.dataset import pair_dataset


def train_transfer(
    transfer,
    videos,
    recipe,
    out,
    validation=None,
    seed=0,
    frame_size=224,
    data=None,
    verbose="auto",
    save_every=1,
):
    """Trains a student on videos; run again with the same arguments, it goes on where it was.

    Epochs end in a checkpoint of student, heads, optimizer and history; the teacher is not in it,
    only its fingerprint in `config.json`, and another teacher is refused. In the end the student
    alone stays, as `student.keras`.

    Example:

    ```python
    videos = keras_stc.data.open_unlabelled("videos")
    train_transfer(transfer, videos, RECIPES["default"], out="runs/t")
    # then: keras-stc train DATA --model stc_resnet18 --weights runs/t
    ```

    Args:
        transfer: A `CorrespondenceTransfer` whose student is a `keras_stc.VideoModel`.
        videos: `keras_stc.data.VideoSet`; labels are not looked at.
        recipe: A `TransferRecipe`.
        out: Path of the run folder.
        validation: Another `VideoSet`, of other videos, or `None`.
        seed: Of the order, the clips and the crops.
        frame_size: Side of the teacher's frames in pixels.
        data: What the run's `config.json` is to say of the data's origin.
        verbose: As `keras.Model.fit`.
        save_every: Epochs from one checkpoint to the next.

    Returns:
        The history: a list with a dictionary of figures for each epoch.

    Raises:
        RunError: If the folder holds another run.
        TrainingError: If the loss is no longer a number.
        VideoError: If there are fewer than two videos, or more than half of them cannot be read.
    """
    student, teacher = transfer.student, transfer.teacher
    run = Run(out)
    run.open(
        {
            "architecture": student.architecture,
            "video_config": student.video_config.to_dict(),
            "teacher": {
                "name": teacher.model.name,
                "weights": teacher.fingerprint(),
                "frame_size": frame_size,
            },
            "recipe": recipe.to_dict(),
            "seed": seed,
            "data": data,
            "videos": len(videos),
            "validation_videos": None if validation is None else len(validation),
        }
    )
    state = {"epoch": 0, "step": 0, "history": [], **run.state()}
    quarantine = Quarantine()
    settings = {
        "video_config": student.video_config,
        "frame_size": frame_size,
        "batch_size": max(2, min(recipe.batch_size, len(videos)) // recipe.accumulate),
        "seed": seed,
        "quarantine": quarantine,
    }
    pairs = pair_dataset(
        videos,
        flip=recipe.flip,
        multiscale=recipe.multiscale,
        clips_per_video=max(1, math.ceil(MIN_EPOCH_CLIPS / max(1, len(videos)))),
        first_epoch=state["epoch"],
        **settings,
    )
    held_out = None
    if validation is not None:
        held_out = pair_dataset(validation, training=False, **settings)

    transfer.compile(recipe.optimizer(int(pairs.cardinality())))
    transfer.optimizer.build(transfer.trainable_variables)
    if state["epoch"]:
        run.restore(transfer, state)
    if state["epoch"] < recipe.epochs:
        callbacks = [
            # `fit` looks at one batch before its first epoch, which would count as one.
            keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _: pairs.set_epoch(epoch)),
            StopOnNaN(run, state),
            Checkpoint(run, state, save_every, None, recipe.epochs, int(pairs.cardinality())),
        ]
        try:
            transfer.fit(
                pairs,
                validation_data=held_out,
                epochs=recipe.epochs,
                initial_epoch=state["epoch"],
                callbacks=callbacks,
                shuffle=False,
                verbose=verbose,
            )
        except Exception as error:
            # TensorFlow wraps what the pipeline raised into an error of its own.
            video_error = find_video_error(error)
            if video_error is None:
                raise
            raise video_error from error
    if not run.student_path.exists():
        run.save_model(student, run.student_path)
    if len(quarantine):
        quarantine.save(run.quarantine_path)
    return state["history"]
