"""`make parity`: our figures beside those of venues, of published examples and of references.

Four parts: every recorded Hyperliquid account set through the live path (this module), what Aster's documents and recordings print
(`tests.aster_references`), the golden examples of the margin model (`tests.golden`), option prices and greeks
(`tests.option_references`).

A figure of a venue passes when it equals the venue's to half a unit of the last digit the venue printed, plus what the venue itself
rounds away before: it floors every position's margin to 1e-6. Sets marked `scaled` were multiplied by an unknown constant
by their publisher after that rounding and printed to ten digits, so inputs are only known to that.
"""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from rich import box
from rich.console import Console
from rich.table import Table

from connectors.events import AccountSnapshot, Instruments, SpotPrices
from connectors.hyperliquid.messages import parse_orders, parse_section, parse_wallet
from connectors.hyperliquid.reference import instrument_id, maintenance_tiers, parse_meta
from connectors.model import Balance, Instrument, InstrumentKind, MarginMode, Order, Position, Section, Token, Wallet
from kernels.pool import pool_ratio, require
from monitor.margin.hyperliquid import USDC, VENUE
from monitor.verify import Row, side_by_side
from tests import aster_references, golden, option_references

FLOORED = 1e-6
"""The venue keeps perpetual money in millionths and floors each position's margin (seen on the unscaled recordings)."""

IDENTITIES = 1e-10
"""Relative precision to which the files of one scaled account still fit each other (said with the recordings)."""

RESCALED = 5e-11
"""Rounding of every input of a scaled set, which its publisher printed to ten decimals."""


@dataclass(frozen=True, slots=True)
class RecordedSet:
    """Files of one account. `apart`: wallet and positions were fetched seconds apart, so only what one object holds is checked."""

    name: str
    mode: str
    sections: tuple[tuple[str, str], ...] = ()
    wallet: str | None = None
    orders: str | None = None
    scaled: bool = False
    apart: bool = False
    skip: tuple[str, ...] = ()
    note: str = ""


_STATE, _SPOT = "rest_clearinghouse_state_", "rest_spot_clearinghouse_state_"

