"""Where alerts go: `[receivers.NAME]`, what each type needs, who is told what, and who is told next when one does not answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, model_validator

from config.errors import Problem, did_you_mean, masked
from config.fields import SecretHolder, Tags, check_endpoint, need_url
from config.secrets import Resolved, Secret
from config.tables import inline_secret, problems_error

LevelName = Literal["warning", "critical", "liquidation"]
ReceiverType = Literal["log", "webhook", "slack", "pagerduty", "alertmanager"]
ScopeName = Literal["pool", "account", "portfolio", "feed", "receiver", "venue", "monitor"]

LEVEL_NAMES: tuple[LevelName, ...] = ("warning", "critical", "liquidation")
PAGERDUTY_URL = "https://events.pagerduty.com/v2/enqueue"

_SECRETS: Mapping[ReceiverType, tuple[str, ...]] = {
    "log": (),
    "webhook": ("url", "secret"),
    "slack": ("url", "token"),
    "pagerduty": ("routing_key", "url"),
    "alertmanager": ("url",),
}
"""What each type may be given by file or environment."""

_ONE_WORD = re.compile(r"[!-~]+")
_KINDS = ("file", "env")


class ReceiverSettings(SecretHolder):
    """Where alerts go, and which: of `min_level` and above, of `scopes` and of accounts with one of `tags`; empty is all.

    `webhook` needs a URL and may have a `secret` that signs; `slack` a URL (incoming webhook), or a bot's `token` and a `channel`;
    `pagerduty` a `routing_key`; `alertmanager` its base URL, which may stand here as `plain_url` (`url` in the file). `escalate_to` is
    told what this one did not take in time; None is the next one (see `escalations`).
    """

    type: ReceiverType
    min_level: LevelName = "warning"
    scopes: Annotated[tuple[ScopeName, ...], Field(strict=False)] = ()
    tags: Tags = ()
    escalate_to: str | None = None
    plain_url: str | None = Field(default=None, alias="url", repr=False)
    url_file: str | None = None
    url_env: str | None = None
    secret_file: str | None = None
    secret_env: str | None = None
    token_file: str | None = None
    token_env: str | None = None
    channel: str | None = None
    routing_key_file: str | None = None
    routing_key_env: str | None = None

    @model_validator(mode="after")
    def _fits_its_type(self, info: ValidationInfo) -> Self:
        problems = [*self._misplaced(), *self._routes()]
        if problems:
            raise problems_error(problems)
        found = {name: self._resolve(name, *self._told(name), info) for name in _SECRETS[self.type]}
        if self.type == "slack":
            self._need_slack(found)
        elif self.type == "pagerduty":
            self._need(found, "routing_key")
        elif self.type != "log" and self.plain_url is None:
            self._need(found, "url")
        if found.get("url") is not None:
            need_url(found["url"], self.url_file, self._said)
        for name in [name for name in found if name != "url"]:
            self._check_word(name, found[name])
        return self

    def _told(self, name: str) -> tuple[str | None, str | None]:
        return getattr(self, f"{name}_file"), getattr(self, f"{name}_env")

    @property
    def _said(self) -> str:
        return f'a receiver of type "{self.type}"'

    def _misplaced(self) -> Iterator[Problem]:
        allowed = _SECRETS[self.type]
        for name in dict.fromkeys(name for names in _SECRETS.values() for name in names):
            for key in [key for key in (f"{name}_{kind}" for kind in _KINDS) if name not in allowed and getattr(self, key) is not None]:
                if self.type == "log":
                    yield Problem(key, f"{self._said} has no {name if name != 'url' else 'URL'}; remove the key or change the type")
                else:
                    yield Problem(key, f"{self._said} has no {name}; remove the key")
        if self.plain_url is not None and self.type != "alertmanager":
            yield Problem("url", inline_secret("url") if "url" in allowed else f"{self._said} has no URL; remove the key")
        elif self.plain_url is not None:
            yield from self._plain(self.plain_url)
        if self.channel is not None and self.type != "slack":
            yield Problem("channel", f"{self._said} has no channel; remove the key")

    def _plain(self, url: str) -> Iterator[Problem]:
        if self._told("url") != (None, None):
            yield Problem("url", "url and url_file or url_env are both given; keep one of them")
        try:
            check_endpoint(url, "http", "https")
        except ValueError as error:
            yield Problem("url", f"{error}; one that is secret goes into a file named by url_file, or a variable named by url_env")

    def _routes(self) -> Iterator[Problem]:
        for number, scope in enumerate(self.scopes):
            if scope in self.scopes[:number]:
                yield Problem(f"scopes[{number}]", f'"{scope}" is listed twice; remove one')
        if self.type == "log" and self.escalate_to is not None:
            yield Problem("escalate_to", f"{self._said} always takes what it is sent; remove the key")

    def _need(self, found: Mapping[str, Resolved | None], name: str) -> None:
        if found[name] is None:
            plain = ", or url where it is no secret" if self.type == "alertmanager" else ""
            what = "URL" if name == "url" else name
            raise problems_error([Problem(f"{name}_file", f"{self._said} needs its {what}: set {name}_file or {name}_env{plain}")])

    def _need_slack(self, found: Mapping[str, Resolved | None]) -> None:
        if found["url"] is not None and found["token"] is not None:
            key = "token_file" if self.token_file is not None else "token_env"
            raise problems_error([Problem(key, "an incoming webhook (url) and a bot (token) are both given; keep one of them")])
        if found["url"] is None and found["token"] is None:
            message = (
                f"{self._said} needs its URL: set url_file or url_env (incoming webhook), or token_file or token_env (bot) and channel"
            )
            raise problems_error([Problem("url_file", message)])
        if found["token"] is not None and not (self.channel or "").strip():
            raise problems_error([Problem("channel", 'a bot needs the channel it writes to: set channel, such as "#margin" or its ID')])
        if found["url"] is not None and self.channel is not None:
            raise problems_error([Problem("channel", "an incoming webhook has a channel of its own; remove the key")])

    def _check_word(self, name: str, found: Resolved | None) -> None:
        if found is not None and not _ONE_WORD.fullmatch(found.secret.reveal()):
            key = f"{name}_file" if self._told(name)[0] is not None else f"{name}_env"
            message = f"what is kept there cannot be the {name}: expected one word without spaces; copy it again"
            raise problems_error([Problem(key, message)])

    @property
    def url(self) -> Secret | None:
        """Where it is sent to: the base of an Alertmanager, the usual address of PagerDuty; None for `log` and for Slack's bot."""
        if self.plain_url is not None:
            return Secret(self.plain_url.rstrip("/"))
        found = self._secret("url")
        return Secret(PAGERDUTY_URL) if found is None and self.type == "pagerduty" else found

    @property
    def secret(self) -> Secret | None:
        """What a webhook's bodies are signed with; None: they are not."""
        return self._secret("secret")

    @property
    def token(self) -> Secret | None:
        """Token of Slack's bot."""
        return self._secret("token")

    @property
    def routing_key(self) -> Secret | None:
        """Integration key of PagerDuty."""
        return self._secret("routing_key")

    def takes(self, scope: ScopeName, level: LevelName, tags: Sequence[str]) -> bool:
        """Whether an alert of that scope and level goes there; `tags` are its accounts', empty for what concerns everybody."""
        fits_tags = not self.tags or not tags or not set(self.tags).isdisjoint(tags)
        high_enough = LEVEL_NAMES.index(level) >= LEVEL_NAMES.index(self.min_level)
        return high_enough and (not self.scopes or scope in self.scopes) and fits_tags


