"""Who holds which outcome contracts on the simulated venue: trades in them, and what a settlement pays.

Random ids come from a sequence of their own, so that perpetuals trade the same whether outcomes settle or not.
"""

from __future__ import annotations

import random

from connectors.simulator.hyperliquid_accounts import Account, OutcomeHolding
from connectors.simulator.hyperliquid_exchange import Exchange
from connectors.simulator.hyperliquid_listing import USDC
from connectors.simulator.hyperliquid_outcomes import OutcomeBoard, Settlement, encode
from connectors.simulator.hyperliquid_wire import Json, num


class OutcomeLedger:
    """Outcome holdings of an exchange's accounts, from their plans on."""

    def __init__(self, exchange: Exchange, board: OutcomeBoard, *, seed: int) -> None:
        self._exchange, self._board = exchange, board
        self._rng = random.Random(f"outcomes {seed}")
        for account in exchange.accounts.values():
            for plan in account.plan.outcomes:
                number = board.find(plan.kind, plan.coin)
                price = board.price(number, plan.side) or 0.0
                account.outcomes[encode(number, plan.side)] = OutcomeHolding(plan.size, round(plan.size * price, 8))

    def trade(self, account: Account, name: str, size: float, *, price: float | None = None) -> None:
        """Buy or sell (signed `size`) contracts of a side ("#91010") for the wallet's USDC at `price` (None: the mid).

        Raises ValueError for a side that is not open or not quoted, and for more sold than held.
        """
        side = int(name[1:])
        mid = self._board.price(side // 10, side % 10) if side // 10 in self._board.outcomes else None
        held = account.outcomes.get(side, OutcomeHolding())
        if mid is None or held.size + size < 0.0:
            raise ValueError(f"account {account.plan.name!r} cannot trade {size:g} of {name}: sides must be open, and cannot be sold short")
        price = mid if price is None else price
        pnl = self._apply(account, side, size, price)
        self._record(account, side, size, price, held.size, "Buy" if size > 0.0 else "Sell", pnl)

    def settle(self, settlement: Settlement) -> None:
        """Pay both sides of an outcome to their holders; the holdings stay as rows of zeros."""
        for account in self._exchange.accounts.values():
            for number, paid in enumerate((settlement.fraction, 1.0 - settlement.fraction)):
                side = encode(settlement.number, number)
                size = account.outcomes[side].size if side in account.outcomes else 0.0
                if size:
                    pnl = self._apply(account, side, -size, paid)
                    self._record(account, side, -size, paid, size, "Settlement", pnl)

    def _apply(self, account: Account, side: int, size: float, price: float) -> float:
        held = account.outcomes.setdefault(side, OutcomeHolding())
        share = -size / held.size if size < 0.0 else 0.0
        pnl = round(-size * price - held.cost * share, 8) if share else 0.0
        held.cost = round(held.cost * (1.0 - share) + max(size, 0.0) * price, 8)
        held.size = round(held.size + size, 8)
        account.credit_wallet(USDC, -size * price)
        return pnl

    def _record(self, account: Account, side: int, size: float, price: float, start: float, direction: str, pnl: float) -> None:
        row: Json = {
            "coin": f"#{side}",
            "px": num(price),
            "sz": num(abs(size)),
            "side": "B" if size > 0.0 else "A",
            "time": self._exchange.market.now_ms,
            "startPosition": num(start),
            "dir": direction,
            "closedPnl": num(pnl),
            "hash": f"0x{self._rng.getrandbits(256):064x}",
            "oid": self._rng.getrandbits(39),
            "crossed": True,
            "fee": "0.0",
            "tid": self._rng.getrandbits(49),
            "feeToken": "USDC",
            "twapId": None,
        }
        self._exchange.history[account.address].fills.appendleft(row)
        self._exchange.sink.on_fill(account, row)
