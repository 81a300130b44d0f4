"""From settings to accounts with the margin method of their venue: its rule, with the constants that are configuration."""

from __future__ import annotations

from config.accounts import AccountSettings
from config.collateral import CollateralTable, load_collateral
from config.settings import Settings
from monitor.book import AccountEntry, AccountMethod, Book
from monitor.margin import aster, deribit, hyperliquid


def build_book(settings: Settings) -> Book:
    """A book with the configured accounts."""
    book = Book(build_entry(settings, account) for account in settings.accounts)
    book.freshness.mark_limits_s = mark_limits_s(settings)
    return book


def build_entry(settings: Settings, account: AccountSettings) -> AccountEntry:
    """An account with its venue's margin method, without any state yet."""
    return AccountEntry(account.venue, account.id, margin_method(settings, account), account.levels.ratios, settings.alerts.hysteresis)


def mark_limits_s(settings: Settings) -> dict[str, float]:
    """By venue: the longest time a single instrument's mark may go unconfirmed."""
    venues = settings.venues
    return {
        hyperliquid.VENUE: venues.hyperliquid.stale_after_s.contexts,
        aster.VENUE: venues.aster.marks_stale_after_s,
        deribit.VENUE: venues.deribit.index_stale_after_s,
    }


def margin_method(settings: Settings, account: AccountSettings) -> AccountMethod:
    """The method of one account, without any state yet."""
    if account.venue == aster.VENUE:
        return aster.AsterAccount(account.id, aster_rules(settings))
    if account.venue == deribit.VENUE:
        return deribit.DeribitAccount(account.id, settings.venues.deribit.index_stale_after_s)
    return hyperliquid.HyperliquidAccount(account.id, hyperliquid_rules(settings))


def hyperliquid_rules(settings: Settings) -> hyperliquid.HyperliquidRules:
    """The constants of Hyperliquid's rule."""
    venue = settings.venues.hyperliquid
    return hyperliquid.HyperliquidRules(venue.portfolio_margin_limit, venue.min_borrow_offset)


def aster_rules(settings: Settings) -> aster.AsterRules:
    """The constants of Aster's rule."""
    venue = settings.venues.aster
    ratios = aster_collateral(settings).ratios
    return aster.AsterRules(ratios, venue.negative_balance_factor, venue.model_tolerance, venue.marks_stale_after_s)


def aster_collateral(settings: Settings) -> CollateralTable:
    """The shipped table of Aster's collateral ratios with the configured ones laid over it. Raises ConfigError."""
    return load_collateral(ratios=settings.venues.aster.collateral_ratios)
