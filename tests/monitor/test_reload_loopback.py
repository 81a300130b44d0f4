"""A reload over real sockets against the simulated venue: what is not concerned keeps its connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from config import DEMO, load
from config.settings import Settings
from connectors.simulator.hyperliquid import AccountPlan
from connectors.simulator.hyperliquid_desk import demo_plans
from monitor.alerts.dispatcher import LineSettings
from monitor.reloading.prepared import Makers
from monitor.reloading.reloader import Reloader
from monitor.venues import connector_factory
from tests.monitor.loopback import LoopbackMonitor, loopback


def configured(monitor: LoopbackMonitor, plans: Sequence[AccountPlan], venue: dict[str, Any] | None = None, **tables: Any) -> Settings:
    """The configuration of a running loopback monitor, with other accounts or settings."""
    at = {"rest_url": monitor.server.rest_url, "ws_url": monitor.server.ws_url, "fast_contexts": False, **(venue or {})}
    accounts = [{"id": plan.name, "venue": "hyperliquid", "address": plan.address} for plan in plans]
    return load(DEMO, overrides={"accounts": accounts, "venues": {"hyperliquid": at}, **tables})


async def reload(monitor: LoopbackMonitor, settings: Settings) -> list[str]:
    app = monitor.app
    makers = Makers(
        lambda changed, venues: connector_factory(changed, monitor.transports, monitor.clock, only=venues),
        lambda changed: [LineSettings(monitor.recorder)],
        lambda changed: None,
    )
    return await Reloader(app, lambda: settings, makers).reload()


def plans_of(*names: str) -> list[AccountPlan]:
    return [plan for plan in demo_plans("calm") if plan.name in names]


async def test_an_account_comes_alive_beside_the_others_and_leaves_again() -> None:
    async with loopback(("atlas",)) as monitor:
        (connector,) = monitor.app.connectors
        connects = monitor.server.connects
        monitor.plans = plans_of("atlas", "cygnus")
        assert await reload(monitor, configured(monitor, monitor.plans)) == [
            "account cygnus added",
            "portfolio portfolio: accounts",
        ]
        assert monitor.is_valid("atlas"), "it was never without its figures"
        (waiting,) = monitor.app.unready()
        assert waiting.startswith("cygnus: waiting for the first complete state")
        await monitor.until(monitor.all_valid, 20.0)
        assert await monitor.becomes_exact(10.0)
        assert monitor.app.connectors == [connector]
        assert monitor.server.connects == connects, "no socket was opened anew"

        monitor.plans = plans_of("cygnus")
        assert "account atlas removed" in await reload(monitor, configured(monitor, monitor.plans))
        assert {result.account for result in monitor.app.results()} == {"cygnus"}
        assert "atlas" not in monitor.metrics()
        await monitor.run(15.0)
        assert {result.account for result in monitor.app.results()} == {"cygnus"}, "nothing of it came back"
        assert not any(state.account == "atlas" for state in monitor.app.book.freshness.feeds.values())
        assert monitor.all_valid()
        assert monitor.app.connectors == [connector]
        assert monitor.server.connects == connects


async def test_two_accounts_that_change_names_are_read_anew_each_by_its_own() -> None:
    async with loopback(("atlas", "cygnus")) as monitor:
        connects = monitor.server.connects
        first, second = monitor.plans
        monitor.plans = [replace(first, name=second.name), replace(second, name=first.name)]
        changed = await reload(monitor, configured(monitor, monitor.plans))
        assert changed[:2] == ["account cygnus: address", "account atlas: address"]
        assert not monitor.is_valid("atlas")
        await monitor.until(monitor.all_valid, 20.0)
        assert await monitor.becomes_exact(10.0), "each is compared with the venue's own figures of its address"
        assert monitor.server.connects == connects
        assert monitor.recorder.titles == []


async def test_settings_of_the_venue_replace_its_connector_and_nothing_pages() -> None:
    async with loopback(("atlas",)) as monitor:
        (before,) = monitor.app.connectors
        connects = monitor.server.connects
        assert await reload(monitor, configured(monitor, monitor.plans, {"poll_interval_s": 5.0})) == ["venue hyperliquid: poll_interval_s"]
        (after,) = monitor.app.connectors
        assert after is not before
        assert not monitor.is_valid("atlas"), "nothing was read over the new connection yet"
        await monitor.until(monitor.all_valid, 20.0)
        assert monitor.server.connects > connects
        await monitor.run(15.0)
        assert monitor.server.connections == 2, "the old sockets are closed"
        assert monitor.recorder.titles == []
        assert await monitor.becomes_exact(10.0)


async def test_a_connector_that_takes_over_goes_on_with_what_the_one_before_spent() -> None:
    async with loopback(("atlas", "cygnus")) as monitor:
        budget = monitor.app.connectors[0].describe()["budget"]
        assert budget.users_used == 2
        monitor.plans = plans_of("atlas")
        await reload(monitor, configured(monitor, monitor.plans, {"poll_interval_s": 5.0}))
        await monitor.until(monitor.all_valid, 20.0)
        await monitor.run(5.0)
        after = monitor.app.connectors[0].describe()["budget"]
        assert after.weight_used > budget.weight_used, "the venue counts what this address asked for, whoever asked"
        assert after.connects_used == budget.connects_used + 2
        assert (after.users_used, after.connections_used) == (1, 2), "nothing is held for who left"
