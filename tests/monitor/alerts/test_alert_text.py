from __future__ import annotations

import dataclasses
from decimal import ROUND_CEILING
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.events import AccountFailure, FailureReason, Liquidation
from connectors.model import PositionSide
from monitor.alerts.policy import AlertPolicy, Change, Notification, PolicyConfig
from monitor.alerts.rules import Rule, Thresholds
from monitor.alerts.text import NEXT_STEP, TITLE_LIMIT, amount, duration, percent, render, render_group, symbol
from monitor.margin.result import Failure, Level, PoolKind, PoolResult

ADDRESS = "0xabcdef0123456789abcdef0123456789abcdef01"
FULL: dict[str, Any] = {
    "cash_to_safety": 1_840_000 / 0.85 - 2_000_000,
    "reduce": ("hyperliquid:BTC", 21.96),
    "worst_instrument": "hyperliquid:BTC",
    "worst_distance": 0.0319,
}


def titles(notifications: list[Notification]) -> list[str]:
    return [render(notification).title for notification in notifications]


def test_the_first_line_of_a_page(pools: Any) -> None:
    (told,) = AlertPolicy(PolicyConfig()).observe([pools(0.92, **FULL)], 0)
    text = render(told)
    expected = "CRITICAL 92% hl-main/USDC: 160k left of 2.00M; liquidates BTC +3.1%; add 165k USDC or buy 22 BTC -> 85%; data 0.4s"
    assert text.title == expected
    assert text.details == (
        "scope: hyperliquid hl-main/USDC (unified)",
        "level: CRITICAL (was OK), fired, open for 0.0s; levels 85% / 90% / 100%",
        "ratio: 92% now, 92% at crossing",
        "money: equity 2,000,000.00, maintenance 1,840,000.00, excess 160,000.00 USDC",
        "next: nothing before 100%; then market orders (above 100k USDC 20% first, 30 s cooldown, then full size); "
        "above 150% the backstop takes the pool's positions and margin; equity below 0: ADL",
        "safety: add 165k USDC or buy 22 BTC -> 85% (each alone)",
        "data: 0.4s old",
        "incident: hyperliquid/hl-main/USDC/margin_level",
    )
    assert text.full == "\n".join((text.title, *text.details))


def test_coins_are_told_to_the_millionth(pools: Any) -> None:
    (told,) = AlertPolicy(PolicyConfig()).observe([pools(0.92, asset="BTC", equity=0.054, maintenance_margin=0.04968, excess=0.00432)], 0)
    assert "money: equity 0.054000, maintenance 0.049680, excess 0.004320 BTC" in render(told).details


