"""What a receiver gets: a burst of notifications with its text, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from monitor.alerts.policy import Change, Notification
from monitor.alerts.text import Text
from monitor.margin.result import Level


@dataclass(frozen=True, slots=True)
class Message:
    """One sending. `level` is the worst severity in it, `sent_at_ms` the wall clock (Unix milliseconds)."""

    text: Text
    notifications: tuple[Notification, ...]
    sent_at_ms: int

    @property
    def level(self) -> Level:
        """Worst severity of the notifications; an end counts as what it ends."""
        return max(notification.severity for notification in self.notifications)

    @property
    def is_all_resolved(self) -> bool:
        """Whether nothing in it asks for action."""
        return all(notification.change is Change.RESOLVED for notification in self.notifications)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a sending: `reason` is a status or error without any URL; `retry_after_s` is the receiver's own wish."""

    delivered: bool
    reason: str = ""
    retry_after_s: float | None = None


class Receiver(Protocol):
    """Somewhere alerts go. `send` never raises for a receiver's failure: it says so in the Delivery."""

    @property
    def name(self) -> str:
        """The configured name."""

    @property
    def min_level(self) -> Level:
        """The lowest severity to send."""

    async def send(self, message: Message) -> Delivery:
        """Deliver once, in bounded time."""
