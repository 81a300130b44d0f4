"""What leaves whatever is wrong, what a start may take, and what a restarted monitor takes over."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from connectors.clock import settle
from connectors.events import AccountFailure, FailureReason
from monitor.alarm import START_EACH_S, START_S
from monitor.alerts import announce
from monitor.alerts.alert import Alert
from monitor.alerts.dispatcher import LineSettings
from monitor.alerts.incident import Change, OpenIncident, key_of
from monitor.alerts.outbox import Outbox
from monitor.alerts.rules import Rule
from monitor.alerts.scope import MONITOR, AlertScope
from monitor.app import Application
from monitor.margin.hyperliquid import VENUE
from monitor.margin.result import Level
from tests.monitor.own_app import OwnApplication, cash_for, marks, opening, started
from tests.monitor.own_desk import ACCOUNT, position

BURNING = 0.95
ALLOWED_S = START_S + START_EACH_S


def with_outbox(path: Path) -> OwnApplication:
    """An application of its own process, as far as alerts are concerned."""
    own = OwnApplication()
    own.app = Application(own.settings, lambda sink: [own.connector], [LineSettings(own.recorder)], own.clock, outbox=Outbox(path))
    return own


async def burn(own: OwnApplication) -> None:
    await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(BURNING)))


def told(own: OwnApplication) -> list[Alert]:
    return [alert for message in own.recorder.messages for alert in message.alerts]


# -- whatever is wrong ----------------------------------------------------------------------------------------------------------------


async def test_an_alert_without_a_text_leaves_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    own = OwnApplication()

    def broken(*_: Any) -> None:
        raise UnicodeEncodeError("utf-8", "x", 0, 1, "no")

    async with started(own):
        monkeypatch.setattr(announce, "render", broken)
        await burn(own)
        await own.until(lambda: bool(told(own)))
    (alert, *_) = told(own)
    assert (alert.level, alert.key) == (Level.CRITICAL, f"{VENUE}/{ACCOUNT}/main/margin_level")
    assert alert.title == f"CRITICAL margin_level {ACCOUNT}/main: its text cannot be made, see the log"


async def test_a_broken_rule_keeps_back_no_event_and_no_page_and_ends_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    own = OwnApplication()
    await own.app.start()
    monkeypatch.setattr(own.app.alarm.watch, "note", lambda event, now_ns: 1 / 0)
    await burn(own)
    with pytest.raises(ZeroDivisionError):
        own.app.alarm.every_second(own.app.results(), own.now_ns)
    await own.app.stop()
    assert [alert.level for alert in told(own) if alert.rule is Rule.LEVEL] == [Level.CRITICAL]


async def test_a_broken_listener_keeps_back_no_page() -> None:
    own = OwnApplication()
    heard: list[Alert] = []
    own.app.alarm.listeners += [lambda alert: [][1], heard.append]
    await own.app.start()
    await burn(own)
    assert heard, "the other one is told"
    with pytest.raises(IndexError):
        own.app.alarm.every_second(own.app.results(), own.now_ns)
    await own.app.stop()
    assert told(own)


# -- the start ------------------------------------------------------------------------------------------------------------------------


async def test_a_first_read_may_take_its_turn_before_it_is_missed() -> None:
    own = OwnApplication()
    async with started(own):
        for _ in range(round(ALLOWED_S) - 2):
            await own.clock.advance(1.0)
            await settle()
        assert own.firing() == []
        await own.until(lambda: ("account", "data") in own.firing(), 20.0)


async def test_an_account_that_cannot_be_watched_is_told_once() -> None:
    own = OwnApplication()
    async with started(own):
        await own.tell(*opening(own, position("BTC", 1.0, 100.0)))
        await own.tell(AccountFailure(VENUE, ACCOUNT, own.now_ns, FailureReason.KEY_REFUSED, "no"))
        for _ in range(60):
            await own.clock.advance(1.0)
            await settle()
        assert {rule for _, rule in own.firing()} == {"account_failure"}


# -- the restart ----------------------------------------------------------------------------------------------------------------------


async def killed(own: OwnApplication) -> None:
    """Let what was told be delivered and noted, then be gone: nothing more is said."""
    await own.until(lambda: own.app.alarm.outbox.statistics().pending == 0)
    await own.app.stop()
    own.app.alarm.outbox.close()


async def test_what_fires_fires_on_after_a_restart_and_is_not_told_again(tmp_path: Path) -> None:
    first = with_outbox(tmp_path / "outbox.db")
    await first.app.start()
    await burn(first)
    await first.until(lambda: bool(told(first)))
    await killed(first)
    (fired, *_) = told(first)
    second = with_outbox(tmp_path / "outbox.db")
    async with started(second):
        assert second.firing() == [("main", "margin_level")]
        await burn(second)
        await settle()
        assert [alert.change for alert in told(second)] == []
        await second.tell(marks(second, BTC=98.0))
        await second.until(lambda: bool(told(second)))
    (escalated, *_) = told(second)
    assert (escalated.change, escalated.incident, escalated.sequence) == (Change.ESCALATED, fired.incident, fired.sequence + 1)


async def test_a_pool_that_closed_while_nobody_watched_ends_with_the_first_good_data(tmp_path: Path) -> None:
    first = with_outbox(tmp_path / "outbox.db")
    await first.app.start()
    await first.tell(*opening(first, position("BTC", 1000.0, 100.0, isolated=cash_for(1.1)), cash=5_000.0))
    await first.until(lambda: ("iso:BTC", "margin_level") in first.firing())
    await killed(first)
    second = with_outbox(tmp_path / "outbox.db")
    async with started(second):
        assert ("iso:BTC", "margin_level") in second.firing()
        await second.tell(*opening(second, cash=5_000.0))
        await second.until(lambda: ("iso:BTC", "margin_level") not in second.firing())
    assert Change.RESOLVED in [alert.change for alert in told(second) if alert.scope.name == "iso:BTC"]


def open_incidents(scopes: Iterable[tuple[AlertScope, Rule]]) -> tuple[OpenIncident, ...]:
    return tuple(
        OpenIncident(key_of(scope, rule), number, 1, rule, scope, Level.WARNING, 0.0, 0.0) for number, (scope, rule) in enumerate(scopes, 1)
    )


async def test_what_is_configured_no_more_ends_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    own = OwnApplication()
    kept = AlertScope.pool(VENUE, ACCOUNT, "main")
    left = open_incidents(
        [
            (kept, Rule.LEVEL),
            (AlertScope.pool(VENUE, "gone", "main"), Rule.LEVEL),
            (AlertScope.portfolio("gone"), Rule.LEVEL),
            (AlertScope.receiver("gone"), Rule.RECEIVER),
            (AlertScope.of_venue("aster"), Rule.CLOCK),
            (AlertScope.feed("aster", "markPrice"), Rule.STALE_FEED),
        ]
    )
    recovered = own.app.alarm.outbox.open(0.0, 0)
    monkeypatch.setattr(own.app.alarm.outbox, "open", lambda epoch_ms, now_ms: type(recovered)(open=left, last_number=6))
    async with started(own):
        assert [incident.scope for incident in own.app.alarm.policy.firing()] == [kept]
        await own.until(lambda: len(told(own)) >= 5)
    ended = [alert for alert in told(own) if alert.scope != kept]
    assert {alert.change for alert in ended} == {Change.RESOLVED}
    assert "configured no more" in ended[0].text


async def test_that_the_network_was_lost_ends_only_when_something_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    own = OwnApplication()
    recovered = own.app.alarm.outbox.open(0.0, 0)
    lost = open_incidents([(MONITOR, Rule.NETWORK)])
    monkeypatch.setattr(own.app.alarm.outbox, "open", lambda epoch_ms, now_ms: type(recovered)(open=lost, last_number=1))
    async with started(own):
        for _ in range(20):
            await own.clock.advance(1.0)
            await settle()
        assert [incident.rule for incident in own.app.alarm.policy.firing()] == [Rule.NETWORK]
        await own.tell(*opening(own, position("BTC", 1.0, 100.0)))
        await own.until(lambda: not own.app.alarm.policy.firing(), 20.0)


def has_told(own: OwnApplication) -> bool:
    return bool(told(own))


async def test_no_number_is_given_twice_whatever_became_of_the_file(tmp_path: Path) -> None:
    numbers = []
    for lived in range(2):
        own = with_outbox(tmp_path / f"outbox{lived}.db")
        await own.clock.advance(60.0 * lived)
        await own.app.start()
        await burn(own)
        await own.until(partial(has_told, own))
        numbers.append(told(own)[0].number)
        await killed(own)
    assert numbers[0] < numbers[1]
