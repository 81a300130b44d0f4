"""What the user says, typed: immutable, complete with defaults, unknown keys forbidden.

Every setting stands with its default and a comment in `example.toml`. Ratios are fractions (0.85 is 85 %), durations seconds.
Build it with `config.loader.load`, whose errors name file and key.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from config.accounts import AccountSettings, Levels, duplicates, inherited
from config.errors import Problem, did_you_mean, masked
from config.fields import Fraction, Seconds, SecretHolder, Tags
from config.portfolios import PortfolioDefaults, PortfolioSettings, complete_portfolios, portfolio_problems
from config.secrets import Secret
from config.tables import Alias, Table, problems_error
from config.venues import VenueSettings

LevelName = Literal["warning", "critical", "liquidation"]
_LOOPBACK_NAMES = {"localhost"}
_UNSAFE = "allow_unsafe_key lets the monitor hold a key that could trade or withdraw; a read-only agent needs no such trust"


def _listen(text: str) -> str:
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError('expected "host:port" such as "127.0.0.1:9876" or "[::1]:9876", port 0 to 65535')
    return text


def _directory(path: Path, info: ValidationInfo) -> Path:
    base: Path = (info.context or {}).get("base", Path())
    return base / path.expanduser()


class MonitorSettings(SecretHolder):
    """The program itself. A `listen` address that others can reach needs a token (`token_file` or `token_env`)."""

    listen: Annotated[str, AfterValidator(_listen)] = "127.0.0.1:9876"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    token_file: str | None = None
    token_env: str | None = None
    kernel_cache_dir: Annotated[Path, Field(strict=False), AfterValidator(_directory)] | None = None

    @model_validator(mode="after")
    def _guard_listen(self, info: ValidationInfo) -> Self:
        token = self._resolve("token", self.token_file, self.token_env, info)
        if token is None and not self.is_loopback:
            message = "others can reach this address, so a token is needed: set token_file or token_env, or listen on 127.0.0.1"
            raise problems_error([Problem("listen", message)])
        return self

    @property
    def host(self) -> str:
        """Host part of `listen`, without brackets."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """Port part of `listen`; 0 lets the system choose."""
        return int(self.listen.rpartition(":")[2])

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach `listen`; a name other than localhost counts as reachable by others."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host in _LOOPBACK_NAMES

    @property
    def token(self) -> Secret | None:
        """The token that page and API ask for; None: no token asked."""
        return self._secret("token")


class DefaultSettings(Table):
    """What an account without its own figure gets."""

    levels: Levels = Levels()
    tags: Tags = ()
    reconcile_tolerance: Fraction = 0.001


class RepeatSettings(Table):
    """Seconds after which an alert that still fires is sent again, by level."""

    warning: Seconds = 3600.0
    critical: Seconds = 900.0
    liquidation: Seconds = 300.0


class AlertSettings(Table):
    """When alerts are raised, repeated and ended. `receivers` None: every receiver configured."""

    hysteresis: Annotated[float, Field(ge=0, le=0.2)] = 0.02
    hold_s: Annotated[float, Field(ge=0)] = 5.0
    worsening_step: Fraction = 0.05
    data_hold_s: Seconds = 10.0
    data_critical_s: Seconds = 60.0
    unreconciled_hold_s: Seconds = 15.0
    repeat_s: RepeatSettings = RepeatSettings()
    receivers: Annotated[tuple[str, ...], Field(strict=False)] | None = None


class ReceiverSettings(SecretHolder):
    """Where alerts go; `webhook` and `slack` need their URL by `url_file` or `url_env`."""

    type: Literal["log", "webhook", "slack"]
    url_file: str | None = None
    url_env: str | None = None
    min_level: LevelName = "warning"

    @model_validator(mode="after")
    def _need_url(self, info: ValidationInfo) -> Self:
        if self.type == "log":
            given = [key for key in ("url_file", "url_env") if getattr(self, key) is not None]
            if given:
                raise problems_error([Problem(given[0], 'a receiver of type "log" has no URL; remove the key or change the type')])
            return self
        found = self._resolve("url", self.url_file, self.url_env, info)
        if found is None:
            message = f'a receiver of type "{self.type}" needs its URL: set url_file or url_env'
            raise problems_error([Problem("url_file", message)])
        if not _is_http(found.secret.reveal()):
            key = "url_file" if self.url_file is not None else "url_env"
            raise problems_error([Problem(key, f"the secret in {found.origin} is not a URL that starts with https:// or http://")])
        return self

    @property
    def url(self) -> Secret | None:
        """The receiver's URL; None for `log`."""
        return self._secret("url")


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not any(char.isspace() for char in url)
    except ValueError:
        return False


