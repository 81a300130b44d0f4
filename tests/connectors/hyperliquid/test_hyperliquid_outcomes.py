"""Outcome markets on a price: the recorded lists, what changes them, and mids of their sides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.fields import WrongShape
from connectors.hyperliquid.outcomes import OutcomeBook, outcome_of_asset, side_coin
from connectors.model import OutcomeMarket
from tests.connectors.hyperliquid import hyperliquid_wire as wire

EXPIRY = 1_786_168_800_000
"""2026-08-08 06:00 UTC."""


def book(*outcomes: Any, questions: Any = ()) -> OutcomeBook:
    made = OutcomeBook()
    reading = made.load({"outcomes": list(outcomes), "questions": list(questions)})
    assert (reading.changed, reading.problems) == (True, [])
    return made


def bounds(made: OutcomeBook) -> dict[int, tuple[float | None, float | None]]:
    return {one.outcome: (one.lower, one.upper) for one in made.markets}


# -- recordings ---------------------------------------------------------------------------------------------------------


def test_recorded_list(recordings: Path) -> None:
    made = OutcomeBook()
    reading = made.load(orjson.loads((recordings / "hyperliquid_hip4" / "info_outcome_meta_20260807.json").read_bytes()))
    assert reading.problems == []
    assert made.markets == (
        OutcomeMarket(1025, "BTC", EXPIRY, 64306.0, None, "USDC"),
        OutcomeMarket(1030, "BTC", EXPIRY, None, 63019.0, "USDC"),
        OutcomeMarket(1031, "BTC", EXPIRY, 63019.0, 65592.0, "USDC"),
        OutcomeMarket(1032, "BTC", EXPIRY, 65592.0, None, "USDC"),
    )
    mids = orjson.loads((recordings / "hyperliquid_hip4" / "info_all_mids_outcomes_20260807.json").read_bytes())
    prices, problems = made.mids({"mids": mids})
    assert problems == []
    assert prices == {(1025, 0): 0.879215, (1025, 1): 0.120785}, "nobody lists outcome 1026"


def test_recorded_book_of_a_side_is_named_as_here(recordings: Path) -> None:
    recorded = orjson.loads((recordings / "hyperliquid_hip4" / "info_l2book_outcome_yes_20260807.json").read_bytes())
    assert recorded["coin"] == side_coin(1025, 0)


def test_documented_list_of_the_launch_has_neither_questions_nor_a_quote(recordings: Path) -> None:
    made = OutcomeBook()
    assert made.load(orjson.loads((recordings / "hyperliquid" / "rest_outcome_meta_docs_example.json").read_bytes())).problems == []
    assert made.markets == (OutcomeMarket(123, "HYPE", 1_773_140_400_000, 34.5, None, "USDC"),)


def test_recorded_changes(recordings: Path) -> None:
    made = book(wire.binary(9112))
    data = orjson.loads((recordings / "hyperliquid" / "ws_outcome_meta_updates.json").read_bytes())["data"]
    reading = made.change(data)
    assert (reading.changed, reading.problems) == (True, [])
    assert made.markets == (OutcomeMarket(9115, "HYPE", 1_791_281_700_000, 93.058, None, "USDC"),)


def test_recorded_wallet_names_its_outcomes(recordings: Path) -> None:
    wallet = orjson.loads((recordings / "hyperliquid" / "rest_spot_clearinghouse_state_unified_with_outcomes_2026-10-06.json").read_bytes())
    found = {row["coin"]: outcome_of_asset(row["coin"]) for row in wallet["balances"]}
    assert found == {"USDC": None, "USDE": None, "+92260": 9226, "+92261": 9226}


# -- lists --------------------------------------------------------------------------------------------------------------


def test_what_is_no_price_is_left_out_quietly() -> None:
    sports = wire.outcome(7, "participantA:Brazil|participantB:Spain", name="template:sportsContestWinner")
    prose = wire.outcome(8, "Will it rain? Settled by | the weather : report", name="Rain", sides=("Wet", "Dry"))
    touch = wire.outcome(9, "perp:BTC|target:100000|time:20261001-0000", name="template:priceTouch")
    contest = {"question": 3, "name": "Cup", "description": "a cup", "fallbackOutcome": 1, "namedOutcomes": [7], "settledNamedOutcomes": []}
    assert book(sports, prose, touch, questions=[contest]).markets == ()


def test_template_form_reads_perp_threshold_and_time() -> None:
    description = "perp:kPEPE|priceDescription:kPEPE-USDC perp mark|seconds:60|threshold:0.012|time:20260808-0600"
    (market,) = book(wire.outcome(5, description, name="template:binaryPrice", sides=("template:Yes", "template:No"))).markets
    assert (market.coin, market.expiry_ms) == ("PEPE", EXPIRY)
    assert market.lower == pytest.approx(0.000012), "of one coin, not of the contract's thousand"


def test_buckets_are_below_between_and_from_the_thresholds() -> None:
    made = book(questions=[wire.buckets(168, [30, 31, 32, 33], "100,200.5,300")])
    assert bounds(made) == {30: (None, 100.0), 31: (100.0, 200.5), 32: (200.5, 300.0), 33: (300.0, None)}


def test_a_bucket_says_itself_which_it_is_and_has_its_own_quote() -> None:
    rows = [wire.outcome(30 + n, f"index:{n}", name="Recurring Named Outcome", quoteToken="USDH") for n in range(3)]
    made = book(*rows, wire.outcome(29, "other"), questions=[wire.buckets(168, [32, 31], settledNamedOutcomes=[30])])
    assert bounds(made) == {31: (63019.0, 65592.0), 32: (65592.0, None)}
    assert {one.quote for one in made.markets} == {"USDH"}


def test_settled_buckets_are_not_open() -> None:
    made = book(questions=[wire.buckets(168, [30, 31, 32], settledNamedOutcomes=[31])])
    assert set(bounds(made)) == {30, 32}


def test_a_bucket_that_nobody_can_place_is_told_once_and_left_out() -> None:
    made = OutcomeBook()
    reading = made.load({"outcomes": [], "questions": [wire.buckets(168, [30, 31])]})
    assert reading.problems == ["question 168: the bucket of outcome 30", "question 168: the bucket of outcome 31"]
    assert made.markets == ()
    assert made.change([{"outcomeSettled": 9}]).problems == []
    assert made.change([{"outcomeCreated": wire.outcome(30, "index:0")}]).changed
    assert bounds(made) == {30: (None, 63019.0)}


BAD: list[tuple[Any, str]] = [
    (wire.binary(1, expiry="20261308-0600"), "outcome 1.expiry"),
    (wire.binary(1, expiry="2026-08-08"), "outcome 1.expiry"),
    (wire.binary(1, target="high"), "outcome 1.targetPrice"),
    (wire.binary(1, target="0"), "outcome 1.targetPrice"),
    (wire.binary(1, target="-5"), "outcome 1.targetPrice"),
    (wire.binary(1, target="1,2"), "outcome 1.targetPrice"),
    (wire.binary(1, target="nan"), "outcome 1.targetPrice"),
    (wire.binary(1, coin=""), "outcome 1.underlying"),
    (wire.binary(1, sides=("No", "Yes")), "outcome 1.sideSpecs"),
    (wire.binary(1, sideSpecs=None), "outcome 1.sideSpecs"),
    (wire.binary(1, quoteToken=7), "outcome 1.quoteToken"),
    ({**wire.binary(1), "description": 7}, "outcome 1.description"),
    (wire.binary(-1), "outcomeMeta.outcome"),
    (wire.outcome(1, "perp:BTC|time:20260808-0600", name="template:binaryPrice"), "outcome 1.threshold"),
    ("a string", "outcomeCreated"),
]


@pytest.mark.parametrize(("row", "place"), BAD, ids=[f"{place}-{n}" for n, (_, place) in enumerate(BAD)])
def test_a_bad_outcome_is_told_by_its_number_and_costs_no_other(row: Any, place: str) -> None:
    made = OutcomeBook()
    reading = made.load({"outcomes": [row, wire.binary(2)], "questions": []})
    assert reading.problems == [place]
    assert set(bounds(made)) == {2}


@pytest.mark.parametrize(
    ("question", "place"),
    [
        (wire.buckets(4, [30, 31, 32], "2,1"), "question 4.priceThresholds"),
        (wire.buckets(4, [30, 31, 32], "1,1"), "question 4.priceThresholds"),
        (wire.buckets(4, [30, 31, 32], "1,,2"), "question 4.priceThresholds"),
        ({**wire.buckets(4, []), "namedOutcomes": ["30"]}, "question 4.namedOutcomes"),
        (wire.buckets(4, [30, 31, 32], settledNamedOutcomes=[None]), "question 4.settledNamedOutcomes"),
        (wire.buckets(4, [30, 31, 32], description=None), "question 4.description"),
    ],
)
def test_a_bad_question_is_told_by_its_number(question: Any, place: str) -> None:
    made = OutcomeBook()
    reading = made.load({"outcomes": [wire.binary(2)], "questions": [question]})
    assert [problem.rpartition("[")[0] or problem for problem in reading.problems] == [place]
    assert set(bounds(made)) == {2}


@pytest.mark.parametrize("answer", [None, [], {}, {"outcomes": {}}, {"outcomes": [], "questions": {"a": 1}}])
def test_an_answer_that_is_no_list_leaves_what_was_known(answer: Any) -> None:
    made = book(wire.binary(2))
    with pytest.raises(WrongShape):
        made.load(answer)
    assert set(bounds(made)) == {2}


# -- changes ------------------------------------------------------------------------------------------------------------


def test_only_what_changes_the_markets_is_a_change() -> None:
    made = book(wire.binary(2))
    assert not made.change([{"outcomeCreated": wire.binary(2)}]).changed
    assert not made.change([{"outcomeSettled": 77}, {"questionSettled": 5}, {"somethingNew": {}}]).changed
    assert made.change([{"outcomeSettled": 2}]).changed
    assert (made.markets, made.sides) == ((), {})
    assert not made.load({"outcomes": []}).changed


def test_a_question_comes_and_goes_with_its_buckets() -> None:
    made = book()
    assert made.change([{"questionUpdated": wire.buckets(168, [30, 31, 32])}]).changed
    assert made.change([{"outcomeSettled": 30}]).changed
    assert set(bounds(made)) == {31, 32}
    assert made.change([{"questionSettled": 168}]).changed
    assert made.markets == ()


def test_what_changes_while_the_list_is_on_its_way_is_not_undone_by_it() -> None:
    made = book(wire.binary(2), wire.binary(3))
    made.begin()
    made.change([{"outcomeSettled": 2}, {"outcomeCreated": wire.binary(4)}])
    reading = made.load({"outcomes": [wire.binary(2), wire.binary(3)]})
    assert set(bounds(made)) == {3, 4}
    assert not reading.changed, "as it was told before"
    made.begin()
    made.load({"outcomes": [wire.binary(2)]})
    assert set(bounds(made)) == {2}, "what was told before it was asked for is in the answer"


def test_more_changes_than_can_be_kept_ask_for_the_list_again() -> None:
    made = book()
    made.begin()
    for number in range(60):
        made.change([{"outcomeSettled": number}] * 100)
    assert made.missed


# -- mids ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mid", ["1.2", "-0.1", "x", None, True, {}])
def test_a_bad_mid_costs_itself(mid: Any) -> None:
    prices, problems = book(wire.binary(2)).mids({"mids": {"#20": mid, "#21": "0.25", "BTC": "nonsense"}})
    assert prices == {(2, 1): 0.25}
    assert problems == ["allMids.#20"]


@pytest.mark.parametrize(
    ("asset", "outcome"), [("+10250", 1025), ("+7", 0), ("+", None), ("10250", None), ("+1x", None), ("+²", None), ("+" + 5000 * "1", None)]
)
def test_outcome_of_an_asset(asset: str, outcome: int | None) -> None:
    assert outcome_of_asset(asset) == outcome


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["outcome", "description", "name", "mids", "#20"]), inner),
    max_leaves=8,
)


@given(_JSON, st.sampled_from(["outcomeCreated", "outcomeSettled", "questionUpdated", "questionSettled"]))
def test_no_change_ends_the_book(value: Any, kind: str) -> None:
    made = book(wire.binary(2))
    made.change([{kind: value}, value])
    made.change([{"outcomeCreated": wire.binary(3)}])
    assert 3 in bounds(made)