def escalations(used: Sequence[str], receivers: Mapping[str, ReceiverSettings]) -> dict[str, str]:
    """Who is told first what a receiver did not take in time, by its name; who is not in it has nobody.

    `used` are the names that alerts go to, in order. What says nothing escalates to the next of them, after the last to the first. The
    log takes no part: it wakes up nobody.
    """
    paging = [name for name in used if receivers[name].type != "log"]
    if len(paging) < 2:
        return {}
    return {name: receivers[name].escalate_to or paging[(number + 1) % len(paging)] for number, name in enumerate(paging)}


def receiver_problems(named: Sequence[str] | None, receivers: Mapping[str, ReceiverSettings]) -> Iterator[Problem]:
    """What is wrong between receivers; `named` is `alerts.receivers`, None: all. Unknown names, doubled ones, escalations in a circle."""
    for number, name in enumerate(named or ()):
        if name in (named or ())[:number]:
            yield Problem(f"alerts.receivers[{number}]", f'"{masked(name)}" is listed twice and would be paged twice; remove one')
        elif name not in receivers:
            yield Problem(f"alerts.receivers[{number}]", f'no receiver "{masked(name)}" is configured{did_you_mean(name, receivers)}')
    used = [name for name in (receivers if named is None else dict.fromkeys(named)) if name in receivers]
    wrong = list(_wrong_targets(used, receivers))
    yield from wrong or _circles({name: one.escalate_to for name, one in receivers.items() if one.escalate_to is not None})


