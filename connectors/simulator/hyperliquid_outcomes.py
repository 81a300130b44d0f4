"""HIP-4 outcome markets of the simulated Hyperliquid: what is open, what its sides are worth, how they are listed and settle.

Source: Hyperliquid documentation, "HIP-4: outcome markets". Daily binaries on four coins and a daily bucket question on BTC expire at
06:00 UTC, template binaries live a quarter of an hour; each is listed anew when it settles at the perpetual's mark.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, Literal

from connectors.simulator.market import Market

Json = dict[str, Any]
OutcomeKind = Literal["daily", "template", "bucket", "fallback", "other"]

DAILY_COINS = ("BTC", "ETH", "SOL", "HYPE")
TEMPLATE_COINS = ("BTC", "HYPE")
BUCKET_COIN, BUCKET_WIDTH = "BTC", 0.02
QUARTER_HOUR_S = 900.0
FIRST_OUTCOME, FIRST_QUESTION = 9_101, 400
LOWEST, HIGHEST = 0.001, 0.999
"""Prices an outcome trades at, in its quote token."""
OTHER_PRICE = 0.37

_MINUTE_MS, _HOUR_MS, _DAY_MS = 60_000, 3_600_000, 86_400_000
_YEAR_MS = 365.0 * _DAY_MS
_DAILY_HOUR = 6


@dataclass(frozen=True, slots=True)
class Outcome:
    """An outcome that is open. Yes pays where the mark of `coin` is above `lower` and not above `upper` at `settles_ms`.

    `spec` is its row as the venue prints it, `question` the question it answers; fallback and other outcomes are on no coin.
    """

    number: int
    kind: OutcomeKind
    coin: str
    settles_ms: int
    lower: float | None
    upper: float | None
    spec: Json
    question: int | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """An outcome that settled: `fraction` goes to Yes, 1 - `fraction` to No."""

    number: int
    fraction: float


def encode(outcome: int, side: int) -> int:
    """Number of a side's market ("#N") and balance ("+N"): side 0 is Yes, 1 is No."""
    return 10 * outcome + side


def probability_above(forward: float, strike: float, volatility: float, years: float) -> float:
    """N(d2), the undiscounted price of a digital call (Black 1976); `volatility` per year; what is known once no time is left."""
    deviation = volatility * math.sqrt(max(years, 0.0))
    if deviation <= 0.0:
        return 1.0 if forward > strike else 0.0
    d2 = math.log(forward / strike) / deviation - 0.5 * deviation
    return 0.5 * math.erfc(-d2 / math.sqrt(2.0))


