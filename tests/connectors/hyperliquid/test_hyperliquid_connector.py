"""The whole connector on memory transports: start, push and poll, resync, failures, budget."""

from __future__ import annotations

import logging

import pytest

from connectors.clock import ManualClock, settle
from connectors.errors import ConnectFailed, Timeout
from connectors.events import (
    AccountFailure,
    AccountSnapshot,
    BorrowReserves,
    FailureReason,
    FeedState,
    FeedStatus,
    Instruments,
    MarkPrices,
    ModeReport,
    SectionsSnapshot,
    VenueStatus,
    WalletSnapshot,
)
from connectors.hyperliquid.settings import AccountRef
from connectors.transport import HttpResponse
from tests.connectors.hyperliquid import hyperliquid_wire as wire
from tests.connectors.hyperliquid.hyperliquid_fake import HEDGER, MAKER, THIRD, Stage, subscriptions

BTC_LONG = wire.state(wire.position("BTC", "1.0", 100_000.0), cash="-90000.0")
GOLD_SHORT = wire.state(wire.position("flx:kGOLD", "-3.0", 2.0, max_leverage=10), cash="20.0")


async def test_start_tells_reference_accounts_modes_and_venue() -> None:
    stage = Stage(MAKER, HEDGER)
    stage.answers.states[wire.MAKER] = {"": BTC_LONG, "flx": GOLD_SHORT}
    stage.answers.modes[wire.MAKER] = "unifiedAccount"
    async with stage:
        await stage.advance(3.0)
        assert stage.last(Instruments).sections == {"": 0, "xyz": 0, "flx": 360}
        snapshot = stage.of(AccountSnapshot, "maker")[0]
        assert {section.name for section in snapshot.sections} == {"", "xyz", "flx"}
        assert snapshot.wallet is not None
        assert snapshot.wallet.complete
        assert stage.last(ModeReport, "maker").mode == "unifiedAccount"
        assert stage.last(VenueStatus).time_ms == 1_790_000_000_123
        assert stage.status("reference") is stage.status("exchangeStatus") is FeedStatus.POLLED
        assert isinstance(stage.events[0], FeedState)
        assert stage.events.index(stage.of(Instruments)[0]) < stage.events.index(snapshot)
        assert stage.connector.reference.instruments.keys() >= {"hyperliquid:BTC", "hyperliquid:flx:kGOLD"}


async def test_market_connection_serves_what_accounts_hold_and_the_monitor_wants() -> None:
    stage = Stage(MAKER)
    stage.answers.states[wire.MAKER] = {"": BTC_LONG}
    async with stage:
        await stage.advance(3.0)
        market = stage.connection("allDexsAssetCtxs")
        assert {"type": "activeAssetCtx", "coin": "@107"} in wire.requests(subscriptions(market))
        assert not any("user" in request for request in wire.requests(subscriptions(market)))
        market.deliver(wire.asset_contexts_frame())
        await settle()
        assert stage.last(MarkPrices).instruments == ["hyperliquid:BTC"]
        stage.connector.set_wanted(["hyperliquid:xyz:CL"])
        market.deliver(wire.asset_contexts_frame())
        await settle()
        assert stage.last(MarkPrices).instruments == ["hyperliquid:xyz:CL", "hyperliquid:BTC"]
        assert stage.status("allDexsAssetCtxs") is FeedStatus.FRESH


async def test_pushed_account_goes_from_polled_to_fresh_without_a_gap() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(3.0)
        assert stage.statuses("maker") == {FeedStatus.POLLED}
        await stage.play(stage.connection("spotState"), [wire.MAKER], seconds=20.0)
        assert stage.statuses("maker") == {FeedStatus.FRESH}
        told = [state.status for state in stage.of(FeedState, "maker") if state.feed == "allDexsClearinghouseState"]
        assert told == [FeedStatus.CONNECTING, FeedStatus.POLLED, FeedStatus.FRESH]
        assert stage.of(SectionsSnapshot, "maker")
        polls = stage.answers.count("clearinghouseState", wire.MAKER)
        await stage.play(stage.connection("spotState"), [wire.MAKER], seconds=60.0)
        assert stage.answers.count("clearinghouseState", wire.MAKER) == polls


