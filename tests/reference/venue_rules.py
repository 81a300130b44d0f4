"""Rules outside the portfolio method: short options position by position (the comparator), and the stages of the `uta` model."""

from __future__ import annotations


def short_option_cross(index: float, strike: float, call: bool, mark: float, entry: float, quantity: float) -> tuple[float, float]:
    """Maintenance and initial margin of a short option on its own, USD (section 9)."""
    out_of_the_money = max(0.0, strike - index if call else index - strike)
    maintenance = (max(0.03 * index, 0.03 * mark) + mark + 0.002 * index) * abs(quantity)
    initial = (max(0.15 * index - out_of_the_money, 0.10 * index) + max(entry, mark)) * abs(quantity)
    return maintenance, max(initial, maintenance)


def uta_stage(margin_ratio: float, debt: bool) -> str:
    """What one unified venue account does at a ratio (section 8)."""
    if margin_ratio >= 1.0:
        return "cancel_orders_then_partial_liquidation_to_90"
    return "auto_repay" if debt and margin_ratio >= 0.85 else "normal"
