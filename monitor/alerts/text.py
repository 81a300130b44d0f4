"""Every text of every alert, in one place: what a person reads at 3 am.

First line (at most 120 characters), then details. Amounts carry three digits, rounded to the careful side: what is left down,
what is needed up. "left" is the excess, "of" the equity. Same input, same text; no address, process or host.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_UP, Decimal

from config.errors import masked
from connectors.model import PositionSide
from monitor.alerts.policy import Change, Notification, Scope
from monitor.alerts.rules import Rule, data_problem
from monitor.margin.result import PoolKind, PoolResult

TITLE_LIMIT = 120

NEXT_STEP = {
    PoolKind.HYPERLIQUID_CROSS: (
        "nothing before 100%; then market orders (above 100k USDC 20% first, 30 s cooldown, then full size); "
        "above 150% the backstop takes the pool's positions and margin; equity below 0: ADL"
    ),
    PoolKind.HYPERLIQUID_PORTFOLIO_MARGIN: (
        "at 100% (the venue's ratio {limit:g}): perpetuals and spot borrow in no fixed order, spot straight to the backstop"
    ),
    PoolKind.HYPERLIQUID_ISOLATED: "at 100%: only this position and its margin are liquidated",
    PoolKind.ASTER_CROSS: (
        "nothing before 100%; then all open orders are cancelled, one large IOC order reduces the position, and while the ratio stays "
        "at 100% the rest is closed at the bankruptcy price against the insurance fund, ADL last; "
        "liquidation fee mostly 2.5% of notional"
    ),
    PoolKind.ASTER_MULTI_ASSETS: (
        "nothing before 100%; then all open orders are cancelled, other assets are sold into a settlement asset that is short, one "
        "large IOC order reduces the position, and while the ratio stays at 100% the rest is closed at the bankruptcy price against "
        "the insurance fund, ADL last; liquidation fee mostly 2.5% of notional"
    ),
    PoolKind.ASTER_ISOLATED: (
        "at 100%: the symbol's open orders are cancelled, then only this position and its margin are liquidated; "
        "liquidation fee mostly 2.5% of notional"
    ),
    PoolKind.DERIBIT_CROSS: (
        "nothing before 100%; then open orders are cancelled and positions of all currencies reduced in small steps until the margin "
        "balance covers the maintenance margin"
    ),
    PoolKind.DERIBIT_SEGREGATED: (
        "nothing before 100%; then this currency's open orders are cancelled and its positions reduced in small steps until the margin "
        "balance covers the maintenance margin"
    ),
}
"""What the venue does to a pool of this kind: section 8 of the margin model, for Aster sections 5.5 and 5.7 of its notes.

