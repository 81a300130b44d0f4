"""Implied volatilities of all options of one price index: the first frame of `markprice.options` is the whole chain, later ones changes.

Such a frame has up to a thousand rows, so rows stay what the JSON parser made of them. A row that is not sent again is unchanged: rows
do not age, only the channel does (venue notes 5.6). What is refused leaves the last good value standing for a minute.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isnan, nan
from typing import Any

from connectors.deribit.rpc import NS
from connectors.deribit.settings import VENUE
from connectors.events import Volatilities
from connectors.model import Instrument

CHAIN_PREFIX = "markprice.options."
LEAST, MOST = 0.01, 5.0
"""Implied volatilities (decimals) that are believed (venue notes 5.6)."""

JUMP = 0.5
"""Relative change that a second frame has to confirm."""

WHOLE = 0.8
"""Part of the known options that makes the chain whole once told: the venue does so in its first frame, but promises nothing."""

REFUSED_LASTS_S = 60.0
MOST_GONE = 10_000
"""Names of expired options that are remembered: the venue may tell of them for a while."""

DISAGREES_BY, DISAGREEING_ROWS = 0.005, 0.01
"""A chain is in doubt if so large a part of its rows differs by more than half a volatility point from the venue's summary."""


@dataclass(slots=True)
class ChainReading:
    """What a frame says. `sound`: it makes sense, so that the channel lives. `strangers`: options that are not listed.

    `problems` has a (kind, detail) for each kind of row that was refused.
    """

    event: Volatilities | None = None
    sound: bool = False
    strangers: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


