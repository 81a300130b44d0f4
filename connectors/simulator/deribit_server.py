"""A loopback server around the simulated Deribit: JSON-RPC over WebSocket on /ws/api/v2."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aiohttp import WSMsgType, web

from connectors.simulator.deribit_session import DeribitClient
from connectors.simulator.deribit_venue import DeribitVenue

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SEND_TIMEOUT_S = 5.0
PATH = "/ws/api/v2"


class _Connection:
    """One socket: flushes its client's frames in order."""

    def __init__(self, client: DeribitClient, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.client, self.socket = client, socket
        self._request = request
        self._lock = asyncio.Lock()

    async def flush(self) -> None:
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
            if self.client.closed:
                self.end()

    def end(self) -> None:
        """Hang up after what was written has left, so that the words that end a session arrive."""
        self.client.close()
        if self._request.transport is not None:
            self._request.transport.close()

    def abort(self) -> None:
        """Die at once."""
        self.client.close()
        if self._request.transport is not None:
            self._request.transport.abort()


class DeribitServer:
    """Serves a venue on a loopback port and drives its time.

    `tick` is the real time between steps, `speed` the venue seconds in a real one; with `autorun` off nothing moves but by
    `step`. A venue on a market that another server drives is stepped with `advance=False`.
    """

    def __init__(self, venue: DeribitVenue, autorun: bool = False, *, tick: float = 0.1, speed: float = 1.0) -> None:
        self.venue = venue
        self.connects = 0
        self._autorun, self._tick, self._speed = autorun, tick, speed
        self._connections: set[_Connection] = set()
        self._runner: web.AppRunner | None = None
        self._task: asyncio.Task[None] | None = None
        self._address = ""

    @property
    def ws_url(self) -> str:
        """Where to connect."""
        return f"ws://{self._address}{PATH}"

    @property
    def connections(self) -> int:
        """Open sockets."""
        return len(self._connections)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one. Raises ValueError for a host that is not loopback."""
        if host not in _LOOPBACK:
            raise ValueError(f"the simulated venue serves loopback only, not {host}: use 127.0.0.1")
        app = web.Application()
        app.add_routes([web.get(PATH, self._socket)])
        self._runner = web.AppRunner(app, shutdown_timeout=1.0, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
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

    async def step(self, dt: float, *, advance: bool = True) -> None:
        """Advance the venue by `dt` of its seconds, or follow its market, and send what it says."""
        if advance:
            self.venue.advance(dt)
        else:
            self.venue.follow()
        await asyncio.gather(*(connection.flush() for connection in list(self._connections)))

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        before = loop.time()
        while True:
            await asyncio.sleep(max(0.0, before + self._tick - loop.time()))
            now = loop.time()
            await self.step(max(now - before, 1e-3) * self._speed)
            before = now

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if self.venue.faults.refusing(self.venue.market.time):
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        socket = web.WebSocketResponse(compress=False, max_msg_size=2**20)
        await socket.prepare(request)
        self.connects += 1
        connection = _Connection(self.venue.connect(), socket, request)
        self._connections.add(connection)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    connection.client.receive(message.data)
                    await connection.flush()
        finally:
            self._connections.discard(connection)
            connection.client.close()
        return socket
