"""What recording costs the live path for each frame, and how fast the writer is beside it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from connectors.clock import SystemClock
from connectors.transport import WebSocketConnection
from monitor.recording.ops import FRAME, Op
from monitor.recording.redaction import Redactor
from monitor.recording.seams import RecordingWebSockets, Tape
from monitor.recording.turns import CountingLoop
from monitor.recording.writer import Limits, Writer

FRAMES = 200_000
PAYLOAD = b'{"channel":"fastAssetCtxs","data":{"BTC":{"markPx":"78906.5"}}}' * 8
SECRETS = {f"a-secret-of-this-desk-{number}": "stand-in" for number in range(30)}


class _Source:
    def __init__(self, frames: int) -> None:
        self._frames = deque([PAYLOAD] * frames)

    async def connect(self, url: str) -> WebSocketConnection:
        return self

    async def recv(self) -> bytes:
        return self._frames.popleft()

    async def send(self, frame: bytes | str) -> None:
        return None

    async def close(self) -> None:
        return None


async def _read(connection: WebSocketConnection, frames: int) -> float:
    began = time.perf_counter()
    for _ in range(frames):
        await connection.recv()
    return (time.perf_counter() - began) / frames


async def _cost(writer: Writer) -> tuple[float, float]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, CountingLoop)
    tape = Tape(SystemClock(), loop.selector, writer.put)
    recorded = await RecordingWebSockets(_Source(FRAMES), tape, count()).connect("ws://host")
    return await _read(await _Source(FRAMES).connect(""), FRAMES), await _read(recorded, FRAMES)


def _puts(writer: Writer) -> float:
    op = Op(FRAME, "recv 0", False, 1, 1, 1, None, PAYLOAD)
    began = time.perf_counter()
    for _ in range(FRAMES):
        writer.put(op)
    return (time.perf_counter() - began) / FRAMES


def main() -> None:
    """Print seconds a frame with and without recording, and what the writer's thread takes in."""
    limits = Limits(queue_bytes=2**34)
    with TemporaryDirectory() as name, asyncio.Runner(loop_factory=CountingLoop) as runner:
        writer = Writer(Path(name), {}, Redactor(SECRETS), limits)
        plain, recorded = runner.run(_cost(writer))
        put = _puts(Writer(Path(name), {}, Redactor({}), limits))
        began = time.perf_counter()
        writer.drain()
        took = time.perf_counter() - began
        print(f"a frame of {len(PAYLOAD)} bytes: {1e6 * (recorded - plain):.2f} us more with recording, of it {1e6 * put:.2f} us the queue")
        rate = FRAMES / took
        print(f"the writer, beside the loop: {rate / 1e3:.0f} thousand frames and {rate * len(PAYLOAD) / 1e6:.0f} MB a second")
        writer.close()
