"""The snapshot document (spec: report format): a book at one instant, typed and checked.

    read_snapshot(path)              a file
    parse_snapshot(document, source) a document already decoded from JSON

Quantities, marks, strikes and entries are per 1 coin; an inverse contract's quantity is its signed USD notional. An `outcome` is
a digital option: one contract pays 1 of its settlement stablecoin above the strike (call), or at and below it (put), so that its
quantity counts contracts and its mark lies between 0 and 1. `marginwatch report` values and stresses it as quantity * N(d2) (put:
N(-d2)) and asks it neither for a short-option charge nor, position by position, for a margin: it is paid in full. Times are
integer milliseconds here, whatever the document wrote. Whatever contradicts itself is an error that names file, key and remedy;
what is merely unknown is None or absent and becomes a typed failure of the margin that needs it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from config.errors import ConfigError, Problem, did_you_mean, dotted, masked, shown
from config.tables import Table, problems_error, problems_of

WHOLE_BOOK = "portfolio"
"""Id of the one portfolio, of all accounts, of a document that lists none."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE | re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d([.]\d{1,9})?)?(Z|\+00:00)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LEAST_MS, _MOST_MS = 100_000_000_000, 253_402_300_800_000
_MOST_IV = 10.0


class SnapshotError(ConfigError):
    """The snapshot cannot be used; `str()` lists every problem, one a line, each with the file and the key."""


def _decimal(value: object) -> object:
    # An integer too long for a float is reported as infinite.
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value)
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return float("inf")
    return value


def _time_ms(value: object) -> object:
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            return (datetime.fromisoformat(value) - _EPOCH) // timedelta(milliseconds=1)
        except ValueError:
            raise ValueError(f'expected a time that exists, got "{value}"') from None
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f'expected a time in UTC such as "2026-11-21T12:00:00Z", or integer milliseconds, got {shown(value)}')
    # Seconds taken for milliseconds would make every option expire at once.
    if not _LEAST_MS <= value < _MOST_MS:
        raise ValueError(f"expected milliseconds since 1970, got {value}" + ("; seconds times 1000" if 0 < value < _LEAST_MS else ""))
    return value


def _plain(value: object) -> object:
    # Overrides are typed by the parameter set, which takes numbers and no texts for them.
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, str):
        return int(value) if _WHOLE.fullmatch(value) else _decimal(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"expected finite numbers, got {value}")
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _known(value: object) -> object:
    # In a mapping of market figures null says the same as no key.
    return {key: one for key, one in value.items() if one is not None} if isinstance(value, dict) else value


def _tier(value: object) -> object:
    if isinstance(value, list | tuple) and len(value) == 3:
        return tuple(value)
    raise ValueError("expected three numbers: lower bound of the notional, maintenance rate, deduction")


Name = Annotated[str, Field(min_length=1)]
Number = Annotated[float, BeforeValidator(_decimal)]
NotNegative = Annotated[Number, Field(ge=0)]
Positive = Annotated[Number, Field(gt=0)]
Share = Annotated[Number, Field(ge=0, le=1)]
TimeMs = Annotated[int, BeforeValidator(_time_ms)]
Names = Annotated[tuple[Name, ...], Field(strict=False)]
TierRow = Annotated[tuple[NotNegative, Share, NotNegative], BeforeValidator(_tier)]


class FundingTermsRow(Table):
    """What a perpetual pays next: `rate` is a fraction per funding time, paid every `interval_h` hours, next at `next_time_ms`.

    `price`, per 1 coin, is what the venue multiplies the rate with where that is not the mark (Hyperliquid: the oracle price).
    None is unknown; without a next time it is the next whole multiple of the interval.
    """

    rate: Number | None = None
    interval_h: Positive | None = None
    next_time_ms: TimeMs | None = Field(default=None, alias="next_time")
    price: Positive | None = None

    @field_validator("rate")
    @classmethod
    def _a_fraction(cls, rate: float | None) -> float | None:
        if rate is not None and not -1 < rate < 1:
            raise ValueError(f"expected a fraction, 0.0001 for 0.01 %, got {rate:g}; is it in per cent?")
        return rate


