"""Decisions and notifications on *Monitor health*."""

from __future__ import annotations

from grafana_foundation_sdk.builders import heatmap, stat, table, timeseries

from grafana.figures import COUNT
from grafana.layout import Place, Section
from grafana.panels import About, Figure, Query, buckets, lines, now, written_as
from grafana.selectors import most, of_monitor, total
from grafana.style import SKY, VERMILION, YELLOW, Steps, yes_or_no
from grafana.tables import Column, columns_by

_BUCKETS = of_monitor("tick_to_decision_seconds_bucket")


def sections() -> tuple[Section, ...]:
    """How fast it decides, and whether its alerts leave."""
    latency = Section(
        "Latency",
        (
            (10, (Place(_heat(), 12), Place(_quantiles(), 12))),
            (8, (Place(_evaluation(), 8), Place(_evaluations(), 8), Place(_drift(), 8))),
        ),
    )
    notifications = Section(
        "Notifications",
        (
            (8, (Place(_sent(), 9), Place(_failed(), 9), Place(_receivers(), 6))),
            (8, (Place(_queues(), 9), Place(_dropped(), 7), Place(_outbox(), 8))),
        ),
    )
    return latency, notifications


def _heat() -> heatmap.Panel:
    about = About(
        "Tick to decision",
        "How long frames took from receipt to the alert decision: frames in each bucket within the last interval.",
        "A second band above the first: something blocks the event loop. See processor and evaluations below.",
    )
    return buckets(about, Query(total(("le",), f"increase({_BUCKETS}[$__rate_interval])"), "{{le}}"), Figure("s"))


def _quantiles() -> timeseries.Panel:
    about = About(
        "Tick to decision, p50 and p99",
        "`histogram_quantile` over the rate of the buckets: half, and 99 of 100, frames were decided within this time.",
        "p99 above 50 ms for minutes: the machine is too small or shared; alerts are late by as much.",
    )
    rate = total(("le",), f"rate({_BUCKETS}[$__rate_interval])")
    queries = [Query(f"histogram_quantile({q}, {rate})", f"p{round(100 * q)}") for q in (0.5, 0.99)]
    return lines(about, queries, Figure("s", 2), zero=True)


def _evaluation() -> timeseries.Panel:
    about = About(
        "Cost of an evaluation",
        "What the last evaluation of all pools cost.",
        "Far above its usual value: more positions, or a machine that is shared; `make bench` tells what it should be.",
    )
    return lines(about, [Query(of_monitor("evaluation_seconds"), "evaluation")], Figure("s", 2), zero=True)


def _evaluations() -> timeseries.Panel:
    about = About(
        "Evaluations",
        "Evaluations of pools a second, and dashed the portfolios totalled a second by parameter set.",
        "0 while frames are received: the monitor hangs; restart it and keep its log.",
    )
    portfolios = f"rate({of_monitor('portfolio_evaluations_total')}[$__rate_interval])"
    queries = [
        Query(f"sum(rate({of_monitor('evaluations_total')}[$__rate_interval]))", "pools"),
        Query(total(("parameters",), portfolios), "portfolios {{parameters}}", True),
    ]
    return lines(about, queries, Figure("cps", 1), zero=True)


def _drift() -> timeseries.Panel:
    about = About(
        "Incremental drift",
        "Largest relative difference ever seen between a portfolio figure kept by ticks and the same computed anew.",
        "Above 0.0001 %: an update was forgotten. Restart, and report it with a recording.",
    )
    figure = Figure("percentunit", 8)
    return lines(about, [Query(most(("parameters",), of_monitor("incremental_drift_ratio")), "{{parameters}}")], figure, zero=True)


def _sent() -> timeseries.Panel:
    about = About(
        "Notifications delivered",
        "Notifications that each receiver took within the last interval: `increase(notifications_total)`.",
        "Nothing while alerts fire: see the receiver's failures and the outbox.",
    )
    expr = total(("receiver",), f"increase({of_monitor('notifications_total')}[$__rate_interval])")
    return lines(about, [Query(expr, "{{receiver}}")], Figure("none", 1), zero=True)


def _failed() -> timeseries.Panel:
    about = About(
        "Notifications given up",
        "Notifications that a receiver did not take in time (deadline) or that did not fit its queue (dropped): `increase`.",
        "The next receiver of the route was told instead. Check address and token: `marginwatch alert-test`.",
    )
    expr = total(("receiver", "reason"), f"increase({of_monitor('notifications_failed_total')}[$__rate_interval])")
    return lines(about, [Query(expr, "{{receiver}} {{reason}}")], Figure("none", 1), zero=True)


def _receivers() -> table.Panel:
    about = About(
        "Receivers",
        "Whether each receiver takes alerts now.",
        "FAILING: somebody is not told by this way; `marginwatch alerts` lists what is waiting for it.",
    )
    failing = Figure("none", 0, states=yes_or_no("takes alerts", "FAILING"))
    expr = most(("receiver",), f"1 - {of_monitor('receiver_failing')}")
    return columns_by(about, ("receiver",), [Column("State", expr, failing)], sort="State", ascending=True)


def _queues() -> timeseries.Panel:
    about = About(
        "Queues",
        "What waits in each queue, and dashed the most that ever did.",
        "A queue that only grows: its consumer is stuck; a full one drops.",
    )
    queries = [
        Query(most(("queue",), of_monitor("queue_depth")), "{{queue}}"),
        Query(most(("queue",), of_monitor("queue_peak_depth")), "{{queue}} peak", True),
    ]
    return lines(about, queries, COUNT, zero=True)


def _dropped() -> timeseries.Panel:
    about = About(
        "Dropped from queues",
        "What did not fit into a queue within the last interval: `increase(queue_dropped_total)`.",
        "Dropped notifications go to the next receiver; a queue that drops twice has a consumer that is too slow.",
    )
    expr = total(("queue",), f"increase({of_monitor('queue_dropped_total')}[$__rate_interval])")
    return lines(about, [Query(expr, "{{queue}}")], Figure("none", 1), zero=True)


def _outbox() -> stat.Panel:
    about = About(
        "Outbox",
        "Deliveries still to be made, how long the oldest of them has waited (0 s without one), and whether the outbox can be written.",
        "Waiting for minutes: a receiver takes nothing. NOT WRITTEN: the disk is full or broken; alerts leave from memory, but a crash "
        "would forget them.",
    )
    oldest = of_monitor("outbox_oldest_timestamp_seconds")
    queries = [
        Query(f"sum({of_monitor('outbox_pending')})", "pending"),
        Query(f"max((time() - {oldest}) * ({oldest} > bool 0))", "oldest waits"),
        Query(f"min({of_monitor('outbox_healthy')})", "written"),
    ]
    panel = now(about, queries, Figure("none", 0, Steps(SKY, ((10, YELLOW), (100, VERMILION)))), named=True)
    written_as(panel, "B", Figure("s", 0, Steps(SKY, ((60, YELLOW), (300, VERMILION)))))
    written_as(panel, "C", Figure("none", 0, states=yes_or_no("yes", "NOT WRITTEN")))
    return panel
