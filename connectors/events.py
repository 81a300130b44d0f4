"""What connectors emit. Immutable; accounts are named by their configured alias, never by address.

`received_ns` is the injected monotonic clock at receipt (for ages); `time_ms` is the venue's clock (for ordering).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from connectors.model import FuturesAccount, Instrument, Order, OutcomeMarket, PositionSide, Section, SummaryAccount, Token, Wallet


class Source(StrEnum):
    """How a state reached us."""

    PUSH = "push"
    POLL = "poll"


class FeedStatus(StrEnum):
    """Health of one subscription, as `staleness.py` judges it on the receive clock."""

    CONNECTING = "connecting"
    RESYNCING = "resyncing"
    FRESH = "fresh"
    STALE = "stale"
    DOWN = "down"
    POLLED = "polled"


class FailureReason(StrEnum):
    """Why a figure cannot be given. A figure is a value or one of these, never NaN."""

    MISSING_MARK = "MISSING_MARK"
    STALE_MARK = "STALE_MARK"
    MISSING_PRICE = "MISSING_PRICE"
    MISSING_INDEX = "MISSING_INDEX"
    MISSING_FX = "MISSING_FX"
    MISSING_FORWARD = "MISSING_FORWARD"
    MISSING_IV = "MISSING_IV"
    MISSING_ENTRY = "MISSING_ENTRY"
    MISSING_FUNDING = "MISSING_FUNDING"
    MISSING_ACCOUNT = "MISSING_ACCOUNT"
    STALE_ACCOUNT = "STALE_ACCOUNT"
    NOT_READY = "NOT_READY"
    UNKNOWN_TIER = "UNKNOWN_TIER"
    UNKNOWN_INSTRUMENT = "UNKNOWN_INSTRUMENT"
    UNSUPPORTED_MODE = "UNSUPPORTED_MODE"
    AGENT_ADDRESS = "AGENT_ADDRESS"
    UNSAFE_KEY = "UNSAFE_KEY"
    KEY_REFUSED = "KEY_REFUSED"


@dataclass(frozen=True, slots=True)
class Instruments:
    """Reference data: replaces everything known of the venue. `sections` maps a ledger to its settlement token number."""

    venue: str
    instruments: tuple[Instrument, ...]
    sections: dict[str, int]
    tokens: tuple[Token, ...]
    received_ns: int


@dataclass(frozen=True, slots=True)
class MarkPrices:
    """Marks of some instruments, equally long columns. `funding` is the venue's current rate per its own interval, NaN unknown.

    `delta`: the feed tells changes only, so its silence about an instrument confirms the last mark. `funding_times` are the next
    funding times (venue's ms, 0 unknown), None where the venue's feed does not carry them.
    """

    venue: str
    feed: str
    received_ns: int
    instruments: list[str]
    marks: list[float]
    indices: list[float]
    funding: list[float]
    time_ms: int | None = None
    delta: bool = False
    funding_times: list[int] | None = None


@dataclass(frozen=True, slots=True)
class SpotPrices:
    """Spot marks in the venue's main stablecoin by asset name (UBTC, HYPE)."""

    venue: str
    feed: str
    received_ns: int
    prices: dict[str, float]


@dataclass(frozen=True, slots=True)
class Volatilities:
    """Implied volatilities of options as decimals (0.42), NaN for none; two equally long columns.

    `full`: a whole chain, so that what it lacks has none any more; else only what changed.
    """

    venue: str
    feed: str
    received_ns: int
    instruments: list[str]
    volatilities: list[float]
    full: bool = False


@dataclass(frozen=True, slots=True)
class Forwards:
    """Forwards per coin, settlement and expiry: all options of the venue with these three are priced on it, in their quote (USD
    for coin-settled ones, else the settlement stablecoin)."""

    venue: str
    feed: str
    received_ns: int
    coins: list[str]
    settles: list[str]
    expiries_ms: list[int]
    forwards: list[float]


@dataclass(frozen=True, slots=True)
class IndexPrices:
    """Index by coin, in `quote` (USD or a stablecoin)."""

    venue: str
    feed: str
    received_ns: int
    prices: dict[str, float]
    quote: str = "USD"


@dataclass(frozen=True, slots=True)
class VolatilityIndices:
    """30-day volatility indices by coin, as decimals (Deribit's DVOL)."""

    venue: str
    feed: str
    received_ns: int
    volatilities: dict[str, float]


@dataclass(frozen=True, slots=True)
class Volumes:
    """Turnover of the last 24 hours by instrument, in its settlement stablecoin (USD for coin-settled ones)."""

    venue: str
    feed: str
    received_ns: int
    volumes: dict[str, float]


@dataclass(frozen=True, slots=True)
class DailyCloses:
    """Closing prices of the last days of an instrument, oldest first, without the day that still runs; times are the closes'."""

    venue: str
    received_ns: int
    instrument: str
    times_ms: tuple[int, ...]
    closes: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class OutcomeMarkets:
    """The price outcomes that are open on a venue, replacing what was known."""

    venue: str
    received_ns: int
    markets: tuple[OutcomeMarket, ...]


@dataclass(frozen=True, slots=True)
class OutcomePrices:
    """Mids of outcome sides by (outcome, side): 0 is Yes, 1 is No; in the market's quote."""

    venue: str
    feed: str
    received_ns: int
    prices: dict[tuple[int, int], float]


@dataclass(frozen=True, slots=True)
class StablecoinPrices:
    """USD per unit of a stablecoin."""

    venue: str
    feed: str
    received_ns: int
    prices: dict[str, float]


@dataclass(frozen=True, slots=True)
class BorrowReserve:
    """A lending pool's published state: the venue's borrow oracle price and loan-to-value of one asset."""

    asset: str
    token: int
    oracle_price: float
    ltv: float
    utilization: float


@dataclass(frozen=True, slots=True)
class BorrowReserves:
    """All lending pools of a venue at one poll."""

    venue: str
    received_ns: int
    reserves: tuple[BorrowReserve, ...]


@dataclass(frozen=True, slots=True)
class SectionsSnapshot:
    """Ledgers of an account, each replacing the one of its name.

    `complete`: ledgers not named are empty. Whether the venue ever leaves out one with positions is not known, so one that
    held some is doubted until it was read by name.
    """

    venue: str
    account: str
    received_ns: int
    source: Source
    sections: tuple[Section, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class WalletSnapshot:
    """An account's spot wallet, replacing the last."""

    venue: str
    account: str
    received_ns: int
    source: Source
    wallet: Wallet


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """One REST resync of an account: all ledgers and the wallet, fetched as closely together as the venue allows."""

    venue: str
    account: str
    received_ns: int
    sections: tuple[Section, ...]
    wallet: Wallet | None


@dataclass(frozen=True, slots=True)
class FuturesSnapshot:
    """A futures account (Aster) after a read or a push, whole. `source` POLL: its `read` is new."""

    venue: str
    account: str
    received_ns: int
    source: Source
    state: FuturesAccount


@dataclass(frozen=True, slots=True)
class SummarySnapshot:
    """A Deribit account after a read or a push, whole."""

    venue: str
    account: str
    received_ns: int
    source: Source
    state: SummaryAccount


@dataclass(frozen=True, slots=True)
class MarginCall:
    """The venue warns that a margin ratio is high; whether before or with the liquidation is not said."""

    venue: str
    account: str
    received_ns: int
    time_ms: int
    detail: str


@dataclass(frozen=True, slots=True)
class AdlQuantiles:
    """Places in the auto-deleveraging queue by (instrument, side): 0 last to 4 first."""

    venue: str
    account: str
    received_ns: int
    quantiles: dict[tuple[str, PositionSide], int]


@dataclass(frozen=True, slots=True)
class KeyState:
    """What the venue says of the key an account is read with: when it expires (ms, None: not said) and what it may do.

    `warning` is a sentence for the user where something about it is doubtful.
    """

    venue: str
    account: str
    received_ns: int
    expires_ms: int | None
    rights: tuple[str, ...]
    warning: str = ""


@dataclass(frozen=True, slots=True)
class ModeReport:
    """The venue's own word for the account's mode (Hyperliquid `userAbstraction`); None: it answered null."""

    venue: str
    account: str
    received_ns: int
    mode: str | None


class LiquidationKind(StrEnum):
    """What a venue does to an account: closes positions in the market, takes them over itself, or closes them against others' losses."""

    LIQUIDATION = "liquidation"
    BACKSTOP = "backstop"
    ADL = "adl"


@dataclass(frozen=True, slots=True)
class Fill:
    """An execution. `quantity` signed (buy > 0). Spot fills carry `base` and `quote` asset names and no instrument.

    `liquidation`: the venue made it, not the account; `liquidation_kind` how, None where it is the account's own.
    """

    venue: str
    account: str
    received_ns: int
    fill_id: str
    time_ms: int
    quantity: float
    price: float
    fee: float
    fee_asset: str
    instrument: str | None = None
    base: str | None = None
    quote: str | None = None
    start_position: float | None = None
    liquidation: bool = False
    snapshot: bool = False
    liquidation_kind: LiquidationKind | None = None


class CashFlowKind(StrEnum):
    """Why cash moved."""

    FUNDING = "funding"
    TRANSFER = "transfer"


@dataclass(frozen=True, slots=True)
class CashFlow:
    """Cash credited (> 0) to a ledger of the account (`section`), or to its wallet (`section` None).

    Funding of an isolated position goes to that position: `instrument` is then set.
    """

    venue: str
    account: str
    received_ns: int
    flow_id: str
    time_ms: int
    kind: CashFlowKind
    asset: str
    amount: float
    section: str | None = None
    instrument: str | None = None
    snapshot: bool = False


@dataclass(frozen=True, slots=True)
class AccountChanged:
    """Something moved this account in a way frames cannot say exactly: the connector refetches it at once."""

    venue: str
    account: str
    received_ns: int
    why: str


@dataclass(frozen=True, slots=True)
class OrdersSnapshot:
    """All resting orders of one ledger."""

    venue: str
    account: str
    received_ns: int
    section: str
    orders: tuple[Order, ...]


@dataclass(frozen=True, slots=True)
class Liquidation:
    """The venue says it liquidated (part of) this account. `kind` LIQUIDATION also where it does not say how."""

    venue: str
    account: str
    received_ns: int
    time_ms: int
    detail: str
    kind: LiquidationKind = LiquidationKind.LIQUIDATION


@dataclass(frozen=True, slots=True)
class FeedState:
    """A subscription changed state. `account` None: a market feed. `stale_after_s` is the limit it is judged by."""

    venue: str
    feed: str
    account: str | None
    status: FeedStatus
    at_ns: int
    detail: str = ""
    stale_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class FeedDropped:
    """A subscription is none any more, because nobody needs it or what it was about is gone: its last state means nothing."""

    venue: str
    feed: str
    account: str | None


@dataclass(frozen=True, slots=True)
class AccountFailure:
    """The account cannot be monitored as configured (agent address, missing, unknown mode): loud until resolved."""

    venue: str
    account: str
    received_ns: int
    reason: FailureReason
    detail: str


@dataclass(frozen=True, slots=True)
class ParseError:
    """A frame that was not understood: counted by kind, logged once per kind, never fatal."""

    venue: str
    feed: str
    kind: str
    received_ns: int
    detail: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class VenueStatus:
    """The venue's own statement of its health, and its clock."""

    venue: str
    received_ns: int
    time_ms: int
    statuses: tuple[str, ...] = ()


Event = (
    Instruments
    | MarkPrices
    | SpotPrices
    | Volatilities
    | Forwards
    | IndexPrices
    | StablecoinPrices
    | VolatilityIndices
    | Volumes
    | DailyCloses
    | OutcomeMarkets
    | OutcomePrices
    | BorrowReserves
    | SectionsSnapshot
    | WalletSnapshot
    | AccountSnapshot
    | FuturesSnapshot
    | SummarySnapshot
    | MarginCall
    | AdlQuantiles
    | KeyState
    | ModeReport
    | Fill
    | CashFlow
    | AccountChanged
    | OrdersSnapshot
    | Liquidation
    | FeedState
    | FeedDropped
    | AccountFailure
    | ParseError
    | VenueStatus
)

AccountEvent = (
    SectionsSnapshot | WalletSnapshot | AccountSnapshot | FuturesSnapshot | SummarySnapshot | ModeReport | AccountFailure | Fill | CashFlow
)
"""What changes an account's margin, or says that it cannot be known."""
