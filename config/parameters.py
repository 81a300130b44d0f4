"""Parameter sets of the portfolio method (spec: margin model, section 10): typed, dated, and every error with its remedy.

    load_parameters("uta")            a shipped set, or a TOML file of the user's
    problems_under("base", error)     what is wrong with a set, as problems of the file that names it
    ParameterSet.unit("BTC")          the numbers of one coin
    ParameterSet.with_overrides(...)  the same set with some numbers replaced

Rates and ranges are fractions (0.1 is 10 %), `near_expiry` is in seconds, `sigma_ref` is a daily volatility, `f_B` and `f_D`
are per day. The shipped files in `config/risk` say of each number how sure it is.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator

from config.errors import ConfigError, Problem, did_you_mean, dotted, masked, shown
from config.tables import Table, joined, problems_error, problems_of, read_toml

OTHER = "other"
"""Stands for every coin that a set does not name, in files and in overrides."""

PORTFOLIO = "*"
"""Key of the portfolio parameters in overrides."""

_SHIPPED = Path(__file__).with_name("risk")

Name = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
AtLeastOne = Annotated[float, Field(ge=1)]

_Model = TypeVar("_Model", bound=Table)
_Layers = Sequence[tuple[str, Mapping[str, Any]]]


class UnitParameters(Table):
    """The numbers of one coin; all required. `price_nodes` is odd, and the same for all coins of a set."""

    price_range: Annotated[float, Field(gt=0, le=1)]
    price_nodes: Annotated[int, Field(ge=3, le=1001)]
    vol_up: NotNegative
    vol_down: Share
    vol_exponent: NotNegative
    vol_floor: Positive
    vol_cap: Positive
    near_expiry: NotNegative
    option_base: Literal["model", "mark"]
    extreme_multiple: NotNegative
    extreme_weight: Share
    collateral_stress: Share
    spot_in_stablecoin_spread: bool
    im_factor: AtLeastOne
    f_A: Share
    f_B: Share
    f_C: Share
    f_D: Share
    f_E: Share
    BF: NotNegative
    TH: Share
    sigma_ref: Positive
    regime_power: NotNegative
    regime_cap: AtLeastOne

    @field_validator("price_nodes")
    @classmethod
    def _odd(cls, nodes: int) -> int:
        if nodes % 2 == 0:
            raise ValueError(f"expected an odd number, so that one node is the price itself, got {nodes}; use {nodes + 1}")
        return nodes

    @model_validator(mode="after")
    def _floor_below_cap(self) -> Self:
        if self.vol_floor > self.vol_cap:
            raise problems_error([Problem("vol_floor", f"must not be above vol_cap, got {self.vol_floor:g} and vol_cap {self.vol_cap:g}")])
        return self


class PortfolioParameters(Table):
    """The numbers of a portfolio as a whole; all required. `spot_hedge` lists the coins whose spot may hedge derivatives."""

    correlation_shift: Share
    eta: NotNegative
    liquidity_cap: Share
    adv_stress: Annotated[float, Field(gt=0, le=1)]
    safety_buffer: NotNegative
    spot_hedge: Annotated[tuple[Name, ...], Field(strict=False)]
    borrow_mm_rate: Share
    borrow_im_rate: Share

    @field_validator("spot_hedge")
    @classmethod
    def _once(cls, coins: tuple[str, ...]) -> tuple[str, ...]:
        twice = [coin for number, coin in enumerate(coins) if coin in coins[:number]]
        if twice:
            raise ValueError(f'"{masked(twice[0])}" is listed twice; remove one')
        return coins


@dataclass(frozen=True, eq=False)
class ParameterSet:
    """A complete set: `coins` by name (read-only) and `other` for the rest; `dated` is the day it describes.

    Immutable and hashable; sets with equal names, dates and numbers are equal. Raises ValueError where coins differ in
    `price_nodes`.
    """

    name: str
    dated: datetime.date
    portfolio: PortfolioParameters
    coins: Mapping[str, UnitParameters]
    other: UnitParameters
    _hash: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        different = _different_nodes(self.coins, self.other)
        if different:
            raise ValueError(different)
        object.__setattr__(self, "coins", MappingProxyType(dict(self.coins)))
        object.__setattr__(self, "_hash", hash((self.name, self.dated, self.portfolio, frozenset(self.coins.items()), self.other)))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, ParameterSet) and self._hash == other._hash and self._parts() == other._parts()

    def __reduce__(self) -> tuple[Any, ...]:
        return (ParameterSet, self._parts())

    def _parts(self) -> tuple[Any, ...]:
        return (self.name, self.dated, self.portfolio, dict(self.coins), self.other)

    @property
    def price_nodes(self) -> int:
        """Number of price nodes, the same for every coin."""
        return self.other.price_nodes

    def unit(self, coin: str) -> UnitParameters:
        """The numbers of a coin, those of `other` where the set does not name it."""
        return self.coins.get(coin, self.other)

    def with_overrides(
        self, overrides: Mapping[str, Mapping[str, Any]], source: str, *, path: str = "overrides", in_use: Collection[str] = ()
    ) -> ParameterSet:
        """The set with some numbers replaced; itself when there is nothing to replace.

        Keys are coins, `other`, and `*` for portfolio parameters, with which `price_nodes` may stand too, as it must be the
        same for all coins: given alike for every coin `in_use`, it holds for the others too. A coin that the set does not name
        starts from `other` as overridden. Raises ConfigError with every problem, for the file `source` and the key `path` of the
        overrides in it.
        """
        problems: list[Problem] = []
        tables: dict[str, dict[str, Any]] = {}
        for coin, table in overrides.items():
            if isinstance(table, Mapping):
                tables[coin] = dict(table)
            else:
                problems.append(Problem(joined(path, dotted([coin])), f"expected a table of parameters, got {shown(table)}"))
        whole = tables.pop(PORTFOLIO, {})
        everywhere = {"price_nodes": whole.pop("price_nodes")} if "price_nodes" in whole else {}
        given = {tables.get(coin, {}).get("price_nodes") for coin in in_use}
        if len(given) == 1 and None not in given and not everywhere:
            everywhere = {"price_nodes": given.pop()}
        above = joined(path, dotted([PORTFOLIO]))
        portfolio = _replaced(self.portfolio, [(above, whole)], problems)

        def unit(coin: str, start: UnitParameters) -> UnitParameters:
            return _replaced(start, [(above, everywhere), (joined(path, dotted([coin])), tables.get(coin, {}))], problems)

        other = unit(OTHER, self.other)
        coins = {coin: unit(coin, start) for coin, start in self.coins.items()}
        coins |= {coin: unit(coin, other) for coin in tables if coin != OTHER and coin not in coins}
        different = _different_nodes(coins, other)
        if different and not problems:
            problems.append(Problem(path, f'{different}; override it under "*" for all coins, or for none'))
        if problems:
            raise ConfigError(source, dict.fromkeys(problems))
        if (portfolio, coins, other) == (self.portfolio, dict(self.coins), self.other):
            return self
        return ParameterSet(self.name, self.dated, portfolio, coins, other)


def shipped_parameters() -> tuple[str, ...]:
    """Names of the sets that come with the program."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.toml")))


