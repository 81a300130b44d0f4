"""The golden examples (published account samples, documented arithmetic, derived vectors) computed by the engine itself.

Every figure comes from the report of a document, or from a public function where a case is about one rule alone. `computed`
answers each case in the shape of its `expected`, and `lines` holds the two against each other within the tolerance of the file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from kernels import contingency
from kernels.layout import Floats
from kernels.pool import Tiers, liquidation_price, pool_ratio, require
from monitor.margin.cross import long_option_order_cost
from monitor.margin.pooled import COUNTED_AT_ZERO_LTV
from monitor.margin.stages import uta_stage
from monitor.report.document import margin_report
from monitor.snapshot import parse_snapshot
from tests.kernels.stress_books import BTC, account, document, future, held, option, parameters_of, perpetual

Document = dict[str, Any]
Example = Mapping[str, Any]
Rule = Callable[[Document], Document]

FREE = {"f_A": 0.0, "f_B": 0.0, "f_C": 0.0, "f_D": 0.0, "f_E": 0.0}
"""No contingencies: the margin is the loss alone."""

ROUNDING = 1e-12
"""Relative; allowed where the file names no tolerance, as it does for what was derived from a formula."""

BISECTED = {("D-LIQPX", "price"): 2e-7}
"""Distances are bisected to 1e-9 of the price."""


@dataclass(frozen=True, slots=True)
class Line:
    """One expected figure of one case; of `cells` figures the one that differs most. `difference` is infinite where text differs."""

    case: str
    title: str
    figure: str
    cells: int
    expected: float | str
    ours: object
    difference: float
    allowed: float
    evidence: str

    @property
    def passed(self) -> bool:
        """Whether ours is the expected figure within what is allowed."""
        return self.difference <= self.allowed


def path_beside(recordings: Path) -> Path:
    """The file of the examples: golden/uta_examples.json beside the folder of the recordings."""
    return recordings.parent / "golden" / "uta_examples.json"


def read(path: Path) -> list[Document]:
    """All cases of the file, published and derived."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return [*content["examples"], *content["derived_vectors"]]


def lines(examples: Sequence[Example], ours: Mapping[str, Document]) -> list[Line]:
    """Every expected figure of every example beside ours, by case."""
    return [
        _line(one, figure, wanted, ours.get(one["id"], {}).get(figure)) for one in examples for figure, wanted in one["expected"].items()
    ]


def _line(example: Example, figure: str, wanted: object, ours: object) -> Line:
    found = []
    for expected, own in _pairs(wanted, ours):
        allowed = BISECTED.get((example["id"], figure), _allowed(example, expected))
        found.append((_difference(expected, own), allowed, expected, own))
    difference, allowed, expected, own = max(found, key=lambda one: (one[0] > one[1], one[0]))
    evidence = example.get("evidence", example["kind"])
    return Line(example["id"], example["title"], figure, len(found), expected, own, difference, allowed, evidence)


def _pairs(wanted: Any, ours: Any) -> Iterator[tuple[float | str, object]]:
    if isinstance(wanted, dict):
        for key, part in wanted.items():
            yield from _pairs(part, ours.get(key) if isinstance(ours, dict) else None)
    elif isinstance(wanted, list):
        same = isinstance(ours, list) and len(ours) == len(wanted)
        for place, part in enumerate(wanted):
            yield from _pairs(part, ours[place] if same else None)
    else:
        yield wanted, ours


def _allowed(example: Example, expected: float | str) -> float:
    if isinstance(expected, str | bool):
        return 0.0
    told = example.get("tolerance", {"abs": ROUNDING * max(1.0, abs(expected))})
    return float(told.get("abs", 0.0) + told.get("rel", 0.0) * abs(expected))


def _difference(expected: float | str, ours: object) -> float:
    if isinstance(expected, str | bool):
        return 0.0 if ours == expected else math.inf
    if isinstance(ours, bool) or not isinstance(ours, int | float) or math.isnan(ours):
        return math.inf
    return abs(ours - expected)


