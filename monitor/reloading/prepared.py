"""Another configuration for a running application: all that may fail is done first, then everything is swapped in one turn of the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from config.accounts import AccountSettings
from config.settings import Settings
from monitor.alerts.dispatcher import LineSettings
from monitor.alerts.heartbeat import Heartbeat
from monitor.app import Application, Connector, ConnectorFactory
from monitor.book import AccountEntry
from monitor.intake import Intake
from monitor.live.books import PortfolioBooks
from monitor.live.portfolios import build_books
from monitor.margin.configured import build_entry, mark_limits_s
from monitor.reloading.difference import keys_that_differ
from monitor.venues import account_refs, basis_of

Key = tuple[str, str]
"""(venue, account)."""

_ROUTING = frozenset({"min_level", "scopes", "tags", "escalate_to"})


@dataclass(frozen=True, slots=True)
class Makers:
    """What makes the parts of a configuration that reach outside. `connectors` is asked for some venues only, `refs` are their accounts."""

    connectors: Callable[[Settings, frozenset[str]], ConnectorFactory]
    lines: Callable[[Settings], list[LineSettings]]
    heartbeat: Callable[[Settings], Heartbeat | None]
    refs: Callable[[Settings], dict[str, list[Any]]] = account_refs


@dataclass(frozen=True, slots=True)
class Prepared:
    """Ready: `tell_connectors`, then `swap`.

    `refs` are the accounts of connectors that stay, `told` those of before; `connectors` take over from those of the venues `leaving`,
    or are of new ones. `entries` are the accounts that begin without any state, `gone` those that are watched no more.
    `books` None: the portfolios' books stay. `beats`: the heartbeat is another one, or none any more.
    """

    settings: Settings
    gone: tuple[Key, ...]
    entries: tuple[AccountEntry, ...]
    refs: Mapping[str, list[Any]]
    told: Mapping[str, list[Any]]
    leaving: frozenset[str]
    intake: Intake
    connectors: tuple[Connector, ...]
    lines: tuple[LineSettings, ...]
    books: PortfolioBooks | None
    beats: bool
    heartbeat: Heartbeat | None

    def swap(self, app: Application) -> None:
        """Exchange everything else, in the same turn of the loop."""
        app.follow(self.settings, lambda: self._exchange(app))

    def tell_connectors(self, app: Application) -> None:
        """Give the connectors that stay their accounts. ValueError: one refuses them, and nothing has changed."""
        told: list[Connector] = []
        for connector in [connector for connector in app.connectors if connector.venue in self.refs]:
            try:
                connector.set_accounts(self.refs[connector.venue])
            except ValueError:
                for other in told:
                    other.set_accounts(self.told[other.venue])
                raise
            told.append(connector)

    def _exchange(self, app: Application) -> None:
        settings, book = self.settings, app.book
        app.exchange(self.leaving, self.intake, self.connectors)
        for key in self.gone:
            book.remove(key)
        for entry in self.entries:
            book.add(entry)
        renewed = [(entry.venue, entry.account) for entry in self.entries]
        for key in [*self.gone, *renewed]:
            app.first_fresh.pop(key, None)
        for account in settings.accounts:
            book.set_levels((account.venue, account.id), account.levels.ratios, settings.alerts.hysteresis)
        book.freshness.mark_limits_s = mark_limits_s(settings)
        app.engine.tolerance = settings.defaults.reconcile_tolerance
        app.portfolios.configure(settings, self.books)
        app.alarm.configure(settings, self.lines, self.gone)
        for key in renewed:
            app.alarm.renew(key)
        if self.beats:
            app.beat_by(self.heartbeat)


def prepare(app: Application, settings: Settings, makers: Makers) -> Prepared:
    """All that a configuration needs beside what runs already. Raises what goes wrong, with nothing changed."""
    before = app.settings
    told, refs = makers.refs(before), makers.refs(settings)
    kept = {venue for venue in told if venue in refs and basis_of(venue, before) == basis_of(venue, settings)}
    coming = frozenset(refs) - kept
    known, wanted = [_key(account) for account in before.accounts], [_key(account) for account in settings.accounts]
    alike = {(venue, ref.alias) for venue in kept for ref in refs[venue] if ref in told[venue]}
    begin = [account for account in settings.accounts if _key(account) not in alike]
    intake = Intake(app.receive)
    gone = tuple(key for key in known if key not in wanted)
    return Prepared(
        settings,
        gone=gone,
        entries=tuple(build_entry(settings, account) for account in begin),
        refs={venue: refs[venue] for venue in kept if refs[venue] != told[venue]},
        told=told,
        leaving=frozenset(told) - kept,
        intake=intake,
        connectors=tuple(makers.connectors(settings, coming)(intake)) if coming else (),
        lines=tuple(_lines(app, settings, makers)),
        books=build_books(settings) if gone or begin or _stressed(before) != _stressed(settings) else None,
        beats=_beat(before) != _beat(settings),
        heartbeat=makers.heartbeat(settings) if _beat(before) != _beat(settings) else None,
    )


def _key(account: AccountSettings) -> Key:
    return account.venue, account.id


def _lines(app: Application, settings: Settings, makers: Makers) -> list[LineSettings]:
    # the receiver itself stays where nothing of it is another: it may hold what a conversation needs
    known = {line.receiver.name: line.receiver for line in app.alarm.dispatcher.lines()}
    before, after = app.settings.receivers, settings.receivers
    same = {name for name in known if name in before and name in after and _ROUTING.issuperset(keys_that_differ(before[name], after[name]))}
    made = makers.lines(settings)
    return [replace(line, receiver=known[line.receiver.name]) if line.receiver.name in same else line for line in made]


def _stressed(settings: Settings) -> object:
    # what the books of the portfolios are made of, apart from the accounts
    portfolios = [(one.id, one.accounts, one.levels, one.parameter_set) for one in settings.portfolios]
    rate = settings.venues.deribit.future_maintenance_rate
    return portfolios, settings.alerts.hysteresis, settings.fx, settings.market, rate


def _beat(settings: Settings) -> object:
    return None if settings.heartbeat is None else (settings.heartbeat.url, settings.heartbeat.every_s)