def stamp(moment_ms: int) -> str:
    """A moment as descriptions print it, rounded up to the minute: YYYYMMDD-HHMM, UTC."""
    return time.strftime("%Y%m%d-%H%M", time.gmtime(-(-moment_ms // _MINUTE_MS) * 60))


class OutcomeBoard:
    """The open outcome markets of a venue on a market.

    `template_life_s` is the longest a template binary lives, by default a quarter of an hour or, in a run shorter than three of
    them, a third of it, so that at least one settles. It ends on a whole minute, as descriptions print it; one that lives less than
    a minute settles before its stamp.
    """

    def __init__(self, market: Market, *, template_life_s: float | None = None) -> None:
        self._market = market
        self._life_s = min(QUARTER_HOUR_S, market.duration / 3.0) if template_life_s is None else template_life_s
        self.outcomes: dict[int, Outcome] = {}
        self.questions: dict[int, Json] = {}
        self.settled: dict[int, Json] = {}
        self._next, self._next_question = FIRST_OUTCOME, FIRST_QUESTION
        for coin in DAILY_COINS:
            self._list_daily(coin)
        self._list_buckets()
        for coin in TEMPLATE_COINS:
            self._list_template(coin)
        self._list_other()

    def meta(self) -> Json:
        """The `outcomeMeta` answer."""
        return {"outcomes": [outcome.spec for outcome in self.outcomes.values()], "questions": list(self.questions.values())}

    def price(self, number: int, side: int = 0) -> float | None:
        """Mid of a side as printed, None where nobody quotes: a fallback. Yes and No add up to 1. Raises KeyError for one not open."""
        outcome = self.outcomes[number]
        if outcome.kind == "fallback":
            return None
        probability = self._probability(outcome) if outcome.coin else OTHER_PRICE
        yes = round(min(max(probability, LOWEST), HIGHEST), 5)
        return yes if side == 0 else round(1.0 - yes, 5)

    def mids(self) -> dict[str, float]:
        """Mids of all quoted sides by market name ("#91010")."""
        found: dict[str, float] = {}
        for number in self.outcomes:
            for side in (0, 1):
                price = self.price(number, side)
                if price is not None:
                    found[f"#{encode(number, side)}"] = price
        return found

    def find(self, kind: OutcomeKind, coin: str) -> int:
        """The open outcome of a kind on a coin. Raises ValueError where there is none."""
        for outcome in self.outcomes.values():
            if outcome.kind == kind and outcome.coin == coin:
                return outcome.number
        raise ValueError(f"no {kind} outcome on {coin} is open: daily ones are on {', '.join(DAILY_COINS)}")

    def run(self) -> tuple[list[Settlement], list[Json]]:
        """Settle what is due and list its successors: the settlements, and the elements of the `outcomeMetaUpdates` frame."""
        due = [outcome for outcome in self.outcomes.values() if outcome.settles_ms <= self._market.now_ms]
        settlements: list[Settlement] = []
        updates: list[Json] = []
        for outcome in due:
            settlements.append(self._settle(outcome))
            updates.append({"outcomeSettled": outcome.number})
        for question in dict.fromkeys(outcome.question for outcome in due if outcome.question is not None):
            row = self.questions.pop(question)
            updates += [{"questionUpdated": row | {"settledNamedOutcomes": row["namedOutcomes"]}}, {"questionSettled": question}]
        for outcome in due:
            updates += self._successor(outcome)
        return settlements, updates

    def _successor(self, outcome: Outcome) -> list[Json]:
        if outcome.kind == "daily":
            return self._list_daily(outcome.coin)
        if outcome.kind == "template":
            return self._list_template(outcome.coin)
        return self._list_buckets() if outcome.kind == "fallback" else []

    def _probability(self, outcome: Outcome) -> float:
        years = (outcome.settles_ms - self._market.now_ms) / _YEAR_MS
        forward = self._market.mark(outcome.coin)
        parts = [1.0, 0.0]
        for part, strike in enumerate((outcome.lower, outcome.upper)):
            if strike is not None:
                volatility = self._market.implied_volatility(outcome.coin, strike, forward, years)
                parts[part] = probability_above(forward, strike, volatility, years)
        return parts[0] - parts[1]

    def _settle(self, outcome: Outcome) -> Settlement:
        del self.outcomes[outcome.number]
        fraction, details = 0.0, "other"
        if outcome.coin:
            mark = self._market.mark(outcome.coin)
            above = outcome.lower is None or mark > outcome.lower
            fraction = 1.0 if above and (outcome.upper is None or mark <= outcome.upper) else 0.0
            details = f"price:{mark:.10g}"
        self.settled[outcome.number] = {"spec": outcome.spec, "settleFraction": f"{fraction:.1f}", "details": details}
        return Settlement(outcome.number, fraction)

    def _add(self, kind: OutcomeKind, coin: str, settles_ms: int, bounds: tuple[float | None, float | None], name: str, text: str,
             sides: tuple[str, str] = ("Yes", "No"), question: int | None = None, **more: str) -> Json:  # fmt: skip
        number, self._next = self._next, self._next + 1
        spec: Json = {"outcome": number, "name": name, "description": text, "sideSpecs": [{"name": side} for side in sides]}
        spec |= {"quoteToken": "USDC"} | more
        self.outcomes[number] = Outcome(number, kind, coin, settles_ms, *bounds, spec, question)
        return {"outcomeCreated": spec}

    def _list_daily(self, coin: str) -> list[Json]:
        expiry, target = self._daily_expiry(), self._market.mark(coin)
        text = f"class:priceBinary|underlying:{coin}|expiry:{stamp(expiry)}|targetPrice:{target:.10g}|period:1d"
        return [self._add("daily", coin, expiry, (target, None), "Recurring", text)]

    def _list_template(self, coin: str) -> list[Json]:
        settles, target = self._template_expiry(), self._market.mark(coin)
        text = f"perp:{coin}|priceDescription:{coin}-USDC perp mark|seconds:60|threshold:{target:.10g}|time:{stamp(settles)}"
        sides = ("template:Yes", "template:No")
        name = "template:binaryPrice"
        return [self._add("template", coin, settles, (target, None), name, text, sides, venue="out", deployerFeeScale="1.0")]

    def _list_buckets(self) -> list[Json]:
        expiry, mark = self._daily_expiry(), self._market.mark(BUCKET_COIN)
        low, high = (float(round(mark * factor)) for factor in (1.0 - BUCKET_WIDTH, 1.0 + BUCKET_WIDTH))
        question, self._next_question = self._next_question, self._next_question + 1
        fallback = self._next
        created = [self._add("fallback", "", expiry, (None, None), "Recurring Fallback", "other", question=question)]
        for index, bounds in enumerate(((None, low), (low, high), (high, None))):
            name = "Recurring Named Outcome"
            created.append(self._add("bucket", BUCKET_COIN, expiry, bounds, name, f"index:{index}", question=question))
        text = f"class:priceBucket|underlying:{BUCKET_COIN}|expiry:{stamp(expiry)}|priceThresholds:{low:.10g},{high:.10g}|period:1d"
        named = list(range(fallback + 1, self._next))
        row: Json = {"question": question, "name": "Recurring", "description": text, "fallbackOutcome": fallback, "namedOutcomes": named}
        self.questions[question] = row | {"settledNamedOutcomes": []}
        return [*created, {"questionUpdated": self.questions[question]}]

    def _list_other(self) -> None:
        name, text = "Who wins the simulated cup?", "Settles to the winner of the final."
        self._add("other", "", self._market.now_ms + 30 * _DAY_MS, (None, None), name, text, ("Bulls", "Bears"))

    def _daily_expiry(self) -> int:
        now = self._market.now_ms
        expiry = now // _DAY_MS * _DAY_MS + _DAILY_HOUR * _HOUR_MS
        return expiry if expiry > now else expiry + _DAY_MS

    def _template_expiry(self) -> int:
        life_ms = round(self._life_s * 1000.0)
        grid = 1 if life_ms < _MINUTE_MS else _MINUTE_MS if self._life_s < QUARTER_HOUR_S else round(QUARTER_HOUR_S * 1000.0)
        return (self._market.now_ms + life_ms) // grid * grid
