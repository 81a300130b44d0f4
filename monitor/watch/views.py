"""What the rules look at: each configured account with its pools, as of one evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from connectors.model import PositionSide
from monitor.alerts.scope import AlertScope
from monitor.book import AccountEntry, Book
from monitor.margin.pools import WHOLE_ACCOUNT, PoolSpec
from monitor.margin.result import PoolResult
from monitor.pool_arrays import PoolArrays

UNKNOWN_MODE = "unknown"


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account, its pools' results and what its venue's rule made of it."""

    entry: AccountEntry
    results: tuple[PoolResult, ...]
    specs: tuple[PoolSpec, ...]

    @property
    def key(self) -> tuple[str, str]:
        """(venue, account)."""
        return self.entry.venue, self.entry.account

    @property
    def scope(self) -> AlertScope:
        """The account as alerts name it."""
        return AlertScope.of_account(*self.key)

    @property
    def is_known(self) -> bool:
        """Whether its venue has told what it holds."""
        return bool(self.specs) and not any(spec.failures and spec.name == WHOLE_ACCOUNT for spec in self.specs)

    @property
    def modes(self) -> frozenset[str]:
        """Modes that its pools are margined in; empty until known."""
        return frozenset(spec.mode for spec in self.specs) - {UNKNOWN_MODE}

    @property
    def legs(self) -> list[tuple[str, PositionSide]]:
        """Instrument and side of every position that its pools carry."""
        return [(leg.instrument, leg.side) for spec in self.specs for leg in spec.legs]


def account_views(book: Book, arrays: PoolArrays, results: Sequence[PoolResult]) -> list[AccountView]:
    """Every configured account; `results` are all pools of the evaluation that `arrays` is of."""
    of: dict[tuple[str, str], list[PoolResult]] = {}
    for result in results:
        of.setdefault((result.venue, result.account), []).append(result)
    specs: dict[tuple[str, str], list[PoolSpec]] = {}
    for row, spec in arrays.specs.items():
        venue, account, _ = arrays.scopes[row]
        specs.setdefault((venue, account), []).append(spec)
    return [AccountView(entry, tuple(of.get(key, ())), tuple(specs.get(key, ()))) for key, entry in book.accounts.items()]
