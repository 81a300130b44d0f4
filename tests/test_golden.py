"""The golden examples and the option references: every figure is reproduced, from its inputs, and a wrong one is reported."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests import golden, option_references
from tests.conftest import missing

Document = dict[str, Any]

CASES = {"BYBIT-01", "BYBIT-02", "BYBIT-03", "BYBIT-04", "BYBIT-06", "BYBIT-07", *golden.RULES}

INPUTS = [
    ("BYBIT-01", "forward", 71382.5),
    ("BYBIT-01", "mark_iv", 0.2775),
    ("BYBIT-02", "mark_price_usdt", 255902.32),
    ("BYBIT-04", "usd_index", 70500.41),
    ("BYBIT-09", "assetMM", 1062.34922),
    ("BYBIT-10", "equity", 52197.87),
    ("BYBIT-11", "mark", 290.01),
    ("BYBIT-13", "seconds_to_expiry", 901),
    ("BYBIT-14", "hedge_gain_same_scenario", 3000.01),
    ("BYBIT-15", "index", 42000.1),
    ("DERIBIT-05", "minutes_in", 16),
    ("HL-01", "borrowed_size", 9200.01),
    ("HL-02", "px1", 150000.01),
    ("D-BYBIT-A", "index", 100000.01),
    ("D-BYBIT-B", "factor", 1.001e-7),
    ("D-BYBIT-C", "delta_usdc", -1.01),
    ("D-BYBIT-D1", "index", 100000.01),
    ("D-BYBIT-ORD", "MM_A_plus_C", 1800.01),
    ("D-LIQPX", "equity0", 20.001),
    ("D-LIQPX", "equity0", 6.0),
]


def path_of_examples(recordings: Path) -> Path:
    path = golden.path_beside(recordings)
    if not path.is_file():
        missing("no golden examples beside the recordings: golden/uta_examples.json is expected there")
    return path


@pytest.fixture(scope="module")
def examples(recordings: Path) -> list[Document]:
    return golden.read(path_of_examples(recordings))


@pytest.fixture(scope="module")
def ours(examples: list[Document]) -> dict[str, Document]:
    return golden.computed(examples)


def differing(examples: list[Document], ours: dict[str, Document]) -> set[str]:
    return {line.case for line in golden.lines(examples, ours) if not line.passed}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every figure of an example's `expected`, with the keys that lead to it."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if parts is None:
        yield path, value
        return
    for key, part in parts:
        yield from leaves(part, (*path, key))


def test_every_figure_of_every_example_is_reproduced(examples: list[Document], ours: dict[str, Document]) -> None:
    assert {example["id"] for example in examples} == set(ours) == CASES
    found = golden.lines(examples, ours)
    assert [(line.case, line.figure, line.expected, line.ours, line.allowed) for line in found if not line.passed] == []
    assert sum(line.cells for line in found) == sum(len(list(leaves(example["expected"]))) for example in examples)
    assert all(line.evidence for line in found)


def test_what_is_allowed_is_the_tolerance_of_the_file_or_rounding(examples: list[Document], ours: dict[str, Document]) -> None:
    told = {example["id"]: example["tolerance"]["abs"] for example in examples if "tolerance" in example}
    for line in golden.lines(examples, ours):
        if line.case in told and not isinstance(line.expected, bool):
            assert line.allowed == told[line.case]
        else:
            size = 0.0 if isinstance(line.expected, str) else abs(line.expected)
            loosest = 2e-7 if (line.case, line.figure) in golden.BISECTED else 1e-12 * max(1.0, size)
            assert line.allowed <= loosest
    assert max(told.values()) <= 1e-6


def test_every_published_digit_of_the_account_sample(examples: list[Document], ours: dict[str, Document]) -> None:
    for line in golden.lines(examples, ours):
        if line.case in ("BYBIT-01", "BYBIT-02", "BYBIT-03", "BYBIT-04", "BYBIT-06", "BYBIT-07"):
            assert line.difference == 0.0


def changed(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    return f"{value}?" if isinstance(value, str) else value + max(1e-6, 2e-6 * abs(value))


def test_any_other_expectation_is_reported(examples: list[Document], ours: dict[str, Document]) -> None:
    count = 0
    for place, example in enumerate(examples):
        for path, value in leaves(example["expected"]):
            other = deepcopy(example)
            owner = other["expected"]
            for key in path[:-1]:
                owner = owner[key]
            owner[path[-1]] = changed(value)
            found = [line for line in golden.lines([*examples[:place], other, *examples[place + 1 :]], ours) if not line.passed]
            assert [(line.case, line.figure) for line in found] == [(example["id"], path[0])], path
            count += 1
    assert count > 100


@pytest.mark.parametrize(("case", "name", "value"), INPUTS)
def test_our_figures_follow_the_inputs(examples: list[Document], case: str, name: str, value: float) -> None:
    other = deepcopy(examples)
    next(example for example in other if example["id"] == case)["inputs"][name] = value
    assert case in differing(other, golden.computed(other))


def test_a_case_that_we_do_not_know_is_reported(examples: list[Document], ours: dict[str, Document]) -> None:
    new = {"id": "BYBIT-99", "title": "new", "kind": "published", "inputs": {}, "expected": {"MM": 1.0, "rows": [1.0, 2.0]}}
    assert differing([*examples, new], ours) == {"BYBIT-99"}
    longer = {**ours, "BYBIT-02": {"pnl": [*ours["BYBIT-02"]["pnl"], 0.0]}}
    assert differing(examples, longer) == {"BYBIT-02"}
    unknown = {**ours, "BYBIT-09": {"assetIM": math.nan}, "BYBIT-11": {"MM": None, "IM": True}}
    assert differing(examples, unknown) == {"BYBIT-09", "BYBIT-11"}


def test_short_calls_alone_need_what_the_hedge_saves(examples: list[Document]) -> None:
    (example,) = [one for one in examples if one["id"] == "BYBIT-14"]
    bare = golden.RULES["BYBIT-14"]({**example["inputs"], "hedge_gain_same_scenario": 1e-9})
    assert bare["MM"] == pytest.approx(example["inputs"]["short_calls_max_loss"], rel=1e-11)


def test_the_table_marks_what_differs(examples: list[Document], ours: dict[str, Document]) -> None:
    console = Console(width=250)
    with console.capture() as capture:
        console.print(golden.table(golden.lines(examples, {**ours, "BYBIT-09": {"assetIM": 1.0}})))
    rows = [line for line in capture.get().splitlines() if "DIFFERS" in line]
    assert [line.split()[0] for line in rows] == ["BYBIT-09"]
    assert "…" not in capture.get()


# -- option prices ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def deribit(recordings: Path) -> Path:
    folder = recordings / "deribit"
    if not folder.is_dir():
        missing("no option recordings here: MARGINWATCH_RECORDINGS names a directory without deribit/")
    return folder


def test_option_references_are_met(deribit: Path) -> None:
    found = option_references.summaries(deribit)
    assert [line for line in found if not line.passed] == []
    exact = [line for line in found if line.source == "black76_golden_cross_venue"]
    assert {line.rows for line in exact} == {108}
    assert {line.allowed for line in exact} == {1e-12}
    assert sorted({line.source: line.rows for line in reversed(found)}.values()) == [108, 1400, 1970]


@pytest.mark.parametrize("key", ["price", "delta", "gamma", "vega_per_1pct"])
def test_another_reference_differs(deribit: Path, tmp_path: Path, key: str) -> None:
    content = json.loads((deribit / option_references.REFERENCES).read_text())
    content["rows"][50]["reference_black76_undiscounted"][key] *= 1 + 1e-11
    path = tmp_path / "references.json"
    path.write_text(json.dumps(content))
    failed = {line.figure for line in option_references.forty_digits(path) if not line.passed}
    assert key in failed
    assert failed <= {key, "implied volatility"}


@pytest.mark.parametrize(("column", "factor"), [("underlying", 1.05), ("implied_volatility", 1.2), ("mark_price", 1.05), ("vega", 0.5)])
def test_another_chain_differs(deribit: Path, tmp_path: Path, column: str, factor: float) -> None:
    with (deribit / option_references.CHAINS[0]).open(newline="") as source:
        rows = list(csv.DictReader(source))
    for row in rows:
        row[column] = repr(float(row[column]) * factor)
    path = tmp_path / "chain.csv"
    with path.open("w", newline="") as target:
        writer = csv.DictWriter(target, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert any(not line.passed for line in option_references.chain(path))


def test_a_figure_without_value_does_not_pass() -> None:
    assert not option_references.Summary("source", "figure", 1, 1.0, math.nan, 1.0).passed
