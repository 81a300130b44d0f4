from __future__ import annotations

import copy
import logging
import pickle
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from config import DEMO, EXAMPLE, ConfigError, Secret, Settings, describe, load
from config.alerts import HeartbeatSettings, MaintenanceWindow

ADDRESS = "0xAbCdEf0123456789aBcDeF0123456789abcdef01"
OTHER = "0x" + "12" * 20
ACCOUNT = f"""
[[accounts]]
id = "hl-main"
venue = "hyperliquid"
address = "{ADDRESS}"
"""
KEY = "0x" + "0123" * 16
HOOK = "https://hooks.example.com/services/very-secret-path"


def read(tmp_path: Path, text: str, environ: dict[str, str] | None = None, **overrides: Any) -> Settings:
    path = tmp_path / "marginwatch.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, environ=environ or {}, overrides=overrides)


def complaints(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, environ)
    prefix = f"{tmp_path / 'marginwatch.toml'}: "
    lines = str(caught.value).split("\n")
    assert all(line.startswith(prefix) for line in lines)
    return [line.removeprefix(prefix) for line in lines]


def test_one_account_is_enough_and_the_rest_has_defaults(tmp_path: Path) -> None:
    settings = read(tmp_path, ACCOUNT)
    account = settings.accounts[0]
    assert account.address == ADDRESS.lower()
    assert (account.levels.warning, account.levels.critical, account.levels.liquidation) == (0.85, 0.90, 1.0)
    venue = settings.venues.hyperliquid
    assert (venue.rest_endpoint, venue.ws_endpoint) == ("https://api.hyperliquid.xyz", "wss://api.hyperliquid.xyz/ws")
    assert venue.ip_budget_share == 0.25
    assert (venue.stale_after_s.contexts, venue.stale_after_s.clearinghouse, venue.stale_after_s.spot) == (15, 20, 60)
    assert (settings.monitor.host, settings.monitor.port, settings.monitor.token) == ("127.0.0.1", 9876, None)


