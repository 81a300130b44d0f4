"""Legs, series and units of the portfolios, and the chains that tie them: written once for all that changed, before an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from kernels import layout
from monitor.snapshot import OrderRow
from monitor.stress.market import StressMarket
from monitor.stress.tables import chain

LegKey = tuple[int, str, int, str]
"""(portfolio, account, instrument, side); side is empty outside hedge mode."""


@dataclass(slots=True)
class Holding:
    """What one account has in one instrument (and side): the position, and the resting orders that join it.

    Without an `entry` the position counts in equity from 0; what that leaves out is in the anchor of the venue's equity.
    """

    quantity: float = 0.0
    entry: float | None = None
    orders: list[OrderRow] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether no leg is needed."""
        return self.quantity == 0 and not self.orders


@dataclass(slots=True)
class Torn:
    """Rows whose chain has to be written anew."""

    series: dict[int, None] = field(default_factory=dict)
    instruments: dict[int, None] = field(default_factory=dict)
    units: dict[int, None] = field(default_factory=dict)
    portfolios: dict[int, None] = field(default_factory=dict)
    coins: dict[int, None] = field(default_factory=dict)


def order_group(order: OrderRow, *, is_put: bool) -> int:
    """1 for an order that adds coin delta, 2 for one that takes some away (model, section 5)."""
    return 1 if (order.quantity > 0) is not is_put else 2


