"""The simulated Aster's own margin figures, pool by pool: what it liquidates by and what a monitor must arrive at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from connectors.simulator.aster_accounts import Account, Position, Side
from connectors.simulator.aster_margin import liquidation_price, margin_ratio

MULTI_ASSETS = "multi-assets"


@dataclass(frozen=True, slots=True)
class Figures:
    """Margin of one pool at the current marks: in its margin asset, in USD for the multi-assets pool.

    `equity` is the venue's margin balance, `ratio` maintenance / equity (1 is liquidation; inf when equity <= 0 with
    maintenance, 0 without positions), `liquidation_prices` by (symbol, position side), None where there is none.
    """

    equity: float
    maintenance_margin: float
    ratio: float
    liquidation_prices: dict[tuple[str, Side], float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pool:
    """What the venue liquidates as one: its name, its margin asset (None: all), its positions and its figures."""

    name: str
    kind: Literal["single", "multi", "isolated"]
    asset: str | None
    positions: tuple[Position, ...]
    figures: Figures


def pools(account: Account) -> list[Pool]:
    """Every pool of an account that holds positions or equity, cross pools first."""
    if account.multi_assets:
        cross = [_pool(account, MULTI_ASSETS, "multi", None, account.cross(), account.total_value())]
    else:
        cross = [_pool(account, a, "single", a, account.cross(a), account.cross_wallet(a)) for a in account.listing.settlement]
    isolated = []
    for p in account.open_positions():
        if account.isolated(p):
            name = f"iso:{p.symbol.name}" + (f":{p.side}" if account.hedge else "")
            isolated.append(_pool(account, name, "isolated", p.symbol.margin_asset, [p], p.isolated_wallet))
    return [pool for pool in (*cross, *isolated) if pool.positions or pool.figures.equity]


def liquidation_prices(account: Account) -> dict[tuple[str, Side], float | None]:
    """The venue's `liquidationPrice` of every open row."""
    found: dict[tuple[str, Side], float | None] = {}
    for pool in pools(account):
        found |= pool.figures.liquidation_prices
    return found


def _pool(
    account: Account, name: str, kind: Literal["single", "multi", "isolated"], asset: str | None, held: Sequence[Position], cash: float
) -> Pool:
    equity = cash + sum(account.unrealized(p) for p in held)
    maintenance = sum(account.maintenance(p) for p in held)
    prices: dict[tuple[str, Side], float | None] = {}
    for symbol in {p.symbol.name: p.symbol for p in held}.values():
        own = [p for p in held if p.symbol is symbol]
        rest = equity - maintenance - sum(account.unrealized(p) - account.maintenance(p) for p in own)
        price = liquidation_price(rest, [(p.amount, p.entry, symbol.tiers) for p in own], account.prices.mark(symbol.name))
        prices |= {(symbol.name, p.side): price for p in own}
    return Pool(name, kind, asset, tuple(held), Figures(equity, maintenance, margin_ratio(maintenance, equity), prices))
