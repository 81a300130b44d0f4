"""Report documents as text for people: totals of several parameter sets side by side, then the details of each.

Everything is read from the documents, so that a saved report can be printed too. Fits 100 columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from monitor.margin.stages import STAGE_TEXT, Stage
from monitor.report.plain import number
from monitor.report.text_parts import DASH, brief, level_text, money, move, plain_table, ratio, times
from monitor.report.text_venues import account_parts, funding_lines, venue_parts

Document = dict[str, Any]
_Figure = tuple[str, Callable[[Document], RenderableType]]

NEXT_STEP = (
    "nobody acts on this number: no venue liquidates a portfolio across venues, and equity cannot be moved between venues at "
    "once. Each account is liquidated by its own venue's rule; at 100 % the book could lose its equity in a stress of this size."
)
"""What happens next to a portfolio across venues (margin model, section 8)."""

REMEDIES = {
    "MISSING_MARK": 'give the instrument its "mark"',
    "MISSING_INDEX": 'give it under "fx" for a stablecoin, under "index" for a coin',
    "MISSING_FX": 'give the stablecoin under "fx"',
    "MISSING_FORWARD": 'give the option its "forward"',
    "MISSING_IV": 'give the option its "iv", or a "mark" from which it can be implied',
    "MISSING_ENTRY": 'give the position its "entry", or the account its "equity"',
    "NOT_READY": "correct the figure in the snapshot",
}
"""What to do about a failure whose detail does not say it: what the snapshot lacks."""


def print_report(console: Console, documents: Sequence[Document]) -> None:
    """Print reports of one snapshot, one a parameter set: the same portfolios in the same order in each."""
    for part in _parts(documents):
        console.print(part)


def _parts(documents: Sequence[Document]) -> Iterator[RenderableType]:
    first = documents[0]
    for place, portfolio in enumerate(first["portfolios"]):
        columns = [document["portfolios"][place] for document in documents]
        yield Rule(Text(f"Portfolio {portfolio['id']}, {first['as_of']}"), align="left")
        yield from _next_steps(first, documents, columns)
        yield _totals(documents, columns)
        for document, column in zip(documents, columns, strict=True):
            yield Text(f"\n{column['id']} under {_name(document)}", style="bold")
            yield from _details(column)
    yield from account_parts(first)


def _next_steps(first: Document, documents: Sequence[Document], columns: Sequence[Document]) -> Iterator[RenderableType]:
    accounts = sorted({(pool["account"], pool["venue"]) for pool in columns[0]["venues"]["pools"]})
    if len(accounts) != 1:
        yield Text(f"what happens next: {NEXT_STEP}")
        return
    ((account, venue),) = accounts
    rows = [row for row in first["accounts"] if row["id"] == account and row["next"] is not None]
    stages = [(document, column["stage"]) for document, column in zip(documents, columns, strict=True) if column["stage"] is not None]
    for row in rows:
        yield Text(f"what happens next, by the rule of {venue}, pool {row['pool']}: {row['next']}")
    for document, stage in stages:
        under = f"under {_name(document)}, " if len(documents) > 1 else ""
        yield Text(f"{under}if {venue} margins {account} like this, what happens now: {STAGE_TEXT[Stage(stage)]}")
    if not rows and not stages:
        yield Text(f"what happens next: unknown: {venue} liquidates {account} by its own rule, for which the snapshot does not tell enough")


def _name(document: Document) -> str:
    return f"{document['parameters']['name']} of {document['parameters']['dated']}"


# -- totals -------------------------------------------------------------------------------------------------------------------


def _amount(key: str) -> Callable[[Document], RenderableType]:
    return lambda portfolio: money(portfolio[key])


def _inner(table: str, key: str) -> Callable[[Document], RenderableType]:
    return lambda portfolio: money(portfolio[table][key]) if portfolio[table] else DASH


def _ratio(key: str) -> Callable[[Document], RenderableType]:
    return lambda portfolio: ratio(portfolio[key])


def _charged(portfolio: Document) -> RenderableType:
    rows = [unit for unit in portfolio["units"] if unit["status"] == "ok"]
    if portfolio["loss"] is None:
        return DASH
    return money(math.fsum([*(unit["order_loss"] for unit in rows), *(value for unit in rows for value in unit["contingency"].values())]))


def _stands(portfolio: Document) -> RenderableType:
    return portfolio["method"] if portfolio["eligibility"]["eligible"] else f"{portfolio['method']} (not eligible)"


def _of_portfolio(key: str) -> Callable[[Document], RenderableType]:
    # where cross stands, the figures of the portfolio method have a block of their own
    return lambda portfolio: money(portfolio.get("portfolio", portfolio)[key])


def _saving(portfolio: Document) -> RenderableType:
    saving = portfolio["cross"]["saving"]
    return DASH if saving is None else f"{100 * saving:.1f} %"


def _notional(key: str) -> Callable[[Document], RenderableType]:
    return lambda portfolio: f"{money(portfolio[key])}{times(portfolio[key], portfolio['equity'])}"


_BLOCKS: tuple[tuple[_Figure, ...], ...] = (
    (
        ("method", _stands),
        ("level", lambda portfolio: level_text(portfolio["level"])),
        ("margin ratio", _ratio("margin_ratio")),
        ("initial ratio", _ratio("initial_ratio")),
    ),
    (
        ("equity", _amount("equity")),
        ("maintenance margin", _amount("maintenance_margin")),
        ("excess over maintenance", _amount("excess")),
        ("initial margin", _amount("initial_margin")),
        ("available over initial", _amount("available")),
        ("cash to safety (to 85 %)", _amount("cash_to_safety")),
    ),
    (
        ("L_sum: every coin at its own worst", _inner("loss", "sum")),
        ("L_joint: all coins move together", _inner("loss", "joint")),
        ("L_shift: offsets partly gone", _inner("loss", "shift")),
        ("contingencies and order losses", _charged),
        ("liquidity", _amount("liquidity")),
        ("buffer", _amount("buffer")),
        ("borrow", _amount("borrow")),
    ),
    (
        ("family directional", _inner("families", "directional")),
        ("family volatility", _inner("families", "volatility")),
        ("family correlation", _inner("families", "correlation")),
        ("family liquidity", _inner("families", "liquidity")),
    ),
    (
        ("mode cross: maintenance", _inner("cross", "maintenance_margin")),
        ("mode cross: initial", _inner("cross", "initial_margin")),
        ("mode portfolio: maintenance", _of_portfolio("maintenance_margin")),
        ("mode portfolio: initial", _of_portfolio("initial_margin")),
        ("saving against cross", _saving),
        ("hedge benefit", _amount("hedge_benefit")),
    ),
    (
        ("gross notional (times equity)", _notional("gross_notional")),
        ("net notional (times equity)", _notional("net_notional")),
        ("binding orders", lambda portfolio: (portfolio["binding_choice"] or DASH).replace("_", " ")),
    ),
)


def _totals(documents: Sequence[Document], columns: Sequence[Document]) -> Table:
    table = plain_table("USD", *map(_name, documents), left=1)
    for block in _BLOCKS:
        for label, figure in block:
            table.add_row(label, *(figure(column) for column in columns))
        table.add_section()
    return table


# -- details of one portfolio under one set -----------------------------------------------------------------------------------


def _details(portfolio: Document) -> Iterator[RenderableType]:
    yield from _reasons(portfolio)
    units = [unit for unit in portfolio["units"] if unit["status"] == "ok"]
    if units:
        yield _units(units)
        yield _greeks(units)
        yield _contingencies(units)
        yield _contributions(units)
    yield distances_table(portfolio)
    yield from _remedies(portfolio)
    yield from funding_lines("\n", portfolio.get("next_funding"), "USD")
    yield from venue_parts(portfolio)
    yield Padding(Text("assumed", style="bold"), (1, 0, 0, 0))
    yield from (Text(f"- {sentence}") for sentence in portfolio["assumptions"])


def _reasons(portfolio: Document) -> Iterator[RenderableType]:
    for failure in portfolio["failures"]:
        yield Text(_failure(failure), style="magenta")
    for reason in portfolio["eligibility"]["reasons"]:
        yield Text(f"not eligible for the portfolio method, margined by cross: {reason}", style="yellow")
    stands = [failure for failure in portfolio["cross"]["failures"] if failure not in portfolio["failures"]]
    for failure in stands:
        yield Text(f"cross: {_failure(failure)}", style="magenta")


def _failure(failure: Document) -> str:
    remedy = REMEDIES.get(failure["reason"])
    return f"no value: {failure['reason']}: {failure['detail']}" + (f" -> {remedy}" if remedy else "")


def _units(units: Sequence[Document]) -> Table:
    headings = ("unit", "orders", "worst price", "worst vol", "max loss", "charges, orders", "MM", "IM")
    table = plain_table(*headings, left=2, title="units")
    for unit in units:
        charged = math.fsum([unit["order_loss"], *unit["contingency"].values()])
        figures = [brief(value) for value in (unit["max_loss"], charged, unit["maintenance_margin"], unit["initial_margin"])]
        worst = [move(unit["worst"][key]) for key in ("price", "vol")]
        table.add_row(unit["coin"], unit["binding_orders"].replace("_", " "), *worst, *figures)
    return table


def _greeks(units: Sequence[Document]) -> Table:
    table = plain_table("unit", "delta, coin", "gamma per USD", "vega per 1.00", "hedging spot, coin", left=1, title="exposures")
    for unit in units:
        table.add_row(unit["coin"], *(f"{unit[key]:,.6g}" for key in ("delta", "gamma", "vega", "hedging_spot")))
    return table


def _contingencies(units: Sequence[Document]) -> Table:
    names = list(units[0]["contingency"])
    headings = [name.replace("_", "\n") for name in names]
    table = plain_table("unit", *headings, "order\nloss", left=1, title="contingencies")
    for unit in units:
        table.add_row(unit["coin"], *(brief(unit["contingency"][name]) for name in names), brief(unit["order_loss"]))
    return table


_CONTRIBUTIONS = """contributions to the units' margins, largest first (negative: it hedges)
alone: margin of the position by itself; left out: what the portfolio's margin falls by without it"""


