"""What is asked of Deribit once, with an account's client: a check of the configuration, figures side by side.

Nothing here lists accounts: the venue tells a key of the account it belongs to and of no other.
"""

from __future__ import annotations

from pathlib import Path

import click
from rich import box
from rich.table import Table

from config.accounts import AccountSettings
from config.settings import Settings
from connectors.clock import Clock, SystemClock
from connectors.deribit.chains import CHAIN_PREFIX
from connectors.deribit.protocol import INDEX_PREFIX
from connectors.deribit.settings import VENUE
from connectors.model import CurrencySummary, ListedPosition, OptionType, SummaryAccount
from kernels.black76 import price_one
from monitor.freshness import GOOD
from monitor.inspection.deribit_reading import PATIENCE_S, Reading, ask_time
from monitor.inspection.printing import console, print_verified, tell_clock, write_document
from monitor.live.export import snapshot_document
from monitor.margin.deribit_checks import COARSE
from monitor.margin.deribit_rule import is_idle
from monitor.margin.pools import PoolSpec
from monitor.margin.result import PoolKind, PoolResult
from monitor.reconcile import TOLERANCE
from monitor.resolvers.forwards import YEAR_MS
from monitor.venues import Transports, deribit_config
from monitor.verify import Row, SideBySide

MOVED = "venue's last figure, indices and volatilities since"
TOLD = "as told; short options moved since"
REBUILT = "wallets, positions, profit of the session"
_CREDENTIALS = ("client_id_file", "client_id_env", "client_secret_file", "client_secret_env")
_LEARNT = {"volume_24h_usd": "24 h volumes", "daily_volatility": "daily volatilities"}


# -- check --live -------------------------------------------------------------------------------------------------------------------------


async def check(settings: Settings, transports: Transports, clock: Clock | None = None) -> int:
    """Reachability, clock, channels, keys, margin models, wallets and pools; 0 when everything was told and fits, 1 otherwise."""
    clock = clock or SystemClock()
    round_trip_ms, offset_s = await ask_time(deribit_config(settings), transports, clock)
    reading = Reading(settings, transports, clock)
    missing = await reading.run(lambda: [*reading.lacking_accounts(), *reading.lacking_channels()])
    status = reading.book.venue_status.get(VENUE)
    fits = tell_clock(VENUE, round_trip_ms, offset_s, () if status is None else status.statuses, by="WebSocket")
    fits &= _tell_channels(reading)
    for account in settings.accounts:
        if account.venue == VENUE:
            fits &= _tell_account(account, reading)
    _tell_missing(missing)
    return 0 if fits and not missing else 1


def _tell_channels(reading: Reading) -> bool:
    printed, refused = console(), reading.refused()
    for prefix, words in ((INDEX_PREFIX, "indices"), (CHAIN_PREFIX, "option chains")):
        heard = [state.feed.removeprefix(prefix) for state in reading.market() if state.feed.startswith(prefix) and state.status in GOOD]
        printed.print(f"{VENUE}: {words} granted that arrive: {', '.join(sorted(heard)) or 'none'}")
    for channel, why in sorted(refused.items()):
        printed.print(f"  {channel} refused: {why}")
    return not refused


def _tell_account(account: AccountSettings, reading: Reading) -> bool:
    printed, state, failure = console(), reading.state(account.id), reading.failure(account.id)
    key = reading.book.keys.get((VENUE, account.id))
    if key is not None:
        printed.print(f"{account.id}: the key's rights: {', '.join(key.rights) or 'not told'}")
        if key.warning:
            printed.print(f"  {key.warning}")
    if failure is not None or state is None:
        printed.print(f"{account.id}: {failure.detail if failure is not None else 'no account state was told'}")
        return False
    mode = reading.method(account.id).mode
    wallets = ", ".join(f"{row.currency} {row.balance:.8g}" for row in state.summaries if not is_idle(row))
    printed.print(f"{account.id}: margin model {mode}, {len(state.positions)} positions, wallets {wallets or 'empty'}")
    fits = account.mode in (None, mode)
    if not fits:
        printed.print(f'  the account\'s margin model is {mode}, but "{account.mode}" is configured')
    for spec, result in reading.pools(account.id):
        ratio, why = result.margin_ratio, "".join(f": {failure.detail}" for failure in result.failures[:1])
        printed.print(f"  pool {spec.name}: " + (f"no value{why}" if ratio is None else f"ratio {100 * ratio:.2f} %"))
        fits &= ratio is not None and _is_certain(spec)
    return fits


def _is_certain(spec: PoolSpec) -> bool:
    if spec.doubt:
        console().print(f"  pool {spec.name}: in doubt: {spec.doubt}")
    return not spec.doubt


def _tell_missing(missing: list[str]) -> None:
    for one in missing:
        console().print(f"  not told within {PATIENCE_S:g} s: {one}")


# -- discover -----------------------------------------------------------------------------------------------------------------------------


async def discover_accounts(settings: Settings, transports: Transports) -> int:
    """Print configuration for the account of a client; nothing is asked, as the venue lists no accounts."""
    account = settings.accounts[0]
    click.echo("# Deribit knows an account by its API key and lists no others to it: make a key in each sub-account, and a row like this")
    click.echo(f'[[accounts]]\nid = "{account.id}"\nvenue = "{VENUE}"')
    for key in _CREDENTIALS:
        if (value := getattr(account, key)) is not None:
            click.echo(f'{key} = "{value}"')
    return 0


