"""A monitor over one Hyperliquid account, fed with states written by hand: the same path as live, without frames."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from connectors.events import (
    AccountSnapshot,
    CashFlow,
    CashFlowKind,
    Event,
    Fill,
    Instruments,
    MarkPrices,
    ModeReport,
    SectionsSnapshot,
    Source,
    SpotPrices,
    WalletSnapshot,
)
from connectors.hyperliquid.reference import maintenance_tiers
from connectors.model import Balance, Instrument, InstrumentKind, MarginMode, MarginTier, Position, Section, Token, Wallet
from monitor.book import AccountEntry, Book
from monitor.engine import Engine
from monitor.margin.hyperliquid import VENUE, HyperliquidAccount, HyperliquidRules
from monitor.margin.result import PoolResult

ACCOUNT = "maker"
SECOND = 1_000_000_000
SECTIONS = {"": 0, "io": 0, "xyz": 0, "hyna": 235}
TOKENS = {0: ("USDC", "USDC"), 150: ("HYPE", "HYPE"), 197: ("UBTC", "BTC"), 235: ("USDE", "USDE")}
TABLES: dict[str, list[tuple[float, float]]] = {
    "BTC": [(0.0, 40.0), (150e6, 20.0)],
    "ETH": [(0.0, 25.0), (100e6, 15.0)],
    "HYPE": [(0.0, 10.0), (20e6, 5.0)],
    "MEGA": [(0.0, 3.0)],
    "NEWT": [],
    "io:ANTH": [(0.0, 5.0)],
    "xyz:GOLD": [(0.0, 20.0)],
    "xyz:CL": [(0.0, 20.0)],
    "hyna:SOL": [(0.0, 10.0)],
}


def name(symbol: str) -> str:
    return f"{VENUE}:{symbol}"


def tiers(*rows: tuple[float, float]) -> tuple[MarginTier, ...]:
    return maintenance_tiers(list(rows)) if rows else ()


def reference(changed: dict[str, list[tuple[float, float]]] | None = None) -> Instruments:
    """The venue's reference data; a table given by symbol replaces the one above."""
    listed = []
    for symbol, rows in {**TABLES, **(changed or {})}.items():
        dex, coin = symbol.rpartition(":")[::2]
        made = tiers(*rows)
        most = rows[0][1] if rows else 3.0
        settle = TOKENS[SECTIONS[dex]][0]
        only = symbol == "xyz:CL"
        listed.append(Instrument(name(symbol), VENUE, symbol, InstrumentKind.PERPETUAL, coin, settle, dex, 1.0, made, most, only))
    tokens = tuple(Token(VENUE, number, asset, coin) for number, (asset, coin) in TOKENS.items())
    return Instruments(VENUE, tuple(listed), dict(SECTIONS), tokens, 0)


def position(symbol: str, quantity: float, mark: float, *, isolated: float | None = None, leverage: float = 10.0, **more: Any) -> Position:
    """A position as a frame states it; `isolated` is the cash of an isolated one."""
    mode = MarginMode.CROSS if isolated is None else MarginMode.ISOLATED
    return Position(name(symbol), quantity, mark, mode, leverage=leverage, isolated_cash=isolated, **more)


def section(dex: str, time_ms: int, cash: float, *positions: Position, **reported: float) -> Section:
    return Section(dex, time_ms, cash, positions, **{f"reported_{key}": value for key, value in reported.items()})


def balance(asset: str, total: float, **more: Any) -> Balance:
    number = next(number for number, (known, _) in TOKENS.items() if known == asset)
    return Balance(asset, number, total, **more)


def wallet(*balances: Balance, available: dict[int, float] | None = None, **more: Any) -> Wallet:
    return Wallet(balances, available or {}, **more)


