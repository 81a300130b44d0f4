"""Whether a portfolio's figure may be relied on, as the configuration says."""

from __future__ import annotations

from collections.abc import Collection

from config.portfolios import Eligibility


def ineligibility(eligibility: Eligibility, equity: float | None, coins: Collection[str]) -> tuple[str, ...]:
    """Why a portfolio with this equity (USD, None: unknown) and these coins is not eligible, a sentence a reason; empty: it is."""
    if not eligibility.enabled:
        return ("the portfolio method is switched off (eligibility.enabled)",)
    reasons = []
    if not eligibility.acknowledged:
        reasons.append(
            "nobody acknowledged that no venue acts on this number and that equity cannot be moved between venues at once"
            " (eligibility.acknowledged)"
        )
    minimum = eligibility.minimum_equity
    if minimum > 0 and (equity is None or not equity >= minimum):
        have = "unknown" if equity is None else f"{equity:,.2f} USD"
        reasons.append(f"the equity is {have} and has to be at least {minimum:,.2f} USD (eligibility.minimum_equity)")
    others = sorted(set(coins) - set(eligibility.coins)) if eligibility.coins is not None else []
    if others:
        reasons.append(f"it holds coins that are not listed: {', '.join(others)} (eligibility.coins)")
    return tuple(reasons)
