"""The simulated Deribit over loopback: requests, frames, sessions that end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from connectors.simulator.deribit import DeribitServer, credentials, deribit_demo

PATIENCE = 5.0


@pytest.fixture
async def server() -> AsyncIterator[DeribitServer]:
    server = DeribitServer(deribit_demo(60.0, scenario="calm"))
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def receive(socket: aiohttp.ClientWebSocketResponse) -> Any:
    async with asyncio.timeout(PATIENCE):
        return json.loads(await socket.receive_str())


async def dropped(socket: aiohttp.ClientWebSocketResponse) -> bool:
    async with asyncio.timeout(PATIENCE):
        while not socket.closed:
            await socket.receive()
    return True


async def ask(socket: aiohttp.ClientWebSocketResponse, method: str, **parameters: Any) -> Any:
    await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters})
    return await receive(socket)


async def test_a_session_from_login_to_frames(server: DeribitServer, session: aiohttp.ClientSession) -> None:
    own = credentials("noctua")
    async with session.ws_connect(server.ws_url) as socket:
        login = {"grant_type": "client_credentials", "client_id": own.client_id, "client_secret": own.client_secret}
        assert (await ask(socket, "public/auth", **login))["result"]["token_type"] == "bearer"
        await ask(socket, "private/subscribe", channels=["user.portfolio.any", "markprice.options.btc_usd"])
        await server.step(1.0)
        channels = [(await receive(socket))["params"]["channel"] for _ in range(2)]
        assert channels == ["markprice.options.btc_usd", "user.portfolio.any"]
        assert server.connections == server.connects == 1
        server.venue.market.advance(1.0)
        await server.step(1.0, advance=False)
        assert server.venue.market.time == 2.0


async def test_too_many_requests_are_told_before_the_end(server: DeribitServer, session: aiohttp.ClientSession) -> None:
    async with session.ws_connect(server.ws_url) as socket:
        server.venue.faults.too_many_requests()
        assert (await ask(socket, "public/test"))["error"]["code"] == 10028
        assert await dropped(socket)


async def test_unanswered_killed_and_refused(server: DeribitServer, session: aiohttp.ClientSession) -> None:
    silent = await session.ws_connect(server.ws_url)
    await ask(silent, "public/set_heartbeat", interval=10)
    await server.step(10.0)
    await server.step(10.0)
    assert [(await receive(silent))["params"]["type"] for _ in range(2)] == ["heartbeat", "test_request"]
    assert await dropped(silent)
    killed = await session.ws_connect(server.ws_url)
    server.venue.faults.kill_sockets()
    server.venue.faults.refuse_connects(until=30.0)
    await server.step(1.0)
    assert await dropped(killed)
    with pytest.raises(aiohttp.ClientError):
        await session.ws_connect(server.ws_url)
    await server.step(10.0)
    again = await session.ws_connect(server.ws_url)
    assert (await ask(again, "public/test"))["result"] == {"version": "1.2.26"}
    await again.close()


async def test_it_runs_by_itself(session: aiohttp.ClientSession) -> None:
    server = DeribitServer(deribit_demo(60.0, scenario="calm"), autorun=True, tick=0.01, speed=50.0)
    await server.start()
    try:
        async with session.ws_connect(server.ws_url) as socket:
            await ask(socket, "public/subscribe", channels=["deribit_price_index.btc_usd"])
            assert (await receive(socket))["params"]["data"]["index_name"] == "btc_usd"
    finally:
        await server.stop()


async def test_only_loopback(server: DeribitServer) -> None:
    with pytest.raises(ValueError, match="loopback only"):
        await DeribitServer(server.venue).start("0.0.0.0")
