from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import Secret
from monitor.alerts.incident import Change
from monitor.alerts.message import Message
from monitor.alerts.receivers.http import PostError, Reply, encoded
from monitor.alerts.receivers.slack import SlackReceiver
from monitor.alerts.receivers.slack_blocks import burst, escape, reply, single
from monitor.margin.result import Level
from tests.monitor.alerts.receiver_alerts import MemoryPoster, alert, any_alert, any_message, message, pool
from tests.monitor.alerts.slack_limits import slack_problems

SECRET = "https://hooks.slack.com/services/T0/B0/very-secret"


async def sent(*answers: Reply | PostError, told: Message | None = None) -> tuple[Any, list[Any]]:
    poster = MemoryPoster(answers)
    delivery = await SlackReceiver("ops", Secret(SECRET), poster).send(told or message(alert()))
    assert "secret" not in delivery.reason
    return delivery, [posted.json for posted in poster.posted]


@settings(max_examples=150)
@given(any_message())
def test_every_message_is_within_the_limits(told: Message) -> None:
    content = burst(told)
    encoded(content)
    assert slack_problems(content) == []


@given(any_alert())
def test_a_bots_messages_are_within_the_limits(one: Any) -> None:
    assert slack_problems(single(one)) == []
    assert slack_problems(reply(one)) == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"text": ""}, "neither"),
        ({"text": "x" * 40_001}, "40,000"),
        ({"text": "a & b"}, "bare &"),
        ({"text": "<!channel>"}, "markup"),
        ({"text": "a -> b"}, "bare <"),
        ({"text": "x", "blocks": [{"type": "divider"}] * 51}, "51 blocks"),
        ({"text": "x", "blocks": [{"type": "section"}]}, "without text"),
        ({"text": "x", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]}, "3000"),
        ({"text": "x", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": ""}}]}, "text of 0"),
        ({"text": "x", "blocks": [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 11}]}, "10 fields"),
        ({"text": "x", "blocks": [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2001}]}]}, "2000"),
        ({"text": "x", "blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]}, "150"),
        ({"text": "x", "blocks": [{"type": "context", "elements": []}]}, "0 elements"),
        ({"text": "x", "blocks": [{"type": "table"}]}, "unknown block"),
    ],
)
def test_the_validator_sees(content: dict[str, Any], problem: str) -> None:
    assert any(problem in found for found in slack_problems(content))


def test_what_it_looks_like() -> None:
    content = burst(message(alert(Level.CRITICAL, title="CRITICAL 92% a<b -> 85%", details=("x & y",), escalated_from="pd")))
    section, context = content["blocks"]
    assert content["text"] == "CRITICAL 92% a&lt;b -&gt; 85%"
    assert section["text"] == {"type": "mrkdwn", "text": "*CRITICAL 92% a&lt;b -&gt; 85%*\nx &amp; y", "verbatim": True}
    assert context["elements"][0]["text"] == (
        "\N{OCTAGONAL SIGN} *CRITICAL* · hyperliquid/hl-main/USDC/margin_level#7 · not taken by pd · "
        "<https://desk.example:9876/#alert=x&amp;y|open the page>"
    )
    assert escape("<!channel> & <http://x|y>") == "&lt;!channel&gt; &amp; &lt;http://x|y&gt;"


def test_levels_are_told_by_word_and_shape() -> None:
    marks = set()
    for level in (Level.WARNING, Level.CRITICAL, Level.LIQUIDATION, Level.BREACH):
        context = single(alert(level))["blocks"][1]["elements"][0]["text"]
        assert f"*{level.name}*" in context
        marks.add(context[0])
    over = single(alert(Level.CRITICAL, Change.RESOLVED))["blocks"][1]["elements"][0]["text"]
    assert "*RESOLVED*" in over
    assert len({*marks, over[0]}) == 4


