"""Which feeds a market connection and a watched account need, with the silence each may keep."""

from __future__ import annotations

from collections.abc import Iterable

from connectors.hyperliquid.feeds import Subscription
from connectors.hyperliquid.ledger import Watched
from connectors.hyperliquid.reference import MAIN_DEX
from connectors.hyperliquid.settings import FeedLimits

ASSET_CONTEXTS = "allDexsAssetCtxs"
FAST_CONTEXTS = "fastAssetCtxs"
CLEARINGHOUSE = "allDexsClearinghouseState"
SPOT_STATE = "spotState"
WEB_DATA = "webData3"
ALL_MIDS = "allMids"
OUTCOME_UPDATES = "outcomeMetaUpdates"
STATE_FEEDS = (CLEARINGHOUSE, SPOT_STATE)
EVENT_FEEDS = ("userFills", "userEvents", "userFundings", "userNonFundingLedgerUpdates")


def spot_feed(symbol: str) -> str:
    """Our name of the context feed of a spot pair."""
    return f"activeAssetCtx:{symbol}"


def orders_feed(dex: str) -> str:
    """Our name of the orders feed of a dex."""
    return f"openOrders:{dex}" if dex else "openOrders"


def market_subscriptions(limits: FeedLimits, *, fast: bool) -> list[Subscription]:
    """The whole-market feeds."""
    found = [
        Subscription(ASSET_CONTEXTS, None, {"type": ASSET_CONTEXTS}, limits.asset_contexts),
        Subscription(OUTCOME_UPDATES, None, {"type": OUTCOME_UPDATES}, events_only=True, optional=True),
    ]
    if fast:
        found.append(Subscription(FAST_CONTEXTS, None, {"type": FAST_CONTEXTS}, limits.fast_contexts))
    return found


def spot_subscriptions(symbols: Iterable[str], limits: FeedLimits) -> list[Subscription]:
    """Context feeds of spot pairs: an illiquid pair may be quiet, so it is probed before it is called stale."""
    limit_s = limits.spot_contexts
    return [
        Subscription(spot_feed(symbol), None, {"type": "activeAssetCtx", "coin": symbol}, limit_s + limits.answer, limit_s)
        for symbol in symbols
    ]


def mids_subscriptions(limits: FeedLimits) -> list[Subscription]:
    """Mids of the first dex, of spot pairs and of outcome sides. The feed costs no request weight, unlike asking for it."""
    return [Subscription(ALL_MIDS, None, {"type": ALL_MIDS}, limits.mids, optional=True)]


def account_subscriptions(account: Watched, limits: FeedLimits) -> list[Subscription]:
    """The feeds of an account, all but its orders."""
    user = account.address
    return [
        Subscription(CLEARINGHOUSE, account.alias, {"type": CLEARINGHOUSE, "user": user}, limits.clearinghouse),
        spot_state_subscription(account, limits.spot_state, limits),
        *(Subscription(feed, account.alias, {"type": feed, "user": user}, events_only=True) for feed in (WEB_DATA, *EVENT_FEEDS)),
    ]


def spot_state_subscription(account: Watched, probe_after_s: float, limits: FeedLimits) -> Subscription:
    """The wallet feed, which the venue does not promise to repeat: probed after that much silence."""
    request = {"type": SPOT_STATE, "user": account.address}
    return Subscription(SPOT_STATE, account.alias, request, probe_after_s + limits.answer, probe_after_s)


def orders_subscriptions(account: Watched, dexs: Iterable[str]) -> list[Subscription]:
    """Resting orders on the first dex and on `dexs`."""
    names = dict.fromkeys((MAIN_DEX, *dexs))
    return [Subscription(orders_feed(dex), account.alias, {"type": "openOrders", "user": account.address, "dex": dex}) for dex in names]
