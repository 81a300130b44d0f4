"""The simulated Aster, sans I/O: time goes in by `advance` or `follow`, frames and answers come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from connectors.simulator.aster_accounts import Account, AccountPlan, Order, Side, Transfer
from connectors.simulator.aster_auth import Gate
from connectors.simulator.aster_catalogue import force_order, mark_row
from connectors.simulator.aster_exchange import Exchange
from connectors.simulator.aster_faults import AsterFaults
from connectors.simulator.aster_figures import Figures, pools
from connectors.simulator.aster_liquidation import Liquidator
from connectors.simulator.aster_listing import AsterListing
from connectors.simulator.aster_makers import MakerDesk
from connectors.simulator.aster_prices import AsterPrices
from connectors.simulator.aster_rest import AsterApi, RateLimit
from connectors.simulator.aster_statistics import Statistics
from connectors.simulator.aster_streams import AsterClient, ListenKeys, StreamHub
from connectors.simulator.aster_wire import Json, announcement, dumps, order_update, quantity
from connectors.simulator.daily_history import DailyHistory
from connectors.simulator.faults import Answer
from connectors.simulator.market import Market

SLOW_MARKS = 3


class _Timer:
    """Comes due every `interval` seconds of venue time, first at `first`."""

    def __init__(self, interval: float, first: float = 0.0) -> None:
        self._interval, self._next = interval, first

    def due(self, now: float) -> bool:
        if now + 1e-9 < self._next:
            return False
        while self._next <= now + 1e-9:
            self._next += self._interval
        return True


class AsterVenue:
    """A venue with its accounts on a market that it may share with another venue.

    Marks change, and are sent, every `mark_interval` seconds and at no other time: `figures` are those of the marks sent last.
    `funding_interval_s` is how many seconds an hour of funding lasts. A failing pool waits `liquidation_delay` seconds for its
    first slice and `slice_interval` for each next one. `listen_key_life_s` and `socket_life_s` are the venue's 60 min and
    24 h. `mark_chunk` splits the all-marks frame. The flags are those of `AsterApi`; `fillers` extra symbols are listed.
    """

    def __init__(
        self,
        market: Market,
        plans: Sequence[AccountPlan],
        *,
        seed: int = 0,
        mark_interval: float = 1.0,
        funding_interval_s: float = 3600.0,
        liquidation_delay: float = 0.0,
        slice_interval: float = 2.0,
        requote_interval: float = 2.0,
        announcement_interval_s: float = 3600.0,
        insurance_fund: float = 10_000_000.0,
        weight_per_minute: int = 2400,
        listen_key_life_s: float = 3600.0,
        socket_life_s: float = 86_400.0,
        mark_chunk: int | None = None,
        read_only_listen_keys: bool = True,
        retry_after: bool = False,
        omit_flat_rows: bool = False,
        chain_id: int = 1666,
        fillers: int = 24,
        faults: AsterFaults | None = None,
    ) -> None:
        self.market, self.faults = market, faults or AsterFaults()
        self.listing = AsterListing(market, fillers)
        self.prices = AsterPrices(market, self.listing, seed)
        self.exchange = Exchange(self.listing, self.prices, plans, seed=seed, emit=self._emit, clock=self._clock, hour_s=funding_interval_s)
        self.exchange.on_forced = self._tell_forced
        self.history = DailyHistory(market)
        self.keys = ListenKeys(self._seconds, life=listen_key_life_s, seed=seed)
        self.hub = StreamHub(self.faults, self._seconds, socket_life=socket_life_s)
        self.rest = AsterApi(
            self.exchange,
            self.keys,
            Gate(self.exchange.accounts.values(), self._clock, chain_id=chain_id),
            self.faults,
            RateLimit(weight_per_minute, self._seconds),
            Statistics(self.exchange, self.history),
            seconds=self._seconds,
            read_only_listen_keys=read_only_listen_keys,
            retry_after=retry_after,
            omit_flat=omit_flat_rows,
        )
        self._makers = MakerDesk(self.exchange, seed=seed, interval=requote_interval)
        self.liquidator = Liquidator(
            self.exchange, delay=liquidation_delay, interval=slice_interval, fund=insurance_fund, on_liquidated=self._makers.on_liquidated
        )
        self._marks, self._mark_interval, self._mark_chunk = _Timer(mark_interval), mark_interval, mark_chunk
        self._announcements = _Timer(announcement_interval_s, announcement_interval_s)
        self._mark_turn = self._announced = 0
        self._transfers = self._schedule()

    @property
    def forbidden_requests(self) -> int:
        """Requests of anything that is not a read endpoint."""
        return self.rest.forbidden

    @property
    def listen_key_deletes(self) -> int:
        """DELETE requests for listen keys: a reader sends none, as the key is shared."""
        return self.keys.deletes

    def advance(self, dt: float) -> None:
        """Let `dt` seconds pass on the market and here."""
        self.market.advance(dt)
        self.follow()

    def follow(self) -> None:
        """Do what is due at the market's time, which somebody else moved: marks, transfers, trades, funding, liquidations."""
        now = self.market.time
        self.history.follow()
        marks = self._marks.due(now)
        if marks:
            self.prices.reprice()
            self._send_marks()
        while self._transfers and self._transfers[0][0] <= now:
            _, account, transfer = self._transfers.pop(0)
            self._transfer(account, transfer.asset, transfer.amount)
        self._makers.run(now)
        self.exchange.pay_due_funding()
        if marks:
            self.liquidator.run(now)
        for key in self.keys.expire():
            self.hub.publish(key, "listenKeyExpired", dumps({"e": "listenKeyExpired", "E": self.exchange.stamp()}))
        if self._announcements.due(now):
            self._announced += 1
            for account in self.exchange.accounts.values():
                self._emit(account, announcement(self._clock(), 160 + self._announced))

    def connect_market(self, streams: Sequence[str] = (), *, combined: bool = False) -> AsterClient:
        """Open a connection: /ws/<stream>, /ws (no streams), or the combined /stream."""
        return self.hub.connect(streams, combined=combined)

    def connect_user(self, listen_key: str) -> AsterClient:
        """Open a user stream, /ws/<listenKey>; an unknown key stays silent."""
        return self.hub.connect((listen_key,), combined=False)

    def request(self, method: str, path: str, query: str = "", body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Answer a REST request: (status, headers, body). `query` is the raw text after the question mark."""
        return self.rest.answer(method, path, query, body, headers or {})

    def figures(self, alias: str) -> dict[str, Figures]:
        """The venue's own margin figures of an account now, by pool name.

        Single-asset mode: the margin asset ("USDT"); multi-assets mode: "multi-assets"; isolated positions: "iso:ETHUSDT",
        in hedge mode "iso:ETHUSDT:LONG".
        """
        return {pool.name: pool.figures for pool in pools(self.exchange.account(alias))}

    def trade(self, alias: str, symbol: str, quantity: float, *, side: Side = "BOTH", price: float | None = None) -> None:
        """Execute a market order (signed quantity) for an account now; `price` None: the mark.

        Raises ValueError for a side the account's position mode lacks.
        """
        account = self.exchange.account(alias)
        self.market.touch()
        self.exchange.trade(account, symbol, quantity, side, price)

    def place(self, alias: str, symbol: str, quantity: float, price: float, *, side: Side = "BOTH") -> Order:
        """Rest a limit order (signed quantity)."""
        self.market.touch()
        return self.exchange.place(self.exchange.account(alias), symbol, side, quantity, price)

    def cancel(self, alias: str, order: Order) -> None:
        """Cancel a resting order."""
        self.market.touch()
        self.exchange.cancel(self.exchange.account(alias), [order])

    def transfer(self, alias: str, asset: str, amount: float) -> None:
        """Move an amount of an asset into an account's perpetual wallet now (negative: out)."""
        self.market.touch()
        self._transfer(self.exchange.account(alias), asset, amount)

    def deleverage(self, alias: str, symbol: str, quantity: float, *, side: Side = "BOTH") -> None:
        """Reduce an account's position (unsigned quantity) by ADL at the mark now."""
        self.market.touch()
        account = self.exchange.account(alias)
        self.liquidator.deleverage(account, account.position(symbol, side), quantity, self.prices.mark(symbol))

    def set_leverage(self, alias: str, symbol: str, leverage: int) -> None:
        """Change a symbol's leverage; margins of positions do not depend on it."""
        account = self.exchange.account(alias)
        self.market.touch()
        account.leverage[symbol] = leverage
        self.exchange.configure(account, {"ac": {"s": symbol, "l": leverage}})

    def set_multi_assets(self, alias: str, on: bool) -> None:
        """Change the asset mode. Raises ValueError with isolated positions."""
        self._change_mode(alias, multi_assets=on)

    def set_hedge(self, alias: str, on: bool) -> None:
        """Change the position mode. Raises ValueError with positions or orders."""
        self._change_mode(alias, hedge=on)

    def spend_weight(self, weight: int) -> None:
        """Use up request weight as somebody else behind the same address does."""
        self.rest.limit.spend(weight)

    def announce_every(self, seconds: float) -> None:
        """Send announcements at another interval from now on."""
        self._announcements = _Timer(seconds, self.market.time + seconds)

    def _change_mode(self, alias: str, *, multi_assets: bool | None = None, hedge: bool | None = None) -> None:
        account = self.exchange.account(alias)
        if multi_assets is not None:
            account.set_multi_assets(multi_assets)
        if hedge is not None:
            account.set_hedge(hedge)
        self.market.touch()
        self.exchange.configure(account, self.exchange.modes(account))

    def _seconds(self) -> float:
        return self.market.time

    def _clock(self) -> int:
        return self.market.now_ms + self.faults.clock_offset_ms

    def _schedule(self) -> list[tuple[float, Account, Transfer]]:
        rows = [(t.at * self.market.duration, account, t) for account in self.exchange.accounts.values() for t in account.plan.transfers]
        return sorted(rows, key=lambda row: row[0])

    def _transfer(self, account: Account, asset: str, amount: float) -> None:
        self.exchange.move(account, {asset: amount}, "DEPOSIT" if amount > 0.0 else "WITHDRAW")

    def _emit(self, account: Account, event: Json) -> None:
        key = self.keys.active(account.plan.alias)
        if key is not None:
            self.hub.publish(key, event["e"], dumps(event))

    def _tell_forced(self, order: Order, price: float, stamp: int) -> None:
        topics = self.hub.topics()
        own = f"{order.symbol.name.lower()}@forceOrder"
        if own in topics or "!forceOrder@arr" in topics:
            text = dumps(force_order(order_update(order, stamp, "TRADE", "FILLED", {"l": quantity(order.filled, order.symbol)})["o"]))
            for stream in (own, "!forceOrder@arr"):
                self.hub.publish(stream, "forceOrder", text)

    def _send_marks(self) -> None:
        topics = self.hub.topics()
        if not topics:
            return
        whole = self._mark_interval >= 1.0
        event = self._clock() // 1000 * 1000 if whole else self._clock()
        self._mark_turn += 1
        suffixes = ("@1s", "") if self._mark_turn % SLOW_MARKS == 0 else ("@1s",)
        rows: dict[str, str] = {}
        if topics & {f"!markPrice@arr{suffix}" for suffix in suffixes}:
            rows = {name: self._mark_text(name, event) for name in self.listing.symbols}
            texts, chunk = list(rows.values()), self._mark_chunk or len(rows)
            for start in range(0, len(texts), chunk):
                for suffix in suffixes:
                    self.hub.publish(f"!markPrice@arr{suffix}", "markPriceUpdate", f"[{','.join(texts[start : start + chunk])}]")
        for name in self.listing.symbols:
            for suffix in suffixes:
                stream = f"{name.lower()}@markPrice{suffix}"
                if stream in topics:
                    self.hub.publish(stream, "markPriceUpdate", self._mark_text(name, event))

    def _mark_text(self, name: str, event: int) -> str:
        return mark_row(name, self.prices.rows[name], event, self.exchange.next_funding_ms(self.listing.symbols[name]))
