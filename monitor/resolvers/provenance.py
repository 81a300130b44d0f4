"""Where a market figure comes from, and how far it can be trusted."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

LIVE_S, AGING_S = 5.0, 30.0
"""Ages (seconds) up to which a figure is live, and up to which it is ageing."""


class Provenance(StrEnum):
    """How a figure came about, from best to worst.

    LIVE, AGING and STALE are what a venue told, by its age or by its feed's state. OUTCOME is implied by prices of outcomes, PROXY
    derived from other figures, CONFIGURED said by the configuration alone; MISSING is no figure.
    """

    LIVE = "LIVE"
    AGING = "AGING"
    STALE = "STALE"
    OUTCOME = "OUTCOME"
    PROXY = "PROXY"
    CONFIGURED = "CONFIGURED"
    MISSING = "MISSING"

    @property
    def severity(self) -> int:
        """0 for LIVE up to 6 for MISSING."""
        return _SEVERITY[self]

    @property
    def is_live(self) -> bool:
        """Whether a venue told it and still vouches for it: LIVE or AGING."""
        return self.severity <= _SEVERITY[Provenance.AGING]


_SEVERITY = {provenance: rank for rank, provenance in enumerate(Provenance)}


@dataclass(frozen=True, slots=True)
class Resolved:
    """A market figure: `value` (NaN exactly when MISSING), where it comes from, and the age of its oldest part in seconds.

    `age_s` is NaN where nothing was ever told. `source` is a phrase for the reader.
    """

    value: float
    provenance: Provenance
    source: str
    age_s: float = math.nan


def missing(source: str) -> Resolved:
    """No figure; `source` says what is lacking."""
    return Resolved(math.nan, Provenance.MISSING, source)


def worst(provenances: Iterable[Provenance]) -> Provenance:
    """The worst of them; LIVE of none."""
    return max(provenances, key=_SEVERITY.__getitem__, default=Provenance.LIVE)


def oldest(ages_s: Iterable[float]) -> float:
    """The largest of the ages that are known (seconds), NaN if none is."""
    return max((age for age in ages_s if not math.isnan(age)), default=math.nan)


def by_age(age_s: float) -> Provenance:
    """LIVE, AGING or STALE by the age of what a venue told (seconds)."""
    if age_s <= LIVE_S:
        return Provenance.LIVE
    return Provenance.AGING if age_s <= AGING_S else Provenance.STALE
