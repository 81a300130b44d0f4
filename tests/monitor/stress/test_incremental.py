"""Incremental evaluation equals full evaluation after any sequence of ticks, fills, orders and balances.

Every comparison is with a book built anew from the state; that this is no accomplice, the plain reference proves on documents
that were kept beside the book.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import layout
from monitor.margin.portfolio import portfolio_result
from monitor.stress.book import StressBook
from tests.kernels.stress_books import REFERENCE, SETS, Comparison, account, document, held, perpetual, stress_book
from tests.monitor.stress.desk import EVENTS, Desk, small_desk
from tests.reference import margin_model

TOLERANCE = 1e-9

SEQUENCES, DESKS, CHUNKS = 100, 5, 20
"""Sequences of 1 to 5 events for each desk, desks for each test, tests: 10,000 sequences, each compared at its end."""

MARGINS = ("maintenance", "initial", "loss_shift", "liquidity", "buffer", "borrow", "gross_notional", "net_notional")
EXPLAINED = ("equity", "maintenance_margin", "initial_margin", "loss_sum", "loss_joint", "loss_shift", "liquidity", "net_notional")
UNIT_FIGURES = ("max_loss", "charge", "order_loss", "maintenance")


def unequal(book: StressBook) -> list[str]:
    """What of an evaluated book differs from one built anew."""
    fresh = book.rebuilt()
    found: list[str] = []
    for name in book.accounts.portfolios:
        found += _totals(book, fresh, name)
        found += _units(book, fresh, name)
    return found


def _totals(ours: StressBook, theirs: StressBook, name: str) -> list[str]:
    one, other = (book.tables.portfolios.table[book.accounts.portfolios[name]] for book in (ours, theirs))
    if _known(one) != _known(other):
        return [f"{name} status: {one['status']}, {one['equity_status']} is not {other['status']}, {other['equity_status']}"]
    has_margin, has_equity = _known(one)
    if not has_margin:
        return []
    scale = max(float(other["maintenance"]), 1e-6)
    names = (*MARGINS, "equity") if has_equity else MARGINS
    found = [f"{name} {key}: {one[key]} is not {other[key]}" for key in names if _apart(one[key], other[key], scale)]
    near_a_cut = has_equity and np.any(np.abs(other["ratio"] - other["cuts"]) < TOLERANCE)
    if has_equity and one["band"] != other["band"] and not near_a_cut:
        found.append(f"{name} band: {one['band']} is not {other['band']}")
    return found


def _units(ours: StressBook, theirs: StressBook, name: str) -> list[str]:
    mine, fresh = _unit_rows(ours, name), _unit_rows(theirs, name)
    if mine.keys() != fresh.keys():
        return [f"{name} units: {sorted(mine)} is not {sorted(fresh)}"]
    found = []
    for coin, one in mine.items():
        other = fresh[coin]
        if (one["status"] == layout.OK) != (other["status"] == layout.OK):
            found.append(f"{name} {coin} status: {one['status']} is not {other['status']}")
        elif one["status"] == layout.OK:
            groups = layout.GROUPS if one["has_orders"] else 1
            scale = max(float(other["maintenance"][:groups].max()), 1e-6)
            pairs = [(key, one[key][:groups], other[key][:groups]) for key in UNIT_FIGURES]
            found += [f"{name} {coin} {key}: {first} is not {second}" for key, first, second in pairs if _apart(first, second, scale)]
    return found


def _unit_rows(book: StressBook, name: str) -> dict[str, Any]:
    table = book.tables.units.table
    rows = book.accounts.legs.listed_units(book.accounts.portfolios[name])
    return {book.market.coin_names[int(table["coin"][row])]: table[row] for row in rows}


def _known(portfolio: Any) -> tuple[bool, bool]:
    # which of several missing things gives its reason depends on the order of rows
    return portfolio["status"] == layout.OK, portfolio["equity_status"] == layout.OK


def explained_unequal(book: StressBook) -> list[str]:
    """What of the losses, families, curves, greeks and legs of an evaluated book's results differs from one built anew."""
    fresh = book.rebuilt()
    found = []
    for name in book.accounts.portfolios:
        one, other = portfolio_result(book, name), portfolio_result(fresh, name)
        scale = max(other.maintenance_margin or 0.0, 1e-6)
        pairs: list[tuple[Any, Any]] = [(getattr(one, key), getattr(other, key)) for key in EXPLAINED]
        pairs = [(mine, theirs) for mine, theirs in pairs if mine is not None or theirs is not None]
        pairs += [((one.families or {}).get(key), value) for key, value in (other.families or {}).items()]
        rows = {row.coin: row for row in one.units}
        for theirs in other.units if one.choice == other.choice else ():
            mine = rows[theirs.coin]
            pairs += list(zip((mine.all, *mine.option), (theirs.all, *theirs.option), strict=True))
            greeks = [(row.delta, row.gamma, row.vega, row.hedging_spot) for row in (mine, theirs)]
            legs = [{(leg.account, leg.instrument, leg.side): leg.notional for leg in row.positions} for row in (mine, theirs)]
            notionals = [list(one.values()) for one in legs]
            if list(legs[0]) != list(legs[1]) or _apart(notionals[0], notionals[1]) or _apart(greeks[0], greeks[1]):
                found.append(f"{name} {theirs.coin}: {greeks[0]}, {legs[0]} is not {greeks[1]}, {legs[1]}")
        found += [f"{name}: {mine} is not {theirs}" for mine, theirs in pairs if _apart(mine, theirs, scale)]
    return found


def _apart(one: Any, other: Any, scale: float = 1e-3) -> bool:
    if one is None or other is None:
        return True
    mine, theirs = np.asarray(one, np.float64), np.asarray(other, np.float64)
    return bool(np.any(~(np.abs(mine - theirs) <= TOLERANCE * np.maximum(np.abs(theirs), scale))))


