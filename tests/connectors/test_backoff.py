from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.backoff import Backoff, BackoffState

SECOND = 1_000_000_000


class Longest(Random):
    """Jitter that always draws the longest delay."""

    def uniform(self, a: float, b: float) -> float:
        return b


def test_delays_double_up_to_the_maximum() -> None:
    state = BackoffState(Backoff(), Longest())

    assert [state.next_delay() for _ in range(7)] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_jitter_is_full_and_comes_from_the_injected_source() -> None:
    policy = Backoff(initial=8.0, maximum=8.0)
    delays = [BackoffState(policy, Random(seed)).next_delay() for seed in range(200)]

    assert delays == [BackoffState(policy, Random(seed)).next_delay() for seed in range(200)]
    assert min(delays) < 0.5
    assert max(delays) > 7.5
    assert 3.0 < sum(delays) / len(delays) < 5.0


@pytest.mark.parametrize(("lived_s", "next_delay"), [(59.999, 4.0), (60.0, 1.0)])
def test_only_a_stable_minute_resets_the_count(lived_s: float, next_delay: float) -> None:
    state = BackoffState(Backoff(), Longest())
    state.next_delay()
    state.next_delay()

    state.connected(5 * SECOND)
    state.closed(5 * SECOND + int(lived_s * SECOND))

    assert state.next_delay() == next_delay


def test_a_close_without_a_connection_is_no_stable_minute() -> None:
    state = BackoffState(Backoff(), Longest())
    state.connected(0)
    state.closed(SECOND)
    state.next_delay()

    state.closed(1000 * SECOND)

    assert state.next_delay() == 2.0


@given(st.integers(min_value=0, max_value=100_000), st.integers())
def test_a_delay_is_never_negative_nor_above_the_maximum(attempt: int, seed: int) -> None:
    state = BackoffState(Backoff(), Random(seed))
    state.attempt = attempt

    assert 0.0 <= state.next_delay() <= 30.0


@pytest.mark.parametrize(
    "arguments",
    [{"initial": 0.0}, {"initial": 31.0}, {"factor": 0.5}, {"stable_after": -1.0}, {"maximum": float("nan")}],
)
def test_a_policy_that_cannot_work_is_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="cannot work: use 0 < initial"):
        Backoff(**arguments)
