"""The command line. Nothing heavy is imported before a command needs it: `--help` and `check` answer at once."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from config.settings import Settings

RECORD_LIMIT_GB = 10.0

PACKAGES = ("config", "kernels", "connectors", "monitor")

_TIMES_HELP = "a time in UTC such as 2026-11-21T08:30:00, or seconds from the start of the recording such as 90."
_RECORD_HELP = "Write every frame and every evaluation into this directory, without secrets, for `marginwatch replay`."
_SAVE_HELP = (
    "Save what was read as a snapshot, to be recomputed or sent to a colleague. The portfolio method needs more than the venue "
    "tells: the command names what to add (fx of stablecoins, index of coins, the account's equity in USD)."
)
_DEMO_CONFIG_HELP = "Instead of config/demo.toml: anything but accounts, portfolios and endpoints, which are the simulators'."
_FORMAT_HELP = "JSON: the report document, an array of them with several sets. Text: for people, several sets side by side."
_SETS_HELP = "Parameter set: a shipped name or a TOML file; several times for several, default the snapshot's own."


def foreign_packages(root: Path) -> list[str]:
    """Names among our packages that Python resolves to somebody else's code, with where it found them."""
    found = []
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        origin = Path(spec.origin).parent if spec and spec.origin else None
        if origin is None or origin.resolve() != (root / name).resolve():
            found.append(f"{name} ({origin or 'not found'})")
    return found


def main() -> None:
    """Entry point: refuses to start beside other packages of the same names, then runs the command."""
    foreign = foreign_packages(Path(__file__).parents[1])
    if foreign:
        click.echo(
            f"marginwatch cannot start: {', '.join(foreign)} is not ours. It is an application with packages of plain names; "
            "install it into an environment of its own (pipx install, uv tool install, or a container).",
            err=True,
        )
        sys.exit(2)
    cli()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="marginwatch")
def cli() -> None:
    """Watch live margin of market-making accounts; page before the venue acts. Read-only: it never trades."""


@cli.command()
@click.option("--config", "path", required=True, type=click.Path(path_type=Path), help="TOML file; see config/example.toml.")
@click.option("--terminal", is_flag=True, help="Show the live table instead of a log.")
@click.option("--record", type=click.Path(path_type=Path, file_okay=False), help=_RECORD_HELP)
@click.option(
    "--record-limit",
    type=click.FloatRange(min=0.01),
    metavar="GB",
    help=f"Drop the oldest recordings beyond this; default {RECORD_LIMIT_GB:g}.",
)
def run(path: Path, terminal: bool, record: Path | None, record_limit: float | None) -> None:
    """Run the monitor until SIGTERM or Ctrl-C."""
    if record is None and record_limit is not None:
        raise click.UsageError("--record-limit goes with --record")
    settings = _load(path)
    if settings.monitor.kernel_cache_dir is not None:
        # read when the kernels are imported, and the runner imports them
        os.environ["MARGINWATCH_CACHE_DIR"] = str(settings.monitor.kernel_cache_dir)
    from monitor.background import leave
    from monitor.runner import run_monitor

    leave(run_monitor(settings, path, terminal=terminal, record=record, record_limit_gb=record_limit or RECORD_LIMIT_GB))


@cli.command()
@click.argument("path", metavar="CONFIG", type=click.Path(path_type=Path))
@click.option("--live", is_flag=True, help="Also ask the venues: reachability, clock, keys, modes, positions, budget.")
def check(path: Path, live: bool) -> None:
    """Check a configuration file."""
    settings = _load(path, quiet=True)  # the summary below has the same warnings
    from config import describe

    click.echo(describe(settings))
    if live:
        from monitor.inspection.commands import check_live

        sys.exit(check_live(settings))


