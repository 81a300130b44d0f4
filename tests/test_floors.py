"""The floors between the packages, and that the checker of the floors catches each kind of violation."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.import_floors import OURS, PACKAGES, imports, violations

PROJECT = Path(__file__).resolve().parents[1]


def _modules() -> list[tuple[str, Path]]:
    files = [path for package in OURS for path in sorted((PROJECT / package).rglob("*.py"))]
    return [(".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__"), path) for path in files]


def test_walk_finds_every_package() -> None:
    found = {name.partition(".")[0] for name, _ in _modules()}
    assert found >= {*PACKAGES, "tests"}


@pytest.mark.parametrize(("module", "path"), _modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_module_keeps_to_its_floor(module: str, path: Path) -> None:
    assert violations(module, path.read_text(encoding="utf-8"), is_package=path.name == "__init__.py") == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("kernels.black76", "import math\nimport numpy as np\nfrom numba import njit\nfrom kernels._jit import jit\nfrom . import pool"),
        ("kernels._jit", "import os\nimport hashlib\nfrom pathlib import Path\nfrom llvmlite import binding"),
        ("config.loader", "import os\nfrom config.settings import Settings\nfrom pydantic import BaseModel"),
        ("connectors.aster.rest", "import aiohttp\nfrom connectors.model import Order\nfrom ..events import Fill"),
        ("monitor.engine", "import kernels.stress\nfrom config import load\nfrom connectors import events"),
        ("monitor.demo", "from connectors.simulator import market"),
        ("monitor.cli", "def demo():\n    from connectors.simulator import market"),
        ("connectors.simulator.market", "import asyncio\nfrom connectors.simulator.faults import Fault\nfrom . import faults"),
        ("bench.__main__", "from connectors import simulator\nfrom bench import report"),
        ("tests.e2e.test_demo", "import connectors.simulator.market\nimport bench.report"),
    ],
)
def test_checker_allows(module: str, source: str) -> None:
    assert violations(module, source) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("kernels.pool", "from connectors.model import Order"),
        ("kernels.pool", "import config"),
        ("kernels.pool", "import asyncio"),
        ("kernels.pool", "from time import monotonic_ns"),
        ("kernels.pool", "import os.path"),
        ("kernels.pool", "from llvmlite import binding"),
        ("kernels._jit", "import socket"),
        ("kernels.pool", "import orjson"),
        ("kernels.pool", "def f():\n    import socket"),
        ("config.loader", "import monitor.cli"),
        ("connectors.session", "from monitor import clock"),
        ("connectors.session", "from kernels import pool"),
        ("connectors.session", "if TYPE_CHECKING:\n    from config.settings import Settings"),
        ("connectors.session", "import importlib\nimportlib.import_module('monitor.clock')"),
        ("connectors.session", "__import__('config')"),
        ("monitor.engine", "import tests.conftest"),
        ("monitor.engine", "from bench import report"),
        ("bench.report", "from tests import conftest"),
        ("monitor.app", "from connectors.simulator import market"),
        ("monitor.app", "from connectors import simulator"),
        ("monitor.app", "def f():\n    import connectors.simulator.market"),
        ("monitor.cli", "from connectors.simulator import market"),
        ("connectors.session", "from .simulator import market"),
        ("connectors.simulator.hyperliquid", "from connectors.hyperliquid import messages"),
        ("connectors.simulator.hyperliquid", "from connectors import events"),
        ("connectors.simulator.hyperliquid", "from ..model import Order"),
        ("connectors.simulator.hyperliquid", "import kernels.black76"),
        ("connectors.simulator.hyperliquid", "import config"),
        ("connectors.simulator.hyperliquid", "from monitor.clock import Clock"),
    ],
)
def test_checker_catches(module: str, source: str) -> None:
    assert len(violations(module, source)) == 1


def test_checker_resolves_relative_imports_of_a_package() -> None:
    targets = [item.target for item in imports("connectors.simulator", "from . import market\nfrom .. import events", is_package=True)]
    assert targets == ["connectors.simulator.market", "connectors.events"]
