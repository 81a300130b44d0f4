"""The simulated venue wired to the monitor without sockets: frames from the one go through the protocol into the other."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import Any

from connectors.events import AccountSnapshot, BorrowReserves, Liquidation, ModeReport
from connectors.hyperliquid.ledger import Watched
from connectors.hyperliquid.market import SharedReference
from connectors.hyperliquid.memory import Memory
from connectors.hyperliquid.messages import parse_reserves, parse_section, parse_wallet
from connectors.hyperliquid.protocol import HyperliquidProtocol
from connectors.hyperliquid.reference import VENUE, build
from connectors.hyperliquid.settings import FeedLimits
from connectors.simulator.hyperliquid import AccountPlan, HyperliquidVenue
from monitor.book import AccountEntry, Book
from monitor.engine import Engine
from monitor.margin.hyperliquid import HyperliquidAccount

SECOND = 1_000_000_000


class SimulatedDesk:
    """One venue, one connection for everything, one monitor."""

    def __init__(self, venue: HyperliquidVenue, plans: Iterable[AccountPlan]) -> None:
        self.venue = venue
        self.plans = list(plans)
        self.now_ns = 0
        self.shared = SharedReference(("HYPE", "UBTC"))
        self.protocol = HyperliquidProtocol(self.shared, Memory(), FeedLimits())
        self.book = Book(AccountEntry(VENUE, p.name, HyperliquidAccount(p.name), (0.85, 0.90, 1.0), 0.02) for p in self.plans)
        self.engine = Engine(self.book)
        self.frames: dict[str, int] = {}
        self.liquidations = 0
        self.filter: Callable[[str, str], bool] = lambda channel, text: True
        self._client = venue.connect()
        self.reference = build(self.info("perpDexs"), self.info("allPerpMetas"), self.info("spotMeta"))
        self.shared.replace(self.reference)
        self.book.apply(self.reference.event(0))
        for plan in self.plans:
            self.protocol.watch(Watched(plan.name, plan.address), (), 0)
        self.protocol.watch_market(0, fast=False)
        self.protocol.watch_spot(self.reference.priced_pairs(("HYPE", "UBTC")), 0)
        for frame in self.protocol.opened(0):
            self._client.receive(frame.decode())
        for plan in self.plans:
            self.resync(plan)
        self.deliver()

    def info(self, kind: str, **parameters: Any) -> Any:
        status, _, body = self.venue.info(json.dumps({"type": kind, **parameters}).encode())
        assert status == 200, body
        return json.loads(body)

    def resync(self, plan: AccountPlan) -> None:
        """What the connector does by REST: mode, reserves, every ledger, the wallet."""
        word = self.info("userAbstraction", user=plan.address)
        self.book.apply(ModeReport(VENUE, plan.name, self.now_ns, word))
        reserves = parse_reserves(self.info("allBorrowLendReserveStates"), self.reference)
        self.book.apply(BorrowReserves(VENUE, self.now_ns, reserves))
        sections = tuple(parse_section(dex, self.info("clearinghouseState", user=plan.address, dex=dex)) for dex in self.reference.dexs)
        wallet = parse_wallet(self.info("spotClearinghouseState", user=plan.address), complete=True)
        self.book.apply(AccountSnapshot(VENUE, plan.name, self.now_ns, sections, wallet))
        self.want()

    def want(self) -> None:
        self.shared.want(self.book.held(VENUE))

    def advance(self, dt: float) -> None:
        """Move the venue and let the monitor have every frame."""
        self.now_ns += int(dt * SECOND)
        self.venue.advance(dt)
        self.deliver()

    def deliver(self) -> None:
        for text in self._client.drain():
            channel = json.loads(text).get("channel", "?")
            if not self.filter(channel, text):
                continue
            self.frames[channel] = self.frames.get(channel, 0) + 1
            for event in self.protocol.receive(text.encode(), self.now_ns):
                self.liquidations += isinstance(event, Liquidation)
                self.book.apply(event)
        self.want()
        self.engine.evaluate()

    def ours(self, account: str) -> dict[str, tuple[float, float, float]]:
        """(equity, maintenance, ratio) by pool."""
        arrays = self.engine.arrays
        return {
            scope[2]: (float(arrays.margins.capacity[row]), float(arrays.margins.requirement[row]), float(arrays.margins.ratio[row]))
            for row, scope in arrays.scopes.items()
            if scope[1] == account and arrays.margins.status[row] == 0 and not arrays.specs[row].failures
        }

    def worst_difference(self, account: AccountPlan) -> tuple[float, str]:
        """Largest relative difference of equity, maintenance or ratio over the account's pools, and where."""
        worst, where = 0.0, ""
        ours, theirs = self.ours(account.name), self.venue.figures(account.address)
        for pool, figures in theirs.items():
            if pool not in ours:
                return math.inf, f"{account.name}/{pool} is missing, have {sorted(ours)}"
            told = zip(("equity", "maintenance", "ratio"), ours[pool], (figures.equity, figures.maintenance, figures.ratio), strict=True)
            for name, mine, other in told:
                scale = max(1.0, abs(other)) if name != "ratio" else max(1e-3, abs(other))
                gap = 0.0 if mine == other else abs(mine - other) / scale
                if not gap <= worst:
                    worst, where = gap, f"{account.name}/{pool} {name}: ours {mine!r}, the venue's {other!r}"
        return worst, where
