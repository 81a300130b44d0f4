"""The figures of the page beside the documents of the API.

A figure names the section, row and path of its value (`data-key`). Figures move many times a second, so both sides are sampled for a
while: what a panel shows of a row at once has to be what one document said of that row at once.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.e2e.browser import Tab

STATUS_S, DOCUMENTS_S = 0.03, 0.3
"""Between two samples; an address may ask 50 times a second."""

DUMP = """() => [...document.querySelectorAll("section.panel")].map((panel) => ({ panel: panel.id, asOf: panel.dataset.asOf,
  figures: [...panel.querySelectorAll("[data-key]")].map((one) => [one.dataset.key, one.value, one.firstChild?.textContent ?? ""]) }))"""

Key = tuple[str, str]
"""(section, row)."""

MINUS = "\u2212"
"""What the page writes instead of a hyphen."""

ROUGH = {"clock_offset_s": 0.003}
"""Values that differ by so much between two askings, since a clock in whole milliseconds is read for them."""

STREAM_ONLY = {("pools", "next"), ("statistics", "pages"), ("statistics", "evaluations")}
"""(section, path) of what no document tells, or what no two askings get alike: compared with the stream."""

LIVE = ("pools", "portfolios")
REPORTED = ("panel-contribution", "panel-scenarios", "panel-modes", "panel-venues")
"""Panels of the report as of the time that they name."""

_SHOWN = re.compile(r"^([+\u2212]?)([\d,]+(?:\.\d+)?)(k|M|B|%)?(?: [A-Z]\w*)?$")
_UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "B": 1e9, "%": 0.01}


class NoSuchValue(LookupError):
    """The documents have nothing there."""


def resolve(document: Any, path: str) -> Any:
    """The value at a dotted path; keys may have dots themselves. NoSuchValue where there is none."""
    if not path:
        return document
    words = path.split(".")
    if isinstance(document, list) and words[0].isdecimal() and int(words[0]) < len(document):
        return resolve(document[int(words[0])], ".".join(words[1:]))
    if isinstance(document, dict):
        for count in range(len(words), 0, -1):
            if (key := ".".join(words[:count])) in document:
                return resolve(document[key], ".".join(words[count:]))
    raise NoSuchValue(path)


def same(shown: str, value: Any, tolerance: float = 0.0) -> bool:
    """Whether a figure's full value is the API's, to the last digit unless there is a tolerance."""
    if value is None:
        return shown == ""
    if isinstance(value, bool):
        return shown == str(value).lower()
    if isinstance(value, int | float):
        try:
            return abs(float(shown) - float(value)) <= tolerance
        except ValueError:
            return False
    return shown == str(value)


def agrees(text: str, shown: str) -> bool:
    """Whether what people read is the full value, to the digits it has; True for words, which say no number."""
    found = _SHOWN.match(text.strip())
    if not found or not shown or not math.isfinite(number := float(shown)):
        return True
    sign, digits, unit = found.groups()
    size = _UNITS[unit or ""]
    value = float(digits.replace(",", "")) * (-1 if sign == MINUS else 1) * size
    places = len(digits.partition(".")[2])
    return abs(value - number) <= size * 10.0**-places * (1 + 1e-9)


@dataclass
class Samples:
    """What was seen meanwhile: rows of documents, and what panels showed of each row at once."""

    rows: dict[Key, list[Any]] = field(default_factory=lambda: defaultdict(list))
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    shown: dict[tuple[str, Key], list[tuple[str, dict[str, str]]]] = field(default_factory=lambda: defaultdict(list))
    texts: dict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))

    def status(self, document: Mapping[str, Any]) -> None:
        """Take in GET /api/v1/status."""
        for row in document["pools"]:
            self._add("pools", f"{row['venue']}/{row['account']}/{row['pool']}", row)
        for row in document["portfolios"]:
            self._add("portfolios", row["id"], row)
        for row in document["alerts"]:
            self._add("alerts", row["key"], row)
        for row in document["feeds"]:
            self._add("feeds", f"{row['venue']}|{row['feed']}|{row['account'] or ''}", row)
        for row in document["connectors"]:
            for name, told in row["connections"].items():
                self._add("connections", f"{row['venue']}|{name}", told)
            self._add("venues", row["venue"], row | document["venues"].get(row["venue"], {}))
        self._add("statistics", "monitor", document)

    def report(self, document: Mapping[str, Any]) -> None:
        """Take in GET /api/v1/portfolios."""
        for row in document["portfolios"]:
            self._add("reports", row["id"], row)
            self.reports.setdefault(document["as_of"], {})[row["id"]] = row
        for row in document["accounts"]:
            self._add("rules", f"{row['venue']}/{row['id']}/{row['pool']}", row)
        for account, row in document["modes"].items():
            self._add("modes", account, row)

    def calendar(self, document: Any) -> None:
        """Take in GET /api/v1/calendar."""
        self._add("calendar", "calendar", document)

    def alerts(self, document: Mapping[str, Any]) -> None:
        """Take in GET /api/v1/alerts."""
        for row in document["history"]:
            self._add("recent", row["id"], row)
        for row in document["silences"]:
            self._add("silences", row["id"], row)

    def frame(self, document: Mapping[str, Any]) -> None:
        """Take in what the stream alone tells: what a pool's venue does next, how many pages there are."""
        for section in {section for section, _ in STREAM_ONLY}:
            for name, row in document["rows"].get(section, {}).items():
                self._add(f"{section} told", name, row)

    def dump(self, panels: list[dict[str, Any]]) -> None:
        """Take in what the page shows."""
        for panel in panels:
            found: dict[Key, dict[str, str]] = defaultdict(dict)
            for key, value, text in panel["figures"]:
                section, _, rest = key.partition("|")
                name, _, path = rest.rpartition("|")
                found[section, name][path] = value
                self.texts[key].add((text, value))
            for where, figures in found.items():
                self.shown[panel["panel"], where].append((panel["asOf"], figures))

    def wrong(self) -> dict[str, str]:
        """What panels showed of rows and no document ever said at once: an example of each panel."""
        return {
            panel: f"{where}: {self.closest(where, told[-1][1])}"
            for (panel, where), told in self.shown.items()
            if not any(self.matches(where, figures) for _, figures in told)
        }

    def share(self) -> float:
        """Of what was shown of rows that change with every tick, which share a document said: some came and went between two samples."""
        good = [self.matches(where, figures) for (_, where), told in self.shown.items() if where[0] in LIVE for _, figures in told]
        return sum(good) / len(good)

    def _add(self, section: str, name: str, row: Any) -> None:
        known = self.rows[section, name]
        if not known or known[-1] != row:
            known.append(row)

    def matches(self, where: Key, figures: Mapping[str, str]) -> bool:
        """Whether one document said all of this at once."""
        section, name = where
        ahead = {path: value for path, value in figures.items() if (section, path) not in STREAM_ONLY}
        beside = {path: value for path, value in figures.items() if path not in ahead}
        return self._one(where, ahead) and (not beside or self._one((f"{section} told", name), beside))

    def _one(self, where: Key, figures: Mapping[str, str]) -> bool:
        return any(_says(row, figures) for row in self.rows[where])

    def closest(self, where: Key, figures: Mapping[str, str]) -> str:
        """What differs from the document that differs least."""
        unlike = []
        for row in self.rows[where]:
            unlike.append({path: (value, value_at(row, path)) for path, value in figures.items() if not _says(row, {path: value})})
        return str(min(unlike, key=len, default="no document has this row"))

    def as_told(self, where: Key, as_of: str, figures: Mapping[str, str]) -> bool | None:
        """Whether the report of that moment says the same; None where it was not seen."""
        row = self.reports.get(as_of, {}).get(where[1])
        return None if row is None else _says(row, figures)


