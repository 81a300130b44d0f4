"""Colours, thresholds and value mappings.

The palette is Okabe and Ito's, which the colour-blind can read, and a text always goes with a colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard

GREY = "#8C8C8C"
SKY = "#56B4E9"
BLUE = "#0072B2"
YELLOW = "#F0E442"
ORANGE = "#E69F00"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"

LEVEL_COLORS = {"warning": YELLOW, "critical": ORANGE, "liquidation": VERMILION, "breach": PURPLE}
NO_DATA = "no data"


@dataclass(frozen=True, slots=True)
class State:
    """What a value means: `text` is always shown, the colour only helps."""

    value: int
    text: str
    color: str


LEVELS = (
    State(-1, "NO FIGURE", GREY),
    State(0, "ok", SKY),
    State(1, "WARNING", YELLOW),
    State(2, "CRITICAL", ORANGE),
    State(3, "LIQUIDATION", VERMILION),
    State(4, "BREACH", PURPLE),
)
PROVENANCE = (
    State(0, "LIVE", SKY),
    State(1, "AGING", BLUE),
    State(2, "STALE", YELLOW),
    State(3, "OUTCOME", ORANGE),
    State(4, "PROXY", ORANGE),
    State(5, "CONFIGURED", PURPLE),
    State(6, "MISSING", VERMILION),
)


def yes_or_no(yes: str, no: str) -> tuple[State, State]:
    """The two values of a flag of which 1 is the good one."""
    return State(0, no, VERMILION), State(1, yes, SKY)


def mapping(states: Sequence[State]) -> dashboard.ValueMap:
    """The value mapping of Grafana."""
    results = {str(one.value): dashboard.ValueMappingResult(one.text, one.color, index=index) for index, one in enumerate(states)}
    return dashboard.ValueMap(options=results)


def unknown(text: str) -> dashboard.SpecialValueMap:
    """What is written, in grey, where there is no value: Grafana would give it the colour of the lowest step, which is the healthy one."""
    result = dashboard.ValueMappingResult(text, GREY, index=len(LEVELS) + len(PROVENANCE))
    options = builders.DashboardSpecialValueMapOptions().match(dashboard.SpecialValueMatch.NULL_AND_NAN).result(result)
    return dashboard.SpecialValueMap(options=options.build())


@dataclass(frozen=True, slots=True)
class Steps:
    """From `base` on upwards: each (value, colour) holds from its value on."""

    base: str
    steps: tuple[tuple[float, str], ...] = ()

    def build(self) -> builders.ThresholdsConfig:
        """The thresholds of Grafana."""
        first = dashboard.Threshold(value=None, color=self.base)
        rest = [dashboard.Threshold(value=value, color=color) for value, color in self.steps]
        return builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps([first, *rest])


# Grafana's own thresholds are constants. Where a colour needs one these are the shipped defaults of `[defaults] levels`; lines over
# time and every level in words are the monitor's own (marginwatch_level_threshold_ratio, marginwatch_account_level).
UTILISATION = Steps(SKY, ((0.85, YELLOW), (0.90, ORANGE), (1.0, VERMILION)))
NONE_IS_GOOD = Steps(SKY, ((1, VERMILION),))
SHARE_USED = Steps(SKY, ((0.8, YELLOW), (1.0, VERMILION)))
PLAIN = Steps(SKY)
