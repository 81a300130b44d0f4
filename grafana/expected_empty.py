"""Which queries may be empty in the crash demo, and why: every other one must return something there."""

from __future__ import annotations

_RECORDING = "only with --record, which the demo of the test does without"
_NO_FAILURE = "every pool and portfolio may have a figure at the moment of asking"

EMPTY_IN_DEMO: dict[str, str] = {
    "marginwatch-desk/Why portfolios have no figure/A": _NO_FAILURE,
    "marginwatch-account/Why pools have no figure/A": _NO_FAILURE,
    "marginwatch-health/Last heartbeat/A": "only with [heartbeat], which the demo does not configure",
    "marginwatch-health/Left out of the metrics/A": "the demo stays below [metrics] series_limit",
    "marginwatch-health/Flight recorder/A": _RECORDING,
    "marginwatch-health/Flight recorder/B": _RECORDING,
    "marginwatch-health/Recorded/A": _RECORDING,
    "marginwatch-health/Recorded/B": _RECORDING,
    "marginwatch-health/Recorded/C": _RECORDING,
}
"""Reason by `BoardQuery.key`. An entry allows emptiness and does not ask for it."""
