"""The simulated Hyperliquid, sans I/O: time goes in by `advance`, frames and answers come out."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.simulator.daily_history import DailyHistory
from connectors.simulator.faults import Answer, Faults
from connectors.simulator.hyperliquid_accounts import Account, AccountPlan, Mode, Transfer, TransferKind
from connectors.simulator.hyperliquid_exchange import Exchange, Fees
from connectors.simulator.hyperliquid_feeds import FeedHub, HyperliquidClient, Subscription
from connectors.simulator.hyperliquid_figures import Figures, pools
from connectors.simulator.hyperliquid_frames import MarketFrames, account_data, frame
from connectors.simulator.hyperliquid_info import InfoApi
from connectors.simulator.hyperliquid_liquidation import Liquidator
from connectors.simulator.hyperliquid_makers import MakerDesk
from connectors.simulator.hyperliquid_outcome_ledger import OutcomeLedger
from connectors.simulator.hyperliquid_outcomes import OutcomeBoard
from connectors.simulator.hyperliquid_wire import Json
from connectors.simulator.market import Market


class _Timer:
    """Comes due every `interval` seconds of venue time, first at `offset`."""

    def __init__(self, interval: float, offset: float = 0.0) -> None:
        self._interval, self._next = interval, offset

    def due(self, now: float) -> bool:
        if now + 1e-9 < self._next:
            return False
        while self._next <= now + 1e-9:
            self._next += self._interval
        return True


class HyperliquidVenue:
    """A venue with its market and accounts.

    Intervals are seconds of venue time: of account, spot (None: as account), market-context, fast-context, open-order and
    webData3 frames, of quotes, and of funding (the hourly rate is paid at each). Account frames are spread over the
    interval; `spot_frame_offset` delays spot frames against them. `time_scale` scales the liquidation cooldown,
    `liquidation_delay` is how long a pool fails before the first market order. `max_users` caps the distinct users over
    all connections, `weight_per_minute` is the REST budget, `template_outcome_life_s` how long short-lived outcomes live (None: by
    the run's duration).
    """

    def __init__(
        self,
        market: Market,
        accounts: Sequence[AccountPlan],
        *,
        seed: int = 0,
        account_frame_interval: float = 5.0,
        spot_frame_interval: float | None = None,
        spot_frame_offset: float = 0.0,
        context_interval: float = 1.0,
        fast_context_interval: float = 0.5,
        orders_interval: float = 1.0,
        web_data_interval: float = 5.0,
        requote_interval: float = 2.0,
        funding_interval_s: float = 3600.0,
        time_scale: float = 1.0,
        liquidation_delay: float = 0.0,
        max_users: int = 15,
        weight_per_minute: int = 1200,
        template_outcome_life_s: float | None = None,
        fees: Fees | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.market = market
        self.faults = faults or Faults()
        self.exchange = Exchange(market, accounts, seed=seed, sink=self, fees=fees or Fees(), funding_interval_s=funding_interval_s)
        self.outcomes, self.history = OutcomeBoard(market, template_life_s=template_outcome_life_s), DailyHistory(market)
        self._outcome_ledger = OutcomeLedger(self.exchange, self.outcomes, seed=seed)
        self.rest = InfoApi(self.exchange, self.outcomes, self.history, self.faults, weight_per_minute=weight_per_minute)
        self.hub = FeedHub(market.listing, max_users=max_users, snapshot=self._snapshot, post=self.rest.post, clock=lambda: market.time)
        self._frames = MarketFrames(market, self.outcomes)
        self._makers = MakerDesk(self.exchange, seed=seed, requote_interval=requote_interval)
        self._liquidator = Liquidator(self.exchange, self._makers, seed=seed, time_scale=time_scale, delay=liquidation_delay)
        self._contexts, self._fast = _Timer(context_interval), _Timer(fast_context_interval)
        self._orders, self._web_data = _Timer(orders_interval), _Timer(web_data_interval)
        self._account_timers = self._spread(account_frame_interval, 0.0)
        self._spot_timers = self._spread(spot_frame_interval or account_frame_interval, spot_frame_offset)
        self._transfers = self._schedule()
        self._orders_changed: set[str] = set()

    def connect(self) -> HyperliquidClient:
        """Open a connection."""
        return HyperliquidClient(self.hub, self.faults)

    def info(self, body: bytes) -> Answer:
        """Answer a REST request: (status, headers, body)."""
        return self.rest.answer(body)

    def figures(self, address: str) -> dict[str, Figures]:
        """The venue's own margin figures of an account now, by pool name."""
        return {pool.name: pool.figures for pool in pools(self.exchange.account(address))}

    def advance(self, dt: float) -> None:
        """Let `dt` seconds pass: prices, outcomes, transfers, trades, funding, liquidations, and the frames that are due."""
        self.market.advance(dt)
        self.history.follow()
        self._run_outcomes()
        self._send_market()
        while self._transfers and self._transfers[0][0] <= self.market.time:
            _, account, transfer = self._transfers.pop(0)
            self.exchange.transfer(account, transfer.kind, transfer.amount, transfer.dex)
        self._makers.run()
        self.exchange.pay_due_funding()
        self._liquidator.run()
        self._send_accounts()

    def set_mode(self, address: str, mode: Mode) -> None:
        """Change an account's mode; webData3 tells at once, the other feeds in their time.

        Raises ValueError when portfolio margin is entered or left with positions open.
        """
        account = self.exchange.account(address)
        self.market.touch()
        account.change_mode(mode)
        self._send_state("webData3", account)

    def trade(self, address: str, coin: str, size: float, *, price: float | None = None) -> None:
        """Execute a taker trade (signed size) for an account now, on a perpetual, a spot pair or a side of an outcome ("#91010").

        `price` None: the mark, of an outcome the mid.
        """
        self.market.touch()
        account = self.exchange.account(address)
        if coin.startswith("#"):
            self._outcome_ledger.trade(account, coin, size, price=price)
        elif coin in self.market.listing.pairs:
            self.exchange.trade_spot(account, coin, size, price=price)
        else:
            self.exchange.trade(account, coin, size, price=price)

    def transfer(self, address: str, kind: TransferKind, amount: float, dex: str = "") -> None:
        """Move money of an account now; see `Transfer`."""
        self.market.touch()
        self.exchange.transfer(self.exchange.account(address), kind, amount, dex)

    def on_fill(self, account: Account, row: Json) -> None:
        """Sink: a fill goes to userFills and userEvents."""
        self._publish("userFills", account, {"user": account.address, "fills": [row]})
        self._publish("userEvents", account, {"fills": [row]})

    def on_orders(self, account: Account, rows: list[Json]) -> None:
        """Sink: order updates."""
        self._orders_changed.add(account.address)
        self._publish("orderUpdates", account, rows)

    def on_funding(self, account: Account, rows: list[Json]) -> None:
        """Sink: funding goes to userFundings and, row by row, to userEvents."""
        self._publish("userFundings", account, {"user": account.address, "fundings": rows})
        for row in rows:
            self._publish("userEvents", account, {"funding": row})

    def on_ledger(self, account: Account, row: Json) -> None:
        """Sink: a ledger update."""
        self._publish("userNonFundingLedgerUpdates", account, {"user": account.address, "nonFundingLedgerUpdates": [row]})

    def on_event(self, account: Account, event: Json) -> None:
        """Sink: a user event."""
        self._publish("userEvents", account, event)

    def on_state_changed(self, account: Account) -> None:
        """Sink: account and spot frames at once."""
        self._send_perpetuals(account)
        self._send_state("spotState", account)

    def _spread(self, interval: float, offset: float) -> dict[str, _Timer]:
        count = len(self.exchange.accounts)
        return {address: _Timer(interval, offset + interval * n / count) for n, address in enumerate(self.exchange.accounts)}

    def _schedule(self) -> list[tuple[float, Account, Transfer]]:
        planned = [(t.at * self.market.duration, account, t) for account in self.exchange.accounts.values() for t in account.plan.transfers]
        return sorted(planned, key=lambda row: row[0])

    def _publish(self, feed: str, account: Account, data: object, dex: str = "") -> None:
        if self.hub.wanted(feed, account.address, dex):
            self.hub.publish((feed, account.address, dex), frame(feed, data))

    def _send_state(self, feed: str, account: Account, dex: str = "") -> None:
        if self.hub.wanted(feed, account.address, dex):
            self._publish(feed, account, account_data(feed, account, self.exchange.history[account.address], dex), dex)

    def _send_perpetuals(self, account: Account) -> None:
        self._send_state("allDexsClearinghouseState", account)
        for dex in self.market.listing.dexs:
            self._send_state("clearinghouseState", account, dex)

    def _send_accounts(self) -> None:
        now = self.market.time
        for address, account in self.exchange.accounts.items():
            if self._account_timers[address].due(now):
                self._send_perpetuals(account)
            if self._spot_timers[address].due(now):
                self._send_state("spotState", account)
        if self._orders.due(now):
            changed, self._orders_changed = sorted(self._orders_changed), set()
            for address in changed:
                for dex in self.market.listing.dexs:
                    self._send_state("openOrders", self.exchange.account(address), dex)
        if self._web_data.due(now):
            for account in self.exchange.accounts.values():
                self._send_state("webData3", account)

    def _run_outcomes(self) -> None:
        settlements, updates = self.outcomes.run()
        for settlement in settlements:
            self._outcome_ledger.settle(settlement)
        if updates:
            self.hub.publish(("outcomeMetaUpdates", "", ""), frame("outcomeMetaUpdates", updates))

    def _send_market(self) -> None:
        now = self.market.time
        if self._contexts.due(now):
            for feed in ("allDexsAssetCtxs", "activeAssetCtx", "allMids"):
                for topic in self.hub.topics(feed):
                    self.hub.publish(topic, self._frames.write(*topic))
        if self._fast.due(now) and (update := self._frames.fast_update()) is not None:
            self.hub.publish(("fastAssetCtxs", "", ""), update)

    def _snapshot(self, subscription: Subscription) -> str | None:
        feed, subject, dex = subscription.topic
        if feed == "outcomeMetaUpdates":
            return None
        if subscription.user is None:
            return self._frames.write(feed, subject, dex)
        account = self.exchange.account(subject)
        data = account_data(feed, account, self.exchange.history[account.address], dex)
        return None if data is None else frame(feed, data)