def _contributions(units: Sequence[Document]) -> Table:
    headings = ("position", "quantity", "notional", "contribution", "alone", "left out")
    table = plain_table(*headings, left=1, title=_CONTRIBUTIONS)
    rows = [row for unit in units for row in unit["positions"]]
    for row in sorted(rows, key=lambda row: -abs(row["contribution"])):
        name = " ".join(part for part in (row["account"], row["instrument"], row["side"]) if part)
        figures = [brief(row[key], signed=True) for key in ("contribution", "standalone", "leave_one_out")]
        table.add_row(name, f"{row['quantity']:,.7g}", brief(row["notional"]), *figures)
    return table


def distances_table(portfolio: Document) -> RenderableType:
    """The moves of each coin, and of all together, at which a portfolio of a report reaches its levels."""
    distance = portfolio.get("portfolio", portfolio)["distance"]
    if distance is None:
        details = "; ".join(failure["detail"] for failure in portfolio.get("portfolio", portfolio)["failures"])
        return Text(f"\ndistance: unknown, because {details}", style="magenta")
    targets = list(next(iter(distance.values())))
    headings = [f"{float(target):.0%} {side}" for target in targets for side in ("down", "up")]
    doubt = ", which does not stand," if "portfolio" in portfolio else ""
    title = f"distance: the nearest move at which the portfolio method's ratio{doubt} gets there"
    table = plain_table("price of", *headings, left=1, title=title)
    for coin, found in distance.items():
        table.add_row("all coins" if coin == "all" else coin, *(move(found[target][side]) for target in targets for side in ("down", "up")))
    return table


def _remedies(portfolio: Document) -> Iterator[RenderableType]:
    need = number(portfolio["cash_to_safety"])
    if need:
        yield Text(f"\nback to 85 %{_by_cross(portfolio)}: add {money(need)} USD", style="bold")
        if "portfolio" not in portfolio:
            yield _reduction(portfolio["reduction"])
    if portfolio["at_liquidity_cap"]:
        yield Text(f"{portfolio['at_liquidity_cap']} instruments pay the liquidity cap for want of volume or volatility")


def _by_cross(portfolio: Document) -> str:
    return " by the cross method" if "portfolio" in portfolio else ""


def _reduction(cut: Document | None) -> Text:
    if cut is None:
        return Text("or reduce: closing the worst position alone is not enough")
    name = " ".join(part for part in (cut["account"], cut["instrument"], cut["side"]) if part)
    return Text(f"or trade {cut['quantity']:+,.8g} of one position, {name}")
