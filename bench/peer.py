"""Processes beside a benchmark, so that they cost its interpreter nothing: a clock that ticks, a client that scrapes, pages that follow.

    ticks RATE SECONDS                  the time (monotonic ns) RATE times a second, a line each
    scrapes URL SECONDS                 scrapes one time after another
    pages URL COUNT STALLED SECONDS     COUNT clients read the stream, STALLED more ask for it and never read

Clients print `ready` once they are under way, and at the end one line of JSON: what they saw.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import sys
import time
import urllib.request
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect

FIRST_S = 1.0
"""What comes within so long of the first frame is not counted: whole documents, and clients that still connect."""


def ticks(rate: float, seconds: float) -> None:
    """Tell the time."""
    begin = time.monotonic()
    for number in range(round(rate * seconds)):
        time.sleep(max(0.0, begin + number / rate - time.monotonic()))
        print(time.monotonic_ns(), flush=True)


def scrapes(url: str, seconds: float) -> None:
    """Scrape without a rest."""
    print("ready", flush=True)
    end, told, body = time.monotonic() + seconds, [], b""
    while time.monotonic() < end:
        begin = time.monotonic()
        with urllib.request.urlopen(url, timeout=30) as answer:
            body = answer.read()
        told.append(1000 * (time.monotonic() - begin))
    series = sum(not line.startswith(b"#") for line in body.splitlines())
    print(json.dumps({"scrapes": len(told), "series": series, "p50_ms": statistics.median(told), "worst_ms": max(told)}))


async def pages(url: str, count: int, stalled: int, seconds: float) -> None:
    """Follow the stream like so many pages. Frames are not parsed, and this process runs where nobody else wants to: pages are on other
    machines.
    """
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    silent = [_ask_only(url) for _ in range(stalled)]
    sockets = [await connect(url, compression=None, max_size=None, proxy=None) for _ in range(count)]
    print("ready", flush=True)
    seen = await asyncio.gather(*(_follow(one, seconds) for one in sockets))
    for one in silent:
        one.close()
    per_s = [len(sizes) / (seconds - FIRST_S) for sizes in seen]
    sizes = [size for one in seen for size in one]
    told = {"least_per_s": min(per_s), "p50_per_s": statistics.median(per_s), "most_per_s": max(per_s)}
    print(json.dumps({**told, "bytes_per_s": sum(sizes) / (seconds - FIRST_S), "frame_bytes": statistics.median(sizes)}))


async def _follow(connection: ClientConnection, seconds: float) -> list[int]:
    sizes: list[int] = []
    begin = time.monotonic()
    try:
        async with asyncio.timeout(seconds):
            async for frame in connection:
                if time.monotonic() - begin >= FIRST_S:
                    sizes.append(len(frame))
    except TimeoutError:
        connection.transport.abort()
    return sizes


def _ask_only(url: str) -> socket.socket:
    at = urlsplit(url)
    opened = socket.socket()
    # a small window, so that the server's side of the line is full after a few frames
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    opened.connect((at.hostname, at.port))
    lines = (f"GET {at.path} HTTP/1.1", f"Host: {at.netloc}", "Upgrade: websocket", "Connection: Upgrade")
    opened.sendall("\r\n".join((*lines, "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: c3RhbGxlZCBmb3IgZ29vZA==", "", "")).encode())
    return opened


if __name__ == "__main__":
    what, *given = sys.argv[1:]
    if what == "ticks":
        ticks(float(given[0]), float(given[1]))
    elif what == "scrapes":
        scrapes(given[0], float(given[1]))
    else:
        asyncio.run(pages(given[0], int(given[1]), int(given[2]), float(given[3])))
