"""First lines of alerts, by rule: `CRITICAL 92% hl-main/USDC: 160k left of 2.00M; liquidates BTC +3.1%; ...`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import ROUND_CEILING

from connectors.events import FeedStatus
from connectors.model import PositionSide
from monitor.alerts.incident import Change, Notification, Reading
from monitor.alerts.rules import Rule, data_problem
from monitor.alerts.scope import ScopeKind
from monitor.alerts.text_figures import LARGEST_RATIO, Part, amount, clean, duration, fitted, move, percent, symbol
from monitor.alerts.text_wording import WORDINGS
from monitor.live.reading import PortfolioReading
from monitor.margin.result import PoolKind, PoolResult

# What goes first where a line is too long has the highest rank.
_ASIDE, _DISTANCE, _AGE, _REMEDY = 4, 5, 6, 9


OVER = "over"
"""What the end of a condition begins with; its last sentence follows."""

POOL_GONE = "the pool is gone"
NO_CONNECTION = "no connection to "
"""What the detail of the network's alert begins with where a single venue is silent."""


def title(notification: Notification) -> str:
    """The first line, at most TITLE_LIMIT characters."""
    head, parts = _HEADS.get(notification.rule, _rule_title)(notification)
    if notification.maintenance:
        where = f"{notification.scope.venue} in maintenance".lstrip()
        parts.append(Part(_ASIDE, f"{where}: {notification.maintenance}", where, is_aside=True))
    return fitted(clean(head), [part._replace(text=clean(part.text), short=clean(part.short)) for part in parts])


def action(notification: Notification) -> str:
    """What brings the ratio back to the warning level: `add 165k USDC or buy 22 BTC -> 85%`; empty where nothing is needed or known."""
    result, ways = notification.result, []
    if isinstance(result, PoolResult):
        ways = [way for way in (_cash(result.cash_to_safety, _asset(result)), _trade(result)) if way]
    elif isinstance(result, PortfolioReading):
        ways = [way for way in (_cash(result.cash_to_safety, "USD"),) if way]
    return f"{' or '.join(ways)} -> {percent(notification.thresholds.warning)}" if ways else ""


def is_closed(notification: Notification) -> bool:
    """Whether an alert ends with its pool: there are no figures of now."""
    return notification.change is Change.RESOLVED and notification.detail.startswith(POOL_GONE)


def end(notification: Notification) -> str:
    """Why an alert ended, where that is more than that what it said is over: its old sentence would read as if it were so now."""
    return "" if notification.detail.partition(":")[0] == OVER else notification.detail


def distance(result: PoolResult) -> str:
    """Which price move liquidates a pool: `BTC +3.1%`; empty where none is known."""
    away = result.worst_distance
    if not result.worst_instrument or away is None or not abs(away) < LARGEST_RATIO:
        return ""
    return f"{symbol(result.worst_instrument)} {move(away)}"


def _asset(result: PoolResult) -> str:
    # a coin counts with its haircut
    return f"{result.asset} of collateral" if result.kind is PoolKind.ASTER_MULTI_ASSETS else result.asset


def _cash(needed: float | None, asset: str) -> str:
    return "" if needed is None or not needed > 0 else f"add {amount(needed, ROUND_CEILING)} {asset}"


def _trade(result: PoolResult) -> str:
    if result.reduce is None or result.reduce[1] == 0:
        return ""
    instrument, quantity = result.reduce
    size = f"{amount(abs(quantity), ROUND_CEILING, trim=True)} {symbol(instrument)}"
    # in hedge mode a plain buy or sell could open the other leg
    hedged = result.reduce_side is not PositionSide.BOTH
    return f"close {size} {result.reduce_side.name}" if hedged else f"{'buy' if quantity > 0 else 'sell'} {size}"


_Title = tuple[str, list[Part]]


def _word(notification: Notification) -> str:
    if notification.change is Change.RESOLVED:
        return "CLOSED" if is_closed(notification) else "RESOLVED"
    return notification.level.name


def _level_title(notification: Notification) -> _Title:
    ratio, result = notification.ratio, notification.result
    figure = "no ratio" if ratio is None else "no equity" if math.isinf(ratio) else percent(ratio)
    parts = [Part(0, text) for text in _course(notification)]
    if notification.frozen:
        known = "" if ratio is None else ", last known figures"
        parts.append(Part(1, f"data unusable{known} ({_reason(result)})"))
    parts += _figures(notification, result)
    return f"{_word(notification)} {figure} {notification.scope.place}", parts


def _reason(result: Reading | None) -> str:
    return (data_problem(result).split(":")[0] if result is not None else "") or "NO_RESULT"


