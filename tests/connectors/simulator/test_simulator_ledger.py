"""The frames of the simulated venue tell one story: states, fills, funding and transfers add up, in the order of their stamps."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from connectors.simulator.hyperliquid import AccountPlan, HyperliquidVenue, Market, demo_desk
from connectors.simulator.hyperliquid_desk import ADDRESSES
from connectors.simulator.hyperliquid_listing import HYPE, USDC

STANDARD = ("atlas", "boreas", "gemini", "helios")


def collect(address: str, **options: Any) -> list[dict[str, Any]]:
    market, venue = demo_desk(40.0, funding_interval_s=7.0, seed=3, **options)
    client = venue.connect()
    for feed in ("allDexsClearinghouseState", "userFills", "userFundings", "userNonFundingLedgerUpdates"):
        client.receive(json.dumps({"method": "subscribe", "subscription": {"type": feed, "user": address}}))
    while market.progress < 1.0:
        venue.advance(0.1)
    return [json.loads(text) for text in client.drain()]


def cash_of(state: dict[str, Any]) -> float:
    return float(state["crossMarginSummary"]["totalRawUsd"])


@pytest.mark.parametrize("name", STANDARD)
def test_between_two_states_lie_exactly_the_events_stamped_between_them(name: str) -> None:
    frames = collect(ADDRESSES[name])
    states = [f["data"]["clearinghouseStates"][0][1] for f in frames if f["channel"] == "allDexsClearinghouseState"]
    fills = [x for f in frames if f["channel"] == "userFills" for x in f["data"]["fills"]]
    funding = [x for f in frames if f["channel"] == "userFundings" for x in f["data"]["fundings"]]
    deposits = [x for f in frames if f["channel"] == "userNonFundingLedgerUpdates" for x in f["data"]["nonFundingLedgerUpdates"]]
    assert len(states) > 7
    assert len(funding) >= 5
    for before, after in pairwise(states):
        inside = [x for x in fills if before["time"] < x["time"] <= after["time"]]
        sizes = {p["position"]["coin"]: float(p["position"]["szi"]) for p in before["assetPositions"]}
        cash = cash_of(before)
        for fill in inside:
            size = float(fill["sz"]) * (1 if fill["side"] == "B" else -1)
            assert float(fill["startPosition"]) == pytest.approx(sizes.get(fill["coin"], 0.0))
            sizes[fill["coin"]] = sizes.get(fill["coin"], 0.0) + size
            cash -= size * float(fill["px"]) + float(fill["fee"])
        cash += sum(float(x["usdc"]) for x in funding if before["time"] < x["time"] <= after["time"])
        rows = [x["delta"] for x in deposits if before["time"] < x["time"] <= after["time"]]
        cash += sum(float(d["usdc"]) for d in rows if d["type"] == "deposit")
        assert cash_of(after) == pytest.approx(cash, abs=1e-4)
        held = {p["position"]["coin"]: float(p["position"]["szi"]) for p in after["assetPositions"]}
        assert held == pytest.approx({coin: size for coin, size in sizes.items() if abs(size) > 1e-9})


def test_fills_are_frequent_unique_and_pay_or_earn_fees() -> None:
    fills = [x for f in collect(ADDRESSES["boreas"], scenario="calm") if f["channel"] == "userFills" for x in f["data"]["fills"]]
    assert len(fills) / 40.0 > 18.0
    assert len({fill["tid"] for fill in fills}) == len(fills)
    assert all(not fill["crossed"] and float(fill["fee"]) <= 0.0 and fill["feeToken"] == "USDC" for fill in fills)


def test_funding_is_size_times_oracle_times_rate() -> None:
    market, venue = demo_desk(30.0, funding_interval_s=5.0)
    account = venue.exchange.account(ADDRESSES["electra"])
    client = venue.connect()
    client.receive(json.dumps({"method": "subscribe", "subscription": {"type": "userFundings", "user": ADDRESSES["electra"]}}))
    client.drain()
    checked = 0
    for _ in range(150):
        venue.advance(0.1)
        for frame in map(json.loads, client.drain()):
            for row in frame["data"]["fundings"]:
                checked += 1
                paid = float(row["szi"]) * market.oracle(row["coin"]) * float(row["fundingRate"])
                assert float(row["usdc"]) == pytest.approx(-paid, abs=1e-6)
                assert row["szi"] == f"{account.positions[row['coin']].size}"
    assert checked == 9


def test_isolated_funding_changes_the_isolated_cash_only() -> None:
    _, venue = demo_desk(30.0, scenario="calm", funding_interval_s=5.0)
    account = venue.exchange.account(ADDRESSES["fornax"])
    raw, cross = account.positions["xyz:CL"].raw_usd, account.cash("xyz")
    for _ in range(60):
        venue.advance(0.1)
    paid = account.positions["xyz:CL"].funding_since_open
    assert paid != 0.0
    assert account.positions["xyz:CL"].raw_usd == pytest.approx(raw - paid, abs=1e-5)
    assert account.cash("xyz") == cross


def test_spot_buys_pay_their_fee_in_the_base() -> None:
    _, venue = demo_desk(30.0)
    account = venue.exchange.account(ADDRESSES["delphi"])
    hype, usdc = account.wallet[HYPE], account.wallet[USDC]
    venue.trade(ADDRESSES["delphi"], "@107", 10.0)
    fill = venue.exchange.history[account.address].fills[0]
    assert (fill["coin"], fill["dir"], fill["feeToken"]) == ("@107", "Buy", "HYPE")
    assert account.wallet[HYPE] == pytest.approx(hype + 10.0 - float(fill["fee"]))
    assert account.wallet[USDC] == pytest.approx(usdc - 10.0 * float(fill["px"]))
    venue.trade(ADDRESSES["delphi"], "@107", -10.0)
    sold = venue.exchange.history[account.address].fills[0]
    assert (sold["dir"], sold["feeToken"]) == ("Sell", "USDC")


def test_transfers_move_between_the_ledgers_they_name() -> None:
    _, venue = demo_desk(30.0)
    account = venue.exchange.account(ADDRESSES["electra"])
    main, xyz, spot = account.cash(""), account.cash("xyz"), account.wallet[USDC]
    venue.transfer(ADDRESSES["electra"], "spotToPerp", 100.0)
    venue.transfer(ADDRESSES["electra"], "send", 50.0, "xyz")
    venue.transfer(ADDRESSES["electra"], "send", -20.0, "xyz")
    venue.transfer(ADDRESSES["electra"], "withdraw", 10.0)
    assert account.cash("") == pytest.approx(main + 100.0 - 11.0)
    assert account.cash("xyz") == pytest.approx(xyz + 30.0)
    assert account.wallet[USDC] == pytest.approx(spot - 130.0)
    kinds = [row["delta"]["type"] for row in venue.exchange.history[account.address].ledger]
    assert kinds == ["accountClassTransfer", "send", "send", "withdraw"]


def test_two_accounts_may_not_share_an_address() -> None:
    plans = [AccountPlan("0x" + "c" * 40, "one"), AccountPlan("0x" + "C" * 40, "two")]
    with pytest.raises(ValueError, match="account 'two' has the address of another"):
        HyperliquidVenue(Market(1, "calm", 30.0, 0), plans)
