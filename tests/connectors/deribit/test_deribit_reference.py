"""The listing as instruments, and what is wanted of it."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.deribit.reference import Reference, parse_listing
from connectors.deribit.settings import DeribitAccountRef
from connectors.deribit.tickers import expiry_feed
from connectors.deribit.wishes import Wishes
from connectors.model import InstrumentKind, OptionType
from tests.connectors.deribit import deribit_wire as wire
from tests.connectors.deribit.deribit_wire import DEC

BTC_OPTION, BTC_FUTURE, USDC_OPTION = ("BTC", "option"), ("BTC", "future"), ("USDC", "option")


def reference() -> Reference:
    found = Reference()
    rows = {BTC_OPTION: wire.listing()[:24], BTC_FUTURE: wire.listing()[24:26], USDC_OPTION: wire.listing()[26:]}
    found.replace({part: parse_listing(listed) for part, listed in rows.items()})
    return found


def test_a_linear_option_with_a_decimal_strike() -> None:
    row = wire.option("XRP_USDC-25SEP26-1d52-C", 1.52, coin="XRP", settle="USDC", contract_size=1000.0)
    one = parse_listing([row]).instruments["XRP_USDC-25SEP26-1d52-C"]
    assert (one.coin, one.settle, one.strike, one.inverse, one.price_index) == ("XRP", "USDC", 1.52, False, "xrp_usdc")
    assert parse_listing([row]).contract_sizes == {one.symbol: 1000.0}


def test_futures_and_perpetuals() -> None:
    part = parse_listing([wire.future("BTC-PERPETUAL"), wire.future("BTC-25DEC26", expiry_ms=DEC)])
    perpetual, future = part.instruments.values()
    assert (perpetual.kind, perpetual.expiry_ms, perpetual.inverse, perpetual.funding_interval_h) == (
        InstrumentKind.PERPETUAL,
        0,
        True,
        8.0,
    )
    assert (future.kind, future.expiry_ms, future.funding_interval_h, future.max_leverage) == (InstrumentKind.FUTURE, DEC, 0.0, 50.0)
    assert future.option_type is None


def test_nothing_is_read_out_of_a_name() -> None:
    one = parse_listing([wire.option("anything", 5.0, kind="put", coin="ETH")]).instruments["anything"]
    assert (one.coin, one.strike, one.option_type) == ("ETH", 5.0, OptionType.PUT)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("instrument_name", None),
        ("strike", None),
        ("strike", 0.0),
        ("option_type", "straddle"),
        ("expiration_timestamp", "soon"),
        ("expiration_timestamp", -1),
        ("expiration_timestamp", 10**18),
        ("instrument_type", "quanto"),
        ("base_currency", 5),
        ("settlement_currency", None),
        ("price_index", None),
        ("contract_size", "x"),
    ],
)
def test_a_row_without_what_is_needed_is_left_out_and_named(field: str, value: Any) -> None:
    good = wire.option("BTC-25DEC26-80000-C", 80_000.0)
    part = parse_listing([{**good, "instrument_name": "bad", field: value}, good, 5])
    assert [*part.instruments] == ["BTC-25DEC26-80000-C"]
    assert [kind for kind, _ in part.problems] == ["wrong_shape", "wrong_shape"]
    assert field in part.problems[0][1]


def test_combinations_and_spot_are_skipped() -> None:
    part = parse_listing([{"kind": "option_combo", "instrument_name": "x"}, {"kind": "spot", "instrument_name": "BTC_USDC"}])
    assert (part.instruments, part.problems) == ({}, ())


def test_indices_are_instruments_in_their_quote() -> None:
    indices = reference().indices({"BTC", "HYPE"})
    assert {name: (one.id, one.kind, one.coin, one.settle) for name, one in indices.items()} == {
        "btc_usd": ("deribit:btc_usd", InstrumentKind.INDEX, "BTC", "USD"),
        "hype_usdc": ("deribit:hype_usdc", InstrumentKind.INDEX, "HYPE", "USDC"),
    }


def test_an_unchanged_listing_is_no_news_and_parts_can_be_forgotten() -> None:
    found = reference()
    assert not found.replace({BTC_OPTION: parse_listing(wire.listing()[:24])})
    assert found.replace({BTC_OPTION: parse_listing(wire.listing()[1:24])})
    found.keep([BTC_FUTURE])
    assert [*found.by_name] == ["BTC-PERPETUAL", "BTC-25DEC26"]


def test_options_of_an_expiry_that_trade() -> None:
    found = reference()
    key = ("BTC", "BTC", DEC)
    assert len(found.options(key)) == 20
    assert found.set_state("BTC-25DEC26-80000-P", "halted")
    assert not found.set_state("BTC-25DEC26-80000-P", "halted")
    assert not found.set_state("BTC-unheard-of", "open")
    assert len(found.options(key)) == 19
    assert found.is_live("BTC-25DEC26-80000-P")
    assert not found.is_live("BTC-unheard-of")


def test_wishes_name_coins_currencies_and_expiries() -> None:
    found = reference()
    wishes = Wishes(frozenset({"HYPE"}), frozenset({"deribit:BTC-25DEC26-80000-P", "aster:BTCUSDT"}), frozenset({("BTC", "BTC", DEC + 1)}))
    assert wishes.watched_coins(found) == {"HYPE", "BTC"}
    assert wishes.currencies(found) == ("BTC", "USDC")
    assert wishes.all_expiries(found, wire.NOW_MS) == [("BTC", "BTC", DEC), ("BTC", "BTC", DEC + 1)]
    assert wishes.all_expiries(found, DEC) == [("BTC", "BTC", DEC + 1)]
    assert Wishes().currencies(found) == ()
    assert Wishes(instruments=frozenset({"deribit:gone"})).currencies(found) == ("BTC", "ETH", "USDC")
    index = Wishes(instruments=frozenset({"deribit:btc_usd", "aster:HYPE_USDC-25DEC26-40-C"}))
    assert index.unlisted(found) == frozenset()
    assert index.watched_coins(found) == {"BTC"}


def test_an_expirys_feed_is_named_like_its_options() -> None:
    assert expiry_feed(("BTC", "BTC", DEC)) == "ticker.BTC-25DEC26"
    assert expiry_feed(("HYPE", "USDC", DEC + 10 * wire.DAY_MS)) == "ticker.HYPE_USDC-4JAN27"
    assert expiry_feed(("BTC", "BTC", DEC + 60_000)) == "ticker.BTC-25DEC26-0801"


def test_keys_are_not_shown() -> None:
    assert "s3cret" not in repr(DeribitAccountRef("maker", "s3cret-id", "s3cret-secret"))
