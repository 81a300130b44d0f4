"""Changes that are told with the margin before and after: a transfer, other parameters of the venue.

Noted before the book takes the event, finished after the next evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from connectors.events import BorrowReserves, CashFlow, CashFlowKind, Instruments
from kernels.pool import OK
from monitor.alerts.incident import Occurrence
from monitor.alerts.rules import Rule
from monitor.alerts.scope import AlertScope
from monitor.book import Book
from monitor.engine import Engine
from monitor.live.accounts import token_of
from monitor.margin.hyperliquid_mode import AccountMode
from monitor.margin.pools import PoolSpec
from monitor.margin.result import Level
from monitor.watch.limits import WatchLimits
from monitor.watch.parameters import asset_changes, instrument_changes, ltv_changes
from monitor.watch.words import money, percent, some

ISOLATED, MAIN_DEX = "iso:", "main"
"""How pools of one position begin, and the pool of the ledger without a name."""

Account = tuple[str, str]
"""(venue, account)."""


class PoolFigures(NamedTuple):
    """A pool as last evaluated, money in `asset`."""

    asset: str
    mode: str
    equity: float
    maintenance: float
    ratio: float


@dataclass(slots=True)
class _Pending:
    before: dict[str, PoolFigures]
    lines: list[str] = field(default_factory=list)
    flows: list[CashFlow] = field(default_factory=list)


class ChangeWatch:
    """`note_*` before an event is applied; `finish` after the next evaluation. `usd` is about what an asset is worth, NaN unknown."""

    def __init__(self, limits: WatchLimits, book: Book, engine: Engine, usd: Callable[[str], float]) -> None:
        self.limits = limits
        self._book = book
        self._engine = engine
        self._usd = usd
        self._pending: dict[Account, _Pending] = {}
        self.now_ms: int | None = None
        """Unix time of the last second; None before the first."""

    def note_flow(self, event: CashFlow) -> None:
        """Cash is about to move; funding and history are none of ours."""
        if event.kind is CashFlowKind.TRANSFER and not event.snapshot and (event.venue, event.account) in self._book.accounts:
            self._of((event.venue, event.account)).flows.append(event)

    def note_instruments(self, event: Instruments) -> None:
        """Reference data are about to be replaced."""
        market = self._book.market
        for key, entry in self._book.accounts.items():
            if key[0] == event.venue:
                lines = instrument_changes(event, entry.method.instruments(), market, self.now_ms)
                self._add(key, lines + asset_changes(event, self._specs(key), market))

    def note_reserves(self, event: BorrowReserves) -> None:
        """Lending pools are about to be replaced."""
        for key in self._book.accounts:
            if key[0] == event.venue:
                self._add(key, ltv_changes(event, self._specs(key), self._book.market))

    def forget(self, account: Account) -> None:
        """The account is watched no more, or anew."""
        self._pending.pop(account, None)

    def finish(self) -> list[Occurrence]:
        """What was noted, with the figures of now."""
        if not self._pending:
            return []
        pending, self._pending = self._pending, {}
        found = (one for key, noted in pending.items() for one in (self._parameters(key, noted), self._transfer(key, noted)))
        return [one for one in found if one is not None]

    def _add(self, key: Account, lines: list[str]) -> None:
        if lines:
            self._of(key).lines += lines

    def _of(self, key: Account) -> _Pending:
        known = self._pending.get(key)
        if known is None:
            known = self._pending[key] = _Pending(self._figures(key))
        return known

    def _specs(self, key: Account) -> list[PoolSpec]:
        arrays = self._engine.arrays
        return [arrays.specs[arrays.row(scope)] for scope in sorted(arrays.scopes_of(*key))]

    def _figures(self, key: Account) -> dict[str, PoolFigures]:
        arrays = self._engine.arrays
        margins, found = arrays.margins, {}
        for scope in sorted(arrays.scopes_of(*key)):
            row = arrays.row(scope)
            spec = arrays.specs[row]
            if not spec.failures and margins.status[row] == OK:
                figures = float(margins.capacity[row]), float(margins.requirement[row]), float(margins.ratio[row])
                found[spec.name] = PoolFigures(token_of(spec), spec.mode, *figures)
        return found

    def _parameters(self, key: Account, noted: _Pending) -> Occurrence | None:
        if not noted.lines:
            return None
        moved = _moved(noted.before, self._figures(key), maintenance=True)
        detail = f"the venue changed {some(list(dict.fromkeys(noted.lines)))}; {moved}"
        return Occurrence(AlertScope.of_account(*key), Rule.PARAMETERS, Level.WARNING, detail)

    def _transfer(self, key: Account, noted: _Pending) -> Occurrence | None:
        sums = self._sums(key, noted)
        equity = math.fsum(worth for one in noted.before.values() if math.isfinite(worth := one.equity * self._price(one.asset)))
        least = self.limits.transfer_share * max(equity, 0.0)
        # only what is worth something: dust that somebody sent is no news to an empty account either
        large = [(usd, words) for usd, words in sums if abs(usd) >= max(least, 1.0)]
        if not large:
            return None
        after = self._figures(key)
        moved = _moved(noted.before, self._touched(key, noted, after), maintenance=False)
        detail = f"{some([words for _, words in large])} by a transfer; {moved}"
        return Occurrence(AlertScope.of_account(*key), Rule.TRANSFER, Level.WARNING, detail)

    def _sums(self, key: Account, noted: _Pending) -> list[tuple[float, str]]:
        # (USD, words) of what each ledger gained or lost; where all ledgers are one pool, what the account did
        is_split = any(one.mode == AccountMode.STANDARD for one in noted.before.values())
        amounts: dict[tuple[str, str], float] = {}
        for flow in noted.flows:
            if is_split and flow.section is None:
                # in this mode the wallet is no margin
                continue
            place = f" on {flow.section or 'main'}" if is_split else ""
            amounts[flow.asset, place] = amounts.get((flow.asset, place), 0.0) + flow.amount
        worth = {place: amount * self._price(self._book.market.asset_coin(key[0], place[0])) for place, amount in amounts.items()}
        return [(usd, _moved_words(amounts[place], usd, *place)) for place, usd in worth.items() if math.isfinite(usd)]

    def _touched(self, key: Account, noted: _Pending, after: dict[str, PoolFigures]) -> dict[str, PoolFigures]:
        # the pools whose money the flows are; a position's own margin is no ledger, and moves with its mark
        shared = {name: one for name, one in after.items() if not name.startswith(ISOLATED)}
        if any(one.mode == AccountMode.STANDARD for one in noted.before.values()):
            touched = {flow.section or MAIN_DEX for flow in noted.flows if flow.section is not None}
            found = {name: one for name, one in shared.items() if name in touched}
        else:
            assets = {self._book.market.asset_coin(key[0], flow.asset) for flow in noted.flows} | {flow.asset for flow in noted.flows}
            found = {name: one for name, one in shared.items() if one.asset in assets} or shared
        worst = max(after, key=lambda name: after[name].ratio, default=None)
        return found or ({} if worst is None else {worst: after[worst]})

    def _price(self, asset: str) -> float:
        return 1.0 if asset == "USD" else self._usd(asset)


def _moved_words(amount: float, usd: float, asset: str, place: str) -> str:
    worth = "" if abs(amount) == abs(usd) else f" ({money(abs(usd), 'USD')})"
    return f"{money(abs(amount), asset)}{worth} {'came in' if amount > 0 else 'went out'}{place}"


def _moved(before: dict[str, PoolFigures], after: dict[str, PoolFigures], *, maintenance: bool) -> str:
    # the pools that moved, the worst first; where none did, the worst as it stands
    names = sorted(after, key=lambda name: -after[name].ratio)
    changed = [name for name in names if before.get(name) != after[name]] or names[:1]
    return some([_of_pool(name, before.get(name), after[name], maintenance) for name in changed], 2) or "its margin is not known now"


def _of_pool(name: str, then: PoolFigures | None, now: PoolFigures, maintenance: bool) -> str:
    then = now if then is None else then
    ratio = " -> ".join(dict.fromkeys((percent(then.ratio), percent(now.ratio))))
    margins = [money(then.maintenance, then.asset), money(now.maintenance, now.asset)]
    margin = f"maintenance {' -> '.join(dict.fromkeys(margins))}, " if maintenance else ""
    return f"{name} {margin}ratio {ratio}"
