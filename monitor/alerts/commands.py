"""The commands `alerts` and `silence`: what fires, what was told to whom, and what is not to be sent for a while."""

from __future__ import annotations

import datetime
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
from rich import box
from rich.table import Table
from rich.text import Text

from config import ConfigError, load
from monitor.alerts.documents import VERSION, entry_document, firing_document, silence_document
from monitor.alerts.outbox import OutboxError, Outcome
from monitor.alerts.outbox_history import Contents, read_contents
from monitor.alerts.silences import fits
from monitor.client import MonitorClient, MonitorError
from monitor.console import console_of

ALERTS = "/api/v1/alerts"
SILENCES = "/api/v1/silences"
WIDTH = 140
"""Columns where the output is no terminal."""

DONE, FAILED = 0, 2
"""Exit codes."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([smhd])", re.ASCII)
_STYLES = {"warning": "yellow", "critical": "red", "liquidation": "bold red", "breach": "bold red"}
_RESOLVED = "resolved"


class AlertsError(Exception):
    """There is no history to show; the sentence says why and what to do."""


def seconds_of(text: str) -> float:
    """Seconds of a duration: `90s`, `15m`, `2h`, `1d`, `1.5h`. Raises click.BadParameter."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or not float(found[1]):
        raise click.BadParameter(f'"{text}" is no duration; write such as 90s, 15m, 2h or 1d')
    return float(found[1]) * _UNITS[found[2]]


def show_alerts(config: Path | None, url: str | None, token_env: str | None, limit: int, key: str | None, as_json: bool) -> int:
    """Print what fires and the last `limit` alerts whose key fits a pattern, of a running monitor or from its outbox."""
    try:
        document = _of_file(config, limit, key) if config is not None else _of_monitor(MonitorClient(str(url), token_env), limit, key)
    except (AlertsError, ConfigError, OutboxError, MonitorError) as error:
        return _fail(error)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        _print(document, key)
    return DONE


def add_silence(url: str, token_env: str | None, key: str, for_s: float, reason: str, up_to: str) -> int:
    """Silence a running monitor; prints the silence, and how many firing alerts its key fits."""
    asked = {"key": key, "for_s": for_s, "reason": reason, "up_to": up_to}

    def add(monitor: MonitorClient) -> list[str]:
        told = monitor.post(SILENCES, asked)
        return [_silence(told["silence"]), _fits(told["fits"])]

    return _about_silences(url, token_env, add)


def list_silences(url: str, token_env: str | None) -> int:
    """Print the silences of a running monitor."""
    return _about_silences(url, token_env, lambda monitor: list(map(_silence, monitor.get(SILENCES)["silences"])) or ["no silence"])


def end_silence(url: str, token_env: str | None, id: str) -> int:
    """End a silence of a running monitor before its time; what it held back is told if it still fires."""
    path = f"{SILENCES}/{quote(id, safe='')}"
    return _about_silences(url, token_env, lambda monitor: [_silence(monitor.delete(path)["silence"], "ended")])


def _about_silences(url: str, token_env: str | None, ask: Callable[[MonitorClient], list[str]]) -> int:
    try:
        lines = ask(MonitorClient(url, token_env))
    except MonitorError as error:
        return _fail(error)
    except KeyError:
        return _fail(MonitorError(f"what answers at {url} is no monitor of this version"))
    for line in lines:
        click.echo(line)
    return DONE


def _fail(error: Exception) -> int:
    click.echo(str(error), err=True)
    return FAILED


# -- where it is read ----------------------------------------------------------------------------------------------------------------------


def _of_monitor(monitor: MonitorClient, limit: int, key: str | None) -> dict[str, Any]:
    found = monitor.get(ALERTS, {"limit": limit} | ({} if key is None else {"key": key}))
    if not {"firing", "history", "silences"} <= found.keys():
        raise MonitorError(f"what answers at {monitor.url} is no monitor of this version")
    return found


