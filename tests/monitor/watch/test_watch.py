"""The one door: what it costs a mark, and that the list is complete."""

from __future__ import annotations

import time
from pathlib import Path

from connectors.events import AccountSnapshot, FeedStatus, MarkPrices, ModeReport
from monitor.alerts.incident import key_of
from monitor.alerts.rules import Rule
from tests.monitor import own_desk
from tests.monitor.watch.watch_desk import HYPER, MARK, SECOND, WatchDesk

JUDGED_LATER = {Rule.ADL_QUEUE, Rule.KEY, Rule.CLOCK, Rule.DISTANCE, Rule.UNRECONCILED}
"""Rules that await a figure which a fresh desk has not been told."""


def test_a_good_desk_has_nothing_to_tell(desk: WatchDesk) -> None:
    desk.feeds(FeedStatus.FRESH)
    told = desk.second(*Rule)
    assert [one for one in told if not one.frozen] == []
    assert {one.rule for one in told} <= JUDGED_LATER
    assert desk.evaluate() == []


def test_no_condition_is_told_twice(desk: WatchDesk) -> None:
    for status in FeedStatus:
        desk.feeds(status)
        desk.stale()
        desk.pass_s(40)
        told = desk.second(*Rule)
        keys = [key_of(one.scope, one.rule) for one in told]
        assert len(keys) == len(set(keys))


def test_a_mark_costs_one_look_up(desk: WatchDesk) -> None:
    event = MarkPrices(HYPER, "allDexsAssetCtxs", desk.now_ns, ["hyperliquid:BTC"], [MARK], [MARK], [0.0])
    assert MarkPrices not in desk.watch._notes
    desk.watch.note(event, desk.now_ns)
    assert desk.watch.occurrences() == []


def test_the_whole_list_of_a_hundred_pools(tmp_path: Path) -> None:
    ids = [f"hl-{number}" for number in range(100)]
    rows = "\n".join(f'[[accounts]]\nid = "{one}"\nvenue = "{HYPER}"\naddress = "0x{number + 16:040x}"' for number, one in enumerate(ids))
    desk = WatchDesk(tmp_path, portfolio="net_delta_limit_usd = { BTC = 1000.0 }", more=rows).open()
    for one in ids:
        held = own_desk.section("", 1, 200_000.0 - 10 * MARK, own_desk.position("BTC", 10.0, MARK))
        desk.tell(ModeReport(HYPER, one, desk.now_ns, "default"), AccountSnapshot(HYPER, one, desk.now_ns, (held,), own_desk.wallet()))
    desk.evaluate()
    results = desk.engine.results(desk.now_ns)
    assert len(results) == 102
    began = time.perf_counter()
    every = [desk.watch.conditions(results, desk.now_ns + second * SECOND, desk.now_ms) for second in range(100)]
    seconds, told = (time.perf_counter() - began) / len(every), every[0]
    print(f"\nconditions of {len(results)} pools: {seconds * 1e3:.2f} ms")
    assert {one.scope.name for one in told if one.rule is Rule.DISTANCE} == {"main", "USDT"}
