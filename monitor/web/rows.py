"""What pages are told of an application (docs/api.md: the stream), row by row, so that the event loop can turn between two of them.

Ages change all the time, so rows say since when instead: `*_at_s`, on the clock of the frame's `clock_s`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from connectors.session_protocol import SessionStatistics
from monitor import status
from monitor.alerts.documents import alert_document, silence_document
from monitor.alerts.text import NEXT_STEP
from monitor.app import SECOND_NS, Application
from monitor.margin.result import PoolResult

Row = tuple[str, str, dict[str, Any]]
"""(section, id, document)."""

TakenRow = Row | tuple[str, str, bytes]
"""The same, or the document as JSON."""

RECENT = 50
"""The newest alerts told that pages get at once; older ones are in the API's history."""

OF_TICKS = ("pools", "portfolios", "alerts", "silences", "recent")
"""Sections that follow every tick."""

OF_SECONDS = ("monitor", "statistics", "feeds", "connections", "venues")
"""Sections that are told once a second."""

OF_REPORTS = ("reports", "rules", "modes")
"""Sections that come with the report documents, every second or two."""

OF_CALENDAR = "calendar"
"""Section, and id of its one row."""

_OF_A_LOOK = frozenset({"as_of_ms", "families", "venues"})
"""What reports have anew with the rest of a close look."""

_OF_A_CONNECTION = ("connected", "reconnects", "resyncs", "rotations", "frames", "pending", "failures")

_SAME_MS = 50
"""Times reckoned back from ages differ by so little when they are the same."""


