"""Which mode the venue margins an account in, and whether that is certain.

The wallet as REST tells it decides; the venue's own word and its frames only say that something changed (venue notes 5.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from connectors.model import Wallet


class AccountMode(StrEnum):
    """How the venue pools the account's margin."""

    STANDARD = "standard"
    UNIFIED = "unified"
    PORTFOLIO_MARGIN = "portfolio_margin"


MODE_WORDS = {
    "default": AccountMode.STANDARD,
    "disabled": AccountMode.STANDARD,
    "dexAbstraction": AccountMode.STANDARD,
    "unifiedAccount": AccountMode.UNIFIED,
    "portfolioMargin": AccountMode.PORTFOLIO_MARGIN,
}
"""The venue's words for a mode. dexAbstraction is discontinued and margined like standard."""


@dataclass(slots=True)
class ModeWatch:
    """The mode as last decided, and the venue's last word for it. `unconfirmed`: a frame spoke against it, REST not yet."""

    mode: AccountMode | None = None
    word: str | None = None
    unconfirmed: bool = False

    @property
    def pooled(self) -> bool:
        """Whether the wallet is the margin."""
        return self.mode in (AccountMode.UNIFIED, AccountMode.PORTFOLIO_MARGIN)

    @property
    def doubtful(self) -> bool:
        """Whether figures in this mode await confirmation."""
        return self.unconfirmed or self.contradicted

    @property
    def contradicted(self) -> bool:
        """Whether the venue's own word names another mode."""
        said = MODE_WORDS.get(self.word) if self.word is not None else None
        return said is not None and self.mode is not None and said is not self.mode

    def classify(self, wallet: Wallet) -> bool:
        """Decide by a wallet; True where it does not fit the mode until now and REST should be asked."""
        pooled = bool(wallet.available_after_maintenance) or bool(wallet.portfolio_margin_enabled)
        has_loans = any(row.ltv is not None for row in wallet.balances)
        if wallet.complete:
            self.unconfirmed = False
            with_loans = wallet.portfolio_margin_enabled or has_loans
            self.mode = (AccountMode.PORTFOLIO_MARGIN if with_loans else AccountMode.UNIFIED) if pooled else AccountMode.STANDARD
            return False
        # A frame leaves fields out, so what it lacks says nothing: only REST tells the mode, except that a frame which shows
        # availability proves that the account is pooled by now.
        unfit = self.mode is None or pooled == (self.mode is AccountMode.STANDARD)
        self.unconfirmed = self.unconfirmed or unfit
        if self.mode is AccountMode.STANDARD and pooled:
            self.mode = AccountMode.UNIFIED
        if self.mode is AccountMode.UNIFIED and has_loans:
            self.mode = AccountMode.PORTFOLIO_MARGIN
        return unfit
