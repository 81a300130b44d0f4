"""Collateral of an account in multi-assets mode, anchored on the venue's own total (venue notes 5.4 and 5.5).

    equity = sum(cross wallet * index * ratio) + sum(unrealised profit) + residual

The venue tells no ratio and no index of its own. So the residual ties the sum to `totalMarginBalance` at every read, and between
reads wallets, indexes and marks move it: the level rests on the venue's figure, our ratios only on how that figure moves. An asset
without a configured ratio gets the one that the read implies. What our valuation by itself gave at the read is the model error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.model import FuturesRead
from monitor.margin.aster_rule import VENUE, AsterRules, is_isolated, profit, wallets
from monitor.margin.pools import CollateralLeg
from monitor.market import Market
from monitor.reconcile import Comparison, compare

_NEAR_PAR = 0.99
"""From here on a ratio is a stablecoin's."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """What ties our valuation to the venue's total at one read.

    `implied` are the ratios of assets without a configured one, `unpriced` the balances of assets that no index prices: their
    worth is in the `residual`. `check` is our valuation by the ratios known before the read against the total; None where there
    were none yet. `remedy` says which ratio would explain a difference above the tolerance.
    """

    residual: float
    implied: Mapping[str, float] = field(default_factory=dict)
    unpriced: Mapping[str, float] = field(default_factory=dict)
    check: Comparison | None = None
    remedy: str = ""


def is_priced(asset: str, market: Market) -> bool:
    """Whether an asset has a source of its price: par, or the index of a perpetual."""
    return market.is_at_par(VENUE, asset) or market.perpetual_of(VENUE, asset) is not None


def without_index(balances: Mapping[str, float], market: Market) -> list[str]:
    """The assets whose price has a source that has not spoken yet."""
    return [asset for asset in balances if is_priced(asset, market) and not market.asset_price(VENUE, asset) > 0]


def with_old_index(balances: Mapping[str, float], market: Market, rules: AsterRules, now_ns: int) -> list[str]:
    """The assets whose index nobody told for long: their worth now is not what the venue counted at a read of this time."""

    def is_old(asset: str) -> bool:
        perpetual = market.perpetual_of(VENUE, asset)
        return perpetual is not None and market.silent([perpetual], now_ns, rules.index_limit_s, delta_alive=False) is not None

    return [asset for asset in balances if is_old(asset)]


def anchored(read: FuturesRead, market: Market, rules: AsterRules, before: Anchor | None) -> Anchor:
    """Tie the valuation to a read, at the index prices now, none of which may be lacking (`without_index`).

    `before` is the anchor of the read before, if any.
    """
    seen = _Seen.of(read, market)
    open_worth = sum(worth for asset, worth in seen.worth.items() if seen.ratio(asset, rules) is None)
    rest = seen.total - seen.profit - sum(worth * (seen.ratio(asset, rules) or 0.0) for asset, worth in seen.worth.items())
    # one unknown ratio is solved for; several share one, as nothing tells them apart
    common = min(1.0, max(0.0, rest / open_worth)) if open_worth > 0 else 0.0
    implied = {asset: common for asset in seen.worth if seen.ratio(asset, rules) is None}
    check = _check(seen, rules, before)
    remedy = _remedy(seen, check, rules, before) if check is not None and check.difference > rules.model_tolerance else ""
    return Anchor(rest - common * open_worth, implied, seen.unpriced, check, remedy)


def collateral_legs(balances: Mapping[str, float], anchor: Anchor, rules: AsterRules, market: Market) -> list[CollateralLeg]:
    """What counts of the wallets now; what came after the read without price or ratio counts nothing until the next."""
    return [
        CollateralLeg(asset, amount, _ratio(asset, amount, rules, anchor) or 0.0)
        for asset, amount in balances.items()
        if asset not in anchor.unpriced and (is_priced(asset, market) or market.asset_price(VENUE, asset) > 0)
    ]


def unexplained(balances: Mapping[str, float], anchor: Anchor, rules: AsterRules, market: Market) -> str:
    """Why the wallets now are valued in part by guess until the next read; empty when they are not."""
    for asset, then in anchor.unpriced.items():
        if not math.isclose(balances.get(asset, 0.0), then, rel_tol=1e-9):
            return f"the balance of {asset}, which no index prices, changed: waiting for the venue's next read"
    for asset, amount in balances.items():
        valued = is_priced(asset, market) and _ratio(asset, amount, rules, anchor) is not None
        if asset not in anchor.unpriced and not valued:
            return f"a balance of {asset} came in, which has no price or no collateral ratio: waiting for the venue's next read"
    return ""


@dataclass(frozen=True, slots=True)
class _Seen:
    # a read as our rule sees it: `worth` of the priced balances at their index, before any ratio
    total: float
    profit: float
    balances: dict[str, float]
    worth: dict[str, float]

    @classmethod
    def of(cls, read: FuturesRead, market: Market) -> _Seen:
        balances = wallets(read.assets)
        worth = {asset: amount * market.asset_price(VENUE, asset) for asset, amount in balances.items() if is_priced(asset, market)}
        return cls(read.total_margin_balance, profit(row for row in read.positions if not is_isolated(row)), balances, worth)

    @property
    def unpriced(self) -> dict[str, float]:
        return {asset: amount for asset, amount in self.balances.items() if asset not in self.worth}

    def ratio(self, asset: str, rules: AsterRules, anchor: Anchor | None = None) -> float | None:
        return _ratio(asset, self.balances[asset], rules, anchor)


def _ratio(asset: str, amount: float, rules: AsterRules, anchor: Anchor | None) -> float | None:
    if amount < 0:
        return rules.ask_factor
    return rules.ratios.get(asset, anchor.implied.get(asset) if anchor else None)


def _check(seen: _Seen, rules: AsterRules, before: Anchor | None) -> Comparison | None:
    if seen.unpriced and (before is None or before.unpriced != seen.unpriced):
        return None
    value = seen.profit + (before.residual if seen.unpriced and before else 0.0)
    for asset, worth in seen.worth.items():
        ratio = seen.ratio(asset, rules, before)
        if ratio is None:
            return None
        value += worth * ratio
    return compare("equity", value, seen.total)


def _remedy(seen: _Seen, check: Comparison, rules: AsterRules, before: Anchor | None) -> str:
    gap = check.reported - check.computed
    fits: dict[str, tuple[float, float]] = {}
    for asset, worth in seen.worth.items():
        ratio = seen.ratio(asset, rules, before)
        if ratio is not None and worth > 0 and 0.0 <= ratio + gap / worth <= 1.0:
            fits[asset] = ratio, ratio + gap / worth
    where = "in collateral_ratios of [venues.aster], with the date"
    if not fits:
        return f"no single collateral ratio explains the venue's total: compare all of them with the venue's page and correct them {where}"
    # a stablecoin's ratio hardly changes: a coin's is the likelier cause, and of those the largest balance
    asset = max(fits, key=lambda name: (fits[name][0] < _NEAR_PAR, seen.worth[name]))
    ours, theirs = fits[asset]
    others = ", ".join(sorted(fits.keys() - {asset}))
    also = f" (another ratio would explain it for {others} as well)" if others else ""
    return f"the venue's total fits a collateral ratio of {theirs:.4g} for {asset} and not {ours:.4g}{also}: check it and set it {where}"
