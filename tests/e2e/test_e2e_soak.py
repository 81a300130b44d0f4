"""Two minutes at 200 whole-market frames a second: nothing missed, nothing made up, no memory lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.soak import MEMORY_LIMIT_MB, soak
from kernels._jit import permit_compilation

pytestmark = pytest.mark.e2e


@pytest.fixture
def _compiling() -> Iterator[None]:
    yield
    permit_compilation()


@pytest.mark.usefixtures("_compiling")
async def test_nothing_is_missed_at_two_hundred_frames_a_second() -> None:
    seen = await soak(duration=120.0, rate=200.0)
    assert seen["frames"] > 0.9 * 120 * 200
    assert {level for _, _, level in seen["crossings"]} == {1, 2, 3}
    assert seen["missed"] == []
    assert seen["made_up"] == []
    assert seen["grown_mb"] < MEMORY_LIMIT_MB == 5.0
