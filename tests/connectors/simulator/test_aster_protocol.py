"""Listen keys, streams, limits and faults of the simulated Aster, without a socket."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.simulator.aster import AsterClient, AsterFaults, AsterVenue, aster_demo
from tests.connectors.simulator.aster_reader import Signer


@pytest.fixture
def venue() -> AsterVenue:
    return aster_demo(60.0, scenario="calm", fillers=2)


@pytest.fixture
def signer(venue: AsterVenue) -> Signer:
    return Signer(venue, "vela")


def quiet(venue: AsterVenue) -> AsterVenue:
    """Without makers, so that only what a test does is heard."""
    venue._makers._makers.clear()
    return venue


def events(client: AsterClient) -> list[dict[str, Any]]:
    return [json.loads(text) for text in client.drain()]


def deposits(client: AsterClient) -> list[str]:
    return [event["a"]["B"][0]["bc"] for event in events(client) if event["e"] == "ACCOUNT_UPDATE"]


def test_listen_key_life_cycle(venue: AsterVenue, signer: Signer) -> None:
    quiet(venue)
    assert signer.ask("listenKey", "PUT") == (400, {"code": -1125, "msg": "This listenKey does not exist."})
    key = signer.listen_key()
    client = venue.connect_user(key)
    assert len(key) == 64
    venue.advance(1800.0)
    assert signer.listen_key() == key
    venue.advance(1800.0)
    assert signer.ask("listenKey", "PUT", listenKey=key) == (200, {})
    assert signer.ask("listenKey", "PUT", listenKey="x" * 64)[1]["code"] == -1125
    venue.advance(3599.0)
    events(client)
    venue.advance(1.0)
    assert [event["e"] for event in events(client) if event["e"] != "announcement"][-1] == "listenKeyExpired"
    venue.transfer("vela", "USDT", 5.0)
    assert (client.drain(), client.closed) == ([], False)
    again = venue.connect_user(signer.listen_key())
    venue.transfer("vela", "USDT", 6.0)
    assert deposits(again) == ["6.00000000"]
    assert client.drain() == []


def test_delete_closes_the_key_and_is_counted(venue: AsterVenue, signer: Signer) -> None:
    key = signer.listen_key()
    assert venue.listen_key_deletes == 0
    assert signer.ask("listenKey", "DELETE") == (200, {})
    assert venue.listen_key_deletes == 1
    assert signer.listen_key() != key


def test_read_only_agents_may_be_refused_a_listen_key(venue: AsterVenue) -> None:
    strict = AsterVenue(venue.market, [a.plan for a in venue.exchange.accounts.values()], read_only_listen_keys=False)
    signer = Signer(strict, "vela")
    status, body = signer.ask("listenKey", "POST")
    assert (status, body["code"]) == (401, -2015)
    assert signer.ask("agent")[0] == 200


def test_stream_requests(venue: AsterVenue) -> None:
    client = venue.connect_market(["btcusdt@markPrice@1s"])

    def ask(request: Any) -> Any:
        client.receive(request if isinstance(request, str) else json.dumps(request))
        return events(client)[-1]

    assert ask({"method": "SUBSCRIBE", "params": ["!markPrice@arr@1s"], "id": 1}) == {"result": None, "id": 1}
    assert ask({"method": "LIST_SUBSCRIPTIONS", "id": 3})["result"] == ["btcusdt@markPrice@1s", "!markPrice@arr@1s"]
    assert ask({"method": "UNSUBSCRIBE", "params": ["!markPrice@arr@1s"], "id": 2}) == {"result": None, "id": 2}
    assert ask({"method": "GET_PROPERTY", "params": ["combined"], "id": 2}) == {"result": False, "id": 2}
    assert ask({"method": "SET_PROPERTY", "params": ["combined", True], "id": 5}) == {"result": None, "id": 5}
    venue.advance(1.0)
    assert [event["stream"] for event in events(client)] == ["btcusdt@markPrice@1s"]
    wrong: list[tuple[Any, int]] = [
        ("{", 3),
        ({"method": "SUBSCRIBE", "params": [], "id": "1"}, 2),
        ({"method": "NONSENSE", "id": 1}, 2),
        ({"method": "GET_PROPERTY", "params": ["x"], "id": 1}, 0),
        ({"method": "SET_PROPERTY", "params": ["combined", 1], "id": 1}, 1),
    ]
    for request, code in wrong:
        venue.advance(1.0)
        client.drain()
        assert ask(request)["code"] == code


def test_slow_and_fast_marks_and_chunks(venue: AsterVenue) -> None:
    client = venue.connect_market(["!markPrice@arr", "ethusdt@markPrice"])
    fast = venue.connect_market(["!markPrice@arr@1s"])
    for _ in range(9):
        venue.advance(1.0)
    assert (len(client.drain()), len(fast.drain())) == (6, 9)
    rows = len(venue.listing.symbols)
    chunked = AsterVenue(venue.market, [], fillers=2, mark_chunk=7)
    parts = chunked.connect_market(["!markPrice@arr@1s"])
    chunked.follow()
    assert [len(json.loads(text)) for text in parts.drain()] == [7, 7, rows - 14]


def test_marks_have_whole_seconds_and_frozen_symbols_stand(venue: AsterVenue) -> None:
    client = venue.connect_market(["!markPrice@arr@1s"])
    for _ in range(50):
        venue.advance(0.1)
    frames = [json.loads(text) for text in client.drain()]
    times = [frame[0]["E"] for frame in frames]
    assert all(time % 1000 == 0 for time in times)
    assert times == sorted(set(times))
    prices = {row["s"]: {row["p"]} for row in frames[0]}
    for frame in frames:
        for row in frame:
            prices[row["s"]].add(row["p"])
    assert {symbol for symbol, seen in prices.items() if len(seen) == 1} == {"MATICUSDT", "MEGAUSDT", "ALPACAUSDT"}


def test_eleven_messages_a_second_or_two_hundred_and_one_streams_end_the_connection(venue: AsterVenue) -> None:
    client = venue.connect_market()
    for number in range(10):
        client.receive(f'{{"method":"LIST_SUBSCRIPTIONS","id":{number}}}')
    assert not client.closed
    client.receive('{"method":"LIST_SUBSCRIPTIONS","id":11}')
    assert client.closed
    many = venue.connect_market()
    many.receive(json.dumps({"method": "SUBSCRIBE", "params": [f"s{n}@markPrice" for n in range(201)], "id": 1}))
    assert many.closed


def test_connections_live_a_day(venue: AsterVenue) -> None:
    quiet(venue)
    client = venue.connect_market(["!markPrice@arr@1s"])
    venue.advance(86_399.0)
    assert not client.closed
    venue.advance(1.0)
    assert client.closed
    assert client.drain() == []
    assert client not in venue.hub.clients


def test_weights_are_counted_and_overuse_is_banned(venue: AsterVenue) -> None:
    signer = Signer(venue, "umbra")

    def used() -> int:
        return int(venue.request("GET", "/fapi/v3/ping")[1]["X-MBX-USED-WEIGHT-1M"])

    assert used() == 1
    for path, weight in (("accountWithJoinMargin", 5), ("multiAssetsMargin", 30), ("openOrders", 40), ("leverageBracket", 1)):
        before = used()
        signer.get(path)
        assert used() - before == weight + 1
    before = used()
    signer.get("openOrders", symbol="BTCUSDT")
    assert used() - before == 2
    venue.spend_weight(2400 - used())
    assert [venue.request("GET", "/fapi/v3/ping")[0] for _ in range(6)] == [429] * 5 + [418]
    status, headers, body = venue.request("GET", "/fapi/v3/ping")
    assert (status, "Retry-After" in headers, json.loads(body)["code"]) == (418, False, -1003)
    assert "IP banned until 179" in json.loads(body)["msg"]
    venue.advance(60.0)
    assert venue.request("GET", "/fapi/v3/ping")[0] == 418
    venue.advance(61.0)
    assert used() == 1


def test_retry_after_is_a_flag(venue: AsterVenue) -> None:
    other = AsterVenue(venue.market, [], weight_per_minute=1, retry_after=True)
    assert other.request("GET", "/fapi/v3/ping")[0] == 200
    status, headers, _ = other.request("GET", "/fapi/v3/ping")
    assert (status, headers["Retry-After"]) == (429, "61")


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/fapi/v3/order"), ("DELETE", "/fapi/v3/allOpenOrders"), ("GET", "/fapi/v3/account"), ("POST", "/fapi/v3/leverage")],
)
def test_everything_else_is_forbidden_and_counted(venue: AsterVenue, method: str, path: str) -> None:
    assert venue.forbidden_requests == 0
    assert venue.request(method, path)[0] == 404
    assert venue.forbidden_requests == 1
    assert venue.rest.requests[(method, path)] == 1


def test_flat_rows_may_be_omitted(venue: AsterVenue) -> None:
    plans = [account.plan for account in venue.exchange.accounts.values()]
    sparse = AsterVenue(venue.market, plans, omit_flat_rows=True)
    rows = Signer(sparse, "wren").get("positionRisk")
    assert {(row["symbol"], row["positionSide"]) for row in rows} == {
        ("ETHUSDT", "LONG"), ("ETHUSDT", "SHORT"), ("HYPEUSDT", "LONG"), ("BTCUSD1", "LONG"),
    }  # fmt: skip


@pytest.fixture
def user(venue: AsterVenue, signer: Signer) -> AsterClient:
    return quiet(venue).connect_user(signer.listen_key())


def deposit(venue: AsterVenue, *amounts: int) -> None:
    for amount in amounts:
        venue.transfer("vela", "USDT", float(amount))


def test_user_events_drop_double_and_swap(venue: AsterVenue, user: AsterClient) -> None:
    faults = venue.faults
    faults.spoil_user_events("drop", 2)
    deposit(venue, 1, 2, 3)
    assert deposits(user) == ["3.00000000"]
    faults.spoil_user_events("duplicate", event="ACCOUNT_UPDATE")
    deposit(venue, 4, 5)
    assert deposits(user) == ["4.00000000", "4.00000000", "5.00000000"]
    faults.spoil_user_events("reorder", event="ORDER_TRADE_UPDATE")
    faults.spoil_user_events("reorder", event="ACCOUNT_UPDATE")
    deposit(venue, 6, 7, 8)
    assert deposits(user) == ["7.00000000", "6.00000000", "8.00000000"]


def test_user_events_delayed_and_silenced(venue: AsterVenue, signer: Signer, user: AsterClient) -> None:
    venue.faults.delay_user_events(5.0)
    deposit(venue, 1)
    venue.advance(4.0)
    assert deposits(user) == []
    venue.advance(1.0)
    assert deposits(user) == ["1.00000000"]
    venue.faults.delay_user_events(0.0)
    venue.faults.silence_users()
    later = venue.connect_user(signer.listen_key())
    deposit(venue, 2)
    assert (deposits(user), deposits(later), user.closed) == ([], ["2.00000000"], False)


def test_sockets_are_killed_all_or_users_only(venue: AsterVenue, user: AsterClient) -> None:
    market = venue.connect_market(["!markPrice@arr@1s"])
    venue.faults.kill_user_sockets()
    assert (user.closed, market.closed) == (True, False)
    venue.faults.kill_sockets()
    assert market.closed
    assert not venue.connect_market().closed


@pytest.mark.parametrize("kind", ["garbage", "truncated", "wrong_shape"])
def test_malformed_frames(venue: AsterVenue, user: AsterClient, kind: Any) -> None:
    whole = venue.connect_market(["!markPrice@arr@1s"])
    venue.advance(1.0)
    good = json.loads(whole.drain()[0])[0].keys()
    venue.faults.corrupt(kind, feed="markPriceUpdate")
    venue.faults.corrupt(kind, feed="ACCOUNT_UPDATE")
    venue.advance(1.0)
    deposit(venue, 1)
    for text in (whole.drain()[0], next(text for text in user.drain() if "announcement" not in text)):
        try:
            found = json.loads(text)
        except ValueError:
            assert kind != "wrong_shape"
        else:
            assert kind == "wrong_shape"
            assert not good <= (found[0] if isinstance(found, list) else found).keys()
            assert isinstance(found, list) or not isinstance(found["a"].get("B"), list)


def test_frozen_feeds(venue: AsterVenue, user: AsterClient) -> None:
    venue.faults.freeze("ACCOUNT_UPDATE")
    deposit(venue, 1)
    assert deposits(user) == []
    venue.faults.thaw("ACCOUNT_UPDATE")
    deposit(venue, 2)
    assert deposits(user) == ["2.00000000"]


def test_rest_failures() -> None:
    faults = AsterFaults()
    venue = aster_demo(60.0, faults=faults)
    time = "/fapi/v3/time"

    def ask(path: str = time) -> tuple[int, str, bytes]:
        status, headers, body = venue.request("GET", path)
        return status, headers["Content-Type"], body

    faults.fail_rest(200, until=5.0, request=time, code=-1000)
    status, kind, body = ask()
    assert (status, kind, json.loads(body)["code"]) == (200, "application/json", -1000)
    assert ask("/fapi/v3/ping")[0] == 200
    venue.advance(5.0)
    for wanted, text in ((403, b"<html>"), (503, b"<html>"), (200, b"<html>"), (429, b'"code": -1003'), (418, b"-1003")):
        faults.fail_rest(wanted, until=venue.market.time + 1.0)
        assert ask()[0] == wanted
        assert text in ask()[2]
        venue.advance(1.0)
    assert json.loads(ask()[2])["serverTime"] == venue.market.now_ms
    faults.step_clock(-30_000)
    assert json.loads(ask()[2])["serverTime"] == venue.market.now_ms - 30_000
    faults.stall_rest(venue.market.time + 2.0, request=time)
    assert faults.stalled(time, venue.market.time)
    assert not faults.stalled("/fapi/v3/ping", venue.market.time)
    assert not faults.stalled(time, venue.market.time + 2.0)
