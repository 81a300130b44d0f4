"""Through whole scenarios our figures equal Deribit's own: exactly while it pushes, nearly while it is only read."""

from __future__ import annotations

import pytest

from connectors.deribit.settings import DeribitConfig
from connectors.events import AccountFailure, Liquidation, OrdersSnapshot
from connectors.simulator.deribit import ALIASES, DeribitFaults, deribit_demo
from tests.monitor.simulated_deribit import SimulatedDeribit

STEP_S = 0.5
EXACT = 1e-9
BETWEEN = 0.01
"""Of the ratio, over fifteen seconds of a crash that is over in ten minutes."""


def desk(scenario: str, duration: float, faults: DeribitFaults | None = None, *, begun: float = 0.0) -> SimulatedDeribit:
    venue = deribit_demo(duration, scenario=scenario, interval=STEP_S, faults=faults)
    if begun:
        venue.advance(begun * duration)
    watched = SimulatedDeribit(venue, DeribitConfig("ws://deribit.invalid"))
    for _ in range(4):
        watched.advance(STEP_S)
    return watched


def pools(watched: SimulatedDeribit) -> dict[str, set[str]]:
    return {alias: watched.pools(alias) for alias in ALIASES}


@pytest.mark.parametrize("scenario", ["crash", "squeeze", "vol_spike"])
def test_with_pushes_every_figure_is_the_venues_all_the_time(scenario: str) -> None:
    watched, warned = desk(scenario, 60.0), False
    for _ in range(110):
        watched.advance(STEP_S)
        for alias in ALIASES:
            assert watched.worst_gap(alias) <= EXACT, f"{alias} at {watched.venue.market.time:.1f} s"
            for pool in watched.pools(alias):
                result = watched.result(alias, pool)
                assert result.failures == ()
                assert result.reconciled is True
                warned = warned or (result.margin_ratio or 0.0) >= 0.85
    assert pools(watched) == {"noctua": {"cross"}, "strix": {"BTC"}}
    assert watched.parse_errors() == set()
    assert warned is (scenario != "vol_spike")
    assert not [event for event in watched.events if isinstance(event, AccountFailure | Liquidation)]


@pytest.mark.parametrize("scenario", ["crash", "vol_spike"])
def test_without_pushes_delta_gamma_and_vega_bridge_the_time_between_reads(scenario: str) -> None:
    watched = desk(scenario, 600.0, begun=0.25)
    watched.venue.faults.freeze("user.portfolio.any")
    worst = moved = 0.0
    for _ in range(200):
        before = [watched.venue.figures(alias) for alias in ALIASES]
        watched.advance(STEP_S)
        for alias, figures in zip(ALIASES, before, strict=True):
            moved = max(moved, *(abs(now.ratio - figures[name].ratio) for name, now in watched.venue.figures(alias).items()))
            worst = max(worst, watched.worst_gap(alias))
    assert moved > 1e-3
    assert worst <= BETWEEN


def test_trades_are_followed_by_push_and_an_expired_option_goes() -> None:
    watched = desk("calm", 60.0)
    held = {row.instrument for row in watched.snapshots("noctua")[-1].state.positions}
    option = next(name for name in held if watched.book.market.instruments[name].option_type is not None)
    watched.venue.trade("noctua", option.partition(":")[2], 1.0)
    watched.venue.trade("noctua", "ETH-PERPETUAL", 25_000.0)
    watched.settle()
    rows = {row.instrument: row.quantity for row in watched.snapshots("noctua")[-1].state.positions}
    assert rows["deribit:ETH-PERPETUAL"] == 25_000.0
    watched.advance(STEP_S)
    assert watched.worst_gap("noctua") <= EXACT
    while watched.venue.market.progress < 0.65:
        watched.advance(STEP_S)
    left = {row.instrument for row in watched.snapshots("noctua")[-1].state.positions}
    assert len(rows) - len(left) == 1
    assert watched.worst_gap("noctua") <= EXACT
    assert watched.result("noctua", "cross").failures == ()


def test_tokens_that_expire_and_sockets_that_die_take_nothing_away_for_long() -> None:
    faults = DeribitFaults()
    watched = desk("calm", 600.0, faults)
    faults.expire_tokens()
    for _ in range(60):
        watched.advance(STEP_S)
    assert watched.venue.authority.logins == 2 * len(ALIASES)
    assert all(watched.worst_gap(alias) <= EXACT for alias in ALIASES)
    faults.kill_sockets()
    watched.advance(STEP_S)
    for _ in range(8):
        watched.advance(STEP_S)
    assert all(watched.result(alias, pool).margin_ratio is not None for alias in ALIASES for pool in watched.pools(alias))
    assert watched.venue.forbidden_requests == 0


def test_resting_orders_are_told() -> None:
    watched = desk("calm", 60.0)
    order = watched.venue.place("strix", "BTC-PERPETUAL", 1_000.0, 50_000.0)
    watched.settle()
    told = [event for event in watched.events if isinstance(event, OrdersSnapshot) and event.account == "strix"][-1]
    assert [(row.instrument, row.quantity, row.limit_price) for row in told.orders] == [("deribit:BTC-PERPETUAL", 1_000.0, 50_000.0)]
    watched.venue.cancel("strix", order)
    watched.settle()
    assert [event for event in watched.events if isinstance(event, OrdersSnapshot) and event.account == "strix"][-1].orders == ()
