"""How the simulated venue liquidates: market slices first, the backstop when equity is under two thirds of maintenance.

Source: Hyperliquid documentation, "Liquidations" and "Portfolio margin". Each pool is tested once a step.
"""

from __future__ import annotations

import random

from connectors.simulator.hyperliquid_accounts import Account, Position
from connectors.simulator.hyperliquid_exchange import Exchange
from connectors.simulator.hyperliquid_figures import Pool, pools
from connectors.simulator.hyperliquid_listing import USDC
from connectors.simulator.hyperliquid_makers import MakerDesk
from connectors.simulator.hyperliquid_wire import Json, num

LIQUIDATOR = "0x" + "9" * 40
PARTIAL_ABOVE = 100_000.0
PARTIAL_SHARE = 0.2
COOLDOWN_S = 30.0
BACKSTOP_RATIO = 1.5
_SLIPPAGE = 0.0005


class Liquidator:
    """Liquidates the pools whose ratio reaches 1.

    `time_scale` scales the 30 s cooldown after a partial liquidation; `delay` (seconds) is how long a pool fails before the
    first market order, the backstop does not wait.
    """

    def __init__(self, exchange: Exchange, makers: MakerDesk, *, seed: int, time_scale: float, delay: float) -> None:
        self._exchange, self._makers = exchange, makers
        self._rng = random.Random(f"liquidator {seed}")
        self._cooldown, self._delay = COOLDOWN_S * time_scale, delay
        self._failing_since: dict[tuple[str, str], float] = {}
        self._full_until: dict[str, float] = {}
        self._next_collateral: dict[str, float] = {}

    def run(self) -> None:
        """Test every pool of every account and act on those that fail."""
        now = self._exchange.market.time
        for account in self._exchange.accounts.values():
            for pool in pools(account):
                key = (account.address, pool.name)
                if pool.figures.ratio < 1.0:
                    self._failing_since.pop(key, None)
                elif now - self._failing_since.setdefault(key, now) >= self._delay or pool.figures.ratio > BACKSTOP_RATIO:
                    self._liquidate(account, pool)

    def _liquidate(self, account: Account, pool: Pool) -> None:
        self._exchange.cancel(account, [o for o in account.orders.values() if self._secures(pool, o.coin)], "liquidatedCanceled")
        if pool.kind == "portfolio" and self._collateral_turn(account, pool):
            if self._exchange.market.time < self._next_collateral.get(account.address, -1.0):
                return
            self._next_collateral[account.address] = self._exchange.market.time + self._cooldown / 10.0
            self._take_collateral(account, PARTIAL_SHARE)
        elif pool.figures.ratio > BACKSTOP_RATIO and pool.positions:
            self._backstop(account, pool)
        elif pool.positions:
            self._market_orders(account, pool)
        self._exchange.sink.on_state_changed(account)

    def _secures(self, pool: Pool, coin: str) -> bool:
        """Whether the pool's margin backs orders on a coin."""
        if pool.kind == "isolated":
            return coin == pool.positions[0].coin
        return pool.dex is None or self._exchange.market.listing.assets[coin].dex == pool.dex

    def _market_orders(self, account: Account, pool: Pool) -> None:
        full = self._exchange.market.time < self._full_until.get(account.address, -1.0)
        sold: list[Json] = []
        notional, equity, partial = 0.0, pool.figures.equity, False
        for position in sorted(pool.positions, key=account.maintenance, reverse=True):
            size = position.size
            if not full and abs(account.value(position)) > PARTIAL_ABOVE:
                size = round(size * PARTIAL_SHARE, self._exchange.market.listing.assets[position.coin].sz_decimals) or position.size
                partial = partial or size != position.size
            notional += abs(size) * self._exchange.market.mark(position.coin)
            sold.append({"coin": position.coin, "szi": num(size)})
            self._sell(account, position, size, "market")
            if self._healthy(account, pool.name):
                break
        if partial:
            self._full_until[account.address] = self._exchange.market.time + self._cooldown
        self._announce(account, pool, sold, notional, equity)

    def _backstop(self, account: Account, pool: Pool) -> None:
        equity = pool.figures.equity
        notional = sum(abs(account.value(p)) for p in pool.positions)
        sold: list[Json] = [{"coin": p.coin, "szi": num(p.size)} for p in pool.positions]
        before = account.cash(pool.dex or "")
        for position in pool.positions:
            self._sell(account, position, position.size, "backstop")
        if pool.kind == "isolated":
            account.credit(pool.dex or "", before - account.cash(pool.dex or ""))
        elif pool.kind == "standard":
            account.credit(pool.dex or "", -account.cash(pool.dex or ""))
        else:
            if pool.kind == "portfolio":
                self._take_collateral(account, 1.0)
            account.credit_wallet(pool.token, -account.wallet.get(pool.token, 0.0))
        self._announce(account, pool, sold, notional, equity)

    def _sell(self, account: Account, position: Position, size: float, method: str) -> None:
        mark = self._exchange.market.mark(position.coin)
        if method == "market":
            mark *= 1.0 - _SLIPPAGE if size > 0.0 else 1.0 + _SLIPPAGE
        self._exchange.trade(account, position.coin, -size, price=mark, liquidation=method)
        self._makers.on_liquidated(account, position.coin)

    def _healthy(self, account: Account, name: str) -> bool:
        return all(pool.figures.ratio < 1.0 for pool in pools(account) if pool.name == name)

    def _announce(self, account: Account, pool: Pool, sold: list[Json], notional: float, equity: float) -> None:
        kind = "Isolated" if pool.kind == "isolated" else "Cross"
        self._exchange.sink.on_event(
            account,
            {
                "liquidation": {
                    "lid": self._exchange.next_liquidation_id(),
                    "liquidator": LIQUIDATOR,
                    "liquidated_user": account.address,
                    "liquidated_ntl_pos": num(round(notional, 6)),
                    "liquidated_account_value": num(round(equity, 6)),
                }
            },
        )
        self._exchange.record_ledger(
            account,
            {
                "type": "liquidation",
                "liquidatedNtlPos": num(round(notional, 6)),
                "accountValue": num(round(equity, 6)),
                "leverageType": kind,
                "liquidatedPositions": sold,
            },
        )

    def _collateral_turn(self, account: Account, pool: Pool) -> bool:
        """Whether the debt side goes first: always without perpetuals, else by lot, as the venue's order is not fixed.

        The debt is liquidatable itself above collateral * (LTV + (1 - LTV) / 2), which is the collateral value.
        """
        debt = max(0.0, -account.wallet.get(USDC, 0.0))
        if not pool.positions:
            return debt > 0.0
        return debt > account.collateral_value() and self._rng.random() < 0.5

    def _take_collateral(self, account: Account, share: float) -> None:
        """Take a share of the supplied collateral and the debt it covers at the backstop's price, oracle * (LTV + 2) / 3."""
        for token in self._exchange.market.listing.tokens.values():
            amount = round(share * account.supplied(token.index), 8) if token.ltv else 0.0
            if amount and token.ltv is not None:
                value = round(amount * self._exchange.market.borrow_price(token.index) * (token.ltv + 2.0) / 3.0, 6)
                account.credit_wallet(token.index, -amount)
                account.credit_wallet(USDC, value)
                self._ledger_leg(account, token.name, "withdraw", amount)
                self._ledger_leg(account, "USDC", "repay", value)

    def _ledger_leg(self, account: Account, token: str, operation: str, amount: float) -> None:
        self._exchange.record_ledger(
            account, {"type": "borrowLend", "token": token, "operation": operation, "amount": num(amount), "interestAmount": "0.0"}
        )
