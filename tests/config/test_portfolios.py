from __future__ import annotations

from pathlib import Path

import pytest

from config import ConfigError, Settings, describe, load, load_parameters
from config.accounts import AccountSettings

ACCOUNTS = "".join(
    f'[[accounts]]\nid = "{name}"\nvenue = "hyperliquid"\naddress = "0x{number:040x}"\n'
    for number, name in enumerate(("one", "two", "three"))
)
OWN = 'name = "own"\ndated = 2026-02-03\nbase = "house"\n[coins.BTC]\nprice_range = 0.11\n'


def read(folder: Path, text: str) -> Settings:
    path = folder / "marginwatch.toml"
    path.write_text(ACCOUNTS + text, encoding="utf-8")
    return load(path, environ={})


def complaints(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(folder, text)
    return [line.removeprefix(f"{folder / 'marginwatch.toml'}: ") for line in str(caught.value).split("\n")]


def test_without_a_word_there_is_one_portfolio_of_all_accounts(tmp_path: Path) -> None:
    (portfolio,) = read(tmp_path, "").portfolios
    assert (portfolio.id, portfolio.accounts) == ("portfolio", ("one", "two", "three"))
    assert portfolio.parameter_set == load_parameters("uta")
    wanted = portfolio.eligibility
    assert (wanted.enabled, wanted.minimum_equity, wanted.coins, wanted.acknowledged) == (True, 0.0, None, False)


def test_settings_built_without_a_file_are_complete_too() -> None:
    account = AccountSettings(id="a", venue="hyperliquid", address=f"0x{1:040x}")
    (portfolio,) = Settings(accounts=(account,)).portfolios
    assert (portfolio.accounts, portfolio.parameter_set.name) == (("a",), "uta")


def test_the_table_holds_for_the_portfolio_of_all_accounts(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(OWN)
    text = """
[portfolio]
parameters = "own.toml"
[portfolio.overrides.ETH]
f_A = 0.5
[portfolio.overrides."*"]
eta = 2.0
[portfolio.eligibility]
minimum_equity = 5e5
coins = ["BTC"]
acknowledged = true
"""
    settings = read(tmp_path, text)
    (portfolio,) = settings.portfolios
    found = portfolio.parameter_set
    assert (found.name, found.unit("BTC").price_range, found.unit("ETH").f_A, found.portfolio.eta) == ("own", 0.11, 0.5, 2.0)
    assert portfolio.eligibility == settings.portfolio.eligibility
    (line,) = [line for line in describe(settings).splitlines() if line.startswith("portfolio ")]
    assert line == (
        "portfolio portfolio: accounts one two three, parameters own of 2026-02-03, levels 0.85 / 0.9, overridden for ETH *, "
        "equity from 500,000 USD, coins BTC"
    )


def test_a_portfolio_takes_what_it_leaves_out_from_the_table(tmp_path: Path) -> None:
    text = """
[portfolio]
parameters = "house"
overrides = { BTC = { f_A = 0.5, f_B = 0.5 }, ETH = { f_A = 0.25 } }
eligibility = { minimum_equity = 7, acknowledged = true }
[[portfolios]]
id = "left"
accounts = ["one", "two"]
[[portfolios]]
id = "right"
accounts = ["two"]
parameters = "uta"
overrides = { BTC = { f_A = 0.75 } }
eligibility = { minimum_equity = 8, enabled = false }
"""
    settings = read(tmp_path, text)
    left, right = settings.portfolios
    assert left.parameter_set is not settings.portfolio.parameter_set
    assert left.parameter_set == settings.portfolio.parameter_set
    assert left.eligibility == settings.portfolio.eligibility
    assert right.parameter_set.name == "uta"
    assert (right.parameter_set.unit("BTC").f_A, right.parameter_set.unit("BTC").f_B, right.parameter_set.unit("ETH").f_A) == (
        0.75,
        0.5,
        0.25,
    )
    assert (right.eligibility.minimum_equity, right.eligibility.acknowledged, right.eligibility.enabled) == (8, True, False)
    (line,) = [line for line in describe(settings).splitlines() if line.startswith("portfolio right: ")]
    assert line.removeprefix("portfolio right: accounts two, parameters uta of 2026-11-21, levels 0.85 / 0.9, ") == (
        "overridden for BTC ETH, equity from 8 USD, switched off"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[portfolio]\nparameter = 'uta'", ['portfolio.parameter: unknown key; did you mean "parameters"?']),
        ("[portfolio]\nparameters = 'utta'", ['portfolio.parameters: no shipped parameter set has this name; did you mean "uta"?']),
        ("[portfolio]\nparameters = 3", ["portfolio.parameters: expected text in quotes, got integer 3"]),
        ("[portfolio.overrides.BTC]\nprice_rng = 1", ["portfolio.overrides.BTC.price_rng: unknown key; did you mean"]),
        ("[portfolio.overrides]\nBTC = 1", ["portfolio.overrides.BTC: expected a table, got integer 1"]),
        ("[portfolio.overrides.BTC]\nprice_nodes = 31", ["portfolio.overrides: price_nodes must be the same for all coins"]),
        ("[portfolio.eligibility]\nminimum_equity = -1", ["portfolio.eligibility.minimum_equity: expected a number of at least 0, got"]),
        ("[portfolio.eligibility]\ncoins = 'BTC'", ["portfolio.eligibility.coins: expected a list, got text"]),
        ("[portfolio.eligibility]\nacknowledge = true", ["portfolio.eligibility.acknowledge: unknown key; did you mean"]),
        ("[[portfolios]]\nid = 'a'", ["portfolios[0].accounts: missing; this key is required"]),
        ("[[portfolios]]\nid = 'a'\naccounts = []", ["portfolios[0].accounts: no account; name at least one"]),
        ("[[portfolios]]\nid = 'a b'\naccounts = ['one']", ["portfolios[0].id: expected a short name"]),
        (
            "[[portfolios]]\nid = 'a'\naccounts = ['onne']",
            ['portfolios[0].accounts[0]: no account "onne" is configured; did you mean "one"?'],
        ),
        ("[[portfolios]]\nid = 'a'\naccounts = ['one', 'one']", ['portfolios[0].accounts[1]: "one" is listed twice; remove one']),
        (
            "[[portfolios]]\nid = 'a'\naccounts = ['one']\n[[portfolios]]\nid = 'a'\naccounts = ['two']",
            ['portfolios[1].id: "a" is already the id of portfolios[0]'],
        ),
        (
            "[[portfolios]]\nid = 'a'\naccounts = ['one']\noverrides = { BTC = { f_A = 2 } }",
            ["portfolios[0].overrides.BTC.f_A: expected a number of at most 1, got integer 2"],
        ),
    ],
)
def test_problems_are_said_once_where_they_stand(tmp_path: Path, text: str, expected: list[str]) -> None:
    found = complaints(tmp_path, text)
    assert len(found) == len(expected)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True))