def load_parameters(name_or_path: str, *, base_dir: Path | None = None) -> ParameterSet:
    """A shipped set by name, or a set of the user's by its TOML file (a name that ends in `.toml`).

    A relative file is looked for in `base_dir` (default: the working directory), the one that its `base` names beside it.
    Raises ConfigError with every problem found.
    """
    return _load(name_or_path, base_dir or Path(), ())


def problems_under(key: str, error: ConfigError) -> list[Problem]:
    """The problems that `load_parameters` raised, as problems of the file that names the set under `key`."""
    if isinstance(error, _UnknownName):
        return [Problem(key, problem.message) for problem in error.problems]
    return [Problem(key, line) for line in str(error).splitlines()]


class _UnknownName(ConfigError):
    pass


class _Circle(ConfigError):
    pass


class _File(Table):
    name: Name
    dated: datetime.date
    base: Name | None = None
    portfolio: Mapping[str, Any] = Field(default_factory=dict)
    every_coin: Mapping[str, Any] = Field(default_factory=dict)
    coins: Mapping[Name, Mapping[str, Any]] = Field(default_factory=dict)


def _load(name_or_path: str, base_dir: Path, above: tuple[Path, ...]) -> ParameterSet:
    path, source = _located(name_or_path, base_dir)
    file = path.resolve()
    if file in above:
        chain = " -> ".join(one.name for one in (*above[above.index(file) :], file))
        raise _Circle(source, [Problem("base", f"the sets inherit from each other in a circle ({chain}); remove one `base`")])
    raw = read_toml(path, source, missing=f"name a parameter file that exists, or a shipped set: {', '.join(shipped_parameters())}")
    try:
        content = _File.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(source, problems_of(error, _File)) from None
    try:
        base = _load(content.base, path.parent, (*above, file)) if content.base is not None else None
    except _Circle:
        # The chain in its message names every file there is to mend.
        raise
    except ConfigError as error:
        raise ConfigError(source, problems_under("base", error)) from None
    return _resolved(content, base, source)


