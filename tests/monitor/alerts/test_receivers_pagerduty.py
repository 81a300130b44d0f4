from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import Secret
from monitor.alerts.incident import Change
from monitor.alerts.message import Delivery, Message
from monitor.alerts.receivers.http import PostError, Reply
from monitor.alerts.receivers.pagerduty import PagerDutyReceiver, bodies, dedup_key
from monitor.alerts.rules import Rule
from monitor.alerts.scope import AlertScope
from monitor.margin.result import Level
from tests.monitor.alerts.pagerduty_limits import pagerduty_problems
from tests.monitor.alerts.receiver_alerts import LINK, MemoryPoster, alert, any_alert, any_message, message, pool, said

KEY = "R0VERYSECRETKEYabcdefghijklmnopq"
ACCEPTED = said({"status": "success", "message": "Event processed", "dedup_key": "x"}, 202)
INVALID = {"status": "invalid event", "message": "Event object is invalid", "errors": [f"Length of {KEY.lower()} is incorrect"]}


async def sent(told: Message, *answers: Reply | PostError) -> tuple[Delivery, list[Any]]:
    poster = MemoryPoster(answers or (ACCEPTED,))
    delivery = await PagerDutyReceiver("pd", Secret(KEY), poster, clock=lambda: 0.0).send(told)
    assert KEY.lower() not in delivery.reason.lower()
    assert {posted.url for posted in poster.posted} == {"https://events.pagerduty.com/v2/enqueue"}
    assert [pagerduty_problems(posted.body) for posted in poster.posted] == [[]] * len(poster.posted)
    return delivery, [posted.json for posted in poster.posted]


async def test_a_trigger() -> None:
    delivery, (event,) = await sent(message(alert(Level.CRITICAL)))
    assert delivery == Delivery(True)
    assert event == {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": "hyperliquid/hl-main/USDC/margin_level",
        "client": "marginwatch",
        "client_url": LINK,
        "links": [{"href": LINK, "text": "open the page"}],
        "payload": {
            "summary": "CRITICAL 92% hl-main/USDC: 160k left of 2.00M",
            "source": "hl-main/USDC",
            "severity": "error",
            "timestamp": "2023-11-14T22:13:20.123Z",
            "component": "USDC",
            "group": "hyperliquid",
            "class": "margin_level",
            "custom_details": {
                "details": "scope: hl-main/USDC\nvenue: hyperliquid",
                "incident": "hyperliquid/hl-main/USDC/margin_level#7",
                "change": "fired",
                "level": "critical",
                "ratio": 0.92,
                "ratio_at_crossing": 0.9,
                "tags": "desk-a, prod",
                "figures": alert().figures,
            },
        },
    }


async def test_an_end_is_a_resolve_of_the_same_key() -> None:
    _, (event,) = await sent(message(alert(Level.CRITICAL, Change.RESOLVED)))
    assert event == {"routing_key": KEY, "event_action": "resolve", "dedup_key": "hyperliquid/hl-main/USDC/margin_level"}


@pytest.mark.parametrize(
    ("level", "severity"),
    [(Level.WARNING, "warning"), (Level.CRITICAL, "error"), (Level.LIQUIDATION, "critical"), (Level.BREACH, "critical")],
)
async def test_severities(level: Level, severity: str) -> None:
    _, (event,) = await sent(message(alert(level)))
    assert event["payload"]["severity"] == severity


@pytest.mark.parametrize(
    ("change", "level", "severity"),
    [
        (Change.DEESCALATED, Level.WARNING, "warning"),
        (Change.REPEATED, Level.CRITICAL, "error"),
        (Change.WORSENED, Level.CRITICAL, "error"),
    ],
)
async def test_every_change_is_a_trigger_with_the_level_of_now(change: Change, level: Level, severity: str) -> None:
    _, (event,) = await sent(message(alert(level, change, previous=Level.CRITICAL)))
    assert (event["event_action"], event["payload"]["severity"]) == ("trigger", severity)


async def test_a_burst_is_one_event_a_key_with_its_last_state_worst_first() -> None:
    burst = [
        alert(scope=pool("a")),
        alert(scope=pool("b")),
        alert(Level.CRITICAL, Change.ESCALATED, scope=pool("a"), sequence=2, previous=Level.WARNING),
        alert(Level.WARNING, Change.RESOLVED, scope=pool("b"), sequence=2),
        # ended and begun again meanwhile: the old end must not close what fires now
        alert(Level.CRITICAL, Change.RESOLVED, scope=pool("c"), number=8, sequence=4),
        alert(Level.WARNING, scope=pool("c"), number=9),
    ]
    delivery, events = await sent(message(*burst))
    assert delivery == Delivery(True)
    assert [(event["dedup_key"].split("/")[2], event["event_action"]) for event in events] == [
        ("a", "trigger"),
        # fired and over before it could be told: it is told that it was
        ("b", "trigger"),
        ("b", "resolve"),
        ("c", "trigger"),
    ]


