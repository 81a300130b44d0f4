"""The live table in the terminal: every pool, its ratio against the thresholds, and what was told lately."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from monitor.alerts.alert import Alert
from monitor.alerts.incident import Change
from monitor.alerts.text import symbol
from monitor.funding import PoolFunding
from monitor.margin.result import Level, PoolResult
from monitor.pool_arrays import Scope

BAR = 12
FULL = 1.2
"""Ratio at the right end of the bar."""

STYLES = {
    Level.OK: "green",
    Level.WARNING: "yellow",
    Level.CRITICAL: "bold dark_orange",
    Level.LIQUIDATION: "bold white on red",
    Level.BREACH: "bold white on red",
}


def short(value: float | None) -> str:
    """A money amount in few characters: 1234567 is 1.23M; a dash when unknown."""
    if value is None or math.isnan(value):
        return "-"
    if not math.isfinite(value):
        return "inf" if value > 0 else "-inf"
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.2f}{letter}"
    return f"{value:.2f}"


def percent(ratio: float | None, decimals: int = 1) -> str:
    """A ratio in percent; a dash when unknown."""
    if ratio is None:
        return "-"
    # cut, as in alerts: never rounded up to a level it has not reached
    size = 10.0**decimals
    return f"{math.floor(100 * size * ratio + 1e-9) / size:.{decimals}f}%" if math.isfinite(ratio) else "inf"


def bar(ratio: float | None, levels: Sequence[float], style: str) -> Text:
    """The ratio as a bar with a tick at every threshold."""
    filled = 0 if ratio is None else min(BAR, math.floor(BAR * min(ratio, FULL) / FULL))
    ticks = {min(BAR - 1, int(BAR * level / FULL)) for level in levels}
    text = Text()
    for cell in range(BAR):
        character = "|" if cell in ticks else ("█" if cell < filled else "·")
        text.append(character, style=style if cell < filled else "dim")
    return text


def funding_text(funding: PoolFunding | None, *, known: bool = True) -> str:
    """`-1.2k 14:00 -> 61%`: what a pool receives (+) or pays next, when (UTC), and its ratio after it; a dash for what is unknown.

    Empty for a pool that holds no perpetuals. Not `known`: in brackets, as it was known last.
    """
    if funding is None:
        return ""
    when = "-" if funding.time_ms is None else f"{datetime.fromtimestamp(funding.time_ms / 1000, UTC):%H:%M}"
    paid = f"{_amount(funding.amount)} {when}"
    if not known:
        return f"({paid})"
    return paid if funding.ratio_after is None else f"{paid} -> {percent(funding.ratio_after, 0)}"


def _amount(value: float | None) -> str:
    if value is None:
        return "-"
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:+.1f}{letter}"
    return f"{value:+.1f}" if abs(value) >= 1 or value == 0 else f"{value:+.2f}"


def pool_table(
    results: Sequence[PoolResult], levels: Mapping[str, Sequence[float]], title: str, funding: Mapping[Scope, PoolFunding] | None = None
) -> Table:
    """The table of all pools, in the order given, with the next funding of those that are in `funding`."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, expand=False)
    for heading in _HEADINGS:
        table.add_column(heading, justify="right" if heading in _RIGHT else "left", no_wrap=True)
    for result in results:
        table.add_row(*_row(result, levels.get(result.account, (0.85, 0.90, 1.0)), (funding or {}).get(result.scope)))
    return table


_HEADINGS = (
    "account", "pool", "mode", "equity", "maint.", "ratio", "0..120 %", "level", "to safety", "funding, UTC", "age", "worst position",
)  # fmt: skip
_RIGHT = frozenset({"equity", "maint.", "ratio", "to safety", "age"})


def _row(result: PoolResult, levels: Sequence[float], funding: PoolFunding | None) -> list[RenderableType]:
    style = STYLES.get(result.level, "green")
    state = Text(result.level.label, style=style)
    ratio = result.margin_ratio
    if ratio is None:
        style = "magenta"
        reason = result.failures[0].reason.value if result.failures else "UNKNOWN"
        state = Text(reason, style="bold magenta")
        ratio = result.last_margin_ratio
    elif result.reconciled is False:
        state.append(" unreconciled", style="magenta")

    def known(text: str) -> str:
        # in brackets: what was known last, and holds no more
        return text if result.margin_ratio is not None or text == "-" else f"({text})"

    worst = symbol(result.worst_instrument) if result.worst_instrument else ""
    if result.worst_distance is not None:
        worst += f" {100 * result.worst_distance:+.1f}%"
    age = "-" if result.data_age_s is None else f"{result.data_age_s:.1f}s"
    return [
        result.account,
        result.pool,
        result.mode.removesuffix("_margin").removesuffix("_assets").removesuffix("_asset"),
        known(f"{short(result.equity)} {result.asset}" if result.equity is not None else "-"),
        known(short(result.maintenance_margin)),
        Text(known(percent(ratio)), style=style),
        bar(ratio, levels, style),
        state,
        known(short(result.cash_to_safety)),
        funding_text(funding, known=result.margin_ratio is not None),
        age,
        worst,
    ]


class AlertLines:
    """The last alert lines, for the part below the table."""

    def __init__(self, keep: int = 8) -> None:
        self._lines: deque[Text] = deque(maxlen=keep)

    def add(self, stamp: str, alert: Alert) -> Text:
        """Remember one alert; returns its line."""
        line = alert_line(stamp, alert)
        self._lines.append(line)
        return line

    def render(self) -> RenderableType:
        """The lines, newest last."""
        return Group(Text("alerts", style="bold"), *(self._lines or [Text("none so far", style="dim")]))


def alert_line(stamp: str, alert: Alert) -> Text:
    """One alert as a line: when, and the first line of its text."""
    done = alert.change in (Change.RESOLVED, Change.DEESCALATED)
    style = "green" if done else STYLES.get(alert.level, "yellow")
    line = Text(f"{stamp}  ", style="dim")
    line.append(alert.title, style=style)
    return line


def show(
    console: Console,
    results: Sequence[PoolResult],
    levels: Mapping[str, Sequence[float]],
    title: str,
    funding: Mapping[Scope, PoolFunding] | None = None,
) -> None:
    """Print the table once."""
    console.print(pool_table(results, levels, title, funding))