def _wrong_targets(used: Sequence[str], receivers: Mapping[str, ReceiverSettings]) -> Iterator[Problem]:
    for name, receiver in receivers.items():
        to, path = receiver.escalate_to, f"receivers.{name}.escalate_to"
        if to is None:
            continue
        if to == name:
            yield Problem(path, "a receiver cannot stand in for itself; name another, or remove the key for the next one")
        elif to not in receivers:
            yield Problem(path, f'no receiver "{masked(to)}" is configured{did_you_mean(to, receivers)}')
        elif receivers[to].type == "log":
            yield Problem(path, f'"{to}" is a log, which wakes up nobody; name a receiver of another type')
        elif to not in used:
            yield Problem(path, f'"{to}" is not used by [alerts]; add it to alerts.receivers')


def _circles(following: Mapping[str, str]) -> Iterator[Problem]:
    told: set[str] = set()
    for name in following:
        way = [name]
        while (after := following.get(way[-1])) is not None and after not in way:
            way.append(after)
        if after is not None and not told.intersection(way):
            circle = way[way.index(after) :]
            told.update(circle)
            message = f"goes round in a circle ({' -> '.join([*circle, after])}); remove one of them"
            yield Problem(f"receivers.{circle[-1]}.escalate_to", message)


@dataclass(frozen=True, slots=True)
class Concern:
    """Something alerts are about: its key in the file, their scopes, its tags, and whether a critical alert of it has to page."""

    path: str
    scopes: tuple[ScopeName, ...]
    tags: tuple[str, ...] = ()
    must_page: bool = False


def routing_warnings(used: Sequence[str], receivers: Mapping[str, ReceiverSettings], concerns: Sequence[Concern]) -> Iterator[str]:
    """Whose alerts reach nobody: `path: sentence`. The log counts as nobody: it wakes up no one."""
    paging = [receivers[name] for name in used if receivers[name].type != "log"]
    if not receivers:
        yield "receivers: none configured, so alerts are shown but sent to nobody; add [receivers.NAME]"
    elif not used:
        yield "alerts.receivers: empty, so alerts are shown but sent to nobody; name those that are to be told"
    elif not paging:
        yield "receivers: alerts go to the log alone, so nobody is paged; add a receiver of another type"
    else:
        for concern in concerns:
            for scope in concern.scopes:
                yield from _unheard(paging, concern, scope)


def _unheard(paging: Sequence[ReceiverSettings], concern: Concern, scope: ScopeName) -> Iterator[str]:
    tags = f" with tags {' '.join(concern.tags)}" if concern.tags else ""
    if not any(receiver.takes(scope, "liquidation", concern.tags) for receiver in paging):
        yield f"{concern.path}: no receiver but the log takes alerts of scope {scope}{tags}, of whatever level; widen scopes or tags of one"
    elif concern.must_page and not any(receiver.takes(scope, "critical", concern.tags) for receiver in paging):
        yield f"{concern.path}: nobody is paged for its critical alerts of scope {scope}{tags}; lower min_level of a receiver"
