"""A monitor over one Aster account, fed with states written by hand, and the venue's figures of them by a rule written for tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from connectors.events import AccountFailure, FailureReason, FuturesSnapshot, Instruments, MarkPrices, Source
from connectors.model import (
    FuturesAccount,
    FuturesAsset,
    FuturesRead,
    Instrument,
    InstrumentKind,
    MarginMode,
    MarginTier,
    Position,
    PositionSide,
    PriceBasis,
    ReportedAsset,
    Token,
)
from monitor.book import AccountEntry, Book
from monitor.engine import Engine
from monitor.margin.aster import VENUE, AsterAccount, AsterRules
from monitor.margin.pools import PoolSpec
from monitor.margin.result import PoolResult

ACCOUNT = "maker"
BOTH, LONG, SHORT = PositionSide.BOTH, PositionSide.LONG, PositionSide.SHORT
Tiers = tuple[MarginTier, ...]

TRUTH = (MarginTier(0.0, 0.01, 0.0), MarginTier(5_000.0, 0.025, 75.0))
"""TRUTHUSDT as recorded (venue notes 4.4)."""

PLAIN = (MarginTier(0.0, 0.0065, 0.0),)
BTC = (MarginTier(0.0, 0.004, 0.0), MarginTier(50_000.0, 0.005, 50.0), MarginTier(1e6, 0.01, 5_050.0))
TABLES: dict[str, tuple[str, str, str, Tiers]] = {
    "BTCUSDT": ("BTC", "USDT", "BTC", BTC),
    "ETHUSDT": ("ETH", "USDT", "ETH", PLAIN),
    "BNBUSDT": ("BNB", "USDT", "BNB", PLAIN),
    "SOLUSDT": ("SOL", "USDT", "SOL", PLAIN),
    "TRUTHUSDT": ("TRUTH", "USDT", "TRUTH", TRUTH),
    "XAUUSD1": ("XAU", "USD1", "XAU", PLAIN),
    "NEWTUSDT": ("NEWT", "USDT", "NEWT", ()),
    "BTCU": ("BTC", "U", "BTC", PLAIN),
}
"""(base, margin asset, coin, tiers) by symbol."""

TOKENS: dict[str, tuple[PriceBasis, str | None]] = {
    "USDT": (PriceBasis.PAR, None),
    "USD1": (PriceBasis.PAR, None),
    "BTC": (PriceBasis.INDEX, "BTCUSDT"),
    "ETH": (PriceBasis.INDEX, "ETHUSDT"),
    "BNB": (PriceBasis.INDEX, "BNBUSDT"),
    "ASBNB": (PriceBasis.INDEX, "BNBUSDT"),
    "SOL": (PriceBasis.INDEX, "SOLUSDT"),
    "LISUSD": (PriceBasis.INDEX, None),
    "U": (PriceBasis.INDEX, None),
}
COINS = {"ASBNB": "BNB"}
INDEX = {"BTC": 60_000.0, "ETH": 3_000.0, "BNB": 700.0, "ASBNB": 700.0, "SOL": 150.0, "USDT": 1.0, "USD1": 1.0}
"""Index of every priced asset while nothing moved."""

RATIOS = {"USDT": 0.9999, "USD1": 0.99, "BTC": 0.95, "ETH": 0.95, "BNB": 0.95, "ASBNB": 0.95}


def name(symbol: str) -> str:
    return f"{VENUE}:{symbol}"


def reference(**changed: Tiers) -> Instruments:
    """The venue's reference data; a table given by symbol replaces the one above."""
    listed = tuple(
        Instrument(
            name(symbol), VENUE, symbol, InstrumentKind.PERPETUAL, coin, settle, settle, tiers=changed.get(symbol, tiers), max_leverage=50.0
        )
        for symbol, (_, settle, coin, tiers) in TABLES.items()
    )
    tokens = tuple(
        Token(VENUE, number, asset, COINS.get(asset, asset), basis=basis, perpetual=name(symbol) if symbol else None)
        for number, (asset, (basis, symbol)) in enumerate(TOKENS.items())
    )
    numbers = {asset: number for number, asset in enumerate(TOKENS)}
    return Instruments(VENUE, listed, {one.section: numbers[one.section] for one in listed}, tokens, 0)


def position(
    symbol: str,
    quantity: float,
    entry: float,
    mark: float,
    *,
    isolated: float | None = None,
    side: PositionSide = BOTH,
    leverage: float = 10.0,
    **told: Any,
) -> Position:
    """A position at its mark; `isolated` is the isolated wallet of an isolated one."""
    mode = MarginMode.CROSS if isolated is None else MarginMode.ISOLATED
    cash = None if isolated is None else isolated - quantity * entry
    return Position(name(symbol), quantity, mark, mode, entry, leverage, cash, side=side, **told)


def maintenance(held: Position, mark: float | None = None) -> float:
    """The venue's maintenance margin of a position, each slice of its notional at the rate of its own tier."""
    notional = abs(held.quantity) * (held.mark if mark is None else mark)
    tiers = TABLES[held.instrument.partition(":")[2]][3]
    uppers = [tier.lower_bound for tier in tiers[1:]] + [math.inf]
    return sum(max(0.0, min(notional, upper) - tier.lower_bound) * tier.maintenance_rate for tier, upper in zip(tiers, uppers, strict=True))


def profit(held: Position, mark: float | None = None) -> float:
    return held.quantity * ((held.mark if mark is None else mark) - (held.entry or 0.0))