Deribit's steps are not confirmed: no recording shows one.
"""

_LARGEST_RATIO = 1000.0
_SUFFIXES = ((Decimal(10) ** 12, "T"), (Decimal(10) ** 9, "B"), (Decimal(10) ** 6, "M"), (Decimal(10) ** 3, "k"))


@dataclass(frozen=True, slots=True)
class Text:
    """A rendered alert: `title` is the first line, `details` the lines below it."""

    title: str
    details: tuple[str, ...]

    @property
    def full(self) -> str:
        """Title and details as one text."""
        return "\n".join((self.title, *self.details))


def render(notification: Notification) -> Text:
    """The text of one notification."""
    head, parts = _HEADS[notification.rule](notification)
    return Text(_fitted(_clean(head), [(rank, _clean(part)) for rank, part in parts]), tuple(map(_clean, _details(notification))))


def render_group(notifications: Sequence[Notification]) -> Text:
    """The text of a burst (at least one): a single one as itself, several under a common first line, worst first."""
    ordered = sorted(notifications, key=lambda notification: -notification.severity)
    texts = [render(notification) for notification in ordered]
    if len(texts) == 1:
        return texts[0]
    heads = [text.title.split(": ", 1)[0] for text in texts]
    title = _listed(f"{len(texts)} alerts: ", heads)
    details = [line for text in texts for line in ("", text.title, *text.details)]
    return Text(title, tuple(details))


def place(scope: Scope) -> str:
    """`account/pool`, or the account alone for what concerns all of it."""
    return f"{scope[1]}/{scope[2]}" if scope[2] else scope[1]


def percent(ratio: float) -> str:
    """A ratio as per cent with at most one decimal, cut, never rounded up to a level it has not reached."""
    if math.isinf(ratio):
        return "infinite"
    if ratio >= _LARGEST_RATIO:
        return f"over {_LARGEST_RATIO * 100:.0f}%"
    return f"{_trimmed(_cut(ratio * 100, Decimal('0.1'), ROUND_DOWN))}%"


def amount(value: float, rounding: str = ROUND_FLOOR, *, trim: bool = False) -> str:
    """Money or a quantity with three digits and k, M, B or T: 164,705.9 -> `164k` (or `165k` with ROUND_CEILING)."""
    if not math.isfinite(value):
        return "unknown"
    # Rounding first: 999,999 upwards is 1.00M, not 1000k.
    rounded = _three_digits(_decimal(value), rounding)
    unit, suffix = next(((unit, suffix) for unit, suffix in _SUFFIXES if abs(rounded) >= unit), (Decimal(1), ""))
    shown = rounded / unit
    if shown == 0:
        return "0"
    digits = max(0, 2 - shown.adjusted())
    text = f"{shown:.{digits}f}"
    return (text.rstrip("0").rstrip(".") if trim and "." in text else text) + suffix


def duration(seconds: float) -> str:
    """`0.4s`, `12s`, `15min`, `3h`, `2d`: cut to one unit."""
    if not math.isfinite(seconds):
        return "unknown time"
    if seconds < 10:
        return f"{_cut(max(seconds, 0.0), Decimal('0.1'), ROUND_UP):f}s"
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{int(seconds // unit)}{name}"
    return f"{int(seconds)}s"


def _decimal(value: float) -> Decimal:
    # Twelve digits: binary noise must not push a figure over the edge of its rounding.
    return Decimal(f"{value:.12g}")


def _cut(value: float, step: Decimal, rounding: str) -> Decimal:
    return _decimal(value).quantize(step, rounding=rounding)


def _three_digits(value: Decimal, rounding: str) -> Decimal:
    return value if value == 0 else value.quantize(Decimal(1).scaleb(value.adjusted() - 2), rounding=rounding)


def _trimmed(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _clean(text: str) -> str:
    # Names and sentences come from outside: one line, nothing that moves a terminal's cursor, no address.
    return masked(" ".join("".join(char if char.isprintable() else " " for char in text).split()))


_Parts = list[tuple[int, str]]


def _fitted(head: str, parts: _Parts) -> str:
    kept = list(parts)
    while True:
        title = f"{head}: {'; '.join(part for _, part in kept)}" if kept else head
        if len(title) <= TITLE_LIMIT:
            return title
        if len(kept) <= 1:
            return title[: TITLE_LIMIT - 1] + "…"
        kept.remove(max(kept, key=lambda part: part[0]))


def _listed(lead: str, heads: list[str]) -> str:
    for count in range(len(heads), 0, -1):
        rest = f", +{len(heads) - count}" if count < len(heads) else ""
        title = f"{lead}{', '.join(heads[:count])}{rest}"
        if len(title) <= TITLE_LIMIT:
            return title
    return f"{lead}{heads[0]}"[: TITLE_LIMIT - 1] + "…"


def _word(notification: Notification) -> str:
    return "RESOLVED" if notification.change is Change.RESOLVED else notification.level.name


def _level_title(notification: Notification) -> tuple[str, _Parts]:
    ratio, result = notification.ratio, notification.result
    figure = "no ratio" if ratio is None else "no equity" if math.isinf(ratio) else percent(ratio)
    parts: _Parts = [(0, part) for part in _course(notification)]
    if notification.frozen and result is not None:
        parts.append((1, f"data unusable, last known figures ({_reason(result)})"))
    if result is not None:
        parts += _figures(notification, result)
    return f"{_word(notification)} {figure} {place(notification.scope)}", parts


def _reason(result: PoolResult) -> str:
    return data_problem(result).split(":")[0] or "NO_RESULT"


def _course(notification: Notification) -> Iterator[str]:
    before = notification.ratio_before
    if notification.change is Change.RESOLVED:
        yield f"was {notification.previous.name}"
        if notification.detail:
            yield notification.detail
    elif notification.change is Change.DEESCALATED:
        yield f"down from {notification.previous.name}"
    elif notification.change is Change.ESCALATED:
        yield f"up from {notification.previous.name}"
    elif notification.change is Change.WORSENED and before is not None:
        yield f"up from {percent(before)}"
    elif notification.change is Change.REPEATED:
        yield f"for {duration(notification.now_s - notification.opened_s)}"


def _figures(notification: Notification, result: PoolResult) -> Iterator[tuple[int, str]]:
    if result.excess is not None and result.equity is not None:
        yield (2, _left(result.excess, result.equity))
    if notification.change is not Change.RESOLVED:
        distance = result.worst_distance
        if result.worst_instrument and distance is not None and abs(distance) < _LARGEST_RATIO and (notification.ratio or 0.0) < 1.0:
            yield (4, f"liquidates {symbol(result.worst_instrument)} {_cut(distance * 100, Decimal('0.1'), ROUND_DOWN):+f}%")
        action = _action(notification, result)
        if action:
            yield (3, action)
    if result.data_age_s is not None and not notification.frozen:
        yield (5, f"data {duration(result.data_age_s)}")


def _left(excess: float, equity: float) -> str:
    if excess < 0:
        return f"{amount(-excess, ROUND_CEILING)} short, equity {amount(equity)}"
    return f"{amount(excess)} left of {amount(equity)}"


def symbol(instrument: str) -> str:
    """An instrument without its venue, a price index by its coin: `hyperliquid:BTC` -> `BTC`, `deribit:btc_usd` -> `BTC`."""
    name = instrument.split(":", 1)[-1]
    coin, separator, _ = name.partition("_")
    return coin.upper() if separator and name.islower() else name


def _action(notification: Notification, result: PoolResult) -> str:
    ways = []
    if result.cash_to_safety is not None and result.cash_to_safety > 0:
        # a coin counts with its haircut
        counted = " of collateral" if result.kind is PoolKind.ASTER_MULTI_ASSETS else ""
        ways.append(f"add {amount(result.cash_to_safety, ROUND_CEILING)} {result.asset}{counted}")
    if result.reduce is not None and result.reduce[1] != 0:
        instrument, quantity = result.reduce
        size = f"{amount(abs(quantity), ROUND_CEILING, trim=True)} {symbol(instrument)}"
        # in hedge mode a plain buy or sell could open the other leg
        hedged = result.reduce_side is not PositionSide.BOTH
        ways.append(f"close {size} {result.reduce_side.name}" if hedged else f"{'buy' if quantity > 0 else 'sell'} {size}")
    return f"{' or '.join(ways)} -> {percent(notification.thresholds.warning)}" if ways else ""


def _data_title(notification: Notification) -> tuple[str, _Parts]:
    parts: _Parts = [(1, part) for part in _course(notification)]
    if notification.change is not Change.RESOLVED:
        parts.append((0, notification.detail))
    if notification.ratio is not None:
        parts.append((2, f"{'now' if notification.change is Change.RESOLVED else 'last'} {percent(notification.ratio)}"))
    return f"{_word(notification)} no data {place(notification.scope)}", parts


def _unreconciled_title(notification: Notification) -> tuple[str, _Parts]:
    result = notification.result
    parts: _Parts = [(1, part) for part in _course(notification)]
    if notification.change is not Change.RESOLVED:
        difference = result.reported_difference if result else None
        if difference is None:
            parts.append((0, notification.detail))
        else:
            parts.append((0, f"{abs(difference) * 100:.3g}% off the venue's own figure"))
    if notification.ratio is not None:
        parts.append((2, f"{percent(notification.ratio)} by the worse figure"))
    return f"{_word(notification)} unreconciled {place(notification.scope)}", parts


def _account_title(notification: Notification) -> tuple[str, _Parts]:
    parts: _Parts = [(1, part) for part in _course(notification)]
    if notification.change is not Change.RESOLVED:
        parts.insert(0, (0, notification.detail))
    return f"{_word(notification)} {_ACCOUNT_NOUNS[notification.rule]} {place(notification.scope)}", parts


_ACCOUNT_NOUNS = {
    Rule.LIQUIDATION_SEEN: "the venue liquidated",
    Rule.MARGIN_CALL: "margin call",
    Rule.ACCOUNT_FAILURE: "cannot monitor",
}
_HEADS = {
    Rule.LEVEL: _level_title,
    Rule.DATA: _data_title,
    Rule.UNRECONCILED: _unreconciled_title,
    Rule.LIQUIDATION_SEEN: _account_title,
    Rule.MARGIN_CALL: _account_title,
    Rule.ACCOUNT_FAILURE: _account_title,
}


def _details(notification: Notification) -> Iterator[str]:
    venue, result, limits = notification.scope[0], notification.result, notification.thresholds
    mode = f" ({result.mode})" if result is not None else ""
    yield f"scope: {venue} {place(notification.scope)}{mode}"
    course = "" if notification.level == notification.previous else f" (was {notification.previous.name})"
    age = duration(notification.now_s - notification.opened_s)
    levels = " / ".join(percent(limit) for limit in (limits.warning, limits.critical, limits.liquidation))
    yield f"level: {notification.level.name}{course}, {notification.change.value}, open for {age}; levels {levels}"
    if result is not None:
        yield from _pool_details(notification, result)
    if notification.detail:
        yield f"why: {notification.detail}"
    if result is not None and result.remedy and notification.rule is Rule.UNRECONCILED and notification.change is not Change.RESOLVED:
        yield f"remedy: {result.remedy}"
    yield f"incident: {notification.key}"


def _pool_details(notification: Notification, result: PoolResult) -> Iterator[str]:
    crossing = notification.ratio_at_crossing
    at_crossing = "" if crossing is None else f", {percent(crossing)} at crossing"
    raw = "" if result.raw_ratio is None else f"; the venue's own ratio {result.raw_ratio:.4f}, limit {result.limit:g}"
    now = "last known" if notification.frozen else "now"
    yield f"ratio: {'unknown' if notification.ratio is None else percent(notification.ratio)} {now}{at_crossing}{raw}"
    if result.equity is not None and result.maintenance_margin is not None:
        # of coins, unlike of dollars, the hundredth of one is money
        digits = 2 if "USD" in result.asset else 6
        excess = "" if result.excess is None else f", excess {result.excess:,.{digits}f}"
        yield f"money: equity {result.equity:,.{digits}f}, maintenance {result.maintenance_margin:,.{digits}f}{excess} {result.asset}"
    yield f"next: {NEXT_STEP[result.kind].format(limit=result.limit)}"
    action = _action(notification, result)
    if action and notification.change is not Change.RESOLVED:
        yield f"safety: {action} (each alone)"
    if notification.frozen:
        yield f"data: unusable, {data_problem(result) or 'no result'}; alerts of this pool are frozen, not resolved"
    elif result.data_age_s is not None:
        apart = ", figures unreconciled with the venue's" if result.reconciled is False else ""
        yield f"data: {duration(result.data_age_s)} old{apart}"
