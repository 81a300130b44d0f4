from __future__ import annotations

import copy
import pickle
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies
from pydantic import ValidationError

from config import ConfigError, ParameterSet, UnitParameters, load_parameters
from config.parameters import OTHER, shipped_parameters

COINS = ("BTC", "ETH", "SOL", "ADA", "AVAX", "DOT")
UTA = load_parameters("uta")
HOUSE = load_parameters("house")
OWN = 'name = "own"\ndated = 2026-01-31\nbase = "uta"\n'


def written(folder: Path, text: str, name: str = "own.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def complaints(folder: Path, text: str) -> list[str]:
    path = written(folder, text)
    with pytest.raises(ConfigError) as caught:
        load_parameters(path.name, base_dir=folder)
    return [line.removeprefix(f"{path}: ") for line in str(caught.value).split("\n")]


# -- the shipped sets -----------------------------------------------------------------------------------------------------------------


def column(name: str, parameters: ParameterSet = UTA) -> list[Any]:
    """A parameter for BTC, ETH, SOL and a coin nobody named; the other majors have to be like SOL."""
    majors = {getattr(parameters.unit(coin), name) for coin in COINS[2:]}
    assert len(majors) == 1
    return [
        getattr(parameters.unit("BTC"), name),
        getattr(parameters.unit("ETH"), name),
        majors.pop(),
        getattr(parameters.unit("PEPE"), name),
    ]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("price_range", [0.10, 0.10, 0.15, 0.30]),
        ("im_factor", [1.2, 1.2, 1.3, 1.5]),
        ("f_E", [0.0003, 0.0003, 0.0005, 0.001]),
        ("f_D", [0.0003, 0.0003, 0.0005, 0.0005]),
        ("f_A", [0.015, 0.015, 0.02, 0.03]),
        ("sigma_ref", [0.025, 0.035, 0.05, 0.06]),
        ("BF", [0.45, 0.45, 0.60, 1.0]),
        ("TH", [0.05] * 4),
        ("f_B", [0.0003] * 4),
        ("f_C", [0.0075] * 4),
        ("price_nodes", [11] * 4),
        ("vol_up", [0.24] * 4),
        ("vol_down", [0.20] * 4),
        ("vol_exponent", [0.3] * 4),
        ("vol_floor", [0.01] * 4),
        ("vol_cap", [5.0] * 4),
        ("near_expiry", [1800] * 4),
        ("option_base", ["model"] * 4),
        ("extreme_multiple", [0] * 4),
        ("extreme_weight", [0] * 4),
        ("collateral_stress", [0] * 4),
        ("spot_in_stablecoin_spread", [False] * 4),
        ("regime_power", [0] * 4),
        ("regime_cap", [2.0] * 4),
    ],
)
def test_uta_is_the_documented_table(name: str, values: list[Any]) -> None:
    assert column(name) == values


def test_every_parameter_of_a_coin_is_in_the_documented_table() -> None:
    (marks,) = [mark for mark in test_uta_is_the_documented_table.pytestmark if mark.name == "parametrize"]
    assert {name for name, _ in marks.args[1]} == set(UnitParameters.model_fields)


def test_uta_adds_coins_up_and_charges_nothing_for_size() -> None:
    assert UTA.portfolio.model_dump() == {
        "correlation_shift": 1.0,
        "eta": 0.0,
        "liquidity_cap": 0.10,
        "adv_stress": 1.0,
        "safety_buffer": 0.0,
        "spot_hedge": COINS,
        "borrow_mm_rate": 0.02,
        "borrow_im_rate": 0.10,
    }


def test_house_is_uta_with_its_own_differences() -> None:
    same = {
        "price_nodes": 31,
        "vol_up": 0.40,
        "vol_down": 0.25,
        "near_expiry": 0.0,
        "extreme_multiple": 2.0,
        "extreme_weight": 0.35,
        "collateral_stress": 1.0,
        "spot_in_stablecoin_spread": True,
        "regime_power": 0.5,
        "regime_cap": 2.0,
    }
    for coin, price_range in [("BTC", 0.15), ("ETH", 0.15), *((coin, 0.20) for coin in COINS[2:]), ("PEPE", 0.30)]:
        assert HOUSE.unit(coin).model_dump() == UTA.unit(coin).model_dump() | same | {"price_range": price_range}
    own = {"correlation_shift": 0.5, "eta": 1.0, "liquidity_cap": 0.10, "adv_stress": 0.5, "safety_buffer": 0.10}
    assert HOUSE.portfolio.model_dump() == UTA.portfolio.model_dump() | own


