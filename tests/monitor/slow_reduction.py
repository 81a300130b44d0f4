"""How much of a position to trade away, searched on a book of its own in which positions are traded one by one: the slow way."""

from __future__ import annotations

from kernels import layout
from monitor.snapshot import PositionRow
from monitor.stress.book import StressBook

STEPS, TRIED = 100, 20

Trade = tuple[str, str, str | None, float]
"""(account, instrument, side, quantity)."""


def slow_reduction(book: StressBook, name: str, target: float) -> Trade | None:
    """What `monitor.report.remedies.reduction` says."""
    row = book.accounts.portfolios[name]
    record = book.tables.portfolios.table[row]
    if record["status"] != layout.OK or record["equity_status"] != layout.OK:
        return None
    allowed = target * float(record["equity"])
    if not (allowed > 0 and float(record["maintenance"]) > allowed):
        return None
    trial = _Trial(book.rebuilt(), name)
    held = [(account, position) for account in book.accounts.members[row] for position in trial.positions(account)]
    ordered = sorted(held, key=lambda item: trial.margin(item[0], item[1], 1.0))
    for account, position in [*ordered[:TRIED], *ordered[max(TRIED, len(ordered) - TRIED) :]]:
        share = _least_share(trial, account, position, allowed)
        if share is not None:
            return account, position.instrument, position.side, -share * position.quantity
    return None


class _Trial:
    def __init__(self, book: StressBook, name: str) -> None:
        self.book = book
        self.row = book.accounts.portfolios[name]

    def positions(self, account: str) -> tuple[PositionRow, ...]:
        listed = self.book.market.instruments
        return tuple(row for row in self.book.accounts.states[account].row.positions if row.quantity and row.instrument in listed)

    def margin(self, account: str, position: PositionRow, share: float) -> float:
        self._hold(account, position.model_copy(update={"quantity": (1.0 - share) * position.quantity}))
        margin = float(self.book.tables.portfolios.table["maintenance"][self.row])
        self._hold(account, position)
        return margin

    def _hold(self, account: str, position: PositionRow) -> None:
        self.book.accounts.set_position(account, position)
        self.book.evaluate()


def _least_share(trial: _Trial, account: str, position: PositionRow, allowed: float) -> float | None:
    steps = (step / STEPS for step in range(1, STEPS + 1))
    far = next((share for share in steps if trial.margin(account, position, share) <= allowed), None)
    if far is None:
        return None
    near = far - 1.0 / STEPS
    while far - near > 1e-12:
        middle = 0.5 * (near + far)
        if trial.margin(account, position, middle) <= allowed:
            far = middle
        else:
            near = middle
    return far
