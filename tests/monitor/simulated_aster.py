"""The simulated Aster wired to the monitor without sockets: what the one says goes through the connector's parsers into the other."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from config.collateral import load_collateral
from connectors.aster.answers import parse_account, parse_flag, with_position_risk
from connectors.aster.market import SharedMarket
from connectors.aster.messages import ACCOUNT_UPDATE, parse_account_update
from connectors.aster.protocol import MARK_STREAM, MarketProtocol
from connectors.aster.reference import build
from connectors.aster.settings import VENUE, AsterConfig
from connectors.aster.signing import VenueClock
from connectors.aster.state import AccountMerge, Modes
from connectors.clock import ManualClock
from connectors.events import FuturesSnapshot, Source
from connectors.simulator.aster import ALIASES, AsterVenue, credentials, sign
from monitor.book import AccountEntry, Book
from monitor.engine import Engine
from monitor.margin.aster import AsterAccount, AsterRules

SECOND = 1_000_000_000


class SimulatedAster:
    """One venue with the demo accounts, one monitor. `kept` says which user events (by kind) and mark frames arrive."""

    def __init__(self, venue: AsterVenue, *, tolerance: float = 0.005) -> None:
        self.venue = venue
        self.now_ns = 0
        table = load_collateral()
        self.config = AsterConfig("http://venue", "ws://venue", collateral=table.coins, par=table.par)
        rules = AsterRules(table.ratios, model_tolerance=tolerance)
        self.book = Book(AccountEntry(VENUE, alias, AsterAccount(alias, rules), (0.85, 0.90, 1.0), 0.02) for alias in ALIASES)
        self.engine = Engine(self.book)
        self.events: dict[str, int] = {}
        self.kept: Callable[[str], bool] = lambda kind: True
        self._nonce = 0
        brackets = self.read("umbra", "leverageBracket")
        self.reference = build(self.public("exchangeInfo"), brackets, self.public("fundingInfo"), self.config)
        self.shared = SharedMarket()
        self.shared.replace(self.reference)
        self.book.apply(self.reference.event(0))
        self._market = MarketProtocol(self.shared, VenueClock(ManualClock()), 10.0, 0)
        self._market.opened(0)
        self._marks = venue.connect_market([MARK_STREAM])
        self._merges = {alias: AccountMerge() for alias in ALIASES}
        self._streams = {alias: venue.connect_user(self.read(alias, "listenKey", method="POST")["listenKey"]) for alias in ALIASES}
        for alias in ALIASES:
            self.resync(alias)
        self.advance(0.1)
        for alias in ALIASES:
            self.resync(alias)
        self.engine.evaluate()

    def public(self, name: str) -> Any:
        return self._answer(self.venue.request("GET", f"/fapi/v3/{name}", "", b"", {}))

    def read(self, alias: str, name: str, *, method: str = "GET") -> Any:
        keys = credentials(alias)
        self._nonce = max(self._nonce + 1, self.venue.market.now_ms * 1000)
        message = urlencode([("nonce", str(self._nonce)), ("user", keys.user), ("signer", keys.signer)])
        signed = f"{message}&signature={sign(message, keys.private_key)}"
        query, body = (signed, b"") if method == "GET" else ("", signed.encode())
        return self._answer(self.venue.request(method, f"/fapi/v3/{name}", query, body, {}))

    @staticmethod
    def _answer(answer: tuple[int, Any, bytes]) -> Any:
        status, _, body = answer
        assert status == 200, body
        return json.loads(body)

    def resync(self, alias: str) -> None:
        """What the connector does by REST: modes, account, position risk."""
        began_ms = self.venue.market.now_ms
        multi = parse_flag(self.read(alias, "multiAssetsMargin"), "multiAssetsMargin")
        hedge = parse_flag(self.read(alias, "positionSide/dual"), "dualSidePosition")
        read = parse_account(self.read(alias, "accountWithJoinMargin"), began_ms, self.reference)
        read = with_position_risk(read, self.read(alias, "positionRisk"))
        self._merges[alias].read(read, Modes(multi, hedge, began_ms), listening_since_ms=0)
        self._tell(alias, Source.POLL)

    def advance(self, dt: float) -> None:
        """Move the venue and let the monitor have every frame."""
        self.now_ns += int(dt * SECOND)
        self.venue.advance(dt)
        self.deliver()

    def deliver(self) -> None:
        for text in self._marks.drain():
            if self.kept("marks"):
                for event in self._market.receive(text.encode(), self.now_ns):
                    self.book.apply(event)
        for alias, stream in self._streams.items():
            for text in stream.drain():
                self._user_event(alias, json.loads(text))
        self.shared.want(self.book.held(VENUE))
        self.engine.evaluate()

    def _user_event(self, alias: str, frame: dict[str, Any]) -> None:
        kind = frame.get("e", "?")
        self.events[kind] = self.events.get(kind, 0) + 1
        if kind == ACCOUNT_UPDATE and self.kept(frame["a"]["m"]):
            self.events[frame["a"]["m"]] = self.events.get(frame["a"]["m"], 0) + 1
            if self._merges[alias].update(parse_account_update(frame, self.reference)):
                self._tell(alias, Source.PUSH)

    def _tell(self, alias: str, source: Source) -> None:
        state = self._merges[alias].state()
        assert state is not None
        self.book.apply(FuturesSnapshot(VENUE, alias, self.now_ns, source, state))
        self.shared.want(self.book.held(VENUE))

    def ours(self, alias: str) -> dict[str, tuple[float, float, float]]:
        """(equity, maintenance, ratio) by pool."""
        arrays = self.engine.arrays
        return {
            scope[2]: (float(arrays.margins.capacity[row]), float(arrays.margins.requirement[row]), float(arrays.margins.ratio[row]))
            for row, scope in arrays.scopes.items()
            if scope[1] == alias and arrays.margins.status[row] == 0 and not arrays.specs[row].failures
        }

    def worst_difference(self, alias: str) -> tuple[float, str]:
        """Largest relative difference of equity, maintenance or ratio over the account's pools, and where."""
        worst, where = 0.0, ""
        ours = self.ours(alias)
        for pool, figures in self.venue.figures(alias).items():
            if pool not in ours:
                return math.inf, f"{alias}/{pool} is missing, have {sorted(ours)}"
            theirs = (figures.equity, figures.maintenance_margin, figures.ratio)
            for name, mine, other in zip(("equity", "maintenance", "ratio"), ours[pool], theirs, strict=True):
                scale = max(1.0, abs(other)) if name != "ratio" else max(1e-3, abs(other))
                gap = 0.0 if mine == other else abs(mine - other) / scale
                if not gap <= worst:
                    worst, where = gap, f"{alias}/{pool} {name}: ours {mine!r}, the venue's {other!r}"
        return worst, where