async def test_orders_follow_the_dexs_in_use() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(3.0)
        connection = stage.connection("spotState")
        await stage.play(connection, [wire.MAKER], seconds=5.0)
        connection.deliver(wire.all_states_frame(wire.MAKER, ("", BTC_LONG), ("flx", GOLD_SHORT)))
        await settle()
        assert {"type": "openOrders", "user": wire.MAKER, "dex": "flx"} in wire.requests(subscriptions(connection))
        orders = {"type": "openOrders", "user": wire.MAKER, "dex": "flx"}
        connection.deliver(wire.all_states_frame(wire.MAKER, ("", BTC_LONG)))
        await settle()
        assert orders not in wire.requests(subscriptions(connection), "unsubscribe"), "left out with positions: asked for by name first"
        connection.deliver(wire.all_states_frame(wire.MAKER, ("", BTC_LONG), ("flx", wire.state())))
        await settle()
        assert orders in wire.requests(subscriptions(connection), "unsubscribe")


@pytest.mark.parametrize(
    ("role", "reason"),
    [
        ({"role": "agent", "data": {"user": wire.MAKER}}, FailureReason.AGENT_ADDRESS),
        ({"role": "missing"}, FailureReason.MISSING_ACCOUNT),
    ],
)
async def test_address_that_is_no_account_is_loud_and_never_shown_as_flat(role: object, reason: FailureReason) -> None:
    stage = Stage(HEDGER)
    stage.answers.roles[wire.HEDGER.lower()] = role
    stage.answers.wallets[wire.HEDGER.lower()] = wire.spot_state("0.0")
    async with stage:
        await stage.advance(40.0)
        failure = stage.last(AccountFailure)
        assert (failure.account, failure.reason) == ("hedger", reason)
        assert stage.of(AccountSnapshot) == []
        assert stage.statuses("hedger") == {FeedStatus.STALE}
        stage.answers.roles.clear()
        await stage.advance(300.0, step=5.0)
        assert stage.of(AccountSnapshot, "hedger")


async def test_flat_account_of_a_known_user_is_shown() -> None:
    stage = Stage(MAKER)
    stage.answers.wallets[wire.MAKER] = wire.spot_state("0.0")
    async with stage:
        await stage.advance(3.0)
        assert stage.of(AccountSnapshot, "maker")
        assert stage.answers.count("userRole") == 1


async def test_role_of_an_account_with_money_is_asked_later_once() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(30.0)
        assert stage.answers.count("userRole") == 0
        await stage.advance(600.0, step=5.0)
        assert stage.answers.count("userRole") == 1


async def test_venue_that_is_down_at_the_start_is_said_and_tried_for_ever() -> None:
    stage = Stage(MAKER)
    stage.answers.failures = [
        ConnectFailed("api.hyperliquid.xyz", "refused"),
        HttpResponse(502, body=b"<html>Bad Gateway</html>"),
        HttpResponse(200, body=b"<html>"),
        HttpResponse(200, body=b"null"),
        HttpResponse(422, body=b"Failed to deserialize the JSON body into the target type"),
        Timeout("a request", 10.0),
    ]
    async with stage:
        await stage.advance(1.0)
        state = next(state for state in stage.of(FeedState) if state.status is FeedStatus.DOWN)
        assert state.feed == "reference"
        assert "cannot connect" in state.detail
        await stage.advance(150.0)
        assert stage.of(AccountSnapshot, "maker")
        assert stage.status("reference") is FeedStatus.POLLED
        kinds = set(stage.connector.describe()["failures"])
        assert kinds >= {
            "reference:connect_failed",
            "reference:http_502",
            "reference:not_json",
            "reference:null_answer",
            "reference:http_422",
        }


async def test_rate_limit_pauses_everything_and_passes() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(5.0)
        stage.answers.failures = [HttpResponse(429, body=b"null")]
        before = len(stage.answers.asked)
        await stage.advance(9.0)
        assert len(stage.answers.asked) <= before + 8
        assert stage.connector.budget.statistics().penalties_total == 1
        await stage.advance(20.0)
        assert stage.statuses("maker") == {FeedStatus.POLLED}


async def test_accounts_beyond_the_slots_are_polled_and_say_so() -> None:
    stage = Stage(MAKER, HEDGER, users_limit=1)
    async with stage:
        await stage.advance(3.0)
        await stage.play(stage.connection("spotState"), [wire.MAKER], seconds=60.0)
        assert stage.statuses("maker") == {FeedStatus.FRESH}
        assert stage.statuses("hedger") == {FeedStatus.POLLED}
        assert "polled every 10 s" in stage.last(FeedState, "hedger").detail
        assert 5 <= len(stage.of(AccountSnapshot, "hedger")) <= 9
        described = stage.connector.describe()
        assert (described["push_accounts"], described["polled_accounts"], described["poll_period_s"]) == (["maker"], ["hedger"], 10.0)


