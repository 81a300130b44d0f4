"""Aster: one frame of all marks to the alert decision, and one account update to it, with the share of each step; a request's signature."""

from __future__ import annotations

import gc
import json
import random
import time
from collections.abc import Callable, Iterable

import numpy as np
from eth_keys.backends.coincurve import CoinCurveECCBackend
from eth_keys.backends.native.main import NativeECCBackend
from eth_keys.main import KeyAPI

from bench.tick import STEPS, report
from config.collateral import load_collateral
from connectors.aster.accounts import AccountState
from connectors.aster.feeds import AccountFeeds
from connectors.aster.market import SharedMarket
from connectors.aster.protocol import MarketProtocol, UserProtocol
from connectors.aster.reference import Reference, instrument_id
from connectors.aster.settings import VENUE, AgentKey, AsterAccountRef
from connectors.aster.signing import VenueClock
from connectors.aster.state import Modes
from connectors.clock import ManualClock
from connectors.events import Event, Source
from connectors.model import FuturesAsset, FuturesRead, Instrument, InstrumentKind, MarginTier, Position, PriceBasis, Token
from connectors.session_protocol import SessionProtocol
from kernels.pool import Floats
from kernels.warmup import warm_up
from monitor.alerts.policy import AlertPolicy, PolicyConfig
from monitor.book import AccountEntry, Book
from monitor.engine import Engine
from monitor.margin.aster import AsterAccount, AsterRules

SYMBOLS = 580
TIERS = (MarginTier(0.0, 0.01, 0.0), MarginTier(500_000.0, 0.025, 7_500.0), MarginTier(5_000_000.0, 0.05, 132_500.0))
COINS = ("BTC", "BNB", "ETH")
START_MS = 1_790_000_000_000


class AsterDesk:
    """Protocols, book, engine and policy with `accounts` accounts of `positions` positions each; every other one is multi-assets."""

    def __init__(self, accounts: int, positions: int, seed: int = 1) -> None:
        self.random = random.Random(seed)
        self.symbols = [*(f"{coin}USDT" for coin in COINS), *(f"C{number}USDT" for number in range(SYMBOLS - len(COINS)))]
        self.marks = {symbol: float(f"{10 ** self.random.uniform(-2, 4):.6g}") for symbol in self.symbols}
        self.shared = SharedMarket()
        self.reference = self._reference()
        self.shared.replace(self.reference)
        clock = ManualClock(time_ms=START_MS)
        table = load_collateral()
        self.names = [f"account-{number}" for number in range(accounts)]
        rules = AsterRules(table.ratios)
        self.book = Book(AccountEntry(VENUE, name, AsterAccount(name, rules), (0.85, 0.90, 1.0), 0.02) for name in self.names)
        self.engine, self.policy = Engine(self.book), AlertPolicy(PolicyConfig())
        self.book.apply(self.reference.event(0))
        self.market: SessionProtocol = MarketProtocol(self.shared, VenueClock(clock), 10.0, 0)
        self.states = {name: self._state(name) for name in self.names}
        self.users: dict[str, SessionProtocol] = {
            name: UserProtocol(state, self.shared, VenueClock(clock), ask=lambda urgency: None, expired=lambda why: None)
            for name, state in self.states.items()
        }
        for protocol in (self.market, *self.users.values()):
            protocol.opened(0)
        for number, name in enumerate(self.names):
            self._read(name, positions, multi_assets=number % 2 == 1)
        self.shared.want(self.book.held(VENUE))
        self.evaluate(self.market.receive(self.frames(1)[0], 0), 0)

    def evaluate(self, events: Iterable[Event], now_ns: int) -> None:
        """Apply events and decide."""
        for event in events:
            self.book.apply(event)
        self.engine.evaluate()
        self.policy.observe(self.engine.results(now_ns), 0.0)

    def frames(self, count: int) -> list[bytes]:
        """Frames of all symbols in the recorded shape whose marks walk at random, 0.05 % a step together and as much each."""
        made, level = [], 1.0
        for step in range(count):
            level *= 1 + self.random.gauss(0, 0.0005)
            stamp = START_MS + 1000 * step
            rows = []
            for symbol, mark in self.marks.items():
                now = mark * level * (1 + self.random.gauss(0, 0.0005))
                text = f"{now:.8f}"
                rows.append(
                    {"e": "markPriceUpdate", "E": stamp, "s": symbol, "p": text, "P": text, "i": text, "r": "0.00010000", "T": stamp}
                )
            made.append(json.dumps(rows, separators=(",", ":")).encode())
        return made

    def updates(self, count: int) -> list[tuple[str, bytes]]:
        """Fills: each moves one position and the USDT wallet of one account in turn."""
        made = []
        for step in range(count):
            name = self.names[step % len(self.names)]
            state = self.states[name].merge.state()
            assert state is not None
            position = state.positions[step % len(state.positions)]
            symbol, stamp = position.instrument.partition(":")[2], START_MS + 10_000 + step
            amount = position.quantity * (1 + step % 7 / 1000)
            wallet = next(asset.wallet for asset in state.assets if asset.asset == "USDT") - step % 11
            row = {"s": symbol, "pa": f"{amount:.8f}", "ep": f"{position.entry:.8f}", "cr": "0", "up": "0.00000000", "mt": "cross"}
            change = {"B": [{"a": "USDT", "wb": f"{wallet:.8f}", "cw": f"{wallet:.8f}", "bc": "0"}], "m": "ORDER"}
            body = {"P": [row | {"iw": "0", "ps": "BOTH", "ma": "USDT"}], **change}
            made.append((name, json.dumps({"e": "ACCOUNT_UPDATE", "T": stamp, "E": stamp, "a": body}, separators=(",", ":")).encode()))
        return made

    def _reference(self) -> Reference:
        found = {symbol: self._instrument(symbol) for symbol in self.symbols}
        tokens = {"USDT": Token(VENUE, 0, "USDT", "USDT", basis=PriceBasis.PAR)} | {
            coin: Token(VENUE, 1 + number, coin, coin, basis=PriceBasis.INDEX, perpetual=instrument_id(f"{coin}USDT"))
            for number, coin in enumerate(COINS)
        }
        return Reference(found, tokens)

    @staticmethod
    def _instrument(symbol: str) -> Instrument:
        kind, key = InstrumentKind.PERPETUAL, instrument_id(symbol)
        return Instrument(key, VENUE, symbol, kind, symbol[:-4], "USDT", "USDT", tiers=TIERS, max_leverage=50.0, funding_interval_h=8.0)

    @staticmethod
    def _state(name: str) -> AccountState:
        ref = AsterAccountRef(name, "0x" + "1" * 40, AgentKey("0x" + "1" * 64))
        return AccountState(ref, AccountFeeds(name, poll_s=4.0, reconcile_s=45.0, now_ns=0))

    def _read(self, name: str, positions: int, *, multi_assets: bool) -> None:
        rows = []
        for symbol in self.random.sample(self.symbols, positions):
            mark = self.marks[symbol]
            quantity = self.random.uniform(20_000, 400_000) * self.random.choice((-1, 1)) / mark
            rows.append(Position(instrument_id(symbol), quantity, mark, entry=mark, leverage=10.0, time_ms=START_MS))
        maintenance = sum(abs(row.quantity * row.mark) * 0.01 for row in rows)
        money = maintenance / self.random.uniform(0.2, 0.95)
        assets = [FuturesAsset("USDT", money, money, START_MS)]
        if multi_assets:
            assets += [
                FuturesAsset(coin, 0.1 * money / self.marks[f"{coin}USDT"], 0.1 * money / self.marks[f"{coin}USDT"]) for coin in COINS
            ]
        total = money * 1.28
        read = FuturesRead(START_MS, tuple(assets), tuple(rows), (), total, total, maintenance, 10 * maintenance, total)
        state = self.states[name]
        state.merge.read(read, Modes(multi_assets, False, START_MS), listening_since_ms=0)
        snapshot = state.snapshot(Source.POLL, 0)
        assert snapshot is not None
        self.book.apply(snapshot)


