"""A loopback server around the simulated Aster: its REST paths, /ws/<streams>, /ws and /stream?streams=."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from urllib.parse import unquote

from aiohttp import WSMsgType, web

from connectors.simulator.aster_streams import AsterClient
from connectors.simulator.aster_venue import AsterVenue

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SEND_TIMEOUT_S = 5.0
PING_EVERY_S, PONG_WITHIN_S = 300.0, 900.0


class _Connection:
    """One socket: flushes its client's frames in order, pings it and remembers when it last answered."""

    def __init__(self, client: AsterClient, socket: web.WebSocketResponse, request: web.Request, now: float) -> None:
        self.client, self.socket = client, socket
        self.pinged = self.heard = now
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
                self.abort()

    async def ping(self, now: float) -> None:
        if now - self.heard > PONG_WITHIN_S:
            self.abort()
        elif now - self.pinged >= PING_EVERY_S and not self.socket.closed:
            self.pinged = now
            with suppress(ConnectionError, RuntimeError):
                await self.socket.ping()

    def abort(self) -> None:
        """Die as the venue's sockets do: no close frame."""
        self.client.close()
        if self._request.transport is not None:
            self._request.transport.abort()


class AsterServer:
    """Serves a venue on a loopback port and drives its time.

    `tick` is the real time between steps, `speed` the venue seconds in a real one; with `autorun` off nothing moves but by
    `step`. A venue on a market that another server drives is stepped with `advance=False`.
    """

    def __init__(self, venue: AsterVenue, autorun: bool = False, *, tick: float = 0.1, speed: float = 1.0) -> None:
        self.venue = venue
        self.connects = 0
        self._autorun, self._tick, self._speed = autorun, tick, speed
        self._connections: set[_Connection] = set()
        self._runner: web.AppRunner | None = None
        self._task: asyncio.Task[None] | None = None
        self._stepped = asyncio.Event()
        self._address = ""

    @property
    def rest_url(self) -> str:
        """Base of the REST API; paths start with /fapi."""
        return f"http://{self._address}"

    @property
    def ws_url(self) -> str:
        """Base of the streams; paths are /ws/<stream>, /ws and /stream."""
        return f"ws://{self._address}"

    @property
    def connections(self) -> int:
        """Open sockets."""
        return len(self._connections)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one. Raises ValueError for a host that is not loopback."""
        if host not in _LOOPBACK:
            raise ValueError(f"the simulated venue serves loopback only, not {host}: use 127.0.0.1")
        app = web.Application(client_max_size=2**20)
        app.add_routes([web.get("/ws", self._socket), web.get("/ws/{streams:.*}", self._socket), web.get("/stream", self._socket)])
        app.add_routes([web.route("*", "/{path:.*}", self._request)])
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
        self._stepped.set()
        self._stepped = asyncio.Event()
        now = self.venue.market.time
        for connection in list(self._connections):
            await connection.ping(now)
        await asyncio.gather(*(connection.flush() for connection in list(self._connections)))

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        before = loop.time()
        while True:
            await asyncio.sleep(max(0.0, before + self._tick - loop.time()))
            now = loop.time()
            await self.step(max(now - before, 1e-3) * self._speed)
            before = now

    async def _request(self, request: web.Request) -> web.Response:
        # The signed bytes are the received ones: no URL class may quote them anew.
        path, _, query = request.raw_path.partition("?")
        status, headers, body = self.venue.request(request.method, path, query, await request.read(), dict(request.headers))
        while self.venue.faults.stalled(path, self.venue.market.time):
            await self._stepped.wait()
        return web.Response(status=status, body=body, headers=headers)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if self.venue.faults.refusing(self.venue.market.time):
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        combined = request.path == "/stream"
        names = unquote(request.query.get("streams", "")) if combined else request.match_info.get("streams", "")
        socket = web.WebSocketResponse(compress=False, max_msg_size=2**20, autoping=False)
        await socket.prepare(request)
        self.connects += 1
        client = self.venue.connect_market([name for name in names.split("/") if name], combined=combined)
        connection = _Connection(client, socket, request, self.venue.market.time)
        self._connections.add(connection)
        try:
            await self._read(connection)
        finally:
            self._connections.discard(connection)
            client.close()
        return socket

    async def _read(self, connection: _Connection) -> None:
        async for message in connection.socket:
            connection.heard = self.venue.market.time
            if message.type is WSMsgType.PING and not self.venue.faults.pongs_stopped:
                await connection.socket.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                connection.client.receive(message.data)
                await connection.flush()
