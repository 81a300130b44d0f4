"""Receiver `log`: alerts as log records of the logger `marginwatch.alerts`."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from monitor.alerts.message import Delivery, Message
from monitor.margin.result import Level

_log = logging.getLogger("marginwatch.alerts")


@dataclass(frozen=True, slots=True)
class LogReceiver:
    """Logs title and details: CRITICAL for critical and above, WARNING for warning, INFO when all of it is resolved."""

    name: str

    async def send(self, message: Message) -> Delivery:
        """Log it; always delivered."""
        severity = logging.CRITICAL if message.level >= Level.CRITICAL else logging.WARNING
        _log.log(logging.INFO if message.is_all_resolved else severity, "%s", message.text.full)
        return Delivery(True)
