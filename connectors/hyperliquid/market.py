"""Market frames: contexts without names joined to instruments by position, converting only what is held.

A whole-market frame (some 400 contexts, 100 kB) comes about every second: parsing its JSON is what costs, so nothing else is
done for instruments nobody holds.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Any

import orjson

from connectors.events import MarkPrices, SpotPrices
from connectors.fields import WrongShape, decimal, mapping, optional_number, pairs, sequence
from connectors.hyperliquid.reference import VENUE, Reference
from connectors.hyperliquid.subscriptions import ASSET_CONTEXTS, FAST_CONTEXTS

VOLUMES_S = 60.0
"""Turnover of the last day is in every frame of contexts; each instrument's is told so often (seconds)."""

_MOST_INFLATED_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class MarketPlan:
    """What to pick out of market frames.

    `rows` maps a dex to its universe's length and the (index, instrument id) to convert; `marks` and `spot` map wire names
    to instrument ids and asset names.
    """

    rows: dict[str, tuple[int, tuple[tuple[int, str], ...]]] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    spot: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, reference: Reference, instruments: Iterable[str], assets: Iterable[str]) -> MarketPlan:
        """The plan for those instruments and spot assets."""
        wanted = frozenset(instruments)
        rows = {
            dex.name: (len(dex.universe), tuple((index, name) for index, name in enumerate(dex.universe) if name in wanted))
            for dex in reference.dexs.values()
        }
        marks = {reference.instruments[name].symbol: name for name in wanted if name in reference.instruments}
        return cls(rows, marks, reference.priced_pairs(assets))


class SharedReference:
    """Reference data and wishes that all connections share; each change replaces the plan at once.

    `stale` says why the reference data no longer fits the frames, None while it does: the connector refetches and clears it.
    """

    def __init__(self, assets: Iterable[str] = ()) -> None:
        self.current = Reference()
        self.plan = MarketPlan()
        self.stale: str | None = None
        self.version = 0
        self._assets = frozenset(assets)
        self._wanted: frozenset[str] = frozenset()

    @property
    def wanted(self) -> frozenset[str]:
        """Instrument ids whose marks are wanted."""
        return self._wanted

    def replace(self, reference: Reference) -> None:
        """New reference data."""
        self.current, self.stale = reference, None
        self._replan()

    def want(self, instruments: Iterable[str], assets: Iterable[str] = ()) -> None:
        """New wishes; `assets` are added to those wanted always. Unchanged wishes cost nothing."""
        wanted, held = frozenset(instruments), self._assets | frozenset(assets)
        if wanted != self._wanted or not held <= self._assets:
            self._wanted, self._assets = wanted, held
            self._replan()

    def check(self, instruments: Iterable[str]) -> None:
        """Note that a frame named an instrument that is not known."""
        known = self.current.instruments
        for name in instruments:
            if name not in known:
                self.stale = f"{name} is not in the reference data"

    def _replan(self) -> None:
        assets = self._assets | self.current.collateral_assets()
        self.plan = MarketPlan.of(self.current, self._wanted | self.current.perpetuals_of(assets), assets)
        self.version += 1


@dataclass(slots=True)
class MarketReading:
    """What a frame of contexts says: the event (None: nothing wanted in it) and the parts that made no sense, as (kind, detail).

    `volumes` is the turnover of the last day by instrument, of those whose turn it is.
    """

    marks: MarkPrices | None = None
    volumes: dict[str, float] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)


