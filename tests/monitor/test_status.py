"""The documents: JSON for everybody, infinity and unknown told apart, and no address anywhere a user can look."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import orjson
import pytest

from config.settings import Settings
from connectors.events import AccountFailure, FailureReason, FeedStatus, Instruments, Liquidation, MarkPrices, VenueStatus
from monitor import status
from monitor.alerts.documents import alert_document
from monitor.app import Application
from monitor.margin.hyperliquid import VENUE
from monitor.margin.result import Failure, Level, PoolKind, PoolResult
from tests.monitor.loopback import LoopbackMonitor, loopback
from tests.monitor.own_app import SECTIONS_FEED, OwnApplication, cash_for, marks, opening
from tests.monitor.own_desk import ACCOUNT, name, position, reference

POOL = PoolResult(
    venue=VENUE, account=ACCOUNT, pool="main", kind=PoolKind.HYPERLIQUID_CROSS, mode="standard", asset="USDC", level=Level.WARNING,
    margin_ratio=0.875, raw_ratio=None, limit=1.0, equity=1000.0, maintenance_margin=875.0, excess=125.0, reduce=("hyperliquid:BTC", -0.5),
    data_age_s=0.25, reconciled=True, reported_difference=1e-9,
)  # fmt: skip


def decoded(document: Any) -> Any:
    """What a client reads: by the server's encoder and by a strict parser."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is not JSON")

    return json.loads(orjson.dumps(document), parse_constant=refuse)


# -- one pool -------------------------------------------------------------------------------------------------------------------------


def test_a_pool_says_all_its_figures() -> None:
    told = decoded(status.pool_document(POOL))
    assert (told["status"], told["level"], told["margin_ratio"]) == ("ok", "warning", 0.875)
    assert told["reduce"] == {"instrument": "hyperliquid:BTC", "quantity": -0.5}
    assert (told["equity"], told["maintenance_margin"], told["excess"]) == (1000.0, 875.0, 125.0)


@pytest.mark.parametrize(("value", "word"), [(math.inf, "Infinity"), (-math.inf, "-Infinity"), (math.nan, None), (None, None)])
def test_infinity_is_a_word_and_unknown_is_null(value: float | None, word: str | None) -> None:
    told = decoded(status.pool_document(replace(POOL, margin_ratio=value, equity=value, worst_distance=value, reported_difference=value)))
    assert [told[key] for key in ("margin_ratio", "equity", "distance", "reported_difference")] == [word] * 4


def test_a_failed_pool_has_no_level_and_says_why() -> None:
    failure = Failure(FailureReason.STALE_MARK, "allDexsAssetCtxs is stale")
    told = decoded(status.pool_document(replace(POOL, margin_ratio=None, last_margin_ratio=0.2, level=Level.OK, failures=(failure,))))
    assert (told["status"], told["level"], told["margin_ratio"], told["last_margin_ratio"]) == ("failed", None, None, 0.2)
    assert told["failures"] == [{"reason": "STALE_MARK", "detail": "allDexsAssetCtxs is stale"}]


# -- accounts -------------------------------------------------------------------------------------------------------------------------


async def test_an_account_lists_what_it_holds() -> None:
    own = OwnApplication()
    await own.tell(
        *opening(own, position("BTC", 1000.0, 100.0, isolated=cash_for(0.6)), position("ETH", -2.0, 100.0)), marks(own, ETH=100.0)
    )
    (account,) = decoded(status.accounts(own.app))["accounts"]
    held = {row["instrument"]: row for row in account["positions"]}
    assert held["hyperliquid:ETH"]["quantity"] == -2.0
    assert held["hyperliquid:ETH"]["notional"] == pytest.approx(200.0)
    assert held["hyperliquid:BTC"]["pool"] == "iso:BTC"
    assert held["hyperliquid:BTC"]["liquidation_price"] < 100.0
    assert account["resting_orders"] == 0


async def test_an_accounts_ratio_is_its_worst_pools_and_nothing_while_one_is_unknown() -> None:
    own = OwnApplication()
    isolated = position("BTC", 1000.0, 100.0, isolated=cash_for(0.6))
    await own.tell(*opening(own, isolated, position("ETH", 1.0, 100.0)), marks(own, ETH=100.0))
    (account,) = decoded(status.accounts(own.app))["accounts"]
    assert account["margin_ratio"] == pytest.approx(0.6)
    assert (account["status"], len(account["pools"])) == ("ok", 2)
    assert account["levels"] == {"warning": 0.85, "critical": 0.90, "liquidation": 1.0}
    await own.feed(SECTIONS_FEED, FeedStatus.STALE)
    (account,) = decoded(status.accounts(own.app))["accounts"]
    assert (account["margin_ratio"], account["status"]) == (None, "failed")


