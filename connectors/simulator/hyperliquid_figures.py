"""The simulated venue's own margin figures, pool by pool: what it liquidates by and what a monitor must arrive at."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from connectors.simulator.hyperliquid_accounts import Account, Position
from connectors.simulator.hyperliquid_listing import USDC

PORTFOLIO_LIMIT = 0.95
MIN_BORROW_OFFSET = 20.0


@dataclass(frozen=True, slots=True)
class Figures:
    """Margin of one pool at the current marks, in its collateral token.

    `ratio` is 1 where the venue liquidates: maintenance / equity; inf when equity <= 0 with maintenance, 0 without
    positions. Portfolio margin: `equity` is the liquidation value, `maintenance` the requirement, `raw_ratio` their
    portfolio-margin ratio and `ratio` = raw_ratio / 0.95.
    """

    equity: float
    maintenance: float
    ratio: float
    liquidation_prices: dict[str, float | None] = field(default_factory=dict)
    raw_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Pool:
    """What the venue liquidates as one: its name, its collateral token, its positions and its figures."""

    name: str
    kind: Literal["standard", "unified", "portfolio", "isolated"]
    token: int
    dex: str | None
    positions: tuple[Position, ...]
    figures: Figures


def margin_ratio(maintenance: float, equity: float) -> float:
    """maintenance / equity; 0 without maintenance, inf when equity <= 0 with maintenance."""
    if maintenance <= 0.0:
        return 0.0
    return maintenance / equity if equity > 0.0 else math.inf


def portfolio_terms(account: Account) -> tuple[float, float]:
    """(requirement, liquidation value) of a portfolio-margin account.

    What would have to be borrowed to hold maintenance adds to both sides, plus the 20 USDC offset to the requirement.
    """
    net = account.total(USDC) - account.isolated_total(USDC)
    maintenance = sum(account.cross_maintenance(dex) for dex in account.dexs_of(USDC))
    borrowed = max(0.0, maintenance - net)
    requirement = maintenance + borrowed + (MIN_BORROW_OFFSET if borrowed else 0.0)
    return requirement, net + borrowed + account.collateral_value()


def pools(account: Account) -> list[Pool]:
    """Every pool of an account that holds positions or cash, cross pools first."""
    if account.mode == "portfolioMargin":
        cross = [_portfolio(account)]
    elif account.mode == "unified":
        tokens = dict.fromkeys(dex.collateral for dex in account.market.listing.dexs.values())
        cross = [_unified(account, token) for token in tokens]
    else:
        cross = [_standard(account, dex) for dex in account.market.listing.dexs]
    isolated = [_isolated(account, p) for p in account.positions.values() if p.isolated]
    return [pool for pool in (*cross, *isolated) if pool.positions or pool.figures.equity]


def _prices(account: Account, positions: tuple[Position, ...]) -> dict[str, float | None]:
    return {p.coin: account.position_liquidation_price(p) for p in positions}


def _standard(account: Account, dex: str) -> Pool:
    positions = tuple(account.cross(dex))
    equity, maintenance = account.cross_equity(dex), account.cross_maintenance(dex)
    figures = Figures(equity, maintenance, margin_ratio(maintenance, equity), _prices(account, positions))
    return Pool(dex or "main", "standard", account.collateral(dex), dex, positions, figures)


def _unified(account: Account, token: int) -> Pool:
    positions = tuple(p for dex in account.dexs_of(token) for p in account.cross(dex))
    equity = account.total(token) - account.isolated_total(token)
    maintenance = sum(account.cross_maintenance(dex) for dex in account.dexs_of(token))
    figures = Figures(equity, maintenance, margin_ratio(maintenance, equity), _prices(account, positions))
    return Pool(account.market.listing.tokens[token].name, "unified", token, None, positions, figures)


def _portfolio(account: Account) -> Pool:
    positions = tuple(p for dex in account.dexs_of(USDC) for p in account.cross(dex))
    requirement, value = portfolio_terms(account)
    ratio = margin_ratio(requirement, value)
    figures = Figures(value, requirement, ratio / PORTFOLIO_LIMIT, _prices(account, positions), ratio)
    return Pool("portfolio", "portfolio", USDC, None, positions, figures)


def _isolated(account: Account, position: Position) -> Pool:
    equity, maintenance = account.isolated_equity(position), account.maintenance(position)
    figures = Figures(equity, maintenance, margin_ratio(maintenance, equity), _prices(account, (position,)))
    return Pool(f"iso:{position.coin}", "isolated", account.collateral(position.dex), position.dex, (position,), figures)
