"""From settings to the margin method of an account: its venue's rule, with the constants that are configuration."""

from __future__ import annotations

from config.accounts import AccountSettings
from config.collateral import CollateralTable, load_collateral
from config.settings import Settings
from monitor.book import AccountMethod
from monitor.margin import aster, deribit, hyperliquid


def margin_method(settings: Settings, account: AccountSettings) -> AccountMethod:
    """The method of one account, without any state yet."""
    if account.venue == aster.VENUE:
        return aster.AsterAccount(account.id, aster_rules(settings))
    if account.venue == deribit.VENUE:
        return deribit.DeribitAccount(account.id, settings.venues.deribit.index_stale_after_s)
    venue = settings.venues.hyperliquid
    return hyperliquid.HyperliquidAccount(account.id, hyperliquid.HyperliquidRules(venue.portfolio_margin_limit, venue.min_borrow_offset))


def aster_rules(settings: Settings) -> aster.AsterRules:
    """The constants of Aster's rule."""
    venue = settings.venues.aster
    ratios = aster_collateral(settings).ratios
    return aster.AsterRules(ratios, venue.negative_balance_factor, venue.model_tolerance, venue.marks_stale_after_s)


def aster_collateral(settings: Settings) -> CollateralTable:
    """The shipped table of Aster's collateral ratios with the configured ones laid over it. Raises ConfigError."""
    return load_collateral(ratios=settings.venues.aster.collateral_ratios)
