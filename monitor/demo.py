"""`marginwatch demo`: the simulated venues and the real monitor over real sockets, with a story that ends well."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live

from config import DEMO, ConfigError, Problem, load
from config.settings import Settings
from config.tables import read_toml
from connectors.simulator.aster import ALIASES, AsterServer, aster_demo, credentials
from connectors.simulator.deribit import ALIASES as DERIBIT_ALIASES
from connectors.simulator.deribit import DeribitServer, deribit_demo
from connectors.simulator.deribit import credentials as deribit_credentials
from connectors.simulator.hyperliquid import HyperliquidServer, demo_desk
from connectors.simulator.hyperliquid_desk import demo_plans, pair_plan
from kernels.warmup import warm_up
from monitor.alerts.alert import Alert
from monitor.alerts.incident import Change
from monitor.alerts.receivers.http import HttpPoster
from monitor.alerts.rules import Rule
from monitor.app import Application
from monitor.background import COMPILING, beside
from monitor.launch import build_application, build_recorder
from monitor.live.table import portfolio_line
from monitor.margin.result import Level, PoolResult
from monitor.screen import screen
from monitor.terminal import AlertLines, alert_line, percent
from monitor.venues import Transports
from monitor.web.aside import Aside
from monitor.web.server import ENDPOINTS, ApiServer

TICK_S = 0.1
RECORD_LIMIT_GB = 10.0
CONTEXTS_S = 0.2
"""The venue tells marks about once a second; a story of hours told in a minute needs them faster."""
VENUE_CONTEXTS_S = 1.0
SHORTEST_S = 30.0
TERMINATED = 128 + signal.SIGTERM
"""Exit code of what SIGTERM ended."""
PAIR = {"BTC": 20.0, "ETH": 300.0}
PAIR_ACCOUNTS = ("iris", "umbra")
"""Long of PAIR on one venue, short of it on the other."""
OPTIONS_ON = {"BTC": 5.0, "ETH": 75.0}
"""The part of the pair's longs that options hedge."""
DESK_ACCOUNTS = (*PAIR_ACCOUNTS, "noctua")
"""The pair with its option hedges on a third venue."""


@dataclass(slots=True)
class Story:
    """What happened, for the summary: highest ratio of every pool and the alerts told."""

    peaks: dict[tuple[str, str], float] = field(default_factory=dict)
    told: Counter[str] = field(default_factory=Counter)
    levels: set[Level] = field(default_factory=set)
    worst_difference: float = 0.0


@dataclass(slots=True)
class Venues:
    """The simulated venues on one market: a step moves it once and serves what is due on each."""

    hyperliquid: HyperliquidServer
    aster: AsterServer
    deribit: DeribitServer

    @classmethod
    def of(cls, scenario: str, duration: float, contexts_s: float = CONTEXTS_S) -> Venues:
        """The venues of a story, opened now, with marks every `contexts_s` seconds."""
        now_ms = time.time_ns() // 1_000_000
        extra = [pair_plan(scenario, PAIR)]
        market, venue = demo_desk(duration, scenario=scenario, context_interval=contexts_s, start_ms=now_ms, extra=extra)
        # the aster accounts are read often enough by push and poll: the story is told in a minute, the budget is not
        other = aster_demo(duration, market=market, hedge=PAIR, mark_interval=contexts_s)
        options = deribit_demo(duration, market=market, hedge=OPTIONS_ON, interval=contexts_s)
        return cls(HyperliquidServer(venue, autorun=False), AsterServer(other, autorun=False), DeribitServer(options, autorun=False))

    async def start(self) -> None:
        """Listen on loopback ports."""
        await self.hyperliquid.start()
        await self.aster.start()
        await self.deribit.start()

    async def step(self, seconds: float) -> None:
        """Let that much time pass."""
        await self.hyperliquid.step(seconds)
        await self.aster.step(seconds, advance=False)
        await self.deribit.step(seconds, advance=False)

    async def stop(self) -> None:
        """Close."""
        await self.hyperliquid.stop()
        await self.aster.stop()
        await self.deribit.stop()


def demo_settings(venues: Venues | None, scenario: str, port: int | None = None, path: Path = DEMO) -> Settings:
    """A configuration (the shipped one of the demo, or another at `path`) with the simulators' accounts and endpoints laid over it.

    `port` instead of the file's; `venues` None before they are open, to check the file. Raises ConfigError, also for a file that has
    accounts, portfolios or endpoints of its own.
    """
    raw = read_toml(path, str(path), missing=f"copy {DEMO.name}, which the demo runs with, and change it")
    problems = list(_not_of_a_demo(raw))
    if problems:
        raise ConfigError(str(path), problems)
    accounts, secrets = _accounts(scenario)
    overrides: dict[str, Any] = {
        "accounts": accounts,
        "portfolios": [
            {"id": "desk", "accounts": list(DESK_ACCOUNTS)},
            {"id": "pair", "accounts": list(PAIR_ACCOUNTS)},
            # what it costs to look at one leg by itself; shown only, as no venue sees it so
            {"id": "iris-alone", "accounts": ["iris"], "alarm": False},
        ],
    }
    if venues is not None:
        overrides["venues"] = _endpoints(venues)
    if port is not None:
        overrides["monitor"] = {"listen": f"{_host(raw)}:{port}"}
    # the only receiver of the shipped file is a log, on purpose
    return load(path, environ={**os.environ, **secrets}, overrides=overrides, quiet=path == DEMO or venues is None)


