"""What is due: funding, expiries with the ratio after the hedge is gone, keys that expire, maintenance that venues announce.

Ratios after an expiry are of the portfolio method: the options of that expiry are settled at their forward of now and gone. That
takes a moment, so it is computed in a worker thread from a snapshot of the live book.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from config.parameters import ParameterSet
from kernels.black76 import price_one
from monitor.app import Application
from monitor.live.export import snapshot_document
from monitor.margin.portfolio import portfolio_result
from monitor.report.document import CUTS, LEVELS, failure_rows
from monitor.report.plain import plain
from monitor.snapshot import AccountRow, InstrumentRow, Snapshot, parse_snapshot
from monitor.status import funding_of
from monitor.stress.load import book_of

VERSION = 1
EXPIRING = ("option", "outcome", "future")
NORMAL = frozenset({"", "ok", "unlocked", "none"})
"""Words of a venue about itself that announce nothing."""


class Calendar:
    """What is due as far as the running monitor knows: taken on the event loop, `document` may run in a thread or process."""

    def __init__(self, app: Application) -> None:
        self._as_of_ms = app.clock.time_ms()
        self._entries = [*_funding(app), *_keys(app), *_maintenance(app)]
        self._snapshots = [*_snapshots(app)]

    def document(self) -> dict[str, Any]:
        """Entries in the order of their time, those without one first. `amount` is in the `asset`, received > 0."""
        entries = [*self._entries]
        parsed: dict[bytes, Snapshot] = {}
        for name, written, parameters in self._snapshots:
            if written not in parsed:
                parsed[written] = parse_snapshot(orjson.loads(written), "the live book")
            entries += expiries(parsed[written], parameters, name)
        entries.sort(key=lambda entry: (entry["time_ms"] or 0, entry["kind"], str(entry.get("account") or entry.get("portfolio"))))
        found: dict[str, Any] = plain({"version": VERSION, "as_of_ms": self._as_of_ms, "entries": entries})
        return found


def _snapshots(app: Application) -> Iterator[tuple[str, bytes, ParameterSet]]:
    # of every portfolio that has a value its document, which those of one parameter set share; as JSON, which is handed to another
    # process in a tenth of the time
    live = app.portfolios
    written: dict[int, bytes] = {}
    for portfolio in app.settings.portfolios:
        if live.failures_of(portfolio.accounts):
            continue
        book = id(live.book_of(portfolio.id))
        if book not in written:
            written[book] = orjson.dumps(snapshot_document(live, app.engine, portfolio.id))
        yield portfolio.id, written[book], portfolio.parameter_set


def expiries(snapshot: Snapshot, parameters: ParameterSet, portfolio: str) -> Iterator[dict[str, Any]]:
    """Every expiry of a portfolio: its instruments, its ratio now and, with all else as it is, after them."""
    members = next(row.accounts for row in snapshot.portfolios if row.id == portfolio)
    held = {row.instrument for account in snapshot.accounts if account.id in members for row in account.positions if row.quantity}
    dated: dict[int, list[InstrumentRow]] = {}
    for row in snapshot.instruments:
        if row.kind in EXPIRING and row.id in held and row.expiry_ms is not None:
            dated.setdefault(row.expiry_ms, []).append(row)
    if not dated:
        return
    before = portfolio_result(book_of(snapshot, parameters, CUTS), portfolio, LEVELS)
    for expiry_ms, rows in sorted(dated.items()):
        after = portfolio_result(book_of(_without(snapshot, {row.id: row for row in rows}), parameters, CUTS), portfolio, LEVELS)
        yield {
            "time_ms": expiry_ms,
            "kind": "expiry",
            "portfolio": portfolio,
            "instruments": [row.id for row in rows],
            "ratio": before.margin_ratio,
            "ratio_after": after.margin_ratio,
            "maintenance_margin": before.maintenance_margin,
            "maintenance_margin_after": after.maintenance_margin,
            "failures": failure_rows(after.failures),
        }


def _without(snapshot: Snapshot, gone: Mapping[str, InstrumentRow]) -> Snapshot:
    accounts = tuple(_settled(snapshot, account, gone) for account in snapshot.accounts)
    return snapshot.model_copy(update={"accounts": accounts})


def _settled(snapshot: Snapshot, account: AccountRow, gone: Mapping[str, InstrumentRow]) -> AccountRow:
    kept = tuple(row for row in account.positions if row.instrument not in gone)
    orders = tuple(row for row in account.orders if row.instrument not in gone)
    lost = sum(row.quantity * _time_value(snapshot, gone[row.instrument]) for row in account.positions if row.instrument in gone)
    equity = None if account.equity is None else account.equity - lost
    return account.model_copy(update={"positions": kept, "orders": orders, "equity": equity, "pools": ()})


def _time_value(snapshot: Snapshot, row: InstrumentRow) -> float:
    # USD per unit that an option is worth above what it would pay now
    if row.kind != "option" or row.forward is None or row.iv is None or row.expiry_ms is None or row.strike is None:
        return 0.0
    years = max(0, row.expiry_ms // 1000 - snapshot.as_of_ms // 1000) / (365 * 86_400)
    call = row.option_type == "call"
    paid = max(0.0, row.forward - row.strike if call else row.strike - row.forward)
    fx = 1.0 if row.settle in (row.coin, "USD") else snapshot.fx.get(row.settle, 0.0)
    return fx * (float(price_one(row.forward, row.strike, row.iv, years, call)) - paid)


def _funding(app: Application) -> Iterator[dict[str, Any]]:
    for (venue, account, pool), funding in funding_of(app, app.results()).items():
        yield {
            "time_ms": funding.time_ms,
            "kind": "funding",
            "venue": venue,
            "account": account,
            "pool": pool,
            "amount": funding.amount,
            "asset": app.engine.arrays.specs[app.engine.arrays.row((venue, account, pool))].asset,
            "ratio_after": funding.ratio_after,
            "failures": failure_rows(funding.failures),
        }


def _keys(app: Application) -> Iterator[dict[str, Any]]:
    for (venue, account), key in app.book.keys.items():
        if key.expires_ms is not None:
            yield {"time_ms": key.expires_ms, "kind": "key_expiry", "venue": venue, "account": account}


def _maintenance(app: Application) -> Iterator[dict[str, Any]]:
    for venue, said in app.book.venue_status.items():
        announced = [status for status in said.statuses if status.lower() not in NORMAL]
        if announced:
            yield {"time_ms": None, "kind": "maintenance", "venue": venue, "statuses": announced}
