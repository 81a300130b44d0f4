"""A desk on three venues through a whole story: what is computed on every tick is what its snapshot recomputes to."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest

from monitor.live.export import snapshot_document
from monitor.live.report import frozen
from monitor.margin.cross import cross_result
from monitor.margin.portfolio import portfolio_result
from monitor.report.document import CUTS, margin_report
from monitor.resolvers.provenance import Provenance
from monitor.snapshot import parse_snapshot
from monitor.stress.load import book_of
from tests.kernels.stress_books import REFERENCE
from tests.monitor.live.three_venues import ThreeVenues, three_venues
from tests.reference import margin_model

EXACT = 1e-9
FIGURES = ("equity", "maintenance_margin", "initial_margin", "margin_ratio")


def apart(ours: float | None, theirs: float | None) -> float:
    if ours is None or theirs is None:
        return 0.0 if ours is theirs else math.inf
    return abs(ours - theirs) / max(1.0, abs(theirs))


def recomputed(desk: ThreeVenues) -> float:
    """The largest relative difference of the live figures to what their own snapshot gives, by the engine and by plain Python."""
    live, worst = desk.app.portfolios, 0.0
    document = orjson.loads(orjson.dumps(snapshot_document(live, desk.app.engine, "desk")))
    snapshot = parse_snapshot(document, "saved")
    parameters = live.settings.portfolios[0].parameter_set
    book = book_of(snapshot, parameters, CUTS)
    reference = margin_model.evaluate(document, REFERENCE["uta"])
    for figures in live.figures():
        saved, cross, plain = portfolio_result(book, figures.portfolio), cross_result(book, figures.portfolio), reference[figures.portfolio]
        for name in FIGURES:
            worst = max(worst, apart(getattr(figures, name), getattr(saved, name)), apart(getattr(figures, name), plain[name]))
        worst = max(worst, apart(figures.cross_maintenance_margin, cross.maintenance_margin))
        now = portfolio_result(live.book_of(figures.portfolio), figures.portfolio)
        for ours, theirs, third in zip(now.units, saved.units, plain["units"], strict=True):
            assert ours.coin == theirs.coin == third["coin"]
            for name in ("max_loss", "maintenance_margin", "delta", "gamma", "vega"):
                worst = max(worst, apart(getattr(ours, name), getattr(theirs, name)), apart(getattr(ours, name), third[name]))
    return worst


async def test_a_crash_recomputes_to_the_same_numbers_at_a_hundred_instants() -> None:
    async with three_venues("crash", 60.0) as desk:
        worst, instants, held = 0.0, 0, set[int]()
        ratios: dict[str, list[float]] = {"iris": [], "umbra": []}
        while instants < 100:
            await desk.run(0.5)
            if not desk.has_values():
                continue
            instants += 1
            worst = max(worst, recomputed(desk))
            assert worst <= EXACT, f"at {desk.market.time:.1f} s"
            for result in desk.app.results():
                if result.account in ratios and result.margin_ratio is not None:
                    ratios[result.account].append(result.margin_ratio)
            held |= {listed.expiry_ms for listed in desk.app.portfolios.held.values() if listed.expiry_ms}
        assert any(expiry_ms < desk.clock.time_ms() for expiry_ms in held), "an option expires while it is held"
        assert max(ratios["iris"]) > 0.8
        assert min(ratios["umbra"]) < 0.01
        assert desk.app.book.parse_errors == {}


async def test_the_live_report_is_the_report_of_its_snapshot() -> None:
    async with three_venues("crash", 60.0) as desk:
        await desk.run(12.0)
        told = frozen(desk.app.portfolios, desk.app.engine)
        report = orjson.loads(orjson.dumps(told.report()))
        saved: Any = orjson.loads(orjson.dumps(told.snapshot))
        again = margin_report(parse_snapshot(saved, "saved"), told.parameters)
        live = {figures.portfolio: figures for figures in desk.app.portfolios.figures()}
        for ours, theirs in zip(report["portfolios"], again["portfolios"], strict=True):
            for name in FIGURES:
                assert ours[name] == pytest.approx(theirs[name], rel=1e-12)
                assert ours[name] == pytest.approx(getattr(live[ours["id"]], name), rel=EXACT)
            assert ours["cross"]["saving"] == pytest.approx(live[ours["id"]].saving, rel=EXACT)
            assert ours["provenance"] == Provenance.LIVE.value
            assert {row["kind"] for row in ours["inputs"]} >= {"index", "fx"}
        desk_inputs = report["portfolios"][0]["inputs"]
        assert {row["kind"] for row in desk_inputs} == {"index", "fx", "forward", "implied_volatility"}
        pools = {(row["id"], row["pool"]): row["margin_ratio"] for row in report["accounts"]}
        for result in desk.app.results():
            if (result.account, result.pool) in pools:
                assert pools[result.account, result.pool] == pytest.approx(result.margin_ratio, rel=1e-9), result.scope
        # standard, on one dex, with nothing in its spot wallet: the same money in one pool
        (alone,), (unified,) = (report["modes"]["iris"][mode]["pools"] for mode in ("standard", "unified"))
        assert unified["equity"] == pytest.approx(alone["equity"], rel=EXACT)
        assert unified["margin_ratio"] == pytest.approx(alone["margin_ratio"], rel=EXACT)
