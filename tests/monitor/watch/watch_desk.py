"""The alarm's rules over a live book of two accounts on two venues, fed with states written by hand. Times move by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from config import load
from connectors.events import (
    AccountSnapshot,
    Event,
    FeedState,
    FeedStatus,
    FuturesSnapshot,
    Instruments,
    MarkPrices,
    ModeReport,
    Source,
    StablecoinPrices,
    VenueStatus,
)
from connectors.model import Balance, FuturesAccount, Position
from monitor.alerts.incident import Condition, Occurrence
from monitor.alerts.rules import Rule
from monitor.book import AccountEntry, Book
from monitor.engine import Engine
from monitor.live.portfolios import LivePortfolios
from monitor.margin.configured import margin_method
from monitor.watch.watch import Watch
from tests.monitor import aster_desk, own_desk

SECOND = 1_000_000_000
START_MS = 1_790_000_000_000
MARK = 100_000.0
HYPER, ASTER = "hyperliquid", "aster"
LONG, SHORT = "long", "short"


FX = "[fx]\nUSDC = 1.0\nUSDT = 1.0"


class WatchDesk:
    """`long` on Hyperliquid and `short` on Aster, 10 BTC each unless told otherwise, and a portfolio "desk" of both."""

    def __init__(self, folder: Path, alerts: str = "", portfolio: str = "", more: str = "", mode: str = "", fx: str = FX) -> None:
        path = folder / "desk.toml"
        path.write_text(
            f"[alerts]\n{alerts}\n{fx}\n[portfolio]\n{portfolio}\n"
            f'[[portfolios]]\nid = "desk"\naccounts = ["{LONG}", "{SHORT}"]\n'
            f'[[accounts]]\nid = "{LONG}"\nvenue = "{HYPER}"\naddress = "0x{1:040x}"\n'
            f'[[accounts]]\nid = "{SHORT}"\nvenue = "{ASTER}"\naddress = "0x{2:040x}"\nagent_key_env = "K"\n{mode}\n{more}\n'
        )
        self.settings = load(path, environ={"K": "0x" + "01" * 32, "ID": "client", "SECRET": "word"}, quiet=True)
        self.book = Book(
            AccountEntry(one.venue, one.id, margin_method(self.settings, one), (0.85, 0.90, 1.0), 0.02) for one in self.settings.accounts
        )
        self.engine = Engine(self.book)
        self.live = LivePortfolios(self.settings, self.engine)
        self.live.ready = True
        self.watch = Watch(self.settings, self.book, self.engine, self.live)
        self.now_ns, self.offset_ms = 1_000 * SECOND, START_MS - 1_000_000

    @property
    def now_ms(self) -> int:
        return self.offset_ms + self.now_ns // 1_000_000

    def pass_s(self, seconds: float) -> None:
        self.now_ns += round(seconds * SECOND)

    def tell(self, *events: Event) -> None:
        for event in events:
            self.watch.note(event, self.now_ns)
            self.book.apply(event)
            self.live.apply(event)

    def evaluate(self) -> list[Occurrence]:
        """What happened, as of an evaluation now."""
        self.engine.evaluate()
        self.live.touch(self.book.touched)
        self.book.touched.clear()
        self.live.resync(self.now_ns)
        self.live.evaluate(self.now_ns, self.now_ms)
        self.watch.after(self.now_ns)
        return self.watch.occurrences()

    def second(self, *rules: Rule) -> list[Condition]:
        """All conditions of these rules, after an evaluation."""
        self.evaluate()
        results = self.engine.results(self.now_ns)
        return [one for one in self.watch.conditions(results, self.now_ns, self.now_ms) if one.rule in rules]

    def firing(self, *rules: Rule) -> list[Condition]:
        """Those of the conditions that can be judged."""
        return [one for one in self.second(*rules) if not one.frozen]

    # -- what venues tell ----------------------------------------------------------------------------------------------------

    def open(self) -> WatchDesk:
        """Everything both accounts need to have a value."""
        self.tell(own_desk.reference(), aster_desk.reference())
        self.marks()
        self.long()
        self.short()
        self.evaluate()
        return self

    def marks(self, level: float = MARK) -> None:
        for venue, feed, name in ((HYPER, "allDexsAssetCtxs", "hyperliquid:BTC"), (ASTER, "markPrice", "aster:BTCUSDT")):
            self.tell(MarkPrices(venue, feed, self.now_ns, [name], [level], [level], [0.0001]))

    def long(self, quantity: float = 10.0, cash: float = 200_000.0) -> None:
        held = (own_desk.position("BTC", quantity, MARK),) if quantity else ()
        row = own_desk.section("", 1, cash - quantity * MARK, *held)
        self.tell(ModeReport(HYPER, LONG, self.now_ns, "default"))
        self.tell(AccountSnapshot(HYPER, LONG, self.now_ns, (row,), own_desk.wallet()))

    def unified(self, *balances: Balance, quantity: float = 10.0, available: float = 150_000.0) -> None:
        held = own_desk.position("BTC", quantity, MARK)
        row = own_desk.section("", 2, 0.0, held)
        told = own_desk.wallet(*balances, available={0: available})
        self.tell(AccountSnapshot(HYPER, LONG, self.now_ns, (row,), told))

    def short(self, *positions: Position, money: float = 150_000.0, multi: bool = False, **assets: float) -> None:
        held = positions or (aster_desk.position("BTCUSDT", -10.0, MARK, MARK),)
        read = aster_desk.read({"USDT": money, **assets}, list(held))
        state = FuturesAccount(multi, False, 1, read.assets, read.positions, read)
        self.tell(FuturesSnapshot(ASTER, SHORT, self.now_ns, Source.POLL, state))

    def feed(self, venue: str, feed: str, status: FeedStatus, account: str | None = None) -> None:
        self.tell(FeedState(venue, feed, account, status, self.now_ns, "said by the test", 20.0))

    def feeds(self, status: FeedStatus, *venues: str) -> None:
        """The feeds that margins rest on, of these venues (of both without any named)."""
        for venue in venues or (HYPER, ASTER):
            market, account, alias = _NEEDED[venue]
            for name in market:
                self.feed(venue, name, status)
            for name in account:
                self.feed(venue, name, status, alias)

    def status(self, venue: str, *words: str, ahead_s: float = 0.0) -> None:
        self.tell(VenueStatus(venue, self.now_ns, self.now_ms + round(ahead_s * 1000), words))

    def stablecoin(self, **prices: float) -> None:
        self.tell(StablecoinPrices("deribit", "deribit_price_index.usdt_usd", self.now_ns, prices))

    def stale(self, venue: str = HYPER) -> None:
        """Nothing of the venue's accounts can be believed now."""
        _, account, alias = _NEEDED[venue]
        self.feed(venue, account[0], FeedStatus.STALE, alias)


_NEEDED: dict[str, tuple[Sequence[str], Sequence[str], str]] = {
    HYPER: (("allDexsAssetCtxs",), ("allDexsClearinghouseState", "spotState"), LONG),
    ASTER: (("markPrice",), ("account",), SHORT),
}


def relisted(event: Instruments, symbol: str, **changes: Any) -> Instruments:
    """Reference data in which one instrument is another."""
    return replace(event, instruments=tuple(replace(one, **changes) if one.symbol == symbol else one for one in event.instruments))


def detail_of(conditions: Sequence[Any]) -> str:
    """The sentence of the only one."""
    (one,) = conditions
    assert isinstance(one.detail, str)
    return one.detail
