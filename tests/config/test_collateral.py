"""The shipped collateral ratios of Aster, and what is wrong with a table of one's own."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from config.collateral import ASTER, load_collateral
from config.errors import ConfigError
from connectors.aster.settings import AsterConfig

TABLE_5_5 = {
    "USDT": 0.9999, "USDC": 0.9999, "USDF": 0.9999, "USD1": 0.99, "BTC": 0.95, "ETH": 0.95, "BNB": 0.95, "ASBNB": 0.95, "WBETH": 0.90,
    "CAKE": 0.90, "ASTER": 0.80, "LISTA": 0.10, "TWT": 0.10, "SLISBNB": 0.90, "LISUSD": 0.90, "STONE": 0.90,
}  # fmt: skip
UNCONFIRMED = {"SOL", "JLP", "SOLVBTC", "FBTC", "PUMPBTC", "RSETH", "FORM", "CDL", "TSLAB", "CRCLB", "SNDKB", "NVDAB"}


def test_the_shipped_table_is_that_of_the_venue_notes() -> None:
    table = load_collateral()
    assert table.ratios == TABLE_5_5
    assert table.dated == datetime.date(2026, 11, 21)
    assert table.assets.keys() - table.ratios.keys() >= UNCONFIRMED, "listed, and never assumed"
    assert {name: table.coins[name] for name in ("BTC", "ASBNB", "SLISBNB", "WBETH", "TSLAB", "SOL")} == {
        "BTC": "BTC", "ASBNB": "BNB", "SLISBNB": "BNB", "WBETH": "ETH", "TSLAB": "TSLA", "SOL": "SOL",
    }  # fmt: skip
    assert set(table.par) == set(AsterConfig.mainnet().par)
    assert not set(table.par) & table.coins.keys()


def test_every_ratio_says_how_sure_it_is() -> None:
    rows = [line for line in ASTER.read_text(encoding="utf-8").splitlines() if line.startswith("ratio")]
    assert len(rows) == len(TABLE_5_5)
    assert all("#" in row for row in rows)


def test_own_ratios_are_laid_over_it() -> None:
    table = load_collateral(ratios={"BTC": 0.9, "JLP": 0.5, "BRANDNEW": 0.0, "ASBNB": 0.94})
    assert table.ratios == {**TABLE_5_5, "BTC": 0.9, "JLP": 0.5, "BRANDNEW": 0.0, "ASBNB": 0.94}
    assert (table.coins["ASBNB"], table.coins["BRANDNEW"]) == ("BNB", "BRANDNEW")
    assert load_collateral().ratios == TABLE_5_5, "the shipped one stays as it is"


@pytest.mark.parametrize(
    ("ratios", "told"),
    [
        ({"btc": 0.9}, 'configuration: collateral_ratios.btc: no asset has this name; did you mean "BTC"?'),
        ({"asBNB": 0.9}, 'configuration: collateral_ratios.asBNB: no asset has this name; did you mean "ASBNB"?'),
        ({"BTC": 1.2}, "configuration: collateral_ratios.BTC: expected a share between 0 and 1, got number 1.2"),
        ({"BTC": -0.1, "eth": 0.5}, "collateral_ratios.eth"),
    ],
)
def test_own_ratios_that_cannot_be_meant(ratios: dict[str, float], told: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_collateral(ratios=ratios)
    assert told in str(error.value)
    assert len(error.value.problems) == len(ratios)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "dated: missing; this key is required"),
        ("dated = 2026-11-21\n[assets.BTC]\nratio = 1.5", "assets.BTC.ratio: expected a number of at most 1, got number 1.5"),
        ("dated = 2026-11-21\n[assets.BTC]\nratoi = 0.5", 'assets.BTC.ratoi: unknown key; did you mean "ratio"?'),
        ("dated = 2026-11-21\n[assets.USDT]\npar = true\ncoin = 'BTC'", "assets.USDT.coin: an asset at par is priced by no coin"),
        ("dated = 2026-11-21\n[assets.BTC]\nratio = nan", "assets.BTC.ratio: expected a finite number"),
        ("dated = 2026-11-21\n[assets.BTC\n", "is not valid TOML"),
    ],
)
def test_a_table_of_ones_own(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_collateral(path)
    assert f"{path}: " in str(error.value)
    assert told in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_collateral(tmp_path / "none.toml")
