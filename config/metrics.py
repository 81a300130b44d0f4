"""How much `/metrics` tells."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from config.tables import Table


class MetricsSettings(Table):
    """`series_limit`: samples of a scrape, beyond which details are left out. `contributions`: positions shown of each portfolio."""

    series_limit: Annotated[int, Field(ge=100)] = 2000
    contributions: Annotated[int, Field(ge=0, le=1000)] = 20
