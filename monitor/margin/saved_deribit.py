"""Deribit accounts of a snapshot document: pools as the live monitor holds them, between two frames of the venue.

The venue's own model is not rebuilt: a pool is its last maintenance margin, and a margin balance that moves with each coin's index by
its `exposures`, in a straight line. Over large moves of a book of options that is only the beginning of the truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from connectors.model import Instrument, InstrumentKind, MarginTier
from monitor.margin.deribit import CROSS, VENUE
from monitor.margin.pools import Leg
from monitor.margin.result import PoolKind
from monitor.snapshot import PoolRow

_FREE = (MarginTier(0.0, 0.0, 0.0),)


def kind_of(row: PoolRow) -> PoolKind:
    """What the venue does to a pool of this id."""
    return PoolKind.DERIBIT_CROSS if row.id == CROSS else PoolKind.DERIBIT_SEGREGATED


def index_id(coin: str) -> str:
    """Id of the index of a coin among the instruments of a document's pools."""
    return f"{VENUE}:index:{coin}"


def legs_of(row: PoolRow) -> list[Leg]:
    """A pool's exposures as legs."""
    return [Leg(index_id(one.coin), one.quantity, 0.0, _FREE, inverse=one.inverse) for one in row.exposures]


def indices(coins: Iterable[str]) -> Iterator[Instrument]:
    """The indices of coins as instruments."""
    for coin in coins:
        symbol = index_id(coin).partition(":")[2]
        yield Instrument(index_id(coin), VENUE, symbol, InstrumentKind.INDEX, coin, "USD", tiers=_FREE)
