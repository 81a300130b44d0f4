from __future__ import annotations

import dataclasses
from decimal import ROUND_CEILING
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.events import FailureReason
from connectors.model import PositionSide
from monitor.alerts.incident import Change, Notification
from monitor.alerts.rules import Rule
from monitor.alerts.scope import AlertScope, ScopeKind
from monitor.alerts.text import NEXT_STEP, TITLE_LIMIT, amount, clean, duration, percent, render, symbol
from monitor.live.reading import PortfolioReading
from monitor.margin.result import Failure, Level, PoolKind, PoolResult
from tests.monitor.alerts.notes import note

ADDRESS = "0xabcdef0123456789abcdef0123456789abcdef01"
FULL: dict[str, Any] = {
    "cash_to_safety": 1_840_000 / 0.85 - 2_000_000,
    "reduce": ("hyperliquid:BTC", 21.96),
    "worst_instrument": "hyperliquid:BTC",
    "worst_distance": 0.0319,
}
ACCOUNT = AlertScope.of_account("hyperliquid", "hl-main")
CRITICAL, LIQUIDATION, WARNING = Level.CRITICAL, Level.LIQUIDATION, Level.WARNING


def line_of(notification: Notification, word: str) -> str:
    """The one line of the details that begins so."""
    (found,) = [line for line in render(notification).details if line.startswith(f"{word}: ")]
    return found.removeprefix(f"{word}: ")


def test_the_first_line_of_a_page(pools: Any) -> None:
    text = render(note(pools(0.92, **FULL)), "https://desk.example/#alert=x")
    expected = "CRITICAL 92% hl-main/USDC: 160k left of 2.00M; liquidates BTC +3.1%; add 165k USDC or buy 22 BTC -> 85%; data 0.4s"
    assert text.title == expected
    assert text.details == (
        "scope: pool hyperliquid hl-main/USDC (unified)",
        "level: CRITICAL (was OK), fired, open for 0.0s; levels 85% / 90% / 100%",
        "ratio: 92% now, 92% at crossing",
        "money: equity 2,000,000.00, maintenance 1,840,000.00, excess 160,000.00 USDC",
        "worst: liquidated by BTC +3.1%",
        "next: nothing before 100%; then market orders (above 100k USDC 20% first, 30 s cooldown, then full size); "
        "above 150% the backstop takes the pool's positions and margin; equity below 0: ADL",
        "safety: add 165k USDC or buy 22 BTC -> 85% (each alone)",
        "data: 0.4s old",
        "link: https://desk.example/#alert=x",
        "incident: hyperliquid/hl-main/USDC/margin_level",
    )
    assert text.full == "\n".join((text.title, *text.details))