def _run(desk: AsterDesk, frames: Iterable[tuple[SessionProtocol, bytes]]) -> Floats:
    clock: Callable[[], int] = time.perf_counter_ns
    told = []
    for row, (protocol, frame) in enumerate(frames):
        begin = clock()
        events = protocol.receive(frame, row)
        parsed = clock()
        for event in events:
            desk.book.apply(event)
        applied = clock()
        crossed = desk.engine.evaluate()
        evaluated = clock()
        if crossed:
            desk.policy.observe([desk.engine.result(index, row, measure=True) for index in crossed], row / 10)
        told.append(np.diff([begin, parsed, applied, evaluated, clock()]) / 1000)
    return np.array(told).reshape(-1, len(STEPS))


def _signing(count: int = 300) -> None:
    us = []
    for backend in (CoinCurveECCBackend(), NativeECCBackend()):
        keys = KeyAPI(backend)
        key = keys.PrivateKey(b"1" * 32)
        begin = time.perf_counter()
        for number in range(count):
            keys.ecdsa_sign(number.to_bytes(32), key)
        us.append(1e6 * (time.perf_counter() - begin) / count)
    quick, plain = us
    print(f"a signature, for which the event loop waits: {quick:.0f} us, in pure Python {plain:.0f} us ({plain / quick:.0f} times)")


def main() -> None:
    """Measure and print."""
    _signing()
    warm_up()
    for accounts, positions in ((20, 20), (100, 20)):
        desk = AsterDesk(accounts, positions)
        frames = [(desk.market, frame) for frame in desk.frames(1050)]
        updates = [(desk.users[name], frame) for name, frame in desk.updates(4500)]
        gc.collect()
        gc.freeze()
        _run(desk, frames[:50])
        held = len(desk.book.held(VENUE))
        book = f"{accounts} accounts x {positions} positions, {held} held instruments"
        report(f"made frame of {SYMBOLS} marks ({len(frames[0][1]) // 1000} kB), {book}", _run(desk, frames[50:]))
        _run(desk, updates[:500])
        report("account update (a fill)", _run(desk, updates[500:]))
