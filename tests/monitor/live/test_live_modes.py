"""Hyperliquid's modes of a live account: the same as those of the document that `verify --save` writes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.events import AccountSnapshot, BorrowReserve, BorrowReserves, ModeReport
from connectors.model import Balance, Section
from monitor.margin.modes import hyperliquid_modes
from monitor.margin.result import Failure, PoolResult
from monitor.saved_account import snapshot_document
from monitor.snapshot import parse_snapshot
from monitor.verify import side_by_side
from tests.monitor import own_desk
from tests.monitor.live.test_live_portfolios import MARK, NOW_MS, Pair

HYPE = 80.0
RESERVES = BorrowReserves("hyperliquid", 1, (BorrowReserve("HYPE", 150, HYPE, 0.65, 0.0), BorrowReserve("UBTC", 197, MARK, 0.5, 0.0)))
WALLET = (
    own_desk.balance("USDC", 3_000.0, ltv=0.0),
    own_desk.balance("HYPE", 200.0, ltv=0.65),
    own_desk.balance("UBTC", 0.5, ltv=0.5),
    Balance("+92260", None, 40.0),
)


class Long(Pair):
    """A standard account long 10 BTC and short 1 ETH on the first dex, with a spot wallet."""

    def __init__(self, folder: Path, *wallet: Balance) -> None:
        # Aster's index of BTC, in USD, is then the venue's own price of UBTC
        super().__init__(folder, fx="USDC = 1.0\nUSDT = 1.0\n")
        self.marks()
        self.short()
        self.tell(RESERVES)
        held = own_desk.position("BTC", 10.0, MARK), own_desk.position("ETH", -1.0, 4_000.0, isolated=4_500.0)
        self.read(own_desk.section("", 1, 200_000.0 - 10.0 * MARK, *held), *wallet)

    def read(self, section: Section, *wallet: Balance) -> None:
        self.tell(ModeReport("hyperliquid", "long", self.now_ns, "default"))
        self.last = AccountSnapshot("hyperliquid", "long", self.now_ns, (section,), own_desk.wallet(*wallet))
        self.tell(self.last)

    def saved(self) -> dict[str, Any]:
        """The document that a read of the account now would be saved as."""
        instruments = own_desk.reference()
        return snapshot_document(instruments, self.last, side_by_side(instruments, self.last, reserves=RESERVES), NOW_MS, RESERVES)


Found = dict[str, float] | Failure
"""Figures of the pools in one mode, by "POOL FIGURE"."""


def modes(document: dict[str, Any]) -> dict[str, Found]:
    found = hyperliquid_modes(parse_snapshot(document, "document"), "long")
    return {mode: pools if isinstance(pools, Failure) else dict(_figures(pools)) for mode, pools in found.items()}


def _figures(pools: tuple[PoolResult, ...]) -> Iterator[tuple[str, float]]:
    for pool in pools:
        for name in ("equity", "maintenance_margin", "raw_ratio", "margin_ratio"):
            if getattr(pool, name) is not None:
                yield f"{pool.pool} {name}", getattr(pool, name)


def equity(found: Found, pool: str) -> float:
    assert not isinstance(found, Failure), found
    return found[f"{pool} equity"]


@pytest.mark.parametrize(
    "wallet", [WALLET, (), WALLET[:1], (own_desk.balance("HYPE", 200.0),)], ids=["all", "empty", "cash", "not lent on"]
)
def test_a_live_account_has_the_modes_of_its_saved_document(tmp_path: Path, wallet: tuple[Balance, ...]) -> None:
    desk = Long(tmp_path, *wallet)
    live, saved = modes(desk.document()), modes(desk.saved())
    assert live.keys() == saved.keys()
    for mode, found in saved.items():
        assert live[mode] == (found if isinstance(found, Failure) else pytest.approx(found, rel=1e-12)), mode
    assert isinstance(saved["portfolio_margin"], Failure) == (wallet[-1:] == (own_desk.balance("HYPE", 200.0),))


def test_cash_counts_once_and_the_spot_wallet_with_it(tmp_path: Path) -> None:
    found = modes(Long(tmp_path, *WALLET).document())
    assert equity(found["standard"], "main") == pytest.approx(200_000.0)
    assert equity(found["unified"], "USDC") == pytest.approx(203_000.0)
    counts = 200.0 * HYPE * 0.825 + 0.5 * MARK * 0.75
    assert equity(found["portfolio_margin"], "portfolio") == pytest.approx(203_000.0 + counts)


def test_a_wallet_that_changes_alone_is_told_anew(tmp_path: Path) -> None:
    desk, flat = Long(tmp_path), own_desk.section("", 1, 200_000.0)
    for spot in (3_000.0, 7_000.0):
        desk.read(flat, own_desk.balance("USDC", spot))
        assert equity(modes(desk.document())["unified"], "USDC") == pytest.approx(200_000.0 + spot)


def test_the_spot_wallet_is_no_money_of_the_portfolio(tmp_path: Path) -> None:
    bare, held = Long(tmp_path).document(), Long(tmp_path, *WALLET).document()
    rows = [next(row for row in document["accounts"] if row["id"] == "long") for document in (bare, held)]
    assert [row.pop("spot") for row in rows] != [(), ()]
    assert rows[0] == rows[1]