def test_the_course_of_an_alert(pools: Any) -> None:
    down = {"reduce": ("hyperliquid:xyz:NVDA", -3.2), "worst_instrument": "hyperliquid:xyz:NVDA", "worst_distance": -0.0519}
    short = {"excess": -40_000.0, "reduce": ("hyperliquid:BTC", 1.0), "worst_instrument": "hyperliquid:BTC", "worst_distance": 0.0}
    bare = {"equity": -5_000.0, "excess": -1_845_001.0}
    course = [
        note(pools(0.86, **down), WARNING),
        note(pools(0.905, **down), CRITICAL, WARNING, Change.ESCALATED),
        note(pools(0.9599, **down), CRITICAL, CRITICAL, Change.WORSENED, ratio_before=0.905),
        note(pools(1.02, **short), LIQUIDATION, CRITICAL, Change.ESCALATED),
        note(pools(float("inf"), **bare), LIQUIDATION, LIQUIDATION, Change.WORSENED, ratio_before=1.02),
        note(pools(0.89), CRITICAL, LIQUIDATION, Change.DEESCALATED),
        note(pools(0.89), CRITICAL, CRITICAL, Change.REPEATED, opened_s=0.0, now_s=905.0),
        note(pools(0.7, **{**down, "excess": 600_000.0}), Level.OK, CRITICAL, Change.RESOLVED),
    ]
    assert [render(one).title for one in course] == [
        "WARNING 86% hl-main/USDC: 160k left of 2.00M; liquidates xyz:NVDA -5.1%; sell 3.2 xyz:NVDA -> 85%; data 0.4s",
        "CRITICAL 90.5% hl-main/USDC: up from WARNING; 160k left of 2.00M; liquidates xyz:NVDA -5.1%; sell 3.2 xyz:NVDA -> 85%",
        "CRITICAL 95.9% hl-main/USDC: up from 90.5%; 160k left of 2.00M; liquidates xyz:NVDA -5.1%; sell 3.2 xyz:NVDA -> 85%",
        "LIQUIDATION 102% hl-main/USDC: up from CRITICAL; 40.0k short, equity 2.00M; buy 1 BTC -> 85%; data 0.4s",
        "LIQUIDATION no equity hl-main/USDC: up from 102%; 1.85M short, equity -5.00k; data 0.4s",
        "CRITICAL 89% hl-main/USDC: down from LIQUIDATION; 160k left of 2.00M; data 0.4s",
        "CRITICAL 89% hl-main/USDC: for 15min; 160k left of 2.00M; data 0.4s",
        "RESOLVED 70% hl-main/USDC: was CRITICAL; 600k left of 2.00M; data 0.4s",
    ]


def test_unusable_data_are_said(pools: Any) -> None:
    failed: dict[str, Any] = {"ratio": 0.92, "ratio_at_crossing": 0.92, "frozen": True}
    problem = "STALE_ACCOUNT: no account frame for 25 s"
    data = note(pools.failed(), CRITICAL, rule=Rule.DATA, detail=problem, **failed)
    assert render(data).title == "CRITICAL no data hl-main/USDC: STALE_ACCOUNT: no account frame for 25 s; last 92%"
    assert line_of(data, "ratio") == "92% last known, 92% at crossing"
    assert line_of(data, "data") == f"unusable, {problem}; alerts of this pool are frozen, not resolved"
    assert line_of(data, "remedy") == "until it is back, look at the account on the venue's own page"
    level = note(pools.failed(), CRITICAL, CRITICAL, Change.REPEATED, opened_s=0.0, now_s=900.0, **failed)
    assert render(level).title == "CRITICAL 92% hl-main/USDC: for 15min; data unusable, last known figures (STALE_ACCOUNT)"
    over = note(pools(0.91), Level.OK, CRITICAL, Change.RESOLVED, rule=Rule.DATA, detail="the data are back")
    assert render(over).title == "RESOLVED no data hl-main/USDC: was CRITICAL; the data are back; now 91%"


def test_an_alert_of_an_earlier_run_that_has_no_result_yet(pools: Any) -> None:
    bare = note(pools(0.92), CRITICAL, CRITICAL, Change.REPEATED, opened_s=0.0, now_s=900.0, frozen=True, ratio=None)
    bare = dataclasses.replace(bare, result=None)
    assert render(bare).title == "CRITICAL no ratio hl-main/USDC: for 15min; data unusable (NO_RESULT)"
    assert render(bare).details[0] == "scope: pool hyperliquid hl-main/USDC"


def test_the_end_of_a_pool_is_told_with_its_reason(pools: Any) -> None:
    why = "the pool is gone: its positions were closed or liquidated"
    gone = render(note(pools(0.92, **FULL), Level.OK, CRITICAL, Change.RESOLVED, detail=why, frozen=True))
    assert gone.title == f"CLOSED 92% hl-main/USDC: was CRITICAL; {why}"
    assert not any(line.startswith(("money", "worst", "next", "safety", "data")) for line in gone.details), "it has no figures any more"
    short = render(note(pools(0.92, **FULL), Level.OK, CRITICAL, Change.RESOLVED, detail="the pool is gone"))
    assert short.title == "CLOSED 92% hl-main/USDC: was CRITICAL; the pool is gone"
    rising = render(note(pools(0.92, **FULL), Level.OK, WARNING, Change.RESOLVED, rule=Rule.RISING, detail=why))
    assert rising.title == f"CLOSED rising fast hl-main/USDC: was WARNING; {why}"