def test_the_course_of_an_alert(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig(hold_s=0))
    down = {"reduce": ("hyperliquid:xyz:NVDA", -3.2), "worst_instrument": "hyperliquid:xyz:NVDA", "worst_distance": -0.0519}
    seen: list[str] = []
    seen += titles(policy.observe([pools(0.86, **down)], 0))
    seen += titles(policy.observe([pools(0.905, **down)], 1))
    seen += titles(policy.observe([pools(0.9599, **down)], 2))
    seen += titles(policy.observe([pools(1.02, excess=-40_000.0, reduce=("hyperliquid:BTC", 1.0))], 3))
    seen += titles(policy.observe([pools(float("inf"), equity=-5_000.0, excess=-1_845_001.0)], 4))
    seen += titles(policy.observe([pools(0.89)], 5))
    seen += titles(policy.observe([pools(0.89)], 905))
    seen += titles(policy.observe([pools(0.7, excess=600_000.0, **down)], 906))
    assert seen == [
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
    policy = AlertPolicy(PolicyConfig())
    policy.observe([pools(0.92)], 0)
    (data,) = policy.observe([pools.failed()], 10)
    assert render(data).title == "CRITICAL no data hl-main/USDC: STALE_ACCOUNT: no account frame for 25 s; last 92%"
    lines = render(data).details
    assert "ratio: 92% last known, 92% at crossing" in lines
    assert "data: unusable, STALE_ACCOUNT: no account frame for 25 s; alerts of this pool are frozen, not resolved" in lines
    repeated = [note for note in policy.observe([pools.failed()], 900) if note.rule is Rule.LEVEL]
    assert titles(repeated) == ["CRITICAL 92% hl-main/USDC: for 15min; data unusable, last known figures (STALE_ACCOUNT)"]
    assert policy.observe([pools(0.91)], 901) == []
    told = policy.observe([pools(0.91)], 906)
    assert titles(told) == ["RESOLVED no data hl-main/USDC: was CRITICAL; the data are back; now 91%"]


def test_a_silent_pool_and_its_end(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig())
    policy.observe([pools(0.92)], 0)
    assert titles(policy.observe([], 12)) == ["CRITICAL no data hl-main/USDC: NO_RESULT: the pool is no longer computed; last 92%"]
    first, second = titles(policy.gone(("hyperliquid", "hl-main", "USDC"), 13))
    assert first.startswith("RESOLVED 92% hl-main/USDC: was CRITICAL; the pool is gone: its positions were closed or liquidated")
    assert second.startswith("RESOLVED no data hl-main/USDC: was CRITICAL; the pool is gone")


def test_unreconciled(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig(unreconciled_hold_s=0))
    (told,) = policy.observe([pools(0.84, reconciled=False, reported_difference=-0.00421)], 0)
    assert render(told).title == "WARNING unreconciled hl-main/USDC: 0.421% off the venue's own figure; 84% by the worse figure"
    assert "data: 0.4s old, figures unreconciled with the venue's" in render(told).details


def test_account_alerts_hide_addresses() -> None:
    policy = AlertPolicy(PolicyConfig())
    failure = AccountFailure("hyperliquid", "hl-main", 0, FailureReason.AGENT_ADDRESS, f"an agent of {ADDRESS}; configure that one")
    (told,) = policy.account_failure(failure, 0)
    assert render(told).title == "CRITICAL cannot monitor hl-main: AGENT_ADDRESS: an agent of 0xabcd…ef01; configure that one"
    assert ADDRESS not in render(told).full
    (told,) = policy.seen(Liquidation("hyperliquid", "hl-main", 0, 0, f"market order by {ADDRESS}: 2 BTC"), 0)
    assert render(told).title == "LIQUIDATION the venue liquidated hl-main: market order by 0xabcd…ef01: 2 BTC"
    assert render(told).details == (
        "scope: hyperliquid hl-main",
        "level: LIQUIDATION (was OK), fired, open for 0.0s; levels 85% / 90% / 100%",
        "why: market order by 0xabcd…ef01: 2 BTC",
        "incident: hyperliquid/hl-main//liquidation_seen",
    )


def test_what_happens_next_depends_on_the_pool(pools: Any) -> None:
    assert set(NEXT_STEP) == set(PoolKind)

    def next_line(**fields: Any) -> str:
        (told,) = AlertPolicy(PolicyConfig()).observe([pools(0.92, **fields)], 0)
        return next(line for line in render(told).details if line.startswith("next: "))

    assert next_line(kind=PoolKind.HYPERLIQUID_PORTFOLIO_MARGIN, limit=0.95, raw_ratio=0.874) == (
        "next: at 100% (the venue's ratio 0.95): perpetuals and spot borrow in no fixed order, spot straight to the backstop"
    )
    assert next_line(kind=PoolKind.HYPERLIQUID_ISOLATED) == "next: at 100%: only this position and its margin are liquidated"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (PoolKind.ASTER_CROSS, ["nothing before 100%", "open orders are cancelled", "insurance fund", "ADL last", "fee"]),
        (PoolKind.ASTER_MULTI_ASSETS, ["nothing before 100%", "other assets are sold", "insurance fund", "ADL last", "fee"]),
        (PoolKind.ASTER_ISOLATED, ["at 100%", "only this position", "fee"]),
    ],
)
def test_what_happens_next_on_aster(pools: Any, kind: PoolKind, words: list[str]) -> None:
    (told,) = AlertPolicy(PolicyConfig()).observe([pools(0.92, venue="aster", kind=kind)], 0)
    line = next(line for line in render(told).details if line.startswith("next: "))
    assert all(word in line for word in words), line


def test_in_hedge_mode_the_leg_to_close_is_named(pools: Any) -> None:
    leg = {"reduce": ("aster:BTCUSDT", 2.0), "reduce_side": PositionSide.SHORT, "cash_to_safety": 165_000.0}
    (told,) = AlertPolicy(PolicyConfig()).observe([pools(0.92, venue="aster", kind=PoolKind.ASTER_CROSS, **leg)], 0)
    assert "add 165k USDC or close 2 BTCUSDT SHORT -> 85%" in render(told).title


def test_what_to_add_in_multi_assets_mode_is_collateral_by_what_counts_of_it(pools: Any) -> None:
    told = {"kind": PoolKind.ASTER_MULTI_ASSETS, "asset": "USD", "pool": "multi-assets", "account": "a" * 32}
    (note,) = AlertPolicy(PolicyConfig()).observe([pools(0.92, venue="aster", **told, **FULL)], 0)
    assert "add 165k USD of collateral or buy 22 BTC -> 85%" in render(note).title
    assert len(render(note).title) <= TITLE_LIMIT


