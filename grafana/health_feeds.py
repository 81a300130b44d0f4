"""Feeds, connections and market figures on *Monitor health*."""

from __future__ import annotations

from grafana_foundation_sdk.builders import statetimeline, table, timeseries

from grafana.figures import FRESH, OF_VENUE, SECONDS
from grafana.layout import Place, Section
from grafana.panels import About, Figure, Query, lines, states
from grafana.selectors import least, most, of_monitor, total
from grafana.style import PROVENANCE, SHARE_USED, yes_or_no
from grafana.tables import Column, columns_by

_CONNECTION = "{{venue}} {{connection}}"
_BY = ("venue", "connection")
_STATE = Figure("none", 0, states=PROVENANCE)


def sections() -> tuple[Section, ...]:
    """What is heard, by which connection, and what the market figures rest on."""
    feeds = Section(
        "Feeds",
        (
            (13, (Place(_fresh(), 12), Place(_silence(), 12))),
            (9, (Place(_connections(), 8), Place(_messages(), 8), Place(_replaced(), 8))),
            (8, (Place(_errors(), 8), Place(_budget(), 8), Place(_clock(), 8))),
        ),
    )
    market = Section("Market figures", ((10, (Place(_market(), 8), Place(_kinds(), 16))),))
    return feeds, market


def _fresh() -> statetimeline.Panel:
    about = About(
        "Feeds",
        "Whether all feeds of an account, and all public ones of a venue, are fresh or polled in time: the smallest `feed_up` of each.",
        "NOT FRESH: figures that need the feed are withdrawn. See its connection; the monitor reconnects and resyncs by itself.",
    )
    return states(about, [Query(least(("venue", "account"), of_monitor("feed_up", OF_VENUE)), "{{venue}} {{account}}")], FRESH)


def _silence() -> timeseries.Panel:
    about = About(
        "Silence of feeds",
        "How long each watched feed has not spoken: `time() - feed_last_message_timestamp_seconds`.",
        "A line that only rises is a dead feed, even while its connection is open. A drop to 0 is a resync.",
    )
    query = Query(f"time() - {of_monitor('feed_last_message_timestamp_seconds', OF_VENUE)}", "{{venue}} {{account}} {{feed}}")
    return lines(about, [query], SECONDS, zero=True)


def _connections() -> statetimeline.Panel:
    about = About(
        "Connections",
        "Whether each connection to a venue is open.",
        "CLOSED for long: the venue or the network is down; other connections of the same venue tell which.",
    )
    figure = Figure("none", 0, states=yes_or_no("open", "CLOSED"))
    return states(about, [Query(least(_BY, of_monitor("connection_up", OF_VENUE)), _CONNECTION)], figure)


def _messages() -> timeseries.Panel:
    about = About(
        "Frames received",
        "Frames a second of each connection: `rate(feed_messages_total)`.",
        "0 on an open connection: it answers pings and says nothing; the monitor replaces it when its feeds are stale.",
    )
    query = Query(total(_BY, f"rate({of_monitor('feed_messages_total', OF_VENUE)}[$__rate_interval])"), _CONNECTION)
    return lines(about, [query], Figure("cps", 1), zero=True)


def _replaced() -> timeseries.Panel:
    about = About(
        "Reconnects and resyncs",
        "Connections replaced, and dashed the resyncs by REST after one opened, within the last interval: `increase`.",
        "Many an hour: the network, a proxy, or too many connections from one address.",
    )
    queries = [
        Query(total(_BY, f"increase({of_monitor('feed_reconnects_total', OF_VENUE)}[$__rate_interval])"), f"{_CONNECTION} replaced"),
        Query(total(_BY, f"increase({of_monitor('feed_resyncs_total', OF_VENUE)}[$__rate_interval])"), f"{_CONNECTION} resync", True),
    ]
    return lines(about, queries, Figure("none", 1), zero=True)


def _errors() -> timeseries.Panel:
    about = About(
        "Frames not understood",
        "Frames that could not be read, by venue and kind, within the last interval: `increase(feed_parse_errors_total)`.",
        "The venue changed its messages: upgrade the monitor; `--record` keeps the frames for a report.",
    )
    expr = total(("venue", "kind"), f"increase({of_monitor('feed_parse_errors_total', OF_VENUE)}[$__rate_interval])")
    return lines(about, [Query(expr, "{{venue}} {{kind}}")], Figure("none", 1), zero=True)


def _budget() -> timeseries.Panel:
    about = About(
        "Request budget used",
        "Used share of our part of the venue's request budget.",
        "Near 100 % accounts are read less often: raise `ip_budget_share`, follow fewer accounts, or use another address.",
    )
    figure = Figure("percentunit", 1, SHARE_USED)
    return lines(about, [Query(most(("venue",), of_monitor("feed_rate_limit_used_ratio", OF_VENUE)), "{{venue}}")], figure, zero=True)


def _clock() -> timeseries.Panel:
    about = About(
        "Clock offset",
        "The venue's clock less ours.",
        "More than a second for all venues: synchronise this machine's clock; signed requests are refused otherwise. For one: theirs.",
    )
    return lines(about, [Query(most(("venue",), of_monitor("venue_clock_offset_seconds", OF_VENUE)), "{{venue}}")], Figure("s", 3))


def _market() -> table.Panel:
    about = About(
        "Market figures",
        "What the worst figure of each kind and coin rests on now: LIVE, AGING, STALE, OUTCOME (implied by outcome markets), PROXY, "
        "CONFIGURED, MISSING; for `fx` the coin is the stablecoin.",
        "Anything but LIVE and AGING is a substitute: portfolios still have figures, `inputs` of `/api/v1/portfolios` says from where.",
    )
    by = ("kind", "coin")
    return columns_by(about, by, [Column("State", most(by, of_monitor("market_state")), _STATE)], sort="State")


def _kinds() -> statetimeline.Panel:
    about = About(
        "Market figures over time",
        "The worst state of each kind of figure over all coins.",
        "MISSING takes the figures of portfolios away: configure a value under `[market]` or `[fx]` if the venue's will not return.",
    )
    return states(about, [Query(most(("kind",), of_monitor("market_state")), "{{kind}}")], _STATE)
