"""What the terminal knows: rows as frames bring and take them, how old they are, and whether the line lives."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.top.model import Connection, FrameError, Model
from tests.monitor.top.frames import AS_OF_MS, CLOCK_S, Clock, changes, pool, snapshot


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def model(clock: Clock) -> Model:
    return Model(clock)


def test_nothing_is_known_before_the_first_frame(model: Model) -> None:
    assert model.connection is Connection.CONNECTING
    assert model.as_of_ms is None
    assert model.rows("pools") == []
    assert model.row("pools", "x") is None
    assert model.age_s(CLOCK_S) is None


def test_a_snapshot_replaces_everything(model: Model) -> None:
    model.apply(snapshot({"pools": {"a": pool("a", 0.1)}, "alerts": {"x": {}}}))
    model.apply(snapshot({"pools": {"b": pool("b", 0.2)}}, sequence=9))
    assert model.ids("pools") == ["b"]
    assert model.ids("alerts") == []
    assert model.connection is Connection.LIVE


def test_changes_carry_whole_rows_and_those_that_went(model: Model) -> None:
    model.apply(snapshot({"pools": {"a": {"ratio": 1, "level": "ok"}, "b": {}}}))
    model.apply(changes({"pools": {"a": {"ratio": 2}}, "alerts": {"x": {}}}, gone={"pools": ["b", "never seen"], "silences": ["s"]}))
    assert model.row("pools", "a") == {"ratio": 2}
    assert model.ids("pools") == ["a"]
    assert model.ids("alerts") == ["x"]


def test_the_frames_themselves_stay_as_they_came(model: Model) -> None:
    first = snapshot({"pools": {"a": {}}})
    model.apply(first)
    model.apply(changes({"pools": {"b": {}}}, gone={"pools": ["a"]}))
    assert first["rows"] == {"pools": {"a": {}}}


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (changes({}, since=7), "frames are missing"),
        (changes({}, since=0), "frames are missing"),
        (changes({}, version=2), "format 2"),
        (changes({}, type="delta"), "no known form"),
        (changes({}, sequence=None), "no known form"),
        (changes({}) | {"rows": []}, "no known form"),
        ({"error": "x"}, "without version"),
    ],
)
def test_what_cannot_be_applied_changes_nothing(model: Model, frame: dict[str, Any], said: str) -> None:
    model.apply(snapshot({"pools": {"a": {}}}))
    with pytest.raises(FrameError, match=said):
        model.apply(frame)
    assert model.ids("pools") == ["a"]
    assert model.as_of_ms == AS_OF_MS


def test_changes_before_a_snapshot_are_of_no_use(model: Model) -> None:
    with pytest.raises(FrameError, match="missing"):
        model.apply(changes({}))


def test_ages_go_on_between_frames(model: Model, clock: Clock) -> None:
    model.apply(snapshot())
    assert model.age_s(CLOCK_S - 2.0) == 2.0
    clock.now_s += 1.5
    assert model.age_s(CLOCK_S - 2.0) == 3.5
    assert model.since_s(AS_OF_MS - 1000) == 2.5
    assert model.age_s(None) is None
    model.apply(changes({}, after_s=1.5))
    assert model.age_s(CLOCK_S - 2.0) == 3.5


def test_an_age_is_never_negative(model: Model) -> None:
    model.apply(snapshot())
    assert model.age_s(CLOCK_S + 0.1) == 0.0


def test_a_lost_line_is_stale_until_the_next_frame(model: Model, clock: Clock) -> None:
    model.apply(snapshot())
    clock.now_s += 2.5
    model.lost("nothing heard for 2.5 s")
    assert model.connection == "stale"
    assert model.reason == "nothing heard for 2.5 s"
    clock.now_s += 7.5
    assert model.silent_s == 10.0
    assert model.ids("pools"), "what was known last stays to be seen"
    model.apply(snapshot(sequence=1))
    assert model.connection == "live"
    assert model.reason == ""
    assert model.silent_s == 0.0


def test_frames_that_come_late_are_delayed(model: Model, clock: Clock) -> None:
    model.apply(snapshot())
    clock.now_s += 4.0
    model.apply(changes({}, after_s=0.5))
    assert model.connection == "delayed"
    assert model.delay_s == 3.5
    clock.now_s += 1.0
    model.apply(changes({}, since=2, after_s=5.0))
    assert model.connection == "live"


def test_a_monitor_that_started_anew_is_not_late(model: Model, clock: Clock) -> None:
    model.apply(snapshot())
    clock.now_s += 60.0
    model.lost("the monitor closed the line")
    model.apply(snapshot(clock_s=12.0))
    assert model.connection is Connection.LIVE
