"""Market making on the simulated venue: quotes that follow the mid and fills that arrive at random."""

from __future__ import annotations

import random
from dataclasses import dataclass

from connectors.simulator.hyperliquid_accounts import Account, MakerPlan, RestingOrder
from connectors.simulator.hyperliquid_exchange import Exchange
from connectors.simulator.market import round_price

_HALF_SPREAD = 0.0002
_QUOTE_CLIPS = 5.0
_REQUOTE_BEYOND = 0.0006


@dataclass(slots=True)
class _Maker:
    account: Account
    plan: MakerPlan
    anchor: float
    next_fill: float
    bid: RestingOrder | None = None
    ask: RestingOrder | None = None


class MakerDesk:
    """Runs every account's `MakerPlan`s on an exchange."""

    def __init__(self, exchange: Exchange, *, seed: int, requote_interval: float) -> None:
        self._exchange = exchange
        self._rng = random.Random(f"makers {seed}")
        self._interval = requote_interval
        self._next_requote = 0.0
        self._makers = [
            _Maker(account, plan, self._size(account, plan.coin), self._rng.expovariate(plan.fills_per_second))
            for account in exchange.accounts.values()
            for plan in account.plan.makers
        ]

    def run(self) -> None:
        """Do what is due at the market's time: fills first, then requotes."""
        now = self._exchange.market.time
        for maker in self._makers:
            while maker.next_fill <= now:
                maker.next_fill += self._rng.expovariate(maker.plan.fills_per_second)
                self._fill(maker)
        if now >= self._next_requote:
            self._next_requote = now + self._interval
            for maker in self._makers:
                self._quote(maker)

    def on_liquidated(self, account: Account, coin: str) -> None:
        """A liquidated account does not trade its way back: its inventory is anchored where the venue left it."""
        for maker in self._makers:
            if maker.account is account and maker.plan.coin == coin:
                maker.anchor, maker.bid, maker.ask = self._size(account, coin), None, None

    def _size(self, account: Account, coin: str) -> float:
        position = account.positions.get(coin)
        return 0.0 if position is None else position.size

    def _quote(self, maker: _Maker) -> None:
        mid = self._exchange.market.mid(maker.plan.coin)
        orders = maker.account.orders
        for buy, order in ((True, maker.bid), (False, maker.ask)):
            wanted = mid * (1.0 - _HALF_SPREAD if buy else 1.0 + _HALF_SPREAD)
            if order is not None and order.oid in orders:
                if abs(order.price / wanted - 1.0) <= _REQUOTE_BEYOND:
                    continue
                self._exchange.cancel(maker.account, [order])
            decimals = self._exchange.market.listing.assets[maker.plan.coin].sz_decimals
            size = max(round(_QUOTE_CLIPS * maker.plan.clip / mid, decimals), 10.0**-decimals)
            placed = self._exchange.place(maker.account, maker.plan.coin, buy=buy, price=round_price(wanted, decimals), size=size)
            if buy:
                maker.bid = placed
            else:
                maker.ask = placed

    def _fill(self, maker: _Maker) -> None:
        self._quote(maker)
        account, plan = maker.account, maker.plan
        mid = self._exchange.market.mid(plan.coin)
        held = self._size(account, plan.coin)
        lean = (held - maker.anchor) / plan.max_inventory
        buying = self._rng.random() < 0.5 - 0.5 * min(max(lean, -1.0), 1.0)
        decimals = self._exchange.market.listing.assets[plan.coin].sz_decimals
        wanted = round(plan.clip / mid * (0.2 + 1.6 * self._rng.random()), decimals)
        order = maker.bid if buying else maker.ask
        if order is None:
            return
        size = min(max(wanted, 10.0**-decimals), order.remaining)
        dex = self._exchange.market.listing.assets[plan.coin].dex
        if account.free_margin(dex) <= size * mid / plan.leverage:
            if held == 0.0 or (held > 0.0) == buying:
                return
            size = min(size, abs(held))
        self._exchange.trade(account, plan.coin, size if buying else -size, order=order)