class InstrumentRow(Table):
    """One contract, per 1 coin. `expiry_ms`, `strike`, `option_type`, `forward` and `iv` are for what expires.

    `mark` is in the settlement asset, an outcome's for one contract; None: unknown. `tiers` are (lower bound of notional,
    maintenance rate, deduction). An `iv` of 0 or less is unknown: None. `funding` is for perpetuals; None: not told.
    """

    id: Name
    kind: Literal["perpetual", "future", "option", "outcome", "spot"]
    coin: Name
    settle: Name
    inverse: bool = False
    mark: NotNegative | None = None
    expiry_ms: TimeMs | None = Field(default=None, alias="expiry")
    strike: Positive | None = None
    option_type: Literal["call", "put"] | None = None
    forward: Positive | None = None
    iv: Number | None = None
    tiers: Annotated[tuple[TierRow, ...], Field(strict=False)] = ()
    max_leverage: NotNegative | None = None
    funding: FundingTermsRow | None = None

    @field_validator("iv")
    @classmethod
    def _a_decimal(cls, iv: float | None) -> float | None:
        if iv is not None and iv > _MOST_IV:
            raise ValueError(f"expected a decimal, 0.42 for 42 %, got {iv:g}; is it in per cent?")
        return iv if iv is not None and iv > 0 else None

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        problems = list(_kind_problems(self))
        if problems:
            raise problems_error(problems)
        return self


class CollateralRow(Table):
    """Collateral of a pool: `ratio` is the share of its live price that counts; `price` None: unknown.

    A negative `amount` is a debt, which may count with more than its price.
    """

    asset: Name
    amount: Number
    price: NotNegative | None = None
    ratio: NotNegative

    @model_validator(mode="after")
    def _a_share(self) -> Self:
        if self.ratio > 1 and self.amount >= 0:
            raise problems_error([Problem("ratio", f"expected a number of at most 1, got number {self.ratio:g}")])
        return self


class ExposureRow(Table):
    """How a pool's equity moves with a coin's index: `quantity` in units of the pool's asset per USD (`inverse`: USD over the index)."""

    coin: Name
    quantity: Number
    inverse: bool = False


class PoolRow(Table):
    """A venue's own pool: what it needs to be evaluated again. `positions` are instruments, `cash` does not move with marks.

    Where the venue's own model is not rebuilt (Deribit) there are `exposures` instead of positions, and `maintenance_margin` as told.
    """

    id: Name
    collateral_asset: Name
    cash: Number
    limit: Positive = 1.0
    collateral: Annotated[tuple[CollateralRow, ...], Field(strict=False)] = ()
    positions: Names = ()
    exposures: Annotated[tuple[ExposureRow, ...], Field(strict=False)] = ()
    maintenance_margin: NotNegative = 0.0


class BalanceRow(Table):
    """A balance in units of `asset`; `collateral_ratio` None: not given. Only an `eligible_hedge` may hedge derivatives."""

    asset: Name
    total: Number
    collateral_ratio: Share | None = None
    eligible_hedge: bool = False


class DebtRow(Table):
    """A debt in units of `asset`; rates None: those of the parameter set."""

    asset: Name
    amount: Number
    mm_rate: Share | None = None
    im_rate: Share | None = None


class PositionRow(Table):
    """A position: signed coins, signed USD notional for an inverse contract. `side` only in hedge mode."""

    instrument: Name
    quantity: Number
    entry: NotNegative | None = None
    side: Literal["long", "short"] | None = None

    @model_validator(mode="after")
    def _sign_of_the_side(self) -> Self:
        if self.side is not None and self.quantity * (1 if self.side == "long" else -1) < 0:
            sign = "positive" if self.side == "long" else "negative"
            raise problems_error([Problem("quantity", f'expected a {sign} quantity on the side "{self.side}", got {self.quantity:g}')])
        return self


