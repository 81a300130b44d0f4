"""Every recorded public payload of Deribit is understood, or named here with the reason why it is not for us."""

from __future__ import annotations

from csv import DictReader
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from connectors.deribit.chains import Chain
from connectors.deribit.errors import InvalidParams, RpcError, TooManyRequests, Unauthorized, refusal
from connectors.deribit.messages import parse_summary, parse_ticker, parse_volatility_index
from connectors.deribit.reference import instrument_state, parse_instrument, parse_listing
from connectors.deribit.rpc import OnPush, Reply, Rpc
from connectors.deribit.subscriptions import NOT_ECHOED, Subscriptions
from connectors.events import Event
from connectors.model import InstrumentKind, OptionType
from tests.connectors.deribit import deribit_wire as wire

PRIVATE = ("account_summar", "portfolio", "pme_simulate", "get_positions", "subaccounts", "rpc_auth")
UNUSED = {
    "SOURCES.md": "says where the files come from",
    "black76_golden_cross_venue.json": "prices and greeks for the kernels",
    "rpc_get_expirations_btc_option.json": "expiries come with the listing",
    "rpc_get_historical_volatility_docs.json": "realised volatilities come from closes",
    "rpc_get_mark_price_history_docs.json": "no past marks are needed",
    "rpc_get_volatility_index_data_docs.json": "no past volatility indices are needed",
}


@pytest.fixture(scope="module")
def folder(recordings: Path) -> Path:
    return recordings / "deribit"


def load(folder: Path, name: str) -> Any:
    return orjson.loads((folder / name).read_bytes())


class Line:
    """A connection that hears one recorded frame; an answer is taken as that to the request it makes."""

    def __init__(self, frame: bytes) -> None:
        self.replies: list[Reply] = []
        self.pushes: list[tuple[str, Any]] = []
        self.rpc = opened(self._pushed, orjson.loads(frame).get("id", 1))
        self.rpc.call("public/test", {}, self._replied, 1)
        self.events = self.rpc.receive(frame, 2)

    def _pushed(self, channel: str, data: Any, now_ns: int) -> list[Event]:
        self.pushes.append((channel, data))
        return []

    def _replied(self, reply: Reply, now_ns: int) -> list[Event]:
        self.replies.append(reply)
        return []


def opened(on_push: OnPush, number: int) -> Rpc:
    """A connection whose next request has that number."""
    rpc = Rpc(on_push, heartbeat_s=15, timeout_s=10.0, random=Random(1))
    rpc.opened(1)
    rpc.outgoing()
    rpc._ids = count(number)
    return rpc


def push(folder: Path, name: str) -> tuple[str, Any]:
    line = Line((folder / name).read_bytes())
    assert line.events == []
    return line.pushes[0]


def answer(folder: Path, name: str) -> Reply:
    line = Line((folder / name).read_bytes())
    assert line.events == []
    return line.replies[0]


def test_the_chain_states_decimals(folder: Path) -> None:
    channel, rows = push(folder, "ws_markprice_options_btc_usd.json")
    assert channel == "markprice.options.btc_usd"
    chain = Chain("btc_usd")
    chain.hold(parse_listing([wire.option(row["instrument_name"], 1.0) for row in rows]).instruments.values(), wire.NOW_MS)
    reading = chain.frame(rows, 1, rows[0]["timestamp"])
    assert reading.event is not None
    assert reading.event.volatilities == [0.3706, 0.6527]
    assert reading.problems == {}


def test_a_ticker_states_percent(folder: Path) -> None:
    channel, data = push(folder, "ws_ticker_option_prod_100ms.json")
    frame = parse_ticker(data)
    assert channel == "ticker.BTC-25DEC26-76000-C.100ms"
    assert (frame.name, frame.is_open, frame.forward, frame.index) == ("BTC-25DEC26-76000-C", True, 84_222.23, 83_250.78)
    assert [frame.mark_iv, frame.bid_iv, frame.ask_iv] == pytest.approx([0.3825, 0.356, 0.4038])
    assert frame.time_ms == 1_790_755_217_219


def test_a_ticker_near_expiry(folder: Path) -> None:
    frame = parse_ticker(push(folder, "ws_ticker_option_testnet_near_expiry.json")[1])
    assert (frame.is_open, frame.forward) == (True, 76_904.4)
    assert frame.mark_iv == pytest.approx(0.312)


def test_a_ticker_without_most_fields(folder: Path) -> None:
    frame = parse_ticker(push(folder, "ws_ticker_option_mainnet_deep_itm_sparse.json")[1])
    assert (frame.is_open, frame.forward, frame.bid_iv, frame.time_ms) == (True, 64_701.57, None, 0)
    assert frame.mark_iv == pytest.approx(0.6633)


def test_an_expired_ticker_is_not_open_and_its_sentinels_are_none(folder: Path) -> None:
    frame = parse_ticker(push(folder, "ws_ticker_option_expired_2020.json")[1])
    assert (frame.is_open, frame.bid_iv, frame.ask_iv) == (False, None, None)


def test_the_volatility_index_is_in_percent(folder: Path) -> None:
    channel, data = push(folder, "ws_deribit_volatility_index.json")
    assert channel == "deribit_volatility_index.btc_usd"
    index, volatility, time_ms = parse_volatility_index(data)
    assert (index, time_ms) == ("btc_usd", 1_619_777_946_007)
    assert volatility == pytest.approx(1.2936)


