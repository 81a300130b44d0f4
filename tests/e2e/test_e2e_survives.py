"""What the pager is told while the monitor is killed again and again, its receiver fails half of the time, or its disk is no use."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from connectors.simulator.hyperliquid_desk import demo_plans
from monitor.alerts.outbox import HistoryEntry, read_history
from tests.e2e.programs import MARGINWATCH, Inbox, Launcher, Running, configuration, fetch, free_port, until

pytestmark = pytest.mark.e2e

STORY_S, KILLS, LANES = 85.0, 50, 2
SHORTEST_S, LONGEST_S = 0.3, 4.6
"""How long a monitor lives before it is killed: some die while they start, some in the middle of a page."""

GLANCE_S, LEAST_SEEN, LEAST_TOLD = 1.0, 2, 40
"""A crossing that a ready monitor had before it for so long must be told; so many, and so many alerts, for the test to mean something."""

MANY = "deadline_s = 3600.0\nworsening_step = 0.004\ndistance = 0.05\nrise_per_minute = 0.02\nrise_from = 0.1"
"""Settings that make one crash many alerts."""

Watched = tuple[float, float]
"""From when to when a monitor was ready (monotonic s)."""

HOOK = '[receivers.hook]\ntype = "webhook"\nurl_env = "HOOK_URL"\n'


class FlakyInbox(Inbox):
    """Takes a page, or fails: an error, a broken connection, or a page taken and the answer lost."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.failed = 0
        self._random = random.Random(seed)

    async def _take(self, request: web.Request) -> web.Response:
        document = await request.json()
        luck = self._random.random()
        if luck < 0.2:
            self.failed += 1
            return web.Response(status=503)
        if luck >= 0.35:
            self.got.setdefault(request.match_info["path"], []).append(document)
        if luck < 0.5:
            self.failed += 1
            assert request.transport is not None
            request.transport.abort()
        return web.Response(text="ok")

    def alerts(self, path: str) -> Iterator[dict[str, Any]]:
        """Every alert taken there."""
        for document in self.got.get(path, []):
            yield from document["alerts"]


async def _status(port: int) -> dict[str, Any]:
    code, body = await fetch(f"http://127.0.0.1:{port}/api/v1/status")
    found: dict[str, Any] = json.loads(body) if code == 200 else {}
    return found


