"""Commands that read a venue once: `check --live`, `discover` and `verify`. They need no key and change nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import click
import orjson
from pydantic import ValidationError
from rich import box
from rich.console import Console
from rich.table import Table

from config.accounts import AccountSettings
from config.settings import Settings
from config.venues import HyperliquidSettings, VenueSettings
from connectors.clock import SystemClock
from connectors.errors import ConnectorError
from connectors.events import AccountSnapshot, BorrowReserves, SpotPrices
from connectors.hyperliquid.accounts import holds_nothing
from connectors.hyperliquid.discovery import DiscoveredAccounts, discover
from connectors.hyperliquid.reference import dex_names
from connectors.hyperliquid.rest import HyperliquidRest
from connectors.ratelimit import Budget
from monitor.margin.hyperliquid import MODE_WORDS, VENUE
from monitor.saved_account import missing_for_portfolio, snapshot_document
from monitor.venues import Transports, hyperliquid_budget, hyperliquid_config, hyperliquid_rest
from monitor.verify import SideBySide, side_by_side

PING = '{"method":"ping"}'
ANSWER_S = 10.0
MINUTE_MS = 60_000

_NOT_AN_ACCOUNT = {
    "agent": "it is an API wallet, which holds nothing: give the account it trades for",
    "missing": "the venue does not know it: check address and network",
}


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=170, highlight=False)


def check_live(settings: Settings) -> int:
    """Ask the venue what only it knows; 0 when everything answered and fits, 1 otherwise."""
    return asyncio.run(_with_rest(settings, lambda rest, transports, budget: _check(settings, rest, transports, budget)))


def discover_accounts(address: str, network: str, rest_url: str | None) -> int:
    """Print configuration for the accounts of a master address."""
    settings = _one_account(address, network, rest_url)
    if settings is None:
        return 2
    return asyncio.run(_with_rest(settings, lambda rest, *_: _discover(settings, rest)))


def verify_account(address: str, network: str, rest_url: str | None, save: Path | None) -> int:
    """Our figure beside the venue's; 0 when every figure agrees to 0.1 %, 3 when one does not or a pool has no value."""
    settings = _one_account(address, network, rest_url)
    if settings is None:
        return 2
    return asyncio.run(_with_rest(settings, lambda rest, *_: _verify(settings, rest, save)))


def _one_account(address: str, network: str, rest_url: str | None) -> Settings | None:
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", address):
        _console().print("expected an address of 0x and 40 hex digits: copy it again")
        return None
    try:
        venue = HyperliquidSettings.model_validate({"network": network, "rest_url": rest_url, "ip_budget_share": 1.0})
    except ValidationError as error:
        _console().print(f"--rest-url: {error.errors(include_url=False)[0]['msg'].removeprefix('Value error, ')}")
        return None
    account = AccountSettings(id="account", venue="hyperliquid", address=address.lower())
    return Settings(venues=VenueSettings(hyperliquid=venue), accounts=(account,))


async def _with_rest(settings: Settings, job: Callable[[HyperliquidRest, Transports, Budget], Awaitable[int]]) -> int:
    transports, clock = Transports.real(), SystemClock()
    budget = hyperliquid_budget(settings, clock)
    try:
        return await job(hyperliquid_rest(settings, transports, budget, clock), transports, budget)
    except ConnectorError as error:
        _console().print(f"failed: {error}")
        return 1
    finally:
        await transports.close()


async def _check(settings: Settings, rest: HyperliquidRest, transports: Transports, budget: Budget) -> int:
    console, clock = _console(), SystemClock()
    before = clock.time_ms()
    status = await rest.exchange_status()
    after = clock.time_ms()
    offset = status.time_ms - (before + after) / 2
    console.print(
        f"REST answers in {after - before} ms; the venue's clock is {offset / 1000:+.2f} s from ours"
        + (f"; it says {', '.join(status.statuses)}" if status.statuses else "")
    )
    problems = int(abs(offset) > MINUTE_MS / 12)
    if problems:
        console.print("  the clocks differ by more than 5 s: synchronise this machine (NTP)")
    problems += not await _check_websocket(settings, transports, console)
    dexs = dex_names(await rest.perp_dexs())
    for account in settings.accounts:
        problems += not await _check_account(account, dexs, rest, console)
    used = budget.statistics()
    console.print(f"request budget: {used.weight_used} of our {used.weight_limit} weight a minute used by this check")
    return 1 if problems else 0


async def _check_websocket(settings: Settings, transports: Transports, console: Console) -> bool:
    try:
        connection = await transports.websocket.connect(hyperliquid_config(settings).ws_url)
        try:
            await connection.send(PING)
            await asyncio.wait_for(connection.recv(), ANSWER_S)
        finally:
            await connection.close()
    except (ConnectorError, TimeoutError) as error:
        console.print(f"WebSocket failed: {error if isinstance(error, ConnectorError) else 'no answer to a ping'}")
        return False
    console.print("WebSocket answers")
    return True


