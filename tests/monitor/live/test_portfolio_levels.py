"""Live portfolios follow their configured levels and the configured gap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config import load
from kernels import layout
from monitor.live.books import PortfolioBooks
from monitor.margin.result import Level

TEXT = """
[alerts]
hysteresis = 0.05
[[accounts]]
id = "one"
venue = "hyperliquid"
address = "0x0000000000000000000000000000000000000001"
[[portfolios]]
id = "usual"
accounts = ["one"]
[[portfolios]]
id = "careful"
accounts = ["one"]
levels = { warning = 0.5, critical = 0.53 }
"""


@pytest.fixture
def books(tmp_path: Path) -> PortfolioBooks:
    path = tmp_path / "desk.toml"
    path.write_text(TEXT)
    settings = load(path, environ={}, quiet=True)
    return PortfolioBooks(settings.portfolios, settings.alerts.hysteresis)


def test_a_portfolio_is_looked_at_again_where_its_own_levels_and_gaps_are(books: PortfolioBooks) -> None:
    told = {name: list(_row(books, name)["cuts"]) for name in ("usual", "careful")}
    assert told["usual"] == pytest.approx([0.80, 0.85, 0.85, 0.90, 0.95, 1.0])
    assert told["careful"] == pytest.approx([0.45, 0.48, 0.5, 0.53, 0.95, 1.0])


@pytest.mark.parametrize(
    ("ratio", "usual", "careful"),
    [
        (0.49, Level.OK, Level.OK),
        (0.51, Level.OK, Level.WARNING),
        (0.86, Level.WARNING, Level.CRITICAL),
        (0.91, Level.CRITICAL, Level.CRITICAL),
        (1.0, Level.BREACH, Level.BREACH),
    ],
)
def test_its_level_is_by_its_own_thresholds(books: PortfolioBooks, ratio: float, usual: Level, careful: Level) -> None:
    for name, expected in (("usual", usual), ("careful", careful)):
        row = _row(books, name)
        row["status"] = row["equity_status"] = layout.OK
        row["ratio"], row["equity"], row["maintenance"] = ratio, 100.0, 100.0 * ratio
        assert books.figures(name, ()).level is expected


def _row(books: PortfolioBooks, name: str) -> Any:
    book = books.book_of(name)
    return book.tables.portfolios.table[book.accounts.portfolios[name]]
