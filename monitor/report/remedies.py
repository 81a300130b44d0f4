"""What happens to a portfolio next, and what brings it back to the warning level: how much of its worst position to trade away."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from kernels import attribution, layout
from monitor.margin.portfolio_measures import LegName, copied
from monitor.margin.saved_pools import OWN_RULE
from monitor.margin.stages import Stage, uta_stage
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
    kernel = copied(book.tables.book)
    held = [(attribution.margin_after(1.0, leg, kernel), leg, key) for key, leg in _legs(book, row)]
    ordered = sorted(held, key=lambda item: item[0])
    # what suffices in part alone leaves more margin when it is closed, so it stands at the end
    for _, leg, (account, instrument, side) in [*ordered[:TRIED], *ordered[max(TRIED, len(ordered) - TRIED) :]]:
        share = attribution.least_share(leg, allowed, STEPS, kernel)
        if not math.isnan(share):
            quantity = -share * float(kernel.legs["quantity"][leg, 0])
            return {"account": account, "instrument": instrument, "side": side, "quantity": quantity}
    return None


def _legs(book: StressBook, portfolio: int) -> Iterator[tuple[LegName, int]]:
    # those with a position, in the order of the accounts
    for account in book.accounts.members[portfolio]:
        for (number, side), holding in book.accounts.states[account].holdings.items():
            if holding.quantity:
                leg = book.accounts.legs.rows[portfolio, account, number, side]
                yield (account, book.market.listed[number].id, side or None), leg
