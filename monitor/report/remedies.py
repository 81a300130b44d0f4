"""What happens to a portfolio next, and what brings it back to the warning level: how much of its worst position to trade away."""

from __future__ import annotations

from typing import Any

from kernels import layout
from monitor.margin.saved_pools import OWN_RULE
from monitor.margin.stages import Stage, uta_stage
from monitor.snapshot import PositionRow
from monitor.stress.book import StressBook

STEPS = 100
"""Shares of a position that are tried before bisection."""

TRIED = 20
"""Positions scanned from each end of the order in which closing them leaves the least margin."""


def unified_stage(book: StressBook, name: str, ratio: float | None) -> Stage | None:
    """The stage of the `uta` model at a portfolio's margin ratio, for one that is a single account whose own rule is not told.

    None for several accounts, for an account with pools or on a venue of OWN_RULE (the venue's own rule says what happens), and
    without a ratio.
    """
    members = book.accounts.members[book.accounts.portfolios[name]]
    if ratio is None or len(members) != 1 or members[0] not in book.accounts.states:
        return None
    account = book.accounts.states[members[0]].row
    return None if account.pools or account.venue in OWN_RULE else uta_stage(ratio, any(debt.amount != 0 for debt in account.debts))


def reduction(book: StressBook, name: str, target: float) -> dict[str, Any] | None:
    """The trade in one position of a portfolio that alone brings its ratio down to `target`.

    {account, instrument, side, quantity}: signed coins to trade, USD notional for an inverse contract. Trades at the mark, so
    that equity stays; resting orders stay too. Of the positions that suffice, the one whose closing saves the most margin; one
    that hedges too much may suffice in part and not as a whole. Only TRIED positions of each end of that order are scanned.
    None at or below the target, without equity, and where none of these suffices.
    """
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
    # what suffices in part alone leaves more margin when it is closed, so it stands at the end
    for account, position in [*ordered[:TRIED], *ordered[max(TRIED, len(ordered) - TRIED) :]]:
        share = _least_share(trial, account, position, allowed)
        if share is not None:
            quantity = -share * position.quantity
            return {"account": account, "instrument": position.instrument, "side": position.side, "quantity": quantity}
    return None


class _Trial:
    # a book of its own, in which positions are traded and put back
    def __init__(self, book: StressBook, name: str) -> None:
        self.book = book
        self.row = book.accounts.portfolios[name]

    def positions(self, account: str) -> tuple[PositionRow, ...]:
        listed = self.book.market.instruments
        return tuple(row for row in self.book.accounts.states[account].row.positions if row.quantity and row.instrument in listed)

    def margin(self, account: str, position: PositionRow, share: float) -> float:
        """Maintenance margin in USD with a share of a position gone."""
        self._hold(account, position.model_copy(update={"quantity": (1.0 - share) * position.quantity}))
        margin = float(self.book.tables.portfolios.table["maintenance"][self.row])
        self._hold(account, position)
        return margin

    def _hold(self, account: str, position: PositionRow) -> None:
        self.book.accounts.set_position(account, position)
        self.book.evaluate()


def _least_share(trial: _Trial, account: str, position: PositionRow, allowed: float) -> float | None:
    # the margin need not fall steadily: the first share that suffices is closed in on
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
