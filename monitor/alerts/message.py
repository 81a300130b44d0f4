"""What a receiver gets, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from monitor.alerts.alert import Alert
from monitor.alerts.text import Text
from monitor.margin.result import Level


@dataclass(frozen=True, slots=True)
class Message:
    """One sending: a burst of alerts in order of time, with their common text. `sent_at_ms` is the wall clock (Unix ms).

    `handles` is what this receiver returned for the incidents in it before, by `Alert.incident` (Slack: where its message is).
    """

    text: Text
    alerts: tuple[Alert, ...]
    sent_at_ms: int
    handles: Mapping[str, str] = field(default_factory=dict)

    @property
    def level(self) -> Level:
        """Worst severity; an end counts as what it ends."""
        return max(alert.severity for alert in self.alerts)

    @property
    def is_all_resolved(self) -> bool:
        """Whether nothing in it asks for action."""
        return all(alert.is_resolved for alert in self.alerts)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a sending: `reason` is a status or error without any URL; `retry_after_s` is the receiver's own wish.

    `fatal`: trying again cannot help before somebody changes the configuration (wrong key, unknown channel). `handles` by incident are
    kept and given back with the incident's next message. `taken`: ids of alerts that were delivered although `delivered` is False, where
    a receiver sends them one by one; they are not sent again.
    """

    delivered: bool
    reason: str = ""
    retry_after_s: float | None = None
    fatal: bool = False
    handles: Mapping[str, str] = field(default_factory=dict)
    taken: frozenset[str] = frozenset()


class Receiver(Protocol):
    """Somewhere alerts go. `send` never raises for a receiver's failure: it says so in the Delivery."""

    @property
    def name(self) -> str:
        """The configured name."""

    async def send(self, message: Message) -> Delivery:
        """Deliver once, in bounded time."""


@runtime_checkable
class KeptAlive(Protocol):
    """A receiver that forgets an alert unless it is told again (Alertmanager)."""

    @property
    def keep_alive_s(self) -> float:
        """How often."""

    async def keep_alive(self, firing: Sequence[Alert], now_ms: int) -> Delivery:
        """Tell the last alert of every open incident that was sent here."""
