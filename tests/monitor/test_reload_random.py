"""However an application came to its configuration, it stands as one that began with it: random configurations, one after the other."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from config.settings import Settings
from tests.monitor.own_app import started
from tests.monitor.reloads import ReloadedApplication, desk, hooks, risky

ACCOUNTS = ("maker", "hedger", "third")
UNMEASURED: dict[str, Any] = {"worst_instrument": None, "worst_distance": None, "worst_liquidation_price": None}
RATIOS = {"maker": 0.02, "hedger": 0.05, "third": 0.9}


@st.composite
def configurations(draw: st.DrawFn) -> Settings:
    accounts = draw(st.lists(st.sampled_from(ACCOUNTS), min_size=1, unique=True))
    warning = draw(st.sampled_from([0.2, 0.5, 0.85]))
    tables: dict[str, Any] = {
        "defaults": {"levels": {"warning": warning, "critical": 0.92}, "reconcile_tolerance": draw(st.sampled_from([0.001, 0.02]))},
        # within a gap what fires depends on what was before
        "alerts": {"hysteresis": draw(st.sampled_from([0.0, 1e-6])), "hold_s": draw(st.sampled_from([0.0, 3.0]))},
        "receivers": hooks(*draw(st.lists(st.sampled_from(["one", "two", "three"]), unique=True)), min_level="critical"),
        "fx": {"USDC": draw(st.sampled_from([1.0, 0.5]))},
        "venues": {
            "hyperliquid": {"stale_after_s": {"contexts": draw(st.sampled_from([15.0, 30.0]))}},
            "deribit": {"enabled": draw(st.booleans())},
        },
    }
    if draw(st.booleans()):
        listed = draw(st.lists(st.sampled_from(accounts), min_size=1, unique=True))
        tables["portfolios"] = [{"id": "desk", "accounts": listed}]
    return desk(*accounts, **tables)


async def told(own: ReloadedApplication, *, moments: int = 2) -> None:
    for _ in range(moments):
        await own.clock.advance(1.0)
        for key in list(own.app.book.accounts):
            await own.tell(*risky(own, RATIOS[key[1]], key[1]))


def standing(own: ReloadedApplication) -> dict[str, Any]:
    """All that a configuration decides and that events decided after it."""
    app = own.app
    return {
        # how far away liquidation is measured in a thread, at moments of its own
        "results": [replace(result, **UNMEASURED) for result in app.results()],
        "figures": app.portfolios.figures(),
        "policy": app.alarm.policy.config,
        "limits": app.alarm.watch.limits,
        "levels": {key: (entry.levels, entry.hysteresis) for key, entry in sorted(app.book.accounts.items())},
        "lines": [(line.receiver.name, line.route, line.is_log) for line in app.alarm.dispatcher.lines()],
        "tasks": sorted(app.alarm.dispatcher._lines),
        "marks": app.book.freshness.mark_limits_s,
        "venues": sorted(connector.venue for connector in app.connectors),
        "firing": sorted((one.key, one.level) for one in app.alarm.policy.firing()),
        "members": sorted(app.portfolios._members),
        "tags": app.alarm._desk.portfolio_tags,
    }


async def compared(way: list[Settings]) -> None:
    own, fresh = ReloadedApplication(way[0]), ReloadedApplication(way[-1])
    async with started(own), started(fresh):
        for one in (own, fresh):
            one.app.portfolios.ready = True
        await told(own)
        for settings in way[1:]:
            await own.reload(settings)
            await told(own)
        # what fires by an earlier configuration takes its hold to end
        await told(own, moments=8)
        await fresh.clock.advance((own.now_ns - fresh.now_ns) / 1e9 - 2.0)
        await told(fresh)
        for one in (own, fresh):
            await one.settled()
        assert standing(own) == standing(fresh)


@profile(max_examples=25)
@given(st.lists(configurations(), min_size=2, max_size=4))
def test_a_reloaded_application_stands_as_a_fresh_one(way: list[Settings]) -> None:
    asyncio.run(compared([*way, way[0]]))
