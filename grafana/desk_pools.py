"""Pools, alerts and venues on *Desk*."""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, statetimeline, table, timeseries

from grafana.figures import (
    ACCOUNT_LIMITS,
    COUNT,
    FAULTS,
    LEVEL,
    LEVEL_OF_ACCOUNTS,
    LEVEL_OF_PORTFOLIOS,
    OF_VENUE,
    POOL,
    POOL_NAME,
    RATIO,
    RECONCILED,
    SECONDS,
    SHARE,
    USD,
)
from grafana.layout import Place, Section
from grafana.panels import About, Figure, Query, bars, lines, states
from grafana.selectors import least, most, of_accounts, of_monitor, total
from grafana.tables import Column, columns_by


def sections() -> tuple[Section, ...]:
    """Utilisation and state, then the money behind it."""
    utilisation = Section(
        "Utilisation and alerts",
        (
            (10, (Place(_utilisation(), 16), Place(_utilisation_now(), 8))),
            (14, (Place(_levels(), 16), Place(_alerts(), 8))),
            (13, (Place(_pools(), 24),)),
        ),
    )
    money = Section("Equity and margin of pools", ((9, (Place(_equity(), 12), Place(_excess(), 6), Place(_cash(), 6))),))
    return utilisation, money


def venues() -> Section:
    """The venues side by side."""
    return Section("Venues", ((6, (Place(_venues(), 24),)),))


def _utilisation() -> timeseries.Panel:
    about = About(
        "Utilisation of pools",
        "Margin ratio of every pool: maintenance requirement over equity, 100 % is where the venue liquidates. Dashed: where the levels "
        "begin (`level_threshold_ratio`, the lowest of the accounts chosen). A gap is a time without a figure.",
        "A pool above a dashed line is alerted. Send cash to safety or reduce; a line that ends is unknown, not well.",
    )
    return lines(about, [Query(of_accounts("account_margin_ratio"), POOL_NAME), ACCOUNT_LIMITS], RATIO, zero=True)


def _utilisation_now() -> bargauge.Panel:
    about = About(
        "Utilisation now",
        "The same as of now, the fullest first; pools without a figure are not there. Colours are the shipped levels (85, 90, 100 %).",
        "Begin at the top; the table of pools below says what each needs.",
    )
    return bars(about, Query(f"sort_desc({of_accounts('account_margin_ratio')})", "{{account}}/{{pool}}"), RATIO, top=1)


def _levels() -> statetimeline.Panel:
    about = About(
        "Levels of pools and portfolios",
        "What the monitor says of each: ok, WARNING, CRITICAL, LIQUIDATION (a portfolio: BREACH), by its own configured levels. "
        "NO FIGURE: not valid, -1 here. A gap: the monitor was not scraped.",
        "NO FIGURE counts as bad: look why on *Account* before anything else.",
    )
    return states(about, [Query(LEVEL_OF_ACCOUNTS, POOL_NAME), Query(LEVEL_OF_PORTFOLIOS, "portfolio {{portfolio}}")], LEVEL)


def _alerts() -> timeseries.Panel:
    about = About(
        "Alerts by rule",
        "Alerts that fire, by rule and severity; what does not fire has no line.",
        "Rules and what they ask for: docs/alerts.md. `marginwatch alerts` lists who was told and who did not take it.",
    )
    expr = f"{total(('rule', 'severity'), of_monitor('alerts_firing'))} > 0"
    return lines(about, [Query(expr, "{{rule}} {{severity}}")], Figure("none", 0, no_value="no alert told"), zero=True)


def _pools() -> table.Panel:
    about = About(
        "Pools",
        "The risk summary of every pool as of now. Excess: equity times the liquidation limit, less the requirement. Cash to safety: cash "
        "back to the warning level. Distance: move of the worst position's coin that liquidates the pool. An account opens on *Account*.",
        "Excess near 0 or a distance of a few per cent: act. An empty cell is a figure that is not known.",
    )
    return columns_by(about, POOL, _pool_columns(), sort="Utilisation")


def _pool_columns() -> list[Column]:
    def told(title: str, name: str, figure: Figure) -> Column:
        return Column(title, most(POOL, of_accounts(name)), figure)

    return [
        Column("Level", LEVEL_OF_ACCOUNTS, LEVEL),
        told("Utilisation", "account_margin_ratio", RATIO),
        told("Equity", "account_equity_usd", USD),
        told("Maintenance", "account_maintenance_margin_usd", USD),
        told("Excess", "account_excess_usd", USD),
        told("Cash to safety", "account_cash_to_safety_usd", USD),
        told("Distance", "account_distance_ratio", SHARE),
        told("Next funding", "account_next_funding_usd", USD),
        Column("Reconciled", least(POOL, of_accounts("account_reconciled")), RECONCILED),
    ]


def _equity() -> timeseries.Panel:
    about = About(
        "Equity and maintenance margin",
        "Of every pool: equity as the venue counts it for liquidation, and dashed the maintenance requirement.",
        "Where the dashed line meets the solid one of the same pool, the venue liquidates.",
    )
    queries = [
        Query(of_accounts("account_equity_usd"), f"{POOL_NAME} equity"),
        Query(of_accounts("account_maintenance_margin_usd"), f"{POOL_NAME} maintenance", dashed=True),
    ]
    return lines(about, queries, USD)


def _excess() -> timeseries.Panel:
    about = About(
        "Excess of pools",
        "Equity times the liquidation limit, less the maintenance requirement: what a pool can lose before the venue acts.",
        "At 0 the venue liquidates.",
    )
    return lines(about, [Query(of_accounts("account_excess_usd"), "{{account}}/{{pool}}")], USD)


def _cash() -> timeseries.Panel:
    about = About(
        "Cash to safety",
        "Cash that brings a pool back to its warning level; 0 below it.",
        "This is the amount to send, if nothing is reduced.",
    )
    return lines(about, [Query(of_accounts("account_cash_to_safety_usd"), "{{account}}/{{pool}}")], USD, zero=True)


def _venues() -> table.Panel:
    about = About(
        "Venue comparison",
        "Each venue's pools together. Utilisation: of its worst pool. Nearest distance: the smallest move of one coin that liquidates one "
        "of its pools. Silence: of its quietest watched feed.",
        "Equity cannot move between venues in an instant: a venue with little excess is not helped by one with much.",
    )
    by = ("venue",)
    columns = [
        Column("Pools", f"count by (venue) ({of_accounts('account_valid')})", COUNT),
        Column("Worst utilisation", most(by, of_accounts("account_margin_ratio")), RATIO),
        Column("Equity", total(by, of_accounts("account_equity_usd")), USD),
        Column("Maintenance", total(by, of_accounts("account_maintenance_margin_usd")), USD),
        Column("Excess", total(by, of_accounts("account_excess_usd")), USD),
        Column("Nearest distance", least(by, f"abs({of_accounts('account_distance_ratio')})"), SHARE),
        Column("Without a figure", total(by, f"1 - {of_accounts('account_valid')}"), FAULTS),
        Column("Unreconciled", total(by, f"1 - {of_accounts('account_reconciled')}"), FAULTS),
        Column("Feeds not fresh", total(by, f"1 - {of_monitor('feed_up', OF_VENUE)}"), FAULTS),
        Column("Silence", most(by, f"time() - {of_monitor('feed_last_message_timestamp_seconds', OF_VENUE)}"), SECONDS),
    ]
    return columns_by(about, by, columns, sort="Worst utilisation")
