"""A simulated desk whose feeds arrive late, each at its own pace, now and then twice or not at all, while everything happens."""

from __future__ import annotations

import json
import math
import random
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from connectors.events import AccountSnapshot, BorrowReserves, Event, ModeReport, Source, WalletSnapshot
from connectors.hyperliquid.messages import parse_reserves, parse_section, parse_wallet
from connectors.hyperliquid.reference import VENUE
from connectors.simulator.hyperliquid import AccountPlan, HyperliquidVenue
from connectors.simulator.hyperliquid_figures import Figures
from connectors.simulator.hyperliquid_listing import HYPE, UBTC
from monitor.reconcile import TOLERANCE, worst
from tests.monitor.simulated_desk import SECOND, SimulatedDesk

LOGS = frozenset({"userFills", "userFundings", "userNonFundingLedgerUpdates"})
STATES = ("allDexsClearinghouseState", "spotState")


@dataclass(frozen=True, slots=True)
class Weather:
    """How the feeds behave: longest delay (s) of account feeds, of market feeds and of REST answers; share of frames lost, doubled."""

    account_delay: float = 2.0
    market_delay: float = 0.0
    rest_delay: float = 1.0
    lost: float = 0.0
    doubled: float = 0.05


@dataclass(slots=True)
class _Lane:
    """One feed: what is under way, in order."""

    queue: deque[tuple[int, int, str]] = field(default_factory=deque)
    last_due_ns: int = 0