def test_example_shows_the_defaults_and_every_setting(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    settings = load(EXAMPLE, environ={})
    bare = read(tmp_path, ACCOUNT)
    assert settings.monitor == bare.monitor
    assert settings.defaults == bare.defaults
    assert settings.venues == bare.venues
    assert settings.alerts.model_copy(update={"receivers": None}) == bare.alerts

    def keys(model: Any) -> set[str]:
        found: set[str] = set()
        for name, field in type(model).model_fields.items():
            found.add(field.alias or name)
            value = getattr(model, name, None)
            found |= keys(value) if hasattr(type(field.default), "model_fields") else set()
        return found

    assert (settings.portfolio, settings.portfolios) == (bare.portfolio, bare.portfolios)
    expected = keys(settings) | keys(settings.accounts[0]) | keys(settings.receivers["ops"])
    expected |= keys(settings.portfolios[0]) | keys(settings.portfolio.eligibility)
    for table in (HeartbeatSettings, MaintenanceWindow):
        expected |= {field.alias or name for name, field in table.model_fields.items()}
    headings = re.findall(r"^(?:# )?\[+([\w.]+)\]", text, re.MULTILINE)
    written = {*re.findall(r"\w+(?= = )", text), *".".join(headings).split(".")}
    assert expected - written == set()


def test_commented_settings_of_the_example_are_valid(tmp_path: Path) -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    settings_shown = [line.startswith("# ") and (line[2:].split(" ")[1:2] == ["="] or line.startswith("# [")) for line in lines]
    loud = "\n".join(line.removeprefix("# ") if shown else line for line, shown in zip(lines, settings_shown, strict=True))
    hmac = ("api_key_file =", "api_key_env =", "api_secret_file =", "api_secret_env =")
    client = ("client_id_env =", "client_secret_env =")
    receivers = ("routing_key_env =", "secret_env =", 'receivers = ["ops"]')
    for unwanted in ("token_env =", "url_env =", "agent_key_env =", *hmac, *client, *receivers):
        assert unwanted in loud
        loud = loud.replace(f"\n{unwanted}", f"\n# {unwanted}")
    for name in ("token", "slack_token", "hook_secret", "pd_key"):
        (tmp_path / name).write_text(f"{name}-value")
    for name in ("hook_url", "heartbeat_url"):
        (tmp_path / name).write_text(HOOK)
    (tmp_path / "agent_key").write_text(KEY)
    (tmp_path / "client_id").write_text("an-id")
    (tmp_path / "client_secret").write_text("its-secret")
    settings = read(tmp_path, loud)
    aster, deribit = settings.accounts[1:]
    assert (deribit.client_id, deribit.client_secret) == (Secret("an-id"), Secret("its-secret"))
    assert settings.market.beta == {"HYPE": 1.4}
    assert (aster.venue, aster.auth, aster.agent_key, aster.allow_unsafe_key) == ("aster", "v3", Secret(KEY), False)
    assert settings.fx == {"USDC": 1.0, "USDT": 1.0}
    assert settings.accounts[0].levels.warning == 0.80
    assert settings.monitor.kernel_cache_dir == tmp_path / "cache"
    desk_hook, chat, pager, alertmanager = list(settings.receivers.values())[1:]
    assert (desk_hook.url, desk_hook.secret) == (Secret(HOOK), Secret("hook_secret-value"))
    assert (chat.url, chat.token, chat.channel) == (None, Secret("slack_token-value"), "#margin")
    assert (pager.routing_key, alertmanager.url) == (Secret("pd_key-value"), Secret("http://127.0.0.1:9093"))
    assert settings.escalations == {"desk": "pager", "chat": "pager", "pager": "am", "am": "desk"}
    assert settings.heartbeat is not None
    assert settings.heartbeat.url == Secret(HOOK)
    assert (settings.link, settings.outbox_path) == ("https://margin.desk.example", tmp_path / "alerts.db")
    (window,) = settings.maintenance
    assert (window.venue, window.until_ms - window.from_ms) == ("aster", 2 * 3600 * 1000)
    (desk,) = settings.portfolios
    assert (desk.id, desk.accounts, desk.parameters, desk.eligibility.coins) == ("desk", ("hl-main",), "house", ("BTC", "ETH"))
    assert (desk.parameter_set.unit("BTC").price_range, desk.parameter_set.portfolio.safety_buffer) == (0.12, 0.05)


def test_demo_needs_only_the_accounts(tmp_path: Path) -> None:
    account = {"id": "demo", "venue": "hyperliquid", "address": OTHER}
    over = {"accounts": [account], "venues": {"hyperliquid": {"rest_url": "http://127.0.0.1:1", "ws_url": "ws://127.0.0.1:1/ws"}}}
    settings = load(DEMO, environ={}, overrides=over)
    assert settings.venues.hyperliquid.rest_endpoint == "http://127.0.0.1:1"
    assert settings.venues.hyperliquid.poll_interval_s == 2.0
    assert settings.alert_receivers == ("terminal",)
    with pytest.raises(ConfigError, match="accounts: no account to watch"):
        load(DEMO, environ={})


def test_levels_and_tags_are_inherited(tmp_path: Path) -> None:
    text = f"""
[defaults]
levels = {{ warning = 0.7, critical = 0.8 }}
tags = ["desk"]
{ACCOUNT}
[[accounts]]
id = "second"
venue = "hyperliquid"
address = "{OTHER}"
levels = {{ critical = 0.75 }}
tags = ["own"]
"""
    first, second = read(tmp_path, text).accounts
    assert (first.levels.warning, first.levels.critical, first.tags) == (0.7, 0.8, ("desk",))
    assert (second.levels.warning, second.levels.critical, second.tags) == (0.7, 0.75, ("own",))


def test_several_problems_are_listed_at_once(tmp_path: Path) -> None:
    text = f"""
[monitor]
log_levl = "info"
[alerts]
hold_s = "5"
[[accounts]]
id = "a"
venue = "hyperliqid"
addres = "{ADDRESS}"
[receivers.ops]
tipe = "log"
type = "log"
"""
    assert complaints(tmp_path, text) == [
        'monitor.log_levl: unknown key; did you mean "log_level"?',
        'alerts.hold_s: expected a number, got text "5"',
        'accounts[0].venue: expected "hyperliquid", "aster" or "deribit", got text "hyperliqid"; did you mean "hyperliquid"?',
        'accounts[0].addres: unknown key; did you mean "address"?',
        'receivers.ops.tipe: unknown key; did you mean "type"?',
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("monitr = 1\n" + ACCOUNT, 'monitr: unknown key; did you mean "monitor"?'),
        (
            "zzz = 1\n" + ACCOUNT,
            "zzz: unknown key; known: accounts, alerts, defaults, fx, heartbeat, maintenance, market, metrics, monitor, portfolio, "
            "portfolios, receivers, venues",
        ),
        (ACCOUNT + "levels = { warn = 0.8 }", 'accounts[0].levels.warn: unknown key; did you mean "warning"?'),
        ("[venues.hyperliquid.stale_after_s]\ncontext = 3\n" + ACCOUNT, 'unknown key; did you mean "contexts"?'),
        ("[alerts]\nhysteresis = true\n" + ACCOUNT, "alerts.hysteresis: expected a number, got boolean true"),
        ("[alerts]\nhold_s = -1\n" + ACCOUNT, "alerts.hold_s: expected a number of at least 0, got integer -1"),
        ("[alerts]\nhold_s = nan\n" + ACCOUNT, "alerts.hold_s: expected a finite number, got number nan"),
        ("[alerts]\nhysteresis = 0.2\n[defaults]\nlevels = {warning = 0.1}\n" + ACCOUNT, "alerts.hysteresis: expected less than"),
        ("[venues.hyperliquid]\nip_budget_share = 0\n" + ACCOUNT, "ip_budget_share: expected a number greater than 0, got integer 0"),
        ("[venues.hyperliquid]\nip_budget_share = 1.5\n" + ACCOUNT, "ip_budget_share: expected a number of at most 1, got number 1.5"),
        ('[venues.hyperliquid]\nnetwork = "main"\n' + ACCOUNT, 'expected "mainnet" or "testnet", got text "main"; did you mean "mainnet"?'),
        ("[defaults]\nlevels = { warning = 0.95 }\n" + ACCOUNT, "defaults.levels.warning: must be below critical, got 0.95"),
        ("[defaults]\nlevels = { warning = 0 }\n" + ACCOUNT, "defaults.levels.warning: expected a number greater than 0, got integer 0"),
        ("[defaults]\nlevels = { liquidation = 1.1 }\n" + ACCOUNT, "defaults.levels.liquidation: 1.0 is where the venue liquidates"),
        ('[alerts]\nreceivers = ["opps"]\n[receivers.ops]\ntype = "log"' + ACCOUNT, 'receivers[0]: no receiver "opps" is configured'),
        ('[alerts]\nreceivers = ["a", "a"]\n[receivers.a]\ntype = "log"' + ACCOUNT, 'receivers[1]: "a" is listed twice'),
        ("accounts = 3", "accounts: expected a list, got integer 3"),
        ("accounts = [3]", "accounts[0]: expected a table, got integer 3"),
        ("accounts = []", "accounts: no account to watch; add [[accounts]]"),
        ("", "accounts: no account to watch; add [[accounts]]"),
        (
            ACCOUNT + 'mode = "cross"',
            '"segregated_sm", "segregated_pm", "cross_sm" or "cross_pm", got text "cross"',
        ),
        ('[monitor]\nlisten = "9876"\n' + ACCOUNT, 'monitor.listen: expected "host:port"'),
        ('[monitor]\nlisten = "127.0.0.1:99999"\n' + ACCOUNT, 'monitor.listen: expected "host:port"'),
        ("[monitor]\nlisten = 2026-01-01\n" + ACCOUNT, "monitor.listen: expected text in quotes, got a date or time"),
        ('[receivers."x y"]\ntype = "log"\n' + ACCOUNT, 'receivers."x y": expected a short name'),
        ('[receivers.a]\ntype = "log"\nurl_env = "A"\n' + ACCOUNT, 'receivers.a.url_env: a receiver of type "log" has no URL'),
        ('[receivers.a]\ntype = "slack"\n' + ACCOUNT, 'receivers.a.url_file: a receiver of type "slack" needs its URL'),
    ],
)
def test_problem_names_key_expected_and_got(tmp_path: Path, text: str, expected: str) -> None:
    lines = complaints(tmp_path, text)
    assert len(lines) == 1
    assert expected in lines[0]


