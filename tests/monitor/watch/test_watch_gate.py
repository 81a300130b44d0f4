"""In at the limit, out a tenth further back, and never in between."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from monitor.watch.gate import GAP, Gate

FIGURES = st.lists(st.floats(0.0, 2.0) | st.just(math.nan) | st.sampled_from([0.9, 1.0, 1.1]), max_size=40)


@given(FIGURES)
def test_a_figure_above_its_limit_changes_only_outside_the_gap(figures: list[float]) -> None:
    gate, was = Gate(), False
    for figure in figures:
        held = gate.reached("key", figure, 1.0)
        assert held is gate.holds("key")
        if figure >= 1.0:
            assert held
        elif figure < 1.0 - GAP:
            assert not held
        else:
            assert held is was, "it flickers inside the gap, or NaN changed it"
        was = held


@given(FIGURES)
def test_a_figure_below_its_limit_changes_only_outside_the_gap(figures: list[float]) -> None:
    gate, was = Gate(), False
    for figure in figures:
        held = gate.undercut("key", figure, 1.0)
        if figure < 1.0:
            assert held
        elif figure > 1.0 + GAP:
            assert not held
        else:
            assert held is was
        was = held


def test_keys_are_apart_and_forgotten() -> None:
    gate = Gate()
    gate.reached("a", 2.0, 1.0)
    gate.reached("b", 2.0, 1.0)
    gate.release("a")
    assert (gate.holds("a"), gate.holds("b")) == (False, True)
    gate.keep({"c"})
    assert not gate.holds("b")
