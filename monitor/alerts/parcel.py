"""An alert on its way: what is known of it besides its text, and the order it keeps."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field

from monitor.alerts.alert import Alert
from monitor.margin.result import Level


@dataclass(frozen=True, slots=True)
class Shares:
    """How long an alert took from `submit` to the receiver's `send`, in seconds.

    `waiting` for the dispatcher's task, `write` until it was durable (or given up), `held` while its receiver was busy, paused between
    two messages or failing, `handing` the rest. `own_s` is what the program itself cost.
    """

    waiting_s: float = 0.0
    write_s: float = 0.0
    held_s: float = 0.0
    handing_s: float = 0.0

    @property
    def own_s(self) -> float:
        """All but `held_s`."""
        return self.waiting_s + self.write_s + self.handing_s


@dataclass(frozen=True, slots=True)
class Timing:
    """The shares of the last message that was tried for the first time, and of the one with the highest `own_s` since the start.

    `from_memory` counts decisions that went out without being durable.
    """

    messages: int
    last: Shares
    peak: Shares
    from_memory: int


@dataclass(frozen=True, slots=True)
class Stamp:
    """When an alert was submitted, taken up and queued for its receiver (monotonic s)."""

    submitted_s: float
    taken_s: float
    queued_s: float

    def shares(self, free_s: float, sent_s: float) -> Shares:
        """Where the time went until `sent_s`, for a receiver that was free from `free_s` on."""
        ready_s = min(max(self.queued_s, free_s), sent_s)
        return Shares(self.taken_s - self.submitted_s, self.queued_s - self.taken_s, ready_s - self.queued_s, sent_s - ready_s)


@dataclass(slots=True, eq=False)
class Incident:
    """Who hears of an incident: `told` are the receivers that were, `heirs` who gets what a receiver did not take (receiver -> heir).

    `is_known`: `told` is complete; it is not for an incident whose beginning was never seen.
    """

    number: int
    told: set[str] = field(default_factory=set)
    heirs: dict[str, str] = field(default_factory=dict)
    is_known: bool = True

    def with_heirs(self, receivers: Sequence[str]) -> list[str]:
        """These, and who gets what they did not take before."""
        found = dict.fromkeys(receivers)
        heirs = [name for name in receivers if name in self.heirs]
        while heirs:
            heir = self.heirs[heirs.pop()]
            if heir not in found:
                found[heir] = None
                heirs += [heir] if heir in self.heirs else []
        return list(found)

    def keep(self, receivers: Container[str]) -> None:
        """Only these are left: where none of them was told, whoever is there now hears of the end."""
        here = {name for name in self.told if name in receivers}
        self.is_known = self.is_known and (bool(here) or not self.told)
        self.told.intersection_update(here)
        self.heirs = {of: heir for of, heir in self.heirs.items() if of in receivers and heir in receivers}


@dataclass(slots=True, eq=False)
class Item:
    """An alert in the queue of one receiver. `had` (all receivers that got it, or are not to) is shared by its items.

    `deadline_s`: monotonic. `was_offered`: the next receiver was asked for before the deadline; `is_passed_on`: it has it, and the alert
    is tried here as well.
    """

    alert: Alert
    incident: Incident
    had: set[str]
    deadline_s: float
    stamp: Stamp | None = None
    attempts: int = 0
    was_offered: bool = False
    is_passed_on: bool = False


def order_of(alert: Alert) -> tuple[int, int]:
    """The place of an alert among all of its key, over its incidents."""
    return alert.number, alert.sequence


def in_order(items: Sequence[Item]) -> list[Item]:
    """The items with those of each key in order of their incident and sequence, in the places that the key has."""
    by_key: dict[str, list[Item]] = {}
    for item in items:
        by_key.setdefault(item.alert.key, []).append(item)
    ordered = {key: iter(sorted(of_key, key=lambda item: order_of(item.alert))) for key, of_key in by_key.items()}
    return [next(ordered[item.alert.key]) for item in items]


def to_drop(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` items, those missed least: states that a later one of their incident follows, then those below CRITICAL.

    Of each the oldest first. The last state of an incident never goes for the sake of an older one, and from CRITICAL on it never goes,
    nor does an end: they are one an incident, and nobody would tell them again. So there may be fewer than `count`.
    """
    if count <= 0:
        return []
    last = {item.alert.incident: item.alert.sequence for item in sorted(items, key=lambda item: item.alert.sequence)}

    def worth(item: Item) -> tuple[bool, bool]:
        alert = item.alert
        return last[alert.incident] == alert.sequence, alert.severity >= Level.CRITICAL or alert.is_resolved

    ranked = [(worth(item), place) for place, item in enumerate(items)]
    return [items[place] for rank, place in sorted(ranked)[:count] if rank != (True, True)]