def test_a_burst_tells_the_worst_in_full_and_names_the_others() -> None:
    alerts = [alert(scope=pool(f"p{n:03}")) for n in range(30)] + [alert(Level.LIQUIDATION, scope=pool("dead"))]
    blocks = burst(message(*alerts))["blocks"]
    texts = [block["text"]["text"] for block in blocks if block["type"] == "section"]
    assert texts[0].startswith("*31 alerts: LIQUIDATION 92% hl-main/dead")
    assert texts[1].startswith("*LIQUIDATION 92% hl-main/dead: 160k left of 2.00M*\nscope: ")
    whole = "\n".join(texts)
    assert all(f"hl-main/p{n:03}:" in whole for n in range(30))
    many = burst(message(*(alert(scope=pool(f"p{n:03}")) for n in range(900))))["blocks"]
    named = sum(block["text"]["text"].count("hl-main/p") for block in many[1:-1] if block["type"] == "section") - 6
    assert many[-1]["text"]["text"] == f"and {900 - named} more; see the monitor's page"


def test_what_fires_stands_before_what_is_over() -> None:
    over = [alert(Level.LIQUIDATION, Change.RESOLVED, scope=pool(f"old{number}")) for number in range(8)]
    content = burst(message(*over, alert(Level.CRITICAL, scope=pool("NEW"))))
    assert content["text"].startswith("1 firing, 8 resolved: CRITICAL 92% hl-main/NEW, RESOLVED")
    assert content["blocks"][1]["text"]["text"].startswith("*CRITICAL 92% hl-main/NEW")


def test_a_long_text_is_not_cut_within_an_entity() -> None:
    for length in range(2980, 3010):
        assert slack_problems(burst(message(alert(title="t", details=("x" * length + "&" * 9,))))) == []


async def test_delivered() -> None:
    delivery, posted = await sent(Reply(200, None, b"ok"))
    assert (delivery.delivered, len(posted)) == (True, 1)


@pytest.mark.parametrize(
    ("status", "word", "remedy"),
    [
        (404, "no_service", "new incoming webhook"),
        (403, "action_prohibited", "administrator"),
        (410, "channel_is_archived", "archived"),
        (404, "channel_not_found", "channel is gone"),
        (403, "invalid_token", "revoked"),
        (400, "user_not_found", "user"),
    ],
)
async def test_what_cannot_be_mended_by_waiting(status: int, word: str, remedy: str) -> None:
    delivery, posted = await sent(Reply(status, None, word.encode()))
    assert (delivery.delivered, delivery.fatal, len(posted)) == (False, True, 1)
    assert delivery.reason.startswith(f"Slack says {word}: ")
    assert remedy in delivery.reason


@pytest.mark.parametrize(
    ("answer", "reason", "retry"),
    [
        (Reply(429, 3.0, b"rate_limited"), "HTTP status 429", 3.0),
        (Reply(500, None, b"rollup_error"), "HTTP status 500", None),
        (Reply(503), "HTTP status 503", None),
        (PostError("no answer within 10 s"), "no answer within 10 s", None),
    ],
)
async def test_what_is_tried_again(answer: Reply | PostError, reason: str, retry: float | None) -> None:
    delivery, posted = await sent(answer)
    assert (delivery.delivered, delivery.fatal, delivery.reason, delivery.retry_after_s) == (False, False, reason, retry)
    assert len(posted) == 1


@pytest.mark.parametrize("word", [b"invalid_payload", b"invalid_blocks", b"something new"])
async def test_refused_blocks_go_out_as_text(word: bytes) -> None:
    delivery, (first, second) = await sent(Reply(400, None, word), Reply(200))
    assert delivery.delivered
    assert "blocks" in first
    assert second == {"text": first["text"]}
    delivery, posted = await sent(Reply(400, None, word))
    assert (delivery.fatal, len(posted)) == (True, 2)


@given(st.text(max_size=30))
def test_plain_words_survive_escaping(text: str) -> None:
    back = escape(text).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert back == text
