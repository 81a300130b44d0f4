"""Prometheus metrics: a collector over the last results, rendered off the event loop.

Prefix `marginwatch_`, base units, components beside ratios, timestamps instead of ages; labels carry aliases only. Money is
in USD: the pool's token at what `[fx]` says it is worth, or at 1 where it is one of DOLLARS; pools in other tokens have no `_usd`
series. A figure that cannot be given has no sample: `marginwatch_account_valid` 0 and
`marginwatch_account_failure_info` say so.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import CollectorRegistry

from connectors.events import FeedStatus
from monitor.app import SECOND_NS, Application
from monitor.funding import PoolFunding
from monitor.live.accounts import USD
from monitor.live.books import PortfolioFigures
from monitor.live.metrics import portfolio_families
from monitor.margin.result import PoolResult
from monitor.pool_arrays import Scope
from monitor.status import clock_offset_s, funding_of
from monitor.stress.book import StressStatistics

POOL = ("venue", "account", "pool")
DOLLARS = frozenset({"USD", "USDC", "USDT", "USD1"})
"""What counts as USD where `[fx]` does not say what it is worth."""
FEED = ("venue", "feed", "account")


def build_version() -> str:
    """Version of the installed distribution."""
    try:
        return version("marginwatch")
    except PackageNotFoundError:
        return "unknown"


@dataclass(frozen=True, slots=True)
class _Gauge:
    name: str
    text: str
    value: Callable[[PoolResult], float | None]
    money: bool = False
    unsure: Callable[[PoolResult], bool] = lambda result: False
    """Whether it is told of a pool without a ratio too."""


_GAUGES = (
    _Gauge("account_equity_usd", "Equity of the pool as the venue counts it for liquidation.", lambda r: r.equity, True),
    _Gauge("account_maintenance_margin_usd", "Maintenance requirement of the pool.", lambda r: r.maintenance_margin, True),
    _Gauge("account_initial_margin_usd", "Initial margin of the pool's positions.", lambda r: r.initial_margin, True),
    _Gauge("account_excess_usd", "Equity times the liquidation limit, less the requirement.", lambda r: r.excess, True),
    _Gauge("account_cash_to_safety_usd", "Cash back to the warning level; 0 below it.", lambda r: r.cash_to_safety or 0.0, True),
    _Gauge("account_margin_ratio", "Margin ratio; 1 is where the venue liquidates. Absent while unknown.", lambda r: r.margin_ratio),
    _Gauge("account_distance_ratio", "Move of the worst position's coin that liquidates the pool.", lambda r: r.worst_distance),
    _Gauge("account_valid", "1 while the margin ratio is known from fresh data.", lambda r: float(r.valid), unsure=lambda r: True),
    _Gauge(
        "account_reconciled",
        "1 while our figures equal the venue's, 0 once they do not; absent with nothing to compare.",
        lambda r: _flag(r.reconciled),
        unsure=lambda r: r.reconciled is False,
    ),
    _Gauge("account_level", "0 ok, 1 warning, 2 critical, 3 liquidation; absent while unknown.", lambda r: float(r.level)),
    _Gauge(
        "account_model_error_ratio",
        "Collateral by our ratios against the venue's total (multi-assets mode).",
        lambda r: r.model_error,
        unsure=lambda r: True,
    ),
    _Gauge("venue_reported_difference_ratio", "Largest relative difference from the venue's figures.", lambda r: r.reported_difference),
)


def _flag(value: bool | None) -> float | None:
    return None if value is None else float(value)


class Collector:
    """Reads the application once a scrape. `snapshot` runs on the event loop and is cheap; `collect` may run in a thread."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._results: list[PoolResult] = []
        self._funding: dict[Scope, PoolFunding] = {}
        self._connectors: list[tuple[str, dict[str, Any]]] = []
        self._ready = False
        self._rates: dict[str, float | None] = {}
        self._portfolios: list[PortfolioFigures] = []
        self._books: dict[str, StressStatistics] = {}
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)

    def snapshot(self) -> None:
        """Take what the next `collect` renders."""
        self._results = self._app.results()
        self._ready = not self._app.unready()
        self._funding = funding_of(self._app, self._results)
        self._rates = {result.asset: self._rate(result.asset) for result in self._results}
        self._portfolios = self._app.portfolios.figures()
        self._books = {name: replace(told) for name, told in self._app.portfolios.books.statistics.items()}
        self._connectors = [(connector.venue, connector.describe()) for connector in self._app.connectors]

    def collect(self) -> Iterator[Metric]:
        """The metric families; see the module docstring."""
        yield from self._pools()
        yield from self._next_funding()
        yield from self._levels()
        yield from self._feeds()
        yield from self._monitor()
        yield from self._receivers()
        yield from self._recording()
        yield from portfolio_families(self._portfolios, self._books)

    def _pools(self) -> Iterable[Metric]:
        for gauge in _GAUGES:
            family = GaugeMetricFamily(f"marginwatch_{gauge.name}", gauge.text, labels=POOL)
            for result in self._results:
                value = gauge.value(result)
                rate = self._usd_per(result.asset) if gauge.money else 1.0
                if value is not None and rate is not None and (result.valid or gauge.unsure(result)):
                    family.add_metric(result.scope, value * rate)
            yield family
        failures = GaugeMetricFamily(
            "marginwatch_account_failure_info", "Why the pool has no figure: 1 for each reason.", labels=(*POOL, "reason")
        )
        for result in self._results:
            for reason in sorted({failure.reason.value for failure in result.failures}):
                failures.add_metric((*result.scope, reason), 1.0)
        yield failures

    def _next_funding(self) -> Iterable[Metric]:
        amounts = GaugeMetricFamily(
            "marginwatch_account_next_funding_usd", "What the pool receives (> 0) or pays at its next funding time.", labels=POOL
        )
        times = GaugeMetricFamily("marginwatch_account_next_funding_timestamp_seconds", "When that is, on the venue's clock.", labels=POOL)
        for result in self._results:
            funding = self._funding.get(result.scope)
            if funding is None or not result.valid:
                continue
            rate = self._usd_per(result.asset)
            if funding.amount is not None and rate is not None:
                amounts.add_metric(result.scope, funding.amount * rate)
            if funding.time_ms is not None:
                times.add_metric(result.scope, funding.time_ms / 1000)
        yield from (amounts, times)

    def _usd_per(self, asset: str) -> float | None:
        return self._rates.get(asset)

    def _rate(self, asset: str) -> float | None:
        resolved = 1.0 if asset == USD else self._app.portfolios.price(asset).value
        return resolved if resolved > 0 else self._app.settings.fx.get(asset, 1.0 if asset in DOLLARS else None)

    def _levels(self) -> Iterable[Metric]:
        thresholds = GaugeMetricFamily("marginwatch_level_threshold_ratio", "Ratio at which a level begins.", labels=("account", "level"))
        for account in self._app.settings.accounts:
            for level in ("warning", "critical", "liquidation"):
                thresholds.add_metric((account.id, level), getattr(account.levels, level))
        yield thresholds

    def _feeds(self) -> Iterable[Metric]:
        app = self._app
        up = GaugeMetricFamily("marginwatch_feed_up", "1 while the feed is fresh (or polled in time).", labels=FEED)
        for (venue, feed, account), state in list(app.book.freshness.feeds.items()):
            up.add_metric((venue, feed, account or ""), float(state.status in (FeedStatus.FRESH, FeedStatus.POLLED)))
        yield up
        errors = CounterMetricFamily("marginwatch_feed_parse_errors", "Frames not understood.", labels=("venue", "feed", "kind"))
        for key, count in list(app.book.parse_errors.items()):
            errors.add_metric(key, count)
        yield errors
        heard = GaugeMetricFamily("marginwatch_feed_last_message_timestamp_seconds", "When the feed last spoke.", labels=FEED)
        wall, now = app.clock.time_ms() / 1000, app.clock.monotonic_ns()
        for (venue, feed, account), heard_ns in list(app.book.freshness.heard_ns.items()):
            heard.add_metric((venue, feed, account or ""), wall - (now - heard_ns) / SECOND_NS)
        yield heard
        yield from self._keys()
        yield from self._connections()

    def _keys(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "marginwatch_account_key_expiry_timestamp_seconds", "When the key that reads the account expires.", labels=("venue", "account")
        )
        for (venue, account), key in list(self._app.book.keys.items()):
            if key.expires_ms is not None:
                family.add_metric((venue, account), key.expires_ms / 1000)
        yield family

    def _connections(self) -> Iterable[Metric]:
        labels = ("venue", "connection")
        up = GaugeMetricFamily("marginwatch_connection_up", "1 while the connection is open.", labels=labels)
        messages = CounterMetricFamily("marginwatch_feed_messages", "Frames received.", labels=labels)
        reconnects = CounterMetricFamily("marginwatch_feed_reconnects", "Connections replaced.", labels=labels)
        resyncs = CounterMetricFamily("marginwatch_feed_resyncs", "Resyncs by REST after a connection opened.", labels=labels)
        used = GaugeMetricFamily(
            "marginwatch_feed_rate_limit_used_ratio", "Used share of our part of the request budget.", labels=("venue",)
        )
        for venue, said in self._connectors:
            for name, row in said["connections"].items():
                up.add_metric((venue, name), float(row.connected))
                messages.add_metric((venue, name), row.frames)
                reconnects.add_metric((venue, name), row.reconnects)
                resyncs.add_metric((venue, name), row.resyncs)
            budget = said["budget"]
            used.add_metric((venue,), budget.weight_used / max(1, budget.weight_limit))
        yield from (up, messages, reconnects, resyncs, used)

    def _monitor(self) -> Iterable[Metric]:
        app = self._app
        timings = app.timings
        total, buckets = 0, []
        for bound, count in zip([*map(str, timings.buckets), "+Inf"], timings.counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        yield HistogramMetricFamily(
            "marginwatch_tick_to_decision_seconds",
            "From receipt of a frame to the alert decision.",
            buckets=buckets,
            sum_value=timings.total,
        )
        yield CounterMetricFamily("marginwatch_evaluations", "Evaluations since start.", value=app.engine.statistics.evaluations)
        yield GaugeMetricFamily("marginwatch_evaluation_seconds", "Cost of the last evaluation.", value=app.engine.statistics.last_seconds)
        yield GaugeMetricFamily(
            "marginwatch_kernel_warmup_seconds", "Time to compile or load the kernels at start.", value=app.warm_up_s or 0.0
        )
        yield GaugeMetricFamily("marginwatch_start_timestamp_seconds", "When the monitor started.", value=app.started_ms / 1000)
        offset = GaugeMetricFamily("marginwatch_venue_clock_offset_seconds", "The venue's clock less ours.", labels=("venue",))
        for venue in list(app.book.venue_status):
            offset.add_metric((venue,), clock_offset_s(app, venue))
        yield offset
        yield GaugeMetricFamily("marginwatch_ready", "1 while /-/ready answers 200.", value=float(self._ready))
        yield InfoMetricFamily("marginwatch_build", "Version.", value={"version": build_version(), "python": platform.python_version()})

    def _recording(self) -> Iterable[Metric]:
        if (told := self._app.recording) is None:
            return
        yield CounterMetricFamily("marginwatch_recording_ops", "Ops written by the flight recorder.", value=told.ops)
        yield CounterMetricFamily("marginwatch_recording_bytes", "Bytes written by the flight recorder.", value=told.bytes)
        yield CounterMetricFamily("marginwatch_recording_dropped", "Ops that are in no file.", value=told.dropped)
        yield GaugeMetricFamily("marginwatch_recording_healthy", "0 while the recording cannot be written.", value=float(not told.failing))
        replayable = "0 once the beginning of this run was deleted."
        yield GaugeMetricFamily("marginwatch_recording_replayable", replayable, value=float(told.replayable))

    def _receivers(self) -> Iterable[Metric]:
        sent = CounterMetricFamily("marginwatch_notifications", "Notifications delivered.", labels=("receiver",))
        failed = CounterMetricFamily(
            "marginwatch_notifications_failed", "Notifications given up or dropped.", labels=("receiver", "reason")
        )
        depth = GaugeMetricFamily("marginwatch_queue_depth", "Notifications waiting.", labels=("queue",))
        peak = GaugeMetricFamily("marginwatch_queue_peak_depth", "Most that ever waited.", labels=("queue",))
        for row in self._app.alarm.dispatcher.statistics():
            sent.add_metric((row.name,), row.delivered)
            failed.add_metric((row.name, "deadline"), row.failed)
            failed.add_metric((row.name, "dropped"), row.dropped)
            depth.add_metric((f"receiver-{row.name}",), row.waiting)
            peak.add_metric((f"receiver-{row.name}",), row.peak)
        outbox = self._app.alarm.outbox.statistics()
        yield GaugeMetricFamily("marginwatch_outbox_pending", "Deliveries still to be made.", value=outbox.pending)
        yield GaugeMetricFamily(
            "marginwatch_outbox_oldest_timestamp_seconds",
            "When the oldest alert that is still to be delivered was raised; 0 without one.",
            value=(outbox.oldest_pending_ms or 0) / 1000,
        )
        yield GaugeMetricFamily("marginwatch_outbox_healthy", "0 while the outbox cannot be written.", value=float(not outbox.problem))
        yield from (sent, failed, depth, peak)