# -- any sequence ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_incremental_equals_full_after_any_sequence(chunk: int) -> None:
    known = 0
    for seed in range(chunk * DESKS, (chunk + 1) * DESKS):
        desk = small_desk(seed, SETS[seed % 2], outcomes=seed % 5 > 2)
        for number in range(SEQUENCES):
            begin = len(desk.log)
            for _ in range(desk.rng.randint(1, 5)):
                desk.step()
                if desk.rng.random() < 0.2:
                    desk.book.evaluate()
            desk.book.evaluate()
            assert not unequal(desk.book), (seed, desk.log[begin:])
            assert number % 10 or not explained_unequal(desk.book), (seed, desk.log[begin:])
            known += sum(row["status"] == layout.OK for row in desk.book.tables.portfolios.table[: desk.book.tables.portfolios.used])
    assert known > DESKS * SEQUENCES, "most books have a value"


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from(SETS), st.lists(st.sampled_from(sorted(EVENTS)), max_size=25))
def test_incremental_equals_full_for_chosen_events(seed: int, name: str, events: list[str]) -> None:
    desk = small_desk(seed, name, outcomes=seed % 2 == 1)
    for event in events:
        desk.happen(event)
        desk.book.evaluate()
    assert not unequal(desk.book)


@pytest.mark.parametrize("chunk", range(5))
def test_the_reference_values_the_state_alike(chunk: int) -> None:
    found = Comparison()
    for seed in range(chunk * 10, (chunk + 1) * 10):
        desk = small_desk(seed, SETS[seed % 2], checked=True, outcomes=seed % 5 > 2)
        for _ in range(4):
            for _ in range(6):
                desk.step()
            for portfolio, wanted in margin_model.evaluate(desk.exported(), REFERENCE[desk.name]).items():
                found.add(portfolio_result(desk.book, portfolio), wanted, f"desk {seed} after {desk.log[-6:]}: {portfolio}")
    assert not found.differences, "\n".join(found.differences[:10])
    assert found.counts["portfolios"] > 80


# -- what an evaluation says and costs -------------------------------------------------------------------------------------------


def test_an_evaluation_names_exactly_the_portfolios_whose_band_changed() -> None:
    changes = 0
    for seed in range(20):
        desk = small_desk(seed, SETS[seed % 2])
        for _ in range(40):
            desk.step()
            table = desk.book.tables.portfolios.table
            before = table["band"][: desk.book.tables.portfolios.used].tolist()
            named = desk.book.evaluate()
            after = desk.book.tables.portfolios.table["band"][: len(before)].tolist()
            assert sorted(named) == [row for row, (one, other) in enumerate(zip(before, after, strict=True)) if one != other], desk.log[-1]
            changes += len(named)
    assert changes > 20


def test_only_what_a_change_touches_is_evaluated() -> None:
    rows = [perpetual("a"), perpetual("b"), perpetual("e", 4e3, coin="ETH")]
    source = document(rows, [account("one", [held("a", 1.0)]), account("two", [held("b", 1.0)])], index={"BTC": 1e5, "ETH": 4e3})
    source["portfolios"] = [{"id": name, "accounts": [name]} for name in ("one", "two")]
    book = stress_book(source)
    costs = []
    marks, indices = book.market.set_mark, book.market.set_index
    for tell, name, price in (
        (marks, "elsewhere", 1.0),
        (marks, "e", 4e3),
        (marks, "a", 1.1e5),
        (indices, "ETH", 5e3),
        (indices, "BTC", 1.1e5),
        (indices, "BTC", 1.1e5),
    ):
        tell(name, price)
        before = book.statistics.portfolios
        book.evaluate()
        costs.append(book.statistics.portfolios - before)
    assert costs == [0, 0, 1, 0, 2, 0]
    assert book.statistics.evaluations == len(costs) + 1


# -- drift -----------------------------------------------------------------------------------------------------------------------


def _busy() -> Desk:
    desk = small_desk(11, "house")
    for _ in range(30):
        desk.step()
    desk.book.evaluate()
    return desk


def test_a_sound_book_has_no_drift() -> None:
    desk = _busy()
    assert desk.book.measure_drift() < TOLERANCE
    assert desk.book.statistics.drift < TOLERANCE


@pytest.mark.parametrize("field", ["slope", "gross", "value"])
def test_drift_notices_a_corrupted_sum(field: str) -> None:
    book = stress_book(document([perpetual()], [account("one", [held("v:perp", 2.0, entry=9e4)], equity=None)]))
    assert book.measure_drift() == 0.0
    book.tables.series.table[field][0] *= 1.001
    assert book.measure_drift() == 0.0, "nothing read the sum since"
    book.market.set_index("BTC", 1.0001e5)
    book.evaluate()
    drift = book.measure_drift()
    assert drift > 1e-7
    assert book.statistics.drift == drift


def test_drift_keeps_the_worst_that_was_seen() -> None:
    book = stress_book(document([perpetual()], [account("one", [held("v:perp", 2.0)])]))
    book.tables.portfolios.table["maintenance"][0] *= 2.0
    assert book.measure_drift() == 1.0
    book.market.set_mark("v:perp", 1.1e5)
    book.evaluate()
    assert book.measure_drift() == 0.0
    assert book.statistics.drift == 1.0


def test_drift_is_infinite_where_only_one_has_a_value() -> None:
    book = stress_book(document([perpetual()], [account("one", [held("v:perp", 2.0)])]))
    book.tables.portfolios.table["status"][0] = layout.MISSING_MARK
    assert book.measure_drift() == float("inf")
