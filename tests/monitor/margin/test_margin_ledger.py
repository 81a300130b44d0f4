"""Fills and cash flows between frames: what counts, once, and until when."""

from __future__ import annotations

import pytest

from connectors.events import FailureReason
from monitor.margin.ledger import REMEMBERED
from tests.monitor.own_desk import OwnDesk, name, position, section, wallet

# standard mode: cash 10,000, long 1 BTC at 100,000 against -90,000 of cash


def desk() -> OwnDesk:
    made = OwnDesk()
    made.marks(BTC=100_000.0, ETH=4_000.0, HYPE=40.0, xyz__CL=80.0)
    made.read(wallet(), section("", 1000, -90_000.0, position("BTC", 1.0, 100_000.0)), section("xyz", 1000, 0.0))
    assert made.equity("main") == pytest.approx(10_000.0)
    made.refreshes()
    return made


def quantity(made: OwnDesk, symbol: str) -> float:
    made.engine.evaluate()
    return sum(leg.quantity for spec in made.book.arrays.specs.values() for leg in spec.legs if leg.instrument == name(symbol))


def test_a_fill_after_the_frame_moves_position_and_cash_at_once() -> None:
    made = desk()
    made.fill("BTC", 0.5, 99_000.0, 1001, fee=10.0)
    assert quantity(made, "BTC") == 1.5
    assert made.equity("main") == pytest.approx(10_000.0 + 500.0 - 10.0)


@pytest.mark.parametrize("time_ms", [1, 999, 1000])
def test_a_fill_up_to_the_frame_is_in_it(time_ms: int) -> None:
    made = desk()
    made.fill("BTC", 0.5, 99_000.0, time_ms)
    assert quantity(made, "BTC") == 1.0
    assert made.equity("main") == pytest.approx(10_000.0)


def test_a_fill_counts_once() -> None:
    made = desk()
    for _ in range(3):
        made.fill("BTC", 0.5, 99_000.0, 1001, fill_id="same")
    assert quantity(made, "BTC") == 1.5


def test_partial_close_close_and_flip() -> None:
    made = desk()
    made.fill("BTC", -0.4, 101_000.0, 1001)
    assert quantity(made, "BTC") == pytest.approx(0.6)
    assert made.equity("main") == pytest.approx(10_000.0 + 400.0)
    made.fill("BTC", -0.6, 101_000.0, 1002)
    assert quantity(made, "BTC") == 0.0
    assert made.pool("main").positions == 0
    assert made.equity("main") == pytest.approx(11_000.0)
    assert made.ratio("main") == 0.0
    made.fill("BTC", -2.0, 100_000.0, 1003)
    assert quantity(made, "BTC") == -2.0
    made.marks(BTC=101_000.0)
    assert made.equity("main") == pytest.approx(9_000.0)


def test_one_fill_through_zero() -> None:
    made = desk()
    made.fill("BTC", -3.0, 100_000.0, 1001)
    assert quantity(made, "BTC") == -2.0
    assert made.equity("main") == pytest.approx(10_000.0)
    assert made.pool("main").maintenance_margin == pytest.approx(200_000.0 / 80)


def test_a_new_position_has_the_instruments_table() -> None:
    made = desk()
    made.fill("ETH", 10.0, 4_000.0, 1001)
    main = made.pool("main")
    assert main.positions == 2
    assert main.maintenance_margin == pytest.approx(100_000.0 / 80 + 40_000.0 / 50)


def test_an_older_frame_than_the_fill_does_not_undo_it() -> None:
    made = desk()
    made.fill("BTC", 0.5, 99_000.0, 3000)
    made.sections(section("", 2000, -90_000.0, position("BTC", 1.0, 100_000.0)), complete=False)
    assert quantity(made, "BTC") == 1.5
    assert made.equity("main") == pytest.approx(10_500.0)
    made.sections(section("", 3000, -139_500.0, position("BTC", 1.5, 100_000.0)), complete=False)
    assert quantity(made, "BTC") == 1.5, "the next frame contains it"
    assert made.equity("main") == pytest.approx(10_500.0)


def test_fills_out_of_order_end_at_the_same_place() -> None:
    made = desk()
    made.fill("BTC", -0.5, 101_000.0, 1002)
    made.fill("BTC", 0.5, 99_000.0, 1001)
    made.sections(section("", 1001, -139_500.0, position("BTC", 1.5, 100_000.0)), complete=False)
    assert quantity(made, "BTC") == 1.0
    assert made.equity("main") == pytest.approx(11_000.0)


def test_a_fill_seen_before_the_first_frame_is_applied_to_it() -> None:
    made = OwnDesk()
    made.marks(BTC=100_000.0)
    made.fill("BTC", 0.5, 100_000.0, 1500)
    made.read(wallet(), section("", 1000, -90_000.0, position("BTC", 1.0, 100_000.0)))
    assert quantity(made, "BTC") == 1.5


