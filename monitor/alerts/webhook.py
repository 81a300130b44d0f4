"""Receiver `webhook`: one generic JSON document per sending. Keys are stable; new ones may be added.

version        1
source         "marginwatch"
title, text    first line; first line and details
level          worst level in it: "warning" | "critical" | "liquidation" (an end counts as what it ends)
sent_at_ms     Unix milliseconds
alerts         list, worst first:
  incident         venue/account/pool/rule, the same from first to last notification and after a restart
  rule             "margin_level" | "data" | "unreconciled" | "liquidation_seen" | "account_failure"
  status           "firing" | "resolved"
  change           "fired" | "escalated" | "worsened" | "deescalated" | "repeated" | "resolved"
  level            level now ("ok" when resolved);  previous_level  the one before
  venue, account, pool     pool is "" for what concerns the whole account
  title, text, detail      as above; detail is the rule's own sentence or ""
  open_for_s       seconds since it fired
  frozen           true: the data are unusable, the figures are the last known
  margin_ratio, ratio_at_crossing     1.0 is where the venue liquidates; null unknown; "Infinity" without equity
  pool_kind, mode, asset, equity, maintenance_margin, excess, cash_to_safety, data_age_s     null where unknown
  reduce           {"instrument", "quantity"} (signed quantity to trade) or null
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from config.errors import masked
from config.secrets import Secret
from monitor.alerts.http import Poster, deliver
from monitor.alerts.message import Delivery, Message
from monitor.alerts.policy import Change, Notification
from monitor.alerts.text import render
from monitor.margin.result import Level, PoolResult


@dataclass(frozen=True, slots=True)
class WebhookReceiver:
    """Posts the JSON document; any 2xx is delivered."""

    name: str
    url: Secret
    poster: Poster
    min_level: Level = Level.WARNING
    timeout_s: float = 10.0

    async def send(self, message: Message) -> Delivery:
        """Post once."""
        return await deliver(self.poster, self.url, document(message), self.timeout_s)


def document(message: Message) -> dict[str, Any]:
    """The JSON document of a message, as the module says."""
    ordered = sorted(message.notifications, key=lambda notification: -notification.severity)
    return {
        "version": 1,
        "source": "marginwatch",
        "title": message.text.title,
        "text": message.text.full,
        "level": message.level.label,
        "sent_at_ms": message.sent_at_ms,
        "alerts": [_alert(notification) for notification in ordered],
    }


def _alert(notification: Notification) -> dict[str, Any]:
    venue, account, pool = notification.scope
    text = render(notification)
    return {
        "incident": notification.key,
        "rule": notification.rule.value,
        "status": "resolved" if notification.change is Change.RESOLVED else "firing",
        "change": notification.change.value,
        "level": notification.level.label,
        "previous_level": notification.previous.label,
        "venue": venue,
        "account": account,
        "pool": pool,
        "title": text.title,
        "text": text.full,
        "detail": masked(notification.detail),
        "open_for_s": notification.now_s - notification.opened_s,
        "frozen": notification.frozen,
        "margin_ratio": _number(notification.ratio),
        "ratio_at_crossing": _number(notification.ratio_at_crossing),
        **_figures(notification.result),
    }


def _figures(result: PoolResult | None) -> dict[str, Any]:
    names = ("mode", "asset", "equity", "maintenance_margin", "excess", "cash_to_safety", "data_age_s")
    if result is None:
        return {"pool_kind": None, **dict.fromkeys(names), "reduce": None}
    reduce = result.reduce and {"instrument": result.reduce[0], "quantity": result.reduce[1]}
    figures = {name: getattr(result, name) for name in names}
    return {
        "pool_kind": result.kind.value,
        **{name: _number(value) if isinstance(value, float) else value for name, value in figures.items()},
        "reduce": reduce,
    }


def _number(value: float | None) -> float | str | None:
    if value is None or math.isnan(value):
        return None
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
