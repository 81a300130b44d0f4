"""Mark price frames: only what is wanted is converted, row by row, and what makes no sense is said."""

from __future__ import annotations

import time
from math import isnan
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.aster.market import LATEST_OVERTAKEN_MS, MOST_PROBLEMS, MarketReading, MarkFrames, SharedMarket
from connectors.aster.reference import build
from connectors.aster.settings import AsterConfig
from connectors.events import MarkPrices

NOW = 1_790_000_000_000
CONFIG = AsterConfig.mainnet(collateral={"asBNB": "BNB"})


def listed(base: str, quote: str = "USDT") -> dict[str, Any]:
    return {"symbol": base + quote, "contractType": "PERPETUAL", "status": "TRADING", "baseAsset": base, "marginAsset": quote}


INFO = {
    "assets": [{"asset": "USDT"}, {"asset": "asBNB"}, {"asset": "BTC"}],
    "symbols": [*map(listed, ("BTC", "ETH", "BNB", "1000PEPE")), listed("XAU", "USD1")],
}


def row(symbol: str, mark: str = "100.5", at_ms: int = NOW, **more: Any) -> dict[str, Any]:
    return {
        "e": "markPriceUpdate",
        "E": at_ms,
        "s": symbol,
        "p": mark,
        "P": "1",
        "i": "100.25",
        "r": "0.00010000",
        "T": NOW + 3600_000,
        **more,
    }


def frames(*wanted: str) -> MarkFrames:
    shared = SharedMarket()
    shared.replace(build(INFO, None, None, CONFIG))
    shared.want(wanted)
    return MarkFrames(shared)


def marks(reading: MarketReading) -> MarkPrices:
    assert reading.marks is not None
    return reading.marks


def test_wanted_rows_and_the_perpetuals_behind_collateral_are_converted() -> None:
    told = marks(frames("aster:XAUUSD1").read([row("BTCUSDT"), row("ETHUSDT"), row("XAUUSD1", "4000"), row("BNBUSDT", "900")], 7))
    assert told == MarkPrices(
        "aster",
        "markPrice",
        7,
        ["aster:BTCUSDT", "aster:XAUUSD1", "aster:BNBUSDT"],
        [100.5, 4000.0, 900.0],
        [100.25] * 3,
        [0.0001] * 3,
        time_ms=NOW,
        funding_times=[NOW + 3600_000] * 3,
    )
    assert not told.delta


def test_a_frame_without_anything_wanted_is_a_sign_of_life_and_no_event() -> None:
    reading = frames().read([row("ETHUSDT"), row("UNHEARDOFUSDT")], 7)
    assert (reading.marks, reading.sound, reading.problems) == (None, True, [])


def test_a_symbol_that_is_not_listed_any_more_is_converted_for_who_holds_it() -> None:
    held = frames("aster:GONEUSDT", "other:ETHUSDT")
    assert marks(held.read([row("GONEUSDT"), row("ETHUSDT")], 7)).instruments == ["aster:GONEUSDT"]


def test_wishes_and_reference_data_take_effect_with_the_next_frame() -> None:
    shared = SharedMarket()
    reader = MarkFrames(shared)
    shared.want(["aster:ETHUSDT"])
    assert marks(reader.read([row("ETHUSDT"), row("BTCUSDT")], 7)).instruments == ["aster:ETHUSDT"]
    shared.replace(build(INFO, None, None, CONFIG))
    assert len(marks(reader.read([row("ETHUSDT"), row("BTCUSDT")], 8)).instruments) == 2
    shared.want([])
    assert marks(reader.read([row("ETHUSDT"), row("BTCUSDT")], 9)).instruments == ["aster:BTCUSDT"]


def test_an_overtaken_row_is_left_out_but_a_clock_set_back_is_followed() -> None:
    reader = frames("aster:ETHUSDT")
    reader.read([row("ETHUSDT", "2", NOW)], 7)
    assert reader.read([row("ETHUSDT", "1", NOW - 1000)], 8).marks is None
    assert marks(reader.read([row("ETHUSDT", "3", NOW)], 9)).marks == [3.0]
    assert marks(reader.read([row("ETHUSDT", "4", NOW - LATEST_OVERTAKEN_MS)], 10)).marks == [4.0]
    reader.opened()
    assert marks(reader.read([row("ETHUSDT", "5", NOW - LATEST_OVERTAKEN_MS - 1)], 11)).marks == [5.0]


