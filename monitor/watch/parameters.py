"""What a venue changed of its rules for what an account holds, in words: old -> new."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from connectors.events import BorrowReserves, Instruments
from connectors.model import Instrument, MarginTier
from monitor.margin.pools import PoolSpec
from monitor.market import Market
from monitor.watch.words import percent


def instrument_changes(event: Instruments, held: Iterable[str], market: Market, now_ms: int | None) -> list[str]:
    """What of the held instruments is different in new reference data, before `market` takes them; `now_ms` is Unix time, None unknown."""
    if event.venue not in market.sections:
        return []
    told = {one.id: one for one in event.instruments}
    found = []
    for name in sorted(held):
        before, after = market.instruments.get(name), told.get(name)
        if before is None:
            continue
        if after is not None:
            found += [f"{before.symbol} {words}" for words in _differences(before, after)]
        elif not before.expiry_ms or (now_ms is not None and now_ms < before.expiry_ms):
            found.append(f"{before.symbol} is not listed any more")
    return found


def _differences(before: Instrument, after: Instrument) -> Iterator[str]:
    # what the venue did not say before, or does not say now, is no change of it
    if before.tiers != after.tiers and before.tiers and after.tiers:
        yield _tiers(before.tiers, after.tiers)
    if before.max_leverage != after.max_leverage and before.max_leverage and after.max_leverage:
        yield f"max leverage {before.max_leverage:g} -> {after.max_leverage:g}"
    if before.funding_interval_h != after.funding_interval_h and before.funding_interval_h and after.funding_interval_h:
        yield f"funding every {before.funding_interval_h:g} h -> {after.funding_interval_h:g} h"
    if before.multiplier != after.multiplier:
        yield f"contract of {before.multiplier:g} -> {after.multiplier:g} {after.coin}"
    if before.settle != after.settle:
        yield f"settles in {before.settle} -> {after.settle}"
    if before.isolated_only != after.isolated_only:
        yield "isolated margin only" if after.isolated_only else "cross margin allowed"
    if before.price_index != after.price_index:
        yield f"index {before.price_index or '-'} -> {after.price_index or '-'}"


def _tiers(before: tuple[MarginTier, ...], after: tuple[MarginTier, ...]) -> str:
    if len(before) == len(after):
        old, new = next((old, new) for old, new in zip(before, after, strict=True) if old != new)
        if old.maintenance_rate != new.maintenance_rate:
            return f"maintenance above {old.lower_bound:,.0f}: {_rate(old)} -> {_rate(new)}"
        if old.lower_bound != new.lower_bound:
            return f"maintenance {_rate(old)} from {old.lower_bound:,.0f} -> {new.lower_bound:,.0f}"
        return f"maintenance deduction above {old.lower_bound:,.0f}: {old.deduction:,.6g} -> {new.deduction:,.6g}"
    return f"margin table of {len(before)} -> {len(after)} tiers, the first {_rate(before[0])} -> {_rate(after[0])}"


def _rate(tier: MarginTier) -> str:
    return f"{tier.maintenance_rate * 100:.4g}%"


def ltv_changes(event: BorrowReserves, specs: Iterable[PoolSpec], market: Market) -> list[str]:
    """What of the loan-to-values of the collateral is different, before `market` takes them."""
    told: Mapping[str, float] = {reserve.asset: reserve.ltv for reserve in event.reserves}
    found = []
    for asset in sorted({held.asset for spec in specs for held in spec.collateral}):
        before, after = market.reserves.get((event.venue, asset)), told.get(asset)
        if before is not None and after is not None and before.ltv != after:
            found.append(f"LTV of {asset} {percent(before.ltv)} -> {percent(after)}")
    return found


def asset_changes(event: Instruments, specs: Iterable[PoolSpec], market: Market) -> list[str]:
    """Margin assets of the account's pools that have become none, before `market` takes the new reference data."""
    before = market.sections.get(event.venue, {})
    assets = sorted({spec.asset for spec in specs} | {held.asset for spec in specs for held in spec.collateral})
    return [f"{asset} is no margin asset any more" for asset in assets if asset in before and asset not in event.sections]
