"""Receivers come, change and go while alerts fire: nothing is lost, and the end reaches who was told."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from config.settings import Settings
from monitor.alerts.message import Delivery
from monitor.alerts.outbox import Outcome
from monitor.margin.hyperliquid import VENUE
from monitor.margin.result import Level
from tests.monitor.own_app import started
from tests.monitor.reloads import ReloadedApplication, desk, hooks, risky, run


def tagged(**tables: Any) -> Settings:
    """The desk with one account of tag `desk`."""
    listed = [{"id": "maker", "venue": VENUE, "address": f"0x{0xB001:040x}", "tags": ["desk"]}]
    return desk(accounts=listed, **tables)


async def test_receivers_come_change_and_go_and_the_end_reaches_who_was_told() -> None:
    own = ReloadedApplication(desk(receivers=hooks("one", "two")))
    async with started(own):
        await run(own, 2, 0.87)
        one, two = own.receiver("one"), own.receiver("two")
        assert len(one.titles) == len(two.titles) == 1
        tasks = dict(own.app.alarm.dispatcher._tasks)
        changed = await own.reload(desk(receivers={**hooks("two", "three")}))
        assert "receiver one removed" in changed
        assert "receiver three added" in changed
        assert own.app.alarm.dispatcher._tasks["two"] is tasks["two"]
        assert own.app.alarm.dispatcher._lines["two"]._receiver is two
        await run(own, 6, 0.2)
        assert [row.name for row in own.app.alarm.dispatcher.statistics()] == ["terminal", "two", "three"]
        assert two.titles[-1].startswith("RESOLVED")
        assert own.receiver("three").titles == [], "it never heard of it, and a warning can wait until it is told again"
        assert len(one.titles) == 1
        assert tasks["one"].done()


async def test_the_end_goes_to_whoever_is_there_where_all_that_were_told_are_gone() -> None:
    own = ReloadedApplication(desk(receivers=hooks("one")))
    async with started(own):
        await run(own, 2, 0.87)
        await own.reload(desk(alerts={"receivers": ["two"]}, receivers=hooks("one", "two")))
        await run(own, 6, 0.2)
        assert [title.partition(" ")[0] for title in own.receiver("two").titles] == ["RESOLVED"]


@pytest.mark.parametrize(
    ("after", "hears"),
    [
        (hooks("one", "two"), "two"),
        ({**hooks("one"), **hooks("two", tags=["other"])}, None),
        ({"one": {"type": "webhook", "url_env": "OTHER_URL"}}, "one"),
        (hooks("one", min_level="critical"), None),
        (hooks("one", escalate_to="two") | hooks("two", min_level="liquidation"), None),
    ],
)
async def test_what_is_critical_is_told_at_once_to_who_never_heard_of_it(after: dict[str, Any], hears: str | None) -> None:
    own = ReloadedApplication(tagged(receivers=hooks("one")))
    async with started(own):
        await run(own, 2, 0.95)
        one = own.receiver("one")
        before = len(one.titles)
        await own.reload(tagged(receivers=after))
        await own.settled()
        if hears is None:
            assert len(one.titles) == before, "nobody is told twice for nothing"
            assert "two" not in after or own.receiver("two").titles == []
        else:
            assert [title.partition(" ")[0] for title in own.receiver(hears).titles] == ["CRITICAL"]
        told = sum(len(made.titles) for of_name in own.parts.receivers.values() for made in of_name)
        assert await own.reload(tagged(receivers=after, alerts={"hold_s": 4.0}))
        await own.settled()
        assert sum(len(made.titles) for of_name in own.parts.receivers.values() for made in of_name) == told, "once is enough"


@pytest.mark.parametrize("is_silenced", [False, True])
async def test_a_receiver_whose_route_is_widened_hears_of_what_is_critical_unless_it_is_silenced(is_silenced: bool) -> None:
    own = ReloadedApplication(desk(receivers={**hooks("one"), **hooks("two", min_level="liquidation")}))
    async with started(own):
        await run(own, 2, 0.95)
        two = own.receiver("two")
        if is_silenced:
            own.app.alarm.dispatcher.silence("*", time.time_ns() // 1_000_000 + 60_000, "we know")
        await own.reload(desk(receivers=hooks("one", "two")))
        await own.settled()
        assert own.app.alarm.dispatcher._lines["two"]._receiver is two, "only its route is another one"
        assert [title.partition(" ")[0] for title in two.titles] == ([] if is_silenced else ["CRITICAL"])


async def test_a_receiver_elsewhere_is_not_sent_to_what_the_one_before_had_written() -> None:
    own = ReloadedApplication(desk(receivers=hooks("one")))
    async with started(own):

        async def send(message: Any) -> Delivery:
            return Delivery(True, handles={alert.incident: "CHANNEL:1" for alert in message.alerts})

        own.receiver("one").send = send  # type: ignore[method-assign]
        await run(own, 2, 0.95)
        await own.reload(desk(receivers={"one": {"type": "webhook", "url_env": "OTHER_URL"}}))
        await run(own, 6, 0.2)
        assert [dict(message.handles) for message in own.receiver("one").messages] == [{}, {}]


async def test_a_receiver_that_hangs_does_not_hold_up_the_one_that_takes_its_place() -> None:
    own = ReloadedApplication(desk(receivers=hooks("one")))
    async with started(own):

        async def send(message: Any) -> Delivery:
            await asyncio.Event().wait()
            return Delivery(True)

        own.receiver("one").send = send  # type: ignore[method-assign]
        await run(own, 2, 0.87)
        await own.reload(desk(receivers={"one": {"type": "webhook", "url_env": "OTHER_URL"}}))
        await own.settled()
        assert [title.partition(" ")[0] for title in own.receiver("one").titles] == ["WARNING"]
        await run(own, 6, 0.2)
        assert own.receiver("one").titles[-1].startswith("RESOLVED")


async def test_what_waits_for_a_receiver_that_goes_is_told_to_another(caplog: pytest.LogCaptureFixture) -> None:
    own = ReloadedApplication(desk(receivers=hooks("one")))
    async with started(own):
        one = own.receiver("one")
        one.refuses = Delivery(False, "HTTP status 500")
        await run(own, 2, 0.95)
        await own.reload(desk(receivers=hooks("two"), alerts={"receivers": ["two"]}))
        await own.settled()
        assert [title.partition(" ")[0] for title in own.receiver("two").titles] == ["CRITICAL"]
        assert "receiver one is configured no more; to two instead" in caplog.text
        (entry,) = await own.app.alarm.outbox.history(10)
        outcomes = {record.receiver: record.outcome for record in entry.deliveries}
        assert outcomes == {"terminal": Outcome.DELIVERED, "one": Outcome.ESCALATED, "two": Outcome.DELIVERED}
        await run(own, 6, 0.2)
        assert own.receiver("two").titles[-1].startswith("RESOLVED")


async def test_with_nobody_left_it_is_said_what_nobody_got(caplog: pytest.LogCaptureFixture) -> None:
    own = ReloadedApplication(desk(receivers=hooks("one"), alerts={"receivers": ["one"]}))
    async with started(own):
        own.receiver("one").refuses = Delivery(False, "HTTP status 500")
        await run(own, 2, 0.95)
        await own.reload(desk(receivers=hooks("one"), alerts={"receivers": []}))
        assert "nobody is left for: CRITICAL" in caplog.text
        await run(own, 6, 0.2)
        assert not own.firing()


async def test_a_receiver_that_was_mended_gets_at_once_what_waits() -> None:
    own = ReloadedApplication(desk(receivers=hooks("one")))
    async with started(own):
        own.receiver("one").refuses = Delivery(False, "HTTP status 401", fatal=True)
        await run(own, 8, 0.95)
        assert ("one", "receiver") in own.firing()
        assert await own.reload(desk(receivers={"one": {"type": "webhook", "url_env": "OTHER_URL"}})) == ["receiver one: url_env, url"]
        await own.settled()
        assert [title.partition(" ")[0] for title in own.receiver("one").titles][:1] == ["CRITICAL"]
        await run(own, 6, 0.95)
        assert ("one", "receiver") not in own.firing()


async def test_what_was_wrong_with_a_receiver_says_nothing_of_the_one_that_takes_its_name() -> None:
    own = ReloadedApplication(desk(receivers=hooks("one")))
    dispatcher = own.app.alarm.dispatcher
    line = dispatcher._lines["one"]
    line._fails(Delivery(False, "HTTP status 401", fatal=True))
    assert [problem.scope.name for problem in dispatcher.problems()] == ["one"]
    assert dispatcher.untried() == ["terminal"]
    dispatcher.configure(own.parts.lines(own.settings), dispatcher._config)
    assert dispatcher._lines["one"] is line
    assert dispatcher.problems() == []
    assert dispatcher.untried() == ["terminal", "one"]


async def test_an_answer_of_the_receiver_before_does_not_stop_the_one_after() -> None:
    own = ReloadedApplication(desk(receivers=hooks("one")))
    async with started(own):
        answered = asyncio.Event()

        async def send(message: Any) -> Delivery:
            await answered.wait()
            return Delivery(False, "HTTP status 401", fatal=True)

        own.receiver("one").send = send  # type: ignore[method-assign]
        await run(own, 2, 0.95)
        await own.reload(desk(receivers={"one": {"type": "webhook", "url_env": "OTHER_URL"}}))
        answered.set()
        await own.settled()
        assert own.app.alarm.dispatcher.problems() == []
        line = own.app.alarm.dispatcher._lines["one"]
        assert line._until_s - line._seams.now_s <= 1.0, "it is tried soon"


async def test_an_alert_on_its_way_into_the_outbox_is_not_lost_with_its_receiver(monkeypatch: pytest.MonkeyPatch) -> None:
    own = ReloadedApplication(desk(receivers=hooks("one")))
    async with started(own):
        await run(own, 2, 0.5)
        written = asyncio.Event()

        async def slow(batch: Any) -> bool:
            await written.wait()
            return True

        monkeypatch.setattr(own.app.alarm.outbox, "write", slow)
        await own.tell(*risky(own, 0.95))
        await own.settled()
        await own.reload(desk(receivers=hooks("two")))
        written.set()
        await own.settled()
        assert len(own.receiver("two").titles) == 1


async def test_a_burst_that_is_being_sent_is_told_to_the_next_when_its_receiver_goes() -> None:
    own = ReloadedApplication(desk(receivers=hooks("one")))
    async with started(own):
        hangs = asyncio.Event()

        async def send(message: Any) -> Delivery:
            await hangs.wait()
            return Delivery(True)

        own.receiver("one").send = send  # type: ignore[method-assign]
        await run(own, 2, 0.95)
        await own.reload(desk(receivers=hooks("two")))
        await own.settled()
        assert len(own.receiver("two").titles) == 1


async def test_deadlines_and_routes_are_those_of_the_new_configuration() -> None:
    own = ReloadedApplication(desk(receivers=hooks("one", "two")))
    async with started(own):
        await own.reload(desk(receivers=hooks("one", "two", min_level="liquidation"), alerts={"deadline_s": 7.0, "group_s": 0.5}))
        assert own.app.alarm.dispatcher._config.deadline_s == 7.0
        assert {line._config.group_s for line in own.app.alarm.dispatcher._lines.values()} == {0.5}
        await run(own, 2, 0.95)
        assert own.receiver("one").titles == own.receiver("two").titles == []


async def test_who_took_over_and_is_gone_is_asked_no_more(caplog: pytest.LogCaptureFixture) -> None:
    def receivers(*reserves: str) -> dict[str, Any]:
        return {**hooks("one"), **hooks(*reserves, min_level="liquidation")}

    own = ReloadedApplication(desk(receivers=receivers("two", "three")))
    async with started(own):
        own.receiver("one").refuses = Delivery(False, "HTTP status 401", fatal=True)
        await run(own, 2, 0.92)
        assert len(own.receiver("two").titles) == 1
        three = own.receiver("three")
        await own.reload(desk(receivers=receivers("three")))
        await run(own, 4, 0.98)
        assert {title.partition(" ")[0] for title in three.titles} == {"CRITICAL"}
        assert "configured no more" not in caplog.text, "nothing waited there"


async def test_an_alert_about_a_receiver_ends_with_it() -> None:
    own = ReloadedApplication(desk(receivers=hooks("one", "two")))
    async with started(own):
        own.receiver("one").refuses = Delivery(False, "HTTP status 401", fatal=True)
        await run(own, 8, 0.95)
        assert ("one", "receiver") in own.firing()
        await own.reload(desk(receivers=hooks("two")))
        assert ("one", "receiver") not in own.firing()


async def test_what_crosses_in_the_turn_of_the_reload_is_told_by_the_new_levels_to_the_new_receivers() -> None:
    listed = {"portfolios": [{"id": "desk", "accounts": ["maker"]}]}
    own = ReloadedApplication(desk(receivers=hooks("one"), **listed))
    async with started(own):
        own.app.portfolios.ready = True
        await run(own, 3, 0.02)
        assert not own.app.alarm.recent
        levels = {"levels": {"warning": 0.001, "critical": 0.002}}
        await own.reload(desk(receivers=hooks("two"), defaults=levels, alerts={"hysteresis": 0.0}, **listed))
        told = [(alert.scope.kind.value, alert.level) for alert in own.app.alarm.recent]
        assert told == [("pool", Level.CRITICAL), ("portfolio", Level.CRITICAL)]
        await own.settled()
        assert sorted(title.split()[0] for title in own.receiver("two").titles) == ["CRITICAL", "CRITICAL"]
        assert own.receiver("one").titles == []
