"""One device, all devices of a machine, or the devices of several machines."""

from keras_stc.distribute.batch_norm import synchronized
from keras_stc.distribute.fit import fit
from keras_stc.distribute.strategy import (
    DistributionError,
    devices,
    from_chief,
    is_chief,
    share,
    strategy,
)

__all__ = [
    "DistributionError",
    "devices",
    "fit",
    "from_chief",
    "is_chief",
    "share",
    "strategy",
    "synchronized",
]
