"""Receivers: what each type needs, who is told next, and whom nobody hears."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from config import ConfigError, Secret, Settings, describe, load
from config.receivers import LEVEL_NAMES, LevelName, ReceiverSettings, ScopeName
from monitor.alerts.scope import ScopeKind

ACCOUNT = '[[accounts]]\nid = "hl"\nvenue = "hyperliquid"\naddress = "0x' + "1" * 40 + '"\n'
HOOK = "https://hooks.example.com/services/very-secret-path"
ENVIRON = {"HOOK": HOOK, "TOKEN": "xoxb-very-secret", "KEY": "very-secret-key", "TWO": "very-secret two words"}


def read(folder: Path, text: str) -> Settings:
    path = folder / "desk.toml"
    path.write_text(ACCOUNT + text, encoding="utf-8")
    return load(path, environ=ENVIRON, quiet=True)


def complaints(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(folder, text)
    assert "very-secret" not in str(caught.value)
    return [line.removeprefix(f"{folder / 'desk.toml'}: ") for line in str(caught.value).split("\n")]


def receiver(name: str, kind: str, *lines: str) -> str:
    needed = {"webhook": 'url_env = "HOOK"', "slack": 'url_env = "HOOK"', "pagerduty": 'routing_key_env = "KEY"'}
    return "\n".join([f"[receivers.{name}]", f'type = "{kind}"', *filter(None, [needed.get(kind)]), *lines, ""])


def test_scopes_are_those_of_alerts() -> None:
    assert list(get_args(ScopeName)) == [kind.value for kind in ScopeKind]
    assert get_args(LevelName) == LEVEL_NAMES


def test_each_type_has_what_it_needs(tmp_path: Path) -> None:
    text = (
        receiver("hook", "webhook", 'secret_env = "KEY"')
        + receiver("chat", "slack")
        + '[receivers.bot]\ntype = "slack"\ntoken_env = "TOKEN"\nchannel = "#margin"\n'
        + receiver("pager", "pagerduty")
        + '[receivers.am]\ntype = "alertmanager"\nurl = "http://127.0.0.1:9093/"\n'
        + '[receivers.secret-am]\ntype = "alertmanager"\nurl_env = "HOOK"\n'
    )
    settings = read(tmp_path, text)
    hook, chat, bot, pager, plain, hidden = settings.receivers.values()
    assert (hook.url, hook.secret, chat.url) == (Secret(HOOK), Secret("very-secret-key"), Secret(HOOK))
    assert (bot.url, bot.token, bot.channel) == (None, Secret("xoxb-very-secret"), "#margin")
    assert (pager.url, pager.routing_key) == (Secret("https://events.pagerduty.com/v2/enqueue"), Secret("very-secret-key"))
    assert (plain.url, hidden.url) == (Secret("http://127.0.0.1:9093"), Secret(HOOK))
    assert "very-secret" not in describe(settings) + repr(settings) + str(settings.model_dump())
    assert "receiver hook: webhook, from warning, secrets from environment HOOK and environment KEY, after 300 s in vain chat" in describe(
        settings
    )


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ('type = "webhook"', 'url_file: a receiver of type "webhook" needs its URL: set url_file or url_env'),
        (f'type = "webhook"\nurl = "{HOOK}"', "url: a secret may not stand in this file; write it into a file"),
        (f'type = "slack"\nurl = "{HOOK}?q=1"', "url: a secret may not stand in this file; write it into a file"),
        ('type = "slack"', 'url_file: a receiver of type "slack" needs its URL: set url_file or url_env (incoming webhook), or token_file'),
        ('type = "slack"\ntoken_env = "TOKEN"', "channel: a bot needs the channel it writes to: set channel"),
        ('type = "slack"\ntoken_env = "TOKEN"\nchannel = " "', "channel: a bot needs the channel"),
        ('type = "slack"\ntoken_env = "TOKEN"\nchannel = "#a"\nurl_env = "HOOK"', "token_env: an incoming webhook (url) and a bot (token)"),
        ('type = "slack"\nurl_env = "HOOK"\nchannel = "#a"', "channel: an incoming webhook has a channel of its own; remove the key"),
        ('type = "slack"\ntoken = "xoxb-very-secret"', "token: a secret may not stand in this file"),
        ('type = "slack"\ntoken_env = "TWO"\nchannel = "#a"', "token_env: what is kept there cannot be the token: expected one word"),
        ('type = "pagerduty"', 'routing_key_file: a receiver of type "pagerduty" needs its routing_key: set routing_key_file or'),
        ('type = "pagerduty"\nrouting_key = "very-secret"', "routing_key: a secret may not stand in this file"),
        ('type = "pagerduty"\nrouting_key_env = "KEY"\nurl_env = "KEY"', "url_env: the secret in environment KEY is not a URL"),
        ('type = "alertmanager"', 'url_file: a receiver of type "alertmanager" needs its URL: set url_file or url_env, or url where'),
        ('type = "alertmanager"\nurl = "https://me:very-secret@am"', "url: a URL here carries no credentials, query or fragment; keep"),
        ('type = "alertmanager"\nurl = "am:9093"', "url: expected a URL that starts with http:// or https:// and names a host; one that"),
        ('type = "alertmanager"\nurl = "http://am"\nurl_env = "HOOK"', "url: url and url_file or url_env are both given; keep one"),
        ('type = "webhook"\nurl_env = "HOOK"\ntoken_env = "TOKEN"', 'token_env: a receiver of type "webhook" has no token; remove'),
        ('type = "webhook"\nurl_env = "HOOK"\nchannel = "#a"', 'channel: a receiver of type "webhook" has no channel'),
        ('type = "log"\nsecret_env = "KEY"', 'secret_env: a receiver of type "log" has no secret'),
        ('type = "log"\nurl = "http://x"', 'url: a receiver of type "log" has no URL; remove the key'),
        ('type = "log"\nescalate_to = "b"', 'escalate_to: a receiver of type "log" always takes what it is sent'),
        ('type = "log"\nscopes = ["pol"]', 'scopes[0]: expected "pool", "account",'),
        ('type = "log"\nscopes = ["pool", "pool"]', 'scopes[1]: "pool" is listed twice; remove one'),
        ('type = "log"\ntags = ["a b"]', "tags[0]: expected a short name"),
        ('type = "page"', 'type: expected "log", "webhook", "slack", "pagerduty" or "alertmanager", got text "page"'),
    ],
)
def test_what_a_receiver_lacks_or_has_too_much(tmp_path: Path, lines: str, expected: str) -> None:
    (line,) = complaints(tmp_path, f"[receivers.a]\n{lines}\n")
    assert line.startswith(f"receivers.a.{expected}")


# -- who is told next --------------------------------------------------------------------------------------------------------------------


def test_the_next_one_that_is_no_log_stands_in(tmp_path: Path) -> None:
    text = receiver("chat", "slack") + receiver("file", "log") + receiver("pager", "pagerduty") + receiver("late", "webhook")
    assert read(tmp_path, text).escalations == {"chat": "pager", "pager": "late", "late": "chat"}
    told = text.replace('type = "slack"', 'type = "slack"\nescalate_to = "late"')
    assert read(tmp_path, told).escalations == {"chat": "late", "pager": "late", "late": "chat"}
    ordered = '[alerts]\nreceivers = ["late", "file", "chat"]\n' + text
    assert read(tmp_path, ordered).escalations == {"late": "chat", "chat": "late"}
    assert read(tmp_path, receiver("chat", "slack") + receiver("file", "log")).escalations == {}


@pytest.mark.parametrize(
    ("chat", "pager", "expected"),
    [
        ("chat", None, "receivers.chat.escalate_to: a receiver cannot stand in for itself; name another, or remove the key"),
        ("pagr", None, 'receivers.chat.escalate_to: no receiver "pagr" is configured; did you mean "pager"?'),
        ("", None, 'receivers.chat.escalate_to: no receiver "" is configured'),
        ("file", None, 'receivers.chat.escalate_to: "file" is a log, which wakes up nobody; name'),
        ("spare", None, 'receivers.chat.escalate_to: "spare" is not used by [alerts]; add it to alerts.receivers'),
        ("pager", "chat", "receivers.pager.escalate_to: goes round in a circle (chat -> pager -> chat); remove one of them"),
    ],
)
def test_escalations_to_nowhere_and_in_circles_are_refused(tmp_path: Path, chat: str | None, pager: str | None, expected: str) -> None:
    def to(name: str | None) -> str:
        return "" if name is None else f'escalate_to = "{name}"'

    text = (
        receiver("chat", "slack", to(chat))
        + receiver("pager", "pagerduty", to(pager))
        + receiver("spare", "webhook")
        + receiver("file", "log")
    )
    (line,) = complaints(tmp_path, '[alerts]\nreceivers = ["chat", "pager", "file"]\n' + text)
    assert line.startswith(expected)


def test_a_circle_beside_a_way_into_it_is_said_once(tmp_path: Path) -> None:
    ways = {"a": "b", "b": "c", "c": "b"}
    (line,) = complaints(tmp_path, "".join(receiver(name, "slack", f'escalate_to = "{to}"') for name, to in ways.items()))
    assert line.startswith("receivers.c.escalate_to: goes round in a circle (b -> c -> b)")


# -- whom nobody hears -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["receivers: none configured"]),
        (receiver("file", "log"), ["receivers: alerts go to the log alone, so nobody is paged"]),
        ("[alerts]\nreceivers = []\n" + receiver("chat", "slack"), ["alerts.receivers: empty, so alerts are shown but sent to nobody"]),
        (receiver("chat", "slack"), []),
        (
            receiver("chat", "slack", 'min_level = "liquidation"'),
            [f"accounts.hl: nobody is paged for its critical alerts of scope {scope}; lower min_level" for scope in ("pool", "account")],
        ),
        (
            receiver("chat", "slack", 'tags = ["desk"]'),
            [
                "accounts.hl: no receiver but the log takes alerts of scope pool with tags other, of",
                "accounts.hl: ",
                "portfolios.portfolio: ",
            ],
        ),
        (receiver("chat", "slack", 'tags = ["desk", "other"]'), []),
        (
            receiver("chat", "slack", 'scopes = ["pool", "account", "portfolio"]') + receiver("file", "log"),
            [f"receivers: no receiver but the log takes alerts of scope {scope}, of" for scope in ("feed", "receiver", "venue", "monitor")],
        ),
        (receiver("chat", "slack", 'min_level = "liquidation"') + receiver("pager", "pagerduty", 'tags = ["other"]'), []),
    ],
)
def test_whom_nobody_hears_is_warned_about(tmp_path: Path, text: str, expected: list[str]) -> None:
    tags = '[defaults]\ntags = ["other"]\n' if "tags" in text else ""
    found = read(tmp_path, tags + text).warnings
    assert len(found) == len(expected), found
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True))


def test_tags_of_nobody_concern_everybody() -> None:
    one = ReceiverSettings.model_validate({"type": "log", "tags": ["desk"], "min_level": "critical"})
    assert one.takes("venue", "critical", ())
    assert not one.takes("venue", "warning", ())
    assert not one.takes("pool", "liquidation", ("other",))
