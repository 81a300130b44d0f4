"""The shipped table of collateral ratios on Aster (`aster_collateral.toml`): typed, dated, and every error with its remedy.

    load_collateral()            the shipped table, with the user's own ratios laid over it
    CollateralTable.ratios       what counts of an asset's index price, of the assets of which it is known
    CollateralTable.coins        whose USDT perpetual prices an asset
    CollateralTable.par          the assets valued at 1 USD

Ratios are fractions. The file says of each how sure it is.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from config.errors import ConfigError, Problem, did_you_mean, masked, shown
from config.tables import Table, problems_error, problems_of, read_toml

ASTER = Path(__file__).with_name("aster_collateral.toml")

Name = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class CollateralAsset(Table):
    """One asset: `ratio` None is unknown; `coin` None is its own name; `par`: it is worth 1 USD and no index prices it."""

    ratio: Share | None = None
    coin: Name | None = None
    par: bool = False

    @model_validator(mode="after")
    def _one_price(self) -> Self:
        if self.par and self.coin is not None:
            raise problems_error([Problem("coin", "an asset at par is priced by no coin; remove coin or par")])
        return self


class CollateralTable(Table):
    """All assets by the venue's name of them; `dated` is the day the table describes."""

    dated: datetime.date
    assets: Mapping[Name, CollateralAsset]

    @property
    def ratios(self) -> dict[str, float]:
        """Ratio by asset, of those of which one is known."""
        return {name: asset.ratio for name, asset in self.assets.items() if asset.ratio is not None}

    @property
    def coins(self) -> dict[str, str]:
        """The coin whose USDT perpetual prices an asset, by asset; assets at par have none."""
        return {name: asset.coin or name for name, asset in self.assets.items() if not asset.par}

    @property
    def par(self) -> tuple[str, ...]:
        """The assets valued at 1 USD."""
        return tuple(name for name, asset in self.assets.items() if asset.par)

    def with_ratios(self, ratios: Mapping[str, float], source: str, *, path: str = "collateral_ratios") -> CollateralTable:
        """The table with some ratios replaced; an asset that it does not name is added under its own name.

        Raises ConfigError for the key `path` of the file `source`: for a ratio out of [0, 1], and for a name that differs from one of
        the table's only in its case, as the venue's names do not.
        """
        problems = []
        upper = {name.upper(): name for name in self.assets}
        for name, ratio in ratios.items():
            where = f"{path}.{masked(name)}"
            if not 0.0 <= ratio <= 1.0:
                problems.append(Problem(where, f"expected a share between 0 and 1, got {shown(ratio)}"))
            if name not in self.assets and name.upper() in upper:
                problems.append(Problem(where, f"no asset has this name{did_you_mean(name, self.assets)}"))
        if problems:
            raise ConfigError(source, problems)
        given = {name: self.assets.get(name, CollateralAsset()).model_copy(update={"ratio": ratio}) for name, ratio in ratios.items()}
        return self.model_copy(update={"assets": {**self.assets, **given}})


def load_collateral(path: Path = ASTER, ratios: Mapping[str, float] | None = None) -> CollateralTable:
    """The table of a TOML file, `ratios` laid over it (see `CollateralTable.with_ratios`). Raises ConfigError with every problem."""
    source = str(path)
    raw = read_toml(path, source, missing="the shipped one is config/aster_collateral.toml: reinstall marginwatch, or name a file")
    try:
        table = CollateralTable.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(source, problems_of(error, CollateralTable)) from None
    return table.with_ratios(ratios, "configuration") if ratios else table
