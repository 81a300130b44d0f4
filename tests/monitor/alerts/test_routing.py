from __future__ import annotations

import pytest

from monitor.alerts.alert import Alert
from monitor.alerts.incident import Change
from monitor.alerts.routing import Route, next_receiver, not_for
from monitor.alerts.scope import MONITOR, AlertScope, ScopeKind
from monitor.margin.result import Level
from tests.monitor.alerts.dispatch_doubles import alert, end

TAGS = ("desk-a", "fund-1")


@pytest.mark.parametrize(
    ("route", "told", "goes"),
    [
        (Route(), alert(level=Level.WARNING), True),
        (Route(Level.CRITICAL), alert(level=Level.WARNING), False),
        (Route(Level.CRITICAL), alert(level=Level.BREACH), True),
        (Route(Level.CRITICAL), end(previous=Level.CRITICAL), True),
        (Route(Level.CRITICAL), end(previous=Level.WARNING), False),
        (Route(Level.CRITICAL), alert("a", 2, Change.DEESCALATED, Level.WARNING, previous=Level.CRITICAL), True),
        (Route(scopes=frozenset({ScopeKind.POOL, ScopeKind.FEED})), alert(), True),
        (Route(scopes=frozenset({ScopeKind.FEED})), alert(), False),
        (Route(tags=frozenset({"fund-1", "fund-2"})), alert(tags=TAGS), True),
        (Route(tags=frozenset({"fund-2"})), alert(tags=TAGS), False),
        (Route(tags=frozenset({"fund-2"})), alert(scope=MONITOR), True),
        (Route(Level.WARNING, frozenset({ScopeKind.FEED}), frozenset({"fund-1"})), alert(tags=TAGS), False),
    ],
)
def test_a_route_is_by_level_scope_and_tag(route: Route, told: Alert, goes: bool) -> None:
    assert route.takes(told) is goes


def test_what_a_route_is_concerned_with_is_not_of_the_level() -> None:
    route = Route(Level.LIQUIDATION, frozenset({ScopeKind.POOL}))
    assert route.concerns(alert(level=Level.WARNING))
    assert not route.concerns(alert(scope=MONITOR))


def test_an_alert_about_a_receiver_is_not_for_it() -> None:
    assert not_for(alert(scope=AlertScope.receiver("ops"))) == "ops"
    assert not_for(alert("ops")) == ""


@pytest.mark.parametrize(
    ("of", "wish", "had", "expected"),
    [
        ("a", None, {"a"}, "b"),
        ("a", "c", {"a"}, "c"),
        ("a", "c", {"a", "c"}, "b"),
        ("a", "gone", {"a"}, "b"),
        ("a", "a", set(), "b"),
        ("b", None, {"b"}, "c"),
        ("c", None, {"c"}, "a"),
        ("c", None, {"c", "a"}, "b"),
        ("c", None, {"c", "a", "b"}, None),
        ("log", None, set(), "a"),
        ("gone", None, {"a"}, "b"),
    ],
)
def test_the_next_receiver(of: str, wish: str | None, had: set[str], expected: str | None) -> None:
    assert next_receiver(of, wish, ["a", "b", "c"], had) == expected
