"""`[alerts]`, `[heartbeat]`, `[[maintenance]]`: what is refused, and where alerts are kept."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from config import ConfigError, Settings, describe, load
from config.accounts import AccountSettings
from config.alerts import HeartbeatSettings

ACCOUNT = '[[accounts]]\nid = "hl"\nvenue = "hyperliquid"\naddress = "0x' + "1" * 40 + '"\n'
PING = "https://ping.example.com/very-secret-id"
WINDOW = '[[maintenance]]\nvenue = "aster"\nfrom = 2026-12-01T09:00:00+01:00\nuntil = 2026-12-01T10:00:00Z\nreason = "upgrade"\n'


def read(folder: Path, text: str, **environ: str) -> Settings:
    path = folder / "desk.toml"
    path.write_text(text + ACCOUNT, encoding="utf-8")
    return load(path, environ=environ, quiet=True)


def complaints(folder: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(folder, text, **environ)
    assert "very-secret" not in str(caught.value)
    return [line.removeprefix(f"{folder / 'desk.toml'}: ") for line in str(caught.value).split("\n")]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("distance = 1", "distance: expected a number less than 1, got integer 1"),
        ("rise_per_minute = -0.1", "rise_per_minute: expected a number of at least 0"),
        ("adl_quantile = 5", "adl_quantile: expected a number of at most 4, got integer 5"),
        ("adl_quantile = 2.5", "adl_quantile: expected an integer, got number 2.5"),
        ("depeg = { warning = 0.05 }", "depeg.warning: must be below critical, got 0.05 and critical 0.03"),
        ("key_expires_days = { warning = 2.0 }", "key_expires_days.warning: must be above critical, got 2 and critical 3"),
        ('link = "https://me:very-secret@desk"', "link: a URL here carries no credentials"),
        ('outbox = " "', 'outbox: expected the name of a file, or "memory"'),
        ('outbox = "kept/"', "outbox: expected the name of a file"),
        ("outbox = 3", "outbox: expected text in quotes, got integer 3"),
        ("deadline_s = 0", "deadline_s: expected a number greater than 0"),
        ("outbox_limit_s = 60", "outbox_limit_s: expected a number of at most 5"),
        ("transfer_shares = 1", 'transfer_shares: unknown key; did you mean "transfer_share"?'),
    ],
)
def test_problems_name_the_key(tmp_path: Path, line: str, expected: str) -> None:
    (problem,) = complaints(tmp_path, f"[alerts]\n{line}\n")
    assert problem.startswith(f"alerts.{expected}")


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        ("", {"XDG_STATE_HOME": "/state"}, "/state/marginwatch/desk.db"),
        ("", {"XDG_STATE_HOME": "state", "HOME": "/me"}, "/me/.local/state/marginwatch/desk.db"),
        ("", {"HOME": "/me"}, "/me/.local/state/marginwatch/desk.db"),
        ('[alerts]\noutbox = "kept/alerts.db"\n', {"HOME": "/me"}, "{folder}/kept/alerts.db"),
        ('[alerts]\noutbox = "/kept/alerts.db"\n', {}, "/kept/alerts.db"),
        ('[alerts]\noutbox = "memory"\n', {"HOME": "/me"}, None),
        ('[alerts]\noutbox = "./memory"\n', {}, "{folder}/memory"),
    ],
)
def test_where_alerts_are_kept(tmp_path: Path, text: str, environ: dict[str, str], expected: str | None) -> None:
    settings = read(tmp_path, text, **environ)
    assert settings.outbox_path == (None if expected is None else Path(expected.format(folder=tmp_path)))
    assert f"\nalerts are kept in {settings.outbox_path or 'memory only'}" in describe(settings)


def test_settings_without_a_file_are_kept_in_memory() -> None:
    settings = Settings(accounts=(AccountSettings(id="a", venue="hyperliquid", address=f"0x{1:040x}"),))
    assert settings.outbox_path is None
    assert settings.heartbeat is None
    assert settings.link == "http://127.0.0.1:9876"


def test_without_a_home_a_file_has_to_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert complaints(tmp_path, "") == ["alerts.outbox: this user has no home directory to keep alerts in; name a file here"]
    assert read(tmp_path, '[alerts]\noutbox = "a.db"\n').outbox_path == tmp_path / "a.db"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "http://127.0.0.1:9876"),
        ('[monitor]\nlisten = "[::1]:80"\n', "http://[::1]:80"),
        ('[monitor]\nlisten = "127.0.0.1:0"\n', ""),
        ('[monitor]\nlisten = "0.0.0.0:80"\ntoken_env = "T"\n', ""),
        ('[alerts]\nlink = "https://desk.example/margin/"\n', "https://desk.example/margin"),
    ],
)
def test_links_are_only_what_readers_can_open(tmp_path: Path, text: str, expected: str) -> None:
    assert read(tmp_path, text, T="token").link == expected


# -- heartbeat ---------------------------------------------------------------------------------------------------------------------------


def test_a_heartbeat_has_its_url_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "ping").write_text(PING)
    (tmp_path / "ping").chmod(0o644)
    settings = read(tmp_path, '[heartbeat]\nurl_file = "ping"\nevery_s = 10\n')
    assert settings.heartbeat is not None
    assert (settings.heartbeat.url.reveal(), settings.heartbeat.every_s, settings.heartbeat.fresh_within_s) == (PING, 10, 15)
    assert "heartbeat: every 10 s while all data are fresher than 15 s, URL from file ping" in describe(settings)
    assert any(warning.startswith('heartbeat: the secret file "ping" can be read by every user') for warning in settings.warnings)
    assert "very-secret" not in describe(settings) + repr(settings)
    with pytest.raises(RuntimeError, match="never validated"):
        _ = HeartbeatSettings.model_construct().url


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", "heartbeat.url_file: the heartbeat needs its URL: set url_file or url_env"),
        (f'url = "{PING}"', "heartbeat.url: a secret may not stand in this file"),
        ('url_env = "WORD"', "heartbeat.url_env: the secret in environment WORD is not a URL"),
        ('url_env = "PING"\nevery_s = 0.5', "heartbeat.every_s: expected a number of at least 1"),
    ],
)
def test_what_a_heartbeat_lacks(tmp_path: Path, lines: str, expected: str) -> None:
    assert complaints(tmp_path, f"[heartbeat]\n{lines}\n", WORD="very-secret", PING=PING)[-1].startswith(expected)


# -- maintenance -------------------------------------------------------------------------------------------------------------------------


def test_a_window_is_told_in_utc_and_holds_from_its_start_to_its_end(tmp_path: Path) -> None:
    settings = read(tmp_path, WINDOW)
    (window,) = settings.maintenance
    noon = datetime.datetime(2026, 12, 1, 8, tzinfo=datetime.UTC)
    began = round(noon.timestamp() * 1000)
    assert (window.from_ms, window.until_ms) == (began, began + 2 * 3_600_000)
    assert [window.is_on(began + shift) for shift in (-1, 0, 7_199_999, 7_200_000)] == [False, True, True, False]
    assert read(tmp_path, WINDOW.replace("2026-12-01T10:00:00Z", '"2026-12-01 10:00:00+00:00"')).maintenance == settings.maintenance
    assert "maintenance of aster: 2026-12-01 08:00 UTC to 2026-12-01 10:00 UTC: upgrade" in describe(settings)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"aster"', '"astr"', 'maintenance[0].venue: expected "hyperliquid", "aster" or "deribit", got text "astr"; did you mean "aster"?'),
        ("T10:00:00Z", "T10:00:00", "maintenance[0].until: has no time zone; write it with its offset, such as 2026-12-01T08:00:00Z"),
        ("2026-12-01T10:00:00Z", "2026-12-01", "maintenance[0].until: expected a date and time with its offset, such as"),
        ("2026-12-01T10:00:00Z", '"at ten"', "maintenance[0].until: expected a date and time with its offset, such as"),
        ("T10:", "T08:", "maintenance[0].until: must be after from"),
        ('"upgrade"', '" "', "maintenance[0].reason: expected a line of text"),
        ('"upgrade"', '"up\\ngrade"', "maintenance[0].reason: expected a line of text"),
        ("from =", "begins =", "maintenance[0].begins: unknown key; known: from, reason, until, venue"),
    ],
)
def test_windows_that_make_no_sense_are_refused(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert any(line.startswith(expected) for line in complaints(tmp_path, WINDOW.replace(old, new)))
