"""What each rule's alert says, portfolios, and a venue in maintenance."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from connectors.events import FailureReason
from monitor.alerts.incident import Change, Notification
from monitor.alerts.rules import Rule
from monitor.alerts.scope import MONITOR, AlertScope
from monitor.alerts.text import TITLE_LIMIT, render
from monitor.alerts.text_wording import WORDINGS
from monitor.margin.result import Failure, Level
from monitor.margin.stages import NO_VENUE_ACTS, STAGE_TEXT, Stage
from tests.monitor.alerts.notes import desk_reading, note

ACCOUNT, POOL = AlertScope.of_account("aster", "aster-main"), AlertScope.pool("hyperliquid", "hl-main", "USDC")
VENUE, FEED = AlertScope.of_venue("aster"), AlertScope.feed("hyperliquid", "asset_contexts")
CRITICAL, WARNING = Level.CRITICAL, Level.WARNING

# sentences as the detectors write them, and how their first lines begin
TITLES: dict[Rule, tuple[AlertScope, str, str]] = {
    Rule.LEVEL: (POOL, "", "WARNING no ratio hl-main/USDC"),
    Rule.DATA: (POOL, "STALE_MARK: no mark of BTC", "WARNING no data hl-main/USDC: STALE_MARK: no mark of BTC"),
    Rule.UNRECONCILED: (POOL, "our figure is 0.42% off the venue's own", "WARNING unreconciled hl-main/USDC: our figure is 0.42% off"),
    Rule.DISTANCE: (
        POOL,
        "liquidates when BTC moves +1.80% (at 65123.4); limit 2.0%",
        "WARNING near liquidation hl-main/USDC: liquidates when BTC moves +1.80% (at 65123.4); limit 2.0%; add margin or reduce",
    ),
    Rule.RISING: (
        POOL,
        "rose from 61.0% to 73.0% in 58 s; at this pace warning (85.0%) in 1.0 min",
        "WARNING rising fast hl-main/USDC: rose from 61.0% to 73.0% in 58 s; at this pace warning (85.0%) in 1.0 min",
    ),
    Rule.ADL_QUEUE: (
        ACCOUNT,
        "in the venue's auto-deleveraging queue: BTC short at 4 of 4",
        "WARNING ADL queue aster-main: in the venue's auto-deleveraging queue: BTC short at 4 of 4; reduce it or its leverage",
    ),
    Rule.NET_DELTA: (
        AlertScope.portfolio("desk"),
        "net delta of BTC +1,200,000 USD (limit 50,000 USD)",
        "WARNING unhedged desk: net delta of BTC +1,200,000 USD (limit 50,000 USD); is a hedge leg gone? compare the venues",
    ),
    Rule.DELISTED: (ACCOUNT, "XYZ is delisted", "WARNING market halted or delisted aster-main: XYZ is delisted; close it or move it"),
    Rule.DEPEG: (
        VENUE,
        "USDT is at 0.9850 USD (-1.5%, aster)",
        "WARNING collateral off its peg aster: USDT is at 0.9850 USD (-1.5%, aster); hold less of it as collateral",
    ),
    Rule.MODE: (ACCOUNT, "the venue has multi, expected single", "WARNING unexpected mode aster-main: the venue has multi, expected"),
    Rule.KEY: (
        ACCOUNT,
        "the key that the account is read with expires in 2.9 days: make a new one and configure it",
        "WARNING key aster-main: the key that the account is read with expires in 2.9 days: make a new one and configure it",
    ),
    Rule.ACCOUNT_FAILURE: (ACCOUNT, "KEY_REFUSED: make one", "WARNING cannot monitor aster-main: KEY_REFUSED: make one"),
    Rule.STALE_FEED: (FEED, "asset_contexts is stale", "WARNING stale feed hyperliquid asset_contexts: asset_contexts is stale"),
    Rule.CLOCK: (VENUE, "its clock is 1.4 s behind ours", "WARNING clock off aster: its clock is 1.4 s behind ours"),
    Rule.NETWORK: (
        MONITOR,
        "the monitor has lost its network: nothing comes from aster, deribit",
        "WARNING monitor has lost its network: nothing is being watched; nothing comes from aster, deribit",
    ),
    Rule.RECEIVER: (AlertScope.receiver("ops"), "HTTP 401", "WARNING alerts do not reach ops: HTTP 401; check its key"),
    Rule.OUTBOX: (
        MONITOR,
        "database is locked",
        "WARNING alerts are not kept on disk: they go out from memory; database is locked; free the disk or the file",
    ),
    Rule.LIQUIDATION_SEEN: (
        ACCOUNT,
        "sold 2 BTC",
        "WARNING the venue liquidated aster-main: sold 2 BTC; check the hedges on the other venues",
    ),
    Rule.MARGIN_CALL: (ACCOUNT, "BTC", "WARNING margin call aster-main: BTC; add margin or reduce"),
    Rule.MODE_CHANGED: (ACCOUNT, "single -> multi", "WARNING mode changed aster-main: single -> multi; its pools and limits"),
    Rule.TRANSFER: (ACCOUNT, "500k USDT went out", "WARNING transfer aster-main: 500k USDT went out; if nobody here did that"),
    Rule.PARAMETERS: (ACCOUNT, "the venue changed BTC", "WARNING parameters aster-main: the venue changed BTC; check the margin"),
    Rule.TEST: (AlertScope.receiver("ops"), "asked for by alert-test", "WARNING test ops: nothing is wrong; asked for by alert-test"),
}
WITHOUT_REMEDY = {Rule.LEVEL, Rule.MODE, Rule.KEY, Rule.ACCOUNT_FAILURE, Rule.CLOCK, Rule.TEST}


def told(rule: Rule, **fields: Any) -> Notification:
    scope, detail, _ = TITLES[rule]
    return note(None, WARNING, rule=rule, scope=scope, **{"detail": detail, "subject": "THIS", **fields})


@pytest.mark.parametrize("rule", Rule)
def test_every_rule_has_a_title_its_detail_and_what_to_do(rule: Rule) -> None:
    scope, detail, expected = TITLES[rule]
    text = render(told(rule))
    assert text.title.startswith(expected)
    assert len(text.title) <= TITLE_LIMIT
    assert text.details[0].startswith(f"scope: {scope.kind.value}")
    assert text.details[-1] == f"incident: {scope.path}/{rule.value}"
    assert "about: THIS" in text.details
    assert not detail or f"why: {detail}" in text.details
    remedy = WORDINGS[rule].remedy
    assert (f"remedy: {remedy}" in text.details) is bool(remedy)
    assert bool(remedy) is (rule not in WITHOUT_REMEDY)
    assert render(told(rule)) == text


@pytest.mark.parametrize("rule", Rule)
def test_every_rule_says_that_it_is_over_and_asks_for_nothing(rule: Rule) -> None:
    over = dataclasses.replace(told(rule), change=Change.RESOLVED, level=Level.OK, previous=CRITICAL, detail="over: it was so")
    text = render(over)
    assert text.title.startswith("RESOLVED ")
    assert "was CRITICAL" in text.title
    assert "it was so" not in text.full
    assert WORDINGS[rule].claim == "" or WORDINGS[rule].claim not in text.title
    assert not any(line.startswith(("remedy", "safety")) for line in text.details)


@pytest.mark.parametrize("rule", [rule for rule in Rule if rule is not Rule.LEVEL])
def test_a_long_sentence_is_cut_in_the_first_line_and_whole_below(rule: Rule) -> None:
    long = "word " * 60 + "end"
    text = render(told(rule, detail=long))
    assert len(text.title) <= TITLE_LIMIT
    assert f"why: {long}" in text.details


@pytest.mark.parametrize(
    ("rule", "detail", "expected"),
    [
        (
            Rule.NETWORK,
            "no connection to aster, the only venue",
            "no connection to aster, the only venue: nothing is being watched; watch the",
        ),
        (Rule.STALE_FEED, "asset_contexts is connecting", "feed is connecting hyperliquid asset_contexts: asset_contexts is connecting"),
    ],
)
def test_what_is_not_so_is_not_said(rule: Rule, detail: str, expected: str) -> None:
    assert render(told(rule, detail=detail, subject="")).title.startswith(f"WARNING {expected}")
    over = render(told(rule, detail=f"over: {detail}", subject="", change=Change.RESOLVED)).title
    assert over.startswith(f"RESOLVED {expected.split(':')[0]}")


def test_levels_are_told_where_there_is_a_ratio() -> None:
    assert render(told(Rule.MODE)).details[1].endswith("; levels 85% / 90% / 100%")
    assert render(told(Rule.STALE_FEED)).details[1] == "level: WARNING (was OK), fired, open for 0.0s"


def test_what_is_left_is_told_with_a_distance_and_a_rise(pools: Any) -> None:
    near = pools(0.73, equity=2_000_000.0, excess=540_000.0, worst_instrument="hyperliquid:BTC", worst_distance=0.018)
    text = render(note(near, WARNING, rule=Rule.DISTANCE, detail="liquidates BTC +1.8%, under 2%"))
    assert text.title == ("WARNING near liquidation hl-main/USDC: liquidates BTC +1.8%, under 2%; 540k left of 2.00M; add margin or reduce")
    assert "ratio: 73% now, 73% at crossing" in text.details


def test_what_cannot_be_judged_is_said() -> None:
    title = render(told(Rule.CLOCK, frozen=True, change=Change.REPEATED, opened_s=0.0, now_s=3600.0)).title
    assert title.startswith("WARNING clock off aster: its clock is 1.4 s behind ours; for 60min; cannot be judged now")


# -- maintenance ----------------------------------------------------------------------------------------------------------------


def test_maintenance_is_said_with_its_reason_where_it_fits(pools: Any) -> None:
    short = note(pools(0.92, venue="aster", account="am", pool="USDT", asset="USDT"), maintenance="engine upgrade")
    assert render(short).title == "CRITICAL 92% am/USDT: 160k left of 2.00M; data 0.4s (aster in maintenance: engine upgrade)"
    told_below = "maintenance: aster: engine upgrade; it may take no orders now, and levels are told as ever"
    assert told_below in render(short).details
    full: dict[str, Any] = {"cash_to_safety": 164_705.9, "reduce": ("aster:BTCUSDT", 22.0)}
    long = note(pools(0.92, venue="aster", pool="USDT", **full), maintenance="a reason that is rather long")
    title = render(long).title
    assert title == "CRITICAL 92% hl-main/USDT: 160k left of 2.00M; add 165k USDC or buy 22 BTCUSDT -> 85% (aster in maintenance)"
    assert any("a reason that is rather long" in line for line in render(long).details)
    assert not any("maintenance:" in line for line in render(note(pools(0.92))).details)


def test_maintenance_is_dropped_before_what_to_do(pools: Any) -> None:
    full: dict[str, Any] = {"cash_to_safety": 164_705.9, "reduce": ("aster:BTCUSDT", 22.0), "account": "a" * 30}
    title = render(note(pools(0.92, venue="aster", **full), maintenance="upgrade")).title
    assert title.endswith("160k left of 2.00M; add 165k USDC or buy 22 BTCUSDT -> 85%")


# -- portfolios -----------------------------------------------------------------------------------------------------------------


def test_the_first_line_of_a_portfolio() -> None:
    text = render(note(desk_reading(), Level.BREACH, CRITICAL, ratio_at_crossing=1.001))
    expected = "BREACH 104% desk: 40.0k short, equity 1.00M; BTC -10% vol up costs 310k; add 224k USD -> 85%"
    assert text.title == expected
    assert text.details == (
        "scope: portfolio desk (hl-main, aster-main; parameters uta)",
        "level: BREACH (was CRITICAL), fired, open for 0.0s; levels 85% / 90% / 100%",
        "ratio: 104% now, 100.1% at crossing",
        "money: equity 1,000,000.00, maintenance 1,040,000.00, excess -40,000.00 USD",
        "worst: BTC, 420,000.00 USD of margin, worst at -10% vol up, which costs 310,000.00",
        "contributor: aster-main aster:BTCUSDT short, 200,000 USD of the margin of BTC",
        f"next: {NO_VENUE_ACTS}",
        "safety: add 224k USD -> 85%",
        "incident: portfolio/desk/margin_level",
    )
    assert "no venue acts on this number" in text.full


def test_a_portfolio_not_looked_at_closely_names_its_largest_margin() -> None:
    plain = desk_reading(scenario="", scenario_loss=None, contributor="")
    assert render(note(plain, Level.BREACH)).title == "BREACH 104% desk: 40.0k short, equity 1.00M; BTC needs 420k; add 224k USD -> 85%"
    assert "worst: BTC, 420,000.00 USD of margin" in render(note(plain)).details


def test_a_portfolio_of_one_unified_account_tells_its_stage() -> None:
    told = note(desk_reading(next_step=STAGE_TEXT[Stage.LIQUIDATION], accounts=("one",)), Level.BREACH)
    assert f"next: {STAGE_TEXT[Stage.LIQUIDATION]}" in render(told).details


def test_a_portfolio_without_data_is_frozen() -> None:
    failure = Failure(FailureReason.STALE_MARK, "account long has no value: no mark of BTC")
    bare = desk_reading(margin_ratio=None, equity=None, maintenance_margin=None, excess=None, failures=(failure,), cash_to_safety=None)
    told = note(bare, CRITICAL, rule=Rule.DATA, detail=f"STALE_MARK: {failure.detail}", ratio=0.92, frozen=True)
    assert render(told).title == "CRITICAL no data desk: STALE_MARK: account long has no value: no mark of BTC; last 92%"
    assert any(line.endswith("alerts of this portfolio are frozen, not resolved") for line in render(told).details)
