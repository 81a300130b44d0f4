"""What a desk on three venues sees in the demo's stories: an outage of volatilities, a stablecoin off its peg, an option that expires."""

from __future__ import annotations

import aiohttp
import pytest

from monitor.live.calendar import Calendar
from monitor.live.inputs import doubts, portfolio_inputs, worst_of
from monitor.margin.portfolio import UnitResult, portfolio_result
from monitor.resolvers.provenance import Provenance
from monitor.status import status
from monitor.web.server import ApiServer
from tests.monitor.live.three_venues import ThreeVenues, three_venues


def unit(desk: ThreeVenues, portfolio: str, coin: str) -> UnitResult:
    result = portfolio_result(desk.app.portfolios.book_of(portfolio), portfolio)
    return next(one for one in result.units if one.coin == coin)


def provenance(desk: ThreeVenues, portfolio: str) -> Provenance:
    return worst_of(one for group in portfolio_inputs(desk.app.portfolios, portfolio).values() for one in group)


async def test_an_outage_of_volatilities_is_said_and_prices_go_on_moving() -> None:
    async with three_venues("iv_outage", 60.0) as desk:
        assert provenance(desk, "desk") is Provenance.LIVE
        await desk.until(lambda: desk.market.iv_outage, 60.0)
        await desk.run(6.0)
        assert desk.market.iv_outage
        assert provenance(desk, "desk") is Provenance.STALE
        assert provenance(desk, "pair") is Provenance.LIVE, "which holds no option"
        said = list(doubts(portfolio_inputs(desk.app.portfolios, "desk")))
        assert any(text.startswith("BTC implied volatility STALE") for text in said)
        before = unit(desk, "desk", "BTC").option
        await desk.run(1.0)
        assert unit(desk, "desk", "BTC").option != before, "every perpetual tick reprices the options"
        # a new connection, tried for the silent chain, takes the indices along for a moment
        await desk.until(desk.has_values, 5.0)
        await desk.run(1.5)
        view = next(one for one in desk.app.portfolio_views if one.portfolio == "desk")
        assert view.provenance is Provenance.STALE
        told = next(one for one in status(desk.app)["portfolios"] if one["id"] == "desk")
        assert (told["status"], told["provenance"]) == ("ok", "STALE")
        await desk.until(lambda: not desk.market.iv_outage, 60.0)
        await desk.until(lambda: provenance(desk, "desk") is Provenance.LIVE, 20.0)


async def test_a_stablecoin_off_its_peg_raises_the_charge_and_takes_equity() -> None:
    async with three_venues("depeg", 60.0) as desk:
        first, equity = unit(desk, "pair", "BTC"), desk.figures("pair").equity or 0.0
        index = desk.app.portfolios.resolvers.index("BTC").value
        rate = first.contingency["stablecoin_spread"] / (20.0 * index)
        assert rate == pytest.approx(0.0075, rel=0.01)
        await desk.until(lambda: desk.market.stablecoin("USDT") < 0.96, 60.0)
        await desk.run(1.0)
        gap = 1.0 - desk.app.portfolios.resolvers.fx("USDT").value
        assert gap > 0.03
        now = unit(desk, "pair", "BTC")
        assert now.contingency["stablecoin_spread"] == pytest.approx(
            gap * 20.0 * desk.app.portfolios.resolvers.index("BTC").value, rel=0.02
        )
        umbra = next(result.equity or 0.0 for result in desk.app.results() if result.account == "umbra")
        assert equity - (desk.figures("pair").equity or 0.0) > 0.5 * gap * umbra


async def test_the_calendar_says_what_an_expiry_leaves() -> None:
    async with three_venues("calm", 60.0) as desk:
        found = Calendar(desk.app).document()
        kinds = {entry["kind"] for entry in found["entries"]}
        assert {"funding", "expiry"} <= kinds
        expiries = [entry for entry in found["entries"] if entry["kind"] == "expiry" and entry["portfolio"] == "desk"]
        assert [entry["time_ms"] for entry in expiries] == sorted(entry["time_ms"] for entry in expiries)
        first = expiries[0]
        assert first["ratio"] == pytest.approx(desk.figures("desk").margin_ratio, rel=1e-9)
        await desk.until(lambda: desk.clock.time_ms() > first["time_ms"] + 3_000, 60.0)
        gone = set(first["instruments"])
        await desk.until(lambda: not gone & {row.instrument for row in desk.app.portfolios.accounts["noctua"].row.positions}, 20.0)
        assert desk.has_values()
        # prices moved a little meanwhile
        assert desk.figures("desk").margin_ratio == pytest.approx(first["ratio_after"], rel=0.2)
        assert abs(first["ratio_after"] / first["ratio"] - 1.0) > 1e-6


async def test_the_api_serves_report_and_calendar() -> None:
    async with three_venues("calm", 60.0) as desk:
        server = ApiServer(desk.app, "127.0.0.1", 0)
        await server.start()
        try:
            async with aiohttp.ClientSession() as session:
                async with session.get(f"{server.url}/api/v1/portfolios?snapshot=1") as answer:
                    told = await answer.json()
                async with session.get(f"{server.url}/api/v1/portfolios?portfolio=nobody") as answer:
                    assert answer.status == 404
                    assert "configured are desk, pair, iris-alone" in (await answer.json())["error"]
                async with session.get(f"{server.url}/api/v1/calendar") as answer:
                    assert {entry["kind"] for entry in (await answer.json())["entries"]} >= {"funding", "expiry"}
        finally:
            await server.stop()
        assert [one["id"] for one in told["report"]["portfolios"]] == ["desk", "pair", "iris-alone"]
        assert told["report"]["sets"] == [["desk", "pair", "iris-alone"]]
        assert {account["id"] for account in told["snapshot"]["accounts"]} == {"iris", "umbra", "noctua"}