async def test_poll_fetches_the_dexs_in_use_and_one_other_in_turn() -> None:
    stage = Stage(MAKER, HEDGER, users_limit=1)
    stage.answers.states[wire.HEDGER.lower()] = {"": BTC_LONG}
    async with stage:
        await stage.advance(32.0)
        dexs = [
            body["dex"] for _, body in stage.answers.asked if body["type"] == "clearinghouseState" and body["user"] == wire.HEDGER.lower()
        ]
        assert sorted(dexs[:3]) == ["", "flx", "xyz"]
        assert dexs[3:] == ["", "flx", "", "xyz", "", "flx"]
        assert {section.name for section in stage.last(AccountSnapshot, "hedger").sections} == {"", "xyz", "flx"}


async def test_polled_account_that_cannot_be_fetched_becomes_stale() -> None:
    stage = Stage(MAKER, HEDGER, users_limit=1)
    async with stage:
        await stage.advance(5.0)
        stage.answers.failures = [HttpResponse(503)] * 10_000
        await stage.advance(45.0)
        assert stage.statuses("hedger") == {FeedStatus.STALE}
        stage.answers.failures = []
        await stage.advance(40.0)
        assert stage.statuses("hedger") == {FeedStatus.POLLED}


async def test_push_slot_follows_the_margin_ratio_with_hysteresis() -> None:
    stage = Stage(MAKER, HEDGER, users_limit=1)
    async with stage:
        await stage.advance(3.0)
        connection = stage.connection("spotState")
        await stage.play(connection, [wire.MAKER], seconds=5.0)

        def pushed() -> list[str]:
            return [str(alias) for alias in stage.connector.describe()["push_accounts"]]

        stage.connector.set_priorities({"maker": 0.50, "hedger": 0.55})
        await stage.advance(2.0)
        assert pushed() == ["maker"]
        stage.connector.set_priorities({"maker": 0.50, "hedger": 0.56})
        await stage.advance(2.0)
        assert pushed() == ["hedger"]
        assert stage.status("allDexsClearinghouseState", "maker") is FeedStatus.POLLED
        assert {request["user"] for request in wire.requests(subscriptions(connection), "unsubscribe")} == {wire.MAKER}
        stage.connector.set_priorities({"maker": 0.90, "hedger": 0.56})
        both = [wire.MAKER, wire.HEDGER]
        await stage.play(connection, both, seconds=20.0)
        assert pushed() == ["hedger"]
        assert stage.statuses("hedger") == {FeedStatus.FRESH}
        await stage.play(connection, both, seconds=15.0)
        assert pushed() == ["maker"]
        assert stage.statuses("maker") == {FeedStatus.FRESH}
        assert stage.statuses("hedger") == {FeedStatus.POLLED}
        told = [state for state in stage.of(FeedState) if state.account is not None]
        assert {state.status for state in told[4:]} == {FeedStatus.FRESH, FeedStatus.POLLED}


async def test_account_the_venue_refuses_to_track_is_polled() -> None:
    stage = Stage(MAKER, HEDGER)
    async with stage:
        await stage.advance(3.0)
        connection = stage.connection("spotState")
        for request in wire.requests(subscriptions(connection)):
            refused = request["user"] == wire.HEDGER.lower()
            connection.deliver(wire.refusal("Cannot track more than 15 total users.") if refused else wire.acknowledgement(request))
        await settle()
        assert FeedStatus.DOWN in {state.status for state in stage.of(FeedState, "hedger")}
        await stage.play(connection, [wire.MAKER], seconds=10.0)
        assert stage.statuses("hedger") == {FeedStatus.POLLED}
        assert stage.statuses("maker") == {FeedStatus.FRESH}
        assert stage.connector.describe()["push_slots"] == 1
        await stage.advance(610.0, step=5.0)
        assert stage.connector.describe()["push_slots"] == 10


async def test_reconnect_refetches_before_anything_is_fresh_again() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(3.0)
        first = stage.connection("spotState")
        await stage.play(first, [wire.MAKER], seconds=5.0)
        seen = len(stage.of(AccountSnapshot))
        first.lose(1000)
        await settle()
        assert stage.statuses("maker") == {FeedStatus.DOWN}
        stage.answers.failures = [HttpResponse(503)] * 1000
        while stage.connection("spotState") is first:
            await stage.advance(0.5)
        second = stage.connection("spotState")
        second.deliver(wire.all_states_frame(wire.MAKER, ("", wire.state(cash="1.0"))))
        await settle(5)
        assert len(stage.of(AccountSnapshot)) == seen
        assert stage.status("allDexsClearinghouseState", "maker") is FeedStatus.RESYNCING
        stage.answers.failures = []
        await stage.play(second, [wire.MAKER], seconds=5.0)
        assert len(stage.of(AccountSnapshot)) == seen + 1
        assert stage.statuses("maker") == {FeedStatus.FRESH}


