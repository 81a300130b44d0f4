"""Receiver `webhook`: one generic JSON document per sending. Keys are stable; new ones may be added.

version        2
source         "marginwatch"
title, text    first line; first line and details
level          worst level in it: "warning" | "critical" | "liquidation" | "breach" (an end counts as what it ends)
sent_at_ms     Unix milliseconds
alerts         list, in order of time:
  id               one notification of one incident; an alert may come twice, with the same id
  key              scope/rule, such as "hyperliquid/hl-main/USDC/margin_level": the same for ever, also after a restart
  incident         key#number: the same from the first to the last notification of this time that it fires
  number, sequence     of the incident, ever rising; of the notification within it, from 1
  kind             "pool" | "account" | "portfolio" | "feed" | "receiver" | "venue" | "monitor"
  venue, account, name     of what it is about, "" where it has none; name is the pool's, portfolio's, feed's or receiver's
  pool             name where kind is "pool", else ""
  tags             list of the account's or portfolio's tags
  rule             "margin_level" | "data" | "liquidation_seen" | ...; "test" is a drill
  status           "firing" | "resolved"
  change           "fired" | "escalated" | "worsened" | "deescalated" | "repeated" | "resolved"
  level            level now ("ok" when resolved);  previous_level  the one before
  title, text      as above;  detail  the rule's own sentence or "";  subject  what it names or ""
  maintenance      why the venue is in maintenance, or ""
  time_ms, opened_ms     Unix milliseconds: of this notification, of the incident's beginning;  open_for_s  between them
  frozen           true: the data are unusable, the figures are the last known
  margin_ratio, ratio_at_crossing     1.0 is where the venue liquidates; null unknown; "Infinity" without equity
  link             the page that shows it, or ""
  escalated_from   the receiver that did not take it in time, or ""
  pool_kind, mode, asset, equity, maintenance_margin, excess, cash_to_safety, data_age_s     null where unknown
  reduce           {"instrument", "quantity"} (signed quantity to trade) or null
  figures          the whole row of the pool or portfolio as /api/v1/status has it, {} where the rule has none

A document too large for the receiver (413) comes once more without text and figures, "shortened": true.

Headers. X-Marginwatch-Delivery: the same for the same alerts, so that a repeated sending can be told by it. With a secret configured
also X-Marginwatch-Timestamp (Unix seconds) and X-Marginwatch-Signature: "v1=" and the hex HMAC-SHA256, keyed with the secret, of the
timestamp, a full stop and the body's bytes as received. To verify: compute it anew over the raw body, compare in constant time
(`hmac.compare_digest`), and refuse a timestamp more than five minutes from your clock.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config.errors import masked
from config.secrets import Secret
from monitor.alerts.alert import Alert
from monitor.alerts.message import Delivery, Message
from monitor.alerts.receivers.http import JSON_HEADERS, TIMEOUT_S, Poster, PostError, Reply, encoded, judged, unanswered
from monitor.alerts.scope import ScopeKind

_FIGURES = ("mode", "asset", "equity", "maintenance_margin", "excess", "cash_to_safety", "data_age_s", "reduce")
_TOO_LARGE = 413


@dataclass(frozen=True, slots=True)
class WebhookReceiver:
    """Posts the JSON document, signed where there is a `secret`; any 2xx is delivered."""

    name: str
    url: Secret
    poster: Poster
    secret: Secret | None = None
    timeout_s: float = TIMEOUT_S

    async def send(self, message: Message) -> Delivery:
        """Post once; a second time, shortened, where it is too large."""
        try:
            reply = await self._post(message, document(message))
            if reply.status == _TOO_LARGE:
                reply = await self._post(message, shortened(message))
        except PostError as error:
            return unanswered(error)
        return judged(reply)

    async def _post(self, message: Message, content: Mapping[str, Any]) -> Reply:
        body = encoded(content)
        return await self.poster.post(self.url, body, headers(message, body, self.secret), self.timeout_s)


def headers(message: Message, body: bytes, secret: Secret | None) -> dict[str, str | Secret]:
    """The headers of a sending, as the module says."""
    ids = "\n".join(alert.id for alert in message.alerts).encode("utf-8", "replace")
    found = {**JSON_HEADERS, "X-Marginwatch-Delivery": hashlib.sha256(ids).hexdigest()[:32]}
    if secret is not None:
        timestamp = str(message.sent_at_ms // 1000)
        found |= {"X-Marginwatch-Timestamp": timestamp, "X-Marginwatch-Signature": signature(secret, timestamp, body)}
    return found


def signature(secret: Secret, timestamp: str, body: bytes) -> str:
    """`v1=` and the HMAC of the sending."""
    return "v1=" + hmac.new(secret.reveal().encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def document(message: Message) -> dict[str, Any]:
    """The JSON document of a message, as the module says."""
    return {
        "version": 2,
        "source": "marginwatch",
        "title": message.text.title,
        "text": message.text.full,
        "level": message.level.label,
        "sent_at_ms": message.sent_at_ms,
        "alerts": [_alert(alert) for alert in message.alerts],
    }


def shortened(message: Message) -> dict[str, Any]:
    """The document without what makes it long."""
    whole = document(message)
    alerts = [{**alert, "text": alert["title"], "figures": {}} for alert in whole["alerts"]]
    return {**whole, "text": whole["title"], "shortened": True, "alerts": alerts}


def _alert(alert: Alert) -> dict[str, Any]:
    scope = alert.scope
    return {
        "id": alert.id,
        "key": alert.key,
        "incident": alert.incident,
        "number": alert.number,
        "sequence": alert.sequence,
        "kind": scope.kind.value,
        "venue": scope.venue,
        "account": scope.account,
        "name": scope.name,
        "pool": scope.name if scope.kind is ScopeKind.POOL else "",
        "tags": list(alert.tags),
        "rule": alert.rule.value,
        "status": "resolved" if alert.is_resolved else "firing",
        "change": alert.change.value,
        "level": alert.level.label,
        "previous_level": alert.previous.label,
        "title": alert.title,
        "text": alert.text,
        "detail": masked(alert.detail),
        "subject": alert.subject,
        "maintenance": alert.maintenance,
        "time_ms": alert.time_ms,
        "opened_ms": alert.opened_ms,
        "open_for_s": (alert.time_ms - alert.opened_ms) / 1000,
        "frozen": alert.frozen,
        "margin_ratio": alert.ratio,
        "ratio_at_crossing": alert.ratio_at_crossing,
        "link": alert.link,
        "escalated_from": alert.escalated_from,
        "pool_kind": alert.figures.get("kind"),
        **{name: alert.figures.get(name) for name in _FIGURES},
        "figures": dict(alert.figures),
    }