@pytest.mark.parametrize("name", shipped_parameters())
def test_a_shipped_set_is_named_as_its_file_and_dated(name: str) -> None:
    parameters = load_parameters(name)
    assert parameters.name == name
    assert parameters.dated == date(2026, 11, 21)
    assert tuple(parameters.coins) == COINS


@pytest.mark.parametrize("name", shipped_parameters())
def test_every_number_of_a_shipped_set_has_its_evidence_beside_it(name: str) -> None:
    path = Path(__file__).resolve().parents[2] / "config" / "risk" / f"{name}.toml"
    _, _, body = path.read_text(encoding="utf-8").partition("[portfolio]")
    numbers = [line for line in body.splitlines() if re.match(r"[A-Za-z_]+ *=", line) and not line.startswith("like")]
    assert len(numbers) >= 20
    grouped = "vol_down" if name == "house" else None
    assert [line for line in numbers if "#" not in line and line.split(" ")[0] != grouped] == []


def test_the_shipped_sets_are_these() -> None:
    assert shipped_parameters() == ("house", "uta")


# -- a set as a value -----------------------------------------------------------------------------------------------------------------


def test_equal_sets_are_equal_and_hash_alike() -> None:
    again = load_parameters("uta")
    assert again is not UTA
    assert again == UTA
    assert len({again, UTA, HOUSE, UTA.with_overrides({"BTC": {"f_A": 0.02}}, "f")}) == 3
    assert HOUSE != UTA
    assert UTA != "uta"


def test_a_set_is_immutable_and_survives_copying() -> None:
    with pytest.raises(TypeError):
        UTA.coins["BTC"] = UTA.other  # type: ignore[index]
    with pytest.raises(AttributeError):
        UTA.name = "x"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        UTA.other.TH = 0.0
    assert copy.deepcopy(UTA) == UTA
    assert pickle.loads(pickle.dumps(UTA)) == UTA


def test_a_set_with_different_nodes_cannot_be_built() -> None:
    finer = UTA.other.model_copy(update={"price_nodes": 31})
    with pytest.raises(ValueError, match="price_nodes must be the same for all coins, got 11 for BTC, 31 for other"):
        ParameterSet("x", date(2026, 1, 1), UTA.portfolio, {"BTC": UTA.unit("BTC")}, finer)


# -- overrides ------------------------------------------------------------------------------------------------------------------------


def test_overrides_replace_the_numbers_they_name_and_no_other() -> None:
    changed = UTA.with_overrides({"BTC": {"price_range": 0.2, "near_expiry": 0}, "*": {"eta": 1, "spot_hedge": ["BTC"]}}, "f")
    assert changed.unit("BTC") == UTA.unit("BTC").model_copy(update={"price_range": 0.2, "near_expiry": 0.0})
    assert changed.portfolio == UTA.portfolio.model_copy(update={"eta": 1.0, "spot_hedge": ("BTC",)})
    assert {coin: changed.unit(coin) for coin in COINS[1:]} == {coin: UTA.unit(coin) for coin in COINS[1:]}
    assert (changed.other, changed.name, changed.dated) == (UTA.other, "uta", UTA.dated)


def test_an_unknown_coin_starts_from_other_as_overridden() -> None:
    changed = UTA.with_overrides({"XRP": {"f_E": 0.002}, OTHER: {"price_range": 0.4}}, "f")
    assert changed.unit("XRP") == UTA.other.model_copy(update={"f_E": 0.002, "price_range": 0.4})
    assert changed.unit("PEPE") == UTA.other.model_copy(update={"price_range": 0.4})
    assert changed.unit("BTC") == UTA.unit("BTC")


