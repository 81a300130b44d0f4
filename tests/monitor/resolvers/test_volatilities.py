"""Implied volatilities: the order of resolution, and what time, outages and roll do to it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from connectors.events import FeedDropped, FeedStatus, OutcomeMarkets, OutcomePrices, VolatilityIndices
from connectors.model import Instrument, OptionType, OutcomeMarket
from monitor.resolvers.outcomes import probability_above
from monitor.resolvers.provenance import Provenance
from monitor.resolvers.rules import Rules
from tests.monitor.resolvers.market import CHAIN, NOW_MS, Desk, index, option, perpetual

STRIKES = (60_000.0, 65_000.0, 70_000.0)
CALLS = {(days, strike): option("BTC", days, strike) for days in (10, 20, 30) for strike in STRIKES}
PUTS = {key: option("BTC", *key, OptionType.PUT) for key in CALLS}
CALL = CALLS[20, 65_000.0]
HYPE = option("HYPE", 20, 40.0, settle="USDC")
HL_BTC, HL_HYPE = perpetual("hyperliquid", "BTC", "USDC"), perpetual("hyperliquid", "HYPE", "USDC")


def desk_with(*options: Instrument, rules: Rules | None = None) -> Desk:
    desk = Desk(rules or Rules(fx={"USDC": 1.0}))
    desk.list("deribit", index("BTC"), *CALLS.values(), *PUTS.values(), HYPE)
    desk.list("hyperliquid", HL_BTC, HL_HYPE)
    desk.track(coins=["BTC"], options=options)
    return desk


def whole_chain(level: float = 0.5) -> dict[str, float]:
    return {one.id: level for one in (*CALLS.values(), *PUTS.values())}


def quiet(desk: Desk, seconds: float) -> Desk:
    """Time in which only the index is told."""
    desk.after(seconds).index("BTC", 65_000.0)
    desk.update()
    return desk


def provenance(desk: Desk, one: Instrument = CALL) -> Provenance:
    return desk.resolvers.volatility(one.id).provenance


def test_its_own_volatility_comes_first_and_ages_with_the_chain() -> None:
    desk = desk_with(CALL)
    desk.chain(whole_chain(), full=True)
    assert desk.update().volatilities == {CALL.id: 0.5}
    assert provenance(desk) is Provenance.LIVE
    desk.after(20).chain({CALLS[30, 60_000.0].id: 0.6})
    assert desk.update().volatilities == {}
    assert provenance(desk) is Provenance.LIVE
    desk.after(6).chain({})
    desk.update()
    assert provenance(desk) is Provenance.LIVE
    for seconds, expected in ((6, Provenance.AGING), (25, Provenance.STALE)):
        assert desk.after(seconds).update().provenance
        assert provenance(desk) is expected


def test_a_bad_feed_makes_the_chain_stale_at_once_and_the_volatility_stays() -> None:
    desk = desk_with(CALL)
    desk.chain(whole_chain(), full=True)
    desk.update()
    for status in (FeedStatus.DOWN, FeedStatus.RESYNCING, FeedStatus.STALE):
        desk.feed("deribit", CHAIN, status)
        assert desk.update().volatilities == {}
        assert (desk.resolvers.volatility(CALL.id).value, provenance(desk)) == (0.5, Provenance.STALE)
    desk.feed("deribit", CHAIN, FeedStatus.FRESH)
    desk.chain(whole_chain(0.6), full=True)
    assert desk.update().volatilities == {CALL.id: 0.6}
    assert provenance(desk) is Provenance.LIVE


def test_without_its_own_the_smile_of_its_expiry_stands_in() -> None:
    desk = desk_with(CALL)
    desk.index("BTC", 65_000.0)
    chain = whole_chain()
    del chain[CALL.id], chain[PUTS[20, 65_000.0].id]
    desk.chain(chain, full=True)
    desk.update()
    found = desk.resolvers.volatility(CALL.id)
    assert found.value == pytest.approx(0.5)
    assert (found.provenance, found.source) == (Provenance.PROXY, "smile of deribit BTC/BTC")


def test_the_smile_moves_with_its_chain() -> None:
    desk = desk_with(CALL)
    desk.index("BTC", 65_000.0)
    others = [one.id for one in CALLS.values() if one is not CALL]
    desk.chain(dict.fromkeys(others, 0.5), full=True)
    desk.update()
    desk.after(1).chain(dict.fromkeys(others, 0.6))
    assert desk.update().volatilities == {CALL.id: pytest.approx(0.6)}


def test_a_row_that_a_whole_chain_leaves_out_has_none_any_more() -> None:
    desk = desk_with(CALL)
    desk.index("BTC", 65_000.0)
    desk.chain(whole_chain(), full=True)
    desk.update()
    desk.chain({name: 0.6 for name in whole_chain() if name != CALL.id}, full=True)
    assert desk.update().volatilities == {CALL.id: pytest.approx(0.6)}
    assert provenance(desk) is Provenance.PROXY
    desk.chain({CALL.id: 0.55})
    assert desk.update().volatilities == {CALL.id: 0.55}
    assert provenance(desk) is Provenance.LIVE


def test_without_its_expiry_the_neighbours_stand_in() -> None:
    desk = desk_with(CALL)
    desk.index("BTC", 65_000.0)
    desk.chain({one.id: 0.4 if days == 10 else 0.6 for (days, _), one in CALLS.items() if days != 20}, full=True)
    desk.update()
    found = desk.resolvers.volatility(CALL.id)
    assert found.value == pytest.approx(math.sqrt((0.4**2 * 10 + 0.6**2 * 30) / 2 / 20))
    assert "neighbouring" in found.source


def test_an_option_that_is_not_listed_yet_is_read_off_the_chain() -> None:
    desk = desk_with(replace(CALL, id="deribit:new", strike=62_500.0))
    desk.index("BTC", 65_000.0)
    desk.chain({one.id: 0.4 if strike == 60_000.0 else 0.6 for (_, strike), one in CALLS.items()}, full=True)
    assert desk.update().volatilities["deribit:new"] == pytest.approx(math.sqrt(0.26), rel=0.01)


def test_an_old_volatility_yields_to_what_is_live_but_not_to_what_is_not() -> None:
    desk = desk_with(CALL, rules=Rules(fx={"USDC": 1.0}, implied_volatility={"BTC": 0.9}))
    desk.chain(whole_chain(), full=True)
    desk.update()
    quiet(desk, 3601)
    assert (desk.resolvers.volatility(CALL.id).value, provenance(desk)) == (0.5, Provenance.STALE)
    desk.resolvers.apply(VolatilityIndices("deribit", "deribit_volatility_index.btc_usd", desk.now_ns, {"BTC": 0.45}))
    quiet(desk, 1)
    assert (desk.resolvers.volatility(CALL.id).value, provenance(desk)) == (0.45, Provenance.PROXY)
    desk.chain({CALLS[20, 60_000.0].id: 0.5})
    quiet(desk, 1)
    assert (desk.resolvers.volatility(CALL.id).value, provenance(desk)) == (0.5, Provenance.LIVE)


def test_a_coin_without_options_takes_beta_times_btc_blended_with_its_own_history() -> None:
    rules = Rules(fx={"USDC": 1.0}, volatility_weight=0.7, volatility_premium=1.1)
    desk = desk_with(HYPE, rules=rules)
    desk.index("BTC", 65_000.0)
    desk.chain(whole_chain(), full=True)
    for one, move in ((HL_BTC, 0.02), (HL_HYPE, 0.04)):
        desk.closes(one.id, [100.0 * math.exp(move * (day % 2)) for day in range(31)])
    desk.update()
    found = desk.resolvers.volatility(HYPE.id)
    assert found.value == pytest.approx(0.7 * 2.0 * 0.5 + 0.3 * 1.1 * 0.04 * math.sqrt(365))
    assert found.provenance is Provenance.PROXY
    assert found.source.startswith("beta 2.00 times BTC")


def test_beta_alone_history_alone_and_configuration_alone() -> None:
    desk = desk_with(HYPE, rules=Rules(beta={"HYPE": 1.6}))
    desk.index("BTC", 65_000.0)
    desk.chain(whole_chain(), full=True)
    desk.update()
    assert desk.resolvers.volatility(HYPE.id).value == pytest.approx(0.8)
    assert provenance(desk, HYPE) is Provenance.CONFIGURED

    desk = desk_with(HYPE)
    desk.closes(HL_HYPE.id, [100.0 * math.exp(0.04 * (day % 2)) for day in range(31)])
    desk.update()
    assert desk.resolvers.volatility(HYPE.id).value == pytest.approx(0.04 * math.sqrt(365) * 1.1)
    assert provenance(desk, HYPE) is Provenance.PROXY

    desk = desk_with(HYPE, rules=Rules(implied_volatility={"HYPE": 0.9}))
    assert desk.update().volatilities == {HYPE.id: 0.9}
    assert provenance(desk, HYPE) is Provenance.CONFIGURED


def test_with_nothing_known_it_is_missing_and_the_reader_learns_what_to_do() -> None:
    desk = desk_with(HYPE)
    assert desk.update().volatilities == {}
    found = desk.resolvers.volatility(HYPE.id)
    assert math.isnan(found.value)
    assert found.provenance is Provenance.MISSING
    assert "[market.implied_volatility]" in found.source


def test_an_outcome_stands_in_for_the_next_days_if_its_error_is_small() -> None:
    soon, later = option("BTC", 1, 64_000.0), option("BTC", 5, 64_000.0)
    desk = desk_with(soon, later)
    desk.mark(HL_BTC.id, 65_000.0)
    expiry_ms = NOW_MS + 12 * 3_600_000
    near, far = (OutcomeMarket(n, "BTC", expiry_ms, strike, None, "USDC") for n, strike in ((1, 64_900.0), (2, 64_000.0)))
    desk.resolvers.apply(OutcomeMarkets("hyperliquid", desk.now_ns, (near, far)))
    prices = {(n, 0): probability_above(65_000.0, strike, 0.42, 0.5 / 365) for n, strike in ((1, 64_900.0), (2, 64_000.0))}
    desk.resolvers.apply(OutcomePrices("hyperliquid", "allMids", desk.now_ns, {(1, 0): prices[1, 0]}))
    desk.update()
    assert provenance(desk, soon) is Provenance.MISSING
    desk.resolvers.apply(OutcomePrices("hyperliquid", "allMids", desk.now_ns, prices))
    desk.after(1).update()
    assert desk.resolvers.volatility(soon.id).value == pytest.approx(0.42, abs=1e-4)
    assert provenance(desk, soon) is Provenance.OUTCOME
    assert desk.resolvers.volatility(soon.id).source == "outcome 2"
    assert provenance(desk, later) is Provenance.MISSING
    desk.index("BTC", 65_000.0)
    desk.chain(whole_chain(), full=True)
    desk.after(1).update()
    assert provenance(desk, soon) is Provenance.PROXY


def test_an_outcome_that_is_held_is_stressed_with_the_chain_of_its_coin() -> None:
    held = option("BTC", 20, 65_000.0, settle="USDC", venue="hyperliquid")
    desk = desk_with(held)
    desk.index("BTC", 65_000.0)
    desk.chain(whole_chain(), full=True)
    assert desk.update().volatilities == {held.id: pytest.approx(0.5)}


def test_after_expiry_a_volatility_does_not_become_missing() -> None:
    soon = option("BTC", 2 / 86_400, 65_000.0)
    desk = desk_with(soon)
    desk.list("deribit", index("BTC"), soon, *CALLS.values())
    desk.chain({**whole_chain(), soon.id: 0.7}, full=True)
    desk.update()
    desk.after(3).chain(whole_chain(), full=True)
    assert desk.update().volatilities == {}
    assert desk.resolvers.volatility(soon.id).value == 0.7


def test_an_option_tracked_anew_is_told_anew() -> None:
    desk = desk_with(CALL)
    desk.chain(whole_chain(), full=True)
    desk.update()
    desk.track(options=[])
    assert desk.update().volatilities == {}
    desk.track(options=[CALL])
    assert desk.update().volatilities == {CALL.id: 0.5}
    desk.track(options=[CALL])
    assert desk.update().volatilities == {}


def test_a_perpetual_tick_leaves_volatilities_alone() -> None:
    desk = desk_with(*CALLS.values())
    desk.index("BTC", 65_000.0)
    desk.chain(whole_chain(), full=True)
    desk.mark(HL_BTC.id, 65_000.0)
    desk.update()
    desk.mark(HL_BTC.id, 66_000.0)
    changes = desk.update()
    assert changes.volatilities == {}
    assert changes.index == {}


def test_a_proxy_beyond_what_any_venue_would_tell_is_no_figure() -> None:
    rules = Rules(fx={"USDC": 1.0}, daily_volatility={"HYPE": 0.3}, implied_volatility={"HYPE": 1.2})
    desk = desk_with(HYPE, rules=rules)
    desk.update()
    found = desk.resolvers.volatility(HYPE.id)
    assert (found.value, found.provenance) == (1.2, Provenance.CONFIGURED), "0.3 a day is 6.3 a year with its premium"


def test_a_dropped_feed_leaves_no_verdict_behind() -> None:
    desk = desk_with(CALL)
    desk.feed("deribit", CHAIN, FeedStatus.STALE)
    desk.chain(whole_chain(), full=True)
    desk.update()
    assert provenance(desk) is Provenance.STALE
    desk.resolvers.apply(FeedDropped("deribit", CHAIN, None))
    desk.chain(whole_chain(0.6), full=True)
    desk.update()
    assert provenance(desk) is Provenance.LIVE
