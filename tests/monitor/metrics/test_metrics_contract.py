"""docs/metrics.md and a scrape name the same families, with the same labels; and the figures are those of the results."""

from __future__ import annotations

import asyncio
import math
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from config.secrets import Secret
from monitor.alerts.heartbeat import Heartbeat
from monitor.app import Application
from monitor.metrics.series import DETAILS
from monitor.recording.writer import WriterStatus
from tests.conftest import PROJECT
from tests.monitor.live.three_venues import three_venues
from tests.monitor.metrics.scrapes import by, families_of, scraped, text_of
from tests.monitor.own_app import OwnApplication

DOCUMENT = PROJECT / "docs" / "metrics.md"
PREFIX = "marginwatch_"


class Documented(NamedTuple):
    labels: frozenset[str]
    text: str


class _Caller:
    async def get(self, url: Secret, timeout_s: float) -> None:
        raise AssertionError("a heartbeat that was never started has called")


def documented() -> dict[str, Documented]:
    """The families of the tables, by their whole name, with the labels that their row and their section give them."""
    found: dict[str, Documented] = {}
    for section in DOCUMENT.read_text(encoding="utf-8").split("\n## ")[1:]:
        shared = re.findall(r"`(\w+)`", said.group()) if (said := re.search(r"^Labels? .*?[:.]", section, re.M)) else []
        for cells in re.findall(r"^\| (`marginwatch.*?) \| (.*?) ?\| (.*?) ?\|$", section, re.M):
            names, labels, text = re.findall(r"`([\w*]+)`", cells[0]), re.findall(r"`(\w+)`", cells[1]), cells[2]
            own = set(shared) - set(labels) if "without" in cells[1] else set(shared) | set(labels)
            if names == ["marginwatch_recording_*"]:
                names, own = [f"{PREFIX}recording_{name}" for name in re.findall(r"`(\w+)`", text)], set()
            found |= {name: Documented(frozenset(own), text) for name in names}
    return found


def exported(app: Application) -> dict[str, str]:
    """Types by the name that the plain text format gives a family."""
    return dict(re.findall(r"^# TYPE (\w+) (\w+)$", text_of(app), re.M))


def whole() -> Application:
    app = OwnApplication().app
    app.recording = WriterStatus()
    app.alarm.heartbeat = Heartbeat(_Caller(), Secret("https://beat.example/secret"), 30.0)  # type: ignore[arg-type]
    return app


def test_the_document_names_what_is_told_and_nothing_else() -> None:
    told = {name: kind for name, kind in exported(whole()).items() if name.startswith(PREFIX)}
    assert told.keys() == documented().keys()
    for name, kind in told.items():
        expected = "counter" if name.endswith("_total") else "histogram" if name.endswith("tick_to_decision_seconds") else "gauge"
        assert kind == expected, name


def test_what_is_not_ours_is_about_the_process() -> None:
    others = {name for name in exported(whole()) if not name.startswith(PREFIX)}
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"} <= others
    assert all(name.startswith("process_") for name in others)
    assert "`process_*`" in DOCUMENT.read_text(encoding="utf-8")


def test_recording_and_heartbeat_are_told_only_where_they_are() -> None:
    less = exported(whole()).keys() - exported(OwnApplication().app).keys()
    assert {name for name in less if "recording" not in name} == {"marginwatch_heartbeat_last_success_timestamp_seconds"}


def test_the_document_says_what_is_left_out_first() -> None:
    told = re.search(r"left out.*?first:(.*?)\.\s", DOCUMENT.read_text(encoding="utf-8"), re.S)
    assert told is not None
    assert re.findall(r"`(\w+)`", told.group(1)) == list(DETAILS)


async def test_a_desk_on_three_venues_reads_as_documented(require_server: Callable[[str], Path]) -> None:
    async with three_venues("crash", 60.0) as desk:
        await desk.until(lambda: _is_complete(desk.app), 30.0)
        text, families, tables = text_of(desk.app), families_of(desk.app), documented()
        samples = [sample for family in families.values() for sample in family.samples if sample.name.startswith(PREFIX)]
        histogram = f"{PREFIX}tick_to_decision_seconds"
        for sample in samples:
            assert not math.isnan(sample.value), sample
            name, labels = (histogram, {"le"} | sample.labels.keys()) if sample.name.startswith(histogram) else (sample.name, sample.labels)
            assert tables[name].labels == set(labels), sample
        silent = tables.keys() - {histogram, *(sample.name for sample in samples)}
        assert {name for name in silent if not name.startswith(f"{PREFIX}recording")} == SILENT
        _has_no_secrets(desk.app, text)
        _equals_the_results(desk.app)
        promtool = require_server("promtool")
        checked = await asyncio.to_thread(
            subprocess.run, [str(promtool), "check", "metrics"], input=text.encode(), capture_output=True, timeout=20, check=False
        )
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


SILENT = {
    f"{PREFIX}{name}"
    for name in (
        "account_failure_info",
        "portfolio_failure_info",
        "heartbeat_last_success_timestamp_seconds",
        "metrics_omitted_info",
    )
}
"""What a healthy desk has nothing to say of."""


def _is_complete(app: Application) -> bool:
    looked = bool(app.portfolio_views) and all(view.result for view in app.portfolio_views)
    return looked and bool(scraped(app)["account_model_error_ratio"])


def _has_no_secrets(app: Application, text: str) -> None:
    addresses = [account.address for account in app.settings.accounts if account.address]
    assert addresses
    assert [address for address in addresses if address.removeprefix("0x").lower() in text.lower()] == []
    assert re.search(r"0x[0-9a-f]{8}", text, re.I) is None


def _equals_the_results(app: Application) -> None:
    told = scraped(app)
    ratios = {result.scope: result.margin_ratio for result in app.results() if result.valid}
    assert by(told["account_margin_ratio"], "venue", "account", "pool") == ratios
    assert {"hyperliquid", "aster", "deribit"} <= {venue for venue, _, _ in ratios}
    for view, figures in zip(app.portfolio_views, app.portfolios.figures(), strict=True):
        name, result = view.portfolio, view.result
        assert result is not None
        assert by(told["portfolio_margin_ratio"], "portfolio")[name,] == figures.margin_ratio
        assert by(told["portfolio_gross_notional_usd"], "portfolio")[name,] == result.gross_notional
        losses = {(name, unit.coin): unit.max_loss for unit in result.units}
        assert losses.items() <= by(told["portfolio_max_loss_usd"], "portfolio", "coin").items()
        legs = by(told["portfolio_position_contribution_usd"], "portfolio", "account", "instrument", "side")
        own = {key[1:]: value for key, value in legs.items() if key[0] == name}
        every = {(leg.account or "", leg.instrument, leg.side or ""): leg.contribution for unit in result.units for leg in unit.positions}
        assert own.items() <= every.items()
        assert len(own) == min(len(every), app.settings.metrics.contributions)
        moves = by(told["portfolio_distance_ratio"], "portfolio", "coin", "level", "direction")
        assert {key[1:]: move for key, move in moves.items() if key[0] == name} == dict(view.distances)


@pytest.mark.parametrize("name", ["account_margin_ratio", "portfolio_valid", "queue_depth"])
def test_the_tables_are_read(name: str) -> None:
    labels = {"account_margin_ratio": {"venue", "account", "pool"}, "portfolio_valid": {"portfolio"}, "queue_depth": {"queue"}}
    assert documented()[PREFIX + name].labels == labels[name]
