"""The table a person looks at: what is known, what is not known any more, and what was told."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from connectors.events import FailureReason
from connectors.simulator.hyperliquid_desk import demo_plans
from monitor.alerts.announce import Desk, make_alert
from monitor.alerts.policy import AlertPolicy, PolicyConfig
from monitor.funding import PoolFunding
from monitor.margin.result import Failure, Level, PoolResult
from monitor.status import funding_of
from monitor.terminal import BAR, AlertLines, bar, funding_text, percent, pool_table, short, show
from tests.monitor.loopback import loopback
from tests.monitor.own_app import OwnApplication
from tests.monitor.test_status import POOL

STALE = replace(
    POOL, margin_ratio=None, last_margin_ratio=0.875, stale=True, failures=(Failure(FailureReason.STALE_MARK, "allDexsAssetCtxs is stale"),)
)


def text_of(renderable: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=220)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def row(result: PoolResult) -> str:
    return text_of(pool_table([result], {}, "test")).splitlines()[4]


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "-"), (0.0, "0.00"), (999.994, "999.99"), (1234.0, "1.23k"), (-1_234_567.0, "-1.23M"), (2.5e9, "2.50B"), (math.inf, "inf"),
     (-math.inf, "-inf"), (math.nan, "-")],
)  # fmt: skip
def test_money_is_short(value: float | None, said: str) -> None:
    assert short(value) == said


@pytest.mark.parametrize(
    ("ratio", "said"),
    [(None, "-"), (0.0, "0.0%"), (0.85, "85.0%"), (0.84999, "84.9%"), (0.89999, "89.9%"), (0.99999, "99.9%"), (1.0, "100.0%"),
     (0.29, "29.0%"), (0.57, "57.0%"), (math.inf, "inf")],
)  # fmt: skip
def test_a_ratio_is_never_rounded_up_to_a_level_it_has_not_reached(ratio: float | None, said: str) -> None:
    assert percent(ratio) == said


@pytest.mark.parametrize(("ratio", "filled"), [(None, 0), (0.0, 0), (0.6, BAR // 2), (1.2, BAR), (math.inf, BAR)])
def test_the_bar_fills_with_the_ratio(ratio: float | None, filled: int) -> None:
    drawn = bar(ratio, (), "green").plain
    assert len(drawn) == BAR
    assert drawn.count("█") == filled


def test_the_bar_has_a_tick_at_every_level() -> None:
    assert [cell for cell, mark in enumerate(bar(0.5, (0.6, 0.9, 1.0), "green").plain) if mark == "|"] == [6, 9, 10]


def test_a_row_says_what_is_known() -> None:
    shown = row(POOL)
    for word in ("maker", "main", "standard", "1.00k USDC", "875.00", "87.5%", "warning", "0.2s"):
        assert word in shown, word
    assert "(" not in shown


def test_a_stale_row_says_why_and_brackets_what_was_known_last() -> None:
    shown = row(STALE)
    assert "STALE_MARK" in shown
    for word in ("(1.00k USDC)", "(875.00)", "(87.5%)"):
        assert word in shown, word
    assert "warning" not in shown
    assert "ok" not in shown


def test_a_failed_row_shows_no_number() -> None:
    nothing = replace(STALE, last_margin_ratio=None, equity=None, maintenance_margin=None, data_age_s=None, level=Level.OK)
    shown = row(nothing)
    assert "STALE_MARK" in shown
    assert "%" not in shown
    assert "█" not in shown


def test_a_difference_from_the_venue_is_shown() -> None:
    assert "unreconciled" in row(replace(POOL, reconciled=False))
    assert "unreconciled" not in row(replace(POOL, reconciled=None))


def test_the_worst_position_stands_with_its_distance() -> None:
    assert "BTC -12.5%" in row(replace(POOL, worst_instrument="hyperliquid:BTC", worst_distance=-0.125))


# -- funding ------------------------------------------------------------------------------------------------------------------------

AFTERNOON = 1_795_269_600_000
"""2026-11-21 14:00 UTC."""


def due(amount: float | None = -1_234.0, ratio_after: float | None = 0.619, time_ms: int | None = AFTERNOON) -> PoolFunding:
    return PoolFunding(time_ms, amount, ratio_after, ())


@pytest.mark.parametrize(
    ("funding", "said"),
    [
        (None, ""),
        (due(), "-1.2k 14:00 -> 61%"),
        (due(2_500_000.0, 0.89999), "+2.5M 14:00 -> 89%"),
        (due(0.0, 0.0), "+0.0 14:00 -> 0%"),
        (due(-0.254, math.inf), "-0.25 14:00 -> inf"),
        (due(31.85, None), "+31.9 14:00"),
        (due(None, None), "- 14:00"),
        (due(None, None, None), "- -"),
    ],
)
def test_funding_in_few_characters(funding: PoolFunding | None, said: str) -> None:
    assert funding_text(funding) == said


def test_funding_known_last_stands_in_brackets() -> None:
    assert funding_text(due(), known=False) == "(-1.2k 14:00)"


def test_a_row_says_what_is_paid_next() -> None:
    shown = text_of(pool_table([POOL, STALE], {}, "test", {POOL.scope: due()}))
    fresh, stale = shown.splitlines()[4:6]
    assert " -1.2k 14:00 -> 61% " in fresh
    assert " (-1.2k 14:00) " in stale


async def test_the_whole_table_fits_150_columns() -> None:
    names = tuple(plan.name for plan in demo_plans("crash"))
    console = Console(file=io.StringIO(), width=400)
    async with loopback(names, scenario="crash", duration=60.0) as monitor:
        for _ in range(12):
            await monitor.run(5.0)
            results = monitor.app.results()
            table = pool_table(results, {}, "", funding_of(monitor.app, results))
            assert table.__rich_measure__(console, console.options).maximum <= 150
            assert any(" -> " in funding_text(one) for one in funding_of(monitor.app, results).values())


def test_alert_lines_keep_the_last_ones() -> None:
    policy = AlertPolicy(PolicyConfig(hold_s=0.0))
    lines, desk = AlertLines(keep=2), Desk(OwnApplication().settings)
    assert "none so far" in text_of(lines.render())
    for step, ratio in enumerate((0.86, 0.91, 1.2)):
        for notification in policy.observe([replace(POOL, margin_ratio=ratio)], float(step)):
            lines.add(f"{step}.0s", make_alert(notification, desk, 0.0))
    shown = text_of(lines.render())
    assert "WARNING 86%" not in shown
    assert "1.0s  CRITICAL 91% maker/main" in shown
    assert "2.0s  LIQUIDATION 120% maker/main" in shown


def test_show_prints_the_table_once() -> None:
    console = Console(file=io.StringIO(), width=220)
    show(console, [POOL, STALE], {"maker": (0.5, 0.6, 1.0)}, "how it ended")
    assert isinstance(console.file, io.StringIO)
    printed = console.file.getvalue()
    assert printed.count("maker") == 2
    assert "how it ended" in printed