def test_stale_frames_are_ignored_and_counted() -> None:
    made = desk()
    made.sections(section("", 999, 5.0, position("BTC", 7.0, 1.0)), complete=False)
    assert quantity(made, "BTC") == 1.0
    assert made.account.stale_frames == 1
    made.sections(section("", 1000, -80_000.0, position("BTC", 1.0, 100_000.0)), complete=False)
    assert made.equity("main") == pytest.approx(20_000.0), "one of the same time is not older"
    assert made.account.stale_frames == 1


def test_a_missed_fill_is_noticed_by_the_next_one() -> None:
    made = desk()
    assert made.pool("main").reconciled is None
    made.fill("BTC", 0.5, 99_000.0, 1002, start_position=1.25)
    assert made.pool("main").reconciled is False
    assert made.refreshes() == ["an execution before this one has not been seen"]
    made.sections(section("", 1002, -139_500.0, position("BTC", 1.75, 100_000.0)), complete=False)
    assert made.pool("main").reconciled is None, "the frame confirms"


def test_a_fill_in_an_unlisted_instrument_asks_for_the_account() -> None:
    made = desk()
    made.fill("NEWCOIN", 1.0, 5.0, 1001)
    assert made.refreshes() == ["an execution in an instrument or on a dex not known here"]


def test_funding_and_transfers_of_a_dex() -> None:
    made = desk()
    made.flow(-25.0, 1001, symbol="BTC")
    made.flow(1000.0, 1002)
    made.flow(77.0, 1000)
    assert made.equity("main") == pytest.approx(10_975.0)
    made.sections(section("", 1001, -90_025.0, position("BTC", 1.0, 100_000.0)), complete=False)
    assert made.equity("main") == pytest.approx(10_975.0), "the later transfer stays on top"


def test_a_flow_counts_once() -> None:
    made = desk()
    event = made.flow(1000.0, 1002)
    made.apply(event)
    assert made.equity("main") == pytest.approx(11_000.0)


def test_the_memory_keeps_the_newest() -> None:
    made = desk()
    for index in range(2 * REMEMBERED + 10):
        made.flow(1.0, 2000 + index)
    made.sections(section("", 2000 + 2 * REMEMBERED, 0.0), complete=False)
    assert made.equity("main") == pytest.approx(9.0)


# -- isolated ------------------------------------------------------------------------------------------------------------------


def isolated_desk() -> OwnDesk:
    made = desk()
    held = position("BTC", 1.0, 100_000.0)
    made.sections(
        section("", 2000, -90_000.0, held, position("ETH", 10.0, 4_000.0, isolated=-36_000.0, leverage=10.0)),
        section("xyz", 2000, 5_000.0),
    )
    made.refreshes()
    return made


def test_funding_goes_to_the_isolated_position() -> None:
    made = isolated_desk()
    made.flow(-100.0, 2001, symbol="ETH")
    assert made.equity("iso:ETH") == pytest.approx(3_900.0)
    assert made.equity("main") == pytest.approx(10_000.0)
    made.flow(-7.0, 2002, symbol="BTC")
    assert made.equity("main") == pytest.approx(9_993.0)


def test_adding_to_an_isolated_position_takes_margin_from_the_cross_cash() -> None:
    made = isolated_desk()
    made.fill("ETH", 5.0, 4_000.0, 2001, fee=2.0)
    assert made.equity("iso:ETH") == pytest.approx(4_000.0 + 2_000.0 - 2.0)
    assert made.equity("main") == pytest.approx(8_000.0)
    assert made.pool("iso:ETH").reconciled is False, "how much margin the venue moved is in the next frame only"
    assert made.refreshes() == ["margin moved with an isolated execution awaits the venue's frame"]


def test_closing_an_isolated_position_returns_its_equity() -> None:
    made = isolated_desk()
    made.fill("ETH", -10.0, 4_100.0, 2001)
    pools = made.pools()
    assert "iso:ETH" not in pools
    assert pools["main"].equity == pytest.approx(10_000.0 + 4_000.0 + 1_000.0)


def test_part_of_an_isolated_position_closed() -> None:
    made = isolated_desk()
    made.fill("ETH", -5.0, 4_100.0, 2001)
    pool = made.pool("iso:ETH")
    assert pool.equity == pytest.approx(4_000.0 + 500.0)
    assert pool.maintenance_margin == pytest.approx(20_000.0 / 50)
    assert made.equity("main") == pytest.approx(10_000.0)


def test_a_position_just_opened_in_an_isolated_only_instrument_has_no_number_yet() -> None:
    made = isolated_desk()
    made.fill("xyz:CL", 10.0, 80.0, 2001)
    pool = made.pool("iso:xyz:CL")
    assert pool.margin_ratio is None, "its margin is not told: neither liquidation nor healthy"
    assert pool.failures[0].reason is FailureReason.NOT_READY
    assert made.refreshes() == ["margin moved with an isolated execution awaits the venue's frame"]
    made.sections(section("xyz", 2002, 4_960.0, position("xyz:CL", 10.0, 80.0, isolated=-760.0, leverage=20.0)), complete=False)
    assert made.equity("iso:xyz:CL") == pytest.approx(40.0)
