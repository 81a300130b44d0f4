"""Snapshot documents for the stress engine, its results for them, and every figure held against the plain reference."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from config.parameters import ParameterSet, load_parameters
from monitor.margin.portfolio import PortfolioResult, UnitResult, portfolio_result
from monitor.snapshot import Snapshot, parse_snapshot
from monitor.stress.book import StressBook
from monitor.stress.load import book_of
from tests.reference import margin_model
from tests.reference.books import Document

CUTS = (0.83, 0.85, 0.88, 0.90, 0.98, 1.0)
REFERENCE = {"uta": margin_model.UTA, "house": margin_model.HOUSE}
SETS = tuple(REFERENCE)

NOON_S = 1_795_262_400
DAY_S = 86_400
BTC = 100_000.0

TOTALS = ("maintenance_margin", "initial_margin", "liquidity", "buffer", "borrow", "gross_notional", "net_notional")
UNIT_MONEY = ("max_loss", "order_loss", "maintenance_margin", "initial_margin")
UNIT_GREEKS = ("delta", "gamma", "vega", "hedging_spot")
CURVES = ("price_nodes", "linear", "spot", "collateral", "all")


# -- documents ---------------------------------------------------------------------------------------------------------------


def perpetual(name: str = "v:perp", mark: float | None = BTC, *, coin: str = "BTC", settle: str = "USDC", **more: Any) -> Document:
    return {"id": name, "kind": "perpetual", "coin": coin, "settle": settle, "mark": mark} | more


def future(name: str, seconds: int, mark: float | None = BTC, **more: Any) -> Document:
    return perpetual(name, mark, **more) | {"kind": "future", "expiry": (NOON_S + seconds) * 1000}


def option(name: str, kind: str, strike: float, seconds: int = 30 * DAY_S, *, coin: str = "BTC", **more: Any) -> Document:
    row = {"id": name, "kind": "option", "coin": coin, "settle": "USDC", "option_type": kind, "strike": strike}
    return row | {"expiry": (NOON_S + seconds) * 1000, "forward": BTC, "iv": 0.5} | more


def outcome(name: str, kind: str, strike: float, seconds: int = DAY_S // 2, **more: Any) -> Document:
    return option(name, kind, strike, seconds) | {"kind": "outcome"} | more


def held(instrument: str, quantity: float, **more: Any) -> Document:
    return {"instrument": instrument, "quantity": quantity} | more


def account(name: str = "one", positions: Sequence[Document] = (), *, equity: float | None = 1e6, **more: Any) -> Document:
    return {"id": name, "venue": "v", "equity": equity, "positions": list(positions)} | more


def document(instruments: Sequence[Document], accounts: Sequence[Document], **more: Any) -> Document:
    """One portfolio "p" of all accounts; BTC at 100,000 and two stablecoins at 1 unless told otherwise."""
    start: Document = {"version": 1, "as_of": NOON_S * 1000, "fx": {"USDC": 1.0, "USDT": 1.0}, "index": {"BTC": BTC}}
    start |= {"instruments": list(instruments), "accounts": list(accounts)}
    return start | {"portfolios": [{"id": "p", "accounts": [row["id"] for row in accounts]}]} | more


def single(row: Document, quantity: float, **more: Any) -> Document:
    """One position of one account."""
    own = {key: more.pop(key) for key in ("equity", "balances", "debts", "orders", "spot_hedging") if key in more}
    return document([row], [account("one", [held(row["id"], quantity)], **own)], **more)


# -- the engine ----------------------------------------------------------------------------------------------------------------


def parameters_of(snapshot: Snapshot, name: str) -> ParameterSet:
    in_use = {row.coin for row in snapshot.instruments}
    return load_parameters(name).with_overrides(snapshot.overrides, "document", in_use=in_use)


def stress_book(source: Document, name: str = "uta") -> StressBook:
    snapshot = parse_snapshot(source, "document")
    return book_of(snapshot, parameters_of(snapshot, name), CUTS)


def result(source: Document, name: str = "uta", portfolio: str = "p") -> PortfolioResult:
    return portfolio_result(stress_book(source, name), portfolio)


def unit(source: Document, name: str = "uta", coin: str = "BTC") -> UnitResult:
    return next(row for row in result(source, name).units if row.coin == coin)


def margin(source: Document, name: str = "uta") -> float:
    return number(result(source, name).maintenance_margin)


def number(value: float | None) -> float:
    assert value is not None
    return value


def reasons(found: PortfolioResult | UnitResult) -> list[str]:
    return sorted({str(failure.reason) for failure in found.failures})


# -- against the reference -------------------------------------------------------------------------------------------------------


class Comparison:
    """Collects what differs between engine and reference, and counts what was compared."""

    def __init__(self) -> None:
        self.differences: list[str] = []
        self.counts: Counter[str] = Counter()

    def near(self, where: str, ours: float | None, theirs: float | None, scale: float, tolerance: float = 1e-10) -> None:
        self.counts["figures"] += 1
        if ours is None or theirs is None:
            equal = ours is None and theirs is None
        elif math.isinf(ours) or math.isinf(theirs):
            equal = ours == theirs
        else:
            equal = abs(ours - theirs) <= tolerance * max(abs(theirs), scale)
        if not equal:
            self.differences.append(f"{where}: {ours!r} is not {theirs!r}")

    def same(self, where: str, ours: object, theirs: object) -> None:
        if ours != theirs:
            self.differences.append(f"{where}: {ours!r} is not {theirs!r}")

    def add(self, found: PortfolioResult, wanted: Document, where: str) -> None:
        """One portfolio; `wanted` is the reference's report of it."""
        self.same(f"{where} failures", reasons(found), sorted({row["reason"] for row in wanted["failures"]}))
        self.counts["failed" if wanted["failures"] else "portfolios"] += 1
        margin = wanted["maintenance_margin"]
        scale = max(1.0, abs(margin or 0.0))
        for name in TOTALS:
            # without a margin the reference still knows some of its parts
            self.near(f"{where} {name}", getattr(found, name), wanted[name] if margin is not None else None, scale)
        self._ratios(found, wanted, where, scale)
        for name in ("sum", "joint", "shift"):
            self.near(f"{where} loss {name}", getattr(found, f"loss_{name}"), wanted["loss"][name] if wanted["loss"] else None, scale)
        families = found.families or {}
        for name, family in (wanted["families"] or {}).items():
            self.near(f"{where} {name}", families.get(name), family, scale)
        self._units(found.units, wanted["units"], where, scale)

    def _ratios(self, found: PortfolioResult, wanted: Document, where: str, scale: float) -> None:
        known = wanted["margin_ratio"] is not None
        self.near(f"{where} equity", found.equity, wanted["equity"] if known else None, scale)
        equity = wanted["equity"]
        # an equity of almost nothing is mostly rounding
        if not known or abs(equity) > 1e-3 * scale or equity == 0.0:
            for name in ("margin_ratio", "initial_ratio"):
                self.near(f"{where} {name}", getattr(found, name), wanted[name], 1e-6)
            level = wanted["level"] if wanted["level"] != "liquidation" else "breach"
            if known and all(abs((wanted["margin_ratio"] or 0.0) - bound) > 1e-9 for bound in (0.85, 0.90, 1.0)):
                self.same(f"{where} level", found.level.name.lower(), level)

    def _units(self, ours: Sequence[UnitResult], theirs: Sequence[Document], where: str, scale: float) -> None:
        wanted = {row["coin"]: row for row in theirs}
        self.same(f"{where} units", sorted(row.coin for row in ours), sorted(wanted))
        for row in ours:
            if row.coin in wanted:
                self._unit(row, wanted[row.coin], f"{where} {row.coin}", scale)

    def _unit(self, ours: UnitResult, theirs: Document, where: str, scale: float) -> None:
        failed = sorted({row["reason"] for row in theirs.get("failures", [])})
        self.same(f"{where} failures", reasons(ours), failed)
        if failed or ours.failures:
            return
        self.counts["units"] += 1
        self.same(f"{where} binding orders", ours.binding_orders, theirs["binding_orders"])
        for name in UNIT_MONEY:
            self.near(f"{where} {name}", getattr(ours, name), theirs[name], scale)
        for name in UNIT_GREEKS:
            self.near(f"{where} {name}", getattr(ours, name), theirs[name], 1e-3, 1e-9)
        for name, charge in theirs["contingency"].items():
            self.near(f"{where} {name}", ours.contingency[name], charge, scale)
        for name in CURVES:
            self._line(f"{where} {name}", getattr(ours, name), theirs[name], scale)
        for number, line in enumerate(theirs["option"]):
            self._line(f"{where} option[{number}]", ours.option[number], line, scale)
        self._contributions(ours, theirs, where, scale)

    def _line(self, where: str, ours: Sequence[float], theirs: Sequence[float], scale: float) -> None:
        self.same(f"{where} length", len(ours), len(theirs))
        for node, (one, other) in enumerate(zip(ours, theirs, strict=False)):
            self.near(f"{where}[{node}]", one, other, scale)

    def _contributions(self, ours: UnitResult, theirs: Document, where: str, scale: float) -> None:
        # options far out of the money in their last second leave a delta, and a hedge, of rounding alone
        rows = {(row.account, row.instrument, row.side): row for row in ours.positions if row.account or row.notional > 1e-12}
        wanted = {
            (row["account"], row["instrument"], row["side"]): row
            for row in theirs["positions"]
            if row["account"] or row["notional"] > 1e-12
        }
        self.same(f"{where} rows", sorted(map(str, rows)), sorted(map(str, wanted)))
        total = math.fsum(row.contribution for row in ours.positions)
        self.near(f"{where} sum of contributions", total, ours.maintenance_margin, 1e-3 * scale, 1e-9)
        smooth = not is_at_a_kink(ours, theirs)
        self.counts["smooth" if smooth else "kinks"] += 1
        for key in rows.keys() & wanted.keys():
            self.near(f"{where} {key} notional", rows[key].notional, wanted[key]["notional"], scale)
            self.near(f"{where} {key} quantity", rows[key].quantity, wanted[key]["quantity"], 1.0)
            if smooth:
                self.near(f"{where} {key} contribution", rows[key].contribution, wanted[key]["contribution"], scale, 1e-8)


