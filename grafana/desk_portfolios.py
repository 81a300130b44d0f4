"""Portfolios on *Desk*: summary, mode comparison, contribution, scenario analysis, exposure."""

from __future__ import annotations

from grafana_foundation_sdk.builders import barchart, bargauge, table, timeseries

from grafana.figures import COUNT, LEVEL, LEVEL_OF_PORTFOLIOS, PORTFOLIO_LIMITS, RATIO, RECONCILED, SHARE, USD, VALID
from grafana.layout import Place, Section
from grafana.panels import About, Figure, Query, bars, lines, signed_bars
from grafana.selectors import least, most, of_portfolios, total
from grafana.style import ORANGE, SKY, Steps
from grafana.tables import Column, columns_by

_BY = ("portfolio",)
_MAINTENANCE = of_portfolios("portfolio_maintenance_margin_usd")
_CROSS = of_portfolios("portfolio_cross_maintenance_margin_usd")
_SAVING = f"1 - {_MAINTENANCE} / {_CROSS}"
_CONTRIBUTION = of_portfolios("portfolio_position_contribution_usd")
_BARS = 20
_NOT_REACHED = Figure("percentunit", 1, no_value="not reached")


def sections() -> tuple[Section, ...]:
    """What it is and costs, where that comes from, what would hurt, what is held."""
    summary = Section(
        "Portfolios",
        (
            (6, (Place(_summary(), 24),)),
            (9, (Place(_ratio(), 8), Place(_modes(), 8), Place(_saving(), 8))),
        ),
    )
    contribution = Section("Position contribution", ((12, (Place(_contribution(), 12), Place(_contributions(), 12))),))
    scenarios = Section(
        "Scenario analysis",
        (
            (9, (Place(_families(), 12), Place(_contingencies(), 12))),
            (9, (Place(_distances(), 10), Place(_max_loss(), 7), Place(_contingencies_now(), 7))),
        ),
    )
    exposure = Section("Exposure", ((8, (Place(_notional(), 8), Place(_greeks(), 10), Place(_failures(), 6))),))
    return summary, contribution, scenarios, exposure


def _told(title: str, name: str, figure: Figure) -> Column:
    return Column(title, most(_BY, of_portfolios(name)), figure)


def _summary() -> table.Panel:
    about = About(
        "Portfolio summary",
        "Each portfolio as of now. Maintenance and initial margin are by the portfolio method, cross is the same positions leg by leg, "
        "saving is 1 - maintenance / cross, excess is equity less maintenance; reconciled: all its pools equal the venue's figures. "
        "No venue acts on these figures.",
        "BREACH: equity no longer covers the stressed loss. Empty cells: see the reasons under *Exposure*.",
    )
    columns = [
        Column("Level", LEVEL_OF_PORTFOLIOS, LEVEL),
        _told("Utilisation", "portfolio_margin_ratio", RATIO),
        _told("Equity", "portfolio_equity_usd", USD),
        _told("Maintenance", "portfolio_maintenance_margin_usd", USD),
        _told("Initial", "portfolio_initial_margin_usd", USD),
        _told("Excess", "portfolio_excess_usd", USD),
        _told("Cross", "portfolio_cross_maintenance_margin_usd", USD),
        Column("Saving", most(_BY, _SAVING), SHARE),
        _told("Next funding", "portfolio_next_funding_usd", USD),
        Column("In", most(_BY, f"{of_portfolios('portfolio_next_funding_timestamp_seconds')} - time()"), Figure("dtdurations", 0)),
        Column("Reconciled", least(_BY, of_portfolios("portfolio_reconciled")), RECONCILED),
        Column("Figure", least(_BY, of_portfolios("portfolio_valid")), VALID),
    ]
    return columns_by(about, _BY, columns, sort="Utilisation")


def _ratio() -> timeseries.Panel:
    about = About(
        "Utilisation of portfolios",
        "Maintenance margin by the portfolio method over equity. Dashed: where the levels begin (`level_threshold_ratio`).",
        "See what contributes and which scenario is the worst; the pools decide whether a venue acts.",
    )
    return lines(about, [Query(of_portfolios("portfolio_margin_ratio"), "{{portfolio}}"), PORTFOLIO_LIMITS], RATIO, zero=True)


def _modes() -> timeseries.Panel:
    about = About(
        "Portfolio against cross margin",
        "Maintenance margin of the same positions by the portfolio method, and dashed leg by leg (cross). Equity for comparison.",
        "Portfolio above cross: the stressed loss is more than the venues ask for; concentration or short options are the usual cause.",
    )
    queries = [
        Query(_MAINTENANCE, "{{portfolio}} portfolio"),
        Query(_CROSS, "{{portfolio}} cross", dashed=True),
        Query(of_portfolios("portfolio_equity_usd"), "{{portfolio}} equity"),
    ]
    return lines(about, queries, USD)


def _saving() -> timeseries.Panel:
    about = About(
        "Saving over cross",
        "1 - portfolio maintenance margin / cross maintenance margin: what offsets between positions are worth.",
        "A fall without a trade means that a hedge works less than it did; below 0 the portfolio method asks for more.",
    )
    return lines(about, [Query(_SAVING, "{{portfolio}}")], SHARE)


def _contribution() -> barchart.Panel:
    about = About(
        "Position contribution",
        f"Share of each position in the maintenance margin (Euler: the positions of a coin add up to the coin's), the {_BARS} largest of "
        "the portfolios chosen. Right of 0 it costs margin, left of 0 it hedges.",
        "To free margin, reduce what is far right; closing what is left of 0 raises the margin.",
    )
    named = f'label_join({_CONTRIBUTION}, "position", " ", "portfolio", "account", "instrument", "side")'
    each = f"sum by (position) ({named})"
    largest = Query(f"sort_desc({each} and topk({_BARS}, abs({each})))")
    return signed_bars(about, largest, "position", Figure("currencyUSD", 2, Steps(SKY, ((0, ORANGE),))))


