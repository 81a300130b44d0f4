from __future__ import annotations

from typing import Any

from monitor.replay.assembly import Told
from monitor.replay.command import comparable, without_lone_reminders


def told(ns: int, change: str, rule: str = "margin_level") -> Told:
    what: list[Any] = [rule, change, 2, "key", "title"]
    return ns, ns, what


def test_only_reminders_that_one_side_has_are_left_out() -> None:
    fired, both, lone, ended = told(1, "fired"), told(2, "repeated"), told(3, "repeated"), told(4, "resolved")
    ours, theirs, count = without_lone_reminders([fired, both, ended], [fired, both, lone, ended])
    assert ours == theirs == [fired, both, ended]
    assert count == 1


def test_anything_else_that_one_side_has_stays() -> None:
    ours, theirs, count = without_lone_reminders([told(1, "fired")], [told(1, "fired"), told(2, "worsened")])
    assert len(theirs) - len(ours) == 1
    assert count == 0


def test_alerts_about_sending_are_neither_compared_nor_shown() -> None:
    assert comparable([told(1, "resolved", "receiver"), told(1, "fired", "outbox"), told(2, "fired")]) == [told(2, "fired")]
