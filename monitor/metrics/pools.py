"""What a scrape tells of pools; money in USD, as far as their token has a price."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client.core import Metric

from monitor.app import Application
from monitor.funding import PoolFunding
from monitor.live.accounts import USD
from monitor.margin.pools import WHOLE_ACCOUNT
from monitor.margin.result import PoolResult
from monitor.metrics.pace import turns
from monitor.metrics.series import Rows, gauge, info
from monitor.status import funding_of

LABELS = ("venue", "account", "pool")

DOLLARS = frozenset({"USD", "USDC", "USDT", "USD1"})
"""What counts as USD where nothing says what it is worth."""


@dataclass(frozen=True, slots=True)
class PoolRow:
    """A pool at one instant: its result, and USD per unit of its token (None unknown).

    `funding_usd` is what it receives (> 0) or pays at its next funding time, `funding_ms` when that is, on the venue's clock; None where
    unknown. `is_funded`: whether there is such a thing.
    """

    result: PoolResult
    usd: float | None
    is_funded: bool
    funding_usd: float | None
    funding_ms: int | None

    @property
    def reconciled(self) -> bool | None:
        """Whether our figures equal the venue's: of stale ones only that they did not."""
        result = self.result
        return result.reconciled if result.valid or result.reconciled is False else None


@dataclass(frozen=True, slots=True)
class PoolRows:
    """All pools, and the (venue, account) of configured accounts that have none yet."""

    rows: Sequence[PoolRow]
    unread: Sequence[tuple[str, str]]


def take_pools(app: Application) -> Generator[None, None, PoolRows]:
    """Read every pool, each at one instant, in turns on the event loop."""
    rows = yield from turns(_read(app))
    told = {row.result.scope[:2] for row in rows}
    return PoolRows(rows, [key for key in app.book.accounts if key not in told])


def _read(app: Application) -> Iterator[PoolRow]:
    engine = app.engine
    for scope in sorted(engine.arrays.scopes.values()):
        # between two turns pools come and go, and rows change hands
        try:
            index = engine.arrays.row(scope)
        except KeyError:
            continue
        result = engine.result(index, app.clock.monotonic_ns())
        yield _row(result, _usd(app, result.asset), funding_of(app, [result]).get(scope))


def _row(result: PoolResult, usd: float | None, funding: PoolFunding | None) -> PoolRow:
    if funding is None or not result.valid:
        return PoolRow(result, usd, False, None, None)
    return PoolRow(result, usd, True, _times(funding.amount, usd), funding.time_ms)


def _usd(app: Application, asset: str) -> float | None:
    price = 1.0 if asset == USD else app.portfolios.price(asset).value
    return price if price > 0 else app.settings.fx.get(asset, 1.0 if asset in DOLLARS else None)


Figure = Callable[[PoolResult], float | None]

_MONEY: tuple[tuple[str, str, Figure], ...] = (
    ("account_equity_usd", "Equity of the pool as the venue counts it for liquidation.", lambda r: r.equity),
    ("account_maintenance_margin_usd", "Maintenance requirement of the pool.", lambda r: r.maintenance_margin),
    ("account_initial_margin_usd", "Initial margin of the pool's positions.", lambda r: r.initial_margin),
    ("account_excess_usd", "Equity times the liquidation limit, less the requirement.", lambda r: r.excess),
    ("account_cash_to_safety_usd", "Cash back to the warning level; 0 below it.", lambda r: r.cash_to_safety or 0.0),
)
_RATIOS: tuple[tuple[str, str, Figure], ...] = (
    ("account_margin_ratio", "Margin ratio; 1 is where the venue liquidates. Absent while unknown.", lambda r: r.margin_ratio),
    ("account_distance_ratio", "Move of the worst position's coin that liquidates the pool.", lambda r: r.worst_distance),
    ("account_positions", "Open positions.", lambda r: r.positions),
    ("account_level", "0 ok, 1 warning, 2 critical, 3 liquidation; absent while unknown.", lambda r: r.level),
    ("venue_reported_difference_ratio", "Largest relative difference from the venue's figures.", lambda r: r.reported_difference),
)


def pool_families(pools: PoolRows) -> Iterator[Metric]:
    """Every family of pools."""
    rows = pools.rows
    known = [row for row in rows if row.result.valid]
    for name, text, figure in _MONEY:
        yield gauge(name, text, LABELS, ((row.result.scope, _times(figure(row.result), row.usd)) for row in known))
    for name, text, figure in _RATIOS:
        yield gauge(name, text, LABELS, ((row.result.scope, figure(row.result)) for row in known))
    yield gauge("account_valid", "1 while the margin ratio is known from fresh data.", LABELS, _valid(pools))
    agreed = "1 while our figures equal the venue's, 0 once they do not; absent with nothing to compare."
    yield gauge("account_reconciled", agreed, LABELS, ((row.result.scope, row.reconciled) for row in rows))
    error = "Collateral by our ratios against the venue's total (multi-assets mode)."
    yield gauge("account_model_error_ratio", error, LABELS, ((row.result.scope, row.result.model_error) for row in rows))
    yield from _told(rows)
    yield from _funding(rows)


def _times(amount: float | None, usd: float | None) -> float | None:
    return None if amount is None or usd is None else amount * usd


def _valid(pools: PoolRows) -> Rows:
    yield from ((row.result.scope, row.result.valid) for row in pools.rows)
    yield from (((*key, WHOLE_ACCOUNT), 0.0) for key in pools.unread)


def _told(rows: Iterable[PoolRow]) -> Iterator[Metric]:
    known = [row.result for row in rows if not (row.result.failures and row.result.pool == WHOLE_ACCOUNT)]
    sorts = [(*result.scope, result.kind.value, result.mode, result.asset) for result in known]
    yield info("account_info", "What sort of pool it is.", (*LABELS, "kind", "mode", "asset"), sorts)
    reasons = [(*row.result.scope, reason) for row in rows for reason in sorted({failure.reason.value for failure in row.result.failures})]
    yield info("account_failure_info", "Why the pool has no figure: 1 for each reason.", (*LABELS, "reason"), reasons)


def _funding(rows: Iterable[PoolRow]) -> Iterator[Metric]:
    amount = "What the pool receives (> 0) or pays at its next funding time."
    yield gauge("account_next_funding_usd", amount, LABELS, ((row.result.scope, row.funding_usd) for row in rows))
    times = ((row.result.scope, None if row.funding_ms is None else row.funding_ms / 1000) for row in rows)
    yield gauge("account_next_funding_timestamp_seconds", "When that is, on the venue's clock.", LABELS, times)