async def _check_account(account: AccountSettings, dexs: Sequence[str], rest: HyperliquidRest, console: Console) -> bool:
    sections = [await rest.clearinghouse_state(account.address, dex) for dex in dexs]
    wallet = await rest.spot_clearinghouse_state(account.address)
    word = await rest.user_abstraction(account.address)
    if holds_nothing(sections, wallet) and (remedy := await _not_an_account(account.address, rest)):
        console.print(f"{account.id}: {remedy}")
        return False
    pooled = " (pooled wallet)" if wallet.available_after_maintenance else ""
    counts = [len(section.positions) for section in sections]
    console.print(
        f"{account.id}: mode {word or 'not said'}{pooled}, {sum(counts)} positions on {sum(map(bool, counts))} of {len(dexs)} dexs"
    )
    if word is not None and (mode := MODE_WORDS.get(word)) != (account.mode or mode or word):
        expected = f'"{account.mode}" is configured' if account.mode else "this version cannot margin it: update marginwatch"
        console.print(f"  the account's mode is {mode or word}, but {expected}")
        return False
    return True


async def _not_an_account(address: str, rest: HyperliquidRest) -> str:
    role = await rest.user_role(address)
    return _NOT_AN_ACCOUNT.get(role.role, "")


async def _discover(settings: Settings, rest: HyperliquidRest) -> int:
    found: DiscoveredAccounts = await discover(rest, settings.accounts[0].address)
    taken: set[str] = set()
    for account in found.accounts:
        name = _alias(account.name, account.kind, taken)
        click.echo(f"# {account.kind.replace('_', ' ')}, mode {account.mode or 'not said'}")
        click.echo(f'[[accounts]]\nid = "{name}"\nvenue = "hyperliquid"\naddress = "{account.address}"\n')
    for note in found.notes:
        click.echo(f"# {note}")
    return 0 if found.accounts else 1


def _alias(name: str, kind: str, taken: set[str]) -> str:
    """A name the configuration accepts, and that no other account printed has."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-_.")[:32]
    if not plain or plain.lower().startswith("0x"):
        plain = kind
    alias, number = plain, 2
    while alias in taken:
        alias = f"{plain[:28]}-{number}"
        number += 1
    taken.add(alias)
    return alias


async def _verify(settings: Settings, rest: HyperliquidRest, save: Path | None) -> int:
    address, clock = settings.accounts[0].address, SystemClock()
    reference = await rest.load_reference()
    reserves = await rest.all_borrow_lend_reserve_states(reference)
    sections = tuple([await rest.clearinghouse_state(address, dex) for dex in reference.dexs])
    wallet = await rest.spot_clearinghouse_state(address)
    if holds_nothing(sections, wallet) and (remedy := await _not_an_account(address, rest)):
        _console().print(f"nothing to verify at this address: {remedy}")
        return 3
    orders = tuple([order for section in sections if section.positions for order in await rest.frontend_open_orders(address, section.name)])
    now_ns = clock.monotonic_ns()
    instruments = reference.event(now_ns)
    snapshot = AccountSnapshot(VENUE, "account", now_ns, sections, wallet)
    prices = SpotPrices(VENUE, "rest", now_ns, {reserve.asset: reserve.oracle_price for reserve in reserves})
    lending = BorrowReserves(VENUE, now_ns, reserves)
    seen = side_by_side(instruments, snapshot, reserves=lending, spot=prices, orders=orders)
    missing: tuple[str, ...] = ()
    if save is not None:
        document = snapshot_document(instruments, snapshot, seen, max(section.time_ms for section in sections), lending)
        missing = missing_for_portfolio(document)
        try:
            save.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        except OSError as error:
            _console().print(f"cannot write {save}: {error.strerror}; choose another file with --save")
            return 2
    return _print_verified(seen, save, missing)


def _print_verified(seen: SideBySide, save: Path | None, missing: tuple[str, ...]) -> int:
    console = _console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("pool", "figure", "ours", "venue's", "relative difference", "anchored on"):
        table.add_column(heading, justify="right" if heading in ("ours", "venue's", "relative difference") else "left")
    differ = 0
    for row in seen.rows:
        relative = abs(row.difference) / max(1.0, abs(row.venue))
        differ += not relative <= (0.02 if row.figure == "withdrawable" else 0.001)
        table.add_row(row.pool, row.figure, f"{row.ours:.10g}", f"{row.venue:.10g}", f"{relative:.1e}", row.anchored_on)
    console.print(table)
    for pool in seen.pools:
        ratio = "no value: " + pool.failures[0].detail if pool.margin_ratio is None else f"ratio {100 * pool.margin_ratio:.2f} %"
        console.print(f"{pool.pool} ({pool.mode}): {ratio}")
    console.print(f"{len(seen.rows)} figures, {differ} differ by more than 0.1 %" + (f"; saved to {save}" if save else ""))
    if missing:
        console.print(f"for the portfolio method add to the saved file what the venue does not tell, in USD: {', '.join(missing)}")
    return 3 if differ or any(pool.margin_ratio is None for pool in seen.pools) else 0
