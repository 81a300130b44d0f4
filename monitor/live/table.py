"""Portfolios in the terminal: the figure no venue acts on, and beside it which pool is liquidated first and what to send where."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.text import Text

from monitor.live.view import PortfolioView
from monitor.margin.portfolio import PortfolioResult
from monitor.margin.result import Level
from monitor.report.plain import plain
from monitor.report.text_venues import view_parts
from monitor.report.venue_sections import view_document
from monitor.resolvers.provenance import Provenance
from monitor.terminal import STYLES, percent, short

MOST_DOUBTS = 4
"""Sentences on market figures that nobody vouches for; the report has all."""


def portfolio_panel(views: Iterable[PortfolioView]) -> RenderableType:
    """One block a portfolio, in the order given."""
    return Group(*(part for view in views for part in _parts(view)))


def _parts(view: PortfolioView) -> Iterable[RenderableType]:
    head = Text(f"portfolio {view.portfolio}: ", style="bold")
    result = view.result
    if result is None or result.margin_ratio is None:
        reason = view.failures[0] if view.failures else None
        detail = f"{reason.reason.value}: {reason.detail}" if reason else "not computed yet"
        yield head.append(f"no value: {detail}", style="bold magenta")
    else:
        style = STYLES.get(Level.LIQUIDATION if result.level is Level.BREACH else result.level, "green")
        head.append(percent(result.margin_ratio), style=style)
        head.append(f"  equity {short(result.equity)}, stress maintenance {short(result.maintenance_margin)} USD")
        if view.saving is not None:
            saves = f" (offsets save {percent(view.saving, 0)})" if view.saving > 0 else ""
            head.append(f"; leg by leg {short(view.cross_maintenance_margin)}{saves}")
        if view.provenance is not None and view.provenance is not Provenance.LIVE:
            head.append(f"  [{view.provenance.value}]", style="dim" if view.provenance.is_live else "bold magenta")
        yield head
    if result is not None and result.maintenance_margin:
        yield Text(f"  {_made_of(result)}", style="dim")
    for doubt in view.doubts[:MOST_DOUBTS]:
        yield Text(f"  {doubt}", style="magenta")
    for reason_text in view.reasons:
        yield Text(f"  not to be relied on: {reason_text}", style="dim")
    if view.venues is not None:
        yield from view_parts(plain(view_document(view.venues)))


def _made_of(result: PortfolioResult) -> str:
    # what the margin is made of, the largest charge first
    charges: dict[str, float] = {}
    for unit in result.units:
        for name, value in unit.contingency.items():
            charges[name] = charges.get(name, 0.0) + value
    told = [(value, name.replace("_", " ")) for name, value in charges.items() if value >= 0.5]
    parts = [(value, f"{family} loss") for family, value in (result.families or {}).items() if family != "liquidity" and value >= 0.5]
    return "made of " + ", ".join(f"{name} {short(value)}" for value, name in [*parts, *sorted(told, reverse=True)])


def portfolio_line(view: PortfolioView) -> str:
    """A portfolio in one line: its ratio, who is liquidated first on each side and at which joint move, what to send where."""
    ratio = None if view.result is None else view.result.margin_ratio
    if ratio is None or view.venues is None:
        return f"portfolio {view.portfolio}: no value" + "".join(f"; {failure.detail}" for failure in view.failures[:1])
    told = "" if view.provenance is None or view.provenance.is_live else f" [{': '.join([view.provenance.value, *view.doubts[:1]])}]"
    saved = "" if view.saving is None or view.saving <= 0 else f" (saves {percent(view.saving, 0)} of cross)"
    parts = [f"portfolio {view.portfolio} {percent(ratio)}{saved}{told}"]
    for first, side in ((view.venues.first_down, "down"), (view.venues.first_up, "up")):
        if first is not None:
            pool = view.venues.pools[first[0]]
            parts.append(f"{side}: {pool.account}/{pool.pool} ({percent(pool.ratio)}) dies first at {100 * first[1]:+.1f}%")
    sent = max(view.venues.transfers, key=lambda transfer: transfer.usd, default=None)
    if sent is not None and sent.usd > 0:
        parts.append(f"send {short(sent.amount)} {sent.asset} to {sent.account} -> {percent(view.venues.common_ratio)} each")
    return "; ".join(parts)
