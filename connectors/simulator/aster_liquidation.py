"""How the simulated Aster calls and liquidates: a margin call at 80 %, slices from 100 % on, then bankruptcy and ADL.

Source: Aster documentation, "Liquidations" and "ADL"; the margin call's level is inferred from the documented example.
"""

from __future__ import annotations

from collections.abc import Callable

from connectors.simulator.aster_accounts import Account, Order, Position
from connectors.simulator.aster_exchange import Exchange
from connectors.simulator.aster_figures import Pool, pools
from connectors.simulator.aster_listing import Symbol
from connectors.simulator.aster_wire import margin_call

CALL_AT, CALL_AGAIN_BELOW = 0.80, 0.75
SLICE_SHARE = 0.25
WHOLE_BELOW = 5_000.0
_SLIPPAGE = 0.0005


class Liquidator:
    """Tests every pool and acts on those that fail.

    `delay` (seconds) is how long a pool fails before its first slice, `interval` the time between slices; `fund` is what the
    insurance fund can take before winners are deleveraged. `on_liquidated` is told of every account it sold.
    """

    def __init__(self, exchange: Exchange, *, delay: float, interval: float, fund: float, on_liquidated: Callable[[Account], None]) -> None:
        self._exchange, self._delay, self._interval, self.fund = exchange, delay, interval, fund
        self._on_liquidated = on_liquidated
        self._due: dict[tuple[str, str], float] = {}
        self._called: set[tuple[str, str]] = set()
        self.slices: dict[tuple[str, str], int] = {}

    def run(self, now: float) -> None:
        """Test every pool of every account at `now`, seconds of the venue."""
        for alias, account in self._exchange.accounts.items():
            for pool in pools(account):
                key = (alias, pool.name)
                self._call(account, pool, key)
                if pool.figures.ratio < 1.0:
                    self._due.pop(key, None)
                elif now >= self._due.setdefault(key, now + self._delay):
                    self._due[key] = now + self._interval
                    self._liquidate(account, pool)
                    self.slices[key] = self.slices.get(key, 0) + 1
            self._exchange_negative(account)

    def deleverage(self, account: Account, position: Position, size: float, price: float) -> None:
        """Reduce a winner's position by ADL."""
        signed = -size if position.amount > 0.0 else size
        order = self._exchange.new_order(
            account, position.symbol, position.side, signed, price, kind="LIMIT", tif="GTC", client_id="adl_autoclose"
        )
        self._exchange.fill(account, order, size, price, maker=False, forced="TRADE")
        self._on_liquidated(account)

    def _call(self, account: Account, pool: Pool, key: tuple[str, str]) -> None:
        if pool.figures.ratio < CALL_AGAIN_BELOW:
            self._called.discard(key)
        elif pool.figures.ratio >= CALL_AT and key not in self._called:
            self._called.add(key)
            wallet = None if pool.kind == "isolated" else account.total_value() if pool.asset is None else account.cross_wallet(pool.asset)
            self._exchange.emit(account, margin_call(account, self._exchange.stamp(), pool.positions, wallet))

    def _liquidate(self, account: Account, pool: Pool) -> None:
        symbols = {p.symbol.name for p in pool.positions}
        rest = [o for o in account.orders.values() if pool.kind != "isolated" or o.symbol.name in symbols]
        self._exchange.cancel(account, rest)
        if pool.figures.equity <= 0.0:
            self._bankrupt(account, pool)
        else:
            self._slice(account, max(pool.positions, key=account.maintenance))
        self._on_liquidated(account)

    def _slice(self, account: Account, p: Position) -> None:
        size = abs(p.amount)
        if abs(account.notional(p)) > WHOLE_BELOW:
            size = round(size * SLICE_SHARE, p.symbol.quantity_precision) or size
        price = round(account.mark(p) * (1.0 - _SLIPPAGE if p.amount > 0.0 else 1.0 + _SLIPPAGE), p.symbol.price_precision)
        self._close(account, p, size, price, "TRADE")
        self._charge(account, p, size * price)

    def _bankrupt(self, account: Account, pool: Pool) -> None:
        """The fund takes the whole pool where it is worth nothing: the largest position's price carries the deficit."""
        largest = max(pool.positions, key=lambda p: abs(account.notional(p)))
        for p in pool.positions:
            price = account.mark(p) - (pool.figures.equity / p.amount if p is largest else 0.0)
            side, size = (1.0 if p.amount > 0.0 else -1.0), abs(p.amount)
            self._close(account, p, size, price, "CALCULATED")
            if p is largest:
                self.fund += pool.figures.equity
                if self.fund < 0.0:
                    self._deleverage_against(account, p.symbol, side, size, price)

    def _close(self, account: Account, p: Position, size: float, price: float, execution: str) -> Order:
        stamp = self._exchange.clock()
        signed = -size if p.amount > 0.0 else size
        order = self._exchange.new_order(
            account, p.symbol, p.side, signed, price, kind="LIMIT", tif="IOC", client_id=f"autoclose-{stamp}{len(self.slices):06d}"
        )
        self._exchange.fill(account, order, size, price, maker=False, forced=execution)
        return order

    def _charge(self, account: Account, p: Position, notional: float) -> None:
        fee = round(notional * p.symbol.liquidation_fee, 8)
        isolated = bool(account.isolated(p) and p.amount)
        if isolated:
            p.isolated_wallet = round(p.isolated_wallet - fee, 8)
        self.fund += fee
        self._exchange.move(account, {p.symbol.margin_asset: -fee}, "INSURANCE_CLEAR", [p] if isolated else [])

    def _deleverage_against(self, loser: Account, symbol: Symbol, side: float, size: float, price: float) -> None:
        """Winners of the other side give up their positions, the highest rank first."""
        ranked = [
            (adl_score(account, p), account, p)
            for account in self._exchange.accounts.values()
            for p in account.open_positions()
            if account is not loser and p.symbol is symbol and p.amount * side < 0.0
        ]
        for _, account, p in sorted(ranked, key=lambda row: -row[0]):
            taken = min(size, abs(p.amount))
            if taken > 0.0:
                self.deleverage(account, p, taken, price)
                size = round(size - taken, symbol.quantity_precision)

    def _exchange_negative(self, account: Account) -> None:
        """Multi-assets mode: other assets are sold at their haircut rate into a settlement balance below its limit."""
        for asset, row in account.listing.assets.items():
            debt = account.wallet[asset]
            if account.multi_assets and row.auto_exchange < 0.0 and debt < row.auto_exchange:
                values = {a: account.value(a, b) for a, b in account.wallet.items() if a != asset and b > 0.0}
                sold = max(values, key=lambda a: values[a], default=None)
                if sold is not None and values[sold] > 0.0:
                    paid = min(-debt, values[sold])
                    amount = round(paid / account.value(sold, 1.0), 8)
                    self._exchange.move(account, {asset: paid, sold: -amount}, "AUTO_EXCHANGE")


def adl_score(account: Account, p: Position) -> float:
    """ADL rank: max(0, profit) / max(1, wallet) times margin ratio of wallet plus profit."""
    wallet, profit = account.wallet[p.symbol.margin_asset], account.unrealized(p)
    if wallet + profit <= 0.0:
        return 0.0
    return max(0.0, profit) / max(1.0, wallet) * account.maintenance(p) / (wallet + profit)
