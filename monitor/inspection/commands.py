"""Commands that read venues once: `check --live`, `discover` and `verify`. They change nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from config import ConfigError, Problem, load
from config.settings import Settings
from config.tables import problems_of
from connectors.errors import ConnectorError
from monitor.inspection import aster, deribit, hyperliquid
from monitor.inspection.printing import console
from monitor.venues import Transports, needs_deribit

VENUES = {"hyperliquid": hyperliquid, "aster": aster, "deribit": deribit}
_KEYS = ("agent_key_file", "agent_key_env", "client_id_file", "client_id_env", "client_secret_file", "client_secret_env")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a command was asked to read: an address on a venue, or with `config` an account of that file by its id.

    An Aster address needs the private key of an agent, in a file or an environment variable. A Deribit account has no address: it is the
    one of a client, whose id and secret are kept likewise, and `account` is any name for it.
    """

    account: str
    venue: str = "hyperliquid"
    network: str = "mainnet"
    rest_url: str | None = None
    agent_key_file: Path | None = None
    agent_key_env: str | None = None
    client_id_file: Path | None = None
    client_id_env: str | None = None
    client_secret_file: Path | None = None
    client_secret_env: str | None = None
    ws_url: str | None = None
    config: Path | None = None


def check_live(settings: Settings) -> int:
    """Ask the venues what only they know; 0 when everything answered and fits, 1 otherwise."""
    venues: dict[str, None] = dict.fromkeys(account.venue for account in settings.accounts)
    if needs_deribit(settings):
        # the market's option data, though no account is there
        venues["deribit"] = None
    return max(asyncio.run(_with_transports(partial(VENUES[venue].check, settings))) for venue in venues)


def discover_accounts(asked: Asked) -> int:
    """Print configuration for the accounts that belong to an address; 0 when some were found, 1 when none, 2 for a bad request."""
    return _read_once(asked, lambda settings, transports: VENUES[settings.accounts[0].venue].discover_accounts(settings, transports))


def verify_account(asked: Asked, save: Path | None) -> int:
    """Our figure beside the venue's; 0 when every figure agrees to 0.1 %, 3 when one does not or a pool has no value."""
    return _read_once(asked, lambda settings, transports: VENUES[settings.accounts[0].venue].verify(settings, transports, save))


def _read_once(asked: Asked, job: Callable[[Settings, Transports], Awaitable[int]]) -> int:
    try:
        settings = settings_of(asked)
    except ConfigError as error:
        console().print(str(error))
        return 2
    return asyncio.run(_with_transports(lambda transports: job(settings, transports)))


def settings_of(asked: Asked) -> Settings:
    """The settings of that one account. Raises ConfigError."""
    if asked.config is not None:
        return _of_file(asked.account, asked.config)
    if asked.venue != "deribit" and not re.fullmatch(r"0x[0-9a-fA-F]{40}", asked.account):
        expected = "expected an address of 0x and 40 hex digits: copy it again, or name an account of a file with --config"
        raise ConfigError("command line", [Problem("", expected)])
    named = {"id": asked.account} if asked.venue == "deribit" else {"id": "account", "address": asked.account}
    account: dict[str, Any] = {"venue": asked.venue, **named, **_keys(asked)}
    venue: dict[str, Any] = {"network": asked.network, "rest_url": asked.rest_url, "ws_url": asked.ws_url}
    venue = {key: value for key, value in venue.items() if value is not None}
    if asked.venue != "deribit":
        venue["ip_budget_share"] = 1.0
    try:
        return Settings.model_validate({"accounts": [account], "venues": {asked.venue: venue}})
    except ValidationError as error:
        raise ConfigError("command line", problems_of(error, Settings)) from None


def _keys(asked: Asked) -> dict[str, str]:
    given = {key: getattr(asked, key) for key in _KEYS}
    return {key: str(value.absolute()) if isinstance(value, Path) else value for key, value in given.items() if value is not None}


def _of_file(account: str, path: Path) -> Settings:
    settings = load(path, quiet=True)
    named = [one for one in settings.accounts if one.id == account]
    if not named:
        known = ", ".join(one.id for one in settings.accounts)
        raise ConfigError(str(path), [Problem("accounts", f"none has this id; known: {known}")])
    return settings.model_copy(update={"accounts": tuple(named)})


async def _with_transports(job: Callable[[Transports], Awaitable[int]]) -> int:
    transports = Transports.real()
    try:
        return await job(transports)
    except ConnectorError as error:
        console().print(f"failed: {error}")
        return 1
    finally:
        await transports.close()
