"""Figures and tables as the text of a report writes them."""

from __future__ import annotations

import math
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from monitor.margin.result import Level
from monitor.report.plain import number
from monitor.terminal import STYLES, percent

DASH = "-"
"""Written for what is unknown."""

UNKNOWN, NONE = "unknown", "none"
"""Written for a move: it cannot be told, and no move gets there."""


def money(value: Any, *, signed: bool = False) -> str:
    """USD with two decimals, "infinite", or a dash for what is unknown; `signed`: with its sign, also a plus."""
    amount = number(value)
    if amount is None:
        return DASH
    if math.isinf(amount):
        return "infinite" if amount > 0 else "-infinite"
    return f"{amount:+,.2f}" if signed else f"{amount:,.2f}"


def brief(value: Any, *, signed: bool = False) -> str:
    """USD as `money` writes them, without decimals from 1,000 on."""
    amount = number(value)
    if amount is None or not 999.995 <= abs(amount) < math.inf:
        return money(value, signed=signed)
    return f"{amount:+,.0f}" if signed else f"{amount:,.0f}"


def ratio(value: Any) -> str:
    """A ratio in per cent with one decimal, cut."""
    known = number(value)
    return "infinite" if known == math.inf else percent(known)


def move(value: Any) -> str:
    """A relative move in per cent with its sign; NONE where no move gets there."""
    known = number(value)
    return NONE if known is None else f"{100 * known:+.2f}%"


def times(value: Any, equity: Any) -> str:
    """` (12.3x)`: how many times the equity; nothing where that has no meaning."""
    size, own = number(value), number(equity)
    return "" if size is None or own is None or not own > 0 else f" ({size / own:.1f}x)"


def level_text(level: str | None) -> Text:
    """A level in its colour; `unknown` for none."""
    if level is None:
        return Text("unknown", style="bold magenta")
    return Text(level, style=STYLES[Level[level.upper()]])


def plain_table(*headings: str, left: int, title: str = "") -> Table:
    """An empty table, the first `left` columns to the left; names fold where the line is too short, figures never do."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title or None, title_justify="left", title_style="bold")
    for place, heading in enumerate(headings):
        is_left = place < left
        table.add_column(heading, justify="left" if is_left else "right", overflow="fold", no_wrap=not is_left)
    return table
