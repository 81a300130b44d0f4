"""What a venue says it did to an account: liquidation, backstop, auto-deleveraging; and its warning before."""

from __future__ import annotations

import re
from typing import NamedTuple

from config.errors import masked
from connectors.events import Fill, Liquidation, LiquidationKind, MarginCall
from monitor.alerts.incident import Occurrence
from monitor.alerts.rules import Rule
from monitor.alerts.scope import AlertScope
from monitor.margin.result import Level
from monitor.watch.words import plain, symbol

EPISODE_NS = 60_000_000_000
"""What the venue does to an account, each time within this time of the one before, is of one episode."""

WORDS = {
    LiquidationKind.LIQUIDATION: "liquidation",
    LiquidationKind.BACKSTOP: "backstop",
    LiquidationKind.ADL: "ADL",
}


MISSED_MS = 900_000
"""What happened so long before the start, while nobody watched, is still told."""

MISSED = "while the monitor was not running"
LATE = "before the account was read anew"

_NAMED = re.compile(r"[-+]?\d[\d.,]*(?:e[-+]?\d+)? ([\w@][\w:./-]*)")
"""What stands behind a quantity in a venue's notice: `-4 BTC`, `0.5 BTCUSDT`, `384,028.00 notional`."""

_NOTHING = "notional"


class _Part(NamedTuple):
    # name "": a notice that does not say of what; generic: one that may not say how
    kind: LiquidationKind
    name: str
    generic: bool = False


class SeenWatch:
    """Turns such events into occurrences; `started_ms` (Unix) is set once known: executions of long before are history.

    `told_until_ms`: by account, what an earlier process has told. A notice and the executions that it is about are one episode: in
    each instrument its first of each kind is told, the others are quiet.
    """

    def __init__(self) -> None:
        self.started_ms: int | None = None
        self._since_ms: dict[str, int] = {}
        self._latest_ms: dict[str, int] = {}
        self.told_until_ms: dict[str, int] = {}
        self._last_ns: dict[tuple[str, str], dict[_Part, int]] = {}

    def renew(self, venue: str, account: str, now_ms: int) -> None:
        """The account is read from now (Unix ms) on, or anew: its venue may tell again what it told before."""
        self._since_ms[account] = now_ms
        self.told_until_ms[account] = max(self.told_until_ms.get(account, 0), self._latest_ms.get(account, 0))

    def forget(self, venue: str, account: str) -> None:
        """The account is watched no more."""
        self._last_ns.pop((venue, account), None)
        for known in (self.told_until_ms, self._since_ms, self._latest_ms):
            known.pop(account, None)

    @staticmethod
    def kind_of(event: Fill) -> LiquidationKind | None:
        """How the venue made an execution; None for one of the account's own."""
        return event.liquidation_kind or (LiquidationKind.LIQUIDATION if event.liquidation else None)

    def liquidation(self, event: Liquidation) -> Occurrence | None:
        """The venue tells it itself; None for history."""
        if self._is_before(event) and self._is_history(event):
            return None
        self._note_time(event)
        names = [name for told in _NAMED.findall(event.detail) if (name := told.rstrip(".:,")) != _NOTHING]
        parts = [_Part(event.kind, name, event.kind is LiquidationKind.LIQUIDATION) for name in names or [""]]
        known = [self._is_known(event.venue, event.account, part, event.received_ns) for part in parts]
        return self._occurrence(event.venue, event.account, event.kind, event.detail + self._missed(event), quiet=all(known))

    def fill(self, event: Fill) -> Occurrence | None:
        """An execution that the venue made; None for one of the account's own and for history."""
        kind = self.kind_of(event)
        if kind is None or (event.snapshot and self._is_history(event)):
            return None
        self._note_time(event)
        name = plain(event.instrument) if event.instrument else f"{event.base}/{event.quote}"
        quiet = self._is_known(event.venue, event.account, _Part(kind, name), event.received_ns)
        did = "sold" if event.quantity < 0 else "bought"
        detail = f"{WORDS[kind]}: the venue {did} {abs(event.quantity):g} {symbol(name)} at {event.price:g} for the account"
        return self._occurrence(event.venue, event.account, kind, detail + self._missed(event), quiet=quiet)

    def margin_call(self, event: MarginCall) -> Occurrence:
        """The venue warns."""
        return Occurrence(AlertScope.of_account(event.venue, event.account), Rule.MARGIN_CALL, Level.WARNING, masked(event.detail))

    def _missed(self, event: Fill | Liquidation) -> str:
        if not self._is_before(event):
            return ""
        return f", {LATE if event.account in self._since_ms else MISSED}"

    def _note_time(self, event: Fill | Liquidation) -> None:
        self._latest_ms[event.account] = max(event.time_ms, self._latest_ms.get(event.account, 0))

    def _since(self, account: str) -> int | None:
        return None if self.started_ms is None else self._since_ms.get(account, self.started_ms)

    def _is_before(self, event: Fill | Liquidation) -> bool:
        # a venue that told no time told 0
        since_ms = self._since(event.account)
        return since_ms is not None and 0 < event.time_ms < since_ms

    def _is_history(self, event: Fill | Liquidation) -> bool:
        since_ms = self._since(event.account)
        if since_ms is None:
            return True
        return event.time_ms < since_ms - MISSED_MS or event.time_ms <= self.told_until_ms.get(event.account, 0)

    def _is_known(self, venue: str, account: str, part: _Part, now_ns: int) -> bool:
        told = self._last_ns.setdefault((venue, account), {})
        if told and now_ns - max(told.values()) > EPISODE_NS:
            told.clear()
        alike = [old for old in told if _is_one(old, part)]
        for old in alike:
            # a notice that named nothing stands for the first instrument that comes after it
            told[old if old.name or not part.name else old._replace(name=part.name)] = now_ns
            if part.name and not old.name:
                del told[old]
        told[part] = now_ns
        return bool(alike)

    def _occurrence(self, venue: str, account: str, kind: LiquidationKind, detail: str, *, quiet: bool) -> Occurrence:
        words = WORDS[kind]
        told = masked(detail) if words.lower() in detail.lower() else f"{words}: {masked(detail)}"
        return Occurrence(AlertScope.of_account(venue, account), Rule.LIQUIDATION_SEEN, Level.LIQUIDATION, told, quiet)


def _is_one(old: _Part, new: _Part) -> bool:
    # a backstop may be told as a liquidation, an ADL is not
    is_alike = old.kind is new.kind or ((old.generic or new.generic) and LiquidationKind.ADL not in (old.kind, new.kind))
    return is_alike and (old.name == new.name or not old.name or not new.name)
