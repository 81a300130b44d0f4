"""Sides of outcome markets as digital options."""

from __future__ import annotations

import pytest

from connectors.model import Balance, OptionType, OutcomeMarket
from monitor.live.accounts import merged
from monitor.live.outcomes import NO, YES, OutcomeHolding, digital_legs, holdings

EXPIRY = 1_790_000_000_000
ABOVE = OutcomeMarket(7, "BTC", EXPIRY, 64_000.0, None, "USDC")
BELOW = OutcomeMarket(8, "BTC", EXPIRY, None, 63_000.0, "USDC")
BETWEEN = OutcomeMarket(9, "BTC", EXPIRY, 63_000.0, 65_000.0, "USDC")
PRICES = (62_999.0, 63_000.0, 63_001.0, 64_000.0, 64_500.0, 65_000.0, 65_001.0)


def paid(market: OutcomeMarket, side: int, price: float) -> float:
    total = 0.0
    for leg in digital_legs(OutcomeHolding(market, side, 1.0)):
        above = price > leg.instrument.strike
        total += leg.quantity * float(above if leg.instrument.option_type is OptionType.CALL else not above)
    return total


@pytest.mark.parametrize("price", PRICES)
@pytest.mark.parametrize("market", [ABOVE, BELOW, BETWEEN])
def test_yes_pays_within_its_bounds_and_no_pays_otherwise(market: OutcomeMarket, price: float) -> None:
    inside = (market.lower is None or price > market.lower) and (market.upper is None or price <= market.upper)
    assert paid(market, YES, price) == float(inside)
    assert paid(market, NO, price) == float(not inside)


def test_holdings_are_read_from_the_wallets_rows() -> None:
    rows = {
        "USDC": Balance("USDC", 0, 100.0),
        "+70": Balance("+70", None, 50.0),
        "+91": Balance("+91", None, 20.0),
        "+120": Balance("+120", None, 5.0),
        "+81": Balance("+81", None, 0.0),
        "+7x": Balance("+7x", None, 5.0),
    }
    found = list(holdings(rows, {7: ABOVE, 8: BELOW, 9: BETWEEN}))
    assert found == [OutcomeHolding(ABOVE, YES, 50.0), OutcomeHolding(BETWEEN, NO, 20.0)]


def test_legs_in_one_instrument_are_added_up() -> None:
    bucket = digital_legs(OutcomeHolding(BETWEEN, YES, 30.0))
    names = [leg.instrument.id for leg in bucket]
    assert names == ["hyperliquid:outcome:BTC_USDC-20260921T1413-63000-C", "hyperliquid:outcome:BTC_USDC-20260921T1413-65000-C"]
    above = digital_legs(OutcomeHolding(OutcomeMarket(5, "BTC", EXPIRY, 65_000.0, None, "USDC"), YES, 30.0))
    assert merged([*bucket, *above]) == [{"instrument": names[0], "quantity": 30.0}]