@pytest.mark.parametrize("bad", [ADDRESS[:-1], ADDRESS + "0", ADDRESS[2:], "0x" + "g" * 40, "", "hello"])
def test_bad_addresses_are_refused_and_never_repeated(tmp_path: Path, bad: str) -> None:
    (line,) = complaints(tmp_path, ACCOUNT.replace(ADDRESS, bad))
    assert line.startswith(f"accounts[0].address: expected 0x and 40 hex digits (42 characters), got {len(bad)} characters")
    assert not bad or bad not in line


def test_an_address_in_the_wrong_place_is_not_repeated(tmp_path: Path) -> None:
    text = ACCOUNT.replace('"hl-main"', f'"{ADDRESS}"') + f'[venues.hyperliquid]\nnetwork = "{ADDRESS}"\n["{ADDRESS}"]\n'
    joined = "\n".join(complaints(tmp_path, text))
    assert "accounts[0].id" in joined
    assert "venues.hyperliquid.network" in joined
    assert ADDRESS not in joined
    assert ADDRESS[2:].lower() not in joined.lower()


@pytest.mark.parametrize("key", ["cd" * 32, "0x" + "cd" * 32])
def test_a_private_key_in_the_wrong_place_is_not_repeated(tmp_path: Path, key: str) -> None:
    (line,) = complaints(tmp_path, f'[venues.hyperliquid]\nnetwork = "{key}"\n{ACCOUNT}')
    assert "cdcdcdcd" not in line


