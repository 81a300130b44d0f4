"""Rules of an account as a whole: its place in the deleveraging queue, its mode, its key, what it holds that trades no more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from config.errors import masked
from connectors.events import AdlQuantiles, KeyState
from connectors.model import InstrumentKind, PositionSide
from monitor.alerts.incident import Condition, Occurrence
from monitor.alerts.rules import Rule
from monitor.book import Book
from monitor.margin.result import Level
from monitor.resolvers.feeds import locked_indices
from monitor.watch.limits import WatchLimits
from monitor.watch.views import AccountView
from monitor.watch.words import some, symbol

Leg = tuple[str, PositionSide]
"""(instrument, side)."""

DAY_MS = 86_400_000

KEYED_VENUES = frozenset({"aster", "deribit"})
"""Venues whose accounts are read with a key, of which they say something."""

_QUEUE = {0: "last", 1: "back", 2: "middle", 3: "front", 4: "next"}


class AdlMemory:
    """What stood in front of each account's queue since the alert of it began.

    Places change with every reading: one that leaves and comes back is no news, so a list of them only grows until it is empty.
    """

    def __init__(self) -> None:
        self._legs: dict[tuple[str, str], dict[Leg, None]] = {}

    def since(self, account: tuple[str, str], near: Iterable[Leg]) -> list[Leg]:
        """All that were near since none was, in the order in which they came; `near` are those of now."""
        now = dict.fromkeys(near)
        if now:
            self._legs[account] = {**self._legs.get(account, {}), **now}
            return list(self._legs[account])
        self.forget(account)
        return []

    def forget(self, account: tuple[str, str]) -> None:
        """The account is watched no more, or anew."""
        self._legs.pop(account, None)


def account_conditions(
    views: Sequence[AccountView], book: Book, limits: WatchLimits, now_ms: int, queues: AdlMemory
) -> Iterator[Condition]:
    """What is so of the accounts now (Unix ms)."""
    for view in views:
        found = (
            _failed(view),
            _adl_queue(view, book.adl.get(view.key), limits.adl_quantile, queues),
            _mode(view, limits.modes.get(view.key)),
            _key(view, book.keys.get(view.key), limits, now_ms),
            _delisted(view, book),
        )
        yield from (condition for condition in found if condition is not None)


def _failed(view: AccountView) -> Condition | None:
    failure = view.entry.method.failure
    if failure is not None:
        detail = f"{failure.reason.value}: {masked(failure.detail)}"
        return Condition(view.scope, Rule.ACCOUNT_FAILURE, Level.CRITICAL, detail, detail)
    # nothing heard yet is no sign that an earlier failure is over
    return None if view.is_known else Condition(view.scope, Rule.ACCOUNT_FAILURE, Level.CRITICAL, frozen=True)


def _adl_queue(view: AccountView, told: AdlQuantiles | None, limit: int, queues: AdlMemory) -> Condition | None:
    if limit <= 0:
        return None
    if not view.is_known or (told is None and view.entry.venue == "aster"):
        return Condition(view.scope, Rule.ADL_QUEUE, frozen=True)
    quantiles = {} if told is None else told.quantiles
    near = {leg: quantile for leg in sorted(set(view.legs)) if (quantile := quantiles.get(leg, -1)) >= limit}
    since = queues.since(view.key, near)
    if not near:
        return None
    subject = ", ".join(_leg(*leg) for leg in since)
    detail = some([f"{_leg(*leg)} at {quantile} of 4 ({_QUEUE.get(quantile, '?')})" for leg, quantile in near.items()])
    return Condition(view.scope, Rule.ADL_QUEUE, subject=subject, detail=f"in the venue's auto-deleveraging queue: {detail}")


def _leg(instrument: str, side: PositionSide) -> str:
    return symbol(instrument) if side is PositionSide.BOTH else f"{symbol(instrument)} {side.value}"


def _mode(view: AccountView, expected: str | None) -> Condition | None:
    if expected is None:
        return None
    if not view.is_known or not view.modes:
        return Condition(view.scope, Rule.MODE, frozen=True)
    others = " and ".join(sorted(view.modes - {expected}))
    if not others:
        return None
    detail = f"the venue margins the account in mode {others}, the configuration expects {expected}: change one of them"
    return Condition(view.scope, Rule.MODE, subject=others, detail=detail)


def _key(view: AccountView, told: KeyState | None, limits: WatchLimits, now_ms: int) -> Condition | None:
    if told is None:
        return Condition(view.scope, Rule.KEY, frozen=True) if view.entry.venue in KEYED_VENUES else None
    warning = masked(told.warning)
    days = None if told.expires_ms is None else (told.expires_ms - now_ms) / DAY_MS
    if days is None or days > limits.key_warning_days:
        return Condition(view.scope, Rule.KEY, Level.WARNING, "doubt", warning) if warning else None
    level = Level.CRITICAL if days <= limits.key_critical_days else Level.WARNING
    when = f"expires in {days:.1f} days" if days > 0 else "has expired"
    detail = f"the key that the account is read with {when}: make a new one and configure it"
    return Condition(view.scope, Rule.KEY, level, "expiry", f"{detail}; {warning}" if warning else detail)


def _delisted(view: AccountView, book: Book) -> Condition | None:
    instruments = book.market.instruments
    status = book.venue_status.get(view.entry.venue)
    locked = () if status is None else locked_indices(status)
    held = sorted(view.entry.method.instruments())
    found: dict[str, str] = {}
    for name in held:
        listed = instruments.get(name)
        if listed is None or listed.kind is InstrumentKind.INDEX:
            continue
        if listed.delisted:
            found[symbol(name)] = "is delisted or does not trade"
        elif listed.price_index in locked:
            found[symbol(name)] = f"cannot be traded: the venue has locked {symbol(listed.price_index)}"
    if found:
        return Condition(view.scope, Rule.DELISTED, subject=", ".join(found), detail=some([f"{name} {why}" for name, why in found.items()]))
    if not view.is_known or any(name not in instruments for name in held):
        return Condition(view.scope, Rule.DELISTED, frozen=True)
    return None


class ModeChanges:
    """Modes of every account as last seen: what is new among them was changed while we watched."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], frozenset[str]] = {}

    def forget(self, account: tuple[str, str]) -> None:
        """The account is watched no more, or anew."""
        self._last.pop(account, None)

    def occurrences(self, views: Sequence[AccountView]) -> list[Occurrence]:
        """Accounts whose venue margins them in another mode than before; the first time says nothing."""
        found = []
        for view in views:
            if not view.modes:
                continue
            before, self._last[view.key] = self._last.get(view.key), view.modes
            if before is not None and view.modes - before:
                detail = f"the account's mode was changed: {_joined(before)} -> {_joined(view.modes)}"
                found.append(Occurrence(view.scope, Rule.MODE_CHANGED, Level.WARNING, detail))
        return found


def _joined(modes: frozenset[str]) -> str:
    return "+".join(sorted(modes))
