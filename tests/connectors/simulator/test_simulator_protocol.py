from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from connectors.simulator.hyperliquid import AccountPlan, HyperliquidClient, HyperliquidVenue, Market, PositionPlan

START = 1_790_000_000_000
USERS = [f"0x{n:040x}" for n in range(0xA0, 0xC0)]
MIXED = "0x" + "aB" * 20


def venue(**options: Any) -> HyperliquidVenue:
    plans = [
        AccountPlan(MIXED, "mixed", cash={"": 1000.0}, positions=[PositionPlan("BTC", 0.01, 10)]),
        AccountPlan(USERS[0], "agent", role="agent", master=MIXED),
        AccountPlan(USERS[1], "sub", role="subAccount", master=MIXED, cash={"": 10.0}),
    ]
    return HyperliquidVenue(Market(1, "calm", 60.0, START), plans, **options)


def subscribe(client: HyperliquidClient, **subscription: Any) -> None:
    client.receive(json.dumps({"method": "subscribe", "subscription": subscription}))


def drained(client: HyperliquidClient) -> list[dict[str, Any]]:
    return [json.loads(text) for text in client.drain()]


def ask(held: HyperliquidVenue, **query: Any) -> Any:
    return json.loads(held.info(json.dumps(query).encode())[2])


@pytest.mark.parametrize(
    ("request_", "echo"),
    [
        ({"type": "userFills", "user": MIXED}, {"type": "userFills", "user": MIXED.lower(), "aggregateByTime": False}),
        ({"type": "spotState", "user": MIXED}, {"type": "spotState", "user": MIXED.lower(), "ignorePortfolioMargin": False}),
        ({"type": "openOrders", "user": MIXED, "dex": "xyz"}, {"type": "openOrders", "user": MIXED.lower(), "dex": "xyz"}),
        ({"type": "clearinghouseState", "user": MIXED}, {"type": "clearinghouseState", "user": MIXED.lower(), "dex": ""}),
        ({"type": "allDexsAssetCtxs"}, {"type": "allDexsAssetCtxs"}),
        ({"type": "activeAssetCtx", "coin": "@107"}, {"type": "activeAssetCtx", "coin": "@107"}),
    ],
)
def test_subscription_is_echoed_in_canonical_form_then_answered(request_: dict[str, Any], echo: dict[str, Any]) -> None:
    client = venue().connect()
    subscribe(client, **request_)
    ack, data = drained(client)
    assert ack == {"channel": "subscriptionResponse", "data": {"method": "subscribe", "subscription": echo}}
    assert data["channel"] == ("activeSpotAssetCtx" if request_.get("coin") == "@107" else request_["type"])


def test_log_feeds_start_with_a_snapshot_and_go_on_without_the_mark() -> None:
    held = venue(funding_interval_s=5.0)
    held.trade(MIXED, "BTC", 0.01)
    held.transfer(MIXED, "deposit", 5.0)
    client = held.connect()
    for feed in ("userFills", "userFundings", "userNonFundingLedgerUpdates"):
        subscribe(client, type=feed, user=MIXED)
    snapshots = {f["channel"]: f["data"] for f in drained(client) if f["channel"] != "subscriptionResponse"}
    assert all(data["isSnapshot"] is True for data in snapshots.values())
    assert [len(snapshots[c][k]) for c, k in (("userFills", "fills"), ("userNonFundingLedgerUpdates", "nonFundingLedgerUpdates"))] == [1, 1]
    held.trade(MIXED, "BTC", -0.01)
    held.advance(6.0)
    held.transfer(MIXED, "withdraw", 1.0)
    later = [f for f in drained(client) if f["channel"] in snapshots]
    assert {f["channel"] for f in later} == set(snapshots)
    assert all("isSnapshot" not in f["data"] for f in later)


