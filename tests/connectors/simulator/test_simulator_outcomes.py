"""Outcome markets of the simulated Hyperliquid: shapes, prices, settlement, and that nothing of margin counts them."""

from __future__ import annotations

import json
import math
import re
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest

from connectors.simulator.hyperliquid import AccountPlan, HyperliquidVenue, Market, OutcomePlan, PositionPlan, demo_desk
from connectors.simulator.hyperliquid_desk import ADDRESSES, demo_plans
from connectors.simulator.hyperliquid_outcomes import OutcomeBoard, probability_above, stamp
from tests.connectors.simulator.test_simulator_shapes import shape_of

START = 1_790_000_000_000
DAY_MS = 86_400_000
HOLDER = f"0x{0xD1:040x}"
NONE: frozenset[str] = frozenset()


def ask(venue: HyperliquidVenue, request: str, **fields: Any) -> Any:
    status, _, body = venue.info(json.dumps({"type": request} | fields).encode())
    assert status == 200, (request, status)
    return json.loads(body)


def listen(venue: HyperliquidVenue, *subscriptions: dict[str, Any]) -> Any:
    client = venue.connect()
    for subscription in subscriptions:
        client.receive(json.dumps({"method": "subscribe", "subscription": subscription}))
    return client


def frames(client: Any, channel: str) -> list[Any]:
    return [frame["data"] for frame in map(json.loads, client.drain()) if frame["channel"] == channel]


def balances(venue: HyperliquidVenue, user: str) -> dict[str, dict[str, str]]:
    return {row["coin"]: row for row in ask(venue, "spotClearinghouseState", user=user)["balances"]}


def holder_venue(*outcomes: OutcomePlan, mode: Any = "standard", start_ms: int = START, **options: Any) -> HyperliquidVenue:
    market = Market(5, "calm", 60.0, start_ms, fillers=0)
    plan = AccountPlan(HOLDER, "holder", mode=mode, cash={"": 1_000.0}, positions=(PositionPlan("BTC", 0.05, 10),), outcomes=outcomes)
    return HyperliquidVenue(market, [plan], **options)


def holding(venue: HyperliquidVenue) -> dict[int, float]:
    return {side: held.size for side, held in venue.exchange.account(HOLDER).outcomes.items()}


def test_meta_has_the_recorded_shape(recordings: Path) -> None:
    venue = holder_venue()
    meta = ask(venue, "outcomeMeta")
    recorded = json.loads((recordings / "hyperliquid_hip4" / "info_outcome_meta_20260807.json").read_text())
    update = json.loads((recordings / "hyperliquid" / "ws_outcome_meta_updates.json").read_text())["data"]
    outcomes = shape_of(*recorded["outcomes"], update[0]["outcomeCreated"])
    assert [fault for row in meta["outcomes"] for fault in outcomes.faults(row, NONE)] == []
    questions = shape_of(*recorded["questions"], update[2]["questionUpdated"])
    assert [fault for row in meta["questions"] for fault in questions.faults(row, NONE)] == []
    pattern = r"class:priceBinary\|underlying:[A-Z]+\|expiry:\d{8}-\d{4}\|targetPrice:[\d.]+\|period:1d"
    for description in [row["description"] for row in recorded["outcomes"]]:
        assert re.fullmatch(pattern, description)
    daily = [row["description"] for row in meta["outcomes"] if row["description"].startswith("class:priceBinary")]
    assert [re.findall(r"underlying:(\w+)", text)[0] for text in daily if re.fullmatch(pattern, text)] == ["BTC", "ETH", "SOL", "HYPE"]


def test_descriptions_are_written_as_the_recorded_ones(recordings: Path) -> None:
    recorded = json.loads((recordings / "hyperliquid_hip4" / "info_outcome_meta_20260807.json").read_text())
    update = json.loads((recordings / "hyperliquid" / "ws_outcome_meta_updates.json").read_text())["data"]
    meta = ask(holder_venue(), "outcomeMeta")

    def form(text: str) -> str:
        return re.sub(r"BTC|HYPE", "COIN", re.sub(r"[\d.]+", "9", text))

    assert form(meta["questions"][0]["description"]) == form(recorded["questions"][0]["description"])
    created = update[0]["outcomeCreated"]
    templates = [row for row in meta["outcomes"] if row["name"] == created["name"]]
    assert {form(row["description"]) for row in templates} == {form(created["description"])}
    assert all(row.keys() == created.keys() for row in templates)
    question = meta["questions"][0]
    named = {row["outcome"]: row["description"] for row in meta["outcomes"]}
    assert [named[number] for number in question["namedOutcomes"]] == ["index:0", "index:1", "index:2"]
    assert named[question["fallbackOutcome"]] == "other"


