"""What all portfolios of a stress book share: coins with their parameters, instruments, expiries, stablecoins and the clock."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from config.parameters import ParameterSet, UnitParameters
from kernels import layout
from kernels.layout import Ints
from kernels.portfolio import move_forwards
from kernels.stress import set_clock
from monitor.snapshot import InstrumentRow
from monitor.stress.tables import StressTables

LOWEST_SHOCK = -0.999999
"""No price node lies below (model, section 2)."""

SECOND_MS, DAY_S = 1_000, 86_400

_TOLD = {"mark": "mark", "forward": "forward", "iv": "volatility"}
_KINDS = {"perpetual": layout.LINEAR, "future": layout.LINEAR, "option": layout.OPTION, "outcome": layout.OUTCOME}


def price_nodes(parameters: UnitParameters, regime: float) -> list[float]:
    """Relative price shocks of a coin: the ordinary nodes ascending, then the extreme ones if the set has any."""
    half = parameters.price_nodes // 2
    reach = parameters.price_range * regime
    nodes = [reach * step / half for step in range(-half, half + 1)]
    if parameters.extreme_multiple > 0:
        nodes += [-parameters.extreme_multiple * reach, parameters.extreme_multiple * reach]
    return [max(LOWEST_SHOCK, node) for node in nodes]


def regime(parameters: UnitParameters, daily_volatility: float) -> float:
    """How much the market's wildness scales price_range, f_E and im_factor - 1; 1 while unknown (model, section 7)."""
    if not daily_volatility > 0:
        return 1.0
    return min(max(math.pow(daily_volatility / parameters.sigma_ref, parameters.regime_power), 1.0), parameters.regime_cap)


