"""Whether a network uses time: its accuracy on frames in another order.

    python benchmarks/frame_order.py stc_resnet18.ucf101-35 split1.csv

The same clips are shown as they were filmed, backwards, shuffled (all clips in one order), and as
their middle frame repeated. A network that makes no use of order answers the first three alike. The
last is none that it was trained on: what single frames are worth, a network trained on them says.
"""

import argparse

import keras
import numpy as np
from keras import ops

import keras_stc
from keras_stc.data.sets.open import open_data
from keras_stc.models.load import named_model


@keras.saving.register_keras_serializable("benchmarks")
class Frames(keras.layers.Layer):
    """Chosen frames of clips `(B, T, H, W, C)`, in a chosen order."""

    def __init__(self, numbers, **kwargs):
        super().__init__(**kwargs)
        self.numbers = [int(number) for number in numbers]

    def call(self, clips):
        return ops.stack([clips[:, number] for number in self.numbers], axis=1)


def orders(frames, seed=0):
    """`{name: numbers of frames}`."""
    order = np.arange(frames)
    return {
        "as filmed": order,
        "backwards": order[::-1],
        "shuffled": np.random.default_rng(seed).permutation(frames),
        "middle frame": np.full(frames, frames // 2),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="as keras-stc evaluate takes it")
    parser.add_argument("data", help="DATA, whose subset test is used")
    parser.add_argument("--max-clips", type=int, help="of a video (all)")
    arguments = parser.parse_args()
    model = named_model(arguments.model)
    videos = open_data(arguments.data, "test", model.video_config.class_names)
    print(f"{len(videos)} videos\n\n| frames | clip@1 | video@1 |\n|---|---|---|")
    for name, numbers in orders(model.video_config.frames).items():
        clips = keras.Input(model.video_config.clip_shape)
        shown = keras_stc.VideoModel(
            clips, model(Frames(numbers)(clips)), video_config=model.video_config
        )
        found = keras_stc.evaluate_videos(shown, videos, max_clips=arguments.max_clips)
        print(f"| {name} | {found.clip1:.1%} | {found.video1:.1%} |", flush=True)


if __name__ == "__main__":
    main()
