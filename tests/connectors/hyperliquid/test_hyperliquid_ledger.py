"""Fills, fundings and ledger updates from the watched account's point of view."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.events import AccountChanged, CashFlow, CashFlowKind, Event, Fill, Liquidation, LiquidationKind
from connectors.fields import WrongShape
from connectors.hyperliquid.ledger import Context, Entry, Watched, parse_fill, parse_funding, parse_ledger_update, parse_liquidation_event
from connectors.hyperliquid.memory import MOST_KEYS, LogMemory, Memory
from tests.connectors.hyperliquid import hyperliquid_wire as wire

MAKER = Watched("maker", wire.MAKER)


def _context(snapshot: bool = False) -> Context:
    return Context(MAKER, wire.reference(), 5, snapshot)


def _fill(**changes: Any) -> Event:
    (event,) = parse_fill({**wire.fill(), **changes}, _context()).events
    return event


def test_perpetual_fill() -> None:
    event = _fill(coin="xyz:CL", side="A", fee="-0.01")
    assert isinstance(event, Fill)
    assert (event.instrument, event.base, event.quantity, event.price, event.fee) == ("hyperliquid:xyz:CL", None, -2.0, 100.0, -0.01)
    assert (event.fee_asset, event.start_position, event.account, event.liquidation) == ("USDC", 1.0, "maker", False)


@pytest.mark.parametrize(("coin", "base", "quote"), [("PURR/USDC", "PURR", "USDC"), ("@107", "HYPE", "USDC"), ("@207", "HYPE", "USDH")])
def test_spot_fill_names_its_assets(coin: str, base: str, quote: str) -> None:
    event = _fill(coin=coin, feeToken="HYPE")
    assert isinstance(event, Fill)
    assert (event.instrument, event.base, event.quote, event.fee_asset) == (None, base, quote, "HYPE")


@pytest.mark.parametrize("changes", [{"coin": "#14880"}, {"coin": "@999"}, {"dir": "Net Child Vaults"}])
def test_fill_whose_effect_is_not_exact_asks_for_a_refetch(changes: dict[str, str]) -> None:
    assert isinstance(_fill(**changes), AccountChanged)


def test_liquidation_is_of_the_account_it_names_whatever_the_case() -> None:
    mark = {"markPx": "1", "method": "market"}
    for user, direction, own in (
        (wire.MAKER.upper().replace("0X", "0x"), "Close Long", True),
        (wire.STRANGER, "Liquidated Cross Long", False),
        (None, "Liquidated Cross Long", True),
        (None, "Open Long", False),
    ):
        event = _fill(dir=direction, liquidation=mark if user is None else {**mark, "liquidatedUser": user})
        assert isinstance(event, Fill)
        assert event.liquidation is own


@pytest.mark.parametrize(
    ("direction", "method", "user", "kind"),
    [
        ("Liquidated Cross Long", "market", wire.MAKER, LiquidationKind.LIQUIDATION),
        ("Liquidated Cross Long", "backstop", wire.MAKER, LiquidationKind.BACKSTOP),
        ("Open Long", "backstop", wire.STRANGER, None),
        ("Auto-Deleveraging", "market", wire.STRANGER, LiquidationKind.ADL),
        ("Auto-Deleveraging", None, None, LiquidationKind.ADL),
        ("Close Long", None, None, None),
    ],
)
def test_how_the_venue_acted_on_the_account(direction: str, method: str | None, user: str | None, kind: LiquidationKind | None) -> None:
    mark = {} if method is None else {"liquidation": {"markPx": "1", "method": method, "liquidatedUser": user}}
    event = _fill(dir=direction, **mark)
    assert isinstance(event, Fill)
    assert (event.liquidation_kind, event.liquidation) == (kind, kind is not None)


@pytest.mark.parametrize("changes", [{"side": "X"}, {"sz": None}, {"px": "nan"}, {"time": "1"}, {"coin": 1}])
def test_fill_of_another_shape_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(WrongShape):
        _fill(**changes)


def test_fill_identity() -> None:
    def key(**changes: Any) -> str:
        return parse_fill({**wire.fill(), **changes}, _context()).key

    same = key()
    assert key(fee="9") == same
    assert len({same, key(tid=8), key(coin="ATOM"), key(time=1), key(side="A")}) == 5
    untraded = key(tid=0)
    assert key(tid=0) == untraded
    assert len({untraded, key(tid=0, hash="0x1"), key(tid=0, oid=12), key(tid=0, time=1)}) == 4


def test_funding_is_signed_cash_to_the_ledger_of_the_instrument() -> None:
    row = {"time": 7, "coin": "flx:kGOLD", "usdc": "-0.6", "szi": "1", "fundingRate": "0.1", "nSamples": None}
    (flow,) = parse_funding(row, _context()).events
    assert isinstance(flow, CashFlow)
    assert (flow.kind, flow.amount, flow.asset, flow.section, flow.instrument) == (
        CashFlowKind.FUNDING,
        -0.6,
        "USDH",
        "flx",
        "hyperliquid:flx:kGOLD",
    )


def _update(**delta: Any) -> Entry:
    return parse_ledger_update({"time": 9, "hash": "0xfeed", "delta": delta}, _context())


def _flows(**delta: Any) -> list[tuple[str | None, str, float]]:
    events = _update(**delta).events
    assert all(isinstance(event, CashFlow) and event.kind is CashFlowKind.TRANSFER for event in events)
    return [(event.section, event.asset, event.amount) for event in events if isinstance(event, CashFlow)]


SEND = {"token": "USDC", "amount": "10.0", "usdcValue": "10.0", "fee": "1.0", "nativeTokenFee": "0.0", "nonce": 1, "feeToken": "USDC"}


@pytest.mark.parametrize(
    ("delta", "flows"),
    [
        ({"type": "deposit", "usdc": "5.5"}, [("", "USDC", 5.5)]),
        ({"type": "withdraw", "usdc": "5.5", "nonce": 1, "fee": "1.0"}, [("", "USDC", -6.5)]),
        ({"type": "accountClassTransfer", "usdc": "2.0", "toPerp": True}, [("", "USDC", 2.0), (None, "USDC", -2.0)]),
        ({"type": "accountClassTransfer", "usdc": "2.0", "toPerp": False}, [("", "USDC", -2.0), (None, "USDC", 2.0)]),
        ({"type": "internalTransfer", "usdc": "3", "user": wire.MAKER, "destination": wire.STRANGER, "fee": "1"}, [("", "USDC", -4.0)]),
        ({"type": "internalTransfer", "usdc": "3", "user": wire.STRANGER, "destination": wire.MAKER, "fee": "1"}, [("", "USDC", 2.0)]),
        ({"type": "subAccountTransfer", "usdc": "3", "user": wire.MAKER, "destination": wire.STRANGER}, [("", "USDC", -3.0)]),
        ({"type": "subAccountTransfer", "usdc": "3", "user": wire.STRANGER, "destination": wire.MAKER}, [("", "USDC", 3.0)]),
        (
            {"type": "spotTransfer", **SEND, "token": "HYPE", "feeToken": "", "user": wire.MAKER, "destination": wire.STRANGER},
            [(None, "HYPE", -10.0), (None, "USDC", -1.0)],
        ),
        ({"type": "spotTransfer", **SEND, "user": wire.STRANGER, "destination": wire.MAKER}, [(None, "USDC", 10.0)]),
        (
            {"type": "send", **SEND, "user": wire.MAKER, "destination": wire.STRANGER, "sourceDex": "xyz", "destinationDex": "spot"},
            [("xyz", "USDC", -10.0), ("xyz", "USDC", -1.0)],
        ),
        (
            {"type": "send", **SEND, "fee": "0", "user": wire.MAKER, "destination": wire.MAKER, "sourceDex": "spot", "destinationDex": ""},
            [(None, "USDC", -10.0), ("", "USDC", 10.0)],
        ),
        (
            {
                "type": "send",
                **SEND,
                "nativeTokenFee": "0.1",
                "fee": "0",
                "user": wire.MAKER,
                "destination": "0x",
                "sourceDex": "",
                "destinationDex": "",
            },
            [("", "USDC", -10.0), (None, "HYPE", -0.1)],
        ),
        ({"type": "vaultDeposit", "vault": wire.STRANGER, "usdc": "7"}, [("", "USDC", -7.0)]),
        ({"type": "vaultCreate", "vault": wire.STRANGER, "usdc": "7", "fee": "100"}, [("", "USDC", -107.0)]),
        ({"type": "vaultDistribution", "vault": wire.STRANGER, "usdc": "7"}, [("", "USDC", 7.0)]),
        (
            {"type": "vaultWithdraw", "vault": wire.STRANGER, "user": wire.MAKER, "requestedUsd": "9", "netWithdrawnUsd": "8"},
            [("", "USDC", 8.0)],
        ),
        ({"type": "vaultLeaderCommission", "user": wire.MAKER, "usdc": "7"}, [("", "USDC", 7.0)]),
        ({"type": "rewardsClaim", "amount": "7", "token": "HYPE"}, [(None, "HYPE", 7.0)]),
        ({"type": "spotGenesis", "amount": "7", "token": "HYPE"}, [(None, "HYPE", 7.0)]),
        ({"type": "deployGasAuction", "amount": "7", "token": "HYPE"}, [(None, "HYPE", -7.0)]),
        ({"type": "cStakingTransfer", "amount": "7", "token": "HYPE", "isDeposit": True}, [(None, "HYPE", -7.0)]),
    ],
)
def test_transfers(delta: dict[str, Any], flows: list[tuple[str | None, str, float]]) -> None:
    assert _flows(**delta) == flows


@pytest.mark.parametrize(
    "delta",
    [
        {"type": "cStakingTransfer", "amount": "7", "token": "HYPE", "isDeposit": False},
        {"type": "vaultDeposit", "vault": wire.MAKER, "usdc": "7"},
        {"type": "vaultDistribution", "vault": wire.MAKER, "usdc": "7"},
        {"type": "vaultWithdraw", "vault": wire.MAKER, "user": wire.STRANGER, "netWithdrawnUsd": "8"},
        {"type": "internalTransfer", "usdc": "3", "user": wire.STRANGER, "destination": wire.STRANGER, "fee": "1"},
        {"type": "send", **SEND, "user": wire.STRANGER, "destination": "0x", "sourceDex": "", "destinationDex": ""},
        {"type": "borrowLend", "token": "USDC", "operation": "borrow", "amount": "7", "interestAmount": "0"},
        {"type": "activateDexAbstraction", "dex": "xyz", "token": "USDC", "amount": "7"},
        {"type": "rewardsClaim", "amount": "7"},
        {"type": "somethingNew"},
    ],
)
def test_update_whose_effect_is_not_exact_asks_for_a_refetch(delta: dict[str, Any]) -> None:
    (event,) = _update(**delta).events
    assert isinstance(event, AccountChanged)


def test_liquidation_update_says_what_was_closed() -> None:
    positions = [{"coin": "ATOM", "szi": "29.21"}, {"coin": "BTC", "szi": "-1"}]
    event, changed = _update(
        type="liquidation", liquidatedNtlPos="356.8", accountValue="2.9", leverageType="Cross", liquidatedPositions=positions
    ).events
    assert isinstance(event, Liquidation)
    assert (event.time_ms, event.detail) == (9, "Cross liquidation of 356.80 notional: 29.21 ATOM, -1 BTC")
    assert isinstance(changed, AccountChanged)


@pytest.mark.parametrize("row", [None, {}, {"time": 1, "hash": "0x", "delta": {}}, {"time": 1, "delta": {"type": "deposit", "usdc": "1"}}])
def test_update_of_another_shape_is_refused(row: object) -> None:
    with pytest.raises(WrongShape):
        parse_ledger_update(row, _context())


def test_updates_of_one_transaction_are_told_apart() -> None:
    assert _update(type="deposit", usdc="1").key != _update(type="deposit", usdc="2").key
    assert _update(type="deposit", usdc="1").key == _update(type="deposit", usdc="1").key


def test_liquidation_event_of_somebody_else_is_none() -> None:
    row = {"lid": 1, "liquidator": wire.MAKER, "liquidated_user": wire.STRANGER, "liquidated_ntl_pos": "1", "liquidated_account_value": "2"}
    assert parse_liquidation_event(row, {MAKER.address: MAKER}, 5, 6) is None
    own = parse_liquidation_event({**row, "liquidated_user": wire.MAKER}, {MAKER.address: MAKER}, 5, 6)
    assert own is not None
    assert (own.account, own.time_ms, wire.MAKER in own.detail) == ("maker", 6, False)


def test_memory_is_bounded_and_forgets_the_oldest() -> None:
    log = LogMemory()
    assert all(log.is_new(str(number)) for number in range(MOST_KEYS))
    assert not log.is_new("0")
    assert log.is_new("one more")
    assert log.is_new("0")
    assert not log.is_new("2")


def test_logs_are_remembered_by_account_and_feed() -> None:
    memory = Memory()
    assert memory.log("a", "userFills").is_new("1")
    assert memory.log("b", "userFills").is_new("1")
    assert not memory.log("a", "userFills").is_new("1")
