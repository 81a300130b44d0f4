"""Which receiver gets which alert."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence, Set
from dataclasses import dataclass

from monitor.alerts.alert import Alert
from monitor.alerts.scope import ScopeKind
from monitor.margin.result import Level


@dataclass(frozen=True, slots=True)
class Route:
    """What a receiver is for. Empty `scopes` and `tags`: all. An alert has the tags of its account or its portfolio's accounts."""

    min_level: Level = Level.WARNING
    scopes: frozenset[ScopeKind] = frozenset()
    tags: frozenset[str] = frozenset()

    def takes(self, alert: Alert) -> bool:
        """Whether the alert goes there. What has no tags (a venue, the monitor itself) concerns everybody."""
        return alert.severity >= self.min_level and self.concerns(alert)

    def concerns(self, alert: Alert) -> bool:
        """Whether it would go there at a higher level: the end of an incident goes to whoever may have been told of it."""
        fits_scope = not self.scopes or alert.scope.kind in self.scopes
        fits_tags = not self.tags or not alert.tags or not self.tags.isdisjoint(alert.tags)
        return fits_scope and fits_tags


def not_for(alert: Alert) -> str:
    """The receiver that the alert is about, which is not to get it; empty: none."""
    return alert.scope.name if alert.scope.kind is ScopeKind.RECEIVER else ""


def next_receiver(of: str, wish: str | None, order: Sequence[str], had: Container[str]) -> str | None:
    """Who gets what `of` did not take: `wish`, else the next in `order`, after the last the first again; never one that `had` it.

    `order` are the receivers that count (the log does not). None: nobody is left.
    """
    begin = order.index(of) + 1 if of in order else 0
    candidates = [wish] if wish is not None and wish in order else []
    candidates += [*order[begin:], *order[:begin]]
    return next((name for name in candidates if name != of and name not in had), None)


def inheritor(former: str, had: Set[str], order: Sequence[str], receivers: Iterable[str]) -> str | None:
    """Who gets what a receiver that is configured no more did not take: the next in `order`; where nobody of it `had` it, anybody."""
    heir = next_receiver(former, None, order, had)
    if heir is None and had.isdisjoint(order):
        return next((name for name in receivers if name not in had), None)
    return heir
