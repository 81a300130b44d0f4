"""Would another level have given more time? The same run twice, and when each pool was first told at each level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.alerts.rules import Rule
from monitor.margin.result import Level
from monitor.replay.assembly import Told

LEVEL_RULE = str(Rule.LEVEL.value)


@dataclass(frozen=True, slots=True)
class FirstTold:
    """When an alert key was first told at a level, seconds from the start of the recording; None: never."""

    key: str
    level: Level
    before_s: float | None
    with_s: float | None

    @property
    def gained_s(self) -> float | None:
        """Seconds gained; None where either was never told."""
        return None if self.before_s is None or self.with_s is None else self.before_s - self.with_s


def first_told(alerts: Sequence[Told], begin_ns: int) -> dict[tuple[str, Level], float]:
    """Seconds from the start at which each key first stood at each level, or above it."""
    found: dict[tuple[str, Level], float] = {}
    for ns, _, (rule, _, level, key, _) in alerts:
        if rule == LEVEL_RULE:
            for reached in range(Level.WARNING, min(level, Level.LIQUIDATION) + 1):
                found.setdefault((key, Level(reached)), (ns - begin_ns) / 1e9)
    return found


def compare(before: Sequence[Told], changed: Sequence[Told], begin_ns: int) -> list[FirstTold]:
    """Every key and level that either replay told, in order of key and level."""
    old, new = first_told(before, begin_ns), first_told(changed, begin_ns)
    keys = sorted(old.keys() | new.keys())
    return [FirstTold(key, level, old.get((key, level)), new.get((key, level))) for key, level in keys]


def compared_lines(rows: Sequence[FirstTold], asked: Sequence[Level], text: str, before: str = "as recorded") -> list[str]:
    """The answer in words: a line for each pool and level that was asked about. `before`: what the first replay ran under."""
    lines = [f"with {text}:"]
    liquidations = {row.key: row.before_s for row in rows if row.level is Level.LIQUIDATION}
    told = [row for row in rows if row.level in asked]
    for row in told:
        left = liquidations.get(row.key)
        lines.append(f"  {row.key} {row.level.label}: {_line(row, left, before)}")
    gains = [row.gained_s for row in told if row.gained_s is not None]
    if not told:
        lines.append("  no pool reached the level, before or now")
    elif gains:
        lines.append(f"  of {len(gains)} told either way: {_time(min(gains))} to {_time(max(gains))} gained")
    return lines


def _line(row: FirstTold, liquidated_s: float | None, before: str) -> str:
    if row.with_s is None:
        return f"told at {_time(row.before_s or 0.0)} {before}, and not at all so"
    ahead = "" if liquidated_s is None or liquidated_s < row.with_s else f", {_time(liquidated_s - row.with_s)} before it reached 100 %"
    if row.gained_s is None:
        return f"told at {_time(row.with_s)}{ahead}, {before} not at all"
    return f"told at {_time(row.with_s)} instead of {_time(row.before_s or 0.0)}: {_time(row.gained_s)} gained{ahead}"


def _time(seconds: float) -> str:
    if abs(seconds) < 120.0:
        return f"{seconds:.1f} s"
    return f"{seconds / 60.0:.1f} min"
