"""Account state, job scheduling, slot policy and polled freshness: no I/O."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.clock import ManualClock
from connectors.events import FeedStatus
from connectors.hyperliquid.accounts import AccountState, Job, holds_nothing
from connectors.hyperliquid.feeds import Subscription
from connectors.hyperliquid.messages import parse_section, parse_wallet
from connectors.hyperliquid.polling import PolledFeeds
from connectors.hyperliquid.settings import AccountRef, HyperliquidConfig
from connectors.hyperliquid.slots import NS, SlotPolicy, Swap
from connectors.ratelimit import Budget
from tests.connectors.hyperliquid import hyperliquid_wire as wire


def _account(alias: str = "maker", hint: str | None = None) -> AccountState:
    return AccountState(AccountRef(alias, wire.HEDGER, hint))


def test_account_knows_its_dexs_and_instruments() -> None:
    account = _account()
    flx, main = parse_section("flx", wire.state(wire.position("flx:kGOLD", "1", 2.0))), parse_section("", wire.state())
    account.note_sections([main, flx, parse_section("xyz", wire.state())], complete=True)
    assert list(account.dexs_in_use) == ["", "flx"]
    assert account.instruments == {"hyperliquid:flx:kGOLD"}
    account.touched.add("xyz")
    assert list(account.dexs_in_use) == ["", "flx", "xyz"]
    assert account.watched.address == wire.HEDGER.lower()


def test_older_ledger_never_replaces_a_newer_one_and_a_complete_frame_drops_the_rest() -> None:
    account = _account()
    old, new = (parse_section("", wire.state(cash=cash, time=time)) for cash, time in (("1.0", 5), ("2.0", 6)))
    account.note_sections([new, parse_section("xyz", wire.state())], complete=False)
    account.note_sections([old], complete=False)
    assert account.sections[""].cash == 2.0
    account.note_sections([new], complete=True)
    assert set(account.sections) == {""}


def test_idle_dexs_are_polled_in_turn() -> None:
    account = _account()
    every = ("", "a", "b", "c")
    assert {dex for _ in range(3) for dex in account.dexs_to_poll(every)} == set(every)
    assert all(account.dexs_to_poll(every)[0] == "" and len(account.dexs_to_poll(every)) == 2 for _ in range(5))
    assert account.dexs_to_poll(("",)) == ("",)


@pytest.mark.parametrize(("hint", "expected"), [(None, False), ("unified", False), ("portfolio_margin", True), ("portfolioMargin", True)])
def test_hint_counts_until_the_venue_spoke(hint: str | None, expected: bool) -> None:
    account = _account(hint=hint)
    assert account.uses_portfolio_margin is expected
    account.note_wallet(parse_wallet(wire.spot_state(), complete=False))
    assert account.uses_portfolio_margin is expected
    account.note_wallet(parse_wallet(wire.spot_state(), complete=True))
    assert account.uses_portfolio_margin is False
    account.note_wallet(parse_wallet(wire.portfolio_margin_state(), complete=True))
    assert account.uses_portfolio_margin is True


def test_jobs_are_due_at_the_sooner_time() -> None:
    account = _account()
    assert account.next_job() is None
    account.schedule(Job.FULL, 50)
    account.schedule(Job.POLL, 20)
    account.schedule(Job.POLL, 30)
    assert account.next_job() == (Job.POLL, 20)


def test_nothing_held() -> None:
    empty = parse_section("", wire.state(cash="0.0"))
    wallet, poor = (parse_wallet(wire.spot_state(total), complete=True) for total in ("5.0", "0.0"))
    assert holds_nothing([empty], poor)
    assert not holds_nothing([empty], wallet)
    assert not holds_nothing([parse_section("", wire.state(cash="1.0"))], poor)
    assert not holds_nothing([parse_section("", wire.state(wire.position("BTC", "1", 1.0), cash="0.0"))], poor)


def test_free_slot_goes_to_the_highest_ratio() -> None:
    policy = SlotPolicy(2, 0.05, 30.0)
    assert policy.next([], ["a", "b"], {"b": 0.1}, 0) == Swap("b")
    assert policy.next(["b"], ["a"], {}, 0) == Swap("a")
    assert policy.next(["a", "b"], [], {}, 0) is None
    assert SlotPolicy(0, 0.05, 30.0).next([], ["a"], {}, 0) is None


def test_swap_needs_the_margin_and_the_interval() -> None:
    policy = SlotPolicy(1, 0.05, 30.0)
    assert policy.next(["a"], ["b"], {"a": 0.5, "b": 0.55}, 0) is None
    assert policy.next(["a"], ["b"], {"a": 0.5, "b": 0.6}, 0) == Swap("b", "a")
    assert policy.next(["b"], ["a"], {"a": 0.9, "b": 0.6}, 29 * NS) is None
    assert policy.next(["b"], ["a"], {"a": 0.9, "b": 0.6}, 30 * NS) == Swap("a", "b")
    assert policy.next(["a"], ["b"], {"a": 0.9, "b": math.inf}, 90 * NS) == Swap("b", "a")
    assert policy.next(["b"], ["a"], {"a": math.inf, "b": math.inf}, 900 * NS) is None


@given(st.lists(st.dictionaries(st.sampled_from("abcdef"), st.floats(0.0, 2.0)), max_size=30))
def test_slots_are_full_and_never_flap(rounds: list[dict[str, float]]) -> None:
    policy, pushed = SlotPolicy(2, 0.05, 30.0), ["a", "b"]
    swaps: list[int] = []
    for second, ratios in enumerate(rounds):
        polled = [alias for alias in "abcdef" if alias not in pushed]
        swap = policy.next(pushed, polled, ratios, second * NS)
        if swap is not None:
            assert swap.demote is not None
            assert ratios.get(swap.promote, 0.0) > ratios.get(swap.demote, 0.0) + 0.05
            pushed = [alias for alias in pushed if alias != swap.demote] + [swap.promote]
            swaps.append(second)
    assert len(pushed) == 2
    assert all(later - earlier >= 30 for earlier, later in pairwise(swaps))


def test_polled_account_is_stale_after_a_few_missed_polls_and_covers_the_feeds_it_had() -> None:
    config, account = HyperliquidConfig.mainnet(), _account()
    polled = PolledFeeds(config)
    polled.add(account, 0, ("allDexsClearinghouseState", "userFills"))
    polled.heard_account(account, 0)
    states = {state.feed: state for state in polled.changes(5 * NS)}
    assert {state.status for state in states.values()} == {FeedStatus.POLLED}
    assert set(states) == {"allDexsClearinghouseState", "spotState", "userFills"}
    assert states["userFills"].detail == "polled every 10 s"
    assert polled.changes(6 * NS) == []
    assert {state.status for state in polled.changes(36 * NS)} == {FeedStatus.STALE}
    polled.retell(account)
    assert len(polled.changes(36 * NS)) == 3
    polled.remove(account)
    assert polled.states(37 * NS) == []


def test_failed_poll_of_the_venue_is_down_with_its_reason() -> None:
    polled = PolledFeeds(HyperliquidConfig.mainnet())
    polled.expect("exchangeStatus", 60.0, 0)
    polled.down("exchangeStatus", "the venue is failing")
    (state,) = polled.changes(NS)
    assert (state.status, state.detail) == (FeedStatus.DOWN, "the venue is failing")
    polled.heard("exchangeStatus", None, NS)
    assert [state.status for state in polled.changes(NS)] == [FeedStatus.POLLED]
    polled.down("exchangeStatus", "once")
    assert polled.changes(2 * NS) == []
    assert polled.expects("exchangeStatus")
    polled.forget("exchangeStatus")
    assert not polled.expects("exchangeStatus")


def test_poll_period_follows_the_budget() -> None:
    config = HyperliquidConfig.mainnet()
    polled, clock = PolledFeeds(config), ManualClock()
    accounts = [_account(str(number)) for number in range(30)]
    for account in accounts:
        account.admitted = True

    def period(share: float) -> float:
        return polled.period_s(accounts, Budget("x", config.budget_limits(), share, clock))

    assert period(1.0) == 15.0
    assert period(0.25) == 60.0
    for account in accounts[1:]:
        account.pushed = True
    assert period(0.25) == 10.0
    accounts[5].bridged = True
    assert accounts[5].is_polled


def test_address_stays_out_of_what_is_printed() -> None:
    assert wire.HEDGER[2:] not in repr(_account().ref)


def test_echo_answers_a_subscription_by_subset() -> None:
    subscription = Subscription("openOrders", "maker", {"type": "openOrders", "user": wire.MAKER, "dex": ""})
    assert subscription.answers({"type": "openOrders", "user": wire.MAKER.upper(), "dex": "", "more": None})
    assert not subscription.answers({"type": "openOrders", "user": wire.MAKER, "dex": "xyz"})
    assert not subscription.answers({"type": "openOrders", "user": wire.STRANGER, "dex": ""})
    assert not subscription.answers({"type": "openOrders", "dex": ""})
    assert not subscription.answers({"type": "openOrders", "user": 5, "dex": ""})
