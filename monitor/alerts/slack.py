"""Receiver `slack`: an incoming webhook, `text` for the notification line and `blocks` for the message.

Slack's limits are kept: at most 50 blocks, 3,000 characters in a section. A 429's `Retry-After` is honoured by the dispatcher.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from config.secrets import Secret
from monitor.alerts.http import Poster, deliver
from monitor.alerts.message import Delivery, Message
from monitor.alerts.text import Text, render
from monitor.margin.result import Level

_MOST_ALERTS = 48
_LONGEST_SECTION = 3000


@dataclass(frozen=True, slots=True)
class SlackReceiver:
    """Posts to a Slack incoming webhook."""

    name: str
    url: Secret
    poster: Poster
    min_level: Level = Level.WARNING
    timeout_s: float = 10.0

    async def send(self, message: Message) -> Delivery:
        """Post once."""
        return await deliver(self.poster, self.url, payload(message), self.timeout_s)


def payload(message: Message) -> dict[str, Any]:
    """The webhook's payload: title as `text`; a section per alert, worst first, those beyond 48 counted."""
    return {"text": escape(message.text.title), "blocks": list(_blocks(message))}


def escape(text: str) -> str:
    """Slack's control characters as entities, so that no text becomes a link, mention or markup of its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _blocks(message: Message) -> Iterator[dict[str, Any]]:
    ordered = sorted(message.notifications, key=lambda notification: -notification.severity)
    if len(ordered) > 1:
        yield _section(f"*{escape(message.text.title)}*")
    for notification in islice(ordered, _MOST_ALERTS):
        yield _section(_markdown(render(notification)))
    if len(ordered) > _MOST_ALERTS:
        yield _section(f"and {len(ordered) - _MOST_ALERTS} more; see the monitor's page")


def _markdown(text: Text) -> str:
    return "\n".join((f"*{escape(text.title)}*", *map(escape, text.details)))


def _section(markdown: str) -> dict[str, Any]:
    cut = markdown if len(markdown) <= _LONGEST_SECTION else markdown[: _LONGEST_SECTION - 1] + "…"
    return {"type": "section", "text": {"type": "mrkdwn", "text": cut}}
