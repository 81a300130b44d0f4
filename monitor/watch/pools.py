"""Rules of a single pool beside its levels: near to liquidation, not what the venue says, rising fast."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain

from monitor.alerts.incident import Condition
from monitor.alerts.rules import Rule, is_usable, number
from monitor.book import Book
from monitor.margin.result import PoolResult
from monitor.pool_arrays import Scope
from monitor.watch.gate import Gate
from monitor.watch.limits import WatchLimits
from monitor.watch.words import percent, symbol

SECOND_NS = 1_000_000_000
WINDOW_NS = 60 * SECOND_NS
"""How far back a rise is looked for."""

KEPT_NS = 60 * SECOND_NS
"""A rise or a short distance is so until it was not for this long: near its edge it comes and goes."""

RISE_GAP = 0.05
"""So far below `rise_from` a ratio must be to count as low again."""

UNMEASURED_NS = 10 * SECOND_NS
"""A distance may be missing so long for not having been measured; after that there is no price that liquidates."""

_LEVEL_NAMES = ("warning", "critical", "liquidation")


class PoolWatch:
    """The rules with their memory, which is bounded: a ratio a second for a minute of each pool."""

    def __init__(self, limits: WatchLimits, book: Book) -> None:
        self.limits = limits
        self._book = book
        self._near, self._rising = Gate(), Gate()
        self._high: set[Scope] = set()
        self._kept: dict[tuple[Scope, Rule], tuple[int, Condition]] = {}
        """What was so lately, with when it last was (monotonic ns)."""
        self._measured_ns: dict[Scope, int] = {}
        self._lows: dict[Scope, deque[tuple[int, float]]] = {}
        """Of each pool the lowest ratio of the last minute, the lowest since that, and so on: (monotonic ns, ratio)."""

    def conditions(self, results: Sequence[PoolResult], now_ns: int) -> list[Condition]:
        """What is so of the pools now."""
        self._forget({result.scope for result in results})
        return list(chain.from_iterable(self._of(result, now_ns) for result in results))

    def forget(self, account: tuple[str, str]) -> None:
        """The account (venue, id) is watched no more, or anew: its figures of before are another one's."""
        known = {*self._measured_ns, *self._lows, *self._high, *(scope for scope, _ in self._kept)}
        self._forget({scope for scope in known if scope[:2] != account})

    def _of(self, result: PoolResult, now_ns: int) -> Iterator[Condition]:
        usable = is_usable(result)
        found = (self._distance(result, usable, now_ns), self._unreconciled(result, usable), self._rise(result, usable, now_ns))
        return (condition for condition in found if condition is not None)

    def _forget(self, present: set[Scope]) -> None:
        for gone in self._measured_ns.keys() - present:
            del self._measured_ns[gone]
        for gone in self._lows.keys() - present:
            del self._lows[gone]
        self._near.keep(present)
        self._rising.keep(present)
        self._high &= present
        self._kept = {key: last for key, last in self._kept.items() if key[0] in present}

    def _keep(self, scope: Scope, rule: Rule, now: Condition | None, now_ns: int) -> Condition | None:
        if now is not None:
            self._kept[scope, rule] = now_ns, now
            return now
        last_ns, last = self._kept.get((scope, rule), (0, None))
        if last is not None and now_ns - last_ns < KEPT_NS:
            return last
        self._kept.pop((scope, rule), None)
        return None

    def _distance(self, result: PoolResult, usable: bool, now_ns: int) -> Condition | None:
        scope, limit = result.scope, self.limits.distance
        if limit <= 0:
            return None
        if not usable:
            self._measured_ns[scope] = now_ns
            return Condition(result.alert_scope, Rule.DISTANCE, frozen=True)
        move = result.worst_distance
        if move is None or math.isnan(move):
            if result.positions and now_ns - self._measured_ns.setdefault(scope, now_ns) <= UNMEASURED_NS:
                return Condition(result.alert_scope, Rule.DISTANCE, frozen=True)
            self._near.release(scope)
            self._kept.pop((scope, Rule.DISTANCE), None)
            return None
        self._measured_ns[scope] = now_ns
        is_near = self._near.undercut(scope, abs(move), limit)
        return self._keep(scope, Rule.DISTANCE, self._is_near(result, move) if is_near else None, now_ns)

    def _is_near(self, result: PoolResult, move: float) -> Condition:
        coin = symbol(result.worst_instrument or "the worst position")
        at = "" if result.worst_liquidation_price is None else f" (at {result.worst_liquidation_price:.6g})"
        detail = f"liquidates when {coin} moves {move * 100:+.2f}%{at}; limit {percent(self.limits.distance)}"
        return Condition(result.alert_scope, Rule.DISTANCE, detail=detail)

    def _unreconciled(self, result: PoolResult, usable: bool) -> Condition | None:
        hold_s = self.limits.unreconciled_hold_s
        if not usable or result.reconciled is None:
            return Condition(result.alert_scope, Rule.UNRECONCILED, hold_s=hold_s, frozen=True)
        if result.reconciled:
            return None
        off = result.reported_difference
        detail = f"our figure is {off * 100:.2f}% off the venue's own" if off else "our figure awaits the venue's next account state"
        remedy = f": {result.remedy}" if result.remedy else ""
        return Condition(result.alert_scope, Rule.UNRECONCILED, detail=detail + remedy, hold_s=hold_s)

    def _rise(self, result: PoolResult, usable: bool, now_ns: int) -> Condition | None:
        limit = self.limits.rise_per_minute
        if limit <= 0:
            return None
        ratio = number(result)
        if not usable or ratio is None:
            return Condition(result.alert_scope, Rule.RISING, frozen=True)
        since_ns, low = self._lowest(result.scope, ratio, now_ns)
        is_fast, is_high = self._rising.reached(result.scope, ratio - low, limit), self._is_high(result.scope, ratio)
        now = self._is_rising(result, ratio, low, now_ns - since_ns) if is_fast and is_high else None
        return self._keep(result.scope, Rule.RISING, now, now_ns)

    def _is_high(self, scope: Scope, ratio: float) -> bool:
        if ratio >= self.limits.rise_from:
            self._high.add(scope)
        elif ratio < self.limits.rise_from - RISE_GAP:
            self._high.discard(scope)
        return scope in self._high

    def _is_rising(self, result: PoolResult, ratio: float, low: float, passed_ns: int) -> Condition:
        seconds = max(1.0, passed_ns / SECOND_NS)
        detail = f"rose from {percent(low)} to {percent(ratio)} in {seconds:.0f} s{self._pace(result, ratio, (ratio - low) / seconds)}"
        return Condition(result.alert_scope, Rule.RISING, detail=detail)

    def _lowest(self, scope: Scope, ratio: float, now_ns: int) -> tuple[int, float]:
        lows = self._lows.setdefault(scope, deque())
        while lows and lows[-1][1] >= ratio:
            lows.pop()
        if not lows or now_ns - lows[-1][0] >= SECOND_NS:
            lows.append((now_ns, ratio))
        while now_ns - lows[0][0] > WINDOW_NS:
            lows.popleft()
        return lows[0]

    def _pace(self, result: PoolResult, ratio: float, per_second: float) -> str:
        levels = self._book.accounts[result.venue, result.account].levels
        ahead = [(level, name) for level, name in zip(levels, _LEVEL_NAMES, strict=True) if level > ratio]
        if not ahead or not 0 < per_second < math.inf:
            return ""
        level, name = ahead[0]
        return f"; at this pace {name} ({percent(level)}) in {(level - ratio) / per_second / 60:.1f} min"
