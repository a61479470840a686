"""What STC blocks let through: their gates, by stage, by class and over time.

Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018, look at their gates by class and stage; an
STC block has two of them, of its temporal and its spatial branch (Diba et al., section 3.1).
"""

from __future__ import annotations

import collections
import dataclasses
import functools
from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import ops

from keras_stc.checks import at_least
from keras_stc.layers.stc import stc_blocks

if TYPE_CHECKING:
    from keras_stc.data.sets.video import VideoSet


def stc_gates(
    model: keras.Model, clips: np.ndarray, batch_size: int = 4
) -> dict[str, dict[str, np.ndarray]]:
    """The gates that STC blocks compute for clips.

    Args:
        model: A `keras_stc.VideoModel` with STC blocks.
        clips: `(B, T, H, W, 3)`, RGB 0-255.
        batch_size: Clips at a time.

    Returns:
        `{name of the block: {branch: float32 array (B, C)}}`: blocks in order, values from 0 to 1.

    Raises:
        ValueError: If the network has no STC block.
    """
    return gates_of(model)(clips, batch_size)


def gates_of(model):
    """`stc_gates` of a model as a function of clips, whose graph is built once."""
    return functools.partial(_gates, *_descriptors(model))


def _descriptors(model):
    """The STC blocks of a network, and a model of what their branches see of a clip."""
    blocks = stc_blocks(model)
    if not blocks:
        raise ValueError(
            f"`model` must have STC blocks, such as stc_resnet18. Received: {model.name}"
        )
    # A block's input as its branches see it: its mean over space, (B, T, C).
    return blocks, keras.Model(
        model.input, [ops.mean(block.input, axis=(2, 3)) for block in blocks]
    )


def _gates(blocks, descriptors, clips, batch_size=4):
    parts = []
    for batch in np.array_split(clips, max(1, -(-len(clips) // batch_size))):
        seen = keras.tree.flatten(descriptors.predict_on_batch(batch))
        gates = [block.gates(each) for block, each in zip(blocks, seen, strict=True)]
        parts.append(keras.tree.map_structure(ops.convert_to_numpy, gates))
    return {
        block.name: {
            branch: np.concatenate([part[i][branch] for part in parts]).astype("float32")
            for branch in block.branches
        }
        for i, block in enumerate(blocks)
    }


@dataclasses.dataclass(frozen=True)
class ClassGates:
    """Gates of a network's STC blocks, averaged over the videos of each class.

    Attributes:
        class_names: Names of the classes.
        counts: Integer array `(classes,)`: videos of each.
        gates: `{block: {branch: array (classes, C)}}`; NaN of a class without videos.
    """

    class_names: tuple[str, ...]
    counts: np.ndarray
    gates: dict[str, dict[str, np.ndarray]]

    def mean(self, block: str, branch: str) -> np.ndarray:
        """Array `(C,)`: the mean over the classes that there are."""
        return np.nanmean(self.gates[block][branch], axis=0)

    def selectivity(self) -> dict[str, list[float]]:
        """`{branch: [one number for each block]}`: the deviation over classes, mean over channels.

        Near zero where a block treats all classes alike.
        """
        deviations = collections.defaultdict(list)
        for branches in self.gates.values():
            for branch, gates in branches.items():
                deviations[branch].append(float(np.nanstd(gates, axis=0).mean()))
        return dict(deviations)


def class_gates(model: keras.Model, videos: VideoSet, per_class: int = 4) -> ClassGates:
    """The gates of each class, by the centre clips of some of its videos.

    Args:
        model: A `keras_stc.VideoModel` with STC blocks.
        videos: A `keras_stc.data.VideoSet` with labels; those that cannot be read are left out.
        per_class: Most videos of a class, the first ones.

    Returns:
        A `ClassGates`.

    Raises:
        ValueError: If the network has no STC block, or the videos no label.
        VideoError: If none of them can be read.
    """
    from keras_stc.data import VideoError
    from keras_stc.data.clips.whole_video import shared_batches

    at_least(1, per_class=per_class)
    taken, chosen = collections.Counter(), []
    for video in videos:
        if video.label is None:
            raise ValueError(f"`videos` must have labels. Received: {video.name} without one")
        if taken[video.label] < per_class:
            taken[video.label] += 1
            chosen.append(video)
    classes, counts = len(videos.class_names), np.zeros(len(videos.class_names), int)
    gates_in, sums = gates_of(model), {}
    for batch in shared_batches(chosen, model.video_config, batch_size=4, uniform=1):
        if batch.clips is None:
            continue
        labels = [chosen[owner].label for owner in batch.owners]
        np.add.at(counts, labels, 1)
        for block, branches in gates_in(batch.clips.clips).items():
            for branch, gates in branches.items():
                total = sums.setdefault(block, {}).setdefault(
                    branch, np.zeros((classes, gates.shape[-1]))
                )
                np.add.at(total, labels, gates)
    if not counts.any():
        raise VideoError("None of the videos that the gates are compared with can be read.")
    with np.errstate(invalid="ignore"):
        means = {
            block: {branch: total / counts[:, None] for branch, total in branches.items()}
            for block, branches in sums.items()
        }
    return ClassGates(tuple(videos.class_names), counts, means)
