"""What every table of a user's file shares: how it is typed, how it is read, and how its errors are said.

Table            base of the typed tables
read_toml        a file's raw tables, or a ConfigError
problems_of      pydantic's errors as `Problem`s that name key, expectation and what was given
problems_error   several problems below one table as one pydantic error
"""

from __future__ import annotations

import re
import tomllib
import types
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticCustomError

from config.errors import ConfigError, Problem, did_you_mean, dotted, masked, shown

_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")

_HIDDEN = {"address", "url", "token", "secret", "routing_key", "agent_key", "api_key", "api_secret", "client_id", "client_secret"}
"""Keys of which an error never shows the value."""

_Location = tuple[str | int, ...]

_EXPECTED = {
    "string_type": "text in quotes",
    "string_too_short": "a text that is not empty",
    "bool_type": "true or false",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "date_type": "a date such as 2026-11-21",
    "datetime_type": "a date and time with its offset, such as 2026-12-01T08:00:00Z",
    "path_type": "text in quotes",
    "model_type": "{table}",
    "mapping_type": "{table}",
    "dict_type": "{table}",
    "tuple_type": "a list",
    "greater_than": "a number greater than {gt:g}",
    "greater_than_equal": "a number of at least {ge:g}",
    "less_than": "a number less than {lt:g}",
    "less_than_equal": "a number of at most {le:g}",
}


def _alias(text: str) -> str:
    if not _ALIAS.fullmatch(text) or text.lower().startswith("0x"):
        raise ValueError("expected a short name of letters, digits, _ . - (at most 32, not an address): it is what alerts and pages show")
    return text


Alias = Annotated[str, AfterValidator(_alias)]
"""A short name that people give and that everything shows."""


class Table(BaseModel):
    """Base of every table: frozen, strictly typed, unknown keys and NaN or infinite numbers refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)


def problems_error(problems: list[Problem]) -> PydanticCustomError:
    """Several problems below one table as one pydantic error; `problems_of` takes them apart again."""
    return PydanticCustomError("problems", "{text}", {"text": "; ".join(problem.message for problem in problems), "problems": problems})


def read_toml(path: Path, source: str, *, missing: str) -> dict[str, Any]:
    """The raw tables of a TOML file. Raises ConfigError; `missing` says what to do where there is no such file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(source, [Problem("", f"no such file; {missing}")]) from None
    except OSError as error:
        raise ConfigError(source, [Problem("", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise ConfigError(source, [Problem("", "is not UTF-8 text; save it as UTF-8")]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(source, [Problem("", f"is not valid TOML: {masked(str(error))}")]) from None


def problems_of(error: ValidationError, root: type[BaseModel], *, table: str = "a table") -> Iterator[Problem]:
    """What a validation found, each thing once; `root` is the model that was validated, `table` the format's word for one."""
    seen: set[Problem] = set()
    # Inputs are read for their type and masked value only; pydantic's own texts are not passed on.
    for detail in error.errors(include_url=False):
        context = {**detail.get("ctx", {}), "table": table}
        for problem in _translate(root, detail["type"], detail["loc"], detail["msg"], context, detail.get("input")):
            if problem not in seen:
                seen.add(problem)
                yield problem


def _translate(
    root: type[BaseModel], kind: str, location: _Location, message: str, context: dict[str, Any], given: object
) -> Iterable[Problem]:
    if kind == "problems":
        return [Problem(joined(dotted(location), problem.path), problem.message) for problem in context["problems"]]
    location = tuple(part for part in location if part != "[key]")
    path = dotted(location)
    if kind == "extra_forbidden":
        return [Problem(path, _unknown_key(root, location))]
    if kind == "missing":
        return [Problem(path, "missing; this key is required")]
    if kind == "value_error":
        return [Problem(path, str(context["error"]))]
    got = shown(given, secret=_is_secret(location), table=context["table"])
    if kind == "literal_error":
        near = did_you_mean(given, _choices(context)) if isinstance(given, str) else ""
        hint = near if near.startswith("; did") else ""
        return [Problem(path, f"expected {context['expected'].replace(chr(39), chr(34))}, got {got}{hint}")]
    expected = _EXPECTED[kind].format(**context) if kind in _EXPECTED else message
    return [Problem(path, f"expected {expected}, got {got}")]


def joined(path: str, below: str) -> str:
    """The path of a key below another key; either may be empty."""
    return f"{path}{below}" if below.startswith("[") else ".".join(part for part in (path, below) if part)


def _choices(context: dict[str, Any]) -> list[str]:
    return [part for part in str(context["expected"]).split("'") if part.isidentifier() and part != "or"]


def _is_secret(location: _Location) -> bool:
    last = str(location[-1]) if location else ""
    return last in _HIDDEN or last.endswith(("_file", "_env"))


def _unknown_key(root: type[BaseModel], location: _Location) -> str:
    name = str(location[-1])
    fields = _fields_at(root, location[:-1])
    if f"{name}_file" in fields:
        return inline_secret(name)
    return f"unknown key{did_you_mean(name, fields)}"


def inline_secret(name: str) -> str:
    """What is said where the secret itself stands in the file."""
    return (
        f"a secret may not stand in this file; write it into a file of its own and name that with {name}_file, "
        f"or set an environment variable and name that with {name}_env"
    )


def _fields_at(root: type[BaseModel], location: _Location) -> tuple[str, ...]:
    annotation: Any = root
    for part in location:
        inside = _model(annotation)
        keys = {field.alias or name: field.annotation for name, field in inside.model_fields.items()} if inside else {}
        annotation = keys[str(part)] if part in keys else _item(annotation)
    model = _model(annotation)
    return tuple(field.alias or name for name, field in model.model_fields.items()) if model else ()


def _model(annotation: Any) -> type[BaseModel] | None:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return next((model for model in map(_model, typing.get_args(annotation)) if model), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _item(annotation: Any) -> Any:
    # A tuple's element (Account, ...) or a mapping's value (str, Receiver): whichever argument is a table.
    return next((argument for argument in typing.get_args(annotation) if _model(argument)), None)
