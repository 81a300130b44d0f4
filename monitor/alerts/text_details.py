"""The lines below the first one: everything that is known, for who has a minute."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.alerts.incident import Change, Notification, Reading
from monitor.alerts.rules import Rule, data_problem
from monitor.alerts.scope import AlertScope, ScopeKind
from monitor.alerts.text_figures import clean, duration, percent
from monitor.alerts.text_stages import NEXT_STEP
from monitor.alerts.text_titles import action, distance, end, is_closed
from monitor.alerts.text_wording import WORDINGS
from monitor.live.reading import PortfolioReading
from monitor.margin.result import PoolResult

_WITH_LEVELS = (ScopeKind.POOL, ScopeKind.PORTFOLIO, ScopeKind.ACCOUNT)


def details(notification: Notification, link: str = "") -> Iterator[str]:
    """The lines, cleaned; `link` leads to the page and stays as it is."""
    yield from map(clean, _lines(notification))
    if link:
        yield f"link: {link}"
    yield clean(f"incident: {notification.key}")


def _lines(notification: Notification) -> Iterator[str]:
    yield f"scope: {_scope(notification)}"
    yield f"level: {_level(notification)}"
    if isinstance(notification.result, PoolResult):
        yield from _pool(notification, notification.result)
    elif isinstance(notification.result, PortfolioReading):
        yield from _portfolio(notification, notification.result)
    if notification.maintenance:
        venue = notification.scope.venue or "a venue"
        yield f"maintenance: {venue}: {notification.maintenance}; it may take no orders now, and levels are told as ever"
    if notification.subject:
        yield f"about: {notification.subject}"
    why = end(notification) if notification.change is Change.RESOLVED else notification.detail
    if why:
        yield f"why: {why}"
    remedy = _remedy(notification)
    if remedy:
        yield f"remedy: {remedy}"


def _scope(notification: Notification) -> str:
    scope, result = notification.scope, notification.result
    named = scope.kind.value if scope.kind is ScopeKind.MONITOR else f"{scope.kind.value} {_with_venue(scope)}"
    if isinstance(result, PoolResult):
        return f"{named} ({result.mode})"
    if isinstance(result, PortfolioReading):
        return f"{named} ({', '.join(result.accounts)}; parameters {result.parameters})"
    return named


def _with_venue(scope: AlertScope) -> str:
    return f"{scope.venue} {scope.place}" if scope.kind in (ScopeKind.POOL, ScopeKind.ACCOUNT) else scope.place


def _level(notification: Notification) -> str:
    limits = notification.thresholds
    course = "" if notification.level == notification.previous else f" (was {notification.previous.name})"
    age = duration(notification.now_s - notification.opened_s)
    told = f"{notification.level.name}{course}, {notification.change.value}, open for {age}"
    levels = " / ".join(percent(limit) for limit in (limits.warning, limits.critical, limits.liquidation))
    return f"{told}; levels {levels}" if notification.scope.kind in _WITH_LEVELS else told


def _remedy(notification: Notification) -> str:
    result, rule = notification.result, notification.rule
    if notification.change is Change.RESOLVED:
        return ""
    own = result.remedy if isinstance(result, PoolResult) and rule is Rule.UNRECONCILED else ""
    return own or WORDINGS[rule].remedy


def _ratio(notification: Notification) -> str:
    crossing = notification.ratio_at_crossing
    at_crossing = "" if crossing is None else f", {percent(crossing)} at crossing"
    now = "last known" if notification.frozen else "now"
    return f"ratio: {'unknown' if notification.ratio is None else percent(notification.ratio)} {now}{at_crossing}"


def _safety(notification: Notification) -> Iterator[str]:
    if notification.change is not Change.RESOLVED and action(notification):
        yield f"safety: {action(notification)}{' (each alone)' if ' or ' in action(notification) else ''}"


def _money(result: PoolResult | PortfolioReading, asset: str) -> Iterator[str]:
    if result.equity is None or result.maintenance_margin is None:
        return
    # of coins, unlike of dollars, the hundredth of one is money
    digits = 2 if "USD" in asset else 6
    figures = {"equity": result.equity, "maintenance": result.maintenance_margin, "excess": result.excess}
    yield f"money: {', '.join(f'{name} {value:,.{digits}f}' for name, value in figures.items() if value is not None)} {asset}"


def _pool(notification: Notification, result: PoolResult) -> Iterator[str]:
    raw = "" if result.raw_ratio is None else f"; the venue's own ratio {result.raw_ratio:.4f}, limit {result.limit:g}"
    yield _ratio(notification) + raw
    if is_closed(notification):
        return
    yield from _money(result, result.asset)
    if distance(result):
        price = "" if result.worst_liquidation_price is None else f", at a mark of {result.worst_liquidation_price:,.10g}"
        yield f"worst: liquidated by {distance(result)}{price}"
    yield f"next: {NEXT_STEP[result.kind].format(limit=result.limit)}"
    yield from _safety(notification)
    yield from _data(notification, result)


def _data(notification: Notification, result: PoolResult) -> Iterator[str]:
    if notification.frozen:
        if notification.change is not Change.RESOLVED:
            yield _frozen(result, "pool")
    elif result.data_age_s is not None:
        apart = ", figures unreconciled with the venue's" if result.reconciled is False else ""
        yield f"data: {duration(result.data_age_s)} old{apart}"


def _frozen(result: Reading, what: str) -> str:
    return f"data: unusable, {data_problem(result) or 'no result'}; alerts of this {what} are frozen, not resolved"


def _portfolio(notification: Notification, reading: PortfolioReading) -> Iterator[str]:
    yield _ratio(notification)
    yield from _money(reading, "USD")
    if reading.worst is not None:
        coin, margin = reading.worst
        scenario = f", worst at {reading.scenario}" if reading.scenario else ""
        loss = "" if reading.scenario_loss is None else f", which costs {reading.scenario_loss:,.2f}"
        yield f"worst: {coin}, {margin:,.2f} USD of margin{scenario}{loss}"
    if reading.contributor:
        yield f"contributor: {reading.contributor}"
    if reading.next_step:
        yield f"next: {reading.next_step}"
    yield from _safety(notification)
    if notification.frozen and notification.change is not Change.RESOLVED:
        yield _frozen(reading, "portfolio")