def is_at_a_kink(ours: UnitResult, theirs: Document) -> bool:
    """Whether rounding decides between branches, so that contributions are not unique: two worst scenarios, or a net delta of 0."""
    worst = theirs["worst"]
    if abs(ours.worst_price - worst["price"]) > 1e-9 or abs(ours.worst_volatility - worst["vol"]) > 1e-9:
        return True
    gross = math.fsum(abs(row["notional"]) for row in theirs["positions"]) / max(1e-300, price_of(theirs))
    return abs(ours.delta) <= 1e-12 * gross or (ours.hedging_spot != 0.0 and abs(ours.delta + ours.hedging_spot) <= 1e-12 * gross)


def price_of(unit_row: Document) -> float:
    """USD per coin, as far as the rows of a unit tell it: notional per coin of hedging spot, else 1."""
    return next((abs(row["notional"] / row["quantity"]) for row in unit_row["positions"] if row["instrument"].startswith("spot:")), 1.0)


def compared(documents: Iterable[tuple[str, Document]], name: str) -> Comparison:
    """Every portfolio of the documents (each with a word on where it comes from) under one parameter set."""
    found = Comparison()
    for where, source in documents:
        book = stress_book(source, name)
        for portfolio, wanted in margin_model.evaluate(source, REFERENCE[name]).items():
            found.add(portfolio_result(book, portfolio), wanted, f"{name} {where} {portfolio}")
    return found


def legs_of(source: Document) -> Iterator[tuple[Document, Document]]:
    """(account, position) of a document."""
    for owner in source["accounts"]:
        for position in owner["positions"]:
            yield owner, position