def test_duplicates_are_named(tmp_path: Path) -> None:
    again = ACCOUNT.replace(ADDRESS, ADDRESS.lower())
    assert complaints(tmp_path, ACCOUNT + again) == [
        'accounts[1].id: "hl-main" is already the id of accounts[0]; give each account its own',
        'accounts[1].address: the address is the one of accounts[0] ("hl-main"); remove one of them',
    ]


@pytest.mark.parametrize(
    ("key", "value", "valid"),
    [
        ("rest_url", "http://127.0.0.1:8000/", True),
        ("ws_url", "wss://host/ws", True),
        ("rest_url", "ws://host", False),
        ("ws_url", "https://host", False),
        ("rest_url", "https://user:pa55@host", False),
        ("rest_url", "https://host?key=pa55", False),
        ("rest_url", "https://", False),
        ("rest_url", "https://host:pa55", False),
        ("rest_url", "https://[pa55", False),
        ("ws_url", "file:///etc/passwd", False),
    ],
)
def test_endpoints(tmp_path: Path, key: str, value: str, valid: bool) -> None:
    text = f'[venues.hyperliquid]\n{key} = "{value}"\n{ACCOUNT}'
    if valid:
        assert getattr(read(tmp_path, text).venues.hyperliquid, key) == value.rstrip("/")
        return
    (line,) = complaints(tmp_path, text)
    assert line.startswith(f"venues.hyperliquid.{key}: ")
    assert "pa55" not in line


def test_testnet_has_its_own_endpoints(tmp_path: Path) -> None:
    venue = read(tmp_path, '[venues.hyperliquid]\nnetwork = "testnet"\n' + ACCOUNT).venues.hyperliquid
    assert (venue.rest_endpoint, venue.ws_endpoint) == ("https://api.hyperliquid-testnet.xyz", "wss://api.hyperliquid-testnet.xyz/ws")


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.5", "[::]", "desk.example.com"])
def test_open_address_needs_a_token(tmp_path: Path, host: str) -> None:
    text = f'[monitor]\nlisten = "{host}:80"\n'
    (line,) = complaints(tmp_path, text + ACCOUNT)
    assert line.startswith("monitor.listen: others can reach this address, so a token is needed")
    settings = read(tmp_path, text + 'token_env = "MW_TOKEN"\n' + ACCOUNT, {"MW_TOKEN": "t0ken"})
    assert settings.monitor.token == Secret("t0ken")


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "127.8.8.8"])
def test_loopback_needs_no_token(tmp_path: Path, host: str) -> None:
    assert read(tmp_path, f'[monitor]\nlisten = "{host}:0"\n' + ACCOUNT).monitor.is_loopback


