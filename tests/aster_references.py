"""Aster's rule against what the venue's documents and recordings print, and against the worked examples A to D, as summary lines.

No recorded body with an open cross position exists, so this is less than for Hyperliquid: the documents' hedged symbol with its two
liquidation prices, their margin call, their account, recorded margin tiers, and the examples of the venue notes 5.3 to 5.6. A line
passes within half a unit of the last digit printed, or a whole one where the venue cuts digits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from connectors.aster.answers import parse_account, with_position_risk
from connectors.aster.messages import parse_account_update
from connectors.aster.reference import Reference, parse_brackets
from connectors.events import FuturesSnapshot, Instruments, MarkPrices, Source
from connectors.model import FuturesAccount, FuturesRead, MarginTier, Position
from monitor.margin.aster import VENUE, AsterRules
from monitor.verify import SideBySide, side_by_side_futures
from tests.monitor.aster_desk import INDEX, RATIOS, Tiers, name, position, profit, read, reference, worth

FILES = (
    "ws_account_update",
    "rest_position_risk_hedge",
    "ws_margin_call",
    "rest_account_with_join_margin_v3_docs",
    "rest_account_v4_docs",
    "rest_leverage_bracket_recorded_truthusdt_first2",
)
DOCS_TIERS: Tiers = (MarginTier(0.0, 0.004, 0.0), MarginTier(50_000.0, 0.005, 50.0))
"""Of BTCUSDT in the documents' hedge example; the second follows from its prices (venue notes 5.6)."""

_CUT = "printed with its last digits cut"


@dataclass(frozen=True, slots=True)
class Line:
    """One figure: ours, and as the source prints it."""

    source: str
    figure: str
    ours: float
    printed: str
    note: str = ""

    @property
    def difference(self) -> float:
        """|ours - printed|."""
        return abs(self.ours - float(self.printed))

    @property
    def allowed(self) -> float:
        """Half a unit of the last digit printed, a whole one where digits were cut."""
        decimals = len(self.printed.partition(".")[2])
        return (1.0 if self.note == _CUT else 0.5) * 10.0**-decimals * (1 + 1e-6)

    @property
    def passed(self) -> bool:
        """Whether the difference is allowed."""
        return self.difference <= self.allowed


def lines(folder: Path) -> list[Line]:
    """Every line; `folder` holds the recordings of Aster. Raises FileNotFoundError naming a missing one."""
    told = {file: json.loads((folder / f"{file}.json").read_text(encoding="utf-8")) for file in FILES}
    return [*_hedged_symbol(told), *_margin_call(told), *_accounts(told), *_tiers(told), *_examples()]


def _seen(told: FuturesRead, listed: Instruments, *, multi: bool = False, rules: AsterRules | None = None) -> SideBySide:
    coins = ("BTC", "BNB")
    names, prices = [name(f"{coin}USDT") for coin in coins], [INDEX[coin] for coin in coins]
    marks = MarkPrices(VENUE, "markPrice", 0, names, prices, prices, [0.0] * len(coins))
    state = FuturesAccount(multi, False, told.began_ms, told.assets, told.positions, told)
    return side_by_side_futures(listed, FuturesSnapshot(VENUE, "documents", 0, Source.POLL, state), rules=rules, marks=marks)


def _hedged_symbol(told: Mapping[str, Any]) -> Iterator[Line]:
    # wallets and entries by the push, marks and the venue's own figures by positionRisk: the SHORT row there prints no entry
    pushed = parse_account_update(told["ws_account_update"], Reference()).positions
    rows = {row["positionSide"]: row for row in told["rest_position_risk_hedge"]}
    held = [replace(one, mark=float(rows[one.side.name]["markPrice"])) for one in pushed if one.quantity]
    prices = with_position_risk(replace(read({"USDT": 100.12345678}, ()), positions=tuple(held)), told["rest_position_risk_hedge"])
    seen = _seen(prices, reference(BTCUSDT=DOCS_TIERS))
    for one in held:
        printed = rows[one.side.name]
        pool = f"iso:BTCUSDT:{one.side.name}"
        source = f"documents, hedged BTCUSDT, {one.side.name}"
        (price,) = [row.ours for row in seen.rows if row.pool == pool and row.figure.startswith("liquidation_price")]
        (equity,) = [result.equity for result in seen.pools if result.pool == pool]
        yield Line(source, "liquidation price", price, printed["liquidationPrice"])
        yield Line(source, "isolated margin with profit", equity or 0.0, printed["isolatedMargin"])
        yield Line(source, "unrealised profit", profit(one), printed["unRealizedProfit"])


