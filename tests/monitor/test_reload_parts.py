"""A reload replaces what is another one and nothing else: connectors, receivers, the heartbeat, portfolios, stand-in figures."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from config.settings import Settings
from connectors.events import FeedDropped, FeedState, FeedStatus, MarkPrices
from monitor.alerts.scope import ScopeKind
from monitor.live.view import PortfolioView
from monitor.margin.hyperliquid import VENUE
from monitor.reloading.prepared import Prepared, prepare
from monitor.resolvers.feeds import FeedHealth
from monitor.resolvers.provenance import Provenance
from tests.monitor.own_app import SECTIONS_FEED, started
from tests.monitor.own_desk import name
from tests.monitor.reloads import ReloadedApplication, desk, risky, run

# -- venues ---------------------------------------------------------------------------------------------------------------------------

SLOWER = {"hyperliquid": {"poll_interval_s": 9.0}}
DERIBIT = {"deribit": {"enabled": True}}


def three(**more: Any) -> list[dict[str, Any]]:
    """Accounts of all venues, with keys; `more` is laid over the one of Aster."""
    aster = {"id": "as", "venue": "aster", "address": f"0x{0xA1:040x}", "agent_key_env": "AGENT", **more}
    deribit = {"id": "de", "venue": "deribit", "client_id_env": "HOOK_URL", "client_secret_env": "OTHER_URL"}
    return [{"id": "maker", "venue": VENUE, "address": f"0x{0xB001:040x}"}, aster, deribit]


async def test_only_the_venue_whose_accounts_are_others_is_told() -> None:
    own = ReloadedApplication(desk(accounts=three()))

    def prepared(settings: Settings) -> Prepared:
        return prepare(own.app, settings, own.parts.makers)

    same = prepared(desk(accounts=three()))
    assert (dict(same.refs), same.leaving, same.connectors, same.entries, same.gone) == ({}, frozenset(), (), (), ())
    assert same.books is None
    another = prepared(desk(accounts=three(agent_key_env="OTHER_AGENT")))
    assert list(another.refs) == ["aster"]
    assert [entry.account for entry in another.entries] == ["as"]
    tagged = prepared(desk(accounts=three(tags=["desk-a"])))
    assert (dict(tagged.refs), tagged.entries) == ({}, ())
    ratios = prepared(desk(accounts=three(), venues={"aster": {"collateral_ratios": {"BTC": 0.5}}}))
    assert (ratios.leaving, [connector.venue for connector in ratios.connectors]) == (frozenset({"aster"}), ["aster"])
    assert [entry.account for entry in ratios.entries] == ["as"]
    limit = prepared(desk(accounts=three(), venues={"hyperliquid": {"portfolio_margin_limit": 0.9}}))
    assert (limit.leaving, [entry.account for entry in limit.entries]) == (frozenset({VENUE}), ["maker"])
    fewer = prepared(desk(accounts=three()[:1]))
    assert fewer.leaving == {"aster", "deribit"}
    assert not fewer.connectors
    assert fewer.gone == (("aster", "as"), ("deribit", "de"))
    await own.app.stop()


async def test_a_venue_comes_and_goes_beside_the_others() -> None:
    own = ReloadedApplication(desk())
    before = asyncio.all_tasks()
    async with started(own):
        failed = asyncio.create_task(own.app.failed())
        await run(own, 2, 0.5)
        (hyperliquid,) = own.app.connectors
        assert await own.reload(desk(venues=DERIBIT)) == ["venue deribit: enabled"]
        assert [connector.venue for connector in own.app.connectors] == [VENUE, "deribit"]
        assert own.app.connectors[0] is hyperliquid
        assert own.app.results()[0].valid
        deribit = own.parts.connectors[-1]
        assert deribit.wanted == (), "it was told what the portfolios want, in the same turn"
        await run(own, 2, 0.5)
        assert deribit.ratios, "it takes part in the once-a-second work"
        await own.reload(desk())
        await own.settled()
        assert own.app.connectors == [hyperliquid]
        assert deribit.stopped.is_set()
        assert not hyperliquid.stopped.is_set()  # type: ignore[attr-defined]
        assert not failed.done(), "what was let go may end"
        failed.cancel()
        await asyncio.gather(failed, return_exceptions=True)
    assert asyncio.all_tasks() == before


async def test_a_feed_of_a_venue_without_accounts_is_still_watched() -> None:
    own = ReloadedApplication(desk(venues=DERIBIT, alerts={"feed_hold_s": 1.0}))
    async with started(own):
        await own.tell(FeedState("deribit", "chain", None, FeedStatus.STALE, own.now_ns, "silent", 10.0))
        await run(own, 4, 0.5)
        assert own.firing() == [("chain", "stale_feed")]
        await own.reload(desk(venues=DERIBIT, alerts={"feed_hold_s": 2.0}))
        assert own.firing() == [("chain", "stale_feed")]
        await own.reload(desk(alerts={"feed_hold_s": 2.0}))
        assert own.firing() == []
        assert own.app.alarm.recent[-1].detail == "it is configured no more"


async def test_a_new_connector_that_fails_ends_the_program_and_an_old_one_does_not() -> None:
    own = ReloadedApplication(desk())
    async with started(own):
        own.connector.failure = RuntimeError("the old one")
        await own.reload(desk(venues=SLOWER))
        failed = asyncio.create_task(own.app.failed())
        await own.settled()
        assert own.connector.stopped.is_set()
        assert not failed.done()
        own.parts.connectors[-1].failure = RuntimeError("the new one")
        own.parts.connectors[-1].stopped.set()
        with pytest.raises(RuntimeError, match="the new one"):
            await failed


async def test_the_last_words_of_a_connector_that_was_replaced_count_no_more() -> None:
    own = ReloadedApplication(desk())
    async with started(own):
        await own.feed(SECTIONS_FEED, FeedStatus.FRESH)
        own.connector.sink(risky(own, 0.95))
        await run(own, 2, 0.95)
        assert await own.reload(desk(venues=SLOWER)) == ["venue hyperliquid: poll_interval_s"]
        assert own.app.book.freshness.feeds == {}
        (waiting,) = own.app.results()
        assert waiting.margin_ratio is None
        assert own.app.unready()
        own.connector.sink(risky(own, 0.2))
        await own.settled()
        assert own.app.results() == [waiting]
        assert own.firing() == [("main", "margin_level")], "the alert waits for good data"
        own.parts.connectors[-1].sink(risky(own, 0.95))
        await own.settled()
        assert own.app.results()[0].margin_ratio == pytest.approx(0.95)


async def test_a_pool_in_danger_that_is_read_anew_is_missed_without_the_patience_of_a_start() -> None:
    own = ReloadedApplication(desk("maker", "hedger"))
    async with started(own):
        await run(own, 2, 0.95)
        await run(own, 2, 0.2, "hedger")
        assert own.firing() == [("main", "margin_level")]
        await own.reload(desk("maker", "hedger", venues=SLOWER))
        for _ in range(12):
            await own.clock.advance(1.0)
            await own.settled()
        firing = {(one.scope.account, one.rule.value) for one in own.app.alarm.policy.firing()}
        assert firing == {("maker", "data"), ("maker", "margin_level")}, "the other one has its time"


async def test_another_account_of_the_name_does_not_rise_from_where_the_one_before_was() -> None:
    own = ReloadedApplication(desk(alerts={"rise_per_minute": 0.1}))
    async with started(own):
        await run(own, 4, 0.2)
        other = {"id": "maker", "venue": VENUE, "address": f"0x{0xB009:040x}"}
        await own.reload(desk(accounts=[other], alerts={"rise_per_minute": 0.1}))
        await own.tell(*risky(own, 0.8))
        await run(own, 3, 0.8)
        assert own.firing() == []


async def test_changes_told_over_a_connection_that_is_gone_are_confirmed_by_nobody() -> None:
    own = ReloadedApplication(desk())
    async with started(own):
        for status in (FeedStatus.FRESH, FeedStatus.STALE):
            await own.feed("fastAssetCtxs", status, None)
        changed = MarkPrices(VENUE, "fastAssetCtxs", own.now_ns, [name("BTC")], [100.0], [math.nan], [math.nan], delta=True)
        await own.tell(changed)
        assert own.app.book.market.silent([name("BTC")], own.now_ns + 60 * 10**9, 15.0, delta_alive=True) is None
        await own.reload(desk(venues=SLOWER))
        assert own.app.book.market.silent([name("BTC")], own.now_ns + 60 * 10**9, 15.0, delta_alive=True) == name("BTC")


async def test_a_stop_in_the_same_turn_leaves_no_task() -> None:
    own = ReloadedApplication(desk())
    before = asyncio.all_tasks()
    async with started(own):
        await own.reload(desk(venues=SLOWER))
    assert asyncio.all_tasks() == before
    assert own.parts.connectors[-1].stopped.is_set()


async def test_the_reconciling_tolerance_and_the_limits_of_marks_are_taken() -> None:
    own = ReloadedApplication(desk())
    async with started(own):
        await own.reload(desk(defaults={"reconcile_tolerance": 0.01}, alerts={"distance": 0.5, "adl_quantile": 0}))
        assert own.app.engine.tolerance == 0.01
        assert own.app.alarm.watch.limits.distance == 0.5
        await run(own, 3, 0.5)
        assert own.firing() == [("main", "distance")]
        await own.reload(desk(venues={"hyperliquid": {"stale_after_s": {"contexts": 40.0}}}))
        assert own.app.book.freshness.mark_limit_s(VENUE) == 40.0


# -- heartbeat ------------------------------------------------------------------------------------------------------------------------


async def test_the_heartbeat_is_replaced_only_where_it_is_another() -> None:
    own = ReloadedApplication(desk(heartbeat={"url_env": "HOOK_URL"}))
    async with started(own):
        await run(own, 3, 0.5)
        first = own.app.alarm.heartbeat
        await own.reload(desk(heartbeat={"url_env": "HOOK_URL", "fresh_within_s": 60.0}))
        assert own.app.alarm.heartbeat is first
        await own.reload(desk(heartbeat={"url_env": "OTHER_URL", "every_s": 2.0}))
        own.parts.caller.called.clear()
        await run(own, 40, 0.5)
        assert set(own.parts.caller.called) == {"https://other.example/another-secret"}
        assert len(own.parts.caller.called) >= 15
        await own.reload(desk())
        assert own.app.alarm.heartbeat is None
        own.parts.caller.called.clear()
        await run(own, 5, 0.5)
        assert own.parts.caller.called == []


# -- portfolios -----------------------------------------------------------------------------------------------------------------------


def book(id: str, *accounts: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "accounts": list(accounts or ("maker",)), **more}


async def valued(own: ReloadedApplication, ratio: float = 0.05) -> None:
    own.app.portfolios.ready = True
    await run(own, 3, ratio)


async def test_portfolios_come_change_and_go_with_figures_at_once() -> None:
    own = ReloadedApplication(desk(portfolios=[book("desk"), book("other")]))
    async with started(own):
        await valued(own)
        before = {figures.portfolio: figures for figures in own.app.portfolios.figures()}
        assert before["desk"].margin_ratio is not None
        changed = await own.reload(desk(portfolios=[book("desk"), book("new", levels={"warning": 0.2, "critical": 0.3})]))
        assert changed == ["portfolio new added", "portfolio other removed"]
        desk_now, new = own.app.portfolios.figures()
        assert desk_now.margin_ratio == pytest.approx(before["desk"].margin_ratio)
        assert new.portfolio == "new"
        assert new.margin_ratio == pytest.approx(before["desk"].margin_ratio)
        assert [incident.scope.name for incident in own.app.alarm.policy.firing() if incident.scope.kind is ScopeKind.PORTFOLIO] == ["new"]
        await own.reload(desk(portfolios=[book("desk")]))
        assert not [one for one in own.app.alarm.policy.firing() if one.scope.kind is ScopeKind.PORTFOLIO]
        assert [alert.detail for alert in own.app.alarm.recent if alert.is_resolved] == ["it is configured no more"]
        assert own.app.portfolios.last_ratios.keys() == {"desk"}
        await run(own, 12, 0.05)
        assert not own.firing(), "nobody misses the portfolio that is gone"


async def test_another_parameter_set_counts_at_once() -> None:
    own = ReloadedApplication(desk(portfolios=[book("desk")]))
    async with started(own):
        await valued(own)
        (before,) = own.app.portfolios.figures()
        assert before.maintenance_margin is not None
        await own.reload(desk(portfolios=[book("desk", overrides={"BTC": {"price_range": 0.2}})]))
        (after,) = own.app.portfolios.figures()
        assert after.maintenance_margin is not None
        assert after.maintenance_margin > before.maintenance_margin


async def test_what_a_portfolio_is_shown_with_does_not_rebuild_its_book() -> None:
    own = ReloadedApplication(desk(portfolios=[book("desk")]))
    async with started(own):
        await valued(own)
        books = own.app.portfolios.books
        await own.reload(desk(portfolios=[book("desk", net_delta_limit_usd={"BTC": 1000.0})]))
        assert own.app.portfolios.books is books
        await run(own, 2, 0.05)
        assert ("desk", "net_delta") in own.firing()


async def test_a_stand_in_figure_is_used_at_once_and_what_venues_told_stays() -> None:
    own = ReloadedApplication(desk())
    async with started(own):
        await valued(own)
        live = own.app.portfolios
        (before,) = live.figures()
        index = live.resolvers.index("BTC")
        await own.reload(desk(fx={"USDC": 0.5}, market={"daily_volatility": {"BTC": 0.03}, "beta": {"SOL": 2.0}}))
        (after,) = live.figures()
        assert before.equity is not None
        assert after.equity == pytest.approx(before.equity * 0.5)
        assert live.resolvers.fx("USDC").provenance is Provenance.CONFIGURED
        assert live.resolvers.daily_volatility("BTC").value == 0.03
        assert live.resolvers.index("BTC").value == pytest.approx(0.5 * index.value), "what its perpetual told, in a coin of another worth"
        await own.reload(desk())
        (again,) = live.figures()
        assert again.equity == pytest.approx(before.equity)


async def test_a_look_at_portfolios_that_a_reload_interrupts_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    own = ReloadedApplication(desk(portfolios=[book("one"), book("two")]))
    own.app.running.set()
    looked = asyncio.Event()

    async def slowly(portfolio: Any) -> PortfolioView:
        await looked.wait()
        return PortfolioView(portfolio.id, 0)

    monkeypatch.setattr(own.app, "_view", slowly)
    own.app.portfolio_views = (PortfolioView("one", 0), PortfolioView("two", 0))
    look = asyncio.create_task(own.app._look())
    await own.settled()
    await own.reload(desk(portfolios=[book("one"), book("three")]))
    assert [view.portfolio for view in own.app.portfolio_views] == ["one"], "what did not change stays to be seen"
    looked.set()
    assert await look is False
    assert [view.portfolio for view in own.app.portfolio_views] == ["one"]
    assert await own.app._look()
    assert [view.portfolio for view in own.app.portfolio_views] == ["one", "three"]
    await own.app.stop()


async def test_a_portfolio_that_goes_while_it_is_looked_at_is_compared_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    own = ReloadedApplication(desk(portfolios=[book("one")]))
    own.app.running.set()
    own.app.portfolios.ready = True
    await run(own, 2, 0.05)

    async def meanwhile(name: str, work: Any) -> Any:
        await own.reload(desk(portfolios=[book("two")]))
        return work()

    monkeypatch.setattr(own.app._workers, "run", meanwhile)
    view = await own.app._view(own.settings.portfolios[0])
    assert (view.portfolio, view.failures) == ("one", ())
    assert view.result is not None
    await own.app.stop()


def test_what_was_told_over_a_connection_that_is_gone_is_not_confirmed_by_the_next() -> None:
    health = FeedHealth()
    counts = []
    for status in (FeedStatus.FRESH, FeedStatus.DOWN, FeedStatus.FRESH):
        health.apply_feed(FeedState(VENUE, "fastAssetCtxs", None, status, 0, "", 20.0))
        counts.append(health.interruptions(VENUE, "fastAssetCtxs"))
    health.drop(FeedDropped(VENUE, "fastAssetCtxs", None))
    health.apply_feed(FeedState(VENUE, "fastAssetCtxs", None, FeedStatus.FRESH, 0, "", 20.0))
    assert health.interruptions(VENUE, "fastAssetCtxs") > max(counts)
