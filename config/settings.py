"""What the user says, typed: immutable, complete with defaults, unknown keys forbidden.

Every setting stands with its default and a comment in `example.toml`. Ratios are fractions (0.85 is 85 %), durations seconds.
Build it with `config.loader.load`, whose errors name file and key.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, PrivateAttr, ValidationInfo, model_validator

from config.accounts import AccountSettings, Levels, duplicates, inherited
from config.alerts import AlertSettings, HeartbeatSettings, MaintenanceWindow, outbox_file
from config.errors import Problem
from config.fields import Fraction, SecretHolder, Tags, beside
from config.metrics import MetricsSettings
from config.portfolios import WHOLE_BOOK, PortfolioDefaults, PortfolioSettings, complete_portfolios, portfolio_problems
from config.receivers import Concern, ReceiverSettings, escalations, receiver_problems, routing_warnings
from config.receivers import LevelName as LevelName
from config.secrets import Secret
from config.tables import Alias, Table, problems_error
from config.venues import VenueSettings

_LOOPBACK_NAMES = {"localhost"}
_UNSAFE = "allow_unsafe_key lets the monitor hold a key that could trade or withdraw; a read-only agent needs no such trust"


def _listen(text: str) -> str:
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError('expected "host:port" such as "127.0.0.1:9876" or "[::1]:9876", port 0 to 65535')
    return text


def _directory(path: Path, info: ValidationInfo) -> Path:
    return beside(path, info.context)


class MonitorSettings(SecretHolder):
    """The program itself. A `listen` address that others can reach needs a token (`token_file` or `token_env`).

    `web_reload`: whether `POST /-/reload` reads the configuration again, as SIGHUP does.
    `show_addresses`: whether page and API tell the addresses of accounts beside their ids; keys and client ids they never tell.
    """

    listen: Annotated[str, AfterValidator(_listen)] = "127.0.0.1:9876"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    token_file: str | None = None
    token_env: str | None = None
    kernel_cache_dir: Annotated[Path, Field(strict=False), AfterValidator(_directory)] | None = None
    web_reload: bool = False
    show_addresses: bool = False

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

    `portfolios` are complete: without any in the file there is one of all accounts, as `[portfolio]` says. `heartbeat` None: none.
    """

    monitor: MonitorSettings = MonitorSettings()
    defaults: DefaultSettings = DefaultSettings()
    alerts: AlertSettings = AlertSettings()
    metrics: MetricsSettings = MetricsSettings()
    venues: VenueSettings = VenueSettings()
    fx: Mapping[Alias, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """USD per unit of a stablecoin, where no venue prices it."""
    market: MarketSettings = MarketSettings()
    accounts: Annotated[tuple[AccountSettings, ...], Field(strict=False)] = ()
    portfolio: PortfolioDefaults = Field(default_factory=lambda: PortfolioDefaults.model_validate({}))
    portfolios: Annotated[tuple[PortfolioSettings, ...], Field(strict=False)] = ()
    receivers: Mapping[Alias, ReceiverSettings] = Field(default_factory=dict)
    heartbeat: HeartbeatSettings | None = None
    maintenance: Annotated[tuple[MaintenanceWindow, ...], Field(strict=False)] = ()
    _outbox_path: Path | None = PrivateAttr(default=None)

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
    def _cross_checks(self, info: ValidationInfo) -> Self:
        if not self.accounts:
            raise problems_error([Problem("accounts", "no account to watch; add [[accounts]] with id, venue and address")])
        problems = [*duplicates(self.accounts), *receiver_problems(self.alerts.receivers, self.receivers)]
        problems += portfolio_problems(self.portfolios, {account.id for account in self.accounts})
        levels = [*(account.levels for account in self.accounts), *(portfolio.levels for portfolio in self.portfolios)]
        lowest = min(one.warning for one in levels)
        if self.alerts.hysteresis >= lowest:
            message = f"expected less than the lowest warning level {lowest:g}, got {self.alerts.hysteresis:g}"
            problems.append(Problem("alerts.hysteresis", message))
        if problems:
            raise problems_error(problems)
        self._outbox_path = outbox_file(self.alerts, info.context)
        return self

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the configuration allows but the reader should know: `path: sentence`."""
        holders: list[tuple[str, SecretHolder]] = [("monitor", self.monitor)]
        holders += [(f"receivers.{name}", receiver) for name, receiver in self.receivers.items()]
        holders += [(f"accounts.{account.id}", account) for account in self.accounts]
        holders += [("heartbeat", self.heartbeat)] if self.heartbeat is not None else []
        found = [f"{path}: {warning}" for path, holder in holders for warning in holder.secret_warnings]
        found += [f"accounts.{account.id}: {_UNSAFE}" for account in self.accounts if account.allow_unsafe_key]
        found += routing_warnings(self.alert_receivers, self.receivers, list(self._concerns()))
        return tuple(found)

    @property
    def alarmed_portfolios(self) -> frozenset[str]:
        """Ids of the portfolios whose levels are alerted: as `alarm` says, else those that the file lists."""
        is_listed = [portfolio.id for portfolio in self.portfolios] != [WHOLE_BOOK]
        return frozenset(one.id for one in self.portfolios if (is_listed if one.alarm is None else one.alarm))

    @property
    def alert_receivers(self) -> tuple[str, ...]:
        """Names of the receivers that alerts go to."""
        return tuple(self.receivers) if self.alerts.receivers is None else self.alerts.receivers

    @property
    def escalations(self) -> dict[str, str]:
        """Who is told what a receiver did not take in time, by its name; who is not in it has nobody."""
        return escalations(self.alert_receivers, self.receivers)

    @property
    def outbox_path(self) -> Path | None:
        """The file that keeps alerts; None: memory only, as configured, or because these settings came from no file."""
        return self._outbox_path

    @property
    def link(self) -> str:
        """Base of the page for links in alerts, without a slash at the end; empty where none is known that readers can open."""
        if self.alerts.link is not None:
            return self.alerts.link
        return f"http://{self.monitor.listen}" if self.monitor.is_loopback and self.monitor.port else ""

    def _concerns(self) -> Iterator[Concern]:
        tags = {account.id: account.tags for account in self.accounts}
        for account in self.accounts:
            yield Concern(f"accounts.{account.id}", ("pool", "account"), account.tags, must_page=True)
        for portfolio in self.portfolios:
            together = dict.fromkeys(tag for account in portfolio.accounts for tag in tags[account])
            yield Concern(f"portfolios.{portfolio.id}", ("portfolio",), tuple(together))
        yield Concern("receivers", ("feed", "receiver", "venue", "monitor"))
