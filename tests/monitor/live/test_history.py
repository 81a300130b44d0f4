"""The last hour of ratios: what is kept, for how long, and what a clock that moves does to it."""

from __future__ import annotations

import math

import pytest

from monitor.live import history
from monitor.live.history import STEPS, RatioHistory
from tests.monitor.own_app import OwnApplication, cash_for, opening, started
from tests.monitor.own_desk import ACCOUNT, position

NOON = 1_700_000_000_000
STEP = 5_000


def told(kept: RatioHistory, name: str = "a") -> list[float | None]:
    return [None if math.isnan(ratio) else ratio for ratio in kept.series([name])[name].ratios.tolist()]


def noted(*ratios: float | None, every_ms: int = STEP, name: str = "a") -> RatioHistory:
    kept = RatioHistory()
    for number, ratio in enumerate(ratios):
        kept.note(NOON + number * every_ms, [(name, ratio)])
    return kept


# -- what is kept -----------------------------------------------------------------------------------------------------------------


def test_the_highest_ratio_of_each_step_is_kept() -> None:
    kept = noted(0.1, 0.5, 0.3, 0.2, 0.1, 0.4, 0.2, every_ms=1000)
    assert told(kept) == [0.5, 0.4]
    assert kept.series(["a"])["a"].start_ms == NOON


def test_a_step_without_a_value_is_a_gap() -> None:
    assert told(noted(None, 0.1, None, math.nan, 0.2, None)) == [0.1, None, None, 0.2, None]
    assert noted(None, 0.1).series(["a"])["a"].start_ms == NOON + STEP


def test_a_value_stays_the_highest_where_none_follows_in_its_step() -> None:
    assert told(noted(0.3, None, every_ms=1000)) == [0.3]


def test_without_any_value_there_is_nothing() -> None:
    kept = noted(None, None)
    assert told(kept) == []
    assert kept.series(["b"]) == {}
    assert RatioHistory().series(["a"]) == {}
    assert RatioHistory().highest(3) == []


def test_infinity_is_higher_than_all() -> None:
    assert told(noted(0.5, math.inf, 0.7, every_ms=1000)) == [math.inf]


def test_what_is_older_than_an_hour_goes() -> None:
    kept = noted(*(number / 1000 for number in range(STEPS + 10)))
    assert told(kept) == [number / 1000 for number in range(10, STEPS + 10)]
    assert kept.series(["a"])["a"].start_ms == NOON + 10 * STEP


def test_ids_are_apart() -> None:
    kept = RatioHistory()
    kept.note(NOON, [("a", 0.1), ("b", 0.2)])
    kept.note(NOON + STEP, [("b", 0.3), ("c", 0.4)])
    assert [told(kept, name) for name in "abc"] == [[0.1, None], [0.2, 0.3], [0.4]]


def test_many_ids_are_kept_apart_too() -> None:
    kept = RatioHistory()
    for step in range(3):
        kept.note(NOON + step * STEP, [(f"id {number}", number + step / 10) for number in range(300 * (step + 1))])
    assert told(kept, "id 7") == [7.0, 7.1, 7.2]
    assert told(kept, "id 899") == [899.2]


def test_the_highest_last_ratios_come_first() -> None:
    kept = RatioHistory()
    kept.note(NOON, [("a", 0.9), ("b", 0.2), ("c", 0.5), ("d", None)])
    kept.note(NOON + STEP, [("a", 0.1), ("b", math.inf), ("c", None), ("d", None)])
    assert kept.highest(2) == ["b", "c"]
    assert kept.highest(9) == ["b", "c", "a"]


# -- what is forgotten ------------------------------------------------------------------------------------------------------------


def test_an_id_that_was_not_told_for_an_hour_is_forgotten() -> None:
    kept = RatioHistory()
    kept.note(NOON, [("a", 0.1), ("b", 0.2)])
    for step in range(1, STEPS):
        kept.note(NOON + step * STEP, [("b", None)])
    assert kept.series("ab").keys() == {"a", "b"}
    kept.note(NOON + STEPS * STEP, [("b", None)])
    assert kept.series("ab").keys() == {"b"}, "it has no value, but it is there"
    assert kept.highest(9) == ["b"]


def test_a_new_id_has_nothing_of_one_that_was_forgotten() -> None:
    kept = RatioHistory()
    kept.note(NOON, [("a", 0.1)])
    kept.note(NOON + STEPS * STEP, [("b", None), ("c", None)])
    assert kept.series("abc").keys() == {"b", "c"}
    assert kept.highest(9) == []
    assert told(kept, "b") == told(kept, "c") == []


def test_there_is_an_end_to_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST", 3)
    kept = RatioHistory()
    kept.note(NOON, [(f"id {number}", 0.5) for number in range(5)])
    assert len(kept.highest(9)) == 3
    kept.note(NOON + STEPS * STEP, [("id 4", 0.5)])
    assert kept.highest(9) == ["id 4"], "there is room again"


# -- clocks -----------------------------------------------------------------------------------------------------------------------


def test_the_time_that_a_machine_slept_is_a_gap() -> None:
    kept = noted(0.1, 0.2)
    kept.note(NOON + 10 * STEP, [("a", 0.3)])
    assert told(kept) == [0.1, 0.2, *[None] * 8, 0.3]
    kept.note(NOON + 10**9 * STEP, [("a", 0.4)])
    assert told(kept) == [0.4]
    assert kept.series(["a"])["a"].start_ms == NOON + 10**9 * STEP


@pytest.mark.parametrize(("back", "left"), [(1, [0.1, 0.2, 0.3, 0.9]), (3, [0.1, 0.9]), (4, [0.9]), (700, [0.9]), (10**6, [0.9])])
def test_where_the_clock_is_set_back_the_future_is_dropped(back: int, left: list[float]) -> None:
    kept = noted(0.1, 0.2, 0.3, 0.4, 0.5)
    kept.note(NOON + (4 - back) * STEP, [("a", 0.9)])
    assert told(kept) == left
    kept.note(NOON + (5 - back) * STEP, [("a", 0.6)])
    assert told(kept) == [*left, 0.6]


def test_an_id_told_before_the_clock_was_set_back_is_forgotten_an_hour_after() -> None:
    kept = RatioHistory()
    kept.note(NOON + 10_000 * STEP, [("a", 0.1)])
    for step in range(STEPS + 1):
        assert "a" in kept.series("a")
        kept.note(NOON + step * STEP, [("b", 0.1)])
    assert kept.series("ab").keys() == {"b"}


# -- in the program ---------------------------------------------------------------------------------------------------------------


async def test_the_program_notes_its_pools_and_portfolios_once_a_second() -> None:
    own, pool = OwnApplication(), f"pools/hyperliquid/{ACCOUNT}/main"
    async with started(own):
        await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.5)))
        await own.until(lambda: pool in own.app.history.highest(9))
        assert told(own.app.history, pool)[-1] == pytest.approx(0.5)
        # warm or not, it is listed
        assert [*own.app.history.series([f"portfolios/{own.settings.portfolios[0].id}"])]
        before = told(own.app.history, pool)
        await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.8)))
        await own.until(lambda: told(own.app.history, pool) != before)
        assert told(own.app.history, pool)[-1] == pytest.approx(0.8)
