from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.simulator.hyperliquid import AccountPlan, HyperliquidVenue, Market, PositionPlan
from connectors.simulator.hyperliquid_listing import HYPE, USDC

ADDRESS = "0x" + "b" * 40


class Watch:
    """One account on a crashing market, and everything its feeds say."""

    def __init__(self, scenario: str = "crash", duration: float = 60.0, **plan: Any) -> None:
        options = {key: plan.pop(key) for key in ("time_scale", "liquidation_delay") if key in plan}
        self.market = Market(3, scenario, duration, 1_790_000_000_000)
        self.venue = HyperliquidVenue(self.market, [AccountPlan(ADDRESS, "w", **plan)], account_frame_interval=1e9, **options)
        self.client = self.venue.connect()
        for feed in ("userFills", "userEvents", "userNonFundingLedgerUpdates", "allDexsClearinghouseState", "orderUpdates"):
            self.client.receive(json.dumps({"method": "subscribe", "subscription": {"type": feed, "user": ADDRESS}}))
        self.venue.advance(0.01)
        self.client.drain()

    def until_liquidated(self, dt: float = 0.1) -> list[dict[str, Any]]:
        while self.market.progress < 1.0:
            self.venue.advance(dt)
            frames = [json.loads(text) for text in self.client.drain()]
            if any(f["channel"] == "userFills" and "liquidation" in f["data"]["fills"][0] for f in frames):
                return frames
        raise AssertionError("nothing was liquidated")


