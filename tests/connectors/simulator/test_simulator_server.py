from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from connectors.simulator.hyperliquid import Faults, HyperliquidServer, HyperliquidVenue, Market, demo_desk
from connectors.simulator.hyperliquid_desk import ADDRESSES

PATIENCE = 5.0


@pytest.fixture
async def server() -> AsyncIterator[HyperliquidServer]:
    _, venue = demo_desk(60.0, faults=Faults())
    server = HyperliquidServer(venue, autorun=False, idle_timeout=60.0)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def receive(socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE):
        frame: dict[str, Any] = json.loads(await socket.receive_str())
        return frame


async def dropped(socket: aiohttp.ClientWebSocketResponse) -> bool:
    async with asyncio.timeout(PATIENCE):
        while not socket.closed:
            message = await socket.receive()
            if message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSING):
                return True
    return True


async def test_rest_and_socket(server: HyperliquidServer, session: aiohttp.ClientSession) -> None:
    async with session.post(f"{server.rest_url}/info", json={"type": "meta"}) as answer:
        assert answer.status == 200
        assert (await answer.json())["collateralToken"] == 0
    async with session.post(f"{server.rest_url}/info", data=b"nonsense") as answer:
        assert (answer.status, answer.content_type) == (422, "text/plain")
    async with session.ws_connect(server.ws_url) as socket:
        await socket.send_str('{"method":"subscribe","subscription":{"type":"allDexsAssetCtxs"}}')
        assert [(await receive(socket))["channel"] for _ in range(2)] == ["subscriptionResponse", "allDexsAssetCtxs"]
        await server.step(1.0)
        assert (await receive(socket))["channel"] == "allDexsAssetCtxs"
        assert server.connections == server.connects == 1
    for _ in range(1000):
        if not server.connections:
            break
        await asyncio.sleep(0)
    assert server.connections == 0
    assert not server.venue.hub.topics("allDexsAssetCtxs")


async def test_idle_sockets_die_and_pongs_keep_them_alive(server: HyperliquidServer, session: aiohttp.ClientSession) -> None:
    idle, alive = await session.ws_connect(server.ws_url), await session.ws_connect(server.ws_url)
    for _ in range(4):
        await server.step(20.0)
        await alive.send_str('{"method":"ping"}')
        assert await receive(alive) == {"channel": "pong"}
    assert await dropped(idle)
    assert idle.close_code == 1006
    assert not alive.closed


async def test_killed_and_refused(server: HyperliquidServer, session: aiohttp.ClientSession) -> None:
    socket = await session.ws_connect(server.ws_url)
    server.venue.faults.kill_sockets()
    server.venue.faults.refuse_connects(until=10.0)
    await server.step(1.0)
    assert await dropped(socket)
    with pytest.raises(aiohttp.ClientError):
        await session.ws_connect(server.ws_url)
    await server.step(10.0)
    again = await session.ws_connect(server.ws_url)
    await server.step(1.0)
    assert not again.closed


async def test_autorun_moves_the_venue_at_its_speed(session: aiohttp.ClientSession) -> None:
    _, venue = demo_desk(600.0)
    server = HyperliquidServer(venue, tick=0.01, speed=50.0)
    await server.start()
    try:
        async with session.ws_connect(server.ws_url) as socket:
            user = ADDRESSES["boreas"]
            await socket.send_str(json.dumps({"method": "subscribe", "subscription": {"type": "userFills", "user": user}}))
            fills = 0
            while fills < 20:
                frame = await receive(socket)
                fills += len(frame["data"].get("fills", []))
        assert venue.market.time > 0.5
    finally:
        await server.stop()


async def test_only_loopback(server: HyperliquidServer) -> None:
    with pytest.raises(ValueError, match="loopback only"):
        await HyperliquidServer(server.venue).start("0.0.0.0")


def test_two_hundred_full_context_frames_cost_less_than_a_second_of_cpu() -> None:
    market = Market(1, "crash", 60.0, 0, fillers=389)
    venue = HyperliquidVenue(market, [], context_interval=0.005)
    client = venue.connect()
    client.receive('{"method":"subscribe","subscription":{"type":"allDexsAssetCtxs"}}')
    client.drain()
    began, frames = time.process_time(), 0
    for _ in range(200):
        venue.advance(0.005)
        frames += len(client.drain())
    assert frames == 200
    assert time.process_time() - began < 1.0
