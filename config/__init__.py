"""What the user says: `load(path)` gives typed `Settings` or a `ConfigError` that names every problem."""

from __future__ import annotations

from config.errors import ConfigError, Problem
from config.loader import DEMO, EXAMPLE, describe, load
from config.secrets import Secret
from config.settings import Settings

__all__ = ["DEMO", "EXAMPLE", "ConfigError", "Problem", "Secret", "Settings", "describe", "load"]
