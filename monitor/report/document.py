"""The margin report as a document (spec: report format): what `marginwatch report` and the HTTP API answer.

    margin_report(snapshot, parameters)     the document of a snapshot under one parameter set
    portfolio_document(book, name, ...)     one of its `portfolios`, from a book that is evaluated

`accounts` has a row for every pool of the accounts that carry pools, with `pool`, `next`, what the venue does at 100 %, and
`next_funding`, as portfolios have it, in the pool's token.
`modes` shows each such Hyperliquid account under standard, unified and portfolio margin: {failures, pools} by account and mode.

Beyond the format's own keys a portfolio carries, all optional to a reader:

    cash_to_safety     USD that alone return the ratio to 0.85; 0 below it, null while the ratio is unknown
    reduction          {account, instrument, side, quantity to trade} that alone returns it there, of one position: the one whose
                       closing saves the most margin of those that suffice; null below 0.85 or where none was found
    stage              for a portfolio of one account whose venue has no rule of its own here: what its venue would do to a unified
                       account at this ratio (normal, auto_repay, cancel_orders_then_partial_liquidation_to_90); else null
    curve              {all, COIN}: what the portfolio is worth and requires after joint moves (betas) or moves of one coin:
                       {moves, equity, maintenance_margin, margin_ratio}, 33 relative moves from -0.5 to 0.5 with 0 among them,
                       evaluated as `distance` is; P&L is equity less equity at 0; null, and a figure of a move null, where the ratio
                       is unknown
    hedge_benefit      sum of the legs' standalone margins less the portfolio's
    binding_choice     which choice of order groups won: each_unit, positions, buy_orders or sell_orders
    at_liquidity_cap   how many instruments pay the liquidity cap for want of volume or volatility
    eligibility        {eligible, reasons}: whether the configuration lets the portfolio method stand; without one it does
    portfolio          only where `method` is "cross": the figures of the portfolio method, which does not stand, with its own
                       cash_to_safety, reduction, stage, distance and curve; the portfolio's cash_to_safety is then that of cross,
                       and its reduction, stage, distance and curve are null
    concentration, venues, venue_out    the cross-venue view, `monitor.margin.venue_view`
    next_funding       what perpetuals receive or pay at the next funding time, in USD (`monitor.report.funding`); null where untold
    assumptions        sentences: what was taken for granted because the snapshot does not say it

Outcomes (digital options, `monitor.snapshot`) stand in a unit's `option`, `delta`, `gamma` and `vega`; a row's quantity is in
contracts, its notional that of its coin delta. They pay no `short_option`, and `cross` asks them for no margin.

A unit carries `failures`, its rows of `positions` also `account` and `side` (null for the rows `spot:COIN` and
`collateral:COIN`, which have no standalone margin either). A failure is {reason, detail}. A unit that failed has null for
every figure. `distance` is null while the ratio is unknown; a side of it is null where no move gets there. `venues` has
`complete`: whether every pool of the view has a value. Infinity is "Infinity", null is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from config.parameters import ParameterSet
from config.portfolios import Eligibility
from monitor.alerts.text import NEXT_STEP
from monitor.margin.cross import CrossResult, cross_result, saving
from monitor.margin.eligibility import ineligibility
from monitor.margin.portfolio import GROUP_NAMES, LegResult, PortfolioResult, UnitResult, portfolio_result, with_measures
from monitor.margin.portfolio_measures import ALL, Curve, leg_measures, portfolio_curve, portfolio_distances
from monitor.margin.result import Failure
from monitor.margin.saved import account_row, distances_of, results_of, saved_pools
from monitor.report.assumptions import assumptions
from monitor.report.funding import pools_funding, portfolio_funding
from monitor.report.plain import plain, utc
from monitor.report.remedies import reduction, unified_stage
from monitor.report.venue_sections import modes_of, venue_sections
from monitor.snapshot import Snapshot
from monitor.stress.book import StressBook
from monitor.stress.load import book_of

VERSION = 1
LEVELS = (0.85, 0.90, 1.00)
"""Ratios of warning, critical and liquidation."""

CUTS = (0.83, 0.85, 0.88, 0.90, 0.98, 1.00)
TARGETS = {"0.85": 0.85, "0.9": 0.90, "1.0": 1.00}
"""Keys of a distance and the ratios they stand for."""

CHOICE_NAMES = ("each_unit", *GROUP_NAMES)
_LEVEL_NAMES = ("ok", "warning", "critical", "liquidation")
_TOTALS = ("maintenance_margin", "initial_margin", "margin_ratio", "initial_ratio", "excess", "available")
_FIGURES = (
    "max_loss",
    "binding_orders",
    "price_nodes",
    "linear",
    "option",
    "spot",
    "collateral",
    "all",
    "contingency",
    "order_loss",
    "maintenance_margin",
    "initial_margin",
    "delta",
    "gamma",
    "vega",
    "hedging_spot",
)
_REMEDIES = ("cash_to_safety", "reduction", "stage", "distance", "curve")

Rules = Callable[[str], Eligibility]
"""From a portfolio's id to the rule that applies to it."""


