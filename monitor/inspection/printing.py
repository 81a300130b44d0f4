"""What the commands that read a venue once print alike."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
from rich import box
from rich.console import Console
from rich.table import Table

from connectors.ratelimit import Budget
from monitor.console import console_of
from monitor.saved_account import missing_for_portfolio
from monitor.verify import SideBySide

CLOCK_APART_S = 5.0


def console() -> Console:
    """Where to print: wide where it is no terminal."""
    return console_of(170)


def tell_clock(venue: str, answered_ms: float, offset_s: float, says: tuple[str, ...] = (), *, by: str = "REST") -> bool:
    """Print how fast the venue answers `by` what, and how far its clock is from ours; False where the machine has to be synchronised."""
    statuses = f"; it says {', '.join(says)}" if says else ""
    console().print(f"{venue}: {by} answers in {answered_ms:.0f} ms; the venue's clock is {offset_s:+.2f} s from ours{statuses}")
    if abs(offset_s) <= CLOCK_APART_S:
        return True
    console().print("  the clocks differ by more than 5 s: synchronise this machine (NTP)")
    return False


def tell_budget(venue: str, budget: Budget) -> None:
    """Print what the command used of the address's budget."""
    used = budget.statistics()
    console().print(f"{venue}: request budget: {used.weight_used} of our {used.weight_limit} weight a minute used by this check")


def alias(name: str, kind: str, taken: set[str]) -> str:
    """A name the configuration accepts, and that no other account printed has."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-_.")[:32]
    if not plain or plain.lower().startswith("0x"):
        plain = kind
    found, number = plain, 2
    while found in taken:
        found = f"{plain[:28]}-{number}"
        number += 1
    taken.add(found)
    return found


def write_document(document: dict[str, Any], path: Path) -> bool:
    """Save a snapshot document; False, and told, where that cannot be done."""
    try:
        path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    except OSError as error:
        console().print(f"cannot write {path}: {error.strerror}; choose another file with --save")
        return False
    return True


def print_verified(seen: SideBySide, document: dict[str, Any] | None, save: Path | None) -> int:
    """Every figure beside the venue's; 3 where one differs or a pool has no value, 2 where `document` cannot be saved, else 0."""
    if document is not None and save is not None and not write_document(document, save):
        return 2
    printed = console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("pool", "figure", "ours", "venue's", "relative difference", "anchored on"):
        table.add_column(heading, justify="right" if heading in ("ours", "venue's", "relative difference") else "left")
    differ = 0
    for row in seen.rows:
        relative = abs(row.difference) / max(row.least, abs(row.venue))
        differ += not relative <= row.tolerance
        table.add_row(row.pool, row.figure, f"{row.ours:.10g}", f"{row.venue:.10g}", f"{relative:.1e}", row.anchored_on)
    printed.print(table)
    for pool in seen.pools:
        ratio = "no value: " + pool.failures[0].detail if pool.margin_ratio is None else f"ratio {100 * pool.margin_ratio:.2f} %"
        printed.print(f"{pool.pool} ({pool.mode}): {ratio}")
    for spec in seen.specs:
        if spec.collateral:
            counted = (f"{leg.asset} {leg.amount:.8g} x {seen.prices[leg.asset]:.8g} x {leg.ratio:.4g}" for leg in spec.collateral)
            printed.print(f"{spec.name} collateral (amount x price x ratio): {', '.join(counted)}")
    printed.print(f"{len(seen.rows)} figures, {differ} differ by more than 0.1 %" + (f"; saved to {save}" if save else ""))
    missing = missing_for_portfolio(document) if document is not None else ()
    if missing:
        printed.print(f"for the portfolio method add to the saved file what the venue does not tell, in USD: {', '.join(missing)}")
    return 3 if differ or any(pool.margin_ratio is None for pool in seen.pools) else 0