def test_secrets_come_from_file_or_environment_and_hide(tmp_path: Path) -> None:
    secret_file = tmp_path / "hook"
    secret_file.write_text(HOOK + "\n")
    secret_file.chmod(0o600)
    text = ACCOUNT + '[receivers.a]\ntype = "slack"\nurl_file = "hook"\n[receivers.b]\ntype = "webhook"\nurl_env = "HOOK"\n'
    settings = read(tmp_path, text, {"HOOK": HOOK})
    for name in ("a", "b"):
        url = settings.receivers[name].url
        assert url is not None
        assert url.reveal() == HOOK
        for shown in (repr(url), str(url), f"{url}", f"{url:>30}", repr(settings), str(settings.model_dump()), describe(settings)):
            assert "very-secret-path" not in shown
    assert settings.warnings == ()


def test_a_secret_for_the_group_is_not_warned_about(tmp_path: Path) -> None:
    (tmp_path / "hook").write_text(HOOK)
    (tmp_path / "hook").chmod(0o640)
    assert read(tmp_path, ACCOUNT + '[receivers.a]\ntype = "slack"\nurl_file = "hook"\n').warnings == ()


def test_world_readable_secret_is_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "hook").write_text(HOOK)
    (tmp_path / "hook").chmod(0o644)
    with caplog.at_level(logging.WARNING, "marginwatch.config"):
        settings = read(tmp_path, ACCOUNT + '[receivers.a]\ntype = "slack"\nurl_file = "hook"\n')
    expected = 'receivers.a: the secret file "hook" can be read by every user; run chmod 600 on it'
    assert settings.warnings == (expected,)
    assert expected in caplog.text
    assert f"warning: {expected}" in describe(settings)
    assert "very-secret-path" not in caplog.text


@pytest.mark.parametrize(
    ("lines", "path", "message"),
    [
        (f'url = "{HOOK}"', "receivers.a.url", "name that with url_file, or set an environment variable and name that with url_env"),
        (f'url_env = "{HOOK}"', "receivers.a.url_env", "expected the name of an environment variable"),
        (f'url_file = "{HOOK}"', "receivers.a.url_file", "expected the name of a file that holds the secret"),
        ('url_env = "NOT_SET"', "receivers.a.url_env", "the environment variable NOT_SET is not set or empty"),
        ('url_env = "verySecret7"', "receivers.a.url_env", "the environment variable named here is not set"),
        ('url_file = "very-secret"', "receivers.a.url_file", "the file named here cannot be read: No such file"),
        ('url_file = "empty"', "receivers.a.url_file", "the file named here is empty"),
        ('url_file = "empty"\nurl_env = "BAD"', "receivers.a.url_env", "are both given"),
        ('url_env = "BAD"', "receivers.a.url_env", "is not a URL that starts with https:// or http://"),
        ("url_env = 5", "receivers.a.url_env", "expected text in quotes, got integer"),
    ],
)
def test_secret_problems_name_the_remedy_and_not_the_secret(tmp_path: Path, lines: str, path: str, message: str) -> None:
    (tmp_path / "empty").touch()
    found = complaints(tmp_path, f'{ACCOUNT}[receivers.a]\ntype = "slack"\n{lines}\n', {"BAD": "very-secret text"})
    (line,) = [line for line in found if line.startswith(f"{path}: ")]
    assert message in line
    assert "secret-path" not in "".join(found)
    assert "very-secret" not in "".join(found)
    assert "verySecret7" not in "".join(found)


def test_inline_token_is_refused(tmp_path: Path) -> None:
    (line,) = complaints(tmp_path, '[monitor]\ntoken = "hunter2"\n' + ACCOUNT)
    assert line.startswith("monitor.token: a secret may not stand in this file; ")
    assert "token_env" in line
    assert "hunter2" not in line


