"""A coin's net delta beyond its limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.alerts.rules import Rule
from monitor.watch.portfolios import net_deltas
from tests.monitor.watch.watch_desk import MARK, WatchDesk, detail_of

LIMIT = "net_delta_limit_usd = { BTC = 50000.0, ETH = 1000.0 }"


@pytest.fixture
def hedged(tmp_path: Path) -> WatchDesk:
    return WatchDesk(tmp_path, portfolio=LIMIT).open()


def test_a_hedged_book_is_within_its_limit(hedged: WatchDesk) -> None:
    assert hedged.second(Rule.NET_DELTA) == []
    assert net_deltas(hedged.live.book_of("desk"), "desk") == {"BTC": pytest.approx(0.0)}


def test_a_leg_that_is_gone_is_told(hedged: WatchDesk) -> None:
    hedged.long(0.0)
    (told,) = hedged.second(Rule.NET_DELTA)
    assert (told.scope.path, told.subject, told.frozen) == ("portfolio/desk", "BTC", False)
    assert told.detail == "net delta of BTC -1,000,000 USD (limit 50,000 USD)"
    hedged.long(10.49)
    assert hedged.firing(Rule.NET_DELTA), "0.49 BTC is 49,000 USD: inside the gap"
    hedged.long(10.44)
    assert hedged.second(Rule.NET_DELTA) == []
    hedged.long(10.5)
    assert detail_of(hedged.second(Rule.NET_DELTA)).startswith("net delta of BTC +50,000 USD")


def test_the_delta_moves_with_the_index(hedged: WatchDesk) -> None:
    hedged.long(10.45)
    assert hedged.second(Rule.NET_DELTA) == []
    hedged.marks(1.2 * MARK)
    assert hedged.firing(Rule.NET_DELTA), "0.45 BTC at 120,000"


def test_balances_of_the_coin_count(hedged: WatchDesk) -> None:
    hedged.short(multi=True, BTC=2.0)
    hedged.evaluate()
    assert net_deltas(hedged.live.book_of("desk"), "desk")["BTC"] == pytest.approx(2.0 * MARK), "all of it, not what is collateral"
    assert hedged.firing(Rule.NET_DELTA)


def test_a_debt_in_the_coin_counts_against_it(hedged: WatchDesk) -> None:
    hedged.short(multi=True, BTC=-1.0)
    hedged.evaluate()
    assert net_deltas(hedged.live.book_of("desk"), "desk")["BTC"] == pytest.approx(-MARK)


def test_a_portfolio_without_a_value_is_frozen(hedged: WatchDesk, tmp_path: Path) -> None:
    hedged.stale()
    assert [one.frozen for one in hedged.second(Rule.NET_DELTA)] == [True]
    cold = WatchDesk(tmp_path, portfolio=LIMIT)
    cold.live.ready = False
    assert [one.frozen for one in cold.second(Rule.NET_DELTA)] == [True], "the kernels are not warm"


def test_without_limits_nothing_is_asked(desk: WatchDesk) -> None:
    desk.long(1.0)
    assert desk.second(Rule.NET_DELTA) == []
