"""What is asked of Hyperliquid once: a check of the configuration, accounts to configure, figures side by side. No key is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from config.accounts import AccountSettings
from config.settings import Settings
from connectors.clock import SystemClock
from connectors.errors import ConnectorError
from connectors.events import AccountSnapshot, BorrowReserves, SpotPrices
from connectors.hyperliquid.accounts import holds_nothing
from connectors.hyperliquid.discovery import DiscoveredAccounts, discover
from connectors.hyperliquid.reference import dex_names
from connectors.hyperliquid.rest import HyperliquidRest
from monitor.inspection.printing import alias, console, print_verified, tell_budget, tell_clock
from monitor.margin.hyperliquid import MODE_WORDS, VENUE
from monitor.saved_account import snapshot_document
from monitor.venues import Transports, hyperliquid_budget, hyperliquid_config, hyperliquid_rest
from monitor.verify import side_by_side

PING = '{"method":"ping"}'
ANSWER_S = 10.0

_NOT_AN_ACCOUNT = {
    "agent": "it is an API wallet, which holds nothing: give the account it trades for",
    "missing": "the venue does not know it: check address and network",
}


async def check(settings: Settings, transports: Transports) -> int:
    """Reachability, clock, modes, positions and budget; 0 when everything answered and fits, 1 otherwise."""
    clock = SystemClock()
    budget = hyperliquid_budget(settings, clock)
    rest = hyperliquid_rest(settings, transports, budget, clock)
    before = clock.time_ms()
    status = await rest.exchange_status()
    after = clock.time_ms()
    fits = tell_clock(VENUE, after - before, (status.time_ms - (before + after) / 2) / 1000, status.statuses)
    fits &= await _check_websocket(settings, transports, console())
    dexs = dex_names(await rest.perp_dexs())
    for account in settings.accounts:
        if account.venue == VENUE:
            fits &= await _check_account(account, dexs, rest, console())
    tell_budget(VENUE, budget)
    return 0 if fits else 1


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


def _rest(settings: Settings, transports: Transports) -> HyperliquidRest:
    clock = SystemClock()
    return hyperliquid_rest(settings, transports, hyperliquid_budget(settings, clock), clock)


async def _not_an_account(address: str, rest: HyperliquidRest) -> str:
    role = await rest.user_role(address)
    return _NOT_AN_ACCOUNT.get(role.role, "")


async def discover_accounts(settings: Settings, transports: Transports) -> int:
    """Print configuration for a master account, its sub-accounts and the vaults it leads."""
    found: DiscoveredAccounts = await discover(_rest(settings, transports), settings.accounts[0].address)
    taken: set[str] = set()
    for account in found.accounts:
        name = alias(account.name, account.kind, taken)
        click.echo(f"# {account.kind.replace('_', ' ')}, mode {account.mode or 'not said'}")
        click.echo(f'[[accounts]]\nid = "{name}"\nvenue = "hyperliquid"\naddress = "{account.address}"\n')
    for note in found.notes:
        click.echo(f"# {note}")
    return 0 if found.accounts else 1


async def verify(settings: Settings, transports: Transports, save: Path | None) -> int:
    """Read one account and print our figure beside every figure of the venue."""
    address, clock, rest = settings.accounts[0].address, SystemClock(), _rest(settings, transports)
    reference = await rest.load_reference()
    reserves = await rest.all_borrow_lend_reserve_states(reference)
    sections = tuple([await rest.clearinghouse_state(address, dex) for dex in reference.dexs])
    wallet = await rest.spot_clearinghouse_state(address)
    if holds_nothing(sections, wallet) and (remedy := await _not_an_account(address, rest)):
        console().print(f"nothing to verify at this address: {remedy}")
        return 3
    orders = tuple([order for section in sections if section.positions for order in await rest.frontend_open_orders(address, section.name)])
    now_ns = clock.monotonic_ns()
    instruments = reference.event(now_ns)
    snapshot = AccountSnapshot(VENUE, "account", now_ns, sections, wallet)
    prices = SpotPrices(VENUE, "rest", now_ns, {reserve.asset: reserve.oracle_price for reserve in reserves})
    lending = BorrowReserves(VENUE, now_ns, reserves)
    seen = side_by_side(instruments, snapshot, reserves=lending, spot=prices, orders=orders)
    document = None
    if save is not None:
        marks = [await rest.asset_contexts(section.name) for section in sections if section.positions]
        document = snapshot_document(instruments, snapshot, seen, max(section.time_ms for section in sections), lending, marks)
    return print_verified(seen, document, save)
