"""Volatility implied by outcomes: the table of the notes (1.2), inversion, and what gives none."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.events import OutcomeMarkets, OutcomePrices
from connectors.model import OptionType, OutcomeMarket
from monitor.resolvers.outcomes import error_bar, implied, implied_above, implied_between, probability_above
from monitor.resolvers.provenance import Provenance
from tests.monitor.resolvers.market import HOUR_MS, NOW_MS, Desk, option, perpetual

F, K, HALF_DAY = 65_000.0, 64_306.0, 0.5 / 365
ABOVE = OutcomeMarket(1025, "BTC", NOW_MS + 12 * HOUR_MS, K, None, "USDC")
HL = perpetual("hyperliquid", "BTC", "USDC")


def market(lower: float | None, upper: float | None) -> OutcomeMarket:
    return OutcomeMarket(1, "BTC", NOW_MS + 12 * HOUR_MS, lower, upper, "USDC")


def test_the_worked_example_of_the_notes() -> None:
    p = probability_above(F, K, 0.35, HALF_DAY)
    assert p == pytest.approx(0.7945, abs=5e-5)
    moved = [probability_above(F * (1 + share), K, 0.35, HALF_DAY) for share in (-0.001, 0.001)]
    assert (moved[1] - moved[0]) / 2 == pytest.approx(0.022, abs=1e-4)
    assert probability_above(F, K, 0.36, HALF_DAY) - p == pytest.approx(-0.0068, abs=2e-4)
    assert error_bar(ABOVE, F, 0.35, HALF_DAY) == pytest.approx(0.032, abs=5e-4)
    assert implied_above(p, F, K, HALF_DAY) == pytest.approx(0.35, rel=1e-9)


@given(st.floats(0.1, 2.0), st.floats(0.0005, 0.05))
def test_a_threshold_below_the_forward_is_inverted_exactly(volatility: float, moneyness: float) -> None:
    strike = F * math.exp(-moneyness)
    p = probability_above(F, strike, volatility, HALF_DAY)
    found = implied_above(p, F, strike, HALF_DAY) if 0.001 < p < 0.999 else volatility
    assert found == pytest.approx(volatility, rel=1e-6)


@given(st.floats(0.1, 2.0), st.floats(0.0005, 0.05))
def test_above_the_forward_the_smaller_root_gives_the_same_price(volatility: float, moneyness: float) -> None:
    # there are two volatilities with one price; with little time the smaller is the market's
    strike = F * math.exp(moneyness)
    p = probability_above(F, strike, volatility, HALF_DAY)
    found = implied_above(p, F, strike, HALF_DAY) if 0.001 < p < 0.999 else None
    if found is not None:
        assert probability_above(F, strike, found, HALF_DAY) == pytest.approx(p, abs=1e-9)
        assert found <= volatility * (1 + 1e-6)


def test_a_probability_that_no_volatility_gives_has_none() -> None:
    # a threshold 2 % above the forward is never exceeded with 60 %
    assert implied_above(0.6, F, F * 1.02, HALF_DAY) is None
    assert implied_above(0.5, F, F * 1.02, HALF_DAY) is None


def test_a_bucket_around_the_forward_is_inverted_by_bisection() -> None:
    lower, upper = 63_019.0, 65_592.0
    p = probability_above(64_300, lower, 0.45, HALF_DAY) - probability_above(64_300, upper, 0.45, HALF_DAY)
    assert implied(market(lower, upper), p, 64_300, HALF_DAY) == pytest.approx(0.45, rel=1e-9)


def test_a_bucket_beside_the_forward_is_skipped_since_two_volatilities_fit() -> None:
    p = probability_above(F, 66_000, 0.45, HALF_DAY) - probability_above(F, 67_000, 0.45, HALF_DAY)
    assert implied_between(p, F, 66_000, 67_000, HALF_DAY) is None


def test_a_wide_bucket_is_skipped_where_its_price_rises_again_with_volatility() -> None:
    lower, upper, quarter = 20_000.0, F * 1.001, 0.25
    prices = [probability_above(F, lower, v, quarter) - probability_above(F, upper, v, quarter) for v in (0.05, 0.15, 0.5)]
    assert prices[1] < prices[0]
    assert prices[1] < prices[2]
    assert implied_between(prices[0], F, lower, upper, quarter) is None


def test_below_an_upper_threshold_is_the_other_side() -> None:
    p = probability_above(F, K, 0.35, HALF_DAY)
    assert implied(market(None, K), 1 - p, F, HALF_DAY) == pytest.approx(0.35)


def desk_with(*markets: OutcomeMarket, mark: float = F) -> Desk:
    desk = Desk()
    desk.list("hyperliquid", HL)
    desk.track(coins=["BTC"])
    desk.mark(HL.id, mark)
    desk.resolvers.apply(OutcomeMarkets("hyperliquid", desk.now_ns, markets))
    return desk


def tell(desk: Desk, prices: dict[tuple[int, int], float]) -> None:
    desk.resolvers.apply(OutcomePrices("hyperliquid", "allMids", desk.now_ns, prices))


def test_both_sides_count() -> None:
    desk = desk_with(ABOVE)
    tell(desk, {(1025, 0): 0.7900, (1025, 1): 0.2010})
    desk.update()
    (found,) = desk.resolvers.outcome_volatilities()
    assert found.probability == pytest.approx(0.7945)
    assert found.volatility.value == pytest.approx(0.35, abs=0.001)
    assert found.volatility.provenance is Provenance.OUTCOME
    assert found.error == pytest.approx(0.032, abs=0.001)


def test_a_price_at_the_edge_of_the_range_says_nothing() -> None:
    desk = desk_with(ABOVE)
    tell(desk, {(1025, 0): 0.999, (1025, 1): 0.001})
    desk.update()
    assert desk.resolvers.outcome_volatilities() == ()


def test_old_prices_are_no_outcome_any_more_and_settled_markets_are_forgotten() -> None:
    desk = desk_with(ABOVE)
    tell(desk, {(1025, 0): 0.7945})
    desk.after(31).mark(HL.id, F)
    desk.update()
    assert [one.volatility.provenance for one in desk.resolvers.outcome_volatilities()] == [Provenance.PROXY]
    desk.resolvers.apply(OutcomeMarkets("hyperliquid", desk.now_ns, ()))
    desk.after(1).update()
    assert desk.resolvers.outcome_volatilities() == ()


def test_an_outcome_is_priced_on_the_mark_it_settles_to() -> None:
    desk = desk_with(ABOVE)
    held = option("BTC", 0.5, K, OptionType.CALL, settle="USDC", venue="hyperliquid")
    desk.track(options=[held])
    assert desk.update().forwards == {("hyperliquid", "BTC", "USDC", held.expiry_ms): F}
    desk.mark(HL.id, 65_100.0, delta=True)
    assert desk.update().forwards == {("hyperliquid", "BTC", "USDC", held.expiry_ms): 65_100.0}
    found = desk.resolvers.forward("hyperliquid", "BTC", "USDC", held.expiry_ms)
    assert (found.provenance, found.source) == (Provenance.LIVE, "mark of hyperliquid:BTC")


def test_a_contract_of_many_coins_settles_by_its_mark_per_coin() -> None:
    desk = Desk()
    desk.list("hyperliquid", perpetual("hyperliquid", "PEPE", "USDC", symbol="kPEPE", multiplier=1000.0))
    held = option("PEPE", 0.5, 5e-6, settle="USDC", venue="hyperliquid")
    desk.track(options=[held])
    desk.mark("hyperliquid:kPEPE", 0.0052)
    assert list(desk.update().forwards.values()) == [pytest.approx(5.2e-6)]


def test_the_recorded_market_gives_a_plausible_volatility(recordings: Path) -> None:
    mids = json.loads((recordings / "hyperliquid_hip4" / "info_all_mids_outcomes_20260807.json").read_text())
    yes, no = float(mids["#10250"]), float(mids["#10251"])
    assert yes + no == pytest.approx(1.0, abs=1e-9)
    for mark in (64_000.0, 64_500.0, 65_000.0):
        found = implied_above(yes, mark, K, HALF_DAY)
        assert found is None or probability_above(mark, K, found, HALF_DAY) == pytest.approx(yes)
