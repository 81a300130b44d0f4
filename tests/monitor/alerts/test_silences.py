from __future__ import annotations

import random

import pytest

from monitor.alerts.incident import Change
from monitor.alerts.silences import LONGEST_MS, MOST, Silence, SilenceError, Silences
from monitor.margin.result import Level
from tests.monitor.alerts.dispatch_doubles import alert, end

NOW = 1_700_000_000_000
HOUR = 3_600_000


@pytest.fixture
def silences() -> Silences:
    return Silences(random.Random(1).random)


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("hyperliquid/hl-main/USDC/margin_level", True),
        ("hyperliquid/hl-main/*", True),
        ("*/margin_level", True),
        ("*", True),
        ("hyperliquid/hl-main", False),
        ("Hyperliquid/*", False),
        ("*/data", False),
    ],
)
def test_a_pattern_is_of_the_key(silences: Silences, pattern: str, matches: bool) -> None:
    silences.add(pattern, NOW + HOUR, "moving margin", NOW)
    assert (silences.match(alert(), NOW) is not None) is matches


def test_a_key_with_brackets_matches_itself() -> None:
    told = alert("BTC [isolated]")
    assert Silence("x", told.key, NOW + HOUR, "known", NOW).matches(told, NOW)


def test_what_is_higher_breaks_through(silences: Silences) -> None:
    silences.add("*", NOW + HOUR, "known", NOW)
    assert silences.match(alert(level=Level.CRITICAL), NOW)
    assert not silences.match(alert(level=Level.LIQUIDATION), NOW)
    assert not silences.match(alert("a", 2, Change.DEESCALATED, Level.WARNING, previous=Level.LIQUIDATION), NOW)
    silences.add("*", NOW + HOUR, "known", NOW, Level.LIQUIDATION)
    assert silences.match(alert(level=Level.LIQUIDATION), NOW)


def test_it_ends_by_itself_or_by_hand(silences: Silences) -> None:
    late = silences.add("*", NOW + 2 * HOUR, "known", NOW)
    soon = silences.add("*", NOW + HOUR, "known", NOW)
    assert silences.active(NOW) == [soon, late]
    assert silences.active(NOW + HOUR) == [late]
    ended = silences.end(late.id, NOW + HOUR)
    assert (ended.id, ended.until_ms) == (late.id, NOW + HOUR)
    assert silences.active(NOW + HOUR) == []
    assert silences.match(alert(), NOW + HOUR) is None
    for id in (late.id, soon.id, "nonsense"):
        with pytest.raises(SilenceError, match=f'no silence "{id}" is active'):
            silences.end(id, NOW + HOUR)


@pytest.mark.parametrize(
    ("pattern", "until_ms", "reason", "up_to", "says"),
    [
        (" ", NOW + HOUR, "known", Level.CRITICAL, "the pattern is empty"),
        ("x" * 201, NOW + HOUR, "known", Level.CRITICAL, "longer than 200 characters"),
        ("a\x1b[0m", NOW + HOUR, "known", Level.CRITICAL, "unprintable"),
        ("*", NOW + HOUR, " \n", Level.CRITICAL, "the reason is empty"),
        ("*", NOW + HOUR, "x" * 501, Level.CRITICAL, "the reason is longer"),
        ("*", NOW + HOUR, "known\x1b[2J", Level.CRITICAL, "the reason .* has unprintable ones"),
        ("*", NOW + HOUR, "known \u202e", Level.CRITICAL, "the reason .* has unprintable ones"),
        ("*", NOW, "known", Level.CRITICAL, "the end is in the past"),
        ("*", NOW + LONGEST_MS + 1, "known", Level.CRITICAL, "more than 30 days"),
        ("*", NOW + HOUR, "known", Level.OK, "it silences nothing"),
    ],
)
def test_what_cannot_be_says_why(silences: Silences, pattern: str, until_ms: int, reason: str, up_to: Level, says: str) -> None:
    with pytest.raises(SilenceError, match=says):
        silences.add(pattern, until_ms, reason, NOW, up_to)
    assert silences.active(NOW) == []


def test_what_matches_nothing_yet_and_the_longest_are_allowed(silences: Silences) -> None:
    added = silences.add(" deribit/new/* ", NOW + LONGEST_MS, " new\naccount ", NOW)
    assert (added.pattern, added.reason, added.created_ms, added.up_to) == ("deribit/new/*", "new account", NOW, Level.CRITICAL)


def test_ids_are_short_and_unlike_and_the_number_is_bounded() -> None:
    silences = Silences(lambda: 0.999999999)
    ids = {silences.add("*", NOW + HOUR, "known", NOW).id for _ in range(MOST)}
    assert len(ids) == MOST
    assert {len(id) for id in ids} == {6}
    with pytest.raises(SilenceError, match="500 silences already"):
        silences.add("*", NOW + HOUR, "known", NOW)
    silences.add("*", NOW + 2 * HOUR, "known", NOW + HOUR)


def test_reminders_are_of_what_still_fires_and_given_once(silences: Silences) -> None:
    silences.add("*", NOW + HOUR, "known", NOW)
    other = silences.add("*/b/*", NOW + 2 * HOUR, "known", NOW)
    for name in "abcd":
        silences.note(alert(name), is_silenced=True)
    silences.note(end("c"), is_silenced=True)
    silences.note(alert("d", level=Level.LIQUIDATION), is_silenced=False)
    assert silences.reminders(NOW) == []
    assert silences.reminders(NOW + HOUR) == [alert("a").key]
    assert silences.reminders(NOW + HOUR) == []
    silences.end(other.id, NOW + HOUR + 1)
    assert silences.reminders(NOW + HOUR + 1) == [alert("b").key]


def test_a_restart_knows_what_was_held_back() -> None:
    def made(pattern: str, until_ms: int) -> Silence:
        return Silence("s" + pattern[:1], pattern, until_ms, "known", NOW)

    held, told, before = alert("a", time_ms=NOW + 1), alert("b", time_ms=NOW + 1), alert("c", time_ms=NOW - 1)
    silences = Silences()
    silences.restore([made("hyperliquid/hl-main/[ac]/*", NOW + HOUR), made("x", NOW + 5)], [held, told, before], NOW + 10)
    assert [silence.id for silence in silences.active(NOW + 10)] == ["sh"]
    assert silences.reminders(NOW + HOUR) == [held.key]
