"""The text of what a report says of single venues: pools, modes, who dies first, one venue gone, concentration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.rule import Rule
from rich.text import Text

from monitor.report.plain import number
from monitor.report.text_parts import DASH, NONE, UNKNOWN, brief, level_text, money, move, plain_table, ratio

Document = dict[str, Any]


def account_parts(document: Document) -> Iterator[RenderableType]:
    """The accounts that carry pools, by their venue's own rule, and Hyperliquid accounts under each mode."""
    rows = document["accounts"]
    if not rows:
        return
    yield Text()
    yield Rule(Text("Accounts, by their venue's own rule"), align="left")
    yield _pools(rows)
    for row in rows:
        yield from _pool_lines(row)
    yield from _modes(document["modes"])


def _modes(accounts: Document) -> Iterator[RenderableType]:
    headings = ("account", "under mode", "pool", "equity", "maintenance", "ratio", "level")
    table = plain_table(*headings, left=3, title="the same account under each of Hyperliquid's modes")
    unknown = []
    for account, modes in accounts.items():
        for mode, found in modes.items():
            unknown += [f"{account} under {mode.replace('_', ' ')}: no value: {failure['detail']}" for failure in found["failures"]]
            for row in found["pools"]:
                margins = [brief(row[key]) for key in ("equity", "maintenance_margin")]
                table.add_row(account, mode.replace("_", " "), row["pool"], *margins, ratio(row["margin_ratio"]), level_text(row["level"]))
    if table.row_count:
        yield table
    yield from map(Text, unknown)


def _pool_lines(row: Document) -> Iterator[RenderableType]:
    name = f"{row['id']} {row['pool']}"
    for failure in row["failures"]:
        yield Text(f"{name}: no value: {failure['reason']}: {failure['detail']}", style="magenta")
    if row["liquidation"] is not None:
        nearest = row["liquidation"]
        yield Text(f"{name}: liquidated when {nearest['instrument']} moves {move(nearest['move'])}, to {nearest['price']:,.8g}")
    yield from funding_lines(f"{name}: ", row.get("next_funding"), row["asset"])
    yield Text(f"{name}: what happens next: {row['next']}")


def funding_lines(name: str, found: Document | None, asset: str) -> Iterator[RenderableType]:
    """The next funding of a pool or portfolio: what it receives or pays, when, and the ratio after it; nothing where untold."""
    if found is None:
        return
    when = "" if found["time"] is None else f" at {found['time']}"
    for failure in found["failures"]:
        yield Text(f"{name}next funding{when}: no value: {failure['reason']}: {failure['detail']}", style="magenta")
    if found["amount"] is not None:
        doubt = " (at rates told for a time that has passed)" if any(_is_old(row, found) for row in found["positions"]) else ""
        after = UNKNOWN if found["ratio_after"] is None else ratio(found["ratio_after"])
        yield Text(f"{name}next funding{when}: {money(found['amount'], signed=True)} {asset}{doubt}; margin ratio after it {after}")


def _is_old(row: Document, found: Document) -> bool:
    return bool(row["as_last_told"]) and row["time"] == found["time"]


def _pools(rows: list[Document]) -> RenderableType:
    headings = ("account", "pool", "mode", "equity", "maintenance", "initial", "ratio", "level", "to safety")
    table = plain_table(*headings, left=3)
    for row in rows:
        margins = [brief(row[key]) for key in ("equity", "maintenance_margin", "initial_margin")]
        name = (row["id"], row["pool"], row["mode"].replace("_", " "))
        table.add_row(*name, *margins, ratio(row["margin_ratio"]), level_text(row["level"]), brief(row["cash_to_safety"]))
    return table


def venue_parts(portfolio: Document) -> Iterator[RenderableType]:
    """Concentration, the cross-venue view and what the rest needs with one venue gone."""
    yield from _concentration(portfolio["concentration"])
    yield from view_parts(portfolio["venues"])
    yield from _one_gone(portfolio["venue_out"])


def _one_gone(rests: Document) -> Iterator[RenderableType]:
    table = plain_table("venue gone", "equity left", "maintenance", "ratio", "level", left=1, title="one venue gone: what the rest needs")
    unknown = []
    for venue, left in rests.items():
        unknown += [f"without {venue}: {failure['detail']}" for failure in left["failures"]]
        if not all(failure["reason"] == "MISSING_ACCOUNT" for failure in left["failures"]) or not left["failures"]:
            margins = [money(left[key]) for key in ("equity", "maintenance_margin")]
            table.add_row(venue, *margins, ratio(left["margin_ratio"]), level_text(left["level"]))
    if table.row_count:
        yield table
    yield from map(Text, unknown)


def _concentration(found: Document) -> Iterator[RenderableType]:
    if found["coin"] is not None:
        yield Text(f"\nconcentration: {found['coin']} is {ratio(found['share'])} of the units' margin")
    days = {name: days for name, value in found["days"].items() if (days := number(value)) is not None}
    largest = sorted(days.items(), key=lambda item: -item[1])[:5]
    parts = [", ".join(f"{name} {value:.3g}" for name, value in largest)] if largest else []
    unknown = [name for name, value in found["days"].items() if value is None]
    parts += [f"unknown: {', '.join(unknown)}"] if unknown else []
    if parts:
        yield Text("notional over 24 h volume: " + "; ".join(parts))


def view_parts(view: Document) -> Iterator[RenderableType]:
    """Every pool of a portfolio on its own: its ratio, the moves that liquidate it, who is first, and what to send where."""
    for failure in view["failures"]:
        yield Text(f"venues: no value: {failure['reason']}: {failure['detail']}", style="magenta")
    if view["pools"]:
        table = plain_table("venue", "account", "pool", "ratio", "liquidated down", "liquidated up", left=3, title="every pool on its own")
        for pool in view["pools"]:
            name = f"{pool['pool']} (assumed)" if pool["assumed"] else pool["pool"]
            figures = (UNKNOWN,) * 3 if pool["failures"] else (ratio(pool["ratio"]), move(pool["down"]), move(pool["up"]))
            table.add_row(pool["venue"], pool["account"], name, *figures)
        yield table
    among, unknown = _among(view)
    for side in ("down", "up"):
        first = view[f"first_{side}"]
        if first is not None:
            where = f"{first['account']} on {first['venue']} ({first['pool']}) at {move(first['move'])}"
            yield Text(f"first to be liquidated {side}{among}: {where}")
        elif unknown:
            yield Text(f"first to be liquidated {side}{among}: {NONE}")
    if unknown:
        yield Text(f"unknown: {unknown}, which may be liquidated before", style="magenta")
    sent = [transfer for transfer in view["transfers"] if transfer["usd"]]
    if sent:
        yield Text(f"to bring every pool to {ratio(view['common_ratio'])}: " + ", ".join(map(_transfer, sent)))


def _among(view: Document) -> tuple[str, str]:
    # (of how many pools, the pools without a value): empty where all have one
    unknown = [f"{pool['account']}/{pool['pool']}" for pool in view["pools"] if pool["failures"]]
    known = len(view["pools"]) - len(unknown)
    pools = "pool" if known == 1 else "pools"
    return (f" of the {known} {pools} with a value", ", ".join(unknown)) if unknown else ("", "")


def _transfer(transfer: Document) -> str:
    verb = "to" if transfer["usd"] > 0 else "from"
    amount = f"{abs(transfer['amount']):,.2f} {transfer['asset']}"
    return f"{amount} {verb} {transfer['account']} on {transfer['venue']}" if transfer["usd"] else DASH
