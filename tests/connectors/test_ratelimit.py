from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.clock import ManualClock, settle
from connectors.errors import BudgetError
from connectors.ratelimit import UNLIMITED, WINDOW_NS, Budget, BudgetLimits, Budgets, SlidingWindow

LIMITS = BudgetLimits(weight_per_minute=1200, connects_per_minute=30, connections=10, users=10, messages_per_minute=2000)


def budget(share: float = 0.25, limits: BudgetLimits = LIMITS) -> tuple[Budget, ManualClock]:
    clock = ManualClock()
    return Budget("venue", limits, share, clock), clock


@given(
    limit=st.integers(min_value=1, max_value=50),
    tries=st.lists(st.tuples(st.integers(min_value=0, max_value=WINDOW_NS), st.integers(min_value=1, max_value=60)), max_size=80),
)
def test_no_sixty_seconds_ever_hold_more_than_the_limit(limit: int, tries: list[tuple[int, int]]) -> None:
    window, now_ns, taken = SlidingWindow(limit), 0, []
    for pause_ns, weight in tries:
        now_ns += pause_ns
        if window.try_spend(weight, now_ns) == 0.0:
            taken.append((now_ns, weight))

    for begin_ns, _ in taken:
        assert sum(weight for at_ns, weight in taken if begin_ns <= at_ns < begin_ns + WINDOW_NS) <= limit
    assert window.total == sum(weight for _, weight in taken)


@given(
    limit=st.integers(min_value=1, max_value=50),
    tries=st.lists(st.tuples(st.integers(min_value=0, max_value=WINDOW_NS), st.integers(min_value=1, max_value=60)), max_size=60),
)
def test_after_the_wait_it_named_a_spending_fits_and_not_before(limit: int, tries: list[tuple[int, int]]) -> None:
    window, now_ns = SlidingWindow(limit), 0
    for pause_ns, asked in tries:
        now_ns += pause_ns
        weight = min(asked, limit)
        wait_s = window.try_spend(weight, now_ns)
        if wait_s > 0.0:
            wait_ns = round(wait_s * 1e9)
            assert window.try_spend(weight, now_ns + wait_ns - 2) > 0.0
            now_ns += wait_ns + 1
            assert window.try_spend(weight, now_ns) == 0.0


def test_our_part_is_the_share_rounded_down() -> None:
    ours, _ = budget(0.25)
    statistics = ours.statistics()

    assert (statistics.weight_limit, statistics.connects_limit, statistics.messages_limit) == (300, 7, 500)
    assert (statistics.connections_limit, statistics.users_limit) == (2, 2)


def test_a_tiny_share_still_leaves_a_pair_of_connections_and_a_user() -> None:
    ours, _ = budget(0.001)
    statistics = ours.statistics()

    assert (statistics.connections_limit, statistics.users_limit, statistics.connects_limit) == (2, 1, 2)
    assert ours.try_send(heartbeat=True) == 0.0
    assert ours.try_spend(1) == 0.0


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, float("nan")])
def test_an_impossible_share_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="ip_budget_share of venue"):
        budget(share)


def test_a_limit_the_venue_does_not_state_never_waits() -> None:
    ours, _ = budget(0.25, BudgetLimits())

    assert all(ours.try_spend(10_000) == 0.0 for _ in range(1000))
    assert ours.statistics().weight_limit == UNLIMITED
    assert ours.used_ratio() < 1e-9


def test_try_spend_names_the_wait_and_takes_nothing() -> None:
    ours, clock = budget()
    assert ours.try_spend(200) == 0.0
    clock.shift(20.0)
    assert ours.try_spend(100) == 0.0

    assert ours.try_spend(1) == pytest.approx(40.0)
    assert ours.try_spend(250) == pytest.approx(60.0)
    assert ours.used_ratio() == 1.0
    clock.shift(40.0)
    assert ours.used_ratio() == pytest.approx(1 / 3)
    assert ours.try_spend(200) == 0.0


async def test_waiters_are_served_in_turn_even_if_a_light_one_would_fit() -> None:
    ours, clock = budget()
    ours.try_spend(290)
    served: list[int] = []

    async def spend(weight: int) -> None:
        await ours.spend(weight)
        served.append(weight)

    tasks = [asyncio.create_task(spend(weight)) for weight in (50, 5, 6)]
    await clock.advance(59.0)
    assert served == []
    assert ours.try_spend(1) >= 1.0, "asking must not jump the queue"
    assert ours.statistics().waiting == 3
    await clock.advance(1.1)
    await asyncio.gather(*tasks)

    assert served == [50, 5, 6]
    statistics = ours.statistics()
    assert (statistics.waits_total, statistics.waiting) == (3, 0)
    assert statistics.waited_seconds_total == pytest.approx(180.0, abs=0.1)


async def test_a_cancelled_waiter_does_not_block_the_others() -> None:
    ours, clock = budget()
    ours.try_spend(300)
    first, second = asyncio.create_task(ours.spend(10)), asyncio.create_task(ours.spend(20))
    await settle()
    first.cancel()
    await clock.advance(60.1)

    assert second.done()
    assert ours.statistics().weight_used == 20


async def test_a_request_heavier_than_our_whole_part_is_an_error_not_an_endless_wait() -> None:
    ours, _ = budget(0.04)

    with pytest.raises(BudgetError, match="weight 60 to venue is heavier than our share of 48"):
        await ours.spend(60)
    with pytest.raises(BudgetError):
        ours.try_spend(60)


def test_weight_known_only_afterwards_delays_what_comes_next() -> None:
    ours, clock = budget()
    ours.try_spend(20)
    ours.charge(400)

    assert ours.used_ratio() == pytest.approx(1.4)
    assert ours.try_spend(1) == pytest.approx(60.0)
    clock.shift(60.0)
    assert ours.try_spend(300) == 0.0


