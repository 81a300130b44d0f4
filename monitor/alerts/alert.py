"""An alert as it leaves the program: complete, plain, the same whether it is sent at once or read back from the outbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monitor.alerts.incident import Change
from monitor.alerts.rules import Rule
from monitor.alerts.scope import AlertScope
from monitor.margin.result import Level


@dataclass(frozen=True, slots=True)
class Alert:
    """One notification, rendered. Receivers and the outbox know nothing else.

    `key` names what fires and is the same after a restart; `incident` this time that it fires; `id` this notification of it: whoever
    gets one twice can tell by it. `figures` are the document of the pool or portfolio (`status.pool_document`, ...), empty where the
    rule has none. Times: Unix milliseconds. `escalated_from`: the receiver that did not take it in time. `maintenance`: why
    the venue is in maintenance.
    """

    key: str
    number: int
    sequence: int
    rule: Rule
    change: Change
    level: Level
    previous: Level
    scope: AlertScope
    title: str
    details: tuple[str, ...]
    time_ms: int
    opened_ms: int
    subject: str = ""
    detail: str = ""
    tags: tuple[str, ...] = ()
    frozen: bool = False
    ratio: float | None = None
    ratio_at_crossing: float | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)
    link: str = ""
    escalated_from: str = ""
    maintenance: str = ""

    @property
    def incident(self) -> str:
        """`key#number`."""
        return f"{self.key}#{self.number}"

    @property
    def id(self) -> str:
        """`key#number.sequence`."""
        return f"{self.incident}.{self.sequence}"

    @property
    def severity(self) -> Level:
        """What `min_level` is compared with: an end is told to whom the beginning was told."""
        return max(self.level, self.previous)

    @property
    def is_resolved(self) -> bool:
        """Whether it ends its incident."""
        return self.change is Change.RESOLVED

    @property
    def text(self) -> str:
        """Title and details as one text."""
        return "\n".join((self.title, *self.details))