@pytest.mark.parametrize(
    "change",
    [
        {"p": "0"},
        {"p": "-1"},
        {"p": "x"},
        {"p": None},
        {"p": "inf"},
        {"E": "soon"},
        {"E": None},
        {"r": "x"},
        {"i": []},
        {"T": "x"},
        {"p": True},
    ],
)
def test_a_wanted_row_that_makes_no_sense_is_said_and_hides_no_other(change: dict[str, Any]) -> None:
    reader = frames("aster:ETHUSDT")
    reading = reader.read([{**row("ETHUSDT"), **change}, row("BTCUSDT")], 7)
    assert marks(reading).instruments == ["aster:BTCUSDT"]
    ((kind, detail),) = reading.problems
    assert kind == "wrong_shape"
    assert detail.startswith("ETHUSDT: markPriceUpdate.")


@pytest.mark.parametrize("change", [{"i": ""}, {"i": None}, {"i": "0.00000000"}])
def test_a_contract_without_an_index_or_funding_has_a_mark(change: dict[str, Any]) -> None:
    told = marks(frames("aster:ETHUSDT").read([{**row("ETHUSDT"), "r": "", "T": 0, **change}], 7))
    assert told.marks == [100.5]
    assert isnan(told.indices[0])
    assert isnan(told.funding[0])
    assert told.funding_times == [0]


def test_numbers_that_are_not_strings_are_read_all_the_same() -> None:
    told = marks(frames("aster:ETHUSDT").read([row("ETHUSDT", p=1.5, i=2, r=0.0)], 7))
    assert (told.marks, told.indices, told.funding) == ([1.5], [2.0], [0.0])


@pytest.mark.parametrize("rows", [[1], [None], ["x"], [[]], [{}], [{"s": []}], [{"s": {}}]])
def test_rows_that_are_none_are_no_sign_of_life(rows: list[Any]) -> None:
    reading = frames("aster:ETHUSDT").read(rows * 100, 7)
    assert reading.marks is None
    assert not reading.sound
    assert len(reading.problems) == MOST_PROBLEMS


def test_an_instrument_that_is_not_listed_makes_the_reference_data_stale() -> None:
    shared = SharedMarket()
    shared.check(["aster:ETHUSDT"])
    assert shared.stale is None, "nothing is loaded yet"
    shared.replace(build(INFO, None, None, CONFIG))
    shared.check(["aster:ETHUSDT"])
    assert shared.stale is None
    shared.check(["aster:NEWUSDT"])
    assert shared.stale == "aster:NEWUSDT is not in the reference data"
    shared.replace(build(INFO, None, None, CONFIG))
    assert shared.stale is None


def test_recorded_frames(recordings: Path) -> None:
    recorded = orjson.loads((recordings / "aster" / "ws_mark_price_recorded.json").read_bytes())
    told = marks(frames().read([recorded], 7))
    assert (told.instruments, told.marks, told.indices) == (["aster:BTCUSDT"], [116809.6], [116836.93534884])
    assert told.funding_times == [1754668800000]
    documented = orjson.loads((recordings / "aster" / "ws_mark_price_arr.json").read_bytes())
    assert marks(frames().read(documented, 7)).marks == [11185.87786614]


def test_a_whole_market_costs_little_beside_its_json() -> None:
    reader = frames(*(f"aster:S{number}USDT" for number in range(40)))
    rows = [row(f"S{number}USDT") for number in range(700)]
    best = min(_seconds(reader, rows) for _ in range(5))
    assert best < 0.005, f"700 rows took {best * 1e3:.1f} ms"


def _seconds(reader: MarkFrames, rows: list[Any]) -> float:
    began = time.perf_counter()
    assert len(marks(reader.read(rows, 7)).instruments) == 40
    return time.perf_counter() - began
