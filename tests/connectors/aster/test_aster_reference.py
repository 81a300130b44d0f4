"""Symbols, margin tiers, funding intervals and assets joined."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.aster.reference import Reference, build, coin_and_multiplier
from connectors.fields import WrongShape
from connectors.model import InstrumentKind, MarginTier, PriceBasis, Token
from tests.connectors.aster import aster_wire as wire

TIERS = (MarginTier(0.0, 0.004, 0.0), MarginTier(50_000.0, 0.005, 50.0), MarginTier(500_000.0, 0.01, 2_550.0))


def test_instrument_carries_tiers_leverage_and_interval() -> None:
    bitcoin = wire.reference().symbols["BTCUSDT"]
    assert (bitcoin.id, bitcoin.kind, bitcoin.coin, bitcoin.multiplier) == ("aster:BTCUSDT", InstrumentKind.PERPETUAL, "BTC", 1.0)
    assert (bitcoin.settle, bitcoin.section, bitcoin.delisted) == ("USDT", "USDT", False)
    assert (bitcoin.tiers, bitcoin.max_leverage, bitcoin.funding_interval_h) == (TIERS, 125.0, 8.0)


def test_what_the_venue_did_not_say_is_empty() -> None:
    gold = wire.reference().symbols["XAUUSD1"]
    assert (gold.tiers, gold.max_leverage, gold.funding_interval_h, gold.section) == ((), 0.0, 0.0, "USD1")


def test_symbols_are_not_taken_apart() -> None:
    reference = wire.reference()
    assert reference.symbols[wire.CJK].id == f"aster:{wire.CJK}"
    assert reference.symbols["SANDUSDT"].delisted
    assert "aster:GONEUSDT" not in reference.instruments, "brackets of an unknown symbol"
    assert reference.instrument("GONEUSDT") is None
    assert reference.id_of("GONEUSDT") == "aster:GONEUSDT"


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("1000PEPE", ("PEPE", 1000.0)),
        ("1000000MOG", ("MOG", 1_000_000.0)),
        ("10000LADYS", ("LADYS", 10_000.0)),
        ("1INCH", ("1INCH", 1.0)),
        ("100X", ("100X", 1.0)),
        ("1000", ("1000", 1.0)),
        ("2000X", ("2000X", 1.0)),
        ("币安人生", ("币安人生", 1.0)),
    ],
)
def test_multiplier_prefix(base: str, expected: tuple[str, float]) -> None:
    assert coin_and_multiplier(base) == expected


def test_tokens_are_numbered_in_order_and_name_what_prices_them() -> None:
    assert tuple(wire.reference().tokens.values()) == (
        Token("aster", 0, "USDT", "USDT", basis=PriceBasis.PAR),
        Token("aster", 1, "BTC", "BTC", basis=PriceBasis.INDEX, perpetual="aster:BTCUSDT"),
        Token("aster", 2, "BNB", "BNB", basis=PriceBasis.INDEX, perpetual="aster:BNBUSDT"),
        Token("aster", 3, "ASBNB", "BNB", basis=PriceBasis.INDEX, perpetual="aster:BNBUSDT"),
        Token("aster", 4, "USD1", "USD1", basis=PriceBasis.PAR),
    )


@pytest.mark.parametrize(
    "priced",
    [
        [],
        [wire.symbol("PEPEUSDT", "PEPE", status="SETTLING")],
        [wire.symbol("1000PEPEUSDT", "1000PEPE")],
        [wire.symbol("PEPEUSDT", "1000PEPE")],
        [wire.symbol("PEPEUSDT", "PEPE", quote="USD1")],
    ],
    ids=["none", "settling", "thousands", "misnamed", "other_stablecoin"],
)
def test_asset_without_a_trading_perpetual_of_its_own_coin_is_never_priced(priced: list[Any]) -> None:
    reference = build(wire.exchange_info(wire.symbol("BTCUSDT", "BTC"), *priced, assets=("PEPE",)), None, None, wire.config())
    assert reference.tokens["PEPE"].perpetual is None
    assert reference.collateral_perpetuals() == set()


def test_collateral_perpetuals() -> None:
    reference = wire.reference()
    assert reference.collateral_perpetuals() == {"aster:BTCUSDT", "aster:BNBUSDT"}
    assert reference.collateral_perpetuals(["ASBNB", "USDT", "what"]) == {"aster:BNBUSDT"}


def test_event_names_sections_by_the_number_of_their_asset() -> None:
    event = wire.reference().event(7)
    assert (event.venue, event.received_ns, event.sections) == ("aster", 7, {"USDT": 0, "USD1": 4})
    assert len(event.instruments) == 7


def test_settlement_asset_missing_from_the_list_gets_a_number_after_it() -> None:
    info = wire.exchange_info(wire.symbol("BTCU", "BTC", quote="U"), assets=("USDT",))
    reference = build(info, None, None, wire.config())
    assert reference.event(0).sections == {"U": 1}
    assert reference.tokens["U"] == Token("aster", 1, "U", "U", basis=PriceBasis.INDEX)


def build_tiers(*rows: tuple[float, float, float, float, float]) -> Reference:
    return build(wire.exchange_info(), wire.brackets("BTCUSDT", *rows), wire.FUNDING, wire.config())


def test_one_table_alone_and_in_any_order() -> None:
    reference = build_tiers((50, 500_000, 1e6, 0.01, 2_550), (125, 0, 50_000, 0.004, 0), (100, 50_000, 500_000, 0.005, 50))
    assert (reference.symbols["BTCUSDT"].tiers, reference.notes) == (TIERS, ())


def test_deduction_that_makes_the_margin_jump_is_recomputed_and_noted() -> None:
    reference = build_tiers((125, 0, 50_000, 0.004, 0), (100, 50_000, 500_000, 0.005, 500), (50, 500_000, 1e6, 0.01, 2_550))
    assert reference.symbols["BTCUSDT"].tiers == TIERS
    assert reference.notes == ("the margin tiers of BTCUSDT jump at 50000: its deduction there is taken as 50, not 500",)


def test_rounded_deduction_stays_the_venues() -> None:
    reference = build_tiers((125, 0, 50_000, 0.004, 0), (100, 50_000, 500_000, 0.005, 50.004))
    assert (reference.symbols["BTCUSDT"].tiers[1].deduction, reference.notes) == (50.004, ())


@pytest.mark.parametrize(
    "rows",
    [
        [(125, 10, 50_000, 0.004, 0)],
        [(125, 0, 50_000, 0.004, 0), (100, 60_000, 500_000, 0.005, 50)],
        [(125, 0, 50_000, 0.004, 0), (100, 40_000, 500_000, 0.005, 50)],
        [(125, 0, 50_000, 0.0, 0)],
    ],
    ids=["late", "gap", "overlap", "rate"],
)
def test_table_with_a_gap_is_not_used(rows: list[tuple[float, float, float, float, float]]) -> None:
    reference = build_tiers(*rows)
    assert reference.symbols["BTCUSDT"].tiers == ()
    (note,) = reference.notes
    assert note.startswith("the margin tiers of BTCUSDT have a gap or overlap at")


def test_row_not_understood_costs_only_itself() -> None:
    info = wire.exchange_info(wire.symbol("BTCUSDT", "BTC"), wire.symbol("ODDUSDT", "ODD", marginAsset=None), {"symbol": 7})
    tables = [*wire.BRACKETS, {"symbol": "ODDUSDT"}]
    reference = build(info, tables, [*wire.FUNDING, {"symbol": None}], wire.config())
    assert list(reference.symbols) == ["BTCUSDT"]
    assert reference.symbols["BTCUSDT"].tiers == TIERS
    assert [note.partition(":")[0] for note in reference.notes] == [
        "a row of leverageBracket is not understood (leverageBracket.brackets)",
        "a row of fundingInfo is not understood (fundingInfo.symbol)",
        "a row of exchangeInfo.symbols is not understood (exchangeInfo.symbols.marginAsset)",
        "a row of exchangeInfo.symbols is not understood (exchangeInfo.symbols.symbol)",
    ]


@pytest.mark.parametrize("info", [None, {}, {"symbols": [], "assets": []}, {"symbols": [{}], "assets": []}, {"symbols": {}, "assets": []}])
def test_answer_without_a_single_symbol_is_refused(info: object) -> None:
    with pytest.raises(WrongShape):
        build(info, None, None, wire.config())


def test_lower_weight_limit_of_the_venue_is_noted() -> None:
    info = wire.exchange_info()
    assert build(info, None, None, wire.config()).weight_limit == 2400
    info["rateLimits"][0]["limit"] = 1200
    reference = build(info, None, None, wire.config())
    assert (reference.weight_limit, len(reference.notes)) == (1200, 1)
    assert "allows 1200" in reference.notes[0]
    assert build({**info, "rateLimits": None}, None, None, wire.config()).weight_limit == 0
    info["rateLimits"][0]["limit"] = "many"
    with pytest.raises(WrongShape, match="rateLimits"):
        build(info, None, None, wire.config())


def test_empty_reference_knows_nothing() -> None:
    empty = Reference()
    assert (empty.instruments, empty.assets, empty.event(1).instruments) == ({}, (), ())
