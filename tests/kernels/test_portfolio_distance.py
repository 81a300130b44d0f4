"""The price move at which a portfolio reaches a ratio."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from kernels.distance import SCAN
from monitor.margin.portfolio import portfolio_result
from monitor.margin.portfolio_measures import ALL, portfolio_distances
from monitor.stress.book import StressBook
from tests.kernels.stress_books import BTC, DAY_S, REFERENCE, account, document, held, number, option, perpetual, result, stress_book
from tests.kernels.test_checked_modes import CHECKED
from tests.reference.books import Document, random_document
from tests.reference.margin_model import moved, result_of
from tests.reference.portfolio import Result

SETS = tuple(REFERENCE)
MOVES = [float(move) for move in SCAN]


def moves(source: Document, target: float = 1.0, coin: str = "BTC", name: str = "uta") -> tuple[float | None, float | None]:
    (found,) = portfolio_distances(stress_book(source, name), "p", coin, [target], source.get("beta", {}))
    return found


def ratio_after(found: Result, coin: str, move: float) -> float:
    return number(moved(found, coin, move).margin_ratio)


def one_account(instruments: list[Document], positions: list[Document], equity: float | None = 20e3, **more: Any) -> Document:
    own = {key: more.pop(key) for key in ("balances", "debts", "spot_hedging") if key in more}
    return document(instruments, [account("one", positions, equity=equity, **own)], **more)


# -- closed forms ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("quantity", "side"), [(1.0, 0), (-1.0, 1)])
@pytest.mark.parametrize("target", [0.85, 0.90, 1.0])
def test_one_perpetual(quantity: float, side: int, target: float) -> None:
    found = moves(one_account([perpetual()], [held("v:perp", quantity)]), target)
    # margin 0.1003 * 100,000 (1 + x) against 20,000 + q * 100,000 x
    exact = (target * 20e3 - 0.1003 * BTC) / (0.1003 * BTC - target * quantity * BTC)
    assert found[side] == pytest.approx(exact, abs=2e-9)
    assert found[1 - side] is None


def test_a_mark_apart_from_its_index_moves_with_it() -> None:
    source = one_account([perpetual(mark=90e3)], [held("v:perp", 1.0)])
    # E is charged on the index
    exact = (20e3 - 0.1 * 90e3 - 0.0003 * BTC) / (0.1 * 90e3 + 0.0003 * BTC - 90e3)
    assert moves(source)[0] == pytest.approx(exact, abs=2e-9)


def test_from_beyond_the_target_the_way_back_is_found() -> None:
    source = one_account([perpetual()], [held("v:perp", 1.0)], equity=9e3)
    exact = (9e3 - 0.1003 * BTC) / (0.1003 * BTC - BTC)
    assert number(result(source).margin_ratio) > 1.0
    down, up = moves(source)
    assert down is None
    assert up == pytest.approx(exact, abs=2e-9)


def test_an_inverse_perpetual() -> None:
    source = one_account([perpetual(settle="BTC", inverse=True)], [held("v:perp", BTC, entry=BTC)])
    # P&L of N (1/entry - 1/mark) at the index: N x, and the margin of a USD notional stays what it is but for E
    for move in (-0.5, -0.09, 0.3):
        equity = 20e3 + BTC * (1.0 / BTC - 1.0 / (BTC * (1 + move))) * BTC * (1 + move)
        assert equity == pytest.approx(20e3 + BTC * move, rel=1e-12)
    exact = (0.1 * BTC + 0.0003 * BTC - 20e3) / BTC
    assert moves(source)[0] == pytest.approx(exact, abs=2e-9)


def test_coin_collateral_falls_with_its_coin() -> None:
    cash = one_account([perpetual()], [held("v:perp", 1.0)], equity=40e3)
    coins = one_account(
        [perpetual()], [held("v:perp", 1.0)], equity=40e3, balances=[{"asset": "BTC", "total": 0.4, "collateral_ratio": 0.5}]
    )
    debt = one_account([perpetual()], [held("v:perp", 1.0)], equity=40e3, debts=[{"asset": "BTC", "amount": 0.2, "mm_rate": 0.0}])
    # a coin counts its ratio, a debt all of it
    for source, slope in ((cash, 1.0), (coins, 1.2), (debt, 0.8)):
        exact = (40e3 - 0.1003 * BTC) / (0.1003 * BTC - slope * BTC)
        assert moves(source)[0] == pytest.approx(exact, abs=2e-9)


def test_a_hedge_by_spot_is_taken_anew_at_every_price() -> None:
    balances = [{"asset": "BTC", "total": 1.0, "collateral_ratio": 0.95, "eligible_hedge": True}]
    source = one_account([perpetual()], [held("v:perp", -1.0)], equity=1e3, balances=balances, spot_hedging=True)
    # hedged margin 30 (1 + x), and 5 % of a coin of equity lost with a rise
    exact = (1e3 - 30.0) / (30.0 + 0.05 * BTC)
    down, up = moves(source)
    assert down is None
    assert up == pytest.approx(exact, abs=2e-9)


def test_an_equity_of_nothing_to_lose_has_no_distance() -> None:
    assert moves(one_account([perpetual()], [])) == (None, None)
    assert moves(one_account([perpetual()], [], equity=-5.0)) == (None, None)
    assert moves(one_account([perpetual()], [held("v:perp", 1e-4)], equity=1e9)) == (None, None)


# -- several coins ---------------------------------------------------------------------------------------------------------------


def two_coins(**beta: float) -> Document:
    rows = [perpetual(), perpetual("v:eth", 4e3, coin="ETH")]
    source = one_account(rows, [held("v:perp", 1.0), held("v:eth", 10.0)], equity=40e3, index={"BTC": BTC, "ETH": 4e3}, beta=beta)
    return source


def test_all_coins_move_each_by_its_beta() -> None:
    margins = (0.1003 * BTC, 0.1003 * 40e3)
    for beta in ({}, {"ETH": 1.5}, {"BTC": 0.5, "ETH": 2.0}, {"ETH": 0.0}, {"ETH": -1.0}):
        one, other = beta.get("BTC", 1.0), beta.get("ETH", 1.0)
        start, slope = 40e3 - sum(margins), (BTC - margins[0]) * one + (40e3 - margins[1]) * other
        assert moves(two_coins(**beta), coin=ALL)[0] == pytest.approx(-start / slope, abs=2e-9), beta


def test_one_coin_moves_alone_and_without_its_beta() -> None:
    margins = (0.1003 * BTC, 0.1003 * 40e3)
    start = 40e3 - sum(margins)
    assert moves(two_coins(BTC=3.0))[0] == pytest.approx(-start / (BTC - margins[0]), abs=2e-9)
    assert moves(two_coins(ETH=3.0), coin="ETH")[0] == pytest.approx(-start / (40e3 - margins[1]), abs=2e-9)
    assert moves(two_coins(), coin="DOGE") == (None, None)


def test_a_large_beta_takes_no_price_below_zero() -> None:
    # 60 % down takes BTC to nothing at beta 2, and ETH goes on falling
    source = two_coins(BTC=2.0)
    source["accounts"][0]["equity"] = 130e3
    exact = -(130e3 - BTC - 0.1003 * 40e3) / (40e3 - 0.1003 * 40e3)
    assert moves(source, coin=ALL)[0] == pytest.approx(exact, abs=1e-5)


def test_a_coin_without_a_unit_moves_its_balances() -> None:
    balances = [{"asset": "ETH", "total": 10.0, "collateral_ratio": 1.0}]
    source = one_account([perpetual()], [held("v:perp", 1.0)], equity=45e3, balances=balances, index={"BTC": BTC, "ETH": 4e3})
    assert moves(source, coin="ETH")[0] == pytest.approx(-(45e3 - 0.1003 * BTC) / 40e3, abs=2e-9)


# -- options ---------------------------------------------------------------------------------------------------------------------


def straddle(quantity: float, equity: float, **more: Any) -> Document:
    rows = [option("c", "call", BTC, **more), option("p", "put", BTC, **more)]
    return one_account(rows, [held("c", quantity), held("p", quantity)], equity=equity)


def test_a_short_straddle_is_in_danger_on_both_sides() -> None:
    source = straddle(-1.0, 40e3)
    down, up = moves(source)
    found = result_of(source, REFERENCE["uta"], "p")
    for move in (number(down), number(up)):
        before, after = (ratio_after(found, "BTC", move * (1 + nudge)) for nudge in (-1e-6, 1e-6))
        assert before < 1.0 < after
    assert number(down) < -0.1
    assert 0.1 < number(up) < 0.5


def test_a_book_that_is_not_monotone_gives_the_nearest_crossing() -> None:
    # a call sold at 130,000 and two bought at 160,000: up it gets worse, and far up it gets better again
    rows = [option("near", "call", 130e3), option("far", "call", 160e3)]
    source = one_account(rows, [held("near", -1.0), held("far", 2.0)], equity=25e3)
    found = result_of(source, REFERENCE["uta"], "p")
    ratios = [ratio_after(found, "BTC", move) for move in (0.0, 0.6, 4.0)]
    target = 0.8 * ratios[1]
    assert max(ratios[0], ratios[2]) < target < ratios[1], "the case is none without its hill"
    up = number(moves(source, target)[1])
    assert 0.0 < up < 0.6
    assert ratio_after(found, "BTC", up - 1e-7) < target < ratio_after(found, "BTC", up + 1e-7)
    # from the hill both feet are found
    hill = moved(found, "BTC", 0.6)
    source["accounts"][0]["equity"] = hill.equity
    source["index"]["BTC"] = 1.6 * BTC
    for row in source["instruments"]:
        row["forward"] = 1.6 * BTC
    assert number(result(source).margin_ratio) == pytest.approx(ratios[1], rel=1e-9)
    down, beyond = moves(source, target)
    assert 1.6 * (1.0 + number(down)) == pytest.approx(1.0 + up, abs=1e-8)
    assert 1.6 * (1.0 + number(beyond)) < 5.0
    above = [ratio_after(found, "BTC", 1.6 * (1.0 + number(beyond) + nudge) - 1.0) >= target for nudge in (-1e-7, 1e-7)]
    assert above == [True, False]


@pytest.mark.parametrize("settle", ["USDC", "BTC"])
@pytest.mark.parametrize("iv", [0.5, None])
def test_options_keep_their_volatility_and_a_published_mark_moves_with_the_model(settle: str, iv: float | None) -> None:
    # 8 % dearer than the model at 50 %: with iv the base is apart from it, without the volatility is the mark's own
    mark = 6_200.0 / (BTC if settle == "BTC" else 1.0)
    rows = [option("o", "call", BTC, settle=settle, iv=iv, mark=mark), perpetual()]
    source = one_account(rows, [held("o", -2.0), held("v:perp", 1.0)], equity=30e3, overrides={"BTC": {"option_base": "mark"}})
    found = result_of(source, REFERENCE["uta"], "p")
    down, up = moves(source, 0.9)
    assert down is not None
    assert up is not None
    for move in (down, up):
        near, far = ratio_after(found, "BTC", move * (1 - 1e-7)), ratio_after(found, "BTC", move * (1 + 1e-7))
        assert near < 0.9 < far
        assert near == pytest.approx(far, rel=1e-4), "continuous in the price"


def test_expired_options_move_by_their_intrinsic_value() -> None:
    rows = [option("o", "put", BTC, -DAY_S, iv=None)]
    source = one_account(rows, [held("o", -1.0)], equity=20e3)
    # at x < 0: equity 20,000 + 100,000 x, and nothing is shocked in the last seconds but the short option charged
    exact = -(20e3 - 0.015 * BTC) / (BTC - 0.015 * BTC)
    assert moves(source)[0] == pytest.approx(exact, abs=1e-8)


# -- against the reference -------------------------------------------------------------------------------------------------------


def distances(book: StressBook, coin: str, targets: list[float], beta: dict[str, float]) -> list[tuple[float | None, float | None]]:
    return portfolio_distances(book, "desk", coin, targets, beta)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("seed", range(1 if CHECKED else 5))
def test_distances_are_the_nearest_crossings_of_the_reference(seed: int, name: str) -> None:
    kind: dict[str, Any] = {"coins": ("BTC",)} if seed % 2 else {}
    kind |= {"outcomes": seed > 2}
    source = random_document(random.Random(seed), accounts=2, positions=3, **kind)
    book, found = stress_book(source, name), result_of(source, REFERENCE[name], "desk")
    targets = [0.85, 1.0]
    for coin in (ALL, *list(source["index"])[:1]):
        both = distances(book, coin, targets, source["beta"])
        ratios = {move: ratio_after(found, coin, move) for move in MOVES[:: 40 if CHECKED else 12]}
        for target, sides in zip(targets, both, strict=True):
            start = number(found.margin_ratio) >= target
            for side, move in zip((-1.0, 1.0), sides, strict=True):
                reach = math.inf if move is None else abs(move) - 1e-8
                nearer = [ratio for at, ratio in ratios.items() if 0.0 < at * side < reach]
                assert all((ratio >= target) == start for ratio in nearer)
                if move is not None:
                    before, after = (ratio_after(found, coin, move + side * nudge * max(1.0, abs(move))) for nudge in (-3e-9, 3e-9))
                    assert (before >= target) is start
                    assert (after >= target) is not start


def test_no_move_is_the_evaluated_ratio_itself() -> None:
    for seed in range(2 if CHECKED else 20):
        source = random_document(random.Random(seed), accounts=3, orders=True)
        book = stress_book(source, "house")
        ratio = portfolio_result(book, "desk").margin_ratio
        if ratio is None or not 0.0 < ratio < math.inf:
            continue
        # a target a hair above the ratio of now is reached within a hair
        (down, up), *_ = distances(book, ALL, [ratio * (1 + 1e-9)], {})
        assert min(abs(move) for move in (down, up, 9.0) if move is not None) < 1e-6


def test_distances_leave_the_book_as_it_was_and_repeat() -> None:
    source = random_document(random.Random(1), accounts=2, options=not CHECKED)
    book = stress_book(source, "house")
    before = {name: repr(array.tolist()) for name, array in book.tables.book._asdict().items()}
    first = distances(book, ALL, [0.85, 1.0], {})
    assert distances(book, ALL, [0.85, 1.0], {}) == first
    assert any(move is not None for sides in first for move in sides)
    for name, array in book.tables.book._asdict().items():
        assert repr(array.tolist()) == before[name], name
    assert book.evaluate() == []
    assert distances(book, ALL, [0.85, 1.0], {}) == first


def test_without_a_ratio_there_is_no_distance() -> None:
    missing = one_account([perpetual(), perpetual("q", None)], [held("v:perp", 1.0), held("q", 1.0)])
    assert moves(missing) == (None, None)
    unvalued = one_account([perpetual()], [held("v:perp", 1.0)], equity=None)
    assert result(unvalued).maintenance_margin is not None
    assert moves(unvalued) == (None, None)
