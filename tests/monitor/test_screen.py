"""The terminal's whole picture, and how the running program fills the part with the portfolios."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from connectors.events import MarkPrices
from kernels.warmup import warm_up_portfolio
from monitor.screen import COMPILING, screen
from monitor.status import status
from monitor.terminal import AlertLines
from tests.monitor.own_app import OwnApplication, cash_for, opening, started
from tests.monitor.own_desk import position


def shown(own: OwnApplication, lines: AlertLines | None = None) -> str:
    console = Console(file=io.StringIO(), width=150, color_system=None)
    console.print(screen(own.app, "the desk", lines))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


async def test_portfolios_are_computed_beside_the_pools() -> None:
    warm_up_portfolio()
    own = OwnApplication()
    assert COMPILING in shown(own)
    async with started(own):
        await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.5)))
        await own.tell(MarkPrices("hyperliquid", "allDexsAssetCtxs", own.now_ns, ["hyperliquid:BTC"], [100.0], [100.0], [0.0]))
        await own.until(lambda: any(not view.failures for view in own.app.portfolio_views), 10.0)
        text = shown(own)
        (view,) = own.app.portfolio_views
        assert view.result is not None
        assert "portfolio portfolio: " in text
        assert "first to be liquidated down: maker on hyperliquid (main)" in text
        (told,) = status(own.app)["portfolios"]
        assert (told["id"], told["status"], told["margin_ratio"]) == ("portfolio", "ok", view.result.margin_ratio)
        assert told["venues"]["first_down"]["account"] == "maker"
        json.dumps(told, allow_nan=False)


async def test_a_portfolio_that_cannot_be_computed_leaves_the_pools_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    warm_up_portfolio()
    own = OwnApplication()

    def fails(*_: object) -> None:
        raise ValueError("a defect")

    monkeypatch.setattr("monitor.app.portfolio_view", fails)
    async with started(own):
        await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.9)))
        await own.until(lambda: ("main", "margin_level") in own.firing(), 10.0)
        await own.until(lambda: "the portfolios cannot be looked at: ValueError" in caplog.text, 10.0)
        assert own.app.portfolio_views == ()
        assert [result.valid for result in own.app.results()] == [True]


def test_alerts_stand_below_the_tables() -> None:
    own = OwnApplication()
    assert "alerts" in shown(own, AlertLines())
    assert "alerts" not in shown(own)
