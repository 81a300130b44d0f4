"""What the user says, typed: immutable, complete with defaults, unknown keys forbidden.

Every setting stands with its default and a comment in `example.toml`. Ratios are fractions (0.85 is 85 %), durations seconds.
Build it with `config.loader.load`, whose errors name file and key.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PrivateAttr, ValidationError, ValidationInfo, model_validator

from config.errors import Problem, did_you_mean, masked
from config.portfolios import PortfolioDefaults, PortfolioSettings, complete_portfolios, portfolio_problems
from config.secrets import Resolved, Secret, SecretError, resolve
from config.tables import Alias, Table, problems_error

LevelName = Literal["warning", "critical", "liquidation"]
ModeName = Literal["standard", "unified", "portfolio_margin"]

_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_LOOPBACK_NAMES = {"localhost"}


def _address(text: str) -> str:
    address = text.lower()
    if not _ADDRESS.fullmatch(address):
        raise ValueError(f"expected 0x and 40 hex digits (42 characters), got {len(text)} characters; copy the account's address again")
    return address


def _endpoint(*schemes: str) -> AfterValidator:
    def check(text: str) -> str:
        try:
            parts = urlsplit(text)
            port_is_valid = parts.port is None or parts.port > 0
        except ValueError:
            raise ValueError("expected a URL such as https://host:port; this one cannot be read") from None
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise ValueError("a URL here carries no credentials, query or fragment; keep scheme, host, port and path")
        if parts.scheme not in schemes or not parts.hostname or not port_is_valid:
            raise ValueError(f"expected a URL that starts with {' or '.join(f'{scheme}://' for scheme in schemes)} and names a host")
        return text.rstrip("/")

    return AfterValidator(check)


def _listen(text: str) -> str:
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError('expected "host:port" such as "127.0.0.1:9876" or "[::1]:9876", port 0 to 65535')
    return text


def _directory(path: Path, info: ValidationInfo) -> Path:
    base: Path = (info.context or {}).get("base", Path())
    return base / path.expanduser()


Fraction = Annotated[float, Field(gt=0, lt=1)]
Seconds = Annotated[float, Field(gt=0)]
Address = Annotated[str, AfterValidator(_address)]
Tags = Annotated[tuple[Alias, ...], Field(strict=False)]


class _SecretHolder(Table):
    _resolved: Resolved | None = PrivateAttr(default=None)

    def _resolve(self, name: str, file: str | None, env: str | None, info: ValidationInfo) -> Resolved | None:
        context: dict[str, Any] = info.context or {}
        try:
            found = resolve(name, file=file, env=env, base=context.get("base", Path()), environ=context.get("environ", os.environ))
        except SecretError as error:
            raise problems_error([Problem(error.key, str(error))]) from None
        self._resolved = found
        return found

    @property
    def secret_origin(self) -> str | None:
        """Where the secret came from: `file NAME` or `environment NAME`; None without one."""
        return self._resolved.origin if self._resolved else None

    @property
    def secret_warning(self) -> str | None:
        """What is doubtful about how the secret is kept, None when nothing is."""
        return self._resolved.warning if self._resolved else None


class MonitorSettings(_SecretHolder):
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
        return self._resolved.secret if self._resolved else None


class Levels(Table):
    """Margin ratios at which an alert is raised; 1.0 is where the venue liquidates, so `liquidation` is fixed."""

    warning: Fraction = 0.85
    critical: Fraction = 0.90
    liquidation: float = 1.0

    @model_validator(mode="after")
    def _increasing(self) -> Self:
        if self.liquidation != 1.0:
            message = f"1.0 is where the venue liquidates and cannot be moved, got {self.liquidation:g}; change warning and critical"
            raise problems_error([Problem("liquidation", message)])
        if not self.warning < self.critical:
            message = f"must be below critical, got {self.warning:g} and critical {self.critical:g} (what is not given is inherited)"
            raise problems_error([Problem("warning", message)])
        return self


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


class StaleSettings(Table):
    """Seconds of silence after which a feed counts as stale."""

    contexts: Seconds = 15.0
    clearinghouse: Seconds = 20.0
    spot: Seconds = 60.0


_NETWORKS = {
    "mainnet": ("https://api.hyperliquid.xyz", "wss://api.hyperliquid.xyz/ws"),
    "testnet": ("https://api.hyperliquid-testnet.xyz", "wss://api.hyperliquid-testnet.xyz/ws"),
}


class HyperliquidSettings(Table):
    """One venue. `rest_url` and `ws_url` replace the network's own endpoints (a proxy, a simulator)."""

    network: Literal["mainnet", "testnet"] = "mainnet"
    rest_url: Annotated[str, _endpoint("https", "http")] | None = None
    ws_url: Annotated[str, _endpoint("wss", "ws")] | None = None
    ip_budget_share: Annotated[float, Field(gt=0, le=1)] = 0.25
    poll_interval_s: Seconds = 10.0
    resync_interval_s: Seconds = 300.0
    stale_after_s: StaleSettings = StaleSettings()
    portfolio_margin_limit: Annotated[float, Field(gt=0, le=1)] = 0.95
    min_borrow_offset: Annotated[float, Field(ge=0)] = 20.0
    fast_contexts: bool = True

    @property
    def rest_endpoint(self) -> str:
        """Base of the REST API in use, without `/info` and without a slash at the end."""
        return self.rest_url or _NETWORKS[self.network][0]

    @property
    def ws_endpoint(self) -> str:
        """The WebSocket URL in use."""
        return self.ws_url or _NETWORKS[self.network][1]


