"""From a market frame to the alert decision: the whole way of a tick, and the share of each step."""

from __future__ import annotations

import base64
import gc
import json
import time
import zlib
from collections.abc import Callable

import numpy as np

from bench.desk import Desk
from kernels.pool import Floats
from kernels.warmup import warm_up
from monitor.margin.hyperliquid import VENUE

STEPS = ("parse", "book", "kernels", "policy")


def _run(desk: Desk, frames: list[bytes]) -> Floats:
    clock: Callable[[], int] = time.perf_counter_ns
    told = np.zeros((len(frames), len(STEPS)))
    for row, frame in enumerate(frames):
        begin = clock()
        events = desk.protocol.receive(frame, row)
        parsed = clock()
        for event in events:
            desk.book.apply(event)
        applied = clock()
        crossed = desk.engine.evaluate()
        evaluated = clock()
        if crossed:
            desk.policy.observe([desk.engine.result(index, row, measure=True) for index in crossed], row / 10)
        told[row] = np.diff([begin, parsed, applied, evaluated, clock()]) / 1000
    return told


def report(title: str, told: Floats) -> None:
    """Print percentiles of the whole way and the share of each step."""
    total = told.sum(axis=1)
    shares = ", ".join(f"{name} {100 * told[:, column].sum() / total.sum():.0f} %" for column, name in enumerate(STEPS))
    p50, p99, worst = np.percentile(total, [50, 99, 100])
    print(f"{title}: p50 {p50:.0f} us, p99 {p99:.0f} us, worst {worst:.0f} us over {len(told)} frames; {shares}")


def _single(desk: Desk, count: int) -> list[bytes]:
    key = sorted(desk.book.held(VENUE))[0]
    name, mark = key.partition(":")[2], desk.marks[key]
    frames = []
    for step in range(count):
        text = json.dumps({name: {"markPx": f"{mark * (1 + step % 7 / 1000):.6g}"}}, separators=(",", ":")).encode()
        packer = zlib.compressobj(wbits=-15)
        packed = base64.b64encode(packer.compress(text) + packer.flush()).decode()
        frames.append(json.dumps({"channel": "fastAssetCtxs", "data": packed}).encode())
    return frames


def main() -> None:
    """Measure and print."""
    begin = time.perf_counter()
    warm_up()
    print(f"kernels warm in {time.perf_counter() - begin:.2f} s")
    for accounts, positions in ((20, 20), (100, 20)):
        desk = Desk(accounts, positions)
        frames, single = desk.frames(1250), _single(desk, 4000)
        gc.collect()
        gc.freeze()
        _run(desk, frames[:50])
        held = len(desk.book.held(VENUE))
        book = f"{accounts} accounts x {positions} positions, {held} held instruments"
        report(
            f"{desk.origin} frame of 412 contexts ({len(frames[0]) // 1000} kB), {book}",
            _run(desk, frames[50:]),
        )
        _run(desk, single[:500])
        report("frame of a single asset", _run(desk, single[500:]))