async def test_one_unknown_pool_leaves_no_ratio_of_the_account() -> None:
    own = OwnApplication()
    isolated = position("NEWT", 1.0, 100.0, isolated=50.0)
    await own.tell(*opening(own, isolated, position("BTC", 1000.0, 100.0), cash=cash_for(0.5)))
    (account,) = decoded(status.accounts(own.app))["accounts"]
    assert {pool["pool"]: pool["status"] for pool in account["pools"]} == {"iso:NEWT": "failed", "main": "ok"}
    assert (account["margin_ratio"], account["status"]) == (None, "failed")


async def test_an_account_without_any_equity_is_infinite() -> None:
    own = OwnApplication()
    await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=-100_001.0))
    (account,) = decoded(status.accounts(own.app))["accounts"]
    assert account["margin_ratio"] == "Infinity"
    assert account["pools"][0]["level"] == "liquidation"


async def test_an_account_nothing_is_known_of_is_listed_as_failed() -> None:
    own = OwnApplication(("maker", "taker"))
    await own.tell(*opening(own))
    listed = {account["id"]: account for account in decoded(status.accounts(own.app))["accounts"]}
    assert (listed["maker"]["status"], listed["taker"]["status"]) == ("ok", "failed")
    assert listed["taker"]["margin_ratio"] is None


# -- funding ---------------------------------------------------------------------------------------------------------------------------


def hourly(*symbols: str) -> Instruments:
    """The reference data with some perpetuals that pay on the hour."""
    told = reference()
    named = {name(symbol) for symbol in symbols}
    return replace(told, instruments=tuple(replace(i, funding_interval_h=1.0) if i.id in named else i for i in told.instruments))


def contexts(own: OwnApplication, rate: float, **marks: float) -> MarkPrices:
    """Marks by symbol with that rate, each with an oracle price 1 % above."""
    names, told = [name(symbol) for symbol in marks], list(marks.values())
    return MarkPrices(VENUE, "allDexsAssetCtxs", own.now_ns, names, told, [1.01 * mark for mark in told], [rate] * len(told))


async def with_funding() -> OwnApplication:
    own = OwnApplication()
    held = position("BTC", 1000.0, 100.0), position("ETH", -2.0, 100.0, isolated=250.0)
    await own.tell(*opening(own, *held, cash=cash_for(0.5)), hourly("BTC", "ETH"), contexts(own, 0.001, BTC=100.0, ETH=100.0))
    return own


async def test_positions_and_pools_say_what_they_pay_next_and_when() -> None:
    own = await with_funding()
    began = own.clock.time_ms()
    hour = (began // 3_600_000 + 1) * 3_600_000
    (account,) = decoded(status.accounts(own.app))["accounts"]
    held = {row["instrument"]: row["funding"] for row in account["positions"]}
    told = {"rate": 0.001, "time_ms": hour, "as_last_told": False, "failure": None}
    assert held["hyperliquid:BTC"] == {**told, "amount": pytest.approx(-101.0)}
    assert held["hyperliquid:ETH"] == {**told, "amount": pytest.approx(0.202)}
    due = {pool["pool"]: pool["next_funding"] for pool in account["pools"]}
    shared = {"time_ms": hour, "as_last_told": False, "failures": []}
    assert due["main"] == {**shared, "amount": pytest.approx(-101.0), "ratio_after": pytest.approx(1250.0 / (2500.0 - 101.0))}
    assert due["iso:ETH"]["amount"] == pytest.approx(0.202)
    assert decoded(status.status(own.app))["pools"] == account["pools"]


async def test_the_hour_is_the_venues() -> None:
    own = await with_funding()
    now = own.clock.time_ms()
    hour = now - now % 3_600_000 + 3_600_000
    for said, expected in ((hour - 60_000, hour), (hour + 60_000, hour + 3_600_000)):
        await own.tell(VenueStatus(VENUE, own.now_ns, said))
        assert {pool["next_funding"]["time_ms"] for pool in decoded(status.status(own.app))["pools"]} == {expected}
        assert status.venue_time_ms(own.app, VENUE) == pytest.approx(said, abs=1)
    await own.clock.advance(60.0)
    assert status.venue_time_ms(own.app, VENUE) == pytest.approx(hour + 120_000, abs=1)


async def test_unknown_funding_has_a_reason_and_a_stale_pool_no_ratio_after() -> None:
    own = await with_funding()
    await own.feed(SECTIONS_FEED, FeedStatus.STALE)
    pools = {pool["pool"]: pool["next_funding"] for pool in decoded(status.status(own.app))["pools"]}
    assert (pools["main"]["amount"], pools["main"]["ratio_after"]) == (pytest.approx(-101.0), None)
    own = OwnApplication()
    await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.5)), hourly("BTC"))
    (account,) = decoded(status.accounts(own.app))["accounts"]
    (pool,), (held,) = account["pools"], account["positions"]
    assert (pool["status"], pool["next_funding"]["amount"], pool["next_funding"]["ratio_after"]) == ("ok", None, None)
    assert pool["next_funding"]["failures"] == [held["funding"]["failure"]]
    assert held["funding"]["failure"]["reason"] == "MISSING_FUNDING"
    assert (held["funding"]["rate"], held["funding"]["amount"]) == (None, None)


