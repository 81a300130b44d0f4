"""Every frame and reply of the simulated Deribit has the keys and JSON types of the recorded (else the documented) one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.simulator.deribit import ALIASES, DeribitVenue, deribit_demo
from tests.connectors.simulator.deribit_reader import Reader, run
from tests.connectors.simulator.test_aster_shapes import Shape, shape_of

Fixture = Callable[..., list[Any]]


def numbers(value: Any) -> Any:
    """The value with every number as a float and tables by index name as lists: Deribit prints 0 for 0.0, and names vary."""
    if isinstance(value, dict):
        return {key: list(map(numbers, inner.values())) if key.endswith("_map") else numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [numbers(inner) for inner in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def faults(shape: Shape, value: Any, optional: str = "") -> list[str]:
    return shape.faults(numbers(value), frozenset(optional.split()))[:5]


@pytest.fixture(scope="module")
def recorded(recordings: Path) -> Fixture:
    folder = recordings / "deribit"
    return lambda *names: [numbers(json.loads((folder / f"{name}.json").read_text())) for name in names]


@pytest.fixture(scope="module")
def venue() -> DeribitVenue:
    return deribit_demo(60.0, scenario="crash")


@pytest.fixture(scope="module")
def frames(venue: DeribitVenue) -> dict[str, list[Any]]:
    """All frames of the first half of a crash, by the head of their channel."""
    option = next(name for name in venue.accounts["noctua"].positions if name.endswith("-P"))
    short = next(name for name, p in venue.accounts["noctua"].positions.items() if p.contract.expiry_ms == 1_790_000_036_000)
    readers = [Reader(venue, alias) for alias in ALIASES]
    readers[0].subscribe(
        *(f"markprice.options.{index}" for index in venue.listing.chains),
        f"ticker.{option}.100ms",
        f"ticker.{short}.agg2",
        "deribit_volatility_index.btc_usd",
        "deribit_price_index.btc_usd",
    )
    for reader in readers:
        reader.subscribe("user.portfolio.any", "user.changes.any.any.100ms", private=True)
        reader.ask("public/set_heartbeat", interval=30)
    run(venue, 39.0)
    for reader in readers:
        reader.drain()
    found: dict[str, list[Any]] = {}
    for frame in (frame for reader in readers for frame in reader.frames):
        found.setdefault(frame["params"]["channel"].split(".")[0], []).append(frame)
    return found


@pytest.mark.parametrize(
    ("kind", "names", "optional"),
    [
        ("markprice", ["ws_markprice_options_btc_usd"], ""),
        ("deribit_volatility_index", ["ws_deribit_volatility_index"], ""),
        (
            "ticker",
            ["ws_ticker_option_prod_100ms", "ws_ticker_option_testnet_near_expiry", "ws_ticker_option_expired_2020"],
            "volume_usd",
        ),
    ],
)
def test_public_frames(recorded: Fixture, frames: dict[str, list[Any]], kind: str, names: list[str], optional: str) -> None:
    shape = shape_of(*recorded(*names))
    assert len(frames[kind]) > 30
    assert [fault for frame in frames[kind] for fault in faults(shape, frame, optional)][:5] == []


def test_portfolios(recorded: Fixture, frames: dict[str, list[Any]]) -> None:
    cross = [*recorded("ws_user_portfolio_any_cross_pm_sequence")[0], *recorded("ws_user_portfolio_any_cross_sm_usdt")]
    own = {cross: [f for f in frames["user"] if f["params"]["data"].get("cross_collateral_enabled") is cross] for cross in (True, False)}
    for shape, found in ((shape_of(*cross), own[True]), (shape_of(*recorded("ws_user_portfolio_btc_docs")), own[False])):
        assert len(found) > 30
        lists = shape_of({"items": [1.0]}).keys["items"]
        data = shape.keys["params"].keys["data"]
        data.keys |= {key: lists for key in data.keys if key.endswith("_map")}
        assert [fault for frame in found for fault in faults(shape, frame, "locked_balance")][:5] == []


def test_replies(recorded: Fixture, venue: DeribitVenue) -> None:
    reader = Reader(venue)
    stamped = "usIn usOut usDiff testnet"
    auth = shape_of(*recorded("rpc_auth_docs"))
    auth.keys["result"].keys["enabled_features"] = shape_of([])
    assert faults(auth, {"jsonrpc": "2.0", "id": 1, "result": reader.login("noctua")}) == []
    for method, name, parameters, optional in (
        ("public/test", "rpc_test_docs", {}, stamped),
        ("public/set_heartbeat", "rpc_set_heartbeat_docs", {"interval": 30}, stamped),
        ("public/subscribe", "rpc_subscribe_partial", {"channels": ["deribit_price_index.btc_usd", "nonsense"]}, ""),
        ("public/get_instruments", "rpc_get_instruments_option_recorded", {"currency": "BTC", "kind": "option"}, "id"),
        ("public/set_heartbeat", "rpc_error_heartbeat_too_small", {"interval": 1}, ""),
        ("public/get_book_summary_by_currency", "rpc_get_book_summary_by_currency_docs", {"currency": "BTC", "kind": "option"},
         f"{stamped} volume_usd mark_iv"),
    ):  # fmt: skip
        reply = reader.reply(method, **parameters)
        assert "result" in reply or "error" in name, (method, reply)
        missing_quotes = [row for row in reply.get("result", []) if isinstance(row, dict) and row.get("bid_price", 0) is None]
        for row in missing_quotes:
            row["bid_price"] = 0.0
        assert faults(shape_of(*recorded(name)), reply, optional) == [], method
    assert faults(shape_of(*recorded("rpc_error_unauthorized_13009")), Reader(venue).reply("private/get_positions")) == []


def test_summaries(recorded: Fixture, venue: DeribitVenue) -> None:
    shape = shape_of(*recorded("rpc_get_account_summaries_extended_cross_pm_recorded"))
    rows = shape.keys["result"].keys["summaries"].items
    assert rows is not None
    rows.keys |= {key: shape_of([1.0]) for key in rows.keys if key.endswith("_map")}
    reply = Reader(venue, "noctua").reply("private/get_account_summaries", extended=True)
    assert faults(shape, reply, "usIn usOut usDiff") == []
    assert [row["currency"] for row in reply["result"]["summaries"] if "total_equity_usd" in row] == ["BTC", "ETH", "USDC", "USDT"]


def test_positions(recorded: Fixture, venue: DeribitVenue) -> None:
    shape = shape_of(*recorded("rpc_get_positions_docs"))
    row = next(r for r in Reader(venue, "noctua").ask("private/get_positions", currency="any") if r["kind"] == "future")
    row["estimated_liquidation_price"] = 0.0
    assert faults(shape, {"jsonrpc": "2.0", "id": 1, "result": [row]}) == []


def test_expired_frames_and_heartbeats_came(frames: dict[str, list[Any]], recorded: Fixture, venue: DeribitVenue) -> None:
    expired = [f for f in frames["ticker"] if f["params"]["data"]["estimated_delivery_price"] == "expired"]
    assert len(expired) == 3
    reader = Reader(venue)
    reader.ask("public/set_heartbeat", interval=10)
    run(venue, 10.0)
    texts = [json.loads(text) for text in reader.client.drain()]
    shape = shape_of(*recorded("ws_heartbeat_test_request"))
    assert [faults(shape, text) for text in texts] == [[], []]
