"""A desk for benchmarks: the recorded frame of 412 contexts (or one of its shape) and accounts that hold what is in it."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

from connectors.events import AccountSnapshot, Instruments
from connectors.hyperliquid.market import SharedReference
from connectors.hyperliquid.memory import Memory
from connectors.hyperliquid.protocol import HyperliquidProtocol
from connectors.hyperliquid.reference import Dex, Reference, instrument_id, maintenance_tiers
from connectors.hyperliquid.settings import FeedLimits
from connectors.model import Instrument, InstrumentKind, MarginMode, Position, Section, Token, Wallet
from monitor.alerts.policy import AlertPolicy, PolicyConfig
from monitor.book import AccountEntry, Book
from monitor.engine import Engine
from monitor.margin.hyperliquid import VENUE, HyperliquidAccount

SHAPE = {"": 230, "abcd": 1, "cash": 17, "flx": 16, "hyna": 25, "km": 23, "para": 5, "vntl": 15, "xyz": 80}
"""Contexts per dex of the recorded frame."""


def recorded_frame() -> tuple[dict[str, Any], str]:
    """The recorded allDexsAssetCtxs frame, or a made one of the same shape where the recordings are absent; and which it is."""
    folder = Path(os.environ.get("MARGINWATCH_RECORDINGS") or Path(__file__).parents[1] / "../shared/fixtures")
    path = folder / "hyperliquid" / "ws_all_dexs_asset_ctxs_full.json"
    if path.is_file():
        return json.loads(path.read_bytes()), "recorded"
    context = {
        "funding": "-0.0000015186", "openInterest": "27353.17682", "prevDayPx": "76317.0", "dayNtlVlm": "1516669192.1953897476",
        "premium": "-0.0005927453", "oraclePx": "77605.0", "markPx": "77562.0", "midPx": "77558.5", "impactPxs": ["77558.0", "77559.0"],
        "dayBaseVlm": "19707.77457",
    }  # fmt: skip
    return {"channel": "allDexsAssetCtxs", "data": {"ctxs": [[dex, [context] * count] for dex, count in SHAPE.items()]}}, "made"


class Desk:
    """Protocol, book, engine and policy with `accounts` accounts of `positions` positions each, seeded."""

    def __init__(self, accounts: int, positions: int, seed: int = 1) -> None:
        self.frame, self.origin = recorded_frame()
        self.random = random.Random(seed)
        self.shared = SharedReference(("HYPE",))
        reference = self._reference()
        self.shared.replace(reference)
        self.protocol = HyperliquidProtocol(self.shared, Memory(), FeedLimits())
        self.protocol.watch_market(0, fast=True)
        self.protocol.opened(0)
        names = [f"account-{number}" for number in range(accounts)]
        self.book = Book(AccountEntry(VENUE, name, HyperliquidAccount(name), (0.85, 0.90, 1.0), 0.02) for name in names)
        self.engine = Engine(self.book)
        self.policy = AlertPolicy(PolicyConfig())
        self.book.apply(
            Instruments(
                VENUE, tuple(reference.instruments.values()), dict.fromkeys(reference.dexs, 0), (Token(VENUE, 0, "USDC", "USDC"),), 0
            )
        )
        self.marks = {
            instrument_id(self._name(dex, slot)): float(context["markPx"])
            for dex, contexts in self.frame["data"]["ctxs"]
            for slot, context in enumerate(contexts)
        }
        for name in names:
            self.book.apply(self._account(name, positions))
        self.shared.want(self.book.held(VENUE))
        for event in self.protocol.receive(json.dumps(self.frame).encode(), 0):
            self.book.apply(event)
        self.engine.evaluate()
        self.policy.observe(self.engine.results(0), 0.0)

    def frames(self, count: int) -> list[bytes]:
        """Frames whose marks walk at random: 0.05 % a step together, as much each on its own (several times a wild market's second)."""
        made = []
        level = 1.0
        for _ in range(count):
            level *= 1 + self.random.gauss(0, 0.0005)
            for dex, contexts in self.frame["data"]["ctxs"]:
                for slot, context in enumerate(contexts):
                    mark = self.marks[instrument_id(self._name(dex, slot))] * level * (1 + self.random.gauss(0, 0.0005))
                    contexts[slot] = {**context, "markPx": f"{mark:.6g}"}
            made.append(json.dumps(self.frame, separators=(",", ":")).encode())
        return made

    @staticmethod
    def _name(dex: str, slot: int) -> str:
        return f"{dex}:C{slot}" if dex else f"C{slot}"

    def _reference(self) -> Reference:
        instruments, dexs = {}, {}
        tiers = maintenance_tiers([(0.0, 20.0), (20_000_000.0, 10.0)])
        for dex, contexts in self.frame["data"]["ctxs"]:
            names = [self._name(dex, slot) for slot in range(len(contexts))]
            dexs[dex] = Dex(dex, 0, tuple(instrument_id(name) for name in names))
            for name in names:
                key = instrument_id(name)
                instruments[key] = Instrument(
                    key, VENUE, name, InstrumentKind.PERPETUAL, name, "USDC", dex, 1.0, tiers, 20.0, funding_interval_h=1.0
                )
        return Reference(dexs, instruments, {0: Token(VENUE, 0, "USDC", "USDC")}, {})

    def _account(self, name: str, positions: int) -> AccountSnapshot:
        held = self.random.sample([key for key in self.marks if key.count(":") == 1], positions)
        rows = []
        for key in held:
            notional = self.random.uniform(20_000, 400_000) * self.random.choice((-1, 1))
            rows.append(Position(key, notional / self.marks[key], self.marks[key], MarginMode.CROSS, leverage=10.0, max_leverage=20.0))
        value = sum(row.quantity * row.mark for row in rows)
        maintenance = sum(abs(row.quantity * row.mark) for row in rows) / 40
        equity = maintenance / self.random.uniform(0.2, 0.95)
        return AccountSnapshot(VENUE, name, 0, (Section("", 1, equity - value, tuple(rows)),), Wallet(()))
