"""Outcome markets on a price (HIP-4): what the venue lists, joined to markets, and the mids of their sides. No I/O.

Three kinds are read, each a digital option: recurring binaries (`class:priceBinary`), the buckets of recurring questions
(`class:priceBucket`) and templates (`template:binaryPrice`). Sources: the venue's contract specifications (recurring outcomes),
venue notes 2.13 and 7.1, volatility notes 1.2. All else (sports, elections) is no option on a price and is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from connectors.events import Event, OutcomeMarkets, ParseError
from connectors.fields import Obj, WrongShape, decimal, integer, mapping, sequence, text, whole
from connectors.hyperliquid.reference import VENUE, coin_and_multiplier
from connectors.model import OutcomeMarket

YES, NO = 0, 1
MAIN_QUOTE = "USDC"
MOST_CHANGES = 5_000
"""Changes remembered while the list is loaded; more mean that it has to be loaded again."""

_BINARY, _BUCKETS, _TEMPLATE = "class:priceBinary", "class:priceBucket", "template:binaryPrice"
_INDEX = "index:"
_EXPIRY = re.compile(r"[0-9]{8}-[0-9]{4}")


_MOST_DIGITS = 18


def side_coin(outcome: int, side: int) -> str:
    """Wire name of the market of a side: `#10250` of side 0 of outcome 1025."""
    return f"#{10 * outcome + side}"


def outcome_of_asset(asset: str) -> int | None:
    """The outcome that a wallet's row is a side of (`+10250`: 1025), None for any other asset."""
    number = _whole(asset[1:]) if asset.startswith("+") else None
    return None if number is None else number // 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """A listed outcome: `market` where it is a binary on a price by itself, `bucket` its place where it is one of a question's."""

    quote: str
    market: OutcomeMarket | None = None
    bucket: int | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A question whose `outcomes` are the buckets below, between and from `thresholds` (USD of one coin, rising)."""

    coin: str
    expiry_ms: int
    thresholds: tuple[float, ...]
    outcomes: tuple[int, ...]
    settled: frozenset[int] = frozenset()

    def bounds(self, bucket: int) -> tuple[float | None, float | None]:
        """Lower and upper bound of a bucket, None where it has none."""
        edges = (None, *self.thresholds, None)
        return edges[bucket], edges[bucket + 1]


def parse_outcome(row: Obj) -> tuple[int, Outcome]:
    """An outcome and its number, as `outcomeMeta` and `outcomeCreated` give it. Raises WrongShape naming the outcome."""
    outcome = _number(row, "outcome")
    where = f"outcome {outcome}"
    name, description = row.get("name"), text(row, "description", where)
    quote = text(row, "quoteToken", where) if row.get("quoteToken") is not None else MAIN_QUOTE
    if description.startswith(_INDEX):
        return outcome, Outcome(quote, bucket=_whole(description.removeprefix(_INDEX)))
    if description.startswith(_BINARY):
        keys = ("underlying", "expiry", "targetPrice")
    elif name == _TEMPLATE:
        keys = ("perp", "time", "threshold")
    else:
        return outcome, Outcome(quote)
    _check_sides(row, where)
    coin, expiry_ms, (bound,) = _terms(description, keys, where)
    return outcome, Outcome(quote, OutcomeMarket(outcome, coin, expiry_ms, bound, None, quote))


def parse_question(row: Obj) -> tuple[int, Question | None]:
    """A question and its number, None where it is not one of price buckets. Raises WrongShape naming the question."""
    question = _number(row, "question")
    where = f"question {question}"
    description = text(row, "description", where)
    if not description.startswith(_BUCKETS):
        return question, None
    coin, expiry_ms, thresholds = _terms(description, ("underlying", "expiry", "priceThresholds"), where)
    if any(upper <= lower for lower, upper in pairwise(thresholds)):
        raise WrongShape(f"{where}.priceThresholds")
    named = tuple(whole(one, f"{where}.namedOutcomes") for one in sequence(row.get("namedOutcomes"), f"{where}.namedOutcomes"))
    settled = sequence(row.get("settledNamedOutcomes") or [], f"{where}.settledNamedOutcomes")
    gone = frozenset(whole(one, f"{where}.settledNamedOutcomes") for one in settled)
    return question, Question(coin, expiry_ms, thresholds, named, gone)


def _whole(digits: str) -> int | None:
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS else None


def _number(row: Obj, key: str) -> int:
    number = integer(row, key, "outcomeMeta")
    if number < 0:
        raise WrongShape(f"outcomeMeta.{key}")
    return number


def _check_sides(row: Obj, where: str) -> None:
    names = [mapping(side, f"{where}.sideSpecs").get("name") for side in sequence(row.get("sideSpecs"), f"{where}.sideSpecs")]
    if [str(name).removeprefix("template:") for name in names] != ["Yes", "No"]:
        raise WrongShape(f"{where}.sideSpecs")


def _terms(description: str, keys: tuple[str, str, str], where: str) -> tuple[str, int, tuple[float, ...]]:
    stated = dict(part.partition(":")[::2] for part in description.split("|"))
    missing = [key for key in keys if not stated.get(key)]
    if missing:
        raise WrongShape(f"{where}.{missing[0]}")
    underlying, expiry, bounds = (stated[key] for key in keys)
    coin, multiplier = coin_and_multiplier(underlying)
    prices = tuple(decimal(bound, f"{where}.{keys[2]}") / multiplier for bound in bounds.split(","))
    if min(prices) <= 0.0 or (keys[2] != "priceThresholds" and len(prices) != 1):
        raise WrongShape(f"{where}.{keys[2]}")
    return coin, _expiry_ms(expiry, f"{where}.{keys[1]}"), prices


def _expiry_ms(value: str, where: str) -> int:
    try:
        if not _EXPIRY.fullmatch(value):
            raise ValueError
        return round(datetime.strptime(value, "%Y%m%d-%H%M").replace(tzinfo=UTC).timestamp()) * 1000
    except ValueError:
        raise WrongShape(where) from None


@dataclass(slots=True)
class OutcomeReading:
    """What a list or a change said: whether the markets are others now, and what made no sense."""

    changed: bool = False
    problems: list[str] = field(default_factory=list)


class OutcomeBook:
    """The price outcomes that are open now. `markets` by outcome number, `sides` maps a wire name to its (outcome, side).

    `missed`: changes may have been missed, so that the list is to be loaded again.
    """

    def __init__(self) -> None:
        self.markets: tuple[OutcomeMarket, ...] = ()
        self.sides: dict[str, tuple[int, int]] = {}
        self.missed = False
        self.loaded = False
        self._outcomes: dict[int, Outcome] = {}
        self._questions: dict[int, Question] = {}
        self._settled: set[int] = set()
        self._meanwhile: list[Any] = []
        self._loading = False
        self._unplaced: frozenset[str] = frozenset()

    def begin(self) -> None:
        """The list is being asked for: what changes meanwhile may or may not be in the answer."""
        self.missed, self._loading, self._meanwhile = False, True, []

    def load(self, answer: object) -> OutcomeReading:
        """An `outcomeMeta` answer replaces everything; what was told since `begin` is applied to it. Raises WrongShape."""
        meta = mapping(answer, "outcomeMeta")
        outcomes = sequence(meta.get("outcomes"), "outcomeMeta.outcomes")
        questions = sequence(meta.get("questions") or [], "outcomeMeta.questions")
        reading = OutcomeReading(changed=not self.loaded)
        self._outcomes, self._questions, self._settled = {}, {}, set()
        self.loaded, self._loading = True, False
        changes = [{"outcomeCreated": row} for row in outcomes] + [{"questionUpdated": row} for row in questions]
        return self._apply([*changes, *self._meanwhile], reading)

    def change(self, data: object) -> OutcomeReading:
        """An `outcomeMetaUpdates` frame. Raises WrongShape where it is no list."""
        changes = sequence(data, "outcomeMetaUpdates")
        if self._loading:
            self._meanwhile += changes
        if len(self._meanwhile) > MOST_CHANGES:
            self.missed, self._meanwhile = True, []
        return self._apply(changes, OutcomeReading())

    def mids(self, data: object) -> tuple[dict[tuple[int, int], float], list[str]]:
        """Mids of the open price outcomes in an `allMids` frame, and which of them made no sense."""
        told = mapping(mapping(data, "allMids").get("mids"), "allMids.mids")
        prices: dict[tuple[int, int], float] = {}
        problems: list[str] = []
        for coin in self.sides.keys() & told.keys():
            try:
                price = decimal(told[coin], f"allMids.{coin}")
                if not 0.0 <= price <= 1.0:
                    raise WrongShape(f"allMids.{coin}")
                prices[self.sides[coin]] = price
            except WrongShape as problem:
                problems.append(problem.detail)
        return prices, problems

    def _apply(self, changes: list[Any], reading: OutcomeReading) -> OutcomeReading:
        for change in changes:
            try:
                self._one(mapping(change, "outcomeMetaUpdates"))
            except WrongShape as problem:
                reading.problems.append(problem.detail)
        unplaced: set[str] = set()
        found = {market.outcome: market for market in self._joined(unplaced)}
        # A bucket nobody can place stays so with every change: told once.
        reading.problems += sorted(unplaced - self._unplaced)
        self._unplaced = frozenset(unplaced)
        markets = tuple(found[outcome] for outcome in sorted(found))
        if markets != self.markets:
            reading.changed, self.markets = True, markets
            self.sides = {side_coin(one.outcome, side): (one.outcome, side) for one in markets for side in (YES, NO)}
        return reading

    def _one(self, change: Obj) -> None:
        for kind, value in change.items():
            if kind == "outcomeCreated":
                outcome, listed = parse_outcome(mapping(value, kind))
                self._settled.discard(outcome)
                self._outcomes[outcome] = listed
            elif kind == "outcomeSettled":
                outcome = whole(value, kind)
                self._settled.add(outcome)
                self._outcomes.pop(outcome, None)
            elif kind == "questionUpdated":
                question, buckets = parse_question(mapping(value, kind))
                self._questions.pop(question, None)
                if buckets is not None:
                    self._questions[question] = buckets
            elif kind == "questionSettled":
                self._questions.pop(whole(value, kind), None)

    def _joined(self, unplaced: set[str]) -> Iterator[OutcomeMarket]:
        yield from (listed.market for listed in self._outcomes.values() if listed.market is not None)
        for number, question in self._questions.items():
            complete = len(question.outcomes) == len(question.thresholds) + 1
            for position, outcome in enumerate(question.outcomes):
                if outcome in question.settled or outcome in self._settled:
                    continue
                listed = self._outcomes.get(outcome, Outcome(MAIN_QUOTE))
                # An outcome says itself which bucket it is; its place in the question is its bucket only while none is missing.
                bucket = listed.bucket if listed.bucket is not None else position if complete else None
                if bucket is None or bucket > len(question.thresholds):
                    unplaced.add(f"question {number}: the bucket of outcome {outcome}")
                    continue
                yield OutcomeMarket(outcome, question.coin, question.expiry_ms, *question.bounds(bucket), listed.quote)


def outcome_events(book: OutcomeBook, reading: OutcomeReading, feed: str, now_ns: int) -> list[Event]:
    """What a reading is for the monitor: all open markets where they changed, and what made no sense."""
    told: list[Event] = [OutcomeMarkets(VENUE, now_ns, book.markets)] if reading.changed else []
    return [*told, *(ParseError(VENUE, feed, "wrong_shape", now_ns, problem) for problem in reading.problems)]