class MarketSettings(Table):
    """What stands in where no venue tells it, by coin: `beta` to BTC, `daily_volatility` and `implied_volatility` as decimals.

    Without options of its own a coin's volatility is taken for `volatility_weight` parts beta times BTC's and for the rest its
    realised one times `volatility_premium`.
    """

    beta: Mapping[str, Annotated[float, Field(gt=0, le=10)]] = Field(default_factory=dict)
    daily_volatility: Mapping[str, Fraction] = Field(default_factory=dict)
    implied_volatility: Mapping[str, Annotated[float, Field(gt=0, le=5)]] = Field(default_factory=dict)
    volatility_weight: Annotated[float, Field(ge=0, le=1)] = 0.7
    volatility_premium: Annotated[float, Field(gt=0, le=5)] = 1.1


class Settings(Table):
    """The whole configuration. At least one account; ids are unique, addresses are unique within a venue.

    `portfolios` are complete: without any in the file there is one of all accounts, as `[portfolio]` says.
    """

    monitor: MonitorSettings = MonitorSettings()
    defaults: DefaultSettings = DefaultSettings()
    alerts: AlertSettings = AlertSettings()
    venues: VenueSettings = VenueSettings()
    fx: Mapping[Alias, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """USD per unit of a stablecoin, where no venue prices it."""
    market: MarketSettings = MarketSettings()
    accounts: Annotated[tuple[AccountSettings, ...], Field(strict=False)] = ()
    portfolio: PortfolioDefaults = Field(default_factory=lambda: PortfolioDefaults.model_validate({}))
    portfolios: Annotated[tuple[PortfolioSettings, ...], Field(strict=False)] = ()
    receivers: Mapping[Alias, ReceiverSettings] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _inherit(cls, raw: Any, info: ValidationInfo) -> Any:
        if not isinstance(raw, dict):
            return raw
        raw = complete_portfolios(raw, info.context)
        defaults = raw.get("defaults", {})
        accounts = raw.get("accounts")
        if not isinstance(defaults, dict) or not isinstance(accounts, list):
            return raw
        return {**raw, "accounts": [inherited(account, defaults) for account in accounts]}

    @model_validator(mode="after")
    def _cross_checks(self) -> Self:
        if not self.accounts:
            raise problems_error([Problem("accounts", "no account to watch; add [[accounts]] with id, venue and address")])
        problems = [*duplicates(self.accounts), *_unknown_receivers(self.alerts, self.receivers)]
        problems += portfolio_problems(self.portfolios, {account.id for account in self.accounts})
        lowest = min(account.levels.warning for account in self.accounts)
        if self.alerts.hysteresis >= lowest:
            message = f"expected less than the lowest warning level {lowest:g}, got {self.alerts.hysteresis:g}"
            problems.append(Problem("alerts.hysteresis", message))
        if problems:
            raise problems_error(problems)
        return self

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the configuration allows but the reader should know: `path: sentence`."""
        holders: list[tuple[str, SecretHolder]] = [("monitor", self.monitor)]
        holders += [(f"receivers.{name}", receiver) for name, receiver in self.receivers.items()]
        holders += [(f"accounts.{account.id}", account) for account in self.accounts]
        found = [f"{path}: {warning}" for path, holder in holders for warning in holder.secret_warnings]
        found += [f"accounts.{account.id}: {_UNSAFE}" for account in self.accounts if account.allow_unsafe_key]
        if not self.receivers:
            found.append("receivers: none configured, so alerts are shown but sent to nobody; add [receivers.NAME]")
        return tuple(found)

    @property
    def alert_receivers(self) -> tuple[str, ...]:
        """Names of the receivers that alerts go to."""
        return tuple(self.receivers) if self.alerts.receivers is None else self.alerts.receivers


def _unknown_receivers(alerts: AlertSettings, receivers: Mapping[str, ReceiverSettings]) -> Iterator[Problem]:
    names = alerts.receivers or ()
    for number, name in enumerate(names):
        if name in names[:number]:
            yield Problem(f"alerts.receivers[{number}]", f'"{masked(name)}" is listed twice and would be paged twice; remove one')
        elif name not in receivers:
            yield Problem(f"alerts.receivers[{number}]", f'no receiver "{masked(name)}" is configured{did_you_mean(name, receivers)}')
