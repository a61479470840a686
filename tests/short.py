"""Networks of few units, for tests of what is around a network."""

import dataclasses
from unittest import mock

from keras_stc.models.configs import VARIANTS


def short_networks(units=(1, 1, 1, 1)):
    """A block in which every residual network has so many units in each of its stages."""
    short = {name: dataclasses.replace(each, units=units) for name, each in VARIANTS.items()}
    return mock.patch.dict(VARIANTS, short)
