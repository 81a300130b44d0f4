"""Which accounts are looked at as one book, by which parameter set, and when that figure may be relied on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, PrivateAttr, ValidationError, ValidationInfo, model_validator

from config.accounts import Levels, valid_levels
from config.errors import ConfigError, Problem, did_you_mean, masked
from config.parameters import ParameterSet, load_parameters, problems_under
from config.tables import Alias, Table, problems_error

WHOLE_BOOK = "portfolio"
"""Id of the one portfolio, of all accounts, of a configuration that lists none."""

Name = Annotated[str, Field(min_length=1)]


class Eligibility(Table):
    """When the portfolio figure may be relied on. `minimum_equity` in USD; `coins` None: any.

    `acknowledged`: the user knows that no venue acts on this number, and that equity cannot be moved between venues at once.
    """

    enabled: bool = True
    minimum_equity: Annotated[float, Field(ge=0)] = 0.0
    coins: Annotated[tuple[Name, ...], Field(strict=False)] | None = None
    acknowledged: bool = False


class PortfolioDefaults(Table):
    """The table `[portfolio]`. `parameters` is a shipped set or a TOML file beside the configuration, `overrides` change it by coin.

    `levels`: what they leave out comes from `[defaults]`. `net_delta_limit_usd` by coin: a net delta beyond it, either way, is alerted.
    `alarm`: whether its levels are alerted; None: where the file lists portfolios, as no venue acts on the stress of a whole book.
    """

    parameters: str = "uta"
    overrides: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    eligibility: Eligibility = Eligibility()
    levels: Levels = Levels()
    net_delta_limit_usd: Mapping[Name, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    alarm: bool | None = None
    _set: ParameterSet | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _load(self, info: ValidationInfo) -> Self:
        base: Path = (info.context or {}).get("base", Path())
        try:
            shipped = load_parameters(self.parameters, base_dir=base)
        except ConfigError as error:
            raise problems_error(problems_under("parameters", error)) from None
        try:
            self._set = shipped.with_overrides(self.overrides, "")
        except ConfigError as error:
            raise problems_error(list(error.problems)) from None
        return self

    @property
    def parameter_set(self) -> ParameterSet:
        """The set with the overrides applied."""
        if self._set is None:
            raise RuntimeError("a portfolio that was never validated has no parameters")
        return self._set


class PortfolioSettings(PortfolioDefaults):
    """One of `[[portfolios]]`. What it leaves out comes from `[portfolio]`; overrides are laid over those there, number by number."""

    id: Alias
    accounts: Annotated[tuple[str, ...], Field(strict=False)]


def complete_portfolios(raw: dict[str, Any], context: dict[str, Any] | None) -> dict[str, Any]:
    """The raw configuration with every portfolio complete; without `[[portfolios]]`, one of all accounts."""
    raw = _with_levels(raw)
    listed, table = raw.get("portfolios"), raw.get("portfolio", {})
    if listed is None:
        accounts = raw.get("accounts")
        rows = accounts if isinstance(accounts, list | tuple) else ()
        ids = [row.get("id") if isinstance(row, dict) else getattr(row, "id", None) for row in rows]
        named = list(dict.fromkeys(one for one in ids if isinstance(one, str)))
        if not named:
            return raw
        listed = [{"id": WHOLE_BOOK, "accounts": named}]
    if not isinstance(listed, list):
        return raw
    defaults = _valid(table, context) or _with_levels({**raw, "portfolio": {}})["portfolio"]
    return {**raw, "portfolios": [_merged(defaults, one) if isinstance(one, dict) else one for one in listed]}


def portfolio_problems(portfolios: Collection[PortfolioSettings], accounts: Collection[str]) -> Iterator[Problem]:
    """Ids given twice, accounts that do not exist or stand twice, portfolios without any."""
    first: dict[str, int] = {}
    for number, portfolio in enumerate(portfolios):
        path = f"portfolios[{number}]"
        earlier = first.setdefault(portfolio.id, number)
        if earlier != number:
            yield Problem(f"{path}.id", f'"{portfolio.id}" is already the id of portfolios[{earlier}]; give each portfolio its own')
        if not portfolio.accounts:
            yield Problem(f"{path}.accounts", "no account; name at least one")
        for place, account in enumerate(portfolio.accounts):
            if account in portfolio.accounts[:place]:
                yield Problem(f"{path}.accounts[{place}]", f'"{account}" is listed twice; remove one')
            elif account not in accounts:
                yield Problem(f"{path}.accounts[{place}]", f'no account "{masked(account)}" is configured{did_you_mean(account, accounts)}')


def _with_levels(raw: dict[str, Any]) -> dict[str, Any]:
    defaults, table = raw.get("defaults"), raw.get("portfolio", {})
    base = valid_levels(defaults.get("levels") if isinstance(defaults, dict) else getattr(defaults, "levels", None))
    own = table.get("levels", {}) if isinstance(table, dict) else None
    if not base or not isinstance(own, dict):
        return raw
    return {**raw, "portfolio": {**table, "levels": {**base, **own}}}


def _valid(table: Any, context: dict[str, Any] | None) -> dict[str, Any]:
    # A bad [portfolio] is reported once, where it stands, and not again for every portfolio.
    try:
        PortfolioDefaults.model_validate(table, context=context)
    except ValidationError:
        return {}
    return dict(table)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        known = merged.get(key)
        merged[key] = _merged(known, value) if isinstance(value, Mapping) and isinstance(known, Mapping) else value
    return merged
