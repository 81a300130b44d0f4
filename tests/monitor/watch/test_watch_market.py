"""Stablecoins off their peg, and clocks that disagree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.events import FeedStatus, IndexPrices, Source, SummarySnapshot, VenueStatus
from connectors.model import CurrencySummary, SummaryAccount
from monitor.alerts.incident import Condition
from monitor.alerts.rules import Rule
from monitor.margin.result import Level
from monitor.watch.limits import WatchLimits
from monitor.watch.market import LATENCY_S, ClockWatch
from tests.monitor.watch.watch_desk import ASTER, HYPER, MARK, WatchDesk, detail_of

SECOND = 1_000_000_000


def told(desk: WatchDesk) -> list[tuple[str, Level, str, bool]]:
    return [(one.scope.path, one.level, one.subject, one.frozen) for one in desk.second(Rule.DEPEG)]


# -- depeg -------------------------------------------------------------------------------------------------------------------


def test_a_stablecoin_off_its_peg_is_told_to_who_holds_it(desk: WatchDesk) -> None:
    desk.stablecoin(USDT=0.9905)
    assert told(desk) == []
    desk.stablecoin(USDT=0.99)
    assert told(desk) == [("aster/short", Level.WARNING, "USDT", False)]
    assert "USDT is at 0.9900 USD (-1.0%, deribit" in detail_of(desk.second(Rule.DEPEG))
    desk.stablecoin(USDT=0.9905)
    assert told(desk) == [("aster/short", Level.WARNING, "USDT", False)], "inside the gap"
    desk.stablecoin(USDT=0.9)
    assert told(desk) == [("aster/short", Level.CRITICAL, "USDT", False)]
    desk.stablecoin(USDT=1.02)
    assert told(desk) == [("aster/short", Level.WARNING, "USDT", False)], "too dear is no peg either"
    desk.stablecoin(USDT=1.001)
    assert told(desk) == []


def test_a_price_that_nobody_tells_any_more_freezes(desk: WatchDesk) -> None:
    desk.stablecoin(USDT=0.95)
    assert told(desk) == [("aster/short", Level.CRITICAL, "USDT", False)]
    desk.pass_s(31)
    assert told(desk) == [("aster/short", Level.WARNING, "", True)]
    desk.stablecoin(USDT=1.0)
    assert told(desk) == []


def test_an_old_price_decides_nothing(desk: WatchDesk) -> None:
    desk.stablecoin(USDT=0.9)
    desk.pass_s(31)
    assert told(desk) == [("aster/short", Level.WARNING, "", True)]
    desk.stablecoin(USDT=0.9905)
    assert told(desk) == [], "inside the gap, but it never was beyond"


def test_two_coins_are_one_condition(desk: WatchDesk) -> None:
    desk.short(multi=True, USD1=1_000.0)
    desk.stablecoin(USDT=0.98, USD1=0.9, USDE=0.5)
    assert told(desk) == [("aster/short", Level.CRITICAL, "USD1, USDT", False)], "nobody holds USDE"


def test_the_wallets_of_a_deribit_account_count(tmp_path: Path) -> None:
    more = '[[accounts]]\nid = "opt"\nvenue = "deribit"\nclient_id_env = "ID"\nclient_secret_env = "SECRET"'
    desk = WatchDesk(tmp_path, more=more).open()
    wallets = [_wallet("USDT", 5.0), _wallet("USDE", 0.0)]
    desk.tell(SummarySnapshot("deribit", "opt", desk.now_ns, Source.POLL, SummaryAccount(tuple(wallets), (), 1)))
    desk.stablecoin(USDT=0.9, USDE=0.9)
    assert ("deribit/opt", Level.CRITICAL, "USDT", False) in told(desk)


def _wallet(currency: str, equity: float) -> CurrencySummary:
    return CurrencySummary(
        currency, "cross_sm", equity, equity, equity, 0.0, 0.0, equity, 0.0, 0.0,
        total_margin_balance_usd=5.0, total_maintenance_margin_usd=0.0, total_initial_margin_usd=0.0,
    )  # fmt: skip


def test_the_users_own_price_is_no_market(tmp_path: Path) -> None:
    desk = WatchDesk(tmp_path, fx="[fx]\nUSDT = 0.9").open()
    assert desk.live.price("USDT").value == 0.9
    assert [row for row in told(desk) if row[0] == "aster/short"] == []


def test_a_coin_is_no_stablecoin(desk: WatchDesk) -> None:
    desk.short(multi=True, BTC=1.0)
    desk.tell(IndexPrices("deribit", "deribit_price_index.btc_usd", desk.now_ns, {"BTC": MARK}))
    desk.stablecoin(USDT=1.0)
    desk.evaluate()
    assert desk.live.price("BTC").provenance.is_live
    assert told(desk) == []


def test_an_account_that_is_not_known_is_frozen(tmp_path: Path) -> None:
    desk = WatchDesk(tmp_path)
    desk.stablecoin(USDT=0.9)
    assert [row[3] for row in told(desk)] == [True, True]


# -- clocks ------------------------------------------------------------------------------------------------------------------

NOW_MS = 1_790_000_000_000


class Clocks:
    def __init__(self, limit_s: float = 1.0) -> None:
        self.watch = ClockWatch(WatchLimits(clock_offset_s=limit_s))
        self.now = 100.0

    def read(self, venue: str, ahead_s: float, way_s: float = 0.05, times: int = 2) -> None:
        """The venue's clock is read, which takes a while."""
        said = VenueStatus(venue, round((self.now + way_s) * SECOND), self._ms(ahead_s))
        for _ in range(times):
            self.watch.note(said, said.received_ns)

    def _ms(self, ahead_s: float = 0.0) -> int:
        return NOW_MS + round((self.now + ahead_s) * 1000)

    def told(self, venues: Sequence[str] = (HYPER, ASTER)) -> dict[str, Condition]:
        return {one.scope.venue: one for one in self.watch.conditions(venues, round(self.now * SECOND), self._ms())}


