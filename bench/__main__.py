"""`make bench`: every speed the project claims, measured here and now. Ratios within one run are what counts."""

from __future__ import annotations

import sys

from bench import scrape, soak, tick

BENCHES = {"tick": tick.main, "scrape": scrape.main, "soak": soak.main}


def main() -> int:
    """Run the benchmarks named on the command line, or all."""
    names = sys.argv[1:] or list(BENCHES)
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"no benchmark {unknown[0]}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    for name in names:
        print(f"== {name}")
        BENCHES[name]()
    return 0


sys.exit(main())
