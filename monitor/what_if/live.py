"""What a running monitor knows beyond its snapshot: instruments that nobody holds, priced as well as it can, each with its source."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator

from connectors.model import Instrument, InstrumentKind, MarginTier
from monitor.app import Application
from monitor.document_rows import instrument_row
from monitor.live.accounts import STABLECOINS, USD
from monitor.margin.configured import aster_collateral
from monitor.margin.deribit import VENUE as DERIBIT
from monitor.resolvers.resolvers import Resolvers
from monitor.snapshot import InstrumentRow
from monitor.what_if.changes import Request, TransferChange
from monitor.what_if.known import Known

OLD_S = 60.0
"""A mark that nobody told for longer is said to be old."""

_UNTRADED = {
    InstrumentKind.INDEX: "is an index and no contract; name a contract on it",
    InstrumentKind.SPOT: "is spot: transfer the coin in and what is paid for it out instead",
    InstrumentKind.OUTCOME: "is an outcome, which the monitor makes of its venue's markets: change it in a saved snapshot instead",
}


def known_of(app: Application, request: Request, held: Collection[str]) -> Known:
    """What the changes name and the snapshot, which has the instruments `held`, does not. On the event loop."""
    market, resolvers = app.engine.book.market, app.portfolios.resolvers
    given = {row.id for row in request.instruments}
    named = dict.fromkeys(change.instrument for change in request.changes if not isinstance(change, TransferChange))
    listed = {name: market.instruments[name] for name in named if name in market.instruments and name not in held and name not in given}
    refused = {name: f"{name} {why}" for name, one in listed.items() if (why := _refusal(one))}
    wanted = [one for name, one in listed.items() if name not in refused]
    money = {change.asset for change in request.changes if isinstance(change, TransferChange)}
    coins = {one.coin for one in wanted} | {row.coin for row in request.instruments} | money
    settled = {one.settle for one in wanted} | {row.settle for row in request.instruments} | money
    daily, betas, volumes = _activity(resolvers, wanted)
    return Known(
        rows={one.id: _row(app, one) for one in wanted},
        notes={one.id: tuple(_notes(app, one)) for one in wanted},
        refused=refused,
        isolated_only=frozenset(one.id for one in wanted if one.isolated_only),
        listed=frozenset(market.instruments),
        index={coin: price for coin in coins if not app.portfolios.is_stable(coin) and (price := _index(app, coin, wanted)) > 0},
        fx={asset: price for asset in settled & STABLECOINS - {USD} if (price := resolvers.fx(asset).value) > 0},
        beta=betas,
        daily_volatility=daily,
        volume_24h_usd=volumes,
        settles=_settles(market.instruments.values()),
        ratios=aster_collateral(app.settings).ratios,
    )


def _refusal(one: Instrument) -> str:
    if one.delisted:
        return "is delisted: its venue takes no trade in it; name one that is listed"
    return _UNTRADED.get(one.kind, "")


def _row(app: Application, one: Instrument) -> InstrumentRow:
    tiers = one.tiers
    if not tiers and one.venue == DERIBIT and one.kind is not InstrumentKind.OPTION:
        tiers = (MarginTier(0.0, app.settings.venues.deribit.future_maintenance_rate, 0.0),)
    if one.kind is InstrumentKind.OPTION:
        forward, (volatility, _) = app.portfolios.resolvers.estimated_forward(one), _volatility(app, one)
        # as live rows of options: the model's price stands for the mark
        row = instrument_row(one, math.nan, tiers, forward=forward, volatility=volatility)
        return InstrumentRow.model_validate(row | {"forward": forward if forward > 0 else None})
    return InstrumentRow.model_validate(instrument_row(one, app.engine.book.market.mark(one.id), tiers))


def _volatility(app: Application, one: Instrument) -> tuple[float, str]:
    told = app.engine.book.market.volatility(one.id)
    if told is not None and told > 0:
        return told, f"as {one.venue} told it last"
    smile = app.portfolios.resolvers.smile(one)
    return (math.nan, "") if smile is None else (smile.value, f"{smile.provenance.value}: {smile.source}")


def _notes(app: Application, one: Instrument) -> Iterator[str]:
    market = app.engine.book.market
    if one.kind is InstrumentKind.OPTION:
        volatility, source = _volatility(app, one)
        if source:
            yield f"{one.id} is not held: its volatility is {volatility:.2%}, {source}, its forward the one of its expiry by the curve now"
    elif market.mark(one.id) > 0 and market.silent([one.id], app.clock.monotonic_ns(), OLD_S, delta_alive=True) is not None:
        yield f"nobody told the mark of {one.id} for more than {OLD_S:g} s: it is the last one known"


def _index(app: Application, coin: str, wanted: Iterable[Instrument]) -> float:
    value = app.portfolios.resolvers.index(coin).value
    if value > 0:
        return value
    # a perpetual's own index where no coin of this name is followed yet, in USD as far as its stablecoin is priced
    market, resolvers = app.engine.book.market, app.portfolios.resolvers
    for one in wanted:
        row = market.known_row(one.id)
        if one.coin == coin and row is not None and one.kind is InstrumentKind.PERPETUAL and not one.inverse:
            price = float(market.index[row]) / one.multiplier
            return price * resolvers.fx(one.settle).value if one.settle in STABLECOINS else price
    return math.nan


def _settles(instruments: Iterable[Instrument]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for one in instruments:
        if one.kind not in (InstrumentKind.INDEX, InstrumentKind.OUTCOME, InstrumentKind.SPOT):
            found.setdefault(one.venue, set()).add(one.settle)
    return {venue: frozenset(assets) for venue, assets in found.items()}


def _activity(resolvers: Resolvers, wanted: Collection[Instrument]) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    # daily volatility and beta by coin, volume by instrument
    coins = {one.coin for one in wanted}
    daily = {coin: resolvers.daily_volatility(coin).value for coin in coins}
    betas = {coin: resolvers.beta(coin).value for coin in coins}
    volumes = {one.id: resolvers.volume(one.id).value for one in wanted}
    return (
        {coin: value for coin, value in daily.items() if value > 0},
        {coin: value for coin, value in betas.items() if math.isfinite(value)},
        {name: value for name, value in volumes.items() if value >= 0},
    )
