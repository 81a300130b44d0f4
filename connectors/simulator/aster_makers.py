"""Market making on the simulated Aster: quotes that follow the mark and fills that arrive at random."""

from __future__ import annotations

import random
from dataclasses import dataclass

from connectors.simulator.aster_accounts import Account, MakerPlan, Order
from connectors.simulator.aster_exchange import Exchange

_HALF_SPREAD = 0.0002
_QUOTE_CLIPS = 5.0
_REQUOTE_BEYOND = 0.0006


@dataclass(slots=True)
class _Maker:
    account: Account
    plan: MakerPlan
    anchor: float
    next_fill: float
    bid: Order | None = None
    ask: Order | None = None


class MakerDesk:
    """Runs every account's `MakerPlan`s on an exchange; `interval` is the seconds between requotes."""

    def __init__(self, exchange: Exchange, *, seed: int, interval: float) -> None:
        self._exchange, self._interval, self._next_requote = exchange, interval, 0.0
        self._rng = random.Random(f"aster makers {seed}")
        self._makers = [
            _Maker(account, plan, account.position(plan.symbol, plan.side).amount, self._rng.expovariate(plan.fills_per_second))
            for account in exchange.accounts.values()
            for plan in account.plan.makers
        ]

    def run(self, now: float) -> None:
        """Do what is due at `now` (seconds of the venue): fills first, then requotes."""
        for maker in self._makers:
            while maker.next_fill <= now:
                maker.next_fill += self._rng.expovariate(maker.plan.fills_per_second)
                self._quote(maker)
                self._fill(maker)
        if now >= self._next_requote:
            self._next_requote = now + self._interval
            for maker in self._makers:
                self._quote(maker)

    def on_liquidated(self, account: Account) -> None:
        """A liquidated account does not trade its way back: inventories are anchored where the venue left them."""
        for maker in self._makers:
            if maker.account is account:
                maker.anchor = account.position(maker.plan.symbol, maker.plan.side).amount

    def _quote(self, maker: _Maker) -> None:
        account, plan = maker.account, maker.plan
        mark, step = self._exchange.prices.mark(plan.symbol), self._step(maker)
        for buy, order in ((True, maker.bid), (False, maker.ask)):
            wanted = mark * (1.0 - _HALF_SPREAD if buy else 1.0 + _HALF_SPREAD)
            if order is not None and order.number in account.orders:
                if abs(order.price / wanted - 1.0) <= _REQUOTE_BEYOND:
                    continue
                self._exchange.cancel(account, [order])
            size = max(round(_QUOTE_CLIPS * plan.clip / mark, self._decimals(maker)), step)
            placed = self._exchange.place(account, plan.symbol, plan.side, size if buy else -size, wanted)
            if buy:
                maker.bid = placed
            else:
                maker.ask = placed

    def _fill(self, maker: _Maker) -> None:
        account, plan = maker.account, maker.plan
        held = account.position(plan.symbol, plan.side).amount
        lean = (held - maker.anchor) / plan.max_inventory
        buying = self._rng.random() < 0.5 - 0.5 * min(max(lean, -1.0), 1.0)
        share = 0.2 + 1.6 * self._rng.random()
        order = maker.bid if buying else maker.ask
        if order is None:
            return
        size = max(round(plan.clip / order.price * share, self._decimals(maker)), self._step(maker))
        size = round(min(size, order.quantity - order.filled), self._decimals(maker))
        if plan.side != "BOTH" and (plan.side == "LONG") != buying:
            size = min(size, abs(held))
        if size > 0.0:
            self._exchange.fill(account, order, size, order.price, maker=True)

    def _decimals(self, maker: _Maker) -> int:
        return self._exchange.listing.symbols[maker.plan.symbol].quantity_precision

    def _step(self, maker: _Maker) -> float:
        return float(10.0 ** -self._decimals(maker))
