from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings

from config import Secret
from monitor.alerts.alert import Alert
from monitor.alerts.incident import Change
from monitor.alerts.message import Delivery, Message
from monitor.alerts.receivers.http import PostError, Reply
from monitor.alerts.receivers.slack_bot import SlackBotReceiver
from monitor.margin.result import Level
from tests.monitor.alerts.receiver_alerts import MemoryPoster, alert, any_message, message, pool, said
from tests.monitor.alerts.slack_limits import slack_problems

TOKEN = "xoxb-very-secret"
POSTED = said({"ok": True, "channel": "C1", "ts": "1.5"})
DONE = said({"ok": True})
INCIDENT = "hyperliquid/hl-main/USDC/margin_level#7"
KNOWN = {INCIDENT: "C1:1.5"}


def refused(error: str, retry_after_s: float | None = None, status: int = 200) -> Reply:
    return said({"ok": False, "error": error}, status, retry_after_s)


async def sent(
    told: Message, *answers: Reply | PostError, clock: Any = lambda: 0.0
) -> tuple[Delivery, list[tuple[str, Mapping[str, Any]]]]:
    poster = MemoryPoster(answers)
    delivery = await SlackBotReceiver("ops", Secret(TOKEN), "#margin", poster, clock=clock).send(told)
    assert "secret" not in delivery.reason
    assert {posted.headers["Authorization"] for posted in poster.posted} == {f"Bearer {TOKEN}"}
    assert not any(b"secret" in posted.body for posted in poster.posted)
    assert all(posted.url.startswith("https://slack.com/api/chat.") for posted in poster.posted)
    return delivery, [(posted.method, posted.json) for posted in poster.posted]


async def test_the_first_of_an_incident_is_posted_and_its_place_kept() -> None:
    delivery, ((method, content),) = await sent(message(alert()), POSTED)
    assert delivery == Delivery(True, handles=KNOWN)
    assert (method, content["channel"]) == ("chat.postMessage", "#margin")
    assert content["blocks"]
    assert "thread_ts" not in content


async def test_what_changes_updates_the_message_and_is_said_in_its_thread() -> None:
    told = message(alert(Level.CRITICAL, Change.ESCALATED, previous=Level.WARNING), handles=KNOWN)
    delivery, ((update, content), (post, reply)) = await sent(told, DONE)
    assert delivery == Delivery(True)
    assert (update, content["channel"], content["ts"]) == ("chat.update", "C1", "1.5")
    assert "*CRITICAL*" in content["blocks"][1]["elements"][0]["text"]
    assert post == "chat.postMessage"
    assert reply == {
        "channel": "C1",
        "thread_ts": "1.5",
        "reply_broadcast": True,
        "text": "\N{OCTAGONAL SIGN} CRITICAL 92% hl-main/USDC: 160k left of 2.00M",
    }


@pytest.mark.parametrize(
    ("told", "replies", "broadcast"),
    [
        (alert(Level.WARNING, Change.REPEATED), 1, False),
        (alert(Level.WARNING, Change.WORSENED), 1, False),
        (alert(Level.LIQUIDATION, Change.REPEATED), 1, True),
        (alert(Level.WARNING, Change.RESOLVED), 1, False),
        (alert(Level.CRITICAL, Change.RESOLVED), 1, True),
        (alert(Level.WARNING, Change.DEESCALATED, previous=Level.CRITICAL), 0, False),
    ],
)
async def test_who_is_notified(told: Alert, replies: int, broadcast: bool) -> None:
    _, calls = await sent(message(told, handles=KNOWN), DONE)
    assert [method for method, _ in calls] == ["chat.update", *["chat.postMessage"] * replies]
    assert [content.get("reply_broadcast", False) for _, content in calls[1:]] == [broadcast] * replies


