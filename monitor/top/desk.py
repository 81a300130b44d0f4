"""Panels of the desk: what fires and what was told lately, and whether the data comes in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from connectors.events import FeedStatus
from monitor.alerts.incident import Change
from monitor.alerts.text_figures import clean
from monitor.margin.result import Level
from monitor.report.plain import number
from monitor.report.text_parts import DASH, level_text
from monitor.terminal import STYLES, percent
from monitor.top.model import Model, Row
from monitor.top.parts import View, age, clock, members, never_folds, tight_table

HEALTHY = (FeedStatus.FRESH, FeedStatus.POLLED)
"""States of a feed that need nobody's look."""

_ORDER = (FeedStatus.DOWN, FeedStatus.STALE, FeedStatus.RESYNCING, FeedStatus.CONNECTING, FeedStatus.POLLED, FeedStatus.FRESH)


def _shown(model: Model, view: View, row: Row, *, key: str = "account") -> bool:
    account = row[key]
    if not account:
        # of a venue or a portfolio: belongs to everybody, but to no account that is filtered for
        return view.shows(None)
    return view.shows(account) and (view.portfolio is None or account in members(model, view.portfolio))


# -- alerts ----------------------------------------------------------------------------------------------------------------------------


def alerts(model: Model, view: View) -> Iterator[RenderableType]:
    """What fires, the highest level first, silences, and the newest alerts told, newest first."""
    texts = {row["key"]: row["text"] for row in sorted(model.rows("recent"), key=lambda row: row["time_ms"])}
    firing = [row for row in model.rows("alerts") if _shown(model, view, row)]
    firing.sort(key=lambda row: (-Level[row["level"].upper()], row["since_ms"]))
    others = len(model.rows("alerts")) - len(firing)
    title = f"{len(firing) or 'nothing'} firing" + (f" here, {others} elsewhere" if others else "")
    table = tight_table("level", "since UTC", "for", "ratio", "alert", left=5, title=title)
    for row in firing:
        said = texts.get(row["key"]) or f"{row['subject']} {row['detail']}"
        figures = (clock(row["since_ms"]), age(model.since_s(row["since_ms"])), percent(number(row["ratio"])))
        table.add_row(level_text(row["level"]), *figures, clean(said))
    yield never_folds(table, "level", "since UTC", "for", "ratio") if firing else Text(title, style="bold")
    for row in model.rows("silences"):
        until = f"until {clock(row['until_ms'])} UTC, up to {row['up_to']}"
        yield Text(f"silence {row['id']}: {clean(row['key'])} {until}: {clean(row['reason'])}", style="yellow")
    yield from _recent(model, view)


def _recent(model: Model, view: View) -> Iterator[RenderableType]:
    rows = sorted((row for row in model.rows("recent") if _shown(model, view, row)), key=lambda row: -row["time_ms"])
    yield Text(f"\ntold lately{'' if rows else ': nothing'}", style="bold")
    for row in rows:
        done = row["change"] in (Change.RESOLVED, Change.DEESCALATED)
        line = Text(f"{clock(row['time_ms'])}  ", style="dim")
        yield line.append(clean(row["text"]), style="green" if done else STYLES[Level[row["level"].upper()]])


# -- feeds -----------------------------------------------------------------------------------------------------------------------------


def feeds(model: Model, view: View) -> Iterator[RenderableType]:
    """How the venues' connections and every feed do, the bad ones first."""
    yield from _connections(model)
    for row_id in model.ids("venues"):
        yield from _venue(row_id, model.row("venues", row_id) or {})
    rows = [row for row in model.rows("feeds") if _shown(model, view, row)]
    rows.sort(key=lambda row: (_ORDER.index(FeedStatus(row["status"])), row["venue"], row["account"] or "", row["feed"]))
    counts = Counter(row["status"] for row in rows)
    title = f"{len(rows)} feeds: " + ", ".join(f"{counts[status]} {status}" for status in _ORDER if counts[status])
    table = tight_table("state", "since", "venue", "feed", "account", "detail", left=6, title=title)
    for row in rows:
        names = (row["venue"], clean(row["feed"]), row["account"] or DASH)
        table.add_row(_state(row["status"]), age(model.age_s(row["since_at_s"])), *names, clean(row["detail"]))
    yield never_folds(table, "state", "since", "venue") if rows else Text("no feed", style="dim")


def _state(status: str) -> Text:
    return Text(status, style="green" if status in HEALTHY else "bold magenta")


def _connections(model: Model) -> Iterator[RenderableType]:
    table = tight_table("connection", "state", "last frame", "frames", "reconnects", "resyncs", left=2)
    for row in model.rows("connections"):
        state = Text("connected", style="green") if row["connected"] else Text("not connected", style="bold magenta")
        counts = [f"{row[key]:,}" for key in ("frames", "reconnects", "resyncs")]
        table.add_row(row["name"], state, age(model.age_s(row["last_frame_at_s"])), *counts)
    if table.row_count:
        yield never_folds(table, "state")


def _venue(name: str, row: Row) -> Iterator[RenderableType]:
    parts = [] if row["clock_offset_s"] is None else [f"clock {row['clock_offset_s']:+.1f}s"]
    parts += [clean(status) for status in row["statuses"]]
    if row["waiting_accounts"]:
        parts.append(f"waiting: {', '.join(row['waiting_accounts'])}")
    if parts:
        yield Text(f"{name}: {'; '.join(parts)}", style="dim")
