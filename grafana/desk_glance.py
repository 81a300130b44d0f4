"""The top of *Desk*: is anything wrong, and is it the desk or the monitor."""

from __future__ import annotations

from grafana_foundation_sdk.builders.stat import Panel

from grafana.figures import FAULTS, OF_VENUE, POOL_NAME, RATIO
from grafana.layout import Place, Section
from grafana.panels import About, Figure, Query, now
from grafana.selectors import of_accounts, of_monitor, of_portfolios, total
from grafana.style import SKY, VERMILION, YELLOW, Steps, yes_or_no


def section() -> Section:
    """Two lines of figures."""
    first = (Place(_worst_pool(), 6), Place(_worst_portfolio(), 6), Place(_firing(), 4), Place(_up(), 4), Place(_oldest(), 4))
    second = (
        Place(_without_figure("pools", of_accounts("account_valid"), "account_failure_info, on *Account*"), 6),
        Place(_without_figure("portfolios", of_portfolios("portfolio_valid"), "*Why portfolios have no figure*"), 6),
        Place(_unreconciled(), 4),
        Place(_not_fresh(), 4),
        Place(_receivers(), 4),
    )
    return Section("State at a glance", ((4, first), (3, second)))


def _worst_pool() -> Panel:
    about = About(
        "Worst pool",
        "Highest margin ratio of all pools with a figure: maintenance requirement over equity, 100 % is where the venue liquidates. "
        "Pools without a figure are not in it: see the number below. Colours are the shipped levels (85, 90, 100 %).",
        "Open the pool on *Account*: cash to safety says how much to send, distance how far the coin may move.",
    )
    return now(about, [Query(f"topk(1, {of_accounts('account_margin_ratio')})", POOL_NAME)], RATIO, named=True)


def _worst_portfolio() -> Panel:
    about = About(
        "Worst portfolio",
        "Highest margin ratio of all portfolios: maintenance margin by the portfolio method over equity. No venue acts on it.",
        "See *Position contribution* for what causes it and *Distance to a level* for what it survives.",
    )
    return now(about, [Query(f"topk(1, {of_portfolios('portfolio_margin_ratio')})", "{{portfolio}}")], RATIO, named=True)


def _firing() -> Panel:
    about = About(
        "Alerts firing",
        "Alerts that fire now, by severity; `none` is 0 while the monitor answers and nothing fires.",
        "See *Alerts by rule* for which; `marginwatch alerts` and docs/alerts.md say what each asks for.",
    )
    firing = f"{total(('severity',), of_monitor('alerts_firing'))} > 0"
    nothing = f'label_replace(0 * max({of_monitor("ready")}), "severity", "none", "", "")'
    return now(about, [Query(f"{firing} or on () {nothing}", "{{severity}}")], FAULTS, named=True)


def _up() -> Panel:
    about = About(
        "Monitor",
        "`scraped`: Prometheus reaches the monitor (`up`). `ready`: every venue it needs has answered (`/-/ready`).",
        "DOWN: nothing else on this page is true; restart it and look at its log. NOT READY for long: see feeds on *Monitor health*.",
    )
    queries = [
        Query('min(up{job=~"$job",instance=~"$instance"})', "scraped"),
        Query(f"min({of_monitor('ready')})", "ready"),
    ]
    return now(about, queries, Figure("none", 0, states=yes_or_no("YES", "NO"), no_value="NOT SCRAPED"), named=True)


def _oldest() -> Panel:
    about = About(
        "Oldest data",
        "The longest that any watched feed of these venues has been silent: `time() - feed_last_message_timestamp_seconds`. "
        "Polled accounts are read every few seconds to a minute, so some age is normal; *Feeds not fresh* judges it.",
        "See *Silence of feeds* on *Monitor health* for which feed, and whether its connection is open.",
    )
    expr = f"max(time() - {of_monitor('feed_last_message_timestamp_seconds', OF_VENUE)})"
    return now(about, [Query(expr)], Figure("s", 0, Steps(SKY, ((60, YELLOW), (300, VERMILION)))))


def _without_figure(what: str, valid: str, where: str) -> Panel:
    about = About(
        f"{what.capitalize()} without a figure",
        f"How many {what} have no margin ratio from fresh data now: `sum(1 - valid)`. They are in none of the worst figures above.",
        f"A {what.removesuffix('s')} without a figure may be in any state. Reasons: {where}.",
    )
    return now(about, [Query(f"sum(1 - {valid})")], FAULTS)


def _unreconciled() -> Panel:
    about = About(
        "Pools unreconciled",
        "How many pools differ from the venue's own figures by more than 0.1 %. Their level is taken on the worse of the two.",
        "See *Reported against computed* on *Account*; `marginwatch verify` prints every figure beside the venue's.",
    )
    return now(about, [Query(f"sum(1 - {of_accounts('account_reconciled')})")], FAULTS)


def _not_fresh() -> Panel:
    about = About(
        "Feeds not fresh",
        "How many feeds of these venues are neither fresh nor polled in time: `sum(1 - feed_up)`.",
        "See *Feeds* on *Monitor health*. Pools that need such a feed lose their figure rather than keep an old one.",
    )
    return now(about, [Query(f"sum(1 - {of_monitor('feed_up', OF_VENUE)})")], FAULTS)


def _receivers() -> Panel:
    about = About(
        "Receivers failing",
        "How many receivers of alerts take nothing at the moment.",
        "Somebody may not be told. See *Notifications* on *Monitor health*; `marginwatch alert-test` tries every receiver.",
    )
    return now(about, [Query(f"sum({of_monitor('receiver_failing')})")], FAULTS)
