"""How often each account is read within the request budget of this address. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from connectors.aster.settings import AsterConfig
from connectors.ratelimit import UNLIMITED

FAST_FROM = 0.8
"""Margin ratio from which an account is read at the fast pace: the venue's own advice is to stay below."""

READ_WEIGHT, PRICES_WEIGHT, ORDERS_WEIGHT, ADL_WEIGHT, MODES_WEIGHT = 5, 5, 40, 5, 60
"""Request weights of the account, its liquidation prices, its orders, its ADL places and its modes (venue notes 1.2)."""

PRICES_S = 30.0
"""Liquidation prices are read at most so often."""

POLLED_MODES_S = 300.0
"""Without a stream nobody tells of a change of mode, so it is looked for so often."""

READING_PART, ORDERS_PART, ADL_PART, MODES_PART = 0.6, 0.2, 0.05, 0.1
"""Parts of the budget for each; the rest is for keys, clock and reference data."""

MOST_ROUNDS = 12


@dataclass(frozen=True, slots=True)
class Need:
    """What one account needs. `listening`: pushes keep it. `ratio`: its margin ratio. `suspect`: its stream may be dead.

    `trading`: its orders changed since it was read, which moves what is available but not what is liquidated.
    """

    alias: str
    listening: bool = False
    ratio: float = 0.0
    suspect: bool = False
    trading: bool = False


@dataclass(frozen=True, slots=True)
class Paces:
    """Periods in seconds, as the budget has them. `reads` by alias; `poll_s` and `reconcile_s` are those of an account without and with a
    stream, `polled_modes_s` how often the modes of one without are read.
    """

    reads: dict[str, float]
    poll_s: float
    reconcile_s: float
    orders_s: float
    adl_s: float
    polled_modes_s: float


def paces(needs: Iterable[Need], weight_limit: int, config: AsterConfig) -> Paces:
    """The periods that all accounts together can afford of `weight_limit` (weight per minute, our part)."""
    wanted = {need: _desired_s(need, config) for need in needs}
    reading = _part(weight_limit, READING_PART)
    stretch = _stretch(wanted.values(), reading)
    reads = {need.alias: period_s * stretch for need, period_s in wanted.items()}
    trading = [need.alias for need in wanted if need.trading]
    left = reading - _demand(wanted.values(), stretch)
    if trading and left > 0.0:
        # What is only nice to know takes what is left over.
        period_s = max(config.order_refresh_s, 60.0 * READ_WEIGHT * len(trading) / left)
        reads.update({alias: min(reads[alias], period_s) for alias in trading})
    deaf = sum(not need.listening for need in wanted)
    return Paces(
        reads,
        config.poll_s * stretch,
        config.reconcile_s * stretch,
        max(config.orders_s, 60.0 * ORDERS_WEIGHT * len(wanted) / _part(weight_limit, ORDERS_PART)),
        max(config.adl_s, 60.0 * ADL_WEIGHT * len(wanted) / _part(weight_limit, ADL_PART)),
        max(min(config.modes_s, POLLED_MODES_S), 60.0 * MODES_WEIGHT * deaf / _part(weight_limit, MODES_PART)),
    )


def _stretch(periods_s: Collection[float], affordable: float) -> float:
    # Longer periods make fewer reads but heavier ones, so the factor is approached from below.
    stretch = 1.0
    for _ in range(MOST_ROUNDS):
        stretch *= max(1.0, _demand(periods_s, stretch) / affordable)
    return stretch


def _demand(periods_s: Iterable[float], stretch: float) -> float:
    return sum(60.0 * _weight(period_s * stretch) / (period_s * stretch) for period_s in periods_s)


def _desired_s(need: Need, config: AsterConfig) -> float:
    if not need.listening or need.suspect:
        return config.poll_s
    return config.fast_reconcile_s if need.ratio >= FAST_FROM else config.reconcile_s


def _weight(period_s: float) -> float:
    # A read more often than liquidation prices are wanted brings them only now and then.
    return READ_WEIGHT + PRICES_WEIGHT * min(1.0, period_s / PRICES_S)


def _part(weight_limit: int, part: float) -> float:
    return float("inf") if weight_limit >= UNLIMITED else weight_limit * part
