"""What a result says to the alarm: pure functions, no state, no clock.

The data rule: a result without a number, or a stale one, is no evidence of health. It raises an alert of its own after a hold,
freezes the level alerts of its pool (they keep firing and repeating) and never resolves one. A stale number may still raise or
worsen a level: unsure is never shown as healthy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from monitor.margin.result import Level, PoolResult

LEVELS = (Level.LIQUIDATION, Level.CRITICAL, Level.WARNING)


class Rule(StrEnum):
    """What an alert is about."""

    LEVEL = "margin_level"
    DATA = "data"
    UNRECONCILED = "unreconciled"
    LIQUIDATION_SEEN = "liquidation_seen"
    MARGIN_CALL = "margin_call"
    ACCOUNT_FAILURE = "account_failure"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Margin ratios at which a level begins; 1.0 is where the venue liquidates. ValueError unless increasing from above 0."""

    warning: float = 0.85
    critical: float = 0.90
    liquidation: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.warning < self.critical < self.liquidation:
            raise ValueError(f"thresholds must increase from above 0, got {self.warning:g}, {self.critical:g}, {self.liquidation:g}")

    def of(self, level: Level) -> float:
        """The ratio at which `level` begins; 0 for OK, the liquidation ratio for BREACH."""
        if level >= Level.LIQUIDATION:
            return self.liquidation
        return (0.0, self.warning, self.critical)[level]


def level_of(ratio: float, thresholds: Thresholds) -> Level:
    """The level of a margin ratio: the highest whose threshold it has reached (`>=`). `ratio` is a number or +inf."""
    return next((level for level in LEVELS if ratio >= thresholds.of(level)), Level.OK)


def has_left(ratio: float, level: Level, thresholds: Thresholds, hysteresis: float) -> bool:
    """Whether the ratio is below the level's threshold by more than the gap: `ratio < threshold - hysteresis`."""
    return ratio < thresholds.of(level) - hysteresis


def number(result: PoolResult) -> float | None:
    """The margin ratio, or the last one of a stale result, where it is a number (+inf included); None else."""
    ratio = result.last_margin_ratio if result.margin_ratio is None and result.stale else result.margin_ratio
    return None if ratio is None or math.isnan(ratio) else ratio


def is_usable(result: PoolResult) -> bool:
    """Whether the result is evidence of health: a number, without failures, not stale."""
    return number(result) is not None and not result.stale and not result.failures


def data_problem(result: PoolResult) -> str:
    """Why a result is no evidence, as `REASON: sentence`; empty for a usable one."""
    if result.failures:
        first = result.failures[0]
        more = f" (and {len(result.failures) - 1} more)" if len(result.failures) > 1 else ""
        return f"{first.reason.value}: {first.detail}{more}"
    if result.stale:
        return "STALE: the data behind the margin are old"
    return "" if number(result) is not None else "NO_NUMBER: the margin method gave no ratio"
