"""Accounts of every mode, and what random traders do to them: trade, flip, go flat, transfer, change mode, reconnect."""

from __future__ import annotations

import random
from dataclasses import dataclass

from connectors.simulator.hyperliquid import AccountPlan, HyperliquidVenue, MakerPlan, PositionPlan
from connectors.simulator.hyperliquid_accounts import TransferKind
from connectors.simulator.hyperliquid_listing import HYPE, UBTC, USDC, USDE
from tests.monitor.stressed_desk import StressedDesk

KINDS: tuple[TransferKind, ...] = ("deposit", "withdraw", "spotToPerp", "perpToSpot", "send")
COINS: dict[str, tuple[str, ...]] = {
    "standard": ("BTC", "ETH", "xyz:XYZ100", "hyna:BTC", "SOL", "HYPE", "DOGE", "xyz:HOOD"),
    "unified": ("BTC", "ETH", "xyz:XYZ100", "xyz:CL", "hyna:BTC", "hyna:ETH", "xyz:HOOD"),
    "hedged": ("HYPE", "BTC", "ETH"),
    "unhedged": ("BTC", "ETH", "HYPE", "xyz:CL"),
    "borrower": (),
}


def plans() -> list[AccountPlan]:
    """Standard on three dexs; unified in two collaterals; portfolio margin hedged, unhedged, and with debt alone."""
    return [
        AccountPlan(
            f"0x{1:040x}",
            "standard",
            cash={"": 200_000.0, "xyz": 100_000.0, "hyna": 50_000.0},
            spot={USDC: 30_000.0, HYPE: 100.0},
            positions=(
                PositionPlan("BTC", 10.0, 20),
                PositionPlan("ETH", -100.0, 10),
                PositionPlan("xyz:XYZ100", 20.0, 20),
                PositionPlan("hyna:BTC", 2.0, 20),
                PositionPlan("SOL", 100.0, 5, isolated=True),
            ),
            makers=(MakerPlan("BTC", 2.0, 5_000.0, 2.0, 20), MakerPlan("HYPE", 1.0, 2_000.0, 60.0, 10)),
        ),
        AccountPlan(
            f"0x{2:040x}",
            "unified",
            mode="unified",
            cash={"": 300_000.0},
            spot={HYPE: 500.0, USDE: 60_000.0},
            positions=(
                PositionPlan("BTC", -12.0, 20),
                PositionPlan("xyz:XYZ100", 20.0, 20),
                PositionPlan("hyna:BTC", 3.0, 20),
                PositionPlan("xyz:CL", 1_000.0, 5, isolated=True),
            ),
            makers=(MakerPlan("ETH", 2.0, 4_000.0, 3.0, 10), MakerPlan("hyna:BTC", 1.0, 3_000.0, 0.2, 20)),
        ),
        AccountPlan(
            f"0x{3:040x}",
            "hedged",
            mode="portfolioMargin",
            spot={USDC: -1_800_000.0, HYPE: 60_000.0, UBTC: 2.0},
            positions=(PositionPlan("HYPE", -60_000.0, 10),),
            makers=(MakerPlan("BTC", 1.0, 3_000.0, 0.3, 20),),
        ),
        AccountPlan(
            f"0x{4:040x}",
            "unhedged",
            mode="portfolioMargin",
            spot={USDC: 200_000.0, HYPE: 5_000.0, UBTC: 1.0},
            positions=(PositionPlan("BTC", 15.0, 10), PositionPlan("xyz:CL", 1_000.0, 5, isolated=True)),
            makers=(MakerPlan("ETH", 1.0, 3_000.0, 3.0, 20),),
        ),
        AccountPlan(f"0x{5:040x}", "borrower", mode="portfolioMargin", spot={USDC: -100_000.0, HYPE: 5_000.0}),
    ]


@dataclass(frozen=True, slots=True)
class Appetite:
    """Chances per account and step of 0.1 s (`reconnect`: per step)."""

    perpetual: float = 0.05
    spot: float = 0.03
    transfer: float = 0.01
    read: float = 0.01
    mode: float = 0.0
    reconnect: float = 0.0


class RandomTraders:
    """Acts on a desk's venue; the same seed does the same."""

    def __init__(self, desk: StressedDesk, appetite: Appetite, seed: int) -> None:
        self.desk, self.appetite, self.random = desk, appetite, random.Random(f"traders {seed}")

    def act(self) -> None:
        """What all of them do in one step."""
        dice, appetite = self.random, self.appetite
        for plan in self.desk.plans:
            if dice.random() < appetite.perpetual and COINS[plan.name]:
                self._perpetual(plan)
            if dice.random() < appetite.spot:
                self._spot(plan)
            if dice.random() < appetite.transfer:
                kind = dice.choice(KINDS)
                amount = round(dice.uniform(500.0, 15_000.0), 2) * (dice.choice((-1, 1)) if kind == "send" else 1)
                self.venue.transfer(plan.address, kind, amount, dice.choice(("", "xyz")) if kind == "send" else "")
            if dice.random() < appetite.mode and plan.mode != "portfolioMargin":
                pooled = self.venue.exchange.account(plan.address).pooled
                self.venue.set_mode(plan.address, "standard" if pooled else "unified")
                self.desk.unseen[plan.name] = self.desk.now_ns
            if dice.random() < appetite.read:
                self.desk.ask(plan)
        if dice.random() < appetite.reconnect:
            self.desk.reconnect()

    @property
    def venue(self) -> HyperliquidVenue:
        return self.desk.venue

    def _perpetual(self, plan: AccountPlan) -> None:
        dice, market, account = self.random, self.venue.market, self.venue.exchange.account(plan.address)
        coin = dice.choice(COINS[plan.name])
        asset, held = market.listing.assets[coin], account.positions.get(coin)
        if held is not None and dice.random() < 0.4:
            size = -held.size * dice.choice((1.0, 2.0, 0.5))
        else:
            size = dice.choice((-1, 1)) * dice.uniform(1_000.0, 60_000.0) / market.mark(coin)
        size = round(size, asset.sz_decimals)
        if size and account.free_margin(asset.dex) > abs(size) * market.mark(coin) / account.leverage(coin):
            self.venue.trade(plan.address, coin, size)

    def _spot(self, plan: AccountPlan) -> None:
        dice, market, account = self.random, self.venue.market, self.venue.exchange.account(plan.address)
        pair = dice.choice(("@107", "@142")) if plan.mode == "portfolioMargin" else "@107"
        size = round(dice.choice((-1, 1)) * dice.uniform(500.0, 20_000.0) / market.spots[pair], 2 if pair == "@107" else 4)
        if size > 0 or account.wallet.get(market.listing.pairs[pair].base, 0.0) > -size > 0:
            self.venue.trade(plan.address, pair, size)
