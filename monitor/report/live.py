"""`marginwatch report --live URL`: the report of a running monitor, and the snapshot it was made of."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import click

from config.errors import masked
from monitor.report.command import BAD_FILE, DONE, NO_VALUE, console
from monitor.report.text import print_report

TIMEOUT_S = 30.0
MOST_BYTES = 64 * 2**20
LIVE_TROUBLE = ("STALE", "OUTCOME", "PROXY", "CONFIGURED", "MISSING")


class LiveError(Exception):
    """The monitor did not give a report; the sentence says why and what to do."""


def run_live(url: str, portfolio: str | None, token_env: str | None, save: Path | None, form: str) -> int:
    """Print the live report, and `save` its snapshot. Returns the exit code, as `report` of a file does."""
    try:
        told = fetch(url, portfolio, _token(token_env))
        if save is not None:
            _save(told["snapshot"], save)
    except LiveError as error:
        click.echo(str(error), err=True)
        return BAD_FILE
    report = told["report"]
    if form == "json":
        click.echo(json.dumps(report, indent=2))
    else:
        _print(report)
    return DONE if all(one["status"] == "ok" for one in report["portfolios"]) else NO_VALUE


def fetch(url: str, portfolio: str | None, token: str | None) -> dict[str, Any]:
    """{report, snapshot} of the monitor at a base URL. Raises LiveError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise LiveError(f"{masked(url)} is no address of a monitor: give one such as http://127.0.0.1:9876")
    query = {"snapshot": "1"} | ({} if portfolio is None else {"portfolio": portfolio})
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"{url.rstrip('/')}/api/v1/portfolios?{urlencode(query)}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            found = json.loads(answer.read(MOST_BYTES))
    except urllib.error.HTTPError as error:
        raise LiveError(f"the monitor at {url} answers {error.code}: {_said(error)}") from None
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise LiveError(f"no report from {url}: {reason}; is the monitor running there?") from None
    if not isinstance(found, dict) or not {"report", "snapshot"} <= found.keys():
        raise LiveError(f"what answers at {url} is no monitor of this version")
    return found


def _said(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read(65_536))["error"])
    except (ValueError, KeyError, TypeError, OSError):
        return error.reason or "no reason given"


def _token(name: str | None) -> str | None:
    if name is None:
        return None
    token = os.environ.get(name, "").strip()
    if not token:
        raise LiveError(f"the environment variable {name} holds no token")
    return token


def _save(snapshot: Mapping[str, Any] | None, path: Path) -> None:
    if snapshot is None:
        raise LiveError("no portfolio has a value now, so there is nothing to save")
    try:
        path.write_text(json.dumps(snapshot, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise LiveError(f"{path} cannot be written: {error.strerror}") from None


def _print(report: dict[str, Any]) -> None:
    complete = [one for one in report["portfolios"] if "units" in one]
    if complete:
        print_report(console(), [report | {"portfolios": complete}])
    for one in complete:
        doubtful = [row for row in one["inputs"] if row["provenance"] in LIVE_TROUBLE]
        for row in doubtful:
            click.echo(f"{one['id']}: {row['kind']} {row['name']} is {row['provenance']} ({row['source']})")
    for one in report["portfolios"]:
        if "units" not in one:
            click.echo(f"portfolio {one['id']}: no value: " + "; ".join(failure["detail"] for failure in one["failures"]))