def test_daily_markets_expire_at_six_utc_some_hours_ahead() -> None:
    for start in (START, START // DAY_MS * DAY_MS + 6 * 3_600_000, START // DAY_MS * DAY_MS + 5 * 3_600_000):
        board = OutcomeBoard(Market(1, "calm", 60.0, start, fillers=0))
        settles = board.outcomes[board.find("daily", "BTC")].settles_ms
        assert time.gmtime(settles / 1000)[3:6] == (6, 0, 0)
        assert 0 < settles - start <= DAY_MS


def test_stamps_are_rounded_up_to_the_minute() -> None:
    assert stamp(1_790_000_040_000) == "20260921-1414"
    assert stamp(1_790_000_040_001) == "20260921-1415"


def test_a_digital_is_worth_n_of_d2() -> None:
    # The notes' own example: F = 65,000, K = 64,306, 12 h, 35 %.
    assert probability_above(65_000.0, 64_306.0, 0.35, 0.5 / 365.0) == pytest.approx(0.7945, abs=5e-5)
    deviation = 0.6 * math.sqrt(0.01)
    d2 = math.log(90.0 / 100.0) / deviation - deviation / 2.0
    assert probability_above(90.0, 100.0, 0.6, 0.01) == pytest.approx(NormalDist().cdf(d2), rel=1e-12)
    assert [probability_above(forward, 100.0, 0.6, 0.0) for forward in (100.1, 100.0)] == [1.0, 0.0]


def test_mids_are_printed_beside_the_coins_and_follow_the_market() -> None:
    market = Market(5, "crash", 60.0, START, fillers=0)
    venue = HyperliquidVenue(market, [])
    client = listen(venue, {"type": "allMids"}, {"type": "allMids", "dex": "xyz"})
    for _ in range(300):
        venue.advance(0.1)
    sent = frames(client, "allMids")
    main = [frame["mids"] for frame in sent if "dex" not in frame]
    assert not any(name.startswith("#") for frame in sent if "dex" in frame for name in frame["mids"])
    daily = venue.outcomes.find("daily", "BTC")
    assert float(main[0][f"#{daily}0"]) == pytest.approx(0.5, abs=0.02)
    assert main[-1][f"#{daily}0"] == "0.001"
    assert all({"BTC", "@107", f"#{daily}0", f"#{daily}1"} <= mids.keys() for mids in main)
    last = ask(venue, "allMids")
    outcomes = {name: float(price) for name, price in last.items() if name.startswith("#")}
    assert all(0.001 <= price <= 0.999 and round(price, 5) == price for price in outcomes.values())
    assert all(outcomes[name] + outcomes[f"{name[:-1]}1"] == pytest.approx(1.0, abs=1e-12) for name in outcomes if name.endswith("0"))
    outcome = venue.outcomes.outcomes[venue.outcomes.find("daily", "ETH")]
    forward, years = market.mark("ETH"), (outcome.settles_ms - market.now_ms) / 31_536_000_000
    assert outcome.lower is not None
    volatility = market.implied_volatility("ETH", outcome.lower, forward, years)
    expected = min(max(probability_above(forward, outcome.lower, volatility, years), 0.001), 0.999)
    assert outcomes[f"#{outcome.number}0"] == pytest.approx(expected, abs=5.1e-6)


def test_buckets_share_out_one_and_the_fallback_has_no_book() -> None:
    venue = holder_venue()
    question = ask(venue, "outcomeMeta")["questions"][0]
    mids = ask(venue, "allMids")
    prices = [float(mids[f"#{number}0"]) for number in question["namedOutcomes"]]
    assert sum(prices) == pytest.approx(1.0, abs=2e-5)
    assert prices[1] > max(prices[0], prices[2]) > 0.01
    assert f"#{question['fallbackOutcome']}0" not in mids


def test_updates_have_the_recorded_shape(recordings: Path) -> None:
    recorded = json.loads((recordings / "hyperliquid" / "ws_outcome_meta_updates.json").read_text())["data"]
    known = {kind: shape_of(*(row for row in recorded if kind in row)) for row in recorded for kind in row}
    plain = {k: v for k, v in recorded[0]["outcomeCreated"].items() if k not in ("venue", "deployerFeeScale")}
    known["outcomeCreated"] = shape_of(recorded[0], {"outcomeCreated": plain})
    venue = holder_venue(start_ms=START // DAY_MS * DAY_MS + 6 * 3_600_000 - 30_000)
    client = listen(venue, {"type": "outcomeMetaUpdates"})
    for _ in range(40):
        venue.advance(1.0)
    sent = frames(client, "outcomeMetaUpdates")
    assert all(isinstance(frame, list) and frame for frame in sent)
    elements = [element for frame in sent for element in frame]
    assert {kind for element in elements for kind in element} == known.keys()
    assert all(len(element) == 1 for element in elements)
    assert [fault for element in elements for kind in element for fault in known[kind].faults(element, NONE)] == []
    updated = [element["questionUpdated"] for element in elements if "questionUpdated" in element]
    assert [row["question"] for row in updated] == [400, 401]
    assert updated[0]["settledNamedOutcomes"] == updated[0]["namedOutcomes"]
    assert updated[1]["settledNamedOutcomes"] == []


@pytest.mark.parametrize("duration", [10.0, 30.0, 120.0, 300.0, 900.0, 3600.0])
def test_a_template_market_settles_in_every_demo_and_is_listed_anew(duration: float) -> None:
    market = Market(3, "calm", duration, START, fillers=0)
    board = OutcomeBoard(market)
    first = board.outcomes[board.find("template", "HYPE")]
    stamped = first.spec["description"].rpartition("time:")[2]
    assert stamped == stamp(first.settles_ms)
    assert duration < 180.0 or first.settles_ms % 60_000 == 0, "a market that lives minutes settles at its stamp"
    settled: list[int] = []
    while market.progress < 1.0:
        market.advance(duration / 200)
        settled += [row.number for row in board.run()[0]]
    assert first.number in settled
    successor = board.outcomes[board.find("template", "HYPE")]
    assert successor.settles_ms > market.now_ms
    assert len({outcome.kind for outcome in board.outcomes.values()}) == 5


def test_quarter_hour_markets_follow_each_other_on_the_clock() -> None:
    market = Market(3, "calm", 7200.0, START, fillers=0)
    board = OutcomeBoard(market)
    times = [board.outcomes[board.find("template", "BTC")].settles_ms]
    while market.progress < 0.5:
        market.advance(10.0)
        if board.run()[0]:
            times.append(board.outcomes[board.find("template", "BTC")].settles_ms)
    assert [moment % 900_000 for moment in times] == [0] * len(times)
    assert {later - earlier for earlier, later in pairwise(times)} == {900_000}


def test_settlement_pays_the_winning_side_in_cash() -> None:
    venue = holder_venue(OutcomePlan("BTC", 300.0, kind="template"), OutcomePlan("HYPE", 40.0, 1, "template"), template_outcome_life_s=5.0)
    board = venue.outcomes
    fills = listen(venue, {"type": "userFills", "user": HOLDER})
    held = {coin: board.outcomes[board.find("template", coin)] for coin in ("BTC", "HYPE")}
    before = balances(venue, HOLDER)
    assert before["USDC"]["total"] == "0.0"
    while any(outcome.number in board.outcomes for outcome in held.values()):
        venue.advance(0.5)
    paid = 0.0
    for coin, size in (("BTC", 300.0), ("HYPE", 40.0)):
        outcome, mark = held[coin], venue.market.mark(coin)
        assert outcome.lower is not None
        yes = 1.0 if mark > outcome.lower else 0.0
        paid += size * (yes if coin == "BTC" else 1.0 - yes)
        answer = ask(venue, "settledOutcome", outcome=outcome.number)
        assert answer["settleFraction"] == f"{yes:.1f}"
        assert float(answer["details"].removeprefix("price:")) == mark
    assert paid > 0.0
    after = balances(venue, HOLDER)
    assert float(after["USDC"]["total"]) == pytest.approx(paid)
    assert after[f"+{held['BTC'].number}0"] == {"coin": f"+{held['BTC'].number}0", "total": "0.0", "hold": "0.0", "entryNtl": "0.0"}
    rows = {row["coin"]: row for data in frames(fills, "userFills") for row in data["fills"]}
    settled = rows[f"#{held['BTC'].number}0"]
    assert (settled["dir"], settled["side"], settled["sz"], settled["fee"]) == ("Settlement", "A", "300.0", "0.0")
    assert float(settled["closedPnl"]) == pytest.approx(300.0 * float(settled["px"]) - float(before[f"+{held['BTC'].number}0"]["entryNtl"]))


@pytest.mark.parametrize("move", [-0.05, 0.0, 0.05])
def test_exactly_one_bucket_pays(move: float) -> None:
    market = Market(5, "calm", 60.0, START // DAY_MS * DAY_MS + 6 * 3_600_000 - 10_000, fillers=0)
    board = OutcomeBoard(market)
    buckets = named_outcomes(board)
    market.advance(10.0)
    market.quotes["BTC"].mark = round(market.mark("BTC") * (1.0 + move))
    fractions = {row.number: row.fraction for row in board.run()[0]}
    wanted = {-0.05: [1.0, 0.0, 0.0], 0.0: [0.0, 1.0, 0.0], 0.05: [0.0, 0.0, 1.0]}[move]
    assert [fractions[number] for number in buckets] == wanted
    assert min(named_outcomes(board)) > max(buckets)


def named_outcomes(board: OutcomeBoard) -> list[int]:
    (question,) = board.questions.values()
    return list(question["namedOutcomes"])


def test_settled_answers_have_the_documented_shape(recordings: Path) -> None:
    recorded = json.loads((recordings / "hyperliquid" / "rest_settled_outcome_docs_example.json").read_text())
    venue = holder_venue(start_ms=START // DAY_MS * DAY_MS + 6 * 3_600_000 - 1_000)
    daily = venue.outcomes.find("daily", "BTC")
    assert ask(venue, "settledOutcome", outcome=daily) is None
    venue.advance(2.0)
    assert shape_of(recorded).faults(ask(venue, "settledOutcome", outcome=daily), NONE) == []


def test_balance_rows_have_the_recorded_shape(recordings: Path) -> None:
    name = "rest_spot_clearinghouse_state_unified_with_outcomes_2026-10-06.json"
    recorded = json.loads((recordings / "hyperliquid" / name).read_text())["balances"]
    shape = shape_of(*(row for row in recorded if row["coin"].startswith("+")))
    venue = holder_venue(OutcomePlan("BTC", 12.0), mode="unified")
    rows = [row for coin, row in balances(venue, HOLDER).items() if coin.startswith("+")]
    assert len(rows) == 1
    assert [fault for row in rows for fault in shape.faults(row, NONE)] == []
    client = listen(venue, {"type": "spotState", "user": HOLDER})
    pushed = frames(client, "spotState")[0]["spotState"]["balances"]
    assert rows[0] in pushed


@pytest.mark.parametrize("mode", ["standard", "unified", "portfolioMargin"])
def test_outcomes_count_nothing_in_margin(mode: Any) -> None:
    without, held = holder_venue(mode=mode), holder_venue(OutcomePlan("BTC", 5_000.0), mode=mode)
    for _ in range(20):
        without.advance(0.1)
        held.advance(0.1)
    assert held.figures(HOLDER) == without.figures(HOLDER)
    assert any(coin.startswith("+") for coin in balances(held, HOLDER))
    state = ask(held, "spotClearinghouseState", user=HOLDER)
    state["balances"] = [row for row in state["balances"] if not row["coin"].startswith("+")]
    assert state == ask(without, "spotClearinghouseState", user=HOLDER)


def test_sides_are_bought_and_sold_for_the_wallets_usdc() -> None:
    venue = holder_venue(mode="unified")
    number = venue.outcomes.find("daily", "SOL")
    before = float(balances(venue, HOLDER)["USDC"]["total"])
    venue.trade(HOLDER, f"#{number}1", 100.0, price=0.4)
    venue.trade(HOLDER, f"#{number}1", -50.0, price=0.5)
    row = balances(venue, HOLDER)
    assert float(row["USDC"]["total"]) == pytest.approx(before - 15.0, abs=1e-6)
    assert (row[f"+{number}1"]["total"], row[f"+{number}1"]["entryNtl"]) == ("50.0", "20.0")
    assert holding(venue) == {number * 10 + 1: 50.0}
    with pytest.raises(ValueError, match="cannot be sold short"):
        venue.trade(HOLDER, f"#{number}1", -51.0)
    with pytest.raises(ValueError, match="sides must be open"):
        venue.trade(HOLDER, "#10", 1.0)


def test_a_plan_on_a_coin_without_outcomes_is_refused() -> None:
    with pytest.raises(ValueError, match="no daily outcome on DOGE is open"):
        holder_venue(OutcomePlan("DOGE", 1.0))


def test_nobody_hears_of_outcomes_before_something_happens() -> None:
    venue = holder_venue(template_outcome_life_s=20.0)
    client = listen(venue, {"type": "outcomeMetaUpdates"})
    for _ in range(50):
        venue.advance(0.1)
    assert frames(client, "outcomeMetaUpdates") == []


def test_the_demo_settles_an_outcome_and_its_story_is_the_same_without() -> None:
    market, venue = demo_desk(30.0)
    bare = HyperliquidVenue(
        Market(7, "crash", 30.0, market.start_ms),
        [replace(plan, outcomes=()) for plan in demo_plans("crash")],
        seed=7,
        context_interval=0.5,
        time_scale=30.0 / 900.0,
        liquidation_delay=0.75,
    )
    maker, trader = (venue.exchange.account(ADDRESSES[name]) for name in ("boreas", "electra"))
    (daily,), (template,) = maker.outcomes, trader.outcomes
    while market.progress < 1.0:
        venue.advance(0.1)
        bare.advance(0.1)
        assert all(venue.figures(user) == bare.figures(user) for user in ADDRESSES.values())
    assert daily // 10 in venue.outcomes.outcomes
    assert template // 10 in venue.outcomes.settled
    assert (maker.outcomes[daily].size, trader.outcomes[template].size) == (4_000.0, 0.0)