def test_a_secret_is_copied_but_not_pickled() -> None:
    secret = Secret("x")
    assert copy.deepcopy(secret) is secret
    assert copy.copy(secret) is secret
    assert len({secret, Secret("x"), Secret("y")}) == 2
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; write one after"):
        load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"x = '\xff'")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load(tmp_path / "latin.toml")
    assert "is not valid TOML: " in complaints(tmp_path, "a = = 1")[0]


def test_settings_are_immutable(tmp_path: Path) -> None:
    settings = read(tmp_path, ACCOUNT)
    with pytest.raises(ValidationError, match="frozen"):
        settings.alerts.hold_s = 1.0


def test_describe_shortens_addresses(tmp_path: Path) -> None:
    text = ACCOUNT + 'mode = "unified"\ntags = ["x"]\n[alerts]\nreceivers = []\n[receivers.ops]\ntype = "log"\nmin_level = "critical"\n'
    environ = {"XDG_STATE_HOME": "/state"}
    assert describe(read(tmp_path, text, environ)) == (
        "listen 127.0.0.1:9876 (this machine only, no token)\n"
        "hyperliquid mainnet: https://api.hyperliquid.xyz wss://api.hyperliquid.xyz/ws, 25% of the per-IP limits\n"
        "account hl-main: hyperliquid 0xabcd…ef01, mode unified, levels 0.85 / 0.9 / 1, tags x\n"
        "portfolio portfolio: accounts hl-main, parameters uta of 2026-11-21, levels 0.85 / 0.9, "
        "not acknowledged (portfolio.eligibility.acknowledged)\n"
        "receiver ops: log, from critical, not used by [alerts]\n"
        "alerts are kept in /state/marginwatch/marginwatch.db\n"
        "warning: alerts.receivers: empty, so alerts are shown but sent to nobody; name those that are to be told"
    )
    assert ADDRESS.lower() not in repr(read(tmp_path, text))
    assert "warning: receivers: none configured" in describe(read(tmp_path, ACCOUNT))


def test_import_is_light() -> None:
    heavy = ("numpy", "numba", "aiohttp", "websockets", "asyncio", "connectors", "monitor")
    code = f"import sys, config; print([m for m in {heavy} if m in sys.modules])"
    times = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=EXAMPLE.parents[1])
        times.append(time.perf_counter() - start)
        assert done.stdout == "[]\n"
    # The real limit is 0.25 s; the best of three, with room for a busy machine, still catches a heavy import.
    assert min(times) < 0.6


ASTER = """
[[accounts]]
id = "aster-main"
venue = "aster"
"""


def test_an_aster_account_is_read_with_an_agents_key(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f" {KEY}\n")
    (tmp_path / "key").chmod(0o600)
    settings = read(tmp_path, ASTER + f'address = "{OTHER}"\nagent_key_file = "key"\n')
    (account,) = settings.accounts
    assert account.agent_key == Secret(KEY)
    assert KEY not in repr(settings) + describe(settings)
    assert "account aster-main: aster 0x1212…1212, mode any, levels 0.85 / 0.9 / 1, v3 key from file key" in describe(settings)
    assert not any(warning.startswith("accounts") for warning in settings.warnings)