class OwnDesk:
    """Book and engine over one account. Times in milliseconds, also the receive clock's."""

    def __init__(self, rules: HyperliquidRules | None = None, changed: dict[str, list[tuple[float, float]]] | None = None) -> None:
        self.account = HyperliquidAccount(ACCOUNT, rules)
        self.book = Book([AccountEntry(VENUE, ACCOUNT, self.account, (0.85, 0.90, 1.0), 0.02)])
        self.engine = Engine(self.book)
        self.now_ms = 1000
        self._fills = 0
        self.apply(reference(changed))

    def apply(self, event: Event) -> None:
        self.book.apply(event)

    @property
    def now_ns(self) -> int:
        return self.now_ms * 1_000_000

    def marks(self, **marks: float) -> None:
        """Marks by symbol (a colon written as two underscores)."""
        names = [name(symbol.replace("__", ":")) for symbol in marks]
        unknown = [math.nan] * len(names)
        self.apply(MarkPrices(VENUE, "allDexsAssetCtxs", self.now_ns, names, list(marks.values()), unknown, unknown))

    def spot(self, **prices: float) -> None:
        self.apply(SpotPrices(VENUE, "activeSpotAssetCtx", self.now_ns, prices))

    def sections(self, *sections: Section, complete: bool = True) -> None:
        self.apply(SectionsSnapshot(VENUE, ACCOUNT, self.now_ns, Source.PUSH, sections, complete))

    def wallet(self, told: Wallet, *, complete: bool = False) -> None:
        source = Source.POLL if complete else Source.PUSH
        self.apply(WalletSnapshot(VENUE, ACCOUNT, self.now_ns, source, replace(told, complete=complete)))

    def read(self, told: Wallet | None, *sections: Section) -> None:
        """A REST resync."""
        self.apply(AccountSnapshot(VENUE, ACCOUNT, self.now_ns, sections, told))

    def mode(self, word: str | None) -> None:
        self.apply(ModeReport(VENUE, ACCOUNT, self.now_ns, word))

    def fill(self, symbol: str, quantity: float, price: float, time_ms: int, *, fee: float = 0.0, **more: Any) -> Fill:
        self._fills += 1
        more.setdefault("fill_id", f"fill{self._fills}")
        event = Fill(VENUE, ACCOUNT, self.now_ns, more.pop("fill_id"), time_ms, quantity, price, fee, "USDC", name(symbol), **more)
        self.apply(event)
        return event

    def spot_fill(self, base: str | None, quote: str | None, quantity: float, price: float, time_ms: int, fee: float = 0.0) -> None:
        self._fills += 1
        fill_id = f"fill{self._fills}"
        self.apply(Fill(VENUE, ACCOUNT, self.now_ns, fill_id, time_ms, quantity, price, fee, "USDC", None, base, quote))

    def flow(self, amount: float, time_ms: int, *, dex: str | None = "", asset: str = "USDC", symbol: str | None = None) -> CashFlow:
        self._fills += 1
        kind = CashFlowKind.FUNDING if symbol else CashFlowKind.TRANSFER
        instrument = name(symbol) if symbol else None
        event = CashFlow(VENUE, ACCOUNT, self.now_ns, f"flow{self._fills}", time_ms, kind, asset, amount, dex, instrument)
        self.apply(event)
        return event

    def pools(self) -> dict[str, PoolResult]:
        """Every pool's result now, by name."""
        self.engine.evaluate()
        return {result.pool: result for result in self.engine.results(self.now_ns)}

    def pool(self, wanted: str) -> PoolResult:
        return self.pools()[wanted]

    def ratio(self, wanted: str) -> float:
        ratio = self.pool(wanted).margin_ratio
        assert ratio is not None
        return ratio

    def equity(self, wanted: str) -> float:
        equity = self.pool(wanted).equity
        assert equity is not None
        return equity

    def refreshes(self) -> list[str]:
        """Why the account wants to be read again, forgotten by asking."""
        self.engine.evaluate()
        return [why for _, _, why in self.book.take_refreshes()]
