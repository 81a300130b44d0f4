"""The portfolio margin method on a snapshot document, slowly and from the specification alone.

`evaluate` is the whole answer; the other functions answer the questions of section 9 about one portfolio of the document.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from tests.reference import attribution
from tests.reference.market import Failure, Market
from tests.reference.parameters import HOUSE, UTA, ParameterSet
from tests.reference.portfolio import Result, directional, margin, ratio
from tests.reference.snapshot import Leg, parse
from tests.reference.stress import price_nodes, vol_nodes
from tests.reference.unit import Outcome, Unit

__all__ = [
    "HOUSE",
    "UTA",
    "ParameterSet",
    "cash_to_safety",
    "contributions",
    "distance",
    "evaluate",
    "hedge_benefit",
    "leave_one_out",
    "standalone",
    "venue_out",
]

ALL = "all"
LOWEST_FACTOR = 1e-6
LEVELS = ((1.0, "liquidation"), (0.90, "critical"), (0.85, "warning"))

LegKey = tuple[str, str, str | None]
"""(account, instrument, side or None)."""


def evaluate(document: dict[str, Any], parameters: ParameterSet) -> dict[str, dict[str, Any]]:
    """Portfolio id to its report (spec report_format; `choice` and `liquidity_flagged` besides). Infinity is a float here."""
    chosen = parameters.with_overrides(document.get("overrides", {}))
    book = parse(document)
    return {name: report(name, margin(accounts, Market(book), chosen)) for name, accounts in book.portfolios.items()}


def result_of(document: dict[str, Any], parameters: ParameterSet, portfolio_id: str) -> Result:
    """One portfolio of the document at its own prices."""
    book = parse(document)
    return margin(book.portfolios[portfolio_id], Market(book), parameters.with_overrides(document.get("overrides", {})))


def report(name: str, result: Result) -> dict[str, Any]:
    """A portfolio's figures as the report document names them; None is unknown."""
    mm, im, own = result.maintenance_margin, result.initial_margin, result.equity
    choice, figures = result.choice, notionals(result)
    return {
        "id": name,
        "method": "portfolio",
        "status": "failed" if result.failures else "ok",
        "failures": [failure_row(failure) for failure in result.failures],
        "equity": own,
        "maintenance_margin": mm,
        "initial_margin": im,
        "margin_ratio": ratio(mm, own, held=bool(result.units)),
        "initial_ratio": ratio(im, own, held=bool(result.units)),
        "excess": None if own is None or mm is None else own - mm,
        "available": None if own is None or im is None else own - im,
        "level": level(ratio(mm, own, held=bool(result.units))),
        "loss": None if choice is None else asdict(choice.loss),
        "liquidity": None if result.liquidity is None else result.liquidity.charge,
        "liquidity_flagged": [] if result.liquidity is None else result.liquidity.flagged,
        "buffer": None if choice is None else choice.buffer,
        "borrow": result.borrow,
        "families": families(result),
        "gross_notional": figures[0],
        "net_notional": figures[1],
        "choice": None if choice is None else choice.index,
        "units": [unit_row(unit, None if choice is None else choice.groups[unit.coin]) for unit in result.units],
    }


def failure_row(failure: Failure) -> dict[str, Any]:
    """A failure as a document row."""
    return {"reason": failure.reason, "coin": failure.coin, "detail": failure.detail}


def level(margin_ratio: float | None) -> str | None:
    """Alert level of a ratio."""
    if margin_ratio is None:
        return None
    return next((name for bound, name in LEVELS if margin_ratio >= bound), "ok")


def families(result: Result) -> dict[str, float] | None:
    """The four scenario families, of the choice that wins."""
    if result.choice is None or result.liquidity is None:
        return None
    outcomes = [unit.outcomes[result.choice.groups[unit.coin]] for unit in result.units]
    loss, unshocked = result.choice.loss, directional(outcomes, result.parameters.portfolio["correlation_shift"])
    return {
        "directional": unshocked,
        "volatility": loss.shift - unshocked,
        "correlation": loss.shift - loss.joint,
        "liquidity": result.liquidity.charge,
    }


def notionals(result: Result) -> tuple[float | None, float | None]:
    """Gross and net notional of the positions, USD; None where a unit fails."""
    if any(unit.failures for unit in result.units):
        return None, None
    rows = [unit.quotes[leg.instrument.id].signed_notional(leg.quantity) for unit in result.units for leg in unit.legs]
    return math.fsum(abs(row) for row in rows), math.fsum(rows)


def unit_row(unit: Unit, group: str | None) -> dict[str, Any]:
    """A unit under the winning choice's group; under its own where the portfolio has no margin; reasons only where it fails itself."""
    if unit.failures:
        return {"coin": unit.coin, "status": "failed", "failures": [failure_row(failure) for failure in unit.failures]}
    outcome = unit.outcomes[group or unit.own_group]
    rows = attribution.contributions(unit, outcome.group)
    return {"coin": unit.coin, "status": "ok", "binding_orders": outcome.group, **outcome_row(unit, outcome)} | {
        "positions": [position_row(row) for row in rows]
    }


