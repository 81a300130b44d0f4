"""From a TOML file to `Settings`, or to a `ConfigError` that lists everything wrong with it."""

from __future__ import annotations

import logging
import os
import tomllib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from config.errors import ConfigError, Problem, did_you_mean, dotted, masked, shorten_address, shown
from config.settings import Settings

EXAMPLE = Path(__file__).with_name("example.toml")
DEMO = Path(__file__).with_name("demo.toml")

_log = logging.getLogger("marginwatch.config")

_Location = tuple[str | int, ...]

_EXPECTED = {
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "int_type": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "path_type": "text in quotes",
    "model_type": "a table",
    "mapping_type": "a table",
    "tuple_type": "a list",
    "greater_than": "a number greater than {gt:g}",
    "greater_than_equal": "a number of at least {ge:g}",
    "less_than": "a number less than {lt:g}",
    "less_than_equal": "a number of at most {le:g}",
}


def load(path: Path, *, environ: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read, check and complete a configuration file.

    `environ` stands in for the process environment. `overrides` is laid over the file table by table (lists are replaced):
    the demo gives its accounts and endpoints so. Secrets are read here; relative files are looked for beside `path`. Doubts
    (`Settings.warnings`) are logged. Raises ConfigError with every problem found.
    """
    source = str(path)
    raw = _merged(_read(path, source), overrides or {})
    context = {"base": path.parent, "environ": os.environ if environ is None else environ}
    try:
        settings = Settings.model_validate(raw, context=context)
    except ValidationError as error:
        raise ConfigError(source, _problems(error, raw)) from None
    for warning in settings.warnings:
        _log.warning("%s: %s", source, warning)
    return settings


def describe(settings: Settings) -> str:
    """What was understood, a line a thing, for people and logs: aliases, addresses shortened, secrets by origin only."""
    venue = settings.venues.hyperliquid
    lines = [
        f"listen {settings.monitor.listen} ({'token' if settings.monitor.token else 'this machine only, no token'})",
        f"hyperliquid {venue.network}: {venue.rest_endpoint} {venue.ws_endpoint}, {venue.ip_budget_share:.0%} of the per-IP limits",
    ]
    for account in settings.accounts:
        levels, mode = account.levels, account.mode or "any"
        tags = f", tags {' '.join(account.tags)}" if account.tags else ""
        lines.append(
            f"account {account.id}: {account.venue} {shorten_address(account.address)}, mode {mode}, "
            f"levels {levels.warning:g} / {levels.critical:g} / {levels.liquidation:g}{tags}"
        )
    for name, receiver in settings.receivers.items():
        used = "" if name in settings.alert_receivers else ", not used by [alerts]"
        origin = f", URL from {masked(receiver.secret_origin)}" if receiver.secret_origin else ""
        lines.append(f"receiver {name}: {receiver.type}, from {receiver.min_level}{origin}{used}")
    return "\n".join([*lines, *(f"warning: {warning}" for warning in settings.warnings)])


def _read(path: Path, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(source, [Problem("", "no such file; write one after config/example.toml")]) from None
    except OSError as error:
        raise ConfigError(source, [Problem("", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise ConfigError(source, [Problem("", "is not UTF-8 text; save it as UTF-8")]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(source, [Problem("", f"is not valid TOML: {masked(str(error))}")]) from None


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return merged


def _problems(error: ValidationError, raw: dict[str, Any]) -> Iterator[Problem]:
    seen: set[Problem] = set()
    # Inputs are read for their type and masked value only; pydantic's own texts are not passed on.
    for detail in error.errors(include_url=False):
        for problem in _translate(detail["type"], detail["loc"], detail["msg"], detail.get("ctx", {}), detail.get("input")):
            if problem not in seen:
                seen.add(problem)
                yield problem


def _translate(kind: str, location: _Location, message: str, context: dict[str, Any], given: object) -> Iterable[Problem]:
    if kind == "problems":
        prefix = dotted(location)
        return [Problem(".".join(part for part in (prefix, problem.path) if part), problem.message) for problem in context["problems"]]
    location = tuple(part for part in location if part != "[key]")
    path = dotted(location)
    if kind == "extra_forbidden":
        return [Problem(path, _unknown_key(location))]
    if kind == "missing":
        return [Problem(path, "missing; this key is required")]
    if kind == "value_error":
        return [Problem(path, str(context["error"]))]
    if kind == "literal_error":
        near = did_you_mean(given, _choices(context)) if isinstance(given, str) else ""
        hint = near if near.startswith("; did") else ""
        return [Problem(path, f"expected {context['expected'].replace(chr(39), chr(34))}, got {shown(given)}{hint}")]
    expected = _EXPECTED[kind].format(**context) if kind in _EXPECTED else message
    return [Problem(path, f"expected {expected}, got {shown(given, secret=_is_secret(location))}")]


def _choices(context: dict[str, Any]) -> list[str]:
    return [part for part in str(context["expected"]).split("'") if part.isidentifier() and part != "or"]


def _is_secret(location: _Location) -> bool:
    last = str(location[-1]) if location else ""
    return last in {"address", "url", "token"} or last.endswith(("_file", "_env"))


def _unknown_key(location: _Location) -> str:
    name = str(location[-1])
    fields = _fields_at(location[:-1])
    if f"{name}_file" in fields:
        return (
            f"a secret may not stand in this file; write it into a file of its own and name that with {name}_file, "
            f"or set an environment variable and name that with {name}_env"
        )
    return f"unknown key{did_you_mean(name, fields)}"


def _fields_at(location: _Location) -> tuple[str, ...]:
    annotation: Any = Settings
    for part in location:
        inside = _model(annotation)
        annotation = inside.model_fields[str(part)].annotation if inside and part in inside.model_fields else _item(annotation)
    model = _model(annotation)
    return tuple(model.model_fields) if model else ()


def _model(annotation: Any) -> type[BaseModel] | None:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return next((model for model in map(_model, typing.get_args(annotation)) if model), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _item(annotation: Any) -> Any:
    # A tuple's element (Account, ...) or a mapping's value (str, Receiver): whichever argument is a table.
    return next((argument for argument in typing.get_args(annotation) if _model(argument)), None)
