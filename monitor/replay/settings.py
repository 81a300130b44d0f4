"""The configuration of a replay: the recorded one, with the user's thresholds laid over it where a file or levels are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from config.errors import ConfigError
from config.portfolios import PortfolioSettings
from config.settings import LevelName, Settings
from config.tables import read_toml
from monitor.recording.configuration import validated
from monitor.replay.source import RecordedRun, ReplayError

Raw = dict[str, Any]

_OF_THE_RUN = ("monitor", "venues", "receivers", "heartbeat")
"""Tables that stay as they were recorded: answers were recorded under them, or nothing in a replay uses them."""

_UNLESS_GIVEN = ("fx", "market")

_OF_AN_ACCOUNT = ("levels", "tags")
"""What a file may change of an account."""

_MOVABLE = [name for name in get_args(LevelName) if name != "liquidation"]


class ReplaySettings:
    """What a run is replayed under, from its start or from where it took the configuration of `document`.

    With `path`, that file's thresholds, alerts, portfolios, fx and market, but accounts, venues and receivers of the
    recording. Raises ReplayError where its accounts are not the recorded ones, ConfigError for a bad file.
    """

    def __init__(self, run: RecordedRun, path: Path | None = None, document: Mapping[str, Any] | None = None) -> None:
        self._run, self._path = run, path
        self._document = run.configuration if document is None else document
        self._base = None if path is None else path.parent
        recorded = self._document["settings"]
        self._raw: Raw = dict(recorded) if path is None else _from_file(recorded, path)
        self.is_recorded = path is None
        """Whether it is the configuration of the recorded run, so that its alerts are to be the same."""
        try:
            self.settings = validated(self._document, self._raw, base=self._base)
        except ConfigError as error:
            if path is not None:
                raise
            raise ReplayError(f"this program does not take the recorded configuration any more:\n{error}") from None

    def later(self, document: Mapping[str, Any], levels: Mapping[str, float] | None = None) -> Settings:
        """The same of a configuration that the run took later, with `levels` where they are given. Raises ReplayError."""
        try:
            configured = ReplaySettings(self._run, self._path, document)
            return configured.with_levels(levels) if levels else configured.settings
        except (ReplayError, ConfigError) as error:
            raise ReplayError(f"the recorded run was given another configuration, under which it cannot be replayed so: {error}") from None

    def with_levels(self, levels: Mapping[str, float]) -> Settings:
        """The same with other levels for every account and portfolio. Raises ConfigError where they make no sense."""
        known = {account.id: account.levels for account in self.settings.accounts}
        accounts = [
            {**row, "levels": {"warning": known[row["id"]].warning, "critical": known[row["id"]].critical, **levels}}
            for row in self._raw["accounts"]
        ]
        raw = {**self._raw, "accounts": accounts}
        if "levels" in PortfolioSettings.model_fields and "portfolios" in raw:
            raw["portfolios"] = [{**row, "levels": {**row.get("levels", {}), **levels}} for row in raw["portfolios"]]
        return validated(self._document, raw, base=self._base)


def parse_levels(texts: Iterable[str]) -> dict[str, float]:
    """`warning=0.80` or `warning=80%`, several with commas or as several texts. Raises ReplayError."""
    found: dict[str, float] = {}
    for text in [part.strip() for whole in texts for part in whole.split(",")]:
        name, separator, value = text.partition("=")
        if name not in _MOVABLE or not separator:
            raise ReplayError(f"--levels {text}: expected {' or '.join(f'{one}=0.80' for one in _MOVABLE)}")
        try:
            found[name] = float(value.removesuffix("%")) / (100.0 if value.endswith("%") else 1.0)
        except ValueError:
            raise ReplayError(f"--levels {text}: {value} is no number; write 0.80 or 80%") from None
    return found


def _from_file(recorded: Mapping[str, Any], path: Path) -> Raw:
    raw = read_toml(path, str(path), missing="leave --config out to replay with the recorded configuration")
    raw["accounts"] = _accounts(recorded["accounts"], raw.get("accounts"), path)
    for name in _OF_THE_RUN:
        raw.pop(name, None)
        if name in recorded:
            raw[name] = recorded[name]
    _keep_members(recorded, raw, path)
    for name in _UNLESS_GIVEN:
        if name in recorded:
            raw.setdefault(name, recorded[name])
    alerts = raw.get("alerts")
    if isinstance(alerts, dict):
        # nothing is sent: which of its own receivers the file names does not matter
        alerts.pop("receivers", None)
    return raw


def _accounts(recorded: list[Raw], given: Any, path: Path) -> list[Raw]:
    own = {str(row.get("id")): row for row in given if isinstance(row, dict)} if isinstance(given, list) else {}
    was = {str(row["id"]): row for row in recorded}
    found = {
        "it lacks": was.keys() - own.keys(),
        "not recorded were": own.keys() - was.keys(),
        "on another venue are": {name for name in was.keys() & own.keys() if own[name].get("venue") != was[name]["venue"]},
    }
    problems = [f"{text} {', '.join(sorted(names))}" for text, names in found.items() if names]
    if problems:
        raise ReplayError(f"the accounts of {path} must be those of the recorded run: {'; '.join(problems)}")
    return [_account(row, own[str(row["id"])]) for row in recorded]


def _keep_members(recorded: Mapping[str, Any], raw: Raw, path: Path) -> None:
    # what the venues were asked depends on whose positions portfolios hold
    if "portfolios" not in raw:
        raw["portfolios"] = recorded["portfolios"]
        return
    was, given = _members(recorded["portfolios"]), _members(raw["portfolios"])
    if was != given:
        raise ReplayError(
            f"the portfolios of {path} must hold the accounts that those of the recorded run held, in whatever way: "
            f"{', '.join(sorted(was))}; leave [[portfolios]] out to use the recorded ones"
        )


def _members(rows: Any) -> set[str]:
    listed = [row.get("accounts") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return {str(account) for accounts in listed if isinstance(accounts, list) for account in accounts}


def _account(recorded: Raw, own: Raw) -> Raw:
    kept = {name: value for name, value in recorded.items() if name not in _OF_AN_ACCOUNT}
    return kept | {name: own[name] for name in _OF_AN_ACCOUNT if name in own}
