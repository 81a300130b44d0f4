from __future__ import annotations

import hashlib
import math
import re
from typing import Any

import pytest
from hypothesis import given, settings

import monitor.alerts.receivers.webhook as module
from config import Secret
from monitor.alerts.incident import Change
from monitor.alerts.message import Delivery, Message
from monitor.alerts.receivers.http import PostError, Reply
from monitor.alerts.receivers.webhook import WebhookReceiver, document
from monitor.alerts.rules import Rule
from monitor.alerts.scope import AlertScope
from monitor.margin.result import Level
from tests.monitor.alerts.receiver_alerts import FIGURES, LINK, NOW_MS, OPENED_MS, MemoryPoster, Posted, alert, any_message, message, pool

SECRET = "very-secret-é"
URL = "https://hook.example/very-secret"


async def sent(told: Message, *answers: Reply | PostError, secret: str | None = None) -> tuple[Delivery, list[Posted]]:
    poster = MemoryPoster(answers or (Reply(200),))
    delivery = await WebhookReceiver("hook", Secret(URL), poster, None if secret is None else Secret(secret)).send(told)
    assert "secret" not in delivery.reason
    return delivery, poster.posted


def independent_hmac(key: bytes, content: bytes) -> str:
    """HMAC-SHA256 as RFC 2104 writes it, without the library that the receiver uses."""
    key = hashlib.sha256(key).digest() if len(key) > 64 else key
    inner, outer = (bytes(byte ^ pad for byte in key.ljust(64, b"\0")) for pad in (0x36, 0x5C))
    return hashlib.sha256(outer + hashlib.sha256(inner + content).digest()).hexdigest()


def is_genuine(posted: Posted, secret: str, now_s: float) -> bool:
    """What the module tells the other end to do."""
    timestamp = posted.headers["X-Marginwatch-Timestamp"]
    expected = "v1=" + independent_hmac(secret.encode(), timestamp.encode() + b"." + posted.body)
    return posted.headers["X-Marginwatch-Signature"] == expected and abs(now_s - int(timestamp)) <= 300


async def test_the_document() -> None:
    first = alert(detail="0x" + "ab" * 20, subject="BTC", maintenance="upgrade", escalated_from="pd")
    second = alert(Level.CRITICAL, Change.RESOLVED, scope=AlertScope.portfolio("desk"), figures={}, ratio=math.inf, ratio_at_crossing=None)
    delivery, (posted,) = await sent(message(first, second))
    assert delivery == Delivery(True)
    told = posted.json
    one, other = told.pop("alerts")
    assert told == {
        "version": 2,
        "source": "marginwatch",
        "title": message(first, second).text.title,
        "text": message(first, second).text.full,
        "level": "critical",
        "sent_at_ms": NOW_MS,
    }
    assert one == {
        "id": "hyperliquid/hl-main/USDC/margin_level#7.1",
        "key": "hyperliquid/hl-main/USDC/margin_level",
        "incident": "hyperliquid/hl-main/USDC/margin_level#7",
        "number": 7,
        "sequence": 1,
        "kind": "pool",
        "venue": "hyperliquid",
        "account": "hl-main",
        "name": "USDC",
        "pool": "USDC",
        "tags": ["desk-a", "prod"],
        "rule": "margin_level",
        "status": "firing",
        "change": "fired",
        "level": "warning",
        "previous_level": "ok",
        "title": first.title,
        "text": first.text,
        "detail": "0xabab…abab",
        "subject": "BTC",
        "maintenance": "upgrade",
        "time_ms": NOW_MS,
        "opened_ms": OPENED_MS,
        "open_for_s": 5.0,
        "frozen": False,
        "margin_ratio": 0.92,
        "ratio_at_crossing": 0.9,
        "link": LINK,
        "escalated_from": "pd",
        "pool_kind": "hyperliquid_cross",
        "mode": None,
        "asset": "USDC",
        "equity": 2_000_000.0,
        "maintenance_margin": None,
        "excess": None,
        "cash_to_safety": None,
        "data_age_s": None,
        "reduce": {"instrument": "hyperliquid:BTC", "quantity": -2.0},
        "figures": FIGURES,
    }
    assert (other["status"], other["level"], other["previous_level"]) == ("resolved", "ok", "critical")
    assert (other["kind"], other["name"], other["pool"], other["venue"]) == ("portfolio", "desk", "", "")
    assert (other["margin_ratio"], other["ratio_at_crossing"], other["figures"], other["equity"]) == ("Infinity", None, {}, None)