class StressMarket:
    """Prices per 1 coin in the units of `kernels.layout`; what changes is queued for the next evaluation."""

    def __init__(self, parameters: ParameterSet) -> None:
        self.parameters = parameters
        common = parameters.portfolio
        units = (*parameters.coins.values(), parameters.other)
        ordinary = parameters.other.price_nodes
        rules = {
            "correlation_shift": common.correlation_shift,
            "eta": common.eta,
            "liquidity_cap": common.liquidity_cap,
            "adv_stress": common.adv_stress,
            "safety_buffer": common.safety_buffer,
        }
        self.tables = StressTables(rules, ordinary + 2 * any(unit.extreme_multiple > 0 for unit in units), ordinary)
        self.coins: dict[str, int] = {}
        self.coin_names: list[str] = []
        self.instruments: dict[str, int] = {}
        self.listed: list[InstrumentRow] = []
        self.ignored: set[str] = set()
        self.assets: dict[str, int] = {"USD": 0}
        self.tables.fx[0] = 1.0
        self.as_of_s = 0
        self._multipliers: list[float] = []
        self._settlements: dict[str, int] = {}
        self._expiries: dict[tuple[int, int | None], int] = {}
        self._dated: dict[int, list[int]] = {}
        self._of_coin: dict[int, list[int]] = {}
        self._of_asset: dict[int, list[int]] = {}
        self._options_of: dict[tuple[str, str, str, int], Ints] = {}

    def coin(self, name: str) -> int:
        """Row of a coin, made on first use with the set's parameters for it; its index is NaN until told."""
        row = self.coins.get(name)
        if row is None:
            row = self.coins[name] = self.tables.coins.take()
            self.coin_names.append(name)
            self._of_coin[row] = []
            self._write_rules(name, row)
        return row

    def asset(self, name: str) -> int:
        """Row of a stablecoin in `Book.fx`, made on first use; unknown until told."""
        row = self.assets.get(name)
        if row is None:
            row = self.assets[name] = len(self.assets)
            self.tables.add_asset(row)
        return row

    def ignore_instrument(self, name: str) -> None:
        """An instrument that makes no legs (spot enters through balances): positions and orders in it count nothing."""
        self.ignored.add(name)

    def add_instrument(self, listed: InstrumentRow, multiplier: float = 1.0) -> int:
        """List an instrument (not spot) with its prices, or list it anew; `multiplier` coins are one unit of its `MarkPrices`."""
        row = self.instruments.get(listed.id)
        if row is None:
            row = self.instruments[listed.id] = self.tables.instruments.take()
            self.listed.append(listed)
            self._multipliers.append(multiplier)
            self._place(row, listed)
        table = self.tables.instruments.table
        table["mark"][row] = _number(listed.mark)
        if _KINDS[listed.kind] >= layout.OPTION:
            table["forward"][row], table["volatility"][row] = _number(listed.forward), _number(listed.iv)
        self._push(row)
        return row

    def replace_terms(self, listed: InstrumentRow) -> None:
        """Take another margin table of an instrument that is listed; its prices stay."""
        row = self.instruments[listed.id]
        known = self.listed[row]
        self.listed[row] = known.model_copy(update={"tiers": listed.tiers, "max_leverage": listed.max_leverage})

    def _place(self, row: int, listed: InstrumentRow) -> None:
        coin = self.coin(listed.coin)
        self._of_coin[coin].append(row)
        coin_settled = listed.settle in (listed.coin, "USD")
        record = self.tables.instruments.table[row]
        record["kind"] = layout.INVERSE if listed.inverse else _KINDS[listed.kind]
        record["coin"] = coin
        record["fx"] = 0 if coin_settled else self.asset(listed.settle)
        self._of_asset.setdefault(int(record["fx"]), []).append(row)
        record["settle"] = 0 if coin_settled else self._settlement(listed.settle)
        record["coin_settled"] = listed.settle == listed.coin
        expiry_s = None if listed.expiry_ms is None else listed.expiry_ms // SECOND_MS
        record["expiry"] = self._expiry(coin, expiry_s)
        if record["kind"] >= layout.OPTION and expiry_s is not None:
            key = (listed.id.partition(":")[0], listed.coin, listed.settle, expiry_s)
            self._options_of[key] = np.append(self._options_of.get(key, np.zeros(0, np.int32)), np.int32(row))
            record["call"] = listed.option_type == "call"
            record["strike"] = listed.strike
            record["row"] = self.tables.add_option()
        if expiry_s is not None:
            self._dated.setdefault(int(record["expiry"]), []).append(row)

    def _settlement(self, asset: str) -> int:
        group = self._settlements.get(asset)
        if group is None:
            group = self._settlements[asset] = self.tables.add_settlement(self.asset(asset))
        return group

    def _expiry(self, coin: int, expiry_s: int | None) -> int:
        key = (coin, expiry_s)
        row = self._expiries.get(key)
        if row is None:
            row = self._expiries[key] = self.tables.expiries.take()
            record = self.tables.expiries.table[row]
            record["coin"], record["perpetual"], record["expiry_s"] = coin, expiry_s is None, expiry_s or 0
            record["day"] = (expiry_s or 0) // DAY_S
            self._set_clock(row)
        return row

    def _set_clock(self, expiry: int) -> None:
        book = self.tables.book
        set_clock(self.as_of_s, expiry, book.expiries, book.nodes, book.pricing, book.scenarios)

    def set_clock(self, as_of_ms: int) -> None:
        """Move the time; only a new whole second changes anything, and only what has an expiry."""
        as_of_s = as_of_ms // SECOND_MS
        if as_of_s == self.as_of_s:
            return
        before, self.as_of_s = self.as_of_s, as_of_s
        for (_, expiry_s), row in self._expiries.items():
            # time means nothing any more to what had expired before
            if expiry_s is not None and expiry_s > min(before, as_of_s):
                self._set_clock(row)
                self._push_all(self._dated.get(row, ()))

    def set_mark(self, instrument: str, mark: float) -> None:
        """A mark per unit of the venue's contract; an unlisted instrument is none of ours."""
        row = self.instruments.get(instrument)
        if row is not None:
            self.tables.instruments.table["mark"][row] = mark / self._multipliers[row]
            self._push(row)

    def set_volatility(self, instrument: str, volatility: float) -> None:
        """An option's implied volatility (0.42 is 42 %), NaN for none."""
        row = self.instruments.get(instrument)
        if row is not None:
            self.tables.instruments.table["volatility"][row] = volatility
            self._push(row)

    def set_forward(self, venue: str, coin: str, settle: str, expiry_ms: int, forward: float) -> None:
        """The forward of an expiry on one venue, in the quote of its options that settle in `settle`."""
        rows = self._options_of.get((venue, coin, settle, expiry_ms // SECOND_MS))
        if rows is not None:
            book = self.tables.book
            move_forwards(rows, forward, book.instruments, book.queue, book.queued)

    def set_index(self, coin: str, price: float) -> None:
        """The USD index of a coin."""
        row = self.coin(coin)
        table = self.tables.coins.table
        if table["index"][row] != price:
            table["index"][row] = price
            self.tables.push(layout.COINS_QUEUED, table, row, "moved")

    def set_fx(self, asset: str, price: float) -> None:
        """USD per unit of a stablecoin: every unit with a leg that settles in it is computed anew, and with it the unit's charge C."""
        row = self.asset(asset)
        if self.tables.fx[row] != price:
            self.tables.fx[row] = price
            self._push_all(self._of_asset.get(row, ()))

    def set_daily_volatility(self, coin: str, volatility: float) -> None:
        """Daily volatility of a coin: the regime and the liquidity charge follow it."""
        row = self.coin(coin)
        self.tables.coins.table["daily_volatility"][row] = volatility
        self._write_rules(coin, row)
        for (of, _), expiry in self._expiries.items():
            if of == row:
                self._set_clock(expiry)
        self._push_all(self._of_coin[row])
        self.tables.push(layout.COINS_QUEUED, self.tables.coins.table, row, "moved")

    def set_volume(self, instrument: str, volume: float) -> None:
        """Volume of an instrument in 24 hours, USD."""
        row = self.instruments.get(instrument)
        if row is not None:
            self.tables.instruments.table["volume"][row] = volume
            self._push(row)

    def instruments_of(self, coin: str) -> list[int]:
        """Rows of the instruments listed on a coin."""
        return self._of_coin.get(self.coins.get(coin, -1), [])

    def copy_into(self, fresh: StressMarket) -> None:
        """Tell another market everything this one knows."""
        fresh.set_clock(self.as_of_s * SECOND_MS)
        coins, table = self.tables.coins.table, self.tables.instruments.table
        for name, row in self.coins.items():
            fresh.set_index(name, float(coins["index"][row]))
            fresh.set_daily_volatility(name, float(coins["daily_volatility"][row]))
        fresh.ignored = set(self.ignored)
        for asset, row in self.assets.items():
            fresh.set_fx(asset, float(self.tables.fx[row]))
        for row, listed in enumerate(self.listed):
            values = {name: float(table[column][row]) for name, column in _TOLD.items()}
            told = {name: None if math.isnan(value) else value for name, value in values.items()}
            fresh.add_instrument(listed.model_copy(update=told))
            fresh.set_volume(listed.id, float(table["volume"][row]))

    def _push(self, row: int) -> None:
        self.tables.push(layout.INSTRUMENTS_QUEUED, self.tables.instruments.table, row, "moved")

    def _push_all(self, rows: Iterable[int]) -> None:
        for row in rows:
            self._push(row)

    def _write_rules(self, name: str, row: int) -> None:
        unit = self.parameters.unit(name)
        book = self.tables.book
        record = book.coins[row]
        factor = regime(unit, float(record["daily_volatility"]))
        nodes = price_nodes(unit, factor)
        book.nodes[row, : len(nodes)] = nodes
        record["nodes"] = len(nodes)
        record["hedgeable"] = name in self.parameters.portfolio.spot_hedge
        record["spot_in_spread"], record["extreme_weight"] = unit.spot_in_stablecoin_spread, unit.extreme_weight
        record["collateral_stress"] = unit.collateral_stress
        record["im_factor"] = 1.0 + (unit.im_factor - 1.0) * factor
        record["f_a"], record["f_b"], record["f_c"], record["f_d"] = unit.f_A, unit.f_B, unit.f_C, unit.f_D
        record["f_e"] = unit.f_E * factor
        record["basis_factor"], record["basis_threshold"] = unit.BF, unit.TH
        pricing = book.pricing[row]
        for field in ("vol_up", "vol_down", "vol_exponent", "vol_floor", "vol_cap", "near_expiry"):
            pricing[field] = getattr(unit, field)
        pricing["base_is_mark"] = unit.option_base == "mark"


def _number(value: float | None) -> float:
    return math.nan if value is None else value
