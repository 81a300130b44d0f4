"""`make parity`: every recorded figure equals the venue's, every example and reference is met, and the check is able to fail."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import aster_references, golden, option_references, parity

LEAST_CHECKED = 55


def checked(lines: list[parity.Verdict]) -> list[parity.Verdict]:
    return [line for line in lines if line.allowed is not None]


def differing(recordings: Path) -> set[tuple[str, str]]:
    return {(line.set, line.row.figure) for line in parity.verdicts(recordings) if not line.passed}


def test_every_checked_figure_is_the_venues(recordings: Path) -> None:
    lines = parity.verdicts(recordings)
    assert [(line.set, line.row.pool, line.row.figure, line.row.difference) for line in lines if not line.passed] == []
    assert len(checked(lines)) >= LEAST_CHECKED
    assert all(line.note for line in lines if line.allowed is None), "what is not checked says why"


def test_what_is_allowed_is_rounding(recordings: Path) -> None:
    for line in checked(parity.verdicts(recordings)):
        assert line.allowed is not None
        assert math.isfinite(line.row.ours)
        relative = line.allowed / max(1.0, abs(line.row.venue))
        loosest = {"withdrawable": 2.1e-6, "portfolio_margin_ratio": 1e-4}.get(line.row.figure, 2e-6)
        assert relative <= loosest, (line.set, line.row.figure)


@pytest.mark.parametrize(
    "figure", ["maintenance_margin", "equity", "available", "portfolio_margin_ratio", "withdrawable", "liquidation_price"]
)
def test_every_kind_of_figure_is_checked(recordings: Path, figure: str) -> None:
    assert sum(line.row.figure.startswith(figure) for line in checked(parity.verdicts(recordings))) >= 3


@pytest.fixture
def perturb(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[Any], None]], None]:
    """Have one recording read as changed by a function; the file stays what it is."""
    load = parity._Recordings.load

    def apply(changed: str, change: Callable[[Any], None]) -> None:
        def read(self: parity._Recordings, name: str) -> Any:
            document = load(self, name)
            if name == changed:
                change(document)
            return document

        monkeypatch.setattr(parity._Recordings, "load", read)

    return apply


def scale(owner: dict[str, Any], key: str, factor: float) -> None:
    owner[key] = repr(float(owner[key]) * factor)


def test_another_mark_differs(recordings: Path, perturb: Callable[[str, Callable[[Any], None]], None]) -> None:
    perturb("rest_clearinghouse_state_default_mode_scaled", lambda d: scale(d["assetPositions"][0]["position"], "positionValue", 1 + 1e-8))
    found = differing(recordings)
    assert ("default_mode_scaled", "maintenance_margin") in found
    assert ("default_mode_scaled", "equity") in found
    assert {name for name, _ in found} == {"default_mode_scaled"}


def test_another_margin_table_differs(recordings: Path, perturb: Callable[[str, Callable[[Any], None]], None]) -> None:
    def earlier(document: Any) -> None:
        for _, table in document["marginTables"]:
            for tier in table["marginTiers"][1:]:
                tier["lowerBound"] = "1000000.0"

    perturb("rest_meta_first6_2026", earlier)
    found = differing(recordings)
    assert ("default_mode_scaled", "maintenance_margin") in found
    assert ("default_mode_scaled", "liquidation_price BTC") in found


def test_another_wallet_differs(recordings: Path, perturb: Callable[[str, Callable[[Any], None]], None]) -> None:
    perturb("rest_spot_clearinghouse_state_unified", lambda d: scale(d["balances"][0], "total", 1 + 1e-7))
    assert differing(recordings) == {("unified", "available")}


def test_another_ratio_differs(recordings: Path, perturb: Callable[[str, Callable[[Any], None]], None]) -> None:
    perturb("rest_spot_clearinghouse_state_pm_borrowing_scaled", lambda d: scale(d, "portfolioMarginRatio", 1 + 1e-7))
    assert ("pm_borrowing_scaled", "portfolio_margin_ratio") in differing(recordings)


def test_another_liquidation_price_differs(recordings: Path, perturb: Callable[[str, Callable[[Any], None]], None]) -> None:
    perturb("rest_clearinghouse_state_unified", lambda d: scale(d["assetPositions"][0]["position"], "liquidationPx", 1 + 1e-3))
    assert {name for name, _ in differing(recordings)} == {"unified"}


@pytest.mark.parametrize(("code", "factor"), [(0, 1.0), (1, 1.001)])
def test_exit_code(
    recordings: Path,
    perturb: Callable[[str, Callable[[Any], None]], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: int,
    factor: float,
) -> None:
    monkeypatch.setenv("MARGINWATCH_RECORDINGS", str(recordings))
    if factor != 1.0:
        name = "rest_clearinghouse_state_default_mode_scaled"
        perturb(name, lambda document: scale(document, "crossMaintenanceMarginUsed", factor))
    assert parity.main() == code
    out = capsys.readouterr().out
    assert ("DIFFERS" in out) is bool(code)
    assert f"sets: {code} differ" in out


def test_examples_and_options_are_part_of_it(recordings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MARGINWATCH_RECORDINGS", str(recordings))
    assert parity.main() == 0
    out = capsys.readouterr().out
    assert "golden examples: 0 lines differ" in out
    assert "3478 options of 3 sources checked in" in out
    for name, owner, told in (("computed", golden, "golden examples: 1 lines differ"), ("summaries", option_references, "lines: 1 lines")):
        with monkeypatch.context() as changed:
            changed.setattr(owner, name, spoilt(getattr(owner, name)))
            assert parity.main() == 1
            assert told in capsys.readouterr().out


def test_what_aster_prints_is_met(recordings: Path) -> None:
    found = aster_references.lines(recordings / "aster")
    assert [(line.source, line.figure, line.difference) for line in found if not line.passed] == []
    assert len(found) >= 25
    prices = {line.printed for line in found if line.figure.startswith("liquidation price")}
    assert prices == {"5930.78", "7189.95", "0.36437", "3301.87"}
    assert all(line.allowed < 0.51 for line in found)


@pytest.mark.parametrize(
    ("file", "change", "figures"),
    [
        ("ws_account_update", lambda d: scale(d["a"]["P"][1], "iw", 1 + 1e-4), {"liquidation price", "isolated margin with profit"}),
        ("rest_position_risk_hedge", lambda d: scale(d[1], "liquidationPrice", 1 + 2e-6), {"liquidation price"}),
        ("ws_margin_call", lambda d: scale(d["p"][0], "mp", 1.01), {"maintenance margin", "margin ratio, %"}),
        (
            "rest_account_v4_docs",
            lambda d: scale(d["assets"][0], "crossWalletBalance", 1.01),
            {"margin balance USDT", "total margin balance"},
        ),
        (
            "rest_leverage_bracket_recorded_truthusdt_first2",
            lambda d: d[0]["brackets"][1].update(cum="70.0"),
            {"deduction of the second tier", "what does not fit"},
        ),
    ],
)
def test_what_aster_prints_otherwise_differs(
    recordings: Path, tmp_path: Path, file: str, change: Callable[[Any], None], figures: set[str]
) -> None:
    for name in aster_references.FILES:
        document = json.loads((recordings / "aster" / f"{name}.json").read_text(encoding="utf-8"))
        if name == file:
            change(document)
        (tmp_path / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
    assert {line.figure for line in aster_references.lines(tmp_path) if not line.passed} == figures


def spoilt(compute: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same with one figure that is wrong."""

    def wrong(source: Any) -> Any:
        found = compute(source)
        if isinstance(found, dict):
            return {**found, "BYBIT-09": {"assetIM": 0.0}}
        return [replace(found[0], difference=1.0), *found[1:]]

    return wrong