def _margin_call(told: Mapping[str, Any]) -> Iterator[Line]:
    event = told["ws_margin_call"]
    (row,) = event["p"]
    quantity, mark, up = float(row["pa"]), float(row["mp"]), float(row["up"])
    called = position(row["s"], quantity, mark - up / quantity, mark)
    (pool,) = _seen(read({"USDT": float(event["cw"])}, [called]), reference()).pools
    yield Line("documents, margin call (example C)", "maintenance margin", pool.maintenance_margin or 0.0, row["mm"], _CUT)
    yield Line("documents, margin call (example C)", "margin ratio, %", 100 * (pool.margin_ratio or 0.0), "80.6")


def _accounts(told: Mapping[str, Any]) -> Iterator[Line]:
    for file in ("rest_account_with_join_margin_v3_docs", "rest_account_v4_docs"):
        answer = told[file]
        seen = _seen(parse_account(answer, 0, Reference()), replace(reference(), sections={}))
        equity = {result.pool: result.equity for result in seen.pools}
        for row in answer["assets"]:
            yield Line(f"documents, account ({file})", f"margin balance {row['asset']}", equity[row["asset"]] or 0.0, row["marginBalance"])
        yield Line(f"documents, account ({file})", "total margin balance", equity["USDT"] or 0.0, answer["totalMarginBalance"])


def _tiers(told: Mapping[str, Any]) -> Iterator[Line]:
    (row,) = told["rest_leverage_bracket_recorded_truthusdt_first2"]
    notes: list[str] = []
    tiers = parse_brackets([row], notes)["TRUTHUSDT"].tiers
    first, second = tiers
    continuous = second.lower_bound * (second.maintenance_rate - first.maintenance_rate)
    yield Line("recorded tiers of TRUTHUSDT", "deduction of the second tier", continuous, row["brackets"][1]["cum"])
    yield Line("recorded tiers of TRUTHUSDT", "what does not fit", float(len(notes)), "0")
    held = position("TRUTHUSDT", 20_000.0, 0.40, 0.40)
    (pool,) = _seen(read({"USDT": 1_000.0}, [held]), reference(TRUTHUSDT=tiers)).pools
    yield Line("example A", "maintenance margin", pool.maintenance_margin or 0.0, "125")


def _examples() -> Iterator[Line]:
    held = [
        position("TRUTHUSDT", 20_000.0, 0.40, 0.38, reported_liquidation_price=0.36437),
        position("ETHUSDT", -1.5, 3_000.0, 3_100.0, reported_liquidation_price=3_301.87),
    ]
    seen = _seen(read({"USDT": 1_000.0}, held), reference())
    yield from _figures("example B", seen, {"equity": "450", "maintenance_margin": "145.225", "ratio": "32.27"})
    prices = {row.figure.partition(" ")[2]: row.ours for row in seen.rows if row.figure.startswith("liquidation_price")}
    yield Line("example B", "liquidation price TRUTHUSDT", prices["TRUTHUSDT"], "0.36437")
    yield Line("example B", "liquidation price ETHUSDT", prices["ETHUSDT"], "3301.87")
    balances = {"BTC": 0.5, "ASBNB": 10.0, "USDT": -2_000.0}
    long = position("BTCUSDT", 10.0, 60_500.0, 60_000.0)
    seen = _seen(_valued(balances, long), reference(BTCUSDT=(MarginTier(0.0, 0.015, 0.0),)), multi=True, rules=AsterRules(RATIOS))
    yield from _figures("example D, multi-assets", seen, {"equity": "28150", "maintenance_margin": "9000", "ratio": "31.97"})
    (valuation,) = [row.ours for row in seen.rows if row.figure == "equity"]
    yield Line("example D, multi-assets", "our own valuation", valuation, "28150")


def _valued(balances: Mapping[str, float], held: Position) -> FuturesRead:
    return read(balances, [held], total=worth(balances, RATIOS) + profit(held))


def _figures(source: str, seen: SideBySide, printed: Mapping[str, str]) -> Iterator[Line]:
    (pool,) = seen.pools
    yield Line(source, "margin balance", pool.equity or 0.0, printed["equity"])
    yield Line(source, "maintenance margin", pool.maintenance_margin or 0.0, printed["maintenance_margin"])
    yield Line(source, "margin ratio, %", 100 * (pool.margin_ratio or 0.0), printed["ratio"])


def table(found: list[Line]) -> Table:
    """The lines as a table."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="Aster: documents, recordings and worked examples", title_justify="left")
    for heading in ("source", "figure", "ours", "printed", "difference", "allowed", ""):
        shown.add_column(heading, no_wrap=True, justify="right" if heading in ("ours", "printed", "difference", "allowed") else "left")
    for line in found:
        mark = ("equal" if line.passed else "DIFFERS") + (f" ({line.note})" if line.note else "")
        shown.add_row(line.source, line.figure, f"{line.ours:.12g}", line.printed, f"{line.difference:.1e}", f"{line.allowed:.1e}", mark)
    return shown