@pytest.mark.parametrize("overrides", [{}, {"BTC": {}}, {"*": {}}, {"BTC": {"price_range": 0.1}}])
def test_nothing_replaced_is_the_same_set(overrides: dict[str, dict[str, Any]]) -> None:
    assert UTA.with_overrides(overrides, "f") is UTA


def test_nodes_are_overridden_for_all_coins_or_none() -> None:
    for overrides in ({"*": {"price_nodes": 21}}, {coin: {"price_nodes": 21} for coin in (*COINS, OTHER)}):
        changed = UTA.with_overrides(overrides, "f")
        assert changed.price_nodes == 21
        assert {changed.unit(coin).price_nodes for coin in (*COINS, "PEPE")} == {21}
    with pytest.raises(ConfigError) as caught:
        UTA.with_overrides({"BTC": {"price_nodes": 21}}, "f")
    assert str(caught.value) == (
        "f: overrides: price_nodes must be the same for all coins, got 11 for ETH SOL ADA AVAX DOT other, 21 for BTC; "
        'override it under "*" for all coins, or for none'
    )


@pytest.mark.parametrize(
    ("overrides", "lines"),
    [
        ({"BTC": {"price_rnge": 0.1}}, ['overrides.BTC.price_rnge: unknown key; did you mean "price_range"?']),
        ({"BTC": {"eta": 1}}, ["overrides.BTC.eta: unknown key"]),
        ({"*": {"price_range": 0.1}}, ['overrides."*".price_range: unknown key']),
        ({"BTC": {"f_A": "0.1"}}, ['overrides.BTC.f_A: expected a number, got text "0.1"']),
        ({"BTC": {"f_A": float("nan")}}, ["overrides.BTC.f_A: expected a finite number, got number nan"]),
        ({"XRP": {"price_range": 0}}, ["overrides.XRP.price_range: expected a number greater than 0, got integer 0"]),
        ({"*": {"price_nodes": 30}}, ['overrides."*".price_nodes: expected an odd number, so that one node is the price itself, got 30']),
        ({"*": {"price_nodes": 1}}, ['overrides."*".price_nodes: expected a number of at least 3, got integer 1']),
        ({"*": {"price_nodes": 11.0}}, ['overrides."*".price_nodes: expected an integer, got number 11.0']),
        ({"*": {"spot_hedge": ["BTC", "BTC"]}}, ['overrides."*".spot_hedge: "BTC" is listed twice; remove one']),
        (
            {"BTC": {"option_base": "marks"}},
            ['overrides.BTC.option_base: expected "model" or "mark", got text "marks"; did you mean "mark"?'],
        ),
        ({"BTC": {"vol_cap": 0.001}}, ["overrides.BTC.vol_floor: must not be above vol_cap, got 0.01 and vol_cap 0.001"]),
        (
            {"BTC": 3, "ETH": {"TH": 2}},
            ["overrides.BTC: expected a table of parameters", "overrides.ETH.TH: expected a number of at most 1"],
        ),
    ],
)
def test_bad_overrides_name_coin_and_parameter(overrides: dict[str, Any], lines: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        UTA.with_overrides(overrides, "f")
    found = str(caught.value).split("\n")
    assert len(found) == len(lines)
    assert all(line.startswith(f"f: {expected}") for line, expected in zip(found, lines, strict=True))


RATES = strategies.floats(0, 1, allow_subnormal=False)
TABLES = strategies.dictionaries(strategies.sampled_from(["f_A", "f_B", "f_C", "f_D", "f_E", "TH", "extreme_weight"]), RATES)


@given(strategies.dictionaries(strategies.sampled_from([*COINS, OTHER, "XRP", "PEPE"]), TABLES))
def test_any_overrides_are_what_units_say_and_apply_twice_as_once(overrides: dict[str, dict[str, float]]) -> None:
    changed = UTA.with_overrides(overrides, "f")
    for coin in (*COINS, "XRP", "PEPE", "DOGE"):
        start = UTA.unit(coin) if coin in COINS else UTA.other.model_copy(update=overrides.get(OTHER, {}))
        assert changed.unit(coin) == start.model_copy(update=overrides.get(coin, {}))
    assert changed.with_overrides(overrides, "f") == changed
    assert hash(changed) == hash(UTA.with_overrides(overrides, "f"))


# -- files of the user's --------------------------------------------------------------------------------------------------------------


def test_a_file_of_ones_own_says_only_what_differs(tmp_path: Path) -> None:
    text = OWN + "[portfolio]\neta = 0.5\n[every_coin]\nvol_up = 0.5\n[coins.BTC]\nvol_up = 0.6\n[coins.XRP]\nlike = 'BTC'\nf_E = 0.004\n"
    own = load_parameters(written(tmp_path, text).name, base_dir=tmp_path)
    assert (own.name, own.dated) == ("own", date(2026, 1, 31))
    assert own.portfolio == UTA.portfolio.model_copy(update={"eta": 0.5})
    assert own.unit("BTC") == UTA.unit("BTC").model_copy(update={"vol_up": 0.6})
    assert own.unit("XRP") == own.unit("BTC").model_copy(update={"f_E": 0.004})
    assert own.unit("ETH") == UTA.unit("ETH").model_copy(update={"vol_up": 0.5})
    assert own.unit("PEPE") == UTA.other.model_copy(update={"vol_up": 0.5})


def test_a_coin_named_anew_starts_from_other(tmp_path: Path) -> None:
    written(tmp_path, OWN + "[coins.XRP]\nprice_range = 0.25\n")
    assert load_parameters("own.toml", base_dir=tmp_path).unit("XRP") == UTA.other.model_copy(update={"price_range": 0.25})


def test_a_coin_named_anew_starts_from_what_the_file_makes_of_other(tmp_path: Path) -> None:
    text = OWN + "[every_coin]\nTH = 0.2\n[coins.FOO]\nf_E = 0.002\n[coins.BAR]\nlike = 'FOO'\nTH = 0.3\n[coins.other]\nprice_range = 0.6\n"
    own = load_parameters(written(tmp_path, text).name, base_dir=tmp_path)
    assert own.other == UTA.other.model_copy(update={"price_range": 0.6, "TH": 0.2})
    assert own.unit("FOO") == own.other.model_copy(update={"f_E": 0.002})
    assert own.unit("BAR") == own.unit("FOO").model_copy(update={"TH": 0.3})
    assert own.unit("BTC") == UTA.unit("BTC").model_copy(update={"TH": 0.2})
    assert complaints(tmp_path, text + "like = 'FOO'\n") == [
        "coins.other.like: the coins are like each other in a circle; give one of them its own numbers"
    ]
    text = OWN + "[coins.FOO]\nf_E = 0.002\n[coins.other]\nlike = 'SOL'\n"
    assert load_parameters(written(tmp_path, text).name, base_dir=tmp_path).unit("FOO") == UTA.unit("SOL").model_copy(update={"f_E": 0.002})


def test_a_file_inherits_from_a_file_beside_it(tmp_path: Path) -> None:
    written(tmp_path, OWN.replace("own", "first") + "[coins.BTC]\nf_A = 0.5\nf_E = 0.5\n", "first.toml")
    (tmp_path / "sub").mkdir()
    written(tmp_path, 'name = "second"\ndated = 2026-02-01\nbase = "../first.toml"\n[coins.BTC]\nf_E = 0.6\n', "sub/second.toml")
    second = load_parameters("sub/second.toml", base_dir=tmp_path)
    assert (second.name, second.unit("BTC").f_A, second.unit("BTC").f_E) == ("second", 0.5, 0.6)
    assert load_parameters(str(tmp_path / "sub" / "second.toml")) == second


def test_a_file_that_repeats_the_whole_set_needs_no_base(tmp_path: Path) -> None:
    shipped = Path(__file__).resolve().parents[2] / "config" / "risk" / "uta.toml"
    written(tmp_path, shipped.read_text(encoding="utf-8"))
    assert load_parameters("own.toml", base_dir=tmp_path) == UTA


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nam = 1\n" + OWN, 'nam: unknown key; did you mean "name"?'),
        ('dated = 2026-01-01\nbase = "uta"', "name: missing; this key is required"),
        ('name = "x"\nbase = "uta"', "dated: missing; this key is required"),
        ('name = "x"\nbase = "uta"\ndated = "2026-01-01"', 'dated: expected a date such as 2026-11-21, got text "2026-01-01"'),
        (OWN + "[portfolio]\netaa = 1", 'portfolio.etaa: unknown key; did you mean "eta"?'),
        (OWN + "[portfolio]\nadv_stress = 0", "portfolio.adv_stress: expected a number greater than 0, got integer 0"),
        (OWN + "[every_coin]\nvol_upp = 1", 'every_coin.vol_upp: unknown key; did you mean "vol_up"?'),
        (OWN + "[every_coin]\nvol_up = -1", "every_coin.vol_up: expected a number of at least 0, got integer -1"),
        (OWN + "[coins.BTC]\nvol_upp = 1", 'coins.BTC.vol_upp: unknown key; did you mean "vol_up"?'),
        (OWN + "[coins.BTC]\nlike = 'SOLL'", 'coins.BTC.like: expected a coin of this set, got text "SOLL"; did you mean "SOL"?'),
        (OWN + "[coins.BTC]\nlike = 3", "coins.BTC.like: expected a coin of this set, got integer 3"),
        (OWN + "[coins.BTC]\nlike = 'BTC'", "coins.BTC.like: the coins are like each other in a circle"),
        (OWN + "[coins.BTC]\nprice_nodes = 31", "price_nodes must be the same for all coins, got 11 for ETH SOL ADA AVAX DOT other, 31"),
        (OWN.replace("uta", "utta"), 'base: no shipped parameter set has this name; did you mean "uta"?'),
        (OWN.replace("uta", "own.toml"), "base: the sets inherit from each other in a circle (own.toml -> own.toml)"),
        (OWN + "coins = 3", "coins: expected a table, got integer 3"),
        ("a = = 1", "is not valid TOML"),
    ],
)
def test_a_bad_file_names_key_and_remedy(tmp_path: Path, text: str, expected: str) -> None:
    (line,) = complaints(tmp_path, text)
    assert line.startswith(expected)


