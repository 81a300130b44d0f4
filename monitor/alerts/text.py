"""Every text of every alert, in one place: what a person reads at 3 am.

    render(notification)   one notification: its first line (at most 120 characters) and the details below it
    group(alerts)          a burst under one first line

Amounts carry three digits, rounded to the careful side: what is left down, what is needed up. "left" is the excess, "of" the
equity. Same input, same text; no address, process or host. The parts are in `text_*.py`, which nobody else imports.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from monitor.alerts.alert import Alert
from monitor.alerts.incident import Notification
from monitor.alerts.text_details import details
from monitor.alerts.text_figures import TITLE_LIMIT, amount, clean, duration, listed, move, percent, symbol
from monitor.alerts.text_stages import NEXT_STEP
from monitor.alerts.text_titles import title

__all__ = ["NEXT_STEP", "TITLE_LIMIT", "Text", "amount", "clean", "duration", "group", "move", "percent", "render", "symbol", "worst_first"]


@dataclass(frozen=True, slots=True)
class Text:
    """A rendered alert: `title` is the first line, `details` the lines below it."""

    title: str
    details: tuple[str, ...]

    @property
    def full(self) -> str:
        """Title and details as one text."""
        return "\n".join((self.title, *self.details))


def render(notification: Notification, link: str = "") -> Text:
    """The text of one notification; `link` leads to its place on the page, empty where there is none."""
    return Text(title(notification), tuple(details(notification, link)))


def group(alerts: Sequence[Alert]) -> Text:
    """The text of a burst (at least one): a single one as itself, several under a common first line, in the order of `worst_first`."""
    ordered = worst_first(alerts)
    if len(ordered) == 1:
        return Text(ordered[0].title, tuple(_below(ordered[0])))
    heads = [alert.title.split(": ", 1)[0] for alert in ordered]
    lines = [line for alert in ordered for line in ("", alert.title, *_below(alert))]
    over = _ended(alerts)
    firing = {alert.incident for alert in alerts} - over
    lead = f"{len(firing)} firing, {len(over)} resolved: " if firing and over else f"{len(ordered)} alerts: "
    return Text(listed(lead, heads), tuple(lines))


def worst_first(alerts: Sequence[Alert]) -> list[Alert]:
    """What fires before what is over, each with the worst first."""
    over = _ended(alerts)
    return sorted(alerts, key=lambda alert: (alert.incident in over, -alert.severity))


def _ended(alerts: Sequence[Alert]) -> set[str]:
    return {alert.incident for alert in alerts if alert.is_resolved}


def _below(alert: Alert) -> Iterator[str]:
    yield from alert.details
    if alert.escalated_from:
        yield clean(f"escalated: {alert.escalated_from} did not take it in time")
