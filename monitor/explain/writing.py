"""An explanation as it is written: aligned lines of text, and every explained figure beside the engine's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

TOLERANCE = 1e-9
"""Largest relative difference between an explained figure and the engine's ..."""

ROUNDING = 1e-12
"""... or, where large terms cancel, the largest difference relative to these."""

INDENT = "  "


def usd(value: float) -> str:
    """Money with two decimals, tiny amounts with three digits."""
    if value != 0.0 and abs(value) < 0.01:
        return f"{value:.3g}"
    return f"{value + 0.0:,.2f}"


def price(value: float) -> str:
    """A price, quantity or rate with up to ten digits."""
    return f"{value + 0.0:,.10g}"


def total(names_and_values: Sequence[tuple[str, float]]) -> str:
    """A sum as text: `1,000.00 BTC + 200.00 ETH`; `0` for nothing."""
    return " + ".join(f"{usd(value)} {name}".rstrip() for name, value in names_and_values) or "0"


@dataclass(frozen=True, slots=True)
class Check:
    """One explained figure and what the engine says; `scale` is the size of what was summed, for figures that cancel."""

    what: str
    explained: float
    engine: float
    scale: float

    @property
    def agrees(self) -> bool:
        """Whether both are equal to rounding."""
        if self.explained == self.engine:
            return True
        return abs(self.explained - self.engine) <= max(TOLERANCE * abs(self.engine), ROUNDING * self.scale)


class Explanation:
    """Lines to print, in order, and the checks among them; `failed`: something explained has no value."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.checks: list[Check] = []
        self.failed = False

    @property
    def mismatches(self) -> list[Check]:
        """The checks where explanation and engine differ."""
        return [check for check in self.checks if not check.agrees]

    def heading(self, text: str) -> None:
        """A title, underlined, with a blank line before it."""
        self.lines += [*([""] if self.lines else []), text, "=" * len(text)]

    def section(self, text: str) -> None:
        """A smaller title."""
        self.lines += ["", text]

    def line(self, text: str) -> None:
        """One line of text or one formula."""
        self.lines.append(INDENT + text)

    def check(self, what: str, formula: str, explained: float, engine: float, scale: float = 0.0, *, money: bool = True) -> None:
        """`what = formula = explained`, and whether the engine says the same; `money`: two decimals."""
        check = Check(what, float(explained), float(engine), abs(scale))
        self.checks.append(check)
        write = usd if money else price
        steps = f"{what} = {formula} = " if formula else f"{what} = "
        verdict = "✓" if check.agrees else f"✗ MISMATCH: the engine says {write(check.engine)} ({check.engine!r})"
        self.line(f"{steps}{write(check.explained) if math.isfinite(check.explained) else 'infinite'} {verdict}")

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> None:
        """Aligned columns, the first `left` of them to the left."""
        widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
        for row in (headings, *rows):
            cells = [
                cell.ljust(width) if column < left else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            self.line("  ".join(cells).rstrip())