async def _killed_again_and_again(launcher: Launcher, config: Path, url: str, port: int, dice: random.Random) -> list[Watched]:
    watched: list[Watched] = []
    for count in range(KILLS // LANES):
        monitor = await launcher.start(*MARGINWATCH, "run", "--config", config, HOOK_URL=url)
        end, ready = time.monotonic() + dice.uniform(SHORTEST_S, LONGEST_S), None
        while (now := time.monotonic()) < end:
            if ready is None and (await fetch(f"http://127.0.0.1:{port}/-/ready"))[0] == 200:
                ready = time.monotonic()
            await asyncio.sleep(min(0.1, max(0.0, end - now)))
        assert monitor.process.returncode is None, f"ended by itself before kill {count}: {monitor.printed[-2000:]}"
        monitor.signal(signal.SIGKILL)
        if ready is not None:
            watched.append((ready, time.monotonic()))
        await monitor.close()
        assert "Traceback" not in monitor.printed, monitor.printed[-3000:]
    return watched


async def _at_rest(monitor: Running, port: int) -> None:
    async def is_so() -> bool:
        told = await _status(port)
        # what happened (a liquidation, a transfer) stays open for a quarter of an hour
        return bool(told) and told["outbox"]["pending"] == 0 and not any(one["rule"] == "margin_level" for one in told["alerts"])

    await until(is_so, 60.0, lambda: f"{monitor.printed[-2000:]}")
    monitor.signal(signal.SIGTERM)
    assert await monitor.ended(10.0) == 0


async def test_fifty_kills_lose_no_page_and_make_none_up(launcher: Launcher, tmp_path: Path) -> None:
    plans, began = demo_plans("crash"), time.monotonic()
    venue = await launcher.start(*_venue_command(STORY_S))
    endpoints = json.loads(await venue.says("rest_url", 20.0))
    inbox = FlakyInbox(seed=5)
    await inbox.start()
    try:
        ports = [free_port() for _ in range(LANES)]
        configs = [
            configuration(tmp_path / f"lane{lane}.toml", endpoints, plans, port, alerts=MANY, receivers=HOOK)
            for lane, port in enumerate(ports)
        ]
        urls = [f"{inbox.url}/lane{lane}" for lane in range(LANES)]
        lanes = zip(configs, urls, ports, strict=True)
        watched = await asyncio.gather(
            *(_killed_again_and_again(launcher, *lane, random.Random(number)) for number, lane in enumerate(lanes))
        )
        assert time.monotonic() - began < STORY_S, "the story ended before the last kill: it would not be a crash run"
        last = time.monotonic()
        monitors = [
            await launcher.start(*MARGINWATCH, "run", "--config", config, HOOK_URL=url) for config, url in zip(configs, urls, strict=True)
        ]
        truth = json.loads(await venue.says("episodes", STORY_S))["episodes"]
        for monitor, port in zip(monitors, ports, strict=True):
            await _at_rest(monitor, port)
        counts = []
        for lane in range(LANES):
            # the last one lives until nothing is left to tell
            seen = [*watched[lane], (last + LONGEST_S, time.monotonic())]
            counts += _judge(inbox, f"lane{lane}", read_history(tmp_path / f"lane{lane}.db", 100_000), truth, seen)
        assert sum(seen for seen, _ in counts) >= LEAST_SEEN, "too little was watched for this to show anything"
        assert sum(told for _, told in counts) >= LEAST_TOLD, "too little was told for this to show anything"
        taken = sum(len(documents) for documents in inbox.got.values())
        print(f"{KILLS} kills, {inbox.failed} failed requests, {taken} taken; nothing lost")
    finally:
        await inbox.stop()


def _venue_command(duration: float) -> tuple[str, ...]:
    # fifty starts in a row are more than the venue would answer
    return (MARGINWATCH[0], "-m", "bench.venue", str(duration), "10", "60", "100000")


def _judge(inbox: FlakyInbox, lane: str, history: list[HistoryEntry], episodes: list[Any], watched: list[Watched]) -> list[tuple[int, int]]:
    arrived = Counter(alert["id"] for alert in inbox.alerts(lane))
    written = {entry.alert.id: entry.alert for entry in history}
    lost = sorted(set(written) - set(arrived))
    assert not lost, f"{lane}: written and never arrived: {lost}"
    assert not set(arrived) - set(written), "an alert left that was never written"
    incidents: dict[str, dict[int, list[int]]] = {}
    for alert in written.values():
        incidents.setdefault(alert.key, {}).setdefault(alert.number, []).append(alert.sequence)
    for key, numbers in incidents.items():
        for number, sequences in numbers.items():
            assert sorted(sequences) == list(range(1, len(sequences) + 1)), f"{key}#{number}: {sequences}"
    told = {key: len(numbers) for key, numbers in incidents.items() if key.endswith("/margin_level") and key.startswith("hyperliquid/")}
    happened, seen = Counter[str](), Counter[str]()
    for account, pool, began, ended in episodes:
        key = f"hyperliquid/{account}/{pool}/margin_level"
        happened[key] += 1
        seen[key] += any(min(until, ended or until) - max(since, began) >= GLANCE_S for since, until in watched)
    print(
        f"{lane}: {len(watched)} lives that got ready, {len(written)} alerts, {sum(arrived.values())} arrivals, {len(incidents)} keys; "
        f"incidents {told}, crossings while somebody watched {dict(seen)}, crossings {dict(happened)}"
    )
    assert all(seen[key] <= told.get(key, 0) for key in seen), "a crossing was not told"
    assert all(told[key] <= happened[key] for key in told), "more incidents than crossings"
    return [(sum(seen.values()), len(written))]


@pytest.fixture
def busy_database(tmp_path: Path) -> Iterator[Path]:
    """A database that somebody else keeps locked."""
    path = tmp_path / "locked.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("PRAGMA journal_mode=WAL")
        holder.execute("BEGIN EXCLUSIVE")
        yield path


async def test_a_useless_disk_does_not_silence_the_pager(launcher: Launcher, inbox: Inbox, tmp_path: Path, busy_database: Path) -> None:
    plans = demo_plans("crash")
    endpoints = await launcher.venue(45.0)
    (tmp_path / "a-file").write_text("no directory")
    # full: no file may grow beyond 48 kB, which SQLite meets in the middle of its work as it would a full disk
    limited = ("bash", "-c", 'ulimit -f 48; exec "$@"', "bash")
    cases: dict[str, tuple[tuple[str, ...], str]] = {
        "full": (limited, "full.db"),
        "locked": ((), busy_database.name),
        "unwritable": ((), "a-file/outbox.db"),
    }
    monitors = {}
    for case, (before, outbox) in cases.items():
        config = configuration(tmp_path / f"{case}.toml", endpoints, plans, free_port(), alerts=f'outbox = "{outbox}"', receivers=HOOK)
        monitors[case] = await launcher.start(*before, *MARGINWATCH, "run", "--config", config, HOOK_URL=f"{inbox.url}/{case}")

    def alerts(case: str) -> list[dict[str, Any]]:
        return [alert for document in inbox.got.get(case, []) for alert in document["alerts"]]

    async def paged() -> bool:
        return all(
            any(a["rule"] == "margin_level" and a["level"] == "critical" for a in alerts(case))
            and any(a["rule"] == "outbox" for a in alerts(case))
            for case in cases
        )

    await until(
        paged, 60.0, lambda: str({case: Counter(a["rule"] for a in alerts(case)) for case in cases}) + monitors["full"].printed[-1500:]
    )
    for case, monitor in monitors.items():
        monitor.signal(signal.SIGTERM)
        assert await monitor.ended(10.0) == 0, monitor.printed[-2000:]
        assert "Traceback" not in monitor.printed, monitor.printed[-3000:]
        told = Counter(alert["rule"] for alert in alerts(case))
        print(f"{case}: {dict(told)} although the outbox says: {next(a['detail'] for a in alerts(case) if a['rule'] == 'outbox')}")