async def test_a_pool_without_positions_has_no_funding() -> None:
    own = OwnApplication()
    await own.tell(*opening(own))
    (pool,) = decoded(status.status(own.app))["pools"]
    assert pool["next_funding"] is None


def history_of(app: Application) -> list[dict[str, Any]]:
    """The alerts told, oldest first, as the API shows them."""
    return [alert_document(alert) for alert in app.alarm.recent]


# -- alerts and times -----------------------------------------------------------------------------------------------------------------


async def test_alerts_carry_the_time_they_were_told() -> None:
    own = OwnApplication()
    await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.95)))
    began = own.clock.time_ms()
    await own.clock.advance(90.0)
    (firing,) = decoded(status.status(own.app))["alerts"]
    (history,) = history_of(own.app)
    assert abs(firing["since_ms"] - began) <= 1
    assert abs(history["time_ms"] - began) <= 1
    assert (firing["level"], history["change"]) == ("critical", "fired")
    assert firing["ratio_at_crossing"] == pytest.approx(0.95)
    assert history["text"].startswith("CRITICAL 95% maker/main")


async def test_alerts_are_remembered_in_order() -> None:
    own = OwnApplication()
    await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.86)))
    await own.clock.advance(1.0)
    await own.tell(marks(own, BTC=99.9))
    levels = [entry["level"] for entry in history_of(own.app)]
    assert levels == ["warning", "critical"]


# -- no address anywhere --------------------------------------------------------------------------------------------------------------


def everything(monitor: LoopbackMonitor) -> str:
    """All a user or a scraper can see."""
    documents = [status.status(monitor.app), status.accounts(monitor.app), {"history": history_of(monitor.app)}]
    for document in documents:
        decoded(document)
    return "\n".join([*(orjson.dumps(document).decode() for document in documents), monitor.metrics(), monitor.terminal()])


def assert_no_address(text: str, settings: Settings) -> None:
    assert len(text) > 1000
    for account in settings.accounts:
        assert account.address.removeprefix("0x").lstrip("0") != ""
        assert account.address.lower() not in text.lower(), account.id
        assert account.address.removeprefix("0x") not in text.lower(), account.id


async def test_no_address_is_shown_through_a_crash_with_liquidations() -> None:
    names = ("atlas", "cygnus", "delphi", "electra", "fornax")
    async with loopback(names, scenario="crash", duration=60.0) as monitor:
        for _ in range(13):
            await monitor.run(4.0)
            assert_no_address(everything(monitor) + "\n".join(monitor.recorder.titles), monitor.app.settings)
        assert any(n.rule.value == "liquidation_seen" for n in monitor.app.alarm.recent), "the story had a liquidation"


async def test_an_address_in_a_venues_own_words_is_masked() -> None:
    async with loopback(("atlas",)) as monitor:
        (account,) = monitor.app.settings.accounts
        now_ns = monitor.clock.monotonic_ns()
        detail = f"liquidated {account.address} by the venue"
        monitor.app.receive([Liquidation(VENUE, "atlas", now_ns, 1, detail)])
        monitor.app.receive([AccountFailure(VENUE, "atlas", now_ns, FailureReason.MISSING_ACCOUNT, f"no {account.address}")])
        await monitor.run(2.0)
        assert_no_address(everything(monitor) + "\n".join(monitor.recorder.titles), monitor.app.settings)


async def test_the_status_names_what_is_not_ready_and_how_the_receivers_are() -> None:
    async with loopback(("atlas",)) as monitor:
        told = decoded(monitor.status())
        assert (told["ready"], told["unready"]) == (True, [])
        assert told["receivers"][0]["name"] == "recorder"
        assert {"waiting", "failed", "dropped", "last_error"} <= told["receivers"][0].keys()
        assert told["connectors"][0]["venue"] == VENUE
        assert all(feed["status"] in ("fresh", "polled") for feed in told["feeds"] if feed["feed"] == SECTIONS_FEED)
    own = OwnApplication()
    assert decoded(status.status(own.app))["ready"] is False
