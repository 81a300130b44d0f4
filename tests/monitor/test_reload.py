"""A configuration is taken as a whole while the monitor runs, or not at all: levels, accounts, what is refused, what is said."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from config.errors import ConfigError, Problem
from config.settings import Settings
from connectors.events import FeedStatus, Fill, KeyState, OrdersSnapshot
from monitor.alerts.dispatcher import LineSettings
from monitor.alerts.incident import Change
from monitor.alerts.rules import Rule
from monitor.app import Application
from monitor.margin.hyperliquid import VENUE
from monitor.margin.result import Level
from monitor.reloading.prepared import Makers
from monitor.reloading.reloader import READ_LIMIT_S, STOPPING, Reloader, ReloadError
from tests.monitor.own_app import SECTIONS_FEED, started
from tests.monitor.own_desk import name
from tests.monitor.reloads import ENVIRON, ReloadedApplication, desk, hooks, risky, run


def levels(warning: float, critical: float) -> dict[str, Any]:
    return {"levels": {"warning": warning, "critical": critical}}


def liquidation(account: str, now_ns: int, time_ms: int, fields: dict[str, Any]) -> Fill:
    """An execution that the venue made."""
    return Fill(VENUE, account, now_ns, "1", time_ms, -1.0, 100.0, 0.0, "USDC", name("BTC"), liquidation=True, **fields)


def told(own: ReloadedApplication) -> list[tuple[str, Change, Level]]:
    return [(alert.scope.name, alert.change, alert.level) for alert in own.app.alarm.recent]


# -- levels ---------------------------------------------------------------------------------------------------------------------------


async def test_a_lower_level_fires_in_the_same_turn_and_a_higher_one_ends_after_the_hold() -> None:
    own = ReloadedApplication(desk())
    async with started(own):
        await own.tell(*risky(own, 0.80))
        await own.until(lambda: bool(own.connector.ratios))
        connector, method = own.app.connectors[0], own.app.book.accounts[VENUE, "maker"].method
        assert told(own) == []

        assert await own.reload(desk(defaults=levels(0.70, 0.75))) == [
            "account maker: levels",
            "portfolio portfolio: levels",
            "[defaults] levels",
        ]
        assert told(own) == [("main", Change.FIRED, Level.CRITICAL)]
        assert own.app.results()[0].level is Level.CRITICAL
        assert own.app.connectors == [connector]
        assert own.app.book.accounts[VENUE, "maker"].method is method, "what is known of the account stays"

        await own.reload(desk(defaults=levels(0.70, 0.90)))
        await run(own, 5, 0.80)
        assert told(own)[1:] == [("main", Change.DEESCALATED, Level.WARNING)]
        await own.reload(desk(defaults=levels(0.85, 0.90)))
        assert len(own.firing()) == 1, "the hold runs first"
        await run(own, 5, 0.80)
        assert told(own)[2:] == [("main", Change.RESOLVED, Level.OK)]


async def test_a_level_fires_at_once_also_where_as_many_cuts_lie_below_the_ratio_as_before() -> None:
    own = ReloadedApplication(desk(defaults=levels(0.87, 0.89), alerts={"hysteresis": 0.10}))
    async with started(own):
        await run(own, 2, 0.86)
        assert told(own) == []
        await own.reload(desk(defaults=levels(0.85, 0.90), alerts={"hysteresis": 0.02}))
        assert told(own) == [("main", Change.FIRED, Level.WARNING)]


async def test_hysteresis_and_holds_count_for_what_fires_already() -> None:
    own = ReloadedApplication(desk(alerts={"hysteresis": 0.10}))
    async with started(own):
        await own.tell(*risky(own, 0.86))
        await own.tell(*risky(own, 0.80))
        await own.until(lambda: bool(own.connector.ratios))
        await run(own, 10, 0.80)
        assert own.firing(), "0.80 is above 0.85 - 0.10"
        await own.reload(desk(alerts={"hysteresis": 0.02, "hold_s": 1.0}))
        await run(own, 3, 0.80)
        assert not own.firing()


# -- accounts -------------------------------------------------------------------------------------------------------------------------


async def test_an_account_that_goes_leaves_nothing_behind() -> None:
    own = ReloadedApplication(desk("maker", "hedger"))
    async with started(own):
        await own.tell(*risky(own, 0.95), *risky(own, 0.92, "hedger"))
        await own.tell(
            OrdersSnapshot(VENUE, "hedger", own.now_ns, "", ()),
            KeyState(VENUE, "hedger", own.now_ns, None, ()),
        )
        await own.feed(SECTIONS_FEED, FeedStatus.FRESH, "hedger")
        await own.until(lambda: bool(own.connector.ratios))
        assert ("main", "margin_level") in own.firing()
        changed = await own.reload(desk("maker"))
        assert "account hedger removed" in changed
        assert [ref.alias for ref in own.connector.accounts] == ["maker"]
        ended = [alert for alert in own.app.alarm.recent if alert.scope.account == "hedger" and alert.is_resolved]
        assert [(alert.rule.value, alert.detail) for alert in ended] == [("margin_level", "it is configured no more")]
        book, app, key = own.app.book, own.app, (VENUE, "hedger")
        tables: list[Any] = [book.accounts, book.orders, book.keys, book.adl, book.touched, book.freshness.frame_ns, app.first_fresh]
        assert not [table for table in tables if key in table]
        assert not any(feed[2] == "hedger" for feed in (*book.freshness.feeds, *book.freshness.heard_ns))
        assert {result.account for result in app.results()} == {"maker"}

        # the connector may have had something in its hands
        await own.tell(OrdersSnapshot(VENUE, "hedger", own.now_ns, "", ()), *risky(own, 0.99, "hedger")[3:])
        known = len(own.app.alarm.recent)
        await run(own, 70, 0.95)
        assert {result.account for result in app.results()} == {"maker"}
        assert not any(state.scope.account == "hedger" for state in app.alarm.policy.firing()), "nobody misses its data"
        assert not any(alert.scope.account == "hedger" for alert in list(app.alarm.recent)[known:])
        assert "hedger" not in app.portfolios.lacking
        assert not [table for table in tables if key in table]


async def test_a_new_account_is_waited_for_as_at_a_start_and_then_missed() -> None:
    own = ReloadedApplication(desk("maker"))
    async with started(own):
        for _ in range(10):
            await own.clock.advance(60.0)
        await run(own, 10, 0.5)
        await own.reload(desk("maker", "hedger"))
        assert own.app.unready()
        assert [ref.alias for ref in own.connector.accounts] == ["maker", "hedger"]
        await run(own, 35, 0.5)
        assert not own.firing(), "it may not have had its turn yet"
        await run(own, 10, 0.5)
        assert {state.scope.account for state in own.app.alarm.policy.firing()} == {"hedger"}
        await run(own, 2, 0.5, "maker", "hedger")
        assert not own.app.unready()


async def test_an_account_of_another_address_begins_anew_and_its_alert_waits_for_good_data() -> None:
    own = ReloadedApplication(desk("maker"))
    async with started(own):
        await own.tell(*risky(own, 0.95))
        await own.until(lambda: bool(own.connector.ratios))
        method = own.app.book.accounts[VENUE, "maker"].method
        other = desk("maker", accounts=[{"id": "maker", "venue": VENUE, "address": f"0x{0xB009:040x}"}])
        assert await own.reload(other) == ["account maker: address"]
        assert own.app.book.accounts[VENUE, "maker"].method is not method
        assert own.app.unready()
        assert own.firing() == [("main", "margin_level")], "nothing says that the danger is over"
        await own.tell(*risky(own, 0.3))
        await own.until(lambda: not own.firing(), 8.0)


@pytest.mark.parametrize(("ago_s", "is_told"), [(60, True), (3600, False)])
async def test_what_a_venue_did_to_a_new_account_long_before_is_no_news(ago_s: int, is_told: bool) -> None:
    own = ReloadedApplication(desk("maker"))
    async with started(own):
        await run(own, 2, 0.5)
        for _ in range(8):
            await own.clock.advance(900.0)
        await own.reload(desk("maker", "hedger"))
        await own.tell(liquidation("hedger", own.now_ns, own.clock.time_ms() - 1000 * ago_s, {"snapshot": True}))
        seen = [alert.title for alert in own.app.alarm.recent if alert.rule is Rule.LIQUIDATION_SEEN]
        assert bool(seen) is is_told, seen


async def test_what_was_told_before_the_connection_was_replaced_is_not_told_again() -> None:
    own = ReloadedApplication(desk())
    async with started(own):
        await run(own, 2, 0.5)
        happened_ms = own.clock.time_ms()
        await own.tell(liquidation("maker", own.now_ns, happened_ms, {"snapshot": False}))
        await own.clock.advance(120.0)
        assert await own.reload(desk(venues={"hyperliquid": {"poll_interval_s": 7.0}})) == ["venue hyperliquid: poll_interval_s"]
        await own.tell(liquidation("maker", own.now_ns, happened_ms, {"snapshot": True}))
        assert len([alert for alert in own.app.alarm.recent if alert.rule is Rule.LIQUIDATION_SEEN]) == 1
        await own.tell(liquidation("maker", own.now_ns, happened_ms + 1000, {"snapshot": True}))
        (again,) = [incident for incident in own.app.alarm.policy.firing() if incident.rule is Rule.LIQUIDATION_SEEN]
        assert again.events == 2
        assert "before the account was read anew" in again.detail


# -- what is refused ------------------------------------------------------------------------------------------------------------------


def parts(app: Application) -> list[int]:
    """Identities of all that a reload could replace."""
    alarm, book = app.alarm, app.book
    found = [app.settings, alarm.settings, app.portfolios.settings, app.portfolios.books, alarm.policy.config, alarm.watch.limits]
    found += [*app.connectors, *(entry.method for entry in book.accounts.values()), alarm.heartbeat]
    found += [*alarm.dispatcher._lines.values(), *(line._receiver for line in alarm.dispatcher._lines.values())]
    return [id(one) for one in found]


async def test_what_cannot_be_read_changes_nothing_and_is_said(caplog: pytest.LogCaptureFixture) -> None:
    own = ReloadedApplication(desk())
    async with started(own):
        await own.tell(*risky(own, 0.5))
        before = parts(own.app)

        def broken() -> Any:
            raise ConfigError("desk.toml", [Problem("accounts[0].adress", "unknown key")])

        def defect() -> Any:
            raise RuntimeError("https://hook.example/secret-of-the-hook")

        loaded_ms = own.app.configuration.loaded_ms
        for load, said in ((broken, "desk.toml: accounts[0].adress: unknown key"), (defect, "it cannot be read (RuntimeError)")):
            with pytest.raises(ReloadError) as refused:
                await own.reloader(load).reload()
            assert str(refused.value) == said
            assert said in caplog.text
            assert (own.app.configuration.successful, own.app.configuration.loaded_ms) == (False, loaded_ms)
        assert parts(own.app) == before
        assert "secret" not in caplog.text
        assert await own.reload(desk()) == []
        assert own.app.configuration.successful


@pytest.mark.parametrize(
    ("tables", "key"),
    [
        ({"monitor": {"listen": "127.0.0.1:1"}}, "monitor.listen"),
        ({"monitor": {"kernel_cache_dir": "elsewhere"}}, "monitor.kernel_cache_dir"),
        ({"alerts": {"outbox": "another.db"}}, "alerts.outbox"),
        ({"alerts": {"outbox_limit_s": 1.0}}, "alerts.outbox_limit_s"),
        ({"alerts": {"keep_days": 1.0}}, "alerts.keep_days"),
        ({"venues": {"hyperliquid": {"network": "testnet"}}}, "venues.hyperliquid.network"),
    ],
)
async def test_what_needs_a_restart_is_refused_whole(tables: dict[str, Any], key: str) -> None:
    own = ReloadedApplication(desk())
    async with started(own):
        before = parts(own.app)
        with pytest.raises(ReloadError, match=f"^{key}: restart the monitor to change it$"):
            await own.reload(desk("maker", "hedger", **tables))
        assert parts(own.app) == before
        assert not own.app.configuration.successful


async def test_nothing_changed_touches_nothing() -> None:
    own = ReloadedApplication(desk())
    async with started(own):
        await own.tell(*risky(own, 0.5))
        before, evaluations = parts(own.app), own.app.engine.statistics.evaluations
        await own.clock.advance(0.1)
        assert await own.reload(desk()) == []
        assert parts(own.app) == before
        assert own.app.engine.statistics.evaluations == evaluations
        assert own.app.configuration.loaded_ms == own.clock.time_ms()


class Tape:
    """A flight recorder that notes which accounts were watched, and which receivers were made, when it was told of a configuration."""

    def __init__(self, own: ReloadedApplication) -> None:
        self.machine_clock = own.clock
        self.noted: list[tuple[list[str], list[str]]] = []
        self._own = own

    async def reloaded(self, settings: Settings) -> None:
        self.noted.append(([account for _, account in self._own.app.book.accounts], list(self._own.parts.receivers)))


def recorded(own: ReloadedApplication, load: Callable[[], Settings], makers: Makers | None = None) -> tuple[Reloader, Tape]:
    tape = Tape(own)
    return Reloader(own.app, load, makers or own.parts.makers, tape), tape  # type: ignore[arg-type]


async def test_a_recording_is_told_of_a_configuration_before_anything_of_it_runs() -> None:
    own = ReloadedApplication(desk())
    async with started(own):
        reloader, tape = recorded(own, lambda: desk("maker", "hedger", receivers=hooks("pager")))
        own.parts.receivers.clear()
        await reloader.reload()
        assert [watched for watched, _ in tape.noted] == [["maker"]]
        assert "pager" in tape.noted[0][1], "what a replay does not make can fail no more"
        assert list(own.app.book.accounts) == [(VENUE, "maker"), (VENUE, "hedger")]


async def test_a_recording_is_told_of_nothing_that_is_not_taken() -> None:
    own = ReloadedApplication(desk())

    def fails(settings: Settings) -> list[LineSettings]:
        raise RuntimeError("https://hook.example/secret")

    async with started(own):
        for given, makers in (
            (desk(), None),
            (desk("hedger", monitor={"listen": "127.0.0.1:1"}), None),
            (desk("hedger"), replace(own.parts.makers, lines=fails)),
        ):
            reloader, tape = recorded(own, lambda given=given: given, makers)  # type: ignore[misc]
            with suppress(ReloadError):
                await reloader.reload()
            assert tape.noted == []
        assert list(own.app.book.accounts) == [(VENUE, "maker")]


async def test_a_connector_that_refuses_its_accounts_leaves_all_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    own = ReloadedApplication(desk())
    async with started(own):
        before = parts(own.app)

        def refuses(accounts: Any) -> None:
            raise ValueError("0xb002")

        monkeypatch.setattr(own.connector, "set_accounts", refuses)
        with pytest.raises(ReloadError, match="refuses its accounts"):
            await own.reload(desk("maker", "hedger"))
        assert parts(own.app) == before


async def test_a_refusal_of_one_venue_gives_the_others_their_accounts_back(monkeypatch: pytest.MonkeyPatch) -> None:
    key = {"id": "dero", "venue": "deribit", "client_id_env": "HOOK_URL", "client_secret_env": "OTHER_URL"}
    listed = [{"id": "maker", "venue": VENUE, "address": f"0x{0xB001:040x}"}, key]
    more = [{"id": "hedger", "venue": VENUE, "address": f"0x{0xB002:040x}"}, {**key, "id": "other"}]
    own = ReloadedApplication(desk(accounts=listed))
    async with started(own):
        first, second = (connector for connector in own.parts.connectors if connector.venue in (VENUE, "deribit"))
        refuses, accepts = (first, second) if own.app.connectors[1] is first else (second, first)

        def refuse(accounts: Any) -> None:
            raise ValueError("0xb002")

        monkeypatch.setattr(refuses, "set_accounts", refuse)
        before = parts(own.app)
        with pytest.raises(ReloadError, match="refuses its accounts"):
            await own.reload(desk(accounts=[*listed, *more]))
        assert len(accepts.accounts) == 1
        assert parts(own.app) == before


async def test_a_defect_while_swapping_ends_the_program_loudly(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    own = ReloadedApplication(desk())
    async with started(own):
        monkeypatch.setattr(own.app.alarm, "configure", lambda *arguments: 1 / 0)
        failed = asyncio.create_task(own.app.failed())
        with pytest.raises(ReloadError, match="a defect of this program"):
            await own.reload(desk("maker", "hedger"))
        assert not own.app.configuration.successful
        await own.until(failed.done)
        with pytest.raises(ZeroDivisionError):
            await failed


# -- when -----------------------------------------------------------------------------------------------------------------------------


async def test_reloads_wait_for_the_start_and_for_each_other_and_end_with_the_program() -> None:
    own = ReloadedApplication(desk())
    ahead = [desk("maker", "hedger"), desk("maker", "hedger", "third")]
    reading, may_read = threading.Event(), threading.Event()

    def load() -> Settings:
        reading.set()
        may_read.wait(5.0)
        return ahead.pop(0)

    reloader = own.reloader(load)
    reloader.ask()
    first = asyncio.create_task(reloader.reload())
    await own.settled()
    assert not reading.is_set(), "the monitor does not run yet"
    async with started(own):
        await asyncio.to_thread(reading.wait, 5.0)
        later = [asyncio.create_task(reloader.reload()) for _ in range(3)]
        await own.settled()
        may_read.set()
        assert "account hedger added" in await first
        assert {"account third added" in changed for changed in await asyncio.gather(*later)} == {True}
        assert ahead == [], "who asks while one waits has asked for that one"
        assert [account for _, account in own.app.book.accounts] == ["maker", "hedger", "third"]
        own.app.running.clear()
        waiting = asyncio.create_task(reloader.reload())
        await asyncio.sleep(0)
        await reloader.close()
        reloader.ask()
        for asked in (waiting, asyncio.create_task(reloader.reload())):
            with pytest.raises(ReloadError, match=STOPPING):
                await asked


async def test_a_file_that_does_not_answer_is_given_up_and_holds_up_nothing() -> None:
    own = ReloadedApplication(desk())
    answers = threading.Event()

    def hangs() -> Settings:
        answers.wait(60.0)
        return desk("maker", "hedger")

    async with started(own):
        reloader = own.reloader(hangs)
        asked = asyncio.create_task(reloader.reload())
        await own.until(asked.done, READ_LIMIT_S + 2.0)
        with pytest.raises(ReloadError, match="could not be read within 30 s"):
            await asked
        assert not own.app.configuration.successful
        assert "account third added" in await own.reload(desk("maker", "third"))
        answers.set()
        await own.settled()
        assert [account for _, account in own.app.book.accounts] == ["maker", "third"]


async def test_what_sighup_did_not_take_is_in_the_log_only(caplog: pytest.LogCaptureFixture) -> None:
    own = ReloadedApplication(desk())
    async with started(own):

        def broken() -> Any:
            raise ConfigError("desk.toml", [Problem("fx", "no")])

        own.reloader(broken).ask()
        await own.until(lambda: not own.app.configuration.successful)
        assert "the one before goes on: desk.toml: fx: no" in caplog.text
        assert not [record for record in caplog.records if record.name == "asyncio"]


async def test_who_wants_to_know_is_told_of_what_was_taken_and_warnings_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    own = ReloadedApplication(desk())
    async with started(own):
        changed = desk(monitor={"log_level": "debug", "token_env": "TOKEN", "web_reload": True})
        reloader = own.reloader(lambda: changed)
        adopted: list[Any] = []
        reloader.adopted.append(adopted.append)
        with caplog.at_level(logging.INFO, logger="marginwatch.reload"):
            said = await reloader.reload()
            assert await own.reload(changed) == []
        assert adopted == [changed]
        assert said == ["[monitor] log_level, token_env, web_reload, token"]
        assert own.app.settings.monitor.web_reload
        assert "alerts go to the log alone" in caplog.text
        assert "nothing changed" in caplog.text
        assert ENVIRON["TOKEN"] not in caplog.text