class MarketFeeds:
    """The market feeds of one connection. `contexts` remembers the last (index, funding) of each wanted instrument."""

    def __init__(self, shared: SharedReference) -> None:
        self._shared = shared
        self._contexts: dict[str, tuple[float, float]] = {}
        self._fast: dict[str, Any] = {}
        self._fast_plan: MarketPlan | None = None
        self._volumes_told: set[str] = set()
        self._volumes_ns = 0

    def opened(self) -> None:
        """A new connection: the merged delta map is void."""
        self._fast, self._fast_plan = {}, None

    def asset_contexts(self, data: object, now_ns: int) -> MarketReading:
        """An `allDexsAssetCtxs` frame. A dex whose list is not as long as its universe is left out and the reference data called stale."""
        reading = MarketReading()
        event = MarkPrices(VENUE, ASSET_CONTEXTS, now_ns, [], [], [], [])
        plan, seen = self._shared.plan, set()
        if now_ns - self._volumes_ns >= VOLUMES_S * 1e9:
            self._volumes_told, self._volumes_ns = set(), now_ns
        for dex, rows in pairs(mapping(data, "data").get("ctxs"), "ctxs"):
            if not isinstance(dex, str):
                raise WrongShape("ctxs.dex")
            contexts, (length, picks) = sequence(rows, "ctxs.list"), plan.rows.get(dex, (-1, ()))
            seen.add(dex)
            if len(contexts) != length:
                self._shared.stale = f"dex {dex!r} lists {len(contexts)} markets instead of {max(0, length)}"
                if picks:
                    reading.problems.append(("length_mismatch", self._shared.stale))
                continue
            for index, name in picks:
                self._context(event, name, contexts[index], reading)
                if name not in self._volumes_told:
                    self._volume(name, contexts[index], reading)
        for dex, (_, picks) in plan.rows.items():
            if picks and dex not in seen:
                reading.problems.append(("missing_dex", f"no contexts of dex {dex!r}"))
        reading.marks = event if event.instruments else None
        return reading

    def _context(self, event: MarkPrices, name: str, context: Any, reading: MarketReading) -> None:
        try:
            # Three conversions for every held instrument of every frame are most of what a frame costs after its JSON: strings
            # that make sense take the short way, everything else the strict readers, which say what is wrong.
            told = context["markPx"], context["oraclePx"], context["funding"]
            mark, index, funding = map(float, told)
            if not (
                told[0].__class__ is told[1].__class__ is told[2].__class__ is str
                and 0 < mark < inf
                and 0 < index < inf
                and -1 < funding < 1
            ):
                raise ValueError
        except (TypeError, KeyError, ValueError):
            try:
                mark, index = _price(context, "markPx"), _price(context, "oraclePx")
                funding = decimal(context.get("funding"), "ctx.funding")
            except WrongShape as problem:
                reading.problems.append((problem.kind, f"{name}: {problem.detail}"))
                return
        self._contexts[name] = index, funding
        event.instruments.append(name)
        event.marks.append(mark)
        event.indices.append(index)
        event.funding.append(funding)

    def _volume(self, name: str, context: Any, reading: MarketReading) -> None:
        self._volumes_told.add(name)
        try:
            volume = optional_number(mapping(context, "ctx"), "dayNtlVlm", "ctx")
            if volume is not None:
                reading.volumes[name] = volume
        except WrongShape as problem:
            reading.problems.append((problem.kind, f"{name}: {problem.detail}"))

    def fast_contexts(self, data: object, now_ns: int) -> tuple[MarkPrices | None, SpotPrices | None]:
        """A `fastAssetCtxs` frame, merged into what this connection told before. After `WrongShape` the map is void: subscribe again."""
        try:
            delta = _inflate(data)
            changed = {coin: mapping(entry, "fast")["markPx"] for coin, entry in delta.items() if "markPx" in mapping(entry, "fast")}
        except WrongShape:
            self.opened()
            raise
        self._fast.update(changed)
        plan = self._shared.plan
        if plan is not self._fast_plan:
            changed, self._fast_plan = self._fast, plan
        return self._fast_marks(changed, plan, now_ns), self._fast_spot(changed, plan, now_ns)

    def _fast_marks(self, changed: dict[str, Any], plan: MarketPlan, now_ns: int) -> MarkPrices | None:
        event = MarkPrices(VENUE, FAST_CONTEXTS, now_ns, [], [], [], [], delta=True)
        for coin in plan.marks.keys() & changed.keys():
            name = plan.marks[coin]
            # The feed has no index: an instrument waits for its first whole context, a second or so.
            context = self._contexts.get(name)
            if context is None or changed[coin] is None:
                continue
            event.instruments.append(name)
            event.marks.append(_positive(changed[coin], "fast.markPx"))
            event.indices.append(context[0])
            event.funding.append(context[1])
        return event if event.instruments else None

    def _fast_spot(self, changed: dict[str, Any], plan: MarketPlan, now_ns: int) -> SpotPrices | None:
        found = plan.spot.keys() & changed.keys()
        prices = {plan.spot[pair]: _positive(changed[pair], "fast.markPx") for pair in found if changed[pair] is not None}
        return SpotPrices(VENUE, FAST_CONTEXTS, now_ns, prices) if prices else None

    def spot_context(self, data: object, now_ns: int) -> tuple[str, SpotPrices | None]:
        """An `activeSpotAssetCtx` frame: its pair, and its price if the pair is one of ours."""
        row = mapping(data, "data")
        pair = row.get("coin")
        if not isinstance(pair, str):
            raise WrongShape("data.coin")
        asset = self._shared.plan.spot.get(pair)
        price = _price(row.get("ctx"), "markPx")
        return pair, SpotPrices(VENUE, "activeAssetCtx", now_ns, {asset: price}) if asset is not None else None


def _price(context: Any, key: str) -> float:
    return _positive(mapping(context, "ctx").get(key), f"ctx.{key}")


def _positive(value: object, where: str) -> float:
    price = decimal(value, where)
    if price <= 0.0:
        raise WrongShape(where)
    return price


def _inflate(data: object) -> dict[str, Any]:
    if not isinstance(data, str):
        raise WrongShape("data")
    try:
        packed = base64.b64decode(data, validate=True)
        stream = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        plain = stream.decompress(packed, _MOST_INFLATED_BYTES)
        if not stream.eof:
            raise WrongShape("data (truncated or too large)")
        return mapping(orjson.loads(plain), "data")
    except (binascii.Error, zlib.error, ValueError):
        raise WrongShape("data (not base64 of deflated JSON)") from None
