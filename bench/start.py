"""Cold start of the kernels: with an empty cache, with a warm one, and with a cache directory that cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

_MEASURED = """
import time
begin = time.perf_counter()
from kernels import _jit, warmup
imported = time.perf_counter()
warmup.warm_up(forbid=False)
pools = time.perf_counter()
warmup.warm_up_portfolio()
end = time.perf_counter()
print(f"import {imported - begin:.2f} s, venue pools {pools - imported:.2f} s, portfolio method {end - pools:.2f} s: {end - begin:.2f} s;"
      f" {_jit.CACHE_NOTE}")
"""


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as directory:
        for label in ("empty cache", "warm cache"):
            _start(label, Path(directory))
        # a file stands where the directory should be: nobody can write there, not even root
        blocked = Path(directory) / "file"
        blocked.touch()
        _start("unwritable cache", blocked)


def _start(label: str, cache: Path) -> None:
    environ = os.environ | {"MARGINWATCH_CACHE_DIR": str(cache)}
    result = subprocess.run([sys.executable, "-c", _MEASURED], env=environ, capture_output=True, text=True, check=True, timeout=300)
    print(f"{label}: {result.stdout.strip()}")
