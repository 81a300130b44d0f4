"""One account as read, written as a snapshot document (spec: report format), so that a number can be sent and recomputed.

Quantities, marks and entries are per 1 coin, whatever the venue's contract unit, and balances are named by their coin. Unknown
values are null or left out. The venue does not say what its stablecoins are worth in USD, nor the index of a coin that it does
not lend: before the portfolio method can use the document, somebody has to complete `fx`, `index` and the account's `equity`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from connectors.events import AccountSnapshot, BorrowReserves, FuturesSnapshot, Instruments, MarkPrices
from connectors.model import FuturesAsset, Instrument, PriceBasis, Token
from monitor.document_rows import balance_row, finite, instrument_row, pool_row, position_row
from monitor.funding import PAYS_ON_ORACLE, next_time
from monitor.report.plain import utc
from monitor.verify import SideBySide


def snapshot_document(
    instruments: Instruments,
    snapshot: AccountSnapshot,
    seen: SideBySide,
    time_ms: int,
    reserves: BorrowReserves | None = None,
    marks: Sequence[MarkPrices] = (),
) -> dict[str, Any]:
    """The document of one account; `time_ms` is the venue's time of reading.

    `reserves` give the index of the coins that the venue lends, `marks` what its perpetuals pay next.
    """
    listed = {instrument.id: instrument for instrument in instruments.instruments}
    coins = {token.asset: token.coin for token in instruments.tokens}
    positions = [position for section in snapshot.sections for position in section.positions if position.instrument in listed]
    # those in force: an account may be margined by tables of its own
    tiers = {leg.instrument: leg.tiers for spec in seen.specs for leg in spec.legs}
    balances = snapshot.wallet.balances if snapshot.wallet else ()
    funding = {name: row for event in marks for name, row in funding_rows(listed, event, time_ms).items()}
    rows = [
        instrument_row(listed[position.instrument], position.mark, tiers.get(position.instrument, ()), position.max_leverage)
        | funding.get(position.instrument, {})
        for position in positions
    ]
    wanted = {row["coin"] for row in rows} | {coins.get(row.asset, row.asset) for row in balances if row.total or row.borrowed}
    return {
        "version": 1,
        "as_of": datetime.fromtimestamp(time_ms / 1000, UTC).isoformat().replace("+00:00", "Z"),
        "parameters": "uta",
        "index": _index(reserves, coins, wanted - {instrument.settle for instrument in instruments.instruments}),
        "instruments": rows,
        "accounts": [
            {
                "id": snapshot.account,
                "venue": snapshot.venue,
                "mode": seen.pools[0].mode,
                "pools": [pool_row(spec, seen.prices, listed) for spec in seen.specs],
                "reported": {f"{row.pool} {row.figure}": finite(row.venue) for row in seen.rows},
                "balances": [balance_row(row, coins.get(row.asset, row.asset)) for row in balances if row.total],
                "debts": [{"asset": coins.get(row.asset, row.asset), "amount": row.borrowed} for row in balances if row.borrowed],
                "positions": [position_row(listed[p.instrument], p.quantity, p.side, p.entry) for p in positions],
            }
        ],
    }


def futures_document(
    instruments: Instruments, snapshot: FuturesSnapshot, seen: SideBySide, time_ms: int, marks: MarkPrices | None = None
) -> dict[str, Any]:
    """The document of an Aster account as read; `marks` give the indexes of its coins and what its perpetuals pay next.

    The balances are the whole wallets, isolated margin included. In multi-assets mode `equity` is told: the venue counts it in USD.
    """
    listed = {instrument.id: instrument for instrument in instruments.instruments}
    tokens = {token.asset: token for token in instruments.tokens}
    read = snapshot.state.read
    held = {position.instrument: position.mark for position in read.positions if position.instrument in listed}
    funding = {} if marks is None else funding_rows(listed, marks, time_ms)
    counted = {leg.asset: leg.ratio for spec in seen.specs for leg in spec.collateral if leg.amount > 0}
    account: dict[str, Any] = {
        "id": snapshot.account,
        "venue": snapshot.venue,
        "mode": seen.pools[0].mode,
        "pools": [pool_row(spec, seen.prices, listed) for spec in seen.specs],
        "reported": {f"{row.pool} {row.figure}": finite(row.venue) for row in seen.rows},
        "balances": [_futures_balance(row, tokens, counted) for row in read.assets if row.wallet],
        "debts": [],
        "positions": [
            position_row(listed[position.instrument], position.quantity, position.side, position.entry)
            for position in read.positions
            if position.instrument in listed
        ],
    }
    if snapshot.state.multi_assets:
        account["equity"] = read.total_margin_balance
    coins = {listed[name].coin for name in held} | {token.coin for row in read.assets if row.wallet and (token := tokens.get(row.asset))}
    return {
        "version": 1,
        "as_of": utc(time_ms),
        "parameters": "uta",
        "index": {} if marks is None else dict(_indexes(marks, listed, tokens, coins)),
        "instruments": [instrument_row(listed[name], mark, listed[name].tiers) | funding.get(name, {}) for name, mark in held.items()],
        "accounts": [account],
    }


def _futures_balance(row: FuturesAsset, tokens: Mapping[str, Token], counted: Mapping[str, float]) -> dict[str, Any]:
    coin = tokens[row.asset].coin if row.asset in tokens else row.asset
    ratio = {"collateral_ratio": counted[row.asset]} if row.asset in counted else {}
    return {"asset": coin, "total": row.wallet} | ratio


def _indexes(
    marks: MarkPrices, listed: Mapping[str, Instrument], tokens: Mapping[str, Token], coins: set[str]
) -> Iterator[tuple[str, float]]:
    # what settles in an asset at par has its index in USD
    for name, index in zip(marks.instruments, marks.indices, strict=True):
        instrument = listed.get(name)
        token = tokens.get(instrument.settle) if instrument else None
        if instrument and token and token.basis is PriceBasis.PAR and instrument.coin in coins and 0 < index < math.inf:
            yield instrument.coin, index / instrument.multiplier


def missing_for_portfolio(document: dict[str, Any]) -> tuple[str, ...]:
    """What somebody has to add to a saved document before the portfolio method can use it: keys as the file writes them."""
    coins = {row["coin"] for row in document["instruments"]}
    borrowed = {row["asset"] for account in document["accounts"] for row in account["debts"]}
    stablecoins = {row["settle"] for row in document["instruments"]} | borrowed - coins - document["index"].keys()
    equity = [f"accounts[{number}].equity" for number, account in enumerate(document["accounts"]) if "equity" not in account]
    return (
        *(f"fx.{name}" for name in sorted(stablecoins)),
        *(f"index.{name}" for name in sorted(coins - document["index"].keys())),
        *equity,
    )


def funding_rows(listed: Mapping[str, Instrument], marks: MarkPrices, time_ms: int) -> dict[str, dict[str, Any]]:
    """By instrument whose rate the venue told: {"funding": ...}, to be laid into its row of a document of that time (venue's ms)."""
    told_ms = marks.funding_times or [0] * len(marks.instruments)
    columns = zip(marks.instruments, marks.funding, marks.indices, told_ms, strict=True)
    return {
        name: {"funding": funding_row(listed[name], rate, index, next_ms, time_ms)}
        for name, rate, index, next_ms in columns
        if name in listed and math.isfinite(rate)
    }


def funding_row(instrument: Instrument, rate: float, index: float, told_ms: int, time_ms: int) -> dict[str, Any]:
    """What a perpetual pays next as a document writes it, prices per 1 coin; what is unknown is left out.

    `told_ms` is the venue's word for when, 0 unknown; `time_ms` is now on its clock.
    """
    next_ms = told_ms or next_time(0, instrument.funding_interval_h, time_ms)
    told: dict[str, Any] = {"rate": rate}
    if instrument.funding_interval_h > 0:
        told["interval_h"] = instrument.funding_interval_h
    if next_ms is not None:
        told["next_time"] = utc(next_ms)
    if instrument.venue in PAYS_ON_ORACLE and 0 < index < math.inf:
        told["price"] = index / instrument.multiplier
    return told


def _index(reserves: BorrowReserves | None, coins: dict[str, str], wanted: Iterable[str]) -> dict[str, float]:
    prices = {coins.get(row.asset, row.asset): row.oracle_price for row in reserves.reserves} if reserves else {}
    return {coin: prices[coin] for coin in sorted(wanted) if 0 < prices.get(coin, 0.0) < math.inf}
