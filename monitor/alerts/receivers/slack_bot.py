"""Receiver `slack` with a bot token: one message per incident, updated as it changes and when it ends.

What needs a person's attention (worse, still so, over) is said in the thread of that message too, because an update notifies nobody; from
CRITICAL on also in the channel. What fired and ended before Slack could be reached is posted as it was at worst, then brought to its end
like any other. The handle of an incident is `channel id:timestamp` of its message. The token needs the scope `chat:write`,
and the bot has to be in the channel.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from config.secrets import Secret
from monitor.alerts.alert import Alert
from monitor.alerts.incident import Change
from monitor.alerts.message import Delivery, Message
from monitor.alerts.receivers import slack_blocks
from monitor.alerts.receivers.http import JSON_HEADERS, TIMEOUT_S, Poster, PostError, encoded, judged, unanswered, without
from monitor.alerts.receivers.one_by_one import incident_of, one_by_one, to_tell, together
from monitor.margin.result import Level

API = "https://slack.com/api"

_RENEW = "the bot token is wrong or revoked; install the app anew and configure its token"
_REMEDIES = {
    "account_inactive": _RENEW,
    "invalid_auth": _RENEW,
    "not_authed": _RENEW,
    "token_expired": _RENEW,
    "token_revoked": _RENEW,
    "missing_scope": "the bot may not write; give its token the scope chat:write",
    "not_allowed_token_type": "it needs a bot token (xoxb-...)",
    "channel_not_found": "there is no such channel, or the bot cannot see it; check channel, and invite the bot into it",
    "not_in_channel": "the bot is not in the channel; invite it there",
    "is_archived": "the channel is archived; choose another one",
    "restricted_action": "the workspace does not let the bot post there; ask its administrator",
}
_TO_BE_RETRIED = frozenset(
    {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"}
)
_OF_THE_CONTENT = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long", "invalid_payload"})
_SILENT = frozenset({Change.DEESCALATED})


@dataclass(frozen=True, slots=True)
class SlackBotReceiver:
    """Posts and updates by Slack's Web API. `channel`: its id, or its name."""

    name: str
    token: Secret
    channel: str
    poster: Poster
    timeout_s: float = TIMEOUT_S
    api: str = API
    clock: Callable[[], float] = field(default=time.monotonic, compare=False)

    async def send(self, message: Message) -> Delivery:
        """One to three calls an incident, worst first."""

        async def one(alerts: Sequence[Alert]) -> Delivery:
            try:
                return await self._tell(alerts, message.handles.get(alerts[-1].incident, ""))
            except PostError as error:
                return unanswered(error)

        return await one_by_one(together(message.alerts, incident_of), one, clock=self.clock)

    async def _tell(self, alerts: Sequence[Alert], handle: str) -> Delivery:
        last = alerts[-1]
        channel, _, timestamp = handle.partition(":")
        if not timestamp:
            return await self._begin(alerts)
        updated = await self._call("chat.update", {"channel": channel, "ts": timestamp, **slack_blocks.single(last)})
        if updated.is_gone:
            return await self._post(last)
        if not updated.delivery.delivered:
            return updated.delivery
        if all(alert.change in _SILENT for alert in alerts):
            return updated.delivery
        thread: dict[str, Any] = {"channel": channel, "thread_ts": timestamp, **slack_blocks.reply(last)}
        if max(alert.severity for alert in alerts) >= Level.CRITICAL:
            thread["reply_broadcast"] = True
        replied = await self._call("chat.postMessage", thread)
        return await self._post(last) if replied.is_gone else replied.delivery

    async def _begin(self, alerts: Sequence[Alert]) -> Delivery:
        first, last = to_tell(alerts)[0], alerts[-1]
        posted = await self._post(first)
        if first is last or not posted.delivered:
            return posted
        try:
            ended = await self._tell([last], posted.handles.get(last.incident, ""))
        except PostError as error:
            ended = unanswered(error)
        # Where the end fails, the next try knows the message.
        return replace(ended, handles={**posted.handles, **ended.handles})

    async def _post(self, alert: Alert) -> Delivery:
        answer = await self._call("chat.postMessage", {"channel": self.channel, **slack_blocks.single(alert)})
        if not answer.delivery.delivered or not answer.channel or not answer.timestamp:
            return answer.delivery
        return Delivery(True, handles={alert.incident: f"{answer.channel}:{answer.timestamp}"})

    async def _call(self, method: str, content: dict[str, Any]) -> _Answer:
        answer = await self._call_once(method, content)
        if answer.error in _OF_THE_CONTENT and "blocks" in content:
            # an update without "blocks" would leave the old ones
            return await self._call_once(method, {**content, "blocks": []})
        return answer

    async def _call_once(self, method: str, content: dict[str, Any]) -> _Answer:
        headers = {**JSON_HEADERS, "Authorization": Secret(f"Bearer {self.token.reveal()}")}
        reply = await self.poster.post(Secret(f"{self.api}/{method}"), encoded(content), headers, self.timeout_s)
        if not reply.is_accepted:
            return _Answer(judged(reply))
        said = reply.json
        if not isinstance(said, dict) or not isinstance(said.get("ok"), bool):
            return _Answer(Delivery(False, "the answer is not Slack's; check what stands between here and slack.com"))
        if said["ok"]:
            return _Answer(Delivery(True), channel=_text(said.get("channel")), timestamp=_text(said.get("ts")))
        error = without(_text(said.get("error")), self.token) or "no reason"
        return _Answer(_refused(error, reply.retry_after_s), error)


@dataclass(frozen=True, slots=True)
class _Answer:
    delivery: Delivery
    error: str = ""
    channel: str = ""
    timestamp: str = ""

    @property
    def is_gone(self) -> bool:
        # Whatever is wrong with the old message, a new one says whether it is the token, the channel, or only that message.
        return bool(self.error) and self.error not in _TO_BE_RETRIED


def _refused(error: str, retry_after_s: float | None) -> Delivery:
    if error in _TO_BE_RETRIED:
        return Delivery(False, f"Slack says {error}", retry_after_s)
    remedy = _REMEDIES.get(error, "see what Slack's description of chat.postMessage says of it")
    return Delivery(False, f"Slack says {error}: {remedy}", fatal=True)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