def test_a_penalty_the_venue_names_is_kept_to() -> None:
    ours, clock = budget()

    assert ours.penalise(17.0) == 17.0
    assert ours.try_spend(1) == pytest.approx(17.0)
    clock.shift(17.0)
    assert ours.try_spend(1) == 0.0


def test_penalties_without_a_word_double_and_are_forgotten_after_a_calm_minute() -> None:
    ours, clock = budget()
    pauses = []
    for _ in range(7):
        pauses.append(ours.penalise())
        clock.shift(pauses[-1] + 1.0)
    clock.shift(60.0)

    assert pauses == [10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]
    assert ours.penalise() == 10.0
    assert ours.statistics().penalties_total == 8


def test_what_was_on_its_way_when_the_venue_refused_is_refused_as_one() -> None:
    ours, clock = budget()
    assert [ours.penalise() for _ in range(8)] == [10.0] * 8
    clock.shift(11.0)

    assert [ours.penalise(), ours.penalise()] == [20.0, 20.0]


def test_a_shorter_penalty_does_not_shorten_a_running_one() -> None:
    ours, _ = budget()
    ours.penalise(30.0)
    ours.penalise(1.0)

    assert ours.try_spend(1) == pytest.approx(30.0)


@pytest.mark.parametrize(("ratio", "limit"), [(0.0, 300), (0.59, 300), (0.6, 120), (0.75, 75), (0.95, 30), (3.0, 30), (float("nan"), 300)])
def test_we_make_room_while_the_venue_reports_that_the_address_is_busy(ratio: float, limit: int) -> None:
    ours, clock = budget()
    ours.observe_venue_usage(ratio)

    assert ours.statistics().weight_limit == limit
    assert ours.try_spend(limit) == 0.0
    assert ours.try_spend(1) > 0.0
    clock.shift(60.0)
    assert ours.statistics().weight_limit == 300, "an old report says nothing"


async def test_a_request_heavier_than_what_others_leave_goes_out_alone() -> None:
    ours, clock = budget()
    ours.observe_venue_usage(0.9)
    assert ours.try_spend(5) == 0.0
    task = asyncio.create_task(ours.spend(60))
    await clock.advance(30.0)
    ours.observe_venue_usage(0.9)
    await clock.advance(28.0)
    assert not task.done(), "something was spent in the last minute"
    ours.observe_venue_usage(0.9)
    await clock.advance(3.0)
    assert task.done(), "or everything behind it would wait for ever"
    assert ours.try_spend(1) > 0.0


def test_messages_leave_room_for_heartbeats() -> None:
    ours, clock = budget()
    taken = 0
    while ours.try_send() == 0.0:
        taken += 1

    assert taken == 450
    assert ours.try_send(heartbeat=True) == 0.0
    clock.shift(60.0)
    assert ours.try_send() == 0.0


async def test_connections_are_bounded_at_once_and_per_minute() -> None:
    ours, clock = budget()
    opened: list[int] = []
    leave = [asyncio.Event() for _ in range(9)]

    async def hold(number: int) -> None:
        async with ours.connection():
            opened.append(number)
            await leave[number].wait()

    tasks = [asyncio.create_task(hold(number)) for number in range(9)]
    await settle()
    assert opened == [0, 1]
    assert ours.statistics().connections_used == 2
    for event in leave:
        event.set()
    await clock.advance(59.0)
    assert opened == [0, 1, 2, 3, 4, 5, 6], "seven new connections a minute"
    await clock.advance(1.1)
    await asyncio.gather(*tasks)

    assert opened == list(range(9))
    assert ours.statistics().connections_used == 0


async def test_a_refused_connection_pauses_new_ones() -> None:
    ours, clock = budget()
    ours.penalise(12.0, connecting=True)

    async def hold() -> None:
        async with ours.connection():
            pass

    task = asyncio.create_task(hold())
    await clock.advance(11.9)
    assert not task.done()
    await clock.advance(0.2)
    assert task.done()


async def test_giving_up_while_waiting_gives_the_slot_back() -> None:
    ours, _ = budget()
    ours.penalise(12.0, connecting=True)

    async def hold() -> None:
        async with ours.connection():
            raise AssertionError("a penalty was not kept to")

    tasks = [asyncio.create_task(hold()) for _ in range(4)]
    await settle()
    for task in tasks:
        task.cancel()
    await settle()

    assert all(task.cancelled() for task in tasks)
    statistics = ours.statistics()
    assert (statistics.connections_used, statistics.waiting) == (0, 0)


def test_users_hold_a_slot_each() -> None:
    ours, _ = budget()

    assert ours.try_take_user("alpha")
    assert ours.try_take_user("beta")
    assert ours.try_take_user("alpha"), "it already holds one"
    assert not ours.try_take_user("gamma")
    ours.release_user("alpha")
    ours.release_user("nobody")
    assert ours.try_take_user("gamma")


def test_who_asks_for_the_same_budget_again_goes_on_with_what_was_spent() -> None:
    clock, budgets = ManualClock(), Budgets()
    ours = budgets.of("hyperliquid", LIMITS, 0.25, clock)
    ours.charge(10)
    assert budgets.of("hyperliquid", LIMITS, 0.25, clock) is ours
    for other in (("aster", LIMITS, 0.25, clock), ("hyperliquid", LIMITS, 0.5, clock), ("hyperliquid", LIMITS, 0.25, ManualClock())):
        assert budgets.of(*other).statistics().weight_used == 0
    with pytest.raises(ValueError, match="ip_budget_share"):
        budgets.of("hyperliquid", LIMITS, 0.0, clock)
