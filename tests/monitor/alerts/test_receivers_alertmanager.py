from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings

from config import Secret
from monitor.alerts.incident import Change
from monitor.alerts.message import Delivery, KeptAlive, Message
from monitor.alerts.receivers.alertmanager import AlertmanagerReceiver, alert_name, labels
from monitor.alerts.receivers.http import PostError, Reply
from monitor.alerts.rules import Rule
from monitor.alerts.scope import MONITOR, AlertScope
from monitor.margin.result import Level
from tests.monitor.alerts.receiver_alerts import LINK, NOW_MS, OPENED_MS, MemoryPoster, alert, any_message, message, pool, said

MINUTE_MS = 60_000
INCIDENT = "hyperliquid/hl-main/USDC/margin_level#7"
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def receiver(*answers: Reply | PostError, base: str = "http://am:9093/") -> tuple[AlertmanagerReceiver, MemoryPoster]:
    poster = MemoryPoster(answers or (Reply(200),))
    return AlertmanagerReceiver("am", Secret(base), poster), poster


async def sent(told: Message, *answers: Reply | PostError) -> tuple[Delivery, list[Any]]:
    to, poster = receiver(*answers)
    delivery = await to.send(told)
    return delivery, [row for posted in poster.posted for row in posted.json]


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def firing_and_ended(rows: list[Any], now_ms: int = NOW_MS) -> tuple[list[str], list[str]]:
    """Severities of what fires and of what has ended, judged as Alertmanager does."""
    ends = [(row["labels"]["severity"], ms(row["endsAt"]) > now_ms) for row in rows]
    return [severity for severity, fires in ends if fires], [severity for severity, fires in ends if not fires]


async def test_an_alert() -> None:
    delivery, (row,) = await sent(message(alert(Level.CRITICAL)))
    assert delivery == Delivery(True, handles={INCIDENT: "critical"})
    assert row == {
        "labels": {
            "alertname": "MarginwatchMarginLevel",
            "rule": "margin_level",
            "scope": "pool",
            "venue": "hyperliquid",
            "account": "hl-main",
            "pool": "USDC",
            "tags": "desk-a,prod",
            "severity": "critical",
        },
        "annotations": {
            "summary": "CRITICAL 92% hl-main/USDC: 160k left of 2.00M",
            "description": "scope: hl-main/USDC\nvenue: hyperliquid",
            "incident": INCIDENT,
        },
        "generatorURL": LINK,
        "startsAt": "2023-11-14T22:13:15.123Z",
        "endsAt": "2023-11-14T22:14:50.123Z",
    }


async def test_where_it_is_posted() -> None:
    for base in ("http://am:9093", "http://am:9093/", "https://user:pass@am/prefix/"):
        to, poster = receiver(base=base)
        await to.send(message(alert()))
        assert poster.posted[0].url == base.rstrip("/") + "/api/v2/alerts"


async def test_an_end_is_certainly_in_the_past_of_a_clock_not_far_from_ours() -> None:
    delivery, (row,) = await sent(message(alert(Level.CRITICAL, Change.RESOLVED)))
    assert delivery == Delivery(True)
    assert row["labels"] == labels(alert(Level.CRITICAL), Level.CRITICAL)
    assert ms(row["endsAt"]) == NOW_MS - MINUTE_MS
    assert ms(row["startsAt"]) <= ms(row["endsAt"])


@pytest.mark.parametrize("change", [Change.ESCALATED, Change.DEESCALATED])
async def test_another_level_ends_the_one_before_in_the_same_request(change: Change) -> None:
    now, before = (Level.CRITICAL, Level.WARNING) if change is Change.ESCALATED else (Level.WARNING, Level.CRITICAL)
    to, poster = receiver()
    delivery = await to.send(message(alert(now, change, previous=before)))
    (posted,) = poster.posted
    assert firing_and_ended(posted.json) == ([now.label], [before.label])
    assert delivery.handles == {INCIDENT: now.label}


async def test_a_burst_leaves_one_alert_of_each() -> None:
    burst = [
        alert(scope=pool("a")),
        alert(Level.CRITICAL, Change.ESCALATED, scope=pool("a"), previous=Level.WARNING),
        alert(Level.LIQUIDATION, Change.ESCALATED, scope=pool("a"), previous=Level.CRITICAL),
    ]
    _, rows = await sent(message(*burst))
    assert firing_and_ended(rows) == (["liquidation"], ["warning", "critical"])
    _, rows = await sent(message(*burst, alert(Level.LIQUIDATION, Change.RESOLVED, scope=pool("a"))))
    assert firing_and_ended(rows) == (["liquidation"], ["warning", "critical"])


async def test_what_fired_and_ended_unheard_fires_and_ends_by_itself() -> None:
    """Alertmanager tells nobody of what is over before its `group_wait`, 30 s by default."""
    burst = (alert(Level.CRITICAL), alert(Level.CRITICAL, Change.RESOLVED, sequence=2))
    delivery, (row,) = await sent(message(*burst))
    assert delivery == Delivery(True)
    assert (row["labels"]["severity"], ms(row["endsAt"])) == ("critical", NOW_MS + 90_000)
    assert row["annotations"]["summary"] == burst[0].title