class StressedDesk(SimulatedDesk):
    """Frames keep their order within a feed only. `told` says how the monitor's figures compare with the venue's."""

    def __init__(self, venue: HyperliquidVenue, plans: list[AccountPlan], weather: Weather, seed: int) -> None:
        self.weather = Weather(0.0, 0.0, 0.0, 0.0, 0.0)
        self.random = random.Random(f"stress {seed}")
        self.lanes: dict[tuple[str, str], _Lane] = {}
        self.answers: list[tuple[int, int, list[Event]]] = []
        self.unseen: dict[str, int] = {}
        """Alias -> when (ns) the last change was made that neither a log frame nor newer states have told."""
        self.stated: dict[tuple[str, str], int] = {}
        self.aliases = {plan.address: plan.name for plan in plans}
        self.prices: deque[tuple[int, dict[str, float]]] = deque()
        self.slack: dict[str, float] = {}
        self.answering = True
        self.next_poll_ns = 10 * SECOND
        super().__init__(venue, plans)
        self.weather = weather

    # -- time ------------------------------------------------------------------------------------------------------------

    def deliver(self) -> None:
        if self.now_ns >= self.next_poll_ns:
            self.next_poll_ns = self.now_ns + 10 * SECOND
            self._poll_wallets()
        for text in self._client.drain():
            self._post(text)
        self._arrive()

    def settle(self) -> None:
        """Let everything under way arrive, then six account and wallet frames of every account, at once and without REST."""
        self.weather = Weather(0.0, 0.0, 0.0, 0.0, 0.0)
        for _ in range(60):
            self.advance(0.1)
        self.answering = False
        for _ in range(300):
            self.advance(0.1)
        self.slack.clear()

    def _post(self, text: str) -> None:
        frame = json.loads(text)
        channel, data = frame.get("channel", "?"), frame.get("data")
        user = data.get("user", "") if isinstance(data, dict) else ""
        subject = user or (data.get("coin", "") if isinstance(data, dict) else "")
        lane = self.lanes.setdefault((channel, subject), _Lane())
        weather, alias = self.weather, self.aliases.get(user, "")
        if channel != "subscriptionResponse" and self.random.random() < weather.lost:
            if channel in LOGS:
                self.unseen[alias] = self.now_ns
            return
        longest = weather.account_delay if alias or channel == "webData3" else weather.market_delay
        delay = self.random.uniform(0.0, longest) if self.random.random() < 0.5 else 0.0
        for _ in range(2 if self.random.random() < weather.doubled and channel != "fastAssetCtxs" else 1):
            lane.last_due_ns = max(lane.last_due_ns, self.now_ns + int(delay * SECOND))
            lane.queue.append((lane.last_due_ns, self.now_ns, text))

    def _arrive(self) -> None:
        due = sorted((lane.queue[0][0], key) for key, lane in self.lanes.items() if lane.queue and lane.queue[0][0] <= self.now_ns)
        while due:
            _, key = due[0]
            lane = self.lanes[key]
            _, sent_ns, text = lane.queue.popleft()
            self._receive(key, sent_ns, text)
            due = sorted((lane.queue[0][0], key) for key, lane in self.lanes.items() if lane.queue and lane.queue[0][0] <= self.now_ns)
        for answer in [answer for answer in self.answers if answer[0] <= self.now_ns]:
            self.answers.remove(answer)
            for event in answer[2]:
                self.book.apply(event)
                if isinstance(event, AccountSnapshot):
                    for feed in STATES:
                        self._stated(event.account, feed, answer[1])
        self.want()
        self.engine.evaluate()
        for _, alias, _ in self.book.take_refreshes():
            self.ask(next(plan for plan in self.plans if plan.name == alias))

    def _receive(self, key: tuple[str, str], sent_ns: int, text: str) -> None:
        self.frames[key[0]] = self.frames.get(key[0], 0) + 1
        for event in self.protocol.receive(text.encode(), self.now_ns):
            self.book.apply(event)
        if key[0] in STATES:
            self._stated(self.aliases[key[1]], key[0], sent_ns)

    def advance(self, dt: float) -> None:
        market = self.venue.market
        self.prices.append((self.now_ns, {coin: quote.mark for coin, quote in market.quotes.items()}))
        longest = self.weather.account_delay + self.weather.rest_delay + self.weather.market_delay + 0.5
        while self.now_ns - self.prices[0][0] > longest * SECOND:
            self.prices.popleft()
        super().advance(dt)

    def _unsure(self, plan: AccountPlan) -> float:
        # What the marks moved while a wallet was under way, on everything the account holds.
        account, market = self.venue.exchange.account(plan.address), self.venue.market
        held = {coin: abs(position.size) for coin, position in account.positions.items()}
        for token, coin in ((HYPE, "HYPE"), (UBTC, "BTC")):
            if account.mode == "portfolioMargin":
                held[coin] = held.get(coin, 0.0) + account.wallet.get(token, 0.0)
        seen = {coin: [prices[coin] for _, prices in self.prices] + [market.mark(coin)] for coin in held}
        return sum(size * (max(seen[coin]) - min(seen[coin])) for coin, size in held.items())

    def _stated(self, alias: str, feed: str, sent_ns: int) -> None:
        self.slack[alias] = self._unsure(next(plan for plan in self.plans if plan.name == alias))
        self.stated[alias, feed] = max(sent_ns, self.stated.get((alias, feed), 0))
        if all(self.stated.get((alias, known), -1) >= self.unseen.get(alias, 1 << 62) for known in STATES):
            del self.unseen[alias]

    # -- REST ------------------------------------------------------------------------------------------------------------

    def resync(self, plan: AccountPlan) -> None:
        self.book.apply(ModeReport(VENUE, plan.name, self.now_ns, self.info("userAbstraction", user=plan.address)))
        self.ask(plan)
        self._arrive_answers_now()

    def _arrive_answers_now(self) -> None:
        for _, _, events in self.answers:
            for event in events:
                self.book.apply(event)
        self.answers.clear()
        self.want()

    def _poll_wallets(self) -> None:
        for plan in self.plans:
            if self.venue.exchange.account(plan.address).mode == "portfolioMargin":
                wallet = parse_wallet(self.info("spotClearinghouseState", user=plan.address), complete=True)
                due = self.now_ns + int(self.random.uniform(0.0, self.weather.rest_delay) * SECOND)
                self.answers.append((due, self.now_ns, [WalletSnapshot(VENUE, plan.name, due, Source.POLL, wallet)]))

    def ask(self, plan: AccountPlan) -> None:
        """Read the account by REST: the answers are of now and arrive late."""
        if not self.answering or any(len(events) > 1 and events[0].account == plan.name for _, _, events in self.answers):  # type: ignore[union-attr]
            return
        reserves = parse_reserves(self.info("allBorrowLendReserveStates"), self.reference)
        sections = tuple(parse_section(dex, self.info("clearinghouseState", user=plan.address, dex=dex)) for dex in self.reference.dexs)
        wallet = parse_wallet(self.info("spotClearinghouseState", user=plan.address), complete=True)
        due = self.now_ns + int(self.random.uniform(0.0, self.weather.rest_delay) * SECOND)
        self.answers.append(
            (
                due,
                self.now_ns,
                [
                    AccountSnapshot(VENUE, plan.name, due, sections, wallet),
                    BorrowReserves(VENUE, due, reserves),
                ],
            )
        )

    def reconnect(self) -> None:
        """The connection is lost with all that is under way; the new one tells states and logs again, and accounts are read by REST."""
        self._client.close()
        for (channel, user), lane in self.lanes.items():
            if lane.queue and channel in LOGS:
                self.unseen[self.aliases[user]] = self.now_ns
            lane.queue.clear()
        self.protocol.closed(self.now_ns, "test")
        self._client = self.venue.connect()
        for frame in self.protocol.opened(self.now_ns):
            self._client.receive(frame.decode())
        for plan in self.plans:
            self.ask(plan)

    # -- judgement -------------------------------------------------------------------------------------------------------

    def under_way(self, alias: str) -> bool:
        """Whether the venue did something to the account that the monitor cannot know yet."""
        address = next(plan.address for plan in self.plans if plan.name == alias)
        if any(lane.queue for (channel, _), lane in self.lanes.items() if channel == "webData3"):
            return True
        return alias in self.unseen or any(self.lanes[log, address].queue for log in LOGS if (log, address) in self.lanes)

    @contextmanager
    def _our_prices(self) -> Iterator[None]:
        market, book = self.venue.market, self.book.market
        kept = {coin: (quote.mark, quote.oracle) for coin, quote in market.quotes.items()}
        spots = dict(market.spots)
        for coin, quote in market.quotes.items():
            mark = book.mark(f"{VENUE}:{coin}")
            if mark == mark:
                quote.mark = mark
                index = float(book.index[book.row(f"{VENUE}:{coin}")])
                quote.oracle = index if index == index else quote.oracle
        for pair, asset in self.shared.plan.spot.items():
            price = book.spot(VENUE, asset)
            if price is not None:
                market.spots[pair] = price
        try:
            yield
        finally:
            for coin, (mark, oracle) in kept.items():
                market.quotes[coin].mark, market.quotes[coin].oracle = mark, oracle
            market.spots.update(spots)

    def truth(self, plan: AccountPlan) -> dict[str, Figures]:
        """The venue's figures at the prices the monitor has."""
        with self._our_prices():
            return self.venue.figures(plan.address)

    def flagged(self, alias: str) -> dict[str, str]:
        """Pools that say themselves that they are not to be trusted, and why."""
        arrays, found = self.engine.arrays, {}
        for row, (_, account, pool) in arrays.scopes.items():
            spec = arrays.specs[row]
            if account != alias:
                continue
            apart = worst(spec.comparisons)
            if spec.failures or arrays.margins.status[row]:
                found[pool] = spec.failures[0].detail if spec.failures else "status"
            elif spec.doubt:
                found[pool] = spec.doubt
            elif apart is not None and apart > TOLERANCE:
                found[pool] = f"apart {apart:.2g}: " + max(spec.comparisons, key=lambda c: c.difference).figure
        return found

    def errors(self, plan: AccountPlan) -> list[tuple[str, str, float]]:
        """(pool, figure, signed relative error) of everything, without what is flagged. Error < 0: shown better than it is."""
        found: list[tuple[str, str, float]] = []
        flagged, ours, theirs = self.flagged(plan.name), self.ours(plan.name), self.truth(plan)
        bare = "account" in flagged or bool(flagged.keys() - theirs.keys())
        for pool in ours.keys() | theirs.keys():
            if pool in flagged or bare:
                continue
            if pool not in ours:
                found.append((pool, "missing", -math.inf))
                continue
            if pool not in theirs:
                if any(ours[pool]):
                    found.append((pool, "surplus", ours[pool][0]))
                continue
            mine, other = ours[pool], theirs[pool]
            found.append((pool, "equity", self._beyond(plan, other.equity - mine[0], other.equity)))
            found.append((pool, "maintenance", self._beyond(plan, mine[1] - other.maintenance, other.maintenance)))
        return found

    def _beyond(self, plan: AccountPlan, gap: float, figure: float) -> float:
        return math.copysign(max(0.0, abs(gap) - self.slack.get(plan.name, 0.0)), gap) / max(1.0, abs(figure))