def table(found: Sequence[Line]) -> Table:
    """The lines for a terminal."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("case", "what", "figure", "expected", "ours", "difference", "allowed", "evidence", ""):
        shown.add_column(heading, no_wrap=True, justify="right" if heading in ("expected", "ours", "difference", "allowed") else "left")
    for line in found:
        figure = line.figure + (f", worst of {line.cells}" if line.cells > 1 else "")
        sizes = (f"{line.difference:.1e}", f"{line.allowed:.1e}")
        verdict = "equal" if line.passed else "DIFFERS"
        shown.add_row(line.case, line.title, figure, _text(line.expected), _text(line.ours), *sizes, line.evidence, verdict)
    return shown


def _text(value: object) -> str:
    return f"{value:.15g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


# -- the cases -------------------------------------------------------------------------------------------------------------------


def computed(examples: Sequence[Example]) -> dict[str, Document]:
    """Our figures for every known case, from its inputs alone. KeyError where the file lacks a case."""
    inputs = {one["id"]: one["inputs"] for one in examples}
    return _published_account(inputs) | {case: rule(inputs[case]) for case, rule in RULES.items()}


def report(source: Document) -> Document:
    """The report of the one portfolio of a document under `uta`."""
    snapshot = parse_snapshot(source, "golden example")
    (portfolio,) = margin_report(snapshot, parameters_of(snapshot, "uta"))["portfolios"]
    return dict(portfolio)


def _unit(source: Document) -> Document:
    (unit,) = report(source)["units"]
    return dict(unit)


def _as_printed(values: Any) -> Any:
    # the venue publishes these with eight decimals
    return [_as_printed(value) for value in values] if isinstance(values, list) else round(values, 8)


def _published_account(inputs: Mapping[str, Document]) -> dict[str, Document]:
    grid, linear, spot = (inputs[f"BYBIT-0{number}"] for number in (1, 2, 4))
    strike = {"strike": grid["strike"], "settle": "USDT", "expiry": grid["expiry_ms"]}
    call = option("call", "call", **strike, forward=grid["forward"], iv=grid["mark_iv"], mark=grid["mark_price"])
    # the ratio stands in words only, with BYBIT-06
    balance = {"asset": "BTC", "total": spot["hedge_spot_size"], "collateral_ratio": 0.98, "eligible_hedge": True}
    owner = account(
        "one",
        [held("call", grid["qty"]), held("perp", linear["qty"])],
        equity=inputs["BYBIT-10"]["equity"],
        spot_hedging=True,
        balances=[balance],
    )
    source = document(
        [call, perpetual("perp", linear["mark_price_usdt"], settle="USDT")],
        [owner],
        as_of=grid["now_ms"],
        fx={"USDT": grid["usdt_usd"]},
        index={"BTC": spot["usd_index"]},
        overrides={"BTC": {"option_base": "mark"}},
    )
    unit = _unit(source)
    charge = unit["contingency"]
    scales = [list(column) for column in zip(*unit["option"], strict=True)]
    return {
        "BYBIT-01": {"pnl_up_same_down_by_scale": _as_printed(scales)},
        "BYBIT-02": {"pnl": _as_printed(unit["linear"])},
        "BYBIT-03": {"futureContingency": _as_printed(charge["perpetual_future"])},
        "BYBIT-04": {"pnl": _as_printed(unit["spot"])},
        "BYBIT-06": {"futureDeltaContingency": _as_printed(charge["spot_basis"])},
        "BYBIT-07": {"contingencyComponents": _as_printed(math.fsum(charge.values()))},
    }


def _with_margin(maintenance: float, **more: Any) -> Document:
    # a perpetual at the index: 10 % of it is the loss, 0.03 % the charge
    quantity = maintenance / (BTC * (0.10 + 0.0003))
    equity = more.pop("equity", 1e6)
    return document([perpetual()], [account("one", [held("v:perp", quantity)], equity=equity)], **more)


def _initial_margin(given: Document) -> Document:
    return {"assetIM": report(_with_margin(given["assetMM"]))["initial_margin"]}


def _account_rates(given: Document) -> Document:
    factor = {"BTC": {"im_factor": given["accountIM"] / given["accountMM"]}}
    found = report(_with_margin(given["accountMM"], equity=given["equity"], overrides=factor))
    rates = {"accountIMRate": found["initial_ratio"], "accountMMRate": found["margin_ratio"]}
    cut_off = {name: math.floor(rate * 1e4) / 1e4 for name, rate in rates.items()}
    return cut_off | {"availableBalance": found["available"]}


def _short_option(given: Document) -> Document:
    kind = {"C": "call", "P": "put"}[given["cp"]]
    row = option("short", kind, given["strike"], mark=given["mark"], forward=given["index"], iv=None)
    owner = account("one", [held("short", -given["qty"], entry=given["entry"])])
    source = document([row], [owner], index={"BTC": given["index"]}, overrides={"BTC": {"option_base": "mark"}})
    found = report(source)["cross"]
    return {"MM": found["maintenance_margin"], "IM": found["initial_margin"]}


def _near_expiry(given: Document) -> Document:
    values = {"price_range": given["preset"], "near_expiry": given["window"]}
    one = account("one", [held("near", 1.0)])
    unit = _unit(document([future("near", given["seconds_to_expiry"])], [one], overrides={"BTC": values}))
    return {"decayed": unit["linear"][-1] / BTC}


def _hedge_offset(given: Document) -> Document:
    # expired calls, in the money at every node: their P&L is linear, and all of it has an exact double
    reach, calls, hedge = 0.75, 3, 2
    price = given["short_calls_max_loss"] / (calls * reach)
    mark = given["hedge_gain_same_scenario"] / (hedge * reach)
    rows = [option("call", "call", price * (1.0 - reach), 0, forward=price), perpetual(mark=mark)]
    owner = account("one", [held("call", -calls), held("v:perp", hedge)])
    values = FREE | {"price_range": reach, "near_expiry": 0.0}
    return {"MM": report(document(rows, [owner], overrides={"BTC": values}))["maintenance_margin"]}


def _long_option_order(given: Document) -> Document:
    premium, fee = long_option_order_cost(given["order_price"], given["qty"], given["index"], given["taker_rate"], given["cap"])
    return {"premium": premium, "fee": fee, "cost": premium + fee}


def _settlement_window(given: Document) -> Document:
    # so deep in the money that the delta is 1: what a small move is worth is the delta that is left
    left, window = (60 * minutes for minutes in (given["window"] - given["minutes_in"], given["window"]))
    row = option("call", "call", BTC * (1.0 - given["mark"]), left, settle="BTC", mark=given["mark"])
    values = {"near_expiry": window, "option_base": "mark"}
    unit = _unit(document([row], [account("one", [held("call", given["delta"])])], overrides={"BTC": values}))
    per_coin = unit["option"][1][-1] / (BTC * unit["price_nodes"][-1])
    return {"call_delta": per_coin, "net_transaction_delta": per_coin / unit["delta"] * (unit["delta"] - given["mark"])}


def _borrowing_ratio(given: Document) -> Document:
    # in our terms: what is borrowed is what equity falls short of maintenance, and the rest of the balance is collateral
    maintenance, borrowed = given["cross_maintenance_margin"], given["borrowed_size"] * given["borrow_oracle_price"]
    threshold = COUNTED_AT_ZERO_LTV + 0.5 * given["ltv"]
    supplied = min(given["borrow_cap"], given["supply_cap"] * given["borrow_oracle_price"] * threshold)
    collateral = given["portfolio_balance"] - maintenance + supplied
    requirement, capacity = require(maintenance - borrowed, maintenance, collateral, True, given["min_borrow_offset"])
    ratios = [pool_ratio(requirement, capacity, limit) for limit in (1.0, 0.95)]
    return {"requirement": requirement, "liquidation_value": capacity, "ratio": ratios[0], "liquidatable": bool(ratios[1] >= 1.0)}


def _carry_trade(given: Document) -> Document:
    spot = account("spot", balances=[{"asset": "BTC", "total": given["spot_btc"], "collateral_ratio": 1.0}], equity=None)
    perp = account("perp", [held("v:perp", given["perp"], entry=given["px0"])], equity=None)
    listed = [perpetual(mark=given["px1"])]
    value, pnl = (report(document(listed, [one], index={"BTC": given["px1"]}))["equity"] for one in (spot, perp))
    borrowed, _ = require(pnl, 0.0, value, True, 0.0)
    return {"perp_pnl": pnl, "usdc_borrowed": borrowed, "spot_value": value}


# -- derived vectors ---------------------------------------------------------------------------------------------------------------


def _sums(columns: int, **rows: Sequence[float]) -> Floats:
    sums = np.zeros((contingency.TOTALS + 1, columns))
    for name, values in rows.items():
        sums[getattr(contingency, name.upper()), : len(values)] = values
    return sums


def _short_options(given: Document) -> Document:
    calls, puts = (list(given[kind].values()) for kind in ("calls", "puts"))
    strikes = len(calls) + len(puts)
    by_kind = [{"calls": calls}, {"puts": [0.0] * len(calls) + puts}]
    net = [contingency.short_option(_sums(strikes, **one), strikes, 1.0, 1.0) for one in by_kind]
    whole = _sums(strikes, **by_kind[0], **by_kind[1])
    charge = contingency.short_option(whole, strikes, given["factor"], given["index"])
    return {"net_short_calls": net[0], "net_short_puts": net[1], "contingency": charge}


def _side(row: str, days: Sequence[float], weights: Sequence[float], sign: float) -> tuple[float, float]:
    # (sum, mean days) of one side: against one coin, then against any number of them, the spread to a day beyond all
    far, chosen = days[-1] + 1.0, [weight if weight * sign > 0 else 0.0 for weight in weights]
    both = []
    for other in (1.0, 1e6):
        sums = _sums(len(days) + 1, days=[*days, far], **{row: [*chosen, -sign * other]})
        both.append(contingency.spread(sums, getattr(contingency, row.upper()), len(days) + 1))
    return both[1] / both[0], far - both[0]


def _vega_spread(given: Document) -> Document:
    days, vegas = ([float(one[key]) for one in given["expiries"]] for key in ("days", "net_vega"))
    sums = _sums(len(days), days=days, vega=[vega * given["index"] for vega in vegas])
    (long, t_long), (short, t_short) = (_side("vega", days, vegas, sign) for sign in (1.0, -1.0))
    found = {"long_vega": long, "short_vega": short, "t_long": t_long, "t_short": t_short, "time_diff": abs(t_long - t_short)}
    hedged = contingency.spread(_sums(len(days), days=days, vega=vegas), contingency.VEGA, len(days)) / found["time_diff"]
    return found | {"hedged": hedged, "contingency": contingency.vega_spread(sums, len(days), given["factor"])}


def _delta_spread(given: Document) -> Document:
    days, deltas = ([float(one[key]) for one in given["expiries"]] for key in ("days", "net_delta"))
    sums = _sums(len(days), days=days, delta=deltas)
    (long, t_long), (short, t_short) = (_side("delta", days, deltas, sign) for sign in (1.0, -1.0))
    found = {"long": long, "short": short, "t_long": t_long, "t_short": t_short, "time_diff": abs(t_long - t_short)}
    hedged = contingency.spread(sums, contingency.DELTA, len(days)) / found["time_diff"]
    return found | {"hedged": hedged, "contingency": contingency.delta_spread(sums, len(days), given["factor"], given["index"])}


def _stablecoin_spread(given: Document) -> Document:
    sums = _sums(3, settle=[given["delta_usd"], given["delta_usdt"], given["delta_usdc"]])
    charge = contingency.stablecoin_spread(sums, 3, given["factor"], given["index"])
    return {"hedged": contingency.stablecoin_spread(sums, 3, 1.0, 1.0), "contingency": charge}


def _order_groups(given: Document) -> Document:
    sizes = [given[name] / (BTC * 0.10) for name in ("MM_C", "MM_A_plus_C", "MM_B_plus_C")]
    orders = [{"instrument": "v:perp", "quantity": size - sizes[0], "limit_price": BTC} for size in sizes[1:]]
    owner = account("one", [held("v:perp", sizes[0])], orders=orders)
    return {"final": report(document([perpetual()], [owner], overrides={"BTC": FREE}))["maintenance_margin"]}


def _stages(given: Document) -> Document:
    return {"stages": [uta_stage(row["mmr"], row["debt"]).value for row in given["rows"]]}


def _euler(given: Document) -> Document:
    # a short put and a short call at expiry: at 15 % down and up their payoffs, less their marks, are the two scenarios
    (put_down, put_up), (call_down, call_up) = (given["scenario_pnl"][name] for name in ("A", "B"))
    put = option("A", "put", 850.0 + put_up - put_down, 0, forward=1000.0, mark=put_up)
    call = option("B", "call", 1150.0 - call_down + call_up, 0, forward=1000.0, mark=call_down)
    values = FREE | {"price_range": 0.15, "price_nodes": 3, "near_expiry": 0.0, "option_base": "mark"}
    found = report(document([put, call], [account("one", [held("A", -1.0), held("B", -1.0)])], overrides={"BTC": values}))
    (unit,) = found["units"]
    ends = [unit["all"][0], unit["all"][-1]]
    parts = {
        name: {row["instrument"]: row[key] for row in unit["positions"]}
        for name, key in (("euler", "contribution"), ("leave_one_out", "leave_one_out"), ("standalone", "standalone"))
    }
    where = [unit["price_nodes"][0], unit["price_nodes"][-1]].index(unit["worst"]["price"])
    return parts | {"portfolio": ends, "worst_index": where, "margin": found["maintenance_margin"]}


def _linear_book(given: Document) -> Document:
    mark, quantity, rate = float(given["mark"]), float(given["qty"]), given["mm_rate"]
    equity = given["equity0"] + quantity * (mark - given["entry"])
    tiers = Tiers(np.array([0, 1], np.int32), np.zeros(1), np.full(1, rate), np.zeros(1))
    closed = liquidation_price(quantity, mark, equity - rate * abs(quantity) * mark, 0, tiers)
    owner = account("one", [held("v:perp", quantity, entry=given["entry"])], equity=equity)
    source = document([perpetual(mark=mark)], [owner], overrides={"BTC": FREE | {"price_range": rate}})
    move = report(source)["distance"]["BTC"]["1.0"]["down"]
    return {"closed_form": closed, "price": None if move is None else mark * (1.0 + move)}


RULES: dict[str, Rule] = {
    "BYBIT-09": _initial_margin,
    "BYBIT-10": _account_rates,
    "BYBIT-11": _short_option,
    "BYBIT-13": _near_expiry,
    "BYBIT-14": _hedge_offset,
    "BYBIT-15": _long_option_order,
    "DERIBIT-05": _settlement_window,
    "HL-01": _borrowing_ratio,
    "HL-02": _carry_trade,
    "D-BYBIT-A": _short_options,
    "D-BYBIT-B": _vega_spread,
    "D-BYBIT-C": _stablecoin_spread,
    "D-BYBIT-D1": _delta_spread,
    "D-BYBIT-ORD": _order_groups,
    "D-BYBIT-LIQ": _stages,
    "D-EULER": _euler,
    "D-LIQPX": _linear_book,
}
"""Cases with inputs of their own; the others share the published account."""
