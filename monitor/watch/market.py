"""Rules on what all accounts share: stablecoins that are no dollar any more, and clocks that disagree."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

from connectors.events import VenueStatus
from monitor.alerts.incident import Condition
from monitor.alerts.rules import Rule
from monitor.alerts.scope import AlertScope
from monitor.book import Book
from monitor.live.accounts import USD, token_of
from monitor.margin.deribit import DeribitAccount
from monitor.margin.result import Level
from monitor.resolvers.provenance import Provenance, Resolved
from monitor.watch.gate import Gate
from monitor.watch.limits import WatchLimits
from monitor.watch.views import AccountView
from monitor.watch.words import some

CLOCK_HOLD_S = 20.0
"""A start, or a loop that was away, makes readings late: no alert of one."""

TOLD_NS = 600_000_000_000
"""A venue's clock counts if it was told within the last ten minutes."""

READINGS = 3
"""Of so many readings of a clock the one that came fastest counts: an answer's way makes a clock look slow, never fast."""

AGREE_MS = 300.0
"""Two readings this near to each other are as good as three: a start, or a loop that was away, makes one late."""

LATENCY_S = 0.5
"""What the fastest answer's way may still take."""


class FxPrices(Protocol):
    """What the depeg rule needs of the live portfolios."""

    def is_stable(self, asset: str) -> bool:
        """Whether an asset is a stablecoin."""
        ...

    def price(self, asset: str) -> Resolved:
        """USD per unit."""
        ...


class _Peg(NamedTuple):
    # level: OK within the limits; judged: whether a venue tells the price now
    level: Level
    judged: bool
    words: str


class DepegWatch:
    """Stablecoins that accounts hold or settle in, off 1 USD."""

    def __init__(self, limits: WatchLimits, prices: FxPrices) -> None:
        self.limits = limits
        self._prices = prices
        self._off, self._far = Gate(), Gate()
        self._words: dict[str, str] = {}

    def conditions(self, views: Sequence[AccountView], book: Book) -> Iterator[Condition]:
        """One for each account that holds such a coin, or one of which nobody tells the price now."""
        pegs: dict[str, _Peg] = {}
        for view in views:
            assets = [asset for asset in sorted(_assets_of(view, book)) if asset != USD and self._prices.is_stable(asset)]
            for asset in assets:
                if asset not in pegs:
                    pegs[asset] = self._peg(asset)
            condition = _depegged(view, {asset: pegs[asset] for asset in assets})
            if condition is not None:
                yield condition

    def _peg(self, asset: str) -> _Peg:
        price = self._prices.price(asset)
        if price.provenance is Provenance.CONFIGURED:
            # the user's own figure, and no market's
            return _Peg(Level.OK, True, "")
        if price.provenance.is_live:
            distance = abs(price.value - 1.0)
            self._off.reached(asset, distance, self.limits.depeg_warning)
            self._far.reached(asset, distance, self.limits.depeg_critical)
            self._words[asset] = f"{asset} is at {price.value:.4f} USD ({(price.value - 1.0) * 100:+.1f}%, {price.source})"
        level = Level.CRITICAL if self._far.holds(asset) else Level.WARNING if self._off.holds(asset) else Level.OK
        return _Peg(level, price.provenance.is_live, self._words.get(asset, ""))


def _depegged(view: AccountView, pegs: dict[str, _Peg]) -> Condition | None:
    off = {asset: peg for asset, peg in pegs.items() if peg.level is not Level.OK}
    frozen = not any(peg.judged for peg in off.values()) and not all(peg.judged for peg in pegs.values())
    if frozen or not view.is_known:
        return Condition(view.scope, Rule.DEPEG, frozen=True)
    if not off:
        return None
    level = max(peg.level for peg in off.values())
    return Condition(view.scope, Rule.DEPEG, level, ", ".join(off), some([peg.words for peg in off.values()]))


def _assets_of(view: AccountView, book: Book) -> set[str]:
    market, venue = book.market, view.entry.venue
    found = set()
    for spec in view.specs:
        found.add(token_of(spec))
        # a stablecoin's own name stands before the coin that it is said to be
        found |= {name for held in spec.collateral for name in (held.asset, market.asset_coin(venue, held.asset))}
        found |= {listed.settle for leg in spec.legs if (listed := market.instruments.get(leg.instrument)) is not None}
    method = view.entry.method
    if isinstance(method, DeribitAccount) and method.state is not None:
        found |= {row.currency for row in method.state.summaries if row.equity != 0}
    return found


class ClockWatch:
    """Venues' clocks against ours. `note` every `VenueStatus`."""

    def __init__(self, limits: WatchLimits) -> None:
        self.limits = limits
        self._told: dict[str, deque[VenueStatus]] = {}
        self._off = Gate()

    def note(self, event: VenueStatus, now_ns: int) -> None:
        """A venue told its time."""
        self._told.setdefault(event.venue, deque(maxlen=READINGS)).append(event)

    def forget(self, venue: str) -> None:
        """The venue is told of no more, or by another machine."""
        self._told.pop(venue, None)

    def offsets(self, now_ns: int, now_ms: int) -> dict[str, float]:
        """Each venue's clock less ours, seconds, of those told lately; up to the way of an answer too small."""
        found = {}
        for venue, readings in self._told.items():
            if now_ns - readings[-1].received_ns <= TOLD_NS:
                fastest = max(said.time_ms - said.received_ns / 1e6 for said in readings)
                found[venue] = (fastest - (now_ms - now_ns / 1e6)) / 1000
        return found

    def conditions(self, venues: Iterable[str], now_ns: int, now_ms: int) -> list[Condition]:
        """One for each venue whose clock is off, or not known for sure now."""
        offsets = {venue: offset for venue, offset in self.offsets(now_ns, now_ms).items() if self._is_sure(venue)}
        off = {venue: offset for venue, offset in offsets.items() if self._is_off(venue, offset)}
        unknown = [venue for venue in venues if venue not in offsets]
        found = [Condition(AlertScope.of_venue(venue), Rule.CLOCK, frozen=True) for venue in unknown]
        for venue, offset in off.items():
            detail = f"its clock is {abs(offset):.1f} s {'ahead of' if offset > 0 else 'behind'} ours; {self._whose(venue, offsets, off)}"
            found.append(Condition(AlertScope.of_venue(venue), Rule.CLOCK, detail=detail, hold_s=CLOCK_HOLD_S))
        return found

    def _is_sure(self, venue: str) -> bool:
        told = sorted(said.time_ms - said.received_ns / 1e6 for said in self._told[venue])
        return len(told) >= READINGS or any(later - earlier <= AGREE_MS for earlier, later in pairwise(told))

    def _is_off(self, venue: str, offset: float) -> bool:
        return self._off.reached(venue, offset if offset > 0 else max(0.0, -offset - LATENCY_S), self.limits.clock_offset_s)

    def _whose(self, venue: str, offsets: dict[str, float], off: dict[str, float]) -> str:
        others = [other for other in offsets if other != venue]
        if not others:
            return "no other venue tells which of the two is wrong: set this machine's clock by NTP"
        alike = [
            other for other in others if other in off and abs(offsets[other] - offsets[venue]) <= self.limits.clock_offset_s + LATENCY_S
        ]
        if len(alike) == len(others):
            return f"{', '.join(alike)} says the same: it is this machine's clock, set it by NTP"
        if not any(other in off for other in others):
            return f"{', '.join(others)} agrees with ours: it is the venue's clock"
        return "the venues disagree among each other"
