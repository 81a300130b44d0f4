"""When an alert is raised, kept and ended: `[alerts]`, `[heartbeat]` and `[[maintenance]]`."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from config.errors import Problem
from config.fields import Fraction, Seconds, SecretHolder, Share, beside, endpoint, need_url
from config.secrets import Secret
from config.tables import Table, problems_error

VenueName = Literal["hyperliquid", "aster", "deribit"]
MEMORY = "memory"
"""The `outbox` that is no file."""

_NotNegative = Annotated[float, Field(ge=0)]
_Days = Annotated[float, Field(gt=0, le=3650)]


class RepeatSettings(Table):
    """Seconds after which an alert that still fires is sent again, by level."""

    warning: Seconds = 3600.0
    critical: Seconds = 900.0
    liquidation: Seconds = 300.0


class DepegSettings(Table):
    """Relative distances of a stablecoin to 1 USD at which its collateral is alerted."""

    warning: Fraction = 0.01
    critical: Fraction = 0.03

    @model_validator(mode="after")
    def _increasing(self) -> Self:
        if not self.warning < self.critical:
            raise problems_error([Problem("warning", f"must be below critical, got {self.warning:g} and critical {self.critical:g}")])
        return self


class KeyExpirySettings(Table):
    """Days before an agent's key expires at which that is alerted."""

    warning: _Days = 14.0
    critical: _Days = 3.0

    @model_validator(mode="after")
    def _decreasing(self) -> Self:
        if not self.warning > self.critical:
            raise problems_error([Problem("warning", f"must be above critical, got {self.warning:g} and critical {self.critical:g}")])
        return self


class AlertSettings(Table):
    """When alerts are raised, repeated and ended, where they are kept, and who gets them.

    `distance`: relative move of the worst coin to liquidation below which a pool warns. `rise_per_minute`: in margin ratio, looked at
    from `rise_from` upward. `adl_quantile`: place in the venue's queue (1 to 4, 4 is next) from which is warned. All three: 0 is never.
    `transfer_share`: of equity. `link`: base of the page; None where only this machine can reach it is `http://` and `listen` (see
    `Settings.link`). `outbox` None: beside the user's other state (see `Settings.outbox_path`), "memory": no file. `group_s`: after
    a message to a receiver, what follows within so long leaves as one. `deadline_s`: so long a receiver may fail before the one after it
    is told (from critical on 60 s at most). `receivers` None: every receiver configured.
    """

    hysteresis: Annotated[float, Field(ge=0, le=0.2)] = 0.02
    hold_s: _NotNegative = 5.0
    worsening_step: Fraction = 0.05
    data_hold_s: Seconds = 10.0
    data_critical_s: Seconds = 60.0
    unreconciled_hold_s: Seconds = 15.0
    feed_hold_s: Seconds = 30.0
    repeat_s: RepeatSettings = RepeatSettings()
    distance: Annotated[float, Field(ge=0, lt=1)] = 0.02
    rise_per_minute: _NotNegative = 0.10
    rise_from: Annotated[float, Field(ge=0, lt=1)] = 0.50
    adl_quantile: Annotated[int, Field(ge=0, le=4)] = 3
    transfer_share: Share = 0.01
    clock_offset_s: Seconds = 1.0
    depeg: DepegSettings = DepegSettings()
    key_expires_days: KeyExpirySettings = KeyExpirySettings()
    link: Annotated[str, endpoint("https", "http")] | None = None
    outbox: str | None = None
    outbox_limit_s: Annotated[float, Field(gt=0, le=5)] = 0.25
    keep_days: _Days = 30.0
    group_s: _NotNegative = 1.0
    deadline_s: Seconds = 300.0
    receivers: Annotated[tuple[str, ...], Field(strict=False)] | None = None

    @model_validator(mode="after")
    def _has_file_name(self) -> Self:
        if self.outbox is not None and (not self.outbox.strip() or self.outbox.endswith("/")):
            message = f'expected the name of a file, or "{MEMORY}" to keep nothing; remove the key for the usual place'
            raise problems_error([Problem("outbox", message)])
        return self


class HeartbeatSettings(SecretHolder):
    """A dead man's switch: its URL is called every `every_s` while every account was evaluated on data not older than `fresh_within_s`."""

    url_file: str | None = None
    url_env: str | None = None
    every_s: Annotated[float, Field(ge=1)] = 30.0
    fresh_within_s: Seconds = 15.0

    @model_validator(mode="after")
    def _need_url(self, info: ValidationInfo) -> Self:
        found = self._resolve("url", self.url_file, self.url_env, info)
        need_url(found, self.url_file, "the heartbeat")
        return self

    @property
    def url(self) -> Secret:
        """What is called."""
        found = self._secret("url")
        if found is None:
            raise RuntimeError("a heartbeat that was never validated has no URL")
        return found


def _aware(moment: datetime.datetime) -> datetime.datetime:
    if moment.utcoffset() is None:
        raise ValueError("has no time zone; write it with its offset, such as 2026-12-01T08:00:00Z or 2026-12-01T09:00:00+01:00")
    return moment


def _moment(told: Any) -> Any:
    # in quotes too, as a recording of the configuration writes it
    try:
        return datetime.datetime.fromisoformat(told) if isinstance(told, str) else told
    except ValueError:
        return told


_Moment = Annotated[datetime.datetime, BeforeValidator(_moment), AfterValidator(_aware)]


class MaintenanceWindow(Table):
    """A venue's announced maintenance: meanwhile `data` alerts of it are held and every text says so; level alerts go out as ever."""

    venue: VenueName
    begins: _Moment = Field(alias="from")
    until: _Moment
    reason: str

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        problems = []
        if not self.begins < self.until:
            problems.append(Problem("until", "must be after from"))
        if not self.reason.strip() or not self.reason.isprintable():
            problems.append(Problem("reason", "expected a line of text: every alert of the venue shows it meanwhile"))
        if problems:
            raise problems_error(problems)
        return self

    @property
    def from_ms(self) -> int:
        """When it begins, Unix ms."""
        return round(self.begins.timestamp() * 1000)

    @property
    def until_ms(self) -> int:
        """When it is over, Unix ms."""
        return round(self.until.timestamp() * 1000)

    def is_on(self, now_ms: int) -> bool:
        """Whether it is maintenance at that time (Unix ms)."""
        return self.from_ms <= now_ms < self.until_ms


def outbox_file(alerts: AlertSettings, context: Mapping[str, Any] | None) -> Path | None:
    """Where alerts are kept: as told, beside the configuration, or else where the user's programs keep their state.

    None: in memory, as told, or because the settings came from no file (`context` of `config.loader.load`).
    """
    context = context or {}
    if alerts.outbox == MEMORY:
        return None
    if alerts.outbox is not None:
        return beside(Path(alerts.outbox), context)
    if "stem" not in context:
        return None
    environ = context["environ"]
    # the specification of that variable asks to ignore relative paths
    told = Path(environ.get("XDG_STATE_HOME", ""))
    try:
        state = told if told.is_absolute() else Path(environ.get("HOME") or Path.home()) / ".local" / "state"
    except RuntimeError:
        message = "this user has no home directory to keep alerts in; name a file here"
        raise problems_error([Problem("alerts.outbox", message)]) from None
    return state / "marginwatch" / f"{context['stem']}.db"
