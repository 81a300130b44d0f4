"""`report` and `explain` on the command line: formats, exit codes, and what is wrong with a file."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from monitor.cli import cli
from monitor.report.document import margin_report
from tests.monitor import saved_book

PROJECT = Path(__file__).resolve().parents[2]
SMALLER = 'name = "smaller"\ndated = 2026-11-21\nbase = "uta"\n[coins.BTC]\nprice_range = 0.05\n'
ACCOUNT = '[[accounts]]\nid = "hl-main"\nvenue = "hyperliquid"\naddress = "0x' + "ab" * 20 + '"\n'


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def answer(*arguments: str) -> Any:
    found = invoke("report", *arguments)
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


@pytest.fixture
def snapshot(tmp_path: Path) -> str:
    return saved_book.written(saved_book.book(), tmp_path)


# -- report: formats and sets ---------------------------------------------------------------------------------------------------------


def test_one_set_is_the_document_itself(snapshot: str) -> None:
    expected = json.loads(json.dumps(margin_report(*saved_book.resolved(saved_book.book(), "uta"))))
    assert answer(snapshot) == expected
    assert answer(snapshot, "--format", "json", "--parameters", "uta") == expected


def test_several_sets_are_an_array_in_the_order_named(snapshot: str) -> None:
    found = answer(snapshot, "--parameters", "house", "--parameters", "uta", "--parameters", "house")
    assert [document["parameters"]["name"] for document in found] == ["house", "uta"]
    assert found[1] == answer(snapshot)


def test_text_shows_the_sets_side_by_side(snapshot: str) -> None:
    found = invoke("report", snapshot, "--format", "text", "--parameters", "uta", "--parameters", "house")
    assert found.exit_code == 0
    assert "uta of 2026-11-21   house of 2026-11-21" in found.stdout
    assert max(map(len, found.stdout.splitlines())) <= 100


def test_names_are_printed_as_they_are(tmp_path: Path) -> None:
    name = "[/x]"
    document = saved_book.book()
    account = document["accounts"][0]["id"]
    document = json.loads(json.dumps(document).replace(f'"{account}"', f'"{name}"'))
    found = invoke("report", saved_book.written(document, tmp_path), "--format", "text")
    assert (found.exit_code, found.exception) == (0, None)
    assert name in found.stdout


def test_the_snapshot_names_its_own_set(tmp_path: Path) -> None:
    path = saved_book.written(saved_book.book(parameters="house"), tmp_path)
    assert answer(path)["parameters"]["name"] == "house"
    assert answer(path, "--parameters", "uta")["parameters"]["name"] == "uta"


def test_a_set_of_the_user_s_is_found_beside_the_snapshot_or_where_the_command_says(tmp_path: Path) -> None:
    (tmp_path / "smaller.toml").write_text(SMALLER)
    beside = answer(saved_book.written(saved_book.book(parameters="smaller.toml"), tmp_path))
    named = answer(saved_book.written(saved_book.book(), tmp_path), "--parameters", str(tmp_path / "smaller.toml"))
    assert beside == named
    btc = next(unit for unit in beside["portfolios"][0]["units"] if unit["coin"] == "BTC")
    assert btc["price_nodes"][0] == -0.05
    assert beside["portfolios"][0]["units"][0]["price_nodes"][0] == -0.05


def test_overrides_apply_to_each_set(tmp_path: Path) -> None:
    path = saved_book.written(saved_book.book(overrides={"BTC": {"price_range": 0.25}}), tmp_path)
    for document in answer(path, "--parameters", "uta", "--parameters", "house"):
        units = {unit["coin"]: unit for unit in document["portfolios"][0]["units"]}
        assert units["BTC"]["price_nodes"][-1] == 0.25
        assert units["ETH"]["price_nodes"][-1] != 0.25


# -- report: exit codes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_portfolio_without_a_value_is_exit_3_and_still_reported(tmp_path: Path, form: str) -> None:
    path = saved_book.written(saved_book.without_price_of_the_call(), tmp_path)
    found = invoke("report", path, "--format", form)
    assert found.exit_code == 3
    assert "MISSING_IV" in found.stdout


def test_one_failed_portfolio_of_two_is_exit_3(tmp_path: Path) -> None:
    portfolios = [{"id": "perps", "accounts": ["hl-main", "aster-1"]}, {"id": "options", "accounts": ["options"]}]
    path = saved_book.written(saved_book.without_price_of_the_call() | {"portfolios": portfolios}, tmp_path)
    found = invoke("report", path)
    assert found.exit_code == 3
    assert [row["status"] for row in json.loads(found.stdout)["portfolios"]] == ["ok", "failed"]


def test_an_infinite_ratio_is_a_value(tmp_path: Path) -> None:
    path = saved_book.written(saved_book.with_equity(-1.0), tmp_path)
    assert answer(path)["portfolios"][0]["margin_ratio"] == "Infinity"


@pytest.mark.parametrize("command", ["report", "explain"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"instrumants": []}, 'book.json: instrumants: unknown key; did you mean "instruments"?'),
        ({"as_of": "yesterday"}, 'book.json: as_of: expected a time in UTC such as "2026-11-21T12:00:00Z"'),
        ({"index": {"BTC": "high"}}, "book.json: index.BTC: expected a number"),
        ({"overrides": {"BTC": {"price_rangee": 0.1}}}, 'book.json: overrides.BTC.price_rangee: unknown key; did you mean "price_range"?'),
        ({"portfolios": [{"id": "desk", "accounts": ["nobody"]}]}, 'book.json: portfolios[0].accounts[0]: no account has the id "nobody"'),
        ({"parameters": "utah"}, 'book.json: parameters: no shipped parameter set has this name; did you mean "uta"?'),
    ],
)
def test_a_bad_snapshot_is_exit_2_with_file_path_and_what_was_expected(
    tmp_path: Path, command: str, change: dict[str, Any], message: str
) -> None:
    found = invoke(command, saved_book.written(saved_book.book() | change, tmp_path))
    assert found.exit_code == 2
    assert message in found.stderr
    assert found.stdout == ""


@pytest.mark.parametrize("command", ["report", "explain"])
def test_files_that_are_not_there_or_no_json_are_exit_2(tmp_path: Path, command: str) -> None:
    assert "no such file" in invoke(command, str(tmp_path / "nothing.json")).stderr
    (tmp_path / "half.json").write_text('{"version": 1,')
    found = invoke(command, str(tmp_path / "half.json"))
    assert (found.exit_code, "is not valid JSON" in found.stderr) == (2, True)
    good = saved_book.written(saved_book.book(), tmp_path)
    found = invoke(command, good, "--parameters", str(tmp_path / "nothing.toml"))
    assert (found.exit_code, "nothing.toml: no such file" in found.stderr) == (2, True)


# -- report: eligibility --------------------------------------------------------------------------------------------------------------


def configured(directory: Path, text: str) -> str:
    path = directory / "desk.toml"
    path.write_text(ACCOUNT + text)
    return str(path)


def test_the_configuration_s_rule_applies_by_id_or_for_all(tmp_path: Path) -> None:
    portfolios = [{"id": "desk", "accounts": ["hl-main"]}, {"id": "other", "accounts": ["aster-1"]}]
    path = saved_book.written(saved_book.book(portfolios=portfolios), tmp_path)
    text = (
        "[portfolio.eligibility]\nacknowledged = true\nminimum_equity = 50000\n"
        '[[portfolios]]\nid = "desk"\naccounts = ["hl-main"]\neligibility = { coins = ["BTC"] }\n'
    )
    desk, other = answer(path, "--config", configured(tmp_path, text))["portfolios"]
    assert desk["eligibility"]["reasons"] == ["it holds coins that are not listed: ETH (eligibility.coins)"]
    assert "at least 50,000.00 USD" in other["eligibility"]["reasons"][0]
    assert [row["method"] for row in (desk, other)] == ["cross", "cross"]
    assert {row["method"] for row in answer(path)["portfolios"]} == {"portfolio"}


def test_an_acknowledged_rule_lets_the_method_stand(tmp_path: Path, snapshot: str) -> None:
    config = configured(tmp_path, "[portfolio.eligibility]\nacknowledged = true\n")
    assert answer(snapshot, "--config", config)["portfolios"][0]["method"] == "portfolio"
    assert invoke("report", snapshot, "--config", config).stderr == ""


@pytest.mark.parametrize("text", ["[portfolio.eligibility]\nacknowledged = true\n", "[portfolio.eligibility]\nminimum = 1\n"])
def test_warnings_of_later_configurations_are_heard(tmp_path: Path, snapshot: str, text: str) -> None:
    invoke("report", snapshot, "--config", configured(tmp_path, text))
    assert logging.getLogger("marginwatch.config").disabled is False


def test_a_bad_configuration_is_exit_2(tmp_path: Path, snapshot: str) -> None:
    found = invoke("report", snapshot, "--config", configured(tmp_path, "[portfolio.eligibility]\nminimum = 1\n"))
    assert found.exit_code == 2
    assert "portfolio.eligibility.minimum: unknown key" in found.stderr


# -- explain --------------------------------------------------------------------------------------------------------------------------


def test_explain_prints_every_portfolio_and_set(tmp_path: Path) -> None:
    portfolios = [{"id": "desk", "accounts": ["hl-main"]}, {"id": "other", "accounts": ["aster-1"]}]
    path = saved_book.written(saved_book.book(portfolios=portfolios), tmp_path)
    found = invoke("explain", path, "--parameters", "uta", "--parameters", "house")
    assert found.exit_code == 0
    for name in ("uta", "house"):
        for portfolio in ("desk", "other"):
            assert f"Portfolio {portfolio}, parameters {name} of 2026-11-21" in found.stdout
    assert "✗" not in found.stdout


def test_explain_can_be_narrowed(snapshot: str) -> None:
    found = invoke("explain", snapshot, "--coin", "ETH", "--portfolio", "desk")
    assert found.exit_code == 0
    assert "Unit ETH of portfolio desk" in found.stdout
    assert "Unit BTC" not in found.stdout
    assert "as a whole" not in found.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--portfolio", "dask"), 'no portfolio "dask"; did you mean "desk"?'), (("--coin", "ETC"), 'no coin "ETC"; did you mean')],
)
def test_explain_of_what_is_not_there_is_exit_2(snapshot: str, arguments: tuple[str, ...], message: str) -> None:
    found = invoke("explain", snapshot, *arguments)
    assert found.exit_code == 2
    assert message in found.stderr


def test_explain_of_a_portfolio_without_a_value_is_exit_3(tmp_path: Path) -> None:
    found = invoke("explain", saved_book.written(saved_book.without_price_of_the_call(), tmp_path))
    assert found.exit_code == 3
    assert "no value: MISSING_IV" in found.stdout


# -- help -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["report", "explain"])
def test_help_names_the_options(command: str) -> None:
    found = invoke(command, "--help")
    assert found.exit_code == 0
    assert found.output.startswith("Usage:")
    assert "--parameters" in found.output


def test_verify_s_help_says_what_a_saved_snapshot_lacks() -> None:
    text = " ".join(invoke("verify", "--help").output.split())
    for word in ("fx", "index", "equity"):
        assert word in text.partition("--save")[2]


def test_nothing_heavy_is_imported_for_help() -> None:
    code = (
        "import sys\nfrom monitor.cli import cli\ntry:\n cli(['report', '--help'])\nexcept SystemExit: pass\nprint('numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "False"


# -- the parameter set a snapshot names, and its overrides ----------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["report", "explain"])
def test_overrides_of_a_coin_that_exists_nowhere_are_exit_2(tmp_path: Path, command: str) -> None:
    path = saved_book.written(saved_book.book(overrides={"btc": {"price_range": 0.9}, "BTC": {"price_range": 0.2}}), tmp_path)
    found = invoke(command, path)
    assert found.exit_code == 2
    message = 'overrides.btc: no coin of this snapshot or of its parameter set has this name; did you mean "BTC"?'
    assert found.stderr.splitlines()[-1] == f"{path}: {message}"


def test_overrides_may_name_coins_of_the_set_or_of_the_snapshot(tmp_path: Path) -> None:
    index = {**saved_book.book()["index"], "PEPE": 0.00001}
    overrides = {coin: {"f_A": 0.1} for coin in ("AVAX", "PEPE", "other")} | {"*": {"eta": 0.1}}
    assert answer(saved_book.written(saved_book.book(index=index, overrides=overrides), tmp_path))["portfolios"][0]["status"] == "ok"


def test_what_is_wrong_with_the_set_that_a_snapshot_names_is_said_at_its_key(tmp_path: Path) -> None:
    path = saved_book.written(saved_book.book(parameters="none.toml"), tmp_path)
    found = invoke("report", path)
    assert found.exit_code == 2
    assert f"{path}: parameters: {tmp_path / 'none.toml'}: no such file" in found.stderr
    (tmp_path / "none.toml").write_text(SMALLER.replace("uta", "utah"))
    base = f'{tmp_path / "none.toml"}: base: no shipped parameter set has this name; did you mean "uta"?'
    assert f"{path}: parameters: {base}" in invoke("report", path).stderr
    named = saved_book.written(saved_book.book(), tmp_path)
    lines = invoke("report", named, "--parameters", str(tmp_path / "none.toml")).stderr.splitlines()
    assert lines[-1].startswith(base)


@pytest.mark.parametrize("command", ["report", "explain"])
def test_the_example_of_the_readme_has_a_value(command: str) -> None:
    example = Path(__file__).parents[2] / "docs/examples/desk.json"
    found = invoke(command, str(example), "--parameters", "uta", "--parameters", "house")
    assert found.exit_code == 0, found.stderr
    assert "MISMATCH" not in found.stdout
