"""Near to liquidation, not what the venue says, rising fast."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.events import FailureReason
from monitor.alerts.incident import Condition
from monitor.alerts.rules import Rule
from monitor.book import AccountEntry, Book
from monitor.margin.hyperliquid import HyperliquidAccount
from monitor.margin.result import Failure, Level, PoolKind, PoolResult
from monitor.watch.limits import WatchLimits
from monitor.watch.pools import PoolWatch

SECOND = 1_000_000_000
GOOD = PoolResult(
    venue="hyperliquid", account="maker", pool="USDC", kind=PoolKind.HYPERLIQUID_CROSS, mode="unified", asset="USDC", level=Level.OK,
    margin_ratio=0.4, raw_ratio=None, limit=1.0, equity=2e6, maintenance_margin=8e5, excess=1.2e6, last_margin_ratio=0.4, positions=2,
    worst_instrument="hyperliquid:BTC", worst_liquidation_price=110_000.0, worst_distance=0.1, reconciled=True,
)  # fmt: skip
STALE = (Failure(FailureReason.STALE_ACCOUNT, "no account frame for 25 s"),)


class Pools:
    """The rules over one pool, told by hand; `now` in seconds."""

    def __init__(self, limits: WatchLimits | None = None) -> None:
        book = Book([AccountEntry("hyperliquid", "maker", HyperliquidAccount("maker"), (0.85, 0.90, 1.0), 0.02)])
        self.watch = PoolWatch(limits or WatchLimits(), book)
        self.now = 0.0

    def __call__(self, rule: Rule, after_s: float = 1.0, **fields: Any) -> Condition | None:
        self.now += after_s
        if "margin_ratio" in fields:
            fields.setdefault("last_margin_ratio", fields["margin_ratio"])
        told = self.watch.conditions([replace(GOOD, **fields)], round(self.now * SECOND))
        return next((one for one in told if one.rule is rule), None)


def is_firing(condition: Condition | None) -> bool:
    return condition is not None and not condition.frozen


# -- distance ----------------------------------------------------------------------------------------------------------------


def test_a_pool_near_to_liquidation_warns_and_leaves_with_a_gap() -> None:
    pools = Pools()
    assert pools(Rule.DISTANCE, worst_distance=0.02) is None
    near = pools(Rule.DISTANCE, worst_distance=-0.0199)
    assert near is not None
    assert (near.level, near.frozen, near.scope.path) == (Level.WARNING, False, "hyperliquid/maker/USDC")
    assert near.detail == "liquidates when BTC moves -1.99% (at 110000); limit 2.0%"
    assert is_firing(pools(Rule.DISTANCE, worst_distance=0.0215)), "inside the gap"
    assert is_firing(pools(Rule.DISTANCE, 59.0, worst_distance=0.0221)), "not for long enough"
    assert pools(Rule.DISTANCE, worst_distance=0.0221) is None
    assert is_firing(pools(Rule.DISTANCE, worst_distance=0.0)), "where the venue acts already"


def test_an_unusable_pool_freezes_its_distance() -> None:
    pools = Pools()
    for fields in ({"failures": STALE}, {"stale": True}, {"margin_ratio": None, "last_margin_ratio": None}):
        condition = pools(Rule.DISTANCE, worst_distance=0.01, **fields)
        assert condition is not None
        assert condition.frozen


def test_a_distance_not_measured_yet_is_frozen_but_none_that_exists_is_no_danger() -> None:
    pools = Pools()
    assert is_firing(pools(Rule.DISTANCE, worst_distance=0.01))
    frozen = pools(Rule.DISTANCE, 5.0, worst_distance=None)
    assert frozen is not None
    assert frozen.frozen
    assert pools(Rule.DISTANCE, 6.0, worst_distance=None) is None, "no price liquidates any more"
    assert pools(Rule.DISTANCE, worst_distance=0.0215) is None, "it is outside, so the gap does not hold it"
    assert Pools()(Rule.DISTANCE, worst_distance=None, positions=0) is None


def test_a_distance_of_zero_is_never() -> None:
    assert Pools(WatchLimits(distance=0.0))(Rule.DISTANCE, worst_distance=0.001) is None


@given(st.lists(st.tuples(st.floats(0.001, 0.05), st.booleans()), max_size=40))
def test_distances_never_flicker_and_never_end_while_unusable(path: list[tuple[float, bool]]) -> None:
    pools, was = Pools(), False
    for move, usable in path:
        told = pools(Rule.DISTANCE, 61.0, worst_distance=move, failures=() if usable else STALE)
        if not usable:
            assert told is not None
            assert told.frozen
            continue
        now = is_firing(told)
        assert now or move >= 0.02
        assert not now or move <= 0.02 * 1.1
        assert now == was or move < 0.02 or move > 0.02 * 1.1
        was = now


# -- reconciliation ----------------------------------------------------------------------------------------------------------


def test_unreconciled_is_held_and_says_how_far() -> None:
    pools = Pools()
    assert pools(Rule.UNRECONCILED) is None
    told = pools(Rule.UNRECONCILED, reconciled=False, reported_difference=0.0123, remedy="tell us the ratio of USD1")
    assert told is not None
    assert (told.hold_s, told.frozen) == (15.0, False)
    assert told.detail == "our figure is 1.23% off the venue's own: tell us the ratio of USD1"
    doubted = pools(Rule.UNRECONCILED, reconciled=False)
    assert doubted is not None
    assert "awaits" in doubted.detail


@pytest.mark.parametrize("fields", [{"reconciled": None}, {"reconciled": False, "failures": STALE}, {"reconciled": True, "stale": True}])
def test_what_cannot_be_compared_is_frozen(fields: dict[str, Any]) -> None:
    told = Pools()(Rule.UNRECONCILED, **fields)
    assert told is not None
    assert told.frozen


# -- rising ------------------------------------------------------------------------------------------------------------------


def test_a_fast_rise_says_from_where_to_where_and_when_the_next_level_comes() -> None:
    pools = Pools()
    for ratio in (0.50, 0.52, 0.55, 0.59):
        assert pools(Rule.RISING, 10.0, margin_ratio=ratio) is None
    told = pools(Rule.RISING, 10.0, margin_ratio=0.61)
    assert told is not None
    # 11 points in 40 s: 24 to the warning level take 87 s
    assert told.detail == "rose from 50.0% to 61.0% in 40 s; at this pace warning (85.0%) in 1.5 min"
    past = pools(Rule.RISING, 10.0, margin_ratio=0.95)
    assert past is not None
    assert "liquidation (100.0%)" in past.detail
    beyond = pools(Rule.RISING, 1.0, margin_ratio=math.inf)
    assert beyond is not None
    assert "to infinite" in beyond.detail
    assert "pace" not in beyond.detail


def test_a_rise_below_where_it_matters_or_of_more_than_a_minute_is_none() -> None:
    low, slow = Pools(), Pools()
    assert low(Rule.RISING, margin_ratio=0.1) is None
    assert low(Rule.RISING, margin_ratio=0.49) is None
    for step in range(100):
        assert slow(Rule.RISING, 10.0, margin_ratio=0.5 + 0.0016 * step) is None
    assert slow(Rule.RISING, 61.0, margin_ratio=0.9) is None, "the minute before is not known"


def test_unusable_readings_freeze_a_rise_and_are_no_samples() -> None:
    pools = Pools()
    assert pools(Rule.RISING, margin_ratio=0.55) is None
    frozen = pools(Rule.RISING, margin_ratio=0.2, failures=STALE)
    assert frozen is not None
    assert frozen.frozen
    assert pools(Rule.RISING, margin_ratio=0.6) is None, "0.2 was no usable reading"
    assert is_firing(pools(Rule.RISING, margin_ratio=0.66))


def test_a_rise_does_not_hide_between_two_samples() -> None:
    pools = Pools()
    told = [pools(Rule.RISING, 0.3, margin_ratio=ratio) for ratio in (0.50, 0.60, 0.70)]
    assert is_firing(told[-1])


@given(st.lists(st.tuples(st.floats(0.0, 40.0), st.floats(0.0, 1.5)), min_size=1, max_size=60))
def test_a_rise_is_what_the_last_minute_says(path: list[tuple[float, float]]) -> None:
    pools, past, held_ns = Pools(), [], -(10**12)
    for after_s, ratio in path:
        told = pools(Rule.RISING, 1.0 + after_s, margin_ratio=ratio)
        past.append((round(pools.now * SECOND), ratio))
        rise = ratio - min(one for at, one in past if past[-1][0] - at <= 60 * SECOND)
        if rise >= 0.10 and ratio >= 0.5:
            assert is_firing(told)
        if rise >= 0.09 and ratio >= 0.45:
            held_ns = past[-1][0]
        elif past[-1][0] - held_ns >= 60 * SECOND:
            assert told is None


def test_a_rise_that_hovers_around_where_it_matters_is_one() -> None:
    pools = Pools()
    assert pools(Rule.RISING, margin_ratio=0.38) is None
    assert is_firing(pools(Rule.RISING, margin_ratio=0.51))
    assert all(is_firing(pools(Rule.RISING, margin_ratio=ratio)) for ratio in (0.49, 0.51, 0.46, 0.5, 0.44))
    assert is_firing(pools(Rule.RISING, 58.0, margin_ratio=0.44)), "kept for a minute"
    assert pools(Rule.RISING, 1.0, margin_ratio=0.44) is None


def test_a_ratio_that_fell_a_little_is_not_low_again() -> None:
    pools = Pools()
    assert pools(Rule.RISING, margin_ratio=0.30) is None
    assert is_firing(pools(Rule.RISING, margin_ratio=0.51))
    assert is_firing(pools(Rule.RISING, 30.0, margin_ratio=0.46))
    assert is_firing(pools(Rule.RISING, 50.0, margin_ratio=0.46)), "it rose until 50 s ago, from 0.30 to 0.46"


def test_indices_are_named_by_their_coin() -> None:
    told = Pools()(Rule.DISTANCE, worst_distance=0.01, worst_instrument="deribit:btc_usd")
    assert told is not None
    assert told.detail.startswith("liquidates when BTC moves +1.00%")


def test_memory_is_bounded_and_ends_with_the_pool() -> None:
    pools = Pools()
    for step in range(1000):
        pools(Rule.RISING, 0.25, margin_ratio=0.1 + step * 1e-5)
    (lows,) = pools.watch._lows.values()
    assert 50 <= len(lows) <= 61
    pools.watch.conditions([], 0)
    assert not pools.watch._lows
    assert not pools.watch._measured_ns


def test_a_rise_of_zero_is_never() -> None:
    pools = Pools(WatchLimits(rise_per_minute=0.0))
    assert pools(Rule.RISING, margin_ratio=0.5) is None
    assert pools(Rule.RISING, margin_ratio=0.99) is None