def test_event_feeds_send_no_snapshot() -> None:
    held = venue()
    held.trade(MIXED, "BTC", 0.01)
    client = held.connect()
    subscribe(client, type="userEvents", user=MIXED)
    subscribe(client, type="orderUpdates", user=MIXED)
    assert {f["channel"] for f in drained(client)} == {"subscriptionResponse"}
    held.trade(MIXED, "BTC", 0.01)
    (event,) = drained(client)
    assert event["channel"] == "user"
    assert "user" not in event["data"]
    assert event["data"]["fills"][0]["sz"] == "0.01"


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("no json", "Error parsing JSON into valid websocket request: no json"),
        ('{"method":"subscribe","subscription":{"type":"bogus"}}', "Error parsing JSON into valid websocket request: {"),
        ('{"method":"subscribe","subscription":{"type":"userFills","user":"0x12"}}', "Error parsing JSON into valid"),
        ('{"method":"subscribe","subscription":{"type":"webData2","user":"' + MIXED + '"}}', "Error parsing JSON into valid"),
        ('{"method":"dance"}', "Error parsing JSON into valid"),
        ('{"method":"subscribe","subscription":{"type":"activeAssetCtx","coin":"NOPE"}}', 'Invalid subscription {"type":"activeAssetCtx"'),
        ('{"method":"subscribe","subscription":{"type":"openOrders","user":"' + MIXED + '","dex":"zz"}}', "Invalid subscription {"),
        ('{"method":"unsubscribe","subscription":{"type":"fastAssetCtxs"}}', 'Already unsubscribed: {"type":"fastAssetCtxs"}'),
    ],
)
def test_error_frames(text: str, prefix: str) -> None:
    client = venue().connect()
    client.receive(text)
    (frame,) = drained(client)
    assert frame["channel"] == "error"
    assert frame["data"].startswith(prefix)


def test_duplicates_unsubscription_and_ping() -> None:
    held = venue()
    client = held.connect()
    for _ in range(2):
        subscribe(client, type="allMids")
    client.receive('{"method":"ping"}')
    assert [f["channel"] for f in drained(client)] == ["subscriptionResponse", "allMids", "error", "pong"]
    client.receive('{"method":"unsubscribe","subscription":{"type":"allMids"}}')
    held.advance(5.0)
    assert [f["channel"] for f in drained(client)] == ["subscriptionResponse"]


def test_users_are_capped_over_all_connections_and_freed_at_once() -> None:
    held = venue(max_users=3)
    one, two = held.connect(), held.connect()
    for user in USERS[:2]:
        subscribe(one, type="spotState", user=user)
    for user in USERS[1:4]:
        subscribe(two, type="webData3", user=user)
    errors = [f["data"] for f in drained(two) if f["channel"] == "error"]
    assert errors == ["Cannot track more than 3 total users."]
    assert held.hub.users == set(USERS[:3])
    one.close()
    subscribe(two, type="spotState", user=USERS[3])
    assert held.hub.users == set(USERS[1:4])
    held.advance(10.0)
    assert one.drain() == []


def test_frames_come_on_their_intervals_in_order_of_time() -> None:
    held = venue(account_frame_interval=5.0, context_interval=1.0)
    client = held.connect()
    subscribe(client, type="allDexsAssetCtxs")
    subscribe(client, type="allDexsClearinghouseState", user=MIXED)
    drained(client)
    for _ in range(300):
        held.advance(0.1)
    frames = drained(client)
    assert sum(f["channel"] == "allDexsAssetCtxs" for f in frames) in (30, 31)
    stamps = [f["data"]["clearinghouseStates"][0][1]["time"] for f in frames if f["channel"] == "allDexsClearinghouseState"]
    assert len(stamps) in (6, 7)
    assert all(abs(b - a - 5000) <= 100 for a, b in pairwise(stamps))


def test_same_seed_same_frames() -> None:
    def run(seed: int) -> list[str]:
        held = venue(seed=seed)
        client = held.connect()
        subscribe(client, type="allDexsAssetCtxs")
        subscribe(client, type="userFills", user=MIXED)
        for _ in range(20):
            held.advance(0.5)
        held.trade(MIXED, "BTC", 0.1)
        return client.drain()

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_mode_change_is_told_by_web_data_and_visible_in_rest() -> None:
    held = venue()
    client = held.connect()
    subscribe(client, type="webData3", user=MIXED)
    assert "abstraction" not in drained(client)[1]["data"]["userState"]
    before = held.figures(MIXED)["main"]
    held.set_mode(MIXED, "unified")
    (told,) = drained(client)
    assert told["data"]["userState"]["abstraction"] == "unifiedAccount"
    assert ask(held, type="userAbstraction", user=MIXED) == "unifiedAccount"
    assert "tokenToAvailableAfterMaintenance" in ask(held, type="spotClearinghouseState", user=MIXED)
    assert held.figures(MIXED)["USDC"].equity == pytest.approx(before.equity)
    held.set_mode(MIXED, "standard")
    assert held.figures(MIXED)["main"] == before
    with pytest.raises(ValueError, match="'mixed' has positions: portfolio margin can only be changed when flat"):
        held.set_mode(MIXED, "portfolioMargin")


