"""The numbers of the alert policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from monitor.alerts.rules import Thresholds
from monitor.alerts.scope import AlertScope, ScopeKind
from monitor.margin.result import Level

_SILENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """Ratios are fractions, durations seconds.

    `thresholds_for` maps an account to its own thresholds, `portfolio_thresholds` a portfolio. `repeat_s` maps a level to its repeat
    interval, no entry: never; BREACH repeats as LIQUIDATION does unless it has its own.
    """

    thresholds: Thresholds = field(default_factory=Thresholds)
    thresholds_for: Mapping[str, Thresholds] = field(default_factory=dict)
    portfolio_thresholds: Mapping[str, Thresholds] = field(default_factory=dict)
    hysteresis: float = 0.02
    hold_s: float = 5.0
    worsening_step: float = 0.05
    data_hold_s: float = 10.0
    data_critical_s: float = 60.0
    occurrence_gap_s: float = 10.0
    occurrence_quiet_s: float = 900.0
    repeat_s: Mapping[Level, float] = field(
        default_factory=lambda: {Level.WARNING: 3600.0, Level.CRITICAL: 900.0, Level.LIQUIDATION: 300.0}
    )

    def of(self, scope: AlertScope) -> Thresholds:
        """The thresholds of a scope: its portfolio's, its account's, or the general ones."""
        if scope.kind is ScopeKind.PORTFOLIO:
            return self.portfolio_thresholds.get(scope.name, self.thresholds)
        return self.thresholds_for.get(scope.account, self.thresholds)

    def repeat_of(self, level: Level) -> float | None:
        """How often a firing alert of this level is told again; None: never."""
        return self.repeat_s.get(level, self.repeat_s.get(min(level, Level.LIQUIDATION)))

    @property
    def silence_s(self) -> float:
        """A longer time without being told anything is time not watched: it counts towards no end and no lower level."""
        return max(self.hold_s, _SILENCE_S)
