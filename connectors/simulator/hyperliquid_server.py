"""A loopback server around the simulated venue: POST /info and GET /ws, as Hyperliquid's API has them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aiohttp import WSMsgType, web

from connectors.simulator.hyperliquid_feeds import HyperliquidClient
from connectors.simulator.hyperliquid_venue import HyperliquidVenue

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SEND_TIMEOUT_S = 5.0


class _Connection:
    """One socket: flushes its client's frames in order and remembers when it last spoke."""

    def __init__(self, client: HyperliquidClient, socket: web.WebSocketResponse, request: web.Request, elapsed: float) -> None:
        self.client, self.socket, self.last_sent = client, socket, elapsed
        self._request = request
        self._lock = asyncio.Lock()

    async def flush(self, elapsed: float) -> None:
        async with self._lock:
            for text in self.client.drain():
                if self.socket.closed:
                    return
                try:
                    async with asyncio.timeout(_SEND_TIMEOUT_S):
                        await self.socket.send_str(text)
                except (ConnectionError, TimeoutError, RuntimeError):
                    self.abort()
                    return
                self.last_sent = elapsed
            if self.client.closed:
                self.abort()

    def abort(self) -> None:
        """Die as the venue's sockets do: no close frame."""
        self.client.close()
        if self._request.transport is not None:
            self._request.transport.abort()


class HyperliquidServer:
    """Serves a venue on a loopback port and drives its time.

    `tick` is the real time between steps, `speed` the venue seconds in a real one; with `autorun` off nothing moves but by
    `step`. A connection the server has not spoken on for `idle_timeout` seconds is dropped without a close frame.
    """

    def __init__(
        self, venue: HyperliquidVenue, *, tick: float = 0.1, speed: float = 1.0, autorun: bool = True, idle_timeout: float = 60.0
    ) -> None:
        self.venue = venue
        self.connects = 0
        self._tick, self._speed, self._autorun, self._idle_timeout = tick, speed, autorun, idle_timeout
        self._elapsed = 0.0
        self._kills_seen = 0
        self._connections: set[_Connection] = set()
        self._runner: web.AppRunner | None = None
        self._task: asyncio.Task[None] | None = None
        self._address = ""

    @property
    def rest_url(self) -> str:
        """Base of the REST API; requests go to its /info."""
        return f"http://{self._address}"

    @property
    def ws_url(self) -> str:
        """The WebSocket endpoint."""
        return f"ws://{self._address}/ws"

    @property
    def connections(self) -> int:
        """Open sockets."""
        return len(self._connections)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one. Raises ValueError for a host that is not loopback."""
        if host not in _LOOPBACK:
            raise ValueError(f"the simulated venue serves loopback only, not {host}: use 127.0.0.1")
        app = web.Application(client_max_size=2**20)
        app.add_routes([web.post("/info", self._info), web.get("/ws", self._socket)])
        self._runner = web.AppRunner(app, shutdown_timeout=1.0, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        bound = self._runner.addresses[0]
        self._address = f"[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"{bound[0]}:{bound[1]}"
        if self._autorun:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Drop every socket and stop listening."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        for connection in list(self._connections):
            connection.abort()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def step(self, dt: float) -> None:
        """Advance the venue by `dt` of its seconds and send what it says."""
        self.venue.advance(dt)
        self._elapsed += dt / self._speed
        if self.venue.faults.kills != self._kills_seen:
            self._kills_seen = self.venue.faults.kills
            for connection in list(self._connections):
                connection.abort()
        for connection in list(self._connections):
            if self._elapsed - connection.last_sent > self._idle_timeout:
                connection.abort()
        await asyncio.gather(*(connection.flush(self._elapsed) for connection in list(self._connections)))

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        before = loop.time()
        while True:
            await asyncio.sleep(max(0.0, before + self._tick - loop.time()))
            now = loop.time()
            await self.step(max(now - before, 1e-3) * self._speed)
            before = now

    async def _info(self, request: web.Request) -> web.Response:
        status, headers, body = self.venue.info(await request.read())
        return web.Response(status=status, body=body, headers=headers)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if self.venue.faults.refusing(self.venue.market.time):
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        socket = web.WebSocketResponse(compress=False, max_msg_size=2**20)
        await socket.prepare(request)
        self.connects += 1
        connection = _Connection(self.venue.connect(), socket, request, self._elapsed)
        self._connections.add(connection)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    connection.client.receive(message.data)
                    await connection.flush(self._elapsed)
        finally:
            self._connections.discard(connection)
            connection.client.close()
        return socket