def test_a_listing(folder: Path) -> None:
    part = parse_listing(load(folder, "rpc_get_instruments_option_recorded.json")["result"])
    assert part.problems == ()
    assert len(part.instruments) == 3
    one = part.instruments["BTC-15SEP26-77000-P"]
    assert (one.id, one.kind, one.coin, one.settle) == ("deribit:BTC-15SEP26-77000-P", InstrumentKind.OPTION, "BTC", "BTC")
    assert (one.strike, one.option_type, one.expiry_ms) == (77_000.0, OptionType.PUT, 1_789_459_200_000)
    assert (one.inverse, one.price_index) == (True, "btc_usd")
    assert set(part.states.values()) == {"open"}
    assert part.contract_sizes["BTC-25DEC26-78000-C"] == 1.0


def test_a_single_instrument_without_a_state(folder: Path) -> None:
    row = answer(folder, "rpc_get_instrument_option_edited.json").result
    assert parse_instrument(row).option_type is OptionType.CALL
    assert instrument_state(row) == "open"


def test_a_book_summary_of_before_there_were_volatilities_in_it(folder: Path) -> None:
    summary = parse_summary(answer(folder, "rpc_get_book_summary_by_currency_docs.json").result)
    name = "ETH-22FEB19-140-P"
    assert summary.problems == []
    assert summary.volatilities == {}
    assert summary.forwards == {name: 121.38}
    assert summary.interests == {name: 0.55}
    assert summary.turnovers == {name: pytest.approx(0.55 * 121.38)}


def test_the_quotes_of_a_whole_chain_as_book_summaries(folder: Path) -> None:
    quotes = load(folder, "btc_option_quotes_20260801.json")
    rows = [*quotes["options"], *quotes["futures"]]
    summary = parse_summary(rows)
    assert summary.problems == []
    assert len(summary.turnovers) == len(rows)
    assert summary.turnovers["BTC-PERPETUAL"] == 100_103_950.0


def test_the_instruments_of_a_whole_chain(folder: Path) -> None:
    rows = load(folder, "btc_option_quotes_20260801.json")["instruments"]
    assert len(rows) == 987
    assert {"instrument_name"} <= rows[0].keys()


@pytest.mark.parametrize("name", ["deribit_options_snapshot_20260115T092130Z.csv", "deribit_options_snapshot_20260822T153351Z.csv"])
def test_recorded_chains_are_believed_whole(folder: Path, name: str) -> None:
    with (folder / name).open() as file:
        rows = [row for row in DictReader(file) if row["currency"] == "BTC"]
    chain = Chain("btc_usd")
    chain.hold(parse_listing([wire.option(row["instrument_name"], float(row["strike"])) for row in rows]).instruments.values(), wire.NOW_MS)
    volatilities = {row["instrument_name"]: float(row["implied_volatility"]) for row in rows}
    reading = chain.frame([{"instrument_name": name, "iv": iv} for name, iv in volatilities.items()], 1, wire.NOW_MS)
    assert chain.seeded
    assert reading.problems == {}
    assert chain.reconcile(volatilities, 1) == (None, False)


def test_partial_subscription(folder: Path) -> None:
    told: list[tuple[frozenset[str], dict[str, str]]] = []

    def on_told(granted: frozenset[str], refused: dict[str, str], now_ns: int) -> list[Event]:
        told.append((granted, refused))
        return []

    recorded = (folder / "rpc_subscribe_partial.json").read_bytes()
    rpc = opened(lambda channel, data, now_ns: [], orjson.loads(recorded)["id"])
    subscriptions = Subscriptions(rpc, "public", retry_s=300.0, told=on_told)
    subscriptions.want(["book.BTC-PERPETUAL.none.10.100ms", "bogus.channel"])
    subscriptions.sync(1)
    rpc.receive(recorded, 2)
    assert told == [(frozenset({"book.BTC-PERPETUAL.none.10.100ms"}), {"bogus.channel": NOT_ECHOED})]


@pytest.mark.parametrize(
    ("name", "kind", "param"),
    [
        ("rpc_error_heartbeat_too_small.json", InvalidParams, "interval"),
        ("rpc_error_nautilus.json", TooManyRequests, ""),
        ("rpc_error_unauthorized_13009.json", Unauthorized, ""),
    ],
)
def test_errors(folder: Path, name: str, kind: type[RpcError], param: str) -> None:
    error = answer(folder, name).error
    assert type(error) is kind
    assert error.param == param
    assert type(refusal(load(folder, name)["error"], "public/auth")) is kind


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("rpc_set_heartbeat_docs.json", "ok"),
        ("rpc_test_docs.json", {"version": "1.2.26"}),
        ("rpc_subscribe_response.json", ["trades.BTC-PERPETUAL.100ms", "book.BTC-PERPETUAL.100ms"]),
    ],
)
def test_plain_answers(folder: Path, name: str, result: Any) -> None:
    assert answer(folder, name).result == result


def test_a_test_request_is_answered(folder: Path) -> None:
    line = Line((folder / "ws_heartbeat_test_request.json").read_bytes())
    assert line.events == []
    assert orjson.loads(line.rpc.outgoing()[0])["method"] == "public/test"


def test_every_public_recording_is_read_or_named(folder: Path) -> None:
    text = Path(__file__).read_text()
    for path in sorted(folder.iterdir()):
        if not any(word in path.name for word in PRIVATE):
            assert path.name in text, f"{path.name} is neither read nor named"
    assert all((folder / name).exists() for name in UNUSED)
