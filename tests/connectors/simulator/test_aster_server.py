"""The simulated Aster over loopback: raw signed queries, the three ways to a stream, faults that need a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from yarl import URL

from connectors.simulator.aster import AsterServer, aster_demo
from tests.connectors.simulator.aster_reader import Signer

PATIENCE = 5.0


@pytest.fixture
async def server() -> AsyncIterator[AsterServer]:
    server = AsterServer(aster_demo(60.0, fillers=3))
    server.venue._makers._makers.clear()
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
            message = await socket.receive()
            if message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSING):
                return True
    return True


async def test_signed_bytes_pass_as_they_are(server: AsterServer, session: aiohttp.ClientSession) -> None:
    signer = Signer(server.venue, "wren")
    text = signer.signed(signer.message(symbol="币安人生USDT", note="a b+c/d~e"))
    async with session.get(URL(f"{server.rest_url}/fapi/v3/positionRisk?{text}", encoded=True)) as answer:
        assert (answer.status, answer.headers["X-MBX-USED-WEIGHT-1M"]) == (200, "5")
        assert {row["symbol"] for row in await answer.json()} == {"币安人生USDT"}
    body = signer.signed(signer.message())
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with session.post(f"{server.rest_url}/fapi/v3/listenKey", data=body, headers=form) as answer:
        key = (await answer.json())["listenKey"]
    headers = {"X-MBX-APIKEY": signer.own.api_key}
    async with session.put(f"{server.rest_url}/fapi/v1/listenKey", headers=headers) as answer:
        assert (answer.status, await answer.json()) == (200, {})
    async with session.delete(f"{server.rest_url}/fapi/v3/order") as answer:
        assert answer.status == 404
    assert server.venue.forbidden_requests == 1
    async with session.ws_connect(f"{server.ws_url}/ws/{key}") as socket:
        server.venue.transfer("wren", "USDT", 5.0)
        await server.step(1.0)
        assert (await receive(socket))["a"]["m"] == "DEPOSIT"


async def test_three_ways_to_a_stream(server: AsterServer, session: aiohttp.ClientSession) -> None:
    async with (
        session.ws_connect(f"{server.ws_url}/ws/!markPrice@arr@1s") as raw,
        session.ws_connect(URL(f"{server.ws_url}/stream?streams=!markPrice@arr@1s/%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9Fusdt@markPrice@1s",
                               encoded=True)) as combined,
        session.ws_connect(f"{server.ws_url}/ws") as bare,
    ):  # fmt: skip
        await bare.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@markPrice@1s"], "id": 7})
        assert await receive(bare) == {"result": None, "id": 7}
        await server.step(1.0)
        assert len(await receive(raw)) == len(server.venue.listing.symbols)
        first, second = [await receive(combined) for _ in range(2)]
        assert (first["stream"], second["data"]["s"]) == ("!markPrice@arr@1s", "币安人生USDT")
        assert (await receive(bare))["s"] == "BTCUSDT"
        assert server.connections == server.connects == 3


async def test_pings_are_answered_and_sent(server: AsterServer, session: aiohttp.ClientSession) -> None:
    async with session.ws_connect(f"{server.ws_url}/ws", autoping=False) as socket:
        await socket.ping(b"x")
        async with asyncio.timeout(PATIENCE):
            assert (await socket.receive()).type is aiohttp.WSMsgType.PONG
        for _ in range(4):
            await server.step(299.0)
        async with asyncio.timeout(PATIENCE):
            assert (await socket.receive()).type is aiohttp.WSMsgType.PING
        assert await dropped(socket)


async def test_killed_refused_and_aged(server: AsterServer, session: aiohttp.ClientSession) -> None:
    venue = server.venue
    user = await session.ws_connect(f"{server.ws_url}/ws/{Signer(venue, 'umbra').listen_key()}")
    market = await session.ws_connect(f"{server.ws_url}/ws/!markPrice@arr@1s")
    venue.faults.kill_user_sockets()
    await server.step(1.0)
    assert await dropped(user)
    assert not market.closed
    venue.faults.kill_sockets()
    venue.faults.refuse_connects(until=10.0)
    await server.step(1.0)
    assert await dropped(market)
    with pytest.raises(aiohttp.ClientError):
        await session.ws_connect(f"{server.ws_url}/ws")
    await server.step(10.0)
    again = await session.ws_connect(f"{server.ws_url}/ws")
    await server.step(86_400.0)
    assert await dropped(again)


async def test_stalled_answers_are_as_old_as_their_requests(server: AsterServer, session: aiohttp.ClientSession) -> None:
    server.venue.faults.stall_rest(until=3.0)
    asked = server.venue.market.now_ms

    async def ask() -> Any:
        async with session.get(f"{server.rest_url}/fapi/v3/time") as answer:
            return await answer.json()

    task = asyncio.create_task(ask())
    for _ in range(1000):
        if server.venue.rest.requests:
            break
        await asyncio.sleep(0)
    await server.step(2.0)
    assert not task.done()
    await server.step(1.0)
    async with asyncio.timeout(PATIENCE):
        assert (await task)["serverTime"] == asked


async def test_follows_a_market_that_another_server_drives(server: AsterServer) -> None:
    server.venue.market.advance(5.0)
    await server.step(5.0, advance=False)
    assert server.venue.market.time == 5.0


async def test_only_loopback(server: AsterServer) -> None:
    with pytest.raises(ValueError, match="loopback only"):
        await AsterServer(server.venue).start("0.0.0.0")