def test_a_problem_of_the_base_names_both_files(tmp_path: Path) -> None:
    (line,) = complaints(tmp_path, OWN.replace("uta", "none.toml"))
    assert line.startswith(f"base: {tmp_path / 'none.toml'}: no such file")
    written(tmp_path, OWN + "[coins.BTC]\nf_A = 2\n[portfolio]\netaa = 1\n", "below.toml")
    assert complaints(tmp_path, OWN.replace("uta", "below.toml")) == [
        f'base: {tmp_path / "below.toml"}: portfolio.etaa: unknown key; did you mean "eta"?',
        f"base: {tmp_path / 'below.toml'}: coins.BTC.f_A: expected a number of at most 1, got integer 2",
    ]


def test_a_circle_of_two_files_and_of_two_coins_is_found(tmp_path: Path) -> None:
    written(tmp_path, OWN.replace("uta", "own.toml"), "second.toml")
    assert complaints(tmp_path, OWN.replace("uta", "second.toml")) == [
        "base: the sets inherit from each other in a circle (own.toml -> second.toml -> own.toml); remove one `base`"
    ]
    lines = complaints(tmp_path, OWN + "[coins.BTC]\nlike = 'ETH'\n[coins.ETH]\nlike = 'BTC'\n")
    assert len(lines) == 2
    assert all("in a circle; give one of them its own numbers" in line for line in lines)


def test_a_whole_set_with_a_number_missing_names_it(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "config" / "risk" / "uta.toml").read_text(encoding="utf-8")
    assert complaints(tmp_path, text.replace("TH = 0.05", "").replace("eta = 0.0 ", "# ")) == [
        'portfolio.eta: missing; this key is required, or inherit: base = "uta"',
        *(f"coins.{coin}.TH: missing; this key is required" for coin in ("BTC", "ETH", "SOL", "ADA", "AVAX", "DOT", "other")),
    ]


def test_unknown_names_and_files() -> None:
    with pytest.raises(ConfigError, match=r"hause: no shipped parameter set has this name; did you mean \"house\"\?"):
        load_parameters("hause")
    with pytest.raises(ConfigError, match=r"absent\.toml: no such file; name a parameter file that exists, or a shipped set: house, uta"):
        load_parameters("absent.toml")