def _not_of_a_demo(raw: Mapping[str, Any]) -> Iterator[Problem]:
    for table in ("accounts", "portfolios"):
        if table in raw:
            yield Problem(table, "the demo has its own; remove the table, or watch these with `marginwatch run`")
    venues = raw.get("venues")
    for name, venue in venues.items() if isinstance(venues, dict) else ():
        for key in ("network", "rest_url", "ws_url"):
            if isinstance(venue, dict) and key in venue:
                yield Problem(f"venues.{name}.{key}", "the demo's venues are simulated ones on this machine; remove the key")


def _host(raw: Mapping[str, Any]) -> str:
    monitor = raw.get("monitor")
    listen = monitor.get("listen") if isinstance(monitor, dict) else None
    return listen.rpartition(":")[0] if isinstance(listen, str) else "127.0.0.1"


def _accounts(scenario: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    plans = [*demo_plans(scenario), pair_plan(scenario, PAIR)]
    accounts: list[dict[str, Any]] = [{"id": plan.name, "venue": "hyperliquid", "address": plan.address} for plan in plans]
    keys = {alias: credentials(alias) for alias in ALIASES}
    accounts += [{"id": alias, "venue": "aster", "address": key.user, "agent_key_env": _key_name(alias)} for alias, key in keys.items()]
    clients = {alias: deribit_credentials(alias) for alias in DERIBIT_ALIASES}
    accounts += [
        {"id": alias, "venue": "deribit", "client_id_env": f"{alias.upper()}_ID", "client_secret_env": f"{alias.upper()}_SECRET"}
        for alias in clients
    ]
    secrets = {_key_name(alias): key.private_key for alias, key in keys.items()}
    secrets |= {f"{alias.upper()}_ID": client.client_id for alias, client in clients.items()}
    secrets |= {f"{alias.upper()}_SECRET": client.client_secret for alias, client in clients.items()}
    return accounts, secrets


def _endpoints(venues: Venues) -> dict[str, dict[str, str]]:
    return {
        "hyperliquid": {"rest_url": venues.hyperliquid.rest_url, "ws_url": venues.hyperliquid.ws_url},
        "aster": {"rest_url": venues.aster.rest_url, "ws_url": venues.aster.ws_url},
        "deribit": {"ws_url": venues.deribit.ws_url},
    }


def _key_name(alias: str) -> str:
    return f"{alias.upper()}_KEY"


class Demo:
    """One run. `duration` is the length of the story in seconds (at least 30), `record` a directory for the flight recorder.

    `path` is the configuration, `port` one instead of its own; 0 takes a free one. Raises ConfigError for a file that cannot be used.
    """

    def __init__(
        self,
        scenario: str,
        duration: float,
        port: int | None = None,
        *,
        terminal: bool,
        console: Console,
        record: Path | None = None,
        path: Path = DEMO,
    ) -> None:
        self.scenario = scenario
        self.duration = max(SHORTEST_S, duration)
        self.port = port
        self.path = path
        # said before kernels are compiled, which can take a while
        self.listen = demo_settings(None, scenario, port, path).monitor.listen
        self.record = record
        self.terminal = terminal
        self.console = console
        self.story = Story()
        self._lines = AlertLines()
        self._started = time.monotonic()
        self._is_stopping = False

    async def run(self) -> int:
        """Tell the story: 0 when it ended with every pool valid and below the warning level, 143 when SIGTERM ended it, else 1.

        OSError when the address is taken.
        """
        telling = asyncio.current_task()
        assert telling is not None
        # the first process of a container is not ended by a signal that it does not handle
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop, telling)
        try:
            return await self._run()
        except asyncio.CancelledError:
            if not self._is_stopping:
                raise
            return TERMINATED

    def _stop(self, telling: asyncio.Task[Any]) -> None:
        if self._is_stopping:
            os._exit(TERMINATED)
        self._is_stopping = True
        telling.cancel()

    async def _run(self) -> int:
        # the lines below the table say it already
        logging.getLogger("marginwatch.alerts").addHandler(logging.NullHandler())
        logging.getLogger("marginwatch.alerts").propagate = False
        # before the venues open: their clocks would stand still while an empty cache is filled
        await beside(lambda: warm_up(forbid=False), COMPILING)
        # what is recorded comes at the venues' own pace
        venues = Venues.of(self.scenario, self.duration, CONTEXTS_S if self.record is None else VENUE_CONTEXTS_S)
        await venues.start()
        settings = demo_settings(venues, self.scenario, self.port, self.path)
        try:
            return await self._watch(venues, settings)
        finally:
            await venues.stop()

    async def _watch(self, venues: Venues, settings: Settings) -> int:
        transports, poster = Transports.real(), HttpPoster()
        recorder = build_recorder(self.record, settings, RECORD_LIMIT_GB)
        app = build_application(settings, transports, poster, recorder)
        token = settings.monitor.token.reveal() if settings.monitor.token else None
        api = ApiServer(app, settings.monitor.host, settings.monitor.port, token, aside=Aside())
        try:
            await api.start()
            where = f"hyperliquid at {venues.hyperliquid.rest_url}, aster at {venues.aster.rest_url}, deribit at {venues.deribit.ws_url}"
            self.console.print(f"marginwatch demo: scenario {self.scenario}, {self.duration:.0f} s, simulated venues: {where}")
            await app.start()
            app.alarm.listeners.append(self._told)
            await self._tell(app, api, venues)
            ended, picture = app.results(), screen(app, "how it ended")
        finally:
            if recorder is not None:
                recorder.close()
            await app.stop()
            await api.stop()
            await poster.close()
            await transports.close()
        self.console.print(picture)
        return self._summary(app, ended)

    async def _tell(self, app: Application, api: ApiServer, venues: Venues) -> None:
        self._started = time.monotonic()
        if not self.terminal:
            self._endpoints(api)
            await self._steps(app, venues, lambda: self._portfolios(app), 5.0)
            return
        with Live(self._screen(app, api), console=self.console, refresh_per_second=4, screen=False) as live:
            await self._steps(app, venues, lambda: live.update(self._screen(app, api)), 0.25)

    async def _steps(self, app: Application, venues: Venues, draw: Callable[[], None], every_s: float) -> None:
        before = drawn = time.monotonic()
        first: float | None = None
        while (now := time.monotonic()) - self._started < self.duration:
            await venues.step(max(now - before, 1e-3))
            before = now
            self._note(app)
            if first is None and not app.unready():
                first = time.monotonic() - self._started
                self.console.print(f"first live ratio of every account {first:.1f} s after the venues opened")
            if now - drawn >= every_s:
                drawn = now
                draw()
            await asyncio.sleep(max(0.0, before + TICK_S - time.monotonic()))

    def _portfolios(self, app: Application) -> None:
        for view in app.portfolio_views:
            self.console.print(f"{time.monotonic() - self._started:6.1f}s  {portfolio_line(view)}", soft_wrap=True, highlight=False)

    def _screen(self, app: Application, api: ApiServer) -> Group:
        elapsed = time.monotonic() - self._started
        title = f"marginwatch demo  {self.scenario}  {elapsed:5.1f} / {self.duration:.0f} s   {api.url}{ENDPOINTS[3]}   {api.url}/metrics"
        return screen(app, title, self._lines)

    def _endpoints(self, api: ApiServer) -> None:
        for path in ENDPOINTS:
            self.console.print(f"  {api.url}{path}")

    def _told(self, alert: Alert) -> None:
        self.story.told[f"{alert.rule.value} {alert.change.value}"] += 1
        if alert.rule is Rule.LEVEL and alert.change in (Change.FIRED, Change.ESCALATED):
            self.story.levels.add(alert.level)
        stamp = f"{time.monotonic() - self._started:6.1f}s"
        self._lines.add(stamp, alert)
        if not self.terminal:
            self.console.print(alert_line(stamp, alert), soft_wrap=True)

    def _note(self, app: Application) -> None:
        for result in app.results():
            if result.margin_ratio is not None:
                key = (result.account, result.pool)
                self.story.peaks[key] = max(self.story.peaks.get(key, 0.0), result.margin_ratio)
            if result.reported_difference is not None:
                self.story.worst_difference = max(self.story.worst_difference, result.reported_difference)

    def _summary(self, app: Application, results: list[PoolResult]) -> int:
        for (account, pool), peak in sorted(self.story.peaks.items(), key=lambda item: -item[1])[:5]:
            self.console.print(f"  highest ratio {account}/{pool}: {percent(peak)}")
        seen = ", ".join(level.label for level in sorted(self.story.levels)) or "none"
        statistics = app.engine.statistics
        self.console.print(f"levels crossed: {seen}; alerts: {dict(self.story.told)}")
        self.console.print(
            f"{statistics.evaluations} evaluations of {statistics.pools_evaluated} pools, "
            f"{1e6 * statistics.total_seconds / max(1, statistics.evaluations):.0f} us each; "
            f"largest difference from the venue's own figures {self.story.worst_difference:.1e}"
        )
        warnings = {account.id: account.levels.warning for account in app.settings.accounts}
        well = all(result.valid and (result.margin_ratio or 0.0) < warnings[result.account] for result in results)
        self.console.print(
            "every pool ended valid and below its warning level" if well else "NOT every pool ended valid and below its warning level"
        )
        return 0 if well else 1
