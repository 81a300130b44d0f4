"""One account's state out of two sources that overlap: REST reads, which are whole, and pushes, which tell only what changed.

Both give absolute rows with the venue's time of their last change, so merging is a choice row by row (venue notes 3.7):

    push   taken if it is not older than the row (equal times: the later event)
    read   taken if its row is not older than ours, or if ours changed more than `WINDOW_MS` before the read was asked for: a read
           shows everything that is older

That a read's times and a push's are of one clock is not confirmed. So a row that changed within the window of a read which says
something else, and a push that is older than its row, are settled by one more read (`wants_read`). What a read corrects although
a push should have told it is counted: it is how a user stream that died silently is found.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from math import isclose
from typing import Generic, TypeVar

from connectors.aster.messages import AccountUpdate
from connectors.model import FuturesAccount, FuturesAsset, FuturesRead, Position, PositionSide

T = TypeVar("T")

WINDOW_MS = 2000
"""Longest time (ms) by which a read may lag behind what was pushed."""

FUTURE_MS = 60_000
"""A time later than a read was asked for by more than this (ms) is none: it would keep everything after it from being taken."""

_LAST_EVENT = sys.maxsize
_RowKey = str | tuple[str, PositionSide]


@dataclass(frozen=True, slots=True)
class Modes:
    """The account's modes as read; `asked_ms` is the venue's time when they were asked for."""

    multi_assets: bool
    hedge_mode: bool
    asked_ms: int


@dataclass(slots=True)
class _Row(Generic[T]):
    value: T | None
    time_ms: int
    event_ms: int = 0


@dataclass(slots=True)
class _Reading:
    began_ms: int
    listening: bool
    conflict: bool = False
    untold: set[_RowKey] = field(default_factory=set)
    perhaps_untold: set[_RowKey] = field(default_factory=set)

    @property
    def settled_ms(self) -> int:
        return self.began_ms - WINDOW_MS

    @property
    def latest_ms(self) -> int:
        return self.began_ms + FUTURE_MS


class AccountMerge:
    """What is known of one account. `corrections` counts rows that a read corrected and no push told, `corrected_reads` the reads in a
    row that did; `wants_read` asks for one more read, `doubt` says why the state may be wrong until the next whole one, "" if it may not.
    """

    def __init__(self) -> None:
        self.corrections = 0
        self.corrected_reads = 0
        self.wants_read = False
        self.doubt = ""
        self._doubted_ms = 0
        self._assets: dict[str, _Row[FuturesAsset]] = {}
        self._positions: dict[tuple[str, PositionSide], _Row[Position]] = {}
        self._leverages: dict[str, float] = {}
        self._perhaps_untold: set[_RowKey] = set()
        self._read: FuturesRead | None = None
        self._modes = Modes(False, False, 0)
        self._pushed_ms = 0

    @property
    def complete(self) -> bool:
        """Whether there was a read: pushes alone are no state."""
        return self._read is not None

    def read(self, read: FuturesRead, modes: Modes, *, listening_since_ms: int | None = None) -> None:
        """Merge a read. `listening_since_ms`: the stream tells everything since that venue time (None: there is none)."""
        before = self._read
        listening = listening_since_ms is not None and before is not None and before.began_ms >= listening_since_ms
        reading = _Reading(read.began_ms, listening)
        self._merge_assets(read.assets, reading)
        self._merge_positions(read.positions, reading)
        self._leverages.update({position.instrument: position.leverage for position in read.positions if position.leverage})
        self._read, self._modes = read, modes
        if self._pushed_ms > reading.latest_ms:
            self._pushed_ms = 0
        self._count(reading)
        self.wants_read = reading.conflict
        if min(read.began_ms, modes.asked_ms) > self._doubted_ms:
            self.doubt = ""

    def update(self, update: AccountUpdate) -> bool:
        """Merge a push; whether anything is different now. Before the first read it is kept for that."""
        changed = False
        for asset in update.assets:
            row = self._assets.setdefault(asset.asset, _Row(None, 0))
            differs = row.value is None or not _same_balance(row.value, asset)
            if self._takes(row, asset.asset, update, differs):
                row.value, changed = asset, changed or differs
        for position in update.positions:
            key = (position.instrument, position.side)
            held = self._positions.setdefault(key, _Row(None, 0))
            value = self._moved(position, held.value)
            if self._takes(held, key, update, not _same_position(held.value, value)):
                changed |= value != held.value
                held.value = value
        return changed

    def leverage(self, instrument: str, leverage: float) -> bool:
        """The leverage of an instrument was set; whether an open position has another one now."""
        self._leverages[instrument] = leverage
        changed = False
        for (name, _), row in self._positions.items():
            if name == instrument and row.value is not None and row.value.leverage != leverage:
                row.value = replace(row.value, leverage=leverage)
                changed = True
        return changed

    def doubts(self, why: str, now_ms: int) -> None:
        """The state may be wrong until modes and account were read after `now_ms` (venue time)."""
        self.doubt, self._doubted_ms = why, max(now_ms, self._doubted_ms)

    def instruments(self) -> set[str]:
        """Instruments with a position."""
        return {name for (name, _), row in self._positions.items() if row.value is not None}

    def state(self) -> FuturesAccount | None:
        """The account now; None before the first read."""
        if self._read is None:
            return None
        return FuturesAccount(
            multi_assets=self._modes.multi_assets,
            hedge_mode=self._modes.hedge_mode,
            time_ms=max(self._read.began_ms, self._pushed_ms),
            assets=tuple(row.value for row in self._assets.values() if row.value is not None),
            positions=tuple(row.value for row in self._positions.values() if row.value is not None),
            read=self._read,
            doubt=self.doubt,
        )

    # -- pushes ---------------------------------------------------------------------------------------------------------

    def _takes(self, row: _Row[T], key: _RowKey, update: AccountUpdate, differs: bool) -> bool:
        self._perhaps_untold.discard(key)
        is_older = (update.time_ms, update.event_ms) < (row.time_ms, row.event_ms)
        is_late = self._read is not None and update.time_ms < self._read.began_ms - WINDOW_MS
        # Told late or out of order, or the clocks of reads and pushes differ: one more read settles which.
        self.wants_read |= differs and (is_older or is_late) and self._read is not None
        if is_older:
            return False
        row.time_ms, row.event_ms = update.time_ms, update.event_ms
        self._pushed_ms = max(self._pushed_ms, update.time_ms)
        return True

    def _moved(self, pushed: Position, known: Position | None) -> Position | None:
        if pushed.quantity == 0.0:
            return None
        leverage = pushed.leverage or self._leverages.get(pushed.instrument, 0.0)
        if known is not None and _same_position(known, pushed) and known.entry == pushed.entry:
            # Its venue figures still stand.
            pnl = pushed.reported_unrealized_pnl
            return replace(known, mark=pushed.mark, leverage=leverage, reported_unrealized_pnl=pnl, time_ms=pushed.time_ms)
        return replace(pushed, leverage=leverage)

    # -- reads ----------------------------------------------------------------------------------------------------------

    def _merge_assets(self, assets: Iterable[FuturesAsset], reading: _Reading) -> None:
        told = {asset.asset: asset for asset in assets}
        for name in [*told, *(name for name in self._assets if name not in told)]:
            row, asset = self._assets.setdefault(name, _Row(None, 0)), told.get(name)
            differs = not _same_balance(row.value, asset)
            if self._settle(row, name, 0 if asset is None else asset.time_ms, differs, reading):
                row.value = asset

    def _merge_positions(self, positions: Iterable[Position], reading: _Reading) -> None:
        told = {(position.instrument, position.side): position for position in positions}
        for key in [*told, *(key for key in self._positions if key not in told)]:
            row, position = self._positions.setdefault(key, _Row(None, 0)), told.get(key)
            differs = not _same_position(row.value, position)
            if self._settle(row, key, 0 if position is None else position.time_ms, differs, reading):
                row.value = position

    def _settle(self, row: _Row[T], key: _RowKey, changed_ms: int, differs: bool, reading: _Reading) -> bool:
        if row.time_ms > reading.latest_ms:
            row.time_ms = row.event_ms = 0
        if changed_ms > reading.latest_ms:
            changed_ms = 0
        in_window = row.time_ms >= reading.settled_ms
        reading.conflict |= differs and in_window
        if changed_ms < row.time_ms and in_window:
            return False
        if differs:
            (reading.untold if 0 < changed_ms < reading.settled_ms else reading.perhaps_untold).add(key)
        if changed_ms > row.time_ms:
            row.event_ms = 0
        # A row without a time was last changed before the window, as far as anybody can tell.
        row.time_ms = max(row.time_ms, changed_ms or reading.settled_ms)
        if row.time_ms <= reading.settled_ms:
            row.event_ms = _LAST_EVENT
        return True

    def _count(self, reading: _Reading) -> None:
        # What may have been on its way at the last read, and was still not told, never was.
        untold = reading.untold | self._perhaps_untold
        if not reading.listening:
            untold, reading.perhaps_untold = set(), set()
        self._perhaps_untold = reading.perhaps_untold
        self.corrections += len(untold)
        if untold:
            self.corrected_reads += 1
        elif not self._perhaps_untold:
            self.corrected_reads = 0


def _same_balance(one: FuturesAsset | None, other: FuturesAsset | None) -> bool:
    if one is None or other is None:
        held = one or other
        return held is None or held.wallet == held.cross_wallet == 0.0
    return _close(one.wallet, other.wallet) and _close(one.cross_wallet, other.cross_wallet)


def _same_position(one: Position | None, other: Position | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.quantity == other.quantity and one.margin_mode is other.margin_mode and _same_cash(one, other)


def _same_cash(one: Position, other: Position) -> bool:
    if one.isolated_cash is None or other.isolated_cash is None:
        return one.isolated_cash is other.isolated_cash
    # A wallet minus a notional: only as exact as the larger of the two.
    scale = max(abs(one.quantity * (one.entry or one.mark)), abs(one.isolated_cash), 1.0)
    return isclose(one.isolated_cash, other.isolated_cash, rel_tol=0.0, abs_tol=1e-9 * scale)


def _close(one: float, other: float) -> bool:
    return isclose(one, other, rel_tol=1e-12, abs_tol=1e-9)
