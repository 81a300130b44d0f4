"""`explain`: every sum it prints is computed anew and is the engine's, and a difference would be seen."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from monitor.explain.explanation import explain
from monitor.explain.writing import Check, Explanation, price, usd
from monitor.stress.book import StressBook
from monitor.stress.load import book_of
from tests.kernels.stress_books import BTC, account, document, held, perpetual
from tests.monitor import saved_book
from tests.reference.books import random_document
from tests.reference.margin_model import HOUSE, UTA, evaluate

CUTS = (0.83, 0.85, 0.88, 0.9, 0.98, 1.0)
SETS = pytest.mark.parametrize("name", ["uta", "house"])
REFERENCE = {"uta": UTA, "house": HOUSE}


def evaluated(document: dict[str, Any], name: str = "uta") -> StressBook:
    snapshot, parameters = saved_book.resolved(document, name)
    return book_of(snapshot, parameters, CUTS)


def text(found: Explanation) -> str:
    return "\n".join(found.lines)


def named(found: Explanation, what: str) -> Check:
    return next(check for check in found.checks if check.what == what)


# -- equal to the engine, and to the reference ----------------------------------------------------------------------------------------


@SETS
@pytest.mark.parametrize("kind", [{}, {"exact_hedges": True}, {"outcomes": True}], ids=["any", "exact-hedges", "outcomes"])
def test_every_explained_sum_is_the_engine_s(name: str, kind: dict[str, Any]) -> None:
    seen, bound = 0, 0
    for seed in range(30):
        document = random_document(random.Random(seed), failures=seed % 5 == 4, **kind)
        book = evaluated(document, name)
        for portfolio in book.accounts.portfolios:
            found = explain(book, portfolio)
            size = max((abs(check.engine) for check in found.checks if math.isfinite(check.engine)), default=0.0)
            for check in found.checks:
                assert check.agrees, (seed, portfolio, check)
                if math.isfinite(check.engine):
                    assert abs(check.explained - check.engine) <= 1e-9 * max(abs(check.engine), 1e-3 * size), (seed, portfolio, check)
                    bound += check.engine != 0.0
            seen += len(found.checks)
            assert text(found).count("✓") == len(found.checks)
            assert "MISMATCH" not in text(found)
    assert seen > 2_000
    assert bound > 1_000


@SETS
def test_the_explained_totals_are_the_reference_s(name: str) -> None:
    compared = 0
    for seed in range(100, 115):
        document = random_document(random.Random(seed))
        book = evaluated(document, name)
        for portfolio, expected in evaluate(document, REFERENCE[name]).items():
            found = explain(book, portfolio)
            keys = {"MM": "maintenance_margin", "equity": "equity", "liquidity": "liquidity", "borrow": "borrow", "buffer": "buffer"}
            for what, key in keys.items():
                scale = max(abs(expected[key]), 1e-4 * expected["maintenance_margin"])
                assert named(found, what).explained == pytest.approx(expected[key], rel=1e-10, abs=1e-10 * scale)
            for what in ("sum", "joint", "shift"):
                scale = 1e-10 * max(1.0, expected["gross_notional"])
                assert named(found, f"L_{what}").explained == pytest.approx(expected["loss"][what], rel=1e-10, abs=scale)
            initial = next(check for check in found.checks if check.what.startswith("IM ("))
            assert initial.explained == pytest.approx(expected["initial_margin"], rel=1e-10)
            compared += 1
    assert compared > 20


def test_each_unit_lists_every_term() -> None:
    found = explain(evaluated(saved_book.book()), "desk")
    whats = [check.what.split()[0] for check in found.checks if "MM" not in check.what]
    for what in ("delta", "gamma", "vega", "hedging", "max_loss", "A", "B", "C", "D1", "D2", "E", "order_loss", "IM"):
        assert whats.count(what) >= 2, what
    assert [check.what for check in found.checks if check.what.startswith("MM C")].count("MM C (positions)") == 2


# -- a difference would be seen -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "field", "what"),
    [
        ("units", "max_loss", "max_loss"),
        ("units", "maintenance", "MM C (positions)"),
        ("units", "charge", "C  stablecoin_spread"),
        ("units", "hedge", "hedging spot h"),
        ("portfolios", "loss_shift", "L_shift"),
        ("portfolios", "maintenance", "MM"),
        ("portfolios", "liquidity", "liquidity"),
        ("portfolios", "equity", "equity"),
        ("portfolios", "ratio", "margin_ratio"),
    ],
)
def test_a_wrong_figure_of_the_engine_is_a_visible_mismatch(table: str, field: str, what: str) -> None:
    book = evaluated(saved_book.book(), "house")
    rows = getattr(book.tables, table).table
    rows[field] += 0.01
    found = explain(book, "desk")
    assert what in {check.what for check in found.mismatches}
    line = next(line for line in found.lines if line.strip().startswith(f"{what} = ") and "✗" in line)
    assert "MISMATCH: the engine says" in line


def test_rounding_is_no_mismatch_and_more_is_one() -> None:
    assert Check("", 1.0 + 1e-10, 1.0, 0.0).agrees
    assert not Check("", 1.0 + 1e-8, 1.0, 0.0).agrees
    assert Check("", 1e-7, 0.0, 1e6).agrees
    assert not Check("", 1e-5, 0.0, 1e6).agrees
    assert Check("", math.inf, math.inf, 0.0).agrees
    assert not Check("", math.inf, 1.0, 0.0).agrees


# -- what is printed ------------------------------------------------------------------------------------------------------------------


def test_hedged_perpetuals_leave_the_charge_on_their_gross_quantity() -> None:
    found = text(explain(evaluated(saved_book.two_hedged_perpetuals()), "portfolio"))
    assert "E  perpetual_future = gross 20 coins x 0.0003 x I 100,000 = 600.00 ✓" in found
    assert "max_loss = max(0, 0.00) = 0.00 ✓" in found
    assert "MM = the largest of the choices = 600.00 ✓" in found
    assert "margin_ratio = 600.00 / 200,000.00 = 0.003 ✓" in found


def test_the_terms_of_an_option_are_printed() -> None:
    lines = text(explain(evaluated(saved_book.book()), "desk", ["BTC"])).splitlines()
    first = next(number for number, line in enumerate(lines) if line.strip().startswith(f"{saved_book.CALL}: call 110,000"))
    assert "on forward 101,000; 33.8333 days, DTE 34, T 0.0926941 years" in lines[first]
    # sigma' = sigma * (1 + s * (30 / 34) ^ 0.3)
    assert "sigma 0.42 (told), up 0.517085, down 0.339096; base" in lines[first + 1]
    assert "delta " in lines[first + 2]
    assert "Unit ETH" not in "\n".join(lines)


def test_an_implied_volatility_and_a_mark_base_say_so() -> None:
    document = saved_book.book(overrides={"BTC": {"option_base": "mark"}})
    document["instruments"][3] |= {"iv": None, "mark": 0.02}
    found = text(explain(evaluated(document), "desk", ["BTC"]))
    assert "(implied from the mark)" in found
    assert "base 2,020 (mark)" in found


def test_the_binding_group_and_scenario_are_marked() -> None:
    found = explain(evaluated(saved_book.book()), "desk", ["BTC"])
    assert "binding: sell_orders, the unit's own largest" in text(found)
    starred = [line for line in found.lines if line.endswith(" *")]
    assert len(starred) == 1
    assert starred[0].split()[0] == "+0.1"


def test_regime_and_extreme_nodes_are_shown() -> None:
    document = saved_book.book(daily_volatility={"BTC": 0.05})
    found = text(explain(evaluated(document, "house"), "desk", ["BTC"]))
    assert "regime = clip((daily volatility 0.05 / 0.025) ^ 0.5, 1, 2) = 1.41421" in found
    assert "extreme nodes: +-2 R at weight 0.35" in found
    assert " x 0.35" in found


def test_each_instrument_s_liquidity_charge_is_shown() -> None:
    lines = [line.split() for line in explain(evaluated(saved_book.book(), "house"), "desk").lines]
    # 200,021 * 0.025 * sqrt(200,021 / (0.5 * 2.5e9))
    assert ["hyperliquid:BTC", "200,021.00", "2,500,000,000.00", "0.025", "0.000316244", "63.26"] in lines
    assert ["hyperliquid:ETH", "140,020.00", "unknown", "unknown", "0.1", "14,002.00"] in lines
    option = next(line for line in lines if line[:1] == [saved_book.CALL] and "unknown" in line)
    assert option[-2] == option[-1]


@pytest.mark.parametrize(
    ("fx", "charged"),
    [
        (0.95, "x 0.05 (|fx USDT 0.95 - 1|, wider than f_C 0.0075) x I 100,000"),
        (0.999, "x 0.0075 (f_C; |fx USDT 0.999 - 1| is within it) x I 100,000"),
    ],
)
def test_which_factor_a_cross_stablecoin_hedge_pays_is_shown(fx: float, charged: str) -> None:
    rows = [perpetual("c"), perpetual("t", BTC / fx, settle="USDT")]
    source = document(rows, [account("one", [held("c", 10.0)]), account("two", [held("t", -10.0)])], fx={"USDC": 1.0, "USDT": fx})
    found = explain(evaluated(source), "p")
    check = named(found, "C  stablecoin_spread")
    assert check.agrees
    assert check.engine == pytest.approx(max(0.0075, 1.0 - fx) * 10 * BTC, rel=1e-12)
    assert charged in text(found)


def test_a_unit_without_a_stablecoin_has_no_gap_to_show() -> None:
    found = explain(evaluated(document([perpetual("u", settle="USD")], [account("one", [held("u", 1.0)])])), "p")
    assert "x 0.0075 (f_C; no stablecoin has a delta)" in text(found)


def test_what_no_price_moves_is_told_apart_from_what_moves() -> None:
    found = text(explain(evaluated(saved_book.book()), "desk"))
    assert "hl-main hyperliquid:BTC: -2 x (100,010.5 - 99,000) x fx 1 = -2,021.00" in found
    assert "hl-main: what no price moves = told 60,000.00 - these -1.00 = 60,001.00 ✓" in found
    assert "options: debt of 1,000 USDC x 1 = -1,000.00" in found
    assert "options: 1,000 USDC x 1 x 0.02 = 20.00; initial x 0.1 = 100.00" in found


def test_a_unit_without_a_value_says_why_and_the_others_are_explained() -> None:
    found = explain(evaluated(saved_book.without_price_of_the_call()), "desk")
    assert found.failed
    assert f"no value: MISSING_IV: no implied volatility of {saved_book.CALL}" in text(found)
    assert "Unit ETH of portfolio desk" in text(found)
    assert "Unit BTC" not in text(found)
    assert "no margin while a unit or a debt has no value" in text(found)


def test_margins_are_explained_without_an_equity() -> None:
    document = saved_book.book()
    del document["accounts"][1]["equity"], document["accounts"][1]["positions"][0]["entry"]
    found = explain(evaluated(document), "desk")
    assert "equity has no value, so there is no ratio" in text(found)
    assert named(found, "MM").agrees
    assert "equity" not in {check.what for check in found.checks}


def test_a_coin_the_portfolio_does_not_hold_is_said() -> None:
    found = explain(evaluated(saved_book.book()), "desk", ["SOL"])
    assert "no unit SOL" in text(found)
    assert not found.checks


def test_figures_are_written_for_people() -> None:
    assert [usd(value) for value in (1234.567, 0.0, -0.0, 1.5e-5, -3.0)] == ["1,234.57", "0.00", "0.00", "1.5e-05", "-3.00"]
    assert [price(value) for value in (100_010.5, 1.15e-5, -0.0)] == ["100,010.5", "1.15e-05", "0"]