# -- verify -------------------------------------------------------------------------------------------------------------------------------


async def verify(settings: Settings, transports: Transports, save: Path | None, clock: Clock | None = None) -> int:
    """Read one account and print our figure beside every figure of the venue that we have too."""
    clock, account = clock or SystemClock(), settings.accounts[0].id
    await ask_time(deribit_config(settings), transports, clock)
    reading = Reading(settings, transports, clock, live=save is not None)

    def lacking() -> list[str]:
        return [*reading.lacking_accounts(), *reading.lacking_quotes(), *reading.lacking_portfolio()] or reading.lacking_reread()

    missing, state, failure = await reading.run(lacking), reading.state(account), reading.failure(account)
    if state is None or failure is not None:
        console().print(f"nothing to verify: {'no account state was told' if failure is None else failure.detail}")
        _tell_missing(missing)
        return 1
    pools = reading.pools(account)
    rows = [row for spec, result in pools for row in _rows(spec, result, state)]
    code = _save(reading, save)
    if code == 2:
        return code
    seen = SideBySide(tuple(result for _, result in pools), tuple(rows), tuple(spec for spec, _ in pools), {})
    code = max(code, print_verified(seen, None, save if code == 0 else None))
    _print_marks(reading, account, state)
    for spec, _ in pools:
        if not spec.comparisons:
            console().print(f"{spec.name}: the equity was not rebuilt: the venue tells too little of a wallet, or of its price")
        code = max(code, 0 if _is_certain(spec) else 3)
    _tell_missing(missing)
    return code


def _rows(spec: PoolSpec, result: PoolResult, state: SummaryAccount) -> list[Row]:
    told = _told(spec, state)
    if told is None:
        return []
    count, least = max(1, result.positions), COARSE if spec.kind is PoolKind.DERIBIT_SEGREGATED else 1.0
    figures = [("margin_balance", result.equity, told[0], MOVED), ("maintenance_margin", result.maintenance_margin, told[1], TOLD)]
    rows = [Row(spec.name, name, ours, venue, anchor, count, least=least) for name, ours, venue, anchor in figures if ours is not None]
    tolerance = spec.tolerance or TOLERANCE
    compared = [(one.figure, one.computed, one.reported) for one in spec.comparisons]
    return rows + [Row(spec.name, name, ours, venue, REBUILT, count, tolerance=tolerance, least=least) for name, ours, venue in compared]


def _told(spec: PoolSpec, state: SummaryAccount) -> tuple[float, float] | None:
    # the venue's own margin balance and maintenance margin of a pool
    if spec.kind is PoolKind.DERIBIT_SEGREGATED:
        return next(((row.margin_balance, row.maintenance_margin) for row in state.summaries if row.currency == spec.name), None)
    return next((told for row in state.summaries if row.is_cross and (told := _totals(row)) is not None), None)


def _totals(row: CurrencySummary) -> tuple[float, float] | None:
    balance, maintenance = row.total_margin_balance_usd, row.total_maintenance_margin_usd
    return None if balance is None or maintenance is None else (balance, maintenance)


def _save(reading: Reading, save: Path | None) -> int:
    # 0 done or not asked for, 2 the file cannot be written, 3 there is nothing to save
    if save is None or reading.live is None:
        return 0
    portfolio = reading.live.settings.portfolios[0]
    document = snapshot_document(reading.live, reading.engine, portfolio.id)
    if document is None:
        why = "; ".join(failure.detail for failure in reading.live.failures_of(portfolio.accounts))
        console().print(f"nothing is saved: {why}")
        return 3
    if not write_document(document, save):
        return 2
    if lacks := [words for key, words in _LEARNT.items() if not document[key]]:
        console().print(
            f"saved without {' and '.join(lacks)}, which take a while to learn: `report --live --save` of a running monitor has them"
        )
    return 0


def _print_marks(reading: Reading, account: str, state: SummaryAccount) -> None:
    options = reading.options(account)
    if not options:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("option", "quantity", "volatility", "forward", "our mark", "venue's mark", "difference", "in"):
        table.add_column(heading, justify="left" if heading in ("option", "in") else "right")
    for position in options:
        if reading.unquoted(position) is None:
            table.add_row(*_mark_row(reading, position, state.time_ms))
    console().print(table)
    console().print("options at our mark, from the volatility and forward that Deribit tells now: for information, no figure rests on it")


def _mark_row(reading: Reading, position: ListedPosition, now_ms: int) -> tuple[str, ...]:
    listed, forward = reading.book.market.instruments[position.instrument], reading.forward(position)
    volatility = reading.book.market.volatility(position.instrument)
    assert forward is not None
    assert volatility is not None
    years = max(0, listed.expiry_ms - now_ms) / YEAR_MS
    value = price_one(forward, listed.strike, volatility, years, listed.option_type is OptionType.CALL)
    # an option that settles in its coin is quoted in it, by the forward
    ours = value / forward if listed.settle == listed.coin else value
    told = (f"{position.quantity:.8g}", f"{100 * volatility:.2f} %", f"{forward:.8g}", f"{ours:.6f}", f"{position.mark:.6f}")
    return listed.symbol, *told, f"{ours - position.mark:+.6f}", listed.settle
