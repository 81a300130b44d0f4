"""The frames of the simulated venue's feeds, written once for all who listen."""

from __future__ import annotations

import base64
import zlib

from connectors.simulator.hyperliquid_accounts import Account
from connectors.simulator.hyperliquid_exchange import History
from connectors.simulator.hyperliquid_feeds import dumps
from connectors.simulator.hyperliquid_outcomes import OutcomeBoard
from connectors.simulator.hyperliquid_wire import (
    Json,
    clearinghouse_state,
    context,
    mids,
    num,
    order_long,
    spot_context,
    spot_state,
    web_data3,
)
from connectors.simulator.market import Market


def frame(feed: str, data: object) -> str:
    """A data frame; the channel is the feed's name but for userEvents."""
    return dumps({"channel": "user" if feed == "userEvents" else feed, "data": data})


def deflate(rows: dict[str, Json]) -> str:
    """JSON as fastAssetCtxs carries it: raw DEFLATE without a header, in base64."""
    packer = zlib.compressobj(wbits=-15)
    return base64.b64encode(packer.compress(dumps(rows).encode()) + packer.flush()).decode()


def account_data(feed: str, account: Account, log: History, dex: str) -> Json | None:
    """The data of a user feed's snapshot, which for state feeds is every frame's; None for a pure event stream."""
    user: Json = {"user": account.address}
    if feed == "allDexsClearinghouseState":
        return user | {"clearinghouseStates": [[name, clearinghouse_state(account, name)] for name in account.market.listing.dexs]}
    if feed == "clearinghouseState":
        return {"dex": dex} | user | {"clearinghouseState": clearinghouse_state(account, dex)}
    if feed == "spotState":
        return user | {"spotState": spot_state(account, complete=False)}
    if feed == "openOrders":
        return {"dex": dex} | user | {"orders": [order_long(order) for order in account.orders_on(dex)]}
    if feed == "webData3":
        return web_data3(account)
    head: Json = {"isSnapshot": True} | user
    if feed == "userFills":
        return head | {"fills": list(log.fills)}
    if feed == "userFundings":
        return head | {"fundings": list(log.fundings)}
    if feed == "userNonFundingLedgerUpdates":
        return head | {"nonFundingLedgerUpdates": list(log.ledger)[::-1]}
    return None


class MarketFrames:
    """Frames of the market feeds. A context is written once per change; fast contexts are differences from the last frame."""

    def __init__(self, market: Market, board: OutcomeBoard) -> None:
        self._market, self._board = market, board
        self._written: dict[str, tuple[int, str]] = {}
        self._fast_sent = self._fast_rows()

    def write(self, feed: str, coin: str, dex: str) -> str:
        """A full frame of a market feed: its snapshot."""
        if feed == "allDexsAssetCtxs":
            return self._all_contexts()
        if feed == "activeAssetCtx":
            return self._one_context(coin)
        if feed == "allMids":
            return frame(feed, ({"dex": dex} if dex else {}) | {"mids": mids(self._market, self._board, dex)})
        return frame(feed, deflate(self._fast_sent))

    def fast_update(self) -> str | None:
        """The next fastAssetCtxs frame: only changed coins and fields; None when nothing moved."""
        before, self._fast_sent = self._fast_sent, self._fast_rows()
        changed: dict[str, Json] = {}
        for coin, row in self._fast_sent.items():
            known = before.get(coin, {})
            fields = {name: value for name, value in row.items() if name not in known or known[name] != value}
            if fields:
                changed[coin] = fields
        return frame("fastAssetCtxs", deflate(changed)) if changed else None

    def _fast_rows(self) -> dict[str, Json]:
        rows: dict[str, Json] = {}
        for coin, quote in self._market.quotes.items():
            rows[coin] = {"markPx": num(quote.mark), "midPx": None if quote.mid is None else num(quote.mid)}
        for pair, price in self._market.spots.items():
            rows[pair] = {"markPx": num(price), "midPx": num(price)}
        return rows

    def _context_text(self, coin: str) -> str:
        quote = self._market.quotes[coin]
        version, text = self._written.get(coin, (-1, ""))
        if version != quote.version:
            text = dumps(context(quote))
            self._written[coin] = quote.version, text
        return text

    def _all_contexts(self) -> str:
        parts: list[str] = []
        for dex in self._market.listing.dexs.values():
            contexts = ",".join(self._context_text(asset.coin) for asset in dex.assets)
            parts.append(f'["{dex.name}",[{contexts}]]')
        return f'{{"channel":"allDexsAssetCtxs","data":{{"ctxs":[{",".join(parts)}]}}}}'

    def _one_context(self, coin: str) -> str:
        if coin in self._market.listing.pairs:
            return frame("activeSpotAssetCtx", {"coin": coin, "ctx": spot_context(self._market.listing.pairs[coin], self._market)})
        return f'{{"channel":"activeAssetCtx","data":{{"coin":"{coin}","ctx":{self._context_text(coin)}}}}}'
