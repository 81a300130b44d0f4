"""The commands `report` and `explain`: from files and names to text, JSON and an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import orjson
from rich.console import Console

from config import load
from config.errors import ConfigError, Problem, did_you_mean, dotted
from config.parameters import OTHER, PORTFOLIO, ParameterSet, load_parameters, problems_under
from config.portfolios import Eligibility
from kernels._jit import CACHE_DIRECTORY, CACHE_NOTE
from monitor.console import console_of
from monitor.explain.explanation import explain
from monitor.report.document import CUTS, Rules, margin_report, no_rules
from monitor.report.text import print_report
from monitor.snapshot import Snapshot, read_snapshot
from monitor.stress.load import book_of

WIDTH = 100
"""Columns where the output is no terminal."""

DONE, BAD_FILE, NO_VALUE = 0, 2, 3
"""Exit codes: every figure has a value, a file cannot be used, a portfolio is a typed failure."""


def run_report(path: Path, names: Sequence[str], config: Path | None, form: str) -> int:
    """Print the report of a snapshot under each parameter set (none named: its own); `form` is `json` or `text`.

    JSON with one set is its document, with several an array of documents in the order named. Returns the exit code.
    """
    _tell_about_kernels()
    try:
        snapshot = read_snapshot(path)
        rules = _rules(config)
        documents = [margin_report(snapshot, parameters, rules) for parameters in resolved(snapshot, path, names)]
    except ConfigError as error:
        click.echo(str(error), err=True)
        return BAD_FILE
    if form == "json":
        answer = documents[0] if len(documents) == 1 else documents
        click.echo(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode())
    else:
        print_report(console(), documents)
    failed = any(portfolio["status"] != "ok" for document in documents for portfolio in document["portfolios"])
    return NO_VALUE if failed else DONE


def run_explain(path: Path, names: Sequence[str], portfolio: str | None, coins: Sequence[str]) -> int:
    """Print the explanation of one portfolio of a snapshot (none named: of all), or of some of its units.

    Returns the exit code, NO_VALUE also where the explanation and the engine differ.
    """
    _tell_about_kernels()
    try:
        snapshot = read_snapshot(path)
        sets = resolved(snapshot, path, names)
        wanted = _chosen(portfolio, [row.id for row in snapshot.portfolios], "portfolio")
        for coin in coins:
            _chosen(coin, {row.coin for row in snapshot.instruments} | snapshot.index.keys(), "coin")
    except ConfigError as error:
        click.echo(str(error), err=True)
        return BAD_FILE
    code = DONE
    for parameters in sets:
        book = book_of(snapshot, parameters, CUTS)
        for name in wanted:
            found = explain(book, name, coins)
            click.echo("\n".join([*found.lines, ""]))
            if found.failed or found.mismatches:
                code = NO_VALUE
    return code


def resolved(snapshot: Snapshot, path: Path, names: Sequence[str]) -> list[ParameterSet]:
    """The named parameter sets, or the snapshot's own, each with the snapshot's overrides applied; a set named twice counts once.

    A file that the command names is looked for in the working directory, one that the snapshot names beside it. Raises
    ConfigError, also for overrides of a coin that neither the snapshot nor any of the sets names.
    """
    try:
        sets = [load_parameters(name) for name in names] or [load_parameters(snapshot.parameters, base_dir=path.parent)]
    except ConfigError as error:
        if names:
            raise
        raise ConfigError(str(path), problems_under("parameters", error)) from None
    known = {PORTFOLIO, OTHER, *snapshot.coins}.union(*(one.coins for one in sets))
    unknown = [coin for coin in snapshot.overrides if coin not in known]
    if unknown:
        message = "no coin of this snapshot or of its parameter set has this name"
        problems = [Problem(dotted(["overrides", coin]), f"{message}{did_you_mean(coin, known)}") for coin in unknown]
        raise ConfigError(str(path), problems)
    coins = {row.coin for row in snapshot.instruments}
    return [one.with_overrides(snapshot.overrides, str(path), in_use=coins) for one in dict.fromkeys(sets)]


def _tell_about_kernels() -> None:
    if CACHE_DIRECTORY is None:
        click.echo(CACHE_NOTE, err=True)
    elif not any(CACHE_DIRECTORY.rglob("portfolio.evaluate-*.nbi")):
        click.echo("compiling the kernels: half a minute, once for this version and machine", err=True)


def _rules(config: Path | None) -> Rules:
    if config is None:
        return no_rules
    settings = load(config, quiet=True)  # its warnings are about the running monitor
    configured = {portfolio.id: portfolio.eligibility for portfolio in settings.portfolios}

    def rule(portfolio: str) -> Eligibility:
        return configured.get(portfolio, settings.portfolio.eligibility)

    return rule


def _chosen(name: str | None, known: Sequence[str] | set[str], what: str) -> list[str]:
    if name is None:
        return list(known)
    if name not in known:
        raise click.UsageError(f'the snapshot has no {what} "{name}"{did_you_mean(name, known)}')
    return [name]


def console() -> Console:
    """Where texts are printed: a terminal, or lines of a fixed width."""
    return console_of(WIDTH)