def _contributions() -> table.Panel:
    about = About(
        "Position contribution in figures",
        "The same as a table, of each portfolio the largest (`[metrics] contributions`), with the share of its maintenance margin: "
        "contribution / maintenance margin.",
        "A single position with most of the margin is a concentration: see its coin under *Max loss by coin*.",
    )
    by = ("portfolio", "account", "instrument", "side")
    share = f"{_CONTRIBUTION} / on (portfolio, job, instance) group_left () {_MAINTENANCE}"
    columns = [Column("Contribution", most(by, _CONTRIBUTION), USD), Column("Share", most(by, share), SHARE)]
    return columns_by(about, by, columns, sort="Contribution")


def _families() -> timeseries.Panel:
    about = About(
        "Loss by scenario family",
        "Stacked: directional (prices alone), volatility (what volatilities add to that) and liquidity. Dashed and not on the stack: "
        "correlation, the part of the first two that is there because offsets between coins may fail. For one stack choose one portfolio.",
        "The family that grows says what is missing: delta, vega, offsets between coins that hold, or less size.",
    )
    by = ("portfolio", "family")
    stacked = total(by, of_portfolios("portfolio_family_loss_usd", 'family!="correlation"'))
    apart = total(by, of_portfolios("portfolio_family_loss_usd", 'family="correlation"'))
    queries = [Query(stacked, "{{portfolio}} {{family}}"), Query(apart, "{{portfolio}} {{family}}", dashed=True)]
    return lines(about, queries, USD, stacked=True)


def _contingencies() -> timeseries.Panel:
    about = About(
        "Contingencies by kind",
        "The charges on top of the scenarios, summed over coins: short options, vega spread, stablecoin spread, delta spread, spot "
        "basis, perpetual against future.",
        "`marginwatch explain --coin` prints the terms of each.",
    )
    query = Query(total(("portfolio", "kind"), of_portfolios("portfolio_contingency_usd")), "{{portfolio}} {{kind}}")
    return lines(about, [query], USD, stacked=True)


def _contingencies_now() -> bargauge.Panel:
    about = About(
        "Contingencies by coin",
        "The charges above 0 as of now, for each coin and kind, the largest first.",
        "The longest bar is where closing a spread frees most.",
    )
    by = ("portfolio", "coin", "kind")
    expr = f"sort_desc({total(by, of_portfolios('portfolio_contingency_usd'))} > 0)"
    return bars(about, Query(expr, "{{portfolio}} {{coin}} {{kind}}"), USD)


def _distances() -> table.Panel:
    about = About(
        "Distance to a level",
        "Nearest move of a coin's price, volatilities unchanged, at which the portfolio reaches a level; `ALL` moves every coin together. "
        "-20 %: a fall by a fifth. `not reached`: no move within the scan gets there.",
        "A few per cent: the portfolio does not survive an ordinary day. See *Position contribution* for what to reduce.",
    )
    by = ("portfolio", "coin", "direction")

    def at(title: str, level: str) -> Column:
        return Column(title, most(by, of_portfolios("portfolio_distance_ratio", f'level="{level}"')), _NOT_REACHED)

    levels = [at("Warning", "warning"), at("Critical", "critical"), at("Breach", "breach")]
    return columns_by(about, by, levels, sort="Portfolio", ascending=True, empty="no level is reached, or no portfolio has a figure")


def _max_loss() -> timeseries.Panel:
    about = About(
        "Max loss by coin",
        "Largest loss of each coin over the scenarios of price and volatility.",
        "The coin on top decides the margin; `marginwatch report --live` names its worst scenario.",
    )
    return lines(about, [Query(of_portfolios("portfolio_max_loss_usd"), "{{portfolio}} {{coin}}")], USD)


def _notional() -> timeseries.Panel:
    about = About(
        "Gross and net notional",
        "Sum of the absolute notional of all positions, and dashed the sum with signs.",
        "Net far from 0 on a book that should be hedged: a leg is missing or was liquidated.",
    )
    queries = [
        Query(of_portfolios("portfolio_gross_notional_usd"), "{{portfolio}} gross"),
        Query(of_portfolios("portfolio_net_notional_usd"), "{{portfolio}} net", dashed=True),
    ]
    return lines(about, queries, USD)


def _greeks() -> table.Panel:
    about = About(
        "Greeks",
        "Of each portfolio and coin: delta in coins, gamma in coins per USD, vega in USD per 1.00 of volatility.",
        "Delta that should be 0 and is not: hedge it. Short gamma or vega grows with the move.",
    )
    by = ("portfolio", "coin")

    def greek(title: str, name: str, figure: Figure) -> Column:
        return Column(title, most(by, of_portfolios("portfolio_greek", f'greek="{name}"')), figure)

    columns = [greek("Delta", "delta", Figure("none", 4)), greek("Gamma", "gamma", Figure("none", 6)), greek("Vega", "vega", USD)]
    return columns_by(about, by, columns, sort="Coin", ascending=True)


def _failures() -> table.Panel:
    about = About(
        "Why portfolios have no figure",
        "A row for each reason that a portfolio has no margin ratio; no rows while all have one.",
        "A missing volatility, index or price: see *Market figures* on *Monitor health*. A missing account: see *Account*.",
    )
    by = ("portfolio", "reason")
    columns = [Column("Count", total(by, of_portfolios("portfolio_failure_info")), COUNT)]
    return columns_by(about, by, columns, sort="Portfolio", ascending=True, empty="no reason told")