def test_the_remedy_of_a_wrong_collateral_ratio_is_told_while_it_is_wrong(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig())
    remedy = "the venue's total fits a collateral ratio of 0.9 for BTC and not 0.95: check it and set it in collateral_ratios"
    apart = pools(0.5, kind=PoolKind.ASTER_MULTI_ASSETS, reconciled=False, reported_difference=0.05, model_error=0.05, remedy=remedy)
    assert policy.observe([apart], 0) == []
    (told,) = policy.observe([apart], 20)
    assert render(told).title.startswith("WARNING unreconciled hl-main/USDC: 5% off the venue's own figure")
    assert f"remedy: {remedy}" in render(told).details
    agreed = pools(0.5, kind=PoolKind.ASTER_MULTI_ASSETS, reconciled=True, remedy="")
    (over,) = [one for now_s in (21, 24, 27) for one in policy.observe([agreed], now_s)]
    assert not any(line.startswith("remedy") for line in render(over).details)
    (level,) = AlertPolicy(PolicyConfig()).observe([pools(0.92, remedy=remedy)], 0)
    assert not any(line.startswith("remedy") for line in render(level).details), "another alert is about something else"


def test_portfolio_margin_shows_the_venues_own_ratio(pools: Any) -> None:
    (told,) = AlertPolicy(PolicyConfig()).observe([pools(0.92, kind=PoolKind.HYPERLIQUID_PORTFOLIO_MARGIN, limit=0.95, raw_ratio=0.874)], 0)
    assert "ratio: 92% now, 92% at crossing; the venue's own ratio 0.8740, limit 0.95" in render(told).details


def test_long_names_are_cut_not_the_figure(pools: Any) -> None:
    (told,) = AlertPolicy(PolicyConfig()).observe([pools(0.92, account="m" * 32, pool="xyz:" + "N" * 40, **FULL)], 0)
    title = render(told).title
    assert len(title) <= TITLE_LIMIT
    assert title.startswith("CRITICAL 92% mmmm")
    assert "160k left of 2.00M" in title
    (told,) = AlertPolicy(PolicyConfig()).observe([pools(0.92, pool="P" * 200)], 0)
    assert len(render(told).title) == TITLE_LIMIT
    assert render(told).title.endswith("…")


def test_a_burst_has_one_first_line_worst_first(pools: Any) -> None:
    told = AlertPolicy(PolicyConfig()).observe([pools(0.86, pool="a"), pools(1.1, pool="b", excess=-1.0)], 0)
    text = render_group(told)
    assert text.title == "2 alerts: LIQUIDATION 110% hl-main/b, WARNING 86% hl-main/a"
    assert text.details[:2] == ("", "LIQUIDATION 110% hl-main/b: 1.00 short, equity 2.00M; data 0.4s")
    many = AlertPolicy(PolicyConfig()).observe([pools(0.86, pool=f"pool-{n}") for n in range(20)], 0)
    title = render_group(many).title
    assert title.startswith("20 alerts: WARNING 86% hl-main/pool-0, ")
    assert title.endswith(", +17")
    assert len(title) <= TITLE_LIMIT
    assert render_group(many[:1]) == render(many[0])


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
    [(0.92, "92%"), (0.29, "29%"), (0.8999, "89.9%"), (0.99999, "99.9%"), (float("inf"), "infinite"), (1e30, "over 100000%")],
)
def test_percent_never_rounds_up_to_a_level(ratio: float, text: str) -> None:
    assert percent(ratio) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0.4s"), (9.95, "10.0s"), (12.9, "12s"), (119, "119s"), (960, "16min"), (7200, "2h"), (2e5, "2d")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


ANY = st.one_of(st.none(), st.floats())


@settings(max_examples=300, deadline=None)
@given(
    st.tuples(ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY),
    st.sampled_from(Change),
    st.sampled_from(Rule),
    st.text(max_size=200),
    st.booleans(),
)
def test_rendering_never_fails(figures: tuple[float | None, ...], change: Change, rule: Rule, words: str, is_failed: bool) -> None:
    equity, margin, excess, cash, quantity, distance, age, ratio = figures
    ratio = None if ratio is None or ratio != ratio or ratio < 0 else ratio
    failures = (Failure(FailureReason.MISSING_MARK, f"{words} {ADDRESS}"),) if is_failed else ()
    result = PoolResult("v", "a", "p", PoolKind.HYPERLIQUID_CROSS, "unified", "USDC", Level.OK, ratio, None, 1.0, equity, margin, excess)
    result = dataclasses.replace(result, cash_to_safety=cash, worst_distance=distance, data_age_s=age, failures=failures)
    result = dataclasses.replace(result, worst_instrument="v:BTC", reduce=None if quantity is None else ("v:BTC", quantity))
    scope = ("v", "a", "p")
    note = Notification("k", rule, change, scope, Level.WARNING, Level.OK, 5.0, 1.0, Thresholds(), ratio, ratio, ratio, is_failed, result)
    note = dataclasses.replace(note, detail=words)
    text = render(note)
    assert 0 < len(text.title) <= TITLE_LIMIT
    assert ADDRESS not in text.full
    assert all(char.isprintable() for line in (text.title, *text.details) for char in line)
    assert render(note) == text


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
