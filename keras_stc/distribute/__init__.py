"""One device, all devices of a machine, or the devices of several machines."""

from keras_stc.distribute.batch_norm import synchronized
from keras_stc.distribute.fit import fit
from keras_stc.distribute.strategy import (
    DistributionError,
    connected,
    devices,
    from_chief,
    is_chief,
    scope,
    share,
    strategy,
    worker_count,
)

__all__ = [
    "DistributionError",
    "connected",
    "devices",
    "fit",
    "from_chief",
    "is_chief",
    "scope",
    "share",
    "strategy",
    "synchronized",
    "worker_count",
]
