"""Merging reads and pushes: the rules one by one, and any interleaving of a true history ending in the true state."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.aster.messages import AccountUpdate
from connectors.aster.state import WINDOW_MS, AccountMerge, Modes
from connectors.model import FuturesAccount, FuturesAsset, FuturesRead, MarginMode, Position, PositionSide

NOW = 1_790_000_000_000
BTC, ETH = "aster:BTCUSDT", "aster:ETHUSDT"


def asset(wallet: float, time_ms: int = 0, name: str = "USDT", cross: float | None = None) -> FuturesAsset:
    return FuturesAsset(name, wallet, wallet if cross is None else cross, time_ms)


def position(quantity: float, time_ms: int = 0, instrument: str = BTC, side: PositionSide = PositionSide.BOTH) -> Position:
    return Position(instrument, quantity, 100.0, entry=100.0 if quantity else None, leverage=0.0, side=side, time_ms=time_ms)


def read_of(began_ms: int, *rows: FuturesAsset | Position) -> FuturesRead:
    assets = tuple(row for row in rows if isinstance(row, FuturesAsset))
    held = tuple(replace(row, leverage=20.0) for row in rows if isinstance(row, Position) and row.quantity)
    return FuturesRead(began_ms, assets, held, (), 0.0, 0.0, 0.0, 0.0, 0.0)


def pushed(time_ms: int, *rows: FuturesAsset | Position, event_ms: int | None = None) -> AccountUpdate:
    assets = tuple(replace(row, time_ms=time_ms) for row in rows if isinstance(row, FuturesAsset))
    held = tuple(replace(row, time_ms=time_ms) for row in rows if isinstance(row, Position))
    return AccountUpdate(time_ms, time_ms + 2 if event_ms is None else event_ms, "ORDER", assets, held)


def modes(asked_ms: int = NOW, *, multi: bool = False, hedge: bool = False) -> Modes:
    return Modes(multi, hedge, asked_ms)


def account(merge: AccountMerge) -> FuturesAccount:
    state = merge.state()
    assert state is not None
    return state


def started(*rows: FuturesAsset | Position, began_ms: int = NOW) -> AccountMerge:
    merge = AccountMerge()
    merge.read(read_of(began_ms, *rows), modes(began_ms))
    return merge


def wallet(merge: AccountMerge) -> float:
    return next(row.wallet for row in account(merge).assets if row.asset == "USDT")


def quantities(merge: AccountMerge) -> dict[tuple[str, PositionSide], float]:
    return {(row.instrument, row.side): row.quantity for row in account(merge).positions}


# -- the rules ----------------------------------------------------------------------------------------------------------


def test_there_is_no_state_before_the_first_read() -> None:
    merge = AccountMerge()
    merge.update(pushed(NOW, asset(5.0)))
    assert merge.state() is None
    assert not merge.complete


def test_what_was_pushed_while_the_first_read_ran_is_kept_where_it_is_newer() -> None:
    merge = AccountMerge()
    merge.update(pushed(NOW + 100, asset(5.0), position(2.0)))
    merge.update(pushed(NOW - 10_000, asset(1.0, name="USD1")))
    merge.read(read_of(NOW, asset(4.0, NOW - 50), asset(2.0, 0, "USD1")), modes(multi=True, hedge=True))
    state = account(merge)
    assert {row.asset: row.wallet for row in state.assets} == {"USDT": 5.0, "USD1": 2.0}
    assert quantities(merge) == {(BTC, PositionSide.BOTH): 2.0}
    assert (state.multi_assets, state.hedge_mode, state.time_ms) == (True, True, NOW + 100)
    assert merge.wants_read, "what the read does not show yet was pushed within its window"


@pytest.mark.parametrize(
    ("pushed_at", "read_time", "wins"),
    [
        (-100, -100, "read"),  # equal times
        (-100, -50, "read"),  # the read's row is newer
        (-100, -150, "push"),  # the push is newer, and within the window of the read
        (-100, 0 - NOW, "push"),  # the read has no time
        (-WINDOW_MS, -9000, "push"),  # the edge of the window
        (-WINDOW_MS - 1, -9000, "read"),  # before the window: the read must show it
    ],
)
def test_a_read_wins_if_it_is_not_older_or_the_push_is_from_before_its_window(pushed_at: int, read_time: int, wins: str) -> None:
    merge = started(asset(1.0, NOW - 60_000), began_ms=NOW - 50_000)
    merge.update(pushed(NOW + pushed_at, asset(2.0)))
    merge.read(read_of(NOW, asset(3.0, NOW + read_time)), modes())
    assert wallet(merge) == (3.0 if wins == "read" else 2.0)


def test_an_older_push_never_overwrites_and_equal_times_go_by_the_event() -> None:
    merge = started(asset(1.0, NOW - 60_000))
    merge.update(pushed(NOW + 10, asset(2.0)))
    assert not merge.update(pushed(NOW + 9, asset(9.0)))
    assert wallet(merge) == 2.0
    assert merge.update(pushed(NOW + 10, asset(3.0), event_ms=NOW + 13))
    assert not merge.update(pushed(NOW + 10, asset(2.0), event_ms=NOW + 12))
    assert wallet(merge) == 3.0


def test_a_repeated_push_changes_nothing() -> None:
    merge = started(asset(1.0, NOW - 60_000), position(1.0, NOW - 60_000))
    update = pushed(NOW + 10, asset(2.0), position(3.0))
    assert merge.update(update)
    before = account(merge)
    assert not merge.update(update)
    assert account(merge) == before
    assert not merge.wants_read


def test_a_flat_row_removes_the_position_and_the_both_row_of_a_hedge_account_is_no_change_of_mode() -> None:
    long, short = position(2.0, side=PositionSide.LONG), position(-1.0, side=PositionSide.SHORT)
    merge = AccountMerge()
    merge.read(read_of(NOW, long, short), modes(hedge=True))
    rows = [position(0.0), position(0.0, side=PositionSide.LONG), short]
    assert merge.update(pushed(NOW + 5, *rows))
    assert quantities(merge) == {(BTC, PositionSide.SHORT): -1.0}
    assert account(merge).hedge_mode


def test_a_position_that_a_read_does_not_show_is_flat_unless_it_was_just_opened() -> None:
    merge = started(position(1.0), began_ms=NOW - 60_000)
    merge.update(pushed(NOW - 500, position(4.0, instrument=ETH)))
    merge.read(read_of(NOW), modes())
    assert quantities(merge) == {(ETH, PositionSide.BOTH): 4.0}
    assert merge.wants_read
    merge.read(read_of(NOW + 5000), modes())
    assert quantities(merge) == {}
    assert not merge.wants_read


def test_a_closed_position_is_not_opened_again_by_a_late_repetition() -> None:
    merge = started(position(1.0), began_ms=NOW - 60_000)
    opening = pushed(NOW - 20_000, position(4.0))
    merge.update(opening)
    merge.read(read_of(NOW), modes())
    assert quantities(merge) == {}
    assert not merge.update(opening)
    assert not merge.update(pushed(NOW - 19_000, position(5.0)))
    assert quantities(merge) == {}
    assert merge.wants_read, "told too late to know: asked for once more"


def test_of_two_events_in_one_millisecond_a_read_holds_both() -> None:
    merge = started(asset(1.0, NOW - 60_000), began_ms=NOW - 50_000)
    first = pushed(NOW - 20_000, asset(2.0), event_ms=NOW - 19_999)
    merge.update(first)
    merge.read(read_of(NOW, asset(3.0, NOW - 20_000)), modes())
    assert not merge.update(first)
    assert wallet(merge) == 3.0


def test_a_read_whose_times_run_behind_opens_no_door_to_older_pushes() -> None:
    merge = started(asset(1.0, NOW - 60_000), began_ms=NOW - 50_000)
    merge.update(pushed(NOW - 20_000, asset(3.0)))
    merge.read(read_of(NOW, asset(3.0, NOW - 21_500)), modes())
    assert not merge.update(pushed(NOW - 20_500, asset(2.0)))
    assert wallet(merge) == 3.0


def test_the_event_time_of_an_older_row_does_not_hold_back_a_push() -> None:
    merge = started(asset(1.0, NOW - 60_000), began_ms=NOW - 50_000)
    merge.update(pushed(NOW - 1500, asset(2.0), event_ms=NOW + 3000))
    merge.read(read_of(NOW, asset(2.5, NOW - 100)), modes())
    assert merge.update(pushed(NOW - 100, asset(3.0), event_ms=NOW - 90))
    assert wallet(merge) == 3.0


@pytest.mark.parametrize("factor", [1000, 1_000_000])
def test_a_time_in_another_unit_or_of_the_future_keeps_nothing_out(factor: int) -> None:
    merge = started(asset(1.0, NOW * factor), position(1.0, NOW * factor))
    assert merge.update(pushed(NOW + 10, asset(2.0), position(2.0))), "the read's time was none"
    assert merge.update(pushed(NOW * factor, asset(3.0), position(3.0)))
    merge.read(read_of(NOW + 9000, asset(4.0, NOW + 8000), position(4.0, NOW + 8000)), modes())
    assert (wallet(merge), quantities(merge)) == (4.0, {(BTC, PositionSide.BOTH): 4.0})
    assert account(merge).time_ms == NOW + 9000
    assert merge.update(pushed(NOW + 9500, asset(5.0), position(5.0)))
    assert (wallet(merge), quantities(merge)) == (5.0, {(BTC, PositionSide.BOTH): 5.0})


def test_leverage_is_kept_over_a_close_and_followed() -> None:
    merge = started(position(1.0))
    merge.update(pushed(NOW + 10, position(0.0)))
    merge.update(pushed(NOW + 20, position(2.0)))
    assert account(merge).positions[0].leverage == 20.0
    assert merge.leverage(BTC, 5.0)
    assert not merge.leverage(BTC, 5.0)
    assert not merge.leverage(ETH, 3.0)
    assert account(merge).positions[0].leverage == 5.0
    merge.update(pushed(NOW + 30, position(2.0, instrument=ETH)))
    assert {row.instrument: row.leverage for row in account(merge).positions} == {BTC: 5.0, ETH: 3.0}


def test_the_venues_own_figures_last_as_long_as_the_position_does_not_change() -> None:
    told = replace(position(2.0), reported_liquidation_price=70.0, reported_maintenance_margin=1.0, isolated_cash=None)
    merge = started(told)
    merge.update(pushed(NOW + 10, position(2.0)))
    kept = account(merge).positions[0]
    assert (kept.reported_liquidation_price, kept.reported_maintenance_margin, kept.time_ms) == (70.0, 1.0, NOW + 10)
    # a price of an earlier read is no figure of this one: what it rested on has moved since
    merge.read(read_of(NOW + 30_000, position(2.0)), modes())
    assert account(merge).positions[0].reported_liquidation_price is None
    assert account(merge).read.positions[0].reported_liquidation_price is None
    merge = started(told)
    merge.update(pushed(NOW + 10, position(3.0)))
    assert account(merge).positions[0].reported_liquidation_price is None


def test_margin_moved_into_an_isolated_position_is_a_change() -> None:
    isolated = replace(position(2.0), margin_mode=MarginMode.ISOLATED, isolated_cash=-150.0, reported_liquidation_price=80.0)
    merge = started(isolated, asset(100.0, cross=50.0))
    merge.update(pushed(NOW + 10, replace(isolated, isolated_cash=-100.0, reported_liquidation_price=None), asset(100.0, cross=0.0)))
    held = account(merge).positions[0]
    assert (held.isolated_cash, held.reported_liquidation_price) == (-100.0, None)
    assert account(merge).assets[0].cross_wallet == 0.0


def test_doubt_ends_with_modes_and_account_read_after_it() -> None:
    merge = started(asset(1.0))
    merge.doubts("its mode changed", NOW + 100)
    assert account(merge).doubt == "its mode changed"
    merge.read(read_of(NOW + 200, asset(1.0)), modes(NOW + 50))
    assert account(merge).doubt, "the modes were asked before"
    merge.read(read_of(NOW + 50, asset(1.0)), modes(NOW + 200))
    assert account(merge).doubt, "the account was asked before"
    merge.read(read_of(NOW + 200, asset(1.0)), modes(NOW + 150, multi=True))
    assert (account(merge).doubt, account(merge).multi_assets) == ("", True)


# -- a stream that tells nothing ----------------------------------------------------------------------------------------


def heard(merge: AccountMerge, began_ms: int, *rows: FuturesAsset | Position) -> int:
    merge.read(read_of(began_ms, *rows), modes(), listening_since_ms=NOW)
    return merge.corrected_reads


def test_reads_that_correct_what_no_push_told_are_counted_in_a_row() -> None:
    merge = started(asset(1.0, NOW - 90_000), position(1.0, NOW - 90_000))
    assert heard(merge, NOW + 40_000, asset(1.0, NOW - 90_000), position(1.0, NOW - 90_000)) == 0
    assert heard(merge, NOW + 80_000, asset(2.0, NOW + 60_000), position(2.0, NOW + 60_000)) == 1
    assert merge.corrections == 2
    assert heard(merge, NOW + 120_000, asset(2.0, NOW + 60_000)) == 1, "a close without a time may still be on its way"
    assert heard(merge, NOW + 160_000, asset(2.0, NOW + 60_000)) == 2
    assert merge.corrections == 3
    assert heard(merge, NOW + 200_000, asset(2.0, NOW + 60_000)) == 0


def test_what_the_stream_told_or_may_be_about_to_tell_is_no_correction() -> None:
    merge = started(asset(1.0, NOW - 90_000))
    merge.update(pushed(NOW + 1000, asset(2.0)))
    assert heard(merge, NOW + 40_000, asset(2.0, NOW + 1000)) == 0
    assert heard(merge, NOW + 80_000, asset(3.0, NOW + 79_500)) == 0, "within the window: the push may be on its way"
    merge.update(pushed(NOW + 79_500, asset(3.0)))
    assert heard(merge, NOW + 120_000, asset(3.0, NOW + 79_500)) == 0
    assert heard(merge, NOW + 160_000, asset(4.0, NOW + 159_500)) == 0
    assert heard(merge, NOW + 200_000, asset(4.0, NOW + 159_500)) == 1, "and it never came"


def test_without_a_stream_a_read_that_differs_is_what_reads_are_for() -> None:
    merge = started(asset(1.0, NOW - 90_000))
    merge.read(read_of(NOW + 40_000, asset(2.0, NOW + 10_000)), modes())
    assert heard(merge, NOW + 50_000, asset(3.0, NOW + 45_000)) == 1
    late = started(asset(1.0, NOW - 90_000), began_ms=NOW - 50_000)
    assert heard(late, NOW + 40_000, asset(2.0, NOW - 10_000)) == 0, "it changed before the stream was there"


# -- any interleaving ---------------------------------------------------------------------------------------------------

KEYS: tuple[str | tuple[str, PositionSide], ...] = (
    "USDT",
    "USD1",
    (BTC, PositionSide.LONG),
    (BTC, PositionSide.SHORT),
    (ETH, PositionSide.BOTH),
)


def row_of(key: str | tuple[str, PositionSide], value: float, time_ms: int) -> FuturesAsset | Position:
    if isinstance(key, str):
        return asset(value, time_ms, key)
    return position(value, time_ms, *key)


@dataclass
class History:
    """A true history of absolute rows, what the venue pushes of it, and what a read at a time shows."""

    random: Random
    states: list[tuple[int, dict[str | tuple[str, PositionSide], tuple[float, int]]]] = field(default_factory=list)
    updates: list[AccountUpdate] = field(default_factory=list)
    rest_shift_ms: int = 0
    with_times: bool = True

    def unfold(self, events: int) -> None:
        now, rows = NOW, dict.fromkeys(KEYS, (0.0, 0))
        self.states.append((now, dict(rows)))
        for number in range(events):
            # Some events share a matching time; their event times still tell them apart.
            now += self.random.choice((0, 1, 30, 900, 4000))
            touched = self.random.sample(KEYS, self.random.randint(1, 3))
            for key in touched:
                rows[key] = (float(self.random.choice((0, number + 1, -number - 1))), now)
            self.states.append((now, dict(rows)))
            self.updates.append(pushed(now, *(row_of(key, rows[key][0], now) for key in touched), event_ms=now + number))

    @property
    def end_ms(self) -> int:
        return self.states[-1][0]

    def read(self, began_ms: int, lag_ms: int) -> FuturesRead:
        rows = next(state for at, state in reversed(self.states) if at <= max(NOW, began_ms - lag_ms))
        found = []
        for key, (value, time_ms) in rows.items():
            found.append(row_of(key, value, time_ms + self.rest_shift_ms if self.with_times and time_ms else 0))
        return read_of(began_ms, *found)

    def truth(self) -> dict[str | tuple[str, PositionSide], float]:
        return {key: value for key, (value, _) in self.states[-1][1].items() if value}


def shown(merge: AccountMerge) -> dict[str | tuple[str, PositionSide], float]:
    state = account(merge)
    found: dict[str | tuple[str, PositionSide], float] = {row.asset: row.wallet for row in state.assets if row.wallet}
    return found | {(row.instrument, row.side): row.quantity for row in state.positions}


def play(history: History, merge: AccountMerge, *, loss: float, reads: int) -> None:
    """Deliver pushes late, twice, out of order or never, between reads at their own times."""
    random = history.random
    arrivals: list[tuple[float, int, AccountUpdate | None]] = []
    for update in history.updates:
        for _ in range(random.choice((1, 1, 2))):
            if random.random() >= loss:
                arrivals.append((update.time_ms + random.choice((1, 40, 1500, 9000)), random.randrange(1 << 30), update))
    for _ in range(reads):
        arrivals.append((random.uniform(NOW, history.end_ms + 3000), random.randrange(1 << 30), None))
    merge.read(history.read(NOW, 0), modes())
    for at, _, arrived in sorted(arrivals, key=lambda arrival: arrival[:2]):
        if arrived is not None:
            merge.update(arrived)
        else:
            merge.read(history.read(round(at), random.randrange(WINDOW_MS)), modes())


@settings(max_examples=400)
@given(seed=st.integers(0, 2**32), with_times=st.booleans(), reads=st.integers(0, 12))
def test_any_delay_duplication_and_order_of_pushes_and_reads_ends_in_the_true_state(seed: int, with_times: bool, reads: int) -> None:
    history = History(Random(seed), with_times=with_times)
    history.unfold(25)
    merge = AccountMerge()
    play(history, merge, loss=0.0, reads=reads)
    assert shown(merge) == history.truth()


@settings(max_examples=300)
@given(seed=st.integers(0, 2**32), with_times=st.booleans())
def test_lost_pushes_are_made_good_by_the_next_read(seed: int, with_times: bool) -> None:
    history = History(Random(seed), with_times=with_times)
    history.unfold(25)
    merge = AccountMerge()
    play(history, merge, loss=0.4, reads=4)
    merge.read(history.read(history.end_ms + WINDOW_MS + 1, WINDOW_MS), modes())
    assert shown(merge) == history.truth()
    for update in history.updates:
        # Whatever of it still arrives is old by now.
        merge.update(update)
    if merge.wants_read:
        merge.read(history.read(history.end_ms + 20_000, WINDOW_MS), modes())
    assert shown(merge) == history.truth()


@settings(max_examples=300)
@given(seed=st.integers(0, 2**32), shift_ms=st.integers(-1500, 1500))
def test_a_clock_of_reads_that_differs_from_the_pushes_is_settled_by_the_reads_it_asks_for(seed: int, shift_ms: int) -> None:
    history = History(Random(seed), rest_shift_ms=shift_ms)
    history.unfold(25)
    merge = AccountMerge()
    play(history, merge, loss=0.0, reads=6)
    if merge.wants_read:
        merge.read(history.read(history.end_ms + 20_000, 0), modes())
    assert shown(merge) == history.truth()
