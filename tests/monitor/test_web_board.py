"""The board of the stream: what a client that saw version N lacks."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.web import board as module
from monitor.web.board import Board


def _frame(board: Board, since: int) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(board.frame(since))
    return frame


def _published(rows: dict[str, dict[str, int]]) -> Board:
    board = Board()
    for name, row in rows.items():
        board.put("pools", name, row)
    board.publish(1000, 1.0)
    return board


def test_the_first_frame_has_everything() -> None:
    frame = _frame(_published({"a": {"x": 1}, "b": {"x": 2}}), 0)
    assert frame == {
        "version": 1,
        "type": "snapshot",
        "sequence": 1,
        "since": 0,
        "as_of_ms": 1000,
        "clock_s": 1.0,
        "rows": {"pools": {"a": {"x": 1}, "b": {"x": 2}}},
        "gone": {},
    }


def test_a_change_is_told_whole_and_alone() -> None:
    board = _published({"a": {"x": 1, "y": 5}, "b": {"x": 2}})
    board.put("pools", "a", {"x": 3, "y": 5})
    board.put("pools", "b", {"x": 2})
    board.publish(1100, 1.1)
    frame = _frame(board, 1)
    assert (frame["type"], frame["rows"], frame["since"]) == ("changes", {"pools": {"a": {"x": 3, "y": 5}}}, 1)


def test_what_is_equal_has_not_changed() -> None:
    board = _published({"a": {"x": 1}})
    board.put("pools", "a", {"x": 1})
    board.keep("pools", {"a"})
    assert not board.changed


def test_rows_that_are_not_kept_are_gone() -> None:
    board = _published({"a": {"x": 1}, "b": {"x": 2}})
    board.keep("pools", {"b"})
    board.publish(1100, 1.1)
    assert _frame(board, 1)["gone"] == {"pools": ["a"]}
    assert _frame(board, 0)["rows"] == {"pools": {"b": {"x": 2}}}
    assert _frame(board, 0)["gone"] == {}


def test_a_row_that_came_back_is_not_gone() -> None:
    board = _published({"a": {"x": 1}})
    board.keep("pools", ())
    board.put("pools", "a", {"x": 1})
    board.publish(1100, 1.1)
    frame = _frame(board, 1)
    assert (frame["rows"], frame["gone"]) == ({"pools": {"a": {"x": 1}}}, {})


def test_a_version_of_another_monitor_gets_everything() -> None:
    assert _frame(_published({"a": {"x": 1}}), 7)["type"] == "snapshot"


def test_a_client_that_missed_forgotten_removals_gets_everything(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "KEPT_GONE", 2)
    board = _published({name: {"x": 1} for name in "abcd"})
    board.put("pools", "e", {"x": 1})
    board.publish(1100, 1.1)
    board.keep("pools", {"e"})
    board.publish(1200, 1.2)
    assert _frame(board, 1)["type"] == "snapshot"
    assert _frame(board, 2)["type"] == "snapshot"
    assert _frame(board, 3)["type"] == "changes"


def test_clients_at_the_same_version_share_the_bytes() -> None:
    board = _published({"a": {"x": 1}})
    assert board.frame(0) is board.frame(0)


_STEPS = st.lists(st.tuples(st.sampled_from(["put", "keep", "publish", "read"]), st.sampled_from("abc"), st.integers(0, 2)), max_size=60)


@given(_STEPS)
def test_any_client_ends_with_the_rows_of_the_board(steps: list[tuple[str, str, int]]) -> None:
    # a client that reads now and then, whatever happens between, holds what a new one gets
    board, version = Board(), 0
    held: dict[str, dict[str, int]] = {}
    rows: dict[str, dict[str, int]] = {}
    for kind, name, value in [*steps, ("publish", "a", 0), ("read", "a", 0)]:
        if kind == "put":
            rows[name] = {"x": value}
            board.put("pools", name, rows[name])
        elif kind == "keep":
            rows = {key: row for key, row in rows.items() if key == name}
            board.keep("pools", rows.keys())
        elif kind == "publish":
            board.publish(0, 0.0)
        else:
            frame = _frame(board, version)
            told = frame["rows"].get("pools", {})
            held = told if frame["type"] == "snapshot" else {**held, **told}
            held = {key: row for key, row in held.items() if key not in frame["gone"].get("pools", ())}
            version = board.sequence
    assert held == rows


def test_numbers_of_numpy_are_written_and_one_that_is_none_does_not_change_all_the_time() -> None:
    board = Board()
    board.put("pools", "a", {"x": np.float64(0.5), "y": math.nan})
    board.publish(1000, 1.0)
    assert _frame(board, 0)["rows"]["pools"]["a"] == {"x": 0.5, "y": None}
    board.put("pools", "a", {"x": np.float64(0.5), "y": math.nan})
    assert not board.changed


def test_a_row_is_what_it_was_when_it_was_put() -> None:
    row = {"x": 1}
    board = _published({"a": row})
    row["x"] = 2
    board.put("pools", "a", row)
    board.publish(1100, 1.1)
    assert _frame(board, 1)["rows"] == {"pools": {"a": {"x": 2}}}


def test_a_row_that_cannot_be_written_leaves_the_one_before() -> None:
    board = _published({"a": {"x": 1}})
    with pytest.raises(TypeError):
        board.put("pools", "a", {"x": object()})
    board.publish(1100, 1.1)
    assert _frame(board, 0)["rows"] == {"pools": {"a": {"x": 1}}}
