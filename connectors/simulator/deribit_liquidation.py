"""Liquidation on the simulated Deribit: a pool without balance for its maintenance margin is reduced slice by slice."""

from __future__ import annotations

from collections.abc import Callable

from connectors.simulator.deribit_accounts import Account, Position
from connectors.simulator.deribit_figures import figures, standard_margin
from connectors.simulator.deribit_listing import Contract

_SLICE, _SMALLEST = 0.25, 0.1
Trade = Callable[[Account, Contract, float, float], None]


class Liquidator:
    """Closes a quarter of the position with the largest margin at the mark, `delay` after a pool failed and every `interval` then."""

    def __init__(self, trade: Trade, *, delay: float, interval: float) -> None:
        self._trade, self._delay, self._interval = trade, delay, interval
        self._next: dict[tuple[str, str], float] = {}
        self.slices: dict[str, int] = {}

    def run(self, account: Account, now: float) -> None:
        """Do what is due for an account."""
        for name, found in figures(account).items():
            key = (account.plan.alias, name)
            if found.ratio < 1.0:
                self._next.pop(key, None)
            elif now >= self._next.setdefault(key, now + self._delay):
                self._next[key] = now + self._interval
                self._reduce(account, name)

    def _reduce(self, account: Account, pool: str) -> None:
        held = list(account.positions.values()) if pool == "cross" else account.held(pool)
        worst = max(held, key=lambda p: _margin_usd(account, p), default=None)
        if worst is None or _margin_usd(account, worst) <= 0.0:
            return
        size = abs(worst.size)
        amount = size if size <= 4.0 * _SMALLEST else round(max(_SLICE * size, _SMALLEST), 1)
        self.slices[account.plan.alias] = self.slices.get(account.plan.alias, 0) + 1
        self._trade(account, worst.contract, -amount if worst.size > 0.0 else amount, account.prices.mark(worst.contract))


def _margin_usd(account: Account, position: Position) -> float:
    return standard_margin(account, position)[1] * account.prices.usd(position.contract.family.settle)