def test_an_old_api_key_needs_no_address(tmp_path: Path) -> None:
    environ = {"K": "key-of-old", "S": "its-secret"}
    text = ASTER + 'auth = "hmac"\napi_key_env = "K"\napi_secret_env = "S"\nallow_unsafe_key = true\n'
    settings = read(tmp_path, text, environ)
    (account,) = settings.accounts
    assert (account.address, account.api_key, account.api_secret) == ("", Secret("key-of-old"), Secret("its-secret"))
    assert account.agent_key is None
    assert "key-of-old" not in describe(settings)
    assert any(warning.startswith("accounts.aster-main: allow_unsafe_key") for warning in settings.warnings)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (f'address = "{OTHER}"', 'accounts[0].agent_key_file: an Aster account with auth "v3" needs its agent_key'),
        ('agent_key_env = "K"', "accounts[0].address: missing; this key is required"),
        ('auth = "hmac"\napi_key_env = "K"', 'accounts[0].api_secret_file: an Aster account with auth "hmac" needs its api_secret'),
        (f'address = "{OTHER}"\nagent_key_env = "K"\napi_key_env = "K"', 'accounts[0].api_key_env: belongs to auth "hmac"'),
        (f'address = "{OTHER}"\nagent_key = "{KEY}"', "accounts[0].agent_key: a secret may not stand in this file"),
        (f'address = "{OTHER}"\nagent_key_env = "{KEY}"', "accounts[0].agent_key_env: expected the name of an environment variable"),
        (f'address = "{OTHER}"\nagent_key_env = "K"\nmode = "unified"', 'accounts[0].mode: "unified" is no mode of aster'),
    ],
)
def test_what_an_aster_account_lacks(tmp_path: Path, lines: str, expected: str) -> None:
    (problem,) = complaints(tmp_path, ASTER + lines, {"K": KEY})
    assert problem.startswith(expected)
    assert KEY not in problem


@pytest.mark.parametrize("key", ["0x1234", "0x" + "0" * 64, KEY + "00", KEY.replace("0x", "") + "\nzz", "g" * 64])
@pytest.mark.parametrize("where", ["file", "env"])
def test_what_cannot_be_an_agents_key_is_said_before_the_start_and_not_repeated(tmp_path: Path, key: str, where: str) -> None:
    (tmp_path / "K").write_text(key)
    (problem,) = complaints(tmp_path, ASTER + f'address = "{OTHER}"\nagent_key_{where} = "K"\n', {"K": key})
    assert problem.startswith(f"accounts[0].agent_key_{where}: what is kept there cannot be the agent_key: expected 64 hex digits")
    assert key not in problem


def test_an_api_key_is_one_word(tmp_path: Path) -> None:
    lines = 'auth = "hmac"\napi_key_env = "K"\napi_secret_env = "S"\n'
    (problem,) = complaints(tmp_path, ASTER + lines, {"K": "two words", "S": "its-secret"})
    assert problem.startswith("accounts[0].api_key_env: what is kept there cannot be the api_key: expected one word")


def test_hyperliquid_needs_no_key(tmp_path: Path) -> None:
    (problem,) = complaints(tmp_path, ACCOUNT + 'agent_key_env = "K"\n', {"K": KEY})
    assert problem == "accounts[0].agent_key_env: an account on hyperliquid is read without a key; remove it"


DERIBIT = '[[accounts]]\nid = "hedges"\nvenue = "deribit"\n'


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", "accounts[0].client_id_file: a Deribit account needs its client_id: set client_id_file or client_id_env"),
        ('client_id_env = "K"', "accounts[0].client_secret_file: a Deribit account needs its client_secret"),
        (
            'client_id_env = "K"\nclient_secret_env = "K"\nagent_key_env = "K"',
            "accounts[0].agent_key_env: an account on deribit is not read",
        ),
        (f'client_id_env = "K"\nclient_secret_env = "K"\naddress = "{OTHER}"', "accounts[0].address: a Deribit account is read with"),
        ('client_id_env = "K"\nclient_secret_env = "K"\nauth = "hmac"', "accounts[0].auth: a Deribit account is read with"),
    ],
)
def test_what_a_deribit_account_lacks(tmp_path: Path, lines: str, expected: str) -> None:
    (problem,) = complaints(tmp_path, DERIBIT + lines, {"K": KEY})
    assert problem.startswith(expected)
    assert KEY not in problem


def test_a_deribit_account_is_read_with_a_client(tmp_path: Path) -> None:
    settings = read(
        tmp_path, DERIBIT + 'client_id_env = "I"\nclient_secret_env = "S"\nmode = "cross_pm"\n', {"I": "an-id", "S": "its-secret"}
    )
    assert settings.accounts[0].client_secret == Secret("its-secret")
    assert "its-secret" not in repr(settings) + describe(settings)
    assert "account hedges: deribit, mode cross_pm" in describe(settings)
