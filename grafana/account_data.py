"""*Account*, the lower half: the venue's figures against ours, and the data behind both."""

from __future__ import annotations

from grafana_foundation_sdk.builders import statetimeline, table, timeseries

from grafana.figures import COUNT, POOL, POOL_NAME, RECONCILED, SECONDS
from grafana.layout import Place, Section
from grafana.panels import About, Figure, Query, lines, states
from grafana.selectors import least, most, of_accounts, of_pools, total
from grafana.style import SKY, VERMILION, YELLOW, Steps
from grafana.tables import Column, columns_by

_DAY = 86_400


def sections() -> tuple[Section, ...]:
    """Reported against computed, and data."""
    compared = Section(
        "Reported against computed",
        ((8, (Place(_difference(), 9), Place(_reconciled(), 9), Place(_model_error(), 6))),),
    )
    data = Section("Data", ((8, (Place(_failures(), 8), Place(_age(), 10), Place(_keys(), 6))),))
    return compared, data


def _difference() -> timeseries.Panel:
    about = About(
        "Difference from the venue",
        "Largest relative difference of our figures from the venue's own, on each account frame. Above 0.1 % a pool is unreconciled.",
        "A step that stays: the venue changed a rule or a table, see its announcements and `marginwatch verify`. A spike: two feeds of "
        "different pace in a fast market.",
    )
    return lines(about, [Query(of_pools("venue_reported_difference_ratio"), POOL_NAME)], Figure("percentunit", 4), zero=True)


def _reconciled() -> statetimeline.Panel:
    about = About(
        "Reconciled",
        "Whether our figures equal the venue's. A gap: nothing to compare with.",
        "UNRECONCILED: the level is taken on the worse of the two figures until they agree again.",
    )
    return states(about, [Query(least(POOL, of_pools("account_reconciled")), POOL_NAME)], RECONCILED)


def _model_error() -> timeseries.Panel:
    about = About(
        "Model error of collateral",
        "Collateral by our ratios against the venue's total; multi-assets mode only, so most accounts have none.",
        "Above 0.5 % the pool is unreconciled: correct `collateral_ratios`, the alert says which ratio would fit.",
    )
    return lines(about, [Query(of_pools("account_model_error_ratio"), POOL_NAME)], Figure("percentunit", 3))


def _failures() -> table.Panel:
    about = About(
        "Why pools have no figure",
        "A row for each reason that a pool has no margin ratio; no rows while all have one.",
        "STALE or MISSING: see feeds on *Monitor health*. UNSAFE_KEY, KEY_REFUSED, AGENT_ADDRESS: correct the account's key or address.",
    )
    by = (*POOL, "reason")
    return columns_by(
        about,
        by,
        [Column("Count", total(by, of_pools("account_failure_info")), COUNT)],
        sort="Account",
        ascending=True,
        empty="no reason told",
    )


def _age() -> timeseries.Panel:
    about = About(
        "Age of account data",
        "How long each feed of the account has been silent: `time() - feed_last_message_timestamp_seconds`. Pushed accounts speak every "
        "few seconds, polled ones as often as the request budget allows.",
        "A line that only rises: the feed is dead though its connection may be open; see *Monitor health*.",
    )
    query = Query(f"time() - {of_accounts('feed_last_message_timestamp_seconds')}", "{{venue}} {{account}} {{feed}}")
    return lines(about, [query], SECONDS, zero=True)


def _keys() -> table.Panel:
    about = About(
        "Keys expire in",
        "Time until the key that reads the account expires: `key_expiry_timestamp_seconds - time()`; only where a key has an end.",
        "Approve a new read-only key at the venue and put it into the configuration before that.",
    )
    by = ("venue", "account")
    steps = Steps(VERMILION, ((3 * _DAY, YELLOW), (14 * _DAY, SKY)))
    expr = most(by, f"{of_accounts('account_key_expiry_timestamp_seconds')} - time()")
    return columns_by(about, by, [Column("Left", expr, Figure("dtdurations", 0, steps))], sort="Left", ascending=True)