def _located(name_or_path: str, base_dir: Path) -> tuple[Path, str]:
    if name_or_path.endswith(".toml") or "/" in name_or_path:
        path = base_dir / Path(name_or_path).expanduser()
        return path, str(path)
    names = shipped_parameters()
    if name_or_path not in names:
        remedy = did_you_mean(name_or_path, names)
        message = f"no shipped parameter set has this name{remedy}; a file of your own is named with its ending, .toml"
        raise _UnknownName(masked(name_or_path), [Problem("", message)])
    path = _SHIPPED / f"{name_or_path}.toml"
    return path, f"{name_or_path}.toml"


def _resolved(content: _File, base: ParameterSet | None, source: str) -> ParameterSet:
    problems: list[Problem] = []
    inherited = [("portfolio", base.portfolio.model_dump())] if base else []
    portfolio = _validated(PortfolioParameters, [*inherited, ("portfolio", content.portfolio)], problems)
    named = dict.fromkeys([*(base.coins if base else ()), *content.coins])
    units = {coin: _validated(UnitParameters, _layers(coin, content, base, problems), problems) for coin in [*named, OTHER]}
    valid = {coin: unit for coin, unit in units.items() if unit is not None}
    other = valid.pop(OTHER, None)
    different = _different_nodes(valid, other) if other else ""
    if different and not problems:
        problems.append(Problem("", f"{different}; set it once, under [every_coin]"))
    if problems or portfolio is None or other is None:
        found = list(dict.fromkeys(problems))
        lacking = next((number for number, problem in enumerate(found) if problem.message.startswith("missing;")), None)
        if base is None and lacking is not None:
            found[lacking] = Problem(found[lacking].path, f'{found[lacking].message}, or inherit: base = "uta"')
        raise ConfigError(source, found)
    return ParameterSet(content.name, content.dated, portfolio, valid, other)


def _layers(coin: str, content: _File, base: ParameterSet | None, problems: list[Problem], seen: tuple[str, ...] = ()) -> _Layers:
    path = dotted(["coins", coin])
    own = dict(content.coins.get(coin, {}))
    like = own.pop("like", None)
    known = {OTHER, *content.coins, *(base.coins if base else ())}
    if like is None and base is not None and coin not in base.coins and coin != OTHER:
        # As with overrides, a coin that is new starts from what this file makes of `other`; that can be `like` it in a circle.
        below = _layers(OTHER, content, base, problems, (*seen, coin))
        return [*below, (path, own)] if below else []
    if like is None:
        inherited = [(path, base.unit(coin).model_dump())] if base else []
        return [*inherited, ("every_coin", content.every_coin), (path, own)]
    if not isinstance(like, str) or like not in known:
        problems.append(Problem(f"{path}.like", f"expected a coin of this set, got {shown(like)}{did_you_mean(str(like), known)}"))
    elif like in (*seen, coin):
        problems.append(Problem(f"{path}.like", "the coins are like each other in a circle; give one of them its own numbers"))
    else:
        below = _layers(like, content, base, problems, (*seen, coin))
        return [*below, (path, own)] if below else []
    return []


def _validated(model: type[_Model], layers: _Layers, problems: list[Problem]) -> _Model | None:
    # An empty list of layers is one that could not be found, which has been said already.
    if not layers:
        return None
    try:
        return model.model_validate({key: value for _, table in layers for key, value in table.items()})
    except ValidationError as error:
        for problem in problems_of(error, model):
            key = re.split(r"[.\[]", problem.path, maxsplit=1)[0]
            path = next((path for path, table in reversed(layers) if key in table), layers[-1][0])
            problems.append(Problem(joined(path, problem.path), problem.message))
        return None


def _replaced(start: _Model, layers: _Layers, problems: list[Problem]) -> _Model:
    if not any(table for _, table in layers):
        return start
    return _validated(type(start), [(layers[-1][0], start.model_dump()), *layers], problems) or start


def _different_nodes(coins: Mapping[str, UnitParameters], other: UnitParameters) -> str:
    counts: dict[int, list[str]] = {}
    for coin, unit in [*coins.items(), (OTHER, other)]:
        counts.setdefault(unit.price_nodes, []).append(masked(coin))
    if len(counts) == 1:
        return ""
    groups = ", ".join(f"{count} for {' '.join(names)}" for count, names in sorted(counts.items()))
    return f"price_nodes must be the same for all coins, got {groups}"