def no_rules(portfolio: str) -> Eligibility:
    """Every portfolio is eligible."""
    return Eligibility(acknowledged=True)


def margin_report(snapshot: Snapshot, parameters: ParameterSet, rules: Rules = no_rules) -> dict[str, Any]:
    """The report of a snapshot under a resolved parameter set, its overrides applied, ready for JSON."""
    book = book_of(snapshot, parameters, CUTS)
    return {
        "version": VERSION,
        "as_of": utc(snapshot.as_of_ms),
        "parameters": {"name": parameters.name, "dated": parameters.dated.isoformat()},
        "portfolios": [portfolio_document(book, snapshot, row.id, rules(row.id)) for row in snapshot.portfolios],
        "accounts": plain(_accounts(snapshot)),
        "modes": plain(modes_of(snapshot)),
    }


def portfolio_document(book: StressBook, snapshot: Snapshot, name: str, eligibility: Eligibility) -> dict[str, Any]:
    """One portfolio of the book of a snapshot, evaluated; ready for JSON."""
    result = portfolio_result(book, name, LEVELS)
    if result.maintenance_margin is not None:
        result = with_measures(result, *leg_measures(book, name))
    own = {
        **_portfolio(book, result, snapshot.beta),
        **_extras(book, result, snapshot.beta),
        **venue_sections(snapshot, book.parameters, result),
    }
    own["assumptions"] = assumptions(book, name, snapshot.beta)
    comparator = cross_result(book, name, LEVELS)
    reasons = ineligibility(eligibility, result.equity, [unit.coin for unit in result.units])
    found = own | _modes(own, comparator, reasons)
    found["next_funding"] = portfolio_funding(snapshot, name, found["equity"], found["maintenance_margin"])
    document: dict[str, Any] = plain(found)
    return document


def _accounts(snapshot: Snapshot) -> list[dict[str, Any]]:
    engine = saved_pools(snapshot)
    results = results_of(engine)
    funding = pools_funding(engine, results, snapshot)
    rows = []
    for result in results:
        # a rule that this version does not know has no next step either
        following = NEXT_STEP[result.kind].format(limit=result.limit) if result.valid else None
        row = account_row(result, distances_of(engine, result, snapshot.beta, LEVELS))
        rows.append(row | {"next": following, "next_funding": funding.get(result.scope)})
    return rows


def level_of(ratio: float | None) -> str | None:
    """Level of a margin ratio as the document names it; None for one that is unknown."""
    return None if ratio is None else _LEVEL_NAMES[sum(ratio >= level for level in LEVELS)]


def margin_ratio(margin: float | None, equity: float | None) -> float | None:
    """margin / equity: 0 without margin, infinite where no equity is left, None where either is unknown."""
    if margin is None or equity is None:
        return None
    if margin <= 0:
        return 0.0
    return margin / equity if equity > 0 else math.inf


def _portfolio(book: StressBook, result: PortfolioResult, beta: Mapping[str, float]) -> dict[str, Any]:
    name, has_margin = result.portfolio, result.maintenance_margin is not None
    losses = {"sum": result.loss_sum, "joint": result.loss_joint, "shift": result.loss_shift}
    return {
        "id": name,
        "method": result.method,
        "status": "failed" if result.failures else "ok",
        "failures": failure_rows(result.failures),
        "equity": result.equity,
        **{key: getattr(result, key) for key in _TOTALS},
        "level": level_of(result.margin_ratio),
        "loss": losses if has_margin else None,
        "liquidity": result.liquidity,
        "buffer": result.buffer,
        "borrow": result.borrow,
        "families": result.families,
        "gross_notional": result.gross_notional,
        "net_notional": result.net_notional,
        "distance": None if result.margin_ratio is None else _distances(book, name, beta),
        "units": [_unit(unit) for unit in result.units],
    }


