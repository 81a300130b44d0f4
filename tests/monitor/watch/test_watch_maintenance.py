"""Maintenance: by the configuration's word, or the venue's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from connectors.model import Instrument, InstrumentKind
from tests.monitor import aster_desk
from tests.monitor.watch.watch_desk import ASTER, HYPER, WatchDesk

WINDOW = """[[maintenance]]
venue = "aster"
from = 2026-09-21T00:00:00Z
until = 2026-09-21T01:00:00Z
reason = "engine upgrade"
"""
BEGIN_MS, HOUR_MS = 1_789_948_800_000, 3_600_000


@pytest.mark.parametrize(("now_ms", "inside"), [(-1, False), (0, True), (HOUR_MS - 1, True), (HOUR_MS, False)])
def test_a_configured_window(tmp_path: Path, now_ms: int, inside: bool) -> None:
    desk = WatchDesk(tmp_path, more=WINDOW)
    assert desk.watch.maintenance(BEGIN_MS + now_ms) == ({ASTER: "engine upgrade"} if inside else {})


def test_the_venues_own_word_is_believed_for_five_minutes(desk: WatchDesk) -> None:
    desk.status(HYPER)
    desk.status(ASTER, "congested")
    assert desk.watch.maintenance(desk.now_ms) == {}
    desk.status(HYPER, "Scheduled Maintenance")
    assert desk.watch.maintenance(desk.now_ms) == {HYPER: "the venue says: Scheduled Maintenance"}
    desk.pass_s(299)
    desk.second()
    desk.status(HYPER, "Scheduled Maintenance")
    assert desk.watch.maintenance(desk.now_ms)
    desk.pass_s(2)
    desk.second()
    assert desk.watch.maintenance(desk.now_ms) == {}, "silence after that is an alert, whatever the venue says"
    desk.status(HYPER)
    desk.second()
    desk.status(HYPER, "Scheduled Maintenance")
    assert desk.watch.maintenance(desk.now_ms), "another one"


def test_the_configured_words_stand_before_the_venues(tmp_path: Path) -> None:
    desk = WatchDesk(tmp_path, more=WINDOW)
    desk.status(ASTER, "maintenance")
    assert desk.watch.maintenance(BEGIN_MS) == {ASTER: "engine upgrade"}


def test_locked_indices_are_maintenance_only_if_all_that_is_held_is_locked(desk: WatchDesk) -> None:
    def listed(symbol: str, index: str) -> Instrument:
        return Instrument(f"aster:{symbol}", ASTER, symbol, InstrumentKind.PERPETUAL, "BTC", "USDT", "USDT", price_index=index)

    desk.tell(replace(aster_desk.reference(), instruments=(listed("BTCUSDT", "btc_usd"), listed("ETHUSDT", "eth_usd"))))
    desk.short(aster_desk.position("BTCUSDT", 1.0, 1.0, 1.0), aster_desk.position("ETHUSDT", 1.0, 1.0, 1.0))
    desk.status(ASTER, "locked btc_usd")
    assert desk.watch.maintenance(desk.now_ms) == {}
    desk.status(ASTER, "locked btc_usd", "locked eth_usd")
    assert desk.watch.maintenance(desk.now_ms) == {ASTER: "the venue has locked every market that is held"}
