"""Queue, mode, key, failure, what trades no more: of a whole account."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from connectors.events import AccountFailure, AdlQuantiles, FailureReason, KeyState
from connectors.model import Instrument, InstrumentKind, PositionSide
from monitor.alerts.rules import Rule
from monitor.margin.result import Level
from tests.monitor import aster_desk, own_desk
from tests.monitor.watch.watch_desk import ASTER, HYPER, LONG, SHORT, WatchDesk, detail_of, relisted

DAY_MS = 86_400_000
BTC = ("aster:BTCUSDT", PositionSide.BOTH)


def quantiles(desk: WatchDesk, **places: int) -> None:
    told = {(f"aster:{name}", PositionSide.BOTH): place for name, place in places.items()}
    desk.tell(AdlQuantiles(ASTER, SHORT, desk.now_ns, told))


# -- the queue ---------------------------------------------------------------------------------------------------------------


def test_a_held_leg_in_front_of_the_queue_warns(desk: WatchDesk) -> None:
    quantiles(desk, BTCUSDT=2, ETHUSDT=4)
    assert desk.second(Rule.ADL_QUEUE) == [], "ETHUSDT is not held"
    quantiles(desk, BTCUSDT=3)
    (told,) = desk.second(Rule.ADL_QUEUE)
    assert (told.subject, told.level, told.frozen, told.scope.path) == ("BTCUSDT", Level.WARNING, False, "aster/short")
    assert told.detail == "in the venue's auto-deleveraging queue: BTCUSDT at 3 of 4 (front)"


def test_the_queue_names_all_that_were_near_since_it_began(desk: WatchDesk) -> None:
    held = [aster_desk.position(name, 1.0, 1.0, 1.0) for name in ("BTCUSDT", "ETHUSDT")]
    desk.short(*held)
    subjects = []
    for btc, eth in ((3, 3), (3, 1), (1, 4), (3, 3), (1, 1), (1, 3)):
        quantiles(desk, BTCUSDT=btc, ETHUSDT=eth)
        subjects.append([one.subject for one in desk.second(Rule.ADL_QUEUE)])
    assert subjects == [["BTCUSDT, ETHUSDT"]] * 4 + [[], ["ETHUSDT"]]


def test_both_sides_of_hedge_mode_are_apart(desk: WatchDesk) -> None:
    held = [
        aster_desk.position("ETHUSDT", size, 3000.0, 3000.0, side=side) for size, side in ((1.0, aster_desk.LONG), (-2.0, aster_desk.SHORT))
    ]
    desk.short(*held)
    places = {("aster:ETHUSDT", PositionSide.LONG): 1, ("aster:ETHUSDT", PositionSide.SHORT): 4, BTC: 4}
    desk.tell(AdlQuantiles(ASTER, SHORT, desk.now_ns, places))
    (told,) = desk.second(Rule.ADL_QUEUE)
    assert told.subject == "ETHUSDT short"


def test_the_queue_is_frozen_until_it_is_known_and_never_asked_for_at_zero(desk: WatchDesk, tmp_path: Path) -> None:
    assert [one.frozen for one in desk.second(Rule.ADL_QUEUE)] == [True]
    assert WatchDesk(tmp_path, "adl_quantile = 0").open().second(Rule.ADL_QUEUE) == []


# -- mode --------------------------------------------------------------------------------------------------------------------


def test_a_mode_that_is_not_the_configured_one_warns(tmp_path: Path) -> None:
    desk = WatchDesk(tmp_path, mode='mode = "single_asset"')
    assert [one.frozen for one in desk.second(Rule.MODE)] == [True], "nothing known yet"
    desk.open()
    assert desk.second(Rule.MODE) == []
    desk.short(multi=True)
    (told,) = desk.second(Rule.MODE)
    assert (told.scope.path, told.subject, told.frozen) == ("aster/short", "multi_assets", False)
    assert told.detail == ("the venue margins the account in mode multi_assets, the configuration expects single_asset: change one of them")


def test_without_a_configured_mode_any_is_right(desk: WatchDesk) -> None:
    desk.short(multi=True)
    assert desk.second(Rule.MODE) == []


def test_a_mode_that_changes_while_we_watch_is_told_once(desk: WatchDesk) -> None:
    desk.second(Rule.MODE)
    assert desk.evaluate() == []
    desk.short(multi=True)
    desk.unified(own_desk.balance("USDC", 200_000.0))
    desk.second(Rule.MODE)
    told = desk.evaluate()
    assert [(one.scope.path, one.rule, one.level, one.detail) for one in told] == [
        ("hyperliquid/long", Rule.MODE_CHANGED, Level.WARNING, "the account's mode was changed: standard -> unified"),
        ("aster/short", Rule.MODE_CHANGED, Level.WARNING, "the account's mode was changed: single_asset -> multi_assets"),
    ]
    desk.second(Rule.MODE)
    assert desk.evaluate() == []


def test_an_account_that_fails_for_a_while_has_not_changed_its_mode(desk: WatchDesk) -> None:
    desk.second(Rule.MODE)
    desk.tell(AccountFailure(ASTER, SHORT, desk.now_ns, FailureReason.KEY_REFUSED, "refused"))
    desk.second(Rule.MODE)
    desk.short()
    desk.second(Rule.MODE)
    assert desk.evaluate() == []


# -- key ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "level", "words"),
    [
        (15.0, None, ""),
        (13.9, Level.WARNING, "expires in 13.9 days"),
        (3.0, Level.CRITICAL, "expires in 3.0 days"),
        (-1.0, Level.CRITICAL, "has expired"),
        (None, None, ""),
    ],
)
def test_a_key_that_expires(desk: WatchDesk, days: float | None, level: Level | None, words: str) -> None:
    expires_ms = None if days is None else desk.now_ms + round(days * DAY_MS)
    desk.tell(KeyState(ASTER, SHORT, desk.now_ns, expires_ms, ("read",)))
    told = desk.second(Rule.KEY)
    assert [one.level for one in told] == ([] if level is None else [level])
    if level is not None:
        assert words in detail_of(told)
        assert told[0].subject == "expiry"


def test_a_doubtful_key_warns_and_shows_no_secret(desk: WatchDesk) -> None:
    address = "0x" + "ab" * 20
    desk.tell(KeyState(ASTER, SHORT, desk.now_ns, None, (), f"the agent {address} may trade"))
    (told,) = desk.second(Rule.KEY)
    assert (told.level, told.subject) == (Level.WARNING, "doubt")
    assert "may trade" in told.detail
    assert address not in told.detail


def test_a_key_nobody_told_of_is_frozen_where_there_is_one(desk: WatchDesk) -> None:
    assert [(one.scope.venue, one.frozen) for one in desk.second(Rule.KEY)] == [(ASTER, True)]


# -- failure -----------------------------------------------------------------------------------------------------------------


def test_an_account_that_cannot_be_watched_is_critical(tmp_path: Path) -> None:
    desk = WatchDesk(tmp_path)
    assert [one.frozen for one in desk.second(Rule.ACCOUNT_FAILURE)] == [True, True], "no word yet is no recovery"
    desk.open()
    assert desk.second(Rule.ACCOUNT_FAILURE) == []
    desk.tell(AccountFailure(HYPER, LONG, desk.now_ns, FailureReason.AGENT_ADDRESS, "0x" + "ab" * 20 + " is an agent's address"))
    (told,) = desk.second(Rule.ACCOUNT_FAILURE)
    assert (told.level, told.frozen, told.scope.path) == (Level.CRITICAL, False, "hyperliquid/long")
    assert told.subject.startswith("AGENT_ADDRESS: ")
    assert "ab" * 20 not in told.subject + told.detail


# -- delisted ----------------------------------------------------------------------------------------------------------------


def test_a_held_instrument_that_trades_no_more_warns(desk: WatchDesk) -> None:
    desk.tell(relisted(own_desk.reference(), "ETH", delisted=True))
    assert desk.second(Rule.DELISTED) == [], "it is not held"
    desk.tell(relisted(own_desk.reference(), "BTC", delisted=True))
    (told,) = desk.second(Rule.DELISTED)
    assert (told.scope.path, told.subject, told.frozen) == ("hyperliquid/long", "BTC", False)
    assert told.detail == "BTC is delisted or does not trade"


def test_a_locked_index_stops_what_settles_to_it(desk: WatchDesk) -> None:
    option = Instrument("aster:BTCUSDT", ASTER, "BTCUSDT", InstrumentKind.PERPETUAL, "BTC", "USDT", "USDT", price_index="btc_usd")
    desk.tell(replace(aster_desk.reference(), instruments=(option,)))
    desk.status(ASTER, "locked eth_usd")
    assert desk.second(Rule.DELISTED) == []
    desk.status(ASTER, "locked btc_usd")
    assert detail_of(desk.second(Rule.DELISTED)) == "BTCUSDT cannot be traded: the venue has locked BTC"


def test_what_is_held_but_not_known_cannot_be_judged(desk: WatchDesk) -> None:
    desk.tell(replace(own_desk.reference(), instruments=()))
    assert [one.frozen for one in desk.second(Rule.DELISTED)] == [True]