def _extras(book: StressBook, result: PortfolioResult, beta: Mapping[str, float]) -> dict[str, Any]:
    name, has_margin = result.portfolio, result.maintenance_margin is not None
    return {
        "cash_to_safety": result.cash_to_safety(LEVELS[0]),
        "reduction": reduction(book, name, LEVELS[0]),
        "stage": unified_stage(book, name, result.margin_ratio),
        "curve": None if result.margin_ratio is None else _curves(book, name, beta),
        "hedge_benefit": result.hedge_benefit,
        "binding_choice": CHOICE_NAMES[result.choice] if has_margin else None,
        "at_liquidity_cap": result.at_cap if has_margin else None,
    }


def _modes(own: dict[str, Any], comparator: CrossResult, reasons: Sequence[str]) -> dict[str, Any]:
    cross = {
        "maintenance_margin": comparator.maintenance_margin,
        "initial_margin": comparator.initial_margin,
        "saving": saving(own["maintenance_margin"], comparator.maintenance_margin),
        "failures": failure_rows(comparator.failures),
    }
    shared = {"cross": cross, "eligibility": {"eligible": not reasons, "reasons": list(reasons)}}
    if not reasons:
        return shared
    equity, initial, ratio = comparator.equity, comparator.initial_margin, comparator.margin_ratio
    return shared | {
        "method": comparator.method,
        "status": "failed" if comparator.failures else "ok",
        "failures": cross["failures"],
        "equity": equity,
        "maintenance_margin": comparator.maintenance_margin,
        "initial_margin": initial,
        "margin_ratio": ratio,
        "initial_ratio": margin_ratio(initial, equity),
        "excess": comparator.excess,
        "available": None if equity is None or initial is None else equity - initial,
        "level": level_of(ratio),
        **dict.fromkeys(_REMEDIES),
        "cash_to_safety": _cash_to_safety(comparator),
        "portfolio": {key: own[key] for key in ("status", "failures", *_TOTALS, "level", *_REMEDIES)},
    }


def _cash_to_safety(comparator: CrossResult) -> float | None:
    equity, margin, ratio = comparator.equity, comparator.maintenance_margin, comparator.margin_ratio
    if equity is None or margin is None or ratio is None:
        return None
    return max(0.0, margin / LEVELS[0] - equity) if ratio > LEVELS[0] else 0.0


def failure_rows(failures: Sequence[Failure]) -> list[dict[str, str]]:
    """Failures as the document writes them."""
    return [{"reason": failure.reason.value, "detail": failure.detail} for failure in failures]


def moving_coins(book: StressBook, name: str) -> list[str]:
    """Coins whose price moves a portfolio: those of its units, and of balances and debts that count."""
    market, row = book.market, book.accounts.portfolios[name]
    units = [market.coin_names[book.tables.units.table["coin"][unit]] for unit in book.accounts.legs.listed_units(row)]
    money = [
        asset
        for account in book.accounts.members[row]
        if account in book.accounts.states
        for asset, held in book.accounts.states[account].money.items()
        if asset not in market.assets and any(held)
    ]
    return sorted({*units, *money})


def _distances(book: StressBook, name: str, beta: Mapping[str, float]) -> dict[str, Any]:
    found = {}
    for coin in (ALL, *moving_coins(book, name)):
        moves = portfolio_distances(book, name, coin, list(TARGETS.values()), beta)
        found[coin] = {target: {"down": down, "up": up} for target, (down, up) in zip(TARGETS, moves, strict=True)}
    return found


def _curves(book: StressBook, name: str, beta: Mapping[str, float]) -> dict[str, Any]:
    curves = {coin: portfolio_curve(book, name, coin, beta) for coin in (ALL, *moving_coins(book, name))}
    return {coin: {key: getattr(curve, key) for key in Curve.__slots__} for coin, curve in curves.items()}


def _unit(unit: UnitResult) -> dict[str, Any]:
    failed = bool(unit.failures)
    figures = {key: None if failed else getattr(unit, key) for key in _FIGURES}
    return {
        "coin": unit.coin,
        "status": "failed" if failed else "ok",
        "failures": failure_rows(unit.failures),
        **figures,
        "worst": None if failed else {"price": unit.worst_price, "vol": unit.worst_volatility},
        "vol_nodes": None if failed else unit.volatility_nodes,
        "positions": None if failed else [_position(leg) for leg in unit.positions],
    }


def _position(leg: LegResult) -> dict[str, Any]:
    return {key: getattr(leg, key) for key in LegResult.__slots__}