def test_keys_are_the_documented_ones() -> None:
    documented = set(re.findall(r"[a-z_]+", module.__doc__ or ""))
    told = document(message(alert()))
    assert set(told) | set(told["alerts"][0]) <= documented
    account_wide = document(message(alert(scope=AlertScope.of_account("aster", "a"), rule=Rule.KEY, figures={})))
    assert set(account_wide["alerts"][0]) == set(told["alerts"][0])


async def test_alerts_are_in_order_of_time() -> None:
    burst = (
        alert(scope=pool("a")),
        alert(Level.CRITICAL, scope=pool("b")),
        alert(Level.WARNING, Change.RESOLVED, scope=pool("a"), sequence=2),
    )
    _, (posted,) = await sent(message(*burst))
    assert [one["id"] for one in posted.json["alerts"]] == [one.id for one in burst]


async def test_a_signature_that_the_other_end_can_verify() -> None:
    _, (posted,) = await sent(message(alert()), secret=SECRET)
    assert is_genuine(posted, SECRET, NOW_MS / 1000)
    assert not is_genuine(posted, "another", NOW_MS / 1000)
    assert not is_genuine(posted, SECRET, NOW_MS / 1000 + 301)
    forged = Posted(posted.url, posted.body.replace(b"warning", b"ok"), posted.headers)
    assert not is_genuine(forged, SECRET, NOW_MS / 1000)
    later = Posted(posted.url, posted.body, {**posted.headers, "X-Marginwatch-Timestamp": str(NOW_MS // 1000 + 600)})
    assert not is_genuine(later, SECRET, NOW_MS / 1000 + 600)
    _, (long,) = await sent(message(alert()), secret="k" * 100)
    assert is_genuine(long, "k" * 100, NOW_MS / 1000)


def test_the_independent_verification_is_right() -> None:
    # RFC 4231, test case 2
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert independent_hmac(b"Jefe", b"what do ya want for nothing?") == expected


async def test_without_a_secret_nothing_is_signed() -> None:
    _, (posted,) = await sent(message(alert()))
    assert set(posted.headers) == {"Content-Type", "X-Marginwatch-Delivery"}


async def test_a_repeated_sending_can_be_told() -> None:
    _, (first,) = await sent(message(alert()))
    _, (again,) = await sent(message(alert(), sent_at_ms=NOW_MS + 9000))
    _, (other,) = await sent(message(alert(sequence=2)))
    ids = [posted.headers["X-Marginwatch-Delivery"] for posted in (first, again, other)]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("answer", "fatal"),
    [(Reply(204), False), (Reply(500), False), (Reply(429, 3.0), False), (PostError("no connection"), False), (Reply(401), True)],
)
async def test_what_became_of_it(answer: Reply | PostError, fatal: bool) -> None:
    delivery, posted = await sent(message(alert()), answer)
    assert (delivery.delivered, delivery.fatal, len(posted)) == (answer == Reply(204), fatal, 1)
    assert delivery.retry_after_s == (answer.retry_after_s if isinstance(answer, Reply) else None)


async def test_what_is_too_large_comes_shortened() -> None:
    delivery, (whole, short) = await sent(message(alert(details=("x" * 100_000,))), Reply(413), Reply(200), secret=SECRET)
    assert delivery == Delivery(True)
    assert len(short.body) < 2000 < len(whole.body)
    assert short.json["shortened"] is True
    assert short.json["alerts"][0]["id"] == whole.json["alerts"][0]["id"]
    assert set(short.json["alerts"][0]) == set(whole.json["alerts"][0])
    assert is_genuine(short, SECRET, NOW_MS / 1000)
    delivery, _ = await sent(message(alert()), Reply(413))
    assert (delivery.fatal, delivery.reason) == (True, "HTTP status 413: the message is too large for it; raise its limit")


@settings(max_examples=60)
@given(any_message(3))
async def test_any_alert_is_json(told: Message) -> None:
    _, (posted,) = await sent(told, secret=SECRET)
    found: Any = posted.json
    assert [one["number"] for one in found["alerts"]] == [one.number for one in told.alerts]
    assert all(value.isascii() and value.isprintable() for value in posted.headers.values())
