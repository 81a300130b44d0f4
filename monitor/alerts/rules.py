"""What a reading says to the alarm: pure functions, no state, no clock.

The data rule: a reading without a number, or a stale one, is no evidence of health. It raises an alert of its own after a hold,
freezes the level alerts of its pool (they keep firing and repeating) and never resolves one. A stale number may still raise or
worsen a level: unsure is never shown as healthy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from monitor.alerts.scope import AlertScope, ScopeKind
from monitor.margin.result import Failure, Level


class Rule(StrEnum):
    """What an alert is about. How each comes about: of a ratio, as a condition, or as an occurrence."""

    # of the ratio of a pool or portfolio (the policy's own)
    LEVEL = "margin_level"
    DATA = "data"
    # conditions: so as long as they are told
    UNRECONCILED = "unreconciled"
    DISTANCE = "distance"
    RISING = "rising"
    ADL_QUEUE = "adl_queue"
    NET_DELTA = "net_delta"
    DELISTED = "delisted"
    DEPEG = "depeg"
    MODE = "mode"
    KEY = "key"
    ACCOUNT_FAILURE = "account_failure"
    STALE_FEED = "stale_feed"
    CLOCK = "clock"
    NETWORK = "network"
    RECEIVER = "receiver"
    OUTBOX = "outbox"
    # occurrences: told at once, ended by silence
    LIQUIDATION_SEEN = "liquidation_seen"
    MARGIN_CALL = "margin_call"
    MODE_CHANGED = "mode_changed"
    TRANSFER = "transfer"
    PARAMETERS = "parameters"
    # a drill of `alert-test`
    TEST = "test"


RATIO_RULES = frozenset({Rule.LEVEL, Rule.DATA})
"""What the policy itself finds in the readings."""

OCCURRENCES = frozenset({Rule.LIQUIDATION_SEEN, Rule.MARGIN_CALL, Rule.MODE_CHANGED, Rule.TRANSFER, Rule.PARAMETERS})
"""What happens at once. What is neither this nor of the ratio is a condition."""


class Reading(Protocol):
    """What the policy needs of a margin result: a `PoolResult`, or a `PortfolioReading`."""

    @property
    def alert_scope(self) -> AlertScope:
        """Whose it is."""
        ...

    @property
    def margin_ratio(self) -> float | None:
        """1.0 is where liquidation begins, +inf without equity; None where `failures` or `stale` say why."""
        ...

    @property
    def last_margin_ratio(self) -> float | None:
        """The last ratio known of a stale result."""
        ...

    @property
    def stale(self) -> bool:
        """Whether the data behind it are old."""
        ...

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Why there is no figure."""
        ...


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


def levels_of(scope: AlertScope) -> tuple[Level, Level, Level]:
    """The levels of a scope, highest first: no venue acts on a portfolio, so that its top is BREACH."""
    return (Level.BREACH if scope.kind is ScopeKind.PORTFOLIO else Level.LIQUIDATION, Level.CRITICAL, Level.WARNING)


def level_of(ratio: float, thresholds: Thresholds, top: Level = Level.LIQUIDATION) -> Level:
    """The level of a margin ratio: the highest whose threshold it has reached (`>=`). `ratio` is a number or +inf."""
    return next((level for level in (top, Level.CRITICAL, Level.WARNING) if ratio >= thresholds.of(level)), Level.OK)


def has_left(ratio: float, level: Level, thresholds: Thresholds, hysteresis: float) -> bool:
    """Whether the ratio is below the level's threshold by more than the gap: `ratio < threshold - hysteresis`."""
    return ratio < thresholds.of(level) - hysteresis


def number(reading: Reading) -> float | None:
    """The margin ratio, or the last one of a stale reading, where it is a number (+inf included); None else."""
    ratio = reading.last_margin_ratio if reading.margin_ratio is None and reading.stale else reading.margin_ratio
    return None if ratio is None or math.isnan(ratio) else ratio


def is_usable(reading: Reading) -> bool:
    """Whether the reading is evidence of health: a number, without failures, not stale."""
    return not reading.stale and not reading.failures and number(reading) is not None


def data_problem(reading: Reading) -> str:
    """Why a reading is no evidence, as `REASON: sentence`; empty for a usable one."""
    if reading.failures:
        first = reading.failures[0]
        more = f" (and {len(reading.failures) - 1} more)" if len(reading.failures) > 1 else ""
        return f"{first.reason.value}: {first.detail}{more}"
    if reading.stale:
        return "STALE: the data behind the margin are old"
    return "" if number(reading) is not None else "NO_NUMBER: the margin method gave no ratio"
