"""The accounts that a connector watches: they come and go while it runs, and those that stay notice nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from connectors.events import Event, FeedDropped, FeedState
from connectors.tasks import Tasks

Tell = Callable[[list[Event]], None]


class Named(Protocol):
    """A configured account. Two that are equal are the same account, read with the same key in the same way."""

    @property
    def alias(self) -> str:
        """Its name."""
        ...


class Tended(Protocol):
    """What tends one account."""

    async def run(self) -> None:
        """Tend it, for ever."""
        ...


R = TypeVar("R", bound=Named)
M = TypeVar("M", bound=Tended)


class Voice:
    """Takes what is told of one account, until it is silenced: what was on its way then is told to nobody."""

    __slots__ = ("_tell",)

    def __init__(self, tell: Tell) -> None:
        self._tell: Tell | None = tell

    def __call__(self, events: list[Event]) -> None:
        """Tell the events."""
        if self._tell is not None:
            self._tell(events)

    def silence(self) -> None:
        """Take nothing more."""
        self._tell = None


@dataclass(slots=True)
class _Seat(Generic[R, M]):
    ref: R
    member: M
    voice: Voice
    told: dict[str, None] = field(default_factory=dict)


class Roster(Generic[R, M]):
    """Who is watched, in the order given. `join(ref, tell)` makes what tends an account, which tells its events by `tell` alone; `leave`
    is called with it once it is watched no longer.
    """

    def __init__(self, venue: str, tasks: Tasks, tell: Tell, *, join: Callable[[R, Tell], M], leave: Callable[[M], None]) -> None:
        self.members: dict[str, M] = {}
        """What tends each account, by alias."""
        self.begun = False
        """Whether the accounts are tended, or only to be."""
        self._venue = venue
        self._tasks = tasks
        self._tell = tell
        self._join = join
        self._leave = leave
        self._seats: dict[str, _Seat[R, M]] = {}

    def begin(self) -> None:
        """Tend the accounts from now on, and those that come later from when they come."""
        self.begun = True
        for alias in self._seats:
            self._start(alias)

    def set(self, refs: Sequence[R]) -> list[FeedDropped]:
        """Watch exactly these accounts, each of another alias: the feeds of those that are gone, as far as they were `note`d.

        One whose content differs is gone and comes anew. Whatever `join` raises leaves all as it was.
        """
        seats = {ref.alias: self._kept(ref) or self._seat(ref) for ref in refs}
        gone = [seat for alias, seat in self._seats.items() if seats.get(alias) is not seat]
        come = [alias for alias, seat in seats.items() if self._seats.get(alias) is not seat]
        for seat in gone:
            seat.voice.silence()
            self._tasks.end(_task_name(seat.ref.alias))
        self._seats, self.members = seats, {alias: seat.member for alias, seat in seats.items()}
        for seat in gone:
            self._leave(seat.member)
        for alias in come if self.begun else ():
            self._start(alias)
        return [FeedDropped(self._venue, feed, seat.ref.alias) for seat in gone for feed in seat.told]

    def note(self, events: Iterable[Event]) -> None:
        """Remember which feeds of the accounts are told of."""
        for event in events:
            if event.__class__ is FeedState and event.account is not None and event.account in self._seats:
                self._seats[event.account].told[event.feed] = None

    def _kept(self, ref: R) -> _Seat[R, M] | None:
        seat = self._seats.get(ref.alias)
        return seat if seat is not None and seat.ref == ref else None

    def _seat(self, ref: R) -> _Seat[R, M]:
        voice = Voice(self._tell)
        return _Seat(ref, self._join(ref, voice), voice)

    def _start(self, alias: str) -> None:
        self._tasks.add(_task_name(alias), self.members[alias].run)


def _task_name(alias: str) -> str:
    return f"account {alias}"
