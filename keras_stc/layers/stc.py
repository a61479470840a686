"""The spatio-temporal channel correlation block (paper, section 3.1)."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_stc.checks import positive_integer, wrong

BRANCHES = ("temporal", "spatial")


@keras.saving.register_keras_serializable("keras_stc")
class STCBlock(keras.layers.Layer):
    """Rescales the channels of a video feature map by two learned gates.

    The temporal correlation branch squeezes the map over time and space to one value a channel;
    the spatial correlation branch squeezes it over space alone and sees every channel at every
    time step. Each gates the channels. The output is the mean of the two rescaled maps; with one
    branch it is that branch's map.

    The spatial branch's weights are tied to the number of time steps, so the layer is built for a
    fixed one.

    Source: Diba et al., "Spatio-Temporal Channel Correlation Networks for Action Classification",
    ECCV 2018 (arXiv 1806.07754), section 3.1.

    Example:

    ```python
    features = keras.Input((8, 28, 28, 256))
    features = keras_stc.layers.STCBlock(reduction_ratio=4)(features)
    ```

    Args:
        reduction_ratio: By how much the two dense layers of a branch narrow the channels
            (paper: 4). It must divide the number of channels.
        branches: `("temporal", "spatial")` or one of them alone (paper, table 5).
        inner_activation: Activation between the two dense layers of a branch.
        gain: What the gates are multiplied by (paper: 1). With 2, gates of one half leave the map
            as it is: for networks whose modules end in no sum, into which a block is put after they
            have learnt (our choice).

    Call arguments:
        inputs: Tensor of shape `(B, T, H, W, C)`; `T` and `C` are fixed, `H` and `W` may vary.

    Returns:
        Tensor of the shape of `inputs`.

    Raises:
        ValueError: If `T` is unknown, if the ratio does not divide `C`, or if a branch is unknown.
    """

    def __init__(
        self,
        reduction_ratio: int = 4,
        branches: str | Sequence[str] = BRANCHES,
        inner_activation: str | Callable[..., Any] | None = "relu",
        gain: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.reduction_ratio = check_ratio(reduction_ratio)
        self.branches = check_branches(branches)
        self.inner_activation = keras.activations.get(inner_activation)
        self.gain = gain
        self.input_spec = keras.layers.InputSpec(ndim=5)

    def build(self, input_shape: Any) -> None:
        frames, channels = input_shape[1], input_shape[-1]
        if "spatial" in self.branches and frames is None:
            raise ValueError(
                "`STCBlock` needs a fixed number of frames, because the weights of its spatial "
                "branch are tied to it: give the clip length, as in input_shape=(16, 112, 112, 3). "
                f"Received: input_shape={tuple(input_shape)}"
            )
        if channels is None or channels % self.reduction_ratio:
            raise ValueError(
                f"`reduction_ratio` must divide the number of channels, {channels}. "
                f"Received: reduction_ratio={self.reduction_ratio}"
            )
        if "temporal" in self.branches:
            self.temporal_squeeze, self.temporal_excite = self._bottleneck(
                "temporal", channels, channels
            )
        if "spatial" in self.branches:
            self.spatial_squeeze, self.spatial_excite = self._bottleneck(
                "spatial", frames * channels, channels
            )

    def call(self, inputs: Any) -> Any:
        # (B, T, C); the mean over T, H and W is this one's mean over T.
        gates = list(self.gates(ops.mean(inputs, axis=(2, 3))).values())
        # (x_tcb + x_scb) / 2 with the large map touched once.
        gate = gates[0] if len(gates) == 1 else 0.5 * (gates[0] + gates[1])
        if self.gain != 1:
            gate = self.gain * gate
        return inputs * ops.reshape(gate, (-1, 1, 1, 1, inputs.shape[-1]))

    def gates(self, descriptor: Any) -> dict[str, Any]:
        """By how much each branch scales the channels.

        Args:
            descriptor: Tensor of shape `(B, T, C)`: the mean of the block's input over space.

        Returns:
            `{branch: tensor of shape (B, C)}`, values from 0 to 1.
        """
        _, frames, channels = descriptor.shape
        gates = {}
        if "temporal" in self.branches:
            squeezed = ops.mean(descriptor, axis=1)
            gates["temporal"] = self.temporal_excite(self.temporal_squeeze(squeezed))
        if "spatial" in self.branches:
            # T-major: all channels of the first time step, then of the second, ...
            squeezed = ops.reshape(descriptor, (-1, frames * channels))
            gates["spatial"] = self.spatial_excite(self.spatial_squeeze(squeezed))
        return gates

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "reduction_ratio": self.reduction_ratio,
            "branches": self.branches,
            "inner_activation": keras.activations.serialize(self.inner_activation),
            "gain": self.gain,
        }

    def _bottleneck(self, branch, width, channels):
        hidden = width // self.reduction_ratio
        squeeze = keras.layers.Dense(
            hidden,
            activation=self.inner_activation,
            dtype=self.dtype_policy,
            name=f"{branch}_squeeze",
        )
        excite = keras.layers.Dense(
            channels, activation="sigmoid", dtype=self.dtype_policy, name=f"{branch}_excite"
        )
        squeeze.build((None, width))
        excite.build((None, hidden))
        return squeeze, excite


def stc_blocks(model):
    """The STC blocks of a network, in their order; empty of one without."""
    return [layer for layer in model.layers if isinstance(layer, STCBlock)]


def check_ratio(reduction_ratio):
    positive_integer(reduction_ratio=reduction_ratio)
    return int(reduction_ratio)


def check_branches(branches):
    """The branches in their one order, whatever order they came in."""
    given = (branches,) if isinstance(branches, str) else tuple(branches or ())
    known = tuple(branch for branch in BRANCHES if branch in given)
    if not known or len(known) != len(given):
        raise wrong(f"{BRANCHES} or one of them alone", branches=branches)
    return known