def test_orders_reserve_margin_their_way_in_each_mode() -> None:
    held = venue()
    account = held.exchange.account(MIXED)
    held.exchange.place(account, "BTC", buy=True, price=80_000.0, size=0.01)
    free = ask(held, type="clearinghouseState", user=MIXED)
    cross = {key: float(value) for key, value in free["crossMarginSummary"].items()}
    margin = max(cross["totalMarginUsed"], 0.1 * cross["totalNtlPos"])
    assert float(free["withdrawable"]) == pytest.approx(cross["accountValue"] - margin - 80.0)
    held.set_mode(MIXED, "unified")
    (row,) = ask(held, type="spotClearinghouseState", user=MIXED)["balances"]
    assert float(row["hold"]) == pytest.approx(cross["totalMarginUsed"] + 1.01 * 80.0)


def test_roles_and_strangers() -> None:
    held = venue()
    assert ask(held, type="userRole", user=MIXED) == {"role": "user"}
    assert ask(held, type="userRole", user=USERS[0].upper().replace("X", "x")) == {"role": "agent", "data": {"user": MIXED.lower()}}
    assert ask(held, type="userRole", user=USERS[1]) == {"role": "subAccount", "data": {"master": MIXED.lower()}}
    assert ask(held, type="userRole", user=USERS[5]) == {"role": "missing"}
    assert ask(held, type="clearinghouseState", user=USERS[5])["assetPositions"] == []
    assert held.figures(USERS[5]) == {}


def test_new_listing_lengthens_metas_and_contexts_together() -> None:
    held = venue()
    held.market.list_asset("xyz", "xyz:NEW", 12.0)
    held.advance(1.0)
    meta, contexts = ask(held, type="metaAndAssetCtxs", dex="xyz")
    assert meta["universe"][-1]["name"] == "xyz:NEW"
    assert len(contexts) == len(meta["universe"])


@pytest.mark.parametrize(
    "body", [b"", b"no json", b'{"type":"bogus"}', b"[]", b'{"type":"clearinghouseState"}', b'{"type":"meta","dex":"zz"}']
)
def test_malformed_rest_requests_get_422_in_plain_text(body: bytes) -> None:
    status, headers, text = venue().info(body)
    assert status == 422
    assert headers["Content-Type"].startswith("text/plain")
    assert text == b"Failed to deserialize the JSON body into the target type"


def test_weights_run_out_and_come_back_after_a_minute() -> None:
    held = venue(weight_per_minute=100)
    role = json.dumps({"type": "userRole", "user": MIXED}).encode()
    assert [held.info(role)[0], held.info(role)[0]] == [200, 429]
    assert held.info(role)[2] == b"null"
    assert [held.info(b'{"type":"allMids"}')[0] for _ in range(21)] == [200] * 20 + [429]
    client = held.connect()
    client.receive('{"method":"post","id":4,"request":{"type":"info","payload":{"type":"allMids"}}}')
    (answer,) = drained(client)
    assert answer["data"] == {"id": 4, "response": {"type": "error", "payload": "429 Too Many Requests"}}
    held.advance(60.1)
    assert held.info(role)[0] == 200


def test_ranged_answers_respect_their_bounds() -> None:
    held = venue(funding_interval_s=1.0)
    for _ in range(6):
        held.advance(1.0)
    rows = ask(held, type="userFunding", user=MIXED, startTime=0)
    assert len(rows) == 6
    some = ask(held, type="userFunding", user=MIXED, startTime=rows[2]["time"], endTime=rows[4]["time"])
    assert some == rows[2:5]


def test_a_client_that_never_reads_is_dropped() -> None:
    held = venue()
    client = held.connect()
    subscribe(client, type="allMids")
    for _ in range(50_001):
        client.receive('{"method":"ping"}')
    assert client.closed
    assert not held.hub.topics("allMids")
