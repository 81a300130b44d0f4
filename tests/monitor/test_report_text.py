"""The report for people: the figures of the document, several sets side by side, and every doubt said."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from rich.console import Console

from config.portfolios import Eligibility
from monitor.report.document import margin_report
from monitor.report.text import NEXT_STEP, print_report
from monitor.report.text_parts import brief, level_text, money, move, ratio, times
from tests.monitor import saved_book

Document = dict[str, Any]


def reported(document: Document, name: str = "uta", **options: Any) -> Document:
    return margin_report(*saved_book.resolved(document, name), **options)


def printed(*documents: Document, width: int = 100) -> str:
    console = Console(width=width, highlight=False)
    with console.capture() as capture:
        print_report(console, documents)
    return capture.get()


def row(text: str, label: str) -> list[str]:
    """The cells of the first line that begins with a label."""
    line = next(line for line in text.splitlines() if line.strip().startswith(f"{label}  "))
    return [cell.strip() for cell in line.strip().removeprefix(label).split("  ") if cell.strip()]


def one_line(text: str) -> str:
    return " ".join(text.split())


# -- figures --------------------------------------------------------------------------------------------------------------------------


def test_the_totals_are_the_document_s() -> None:
    document = reported(saved_book.book(), "house")
    (portfolio,) = document["portfolios"]
    text = printed(document)
    for label, value in {
        "equity": portfolio["equity"],
        "maintenance margin": portfolio["maintenance_margin"],
        "initial margin": portfolio["initial_margin"],
        "excess over maintenance": portfolio["excess"],
        "available over initial": portfolio["available"],
        "L_sum: every coin at its own worst": portfolio["loss"]["sum"],
        "L_joint: all coins move together": portfolio["loss"]["joint"],
        "L_shift: offsets partly gone": portfolio["loss"]["shift"],
        "liquidity": portfolio["liquidity"],
        "buffer": portfolio["buffer"],
        "borrow": portfolio["borrow"],
        "family directional": portfolio["families"]["directional"],
        "family correlation": portfolio["families"]["correlation"],
        "mode cross: maintenance": portfolio["cross"]["maintenance_margin"],
        "mode portfolio: maintenance": portfolio["maintenance_margin"],
        "hedge benefit": portfolio["hedge_benefit"],
    }.items():
        assert row(text, label) == [f"{value:,.2f}"], label
    parts = [portfolio["loss"]["shift"], portfolio["liquidity"], portfolio["buffer"], portfolio["borrow"]]
    charged = float(row(text, "contingencies and order losses")[0].replace(",", ""))
    assert math.fsum([*parts, charged]) == pytest.approx(portfolio["maintenance_margin"], abs=0.01)
    assert row(text, "margin ratio") == [f"{math.floor(1000 * portfolio['margin_ratio']) / 10:.1f}%"]
    assert row(text, "gross notional (times equity)") == [
        f"{portfolio['gross_notional']:,.2f} ({portfolio['gross_notional'] / 90_000:.1f}x)"
    ]
    assert row(text, "saving against cross") == [f"{100 * portfolio['cross']['saving']:.1f} %"]


def test_units_contingencies_and_contributions_are_the_document_s() -> None:
    document = reported(saved_book.book())
    (portfolio,) = document["portfolios"]
    text = printed(document)
    lines = [line.split() for line in text.splitlines()]
    for unit in portfolio["units"]:
        worst = [f"{100 * unit['worst'][key]:+.2f}%" for key in ("price", "vol")]
        margins = [f"{unit[key]:,.0f}" for key in ("maintenance_margin", "initial_margin")]
        assert any(line[:1] == [unit["coin"]] and worst == line[-6:-4] and margins == line[-2:] for line in lines)
        greeks = [f"{unit[key]:,.6g}" for key in ("delta", "gamma", "vega", "hedging_spot")]
        assert [unit["coin"], *greeks] in lines
        charges = [brief(value) for value in (*unit["contingency"].values(), unit["order_loss"])]
        assert [unit["coin"], *charges] in lines
    for position in (position for unit in portfolio["units"] for position in unit["positions"]):
        figures = [f"{position[key]:+,.0f}" for key in ("contribution", "standalone", "leave_one_out")]
        name = [position["account"], position["instrument"]]
        assert any(line[:2] == name and line[-3:] == figures for line in lines), position


def test_contributions_are_sorted_by_size_and_show_their_sign() -> None:
    text = printed(reported(saved_book.book()))
    names = ["hl-main hyperliquid:BTC", "hl-main hyperliquid:ETH", "aster-1 aster:BTCUSDT", f"options {saved_book.CALL}"]
    places = [text.index(name) for name in names]
    assert places == sorted(places)
    assert "+25,078" in text
    assert "-9,221" in text


def test_distances_are_the_document_s() -> None:
    document = reported(saved_book.with_equity(45_000.0))
    (portfolio,) = document["portfolios"]
    text = printed(document)
    moves = [portfolio["distance"]["ETH"][target][side] for target in ("0.85", "0.9", "1.0") for side in ("down", "up")]
    assert any(value is not None for value in moves)
    assert ["ETH", *("none" if value is None else f"{100 * value:+.2f}%" for value in moves)] in [
        line.split() for line in text.splitlines()
    ]


def test_sets_stand_side_by_side_and_are_named_with_their_dates() -> None:
    documents = [reported(saved_book.book(), name) for name in ("uta", "house")]
    text = printed(*documents)
    margins = [f"{document['portfolios'][0]['maintenance_margin']:,.2f}" for document in documents]
    assert row(text, "maintenance margin") == margins
    assert row(text, "USD") == ["uta of 2026-11-21", "house of 2026-11-21"]
    assert "desk under uta of 2026-11-21" in text
    assert text.index("desk under uta") < text.index("desk under house")
    assert text.count("what happens next: nobody acts") == 1


@pytest.mark.parametrize("name", ["uta", "house"])
def test_it_fits_100_columns(name: str) -> None:
    text = printed(reported(saved_book.with_funding(), name), reported(saved_book.with_funding(), "house"))
    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text
    assert "…" not in text


def test_it_is_made_of_the_document_alone() -> None:
    document = reported(saved_book.with_pools())
    assert printed(json.loads(json.dumps(document))) == printed(document)


# -- what a reader has to know --------------------------------------------------------------------------------------------------------


def test_it_says_that_nobody_acts_on_the_number() -> None:
    text = one_line(printed(reported(saved_book.book())))
    assert one_line(NEXT_STEP) in text
    assert "no venue liquidates a portfolio across venues" in text


def test_above_85_per_cent_it_says_what_brings_it_back() -> None:
    document = reported(saved_book.with_equity(30_000.0))
    (portfolio,) = document["portfolios"]
    text = one_line(printed(document))
    assert f"back to 85 %: add {portfolio['cash_to_safety']:,.2f} USD" in text
    assert f"or trade {portfolio['reduction']['quantity']:+,.8g} of one position, hl-main hyperliquid:ETH" in text
    assert row(printed(document), "level") == ["critical"]
    assert "back to 85 %" not in printed(reported(saved_book.book()))


def test_it_says_when_no_single_position_is_enough() -> None:
    assert "closing the worst position alone is not enough" in printed(reported(saved_book.with_equity(5_000.0)))


def test_an_infinite_ratio_is_written() -> None:
    text = printed(reported(saved_book.with_equity(-100.0)))
    assert row(text, "margin ratio") == ["infinite"]
    assert row(text, "level") == ["liquidation"]
    assert row(text, "gross notional (times equity)") == [f"{467_629.33:,.2f}"]


def test_a_failure_says_what_is_missing_and_what_to_do() -> None:
    text = printed(reported(saved_book.without_price_of_the_call()))
    assert f"no value: MISSING_IV: no implied volatility of {saved_book.CALL}" in one_line(text)
    assert 'give the option its "iv", or a "mark" from which it can be implied' in one_line(text)
    assert row(text, "level") == ["unknown"]
    assert row(text, "maintenance margin") == ["-"]
    assert [line for line in text.splitlines() if line.split()[:1] == ["ETH"]]
    assert not [line for line in text.splitlines() if line.split()[:2] == ["BTC", "sell"]]


def test_a_portfolio_that_is_not_eligible_says_why_and_shows_both_modes() -> None:
    document = reported(saved_book.book(), rules=lambda portfolio: Eligibility(acknowledged=True, coins=("BTC",)))
    (portfolio,) = document["portfolios"]
    text = printed(document)
    assert row(text, "method") == ["cross (not eligible)"]
    assert row(text, "maintenance margin") == [f"{portfolio['cross']['maintenance_margin']:,.2f}"]
    assert row(text, "mode portfolio: maintenance") == [f"{portfolio['portfolio']['maintenance_margin']:,.2f}"]
    assert "not eligible for the portfolio method, margined by cross: it holds coins that are not listed: ETH" in one_line(text)


def test_a_comparator_without_a_value_is_said_and_does_not_hide_the_portfolio() -> None:
    document = saved_book.book()
    del document["instruments"][2]["tiers"]
    text = printed(reported(document))
    assert "cross: no value: UNKNOWN_TIER: hyperliquid:ETH has no tiers" in one_line(text)
    assert row(text, "mode cross: maintenance") == ["-"]
    assert row(text, "level") == ["ok"]


def test_every_assumption_is_listed() -> None:
    document = reported(saved_book.book(beta={}), "house")
    text = one_line(printed(document))
    (portfolio,) = document["portfolios"]
    assert len(portfolio["assumptions"]) > 4
    for sentence in portfolio["assumptions"]:
        assert f"- {sentence}" in text
    assert "2 instruments pay the liquidity cap for want of volume or volatility" in text


def test_accounts_with_pools_are_shown_by_their_own_rule_and_in_each_mode() -> None:
    document = reported(saved_book.with_pools())
    text = printed(document)
    assert "Accounts, by their venue's own rule" in text
    assert "hl-main USDC: what happens next: nothing before 100%" in one_line(text)
    lines = [line.split() for line in text.splitlines()]
    for mode in ("standard", "unified", "portfolio"):
        assert [line for line in lines if line[:2] == ["hl-main", mode]]
    assert "Accounts, by" not in printed(reported(saved_book.book()))


def test_venues_are_shown_on_their_own_and_gone() -> None:
    document = reported(saved_book.with_pools())
    (portfolio,) = document["portfolios"]
    text = printed(document)
    for venue, left in portfolio["venue_out"].items():
        assert any(line.split()[:2] == [venue, f"{left['equity']:,.2f}"] for line in text.splitlines()), venue
    largest = portfolio["concentration"]
    assert f"concentration: {largest['coin']} is {math.floor(1000 * largest['share']) / 10:.1f}% of the units' margin" in text


def test_distances_that_cannot_be_told_say_why() -> None:
    text = one_line(printed(reported(saved_book.without_price_of_the_call())))
    assert f"distance: unknown, because no implied volatility of {saved_book.CALL}" in text
    assert "price of" not in text


def test_pools_without_a_value_are_not_passed_over() -> None:
    text = printed(reported(saved_book.book()))
    assert "first to be liquidated down of the 2 pools with a value: " in text
    assert "unknown: options/account, which may be liquidated before" in text
    assert [line.split()[-3:] for line in text.splitlines() if line.split()[:2] == ["deribit", "options"]] == [["unknown"] * 3]
    whole = printed(reported(saved_book.two_hedged_perpetuals()))
    assert "first to be liquidated down: hyperliquid on hyperliquid" in whole
    assert "may be liquidated before" not in whole


def alone(venue: str, **changes: Any) -> Document:
    document = saved_book.book(portfolios=[{"id": "one", "accounts": ["aster-1"]}])
    document["accounts"][1] |= {"venue": venue} | changes
    return document


def test_one_account_is_told_what_its_own_venue_does() -> None:
    unified = one_line(printed(reported(alone("bybit"))))
    assert "if bybit margins aster-1 like this, what happens now: nothing; debts are repaid automatically from 85 %" in unified
    both = one_line(printed(reported(alone("bybit")), reported(alone("bybit"), "house")))
    assert "under house of 2026-11-21, if bybit" in both
    assert "what happens next: unknown: aster liquidates aster-1 by its own rule" in one_line(printed(reported(alone("aster"))))
    pooled = saved_book.with_pools() | {"portfolios": [{"id": "one", "accounts": ["hl-main"]}]}
    rule = one_line(printed(reported(pooled)))
    assert "what happens next, by the rule of hyperliquid, pool USDC: nothing before 100%" in rule
    assert not [text for text in (unified, both, rule) if "nobody acts on this number" in text]


def test_with_its_only_venue_gone_nothing_is_left() -> None:
    text = printed(reported(alone("bybit")))
    assert "without bybit: every account of portfolio one is on bybit: nothing is left" in text
    assert "venue gone" not in text


def test_unknown_volumes_are_listed() -> None:
    (line,) = [line for line in printed(reported(saved_book.book()), width=200).splitlines() if line.startswith("notional over 24 h")]
    assert set(line.partition("; unknown: ")[2].strip().split(", ")) == {"hyperliquid:ETH", saved_book.CALL}
    assert "notional over 24 h volume: unknown: " in printed(reported(saved_book.book(volume_24h_usd={})))


def test_remedies_are_written_once_and_fit_stablecoins_and_coins() -> None:
    document = saved_book.book()
    del document["accounts"][0]["equity"]
    document["accounts"][0]["balances"] = [{"asset": "DAI", "total": 1.0}]
    assert 'no USD index of DAI -> give it under "fx" for a stablecoin, under "index" for a coin' in one_line(printed(reported(document)))
    document = saved_book.book()
    del document["instruments"][2]["tiers"]
    assert 'give the instrument its "tiers"' not in printed(reported(document))


def test_under_cross_the_remedy_is_that_of_cross() -> None:
    document = saved_book.two_hedged_perpetuals()
    for account in document["accounts"]:
        account["equity"] = 5_000.0
    text = one_line(printed(reported(document, rules=lambda portfolio: Eligibility(acknowledged=True, enabled=False))))
    assert f"back to 85 % by the cross method: add {20_000.0 / 0.85 - 10_000.0:,.2f} USD" in text
    assert "or reduce" not in text
    assert "or trade" not in text
    assert "the portfolio method's ratio, which does not stand, gets there" in text


# -- parts ----------------------------------------------------------------------------------------------------------------------------


def test_figures_are_written_for_people() -> None:
    assert [money(value) for value in (None, 1234.5, -0.004, "Infinity", "-Infinity")] == [
        "-",
        "1,234.50",
        "-0.00",
        "infinite",
        "-infinite",
    ]
    assert [money(value, signed=True) for value in (1.0, -1.0, None)] == ["+1.00", "-1.00", "-"]
    assert [brief(value) for value in (999.99, 999.995, 1234.5, -5678.9, None, "Infinity")] == [
        "999.99", "1,000", "1,234", "-5,679", "-", "infinite",
    ]  # fmt: skip
    assert [ratio(value) for value in (None, 0.8999, "Infinity")] == ["-", "89.9%", "infinite"]
    assert [move(value) for value in (None, -0.1234, 0.5)] == ["none", "-12.34%", "+50.00%"]
    assert [times(value, equity) for value, equity in ((10.0, 4.0), (10.0, 0.0), (None, 1.0), (1.0, None))] == [" (2.5x)", "", "", ""]
    assert level_text(None).plain == "unknown"


# -- next funding ---------------------------------------------------------------------------------------------------------------------


def test_it_says_what_is_paid_next_and_what_that_does() -> None:
    document = reported(saved_book.with_funding())
    text = one_line(printed(document))
    (account,), (portfolio,) = document["accounts"], document["portfolios"]
    after = [ratio(one["next_funding"]["ratio_after"]) for one in (account, portfolio)]
    assert f"hl-main USDC: next funding at 2026-11-21T13:00:00Z: +5.30 USDC; margin ratio after it {after[0]}" in text
    assert f" next funding at 2026-11-21T13:00:00Z: +5.30 USD; margin ratio after it {after[1]}" in text
    assert "next funding" not in printed(reported(saved_book.with_pools()))


def test_it_says_why_a_payment_is_unknown_and_that_a_rate_is_old() -> None:
    document = saved_book.with_funding()
    document["instruments"][0]["funding"]["rate"] = None
    document["instruments"][2]["funding"]["next_time"] = "2026-11-21T11:00:00Z"
    text = one_line(printed(reported(document)))
    assert "next funding at 2026-11-21T13:00:00Z: no value: MISSING_FUNDING: no funding rate of hyperliquid:BTC was told" in text
    document["instruments"][0]["funding"]["rate"] = 0.0000125
    assert "+5.30 USDC (at rates told for a time that has passed); margin ratio" in one_line(printed(reported(document)))


def test_it_prints_a_report_that_was_saved_before_it_told_funding() -> None:
    document = reported(saved_book.with_pools())
    for one in (*document["portfolios"], *document["accounts"]):
        del one["next_funding"]
    assert "next funding" not in printed(document)