async def test_pushed_account_is_polled_while_its_connection_is_away() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(3.0)
        connection = stage.connection("spotState")
        await stage.play(connection, [wire.MAKER], seconds=5.0)
        stage.sockets.refuse(*[ConnectFailed("api.hyperliquid.xyz", "refused")] * 1000)
        connection.lose()
        await stage.advance(5.0)
        assert stage.statuses("maker") == {FeedStatus.DOWN}
        await stage.advance(30.0)
        assert stage.statuses("maker") == {FeedStatus.POLLED}
        stage.sockets._script.clear()
        while stage.connection("spotState") is connection:
            await stage.advance(0.5)
        await stage.play(stage.connection("spotState"), [wire.MAKER], seconds=10.0)
        assert stage.statuses("maker") == {FeedStatus.FRESH}


async def test_refresh_is_immediate_but_debounced() -> None:
    stage = Stage(MAKER, refresh_debounce_s=2.0)
    async with stage:
        await stage.advance(3.0)
        await stage.play(stage.connection("spotState"), [wire.MAKER], seconds=10.0)
        before = len(stage.of(AccountSnapshot))
        for _ in range(50):
            stage.connector.refresh("maker")
        await settle()
        assert len(stage.of(AccountSnapshot)) == before + 1
        for _ in range(8):
            stage.connector.refresh("maker")
            await stage.advance(0.5)
        assert len(stage.of(AccountSnapshot)) <= before + 3
        stage.connector.refresh("nobody")


async def test_change_said_by_a_frame_refetches_the_account() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(3.0)
        connection = stage.connection("spotState")
        await stage.play(connection, [wire.MAKER], seconds=10.0)
        before = len(stage.of(AccountSnapshot))
        row = {"time": 1, "hash": "0x1", "delta": {"type": "borrowLend", "token": "USDC", "operation": "borrow", "amount": "1"}}
        connection.deliver(wire.frame("userNonFundingLedgerUpdates", {"user": wire.MAKER, "nonFundingLedgerUpdates": [row]}))
        await stage.advance(2.0)
        assert len(stage.of(AccountSnapshot)) == before + 1


async def test_portfolio_margin_polls_wallet_and_lending_pools() -> None:
    stage = Stage(MAKER)
    stage.answers.wallets[wire.MAKER] = wire.portfolio_margin_state()
    async with stage:
        await stage.advance(4.0)
        assert stage.last(BorrowReserves).reserves[0].asset == "HYPE"
        await stage.play(stage.connection("spotState"), [wire.MAKER], seconds=60.0)
        polled = [event for event in stage.of(WalletSnapshot, "maker") if event.wallet.complete]
        assert 5 <= len(polled) <= 7
        assert {event.wallet.portfolio_margin_ratio for event in polled} == {0.25}
        assert 2 <= len(stage.of(BorrowReserves)) <= 4
        assert stage.status("allBorrowLendReserveStates") is FeedStatus.POLLED
        assert stage.status("spotClearinghouseState", "maker") is FeedStatus.POLLED
        stage.answers.failures = [HttpResponse(503)] * 1000
        await stage.play(stage.connection("spotState"), [wire.MAKER], seconds=40.0)
        assert stage.status("spotClearinghouseState", "maker") is FeedStatus.STALE
        assert stage.status("spotState", "maker") is FeedStatus.FRESH


async def test_no_lending_pools_without_portfolio_margin() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(40.0)
        assert stage.answers.count("allBorrowLendReserveStates") == 0
        assert not any(state.feed == "allBorrowLendReserveStates" for state in stage.of(FeedState))


async def test_mode_that_changes_is_followed_by_a_refetch() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(3.0)
        connection = stage.connection("spotState")
        await stage.play(connection, [wire.MAKER], seconds=10.0)
        stage.answers.wallets[wire.MAKER] = wire.portfolio_margin_state()
        state = {"user": wire.MAKER, "abstraction": "portfolioMargin"}
        connection.deliver(wire.frame("webData3", {"userState": state, "perpDexStates": []}))
        await stage.play(connection, [wire.MAKER], seconds=15.0)
        assert stage.of(BorrowReserves)


