"""The facade: what is told when, and that no figure looks better than what it is made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import MarketSettings, Settings
from connectors.events import FeedStatus, ParseError
from monitor.resolvers.provenance import Provenance, Resolved, by_age, missing, oldest, worst
from monitor.resolvers.resolvers import Resolvers
from monitor.resolvers.rules import Rules
from tests.monitor.resolvers.market import BTC_INDEX, CHAIN, NOW_MS, NOW_NS, Desk, index, option, perpetual

HL, ASTER = perpetual("hyperliquid", "BTC", "USDC"), perpetual("aster", "BTC", "USDT", symbol="BTCUSDT")
NEAR, FAR = option("BTC", 10, 65_000.0), option("BTC", 30, 65_000.0)


def desk_with(rules: Rules | None = None) -> Desk:
    desk = Desk(rules or Rules())
    desk.list("hyperliquid", HL)
    desk.list("aster", ASTER)
    desk.list("deribit", index("BTC"), NEAR, FAR)
    desk.track(coins=["BTC"], assets=["USDC", "USDT"], options=[NEAR, FAR])
    return desk


def test_an_age_becomes_a_provenance() -> None:
    ages = (0.0, 5.0, 5.001, 30.0, 30.001)
    assert [by_age(age) for age in ages] == ["LIVE", "LIVE", "AGING", "AGING", "STALE"]
    assert worst([Provenance.OUTCOME, Provenance.STALE]) is Provenance.OUTCOME
    assert worst([]) is Provenance.LIVE
    assert math.isnan(oldest([math.nan]))
    assert oldest([1.0, math.nan, 3.0]) == 3.0
    assert missing("x").provenance is Provenance.MISSING


def test_nothing_is_told_twice() -> None:
    desk = desk_with(Rules(fx={"USDC": 1.0, "USDT": 1.0}))
    desk.index("BTC", 65_000.0)
    desk.chain({NEAR.id: 0.5, FAR.id: 0.6}, full=True)
    first = desk.update()
    assert (set(first.fx), set(first.index), len(first.forwards), len(first.volatilities)) == ({"USDC", "USDT"}, {"BTC"}, 2, 2)
    assert not desk.update()
    desk.after(1).index("BTC", 65_000.0)
    assert not desk.update()
    everything = desk.resolvers.everything()
    assert everything.volatilities == first.volatilities
    assert everything.forwards == first.forwards
    assert everything.index == first.index


def test_the_instruments_it_needs_are_named() -> None:
    assert desk_with().resolvers.references == {HL.id, ASTER.id, "deribit:btc_usd"}


def test_events_that_say_nothing_here_are_ignored() -> None:
    resolvers = Resolvers()
    resolvers.apply(ParseError("deribit", "x", "kind", NOW_NS))
    assert not resolvers.update(NOW_NS, NOW_MS)


def test_rules_come_from_the_configuration() -> None:
    settings = Settings.model_construct(fx={"USDT": 0.99}, market=MarketSettings(beta={"SOL": 1.5}, volatility_weight=0.6))
    rules = Rules.from_settings(settings)
    assert (rules.fx, rules.beta, rules.volatility_weight) == ({"USDT": 0.99}, {"SOL": 1.5}, 0.6)


def test_a_provenance_that_changes_with_time_alone_is_told() -> None:
    desk = desk_with()
    desk.index("BTC", 65_000.0)
    desk.update()
    changes = desk.after(6).update()
    assert changes.provenance
    assert not changes.index


Telling = Literal["fresh", "ageing", "old", "bad"]
SECONDS_AGO = {"fresh": 0.0, "ageing": 10.0, "old": 100.0, "bad": 0.0}
TELLINGS = st.sampled_from(sorted(SECONDS_AGO))


@given(st.sampled_from([None, *sorted(SECONDS_AGO)]), TELLINGS, TELLINGS, TELLINGS)
def test_no_figure_is_better_than_its_inputs(stablecoin: str | None, by_index: str, forward: str, chain: str) -> None:
    desk = desk_with(Rules(fx={"USDT": 1.0}))
    feed = f"{BTC_INDEX}c"
    plan: dict[str, tuple[str | None, Callable[[], None]]] = {
        "deribit_price_index.usdc_usd": (stablecoin, lambda: desk.stablecoin("USDC", 0.999)),
        feed: (by_index, lambda: desk.index("BTC", 65_000.0, "USDC")),
        "ticker": (forward, lambda: desk.forward(NEAR, 65_100.0)),
        CHAIN: (chain, lambda: desk.chain({NEAR.id: 0.5}, full=True)),
    }
    for name, (how, tell) in sorted(plan.items(), key=lambda item: -SECONDS_AGO.get(item[1][0] or "", 0.0)):
        if how is not None:
            desk.now_ns = NOW_NS + round((100.0 - SECONDS_AGO[how]) * 1e9)
            tell()
            desk.feed("deribit", name, FeedStatus.STALE if how == "bad" else FeedStatus.FRESH)
    desk.now_ns = NOW_NS + 100_000_000_000
    desk.update()
    expected = {"fresh": Provenance.LIVE, "ageing": Provenance.AGING, "old": Provenance.STALE, "bad": Provenance.STALE}
    fx = expected[stablecoin] if stablecoin else Provenance.MISSING
    found = desk.resolvers
    assert found.fx("USDC").provenance is fx
    of_index = worst([fx, expected[by_index]])
    assert found.index("BTC").provenance is of_index
    assert found.forward("deribit", "BTC", "BTC", NEAR.expiry_ms).provenance is expected[forward]
    assert found.volatility(NEAR.id).provenance is expected[chain]
    assert_at_least(found.forward("deribit", "BTC", "BTC", FAR.expiry_ms), worst([of_index, Provenance.PROXY]))
    assert_at_least(found.volatility(FAR.id), Provenance.PROXY)


def assert_at_least(found: Resolved, limit: Provenance) -> None:
    assert found.provenance.severity >= limit.severity
    assert math.isnan(found.value) == (found.provenance is Provenance.MISSING)


@pytest.mark.parametrize("told_first", ["track", "list"])
def test_the_order_of_listing_and_tracking_does_not_matter(told_first: str) -> None:
    desk = Desk(Rules(fx={"USDC": 1.0}))
    if told_first == "track":
        desk.track(coins=["BTC"], options=[NEAR])
    desk.list("hyperliquid", HL)
    desk.list("deribit", index("BTC"), NEAR)
    if told_first == "list":
        desk.track(coins=["BTC"], options=[NEAR])
    desk.mark(HL.id, 65_000.0, 65_000.0)
    desk.chain({NEAR.id: 0.5}, full=True)
    changes = desk.update()
    assert (changes.index, changes.volatilities) == ({"BTC": 65_000.0}, {NEAR.id: 0.5})
    assert list(changes.forwards.values()) == [65_000.0]
