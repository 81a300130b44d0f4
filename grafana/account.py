"""*Account*: one account, or a few: what it is, what it holds, and whether its figures are the venue's."""

from __future__ import annotations

from grafana_foundation_sdk.builders import statetimeline, table, timeseries
from grafana_foundation_sdk.models import dashboard as model

from grafana import account_data, layout
from grafana.figures import COUNT, LEVEL, LEVEL_OF_POOLS, POOL, POOL_NAME, RATIO, SHARE, USD, VALID
from grafana.layout import Place, Section
from grafana.panels import LIMIT, About, Figure, Query, lines, states
from grafana.selectors import least, most, of_monitor, of_pools
from grafana.tables import Column, columns_by

_INFO = ("venue", "account", "pool", "kind", "mode", "asset")


def dashboard() -> model.Dashboard:
    """The dashboard."""
    told = "The pools of an account: mode, margins, distance and funding, the venue's figures against ours, and how old the data is."
    sections = (_what(), _margin(), _positions(), *account_data.sections())
    return layout.assemble("marginwatch-account", told, (layout.VENUE, layout.ACCOUNT, layout.POOL), sections)


def _what() -> Section:
    return Section("Pools", ((10, (Place(_info(), 10), Place(_pools(), 14))), (10, (Place(_levels(), 24),))))


def _margin() -> Section:
    first = (Place(_utilisation(), 12), Place(_distance(), 12))
    return Section("Margin", ((9, first), (9, (Place(_margins(), 12), Place(_excess(), 12)))))


def _positions() -> Section:
    return Section("Positions and funding", ((9, (Place(_count(), 6), Place(_contribution(), 10), Place(_funding(), 8))),))


def _info() -> table.Panel:
    about = About(
        "What they are",
        "A pool is what the venue liquidates as one: its kind, the account's margin mode, the asset it is counted in, and whether its "
        "margin ratio is known from fresh data.",
        "NO FIGURE: the reasons are below. An unexpected mode was changed at the venue; the venue's rule changed with it.",
    )
    known = f"{of_pools('account_info')} * on (job, instance, venue, account, pool) group_left () {of_pools('account_valid')}"
    columns = [Column("Figure", least(_INFO, known), VALID)]
    return columns_by(about, _INFO, columns, sort="Account", ascending=True)


def _pools() -> table.Panel:
    about = About(
        "Margin of pools",
        "As of now. Utilisation: maintenance over equity, 100 % is where the venue liquidates. Excess: equity times the liquidation "
        "limit, less maintenance. Cash to safety: cash back to the warning level.",
        "Send cash to safety or reduce. An empty cell is a figure that is not known.",
    )

    def told(title: str, name: str) -> Column:
        return Column(title, most(POOL, of_pools(name)), USD)

    columns = [
        Column("Level", LEVEL_OF_POOLS, LEVEL),
        Column("Utilisation", most(POOL, of_pools("account_margin_ratio")), RATIO),
        told("Equity", "account_equity_usd"),
        told("Initial", "account_initial_margin_usd"),
        told("Maintenance", "account_maintenance_margin_usd"),
        told("Excess", "account_excess_usd"),
        told("Cash to safety", "account_cash_to_safety_usd"),
    ]
    return columns_by(about, POOL, columns, sort="Utilisation")


def _levels() -> statetimeline.Panel:
    about = About(
        "Levels",
        "Level of each pool over time. NO FIGURE: not valid, -1 here. A gap: the monitor was not scraped.",
        "NO FIGURE counts as bad: the reasons are below.",
    )
    return states(about, [Query(LEVEL_OF_POOLS, POOL_NAME)], LEVEL)


def _utilisation() -> timeseries.Panel:
    about = About(
        "Utilisation",
        "Maintenance requirement over equity; 100 % is where the venue liquidates. Dashed: where the account's levels begin.",
        "Above a dashed line it is alerted. A line that ends is unknown, not well.",
    )
    thresholds = least(("account", "level"), of_monitor("level_threshold_ratio", 'account=~"$account"', 'portfolio=""'))
    limits = Query(thresholds, LIMIT + "{{account}} {{level}}", dashed=True)
    return lines(about, [Query(of_pools("account_margin_ratio"), POOL_NAME), limits], RATIO, zero=True)


def _distance() -> timeseries.Panel:
    about = About(
        "Distance",
        "Move of the worst position's coin that liquidates the pool, other coins where they are; below 0 it is a fall.",
        "Near 0 from either side: the venue is about to act.",
    )
    return lines(about, [Query(of_pools("account_distance_ratio"), POOL_NAME)], SHARE)


def _margins() -> timeseries.Panel:
    about = About(
        "Equity and margins",
        "Equity as the venue counts it for liquidation, initial margin, and dashed the maintenance requirement.",
        "Equity below initial margin: nothing can be opened. Equity at maintenance: the venue liquidates.",
    )
    queries = [
        Query(of_pools("account_equity_usd"), f"{POOL_NAME} equity"),
        Query(of_pools("account_initial_margin_usd"), f"{POOL_NAME} initial"),
        Query(of_pools("account_maintenance_margin_usd"), f"{POOL_NAME} maintenance", dashed=True),
    ]
    return lines(about, queries, USD)


def _excess() -> timeseries.Panel:
    about = About(
        "Excess and cash to safety",
        "Excess: what the pool can lose before the venue acts. Dashed: cash that brings it back to the warning level.",
        "Excess at 0 is liquidation; the dashed line is what to send.",
    )
    queries = [
        Query(of_pools("account_excess_usd"), f"{POOL_NAME} excess"),
        Query(of_pools("account_cash_to_safety_usd"), f"{POOL_NAME} to safety", dashed=True),
    ]
    return lines(about, queries, USD)


def _count() -> timeseries.Panel:
    about = About(
        "Open positions",
        "How many positions each pool holds.",
        "A step that nobody traded: an isolated position was liquidated, delisted or settled.",
    )
    return lines(about, [Query(of_pools("account_positions"), POOL_NAME)], COUNT, zero=True)


def _contribution() -> table.Panel:
    about = About(
        "Contribution to portfolios",
        "Share of the account's positions in the maintenance margin of the portfolios it belongs to (Euler), the largest of each "
        "portfolio; below 0 they hedge.",
        "An account of which nothing is listed is in no portfolio, or its positions are not among the largest.",
    )
    by = ("portfolio", "account", "instrument", "side")
    expr = most(by, of_monitor("portfolio_position_contribution_usd", 'account=~"$account"'))
    return columns_by(about, by, [Column("Contribution", expr, USD)], sort="Contribution")


def _funding() -> table.Panel:
    about = About(
        "Next funding",
        "What each pool receives (above 0) or pays at its next funding time, at the rate last told, and how long until then: "
        "`next_funding_timestamp_seconds - time()`, on the venue's clock.",
        "A payment near the excess of a pool raises its ratio at that time: send cash before.",
    )
    columns = [
        Column("Amount", most(POOL, of_pools("account_next_funding_usd")), USD),
        Column("In", most(POOL, f"{of_pools('account_next_funding_timestamp_seconds')} - time()"), Figure("dtdurations", 0)),
    ]
    return columns_by(about, POOL, columns, sort="Amount", ascending=True)