def fills(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [fill for f in frames if f["channel"] == "userFills" for fill in f["data"]["fills"]]


def long_btc(size: float, cash: float, **plan: Any) -> dict[str, Any]:
    return {"cash": {"": cash}, "positions": [PositionPlan("BTC", size, 20)], **plan}


def test_large_position_goes_in_a_slice_of_a_fifth_then_whole_within_the_cooldown() -> None:
    watch = Watch(duration=2000.0, time_scale=20.0, **long_btc(10.0, 100_000.0))
    (first,) = fills(watch.until_liquidated(0.2))
    assert (first["sz"], first["side"], first["liquidation"]["method"]) == ("2.0", "A", "market")
    assert first["liquidation"]["liquidatedUser"] == ADDRESS
    assert first["dir"] == "Liquidated Cross Long"
    assert watch.venue.figures(ADDRESS)["main"].ratio < 1.0
    (second,) = fills(watch.until_liquidated(0.2))
    assert second["sz"] == "8.0"
    assert second["startPosition"] == "8.0"


def test_after_the_cooldown_the_next_slice_is_a_fifth_again() -> None:
    watch = Watch(duration=2000.0, time_scale=0.01, **long_btc(10.0, 100_000.0))
    assert [fills(watch.until_liquidated(0.2))[0]["sz"] for _ in range(2)] == ["2.0", "1.6"]


def test_small_position_goes_whole() -> None:
    (fill,) = fills(Watch(duration=600.0, **long_btc(1.0, 10_000.0)).until_liquidated())
    assert fill["sz"] == "1.0"


def test_a_pool_waits_for_its_delay() -> None:
    watch = Watch(duration=2000.0, liquidation_delay=3.0, **long_btc(1.0, 10_000.0))
    crossed = None
    while not fills([json.loads(t) for t in watch.client.drain()]):
        watch.venue.advance(0.2)
        main = watch.venue.figures(ADDRESS)["main"]
        crossed = watch.market.time if crossed is None and main.ratio >= 1.0 else crossed
    assert crossed is not None
    assert watch.market.time - crossed == pytest.approx(3.0, abs=0.21)


@pytest.mark.parametrize(("dt", "delay"), [(0.01, 1e9), (3.0, 0.0)], ids=["under two thirds", "bankrupt at once"])
def test_backstop_takes_every_cross_position_and_all_margin(dt: float, delay: float) -> None:
    positions = [PositionPlan("BTC", 5.0, 20), PositionPlan("ETH", 20.0, 20)]
    watch = Watch(cash={"": 60_000.0}, positions=positions, liquidation_delay=delay)
    frames = watch.until_liquidated(dt)
    assert {(f["coin"], f["liquidation"]["method"]) for f in fills(frames)} == {("BTC", "backstop"), ("ETH", "backstop")}
    state = next(f for f in frames if f["channel"] == "allDexsClearinghouseState")["data"]["clearinghouseStates"][0][1]
    assert state["assetPositions"] == []
    assert state["marginSummary"]["accountValue"] == "0.0"
    (event,) = [f["data"]["liquidation"] for f in frames if f["channel"] == "user" and "liquidation" in f["data"]]
    assert event["liquidated_user"] == ADDRESS
    equity, notional = float(event["liquidated_account_value"]), float(event["liquidated_ntl_pos"])
    assert (0.7 * 0.0125 * notional < 1.5 * equity < 0.02 * notional) if delay else equity < 0.0
    (row,) = [f["data"]["nonFundingLedgerUpdates"][0] for f in frames if f["channel"] == "userNonFundingLedgerUpdates"]
    assert row["delta"]["leverageType"] == "Cross"
    assert {p["coin"]: p["szi"] for p in row["delta"]["liquidatedPositions"]} == {"BTC": "5.0", "ETH": "20.0"}


@pytest.mark.parametrize(("dt", "method"), [(0.02, "market"), (3.0, "backstop"), (9.0, "backstop")])
def test_isolated_position_dies_alone(dt: float, method: str) -> None:
    positions = [PositionPlan("BTC", 1.0, 20, isolated=True), PositionPlan("ETH", 20.0, 20)]
    watch = Watch(duration=300.0, cash={"": 200_000.0}, positions=positions)
    before = watch.venue.exchange.account(ADDRESS).cash("")
    frames = watch.until_liquidated(dt)
    assert {(f["coin"], f["liquidation"]["method"]) for f in fills(frames)} == {("BTC", method)}
    pools = watch.venue.figures(ADDRESS)
    assert "iso:BTC" not in pools
    assert set(pools["main"].liquidation_prices) == {"ETH"}
    after = watch.venue.exchange.account(ADDRESS).cash("")
    if method == "market":
        assert before < after < before + 86_000.0 / 20, "what is left of the margin comes back"
    else:
        assert after == before, "the backstop keeps the margin, and a loss beyond it is not the cross cash's"
    (row,) = [f["data"]["nonFundingLedgerUpdates"][0] for f in frames if f["channel"] == "userNonFundingLedgerUpdates"]
    assert row["delta"]["leverageType"] == "Isolated"


def test_unified_pool_is_liquidated_at_ratio_one_whatever_the_dex() -> None:
    positions = [PositionPlan("BTC", 1.0, 20), PositionPlan("xyz:XYZ100", 3.0, 20)]
    watch = Watch(duration=2000.0, mode="unified", cash={"": 6_000.0, "xyz": 6_000.0}, positions=positions)
    frames = watch.until_liquidated(0.2)
    assert watch.venue.figures(ADDRESS)["USDC"].ratio < 1.0
    assert len(fills(frames)) >= 1


def test_orders_of_a_failing_pool_are_cancelled_and_told() -> None:
    watch = Watch(duration=600.0, **long_btc(1.0, 10_000.0))
    account = watch.venue.exchange.account(ADDRESS)
    order = watch.venue.exchange.place(account, "ETH", buy=True, price=2_000.0, size=0.1)
    other = watch.venue.exchange.place(account, "xyz:GOLD", buy=True, price=3_000.0, size=0.1)
    frames = watch.until_liquidated()
    assert set(account.orders) == {other.oid}
    updates = [row for f in frames if f["channel"] == "orderUpdates" for row in f["data"]]
    assert ("liquidatedCanceled", order.oid) in {(row["status"], row["order"]["oid"]) for row in updates}
    assert {"nonUserCancel": [{"coin": "ETH", "oid": order.oid}]} in [f["data"] for f in frames if f["channel"] == "user"]


def portfolio(cash: float, hype: float, perp: float) -> dict[str, Any]:
    return {"mode": "portfolioMargin", "spot": {USDC: cash, HYPE: hype}, "positions": [PositionPlan("HYPE", perp, 10)] if perp else []}


def test_portfolio_margin_sells_perpetuals_above_its_limit() -> None:
    watch = Watch(scenario="squeeze", duration=2000.0, **portfolio(-2_300_000.0, 60_000.0, -60_000.0))
    seen = 0.0
    while watch.market.progress < 1.0:
        ratio = watch.venue.figures(ADDRESS)["portfolio"].raw_ratio
        assert ratio is not None
        watch.venue.advance(1.0)
        if fills([json.loads(t) for t in watch.client.drain()]):
            seen = ratio
            break
    assert 0.93 < seen < 0.97


def test_portfolio_margin_debt_alone_takes_collateral_in_fifths() -> None:
    watch = Watch(duration=600.0, **portfolio(-2_700_000.0, 60_000.0, 0.0))
    account = watch.venue.exchange.account(ADDRESS)
    while account.wallet[HYPE] == 60_000.0:
        watch.venue.advance(0.1)
    assert account.wallet[HYPE] == pytest.approx(48_000.0)
    price = watch.market.borrow_price(HYPE)
    assert account.wallet[USDC] == pytest.approx(-2_700_000.0 + 12_000.0 * price * 2.65 / 3.0)
    rows = list(watch.venue.exchange.history[ADDRESS].ledger)
    assert [(r["delta"]["operation"], r["delta"]["token"]) for r in rows] == [("withdraw", "HYPE"), ("repay", "USDC")]