class Chain:
    """The options of one price index, and the last volatility believed of each (NaN: none). Times are monotonic nanoseconds.

    `seeded`: a whole chain came since the channel was subscribed to. The counters are of rows: refused by kind, jumps put off, expired.
    """

    def __init__(self, index: str) -> None:
        self.feed = f"{CHAIN_PREFIX}{index}"
        self.seeded = False
        self.doubted = False
        self.refused: dict[str, int] = {}
        self.jumps = 0
        self.expired = 0
        self._slots: dict[str, int] = {}
        self._ids: list[str] = []
        self._expiries: list[int] = []
        self._values: list[float] = []
        self._next_expiry_ms = 0
        self._gone: set[str] = set()
        self._told: set[str] = set()
        """Options told of since the channel was subscribed to, until it is seeded."""
        self._waiting: dict[str, float] = {}
        self._refused_ns: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def hold(self, options: Iterable[Instrument], now_ms: int) -> None:
        """The options that trade, replacing those known; what is known of those that stay is kept."""
        values = {name: self._values[slot] for name, slot in self._slots.items()}
        live = {one.symbol: one for one in options if one.expiry_ms > now_ms}
        self._gone = (self._gone if len(self._gone) < MOST_GONE else set()) | self._slots.keys()
        self._gone -= live.keys()
        self._slots = {name: slot for slot, name in enumerate(live)}
        self._ids = [one.id for one in live.values()]
        self._expiries = [one.expiry_ms for one in live.values()]
        self._values = [values.get(name, nan) for name in live]
        self._next_expiry_ms = min(self._expiries, default=0)
        for memory in (self._waiting, self._refused_ns):
            for name in memory.keys() - live.keys():
                del memory[name]

    def restart(self) -> None:
        """The channel starts over: nothing is certain before the next whole chain, what is known stands."""
        self.seeded = False
        self._told.clear()
        self._waiting.clear()

    def frame(self, rows: list[Any], now_ns: int, now_ms: int) -> ChainReading:
        """The rows of a frame. Those that make no sense are left out, the others stand."""
        self.expire(now_ms)
        reading = ChainReading()
        changed, seen = self._read(rows, now_ns, reading)
        if not self.seeded and self._is_whole(seen):
            self._lose([slot for name, slot in self._slots.items() if name not in self._told])
            self._told.clear()
            self.seeded = True
            reading.event = Volatilities(VENUE, self.feed, now_ns, [*self._ids], [*self._values], full=True)
        else:
            reading.event = self._event(changed, now_ns)
        reading.sound = not reading.problems or bool(changed or self._waiting)
        return reading

    def _read(self, rows: list[Any], now_ns: int, reading: ChainReading) -> tuple[list[int], list[int]]:
        slots, values, refused_ns = self._slots, self._values, self._refused_ns
        waiting, self._waiting = self._waiting, {}
        changed: list[int] = []
        seen: list[int] = []
        for row in rows:
            try:
                name, iv = row["instrument_name"], row["iv"]
                slot = slots.get(name)
            except (TypeError, KeyError):
                self._refuse("wrong_shape", "a row without instrument_name or iv", reading)
                continue
            if slot is None:
                self._stranger(name, reading)
                continue
            seen.append(slot)
            if iv == values[slot] and iv.__class__ is float and not waiting and not refused_ns:
                # told again as it was believed: most rows of most frames
                changed.append(slot)
                continue
            before = waiting.pop(name, None) if waiting else None
            if iv.__class__ is not float:
                iv = _as_float(iv)
            if not LEAST <= iv <= MOST:
                self._refuse("iv_missing" if isnan(iv) else "iv_out_of_range", name, reading)
                refused_ns.setdefault(name, now_ns)
                continue
            last = values[slot]
            # A first value, NaN before, compares as no jump.
            if abs(iv - last) > JUMP * last and (before is None or abs(iv - before) > JUMP * before):
                self._waiting[name] = iv
                self.jumps += 1
                continue
            if refused_ns:
                refused_ns.pop(name, None)
            values[slot] = iv
            changed.append(slot)
        # A row is sent again only if it changes: a jump that this frame does not take back is confirmed by it.
        for name, iv in waiting.items():
            values[slots[name]] = iv
            changed.append(slots[name])
        return changed, seen

    def tick(self, now_ns: int, now_ms: int) -> list[Volatilities]:
        """Give up what was refused for too long: its last good value may be far from the truth by now."""
        self.expire(now_ms)
        if not self._refused_ns:
            return []
        late = [name for name, since_ns in self._refused_ns.items() if now_ns - since_ns > REFUSED_LASTS_S * NS]
        given_up = [self._slots[name] for name in late if not isnan(self._values[self._slots[name]])]
        for name in late:
            del self._refused_ns[name]
        self._lose(given_up)
        return [self._event(given_up, now_ns)] if given_up else []

    def expire(self, now_ms: int) -> bool:
        """Drop the options that have expired; whether there were any."""
        if not self._slots or now_ms < self._next_expiry_ms:
            return False
        kept = [(name, slot) for name, slot in self._slots.items() if self._expiries[slot] > now_ms]
        self._gone |= self._slots.keys() - {name for name, _ in kept}
        for memory in (self._waiting, self._refused_ns):
            for name in memory.keys() & self._gone:
                del memory[name]
        self._ids = [self._ids[slot] for _, slot in kept]
        self._expiries = [self._expiries[slot] for _, slot in kept]
        self._values = [self._values[slot] for _, slot in kept]
        self._slots = {name: slot for slot, (name, _) in enumerate(kept)}
        self._next_expiry_ms = min(self._expiries, default=0)
        return True

    def reconcile(self, summary: dict[str, float], now_ns: int) -> tuple[Volatilities | None, bool]:
        """Compare with the venue's summary (volatilities by name): what only it knows, and whether the chain is to be subscribed to anew.

        One disagreement may be a fast market, as the summary is seconds old. After two in a row the chain is no longer `seeded`.
        """
        filled, compared, differing = [], 0, 0
        for name, slot in self._slots.items():
            iv = summary.get(name)
            if iv is None or not LEAST <= iv <= MOST:
                continue
            if isnan(self._values[slot]):
                self._values[slot] = iv
                filled.append(slot)
            else:
                compared += 1
                differing += abs(iv - self._values[slot]) > DISAGREES_BY
        if not (self.seeded and compared):
            return self._event(filled, now_ns) if filled else None, False
        disagrees = differing > DISAGREEING_ROWS * compared
        if disagrees and self.doubted:
            self.restart()
        self.doubted = disagrees
        return self._event(filled, now_ns) if filled else None, disagrees

    def volatility(self, name: str) -> float:
        """The last volatility believed of an option, NaN none."""
        slot = self._slots.get(name)
        return nan if slot is None else self._values[slot]

    def _is_whole(self, seen: list[int]) -> bool:
        names = list(self._slots)
        self._told.update(names[slot] for slot in seen)
        return bool(names) and len(self._told.intersection(names)) >= WHOLE * len(names)

    def _lose(self, slots: Iterable[int]) -> None:
        for slot in slots:
            self._values[slot] = nan

    def _event(self, slots: list[int], now_ns: int) -> Volatilities:
        ids, values = self._ids, self._values
        return Volatilities(VENUE, self.feed, now_ns, [*map(ids.__getitem__, slots)], [*map(values.__getitem__, slots)])

    def _stranger(self, name: object, reading: ChainReading) -> None:
        if name in self._gone:
            self.expired += 1
        elif isinstance(name, str):
            reading.strangers.append(name)
        else:
            self._refuse("wrong_shape", "instrument_name", reading)

    def _refuse(self, kind: str, detail: str, reading: ChainReading) -> None:
        self.refused[kind] = self.refused.get(kind, 0) + 1
        reading.problems.setdefault(kind, detail)


def _as_float(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else nan
