"""What a venue tells: instruments, positions, balances, orders and the ledgers that hold them.

Immutable values, no behaviour. Quantities are signed (long > 0) and, like marks and strikes, in the venue's own contract
unit; `Instrument.multiplier` is the number of coins in one unit (1000 for kPEPE). Money is in the ledger's settlement asset.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class InstrumentKind(StrEnum):
    """What an instrument is."""

    PERPETUAL = "perpetual"
    FUTURE = "future"
    OPTION = "option"
    OUTCOME = "outcome"
    SPOT = "spot"
    INDEX = "index"


class OptionType(StrEnum):
    """Which side of the strike pays: above (call) or below (put)."""

    CALL = "call"
    PUT = "put"


class PositionSide(StrEnum):
    """Which position of an instrument: the net one, or one of the two legs of an account in hedge mode."""

    BOTH = "both"
    LONG = "long"
    SHORT = "short"


class MarginMode(StrEnum):
    """Whether a position shares its ledger's margin or holds its own."""

    CROSS = "cross"
    ISOLATED = "isolated"


@dataclass(frozen=True, slots=True)
class MarginTier:
    """One tier of a maintenance table: above `lower_bound` of notional, margin = notional * rate - deduction."""

    lower_bound: float
    maintenance_rate: float
    deduction: float


@dataclass(frozen=True, slots=True)
class Instrument:
    """One contract of one venue.

    `id` is `venue:symbol` and unique in the program; `section` is the ledger it settles in (a Hyperliquid dex name, "" the
    first; an Aster margin asset); `tiers` are sorted by bound, the first at 0. `funding_interval_h` is the hours between two
    funding times, 0 where the venue did not say. What expires has `expiry_ms` (0: never), an option also `strike` and
    `option_type`. `inverse`: a perpetual or future in USD notional, margined in its coin. `price_index` is the venue's index that
    it settles to. An outcome is a digital option: it pays 1 of `settle` above (call) or below (put) its strike. An instrument of
    kind `index` is no contract: its mark is the venue's index, so that an account's delta can be held against it.
    """

    id: str
    venue: str
    symbol: str
    kind: InstrumentKind
    coin: str
    settle: str
    section: str = ""
    multiplier: float = 1.0
    tiers: tuple[MarginTier, ...] = ()
    max_leverage: float = 0.0
    isolated_only: bool = False
    delisted: bool = False
    funding_interval_h: float = 0.0
    expiry_ms: int = 0
    strike: float = 0.0
    option_type: OptionType | None = None
    inverse: bool = False
    price_index: str = ""


@dataclass(frozen=True, slots=True)
class Position:
    """An open position as a venue frame states it.

    `mark` is the mark the frame itself was computed with. `isolated_cash` is the mark-independent cash of an isolated
    position (equity = isolated_cash + quantity * mark), None for cross. `max_leverage` is the position's own limit (0: the
    instrument's). The `reported_*` figures are the venue's own. `time_ms` is the venue's time of its last change, 0 where the
    venue gives none for each position.
    """

    instrument: str
    quantity: float
    mark: float
    margin_mode: MarginMode = MarginMode.CROSS
    entry: float | None = None
    leverage: float = 0.0
    isolated_cash: float | None = None
    max_leverage: float = 0.0
    reported_liquidation_price: float | None = None
    reported_margin_used: float | None = None
    reported_unrealized_pnl: float | None = None
    reported_maintenance_margin: float | None = None
    side: PositionSide = PositionSide.BOTH
    time_ms: int = 0


@dataclass(frozen=True, slots=True)
class Section:
    """One ledger of an account at one venue time: a Hyperliquid dex, an Aster asset.

    `cash` is the mark-independent cash of the cross part (cross equity = cash + sum of quantity * mark over cross
    positions). The `reported_*` figures are the venue's own, None where it gives none. `time_ms` is the venue's.
    """

    name: str
    time_ms: int
    cash: float
    positions: tuple[Position, ...] = ()
    reported_equity: float | None = None
    reported_maintenance_margin: float | None = None
    reported_withdrawable: float | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """One row of a wallet. `ltv` is the loan-to-value the venue grants (None: not said); `supplied` None means not said."""

    asset: str
    token: int | None
    total: float
    hold: float = 0.0
    supplied: float | None = None
    borrowed: float | None = None
    ltv: float | None = None


@dataclass(frozen=True, slots=True)
class Wallet:
    """An account's spot wallet and what the venue computed on it.

    `available_after_maintenance` maps a token to the venue's distance to liquidation; empty when the venue gives none.
    `complete` is False when the source leaves fields out (a WebSocket frame): absence then says nothing.
    """

    balances: tuple[Balance, ...]
    available_after_maintenance: dict[int, float] = field(default_factory=dict)
    portfolio_margin_enabled: bool | None = None
    portfolio_margin_ratio: float | None = None
    complete: bool = True


@dataclass(frozen=True, slots=True)
class FuturesAsset:
    """One asset of a futures wallet, in that asset.

    `wallet` is all of it without unrealised PnL, `cross_wallet` the part that is not held by isolated positions. `time_ms` is
    the venue's time of its last change, 0 unknown.
    """

    asset: str
    wallet: float
    cross_wallet: float
    time_ms: int = 0