async def test_listing_is_noticed_by_the_length_of_a_frame() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(5.0)
        rows = wire.contexts()
        rows[0][1].append(wire.context("5.0"))
        listed = {"name": "xyz:NEW", "szDecimals": 1, "maxLeverage": 10, "marginTableId": 10}
        stage.answers.metas = [wire.MAIN_META, {**wire.XYZ_META, "universe": [*wire.XYZ_META["universe"], listed]}, wire.FLX_META]
        stage.connector.set_wanted(["hyperliquid:xyz:NEW"])
        for _ in range(35):
            stage.connection("allDexsAssetCtxs").deliver(wire.frame("allDexsAssetCtxs", {"ctxs": rows}))
            await stage.advance(1.0)
        assert len(stage.of(Instruments)) == 2
        assert stage.connector.describe()["reference_stale"] is None
        assert "hyperliquid:xyz:NEW" in stage.last(MarkPrices).instruments


async def test_frames_that_contradict_the_reference_for_ever_cost_little() -> None:
    stage = Stage()
    async with stage:
        await stage.advance(5.0)
        rows = [*wire.contexts(), ["newt", [wire.context("1.0")]]]
        for _ in range(300):
            stage.connection("allDexsAssetCtxs").deliver(wire.frame("allDexsAssetCtxs", {"ctxs": rows}))
            await stage.advance(1.0, step=1.0)
        assert 2 <= stage.answers.count("allPerpMetas") <= 6


@pytest.mark.parametrize(("share", "accounts"), [(0.25, 3), (0.1, 3)])
async def test_requests_stay_within_our_share(share: float, accounts: int) -> None:
    stage = Stage(*(MAKER, HEDGER, THIRD)[:accounts], ip_budget_share=share)
    async with stage:
        await stage.advance(240.0, step=2.0)
        assert stage.of(AccountSnapshot)
        assert stage.answers.heaviest_minute() <= 1200 * share


async def test_poll_period_grows_when_the_budget_is_small() -> None:
    stage = Stage(MAKER, HEDGER, THIRD, ip_budget_share=0.05)
    async with stage:
        await stage.advance(420.0, step=2.0)
        assert stage.connector.describe()["poll_period_s"] > 20.0
        assert "STALE" not in {state.status.name for state in stage.of(FeedState)[-6:]}


async def test_no_address_leaves_the_connector(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    stage = Stage(MAKER, HEDGER)
    stage.answers.roles[wire.HEDGER.lower()] = {"role": "agent", "data": {"user": wire.STRANGER}}
    stage.answers.wallets[wire.HEDGER.lower()] = wire.spot_state("0.0")
    async with stage:
        await stage.advance(3.0)
        connection = stage.connection("spotState")
        await stage.play(connection, [wire.MAKER], seconds=5.0)
        connection.deliver(wire.refusal(f'Invalid subscription {{"type":"userFills","user":"{wire.MAKER}"}}'))
        connection.deliver(wire.refusal(f"news of {wire.STRANGER}"))
        stage.answers.failures = [HttpResponse(500, body=wire.MAKER.encode())] * 5
        await stage.advance(20.0)
    told = " ".join(map(repr, stage.events)) + caplog.text + repr(stage.connector.describe()) + repr(MAKER)
    assert "maker" in told
    for address in (wire.MAKER, wire.HEDGER, wire.STRANGER):
        assert address.lower()[2:10] not in told.lower()


async def test_stop_ends_run_and_closes_the_connections() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(3.0)
    assert all(connection.closed for connection in stage.sockets.connections)
    await stage.connector.stop()
    await stage.connector.run()


async def test_second_run_is_refused() -> None:
    async with Stage() as stage:
        await settle()
        with pytest.raises(RuntimeError, match="already runs"):
            await stage.connector.run()


async def test_without_accounts_there_is_only_the_market_connection() -> None:
    async with Stage() as stage:
        await stage.advance(5.0)
        assert len(stage.sockets.connections) == 1


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (AccountRef("maker", wire.HEDGER), "two Hyperliquid accounts are called maker"),
        (AccountRef("twin", wire.MAKER.upper()), "maker and twin"),
        (AccountRef("short", "0x12"), "address of account short"),
    ],
)
def test_accounts_that_collide_are_refused(second: AccountRef, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Stage(MAKER, second)


async def test_all_states_can_be_asked_for() -> None:
    stage = Stage(MAKER, clock=ManualClock())
    async with stage:
        await stage.advance(3.0)
        states = {(state.feed, state.account): state.status for state in stage.connector.feed_states()}
        assert states["allDexsClearinghouseState", "maker"] is FeedStatus.POLLED
        assert states["allDexsAssetCtxs", None] is FeedStatus.CONNECTING
