"""What each venue does to a pool next: the stage table of the margin model. Portfolios: `monitor/margin/stages.py`."""

from __future__ import annotations

from monitor.margin.result import PoolKind

NEXT_STEP = {
    PoolKind.HYPERLIQUID_CROSS: (
        "nothing before 100%; then market orders (above 100k USDC 20% first, 30 s cooldown, then full size); "
        "above 150% the backstop takes the pool's positions and margin; equity below 0: ADL"
    ),
    PoolKind.HYPERLIQUID_PORTFOLIO_MARGIN: (
        "at 100% (the venue's ratio {limit:g}): perpetuals and spot borrow in no fixed order, spot straight to the backstop"
    ),
    PoolKind.HYPERLIQUID_ISOLATED: "at 100%: only this position and its margin are liquidated",
    PoolKind.ASTER_CROSS: (
        "nothing before 100%; then all open orders are cancelled, one large IOC order reduces the position, and while the ratio stays "
        "at 100% the rest is closed at the bankruptcy price against the insurance fund, ADL last; "
        "liquidation fee mostly 2.5% of notional"
    ),
    PoolKind.ASTER_MULTI_ASSETS: (
        "nothing before 100%; then all open orders are cancelled, other assets are sold into a settlement asset that is short, one "
        "large IOC order reduces the position, and while the ratio stays at 100% the rest is closed at the bankruptcy price against "
        "the insurance fund, ADL last; liquidation fee mostly 2.5% of notional"
    ),
    PoolKind.ASTER_ISOLATED: (
        "at 100%: the symbol's open orders are cancelled, then only this position and its margin are liquidated; "
        "liquidation fee mostly 2.5% of notional"
    ),
    PoolKind.DERIBIT_CROSS: (
        "nothing before 100%; then open orders are cancelled and positions of all currencies reduced in small steps until the margin "
        "balance covers the maintenance margin"
    ),
    PoolKind.DERIBIT_SEGREGATED: (
        "nothing before 100%; then this currency's open orders are cancelled and its positions reduced in small steps until the margin "
        "balance covers the maintenance margin"
    ),
}
"""What the venue does to a pool of this kind: section 8 of the margin model, for Aster sections 5.5 and 5.7 of its notes.

Deribit's steps are not confirmed: no recording shows one.
"""