def worth(balances: Mapping[str, float], ratios: Mapping[str, float], index: Mapping[str, float] = INDEX, ask: float = 1.0) -> float:
    """What the venue counts of balances in multi-assets mode, USD."""
    return sum(amount * index[asset] * (ratios[asset] if amount >= 0 else ask) for asset, amount in balances.items())


def reported(held: Position) -> Position:
    """The position with the venue's own figures of it."""
    return replace(
        held,
        reported_margin_used=abs(held.quantity) * held.mark / held.leverage if held.leverage else None,
        reported_unrealized_pnl=profit(held),
        reported_maintenance_margin=maintenance(held),
    )


def read(balances: Mapping[str, float], positions: Sequence[Position], *, total: float | None = None, began_ms: int = 1) -> FuturesRead:
    """A read as the venue answers it: cross wallets `balances`, its own figures beside them; `total` is totalMarginBalance."""
    told = tuple(map(reported, positions))
    cross = [held for held in told if held.margin_mode is MarginMode.CROSS]
    rows = []
    for asset, amount in balances.items():
        settled = [held for held in told if TABLES[held.instrument.partition(":")[2]][1] == asset]
        own = [held for held in settled if held in cross]
        up = sum(map(profit, own))
        initial = sum(held.reported_margin_used or 0.0 for held in settled)
        rows.append(
            ReportedAsset(asset, amount + up, amount + up, sum(map(maintenance, settled)), initial, max(0.0, amount + up - initial))
        )
    main = next((row for row in rows if row.asset == "USDT"), None)
    whole = total if total is not None else main.margin_balance if main else 0.0
    return FuturesRead(
        began_ms,
        tuple(FuturesAsset(asset, amount, amount) for asset, amount in balances.items()),
        told,
        tuple(rows),
        whole - sum(map(profit, cross)),
        whole,
        sum(map(maintenance, cross)),
        sum(held.reported_margin_used or 0.0 for held in cross),
        max(0.0, whole),
    )


class AsterDesk:
    """Book and engine over one account; `now_ms` is the receive clock."""

    def __init__(self, rules: AsterRules | None = None, *, marks: bool = True, reference_data: bool = True) -> None:
        self.account = AsterAccount(ACCOUNT, rules or AsterRules(RATIOS))
        self.book = Book([AccountEntry(VENUE, ACCOUNT, self.account, (0.85, 0.90, 1.0), 0.02)])
        self.engine = Engine(self.book)
        self.now_ms = 1000
        self.last: FuturesAccount | None = None
        if reference_data:
            self.book.apply(reference())
        if marks:
            self.index(BTC=INDEX["BTC"], ETH=INDEX["ETH"], BNB=INDEX["BNB"], SOL=INDEX["SOL"])

    @property
    def now_ns(self) -> int:
        return self.now_ms * 1_000_000

    def index(self, **prices: float) -> None:
        """Indexes by coin, with marks equal to them."""
        names = [name(f"{coin}USDT") for coin in prices]
        values = list(prices.values())
        self.book.apply(MarkPrices(VENUE, "markPrice", self.now_ns, names, values, values, [math.nan] * len(names)))

    def marks(self, **marks: float) -> None:
        """Marks by symbol; indexes stay."""
        names, unknown = [name(symbol) for symbol in marks], [math.nan] * len(marks)
        self.book.apply(MarkPrices(VENUE, "markPrice", self.now_ns, names, list(marks.values()), unknown, unknown))

    def take(self, told: FuturesRead, *, multi: bool = False, hedge: bool = False, doubt: str = "") -> None:
        """A read, and nothing pushed since."""
        state = FuturesAccount(multi, hedge, told.began_ms, told.assets, told.positions, told, doubt)
        self._apply(state, Source.POLL)

    def push(
        self,
        balances: Mapping[str, float] | None = None,
        positions: Sequence[Position] | None = None,
        *,
        source: Source = Source.PUSH,
        **changed: Any,
    ) -> None:
        """What a push makes of the last state: balances overwritten, positions replaced, other fields by name."""
        assert self.last is not None
        state = self.last
        if balances is not None:
            held = {row.asset: row for row in state.assets} | {asset: FuturesAsset(asset, a, a) for asset, a in balances.items()}
            state = replace(state, assets=tuple(held.values()))
        if positions is not None:
            state = replace(state, positions=tuple(positions))
        self._apply(replace(state, **changed), source)

    def fail(self, reason: FailureReason, detail: str) -> None:
        self.book.apply(AccountFailure(VENUE, ACCOUNT, self.now_ns, reason, detail))

    def pools(self) -> dict[str, PoolResult]:
        """Every pool's result now, by name."""
        self.engine.evaluate()
        return {result.pool: result for result in self.engine.results(self.now_ns)}

    def pool(self, wanted: str) -> PoolResult:
        return self.pools()[wanted]

    def specs(self) -> dict[str, PoolSpec]:
        self.engine.evaluate()
        return {spec.name: spec for spec in self.book.arrays.specs.values()}

    def liquidation(self, pool: str, symbol: str, side: PositionSide = BOTH) -> float:
        self.engine.evaluate()
        return self.engine.liquidation_prices()[(VENUE, ACCOUNT, pool), name(symbol), side]

    def refreshes(self) -> list[str]:
        """Why the account wants to be read again, forgotten by asking."""
        self.engine.evaluate()
        return [why for _, _, why in self.book.take_refreshes()]

    def _apply(self, state: FuturesAccount, source: Source) -> None:
        self.last = state
        self.book.apply(FuturesSnapshot(VENUE, ACCOUNT, self.now_ns, source, state))
