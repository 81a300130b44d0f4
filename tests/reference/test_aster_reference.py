"""Aster's margin rule as the program computes it, live, beside the second implementation written from the notes alone.

Random accounts in every mode, read, pushed and moved by marks in any order: equity, maintenance margin, ratio and liquidation prices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.events import MarkPrices
from connectors.model import MarginTier, Position, PositionSide
from monitor.margin.aster import VENUE, AsterRules
from tests.monitor.aster_desk import ACCOUNT, BTC, PLAIN, TRUTH, AsterDesk, name, position, read, reference
from tests.reference.aster import Account, Held, Tiers, figures, liquidation_prices, maintenance, pool_of, ratio, spare

SETTLES = {"BTCUSDT": "USDT", "ETHUSDT": "USDT", "TRUTHUSDT": "USDT", "XAUUSD1": "USD1"}
MARKS = {"BTCUSDT": 60_000.0, "ETHUSDT": 3_000.0, "BNBUSDT": 700.0, "TRUTHUSDT": 0.4, "XAUUSD1": 2_500.0}
INDEXED = {"BTC": "BTCUSDT", "ETH": "ETHUSDT", "ASBNB": "BNBUSDT"}
RATIOS = {"USDT": 0.9999, "USD1": 0.99, "BTC": 0.95, "ETH": 0.0, "ASBNB": 0.95}
SIDES = {"BOTH": PositionSide.BOTH, "LONG": PositionSide.LONG, "SHORT": PositionSide.SHORT}
EXACT = 1e-9

MOVES = st.floats(0.4, 1.8)
MOVED = st.fixed_dictionaries({symbol: MOVES for symbol in MARKS})
STEEP = ((0.0, 0.004), (20_000.0, 0.02), (300_000.0, 0.1), (1e6, 0.3))
TABLES = st.sampled_from((*(tuple((one.lower_bound, one.maintenance_rate) for one in table) for table in (BTC, PLAIN, TRUTH)), STEEP))


@dataclass(frozen=True)
class State:
    """An account at its venue: its modes, what it holds, and the marks now."""

    account: Account
    hedge: bool
    marks: Mapping[str, float]
    tiers: Mapping[str, Tiers]


def marks_of(moves: Mapping[str, float]) -> dict[str, float]:
    return {symbol: mark * moves[symbol] for symbol, mark in MARKS.items()}


def indexes_of(moves: Mapping[str, float]) -> dict[str, float]:
    return {"USDT": 1.0, "USD1": 1.0, **{asset: MARKS[symbol] * moves[symbol] for asset, symbol in INDEXED.items()}}


@st.composite
def holdings(draw: st.DrawFn, multi: bool, hedge: bool) -> tuple[dict[str, float], tuple[Held, ...]]:
    wallets = {asset: draw(st.floats(-2e4, 1e5)) for asset in ("USDT", "USD1")}
    if multi:
        wallets |= {asset: draw(st.floats(-0.1, 20.0)) for asset in INDEXED}
    rows = []
    for symbol in draw(st.lists(st.sampled_from(sorted(SETTLES)), unique=True, max_size=4)):
        notional = draw(st.floats(100.0, 2e6))
        for side in draw(st.sampled_from((("LONG",), ("SHORT",), ("LONG", "SHORT")))) if hedge else ("BOTH",):
            # legs of nearly one size are liquidated on either side of the mark
            size = notional * draw(st.floats(0.8, 1.25)) / MARKS[symbol]
            sign = {"LONG": 1, "SHORT": -1, "BOTH": draw(st.sampled_from((1, -1)))}[side]
            alone = None if multi or draw(st.booleans()) else draw(st.floats(0.0, 2e4))
            rows.append(Held(symbol, side, sign * size, MARKS[symbol] * draw(MOVES), SETTLES[symbol], alone))
    return wallets, tuple(rows)


@st.composite
def states(draw: st.DrawFn) -> State:
    multi, hedge = draw(st.booleans()), draw(st.booleans())
    beyond = draw(st.floats(-500.0, 500.0)) if multi else 0.0
    account = Account(multi, *draw(holdings(multi, hedge)), RATIOS, indexes_of(draw(MOVED)), draw(st.floats(1.0, 1.1)), beyond)
    return State(account, hedge, marks_of(draw(MOVED)), {symbol: draw(TABLES) for symbol in SETTLES})


class Monitor:
    """The program over one account, told the states of the venue as the venue tells them."""

    def __init__(self, state: State) -> None:
        self.desk = AsterDesk(AsterRules(RATIOS, ask_factor=state.account.ask_factor), marks=False, reference_data=False)
        self.desk.book.apply(reference(**{symbol: tiers_of(table) for symbol, table in state.tiers.items()}))
        self.market(state)
        self.read(state)

    def market(self, state: State) -> None:
        index = {symbol: state.account.indexes[asset] for asset, symbol in INDEXED.items()}
        names = [name(symbol) for symbol in MARKS]
        indexes, unknown = [index.get(symbol, math.nan) for symbol in MARKS], [math.nan] * len(MARKS)
        self.desk.book.apply(MarkPrices(VENUE, "markPrice", self.desk.now_ns, names, list(state.marks.values()), indexes, unknown))

    def read(self, state: State) -> None:
        account, rows = state.account, rows_of(state)
        pools = {pool_of(account, row) for row in account.positions}
        total = figures(account, state.marks, state.tiers, "multi-assets")[0] if account.multi_assets else None
        needed = sum(figures(account, state.marks, state.tiers, pool)[1] for pool in pools)
        # without the figures of single assets and positions: the helper's are of other tables
        told = replace(read(account.wallets, rows, total=total), positions=rows, reported=(), total_maintenance_margin=needed)
        self.desk.take(told, multi=account.multi_assets, hedge=state.hedge)

    def push(self, state: State) -> None:
        self.desk.push(state.account.wallets, rows_of(state))


def rows_of(state: State) -> tuple[Position, ...]:
    return tuple(
        position(row.symbol, row.amount, row.entry, state.marks[row.symbol], isolated=row.isolated_wallet, side=SIDES[row.side])
        for row in state.account.positions
    )


def tiers_of(table: Tiers) -> tuple[MarginTier, ...]:
    # the deduction of a tier: what its ratio would take too much of all below it
    return tuple(MarginTier(floor, rate, floor * rate - maintenance(floor, table)) for floor, rate in table)


def agree(monitor: Monitor, state: State) -> None:
    account, found = state.account, monitor.desk.pools()
    assert {pool for pool in found if found[pool].positions} == {pool_of(account, row) for row in account.positions}
    for pool, ours in found.items():
        balance, needed = figures(account, state.marks, state.tiers, pool)
        exact = EXACT * gross(state, pool)
        assert (ours.failures, ours.stale) == ((), False)
        assert ours.equity == pytest.approx(balance, rel=EXACT, abs=exact)
        assert ours.maintenance_margin == pytest.approx(needed, rel=EXACT)
        assert ours.last_margin_ratio is not None
        if abs(balance) > 1e3 * exact:
            assert ours.last_margin_ratio == pytest.approx(ratio(balance, needed), rel=EXACT + exact / abs(balance))
    prices = monitor.desk.engine.liquidation_prices()
    for row in account.positions:
        check_price(prices[(VENUE, ACCOUNT, pool_of(account, row)), name(row.symbol), SIDES[row.side]], state, row)


def check_price(ours: float, state: State, row: Held) -> None:
    account, mark = state.account, state.marks[row.symbol]
    theirs = sorted(liquidation_prices(account, state.marks, state.tiers, row), key=lambda price: abs(price - mark))
    assert math.isnan(ours) == (not theirs)
    if theirs:
        exact = EXACT * gross(state, pool_of(account, row), ours / mark)
        assert spare(account, state.marks, state.tiers, row, ours) == pytest.approx(0.0, abs=exact)
        assert abs(ours - mark) <= abs(theirs[0] - mark) * (1 + 1e-6) + 1e-6 * mark, "the price next to the mark"


def gross(state: State, pool: str, far: float = 1.0) -> float:
    rows = [row for row in state.account.positions if pool_of(state.account, row) == pool]
    paid = sum(abs(row.amount) * (state.marks[row.symbol] * max(1.0, far) + row.entry) for row in rows)
    return paid + sum(abs(amount) * state.account.indexes.get(asset, 1.0) for asset, amount in state.account.wallets.items()) + 1e3


@given(states())
def test_a_read_account_is_worth_and_needs_what_the_notes_say(state: State) -> None:
    agree(Monitor(state), state)


@given(states(), st.lists(st.sampled_from(("marks", "push", "read")), min_size=1, max_size=6), st.data())
def test_so_it_is_after_any_marks_pushes_and_reads(state: State, steps: list[str], data: st.DataObject) -> None:
    monitor = Monitor(state)
    for step in steps:
        if step == "marks":
            state = replace(state, marks=marks_of(data.draw(MOVED)))
            state = replace(state, account=replace(state.account, indexes=indexes_of(data.draw(MOVED))))
            monitor.market(state)
        else:
            wallets, rows = data.draw(holdings(state.account.multi_assets, state.hedge))
            state = replace(state, account=replace(state.account, wallets=wallets, positions=rows))
            if step == "push":
                monitor.push(state)
            else:
                beyond = data.draw(st.floats(-500.0, 500.0)) if state.account.multi_assets else 0.0
                state = replace(state, account=replace(state.account, beyond=beyond))
                monitor.read(state)
        agree(monitor, state)
