"""What 100 connected pages cost the ticks: their way from a venue's clock to the decision, without pages, with 100 that follow the stream,
and with one more that never reads, by turns. The clock and the pages are processes of their own.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from aiohttp import web

from bench.ticking import RATE, Ticking, typical
from kernels.pool import Floats
from monitor.web.aside import Aside
from monitor.web.server import ApiServer
from monitor.web.stream import STREAM

ACCOUNTS, PORTFOLIOS = 20, 3
"""A desk; every account has one pool and every pool changes with every frame."""

PAGES = 100
BLOCK_S, BLOCKS = 10.0, 8
SETTLED = round(1.5 * RATE)
"""Ticks of a block that are not counted: pages that connect get whole snapshots, a hundred at once."""

LATER_MS, LATER_SHARE = 0.5, 0.2
MOST_IN_A_TURN = 10


class _Turns(asyncio.SelectorEventLoop):
    """An event loop that counts its turns."""

    turn = 0

    def _run_once(self) -> None:
        self.turn += 1
        super()._run_once()  # type: ignore[misc]


@contextmanager
def _served(loop: _Turns) -> Iterator[Counter[int]]:
    # frames handed to sockets, by turn of the loop
    served: Counter[int] = Counter()
    send = web.WebSocketResponse.send_frame

    async def counted(self: web.WebSocketResponse, *told: Any, **more: Any) -> None:
        served[loop.turn] += 1
        await send(self, *told, **more)

    web.WebSocketResponse.send_frame = counted  # type: ignore[method-assign,assignment]
    try:
        yield served
    finally:
        web.WebSocketResponse.send_frame = send  # type: ignore[method-assign]


async def _run(loop: _Turns) -> None:
    bench = Ticking(ACCOUNTS, PORTFOLIOS)
    server = ApiServer(bench.app, "127.0.0.1", 0, aside=Aside())
    await server.start()
    await bench.app.start()
    url = f"ws://127.0.0.1:{server.port}{STREAM}"
    quiet: list[Floats] = []
    followed: list[Floats] = []
    stalled: list[Floats] = []
    told: list[Any] = []
    try:
        bench.open()
        await bench.warm(BLOCK_S)
        for number in range(BLOCKS):
            quiet.append((await bench.block(BLOCK_S))[0][SETTLED:])
            for blocks, silent in ((followed, 0), (stalled, 1))[:: 1 if number % 2 else -1]:
                delays, said = await bench.block(BLOCK_S, "pages", url, str(PAGES), str(silent), str(BLOCK_S))
                blocks.append(delays[SETTLED:])
                told.append(said)
        with _served(loop) as served:
            await bench.block(BLOCK_S, "pages", url, str(PAGES), "0", str(BLOCK_S))
    finally:
        await bench.app.stop()
        await server.stop()
    _report(quiet, followed, stalled, told, max(served.values()))


def _report(quiet: list[Floats], followed: list[Floats], stalled: list[Floats], told: list[Any], most: int) -> None:
    p50, least, size, rate = (np.median([said[key] for said in told]) for key in ("p50_per_s", "least_per_s", "frame_bytes", "bytes_per_s"))
    print(f"{PAGES} pages, {RATE:.0f} frames a second from the venue, {ACCOUNTS} accounts of one pool, {PORTFOLIOS} portfolios")
    print(f"a page gets {p50:.1f} frames a second (the least {least:.1f}) of {size / 1e3:.1f} kB, all together {rate / 1e6:.1f} MB/s")
    kept = "kept" if most <= MOST_IN_A_TURN else "MISSED"
    print(f"at most {most} pages served in one turn of the event loop: {MOST_IN_A_TURN} {kept}")
    _, before, _ = typical("without pages", quiet)
    limit = max(LATER_MS, LATER_SHARE * before)
    for label, blocks in ((f"with {PAGES} pages", followed), (f"with {PAGES} pages and a stalled one", stalled)):
        _, after, _ = typical(label, blocks)
        verdict = "kept" if after - before <= limit else "MISSED"
        print(f"  p99 is later by {after - before:.2f} ms: {limit:.2f} ms {verdict}")


def main() -> None:
    """Measure and print."""
    if (os.cpu_count() or 1) < 2:
        print("one processor: the pages take their time from the ticks")
    loop = _Turns()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(_run(loop))