async def test_the_end_turns_the_message_into_a_resolved_one() -> None:
    _, ((_, content), (_, reply)) = await sent(message(alert(Level.CRITICAL, Change.RESOLVED), handles=KNOWN), DONE)
    assert "*RESOLVED*" in content["blocks"][1]["elements"][0]["text"]
    assert reply["text"].startswith("\N{WHITE HEAVY CHECK MARK} RESOLVED")


UNHEARD = (
    alert(Level.WARNING),
    alert(Level.LIQUIDATION, Change.ESCALATED, sequence=2, previous=Level.WARNING),
    alert(Level.LIQUIDATION, Change.RESOLVED, sequence=3),
)


async def test_what_fired_and_ended_unheard_is_posted_at_its_worst_and_then_ended() -> None:
    delivery, ((_, posted), (update, content), (_, reply)) = await sent(message(*UNHEARD), POSTED, DONE)
    assert delivery == Delivery(True, handles=KNOWN)
    assert posted["text"].startswith("LIQUIDATION")
    assert (update, content["ts"]) == ("chat.update", "1.5")
    assert "*RESOLVED*" in content["blocks"][1]["elements"][0]["text"]
    assert (reply["thread_ts"], reply["reply_broadcast"]) == ("1.5", True)


@pytest.mark.parametrize("failure", [PostError("no connection"), Reply(503)])
async def test_where_its_end_fails_the_next_try_only_ends_it(failure: Reply | PostError) -> None:
    delivery, calls = await sent(message(*UNHEARD), POSTED, failure)
    assert (delivery.delivered, delivery.handles, len(calls)) == (False, KNOWN, 2)
    delivery, calls = await sent(message(*UNHEARD, handles=KNOWN), DONE)
    assert [method for method, _ in calls] == ["chat.update", "chat.postMessage"]


async def test_a_burst_of_one_incident_is_one_message_with_its_last_state() -> None:
    burst = (alert(), alert(Level.CRITICAL, Change.ESCALATED, sequence=2, previous=Level.WARNING))
    delivery, ((_, content),) = await sent(message(*burst), POSTED)
    assert delivery.handles == KNOWN
    assert "*CRITICAL*" in content["blocks"][1]["elements"][0]["text"]
    fell = alert(Level.WARNING, Change.DEESCALATED, sequence=3, previous=Level.CRITICAL)
    _, ((_, _), (_, reply)) = await sent(message(*burst, fell, handles=KNOWN), DONE)
    assert (reply["text"].split()[1], reply["reply_broadcast"]) == ("WARNING", True)


@pytest.mark.parametrize("gone", ["message_not_found", "cant_update_message", "edit_window_closed", "channel_not_found"])
async def test_a_message_that_is_gone_is_posted_anew(gone: str) -> None:
    told = message(alert(change=Change.REPEATED), handles={INCIDENT: "C0:1.1"})
    delivery, calls = await sent(told, refused(gone), POSTED)
    assert delivery == Delivery(True, handles=KNOWN)
    assert [(method, content["channel"]) for method, content in calls] == [("chat.update", "C0"), ("chat.postMessage", "#margin")]


async def test_a_thread_that_is_gone_is_a_new_message() -> None:
    delivery, calls = await sent(
        message(alert(change=Change.REPEATED), handles={INCIDENT: "C0:1.1"}), DONE, refused("thread_not_found"), POSTED
    )
    assert delivery == Delivery(True, handles=KNOWN)
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        ("invalid_auth", "the bot token is wrong or revoked"),
        ("not_authed", "the bot token is wrong or revoked"),
        ("token_revoked", "the bot token is wrong or revoked"),
        ("account_inactive", "the bot token is wrong or revoked"),
        ("channel_not_found", "no such channel"),
        ("not_in_channel", "invite it"),
        ("is_archived", "archived"),
        ("something_new", "chat.postMessage"),
    ],
)
@pytest.mark.parametrize("handles", [{}, KNOWN])
async def test_what_slack_refuses_in_a_good_answer_is_fatal(error: str, remedy: str, handles: Mapping[str, str]) -> None:
    delivery, _ = await sent(message(alert(), handles=handles), refused(error))
    assert (delivery.delivered, delivery.fatal) == (False, True)
    assert delivery.reason.startswith(f"Slack says {error}: ")
    assert remedy in delivery.reason


