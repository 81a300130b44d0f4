"""The command `replay`: a recorded run again, its alerts in time, reports at chosen moments, and what other levels would have told.

Exit codes: 0 every evaluation and alert is the recorded one, 1 something differs or is missing, 2 it cannot be replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import orjson

from config.errors import ConfigError
from config.settings import Settings
from monitor.alerts.incident import Change
from monitor.app import Application
from monitor.live.report import frozen
from monitor.margin.result import Level
from monitor.recording.recovered import NOT_REPLAYED
from monitor.replay.assembly import Outcome, Replay, Told, Wishes, warm
from monitor.replay.compare import compare, compared_lines
from monitor.replay.settings import ReplaySettings, parse_levels
from monitor.replay.source import RecordedRun, ReplayError, open_run, told_time

SAME, DIFFERENT, UNUSABLE = 0, 1, 2

_REPEATED = str(Change.REPEATED.value)

Echo = Callable[[str], None]


def run_replay(
    directory: Path,
    *,
    config: Path | None = None,
    speed: float | None = None,
    until: str | None = None,
    levels: Sequence[str] = (),
    report_at: Sequence[str] = (),
    out: Path | None = None,
    run: int | None = None,
    echo: Echo = click.echo,
) -> int:
    """Replay a run (the last one unless named). Times are seconds from its start, or UTC times such as 2026-03-14T08:30:00.

    `speed` is a multiple of real time, None for as fast as it goes. Reports are written to `out` as JSON, one a time and parameter set.
    """
    try:
        recorded = open_run(directory, run)
        configured = ReplaySettings(recorded, config)
        other = configured.with_levels(wanted) if (wanted := parse_levels(levels)) else None
        if report_at and out is None:
            raise ReplayError("--report-at needs --out DIR, where the reports are written")
        begin_ms = recorded.begin_ms
        wishes = Wishes(
            until_ns=None if until is None else _offset_ns(until, "--until", begin_ms),
            speed=speed,
            look_at=[_offset_ns(text, "--report-at", begin_ms) for text in report_at],
            look=None if out is None else _Reports(out, echo).write,
            told=lambda told, begin_ns: echo(alert_line(told, begin_ns)) if comparable([told]) else None,
        )
    except (ReplayError, ConfigError) as error:
        click.echo(str(error), err=True)
        return UNUSABLE
    warm()
    echo(f"run {recorded.number}, recorded from {told_time(begin_ms)} UTC")
    try:
        return _replay(recorded, configured, other, wanted, wishes, echo)
    except ReplayError as error:
        click.echo(str(error), err=True)
        return UNUSABLE


def _replay(
    recorded: RecordedRun, configured: ReplaySettings, other: Settings | None, wanted: dict[str, float], wishes: Wishes, echo: Echo
) -> int:
    outcome = Replay(recorded, configured.settings, wishes, configured.later).run()
    code = _tell(recorded, outcome, configured.is_recorded, echo)
    for at_ns in outcome.not_reached:
        echo(f"no report of {_seconds(at_ns)}: the replay ended at {outcome.recorded_seconds:.1f}s")
    if other is not None:
        before = "as recorded" if configured.is_recorded else "under --config alone"
        changed = Replay(recorded, other, Wishes(until_ns=wishes.until_ns), lambda document: configured.later(document, wanted)).run()
        for line in _compared(changed, wanted, outcome, before):
            echo(line)
    return code


def alert_line(told: Told, begin_ns: int) -> str:
    """An alert of the timeline: seconds from the start, time of day, and its first line."""
    ns, ms, (_, change, *_, title) = told
    return f"{(ns - begin_ns) / 1e9:+10.1f}s  {datetime.fromtimestamp(ms / 1000, UTC):%H:%M:%S}  {change:<9}  {title}"


def comparable(alerts: Sequence[Told]) -> list[Told]:
    """Alerts without those about the sending of alerts."""
    return [told for told in alerts if told[2][0] not in NOT_REPLAYED]


def without_lone_reminders(ours: Sequence[Told], theirs: Sequence[Told]) -> tuple[list[Told], list[Told], int]:
    """Both without the reminders that only one of them has, and how many those are: a silence, which is not recorded,
    ends with one, and so does the wait of a new receiver, which a replay has not.
    """
    told, was = ([str(one) for one in alerts] for alerts in (ours, theirs))
    common = set(told) & set(was)
    kept = [
        [alert for alert, text in zip(alerts, texts, strict=True) if alert[2][1] != _REPEATED or text in common]
        for alerts, texts in ((ours, told), (theirs, was))
    ]
    return kept[0], kept[1], len(ours) + len(theirs) - len(kept[0]) - len(kept[1])


def _tell(recorded: RecordedRun, outcome: Outcome, is_recorded: bool, echo: Echo) -> int:
    seconds, took = outcome.recorded_seconds, max(outcome.seconds, 1e-9)
    pace = f"{seconds:.1f} s in {took:.2f} s, {seconds / took:.0f} times real time"
    echo(f"{outcome.evaluations} evaluations, {outcome.differing} differ; {pace}")
    if outcome.first_ns is not None:
        echo(f"the first one that differs: {(outcome.first_ns - outcome.begin_ns) / 1e9:+.3f}s")
    is_same = not outcome.differing and not outcome.divergences.total
    if is_recorded:
        is_same &= _tell_alerts(outcome, echo)
    else:
        echo(f"{len(comparable(outcome.alerts))} alerts, not compared with the recorded ones: --config changes what is told")
    divergences = outcome.divergences
    if divergences.total:
        counts = ", ".join(
            f"{getattr(divergences, name)} {name.replace('_', ' ')}"
            for name in ("missed", "unexpected", "out_of_order", "unclaimed", "overdue")
            if getattr(divergences, name)
        )
        at = (divergences.first_ns or 0) - outcome.begin_ns
        echo(f"the program did otherwise than it was recorded: {counts}; first at {at / 1e9:+.3f}s, {divergences.first}")
    if divergences.gaps:
        echo(f"the recording lacks ops in {divergences.gaps} places ({divergences.lost_ops} counted): what follows a gap may differ")
    for note in recorded.notes:
        echo(f"note: {note}")
    return SAME if is_same and not divergences.gaps else DIFFERENT


def _tell_alerts(outcome: Outcome, echo: Echo) -> bool:
    ours, theirs, reminders = without_lone_reminders(comparable(outcome.alerts), comparable(outcome.recorded_alerts))
    if reminders:
        echo(f"note: {reminders} reminders after silences and reloads are not compared")
    if ours == theirs:
        echo(f"{len(ours)} alerts, all as recorded")
        return True
    echo(f"the alerts differ: {len(ours)} told, {len(theirs)} recorded")
    for own, was in zip([*ours, *([None] * len(theirs))], [*theirs, *([None] * len(ours))], strict=False):
        if own != was:
            for text, told in (("recorded", was), ("now", own)):
                echo(f"  first {text}: {'none' if told is None else alert_line(told, outcome.begin_ns).strip()}")
            break
    return False


def _compared(changed: Outcome, levels: dict[str, float], outcome: Outcome, before: str) -> list[str]:
    asked = [Level[name.upper()] for name in levels]
    text = ", ".join(f"{name} at {value:.0%}" for name, value in levels.items())
    return compared_lines(compare(outcome.alerts, changed.alerts, outcome.begin_ns), asked, text, before)


class _Reports:
    """Writes the reports of the live portfolios as they stood."""

    def __init__(self, directory: Path, echo: Echo) -> None:
        self._directory = directory
        self._echo = echo

    def write(self, at_ns: int, app: Application) -> None:
        live = app.portfolios
        seen: set[str] = set()
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for portfolio in live.settings.portfolios:
                if portfolio.id in seen:
                    continue
                still = frozen(live, app.engine, portfolio.id)
                seen.update(still.order)
                self._keep(at_ns, "report", portfolio.id, still.report())
                if still.snapshot is not None:
                    self._keep(at_ns, "snapshot", portfolio.id, still.snapshot)
        except OSError as error:
            self._echo(f"{at_ns / 1e9:+10.1f}s  the report cannot be written: {error.strerror}")

    def _keep(self, at_ns: int, kind: str, name: str, document: Mapping[str, Any]) -> None:
        path = self._directory / f"{kind}-{_seconds(at_ns)}-{name}.json"
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        self._echo(f"{at_ns / 1e9:+10.1f}s  {kind} written: {path}")


def _seconds(ns: int) -> str:
    return f"{round(ns / 1e9, 3):.12g}s"


def _offset_ns(text: str, option: str, begin_ms: int) -> int:
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ReplayError(f"{option} {text}: expected seconds from the start, or a UTC time such as 2026-03-14T08:30:00") from None
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - begin_ms / 1000
    if not seconds >= 0.0:
        raise ReplayError(f"{option} {text}: is before the recording, which begins at {told_time(begin_ms)} UTC")
    return round(seconds * 1e9)
