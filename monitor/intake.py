"""Where connectors put their events, until another connector of their venue takes over."""

from __future__ import annotations

from collections.abc import Callable

from connectors.events import Event


class Intake:
    """The way into an application for the connectors that were built together."""

    def __init__(self, receive: Callable[[list[Event]], None]) -> None:
        self._receive = receive
        self._ended: set[str] = set()

    def end(self, venue: str) -> None:
        """Take nothing of this venue any more."""
        self._ended.add(venue)

    def __call__(self, events: list[Event]) -> None:
        """Take events of one connector."""
        if not self._ended or not events or events[0].venue not in self._ended:
            self._receive(events)
