"""Slack messages as Block Kit, within Slack's limits: 50 blocks, 3,000 characters a section; all texts together far below 40,000.

burst(message)   a webhook's message: the worst alerts in full, further ones by their title, the rest counted
single(alert)    a bot's message of one incident
reply(alert)     what it posts into the thread of that message
plain(content)   the same without blocks, should Slack refuse them
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from monitor.alerts.alert import Alert
from monitor.alerts.message import Message
from monitor.alerts.receivers.http import as_link
from monitor.alerts.text import worst_first
from monitor.margin.result import Level

MOST_BLOCKS = 50
LONGEST_SECTION = 3000
LONGEST_TEXT = 3000

_LONGEST_KEY = 400
_IN_FULL = 6
_LIST_SECTIONS = 6
_MARKS = {
    Level.OK: "\N{WHITE HEAVY CHECK MARK}",
    Level.WARNING: "\N{WARNING SIGN}",
    Level.CRITICAL: "\N{OCTAGONAL SIGN}",
    Level.LIQUIDATION: "\N{COLLISION SYMBOL}",
    Level.BREACH: "\N{COLLISION SYMBOL}",
}
"""Told apart by shape; the word stands beside it."""

Content = dict[str, Any]


def burst(message: Message) -> Content:
    """A message of all alerts, what fires first."""
    ordered = worst_first(message.alerts)
    blocks = [block for alert in ordered[:_IN_FULL] for block in _blocks(alert)]
    if len(ordered) > 1:
        blocks.insert(0, _section(f"*{escape(message.text.title)}*"))
    blocks += _listed(ordered[_IN_FULL:])
    return {"text": _cut(escape(message.text.title), LONGEST_TEXT), "blocks": blocks}


def single(alert: Alert) -> Content:
    """A message of one alert."""
    return {"text": _cut(escape(alert.title), LONGEST_TEXT), "blocks": list(_blocks(alert))}


def reply(alert: Alert) -> Content:
    """A line of text for the thread."""
    return {"text": _cut(f"{_MARKS[alert.level]} {escape(alert.title)}", LONGEST_TEXT)}


def plain(content: Content) -> Content:
    """Without blocks: the notification's text alone."""
    return {name: value for name, value in content.items() if name != "blocks"}


def escape(text: str) -> str:
    """Slack's control characters as entities, so that no text becomes a link, mention or markup of its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _blocks(alert: Alert) -> Iterator[Content]:
    yield _section("\n".join((f"*{escape(alert.title)}*", *map(escape, alert.details))))
    yield {"type": "context", "elements": [_markdown(" · ".join(_context(alert)))]}


def _context(alert: Alert) -> Iterator[str]:
    word = "RESOLVED" if alert.is_resolved else alert.level.name
    yield f"{_MARKS[alert.level]} *{word}*"
    yield escape(alert.incident[:_LONGEST_KEY])
    if alert.escalated_from:
        yield f"not taken by {escape(alert.escalated_from[:_LONGEST_KEY])}"
    if link := as_link(alert.link):
        yield f"<{escape(link)}|open the page>"


def _listed(alerts: Sequence[Alert]) -> Iterable[Content]:
    sections: list[str] = []
    for index, alert in enumerate(alerts):
        line = _cut(f"{_MARKS[alert.level]} {escape(alert.title)}", LONGEST_SECTION // 2)
        if sections and len(sections[-1]) + 1 + len(line) <= LONGEST_SECTION:
            sections[-1] += f"\n{line}"
        elif len(sections) < _LIST_SECTIONS:
            sections.append(line)
        else:
            return [*map(_section, sections), _section(f"and {len(alerts) - index} more; see the monitor's page")]
    return map(_section, sections)


def _section(markdown: str) -> Content:
    return {"type": "section", "text": _markdown(markdown)}


def _markdown(text: str) -> Content:
    return {"type": "mrkdwn", "text": _cut(text, LONGEST_SECTION) or " ", "verbatim": True}


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    cut = text[: longest - 1]
    # Not within an entity: half of one would be a bare "&".
    entity = cut.rfind("&", -6)
    return (cut if entity < 0 or ";" in cut[entity:] else cut[:entity]) + "…"