SETS = (
    RecordedSet(
        "default_mode_scaled",
        "standard",
        (("", f"{_STATE}default_mode_scaled"),),
        f"{_SPOT}default_mode",
        orders="rest_frontend_open_orders_default_mode_scaled",
        scaled=True,
        note="withdrawable with resting orders: known to 2e-6",
    ),
    RecordedSet("standard_isolated_2025", "standard", (("", f"{_STATE}standard_isolated_2025"),), f"{_SPOT}standard_2025"),
    RecordedSet("margin_without_positions_2026-10-06", "standard", (("", f"{_STATE}margin_without_positions_2026-10-06"),)),
    RecordedSet(
        "standard_2023",
        "standard",
        (("", f"{_STATE}standard_2023"),),
        skip=("liquidation_price", "withdrawable"),
        note="printed under the rule of March 2023, other leverages, no (1 - l)",
    ),
    RecordedSet(
        "btc_cross_2026",
        "pooled",
        (("", f"{_STATE}btc_cross_2026"),),
        skip=("liquidation_price",),
        note="its liquidation price needs the wallet (UNRECONCILED live)",
    ),
    RecordedSet(
        "null_abstraction",
        "unified",
        (("", f"{_STATE}null_abstraction"),),
        f"{_SPOT}null_abstraction",
        apart=True,
        note="wallet saw 106.808942 isolated, positions 106.720442",
    ),
    RecordedSet("unified", "unified", (("", f"{_STATE}unified"),), f"{_SPOT}unified"),
    RecordedSet(
        "unified_isolated_short_scaled",
        "unified",
        (("", f"{_STATE}unified_isolated_short_scaled"),),
        f"{_SPOT}unified_isolated_short_scaled",
        scaled=True,
    ),
    RecordedSet(
        "unified_cross_plus_hip3_scaled",
        "unified",
        (("", f"{_STATE}unified_cross_scaled"), ("io", f"{_STATE}dex_io_isolated_scaled")),
        f"{_SPOT}unified_cross_plus_hip3_scaled",
        scaled=True,
    ),
    RecordedSet(
        "unified_two_dex_isolated_scaled",
        "unified",
        (("", f"{_STATE}unified_two_dex_main_scaled"), ("xyz", f"{_STATE}unified_two_dex_xyz_scaled")),
        f"{_SPOT}unified_two_dex_isolated_scaled",
        scaled=True,
    ),
    RecordedSet(
        "portfolio_margin",
        "portfolio_margin",
        (("", f"{_STATE}portfolio_margin"),),
        f"{_SPOT}portfolio_margin",
        apart=True,
        note="positions fetched seconds apart: ratio from the spot object alone",
    ),
    RecordedSet(
        "pm_borrowing_scaled", "portfolio_margin", (("", f"{_STATE}pm_borrowing_scaled"),), f"{_SPOT}pm_borrowing_scaled", scaled=True
    ),
    RecordedSet(
        "pm_collateral_scaled", "portfolio_margin", (("", f"{_STATE}pm_collateral_scaled"),), f"{_SPOT}pm_collateral_scaled", scaled=True
    ),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of the table. `allowed` None: shown, not checked, and `note` says why."""

    set: str
    mode: str
    row: Row
    printed: str
    allowed: float | None
    note: str

    @property
    def passed(self) -> bool:
        """Whether the figure is the venue's within what is allowed."""
        return self.allowed is None or abs(self.row.difference) <= self.allowed


def recordings() -> Path:
    """Folder of the recorded payloads: MARGINWATCH_RECORDINGS, or ../shared/fixtures beside the project."""
    return Path(os.environ.get("MARGINWATCH_RECORDINGS") or Path(__file__).parents[1] / "../shared/fixtures").resolve()


def verdicts(folder: Path) -> list[Verdict]:
    """Every checked figure of every recorded set under `folder`/hyperliquid. Raises FileNotFoundError naming a missing recording."""
    source = _Recordings(folder / "hyperliquid")
    found = [verdict for recorded in SETS for verdict in source.check(recorded)]
    return [*found, *source.spot_objects(), source.negative_net(), *source.vault_liquidations()]


class _Recordings:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        _, listed = parse_meta("", self.load("rest_meta_first6_2026"), {USDC: "USDC"})
        self._listed = {instrument.id: instrument for instrument in listed}

    def load(self, name: str) -> Any:
        return orjson.loads((self._folder / f"{name}.json").read_bytes())

    def check(self, recorded: RecordedSet) -> list[Verdict]:
        sections = tuple(parse_section(dex, self.load(name)) for dex, name in recorded.sections)
        wallet = parse_wallet(self.load(recorded.wallet), complete=True) if recorded.wallet else Wallet(())
        orders: tuple[Order, ...] | None = () if recorded.mode == "standard" else None
        if recorded.orders:
            orders = parse_orders([{"oid": 0, **row} for row in self.load(recorded.orders)])  # the publisher dropped the numbers
        texts = _printed(
            self.load(name) for name in [*(name for _, name in recorded.sections), *([recorded.wallet] if recorded.wallet else [])]
        )
        seen = side_by_side(self._instruments(sections, wallet), AccountSnapshot(VENUE, recorded.name, 0, sections, wallet), orders=orders)
        return [self._verdict(recorded, row, texts) for row in seen.rows if row.figure != "collateral"]

    def _verdict(self, recorded: RecordedSet, row: Row, texts: dict[float, str]) -> Verdict:
        printed = texts.get(row.venue, repr(row.venue))
        figure = row.figure.partition(" ")[0]
        from_wallet = figure in ("available", "portfolio_margin_ratio") or (
            row.pool in ("portfolio", "USDC") and figure == "liquidation_price"
        )
        if figure in recorded.skip or (recorded.apart and from_wallet):
            return Verdict(recorded.name, recorded.mode, row, printed, None, recorded.note)
        allowed = half_unit(printed) + self._rounded_before(recorded, row, figure)
        return Verdict(
            recorded.name, recorded.mode, row, printed, allowed, recorded.note if figure == "withdrawable" and recorded.orders else ""
        )

    @staticmethod
    def _rounded_before(recorded: RecordedSet, row: Row, figure: str) -> float:
        margin = FLOORED * row.positions
        if figure == "withdrawable" and recorded.orders:
            return 2e-6 * abs(row.venue)
        if figure in ("maintenance_margin", "initial_margin", "available"):
            return margin
        if not recorded.scaled:
            return 0.0
        if figure == "liquidation_price":
            return (margin + 2 * RESCALED * abs(row.venue)) / row.size + IDENTITIES * row.move
        return margin if figure == "equity" else RESCALED

    def _instruments(self, sections: tuple[Section, ...], wallet: Wallet) -> Instruments:
        held = {position.instrument: self._instrument(section.name, position) for section in sections for position in section.positions}
        tokens = tuple(
            Token(VENUE, row.token, row.asset, {"UBTC": "BTC"}.get(row.asset, row.asset))
            for row in wallet.balances
            if row.token is not None
        )
        return Instruments(VENUE, tuple(held.values()), {section.name: USDC for section in sections}, tokens, 0)

    def _instrument(self, dex: str, position: Position) -> Instrument:
        listed = self._listed.get(position.instrument)
        if listed is not None:
            return listed
        # No meta was recorded for it: the position's own leverage limit gives its lowest tier, in which all these lie. The rows
        # of 2023 name none; every coin had 50 then (recorded meta of that year).
        leverage = position.max_leverage or 50.0
        symbol = position.instrument.partition(":")[2]
        tiers = maintenance_tiers([(0.0, leverage)])
        coin = symbol.rpartition(":")[2]
        return Instrument(position.instrument, VENUE, symbol, InstrumentKind.PERPETUAL, coin, "USDC", dex, 1.0, tiers, leverage)

    def spot_objects(self) -> list[Verdict]:
        found = []
        for name, state in (
            ("portfolio_margin", self.load(f"{_SPOT}portfolio_margin")),
            ("sub_accounts2_portfolio_margin", self.load("rest_sub_accounts2_portfolio_margin_trimmed")[0]["spotState"]),
        ):
            wallet = parse_wallet(state, complete=True)
            total = next(row.total for row in wallet.balances if row.token == USDC)
            available = wallet.available_after_maintenance[USDC]
            requirement, capacity = require(total, total - available, 0.0, True, 20.0)
            row = Row(
                "portfolio",
                "portfolio_margin_ratio",
                pool_ratio(requirement, capacity, 1.0),
                wallet.portfolio_margin_ratio or math.nan,
                "total and available",
                1,
            )
            found.append(
                Verdict(
                    name,
                    "portfolio_margin",
                    row,
                    state["portfolioMarginRatio"],
                    half_unit(state["portfolioMarginRatio"]),
                    "spot object alone",
                )
            )
        return found

    def negative_net(self) -> Verdict:
        name = "pm_negative_net_usdc"
        extract = self.load(f"extract_{name}")
        state, spot = extract["clearinghouseState"], extract["spotClearinghouseState"]
        usdc, hype = (float(row["total"]) for row in spot["balances"])
        size, maintenance = 3000.0, float(state["crossMaintenanceMarginUsed"])
        mark = float(state["marginSummary"]["totalNtlPos"]) / size
        short = Position(instrument_id("HYPE"), -size, mark, MarginMode.CROSS, leverage=10.0, max_leverage=10.0)
        section = Section("", 1, 0.0, (short,), None, maintenance)
        rows = (Balance("USDC", USDC, usdc, ltv=0.0), Balance("HYPE", 150, hype, supplied=hype, ltv=float(spot["balances"][1]["ltv"])))
        # the extract has no available figure, so the ratio rests on the collateral's price: the spot mid noted beside it
        wallet = Wallet(rows, {}, True, float(spot["portfolioMarginRatio"]))
        snapshot = AccountSnapshot(VENUE, name, 0, (section,), wallet)
        prices = SpotPrices(VENUE, "rest", 0, {"HYPE": float(extract["spotMid"]["HYPE/USDC"])})
        seen = side_by_side(self._instruments((section,), wallet), snapshot, spot=prices)
        ratio = next(pool.raw_ratio for pool in seen.pools if pool.pool == "portfolio")
        row = Row(
            "portfolio", "portfolio_margin_ratio", ratio or math.nan, wallet.portfolio_margin_ratio or math.nan, "positions, spot price", 1
        )
        return Verdict(name, "portfolio_margin", row, spot["portfolioMarginRatio"], 1e-4, "net < 0: 1e-4, with the 20 USDC offset")

    def vault_liquidations(self) -> list[Verdict]:
        # Two excerpts of a protocol vault's account: too few positions for its sums, but each names its own liquidation price.
        frame = self.load("ws_all_dexs_clearinghouse_state")["data"]["clearinghouseStates"][0][1]
        selection = self.load("recorded_selection_2026-07-19_mainnet_m3")["selection"]
        found = []
        for name, state, position in (
            ("ws_all_dexs_clearinghouse_state", frame, frame["assetPositions"][0]["position"]),
            ("recorded_selection_2026-07-19_mainnet_m3", selection, selection["positions"][2]),
        ):
            size, leverage = float(position["szi"]), float(position["maxLeverage"])
            mark = float(position["positionValue"]) / abs(size)
            others = float(state["crossMaintenanceMarginUsed"]) - abs(size) * mark / (2 * leverage)
            cash = float(state["crossMarginSummary"]["accountValue"]) - size * mark - others
            told = Position(
                instrument_id(position["coin"]),
                size,
                mark,
                leverage=20.0,
                max_leverage=leverage,
                reported_liquidation_price=float(position["liquidationPx"]),
            )
            section = Section("", 1, cash, (told,))
            seen = side_by_side(self._instruments((section,), Wallet(())), AccountSnapshot(VENUE, name, 0, (section,), Wallet(())))
            row = next(row for row in seen.rows if row.figure.startswith("liquidation_price"))
            found.append(
                Verdict(
                    name,
                    "standard, vault",
                    row,
                    position["liquidationPx"],
                    half_unit(position["liquidationPx"]),
                    "excerpt: reported equity and maintenance",
                )
            )
        return found


def half_unit(printed: str) -> float:
    """Half a unit of the last digit of a printed decimal (the venue drops zeros beyond 1e-6), never less than a double holds of it."""
    decimals = max(6, len(printed.partition(".")[2]))
    return max(0.5 * 10.0**-decimals, 4 * math.ulp(abs(float(printed)) or 1.0)) * (1 + 1e-6)


def _printed(documents: Any) -> dict[float, str]:
    texts: dict[float, str] = {}

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)
        elif isinstance(value, str):
            try:
                texts.setdefault(float(value), value)
            except ValueError:
                return

    for document in documents:
        walk(document)
    return texts