class VenueSettings(Table):
    """The venues; one not named has its defaults."""

    hyperliquid: HyperliquidSettings = HyperliquidSettings()


class AccountSettings(Table):
    """One account. `id` is the alias that everything shows, `address` (lower case) is used for the venue only.

    `levels` and `tags` are complete: what the file leaves out comes from `[defaults]`. `mode` None: any mode is expected.
    """

    id: Alias
    venue: Literal["hyperliquid"]
    address: Address = Field(repr=False)
    levels: Levels = Levels()
    tags: Tags = ()
    mode: ModeName | None = None


class ReceiverSettings(_SecretHolder):
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
        return self._resolved.secret if self._resolved else None


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not any(char.isspace() for char in url)
    except ValueError:
        return False


class Settings(Table):
    """The whole configuration. At least one account; ids are unique, addresses are unique within a venue.

    `portfolios` are complete: without any in the file there is one of all accounts, as `[portfolio]` says.
    """

    monitor: MonitorSettings = MonitorSettings()
    defaults: DefaultSettings = DefaultSettings()
    alerts: AlertSettings = AlertSettings()
    venues: VenueSettings = VenueSettings()
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
        return {**raw, "accounts": [_inherited(account, defaults) for account in accounts]}

    @model_validator(mode="after")
    def _cross_checks(self) -> Self:
        if not self.accounts:
            raise problems_error([Problem("accounts", "no account to watch; add [[accounts]] with id, venue and address")])
        problems = [*_duplicates(self.accounts), *_unknown_receivers(self.alerts, self.receivers)]
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
        holders: list[tuple[str, _SecretHolder]] = [("monitor", self.monitor)]
        holders += [(f"receivers.{name}", receiver) for name, receiver in self.receivers.items()]
        found = [f"{path}: {holder.secret_warning}" for path, holder in holders if holder.secret_warning]
        if not self.receivers:
            found.append("receivers: none configured, so alerts are shown but sent to nobody; add [receivers.NAME]")
        return tuple(found)

    @property
    def alert_receivers(self) -> tuple[str, ...]:
        """Names of the receivers that alerts go to."""
        return tuple(self.receivers) if self.alerts.receivers is None else self.alerts.receivers


def _inherited(account: Any, defaults: dict[str, Any]) -> Any:
    if not isinstance(account, dict):
        return account
    merged = dict(account)
    if "tags" in defaults:
        merged.setdefault("tags", defaults["tags"])
    base = _valid_levels(defaults.get("levels"))
    own = merged.get("levels", {})
    if base and isinstance(own, dict):
        merged["levels"] = {**base, **own}
    return merged


def _valid_levels(raw: Any) -> dict[str, Any]:
    # Bad defaults are reported once, where they stand, and not again for every account.
    try:
        return Levels.model_validate(raw).model_dump()
    except ValidationError:
        return {}


def _duplicates(accounts: tuple[AccountSettings, ...]) -> Iterator[Problem]:
    ids: dict[str, int] = {}
    addresses: dict[tuple[str, str], int] = {}
    for number, account in enumerate(accounts):
        first = ids.setdefault(account.id, number)
        if first != number:
            yield Problem(f"accounts[{number}].id", f'"{account.id}" is already the id of accounts[{first}]; give each account its own')
        first = addresses.setdefault((account.venue, account.address), number)
        if first != number:
            other = accounts[first].id
            yield Problem(f"accounts[{number}].address", f'the address is the one of accounts[{first}] ("{other}"); remove one of them')


def _unknown_receivers(alerts: AlertSettings, receivers: Mapping[str, ReceiverSettings]) -> Iterator[Problem]:
    names = alerts.receivers or ()
    for number, name in enumerate(names):
        if name in names[:number]:
            yield Problem(f"alerts.receivers[{number}]", f'"{masked(name)}" is listed twice and would be paged twice; remove one')
        elif name not in receivers:
            yield Problem(f"alerts.receivers[{number}]", f'no receiver "{masked(name)}" is configured{did_you_mean(name, receivers)}')
