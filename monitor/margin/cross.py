"""The position-by-position comparator (margin model, section 9): every leg on its own, at the rate its venue asks for it.

No leg offsets another: legs of different accounts, and the two sides of hedge mode, stand side by side, and resting orders do
not count. What the `portfolio` method asks for less is what the offsets save. No venue acts on this number either. Here it is
explained leg by leg; `CrossTotals` sums the same on every tick.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from connectors.events import FailureReason
from connectors.model import MarginTier
from kernels import breakdown, cross, layout
from kernels.pool import pool_ratio
from monitor.margin.failures import account_failures, coin_failure, failure_of, instrument_failure, portfolio_failures
from monitor.margin.result import Failure, Level
from monitor.market import TierTables
from monitor.snapshot import InstrumentRow, TierRow
from monitor.stress.book import StressBook

METHOD = "cross"
TIER, SHORT_OPTION, LONG_OPTION, OUTCOME = "tier", "short_option", "long_option", "outcome"
"""Rules that a row may be margined by; a long option and an outcome are paid in full and ask for nothing."""


@dataclass(frozen=True, slots=True)
class CrossLeg:
    """One leg on its own; USD, `quantity` as held, `notional` absolute (an option or outcome: of its coin delta).

    `rule` is TIER, SHORT_OPTION, LONG_OPTION or OUTCOME. The margins are None where the rule lacks an input; the result's failures
    say which.
    """

    account: str
    instrument: str
    side: str | None
    quantity: float
    notional: float | None
    maintenance_margin: float | None
    initial_margin: float | None
    rule: str


@dataclass(frozen=True, slots=True)
class CrossResult:
    """A portfolio margined leg by leg at one instant, USD. With `failures` the ratio is None; margins may be known without equity.

    `margin_ratio` = maintenance_margin / equity, +inf without equity. `rows` are by account, instrument and side within a coin.
    """

    portfolio: str
    method: str
    level: Level
    failures: tuple[Failure, ...] = ()
    equity: float | None = None
    maintenance_margin: float | None = None
    initial_margin: float | None = None
    margin_ratio: float | None = None
    rows: tuple[CrossLeg, ...] = ()

    @property
    def excess(self) -> float | None:
        """equity - maintenance_margin."""
        return None if self.equity is None or self.maintenance_margin is None else self.equity - self.maintenance_margin


def short_option_margin(index: float, strike: float, call: bool, mark: float, entry: float, quantity: float) -> tuple[float, float]:
    """(maintenance, initial) margin in USD of a short option; prices in USD per coin, `entry` 0 where it is not known.

    Source: margin model, section 9, which is Bybit's published rule of cross margin.
    """
    size = abs(quantity)
    maintenance, initial = cross.short_option(index, strike, call, mark, entry)
    return size * maintenance, size * max(initial, maintenance)


def long_option_order_cost(price: float, quantity: float, index: float, taker_rate: float, cap: float) -> tuple[float, float]:
    """(premium, fee) in USD that an order to buy an option ties up on a unified account, which pays for it in full.

    `price` and `index` in USD per coin, `quantity` in coin. The fee is `taker_rate` of the index, at most the share `cap` of the
    premium. A comparator like `short_option_margin`: no margin counts it. Source: Bybit's published trading fees of options.
    """
    size = abs(quantity)
    return price * size, min(taker_rate * index, cap * price) * size


def tier_margin(notional: float, tiers: Sequence[TierRow], max_leverage: float | None) -> tuple[float, float]:
    """(maintenance, initial) margin in USD of an absolute notional in USD, by a table that is not empty.

    Initial: notional / leverage, where the leverage allowed falls from tier to tier as the maintenance rate rises. The first
    tier's is `max_leverage`; where that is not told 1 / (2 * rate), as in Hyperliquid's tables (so initial = 2 * maintenance
    there). Never less than the maintenance margin.
    """
    tables = TierTables()
    number = tables.number(tuple(MarginTier(*row) for row in tiers))
    maintenance, initial = cross.tier_margin(notional, number, max_leverage or 0.0, tables.arrays)
    return maintenance, initial


def cross_result(book: StressBook, portfolio: str, levels: Sequence[float] = (0.85, 0.90, 1.0)) -> CrossResult:
    """One portfolio of an evaluated book, leg by leg; `levels` are warning, critical and 1.0. KeyError for an unknown portfolio."""
    row = book.accounts.portfolios[portfolio]
    found: list[Failure] = []
    legs = []
    notionals = np.zeros(book.tables.legs.table.shape[0])
    for unit in book.accounts.legs.units.get(row, {}).values():
        breakdown.leg_notionals(unit, book.tables.book, notionals)
        for (_, account, number, side), leg in book.accounts.legs.of_unit(unit):
            quantity, notional = float(book.tables.legs.table["quantity"][leg, 0]), abs(float(notionals[leg]))
            if quantity != 0.0:
                margins, rule, failure = _leg(book, leg, number, quantity, notional)
                found += [failure] if failure is not None else []
                known = None if instrument_failure(book, number) is not None else notional
                legs.append(CrossLeg(account, book.market.listed[number].id, side or None, quantity, known, *margins, rule))
    return _totalled(book, row, tuple(legs), found, levels)


def saving(portfolio_mm: float | None, cross_mm: float | None) -> float | None:
    """1 - portfolio_mm / cross_mm, the share of the leg-by-leg margin that offsets save; negative where the stress asks for more.

    None where either is unknown, or where there is no leg-by-leg margin to save from.
    """
    return None if portfolio_mm is None or not cross_mm else 1.0 - portfolio_mm / cross_mm


def _totalled(book: StressBook, row: int, legs: tuple[CrossLeg, ...], found: list[Failure], levels: Sequence[float]) -> CrossResult:
    name, record = book.accounts.names[row], book.tables.portfolios.table[row]
    sums = [math.fsum(getattr(leg, key) or 0.0 for leg in legs) for key in ("maintenance_margin", "initial_margin")]
    maintenance, initial = (None, None) if found else sums
    equity = float(record["equity"]) if record["equity_status"] == layout.OK and record["status"] == layout.OK else None
    if equity is None:
        found += [*portfolio_failures(book, row), *account_failures(book, row)]
        found += [] if found else [failure_of(int(record["equity_status"]) or int(record["status"]), name)]
    failures = tuple(dict.fromkeys(found))
    if equity is None or maintenance is None:
        return CrossResult(name, METHOD, Level.OK, failures, equity, maintenance, initial, None, legs)
    ratio = float(pool_ratio(maintenance, equity, 1.0))
    passed = sum(ratio >= bound for bound in levels)
    level = Level.BREACH if passed == Level.LIQUIDATION else Level(passed)
    return CrossResult(name, METHOD, level, failures, equity, maintenance, initial, ratio, legs)


def _leg(
    book: StressBook, leg: int, number: int, quantity: float, notional: float
) -> tuple[tuple[float | None, float | None], str, Failure | None]:
    listed = book.market.listed[number]
    rule = _rule(listed, quantity)
    if rule in (LONG_OPTION, OUTCOME):
        return (0.0, 0.0), rule, None
    failure = instrument_failure(book, number) or _lacking(book, number, listed)
    if failure is not None:
        return (None, None), rule, failure
    if rule == SHORT_OPTION:
        return _short_option(book, leg, number, quantity), rule, None
    return tier_margin(notional, listed.tiers, listed.max_leverage), rule, None


def _rule(listed: InstrumentRow, quantity: float) -> str:
    if listed.kind == "outcome":
        return OUTCOME
    if listed.kind == "option":
        return SHORT_OPTION if quantity < 0 else LONG_OPTION
    return TIER


def _lacking(book: StressBook, number: int, listed: InstrumentRow) -> Failure | None:
    if listed.kind != "option":
        detail = f"{listed.id} has no tiers: add its maintenance margin table to compare position by position"
        return None if listed.tiers else Failure(FailureReason.UNKNOWN_TIER, detail)
    return coin_failure(book, listed.coin)


def _short_option(book: StressBook, leg: int, number: int, quantity: float) -> tuple[float, float]:
    record = book.tables.instruments.table[number]
    fx = float(book.tables.fx[record["fx"]])
    # an entry is a price in the settlement asset, as a mark is
    usd = float(record["forward"]) if record["coin_settled"] else fx
    index = float(book.tables.coins.table["index"][record["coin"]])
    entry = float(book.tables.legs.table["entry"][leg]) * usd
    return short_option_margin(index, float(record["strike"]), bool(record["call"]), float(record["base"]) * fx, entry, quantity)
