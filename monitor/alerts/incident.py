"""The words of the alert policy: what it is told, what it says, and what it must not forget."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from monitor.alerts.rules import OCCURRENCES, RATIO_RULES, Rule, Thresholds
from monitor.alerts.rules import Reading as Reading
from monitor.alerts.scope import AlertScope
from monitor.margin.result import Level


class Change(StrEnum):
    """Why a notification is sent."""

    FIRED = "fired"
    ESCALATED = "escalated"
    WORSENED = "worsened"
    DEESCALATED = "deescalated"
    REPEATED = "repeated"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is so, or not: told to the policy as long as it is. It fires after `hold_s` and ends once it was absent long enough.

    `subject` names what it is about and stays the same while that does ("BTC, ETH"): another one is told again. `detail` is the
    rule's own sentence with its figures. `frozen`: it cannot be judged now, so it neither fires nor ends. ValueError for a rule that is
    not one of conditions.
    """

    scope: AlertScope
    rule: Rule
    level: Level = Level.WARNING
    subject: str = ""
    detail: str = ""
    hold_s: float = 0.0
    frozen: bool = False

    def __post_init__(self) -> None:
        if self.rule in OCCURRENCES or self.rule in RATIO_RULES:
            raise ValueError(f"{self.rule.value} is no condition: tell it as an occurrence, or let the policy find it in the readings")


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something that happened at once (a liquidation, a transfer): told without delay, further ones at most every few seconds.

    ValueError for a rule that is not one of occurrences.
    """

    scope: AlertScope
    rule: Rule
    level: Level
    detail: str
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.rule not in OCCURRENCES:
            raise ValueError(f"{self.rule.value} is no occurrence: tell it as a condition as long as it is so")


@dataclass(frozen=True, slots=True)
class Notification:
    """One thing to tell.

    `key` names what fires (scope and rule, the same after a restart), `number` this incident of it (ever rising), `sequence` the
    notification within the incident, from 1. `level` is the level now (OK when resolved), `previous` the one before. `ratio` is the
    last number known, also while `frozen`; `ratio_before` the one last notified. `detail` is the rule's own sentence, `subject` what
    it is about, both empty for `margin_level`. `maintenance` says why the venue is in maintenance; empty: it is not. Times: monotonic s.
    """

    key: str
    number: int
    sequence: int
    rule: Rule
    change: Change
    scope: AlertScope
    level: Level
    previous: Level
    now_s: float
    opened_s: float
    thresholds: Thresholds
    ratio: float | None = None
    ratio_at_crossing: float | None = None
    ratio_before: float | None = None
    frozen: bool = False
    result: Reading | None = None
    subject: str = ""
    detail: str = ""
    maintenance: str = ""

    @property
    def severity(self) -> Level:
        """What a receiver's `min_level` is compared with: an end is told to whom the beginning was told."""
        return max(self.level, self.previous)


@dataclass(frozen=True, slots=True)
class OpenIncident:
    """A firing alert: all that a restarted policy needs to go on with it. Times: monotonic seconds of the process that holds it.

    `told_ratio` is the ratio last notified, `event_s` when an occurrence last happened, `events` how many did. `ratio` and `frozen`
    are for showing only: the last number known, and whether the data are unusable.
    """

    key: str
    number: int
    sequence: int
    rule: Rule
    scope: AlertScope
    level: Level
    opened_s: float
    notified_s: float
    ratio_at_crossing: float | None = None
    told_ratio: float | None = None
    subject: str = ""
    detail: str = ""
    events: int = 1
    event_s: float = 0.0
    ratio: float | None = None
    frozen: bool = False


def key_of(scope: AlertScope, rule: Rule) -> str:
    """The key of an alert: `hyperliquid/hl-main/USDC/margin_level`."""
    return f"{scope.path}/{rule.value}"
