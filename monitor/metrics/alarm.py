"""What a scrape tells of the alarm: where levels begin, what fires, and how alerts get to their receivers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.core import Metric

from config.settings import Settings
from monitor.alerts.heartbeat import HeartbeatStatistics
from monitor.alerts.outbox_records import OutboxStatistics
from monitor.alerts.post import ReceiverStatistics
from monitor.alerts.rules import Rule
from monitor.app import Application
from monitor.live.view import LEVEL_NAMES
from monitor.margin.result import Level
from monitor.metrics.series import Rows, counter, gauge, one

_SEVERITIES = {
    Rule.LEVEL: (Level.WARNING, Level.CRITICAL, Level.LIQUIDATION, Level.BREACH),
    Rule.LIQUIDATION_SEEN: (Level.LIQUIDATION,),
}
_USUAL = (Level.WARNING, Level.CRITICAL)


@dataclass(frozen=True, slots=True)
class AlarmRows:
    """The alarm at one instant; `firing` counts alerts by rule and severity, `heartbeat` is None without one."""

    settings: Settings
    firing: Mapping[tuple[str, str], int]
    receivers: Sequence[ReceiverStatistics]
    outbox: OutboxStatistics
    heartbeat: HeartbeatStatistics | None


def take_alarm(app: Application) -> AlarmRows:
    """Read the alarm."""
    alarm = app.alarm
    firing = Counter((incident.rule.value, incident.level.label) for incident in alarm.policy.firing())
    return AlarmRows(
        app.settings,
        firing,
        alarm.dispatcher.statistics(),
        alarm.outbox.statistics(),
        None if alarm.heartbeat is None else alarm.heartbeat.statistics(),
    )


def alarm_families(told: AlarmRows) -> Iterator[Metric]:
    """Every family of the alarm."""
    labels = ("account", "portfolio", "level")
    yield gauge("level_threshold_ratio", "Ratio at which a level begins.", labels, _thresholds(told.settings))
    yield gauge("alerts_firing", "Alerts that fire now.", ("rule", "severity"), _firing(told))
    yield from _receivers(told.receivers)
    failing = [((row.name,), row.failing > 0) for row in told.receivers if not _is_log(told.settings, row)]
    yield gauge("receiver_failing", "1 while a receiver takes nothing; a log wakes up nobody and is none.", ("receiver",), failing)
    outbox = told.outbox
    yield one("outbox_pending", "Deliveries still to be made.", outbox.pending)
    oldest = "When the oldest alert that is still to be delivered was raised; 0 without one."
    yield one("outbox_oldest_timestamp_seconds", oldest, (outbox.oldest_pending_ms or 0) / 1000)
    yield one("outbox_healthy", "0 while the outbox cannot be written.", not outbox.problem)
    if told.heartbeat is not None:
        beat = "When a heartbeat was last answered; 0 before the first."
        yield one("heartbeat_last_success_timestamp_seconds", beat, (told.heartbeat.last_sent_ms or 0) / 1000)


def _thresholds(settings: Settings) -> Rows:
    for account in settings.accounts:
        for level in ("warning", "critical", "liquidation"):
            yield (account.id, "", level), getattr(account.levels, level)
    for portfolio in settings.portfolios:
        for level, ratio in zip(LEVEL_NAMES, portfolio.levels.ratios, strict=True):
            yield ("", portfolio.id, level), ratio


def _firing(told: AlarmRows) -> Rows:
    # a drill is sent past the policy, and no venue and no portfolio that alarms is no breach
    rules = [rule for rule in Rule if rule is not Rule.TEST]
    known = {(rule.value, level.label): 0 for rule in rules for level in _SEVERITIES.get(rule, _USUAL)}
    if not told.settings.alarmed_portfolios:
        known.pop((Rule.LEVEL.value, Level.BREACH.label))
    return {**known, **told.firing}.items()


def _receivers(rows: Sequence[ReceiverStatistics]) -> Iterator[Metric]:
    receiver, queue = ("receiver",), ("queue",)
    yield counter("notifications_total", "Notifications delivered.", receiver, (((row.name,), row.delivered) for row in rows))
    failed = [((row.name, why), count) for row in rows for why, count in (("deadline", row.failed), ("dropped", row.dropped))]
    yield counter("notifications_failed_total", "Notifications given up or dropped.", ("receiver", "reason"), failed)
    yield gauge("queue_depth", "What waits now.", queue, ((_queue(row), row.waiting) for row in rows))
    yield gauge("queue_peak_depth", "Most that ever waited.", queue, ((_queue(row), row.peak) for row in rows))
    yield counter("queue_dropped_total", "What did not fit.", queue, ((_queue(row), row.dropped) for row in rows))


def _is_log(settings: Settings, row: ReceiverStatistics) -> bool:
    known = settings.receivers.get(row.name)
    return known is not None and known.type == "log"


def _queue(row: ReceiverStatistics) -> tuple[str]:
    return (f"receiver-{row.name}",)
