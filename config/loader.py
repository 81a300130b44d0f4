"""From a TOML file to `Settings`, or to a `ConfigError` that lists everything wrong with it."""

from __future__ import annotations

import datetime
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from config.errors import ConfigError, masked, shorten_address
from config.portfolios import PortfolioSettings
from config.settings import Settings
from config.tables import problems_of, read_toml
from config.venues import VenueSettings

EXAMPLE = Path(__file__).with_name("example.toml")
DEMO = Path(__file__).with_name("demo.toml")

_log = logging.getLogger("marginwatch.config")


def load(
    path: Path, *, environ: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None, quiet: bool = False
) -> Settings:
    """Read, check and complete a configuration file.

    `environ` stands in for the process environment. `overrides` is laid over the file table by table (lists are replaced):
    the demo gives its accounts and endpoints so. Secrets are read here; relative files are looked for beside `path`. Doubts
    (`Settings.warnings`) are logged unless `quiet`. Raises ConfigError with every problem found.
    """
    source = str(path)
    raw = _merged(read_toml(path, source, missing="write one after config/example.toml"), overrides or {})
    context = {"base": path.parent, "stem": path.stem, "environ": os.environ if environ is None else environ}
    try:
        settings = Settings.model_validate(raw, context=context)
    except ValidationError as error:
        raise ConfigError(source, problems_of(error, Settings)) from None
    for warning in () if quiet else settings.warnings:
        _log.warning("%s: %s", source, warning)
    return settings


def describe(settings: Settings) -> str:
    """What was understood, a line a thing, for people and logs: aliases, addresses shortened, secrets by origin only."""
    lines = [f"listen {settings.monitor.listen} ({'token' if settings.monitor.token else 'this machine only, no token'})"]
    for name in dict.fromkeys(account.venue for account in settings.accounts):
        lines.append(_venue_line(name, settings.venues))
    for account in settings.accounts:
        levels, mode = account.levels, account.mode or "any"
        tags = f", tags {' '.join(account.tags)}" if account.tags else ""
        address = f" {shorten_address(account.address)}" if account.address else ""
        key = f", {account.credential_kind} key from {masked(account.secret_origin)}" if account.secret_origin else ""
        lines.append(
            f"account {account.id}: {account.venue}{address}, mode {mode}, "
            f"levels {levels.warning:g} / {levels.critical:g} / {levels.liquidation:g}{tags}{key}"
        )
    lines += [_portfolio_line(portfolio) for portfolio in settings.portfolios]
    lines += [_receiver_line(alias, settings) for alias in settings.receivers]
    lines.append(f"alerts are kept in {settings.outbox_path or 'memory only'}")
    if settings.heartbeat is not None:
        beat = settings.heartbeat
        origin = masked(beat.secret_origin or "")
        lines.append(f"heartbeat: every {beat.every_s:g} s while all data are fresher than {beat.fresh_within_s:g} s, URL from {origin}")
    for window in settings.maintenance:
        lines.append(f"maintenance of {window.venue}: {_utc(window.begins)} to {_utc(window.until)}: {masked(window.reason)}")
    return "\n".join([*lines, *(f"warning: {warning}" for warning in settings.warnings)])


def _receiver_line(alias: str, settings: Settings) -> str:
    receiver = settings.receivers[alias]
    parts = [receiver.type, f"from {receiver.min_level}"]
    if receiver.scopes:
        parts.append(f"scopes {' '.join(receiver.scopes)}")
    if receiver.tags:
        parts.append(f"tags {' '.join(receiver.tags)}")
    if receiver.secret_origin:
        parts.append(f"secrets from {masked(receiver.secret_origin)}")
    if alias not in settings.alert_receivers:
        parts.append("not used by [alerts]")
    elif alias in settings.escalations:
        parts.append(f"after {settings.alerts.deadline_s:g} s in vain {settings.escalations[alias]}")
    return f"receiver {alias}: {', '.join(parts)}"


def _utc(moment: datetime.datetime) -> str:
    return f"{moment.astimezone(datetime.UTC):%Y-%m-%d %H:%M} UTC"


def _venue_line(name: str, venues: VenueSettings) -> str:
    if name == "deribit":
        return f"deribit {venues.deribit.network}: {venues.deribit.ws_endpoint}"
    venue = venues.hyperliquid if name == "hyperliquid" else venues.aster
    urls = f"{venue.rest_endpoint} {venue.ws_endpoint}"
    return f"{name} {venue.network}: {urls}, {venue.ip_budget_share:.0%} of the per-IP limits"


def _portfolio_line(portfolio: PortfolioSettings) -> str:
    parameters, eligibility = portfolio.parameter_set, portfolio.eligibility
    parts = [f"accounts {' '.join(portfolio.accounts)}", f"parameters {masked(parameters.name)} of {parameters.dated.isoformat()}"]
    parts.append(f"levels {portfolio.levels.warning:g} / {portfolio.levels.critical:g}")
    if portfolio.overrides:
        parts.append(f"overridden for {' '.join(masked(coin) for coin in portfolio.overrides)}")
    if portfolio.net_delta_limit_usd:
        parts.append(
            "net delta up to " + ", ".join(f"{masked(coin)} {limit:,.0f} USD" for coin, limit in portfolio.net_delta_limit_usd.items())
        )
    if eligibility.minimum_equity:
        parts.append(f"equity from {eligibility.minimum_equity:,.0f} USD")
    if eligibility.coins is not None:
        parts.append(f"coins {' '.join(map(masked, eligibility.coins)) or 'none'}")
    if not eligibility.enabled:
        parts.append("switched off")
    elif not eligibility.acknowledged:
        parts.append("not acknowledged (portfolio.eligibility.acknowledged)")
    return f"portfolio {portfolio.id}: {', '.join(parts)}"


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return merged
