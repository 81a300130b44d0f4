"""What the alarm reads of a live portfolio. Built by `monitor/live/readings.py`; this module is light, for texts need it alone."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.alerts.scope import AlertScope
from monitor.margin.result import Failure


@dataclass(frozen=True, slots=True)
class PortfolioReading:
    """A portfolio at one instant, money in USD. Figures are None where `failures` say why.

    `stale` is always False: a portfolio with old data has failures, and `last_margin_ratio` is then the last one it had. `worst` is the
    coin with the largest share of the maintenance margin with that margin. Only of a close look: `scenario` its worst scenario in words
    ("-10% vol up") with the `scenario_loss` there, and `contributor` the position that its margin owes most to. `cash_to_safety` brings
    the ratio back to the warning level, None below it. `next_step`: what happens at 100 %, and that no venue acts on this number unless
    it is of one account under the `uta` model.
    """

    portfolio: str
    accounts: tuple[str, ...]
    parameters: str
    margin_ratio: float | None
    last_margin_ratio: float | None = None
    equity: float | None = None
    maintenance_margin: float | None = None
    initial_margin: float | None = None
    excess: float | None = None
    cash_to_safety: float | None = None
    worst: tuple[str, float] | None = None
    scenario: str = ""
    contributor: str = ""
    next_step: str = ""
    stale: bool = False
    failures: tuple[Failure, ...] = ()
    scenario_loss: float | None = None

    @property
    def alert_scope(self) -> AlertScope:
        """The portfolio as alerts name it."""
        return AlertScope.portfolio(self.portfolio)
