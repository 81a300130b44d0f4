from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.simulator.hyperliquid import Faults, HyperliquidClient, HyperliquidVenue, demo_desk
from connectors.simulator.hyperliquid_desk import ADDRESSES

USER = ADDRESSES["atlas"]


@pytest.fixture
def venue() -> HyperliquidVenue:
    _, venue = demo_desk(60.0, faults=Faults(), scenario="calm")
    return venue


@pytest.fixture
def client(venue: HyperliquidVenue) -> HyperliquidClient:
    client = venue.connect()
    for subscription in ({"type": "allDexsAssetCtxs"}, {"type": "allDexsClearinghouseState", "user": USER}):
        client.receive(json.dumps({"method": "subscribe", "subscription": subscription}))
    client.drain()
    return client


def run(venue: HyperliquidVenue, seconds: float = 6.0) -> None:
    for _ in range(round(seconds / 0.1)):
        venue.advance(0.1)


def channels(texts: list[str]) -> list[str]:
    return [json.loads(text)["channel"] for text in texts]


def test_frozen_feed_is_silent_while_the_rest_goes_on(venue: HyperliquidVenue, client: HyperliquidClient) -> None:
    venue.faults.freeze("allDexsClearinghouseState")
    run(venue)
    client.receive('{"method":"ping"}')
    assert set(channels(client.drain())) == {"allDexsAssetCtxs", "pong"}
    venue.faults.thaw("allDexsClearinghouseState")
    run(venue)
    assert channels(client.drain()).count("allDexsClearinghouseState") == 1


def test_stopped_pongs(venue: HyperliquidVenue, client: HyperliquidClient) -> None:
    venue.faults.stop_pongs()
    client.receive('{"method":"ping"}')
    assert client.drain() == []
    venue.faults.resume_pongs()
    client.receive('{"method":"ping"}')
    assert client.drain() == ['{"channel":"pong"}']


def test_stale_frame_is_replayed_once(venue: HyperliquidVenue, client: HyperliquidClient) -> None:
    run(venue, 11.0)
    states = [text for text in client.drain() if "ClearinghouseState" in text]
    venue.faults.replay_stale("allDexsClearinghouseState")
    old, now = client.drain(), client.drain()
    assert now == []
    assert len(states) >= 2
    (frame,) = [json.loads(text) for text in old]
    assert frame["data"]["clearinghouseStates"][0][1]["time"] < json.loads(states[0])["data"]["clearinghouseStates"][0][1]["time"]


def test_corruptions_spoil_so_many_frames_of_their_feed(venue: HyperliquidVenue, client: HyperliquidClient) -> None:
    venue.faults.corrupt("garbage", feed="pong", count=2)
    venue.faults.corrupt("wrong_shape", feed="allDexsAssetCtxs")
    for _ in range(3):
        client.receive('{"method":"ping"}')
    run(venue, 2.0)
    texts = client.drain()
    for text in texts[:2]:
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)
    assert texts[2] == '{"channel":"pong"}'
    contexts = [json.loads(text) for text in texts if "allDexsAssetCtxs" in text]
    assert ["ctxs" in frame["data"] for frame in contexts] == [False] + [True] * (len(contexts) - 1)
    assert len(contexts) >= 2


def test_truncated_frame_is_no_json(venue: HyperliquidVenue, client: HyperliquidClient) -> None:
    venue.faults.corrupt("truncated")
    run(venue, 1.0)
    first = client.drain()[0]
    assert first.startswith('{"channel":"allDexsAssetCtxs"')
    with pytest.raises(json.JSONDecodeError):
        json.loads(first)


def test_delayed_frames_arrive_late_and_in_order(venue: HyperliquidVenue, client: HyperliquidClient) -> None:
    venue.faults.delay_frames(3.0)
    run(venue, 2.5)
    assert client.drain() == []
    run(venue, 1.0)
    assert channels(client.drain()) == ["allDexsAssetCtxs", "allDexsClearinghouseState"]
    venue.faults.delay_frames(0.0)
    assert len(client.drain()) >= 1


def ask(venue: HyperliquidVenue, **query: Any) -> tuple[int, dict[str, str], bytes]:
    return venue.info(json.dumps(query).encode())


def test_rest_failures_end_with_their_time(venue: HyperliquidVenue) -> None:
    venue.faults.fail_rest(502, until=1.0)
    venue.faults.fail_rest(429, until=2.0, request="spotMeta")
    status, headers, body = ask(venue, type="allMids")
    assert (status, headers["Content-Type"]) == (502, "text/html")
    assert body.startswith(b"<html>")
    run(venue, 1.2)
    assert ask(venue, type="allMids")[0] == 200
    assert (ask(venue, type="spotMeta")[0], ask(venue, type="spotMeta")[2]) == (429, b"null")
    run(venue, 1.0)
    assert ask(venue, type="spotMeta")[0] == 200


def test_clock_step_moves_the_published_clock_only(venue: HyperliquidVenue) -> None:
    run(venue, 1.0)
    venue.faults.step_clock(-90_000)
    assert json.loads(ask(venue, type="exchangeStatus")[2])["time"] == venue.market.now_ms - 90_000
    assert json.loads(ask(venue, type="clearinghouseState", user=USER)[2])["time"] == venue.market.now_ms


@pytest.mark.parametrize("change", [-2, 3])
def test_changed_universe_disagrees_with_the_contexts(venue: HyperliquidVenue, change: int) -> None:
    venue.faults.change_universe("xyz", change)
    metas = json.loads(ask(venue, type="allPerpMetas")[2])
    meta, contexts = json.loads(ask(venue, type="metaAndAssetCtxs", dex="xyz")[2])
    assert len(metas[1]["universe"]) == len(meta["universe"]) == len(contexts) + change
    venue.faults.change_universe("xyz", 0)
    assert len(json.loads(ask(venue, type="allPerpMetas")[2])[1]["universe"]) == len(contexts)
