"""What is asked of Aster once, with the account's key: a check of the configuration, accounts to configure, figures side by side."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import click
import orjson

from config.accounts import AccountSettings
from config.settings import Settings
from connectors.aster.discovery import discover
from connectors.aster.errors import VenueError
from connectors.aster.keys import KeyVerdict, judge_agents, judge_hmac, judge_refusal
from connectors.aster.reference import Reference, build
from connectors.aster.rest import AccountRest, AsterRest
from connectors.aster.settings import VENUE, AsterConfig
from connectors.aster.signing import AgentSigner, Nonces, VenueClock, signer_of
from connectors.clock import SystemClock
from connectors.errors import ConnectorError
from connectors.events import FuturesSnapshot, Source
from connectors.model import FuturesAccount
from connectors.ratelimit import Budget
from monitor.inspection.printing import alias, console, print_verified, tell_budget, tell_clock
from monitor.margin.configured import aster_rules
from monitor.saved_account import futures_document
from monitor.venues import Transports, aster_account, aster_config
from monitor.verify import side_by_side_futures

MARKS = "!markPrice@arr@1s"
ANSWER_S = 10.0


@dataclass(slots=True)
class _Asker:
    config: AsterConfig
    rest: AsterRest
    budget: Budget
    venue_clock: VenueClock
    nonces: Nonces

    @classmethod
    def of(cls, settings: Settings, transports: Transports) -> _Asker:
        config, clock = aster_config(settings), SystemClock()
        budget, venue_clock = Budget(VENUE, config.budget_limits(), config.ip_budget_share, clock), VenueClock(clock)
        rest = AsterRest(transports.http, config, budget, venue_clock, clock)
        return cls(config, rest, budget, venue_clock, Nonces(venue_clock))

    def account(self, account: AccountSettings) -> tuple[AccountRest, str | None]:
        """The requests of an account, and the address of its agent (None: an HMAC key)."""
        signer = signer_of(aster_account(account), self.config, self.nonces, self.venue_clock)
        return AccountRest(self.rest, signer, account.id), signer.signer if isinstance(signer, AgentSigner) else None

    async def reference(self, account: AccountRest) -> Reference:
        info, brackets = await self.rest.exchange_info(), await account.brackets()
        return build(info, brackets, await self.rest.funding_info(), self.config)


async def check(settings: Settings, transports: Transports) -> int:
    """Reachability, clock, keys, modes, positions and budget; 0 when everything answered and fits, 1 otherwise."""
    asker = _Asker.of(settings, transports)
    await asker.rest.server_time()
    fits = tell_clock(VENUE, asker.venue_clock.round_trip_ms, asker.venue_clock.offset_ms / 1000)
    fits &= await _check_marks(asker.config, transports)
    for account in settings.accounts:
        if account.venue == VENUE:
            fits &= await _check_account(account, asker)
    tell_budget(VENUE, asker.budget)
    return 0 if fits else 1


async def _check_marks(config: AsterConfig, transports: Transports) -> bool:
    try:
        connection = await transports.websocket.connect(f"{config.ws_url}/ws/{MARKS}")
        try:
            rows = orjson.loads(await asyncio.wait_for(connection.recv(), ANSWER_S))
        finally:
            await connection.close()
    except (ConnectorError, TimeoutError, orjson.JSONDecodeError) as error:
        console().print(f"aster: marks failed: {error if isinstance(error, ConnectorError) else f'no frame within {ANSWER_S:g} s'}")
        return False
    console().print(f"aster: marks of {len(rows)} symbols arrive")
    return True


async def _check_account(account: AccountSettings, asker: _Asker) -> bool:
    printed = console()
    try:
        rest, signer = asker.account(account)
        verdict = await _judged(account, rest, signer, asker.venue_clock.now_ms())
        if verdict.reason is not None:
            printed.print(f"{account.id}: {verdict.detail}")
            return False
        multi_assets, hedge_mode = await rest.modes()
        read = await rest.account(await asker.reference(rest))
    except ConnectorError as error:
        printed.print(f"{account.id}: {error}")
        return False
    mode = "multi_assets" if multi_assets else "single_asset"
    sides = "hedge mode" if hedge_mode else "one-way"
    printed.print(f"{account.id}: mode {mode}, {sides}, {len(read.positions)} positions, {await _pushes(rest)}")
    for warning in verdict.warnings:
        printed.print(f"  {warning}")
    if account.mode not in (None, mode):
        printed.print(f'  the account\'s mode is {mode}, but "{account.mode}" is configured')
    return account.mode in (None, mode)


async def _judged(account: AccountSettings, rest: AccountRest, signer: str | None, now_ms: int) -> KeyVerdict:
    unsafe = account.allow_unsafe_key
    if signer is None:
        return judge_hmac(account.id, allow_unsafe=unsafe)
    try:
        agents = await rest.agents()
    except VenueError as refusal:
        return judge_refusal(account.id, refusal, allow_unsafe=unsafe)
    return judge_agents(account.id, signer, agents, now_ms, allow_unsafe=unsafe)


async def _pushes(rest: AccountRest) -> str:
    try:
        await rest.create_listen_key()
    except VenueError:
        return "no push stream for this key (it will be polled)"
    return "push stream allowed"


async def discover_accounts(settings: Settings, transports: Transports) -> int:
    """Print configuration for the account of an agent key, and name its sub-accounts."""
    account = settings.accounts[0]
    found = await discover(_Asker.of(settings, transports).account(account)[0])
    taken: set[str] = set()
    for row in found.accounts:
        name = alias(f"aster-{row.name}", row.kind, taken)
        if row.kind != "main":
            click.echo(f"# sub-account {name}: needs an agent of its own")
            continue
        key = "agent_key_file" if account.agent_key_file is not None else "agent_key_env"
        click.echo(f'[[accounts]]\nid = "{name}"\nvenue = "aster"\naddress = "{account.address}"')
        click.echo(f'{key} = "{getattr(account, key)}"\n')
    for note in found.notes:
        click.echo(f"# {note}")
    return 0 if found.accounts else 1


async def verify(settings: Settings, transports: Transports, save: Path | None) -> int:
    """Read one account and print our figure beside every figure of the venue."""
    account, asker = settings.accounts[0], _Asker.of(settings, transports)
    rest, _ = asker.account(account)
    reference = await asker.reference(rest)
    multi_assets, hedge_mode = await rest.modes()
    marks = await asker.rest.premium_index()
    read = await rest.account(reference)
    state = FuturesAccount(multi_assets, hedge_mode, read.began_ms, read.assets, read.positions, read)
    now_ns = SystemClock().monotonic_ns()
    instruments, snapshot = reference.event(now_ns), FuturesSnapshot(VENUE, "account", now_ns, Source.POLL, state)
    seen = side_by_side_futures(instruments, snapshot, rules=aster_rules(settings), marks=marks)
    document = None if save is None else futures_document(instruments, snapshot, seen, read.began_ms, marks)
    return print_verified(seen, document, save)
