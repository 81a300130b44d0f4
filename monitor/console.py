"""Where the commands print."""

from __future__ import annotations

from rich.console import Console


def console_of(width: int, *, highlight: bool = False) -> Console:
    """The terminal as it is, or lines of `width` columns where it is none; `highlight` colours numbers.

    What names and texts say is printed as it is: brackets and colons in them are no markup.
    """
    found = Console(highlight=highlight, markup=False, emoji=False)
    return found if found.is_terminal else Console(width=width, highlight=highlight, markup=False, emoji=False)
