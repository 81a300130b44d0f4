"""What a venue says it did to an account: liquidation, backstop, auto-deleveraging; and its warning before."""

from __future__ import annotations

from config.errors import masked
from connectors.events import Fill, Liquidation, LiquidationKind, MarginCall
from monitor.alerts.incident import Occurrence
from monitor.alerts.rules import Rule
from monitor.alerts.scope import AlertScope
from monitor.margin.result import Level
from monitor.watch.words import plain

EPISODE_NS = 60_000_000_000
"""Executions of one kind within this time are of one liquidation."""

WORDS = {
    LiquidationKind.LIQUIDATION: "liquidation",
    LiquidationKind.BACKSTOP: "backstop",
    LiquidationKind.ADL: "ADL",
}


class SeenWatch:
    """Turns such events into occurrences; `started_ms` (Unix) is set once known: executions of before are history."""

    def __init__(self) -> None:
        self.started_ms: int | None = None
        self._told_ns: dict[tuple[str, str, LiquidationKind], int] = {}

    def liquidation(self, event: Liquidation) -> Occurrence:
        """The venue tells it itself."""
        self._told_ns[event.venue, event.account, event.kind] = event.received_ns
        return self._occurrence(event.venue, event.account, event.kind, event.detail)

    def fill(self, event: Fill) -> Occurrence | None:
        """An execution that the venue made; None for one of the account's own, and for one that belongs to what was told already."""
        kind = event.liquidation_kind or (LiquidationKind.LIQUIDATION if event.liquidation else None)
        if kind is None or (event.snapshot and (self.started_ms is None or event.time_ms < self.started_ms)):
            return None
        key = event.venue, event.account, kind
        before, self._told_ns[key] = self._told_ns.get(key), event.received_ns
        if before is not None and event.received_ns - before <= EPISODE_NS:
            return None
        name = plain(event.instrument) if event.instrument else f"{event.base}/{event.quote}"
        did = "sold" if event.quantity < 0 else "bought"
        return self._occurrence(*key, f"{WORDS[kind]}: the venue {did} {abs(event.quantity):g} {name} at {event.price:g} for the account")

    def margin_call(self, event: MarginCall) -> Occurrence:
        """The venue warns."""
        return Occurrence(AlertScope.of_account(event.venue, event.account), Rule.MARGIN_CALL, Level.WARNING, masked(event.detail))

    def _occurrence(self, venue: str, account: str, kind: LiquidationKind, detail: str) -> Occurrence:
        words = WORDS[kind]
        told = masked(detail) if words.lower() in detail.lower() else f"{words}: {masked(detail)}"
        return Occurrence(AlertScope.of_account(venue, account), Rule.LIQUIDATION_SEEN, Level.LIQUIDATION, told)