@pytest.mark.parametrize("rule", [Rule.DISTANCE, Rule.RISING])
def test_an_end_says_what_is_now_and_not_what_was(pools: Any, rule: Rule) -> None:
    was = "over: rose from 31.9% to 51.1% in 37 s; at this pace warning (85.0%) in 1.7 min"
    text = render(note(pools(0.42, **FULL), Level.OK, WARNING, Change.RESOLVED, rule=rule, detail=was))
    noun = {Rule.DISTANCE: "near liquidation", Rule.RISING: "rising fast"}[rule]
    assert text.title == f"RESOLVED {noun} hl-main/USDC: was WARNING; now 42%; liquidates BTC +3.1%"
    assert "pace" not in text.full


def test_an_end_on_bad_data_says_nothing_of_freezing(pools: Any) -> None:
    text = render(note(pools.failed(), Level.OK, CRITICAL, Change.RESOLVED, rule=Rule.DATA, detail="it is configured no more", frozen=True))
    assert "frozen" not in text.full


def test_unreconciled(pools: Any) -> None:
    apart = note(pools(0.84, reconciled=False, reported_difference=-0.00421), WARNING, rule=Rule.UNRECONCILED)
    assert render(apart).title == "WARNING unreconciled hl-main/USDC: 0.421% off the venue's own figure; 84% by the worse figure"
    assert line_of(apart, "data") == "0.4s old, figures unreconciled with the venue's"
    assert line_of(apart, "remedy") == "go by the worse figure until both agree"


def test_account_alerts_hide_addresses_and_urls() -> None:
    detail = f"AGENT_ADDRESS: an agent of {ADDRESS}; configure that one"
    failure = render(note(None, CRITICAL, rule=Rule.ACCOUNT_FAILURE, scope=ACCOUNT, detail=detail))
    assert failure.title == "CRITICAL cannot monitor hl-main: AGENT_ADDRESS: an agent of 0xabcd…ef01; configure that one"
    assert ADDRESS not in failure.full
    seen = render(note(None, LIQUIDATION, rule=Rule.LIQUIDATION_SEEN, scope=ACCOUNT, detail=f"market order by {ADDRESS}: 2 BTC"))
    expected = "LIQUIDATION the venue liquidated hl-main: market order by 0xabcd…ef01: 2 BTC; check the hedges on the other venues"
    assert seen.title == expected
    assert seen.details == (
        "scope: account hyperliquid hl-main",
        "level: LIQUIDATION (was OK), fired, open for 0.0s; levels 85% / 90% / 100%",
        "why: market order by 0xabcd…ef01: 2 BTC",
        "remedy: check the hedges on the other venues",
        "incident: hyperliquid/hl-main/liquidation_seen",
    )
    assert clean("POST https://hooks.example/T0/secret: 404") == "POST (URL not shown) 404"


def test_coins_are_told_to_the_millionth(pools: Any) -> None:
    told = note(pools(0.92, asset="BTC", equity=0.054, maintenance_margin=0.04968, excess=0.00432))
    assert "money: equity 0.054000, maintenance 0.049680, excess 0.004320 BTC" in render(told).details


def test_every_kind_of_pool_has_a_next_step(pools: Any) -> None:
    assert set(NEXT_STEP) == set(PoolKind)
    margin = note(pools(0.92, kind=PoolKind.HYPERLIQUID_PORTFOLIO_MARGIN, limit=0.95, raw_ratio=0.874))
    words = "at 100% (the venue's ratio 0.95): perpetuals and spot borrow in no fixed order, spot straight to the backstop"
    assert line_of(margin, "next") == words
    isolated = note(pools(0.92, kind=PoolKind.HYPERLIQUID_ISOLATED))
    assert line_of(isolated, "next") == "at 100%: only this position and its margin are liquidated"