def _account_options(command: Callable[..., None]) -> Callable[..., None]:
    """How a command that reads an account once is told which."""
    options = (
        click.argument("account", metavar="0xADDRESS|ID"),
        click.option("--venue", type=click.Choice(["hyperliquid", "aster", "deribit"]), default="hyperliquid", show_default=True),
        click.option("--network", type=click.Choice(["mainnet", "testnet"]), default="mainnet", show_default=True),
        click.option("--rest-url", help="Another endpoint (proxy, simulator)."),
        click.option("--ws-url", help="Another WebSocket endpoint; Deribit has no other."),
        click.option("--agent-key-file", type=click.Path(path_type=Path), help="Aster: file with the private key of a read-only agent."),
        click.option("--agent-key-env", metavar="VARIABLE", help="Aster: environment variable that holds it."),
        click.option("--client-id-file", type=click.Path(path_type=Path), help="Deribit: file with the client id of a read-only API key."),
        click.option("--client-id-env", metavar="VARIABLE", help="Deribit: environment variable that holds it."),
        click.option("--client-secret-file", type=click.Path(path_type=Path), help="Deribit: file with the client secret."),
        click.option("--client-secret-env", metavar="VARIABLE", help="Deribit: environment variable that holds it."),
        click.option("--config", type=click.Path(path_type=Path), help="Read the account of this id in a configuration file instead."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@cli.command()
@_account_options
def discover(**asked: Any) -> None:
    """Print configuration for the accounts of an address: a Hyperliquid master with its sub-accounts and vaults, or an Aster account.

    Deribit lists no accounts: what is printed is the row for the client given, and ID is any name for it.
    """
    from monitor.inspection.commands import Asked, discover_accounts

    sys.exit(discover_accounts(Asked(**asked)))


@cli.command()
@_account_options
@click.option("--save", type=click.Path(path_type=Path), help=_SAVE_HELP)
def verify(save: Path | None, **asked: Any) -> None:
    """Read a live account and print our figure beside every figure of the venue.

    Hyperliquid needs no key, Aster an agent's. Deribit needs a client's id and secret: ID is then any name for the account.
    """
    from monitor.inspection.commands import Asked, verify_account

    sys.exit(verify_account(Asked(**asked), save))


@cli.command()
@click.argument("path", metavar="[SNAPSHOT]", required=False, type=click.Path(path_type=Path))
@click.option("--parameters", "sets", multiple=True, metavar="NAME|FILE", help=_SETS_HELP)
@click.option("--config", type=click.Path(path_type=Path), help="Configuration whose [portfolio.eligibility] applies; without it none.")
@click.option("--format", "form", type=click.Choice(["json", "text"]), default="json", show_default=True, help=_FORMAT_HELP)
@click.option("--live", metavar="URL", help="Of a running monitor instead, such as http://127.0.0.1:9876.")
@click.option("--portfolio", metavar="ID", help="With --live: this portfolio, and those that share its parameters.")
@click.option("--token-env", metavar="VARIABLE", help="With --live: environment variable that holds the monitor's token.")
@click.option("--save", type=click.Path(path_type=Path), help="With --live: also write the snapshot, which `report` recomputes.")
def report(path: Path | None, sets: tuple[str, ...], config: Path | None, form: str, live: str | None, **asked: Any) -> None:
    """Margin of every portfolio of a saved snapshot, or of a running monitor.

    Exit 0: all have a value, 3: one has none, 2: a file cannot be used or no monitor answers.
    """
    if (path is None) == (live is None):
        raise click.UsageError("give a SNAPSHOT file, or --live URL")
    if path is None:
        if sets or config is not None:
            raise click.UsageError("--parameters and --config are for a SNAPSHOT: the running monitor has its own; --save writes one")
        from monitor.report.live import run_live

        sys.exit(run_live(str(live), asked["portfolio"], asked["token_env"], asked["save"], form))
    given = [name for name, value in asked.items() if value is not None]
    if given:
        raise click.UsageError(f"--{given[0].replace('_', '-')} goes with --live")
    from monitor.report.command import run_report

    sys.exit(run_report(path, sets, config, form))


@cli.command()
@click.argument("path", metavar="SNAPSHOT", type=click.Path(path_type=Path))
@click.option("--parameters", "sets", multiple=True, metavar="NAME|FILE", help=_SETS_HELP)
@click.option("--portfolio", metavar="ID", help="This portfolio alone.")
@click.option("--coin", "coins", multiple=True, metavar="COIN", help="This unit alone; may be given several times.")
def explain(path: Path, sets: tuple[str, ...], portfolio: str | None, coins: tuple[str, ...]) -> None:
    """Print every formula of the portfolio method with its numbers for a saved snapshot, checked against the engine's figures."""
    from monitor.report.command import run_explain

    sys.exit(run_explain(path, sets, portfolio, coins))


@cli.command()
@click.option(
    "--scenario", type=click.Choice(["calm", "crash", "squeeze", "vol_spike", "depeg", "iv_outage"]), default="crash", show_default=True
)
@click.option("--duration", type=click.FloatRange(min=30.0), default=90.0, show_default=True, help="Length of the story in seconds.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the API instead of the configuration's (9876); 0 takes a free one.")
@click.option("--config", type=click.Path(path_type=Path), help=_DEMO_CONFIG_HELP)
@click.option("--no-terminal", is_flag=True, help="Print lines instead of a live table.")
@click.option("--record", type=click.Path(path_type=Path, file_okay=False), help="Record everything into this directory; see `replay`.")
def demo(scenario: str, duration: float, port: int | None, config: Path | None, no_terminal: bool, record: Path | None) -> None:
    """Show the monitor at work against simulated venues on this machine."""
    from config import DEMO, ConfigError
    from monitor.background import leave
    from monitor.console import console_of
    from monitor.demo import Demo
    from monitor.launch import run_on_loop

    console = console_of(150, highlight=True)
    terminal = console.is_terminal and not no_terminal
    try:
        story = Demo(scenario, duration, port, terminal=terminal, console=console, record=record, path=config or DEMO)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    try:
        leave(run_on_loop(story.run(), counted=record is not None))
    except KeyboardInterrupt:
        leave(130)
    except OSError as error:
        raise click.ClickException(f"cannot listen on {story.listen}: {error.strerror}; choose another with --port") from None


@cli.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--config", type=click.Path(path_type=Path), help="Thresholds, alerts and portfolios of this file instead of the recorded.")
@click.option("--speed", type=click.FloatRange(min=0.0, min_open=True), help="Multiple of real time; default as fast as it goes.")
@click.option("--until", metavar="T", help="Stop there; " + _TIMES_HELP)
@click.option("--levels", multiple=True, metavar="LEVEL=RATIO", help="Such as warning=0.80: would that have given us more time?")
@click.option("--report-at", multiple=True, metavar="T", help="Write the report of this instant, and its snapshot; with --out.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Directory for what --report-at writes.")
@click.option("--run", type=click.IntRange(1), metavar="N", help="Of several runs recorded there this one; default the last.")
def replay(directory: Path, **asked: Any) -> None:
    """Run a recording again (`run --record DIR`) through the same code on its own clock, and print the alerts it told.

    Exit 0: all as recorded (with --config: every evaluation, alerts are not compared), 1: something differs or the recording has a gap,
    2: it cannot be replayed.
    """
    if asked["report_at"] and asked["out"] is None:
        raise click.UsageError("--report-at needs --out: where are the reports to go?")
    from monitor.replay.command import run_replay

    sys.exit(run_replay(directory=directory, **asked))


_URL = click.option("--url", required=True, help="Of the running monitor, such as http://127.0.0.1:9876.")
_TOKEN = click.option("--token-env", metavar="VARIABLE", help="Environment variable that holds the running monitor's token.")


@cli.command()
@click.argument("url", metavar="[URL]", default="http://127.0.0.1:9876")
@_TOKEN
def top(url: str, token_env: str | None) -> None:
    """Watch a running monitor in this terminal: levels, contributions, scenarios, venues, alerts and feeds; press ? for the keys.

    URL is the monitor's address, default http://127.0.0.1:9876. Exit 2: it does not answer or let us in, or this is no terminal.
    """
    from monitor.top.app import run_top

    sys.exit(run_top(url, token_env))


@cli.command()
@click.option("--config", type=click.Path(path_type=Path), help="Read the outbox of this configuration, beside a running monitor or none.")
@click.option("--url", help="Ask a running monitor instead, such as http://127.0.0.1:9876.")
@_TOKEN
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many alerts of the history.")
@click.option("--key", metavar="PATTERN", help='Only keys that fit, with wildcards: "hyperliquid/hl-main/*", "*/data".')
@click.option("--json", "as_json", is_flag=True, help="Print the document instead of a table.")
def alerts(config: Path | None, url: str | None, token_env: str | None, **asked: Any) -> None:
    """Print what fires and what was told to whom, or why not.

    From the file alone, what fires is what had not ended when it was last written.
    """
    if (config is None) == (url is None):
        raise click.UsageError("give --config FILE (its outbox) or --url URL (a running monitor)")
    if config is not None and token_env is not None:
        raise click.UsageError("--token-env goes with --url")
    from monitor.alerts.commands import show_alerts

    sys.exit(show_alerts(config, url, token_env, **asked))


@cli.group()
def silence() -> None:
    """Hold alerts of a running monitor back for a while; it goes on watching them, and tells what still fires afterwards."""


@silence.command("add")
@_URL
@_TOKEN
@click.option("--key", required=True, metavar="PATTERN", help='Key of an alert, with wildcards: "hyperliquid/hl-main/*", "*/data".')
@click.option("--for", "duration", required=True, metavar="DURATION", help="90s, 15m, 2h, 1d; at most 30 days.")
@click.option("--reason", required=True, help="Why, for whoever finds the pager silent.")
@click.option(
    "--up-to",
    type=click.Choice(["warning", "critical", "liquidation"]),
    default="critical",
    show_default=True,
    help="What is higher is told all the same.",
)
def silence_add(url: str, token_env: str | None, key: str, duration: str, reason: str, up_to: str) -> None:
    """Silence the alerts whose key fits a pattern."""
    from monitor.alerts.commands import add_silence, seconds_of

    sys.exit(add_silence(url, token_env, key, seconds_of(duration), reason, up_to))


@silence.command("list")
@_URL
@_TOKEN
def silence_list(url: str, token_env: str | None) -> None:
    """Print the silences of a running monitor."""
    from monitor.alerts.commands import list_silences

    sys.exit(list_silences(url, token_env))


@silence.command("end")
@click.argument("id")
@_URL
@_TOKEN
def silence_end(id: str, url: str, token_env: str | None) -> None:
    """End the silence of this ID now; what it held back is told if it still fires."""
    from monitor.alerts.commands import end_silence

    sys.exit(end_silence(url, token_env, id))


@cli.command("alert-test")
@click.option("--config", "path", required=True, type=click.Path(path_type=Path), help="Configuration whose receivers are tested.")
def alert_test(path: Path) -> None:
    """Send one test alert, and its end, to each receiver and say what became of it. Exit 0: all took it, 1: not all."""
    settings = _load(path)
    from monitor.alerts.drill import run_alert_test

    sys.exit(run_alert_test(settings))


def _load(path: Path, *, quiet: bool = False) -> Settings:
    from config import ConfigError, load

    try:
        return load(path, quiet=quiet)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
