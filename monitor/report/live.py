"""`marginwatch report --live URL`: the report of a running monitor, and the snapshot it was made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from monitor.client import MonitorClient, MonitorError
from monitor.report.command import BAD_FILE, DONE, NO_VALUE, console
from monitor.report.text import print_report

LIVE_TROUBLE = ("STALE", "OUTCOME", "PROXY", "CONFIGURED", "MISSING")


def run_live(url: str, portfolio: str | None, token_env: str | None, save: Path | None, form: str) -> int:
    """Print the live report, and `save` its snapshot. Returns the exit code, as `report` of a file does."""
    try:
        told = fetch(MonitorClient(url, token_env), portfolio)
        if save is not None:
            _save(told["snapshot"], save)
    except MonitorError as error:
        click.echo(str(error), err=True)
        return BAD_FILE
    report = told["report"]
    if form == "json":
        click.echo(json.dumps(report, indent=2))
    else:
        _print(report)
    return DONE if all(one["status"] == "ok" for one in report["portfolios"]) else NO_VALUE


def fetch(monitor: MonitorClient, portfolio: str | None) -> dict[str, Any]:
    """{report, snapshot} of a monitor. Raises MonitorError."""
    found = monitor.get("/api/v1/portfolios", {"snapshot": "1"} | ({} if portfolio is None else {"portfolio": portfolio}))
    if not {"report", "snapshot"} <= found.keys():
        raise MonitorError(f"what answers at {monitor.url} is no monitor of this version")
    return found


def _save(snapshot: Mapping[str, Any] | None, path: Path) -> None:
    if snapshot is None:
        raise MonitorError("no portfolio has a value now, so there is nothing to save")
    try:
        path.write_text(json.dumps(snapshot, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise MonitorError(f"{path} cannot be written: {error.strerror}") from None


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