async def test_what_was_heard_ends_at_once() -> None:
    burst = (alert(Level.CRITICAL, Change.REPEATED, sequence=2), alert(Level.CRITICAL, Change.RESOLVED, sequence=3))
    assert firing_and_ended((await sent(message(*burst, handles={INCIDENT: "critical"})))[1]) == ([], ["critical"])
    assert firing_and_ended((await sent(message(*burst, handles={INCIDENT: "warning"})))[1]) == (["critical"], ["warning"])


async def test_an_end_does_not_end_what_has_begun_again() -> None:
    again = alert(Level.CRITICAL, number=8)
    for burst in ((alert(Level.CRITICAL, Change.RESOLVED), again), (alert(Level.WARNING, Change.RESOLVED), again)):
        delivery, rows = await sent(message(*burst))
        assert firing_and_ended(rows)[0] == ["critical"]
        assert "critical" not in firing_and_ended(rows)[1]
        assert set(delivery.handles) == {again.incident}


async def test_what_an_earlier_process_told_is_ended_by_its_handle() -> None:
    told = message(alert(Level.WARNING, Change.DEESCALATED, previous=Level.CRITICAL), handles={INCIDENT: "liquidation"})
    assert firing_and_ended((await sent(told))[1]) == (["warning"], ["critical", "liquidation"])
    told = message(alert(Level.WARNING, Change.RESOLVED), handles={INCIDENT: "unreadable"})
    assert firing_and_ended((await sent(told))[1]) == ([], ["warning"])


async def test_it_is_kept_alive() -> None:
    to, poster = receiver()
    assert isinstance(to, KeptAlive)
    assert to.keep_alive_s == 30.0
    later = NOW_MS + 30_000
    assert await to.keep_alive([alert(Level.CRITICAL), alert(scope=pool("b"))], later) == Delivery(True)
    rows = poster.posted[0].json
    assert [row["labels"]["severity"] for row in rows] == ["critical", "warning"]
    assert {ms(row["endsAt"]) for row in rows} == {later + 90_000}
    assert {ms(row["startsAt"]) for row in rows} == {OPENED_MS}
    assert rows[0]["labels"] == labels(alert(Level.CRITICAL), Level.CRITICAL)
    assert await to.keep_alive([], later) == Delivery(True)
    assert len(poster.posted) == 1


async def test_a_clock_that_went_back_makes_no_end_before_its_beginning() -> None:
    _, rows = await sent(
        message(alert(opened_ms=NOW_MS + 10**9), alert(Level.WARNING, Change.RESOLVED, scope=pool("b"), opened_ms=NOW_MS + 10**9))
    )
    assert all(ms(row["startsAt"]) <= ms(row["endsAt"]) for row in rows)


@pytest.mark.parametrize(
    ("answer", "fatal", "reason"),
    [
        (Reply(500), False, "HTTP status 500"),
        (Reply(503, 4.0), False, "HTTP status 503"),
        (PostError("no connection"), False, "no connection"),
        (said("invalid label set", 400), True, 'HTTP status 400 ("invalid label set"): '),
        (said({"code": 602, "message": "labels are required"}, 422), True, 'HTTP status 422 ("labels are required"): '),
        (Reply(404), True, "HTTP status 404: it knows no such address"),
    ],
)
async def test_what_became_of_it(answer: Reply | PostError, fatal: bool, reason: str) -> None:
    delivery, _ = await sent(message(alert()), answer)
    assert (delivery.delivered, delivery.fatal, delivery.handles) == (False, fatal, {})
    assert delivery.reason.startswith(reason)


def test_names_and_labels_are_distinct() -> None:
    assert alert_name(Rule.ADL_QUEUE) == "MarginwatchAdlQueue"
    assert len({alert_name(rule) for rule in Rule}) == len(Rule)
    scopes = [
        pool("x"),
        AlertScope.of_account("hyperliquid", "hl-main"),
        AlertScope.portfolio("x"),
        AlertScope.feed("hyperliquid", "x"),
        AlertScope.feed("hyperliquid", "x", "hl-main"),
        AlertScope.receiver("x"),
        AlertScope.of_venue("hyperliquid"),
        MONITOR,
    ]
    sets = {tuple(labels(alert(scope=scope), Level.WARNING).items()) for scope in scopes}
    assert len(sets) == len(scopes)
    assert ("portfolio", "x") in labels(alert(scope=scopes[2]), Level.WARNING).items()


@settings(max_examples=100)
@given(any_message(4))
async def test_every_request_is_one_alertmanager_takes(told: Message) -> None:
    _, rows = await sent(told)
    fires = {tuple(sorted(row["labels"].items())) for row in rows if ms(row["endsAt"]) > told.sent_at_ms}
    ended = {tuple(sorted(row["labels"].items())) for row in rows} - fires
    assert len(fires) + len(ended) == len(rows)
    for row in rows:
        assert all(_LABEL.fullmatch(name) and isinstance(value, str) and value for name, value in row["labels"].items())
        assert ms(row["startsAt"]) <= ms(row["endsAt"])
        assert re.fullmatch(r"https?://[!-~]+", row.get("generatorURL", "http://x"))
