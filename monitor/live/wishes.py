"""What live portfolios need of the venues beside what their accounts hold: marks to follow, chains, forwards, daily closes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from connectors.model import Instrument, InstrumentKind

Expiry = tuple[str, str, int]
"""(coin, settlement asset, expiry in ms)."""

OPTIONS = "deribit"
CLOSES = ("hyperliquid", "aster")
"""Venues that tell daily closes, the first that lists a coin is asked."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """By venue: instruments whose marks, and coins whose daily closes, are wanted. `coins` and `expiries` are for the option chains."""

    coins: tuple[str, ...] = ()
    instruments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    closes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    expiries: tuple[Expiry, ...] = ()


def wishes(coins: Iterable[str], held: Iterable[Instrument], listed: Iterable[Instrument], followed: Iterable[str]) -> Wishes:
    """What is wanted of `coins` (BTC always, which others are measured by), given what is `held` and `listed`.

    `followed` are the instruments whose marks and indices the resolvers use.
    """
    wanted = tuple(sorted({*coins, "BTC"}))
    known = {(one.venue, one.coin) for one in listed if one.kind is InstrumentKind.PERPETUAL and not one.delisted}
    closes: dict[str, list[str]] = {venue: [] for venue in CLOSES}
    for coin in wanted:
        venue = next((venue for venue in CLOSES if (venue, coin) in known), None)
        if venue is not None:
            closes[venue].append(coin)
    options = [one for one in held if one.venue == OPTIONS]
    marks: dict[str, set[str]] = {OPTIONS: {one.id for one in options}}
    for name in followed:
        marks.setdefault(name.partition(":")[0], set()).add(name)
    expiries = {(one.coin, one.settle, one.expiry_ms) for one in options if one.kind is InstrumentKind.OPTION}
    return Wishes(
        wanted,
        {venue: tuple(sorted(names)) for venue, names in marks.items()},
        {venue: tuple(names) for venue, names in closes.items()},
        tuple(sorted(expiries)),
    )
