"""The terminal's whole picture of a running monitor: portfolios, every pool, the last alerts."""

from __future__ import annotations

from rich.console import Group
from rich.text import Text

from monitor.app import Application
from monitor.live.table import portfolio_panel
from monitor.status import funding_of
from monitor.terminal import AlertLines, pool_table

COMPILING = "portfolios: not computed yet (the first start on a machine compiles their kernels, which takes half a minute)"


def levels_of(app: Application) -> dict[str, tuple[float, float, float]]:
    """Warning, critical and liquidation ratios by account."""
    return {a.id: (a.levels.warning, a.levels.critical, a.levels.liquidation) for a in app.settings.accounts}


def screen(app: Application, title: str, lines: AlertLines | None = None) -> Group:
    """The picture now; without `lines` only the tables."""
    results = app.results()
    table = pool_table(results, levels_of(app), title, funding_of(app, results))
    portfolios = portfolio_panel(app.portfolio_views) if app.portfolio_views else Text(COMPILING, style="dim")
    return Group(table, portfolios, *([] if lines is None else [lines.render()]))
