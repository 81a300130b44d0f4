"""The stages of one unified venue account under the `uta` model (margin model, section 8): what its venue does at which ratio.

They hold for a portfolio that lies within one account. No venue acts on a portfolio across several.
"""

from __future__ import annotations

from enum import StrEnum

AUTO_REPAY_AT, LIQUIDATED_FROM, LIQUIDATED_TO = 0.85, 1.0, 0.90
"""Margin ratios: from where debts are repaid, from where positions are liquidated, and until where."""


class Stage(StrEnum):
    """What the venue does now."""

    NORMAL = "normal"
    AUTO_REPAY = "auto_repay"
    LIQUIDATION = "cancel_orders_then_partial_liquidation_to_90"


STAGE_TEXT = {
    Stage.NORMAL: "nothing; debts are repaid automatically from 85 %, orders cancelled and positions liquidated from 100 %",
    Stage.AUTO_REPAY: "debts are repaid automatically until none is left; orders are cancelled and positions liquidated from 100 %",
    Stage.LIQUIDATION: "all open orders are cancelled, then positions are liquidated in part until the ratio is 90 %",
}
"""What happens in a stage, and what comes next."""

NO_VENUE_ACTS = (
    "no venue acts on this number: each account is liquidated by its own venue's rule, and equity cannot be moved between venues at "
    "once; at 100% a stress of this size would take all of the equity"
)
"""What happens to a portfolio across several accounts."""


def uta_stage(ratio: float, has_debt: bool) -> Stage:
    """The stage at a margin ratio (1.0: liquidation, +inf without equity); `has_debt`: the account has borrowed assets."""
    if ratio >= LIQUIDATED_FROM:
        return Stage.LIQUIDATION
    return Stage.AUTO_REPAY if has_debt and ratio >= AUTO_REPAY_AT else Stage.NORMAL