class OrderRow(Table):
    """A resting order: signed remaining quantity in the unit of its positions, limit price in the unit of the mark."""

    instrument: Name
    quantity: Number
    limit_price: Positive
    reduce_only: bool = False


class AccountRow(Table):
    """One account. `equity` in USD at `as_of`; None: to be computed. `hedge_cap` in coins, by coin.

    `mode`, `pools` and `reported` carry what the venue's own rule needs; `reported` maps a name to the venue's own figure.
    `spot` is what lies in the spot wallet beside the pools, where `balances` are the pools' own cash; None: it stands in `balances`.
    Only the comparison of Hyperliquid's modes reads it.
    """

    id: Name
    venue: Name
    equity: Number | None = None
    spot_hedging: bool = False
    mode: Name | None = None
    pools: Annotated[tuple[PoolRow, ...], Field(strict=False)] = ()
    reported: Mapping[str, Number | None] = Field(default_factory=dict)
    hedge_cap: Mapping[Name, NotNegative] = Field(default_factory=dict)
    balances: Annotated[tuple[BalanceRow, ...], Field(strict=False)] = ()
    spot: Annotated[tuple[BalanceRow, ...] | None, Field(strict=False)] = None
    debts: Annotated[tuple[DebtRow, ...], Field(strict=False)] = ()
    positions: Annotated[tuple[PositionRow, ...], Field(strict=False)] = ()
    orders: Annotated[tuple[OrderRow, ...], Field(strict=False)] = ()

    @property
    def hedge_mode(self) -> bool:
        """Whether long and short positions of one instrument stand side by side: any position names its `side`."""
        return any(position.side is not None for position in self.positions)


class PortfolioRow(Table):
    """A set of accounts, by id."""

    id: Name
    accounts: Names