@pytest.mark.parametrize("name", ["hyperliquid", "aster", "deribit", "uta_examples.json"])
def test_what_is_missing_is_named(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    folder = tmp_path / "fixtures"
    (tmp_path / "golden").mkdir()
    folder.mkdir()
    for path in (folder / "hyperliquid", folder / "aster", folder / "deribit", golden.path_beside(folder)):
        if path.name != name:
            path.symlink_to(recordings / path.name if path.parent == folder else golden.path_beside(recordings))
    monkeypatch.setenv("MARGINWATCH_RECORDINGS", str(folder))
    assert parity.main() == 2
    err = capsys.readouterr().err
    assert name in err.partition(":")[0]
    assert "MARGINWATCH_RECORDINGS" in err


def test_without_recordings_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MARGINWATCH_RECORDINGS", str(tmp_path))
    assert parity.main() == 2
    assert "MARGINWATCH_RECORDINGS" in capsys.readouterr().err


@pytest.mark.parametrize(("printed", "half"), [("0.0389075208", 0.5e-10), ("38252.7", 0.5e-6), ("12578.4", 0.5e-6)])
def test_half_a_unit_of_the_last_digit(printed: str, half: float) -> None:
    assert parity.half_unit(printed) == pytest.approx(half, rel=1e-5)


def test_no_digit_is_asked_for_that_a_double_does_not_hold() -> None:
    assert parity.half_unit("41085515.0539490000") == pytest.approx(4 * math.ulp(41085515.0), rel=1e-5)
