"""`marginwatch demo --config`: what the file may say, what stays the simulators', and what is refused."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from config import DEMO, ConfigError
from config.settings import Settings
from monitor.cli import cli
from monitor.demo import Venues, demo_settings

CONTAINER = Path(__file__).resolve().parents[2] / "grafana" / "compose" / "demo.toml"


def _settings(tmp_path: Path, text: str, port: int | None = None) -> Settings:
    path = tmp_path / "demo.toml"
    path.write_text(text)
    return demo_settings(None, "crash", port, path)


def test_a_file_changes_what_is_not_the_simulators(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-word\n")
    (tmp_path / "token").chmod(0o600)
    text = """
        [monitor]
        listen = "0.0.0.0:9999"
        token_file = "token"
        [defaults]
        levels = { warning = 0.7 }
        [metrics]
        series_limit = 500
    """
    settings, shipped = _settings(tmp_path, text), demo_settings(None, "crash")
    assert settings.monitor.listen == "0.0.0.0:9999"
    assert settings.monitor.token is not None
    assert settings.monitor.token.reveal() == "a-word"
    assert settings.metrics.series_limit == 500
    assert {account.levels.warning for account in settings.accounts} == {0.7}
    assert [account.id for account in settings.accounts] == [account.id for account in shipped.accounts]
    assert [portfolio.id for portfolio in settings.portfolios] == ["desk", "pair", "iris-alone"]


def test_secrets_come_from_the_environment_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO_HOOK", "https://example.org/hook")
    settings = _settings(tmp_path, '[receivers.hook]\ntype = "webhook"\nurl_env = "DEMO_HOOK"\n')
    url = settings.receivers["hook"].url
    assert url is not None
    assert url.reveal() == "https://example.org/hook"


@pytest.mark.parametrize(
    ("text", "port", "listen"),
    [
        ("", None, "127.0.0.1:9876"),
        ("", 0, "127.0.0.1:0"),
        ('[monitor]\nlisten = "[::1]:9000"\n', None, "[::1]:9000"),
        ('[monitor]\nlisten = "[::1]:9000"\n', 9001, "[::1]:9001"),
    ],
)
def test_a_port_given_replaces_that_of_the_file(tmp_path: Path, text: str, port: int | None, listen: str) -> None:
    assert _settings(tmp_path, text, port).monitor.listen == listen


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[[accounts]]\nid = "mine"\nvenue = "hyperliquid"\n', "accounts: "),
        ('[[portfolios]]\nid = "mine"\naccounts = ["iris"]\n', "portfolios: "),
        ('[venues.aster]\nrest_url = "https://example.org"\n', "venues.aster.rest_url: "),
        ('[venues.deribit]\nws_url = "wss://example.org"\n', "venues.deribit.ws_url: "),
        ('[venues.hyperliquid]\nnetwork = "testnet"\n', "venues.hyperliquid.network: "),
        ('[monitor]\nlisten = "0.0.0.0:9876"\n', "monitor.listen: "),
        ("[monitor]\nlisten = 5\n", "monitor.listen: "),
        ("venues = 5\n", "venues: "),
    ],
)
def test_what_a_demo_cannot_have_is_told_by_its_key(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        _settings(tmp_path, text)
    assert str(refused.value).startswith(f"{tmp_path / 'demo.toml'}: {key}")


async def test_endpoints_are_the_simulators_whatever_else_the_file_says_of_a_venue(tmp_path: Path) -> None:
    path = tmp_path / "demo.toml"
    path.write_text("[venues.hyperliquid]\npoll_interval_s = 7.0\n")
    venues = Venues.of("calm", 30.0)
    await venues.start()
    try:
        settings = demo_settings(venues, "calm", 0, path)
    finally:
        await venues.stop()
    assert settings.venues.hyperliquid.poll_interval_s == 7.0
    assert settings.venues.hyperliquid.rest_endpoint == venues.hyperliquid.rest_url
    assert settings.venues.aster.ws_endpoint == venues.aster.ws_url
    assert settings.venues.deribit.ws_endpoint == venues.deribit.ws_url


def test_a_file_that_cannot_be_used_ends_the_command_before_anything_starts(tmp_path: Path) -> None:
    answer = CliRunner().invoke(cli, ["demo", "--config", str(tmp_path / "absent.toml")])
    assert answer.exit_code == 2
    assert "absent.toml: no such file; copy demo.toml" in answer.output


def test_the_containers_demo_is_the_shipped_one_but_for_its_surroundings() -> None:
    shipped, ours = (tomllib.loads(path.read_text(encoding="utf-8")) for path in (DEMO, CONTAINER))
    assert ours.pop("monitor") == {"listen": "0.0.0.0:9876", "token_file": "/run/marginwatch/token"}
    assert ours["receivers"].pop("alertmanager") == {"type": "alertmanager", "url": "http://alertmanager:9093"}
    del shipped["monitor"]
    assert ours == shipped