class Snapshot(Table):
    """The whole document. `parameters` is a shipped set or a file, `overrides` as `ParameterSet.with_overrides` takes them.

    `fx` USD per stablecoin, `index` USD per coin, `daily_volatility` and `beta` by coin, `volume_24h_usd` by instrument; unknown
    figures are absent. Build it by `parse_snapshot`, or from rows, with the keys of the document (`as_of`, `expiry`).
    """

    version: Literal[1]
    as_of_ms: TimeMs = Field(alias="as_of")
    parameters: Name = "uta"
    overrides: Annotated[Mapping[Name, Mapping[str, Any]], BeforeValidator(_plain)] = Field(default_factory=dict)
    fx: Annotated[Mapping[Name, Positive], BeforeValidator(_known)] = Field(default_factory=dict)
    index: Annotated[Mapping[Name, Positive], BeforeValidator(_known)] = Field(default_factory=dict)
    beta: Mapping[Name, Number] = Field(default_factory=dict)
    volume_24h_usd: Annotated[Mapping[Name, NotNegative], BeforeValidator(_known)] = Field(default_factory=dict)
    daily_volatility: Annotated[Mapping[Name, NotNegative], BeforeValidator(_known)] = Field(default_factory=dict)
    instruments: Annotated[tuple[InstrumentRow, ...], Field(strict=False)] = ()
    accounts: Annotated[tuple[AccountRow, ...], Field(strict=False)]
    portfolios: Annotated[tuple[PortfolioRow, ...], Field(strict=False)] = ()

    @property
    def coins(self) -> frozenset[str]:
        """Every coin that an instrument, `index`, a balance or a debt names."""
        held = {row.asset for account in self.accounts for row in account.balances}
        owed = {row.asset for account in self.accounts for row in account.debts}
        return frozenset(self.index) | {row.coin for row in self.instruments} | held | owed

    @model_validator(mode="before")
    @classmethod
    def _whole_book(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or raw.get("portfolios") is not None or not isinstance(raw.get("accounts"), list | tuple):
            return raw
        ids = [account.get("id") if isinstance(account, dict) else getattr(account, "id", None) for account in raw["accounts"]]
        named = [one for one in dict.fromkeys(map(str, ids)) if one]
        return {**raw, "portfolios": [{"id": WHOLE_BOOK, "accounts": named}]}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = [*_id_problems(self), *_reference_problems(self), *_coin_problems(self)]
        if problems:
            raise problems_error(problems)
        return self


def read_snapshot(path: Path) -> Snapshot:
    """The snapshot in a JSON file. Raises SnapshotError with every problem found."""
    source = str(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_object)
    except FileNotFoundError:
        raise SnapshotError(source, [Problem("", "no such file; `marginwatch verify --save` writes one for an account")]) from None
    except OSError as error:
        raise SnapshotError(source, [Problem("", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise SnapshotError(source, [Problem("", "is not UTF-8 text; save it as UTF-8")]) from None
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, ValueError) else "nested too deeply"
        raise SnapshotError(source, [Problem("", f"is not valid JSON: {masked(why)}")]) from None
    return parse_snapshot(document, source)


def parse_snapshot(document: object, source: str) -> Snapshot:
    """The snapshot of a decoded document; `source` names it in errors. Raises SnapshotError with every problem found."""
    try:
        return Snapshot.model_validate(document)
    except ValidationError as error:
        raise SnapshotError(source, problems_of(error, Snapshot, table="an object")) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for number, key in enumerate(keys) if key in keys[:number])
        raise ValueError(f'the key "{twice}" stands twice in one object; the first one would be lost')
    return found


_OPTIONS = ("option", "outcome")
_OPTION_ONLY = ("strike", "option_type", "forward", "iv")
_NEEDED = {**dict.fromkeys(_OPTIONS, ("strike", "option_type", "expiry")), "future": ("expiry",)}


def _kind_problems(row: InstrumentRow) -> Iterator[Problem]:
    given = {"expiry": row.expiry_ms, **{key: getattr(row, key) for key in _OPTION_ONLY}}
    article = "an" if row.kind in _OPTIONS else "a"
    for key in _NEEDED.get(row.kind, ()):
        if given[key] is None:
            yield Problem(key, f"missing; {article} {row.kind} needs it")
    if row.kind not in _OPTIONS:
        for key in (*_OPTION_ONLY, *(() if row.kind == "future" else ("expiry",))):
            if given[key] is not None:
                yield Problem(key, f'a {row.kind} has none; remove it or correct "kind"')
        if row.mark == 0:
            yield Problem("mark", "expected a number greater than 0, or null where it is unknown, got 0")
    if row.kind != "perpetual" and row.funding is not None:
        yield Problem("funding", f'{article} {row.kind} pays none; remove it or correct "kind"')
    if row.inverse and row.kind not in ("perpetual", "future"):
        yield Problem("inverse", f"only a perpetual or a future can be inverse, and this is {row.kind}; remove it or correct the kind")
    if row.kind == "outcome" and row.settle == row.coin:
        yield Problem("settle", f"an outcome pays 1 of a stablecoin, and this is its coin {masked(row.settle)}; name the stablecoin")
    if row.kind == "outcome" and row.mark is not None and row.mark > 1:
        yield Problem("mark", f"expected the price of one contract, from 0 to 1, got {row.mark:g}")
    bounds = [bound for bound, _, _ in row.tiers]
    if bounds and (bounds[0] != 0 or any(bound >= above for bound, above in pairwise(bounds))):
        yield Problem("tiers", f"expected lower bounds that start at 0 and increase, got {', '.join(f'{bound:g}' for bound in bounds)}")


def _id_problems(snapshot: Snapshot) -> Iterator[Problem]:
    if not snapshot.accounts:
        yield Problem("accounts", "no account; a snapshot holds at least one")
    elif not snapshot.portfolios:
        yield Problem("portfolios", "no portfolio; name one, or leave the key out for one portfolio of all accounts")
    yield from _repeated("instruments", ".id", [row.id for row in snapshot.instruments])
    yield from _repeated("accounts", ".id", [row.id for row in snapshot.accounts])
    yield from _repeated("portfolios", ".id", [row.id for row in snapshot.portfolios])
    for number, account in enumerate(snapshot.accounts):
        path = f"accounts[{number}]"
        yield from _repeated(f"{path}.pools", ".id", [row.id for row in account.pools])
        first: dict[tuple[str, str], int] = {}
        hedge_mode = account.hedge_mode
        for second, row in enumerate(account.positions):
            side = _side(row, hedge_mode=hedge_mode)
            earlier = first.setdefault((row.instrument, side), second)
            if earlier != second:
                leg = f'"{masked(row.instrument)}"{side and f" {side}"}'
                message = f'{leg} is already {path}.positions[{earlier}]; add the two up, or give both a "side"'
                yield Problem(f"{path}.positions[{second}].instrument", message)


def _side(row: PositionRow, *, hedge_mode: bool) -> str:
    if not hedge_mode:
        return ""
    return row.side or ("long" if row.quantity > 0 else "short" if row.quantity < 0 else "empty")


def _repeated(path: str, key: str, names: list[str]) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for number, name in enumerate(names):
        if first.setdefault(name, number) != number:
            yield Problem(f"{path}[{number}]{key}", f'"{masked(name)}" is already {path}[{first[name]}]; give each its own, or remove one')


def _reference_problems(snapshot: Snapshot) -> Iterator[Problem]:
    instruments = {row.id: row for row in snapshot.instruments}
    accounts = {row.id for row in snapshot.accounts}
    for number, portfolio in enumerate(snapshot.portfolios):
        path = f"portfolios[{number}].accounts"
        if not portfolio.accounts and accounts:
            yield Problem(path, "no account; name at least one")
        yield from _repeated(path, "", list(portfolio.accounts))
        yield from _unknown(path, "", portfolio.accounts, accounts, "account")
    for name in snapshot.volume_24h_usd:
        if name not in instruments:
            yield Problem(dotted(["volume_24h_usd", name]), f"no instrument has this id{_near(name, instruments)}")
    for number, account in enumerate(snapshot.accounts):
        path = f"accounts[{number}]"
        yield from _unknown(f"{path}.positions", ".instrument", [row.instrument for row in account.positions], instruments, "instrument")
        yield from _unknown(f"{path}.orders", ".instrument", [row.instrument for row in account.orders], instruments, "instrument")
        for pool, row in enumerate(account.pools):
            yield from _unknown(f"{path}.pools[{pool}].positions", "", row.positions, instruments, "instrument")
        for held, position in enumerate(account.positions):
            if position.entry == 0 and position.instrument in instruments and instruments[position.instrument].inverse:
                yield Problem(f"{path}.positions[{held}].entry", "expected a number greater than 0 for an inverse contract, got 0")


def _coin_problems(snapshot: Snapshot) -> Iterator[Problem]:
    if snapshot.fx.get("USD", 1.0) != 1.0:
        yield Problem("fx.USD", f"is 1 by definition, got {snapshot.fx['USD']:g}; remove it")
    settling = {row.coin for row in snapshot.instruments if row.inverse or row.settle == row.coin}
    for name in snapshot.fx:
        if name in settling:
            yield Problem(dotted(["fx", name]), "settles instruments of its own and is no stablecoin; give its price under index")
    coins = snapshot.coins
    for key, table in (("beta", snapshot.beta), ("daily_volatility", snapshot.daily_volatility)):
        for name in table:
            if name not in coins:
                yield Problem(dotted([key, name]), f"no coin of this snapshot has this name{_near(name, coins)}")


def _unknown(path: str, key: str, names: Iterable[str], known: Collection[str], what: str) -> Iterator[Problem]:
    for number, name in enumerate(names):
        if name not in known:
            yield Problem(f"{path}[{number}]{key}", f'no {what} has the id "{masked(name)}"{_near(name, known)}')


def _near(name: str, known: Iterable[str]) -> str:
    near = did_you_mean(name, known)
    return near if near.startswith("; did") else ""