def _says(row: Any, figures: Mapping[str, str]) -> bool:
    return all(same(value, value_at(row, path), ROUGH.get(path, 0.0)) for path, value in figures.items())


def value_at(row: Any, path: str) -> Any:
    """The value at a dotted path, None where there is none."""
    try:
        return resolve(row, path)
    except NoSuchValue:
        return None


async def sample(tab: Tab, base: str, least_s: float, most_s: float) -> Samples:
    """Both sides, for so long at least, and until every panel has shown what the API said: reports come every few seconds only."""
    samples = Samples()
    async with aiohttp.ClientSession(base) as session:
        works = (_ask_status(session, samples), _ask_documents(session, samples), _follow(session, samples))
        asking = [asyncio.create_task(work) for work in works]
        await asyncio.sleep(1.0)
        end = time.monotonic() + most_s
        part_s = least_s
        while time.monotonic() < end and (part_s == least_s or samples.wrong()):
            await _look(tab, samples, part_s)
            part_s = 1.0
        await asyncio.sleep(0.5)
        for task in asking:
            task.cancel()
        for ended in await asyncio.gather(*asking, return_exceptions=True):
            assert isinstance(ended, asyncio.CancelledError), ended
    return samples


async def _look(tab: Tab, samples: Samples, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        samples.dump(await tab.ask(DUMP))
        await asyncio.sleep(0.05)


async def _get(session: aiohttp.ClientSession, path: str) -> Any:
    async with session.get(path) as answer:
        assert answer.status == 200, f"{path}: {answer.status}"
        return await answer.json()


async def _ask_status(session: aiohttp.ClientSession, samples: Samples) -> None:
    while True:
        samples.status(await _get(session, "/api/v1/status"))
        await asyncio.sleep(STATUS_S)


async def _ask_documents(session: aiohttp.ClientSession, samples: Samples) -> None:
    while True:
        samples.report(await _get(session, "/api/v1/portfolios"))
        samples.calendar(await _get(session, "/api/v1/calendar"))
        samples.alerts(await _get(session, "/api/v1/alerts?limit=200"))
        await asyncio.sleep(DOCUMENTS_S)


async def _follow(session: aiohttp.ClientSession, samples: Samples) -> None:
    async with session.ws_connect("/api/v1/stream") as socket:
        async for message in socket:
            samples.frame(message.json())
