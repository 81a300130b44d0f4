"""A ready-made Aster desk of three accounts whose story a demo tells: calm, a crash or a squeeze, and how it ends.

umbra hedges another venue's longs, vela backs a long with coins and is saved by a transfer, wren's isolated leg is liquidated
in slices. In a squeeze the directions are mirrored. Every account ends below 0.85. All keys are dummies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.simulator.aster_accounts import AccountPlan, Agent, MakerPlan, PositionPlan, Transfer
from connectors.simulator.aster_faults import AsterFaults
from connectors.simulator.aster_venue import AsterVenue
from connectors.simulator.market import Market

DEFAULT_START_MS = 1_790_000_000_000
ALIASES: tuple[str, ...] = ("umbra", "vela", "wren")
DEFAULT_HEDGE: Mapping[str, float] = {"BTC": 20.0, "ETH": 300.0}
"""Longs of another venue, by coin."""

_DUMMY_KEYS: dict[str, tuple[str, str]] = {
    "umbra": ("0x" + "01" * 32, "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1"),
    "vela": ("0x" + "02" * 32, "0x5050A4F4b3f9338C3472dcC01A87C76A144b3c9c"),
    "wren": ("0x" + "03" * 32, "0x3325a78425F17a7E487Eb5666b2bFd93aBb06c70"),
}
"""Alias -> (private key, its address). Public dummies that can sign for nothing outside the simulation."""

_SYMBOLS = {"kPEPE": "1000PEPEUSDT"}
_PRICES = {"BTC": 86_000.0, "ETH": 2_700.0, "SOL": 140.0, "BNB": 820.0, "HYPE": 60.0, "DOGE": 0.12, "kPEPE": 0.0095}


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a monitor of a demo account is given; `api_key` and `api_secret` are the legacy pair."""

    private_key: str = field(repr=False)
    signer: str = field(repr=False)
    user: str = field(repr=False)
    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)


def credentials(alias: str) -> Credentials:
    """The dummy credentials of a demo account. Raises KeyError for any other alias."""
    private_key, signer = _DUMMY_KEYS[alias]
    secrets = [hashlib.sha256(f"dummy {kind} of {alias}".encode()).hexdigest() for kind in ("key", "secret")]
    return Credentials(private_key, signer, f"0x{0xB1 + ALIASES.index(alias):040x}", *secrets)


def demo_plans(scenario: str, hedge: Mapping[str, float] | None = None) -> list[AccountPlan]:
    """The three accounts for a scenario; `hedge` is what another venue is long of (coin -> size), umbra is short of it."""
    squeeze = scenario == "squeeze"
    return [_umbra(scenario, DEFAULT_HEDGE if hedge is None else hedge), _vela(squeeze), _wren(squeeze)]


def aster_demo(
    duration: float,
    *,
    market: Market | None = None,
    scenario: str = "crash",
    hedge: Mapping[str, float] | None = None,
    seed: int = 7,
    start_ms: int = DEFAULT_START_MS,
    mark_interval: float | None = None,
    funding_interval_s: float = 3600.0,
    weight_per_minute: int = 2400,
    fillers: int = 24,
    faults: AsterFaults | None = None,
) -> AsterVenue:
    """A venue with the demo accounts, on a market of its own or on a given one (whose scenario then counts).

    The mark interval (default 1 s) shrinks with a `duration` (seconds) below a minute, the time between slices with one below
    15 minutes; a pool fails for one and a half mark intervals before it is sold, so that a watcher sees it at 1.0.
    """
    if market is None:
        market = Market(seed, scenario, duration, start_ms)
    interval = min(1.0, duration / 60.0) if mark_interval is None else mark_interval
    return AsterVenue(
        market,
        demo_plans(market.scenario, hedge),
        seed=seed,
        mark_interval=interval,
        funding_interval_s=funding_interval_s,
        liquidation_delay=1.5 * interval,
        slice_interval=max(interval, 10.0 * min(1.0, duration / 900.0)),
        weight_per_minute=weight_per_minute,
        fillers=fillers,
        faults=faults,
    )


def _plan(alias: str) -> tuple[str, str, tuple[Agent, ...], str, str]:
    own = credentials(alias)
    return alias, own.user, (Agent(own.signer),), own.api_key, own.api_secret


def _umbra(scenario: str, hedge: Mapping[str, float]) -> AccountPlan:
    """Single-asset, one-way: short of what the other venue is long of; what one leg won is sent to the other."""
    sent = {"crash": -300_000.0, "squeeze": 300_000.0}.get(scenario)
    notional = sum(abs(size) * _PRICES.get(coin, 0.0) for coin, size in hedge.items())
    positions = [PositionPlan(_SYMBOLS.get(coin, f"{coin}USDT"), -size, leverage=20) for coin, size in hedge.items()]
    makers = [MakerPlan(p.symbol, 1.5, 2_000.0, max(0.02 * abs(p.amount), 0.01)) for p in positions if p.amount]
    return AccountPlan(
        *_plan("umbra"),
        wallet={"USDT": round(0.45 * notional + 20_000.0, 2)},
        positions=positions,
        makers=makers,
        transfers=() if sent is None else (Transfer(0.66, "USDT", sent),),
    )


def _vela(squeeze: bool) -> AccountPlan:
    """Multi-assets: coins back SOL against ETH while USDT is owed; a transfer saves it."""
    amount, ether = (-26_000.0, 600.0) if squeeze else (40_000.0, -970.0)
    return AccountPlan(
        *_plan("vela"),
        multi_assets=True,
        wallet={"BTC": 8.0, "BNB": 1_000.0, "USDT": -4_000.0, "ASTER": 20_000.0, "JLP": 5_000.0},
        positions=(PositionPlan("SOLUSDT", amount, leverage=5), PositionPlan("ETHUSDT", ether, leverage=20)),
        makers=(MakerPlan("BNBUSDT", 0.5, 1_000.0, 10.0),),
        transfers=(Transfer(0.585, "BTC", 6.0),),
    )


def _wren(squeeze: bool) -> AccountPlan:
    """Hedge mode: both legs of ETH, an isolated HYPE leg that is lost in slices, and a USD1 contract."""
    side, amount, margin = ("SHORT", -100_000.0, 2_770_000.0) if squeeze else ("LONG", 100_000.0, 1_840_000.0)
    net = -1.0 if squeeze else 1.0
    return AccountPlan(
        *_plan("wren"),
        hedge=True,
        wallet={"USDT": 700_000.0 + margin, "USD1": 320_000.0},
        positions=(
            PositionPlan("ETHUSDT", 800.0 + 200.0 * net, "LONG"),
            PositionPlan("ETHUSDT", -800.0 + 200.0 * net, "SHORT"),
            PositionPlan("HYPEUSDT", amount, "SHORT" if side == "SHORT" else "LONG", leverage=3, isolated=True, margin=margin),
            PositionPlan("BTCUSD1", 10.0 * net, "SHORT" if squeeze else "LONG", leverage=20),
        ),
        makers=(MakerPlan("ETHUSDT", 1.0, 2_000.0, 5.0, "LONG"), MakerPlan("ETHUSDT", 1.0, 2_000.0, 5.0, "SHORT")),
    )
