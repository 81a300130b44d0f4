"""A Deribit account as its reads and pushes tell it, merged: always whole. No I/O."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from connectors.deribit.private_answers import Changes, with_totals
from connectors.deribit.reference import Reference
from connectors.model import CurrencySummary, Instrument, InstrumentKind, ListedPosition, Order, SummaryAccount

SHARE, ROUNDING = 0.02, 2e-4
"""How far the value of option positions may be from the wallet's: of their gross value (two answers, two instants), and of a unit."""

DOUBTED_READS = 2
"""Reads in a row that must disagree: a trade may fall between the two answers of one."""

_DOUBT = "the option positions of wallet {} do not add up to its value of options"
_log = logging.getLogger("connectors.deribit.private")


class AccountState:
    """What is known of one account. `snapshot` is None until a first read of summaries and positions."""

    def __init__(self, alias: str, reference: Reference) -> None:
        self._alias = alias
        self._reference = reference
        self._summaries: dict[str, CurrencySummary] | None = None
        self._positions: dict[str, ListedPosition] | None = None
        self._orders: dict[str, Order] = {}
        self._orders_read = False
        self._in_contracts: set[str] = set()
        """Wallets whose option positions the venue counts in contracts."""
        self._disagreed: dict[str, tuple[int, str]] = {}

    def take_summaries(self, summaries: Iterable[CurrencySummary]) -> None:
        """A read of all wallets."""
        self._summaries = {row.currency: row for row in summaries}
        cross = next((row for row in self._summaries.values() if row.is_cross), None)
        if cross is not None:
            self._spread(cross)

    def take_summary(self, summary: CurrencySummary) -> None:
        """A push of one wallet; ignored before the first read."""
        if self._summaries is None:
            return
        self._summaries[summary.currency] = summary
        if summary.is_cross:
            self._spread(summary)

    def take_positions(self, positions: Iterable[ListedPosition]) -> None:
        """A read of all positions."""
        self._positions = {row.instrument: row for row in positions}

    def take_changes(self, changes: Changes) -> None:
        """A push of changed positions and orders; positions are ignored before the first read."""
        for row in changes.positions if self._positions is not None else ():
            assert self._positions is not None
            if row.quantity == 0.0:
                self._positions.pop(row.instrument, None)
            else:
                self._positions[row.instrument] = row
        self._orders.update({order.order_id: order for order in changes.orders})
        for gone in changes.gone_orders:
            self._orders.pop(gone, None)

    def take_orders(self, orders: Iterable[Order]) -> None:
        """A read of all resting orders."""
        self._orders = {order.order_id: order for order in orders}
        self._orders_read = True

    def orders(self) -> tuple[Order, ...] | None:
        """The resting orders; None before their first read."""
        return tuple(self._orders.values()) if self._orders_read else None

    def snapshot(self, time_ms: int) -> SummaryAccount | None:
        """The account now."""
        if self._summaries is None or self._positions is None:
            return None
        doubt = next((why for count, why in self._disagreed.values() if count >= DOUBTED_READS), "")
        positions = tuple(self._in_coins(row) for row in self._positions.values())
        return SummaryAccount(tuple(self._summaries.values()), positions, time_ms, doubt)

    def check(self) -> None:
        """Compare the option positions of a read with the wallets' own value of them (venue notes 2.7): coins, or contracts of several?"""
        names = [self._listed(row.instrument) for row in (self._positions or {}).values()]
        for row in (self._summaries or {}).values():
            held = [(one, listed) for one in (self._positions or {}).values() if (listed := self._option(one, row.currency)) is not None]
            is_coins = _agrees(row.options_value, [one.quantity * one.mark for one, _ in held])
            is_contracts = _agrees(row.options_value, [one.quantity * one.mark * self._size(listed) for one, listed in held])
            if is_coins or is_contracts or None in names:
                self._disagreed.pop(row.currency, None)
                if is_coins is not is_contracts:
                    self._decide(row.currency, in_contracts=is_contracts)
            else:
                count, _ = self._disagreed.get(row.currency, (0, ""))
                self._disagreed[row.currency] = count + 1, f"{_DOUBT.format(row.currency)}: it should pass with the next read"

    def _spread(self, newest: CurrencySummary) -> None:
        assert self._summaries is not None
        for currency, row in self._summaries.items():
            if row.is_cross and row is not newest:
                self._summaries[currency] = with_totals(row, newest)

    def _decide(self, currency: str, *, in_contracts: bool) -> None:
        if in_contracts and currency not in self._in_contracts:
            self._in_contracts.add(currency)
            _log.warning("deribit %s: option positions of wallet %s are told in contracts: counted in coins", self._alias, currency)
        elif not in_contracts and currency in self._in_contracts:
            self._in_contracts.discard(currency)

    def _in_coins(self, row: ListedPosition) -> ListedPosition:
        listed = self._listed(row.instrument)
        if listed is None or listed.kind is not InstrumentKind.OPTION or listed.settle not in self._in_contracts:
            return row
        return replace(row, quantity=row.quantity * self._size(listed))

    def _option(self, row: ListedPosition, currency: str) -> Instrument | None:
        listed = self._listed(row.instrument)
        return listed if listed is not None and listed.kind is InstrumentKind.OPTION and listed.settle == currency else None

    def _listed(self, instrument: str) -> Instrument | None:
        return self._reference.by_name.get(instrument.partition(":")[2])

    def _size(self, listed: Instrument) -> float:
        return self._reference.contract_sizes.get(listed.symbol, 1.0)


def _agrees(value: float, parts: list[float]) -> bool:
    return abs(sum(parts) - value) <= SHARE * sum(map(abs, parts)) + ROUNDING