def test_the_remedy_of_a_wrong_collateral_ratio_is_told_while_it_is_wrong(pools: Any) -> None:
    remedy = "the venue's total fits a collateral ratio of 0.9 for BTC and not 0.95: check it and set it in collateral_ratios"
    multi = {"kind": PoolKind.ASTER_MULTI_ASSETS, "model_error": 0.05, "remedy": remedy}
    apart = pools(0.5, reconciled=False, reported_difference=0.05, **multi)
    told = note(apart, WARNING, rule=Rule.UNRECONCILED)
    assert render(told).title.startswith("WARNING unreconciled hl-main/USDC: 5% off the venue's own figure")
    assert line_of(told, "remedy") == remedy
    over = note(apart, Level.OK, WARNING, Change.RESOLVED, rule=Rule.UNRECONCILED)
    assert not any(line.startswith("remedy") for line in render(over).details)
    level = note(pools(0.92, remedy=remedy))
    assert not any(line.startswith("remedy") for line in render(level).details), "another alert is about something else"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (PoolKind.ASTER_CROSS, ["nothing before 100%", "open orders are cancelled", "insurance fund", "ADL last", "fee"]),
        (PoolKind.ASTER_MULTI_ASSETS, ["nothing before 100%", "other assets are sold", "insurance fund", "ADL last", "fee"]),
        (PoolKind.ASTER_ISOLATED, ["at 100%", "only this position", "fee"]),
    ],
)
def test_what_happens_next_on_aster(pools: Any, kind: PoolKind, words: list[str]) -> None:
    told = note(pools(0.92, venue="aster", kind=kind))
    line = line_of(told, "next")
    assert all(word in line for word in words), line


def test_in_hedge_mode_the_leg_to_close_is_named(pools: Any) -> None:
    leg = {"reduce": ("aster:BTCUSDT", 2.0), "reduce_side": PositionSide.SHORT, "cash_to_safety": 165_000.0}
    told = note(pools(0.92, venue="aster", kind=PoolKind.ASTER_CROSS, **leg))
    assert "add 165k USDC or close 2 BTCUSDT SHORT -> 85%" in render(told).title


def test_what_to_add_in_multi_assets_mode_is_collateral_by_what_counts_of_it(pools: Any) -> None:
    multi = {"kind": PoolKind.ASTER_MULTI_ASSETS, "asset": "USD", "pool": "multi-assets", "account": "a" * 32}
    title = render(note(pools(0.92, venue="aster", **multi, **FULL))).title
    assert "add 165k USD of collateral or buy 22 BTC -> 85%" in title
    assert len(title) <= TITLE_LIMIT


def test_portfolio_margin_shows_the_venues_own_ratio(pools: Any) -> None:
    told = note(pools(0.92, kind=PoolKind.HYPERLIQUID_PORTFOLIO_MARGIN, limit=0.95, raw_ratio=0.874))
    assert "ratio: 92% now, 92% at crossing; the venue's own ratio 0.8740, limit 0.95" in render(told).details


def test_long_names_are_cut_not_the_figure(pools: Any) -> None:
    told = note(pools(0.92, account="m" * 32, pool="xyz:" + "N" * 40, **FULL))
    title = render(told).title
    assert len(title) <= TITLE_LIMIT
    assert title.startswith("CRITICAL 92% mmmm")
    assert "160k left of 2.00M" in title
    told = note(pools(0.92, pool="P" * 200))
    assert len(render(told).title) == TITLE_LIMIT
    assert render(told).title.endswith("…")


