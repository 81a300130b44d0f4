"""What differs between two configurations, in words that name keys and aliases, never values."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping

from pydantic import BaseModel

from config.fields import SecretHolder
from config.portfolios import PortfolioDefaults
from config.settings import Settings

_TABLES = ("monitor", "defaults", "alerts", "metrics", "market")


def fixed(before: Settings, after: Settings) -> list[str]:
    """The keys that differ and that a running monitor cannot change."""
    found = {
        "monitor.listen": before.monitor.listen != after.monitor.listen,
        "monitor.kernel_cache_dir": before.monitor.kernel_cache_dir != after.monitor.kernel_cache_dir,
        "alerts.outbox": before.outbox_path != after.outbox_path,
        "alerts.outbox_limit_s": before.alerts.outbox_limit_s != after.alerts.outbox_limit_s,
        "alerts.keep_days": before.alerts.keep_days != after.alerts.keep_days,
    }
    for venue in type(before.venues).model_fields:
        # prices and instruments of two networks must never be mixed
        found[f"venues.{venue}.network"] = getattr(before.venues, venue).network != getattr(after.venues, venue).network
    return [key for key, differs in found.items() if differs]


def differences(before: Settings, after: Settings) -> list[str]:
    """Everything that differs, a line a thing; empty where nothing does."""
    return [
        *_listed("account", {one.id: one for one in before.accounts}, {one.id: one for one in after.accounts}),
        *_listed("portfolio", {one.id: one for one in before.portfolios}, {one.id: one for one in after.portfolios}),
        *_listed("receiver", before.receivers, after.receivers),
        *_tables(before, after),
    ]


def keys_that_differ(before: BaseModel, after: BaseModel) -> list[str]:
    """Names of the settings of a table, and of secrets wherever they are kept, that are others."""
    names = [field.alias or name for name, field in type(after).model_fields.items() if getattr(before, name) != getattr(after, name)]
    if isinstance(before, SecretHolder) and isinstance(after, SecretHolder):
        secrets = dict.fromkeys([*before.secrets, *after.secrets])
        names += [name for name in secrets if before.secrets.get(name) != after.secrets.get(name)]
    if isinstance(before, PortfolioDefaults) and isinstance(after, PortfolioDefaults) and before.parameter_set != after.parameter_set:
        names.append("parameters")
    return list(dict.fromkeys(names))


def _tables(before: Settings, after: Settings) -> Iterator[str]:
    for venue in type(before.venues).model_fields:
        if keys := keys_that_differ(getattr(before.venues, venue), getattr(after.venues, venue)):
            yield f"venue {venue}: {', '.join(keys)}"
    for name in _TABLES:
        if keys := keys_that_differ(getattr(before, name), getattr(after, name)):
            yield f"[{name}] {', '.join(keys)}"
    if assets := _others(before.fx, after.fx):
        yield f"[fx] {', '.join(assets)}"
    if before.heartbeat is None or after.heartbeat is None:
        if before.heartbeat is not after.heartbeat:
            yield f"heartbeat {'added' if before.heartbeat is None else 'removed'}"
    elif keys := keys_that_differ(before.heartbeat, after.heartbeat):
        yield f"[heartbeat] {', '.join(keys)}"
    if before.maintenance != after.maintenance:
        yield "[[maintenance]]"


def _listed(what: str, before: Mapping[str, BaseModel], after: Mapping[str, BaseModel]) -> Iterator[str]:
    yield from (f"{what} {name} added" for name in after if name not in before)
    yield from (f"{what} {name} removed" for name in before if name not in after)
    for name in [name for name in after if name in before]:
        if keys := keys_that_differ(before[name], after[name]):
            yield f"{what} {name}: {', '.join(keys)}"
    # their order decides who is told next, and what a list shows first
    if list(before) != list(after) and set(before) == set(after):
        yield f"order of the {what}s"


def _others(before: Mapping[str, Hashable], after: Mapping[str, Hashable]) -> list[str]:
    return [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]
