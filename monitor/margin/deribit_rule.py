"""What a Deribit account's margin balance and maintenance margin move with between two frames of the venue, in USD.

Source: the venue notes 2.6 and 2.7, and the documented and recorded summaries:

    equity of a coin wallet           d(equity * S) = (equity + delta_total) dS + gamma dS^2 / 2 + vega dsigma
    equity of a stablecoin wallet     d(equity)     = delta_by_index dS        + gamma dS^2 / 2 + vega dsigma
    portfolio margin                  margin balance = equity
    standard margin                   margin balance = equity - options_value; a short option's value is in the maintenance margin

`delta_total` is premium-adjusted (less the options' value), `delta_by_index` is not: the documented summaries add up that way only.
The rest of the maintenance margin stays as reported; stablecoins count as USD until the next frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from connectors.model import CurrencySummary, Instrument, InstrumentKind, ListedPosition
from monitor.market import Market

VENUE = "deribit"
MODELS = ("segregated_sm", "segregated_pm", "cross_sm", "cross_pm")
STABLE = frozenset({"USD", "USDC", "USDT", "USDE", "EURR", "USYC", "BUIDL"})
"""Currencies of a wallet whose own price is left as it was at the last frame."""

POINTS = 100.0
"""Volatility points in a volatility of 1."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """How money (USD) moves with one index: `slope` in coin, `gamma` in coin per USD.

    A positive gamma brings at most `reach` of slope: an option's delta ends at its size, however far the index goes.
    """

    slope: float = 0.0
    gamma: float = 0.0
    reach: float = math.inf

    def change(self, move: float) -> float:
        """USD after the index moved by `move` USD."""
        return (self.slope + 0.5 * self._bend(move)) * move

    def slope_after(self, move: float) -> float:
        """The slope there."""
        return self.slope + self._bend(move)

    def _bend(self, move: float) -> float:
        bend = self.gamma * move
        return min(max(bend, -self.reach), self.reach) if self.gamma > 0 else bend


@dataclass(slots=True)
class Exposure:
    """What some money moves with: indices by instrument id, and options by theirs (USD per volatility point)."""

    indices: dict[str, Sensitivity] = field(default_factory=dict)
    vegas: dict[str, float] = field(default_factory=dict)

    def add(self, index: str, slope: float, gamma: float = 0.0, reach: float = math.inf) -> None:
        """Put a sensitivity to an index on top."""
        if slope == 0.0 and gamma == 0.0:
            return
        known = self.indices.get(index, Sensitivity(reach=0.0))
        self.indices[index] = Sensitivity(known.slope + slope, known.gamma + gamma, known.reach + reach)

    def change(self, before: Prices, now: Prices) -> float:
        """USD gained since `before`; a volatility that is not known at both ends moves nothing."""
        moved = math.fsum(one.change(now.indices[name] - before.indices[name]) for name, one in self.indices.items())
        steps = ((vega, now.volatilities.get(name), before.volatilities.get(name)) for name, vega in self.vegas.items())
        return moved + math.fsum(vega * POINTS * (new - old) for vega, new, old in steps if new is not None and old is not None)

    def slope(self, index: str, before: Prices, now: Prices) -> float:
        """The slope to one index now."""
        known = self.indices.get(index)
        return 0.0 if known is None else known.slope_after(now.indices[index] - before.indices[index])


@dataclass(frozen=True, slots=True)
class Prices:
    """Index prices (USD) and implied volatilities (decimals) at one instant, as far as known, by instrument id."""

    indices: Mapping[str, float]
    volatilities: Mapping[str, float]


@dataclass(slots=True)
class Exposures:
    """Exposures of a pool's margin balance and maintenance margin; `short_value` is the value of short options in the latter, USD.

    `uncovered` maps a wallet's currency to its equity where no index prices it and its moves count; `lacking` names positions not
    listed, and `count` is the number of those that are.
    """

    balance: Exposure = field(default_factory=Exposure)
    maintenance: Exposure = field(default_factory=Exposure)
    short_value: float = 0.0
    uncovered: dict[str, float] = field(default_factory=dict)
    lacking: list[str] = field(default_factory=list)
    count: int = 0


def index_id(name: str) -> str:
    """Id of the instrument that stands for a price index (`btc_usd`)."""
    return f"{VENUE}:{name}"


def own_index(currency: str, market: Market) -> str | None:
    """Instrument id of the index that prices a coin; None where none is listed."""
    names = (index_id(f"{currency.lower()}_{quote}") for quote in ("usd", "usdc", "usdt"))
    return next((name for name in names if name in market.instruments), None)


def is_idle(summary: CurrencySummary) -> bool:
    """Whether a wallet holds nothing and needs nothing."""
    figures = (summary.equity, summary.balance, summary.initial_margin, summary.maintenance_margin, summary.delta_total)
    return not any(figures) and not summary.options_value


def exposures(summaries: Iterable[CurrencySummary], positions: Iterable[ListedPosition], market: Market) -> Exposures:
    """What the margin balance and maintenance margin of a pool of these wallets move with.

    Of segregated wallets one makes a pool, of those of a cross model all make one.
    """
    found = Exposures()
    rows = [(position, market.instruments.get(position.instrument)) for position in positions]
    found.lacking = [position.instrument for position, listed in rows if listed is None]
    for summary in summaries:
        held = [(position, listed) for position, listed in rows if listed is not None and listed.settle == summary.currency]
        found.count += len(held)
        if not summary.is_cross and _is_plain(summary, held):
            continue
        own = None if summary.currency in STABLE else own_index(summary.currency, market)
        if own is None and summary.currency not in STABLE and summary.equity != 0.0:
            found.uncovered[summary.currency] = summary.equity
        if own is not None and not summary.is_cross:
            # Coins that are worth the same USD at any price are not the same coins.
            found.balance.indices.setdefault(own, Sensitivity(reach=0.0))
        if summary.margin_model.endswith("_pm"):
            _portfolio_margin(found, summary, held, own)
        else:
            _standard_margin(found, summary, held, own)
    return found


_Held = list[tuple[ListedPosition, Instrument]]


def _is_plain(summary: CurrencySummary, held: _Held) -> bool:
    # nothing but its currency: in that it moves with nothing
    return not held and summary.delta_total == 0.0 and not any(summary.gamma_by_index.values())


def _portfolio_margin(found: Exposures, summary: CurrencySummary, held: _Held, own: str | None) -> None:
    options = [(position, listed) for position, listed in held if listed.kind is InstrumentKind.OPTION]
    for position, _ in options:
        _add_vega(found.balance, position.instrument, position.vega)
    if own is not None:
        gamma = math.fsum(summary.gamma_by_index.values())
        reach = math.fsum(abs(position.quantity) for position, _ in options)
        found.balance.add(own, summary.equity + summary.delta_total, gamma, reach)
        return
    for name in {**summary.delta_by_index, **summary.gamma_by_index}:
        reach = math.fsum(abs(position.quantity) for position, listed in options if listed.price_index == name)
        found.balance.add(index_id(name), summary.delta_by_index.get(name, 0.0), summary.gamma_by_index.get(name, 0.0), reach)


def _standard_margin(found: Exposures, summary: CurrencySummary, held: _Held, own: str | None) -> None:
    if own is not None:
        found.balance.add(own, summary.equity - summary.options_value)
    for position, listed in held:
        index = own or index_id(listed.price_index)
        if listed.kind is not InstrumentKind.OPTION:
            found.balance.add(index, position.delta)
        elif position.quantity < 0:
            found.maintenance.add(index, -position.delta, -position.gamma)
            _add_vega(found.maintenance, position.instrument, -position.vega)
            found.short_value -= position.quantity * position.mark * (position.index if own is not None else 1.0)


def _add_vega(exposure: Exposure, instrument: str, vega: float) -> None:
    if vega != 0.0:
        exposure.vegas[instrument] = exposure.vegas.get(instrument, 0.0) + vega