def outcome_row(unit: Unit, outcome: Outcome) -> dict[str, Any]:
    """A unit's figures under one group."""
    mm = outcome.maintenance_margin
    return {
        "max_loss": outcome.max_loss,
        "worst": {"price": outcome.worst.price, "vol": outcome.worst.vol},
        "price_nodes": price_nodes(unit.values),
        "vol_nodes": vol_nodes(unit.values),
        "linear": outcome.linear,
        "option": outcome.option,
        "spot": outcome.spot,
        "collateral": outcome.collateral,
        "all": outcome.all,
        "contingency": outcome.contingency,
        "order_loss": outcome.order_loss,
        "maintenance_margin": mm,
        "initial_margin": mm * unit.values["im_factor"],
        "delta": outcome.delta,
        "gamma": math.fsum(item.quote.gamma(item.quantity) for item in outcome.held),
        "vega": math.fsum(item.quote.vega(item.quantity) * item.quote.fx for item in outcome.held),
        "hedging_spot": outcome.hedge,
    }


def position_row(row: attribution.Contribution) -> dict[str, Any]:
    """A row of a unit's positions."""
    return {
        "account": None if row.leg is None else row.leg.account,
        "instrument": row.name,
        "side": None if row.leg is None else row.leg.side,
        "quantity": row.quantity,
        "notional": row.notional,
        "contribution": row.value,
    }


def contributions(document: dict[str, Any], parameters: ParameterSet, portfolio_id: str) -> dict[str, list[dict[str, Any]]]:
    """Coin to the rows of its unit that sum to its maintenance margin; units that fail are left out."""
    units = evaluate(document, parameters)[portfolio_id]["units"]
    return {unit["coin"]: unit["positions"] for unit in units if unit["status"] == "ok"}


def standalone(document: dict[str, Any], parameters: ParameterSet, portfolio_id: str) -> dict[LegKey, float | None]:
    """Each leg's portfolio margin on its own, with its orders."""
    return _by_leg(result_of(document, parameters, portfolio_id), attribution.standalone)


def leave_one_out(document: dict[str, Any], parameters: ParameterSet, portfolio_id: str) -> dict[LegKey, float | None]:
    """How much less the portfolio's margin is without each leg and its orders."""
    return _by_leg(result_of(document, parameters, portfolio_id), attribution.leave_one_out)


def _by_leg(result: Result, figure: Callable[[Result, Leg], float | None]) -> dict[LegKey, float | None]:
    return {leg.key: figure(result, leg) for unit in result.units for leg in unit.legs}


def hedge_benefit(document: dict[str, Any], parameters: ParameterSet, portfolio_id: str) -> float | None:
    """Sum of the standalone margins less the portfolio's."""
    return attribution.hedge_benefit(result_of(document, parameters, portfolio_id))


def moved(result: Result, coin: str, move: float) -> Result:
    """The portfolio after a relative move of one coin, or of all coins, each scaled by its beta."""
    book = result.market.book
    coins = {item.coin for item in book.instruments.values()} | set(book.index) if coin == ALL else {coin}
    moves = {name: max(LOWEST_FACTOR, 1.0 + move * (book.beta.get(name, 1.0) if coin == ALL else 1.0)) for name in coins}
    return margin(result.accounts, Market(book, moves), result.parameters)


def distance(
    document: dict[str, Any],
    parameters: ParameterSet,
    portfolio_id: str,
    coin_or_all: str,
    target: float,
    *,
    down_steps: int = 99,
    up_steps: int = 100,
) -> tuple[float | None, float | None]:
    """Nearest move below and above 0 at which margin_ratio crosses `target`, from -0.99 to +4; None where it does not.

    Crossings closer together than one step of the scan are not seen.
    """
    result = result_of(document, parameters, portfolio_id)
    if result.margin_ratio is None:
        return None, None

    def beyond(move: float) -> bool:
        found = moved(result, coin_or_all, move).margin_ratio
        assert found is not None
        return found >= target

    down = [-0.99 * step / down_steps for step in range(down_steps + 1)]
    up = [4.0 * step / up_steps for step in range(up_steps + 1)]
    return _first_crossing(beyond, down), _first_crossing(beyond, up)


def _first_crossing(beyond: Callable[[float], bool], moves: Sequence[float]) -> float | None:
    here = beyond(moves[0])
    for near, far in pairwise(moves):
        if beyond(far) != here:
            return _bisected(beyond, near, far, here)
    return None


def _bisected(beyond: Callable[[float], bool], near: float, far: float, here: bool) -> float:
    while abs(far - near) > 1e-10:
        middle = 0.5 * (near + far)
        if beyond(middle) == here:
            near = middle
        else:
            far = middle
    return 0.5 * (near + far)


def cash_to_safety(document: dict[str, Any], parameters: ParameterSet, portfolio_id: str, target: float = 0.85) -> float | None:
    """USD which alone returns the ratio to `target`; 0 below it, None while the ratio is unknown."""
    result = result_of(document, parameters, portfolio_id)
    if result.maintenance_margin is None or result.equity is None:
        return None
    return max(0.0, result.maintenance_margin / target - result.equity) if (result.margin_ratio or 0.0) > target else 0.0


def venue_out(document: dict[str, Any], venue: str) -> dict[str, Any]:
    """The document with one venue's accounts gone from it and from every portfolio."""
    gone = {account["id"] for account in document["accounts"] if account["venue"] == venue}
    return document | {
        "accounts": [account for account in document["accounts"] if account["id"] not in gone],
        "portfolios": [
            portfolio | {"accounts": [name for name in portfolio["accounts"] if name not in gone]} for portfolio in document["portfolios"]
        ],
    }