def _of_file(config: Path, limit: int, key: str | None) -> dict[str, Any]:
    path = load(config, quiet=True).outbox_path
    if path is None:
        raise AlertsError(f'{config}: alerts are kept in memory only (alerts.outbox is "memory"); ask the running monitor with --url')
    now_ms = time.time_ns() // 1_000_000
    try:
        found = read_contents(path, limit, now_ms, key=key)
    except OutboxError as error:
        raise AlertsError(f"{error}; the outbox of {config} is {path}") from None
    left_out = f"outbox {path.name}: {found.unreadable} of its entries could not be read and were left out"
    return {
        "version": VERSION,
        "as_of_ms": now_ms,
        "firing": _firing_documents(found, key),
        "silences": [silence_document(silence) for silence in found.silences],
        "history": [entry_document(entry) for entry in found.history],
        "outbox_problem": left_out if found.unreadable else "",
    }


def _firing_documents(found: Contents, key: str | None) -> list[dict[str, Any]]:
    return [
        firing_document(one, round(one.opened_s * 1e3), round(one.notified_s * 1e3)) | {"text": latest.title if latest else ""}
        for one, latest in found.firing
        if key is None or fits(one.key, key)
    ]


# -- how it is printed ---------------------------------------------------------------------------------------------------------------------


def _print(document: Mapping[str, Any], key: str | None) -> None:
    console = console_of(WIDTH)
    firing, history = document["firing"], document["history"]
    texts: dict[str, str] = {}
    for entry in history:
        texts.setdefault(entry["key"], entry["text"])
    nothing = Text("nothing fires" if key is None else f"nothing that fits {key} fires")
    console.print(_firing(firing, texts, document["as_of_ms"]) if firing else nothing)
    for silence in document["silences"]:
        console.print(Text(_silence(silence)))
    none = Text("no alert in the history" if key is None else f"no alert in the history fits {key}")
    console.print(_history(history) if history else none)
    if document["outbox_problem"]:
        console.print(Text(f"the outbox is out of order: {document['outbox_problem']}", style="red"))


def _firing(firing: Sequence[Mapping[str, Any]], texts: Mapping[str, str], now_ms: int) -> Table:
    table = _table(f"{len(firing)} firing", "since (UTC)", "for", "level", "alert")
    for one in firing:
        text = texts.get(one["key"]) or one.get("text") or one.get("detail") or ""
        alert = Text("\n".join(part for part in (text, one["key"]) if part))
        table.add_row(_utc(one["since_ms"]), _ago((now_ms - one["since_ms"]) / 1000), _level(one["level"]), alert)
    return table


def _history(history: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("history", "time (UTC)", "level", "change", "alert", "receivers")
    for entry in history:
        level = _level(entry["previous"] if entry["change"] == _RESOLVED else entry["level"])
        table.add_row(_utc(entry["time_ms"]), level, entry["change"], Text(entry["text"]), Text(_receivers(entry["deliveries"])))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, no_wrap=name not in ("alert", "receivers"), overflow="fold")
    return table


def _receivers(deliveries: Sequence[Mapping[str, Any]] | None) -> str:
    if deliveries is None:
        return "not known"
    return "\n".join(map(_delivery, deliveries)) or "nobody: no receiver takes it"


def _delivery(told: Mapping[str, Any]) -> str:
    name, outcome, reason = told["receiver"], told["outcome"], told["reason"]
    if outcome == Outcome.DELIVERED:
        return f"{name}: delivered"
    tries = f" after {told['attempts']} tries" if told["attempts"] > 1 else ""
    return f"{name}: {outcome}{tries}" + (f" ({reason})" if reason else "")


def _silence(silence: Mapping[str, Any], said: str = "until") -> str:
    what = f"{silence['key']} up to {silence['up_to']}"
    return f"silence {silence['id']}: {what}, {said} {_utc(silence['until_ms'])} UTC: {silence['reason']}"


def _fits(count: int) -> str:
    if not count:
        return "fits 0 alerts that fire now; `marginwatch alerts` shows the keys of those that do"
    return "fits 1 alert that fires now" if count == 1 else f"fits {count} alerts that fire now"


def _level(name: str) -> Text:
    return Text(name, style=_STYLES.get(name, ""))


def _utc(time_ms: int) -> str:
    return f"{datetime.datetime.fromtimestamp(time_ms / 1000, datetime.UTC):%Y-%m-%d %H:%M:%S}"


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0.0):.0f} s"
