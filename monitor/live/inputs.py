"""What the figures of live portfolios rest on: every resolved market figure with its provenance, by coin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from config.parameters import ParameterSet
from connectors.model import Instrument, InstrumentKind
from monitor.live.portfolios import LivePortfolios
from monitor.resolvers.provenance import Provenance, Resolved, worst

_OPTIONS = (InstrumentKind.OPTION, InstrumentKind.OUTCOME)


@dataclass(frozen=True, slots=True)
class Input:
    """One figure: `kind` is fx, index, forward, implied_volatility, daily_volatility or volume, `name` of what."""

    kind: str
    name: str
    resolved: Resolved

    def document(self) -> dict[str, Any]:
        """Ready for JSON but for what is not finite."""
        told = self.resolved
        parts = {"value": told.value, "provenance": told.provenance.value, "source": told.source, "age_s": told.age_s}
        return {"kind": self.kind, "name": self.name, **parts}


def coin_inputs(live: LivePortfolios, coin: str, held: Iterable[Instrument]) -> list[Input]:
    """The market figures that a coin's margin rests on, of the instruments `held` on it."""
    resolvers, found = live.resolvers, [Input("index", coin, live.resolvers.index(coin))]
    settles: dict[str, None] = {}
    forwards: dict[tuple[str, str, str, int], None] = {}
    volatilities = []
    for one in held:
        if one.settle not in (one.coin, "USD"):
            settles[one.settle] = None
        if one.kind in _OPTIONS:
            forwards[one.venue, one.coin, one.settle, one.expiry_ms] = None
            volatilities.append(Input("implied_volatility", one.id, resolvers.volatility(one.id)))
    found += [Input("fx", asset, resolvers.fx(asset)) for asset in settles]
    for venue, of, settle, expiry_ms in forwards:
        found.append(Input("forward", f"{venue}:{of}:{settle}:{expiry_ms}", resolvers.forward(venue, of, settle, expiry_ms)))
    return found + volatilities


def _activity(live: LivePortfolios, parameters: ParameterSet, coin: str, held: Iterable[Instrument]) -> list[Input]:
    # daily volatility and volume, where the rules of the parameter set use them
    charges = parameters.portfolio.eta > 0
    found = [Input("daily_volatility", coin, live.resolvers.daily_volatility(coin))]
    volumes = [Input("volume", one.id, live.resolvers.volume(one.id)) for one in held if one.kind not in _OPTIONS]
    return (found if charges or parameters.unit(coin).regime_power > 0 else []) + (volumes if charges else [])


def portfolio_inputs(live: LivePortfolios, portfolio: str) -> dict[str, list[Input]]:
    """By coin of a portfolio what its margin rests on; `""`: the stablecoins that its accounts hold."""
    members = live.book_of(portfolio).accounts.members[live.book_of(portfolio).accounts.portfolios[portfolio]]
    accounts = [live.accounts[account] for account in members if account in live.accounts]
    held = {name: listed for account in accounts for name, listed in account.listed.items()}
    coins: dict[str, list[Instrument]] = {}
    for listed in held.values():
        coins.setdefault(listed.coin, []).append(listed)
    parameters = live.book_of(portfolio).parameters
    found = {coin: coin_inputs(live, coin, coins[coin]) + _activity(live, parameters, coin, coins[coin]) for coin in sorted(coins)}
    assets = sorted({asset for account in accounts for asset in account.assets} - coins.keys())
    money = [Input("fx" if live.is_stable(asset) else "index", asset, live.price(asset)) for asset in assets]
    return found | {"": money}


def worst_of(inputs: Iterable[Input]) -> Provenance:
    """The worst provenance among them, LIVE of none."""
    return worst(one.resolved.provenance for one in inputs)


def doubts(inputs: Mapping[str, Iterable[Input]]) -> Iterator[str]:
    """A sentence for every kind of figure of a coin that no venue vouches for now, worst first within a coin."""
    for coin, group in inputs.items():
        worse: dict[tuple[str, Provenance, str], int] = {}
        for one in sorted(group, key=lambda one: -one.resolved.provenance.severity):
            if not one.resolved.provenance.is_live:
                key = one.kind, one.resolved.provenance, one.resolved.source
                worse[key] = worse.get(key, 0) + 1
        for (kind, provenance, source), count in worse.items():
            of = f"{coin} {kind}" if coin else kind
            yield f"{of.replace('_', ' ')} {provenance.value}{f' x{count}' if count > 1 else ''}: {source}"