async def test_what_went_through_before_a_failure_is_taken() -> None:
    alerts = [alert(scope=pool(name)) for name in "abc"]
    delivery, events = await sent(message(*alerts), ACCEPTED, Reply(429, 5.0))
    assert (delivery.delivered, delivery.fatal, delivery.retry_after_s) == (False, False, 5.0)
    assert delivery.taken == {alerts[0].id}
    assert len(events) == 2


async def test_a_refused_event_is_sent_bare_and_then_fatal_without_the_key() -> None:
    delivery, (whole, bare) = await sent(message(alert()), said(INVALID, 400))
    assert (delivery.delivered, delivery.fatal) == (False, True)
    assert delivery.reason == (
        'PagerDuty refused the event ("Event object is invalid; Length of *** is incorrect"): check the routing key (integration key)'
    )
    assert bare["payload"] == {name: whole["payload"][name] for name in ("summary", "source", "severity")}
    delivery, _ = await sent(message(alert()), said(INVALID, 400), ACCEPTED)
    assert delivery == Delivery(True)
    delivery, _ = await sent(message(alert()), Reply(413), ACCEPTED)
    assert delivery == Delivery(True)
    delivery, _ = await sent(message(alert()), Reply(400, None, b"<html>"))
    assert delivery.reason.startswith("PagerDuty refused the event: ")


@pytest.mark.parametrize(
    ("answer", "fatal"),
    [(Reply(429), False), (Reply(500), False), (PostError("no connection"), False), (Reply(403), True), (Reply(302), True)],
)
async def test_what_became_of_it(answer: Reply | PostError, fatal: bool) -> None:
    delivery, events = await sent(message(alert()), answer)
    assert (delivery.delivered, delivery.fatal, len(events)) == (False, fatal, 1)


async def test_names_without_a_venue() -> None:
    portfolio = alert(Level.BREACH, scope=AlertScope.portfolio("desk"))
    key = alert(scope=AlertScope.of_account("aster", "a1"), rule=Rule.KEY, figures={}, ratio=None, ratio_at_crossing=None, link="", tags=())
    _, (first, second) = await sent(message(key, portfolio))
    assert (first["payload"]["source"], first["payload"]["component"], first["payload"]["group"]) == ("desk", "desk", "portfolio")
    assert (second["payload"]["source"], second["payload"]["component"], second["payload"]["class"]) == ("a1", "a1", "key")
    assert set(second["payload"]["custom_details"]) == {"details", "incident", "change", "level"}
    assert "links" not in second


@settings(max_examples=100)
@given(any_message(3))
async def test_every_event_is_within_the_limits(told: Message) -> None:
    await sent(told)


@settings(max_examples=60)
@given(any_alert())
def test_the_bare_event_too(one: Any) -> None:
    assert [pagerduty_problems(body) for body in bodies(Secret(KEY), one)] == [[]] * (1 if one.is_resolved else 2)


def test_huge_figures_are_left_out() -> None:
    body = next(bodies(Secret(KEY), alert(figures={"x": "é" * 400_000})))
    assert pagerduty_problems(body) == []
    assert "figures" not in json.loads(body)["payload"]["custom_details"]


@given(st.text(max_size=400), st.text(max_size=400))
def test_dedup_keys_stay_different(one: str, other: str) -> None:
    assert (dedup_key(one) == dedup_key(other)) == (one == other)
    assert dedup_key("x" * 300 + one) == dedup_key("x" * 300 + one)
    assert len(dedup_key("x" * 300 + one)) == 255
    assert (dedup_key("x" * 300 + one) == dedup_key("x" * 300 + other)) == (one == other)


@pytest.mark.parametrize(
    "change",
    [
        {"routing_key": "short"},
        {"event_action": "fire"},
        {"dedup_key": "x" * 256},
        {"dedup_key": ""},
        {"extra": 1},
        {"links": [{"href": "javascript:x", "text": "x"}]},
        {"payload": {"summary": "", "source": "x", "severity": "error"}},
        {"payload": {"summary": "x" * 1025, "source": "x", "severity": "error"}},
        {"payload": {"summary": "x", "source": "x", "severity": "liquidation"}},
        {"payload": {"summary": "x", "source": "x", "severity": "error", "timestamp": "yesterday"}},
        {"payload": {"summary": "x", "source": "x", "severity": "error", "host": "h"}},
        {"client": "x" * 512_000},
        {"client": float("nan")},
    ],
)
def test_the_validator_sees(change: dict[str, Any]) -> None:
    good = json.loads(next(bodies(Secret(KEY), alert())))
    assert pagerduty_problems(json.dumps(good).encode()) == []
    assert pagerduty_problems(json.dumps({**good, **change}).encode()) != []
