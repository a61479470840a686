"""Our networks against stored outputs of the PyTorch reference; needs no PyTorch.

`goldens/make_goldens.py` made them. Weights and clips are drawn again from their names, see
`parity.py`, so only outputs are stored.
"""

import importlib.util

import numpy as np
import parity
import pytest

pytorch_compares = pytest.mark.skipif(
    importlib.util.find_spec("torch") is not None,
    reason="PyTorch is installed: test_parity.py compares network and stored outputs with it",
)


@pytorch_compares
@pytest.mark.parametrize("case", parity.params(parity.FORWARD, lambda case: case.slow))
def test_outputs(case):
    model = case.keras_model()
    parity.set_seeded_weights(model)
    outputs = parity.logits(model, parity.clips(case))
    assert parity.relative_error(outputs, parity.golden(case)) < parity.OUTPUT_TOLERANCE


def test_every_golden_is_compared():
    with np.load(parity.GOLDENS) as goldens:
        assert sorted(goldens) == sorted(case.name for case in parity.FORWARD)
