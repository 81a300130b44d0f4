"""The portfolio engine per tick: `book.apply` to the levels of all affected portfolios, and how it grows.

Every unit has resting orders of both sides, so that all three order groups and all six charges are computed; the Python calls
are in the figures. Attribution and distances, which run off the way of a tick, stand below.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from config.parameters import ParameterSet, load_parameters
from connectors.events import Forwards, IndexPrices, MarkPrices, Volatilities
from kernels.warmup import warm_up_portfolio
from monitor.margin.portfolio import portfolio_result
from monitor.margin.portfolio_measures import ALL, leg_measures, portfolio_distances
from monitor.snapshot import AccountRow, BalanceRow, InstrumentRow, OrderRow, PositionRow
from monitor.stress.book import StressBook

AS_OF_MS = 1_794_528_000_000
DAY_MS = 86_400_000
CUTS = [0.83, 0.85, 0.88, 0.90, 0.98, 1.0]
EXPIRIES = (1, 2, 4, 7, 14, 35, 63, 126, 217, 308)
MAJORS = ("BTC", "ETH", "SOL", "ADA", "AVAX", "DOT")


def perpetuals(count: int) -> list[InstrumentRow]:
    """Perpetuals of three venues, a coin each three: half settle in USDC, half in USDT."""
    rows = []
    for number in range(count):
        coin = MAJORS[number // 3] if number // 3 < len(MAJORS) else f"C{number // 3}"
        venue, settle = (("hyperliquid", "USDC"), ("aster", "USDT"), ("deribit", "USDC"))[number % 3]
        rows.append(
            InstrumentRow(id=f"{venue}:{coin}", kind="perpetual", coin=coin, settle=settle, mark=_index(coin) * (1 + number % 3 / 2000))
        )
    return rows


def options(count: int) -> list[InstrumentRow]:
    """Options on BTC over ten expiries, strikes around the index, calls and puts, settled in BTC."""
    rows = []
    for number in range(count):
        days = EXPIRIES[number % len(EXPIRIES)]
        strike = 60_000.0 + 1_000.0 * (number // len(EXPIRIES))
        rows.append(
            InstrumentRow(
                id=f"deribit:BTC-{days}-{number}", kind="option", coin="BTC", settle="BTC", option_type="put" if number % 2 else "call",
                strike=strike, expiry=AS_OF_MS + days * DAY_MS, forward=100_000.0 * (1 + days / 5000), iv=0.4 + 0.1 * (number % 7) / 7,
            )
        )  # fmt: skip
    return rows


def _index(coin: str) -> float:
    return {"BTC": 100_000.0, "ETH": 3_500.0}.get(coin, 50.0)


class Desk:
    """`accounts` portfolios of one account each over the same instruments, `each` positions an account, all with orders."""

    def __init__(self, parameters: ParameterSet, listed: Sequence[InstrumentRow], accounts: int = 1, each: int | None = None) -> None:
        self.listed = listed
        self.book = StressBook(parameters)
        market = self.book.market
        market.set_clock(AS_OF_MS)
        for asset in ("USDC", "USDT"):
            market.set_fx(asset, 0.9998)
        for coin in dict.fromkeys(row.coin for row in listed):
            market.set_index(coin, _index(coin))
            market.set_daily_volatility(coin, 0.03)
        for row in listed:
            market.add_instrument(row)
            market.set_volume(row.id, 1e9)
        rng = np.random.default_rng(7)
        count = len(listed) if each is None else each
        for number in range(accounts):
            chosen = [listed[(number + step * max(1, len(listed) // count)) % len(listed)] for step in range(count)]
            self.book.accounts.set_account(self._account(f"a{number}", chosen, rng))
            self.book.accounts.add_portfolio(f"p{number}", [f"a{number}"], CUTS)
        self.book.evaluate()

    @staticmethod
    def _account(name: str, chosen: Sequence[InstrumentRow], rng: np.random.Generator) -> AccountRow:
        positions = [
            PositionRow(instrument=row.id, quantity=float(rng.normal()) * 1e5 / _index(row.coin), entry=_index(row.coin)) for row in chosen
        ]
        # a buy and a sell order on one instrument of every coin
        first = {row.coin: row for row in chosen}
        orders = [
            OrderRow(instrument=row.id, quantity=side * 5e4 / _index(row.coin), limit_price=row.mark or 0.01)
            for row in first.values()
            for side in (1.0, -1.0)
        ]
        balances = (
            BalanceRow(asset="USDC", total=5e6),
            BalanceRow(asset="BTC", total=3.0, collateral_ratio=0.95, eligible_hedge=True),
        )
        return AccountRow(id=name, venue="desk", spot_hedging=True, positions=tuple(positions), orders=tuple(orders), balances=balances)

    def linear_tick(self, step: int) -> object:
        """One perpetual's mark."""
        row = self.listed[step % min(3, len(self.listed))]
        return MarkPrices("x", "bench", 0, [row.id], [(row.mark or 1.0) * (1 + (step % 11 - 5) / 1e4)], [math.nan], [math.nan])

    def forward_tick(self, step: int) -> object:
        """The forwards of every expiry of BTC."""
        factor = 1 + (step % 11 - 5) / 1e4
        expiries = [AS_OF_MS + days * DAY_MS for days in EXPIRIES]
        return Forwards(
            "deribit",
            "bench",
            0,
            ["BTC"] * len(expiries),
            ["BTC"] * len(expiries),
            expiries,
            [1e5 * (1 + days / 5000) * factor for days in EXPIRIES],
        )

    def volatility_tick(self, step: int) -> object:
        """One option's volatility."""
        row = self.listed[-1]
        return Volatilities("deribit", "bench", 0, [row.id], [(row.iv or 0.5) * (1 + (step % 11 - 5) / 1e3)])

    def index_tick(self, step: int) -> object:
        """The index of BTC."""
        return IndexPrices("deribit", "bench", 0, {"BTC": 1e5 * (1 + (step % 11 - 5) / 1e4)})

    def fill(self, step: int) -> None:
        """One account's execution in a perpetual."""
        self.book.accounts.set_position("a0", PositionRow(instrument=self.listed[1].id, quantity=1.0 + step % 7, entry=1e5))

    def order(self, step: int) -> None:
        """One account's resting orders in a perpetual."""
        resting = OrderRow(instrument=self.listed[1].id, quantity=1.0 + step % 7, limit_price=1e5)
        self.book.accounts.set_orders("a0", self.listed[1].id, [resting])

    def balance(self, step: int) -> None:
        """One account's balances."""
        self.book.accounts.set_money("a0", [BalanceRow(asset="USDC", total=5e6 + step)], (), None)

    def measure_changes(self, change: Callable[[int], None], count: int) -> tuple[float, float, float]:
        """As `measure`, of changes of an account."""
        told = np.empty(count)
        before = self.book.statistics.portfolios
        for step in range(count):
            begin = time.perf_counter_ns()
            change(step)
            self.book.evaluate()
            told[step] = time.perf_counter_ns() - begin
        p50, p99 = np.percentile(told / 1000, [50, 99])
        return float(p50), float(p99), (self.book.statistics.portfolios - before) / count

    def measure(self, tick: Callable[[int], object], count: int) -> tuple[float, float, float]:
        """(p50, p99, portfolios a tick) of `count` ticks, microseconds."""
        events = [tick(step) for step in range(count)]
        book, clock = self.book, time.perf_counter_ns
        for event in events[: count // 10]:
            book.apply(event)
            book.evaluate()
        before = book.statistics.portfolios
        told = np.empty(count)
        gc.collect()
        gc.disable()
        for row, event in enumerate(events):
            begin = clock()
            book.apply(event)
            book.evaluate()
            told[row] = clock() - begin
        gc.enable()
        p50, p99 = np.percentile(told / 1000, [50, 99])
        return float(p50), float(p99), (book.statistics.portfolios - before) / count


def _calibration() -> float:
    # a fixed piece of interpreter work, so that two runs can be compared
    begin = time.perf_counter_ns()
    total = 0
    for number in range(20_000):
        total += number & 7
    return (time.perf_counter_ns() - begin) / 1000


def main() -> None:
    """Measure and print."""
    console = Console(width=130)
    begin = time.perf_counter()
    warm_up_portfolio()
    console.print(f"kernels warm in {time.perf_counter() - begin:.2f} s; calibration loop {min(_calibration() for _ in range(5)):.0f} us")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("set", "desk", "tick", "p50 us", "p99 us", "portfolios a tick"):
        table.add_column(heading, justify="left" if heading in ("set", "desk", "tick") else "right")
    for name in ("uta", "house"):
        parameters = load_parameters(name)
        desk = Desk(parameters, [*perpetuals(60), *options(400)])
        ticks = {"linear": desk.linear_tick, "forward, 400 options": desk.forward_tick, "one volatility": desk.volatility_tick}
        for label, tick in (ticks | {"index": desk.index_tick}).items():
            _add(table, name, "60 perpetuals, 400 options", label, desk.measure(tick, 2000))
        for label, change in {"fill": desk.fill, "order": desk.order, "balance": desk.balance}.items():
            _add(table, name, "60 perpetuals, 400 options", label, desk.measure_changes(change, 1000))
    uta = load_parameters("uta")
    for count in (10, 100, 1_000, 10_000):
        desk = Desk(uta, [*perpetuals(3), *options(count)])
        _add(table, "uta", f"3 perpetuals, {count:,} options", "linear", desk.measure(desk.linear_tick, 1000))
        _add(table, "uta", f"3 perpetuals, {count:,} options", "one volatility", desk.measure(desk.volatility_tick, 300))
        _add(table, "uta", f"3 perpetuals, {count:,} options", "forward", desk.measure(desk.forward_tick, max(30, 100_000 // count // 10)))
    for accounts in (1, 10, 100, 1_000, 10_000):
        desk = Desk(uta, [*perpetuals(3), *options(17)], accounts, 20)
        count = max(20, min(2000, 200_000 // accounts // 10))
        _add(table, "uta", f"{accounts:,} accounts x 20 positions, one coin", "linear", desk.measure(desk.linear_tick, count))
        _add(table, "uta", f"{accounts:,} accounts x 20 positions, one coin", "forward", desk.measure(desk.forward_tick, count))
        del desk
        gc.collect()
    console.print(table)
    _off_path(console, uta)


def _add(table: Table, name: str, desk: str, tick: str, told: tuple[float, float, float]) -> None:
    table.add_row(name, desk, tick, f"{told[0]:.1f}", f"{told[1]:.1f}", f"{told[2]:.0f}")


def _off_path(console: Console, parameters: ParameterSet) -> None:
    desk = Desk(parameters, [*perpetuals(60), *options(400)])
    jobs: dict[str, Callable[[], object]] = {
        "full result with Euler contributions": lambda: portfolio_result(desk.book, "p0"),
        "standalone and leave-one-out of 460 legs": lambda: leg_measures(desk.book, "p0"),
        "distance of BTC to three levels": lambda: portfolio_distances(desk.book, "p0", "BTC", (0.85, 0.9, 1.0), {}),
        "distance of ETH to three levels": lambda: portfolio_distances(desk.book, "p0", "ETH", (0.85, 0.9, 1.0), {}),
        "distance of all coins to three levels": lambda: portfolio_distances(desk.book, "p0", ALL, (0.85, 0.9, 1.0), {}),
        "book built anew (drift)": desk.book.measure_drift,
    }
    console.print("off the way of a tick, 60 perpetuals and 400 options:")
    for label, job in jobs.items():
        job()
        begin = time.perf_counter()
        job()
        console.print(f"  {label}: {(time.perf_counter() - begin) * 1000:.1f} ms")
