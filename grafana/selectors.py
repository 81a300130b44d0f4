"""PromQL selectors of our metrics by the variables of the dashboards, and the aggregations that every dashboard uses."""

from __future__ import annotations

from collections.abc import Sequence

MONITOR = 'job=~"$job",instance=~"$instance"'
"""Which monitor: one of those that one Prometheus may scrape, so that two of them are never added up."""
_ACCOUNT = f'{MONITOR},venue=~"$venue",account=~"$account"'
_POOL = f'{_ACCOUNT},pool=~"$pool"'
_PORTFOLIO = f'{MONITOR},portfolio=~"$portfolio"'


def of_monitor(name: str, *more: str) -> str:
    """Selector of `marginwatch_<name>` by monitor; `more` are further matchers such as `venue=~"$venue"`."""
    return _selector(name, MONITOR, *more)


def of_accounts(name: str, *more: str) -> str:
    """Selector by monitor, venue and account."""
    return _selector(name, _ACCOUNT, *more)


def of_pools(name: str, *more: str) -> str:
    """Selector by monitor, venue, account and pool."""
    return _selector(name, _POOL, *more)


def of_portfolios(name: str, *more: str) -> str:
    """Selector by monitor and portfolio."""
    return _selector(name, _PORTFOLIO, *more)


def _selector(name: str, *matchers: str) -> str:
    return f"marginwatch_{name}{{{','.join(matchers)}}}"


def most(labels: Sequence[str], expr: str) -> str:
    """The largest value for each combination of `labels`: one row of a table."""
    return f"max by ({', '.join(labels)}) ({expr})"


def least(labels: Sequence[str], expr: str) -> str:
    """The smallest value for each combination of `labels`."""
    return f"min by ({', '.join(labels)}) ({expr})"


def total(labels: Sequence[str], expr: str) -> str:
    """The sum for each combination of `labels`."""
    return f"sum by ({', '.join(labels)}) ({expr})"


def level(labels: Sequence[str], levels: str, valid: str) -> str:
    """The level while it is known and -1 while it is not: a gap would be read as "nothing to see"."""
    return most(labels, f"{levels} or ({valid} == 0) - 1")
