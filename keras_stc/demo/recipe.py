"""What the demonstration trains on and how, as data."""

import dataclasses

from keras_stc.training import Recipe


@dataclasses.dataclass(frozen=True)
class Demo:
    """Videos, clips and training of `keras-stc demo`.

    Attributes:
        recipe: The `keras_stc.training.Recipe`, for the network and for its control.
        train_videos: Videos in each class to train on.
        test_videos: Videos in each class held out, of other scenes.
        video_frames: Frames in a video.
        video_size: Height and width of a video in pixels.
        model: Name for `keras_stc.create_model`; it starts from random weights.
        arguments: Further arguments of `keras_stc.create_model`.
        frames: Frames in a clip. The control sees one.
        stride: Distance between two frames of a clip, in frames of the video.
        size: Side of the square crop in pixels.
    """

    recipe: Recipe
    train_videos: int
    test_videos: int
    video_frames: int
    video_size: int
    model: str
    frames: int
    stride: int
    size: int
    arguments: dict = dataclasses.field(default_factory=dict)


#: Our choice, for two cores and three minutes; the reasons are measured on such a machine.
DEMO = Demo(
    recipe=Recipe(
        name="demo",
        source="our choice: the paper's optimizer, as few steps as the videos need",
        # 60 steps: 98% of the held-out videos; after 35, 88% of the training clips are right.
        epochs=4,
        # At this size the last stage is one position a clip, and BN's statistics are the batch's.
        # On earlier, harder videos 16 learned more slowly.
        batch_size=32,
        # 0.1 did not begin to learn within 60 steps on those.
        learning_rate=0.02,
        schedule="cosine",
        warmup_epochs=1,
        # Left and right are classes, and so are the two ways to turn.
        flip=False,
    ),
    train_videos=60,
    # 128 in all: one video is 0.8% of the accuracy.
    test_videos=16,
    # One second; the evaluation takes two clips of it.
    video_frames=24,
    video_size=64,
    model="stc_resnet18",
    # 16 frames cost 1.6 times as much a step, and 48 pixels 2.6 times.
    frames=8,
    stride=2,
    size=32,
)
