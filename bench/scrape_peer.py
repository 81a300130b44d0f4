"""Processes beside the scrape benchmark, so that they cost its interpreter nothing: a clock that ticks, and a client that scrapes.

`ticks RATE SECONDS` writes the time (monotonic ns) RATE times a second, a line each. `scrapes URL SECONDS` scrapes one time after
another and prints {scrapes, series, p50_ms, worst_ms} as a line of JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import urllib.request


def ticks(rate: float, seconds: float) -> None:
    """Tell the time."""
    begin = time.monotonic()
    for number in range(round(rate * seconds)):
        time.sleep(max(0.0, begin + number / rate - time.monotonic()))
        print(time.monotonic_ns(), flush=True)


def scrapes(url: str, seconds: float) -> None:
    """Scrape without a rest."""
    end, told, body = time.monotonic() + seconds, [], b""
    while time.monotonic() < end:
        begin = time.monotonic()
        with urllib.request.urlopen(url, timeout=30) as answer:
            body = answer.read()
        told.append(1000 * (time.monotonic() - begin))
    series = sum(not line.startswith(b"#") for line in body.splitlines())
    print(json.dumps({"scrapes": len(told), "series": series, "p50_ms": statistics.median(told), "worst_ms": max(told)}))


if __name__ == "__main__":
    if sys.argv[1] == "ticks":
        ticks(float(sys.argv[2]), float(sys.argv[3]))
    else:
        scrapes(sys.argv[2], float(sys.argv[3]))
