"""`make bench`: every speed the project claims, measured here and now. Ratios within one run are what counts."""

from __future__ import annotations

import importlib
import sys

BENCHES = ("tick", "alert", "recording", "aster", "scrape", "pages", "pricing", "portfolio", "venues_live", "start", "soak")


def main() -> int:
    """Run the benchmarks named on the command line, or all."""
    names = sys.argv[1:] or list(BENCHES)
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"no benchmark {unknown[0]}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    for name in names:
        print(f"== {name}", flush=True)
        importlib.import_module(f"bench.{name}").main()
    return 0


sys.exit(main())
