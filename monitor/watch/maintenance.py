"""Which venues are in maintenance, and by whose word: the configuration's, or the venue's own."""

from __future__ import annotations

from collections.abc import Iterable

from config.alerts import MaintenanceWindow
from config.errors import masked
from connectors.events import VenueStatus
from connectors.model import InstrumentKind
from monitor.book import Book
from monitor.resolvers.feeds import halts, locked_indices

TOLD_NS = 300_000_000_000
"""A venue that says it is in maintenance is believed for five minutes: then its silence is an alert again."""

MOST_WORDS = 80


class MaintenanceWatch:
    """Since when each venue says it of itself."""

    def __init__(self, windows: Iterable[MaintenanceWindow], book: Book) -> None:
        self.windows = tuple(windows)
        self._book = book
        self._since_ns: dict[str, int] = {}

    def venues(self, now_ns: int, now_ms: int) -> dict[str, str]:
        """Venue to reason at monotonic `now_ns`, Unix `now_ms`; a configured window's own words stand before the venue's."""
        said = {venue: why for venue, status in self._book.venue_status.items() if (why := _said(status, self._book))}
        self._since_ns = {venue: self._since_ns.get(venue, self._book.venue_status[venue].received_ns) for venue in said}
        found = {venue: why for venue, why in said.items() if now_ns - self._since_ns[venue] <= TOLD_NS}
        found.update({window.venue: window.reason for window in self.windows if window.is_on(now_ms)})
        return found


def _said(status: VenueStatus, book: Book) -> str:
    words = halts(status)
    if words:
        return masked(f"the venue says: {', '.join(words)}")[:MOST_WORDS]
    locked = set(locked_indices(status))
    held = _held_indices(status.venue, book) if locked else set()
    # with one index locked the rest of the venue works, and what is silent there is no maintenance
    return "the venue has locked every market that is held" if held and held <= locked else ""


def _held_indices(venue: str, book: Book) -> set[str]:
    listed = (book.market.instruments.get(name) for name in book.held(venue))
    return {one.price_index for one in listed if one is not None and one.price_index and one.kind is not InstrumentKind.INDEX}