@pytest.mark.parametrize(
    ("answer", "reason", "retry"),
    [
        (refused("ratelimited", 7.0), "Slack says ratelimited", 7.0),
        (refused("ratelimited", 7.0, 429), "HTTP status 429", 7.0),
        (refused("internal_error"), "Slack says internal_error", None),
        (Reply(503), "HTTP status 503", None),
        (PostError("no answer within 10 s"), "no answer within 10 s", None),
        (Reply(200, None, b"<html>log in</html>"), "the answer is not Slack's", None),
        (said({"ok": "yes"}), "the answer is not Slack's", None),
    ],
)
@pytest.mark.parametrize("handles", [{}, KNOWN])
async def test_what_is_tried_again(answer: Reply | PostError, reason: str, retry: float | None, handles: Mapping[str, str]) -> None:
    delivery, calls = await sent(message(alert(), handles=handles), answer)
    assert (delivery.delivered, delivery.fatal, delivery.retry_after_s, delivery.taken) == (False, False, retry, frozenset())
    assert delivery.reason.startswith(reason)
    assert len(calls) == 1


async def test_a_token_in_an_answer_is_not_repeated() -> None:
    delivery, _ = await sent(message(alert()), refused(f"bad {TOKEN}"))
    assert delivery.reason.startswith("Slack says bad ***: ")


async def test_refused_blocks_go_out_as_text() -> None:
    delivery, ((_, first), (_, second)) = await sent(message(alert()), refused("invalid_blocks"), POSTED)
    assert delivery.delivered
    assert second == {**first, "blocks": []}


async def test_what_went_through_before_a_failure_is_taken() -> None:
    alerts = [alert(scope=pool(name)) for name in "abc"] + [alert(Level.CRITICAL, scope=pool("worst"))]
    delivery, calls = await sent(message(*alerts), POSTED, POSTED, refused("ratelimited", 2.0))
    assert (delivery.delivered, delivery.retry_after_s) == (False, 2.0)
    assert delivery.taken == {alerts[3].id, alerts[0].id}
    assert set(delivery.handles) == {alerts[3].incident, alerts[0].incident}
    assert len(calls) == 3


async def test_incidents_of_one_key_are_told_in_order_of_time() -> None:
    burst = [
        alert(Level.WARNING, scope=pool("other")),
        alert(Level.WARNING, Change.RESOLVED, scope=pool("a"), number=7),
        alert(Level.CRITICAL, scope=pool("a"), number=8),
    ]
    handles = {burst[1].incident: "C1:1.1"}
    _, calls = await sent(message(*burst, handles=handles), POSTED)
    texts = [content["text"] for method, content in calls if "thread_ts" not in content]
    assert [text.split(":")[0] for text in texts] == ["RESOLVED 92% hl-main/a", "CRITICAL 92% hl-main/a", "WARNING 92% hl-main/other"]


async def test_a_sending_ends_in_time_whatever_waits() -> None:
    alerts = [alert(scope=pool(f"p{number}")) for number in range(400)]
    seconds = count(0, 1)
    delivery, calls = await sent(message(*alerts), POSTED, clock=lambda: float(next(seconds)))
    assert 1 < len(calls) < 20
    assert (delivery.delivered, delivery.fatal, delivery.retry_after_s) == (False, False, 0.0)
    assert delivery.taken == {one.id for one in alerts[: len(calls)]}


@settings(max_examples=60)
@given(any_message(3))
async def test_every_call_is_within_the_limits(told: Message) -> None:
    for handles in ({}, {one.incident: "C1:1.5" for one in told.alerts}):
        _, calls = await sent(Message(told.text, told.alerts, told.sent_at_ms, handles), POSTED)
        assert [slack_problems(content) for _, content in calls] == [[]] * len(calls)
