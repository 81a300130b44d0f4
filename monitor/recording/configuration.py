"""The configuration as it is kept in a recording: complete, but with stand-ins for its secrets, of a shape that the program takes.

recorded = without_secrets(settings)                        when recording starts
without_secrets(changed, recorded.stand_ins)                when the program takes another one
settings_of(recorded.document)                              when it is replayed
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import BaseModel, ValidationError

from config.errors import ConfigError
from config.fields import SecretHolder
from config.settings import Settings
from config.tables import problems_of
from connectors.aster.settings import AgentKey
from connectors.aster.signing import AgentSigner, Nonces, VenueClock
from connectors.clock import SystemClock
from monitor.recording.redaction import SHORTEST

_PREFIX = "MARGINWATCH_REPLAY_"
_HEX_KEY = re.compile(r"(?:0x)?[0-9a-fA-F]{64}")
_WORD = re.compile(r"[A-Za-z]{1,5}-")
_NAMED_KEYS = ("_file", "_env")
_LONG = 16


@dataclass(frozen=True, slots=True)
class Recorded:
    """`document`: raw tables, an environment of stand-ins, parameter files, and stand-ins for the addresses of agents by account.

    `stand_ins` by secret, also of those known before, never leaves the process.
    `short` names the settings whose secrets are too short to be searched for.
    """

    document: dict[str, Any]
    stand_ins: Mapping[str, str] = field(repr=False)
    short: tuple[str, ...] = ()


def without_secrets(settings: Settings, known: Mapping[str, str] | None = None) -> Recorded:
    """The configuration with a stand-in for every secret, and for the address of every agent, which its key gives away.

    A secret that is `known` keeps its stand-in, by which requests are found again. Raises OSError for a parameter file that is gone.
    """
    found = _Found(known or {})
    raw, stand_ins = found.raw(settings, ""), found.stand_ins
    agents: dict[str, str] = {}
    for account in settings.accounts:
        if account.agent_key is not None:
            address = _agent(account.agent_key.reveal(), account.address)
            agents[account.id] = stand_ins.setdefault(address, f"0xa9e7{len(stand_ins):036x}")
    files = dict(_parameter_files(settings, raw))
    # a secret that was pasted elsewhere too; a short one may be a word of the configuration
    long = {secret: known for secret, known in stand_ins.items() if len(secret) >= _LONG}
    document = {"settings": _replaced(raw, long), "environ": found.environ, "files": _replaced(files, long), "agents": agents}
    return Recorded(document, stand_ins, tuple(found.short))


def settings_of(document: Mapping[str, Any]) -> Settings:
    """The recorded configuration as it is run again. Raises ConfigError where this program does not take it any more."""
    return validated(document, document["settings"])


def validated(document: Mapping[str, Any], raw: Mapping[str, Any], *, base: Path | None = None) -> Settings:
    """Raw tables with the stand-ins and parameter files of a recording; other files are looked for in `base`. Raises ConfigError."""
    with TemporaryDirectory() as directory:
        for name, text in document["files"].items():
            Path(directory, PurePath(name).name).write_text(text, encoding="utf-8")
        context = {"base": Path(directory) if base is None else base, "environ": document["environ"]}
        try:
            return Settings.model_validate(raw, context=context)
        except ValidationError as error:
            raise ConfigError("the configuration of the replay", problems_of(error, Settings)) from None


class _Found:
    """Raw tables of a configuration, and what was found in it on the way."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self.environ: dict[str, str] = {}
        self.stand_ins: dict[str, str] = dict(known)
        self.short: list[str] = []

    def raw(self, model: BaseModel, where: str) -> dict[str, Any]:
        told = {name: field.alias or name for name, field in type(model).model_fields.items() if name in model.model_fields_set}
        raw = {alias: self._plain(getattr(model, name), f"{where}.{alias}".lstrip(".")) for name, alias in told.items()}
        if isinstance(model, SecretHolder):
            for name, secret in model.secrets.items():
                text = secret.reveal()
                known = self.stand_ins.setdefault(text, stand_in(text, len(self.stand_ins) + 1))
                if len(text) < SHORTEST:
                    self.short.append(f"[{where}] {name}")
                variable = f"{_PREFIX}{len(self.environ) + 1}"
                self.environ[variable] = known
                for ending in _NAMED_KEYS:
                    raw.pop(f"{name}{ending}", None)
                raw[f"{name}_env"] = variable
        return raw

    def _plain(self, value: Any, where: str) -> Any:
        if isinstance(value, BaseModel):
            return self.raw(value, where)
        if isinstance(value, Mapping):
            return {str(key): self._plain(one, f"{where}.{key}") for key, one in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, str):
            return [self._plain(one, f"{where}.{getattr(one, 'id', place)}") for place, one in enumerate(value)]
        if isinstance(value, str | int | float | None):
            return value
        return str(value)


def _replaced(value: Any, stand_ins: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(one, stand_ins) for key, one in value.items()}
    if isinstance(value, list):
        return [_replaced(one, stand_ins) for one in value]
    if isinstance(value, str):
        for secret, known in stand_ins.items():
            value = value.replace(secret, known)
    return value


def stand_in(secret: str, number: int) -> str:
    """A text of the shape of a secret that says nothing of it but its length."""
    if _HEX_KEY.fullmatch(secret):
        return f"0x{number:064x}"
    if secret.startswith(("http://", "https://")):
        return f"https://redacted.invalid/{number:08d}"
    word = _WORD.match(secret)
    kept = word[0] if word else ""
    return kept + f"{number}".rjust(max(8, len(secret) - len(kept)), "x")


def _agent(key: str, user: str) -> str:
    return AgentSigner(AgentKey(key), user, Nonces(VenueClock(SystemClock())), 0).signer


def _parameter_files(settings: Settings, raw: dict[str, Any]) -> Iterator[tuple[str, str]]:
    tables = [raw.get("portfolio", {}), *raw.get("portfolios", [])]
    for table in tables:
        name = table.get("parameters", "")
        if name.endswith(".toml"):
            path = Path(name).expanduser()
            table["parameters"] = path.name
            yield path.name, path.read_text(encoding="utf-8")