def test_a_problem_in_a_parameter_file_names_that_file_too(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(OWN + "f_A = 2\nf_b = 1\n")
    lines = complaints(tmp_path, "[portfolio]\nparameters = 'own.toml'\n")
    start = f"portfolio.parameters: {tmp_path / 'own.toml'}: coins.BTC"
    assert lines == [f"{start}.f_A: expected a number of at most 1, got integer 2", f'{start}.f_b: unknown key; did you mean "f_B"?']


def test_a_bad_account_is_not_reported_again_by_its_portfolio(tmp_path: Path) -> None:
    text = '[[accounts]]\nid = "a b"\nvenue = "hyperliquid"\naddress = "0x' + "9" * 40 + '"\n'
    (line,) = complaints(tmp_path, text)
    assert line.startswith("accounts[3].id: expected a short name")


def test_levels_come_from_the_defaults_then_the_table_then_the_portfolio(tmp_path: Path) -> None:
    text = """
[defaults]
levels = { warning = 0.6, critical = 0.8 }
[portfolio]
levels = { critical = 0.7 }
[[portfolios]]
id = "left"
accounts = ["one"]
[[portfolios]]
id = "right"
accounts = ["two"]
levels = { warning = 0.5 }
"""
    settings = read(tmp_path, text)
    assert [portfolio.levels.ratios for portfolio in settings.portfolios] == [(0.6, 0.7, 1.0), (0.5, 0.7, 1.0)]
    assert settings.portfolio.levels.ratios == (0.6, 0.7, 1.0)
    (whole,) = read(tmp_path, "[defaults]\nlevels = { warning = 0.6 }\n").portfolios
    assert whole.levels.ratios == (0.6, 0.9, 1.0)
    assert "levels 0.5 / 0.7" in describe(settings)


def test_bad_levels_and_limits_are_said_once_where_they_stand(tmp_path: Path) -> None:
    text = "[portfolio]\nlevels = { warning = 0.95 }\n[[portfolios]]\nid = 'a'\naccounts = ['one']\n"
    (line,) = complaints(tmp_path, text)
    assert line.startswith("portfolio.levels.warning: must be below critical, got 0.95 and critical 0.9")
    (line,) = complaints(tmp_path, "[portfolio]\nnet_delta_limit_usd = { BTC = 0 }\n")
    assert line == "portfolio.net_delta_limit_usd.BTC: expected a number greater than 0, got integer 0"
    (line,) = complaints(tmp_path, "[defaults]\nlevels = { warning = 0.95 }\n")
    assert line.startswith("defaults.levels.warning: must be below critical")
    text = "[alerts]\nhysteresis = 0.1\n[portfolio]\nlevels = { warning = 0.1 }\n"
    assert complaints(tmp_path, text) == ["alerts.hysteresis: expected less than the lowest warning level 0.1, got 0.1"]


def test_net_delta_limits_are_inherited_coin_by_coin(tmp_path: Path) -> None:
    text = """
[portfolio]
net_delta_limit_usd = { BTC = 50000.0, ETH = 20000 }
[[portfolios]]
id = "desk"
accounts = ["one"]
net_delta_limit_usd = { ETH = 1000.0 }
"""
    settings = read(tmp_path, text)
    assert settings.portfolios[0].net_delta_limit_usd == {"BTC": 50_000.0, "ETH": 1_000.0}
    assert "net delta up to BTC 50,000 USD, ETH 1,000 USD" in describe(settings)