class StressLegs:
    """The chained rows below portfolios. Rows are shared with the kernels; a change queues what it touched."""

    def __init__(self, market: StressMarket) -> None:
        self.market = market
        self.tables = market.tables
        self.rows: dict[LegKey, int] = {}
        self.units: dict[int, dict[int, int]] = {}
        """Units by portfolio and coin."""
        self.torn = Torn()
        self._keys: dict[int, LegKey] = {}
        self._units_of_coin: dict[int, list[int]] = {}
        self._series: dict[int, dict[int, int]] = {}
        self._legs_of_series: dict[int, dict[int, dict[int, None]]] = {}
        self._legs_of_instrument: dict[int, dict[int, None]] = {}
        self._orders_of: dict[int, list[int]] = {}
        self._ordered: dict[int, set[int]] = {}

    def write(self, key: LegKey, holding: Holding) -> None:
        """Write one leg; an empty holding drops it."""
        if holding.is_empty:
            self._drop(key)
            return
        portfolio, _, number, _ = key
        leg = self.rows.get(key)
        if leg is None:
            leg = self.rows[key] = self._add(portfolio, number)
            self._keys[leg] = key
        is_put = self._is_put(number)
        change = [0.0, 0.0, 0.0]
        for order in holding.orders:
            change[order_group(order, is_put=is_put)] += order.quantity
        record = self.tables.legs.table[leg]
        record["quantity"] = [holding.quantity + extra for extra in change]
        record["entry"] = 0.0 if holding.entry is None else holding.entry
        self._write_orders(leg, holding.orders, is_put)
        self.push_series(int(record["series"]))

    def unit(self, portfolio: int, coin: int) -> int:
        """The unit of a coin in a portfolio, made on first use."""
        units = self.units.setdefault(portfolio, {})
        unit = units.get(coin)
        if unit is None:
            unit = units[coin] = self.tables.units.take()
            record = self.tables.units.table[unit]
            record["portfolio"], record["coin"] = portfolio, coin
            self._series[unit] = {}
            self._units_of_coin.setdefault(coin, []).append(unit)
            self.torn.portfolios[portfolio] = None
            self.torn.coins[coin] = None
            self.push_unit(unit)
        return unit

    def of_unit(self, unit: int) -> list[tuple[LegKey, int]]:
        """(key, row) of the unit's legs, by account, instrument and side."""
        rows = [leg for series in self._series[unit].values() for legs in self._legs_of_series[series].values() for leg in legs]
        listed = self.market.listed
        return sorted(((self._keys[leg], leg) for leg in rows), key=lambda item: (item[0][1], listed[item[0][2]].id, item[0][3]))

    def push_portfolio(self, row: int) -> None:
        """Have a portfolio totalled."""
        self.tables.push(layout.PORTFOLIOS_QUEUED, self.tables.portfolios.table, row, "queued")

    def push_unit(self, row: int) -> None:
        """Have a unit evaluated."""
        self.tables.push(layout.UNITS_QUEUED, self.tables.units.table, row, "queued")

    def push_series(self, row: int) -> None:
        """Have a series summed."""
        self.tables.push(layout.SERIES_QUEUED, self.tables.series.table, row, "queued")

    def _is_put(self, number: int) -> bool:
        record = self.tables.instruments.table[number]
        return bool(record["kind"] >= layout.OPTION and not record["call"])

    def _add(self, portfolio: int, number: int) -> int:
        leg = self.tables.legs.take()
        record = self.tables.instruments.table[number]
        unit = self.unit(portfolio, int(record["coin"]))
        series = self._take_series(unit, int(record["expiry"]))
        legs = self.tables.legs.table
        legs["series"][leg], legs["instrument"][leg] = series, number
        self._legs_of_series[series].setdefault(number, {})[leg] = None
        self._legs_of_instrument.setdefault(number, {})[leg] = None
        self.torn.series[series] = None
        self.torn.instruments[number] = None
        return leg

    def _take_series(self, unit: int, expiry: int) -> int:
        series = self._series[unit].get(expiry)
        if series is None:
            series = self._series[unit][expiry] = self.tables.series.take()
            record = self.tables.series.table[series]
            record["unit"], record["expiry"] = unit, expiry
            self._legs_of_series[series] = {}
            self._ordered[series] = set()
        return series

    def _drop(self, key: LegKey) -> None:
        leg = self.rows.pop(key, None)
        if leg is None:
            return
        number = key[2]
        series = int(self.tables.legs.table["series"][leg])
        self._write_orders(leg, [], False)
        of_instrument = self._legs_of_series[series][number]
        del of_instrument[leg]
        if not of_instrument:
            del self._legs_of_series[series][number]
        del self._legs_of_instrument[number][leg]
        del self._keys[leg]
        self.tables.legs.give_back(leg)
        self.torn.series[series] = None
        self.torn.instruments[number] = None
        self.push_series(series)

    def _write_orders(self, leg: int, orders: Sequence[OrderRow], is_put: bool) -> None:
        rows = self._orders_of.pop(leg, [])
        while len(rows) > len(orders):
            self.tables.orders.give_back(rows.pop())
        while len(rows) < len(orders):
            rows.append(self.tables.orders.take())
        for row, order in zip(rows, orders, strict=True):
            record = self.tables.orders.table[row]
            record["group"], record["quantity"], record["limit"] = order_group(order, is_put=is_put), order.quantity, order.limit_price
        legs = self.tables.legs.table
        legs["first_order"][leg] = chain(self.tables.orders.table, rows, "next")
        series = int(legs["series"][leg])
        if rows:
            self._orders_of[leg] = rows
            self._ordered[series].add(leg)
        else:
            self._ordered[series].discard(leg)
        self.tables.series.table["has_orders"][series] = bool(self._ordered[series])

    # -- chains --------------------------------------------------------------------------------------------------------

    def flush(self, cash_of: Callable[[int], Iterable[int]], cash_of_coin: Callable[[int], Iterable[int]]) -> None:
        """Write the chains of everything that gained or lost a row; the two functions name the cash rows of portfolio and coin."""
        torn, tables = self.torn, self.tables
        if not (torn.series or torn.instruments or torn.units or torn.portfolios or torn.coins):
            return
        self.torn = Torn()
        for series in torn.series:
            self._chain_series(series, torn)
        for number in torn.instruments:
            legs = self._legs_of_instrument[number]
            tables.instruments.table["first_leg"][number] = chain(tables.legs.table, legs, "next_of_instrument")
        for unit in torn.units:
            self._chain_unit(unit)
            torn.portfolios[int(tables.units.table["portfolio"][unit])] = None
        for portfolio in torn.portfolios:
            record = tables.portfolios.table[portfolio]
            record["first_unit"] = chain(tables.units.table, self.listed_units(portfolio), "next")
            record["first_cash"] = chain(tables.cash.table, cash_of(portfolio), "next")
            self.push_portfolio(portfolio)
        for coin in torn.coins:
            record = tables.coins.table[coin]
            record["first_unit"] = chain(tables.units.table, self._units_of_coin.get(coin, ()), "next_of_coin")
            record["first_cash"] = chain(tables.cash.table, cash_of_coin(coin), "next_of_coin")

    def listed_units(self, portfolio: int) -> list[int]:
        """The units of a portfolio that count: those with legs, and stressed balances (model, section 2)."""
        found = []
        for coin, unit in self.units.get(portfolio, {}).items():
            record = self.tables.units.table[unit]
            counts = record["collateral"] * record["collateral_ratio"] * self.tables.coins.table["collateral_stress"][coin]
            if self._series[unit] or counts > 0:
                found.append(unit)
        return found

    def _chain_series(self, series: int, torn: Torn) -> None:
        legs = self._legs_of_series.get(series)
        if legs is None:
            return
        record = self.tables.series.table[series]
        unit = int(record["unit"])
        torn.units[unit] = None
        record["first_leg"] = chain(self.tables.legs.table, (leg for rows in legs.values() for leg in rows), "next")
        kinds = self.tables.instruments.table["kind"]
        record["has_options"] = any(kinds[number] >= layout.OPTION for number in legs)
        if not legs:
            # a kernel that still has it queued finds an empty series, perhaps already of another unit
            self.tables.units.table["options_moved"][unit] = True
            del self._series[unit][int(record["expiry"])], self._legs_of_series[series], self._ordered[series]
            self.tables.series.give_back(series)

    def _chain_unit(self, unit: int) -> None:
        expiries = self.tables.expiries.table["expiry_s"]
        rows = sorted(self._series[unit].items(), key=lambda item: int(expiries[item[0]]))
        self.tables.units.table["first_series"][unit] = chain(self.tables.series.table, (series for _, series in rows), "next")
        self.push_unit(unit)
