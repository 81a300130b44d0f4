"""A ready-made Deribit desk of two accounts whose story a demo tells.

noctua hedges the pair of the other venues with long puts and short calls, a perpetual and a call that expires on the way; it
only feels what happens. strix is short of puts (in a squeeze of calls): it goes through 0.85 and 0.90 and a transfer saves it.
Both end below 0.85. All credentials are dummies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from connectors.simulator.deribit_accounts import AccountPlan, PositionPlan, Transfer
from connectors.simulator.deribit_faults import DeribitFaults
from connectors.simulator.deribit_venue import DEMO_EXPIRY, DeribitVenue
from connectors.simulator.market import Market

DEFAULT_START_MS = 1_790_000_000_000
ALIASES: tuple[str, ...] = ("noctua", "strix")
DEFAULT_HEDGE: Mapping[str, float] = {"BTC": 20.0, "ETH": 300.0}
"""What the pair of the other venues is long of on one of them, by coin."""

_DAY_S = 86_400.0
_PRICES = {"BTC": 86_000.0, "ETH": 2_700.0}


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a monitor of a demo account is given."""

    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)


def credentials(alias: str) -> Credentials:
    """The dummy credentials of a demo account. Raises KeyError for any other alias."""
    if alias not in ALIASES:
        raise KeyError(f"no demo account {alias}: use one of {', '.join(ALIASES)}")
    texts = [hashlib.sha256(f"dummy deribit {kind} of {alias}".encode()).hexdigest() for kind in ("id", "secret")]
    return Credentials(texts[0][:8], texts[1][:43])


def demo_plans(scenario: str, duration: float, hedge: Mapping[str, float] | None = None) -> list[AccountPlan]:
    """The two accounts for a scenario of `duration` seconds; `hedge` is coin -> size of the pair on the other venues."""
    return [_noctua(duration, DEFAULT_HEDGE if hedge is None else hedge), _strix(scenario == "squeeze")]


def deribit_demo(
    duration: float,
    *,
    market: Market | None = None,
    scenario: str = "crash",
    hedge: Mapping[str, float] | None = None,
    seed: int = 7,
    start_ms: int = DEFAULT_START_MS,
    interval: float | None = None,
    strikes: int = 20,
    expiries_s: Sequence[float] | None = None,
    token_life_s: float = 900.0,
    faults: DeribitFaults | None = None,
) -> DeribitVenue:
    """A venue with the demo accounts, on a market of its own or on a given one (whose scenario then counts).

    The interval of prices (default 1 s) shrinks with a `duration` (seconds) below a minute; a pool fails for one and a half of
    them before it is reduced, so that a watcher sees it at 1.0.
    """
    if market is None:
        market = Market(seed, scenario, duration, start_ms)
    every = min(1.0, duration / 60.0) if interval is None else interval
    return DeribitVenue(
        market,
        demo_plans(market.scenario, market.duration, hedge),
        seed=seed,
        interval=every,
        expiries_s=expiries_s,
        strikes=strikes,
        liquidation_delay=1.5 * every,
        slice_interval=max(every, 10.0 * min(1.0, duration / 900.0)),
        token_life_s=token_life_s,
        faults=faults,
    )


def _noctua(duration: float, hedge: Mapping[str, float]) -> AccountPlan:
    """Cross collateral: puts under the pair, paid for by calls, a long perpetual against both, an option that expires on the way."""
    own = credentials("noctua")
    bitcoin, ether = abs(hedge.get("BTC", 0.0)), abs(hedge.get("ETH", 0.0))
    positions = (
        PositionPlan(bitcoin, option=("BTC", 30.0 * _DAY_S, 0.93 * _PRICES["BTC"], False)),
        PositionPlan(-0.5 * bitcoin, option=("BTC", 30.0 * _DAY_S, 1.07 * _PRICES["BTC"], True)),
        PositionPlan(ether, option=("ETH", 50.0 * _DAY_S, 0.90 * _PRICES["ETH"], False)),
        PositionPlan(-0.5 * ether, option=("ETH", 30.0 * _DAY_S, 1.10 * _PRICES["ETH"], True)),
        PositionPlan(-0.25 * bitcoin, option=("BTC", DEMO_EXPIRY * duration, _PRICES["BTC"], True)),
        PositionPlan(round(0.4 * bitcoin * _PRICES["BTC"], -1), name="BTC-PERPETUAL"),
    )
    return AccountPlan(
        "noctua",
        own.client_id,
        own.client_secret,
        wallet={"BTC": round(0.2 * bitcoin, 8), "ETH": round(0.15 * ether, 6), "USDC": 120_000.0, "USDT": 50_000.0},
        positions=tuple(position for position in positions if position.size),
    )


def _strix(squeeze: bool) -> AccountPlan:
    """Segregated: short options against bitcoins only."""
    own = credentials("strix")
    strike, balance = (1.04, 5.2) if squeeze else (0.95, 6.1)
    return AccountPlan(
        "strix",
        own.client_id,
        own.client_secret,
        margin_model="segregated_sm",
        wallet={"BTC": balance},
        positions=(PositionPlan(-20.0, option=("BTC", 30.0 * _DAY_S, strike * _PRICES["BTC"], squeeze)),),
        transfers=(Transfer(0.545, "BTC", 2.5),),
    )
