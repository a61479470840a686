"""The plan of an epoch: its samples in their order, and the share of them that a worker reads."""

import numbers

import numpy as np


class Epochs:
    """Counts iterations over a dataset.

    Args:
        first: Number of the first one.

    Attributes:
        next: Number of the one that begins next.
    """

    def __init__(self, first):
        self.next = first

    def set(self, epoch):
        """Makes the next iteration over the dataset epoch `epoch`."""
        self.next = epoch

    def take(self):
        """The iteration that begins now."""
        epoch, self.next = self.next, self.next + 1
        return epoch


def share_positions(samples, batch_size, share, drop_remainder):
    """Which places of an epoch's order belong to a part of every batch.

    Args:
        samples: Places in an epoch.
        batch_size: Of the whole batch.
        share: `(index, count)`: part number `index` of `count` equal ones. A last batch that is not
            full is divided as evenly as it can be.
        drop_remainder: Whether a last batch that is not full is left out.

    Returns:
        An array of places, ascending.
    """
    index, count = share
    positions = np.arange(samples - samples % batch_size if drop_remainder else samples)
    batch, place = np.divmod(positions, batch_size)
    size = np.minimum(batch_size, samples - batch * batch_size)
    return positions[(place >= index * size // count) & (place < (index + 1) * size // count)]


def check_share(share, batch_size):
    """Raises a `ValueError` unless a batch can be divided so."""
    is_pair = isinstance(share, (tuple, list)) and len(share) == 2
    are_whole = is_pair and all(isinstance(number, numbers.Integral) for number in share)
    if not are_whole or not 0 <= share[0] < share[1] or batch_size % share[1]:
        raise ValueError(
            "`share` must be (index, count) with index below count, and count must divide "
            f"`batch_size`. Received: share={share!r}, batch_size={batch_size!r}"
        )