@dataclass(frozen=True, slots=True)
class ReportedAsset:
    """What a venue computed on one asset at a read; `maintenance_margin` includes isolated positions, `cross_equity` does not."""

    asset: str
    margin_balance: float
    cross_equity: float
    maintenance_margin: float
    initial_margin: float
    available: float


@dataclass(frozen=True, slots=True)
class FuturesRead:
    """One complete REST read of a futures account: what it held then, at the marks the venue used, and the venue's own figures.

    The `total_*` figures are in USD over all assets in multi-assets mode; in single-asset mode they are of the venue's first
    asset alone. `began_ms` is the venue's clock when the read was asked for.
    """

    began_ms: int
    assets: tuple[FuturesAsset, ...]
    positions: tuple[Position, ...]
    reported: tuple[ReportedAsset, ...]
    total_wallet_balance: float
    total_margin_balance: float
    total_maintenance_margin: float
    total_initial_margin: float
    available: float


@dataclass(frozen=True, slots=True)
class FuturesAccount:
    """A futures account now: the last read and every push since, merged row by row by the venue's time.

    `multi_assets`: one pool over all assets; else one for each asset. `hedge_mode`: LONG and SHORT of an instrument are two
    positions. `positions` has no flat ones. `doubt` names why the state awaits the next read, empty when it does not.
    """

    multi_assets: bool
    hedge_mode: bool
    time_ms: int
    assets: tuple[FuturesAsset, ...]
    positions: tuple[Position, ...]
    read: FuturesRead
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class CurrencySummary:
    """One wallet of a Deribit account as the venue states it, in `currency`; greeks are of the venue.

    `margin_model` is `segregated_sm`, `segregated_pm`, `cross_sm` or `cross_pm`. In a cross model the margins repeat the account's
    total in this currency, and the `total_*_usd` figures are that total in USD (None in a segregated model). `equity` is of this
    wallet alone, `balance` without options and the session's profit on futures (`futures_profit`, None: not said). `delta_total` is
    premium-adjusted, of options and futures together. The maps are by price index: coin delta (not premium-adjusted), gamma per USD,
    and vega in USD per volatility point.
    """

    currency: str
    margin_model: str
    equity: float
    balance: float
    margin_balance: float
    initial_margin: float
    maintenance_margin: float
    available_funds: float
    options_value: float
    delta_total: float
    delta_by_index: Mapping[str, float] = field(default_factory=dict)
    gamma_by_index: Mapping[str, float] = field(default_factory=dict)
    vega_by_index: Mapping[str, float] = field(default_factory=dict)
    total_equity_usd: float | None = None
    total_margin_balance_usd: float | None = None
    total_initial_margin_usd: float | None = None
    total_maintenance_margin_usd: float | None = None
    total_delta_usd: float | None = None
    futures_profit: float | None = None

    @property
    def is_cross(self) -> bool:
        """Whether this wallet is margined together with all others of a cross model."""
        return self.margin_model.startswith("cross")


@dataclass(frozen=True, slots=True)
class ListedPosition:
    """A position on Deribit: options in coin, inverse futures and perpetuals in signed USD notional; greeks of the whole position.

    `average_price` and `mark` are in the venue's quote (coin for inverse options); `vega` USD per volatility point, `gamma` coin
    per USD, `delta` in coin.
    """

    instrument: str
    quantity: float
    average_price: float | None
    mark: float
    index: float
    delta: float = 0.0
    gamma: float = 0.0
    vega: float = 0.0


@dataclass(frozen=True, slots=True)
class SummaryAccount:
    """A Deribit account now: a summary of each wallet and every open position. `time_ms` is our estimate of the venue's time.

    `doubt` names what of it does not add up, empty where nothing is known to be wrong.
    """

    summaries: tuple[CurrencySummary, ...]
    positions: tuple[ListedPosition, ...]
    time_ms: int
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class OutcomeMarket:
    """A fully collateralised market on a price (Hyperliquid HIP-4): side 0 (Yes) pays 1 `quote`, side 1 (No) the rest of it.

    Yes pays if the settlement price lies above `lower` and not above `upper` (None: no bound); `coin` is the underlying,
    `expiry_ms` when it settles.
    """

    outcome: int
    coin: str
    expiry_ms: int
    lower: float | None
    upper: float | None
    quote: str


@dataclass(frozen=True, slots=True)
class Order:
    """A resting order; `quantity` is the signed remaining size."""

    instrument: str
    order_id: str
    quantity: float
    limit_price: float
    reduce_only: bool = False
    is_trigger: bool = False


class PriceBasis(StrEnum):
    """What a venue values an asset at when it counts as collateral: the median of spot, mark and index; an index; or par."""

    MEDIAN = "median"
    INDEX = "index"
    PAR = "par"


@dataclass(frozen=True, slots=True)
class Token:
    """A venue's asset: `token` its number on the venue, `asset` its name there (UBTC), `coin` what it is (BTC).

    `perpetual` is the id of the instrument whose index prices it, None: the main one of its coin.
    """

    venue: str
    token: int
    asset: str
    coin: str
    spot_pair: str | None = None
    """Symbol of the pair that quotes the asset in the venue's main stablecoin."""
    basis: PriceBasis = PriceBasis.MEDIAN
    perpetual: str | None = None
