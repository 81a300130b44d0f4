"""What the user says: `load(path)` gives typed `Settings`, `load_parameters(name)` a parameter set, or a `ConfigError` that names
every problem.
"""

from __future__ import annotations

from config.errors import ConfigError, Problem
from config.loader import DEMO, EXAMPLE, describe, load
from config.parameters import ParameterSet, PortfolioParameters, UnitParameters, load_parameters
from config.secrets import Secret
from config.settings import Settings

__all__ = [
    "DEMO",
    "EXAMPLE",
    "ConfigError",
    "ParameterSet",
    "PortfolioParameters",
    "Problem",
    "Secret",
    "Settings",
    "UnitParameters",
    "describe",
    "load",
    "load_parameters",
]
