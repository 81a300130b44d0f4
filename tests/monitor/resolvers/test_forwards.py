"""Forwards: moved by the fastest mark, interpolated where none is told, and what they fall back to."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.events import FeedStatus
from monitor.resolvers.provenance import Provenance
from monitor.resolvers.rules import Rules
from tests.monitor.resolvers.market import CONTEXTS, DAY_MS, FAST, Desk, forward_of, index, option, perpetual

HL, ASTER = perpetual("hyperliquid", "BTC", "USDC"), perpetual("aster", "BTC", "USDT", symbol="BTCUSDT")
CALL = option("BTC", 30, 70_000.0)
FX = Rules(fx={"USDC": 1.0, "USDT": 0.998})


def desk_with(rules: Rules = FX) -> Desk:
    desk = Desk(rules)
    desk.list("hyperliquid", HL)
    desk.list("aster", ASTER)
    desk.list("deribit", index("BTC"), CALL)
    desk.track(coins=["BTC"], assets=["USDC", "USDT"], options=[CALL])
    return desk


@given(st.floats(-0.5, 1.0))
def test_a_perpetual_that_moves_moves_the_forward_as_much(move: float) -> None:
    desk = desk_with()
    desk.mark(HL.id, 65_000.0)
    desk.forward(CALL, 65_400.0)
    desk.update()
    desk.after(0.2).mark(HL.id, 65_000.0 * (1 + move), feed=FAST, delta=True)
    changes = desk.update()
    assert forward_of(desk, CALL) == pytest.approx(65_400.0 * (1 + move), rel=1e-12)
    if abs(move) > 1e-9:
        assert changes.forwards == {("deribit", "BTC", "BTC", CALL.expiry_ms): forward_of(desk, CALL)}
    assert changes.volatilities == {}


def test_what_the_venue_tells_replaces_what_was_followed() -> None:
    desk = desk_with()
    desk.mark(HL.id, 65_000.0)
    desk.forward(CALL, 65_400.0)
    desk.mark(HL.id, 65_100.0)
    desk.forward(CALL, 65_450.0)
    desk.update()
    assert forward_of(desk, CALL) == 65_450.0
    assert desk.resolvers.forward("deribit", "BTC", "BTC", CALL.expiry_ms).provenance is Provenance.LIVE


def test_the_next_mark_takes_over_when_the_fastest_feed_fails() -> None:
    desk = desk_with()
    desk.mark(HL.id, 65_000.0)
    desk.mark(ASTER.id, 65_200.0, feed="markPrice")
    desk.forward(CALL, 65_400.0)
    desk.mark(HL.id, 66_000.0)
    desk.feed("hyperliquid", CONTEXTS, FeedStatus.STALE)
    desk.mark(ASTER.id, 65_200.0 * 1.01, feed="markPrice")
    desk.update()
    assert forward_of(desk, CALL) == pytest.approx(65_400.0 * 1.01)
    assert "aster:BTCUSDT" in desk.resolvers.forward("deribit", "BTC", "BTC", CALL.expiry_ms).source


def test_a_mark_told_by_a_feed_that_is_bad_is_not_followed() -> None:
    desk = desk_with()
    desk.feed("hyperliquid", CONTEXTS, FeedStatus.STALE)
    desk.update()
    for hyperliquid, aster in ((65_000.0, 65_000.0), (70_000.0, 65_650.0)):
        desk.mark(HL.id, hyperliquid)
        desk.mark(ASTER.id, aster, feed="markPrice")
        if aster == 65_000.0:
            desk.forward(CALL, 65_400.0)
    desk.update()
    assert forward_of(desk, CALL) == pytest.approx(65_400.0 * 1.01)


def test_without_a_live_mark_the_forward_stays_and_ages() -> None:
    desk = desk_with()
    desk.mark(HL.id, 65_000.0)
    desk.forward(CALL, 65_400.0)
    desk.update()
    seen = []
    for seconds in (4, 10, 20):
        desk.after(seconds).update()
        seen.append(desk.resolvers.forward("deribit", "BTC", "BTC", CALL.expiry_ms))
    assert [one.value for one in seen] == [65_400.0] * 3
    assert [one.provenance for one in seen] == [Provenance.LIVE, Provenance.AGING, Provenance.STALE]
    assert [one.age_s for one in seen] == [4.0, 14.0, 34.0]


def test_a_forward_that_is_followed_while_its_venue_is_down_is_stale() -> None:
    desk = desk_with()
    desk.mark(HL.id, 65_000.0)
    desk.forward(CALL, 65_400.0)
    desk.feed("deribit", "ticker", FeedStatus.DOWN)
    desk.mark(HL.id, 66_300.0)
    assert desk.update().provenance
    found = desk.resolvers.forward("deribit", "BTC", "BTC", CALL.expiry_ms)
    assert found.value == pytest.approx(65_400.0 * 1.02)
    assert found.provenance is Provenance.STALE


def test_a_mark_that_a_feed_of_changes_does_not_repeat_is_followed_as_long_as_that_feed_lives() -> None:
    desk = desk_with()
    desk.feed("hyperliquid", FAST, FeedStatus.FRESH)
    desk.mark(HL.id, 65_000.0)
    desk.mark(HL.id, 65_100.0, feed=FAST, delta=True)
    desk.forward(CALL, 65_400.0)
    desk.after(100).forward(CALL, 65_400.0)
    desk.update()
    assert "hyperliquid" in desk.resolvers.forward("deribit", "BTC", "BTC", CALL.expiry_ms).source
    desk.feed("hyperliquid", FAST, FeedStatus.DOWN)
    desk.feed("hyperliquid", FAST, FeedStatus.FRESH)
    desk.update()
    assert "hyperliquid" not in desk.resolvers.forward("deribit", "BTC", "BTC", CALL.expiry_ms).source


def test_a_stablecoin_that_breaks_moves_the_marks_in_it_and_not_the_forward() -> None:
    desk = desk_with(rules=Rules(fx={"USDC": 1.0}))
    desk.stablecoin("USDT", 1.0)
    desk.mark(ASTER.id, 65_000.0, feed="markPrice")
    desk.forward(CALL, 65_400.0)
    desk.update()
    desk.stablecoin("USDT", 0.95)
    desk.mark(ASTER.id, 65_000.0 / 0.95, feed="markPrice")
    desk.update()
    assert forward_of(desk, CALL) == pytest.approx(65_400.0)


def test_a_mark_in_an_asset_without_a_price_is_not_followed() -> None:
    desk = desk_with(rules=Rules())
    desk.mark(ASTER.id, 65_000.0, feed="markPrice")
    desk.forward(CALL, 65_400.0)
    desk.mark(ASTER.id, 70_000.0, feed="markPrice")
    desk.update()
    assert forward_of(desk, CALL) == 65_400.0


def test_a_linear_option_follows_a_mark_in_its_own_stablecoin_whatever_that_is_worth() -> None:
    linear = option("BTC", 30, 70_000.0, settle="USDC")
    desk = desk_with(rules=Rules())
    desk.track(coins=["BTC"], options=[linear])
    desk.mark(HL.id, 65_000.0)
    desk.forward(linear, 65_400.0)
    desk.mark(HL.id, 65_650.0)
    desk.update()
    assert forward_of(desk, linear) == pytest.approx(65_400.0 * 1.01)


def test_an_expiry_without_a_forward_lies_between_its_neighbours() -> None:
    near, middle, far = (option("BTC", days, 70_000.0) for days in (10, 20, 30))
    desk = desk_with()
    desk.track(coins=["BTC"], options=[near, middle, far])
    desk.mark(HL.id, 65_000.0)
    desk.index("BTC", 65_000.0)
    desk.forward(near, 65_000.0 * math.exp(0.01))
    desk.forward(far, 65_000.0 * math.exp(0.02))
    desk.update()
    found = desk.resolvers.forward("deribit", "BTC", "BTC", middle.expiry_ms)
    assert found.value == pytest.approx(65_000.0 * math.exp(0.015))
    assert found.provenance is Provenance.PROXY
    desk.after(0.1).mark(HL.id, 65_000.0 * 1.01)
    desk.update()
    assert forward_of(desk, middle) == pytest.approx(65_000.0 * 1.01 * math.exp(0.015))


def test_without_any_forward_it_is_the_index_and_without_an_index_it_is_missing() -> None:
    desk = desk_with()
    desk.update()
    assert desk.resolvers.forward("deribit", "BTC", "BTC", CALL.expiry_ms).provenance is Provenance.MISSING
    desk.index("BTC", 65_000.0)
    assert desk.update().forwards == {("deribit", "BTC", "BTC", CALL.expiry_ms): 65_000.0}
    assert desk.resolvers.forward("deribit", "BTC", "BTC", CALL.expiry_ms).provenance is Provenance.PROXY


def test_after_expiry_the_forward_is_the_index_at_once() -> None:
    desk = desk_with()
    soon = option("BTC", 1.5 / 86_400, 70_000.0)
    desk.track(coins=["BTC"], options=[soon])
    desk.index("BTC", 65_000.0)
    desk.forward(soon, 65_400.0)
    desk.update()
    assert forward_of(desk, soon) == 65_400.0
    for seconds in (1.0, 0.499):
        desk.after(seconds).update()
        assert forward_of(desk, soon) == 65_400.0
    desk.after(0.001)
    assert list(desk.update().forwards.values()) == [65_000.0]


def test_a_price_that_is_none_changes_nothing() -> None:
    desk = desk_with()
    desk.forward(CALL, 65_400.0)
    for price in (0.0, -1.0, math.nan, math.inf):
        desk.forward(CALL, price)
    desk.update()
    assert forward_of(desk, CALL) == 65_400.0


def test_a_delisted_perpetual_is_not_followed_any_more() -> None:
    desk = desk_with()
    desk.mark(HL.id, 65_000.0)
    desk.mark(ASTER.id, 65_000.0, feed="markPrice")
    desk.forward(CALL, 65_400.0)
    desk.list("hyperliquid")
    desk.mark(ASTER.id, 65_650.0, feed="markPrice")
    desk.update()
    assert forward_of(desk, CALL) == pytest.approx(65_400.0 * 1.01)


def test_only_expiries_that_are_alive_are_kept() -> None:
    desk = desk_with()
    desk.index("BTC", 65_000.0)
    desk.forward(option("BTC", 1, 70_000.0), 65_100.0)
    desk.update()
    assert forward_of(desk, CALL) > 65_000.0
    desk.after(DAY_MS / 1000).index("BTC", 65_000.0)
    desk.update()
    assert forward_of(desk, CALL) == 65_000.0


def test_a_mark_that_was_stale_when_the_forward_was_told_does_not_move_it() -> None:
    desk = desk_with()
    desk.mark(HL.id, 100_000.0)
    desk.forward(CALL, 100_000.0)
    desk.update()
    desk.feed("hyperliquid", CONTEXTS, FeedStatus.STALE)
    desk.after(60.0).forward(CALL, 95_000.0)
    desk.update()
    desk.feed("hyperliquid", CONTEXTS, FeedStatus.FRESH)
    desk.mark(HL.id, 95_000.0)
    desk.update()
    assert forward_of(desk, CALL) == 95_000.0
    desk.forward(CALL, 95_100.0)
    desk.mark(HL.id, 96_000.0)
    desk.update()
    assert forward_of(desk, CALL) == pytest.approx(95_100.0 * 96 / 95), "it is followed again from the next forward on"


@pytest.mark.parametrize("told", [100_030.0, 99_970.0])
def test_an_expiry_of_the_next_second_tells_nothing_about_one_of_months(told: float) -> None:
    soon, later = option("BTC", 1 / 86_400, 100_000.0), option("BTC", 90, 100_000.0)
    desk = Desk(FX)
    desk.list("deribit", index("BTC"), soon, later)
    desk.track(coins=["BTC"], options=[soon, later])
    desk.index("BTC", 100_000.0)
    desk.chain({soon.id: 0.5}, full=True)
    desk.forward(soon, told)
    desk.update()
    assert forward_of(desk, later) == pytest.approx(100_000.0, rel=0.01)
    assert desk.resolvers.volatility(later.id).value == pytest.approx(0.5)