@pytest.mark.parametrize(
    ("value", "down", "up"),
    [
        (0.0, "0", "0"),
        (160_000.0, "160k", "160k"),
        (159_999.99999999997, "160k", "160k"),
        (164_705.88, "164k", "165k"),
        (2_000_000.0, "2.00M", "2.00M"),
        (999_999.0, "999k", "1.00M"),
        (999.9, "999", "1.00k"),
        (12.344, "12.3", "12.4"),
        (0.012344, "0.0123", "0.0124"),
        (-5_001.0, "-5.01k", "-5.00k"),
        (3.2e9, "3.20B", "3.20B"),
        (float("nan"), "unknown", "unknown"),
    ],
)
def test_amounts_round_to_the_careful_side(value: float, down: str, up: str) -> None:
    assert amount(value) == down
    assert amount(value, ROUND_CEILING) == up


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (0.92, "92%"),
        (0.29, "29%"),
        (0.8999, "89.9%"),
        (0.99999, "99.9%"),
        (float("inf"), "infinite"),
        (1e30, "over 100000%"),
        (-1e30, "unknown"),
    ],
)
def test_percent_never_rounds_up_to_a_level(ratio: float, text: str) -> None:
    assert percent(ratio) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0.4s"), (9.95, "10.0s"), (12.9, "12s"), (119, "119s"), (960, "16min"), (7200, "2h"), (2e5, "2d")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


ANY = st.one_of(st.none(), st.floats())


NAMES = st.text(max_size=40)


@settings(max_examples=300)
@given(
    st.tuples(ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY),
    st.sampled_from(Change),
    st.sampled_from(Rule),
    st.builds(AlertScope, st.sampled_from(ScopeKind), NAMES, NAMES, NAMES),
    st.tuples(st.text(max_size=200), st.text(max_size=50), st.text(max_size=100)),
    st.tuples(st.booleans(), st.sampled_from(["pool", "portfolio", "none"])),
)
def test_rendering_never_fails(
    figures: tuple[float | None, ...],
    change: Change,
    rule: Rule,
    scope: AlertScope,
    words: tuple[str, str, str],
    kind: tuple[bool, str],
) -> None:
    equity, margin, excess, cash, quantity, distance, age, ratio = figures
    ratio = None if ratio is None or ratio != ratio or ratio < 0 else ratio
    is_failed, what = kind
    failures = (Failure(FailureReason.MISSING_MARK, f"{words[0]} {ADDRESS}"),) if is_failed else ()
    result = PoolResult("v", "a", "p", PoolKind.HYPERLIQUID_CROSS, "unified", "USDC", Level.OK, ratio, None, 1.0, equity, margin, excess)
    result = dataclasses.replace(result, cash_to_safety=cash, worst_distance=distance, data_age_s=age, failures=failures)
    result = dataclasses.replace(result, worst_instrument="v:BTC", reduce=None if quantity is None else ("v:BTC", quantity))
    reading = PortfolioReading("p", ("a",), "uta", ratio, ratio, equity, margin, margin, excess, cash, failures=failures)
    if age is not None and distance is not None:
        reading = dataclasses.replace(reading, worst=("BTC", age), scenario=words[1], scenario_loss=distance, contributor=words[2])
    told = note(result, WARNING, change=change, rule=rule, scope=scope, detail=words[0], subject=words[1], maintenance=words[2])
    shown: dict[str, PoolResult | PortfolioReading | None] = {"pool": result, "portfolio": reading, "none": None}
    told = dataclasses.replace(told, key="k", result=shown[what], ratio=ratio, ratio_before=ratio, frozen=is_failed)
    text = render(told)
    assert 0 < len(text.title) <= TITLE_LIMIT
    assert ADDRESS not in text.full
    assert all(char.isprintable() for line in (text.title, *text.details) for char in line)
    assert render(told) == text


@pytest.mark.parametrize(
    ("instrument", "expected"),
    [
        ("hyperliquid:BTC", "BTC"),
        ("hyperliquid:xyz:CL", "xyz:CL"),
        ("deribit:btc_usd", "BTC"),
        ("deribit:BTC_USDC-PERPETUAL", "BTC_USDC-PERPETUAL"),
    ],
)
def test_an_index_is_named_by_its_coin(instrument: str, expected: str) -> None:
    assert symbol(instrument) == expected
