"""Every frame and body of the simulated Aster has exactly the keys and JSON types of the recorded (else the documented) one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from connectors.simulator.aster import ALIASES, aster_demo
from tests.connectors.simulator.aster_reader import Signer

NUMBER = re.compile(r"-?\d+(\.\d+)?")
Fixture = Callable[..., list[Any]]


@dataclass
class Shape:
    """What the samples of one kind allow: JSON types, keys (with how often they were seen), and elements."""

    types: set[str] = field(default_factory=set)
    numeric: bool = True
    seen: int = 0
    keys: dict[str, Shape] = field(default_factory=dict)
    items: Shape | None = None

    def learn(self, value: Any) -> Shape:
        self.types.add(type(value).__name__)
        self.seen += 1
        if isinstance(value, str):
            self.numeric = self.numeric and bool(NUMBER.fullmatch(value))
        elif isinstance(value, dict):
            for key, inner in value.items():
                self.keys.setdefault(key, Shape()).learn(inner)
        elif isinstance(value, list):
            self.items = self.items or Shape()
            for inner in value:
                self.items.learn(inner)
        return self

    def faults(self, value: Any, optional: frozenset[str] = frozenset(), where: str = "$") -> list[str]:
        kind = type(value).__name__
        if kind not in self.types:
            return [f"{where}: {kind} where {sorted(self.types)} is recorded"]
        if isinstance(value, str) and self.numeric and not NUMBER.fullmatch(value):
            return [f"{where}: {value!r} is no decimal"]
        found: list[str] = []
        if isinstance(value, dict):
            found += [f"{where}: unknown key {key}" for key in value if key not in self.keys and key not in optional]
            required = [key for key, shape in self.keys.items() if shape.seen == self.seen and key not in optional]
            found += [f"{where}: missing key {key}" for key in required if key not in value]
            for key, inner in value.items():
                if key in self.keys:
                    found += self.keys[key].faults(inner, optional, f"{where}.{key}")
        elif isinstance(value, list) and value:
            if self.items is None or not self.items.types:
                return [f"{where}: elements where none are recorded"]
            for inner in value:
                found += self.items.faults(inner, optional, f"{where}[]")
        return found


def shape_of(*samples: Any) -> Shape:
    shape = Shape()
    for sample in samples:
        shape.learn(sample)
    return shape


def test_the_comparer_sees_what_it_should() -> None:
    shape = shape_of({"a": "1.0", "b": [{"x": 1}]}, {"a": "0", "b": [], "c": True})
    assert shape.faults({"a": "-2.50", "b": [{"x": 3}]}) == []
    assert shape.faults({"a": 1.5, "b": []}) == ["$.a: float where ['str'] is recorded"]
    assert shape.faults({"a": "1e-7", "b": []}) == ["$.a: '1e-7' is no decimal"]
    assert shape.faults({"b": [{"x": True}], "d": 1}) == [
        "$: unknown key d",
        "$: missing key a",
        "$.b[].x: bool where ['int'] is recorded",
    ]


@pytest.fixture(scope="module")
def recorded(recordings: Path) -> Fixture:
    folder = recordings / "aster"
    return lambda *names: [json.loads((folder / f"{name}.json").read_text()) for name in names]


def sort_frames(texts: list[str], found: dict[str, list[Any]]) -> None:
    for frame in map(json.loads, texts):
        head = frame[0] if isinstance(frame, list) else frame
        kind = head.get("e", "reply")
        if "stream" in head:
            kind = "wrapped marks" if isinstance(head["data"], list) else f"wrapped {head['data']['e']}"
        found.setdefault("all marks" if isinstance(frame, list) else kind, []).append(frame)


@pytest.fixture(scope="module")
def frames() -> dict[str, list[Any]]:
    """All frames of a crash and of some changes after it, by kind."""
    venue = aster_demo(30.0, funding_interval_s=3.0)
    venue.announce_every(5.0)
    market = venue.connect_market(["!markPrice@arr@1s", "btcusdt@markPrice@1s", "!forceOrder@arr", "hypeusdt@forceOrder"])
    keys = {alias: venue.keys.create(alias) for alias in ALIASES}
    clients = [market, *(venue.connect_market([name], combined=True) for name in ("!markPrice@arr", keys["umbra"]))]
    clients += [venue.connect_user(key) for key in keys.values()]
    while venue.market.progress < 1.0:
        venue.advance(0.1)
    venue.transfer("umbra", "USDT", -5.0)
    venue.set_leverage("umbra", "BTCUSDT", 25)
    venue.set_multi_assets("umbra", True)
    venue.deleverage("umbra", "BTCUSDT", 1.0)
    venue.trade("umbra", "BTCUSDT", 1.0)
    venue.cancel("umbra", venue.place("umbra", "BTCUSDT", -1.0, 99_000.0))
    for text in (
        '{"method":"SUBSCRIBE","params":["x"],"id":1}',
        '{"method":"LIST_SUBSCRIPTIONS","id":3}',
        '{"method":"SUBSCRIBE","id":-1}',
    ):
        market.receive(text)
    found: dict[str, list[Any]] = {}
    for client in clients:
        sort_frames(client.drain(), found)
    venue.advance(3600.0)
    sort_frames(clients[-1].drain(), found)
    return found


@pytest.mark.parametrize(
    ("kind", "names", "optional"),
    [
        ("markPriceUpdate", ["ws_mark_price_recorded"], ""),
        ("all marks", ["ws_mark_price_arr"], ""),
        ("wrapped marks", ["ws_combined_mark_price"], ""),
        ("forceOrder", ["ws_force_order"], ""),
        ("ACCOUNT_UPDATE", ["ws_account_update_recorded_one_way_close", "ws_account_update_recorded_hedge_close"], ""),
        ("wrapped ACCOUNT_UPDATE", ["ws_combined_user_data"], ""),
        ("ORDER_TRADE_UPDATE", ["ws_order_trade_update"], "N n AP cr"),
        ("MARGIN_CALL", ["ws_margin_call"], "cw"),
        ("ACCOUNT_CONFIG_UPDATE", ["ws_account_config_update_leverage", "ws_account_config_update_multi_assets"], ""),
        ("announcement", ["ws_announcement"], ""),
        ("listenKeyExpired", ["ws_listen_key_expired"], ""),
        ("reply", ["ws_subscribe_ack", "ws_list_subscriptions_ack", "ws_error_invalid_request"], ""),
    ],
)
def test_frames(frames: dict[str, list[Any]], recorded: Fixture, kind: str, names: list[str], optional: str) -> None:
    shape = shape_of(*recorded(*names))
    assert frames[kind]
    assert [fault for frame in frames[kind] for fault in shape.faults(frame, frozenset(optional.split()))][:5] == []


def test_account_updates_send_the_rows_of_their_mode(frames: dict[str, list[Any]]) -> None:
    updates = [frame["a"] for frame in frames["ACCOUNT_UPDATE"]]
    sides = {tuple(row["ps"] for row in update["P"]) for update in updates if update["m"] == "ORDER"}
    assert sides == {("BOTH",), ("BOTH", "LONG", "SHORT")}
    assert {update["m"] for update in updates} >= {"ORDER", "FUNDING_FEE", "INSURANCE_CLEAR", "WITHDRAW", "DEPOSIT"}
    stamps = [frame["T"] for frame in frames["ACCOUNT_UPDATE"]]
    assert len(stamps) == len(set(stamps))


def test_the_marks_move_and_nothing_of_an_account_does(frames: dict[str, list[Any]]) -> None:
    assert len({frame["p"] for frame in frames["markPriceUpdate"]}) > 50
    venue = aster_demo(30.0, fillers=0)
    client = venue.connect_user(venue.keys.create("vela"))
    venue.exchange.account("vela").orders.clear()
    venue._makers._makers.clear()
    for _ in range(50):
        venue.advance(0.1)
    assert client.drain() == []


def answers(recorded: Fixture) -> list[tuple[str, list[Any], str]]:
    """(path under /fapi/v3, samples, optional keys)"""
    truth = recorded("rest_leverage_bracket_recorded_truthusdt_first2")[0]
    for row in truth[0]["brackets"]:
        row |= {key: float(row[key]) if key in ("cum", "maintMarginRatio") else int(row[key]) for key in row}
    return [
        ("time", recorded("rest_server_time"), ""),
        ("ping", [{}], ""),
        ("exchangeInfo", recorded("rest_exchange_info_recorded"), ""),
        ("premiumIndex", recorded("rest_premium_index_all"), ""),
        ("premiumIndex?symbol=BTCUSDT", recorded("rest_premium_index"), ""),
        ("fundingInfo", recorded("rest_funding_info"), ""),
        ("accountWithJoinMargin", recorded("rest_account_v4_recorded_empty_hedge"), ""),
        ("balance", recorded("rest_balance_docs"), ""),
        ("positionRisk", recorded("rest_position_risk_recorded_flat"), ""),
        ("leverageBracket", [truth, *recorded("rest_leverage_bracket")], ""),
        ("leverageBracket?symbol=BTCUSDT", [truth[0], *recorded("rest_leverage_bracket_single")], ""),
        ("multiAssetsMargin", recorded("rest_multi_assets_margin"), ""),
        ("positionSide/dual", recorded("rest_position_side_dual"), ""),
        ("openOrders", recorded("rest_open_orders"), "activatePrice priceRate"),
        ("adlQuantile", recorded("rest_adl_quantile"), ""),
        ("agent", recorded("rest_agents", "rest_agents_read_only_example"), ""),
        ("getSubAccountList", recorded("rest_sub_account_list"), ""),
        ("POST listenKey", recorded("rest_listen_key"), ""),
        ("PUT listenKey", [{}], ""),
    ]


def test_answers(recorded: Fixture) -> None:
    venue = aster_demo(30.0, weight_per_minute=10**6)
    for _ in range(100):
        venue.advance(0.1)
    for alias in ALIASES:
        signer = Signer(venue, alias)
        for path, samples, optional in answers(recorded):
            method, _, rest = path.rpartition(" ")
            name, _, symbol = rest.partition("?symbol=")
            status, body = signer.ask(name, method or "GET", **({"symbol": symbol} if symbol else {}))
            assert status == 200, (path, body)
            assert body or method == "PUT" or name == "ping", path
            assert shape_of(*samples).faults(body, frozenset(optional.split()))[:5] == [], path


def test_v1_paths_answer_the_same() -> None:
    venue = aster_demo(30.0)
    for alias in ALIASES:
        signer = Signer(venue, alias)
        for new, old in (("accountWithJoinMargin", "v4/account"), ("balance", "v2/balance"), ("positionRisk", "v2/positionRisk"),
                         ("leverageBracket", "v1/leverageBracket"), ("multiAssetsMargin", "v1/multiAssetsMargin"),
                         ("positionSide/dual", "v1/positionSide/dual"), ("openOrders", "v1/openOrders")):  # fmt: skip
            assert signer.hmac(old) == (200, signer.get(new))


def test_errors(recorded: Fixture) -> None:
    venue = aster_demo(30.0, weight_per_minute=10)
    signer = Signer(venue, "umbra")
    shape = shape_of(*recorded("rest_error"), *recorded("rest_errors_auth")[0])
    found = [signer.ask("positionRisk", symbol="NOSUCH"), signer.ask("order", "POST"), signer.ask("openOrders")]
    assert [(status, body["code"]) for status, body in found] == [(400, -1121), (404, -5000), (429, -1003)]
    assert [fault for _, body in found for fault in shape.faults(body)] == []
    assert "10 requests per minute" in found[2][1]["msg"]


def test_rows_of_the_account_body_follow_the_mode() -> None:
    venue = aster_demo(30.0)
    one_way, hedged = (Signer(venue, alias).get("accountWithJoinMargin") for alias in ("umbra", "wren"))
    assert {row["positionSide"] for row in one_way["positions"]} == {"BOTH"}
    assert {row["positionSide"] for row in hedged["positions"]} == {"LONG", "SHORT"}
    listed = {row["symbol"] for row in json.loads(venue.request("GET", "/fapi/v1/exchangeInfo")[2])["symbols"]}
    assert {row["symbol"] for row in one_way["positions"]} - listed == {"ALPACAUSDT"}
    wallet = {row["asset"]: row for row in hedged["assets"]}["USDT"]
    isolated = sum(float(row["isolatedWallet"]) for row in hedged["positions"])
    assert float(wallet["walletBalance"]) == pytest.approx(float(wallet["crossWalletBalance"]) + isolated, abs=1e-7)
    assert hedged["totalWalletBalance"] == wallet["walletBalance"]


def test_totals_do_not_contain_usd1_in_single_asset_mode() -> None:
    venue = aster_demo(30.0)
    body = Signer(venue, "wren").get("accountWithJoinMargin")
    rows = {row["asset"]: row for row in body["assets"]}
    pools = venue.figures("wren")
    assert float(rows["USD1"]["maintMargin"]) == pytest.approx(pools["USD1"].maintenance_margin, abs=1e-7)
    total = pools["USDT"].maintenance_margin + pools["iso:HYPEUSDT:LONG"].maintenance_margin
    assert float(body["totalMaintMargin"]) == pytest.approx(total, abs=1e-7)
