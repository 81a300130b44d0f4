"""The live book as a snapshot document (spec: report format), so that a number seen live can be saved, sent and recomputed.

Prices and equities are those of the stress book itself, so that the report of the document is the live one to rounding. What a
venue's own rule needs (pools, tiers in force, funding) comes from the pools' book.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from config.tables import Table
from connectors.model import Instrument, MarginTier
from kernels import layout
from monitor.document_rows import pool_row
from monitor.engine import Engine
from monitor.live.portfolios import LivePortfolios
from monitor.margin.pooled import COUNTED_AT_ZERO_LTV
from monitor.margin.pools import PoolSpec
from monitor.margin.result import PoolKind
from monitor.saved_account import funding_row
from monitor.snapshot import InstrumentRow
from monitor.stress.book import StressBook

_BY_EXPOSURE = (PoolKind.DERIBIT_CROSS, PoolKind.DERIBIT_SEGREGATED)
_MOVING = {"mode", "orders", "balances", "spot", "debts"}
_COLUMNS = (("mark", "mark"), ("forward", "forward"), ("iv", "volatility"))


def snapshot_document(live: LivePortfolios, engine: Engine, name: str) -> dict[str, Any] | None:
    """The document of one portfolio and all others of its parameter set; None while one of its accounts has no value.

    Of the others those are in it whose accounts all have one.
    """
    book = live.book_of(name)
    complete = [p for p in live.settings.portfolios if live.book_of(p.id) is book and not live.failures_of(p.accounts)]
    if name not in [portfolio.id for portfolio in complete]:
        return None
    members = list(dict.fromkeys(account for portfolio in complete for account in portfolio.accounts))
    told = [account for account in members if account in book.accounts.states]
    held = {row.instrument for account in told for row in _all_rows(live, account)}
    parameters = next(portfolio for portfolio in complete if portfolio.id == name)
    tiers = _tiers_in_force(engine)
    instruments = [_instrument(book, live, engine, number, tiers) for number, row in enumerate(book.market.listed) if row.id in held]
    by_coin = _by_coin(book, live, {row["coin"] for row in instruments} | _money_coins(book, told))
    return {
        "version": 1,
        "as_of": live.as_of_ms,
        "parameters": parameters.parameters,
        "overrides": {coin: dict(values) for coin, values in parameters.overrides.items()},
        "fx": {asset: float(book.tables.fx[row]) for asset, row in book.market.assets.items() if row and book.tables.fx[row] > 0},
        **by_coin,
        "index": _lent_on(live, engine, told) | by_coin["index"],
        "volume_24h_usd": {row["id"]: volume for row in instruments if (volume := _volume(book, row["id"])) is not None},
        "instruments": instruments,
        "accounts": [_account(book, live, engine, account, held) for account in told],
        "portfolios": [{"id": portfolio.id, "accounts": list(portfolio.accounts)} for portfolio in complete],
    }


def _written(live: LivePortfolios, name: str, row: Table, of: object) -> dict[str, Any]:
    # hundreds of rows, of which few change from one second to the next
    known = live.written.get(name)
    if known is None or known[0] is not of:
        known = live.written[name] = of, row.model_dump(by_alias=True, exclude_defaults=True)
    return known[1]


def _all_rows(live: LivePortfolios, account: str) -> Iterator[Any]:
    row = live.accounts[account].row
    yield from row.positions
    yield from row.orders


def _money_coins(book: StressBook, accounts: Iterable[str]) -> set[str]:
    rows = [book.accounts.states[account].told_row for account in accounts]
    named = {one.asset for row in rows for one in row.balances} | {one.asset for row in rows for one in row.debts}
    return named - book.market.assets.keys()


def _by_coin(book: StressBook, live: LivePortfolios, coins: set[str]) -> dict[str, Any]:
    table = book.tables.coins.table
    rows = {coin: table[book.market.coins[coin]] for coin in sorted(coins) if coin in book.market.coins}
    betas = {coin: live.resolvers.beta(coin).value for coin in rows}
    return {
        "index": {coin: float(row["index"]) for coin, row in rows.items() if row["index"] > 0},
        "beta": {coin: beta for coin, beta in betas.items() if math.isfinite(beta)},
        "daily_volatility": {coin: float(row["daily_volatility"]) for coin, row in rows.items() if row["daily_volatility"] > 0},
    }


def _lent_on(live: LivePortfolios, engine: Engine, accounts: Iterable[str]) -> dict[str, float]:
    # no portfolio holds a spot wallet, so the stress book may lack what its coins are worth: the venue tells it of what it lends on
    spot = [row for account in accounts for row in live.accounts[account].row.spot or ()]
    wanted = {row.asset for row in spot if (row.collateral_ratio or 0.0) > COUNTED_AT_ZERO_LTV}
    market = engine.book.market
    prices = {market.asset_coin(*key): reserve.oracle_price for key, reserve in market.reserves.items()} if wanted else {}
    return {coin: prices[coin] for coin in sorted(wanted) if 0 < prices.get(coin, 0.0) < math.inf}


def _volume(book: StressBook, name: str) -> float | None:
    volume = float(book.tables.instruments.table["volume"][book.market.instruments[name]])
    return volume if math.isfinite(volume) else None


def _instrument(
    book: StressBook, live: LivePortfolios, engine: Engine, number: int, in_force: Mapping[str, tuple[MarginTier, ...]]
) -> dict[str, Any]:
    row: InstrumentRow = book.market.listed[number]
    record = book.tables.instruments.table[number]
    is_option = record["kind"] >= layout.OPTION
    told = {name: float(record[column]) for name, column in (_COLUMNS if is_option else _COLUMNS[:1])}
    known = {name: value if value > 0 else None for name, value in told.items()}
    document = _written(live, row.id, row, row) | known
    listed = live.held[row.id]
    tiers = [[tier.lower_bound, tier.maintenance_rate, tier.deduction] for tier in in_force.get(row.id, ())]
    funding = {} if row.kind != "perpetual" else _funding(engine, listed, live.as_of_ms)
    return document | funding | ({"tiers": tiers} if tiers else {})


def _tiers_in_force(engine: Engine) -> dict[str, tuple[MarginTier, ...]]:
    # by instrument; a position may have its own limit: of several the first is told
    found: dict[str, tuple[MarginTier, ...]] = {}
    for spec in engine.arrays.specs.values():
        for leg in spec.legs:
            found.setdefault(leg.instrument, leg.tiers)
    return found


def _funding(engine: Engine, listed: Instrument, now_ms: int) -> dict[str, Any]:
    market = engine.book.market
    row = market.known_row(listed.id)
    if row is None or not math.isfinite(market.funding[row]):
        return {}
    return {"funding": funding_row(listed, float(market.funding[row]), float(market.index[row]), int(market.funding_time[row]), now_ms)}


def _account(book: StressBook, live: LivePortfolios, engine: Engine, account: str, held: set[str]) -> dict[str, Any]:
    told = live.accounts[account].row
    known = _written(live, f"account {account}", told, told.positions)
    # which may have been told anew with the same positions
    row = {key: value for key, value in known.items() if key not in _MOVING} | told.model_dump(include=_MOVING, exclude_defaults=True)
    equity = book.accounts.equity(account)
    # while a price is missing the venue's figure stands, and the portfolio says what it lacks
    row["equity"] = equity if math.isfinite(equity) else told.equity
    return row | {"pools": [_pool(engine, told.venue, spec, held) for spec in _specs(engine, told.venue, account)]}


def _specs(engine: Engine, venue: str, account: str) -> list[PoolSpec]:
    arrays = engine.arrays
    return [arrays.specs[row] for row in sorted(arrays.row(scope) for scope in arrays.scopes_of(venue, account))]


def _pool(engine: Engine, venue: str, spec: PoolSpec, held: set[str]) -> dict[str, Any]:
    market = engine.book.market
    prices = {leg.asset: market.asset_price(venue, leg.asset) for leg in spec.collateral}
    # a listing that came since the last evaluation may lack what pools still have
    listed = {leg.instrument: market.instruments[leg.instrument] for leg in spec.legs if leg.instrument in market.instruments}
    row = pool_row(spec, prices, {name: one for name, one in listed.items() if name in held})
    if spec.kind in _BY_EXPOSURE:
        row["exposures"] = [
            {"coin": listed[leg.instrument].coin, "quantity": leg.quantity, "inverse": leg.inverse}
            for leg in spec.legs
            if leg.instrument in listed
        ]
        row["maintenance_margin"] = spec.maintenance
    return row