def test_clocks_that_agree_say_nothing() -> None:
    clocks = Clocks()
    clocks.read(HYPER, 0.9)
    clocks.read(ASTER, -0.9)
    assert clocks.told() == {}


@pytest.mark.parametrize(("ahead_s", "words"), [(1.2, "1.2 s ahead of ours"), (-1.7, "1.8 s behind ours")])
def test_one_clock_that_is_off_is_the_venues(ahead_s: float, words: str) -> None:
    clocks = Clocks()
    clocks.read(HYPER, ahead_s, way_s=0.0 if ahead_s > 0 else 0.1)
    clocks.read(ASTER, 0.0)
    (told,) = clocks.told().values()
    assert (told.scope.path, told.level, told.frozen) == ("venue/hyperliquid", Level.WARNING, False)
    assert told.detail == f"its clock is {words}; aster agrees with ours: it is the venue's clock"


def test_several_that_agree_mean_our_own_clock() -> None:
    clocks = Clocks()
    clocks.read(HYPER, 40.0)
    clocks.read(ASTER, 40.4)
    told = clocks.told()
    assert "aster says the same: it is this machine's clock" in told[HYPER].detail
    assert "hyperliquid says the same: it is this machine's clock" in told[ASTER].detail
    clocks.read(ASTER, -9.0, times=3)
    assert "disagree among each other" in clocks.told()[HYPER].detail


def test_one_venue_alone_cannot_tell_whose_it_is() -> None:
    clocks = Clocks()
    clocks.read(HYPER, 5.0)
    assert "no other venue tells" in clocks.told((HYPER,))[HYPER].detail


def test_a_slow_answer_is_no_slow_clock() -> None:
    clocks = Clocks()
    clocks.read(HYPER, 0.0)
    clocks.now += 60
    clocks.read(HYPER, 0.0, way_s=4.0, times=1)
    clocks.now += 4
    assert clocks.told((HYPER,)) == {}, "an answer took four seconds"
    for _ in range(2):
        clocks.now += 60
        clocks.read(HYPER, -4.0, times=1)
    assert HYPER in clocks.told((HYPER,)), "three readings in a row are no accident"


def test_one_late_reading_is_not_believed() -> None:
    clocks = Clocks()
    clocks.read(HYPER, 0.0, way_s=1.7, times=1)
    clocks.now += 2
    assert clocks.told((HYPER,))[HYPER].frozen, "the first answer of a start"
    clocks.now += 60
    clocks.read(HYPER, 0.0, way_s=2.3, times=1)
    clocks.now += 3
    assert clocks.told((HYPER,))[HYPER].frozen, "another late one, of another length"
    clocks.now += 60
    clocks.read(HYPER, 0.0, times=1)
    clocks.now += 1
    assert clocks.told((HYPER,)) == {}


def test_a_clock_not_told_lately_is_frozen() -> None:
    clocks = Clocks()
    clocks.read(HYPER, 5.0)
    clocks.now += 601
    told = clocks.told((HYPER,))
    assert told[HYPER].frozen
    assert clocks.watch.offsets(round(clocks.now * SECOND), NOW_MS) == {}


@given(st.lists(st.floats(-3.0, 3.0), min_size=1, max_size=30))
def test_offsets_never_flicker_inside_the_gap(path: list[float]) -> None:
    was = False
    clocks = Clocks()
    for ahead_s in path:
        clocks.watch._told.clear()
        clocks.read(HYPER, ahead_s, way_s=0.0)
        now = HYPER in clocks.told((HYPER,))
        beyond = ahead_s if ahead_s > 0 else -ahead_s - LATENCY_S
        if now != was:
            assert beyond >= 0.998 if now else beyond <= 0.902
        was = now


def test_our_wall_clock_set_anew_shows_at_once(desk: WatchDesk) -> None:
    for venue in (HYPER, ASTER) * 2:
        desk.status(venue)
    assert desk.second(Rule.CLOCK) == []
    desk.offset_ms -= 60_000
    assert len(desk.firing(Rule.CLOCK)) == 2
    assert round(desk.watch.clock_offsets(desk.now_ns, desk.now_ms)[HYPER]) == 60


def test_feeds_do_not_make_a_clock(desk: WatchDesk) -> None:
    desk.feeds(FeedStatus.FRESH)
    assert [one.frozen for one in desk.second(Rule.CLOCK)] == [True, True]