def _table(lines: list[Verdict]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("set", "mode", "pool", "figure", "ours", "venue's", "difference", "allowed", "anchored on", ""):
        table.add_column(heading, no_wrap=True, justify="right" if heading in ("ours", "venue's", "difference", "allowed") else "left")
    for line in lines:
        allowed = "-" if line.allowed is None else f"{line.allowed:.1e}"
        mark = (
            ("not checked: " + line.note)
            if line.allowed is None
            else ("equal" if line.passed else "DIFFERS") + (f" ({line.note})" if line.note else "")
        )
        row = line.row
        table.add_row(
            line.set,
            line.mode,
            row.pool,
            row.figure,
            f"{row.ours:.12g}",
            line.printed,
            f"{row.difference:.1e}",
            allowed,
            row.anchored_on,
            mark,
        )
    return table


def main() -> int:
    """Print the tables; 0 when every checked figure equals the venue's, 1 when one differs, 2 without recordings or examples."""
    folder = recordings()
    examples = golden.path_beside(folder)
    absent = [path for path in (folder / "hyperliquid", folder / "aster", folder / "deribit", examples) if not path.exists()]
    if absent:
        remedy = "set MARGINWATCH_RECORDINGS to the folder that holds hyperliquid/, aster/ and deribit/, with golden/ beside it"
        print(f"no recordings at {absent[0]}: {remedy}", file=sys.stderr)
        return 2
    console = Console(width=250 if not sys.stdout.isatty() else None)
    failed = [
        _venues(console, folder),
        _aster(console, folder / "aster"),
        _examples(console, examples),
        _options(console, folder / "deribit"),
    ]
    return 1 if any(failed) else 0


def _venues(console: Console, folder: Path) -> int:
    lines = verdicts(folder)
    console.print(_table(lines))
    checked = [line for line in lines if line.allowed is not None]
    failed = [line for line in checked if not line.passed]
    print(f"{len(checked)} figures checked in {len({line.set for line in lines})} sets: {len(failed)} differ")
    print(f"{len(lines) - len(checked)} more are shown but not checked, each with its reason")
    return len(failed)


def _aster(console: Console, folder: Path) -> int:
    lines = aster_references.lines(folder)
    console.print(aster_references.table(lines))
    failed = [line for line in lines if not line.passed]
    print(f"{len(lines)} figures of Aster checked in {len({line.source for line in lines})} sources: {len(failed)} differ")
    return len(failed)


def _examples(console: Console, path: Path) -> int:
    examples = golden.read(path)
    lines = golden.lines(examples, golden.computed(examples))
    console.print(golden.table(lines))
    failed = [line for line in lines if not line.passed]
    cells = sum(line.cells for line in lines)
    print(f"{cells} figures checked in {len(lines)} lines of {len(examples)} golden examples: {len(failed)} lines differ")
    return len(failed)


def _options(console: Console, folder: Path) -> int:
    lines = option_references.summaries(folder)
    console.print(option_references.table(lines))
    failed = [line for line in lines if not line.passed]
    # the first line of a source is about all its rows
    rows = sum({line.source: line.rows for line in reversed(lines)}.values())
    print(f"{rows} options of {len({line.source for line in lines})} sources checked in {len(lines)} lines: {len(failed)} lines differ")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
