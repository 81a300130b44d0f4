"""The text of what a report says of single venues: pools, modes, who dies first, one venue gone, concentration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.rule import Rule
from rich.text import Text

from monitor.report.text_parts import DASH, brief, level_text, money, move, plain_table, ratio

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
    yield Text(f"{name}: what happens next: {row['next']}")


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
    yield from _view(portfolio["venues"])
    table = plain_table("venue gone", "equity left", "maintenance", "ratio", "level", left=1, title="one venue gone: what the rest needs")
    for venue, left in portfolio["venue_out"].items():
        margins = [money(left[key]) for key in ("equity", "maintenance_margin")]
        table.add_row(venue, *margins, ratio(left["margin_ratio"]), level_text(left["level"]))
    if portfolio["venue_out"]:
        yield table


def _concentration(found: Document) -> Iterator[RenderableType]:
    if found["coin"] is not None:
        yield Text(f"\nconcentration: {found['coin']} is {ratio(found['share'])} of the units' margin")
    days = {name: value for name, value in found["days"].items() if value is not None}
    if days:
        largest = sorted(days.items(), key=lambda item: -item[1])[:5]
        yield Text("notional over 24 h volume: " + ", ".join(f"{name} {value:.3g}" for name, value in largest))


def _view(view: Document) -> Iterator[RenderableType]:
    for failure in view["failures"]:
        yield Text(f"venues: no value: {failure['reason']}: {failure['detail']}", style="magenta")
    if view["pools"]:
        table = plain_table("venue", "account", "pool", "ratio", "liquidated down", "liquidated up", left=3, title="every pool on its own")
        for pool in view["pools"]:
            name = f"{pool['pool']} (assumed)" if pool["assumed"] else pool["pool"]
            table.add_row(pool["venue"], pool["account"], name, ratio(pool["ratio"]), move(pool["down"]), move(pool["up"]))
        yield table
    for side in ("down", "up"):
        first = view[f"first_{side}"]
        if first is not None:
            yield Text(f"first to be liquidated {side}: {first['account']} on {first['venue']} ({first['pool']}) at {move(first['move'])}")
    sent = [transfer for transfer in view["transfers"] if transfer["usd"]]
    if sent:
        yield Text(f"to bring every pool to {ratio(view['common_ratio'])}: " + ", ".join(map(_transfer, sent)))


def _transfer(transfer: Document) -> str:
    verb = "to" if transfer["usd"] > 0 else "from"
    amount = f"{abs(transfer['amount']):,.2f} {transfer['asset']}"
    return f"{amount} {verb} {transfer['account']} on {transfer['venue']}" if transfer["usd"] else DASH