class Rows:
    """The rows of one application; remembers what it told, so that what stays equal is written equally."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._alerts: dict[str, dict[str, Any]] = {}
        self._firing: dict[str, dict[str, Any]] = {}

    def of_ticks(self) -> Iterator[Row]:
        """The rows of OF_TICKS, each as of the moment it is taken: between two of them the event loop may have turned."""
        yield from self._pools()
        levels = {one.id: one.levels for one in self._app.settings.portfolios}
        for row in status.portfolios(self._app):
            told = {key: value for key, value in row.items() if key not in _OF_A_LOOK}
            yield "portfolios", row["id"], told | {"levels": status.levels_document(levels[row["id"]])}
        yield from self._incidents()
        for silence in self._app.alarm.silences.active(self._app.clock.time_ms()):
            yield "silences", silence.id, silence_document(silence)
        yield from self._recent()

    def _pools(self) -> Iterator[Row]:
        app = self._app
        levels = {one.id: one.levels for one in app.settings.accounts}
        for scope in sorted(app.engine.arrays.scopes.values()):
            # between two turns pools come and go, and rows change hands
            try:
                index = app.engine.arrays.row(scope)
            except KeyError:
                continue
            now_ns = app.clock.monotonic_ns()
            result = app.engine.result(index, now_ns)
            document = status.pool_document(result, status.funding_of(app, [result]).get(scope))
            document["data_at_s"] = _at_s(now_ns, document.pop("data_age_s"))
            if result.account in levels:
                yield "pools", "/".join(scope), document | {"levels": status.levels_document(levels[result.account]), "next": _next(result)}

    def _incidents(self) -> Iterator[Row]:
        told: dict[str, dict[str, Any]] = {}
        for incident in self._app.alarm.policy.firing():
            document = status.incident_document(self._app, incident)
            before = self._firing.get(incident.key, {})
            told[incident.key] = {key: _steady(key, value, before) for key, value in document.items()}
        self._firing = told
        for key, document in told.items():
            yield "alerts", key, document

    def _recent(self) -> Iterator[Row]:
        newest = list(self._app.alarm.recent)[-RECENT:]
        self._alerts = {alert.id: self._alerts.get(alert.id) or _alert(alert) for alert in newest}
        for name, document in self._alerts.items():
            yield "recent", name, document

    def of_seconds(self, pages: int) -> Iterator[Row]:
        """The rows of OF_SECONDS, likewise; `pages` is how many are connected."""
        app = self._app
        yield "monitor", "monitor", self._monitor()
        yield "statistics", "monitor", _statistics(app) | {"pages": pages}
        now_ns = app.clock.monotonic_ns()
        for state in list(app.book.freshness.feeds.values()):
            document = status.feed_document(state, now_ns)
            del document["since_s"]
            name = f"{state.venue}|{state.feed}|{state.account or ''}"
            yield "feeds", name, document | {"since_at_s": state.at_ns / SECOND_NS}
        for connector in list(app.connectors):
            described = connector.describe()
            yield from _connections(connector.venue, described.get("connections", {}))
            yield "venues", connector.venue, _venue(app, connector.venue, described)

    def _monitor(self) -> dict[str, Any]:
        app = self._app
        unready, alarmed = app.unready(), app.settings.alarmed_portfolios
        return {
            "ready": not unready,
            "unready": unready,
            "started_ms": app.started_ms,
            "accounts": [status.configured_account(app, one) for one in app.settings.accounts],
            "portfolios": [
                {
                    "id": one.id,
                    "accounts": list(one.accounts),
                    "alarm": one.id in alarmed,
                    "levels": status.levels_document(one.levels),
                    "parameters": one.parameters,
                }
                for one in app.settings.portfolios
            ],
        }


def report_rows(document: Mapping[str, Any]) -> Iterator[Row]:
    """The rows of OF_REPORTS that a report document holds."""
    common = {"as_of": document["as_of"]}
    for row in document["portfolios"]:
        yield "reports", row["id"], row | common | {"parameters": document["parameters"]}
    for row in document["accounts"]:
        yield "rules", f"{row['venue']}/{row['id']}/{row['pool']}", row | common
    for account, modes in document["modes"].items():
        yield "modes", account, modes | common


def _statistics(app: Application) -> dict[str, Any]:
    return {
        "evaluations": app.engine.statistics.evaluations,
        "outbox": app.alarm.outbox.statistics(),
        "receivers": app.alarm.dispatcher.statistics(),
        "heartbeat": None if app.alarm.heartbeat is None else app.alarm.heartbeat.statistics(),
        "recording": None if app.recording is None else app.recording.document(),
        "parse_errors": [{"venue": key[0], "feed": key[1], "kind": key[2], "count": count} for key, count in app.book.parse_errors.items()],
        "kernel_warm_up_s": app.warm_up_s,
    }


def _connections(venue: str, connections: Mapping[str, SessionStatistics]) -> Iterator[Row]:
    for name, told in connections.items():
        kept = {key: getattr(told, key) for key in _OF_A_CONNECTION}
        times = {"last_frame_at_s": _seconds(told.last_frame_ns), "connected_at_s": _seconds(told.connected_ns)}
        yield "connections", f"{venue}|{name}", {"venue": venue, "name": name, **kept, **times}


def _venue(app: Application, venue: str, described: Mapping[str, Any]) -> dict[str, Any]:
    said = app.book.venue_status.get(venue)
    kept = {key: described.get(key) for key in ("push_accounts", "polled_accounts", "waiting_accounts", "budget")}
    if said is None:
        return {"time_ms": None, "clock_offset_s": None, "statuses": [], "heard_at_s": None, **kept}
    return {
        "time_ms": said.time_ms,
        "clock_offset_s": round(status.clock_offset_s(app, venue), 3),
        "statuses": list(said.statuses),
        "heard_at_s": said.received_ns / SECOND_NS,
        **kept,
    }


def _next(result: PoolResult) -> str | None:
    return NEXT_STEP[result.kind].format(limit=result.limit) if result.valid else None


def _alert(alert: Any) -> dict[str, Any]:
    document = alert_document(alert)
    del document["deliveries"]
    return document


def _steady(key: str, value: Any, before: Mapping[str, Any]) -> Any:
    known = before.get(key)
    return known if key.endswith("_ms") and known is not None and abs(value - known) <= _SAME_MS else value


def _seconds(time_ns: int | None) -> float | None:
    return None if not time_ns else time_ns / SECOND_NS


def _at_s(now_ns: int, age_s: float | None) -> float | None:
    return None if age_s is None else round(now_ns / SECOND_NS - age_s, 3)
