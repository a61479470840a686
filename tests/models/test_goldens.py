"""Our networks against stored outputs of the PyTorch reference; needs no PyTorch.

`goldens/make_goldens.py` made them. Weights and clips are drawn again from their names, see
`parity.py`, so only outputs are stored.
"""

import importlib.util

import numpy as np
import parity
import pytest

#: Where PyTorch is installed, `test_parity.py` runs the deep networks and compares the stored
#: outputs too.
HAS_TORCH = importlib.util.find_spec("torch") is not None


def is_slow(case):
    return case.slow or (HAS_TORCH and case.units is None)


@pytest.mark.parametrize("case", parity.params(parity.FORWARD, is_slow))
def test_outputs(case):
    model = case.keras_model()
    parity.set_seeded_weights(model)
    outputs = parity.logits(model, parity.clips(case))
    assert parity.relative_error(outputs, parity.golden(case)) < parity.OUTPUT_TOLERANCE


def test_every_golden_is_compared():
    with np.load(parity.GOLDENS) as goldens:
        assert sorted(goldens) == sorted(case.name for case in parity.FORWARD)
