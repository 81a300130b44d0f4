"""That `make test-kernels` does run the kernels with the JIT off and with bounds checks."""

from __future__ import annotations

import os

import numpy as np
import pytest
from numpy.typing import NDArray

from kernels._jit import jit

CHECKED = "NUMBA_DISABLE_JIT" in os.environ or "NUMBA_BOUNDSCHECK" in os.environ


@jit
def _read(values: NDArray[np.float64], index: int) -> float:
    return float(values[index])


def test_a_read_past_the_end_is_caught() -> None:
    if not CHECKED:
        pytest.skip("compiled kernels read without bounds checks: `make test-kernels` has them")
    values = np.zeros(3)
    assert _read(values, 2) == 0.0
    with pytest.raises(IndexError):
        _read(values, 3)
