"""What a scrape tells of portfolios: their figures as of the last tick, and what a close look added to them within the last seconds."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from prometheus_client.core import Metric

from monitor.app import Application
from monitor.live.books import PortfolioFigures
from monitor.live.view import PortfolioView
from monitor.margin.portfolio import LegResult, PortfolioResult, UnitResult
from monitor.metrics.pace import turns
from monitor.metrics.pools import PoolRow
from monitor.metrics.series import Rows, counter, gauge, info
from monitor.stress.book import StressStatistics

LABELS = ("portfolio",)


@dataclass(frozen=True, slots=True)
class PortfolioRow:
    """A portfolio with its accounts: `figures` of the last tick, `view` None until it was looked at, `is_alarmed` if its levels are."""

    accounts: tuple[str, ...]
    is_alarmed: bool
    figures: PortfolioFigures
    view: PortfolioView | None

    @property
    def is_valid(self) -> bool:
        """Whether its margin ratio is known."""
        return self.figures.margin_ratio is not None

    @property
    def details(self) -> PortfolioResult | None:
        """The result of the last look; None where the portfolio has no value now, or had none then."""
        view = self.view
        if not self.is_valid or view is None or view.result is None or view.result.failures:
            return None
        return view.result


@dataclass(frozen=True, slots=True)
class PortfolioRows:
    """All portfolios, the counts of their books by the name of the parameters, and how many contributions to tell of each."""

    rows: Sequence[PortfolioRow]
    books: Mapping[str, StressStatistics]
    contributions: int


def take_portfolios(app: Application) -> Generator[None, None, PortfolioRows]:
    """Read every portfolio, each at one instant, in turns on the event loop."""
    rows = yield from turns(_read(app))
    books = {name: replace(told) for name, told in app.portfolios.books.statistics.items()}
    return PortfolioRows(rows, books, app.settings.metrics.contributions)


def _read(app: Application) -> Iterator[PortfolioRow]:
    views = {view.portfolio: view for view in app.portfolio_views}
    for portfolio in app.settings.portfolios:
        live = app.portfolios
        # between two turns another configuration may have come
        if portfolio not in live.settings.portfolios:
            continue
        figures = live.books.figures(portfolio.id, live.failures_of(portfolio.accounts))
        is_alarmed = portfolio.id in app.settings.alarmed_portfolios
        yield PortfolioRow(portfolio.accounts, is_alarmed, figures, views.get(portfolio.id))


_FIGURES = (
    ("equity_usd", "equity", "Equity of the portfolio."),
    ("maintenance_margin_usd", "maintenance_margin", "Maintenance margin by the portfolio method."),
    ("initial_margin_usd", "initial_margin", "Initial margin by the portfolio method."),
    ("margin_ratio", "margin_ratio", "Maintenance margin over equity; no venue acts on it. Absent while unknown."),
    ("cross_maintenance_margin_usd", "cross_maintenance_margin", "Maintenance margin of the same positions leg by leg."),
)


def portfolio_families(portfolios: PortfolioRows, pools: Sequence[PoolRow]) -> Iterator[Metric]:
    """Every family of portfolios."""
    rows = portfolios.rows
    for name, key, text in _FIGURES:
        yield gauge(f"portfolio_{name}", text, LABELS, (((row.figures.portfolio,), getattr(row.figures, key)) for row in rows))
    yield gauge("portfolio_excess_usd", "Equity less maintenance margin.", LABELS, _excess(rows))
    yield gauge("portfolio_valid", "1 while the margin ratio is known.", LABELS, (((row.figures.portfolio,), row.is_valid) for row in rows))
    levels = (((row.figures.portfolio,), row.figures.level if row.is_valid else None) for row in rows)
    yield gauge("portfolio_level", "0 ok, 1 warning, 2 critical, 4 breach; absent while unknown.", LABELS, levels)
    named = [(row.figures.portfolio, row.figures.parameters, str(row.is_alarmed).lower()) for row in rows]
    yield info("portfolio_info", "Its parameter set, and whether its levels are alarmed.", (*LABELS, "parameters", "alarm"), named)
    reasons = [(row.figures.portfolio, why) for row in rows for why in sorted({failure.reason.value for failure in row.figures.failures})]
    yield info("portfolio_failure_info", "Why the portfolio has no figure: 1 for each reason.", (*LABELS, "reason"), reasons)
    yield from _of_pools(rows, pools)
    yield from _books(portfolios.books)


def _excess(rows: Iterable[PortfolioRow]) -> Rows:
    for row in rows:
        figures = row.figures
        if figures.equity is not None and figures.maintenance_margin is not None:
            yield (figures.portfolio,), figures.equity - figures.maintenance_margin


def _of_pools(rows: Sequence[PortfolioRow], pools: Iterable[PoolRow]) -> Iterator[Metric]:
    of: dict[str, list[PoolRow]] = {}
    for pool in pools:
        of.setdefault(pool.result.account, []).append(pool)
    held = [(row, [pool for account in row.accounts for pool in of.get(account, ())]) for row in rows]
    agreed = "1 while every pool of its accounts that can be compared equals the venue's figures; absent with none."
    yield gauge("portfolio_reconciled", agreed, LABELS, (((row.figures.portfolio,), _reconciled(own)) for row, own in held))
    paid = [((row.figures.portfolio,), *_next_funding(own)) for row, own in held if row.is_valid]
    amount = "What its pools receive (> 0) or pay at the nearest of their funding times."
    yield gauge("portfolio_next_funding_usd", amount, LABELS, ((labels, usd) for labels, usd, _ in paid))
    yield gauge("portfolio_next_funding_timestamp_seconds", "When that is.", LABELS, ((labels, at_s) for labels, _, at_s in paid))


def _reconciled(pools: Iterable[PoolRow]) -> bool | None:
    compared = [pool.reconciled for pool in pools if pool.reconciled is not None]
    return all(compared) if compared else None


def _next_funding(pools: Iterable[PoolRow]) -> tuple[float | None, float | None]:
    funded = [pool for pool in pools if pool.is_funded]
    time_ms = min((pool.funding_ms for pool in funded if pool.funding_ms is not None), default=None)
    if time_ms is None:
        return None, None
    # one whose time is unknown may be due then
    amounts = [pool.funding_usd for pool in funded if pool.funding_ms in (time_ms, None)]
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None, time_ms / 1000


def _books(books: Mapping[str, StressStatistics]) -> Iterator[Metric]:
    labels = ("parameters",)
    drift = "Largest relative difference ever seen between a figure of the ticks and the same computed anew."
    yield gauge("incremental_drift_ratio", drift, labels, (((name,), told.drift) for name, told in books.items()))
    totals = (((name,), told.portfolios) for name, told in books.items())
    yield counter("portfolio_evaluations_total", "Portfolios totalled.", labels, totals)


def detail_families(portfolios: PortfolioRows) -> Iterator[Metric]:
    """What the close look adds, of portfolios that have a value."""
    found = [(row.figures.portfolio, details) for row in portfolios.rows if (details := row.details) is not None]
    for side in ("gross", "net"):
        amounts = (((name,), getattr(details, f"{side}_notional")) for name, details in found)
        yield gauge(f"portfolio_{side}_notional_usd", f"{side.capitalize()} notional.", LABELS, amounts)
    losses = (((name, family), loss) for name, details in found for family, loss in (details.families or {}).items())
    yield gauge("portfolio_family_loss_usd", "Loss by family of risk.", (*LABELS, "family"), losses)
    yield from _of_units([(name, unit) for name, details in found for unit in details.units])
    largest = ((name, leg) for name, details in found for leg in _largest(details, portfolios.contributions))
    yield gauge(
        "portfolio_position_contribution_usd",
        "Share of the maintenance margin (Euler), the largest first.",
        (*LABELS, "account", "instrument", "side"),
        (((name, leg.account or "", leg.instrument, leg.side or ""), leg.contribution) for name, leg in largest),
    )
    yield _distances(portfolios.rows)
    yield _market_state(portfolios.rows)


def _of_units(units: Sequence[tuple[str, UnitResult]]) -> Iterator[Metric]:
    coin = (*LABELS, "coin")
    loss = "Largest loss over the scenarios of price and volatility."
    yield gauge("portfolio_max_loss_usd", loss, coin, (((name, unit.coin), unit.max_loss) for name, unit in units))
    charges = (((name, unit.coin, kind), charge) for name, unit in units for kind, charge in unit.contingency.items())
    yield gauge("portfolio_contingency_usd", "Contingency charge.", (*coin, "kind"), charges)
    greeks = (((name, unit.coin, greek), getattr(unit, greek)) for name, unit in units for greek in ("delta", "gamma", "vega"))
    text = "Delta in coin, gamma in coin per USD, vega in USD per 1.00 of volatility."
    yield gauge("portfolio_greek", text, (*coin, "greek"), greeks)


def _largest(details: PortfolioResult, count: int) -> list[LegResult]:
    legs = [leg for unit in details.units for leg in unit.positions]
    return sorted(legs, key=lambda leg: -abs(leg.contribution))[:count]


def _distances(rows: Iterable[PortfolioRow]) -> Metric:
    moves = (
        ((row.figures.portfolio, *key), move)
        for row in rows
        if row.details is not None and row.view is not None
        for key, move in row.view.distances.items()
    )
    text = "Nearest move of the coin (ALL: of all together) to a level; absent where no move gets there."
    return gauge("portfolio_distance_ratio", text, (*LABELS, "coin", "level", "direction"), moves)


def _market_state(rows: Iterable[PortfolioRow]) -> Metric:
    worst: dict[tuple[str, str], int] = {}
    for row in rows:
        for key, provenance in ({} if row.view is None else row.view.market).items():
            worst[key] = max(worst.get(key, 0), provenance.severity)
    text = "The worst figure of that kind: 0 LIVE, 1 AGING, 2 STALE, 3 OUTCOME, 4 PROXY, 5 CONFIGURED, 6 MISSING."
    return gauge("market_state", text, ("kind", "coin"), worst.items())
