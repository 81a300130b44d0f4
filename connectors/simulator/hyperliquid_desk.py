"""A ready-made desk of eight accounts whose story a demo tells: calm, a crash or a squeeze, and how it ends.

The positions are mirrored for a squeeze, so that each scenario has one account that drifts through 0.85, 0.90 and 1.00 and is
liquidated in slices, one that a deposit saves, and several that only feel it. Every account ends below 0.85.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from connectors.simulator.faults import Faults
from connectors.simulator.hyperliquid_accounts import AccountPlan, MakerPlan, OutcomePlan, PositionPlan, Transfer, TransferKind
from connectors.simulator.hyperliquid_listing import HYPE, UBTC, USDC, USDE
from connectors.simulator.hyperliquid_venue import HyperliquidVenue
from connectors.simulator.market import Market

DEFAULT_START_MS = 1_790_000_000_000
"""2026-09-21 14:13:20 UTC."""

ADDRESSES: dict[str, str] = {
    name: f"0x{number:040x}"
    for number, name in enumerate(("atlas", "boreas", "cygnus", "delphi", "electra", "fornax", "gemini", "helios"), start=0xA1)
}
"""Name -> address of the demo accounts."""

PAIR_ADDRESS = f"0x{0xA9:040x}"
"""Address of the account of `pair_plan`."""


def demo_plans(scenario: str) -> list[AccountPlan]:
    """The eight accounts of the demo desk for a scenario."""
    squeeze = scenario == "squeeze"
    plans = [_atlas(squeeze), _boreas(), _cygnus(squeeze), _delphi(), _electra(), _fornax(), _gemini(), _helios()]
    if not squeeze:
        return plans
    return [plan if plan.mode == "portfolioMargin" else replace(plan, positions=_mirrored(plan.positions)) for plan in plans]


def demo_desk(
    duration: float,
    *,
    seed: int = 7,
    scenario: str = "crash",
    start_ms: int = DEFAULT_START_MS,
    fillers: int = 16,
    context_interval: float | None = None,
    account_frame_interval: float = 5.0,
    funding_interval_s: float = 3600.0,
    faults: Faults | None = None,
    extra: Sequence[AccountPlan] = (),
) -> tuple[Market, HyperliquidVenue]:
    """A market and a venue with the demo accounts, and `extra` ones.

    The liquidation cooldown shrinks with a `duration` (seconds) below 15 minutes, the context interval (default 1 s) with one
    below a minute; a pool fails for one and a half context intervals before it is sold, so that a watcher sees it at 1.0.
    """
    market = Market(seed, scenario, duration, start_ms, fillers=fillers)
    interval = min(1.0, duration / 60.0) if context_interval is None else context_interval
    venue = HyperliquidVenue(
        market,
        [*demo_plans(scenario), *extra],
        seed=seed,
        context_interval=interval,
        account_frame_interval=account_frame_interval,
        funding_interval_s=funding_interval_s,
        time_scale=min(1.0, duration / 900.0),
        liquidation_delay=1.5 * interval,
        faults=faults,
    )
    return market, venue


def pair_plan(scenario: str, hedge: Mapping[str, float]) -> AccountPlan:
    """One leg of a pair across venues: long of `hedge` (coin -> size) here, while an account elsewhere is short of it.

    A crash takes it near liquidation, though the pair as a whole loses nothing; what the other leg won is sent over just in time.
    """
    sent: dict[str, TransferKind] = {"crash": "deposit", "squeeze": "withdraw"}
    return AccountPlan(
        PAIR_ADDRESS,
        "iris",
        cash={"": 620_000.0},
        positions=tuple(PositionPlan(coin, size, 20) for coin, size in hedge.items()),
        transfers=tuple(Transfer(0.66, kind, 300_000.0) for name, kind in sent.items() if name == scenario),
    )


def _mirrored(positions: Sequence[PositionPlan]) -> tuple[PositionPlan, ...]:
    return tuple(replace(p, size=-p.size) for p in positions)


def _atlas(squeeze: bool) -> AccountPlan:
    """HYPE against kPEPE, nearly hedged: it drifts, rather than falls, into liquidation."""
    cash, hedge = (920_000.0, 274_000_000.0) if squeeze else (710_000.0, 252_600_000.0)
    return AccountPlan(
        ADDRESSES["atlas"],
        "atlas",
        cash={"": cash},
        positions=(PositionPlan("HYPE", 80_000.0, 10), PositionPlan("kPEPE", -hedge, 10)),
        makers=(MakerPlan("BTC", 2.0, 2_000.0, 0.2, 40),),
        transfers=(Transfer(0.72, "deposit", 150_000.0),),
    )


def _boreas() -> AccountPlan:
    """The busy maker: small inventories in the majors, and a daily outcome on BTC."""
    return AccountPlan(
        ADDRESSES["boreas"],
        "boreas",
        cash={"": 500_000.0},
        positions=(PositionPlan("BTC", 12.0, 20), PositionPlan("ETH", -250.0, 20), PositionPlan("SOL", -1_500.0, 20)),
        makers=(
            MakerPlan("BTC", 10.0, 5_000.0, 3.0, 20),
            MakerPlan("ETH", 6.0, 4_000.0, 60.0, 20),
            MakerPlan("SOL", 4.0, 2_000.0, 600.0, 20),
        ),
        outcomes=(OutcomePlan("BTC", 4_000.0),),
    )


def _cygnus(squeeze: bool) -> AccountPlan:
    """Unified, on two dexs at once; a deposit saves it."""
    return AccountPlan(
        ADDRESSES["cygnus"],
        "cygnus",
        mode="unified",
        cash={"": 967_000.0 if squeeze else 700_000.0},
        spot={HYPE: 500.0, USDE: 1_000.0},
        positions=(
            PositionPlan("ATOM", 488_000.0, 5),
            PositionPlan("xyz:XYZ100", 20.0, 20),
            PositionPlan("xyz:CL", 1_000.0, 5, isolated=True),
        ),
        makers=(MakerPlan("ETH", 2.0, 3_000.0, 3.0, 10), MakerPlan("xyz:XYZ100", 1.0, 1_500.0, 0.2, 20)),
        transfers=(Transfer(0.57, "deposit", 300_000.0),),
    )


def _delphi() -> AccountPlan:
    """Portfolio margin: HYPE bought with borrowed USDC and hedged by the perpetual."""
    return AccountPlan(
        ADDRESSES["delphi"],
        "delphi",
        mode="portfolioMargin",
        spot={USDC: -1_800_000.0, HYPE: 60_000.0, UBTC: 2.0},
        positions=(PositionPlan("HYPE", -60_000.0, 10),),
        makers=(MakerPlan("BTC", 1.0, 2_000.0, 0.3, 20),),
    )


def _electra() -> AccountPlan:
    """Standard margin on three dexs, two collaterals, and a short-lived outcome that settles during the story."""
    return AccountPlan(
        ADDRESSES["electra"],
        "electra",
        cash={"": 60_000.0, "xyz": 300_000.0, "hyna": 100_000.0},
        spot={USDC: 25_000.0},
        positions=(PositionPlan("SOL", 500.0, 10), PositionPlan("xyz:XYZ100", 90.0, 20), PositionPlan("hyna:BTC", 2.0, 20)),
        makers=(MakerPlan("xyz:XYZ100", 2.0, 3_000.0, 3.0, 20), MakerPlan("hyna:BTC", 1.0, 1_000.0, 0.2, 20)),
        outcomes=(OutcomePlan("BTC", 500.0, kind="template"),),
    )


def _fornax() -> AccountPlan:
    """Isolated positions: one is lost, one holds."""
    return AccountPlan(
        ADDRESSES["fornax"],
        "fornax",
        cash={"": 150_000.0, "xyz": 50_000.0},
        positions=(
            PositionPlan("BTC", 4.0, 8, isolated=True),
            PositionPlan("xyz:CL", 900.0, 5, isolated=True),
            PositionPlan("ETH", 10.0, 10),
        ),
    )


def _gemini() -> AccountPlan:
    """A sub-account of atlas."""
    return AccountPlan(
        ADDRESSES["gemini"],
        "gemini",
        cash={"": 120_000.0},
        role="subAccount",
        master=ADDRESSES["atlas"],
        positions=(PositionPlan("DOGE", 900_000.0, 10), PositionPlan("XRP", 60_000.0, 10)),
        makers=(MakerPlan("DOGE", 1.0, 1_000.0, 50_000.0, 10),),
    )


def _helios() -> AccountPlan:
    """A vault with a mild book, led by atlas."""
    return AccountPlan(
        ADDRESSES["helios"],
        "helios",
        cash={"": 400_000.0},
        role="vault",
        master=ADDRESSES["atlas"],
        positions=(PositionPlan("BTC", 6.0, 20), PositionPlan("AVAX", 8_000.0, 5), PositionPlan("BNB", 200.0, 5)),
        makers=(MakerPlan("AVAX", 1.0, 1_000.0, 500.0, 5),),
    )
