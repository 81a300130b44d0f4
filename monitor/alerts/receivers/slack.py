"""Receiver `slack` with an incoming webhook: one message per sending. The webhook knows no updates; for those see `slack_bot`."""

from __future__ import annotations

from dataclasses import dataclass

from config.secrets import Secret
from monitor.alerts.message import Delivery, Message
from monitor.alerts.receivers import slack_blocks
from monitor.alerts.receivers.http import JSON_HEADERS, TIMEOUT_S, Poster, PostError, Reply, encoded, judged, unanswered

_ANEW = "create a new incoming webhook and configure its URL"
_REMEDIES = {
    "action_prohibited": "the workspace does not let this webhook post; ask its administrator",
    "channel_is_archived": f"the channel is archived; {_ANEW}",
    "channel_not_found": f"the channel is gone; {_ANEW}",
    "invalid_token": f"the webhook was revoked; {_ANEW}",
    "no_active_hooks": f"the webhook is switched off; {_ANEW}",
    "no_service": f"the webhook was removed or is switched off; {_ANEW}",
    "no_service_id": f"the URL is not complete; {_ANEW}",
    "no_team": f"the URL belongs to no workspace; {_ANEW}",
    "posting_to_general_channel_denied": "only some may post there; choose another channel",
    "team_disabled": "the workspace is switched off",
    "user_not_found": f"the user it posts to is gone; {_ANEW}",
}
_NOT_THE_CONTENT = frozenset({*_REMEDIES, "rate_limited", "rollup_error"})


@dataclass(frozen=True, slots=True)
class SlackReceiver:
    """Posts to a Slack incoming webhook."""

    name: str
    url: Secret
    poster: Poster
    timeout_s: float = TIMEOUT_S

    async def send(self, message: Message) -> Delivery:
        """Post once; should Slack refuse the blocks, a second time as text alone: a page is worth more than its looks."""
        content = slack_blocks.burst(message)
        try:
            reply = await self._post(content)
            if reply.status in (400, 413) and _word(reply) not in _NOT_THE_CONTENT:
                reply = await self._post(slack_blocks.plain(content))
        except PostError as error:
            return unanswered(error)
        return _judged(reply)

    async def _post(self, content: slack_blocks.Content) -> Reply:
        return await self.poster.post(self.url, encoded(content), JSON_HEADERS, self.timeout_s)


def _judged(reply: Reply) -> Delivery:
    word = _word(reply)
    if not reply.is_accepted and word in _REMEDIES:
        return Delivery(False, f"Slack says {word}: {_REMEDIES[word]}", fatal=True)
    return judged(reply)


def _word(reply: Reply) -> str:
    # Webhooks answer errors with one word of text; what is no known word may hold anything, so it is not repeated.
    return reply.body[:100].decode("utf-8", "replace").strip()