def _course(notification: Notification) -> Iterator[str]:
    before = notification.ratio_before
    if notification.change is Change.RESOLVED:
        yield f"was {notification.previous.name}"
        yield end(notification)
    elif notification.change is Change.DEESCALATED:
        yield f"down from {notification.previous.name}"
    elif notification.change is Change.ESCALATED:
        yield f"up from {notification.previous.name}"
    elif notification.change is Change.WORSENED and notification.rule is Rule.LEVEL and before is not None:
        yield f"up from {percent(before)}"
    elif notification.change is Change.REPEATED:
        yield f"for {duration(notification.now_s - notification.opened_s)}"


def _figures(notification: Notification, result: Reading | None) -> Iterator[Part]:
    is_over = notification.change is Change.RESOLVED
    if is_closed(notification):
        return
    if isinstance(result, PoolResult | PortfolioReading) and result.excess is not None and result.equity is not None:
        yield Part(2, _left(result.excess, result.equity))
    if not is_over:
        if isinstance(result, PoolResult) and (notification.ratio or 0.0) < 1.0 and distance(result):
            yield Part(_DISTANCE, f"liquidates {distance(result)}")
        if isinstance(result, PortfolioReading):
            yield Part(_DISTANCE, _worst(result))
        yield Part(3, action(notification))
    if isinstance(result, PoolResult) and result.data_age_s is not None and not notification.frozen:
        yield Part(_AGE, f"data {duration(result.data_age_s)}")


def _left(excess: float, equity: float) -> str:
    if excess < 0:
        return f"{amount(-excess, ROUND_CEILING)} short, equity {amount(equity)}"
    return f"{amount(excess)} left of {amount(equity)}"


def _worst(reading: PortfolioReading) -> str:
    if reading.worst is None:
        return ""
    coin, margin = reading.worst
    if reading.scenario and reading.scenario_loss is not None:
        return f"{coin} {reading.scenario} costs {amount(reading.scenario_loss, ROUND_CEILING)}"
    return f"{coin} needs {amount(margin, ROUND_CEILING)}"


def _data_title(notification: Notification) -> _Title:
    parts = [Part(1, text) for text in _course(notification)]
    is_over = notification.change is Change.RESOLVED
    if not is_over:
        parts.append(Part(0, notification.detail))
    if notification.ratio is not None:
        parts.append(Part(2, f"{'now' if is_over else 'last'} {percent(notification.ratio)}"))
    return _head(notification), parts


def _unreconciled_title(notification: Notification) -> _Title:
    result = notification.result
    parts = [Part(1, text) for text in _course(notification)]
    if notification.change is not Change.RESOLVED:
        difference = result.reported_difference if isinstance(result, PoolResult) else None
        apart = notification.detail if difference is None else f"{abs(difference) * 100:.3g}% off the venue's own figure"
        parts.append(Part(0, apart))
    if notification.ratio is not None:
        parts.append(Part(2, f"{percent(notification.ratio)} by the worse figure"))
    return _head(notification), parts


def _rule_title(notification: Notification) -> _Title:
    wording = WORDINGS[notification.rule]
    if notification.change is Change.RESOLVED:
        parts = [Part(1, text) for text in _course(notification)]
        return _head(notification), [*parts, *_now(notification), Part(2, notification.subject)]
    told = _without(_noun(notification), notification.detail) or notification.subject
    parts = [Part(0, wording.claim), Part(1 if wording.claim else 0, "" if told == wording.claim else told)]
    parts += [Part(2, text) for text in _course(notification)]
    if notification.frozen:
        parts.append(Part(2, "cannot be judged now"))
    if wording.has_figures:
        parts += [part for part in _figures(notification, notification.result) if part.rank in (2, 3)]
    return _head(notification), [*parts, Part(_REMEDY, wording.remedy)]


def _now(notification: Notification) -> Iterator[Part]:
    if not WORDINGS[notification.rule].has_figures or notification.frozen or is_closed(notification):
        return
    result = notification.result
    if notification.ratio is not None:
        yield Part(0, f"now {percent(notification.ratio)}")
    if isinstance(result, PoolResult) and distance(result):
        yield Part(_DISTANCE, f"liquidates {distance(result)}")


def _noun(notification: Notification) -> str:
    said = notification.detail.removeprefix(f"{OVER}: ")
    if notification.rule is Rule.NETWORK and said.startswith(NO_CONNECTION):
        return said
    if notification.rule is Rule.STALE_FEED and f" is {FeedStatus.CONNECTING.value}" in said:
        return "feed is connecting"
    return WORDINGS[notification.rule].noun


def _without(noun: str, detail: str) -> str:
    # what stands before the colon need not be said again behind it
    told = detail.removeprefix("the ")
    if told == noun:
        return ""
    return told.removeprefix(f"{noun}: ") if told.startswith(f"{noun}: ") else detail


def _head(notification: Notification) -> str:
    place = "" if notification.scope.kind is ScopeKind.MONITOR else notification.scope.place
    return " ".join(word for word in (_word(notification), _noun(notification), place) if word)


_HEADS = {Rule.LEVEL: _level_title, Rule.DATA: _data_title, Rule.UNRECONCILED: _unreconciled_title}
