"""The snapshot document as it is read: typed, and every contradiction named with its file, key and remedy."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies

from config import ConfigError, Problem, load_parameters
from monitor.snapshot import AccountRow, InstrumentRow, PortfolioRow, PositionRow, Snapshot, SnapshotError, parse_snapshot, read_snapshot

Document = dict[str, Any]
Change = Callable[[Document], Any]

CALL, PERPETUAL, FUTURE, SPOT = 0, 1, 2, 3
"""Places of the instruments below."""


def whole() -> Document:
    """A document with every key there is."""
    return {
        "version": 1,
        "as_of": "2027-03-01T09:30:00.250Z",
        "parameters": "house",
        "overrides": {"ETH": {"price_range": "0.25", "option_base": "mark"}, "*": {"eta": 2, "spot_hedge": ["ETH"]}},
        "fx": {"USDC": "0.9991", "USDT": None},
        "index": {"ETH": 4000},
        "beta": {"ETH": 1.3},
        "volume_24h_usd": {"aster:ETHUSDT": 3.5e8, "deribit:ETH-30APR27": None},
        "daily_volatility": {"ETH": 0.04},
        "instruments": [
            {
                "id": "deribit:ETH-30APR27-4500-C", "kind": "option", "coin": "ETH", "settle": "USDC", "option_type": "call",
                "strike": 4500, "expiry": "2027-04-30T08:00:00+00:00", "forward": 4040.5, "iv": 0.61, "mark": None,
            },
            {
                "id": "aster:ETHUSDT", "kind": "perpetual", "coin": "ETH", "settle": "USDT", "mark": "4001.25",
                "tiers": [[0, 0.01, 0], ["1e6", 0.02, 10000]], "max_leverage": 75,
                "funding": {"rate": "-0.0003", "interval_h": 4, "next_time": "2027-03-01T12:00:00Z", "price": 4000.75},
            },
            {
                "id": "deribit:ETH-30APR27", "kind": "future", "coin": "ETH", "settle": "ETH", "inverse": True,
                "mark": 4050.0, "expiry": 1809072000000,
            },
            {"id": "hyperliquid:spot:ETH", "kind": "spot", "coin": "ETH", "settle": "USDC", "mark": None},
        ],
        "accounts": [
            {
                "id": "east", "venue": "aster", "equity": "81000.5", "spot_hedging": True, "mode": "multi_assets",
                "pools": [
                    {
                        "id": "cross", "collateral_asset": "USDT", "cash": -12.5, "limit": 0.95, "positions": ["aster:ETHUSDT"],
                        "collateral": [{"asset": "ETH", "amount": 2.5, "price": 4000.5, "ratio": 0.9}],
                    }
                ],
                "reported": {"cross equity": 81000.0, "cross available": None},
                "hedge_cap": {"ETH": 3},
                "balances": [{"asset": "ETH", "total": -2.5, "collateral_ratio": 0.9, "eligible_hedge": True}],
                "spot": [{"asset": "USDC", "total": "250.5"}],
                "debts": [{"asset": "USDC", "amount": 500, "mm_rate": 0.03, "im_rate": 0.2}],
                "positions": [
                    {"instrument": "aster:ETHUSDT", "quantity": "12.5", "entry": 3900, "side": "long"},
                    {"instrument": "aster:ETHUSDT", "quantity": -3, "side": "short"},
                ],
                "orders": [{"instrument": "aster:ETHUSDT", "quantity": -1, "limit_price": "4100.5", "reduce_only": True}],
            },
            {"id": "west", "venue": "deribit", "positions": [{"instrument": "deribit:ETH-30APR27", "quantity": -50000, "entry": 4020}]},
        ],
        "portfolios": [{"id": "both", "accounts": ["east", "west"]}, {"id": "alone", "accounts": ["west"]}],
    }  # fmt: skip


def small() -> Document:
    """The shortest document."""
    return {"version": 1, "as_of": 1803893400250, "accounts": [{"id": "a", "venue": "aster"}]}


def complaints(change: Change, start: Callable[[], Document] = whole) -> list[str]:
    document = start()
    change(document)
    with pytest.raises(SnapshotError) as caught:
        parse_snapshot(document, "book.json")
    lines = str(caught.value).split("\n")
    assert all(line.startswith("book.json: ") for line in lines)
    return [line.removeprefix("book.json: ") for line in lines]


# -- what is read ---------------------------------------------------------------------------------------------------------------------


def test_every_key_is_read() -> None:
    snapshot = parse_snapshot(whole(), "book.json")
    assert snapshot.as_of_ms == 1_803_893_400_250
    assert (snapshot.fx, snapshot.index, snapshot.beta) == ({"USDC": 0.9991}, {"ETH": 4000.0}, {"ETH": 1.3})
    assert (snapshot.volume_24h_usd, snapshot.daily_volatility) == ({"aster:ETHUSDT": 3.5e8}, {"ETH": 0.04})
    call, perpetual, future, spot = snapshot.instruments
    assert (call.kind, call.option_type, call.strike, call.forward, call.iv, call.mark) == ("option", "call", 4500, 4040.5, 0.61, None)
    assert perpetual.funding is not None
    assert perpetual.funding.model_dump() == {"rate": -0.0003, "interval_h": 4.0, "next_time_ms": 1_803_902_400_000, "price": 4000.75}
    assert (call.funding, future.funding) == (None, None)
    assert call.expiry_ms == future.expiry_ms == 1_809_072_000_000
    assert (perpetual.mark, perpetual.tiers, perpetual.max_leverage) == (4001.25, ((0, 0.01, 0), (1e6, 0.02, 1e4)), 75)
    assert (future.inverse, perpetual.inverse, spot.mark, spot.expiry_ms) == (True, False, None, None)
    east, west = snapshot.accounts
    assert (east.venue, east.equity, east.spot_hedging, east.mode, east.hedge_cap) == ("aster", 81000.5, True, "multi_assets", {"ETH": 3.0})
    assert (east.hedge_mode, west.hedge_mode) == (True, False)
    (pool,) = east.pools
    assert (pool.collateral_asset, pool.cash, pool.limit, pool.positions) == ("USDT", -12.5, 0.95, ("aster:ETHUSDT",))
    assert [row.model_dump() for row in pool.collateral] == [{"asset": "ETH", "amount": 2.5, "price": 4000.5, "ratio": 0.9}]
    assert east.reported == {"cross equity": 81000.0, "cross available": None}
    assert [row.model_dump() for row in east.balances] == [{"asset": "ETH", "total": -2.5, "collateral_ratio": 0.9, "eligible_hedge": True}]
    assert [(row.asset, row.total, row.collateral_ratio) for row in east.spot or ()] == [("USDC", 250.5, None)]
    assert west.spot is None
    assert [row.model_dump() for row in east.debts] == [{"asset": "USDC", "amount": 500, "mm_rate": 0.03, "im_rate": 0.2}]
    assert [(row.quantity, row.entry, row.side) for row in east.positions] == [(12.5, 3900, "long"), (-3, None, "short")]
    assert [(row.quantity, row.limit_price, row.reduce_only) for row in east.orders] == [(-1, 4100.5, True)]
    assert (west.equity, west.spot_hedging, west.mode, west.pools, west.reported) == (None, False, None, (), {})
    assert [(row.id, row.accounts) for row in snapshot.portfolios] == [("both", ("east", "west")), ("alone", ("west",))]


def test_what_is_left_out_has_its_default() -> None:
    snapshot = parse_snapshot(small(), "book.json")
    assert (snapshot.parameters, snapshot.overrides, snapshot.fx, snapshot.index, snapshot.instruments) == ("uta", {}, {}, {}, ())
    (account,) = snapshot.accounts
    assert (account.equity, account.positions, account.orders, account.balances, account.debts) == (None, (), (), (), ())


@pytest.mark.parametrize("more", [{}, {"portfolios": None}])
def test_without_portfolios_all_accounts_are_one(more: Document) -> None:
    accounts = [{"id": name, "venue": "aster"} for name in ("a", "b")]
    (portfolio,) = parse_snapshot({**small(), "accounts": accounts, **more}, "book.json").portfolios
    assert (portfolio.id, portfolio.accounts) == ("portfolio", ("a", "b"))


def test_a_snapshot_is_built_from_rows_too() -> None:
    built = Snapshot(
        version=1,
        as_of=1_803_893_400_250,
        instruments=(InstrumentRow(id="x", kind="perpetual", coin="ETH", settle="USDC", mark=4000.0),),
        accounts=(AccountRow(id="a", venue="aster", positions=(PositionRow(instrument="x", quantity=1.0),)),),
    )
    assert built.portfolios == (PortfolioRow(id="portfolio", accounts=("a",)),)
    assert parse_snapshot(built.model_dump(mode="json", by_alias=True), "book.json") == built


def test_the_overrides_fit_the_parameter_set() -> None:
    snapshot = parse_snapshot(whole(), "book.json")
    resolved = load_parameters(snapshot.parameters).with_overrides(snapshot.overrides, "book.json")
    assert (resolved.name, resolved.unit("ETH").price_range, resolved.unit("ETH").option_base) == ("house", 0.25, "mark")
    assert (resolved.portfolio.eta, resolved.portfolio.spot_hedge) == (2.0, ("ETH",))
    finer = parse_snapshot({**small(), "overrides": {"*": {"price_nodes": "21"}}}, "book.json")
    assert load_parameters("uta").with_overrides(finer.overrides, "book.json").price_nodes == 21


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        ("2027-03-01T09:30:00Z", 1_803_893_400_000),
        ("2027-03-01T09:30Z", 1_803_893_400_000),
        ("2027-03-01T09:30:00+00:00", 1_803_893_400_000),
        ("2027-03-01T09:30:00.9999Z", 1_803_893_400_999),
        ("2027-03-01T09:30:00.123456789Z", 1_803_893_400_123),
        (1_803_893_400_123, 1_803_893_400_123),
    ],
)
def test_times(written: str | int, ms: int) -> None:
    assert parse_snapshot({**small(), "as_of": written}, "book.json").as_of_ms == ms


@pytest.mark.parametrize("iv", [0, -0.5, None, "0"])
def test_a_volatility_of_nothing_is_unknown(iv: Any) -> None:
    document = whole()
    document["instruments"][CALL]["iv"] = iv
    assert parse_snapshot(document, "book.json").instruments[CALL].iv is None


# -- what is refused ------------------------------------------------------------------------------------------------------------------


def instrument(place: int, **values: Any) -> Change:
    return lambda document: document["instruments"][place].update(values)


def account(**values: Any) -> Change:
    return lambda document: document["accounts"][0].update(values)


def row(kind: str, place: int = 0, **values: Any) -> Change:
    return lambda document: document["accounts"][0][kind][place].update(values)


def again(kind: str, place: int) -> Change:
    return lambda document: document[kind].append(document[kind][place])


def top(**values: Any) -> Change:
    return lambda document: document.update(values)


TIME = 'expected a time in UTC such as "2026-11-21T12:00:00Z", or integer milliseconds, got '
HELD = {"instrument": "aster:ETHUSDT", "quantity": 1}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (top(idx={}), 'idx: unknown key; did you mean "index"?'),
        (top(asof=1), 'asof: unknown key; did you mean "as_of"?'),
        (top(as_of_ms=1), 'as_of_ms: unknown key; did you mean "as_of"?'),
        (top(version=2), "version: expected 1, got integer 2"),
        (lambda document: document.pop("version"), "version: missing; this key is required"),
        (lambda document: document.pop("as_of"), "as_of: missing; this key is required"),
        (lambda document: document.pop("accounts"), "accounts: missing; this key is required"),
        (top(as_of="2027-03-01T09:30:00"), f'as_of: {TIME}text "2027-03-01T09:30:00"'),
        (top(as_of="2027-03-01T09:30:00+01:00"), f"as_of: {TIME}text"),
        (top(as_of="2027-03-01"), f"as_of: {TIME}text"),
        (top(as_of="2027-02-30T00:00:00Z"), 'as_of: expected a time that exists, got "2027-02-30T00:00:00Z"'),
        (top(as_of=1.8e12), f"as_of: {TIME}number"),
        (top(as_of=True), f"as_of: {TIME}boolean true"),
        (top(as_of=1_803_893_400), "as_of: expected milliseconds since 1970, got 1803893400; seconds times 1000"),
        (top(as_of=-5), "as_of: expected milliseconds since 1970, got -5"),
        (top(as_of=10**400), "as_of: expected milliseconds since 1970, got 1"),
        (top(parameters=""), 'parameters: expected a text that is not empty, got text ""'),
        (top(overrides={"BTC": 1}), "overrides.BTC: expected an object, got integer 1"),
        (top(overrides={"BTC": {"price_range": float("inf")}}), "overrides: expected finite numbers, got inf"),
        (top(fx=[]), "fx: expected an object, got a list"),
        (top(fx={"USDT": 0}), "fx.USDT: expected a number greater than 0"),
        (top(fx={"USDT": "0.99.1"}), 'fx.USDT: expected a number, got text "0.99.1"'),
        (top(fx={"USD": 0.99}), "fx.USD: is 1 by definition, got 0.99; remove it"),
        (top(fx={"ETH": 4000}), "fx.ETH: settles instruments of its own and is no stablecoin; give its price under index"),
        (top(index={"ETH": -1}), "index.ETH: expected a number greater than 0"),
        (top(beta={"eth": 1}), 'beta.eth: no coin of this snapshot has this name; did you mean "ETH"?'),
        (top(daily_volatility={"DOGE": 0.1}), "daily_volatility.DOGE: no coin of this snapshot has this name"),
        (top(beta={"ETH": None}), "beta.ETH: expected a number, got nothing"),
        (
            top(volume_24h_usd={"aster:ETHUSD": 1}),
            'volume_24h_usd."aster:ETHUSD": no instrument has this id; did you mean "aster:ETHUSDT"?',
        ),
        (top(daily_volatility={"ETH": -0.1}), "daily_volatility.ETH: expected a number of at least 0"),
        (top(instruments={}), "instruments: expected a list, got an object"),
        (top(accounts=[3], portfolios=None), "accounts[0]: expected an object, got integer 3"),
        (top(accounts=[], portfolios=None), "accounts: no account; a snapshot holds at least one"),
        (top(portfolios=[]), "portfolios: no portfolio; name one, or leave the key out for one portfolio of all accounts"),
        (top(portfolios=[{"id": "p", "accounts": []}]), "portfolios[0].accounts: no account; name at least one"),
        (
            top(portfolios=[{"id": "p", "accounts": ["eaast"]}]),
            'portfolios[0].accounts[0]: no account has the id "eaast"; did you mean "east"?',
        ),
        (top(portfolios=[{"id": "p", "accounts": ["east", "east"]}]), 'portfolios[0].accounts[1]: "east" is already'),
        (top(portfolios=[{"id": "p", "accounts": ["east"]}] * 2), 'portfolios[1].id: "p" is already portfolios[0]'),
        (instrument(PERPETUAL, knd=1), 'instruments[1].knd: unknown key; did you mean "kind"?'),
        (instrument(PERPETUAL, expiry_ms=1), 'instruments[1].expiry_ms: unknown key; did you mean "expiry"?'),
        (
            instrument(PERPETUAL, kind="perp"),
            'instruments[1].kind: expected "perpetual", "future", "option", "outcome" or "spot", got text "perp"; did',
        ),
        (
            again("instruments", SPOT),
            'instruments[4].id: "hyperliquid:spot:ETH" is already instruments[3]; give each its own, or remove one',
        ),
        (instrument(PERPETUAL, mark=-1), "instruments[1].mark: expected a number of at least 0"),
        (instrument(PERPETUAL, mark=0), "instruments[1].mark: expected a number greater than 0, or null where it is unknown, got 0"),
        (instrument(PERPETUAL, expiry=1809072000000), 'instruments[1].expiry: a perpetual has none; remove it or correct "kind"'),
        (instrument(PERPETUAL, strike=1), 'instruments[1].strike: a perpetual has none; remove it or correct "kind"'),
        (instrument(PERPETUAL, funding={"rate": 0.01, "hours": 1}), "instruments[1].funding.hours: unknown key"),
        (
            instrument(PERPETUAL, funding={"rate": -1.25}),
            "instruments[1].funding.rate: expected a fraction, 0.0001 for 0.01 %, got -1.25; is",
        ),
        (instrument(PERPETUAL, funding={"interval_h": 0}), "instruments[1].funding.interval_h: expected a number greater than 0"),
        (instrument(PERPETUAL, funding={"next_time": 8}), "instruments[1].funding.next_time: expected milliseconds since 1970, got 8"),
        (instrument(PERPETUAL, funding={"price": 0}), "instruments[1].funding.price: expected a number greater than 0"),
        (instrument(FUTURE, funding={}), 'instruments[2].funding: a future pays none; remove it or correct "kind"'),
        (instrument(CALL, funding={}), "instruments[0].funding: an option pays none"),
        (instrument(PERPETUAL, tiers=[[0, 0.01]]), "instruments[1].tiers[0]: expected three numbers: lower bound"),
        (instrument(PERPETUAL, tiers=[[0, "a", 0]]), 'instruments[1].tiers[0][1]: expected a number, got text "a"'),
        (instrument(PERPETUAL, tiers=[[5, 0.1, 0]]), "instruments[1].tiers: expected lower bounds that start at 0 and increase, got 5"),
        (instrument(PERPETUAL, tiers=[[0, 0.1, 0], [0, 0.2, 0]]), "instruments[1].tiers: expected lower bounds"),
        (instrument(FUTURE, expiry=None), "instruments[2].expiry: missing; a future needs it"),
        (instrument(FUTURE, iv=0.3), "instruments[2].iv: a future has none"),
        (instrument(CALL, strike=None), "instruments[0].strike: missing; an option needs it"),
        (instrument(CALL, strike=-5), "instruments[0].strike: expected a number greater than 0"),
        (instrument(CALL, option_type=None), "instruments[0].option_type: missing; an option needs it"),
        (instrument(CALL, option_type="C"), 'instruments[0].option_type: expected "call" or "put", got text "C"'),
        (instrument(CALL, expiry=None), "instruments[0].expiry: missing; an option needs it"),
        (instrument(CALL, kind="outcome", strike=None), "instruments[0].strike: missing; an outcome needs it"),
        (instrument(CALL, kind="outcome", settle="ETH"), "instruments[0].settle: an outcome pays 1 of a stablecoin, and this is its coin"),
        (instrument(CALL, kind="outcome", mark=1.01), "instruments[0].mark: expected the price of one contract, from 0 to 1, got 1.01"),
        (instrument(CALL, kind="outcome", inverse=True), "instruments[0].inverse: only a perpetual or a future can be inverse"),
        (instrument(CALL, kind="outcome", funding={}), "instruments[0].funding: an outcome pays none"),
        (instrument(CALL, inverse=True), "instruments[0].inverse: only a perpetual or a future can be inverse, and this is option"),
        (instrument(SPOT, inverse=True), "instruments[3].inverse: only a perpetual or a future can be inverse, and this is spot"),
        (instrument(CALL, iv=61), "instruments[0].iv: expected a decimal, 0.42 for 42 %, got 61; is it in per cent?"),
        (instrument(CALL, iv="inf"), "instruments[0].iv: expected a finite number"),
        (instrument(CALL, forward=0), "instruments[0].forward: expected a number greater than 0"),
        (account(venu="x"), 'accounts[0].venu: unknown key; did you mean "venue"?'),
        (again("accounts", 1), 'accounts[2].id: "west" is already accounts[1]'),
        (account(equity="NaN"), "accounts[0].equity: expected a finite number"),
        (account(equity="Infinity"), "accounts[0].equity: expected a finite number"),
        (account(equity=10**400), "accounts[0].equity: expected a finite number"),
        (account(equity=True), "accounts[0].equity: expected a number, got boolean true"),
        (account(spot_hedging=1), "accounts[0].spot_hedging: expected true or false, got integer 1"),
        (account(reported={"x": "y"}), 'accounts[0].reported.x: expected a number, got text "y"'),
        (account(hedge_cap={"ETH": -1}), "accounts[0].hedge_cap.ETH: expected a number of at least 0"),
        (row("pools", positions=["aster:ETH"]), 'accounts[0].pools[0].positions[0]: no instrument has the id "aster:ETH"'),
        (row("pools", limit=0), "accounts[0].pools[0].limit: expected a number greater than 0"),
        (row("pools", csh=0), 'accounts[0].pools[0].csh: unknown key; did you mean "cash"?'),
        (account(pools=[{"id": "p", "collateral_asset": "USDT", "cash": 0}] * 2), 'accounts[0].pools[1].id: "p" is already'),
        (row("balances", collateral_ratio=1.5), "accounts[0].balances[0].collateral_ratio: expected a number of at most 1"),
        (row("debts", rate=1), "accounts[0].debts[0].rate: unknown key"),
        (row("positions", quantiy=1), 'accounts[0].positions[0].quantiy: unknown key; did you mean "quantity"?'),
        (row("positions", quantity=None), "accounts[0].positions[0].quantity: expected a number, got nothing"),
        (row("positions", 1, quantity=float("nan")), "accounts[0].positions[1].quantity: expected a finite number, got number nan"),
        (
            row("positions", instrument="aster:ETHUDST"),
            'accounts[0].positions[0].instrument: no instrument has the id "aster:ETHUDST"; did',
        ),
        (
            row("positions", 1, side="long", quantity=3),
            'accounts[0].positions[1].instrument: "aster:ETHUSDT" long is already accounts[0].pos',
        ),
        (row("positions", 1, side="both"), 'accounts[0].positions[1].side: expected "long" or "short", got text "both"'),
        (row("positions", 1, quantity=3), 'accounts[0].positions[1].quantity: expected a negative quantity on the side "short", got 3'),
        (row("positions", quantity=-3), 'accounts[0].positions[0].quantity: expected a positive quantity on the side "long", got -3'),
        (account(positions=[HELD, HELD]), 'accounts[0].positions[1].instrument: "aster:ETHUSDT" is already accounts[0].positions[0]; add'),
        (account(positions=[HELD, HELD | {"side": "long"}]), 'accounts[0].positions[1].instrument: "aster:ETHUSDT" long is already'),
        (row("positions", entry=-1), "accounts[0].positions[0].entry: expected a number of at least 0"),
        (
            account(positions=[{"instrument": "deribit:ETH-30APR27", "quantity": 10, "entry": 0}]),
            "accounts[0].positions[0].entry: expected a number greater than 0 for an inverse contract, got 0",
        ),
        (row("orders", limit_price=0), "accounts[0].orders[0].limit_price: expected a number greater than 0"),
        (row("orders", instrument="x"), 'accounts[0].orders[0].instrument: no instrument has the id "x"'),
    ],
)
def test_an_error_names_key_expectation_and_remedy(change: Change, expected: str) -> None:
    (line,) = complaints(change)
    assert line.startswith(expected)


@pytest.mark.parametrize(("inverse", "settle"), [(True, "USD"), (False, "SOL")])
def test_the_coin_of_what_it_settles_or_of_an_inverse_contract_is_no_stablecoin(inverse: bool, settle: str) -> None:
    row = {"id": "x", "kind": "perpetual", "coin": "SOL", "settle": settle, "inverse": inverse, "mark": 150}
    (line,) = complaints(top(instruments=[row], fx={"SOL": 150, "USDC": 1}), small)
    assert line == "fx.SOL: settles instruments of its own and is no stablecoin; give its price under index"


def test_a_perpetual_on_a_stablecoin_may_settle_in_another() -> None:
    row = {"id": "x", "kind": "perpetual", "coin": "USDC", "settle": "USDT", "mark": 1.0001}
    snapshot = parse_snapshot({**small(), "instruments": [row], "fx": {"USDC": 0.9999, "USDT": 0.9996}}, "book.json")
    assert snapshot.fx == {"USDC": 0.9999, "USDT": 0.9996}


def test_beta_and_volatility_of_a_coin_only_held_or_owed_are_of_use() -> None:
    money = {"balances": [{"asset": "BTC", "total": 1}], "debts": [{"asset": "SOL", "amount": 2}]}
    document = {**small(), "accounts": [{"id": "a", "venue": "aster", **money}], "index": {"ETH": 4000}}
    coins = {"BTC": 0.5, "SOL": 1.5, "ETH": 1}
    snapshot = parse_snapshot({**document, "beta": coins, "daily_volatility": coins}, "book.json")
    assert snapshot.coins == coins.keys() == snapshot.beta.keys() == snapshot.daily_volatility.keys()


def test_in_hedge_mode_a_row_without_side_is_on_the_side_of_its_sign() -> None:
    document = whole()
    document["accounts"][0]["positions"] = [HELD, HELD | {"quantity": -2, "side": "short"}]
    assert len(parse_snapshot(document, "book.json").accounts[0].positions) == 2


def test_several_problems_are_listed_at_once() -> None:
    def change(document: Document) -> None:
        document["accounts"][1]["positions"][0]["instrument"] = "none"
        document["instruments"].append(document["instruments"][SPOT])

    assert complaints(change) == [
        'instruments[4].id: "hyperliquid:spot:ETH" is already instruments[3]; give each its own, or remove one',
        'accounts[1].positions[0].instrument: no instrument has the id "none"',
    ]
    assert len(complaints(lambda document: document.update(x=1, y=2, as_of=0))) == 3


def test_a_snapshot_error_is_an_input_error_like_that_of_a_configuration() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_snapshot([], "book.json")
    assert str(caught.value) == "book.json: expected an object, got a list"
    assert (caught.value.source, caught.value.problems[0].path) == ("book.json", "")


def test_an_address_in_a_document_is_not_repeated() -> None:
    address = "0x" + "ab" * 20
    (line,) = complaints(row("orders", instrument=address))
    assert address not in line


# -- files ----------------------------------------------------------------------------------------------------------------------------


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "book.json"
    path.write_text(json.dumps(whole()), encoding="utf-8")
    assert read_snapshot(path) == parse_snapshot(whole(), "book.json")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "is not valid JSON: Expecting property name"),
        (b"", "is not valid JSON: Expecting value"),
        (b"\xff", "is not UTF-8 text; save it as UTF-8"),
        (b"[" * 200_000, "is not valid JSON: nested too deeply"),
        (b'{"version": 1, "accounts": [], "accounts": []}', 'is not valid JSON: the key "accounts" stands twice in one object'),
        (
            b'{"version": 1, "as_of": 1803893400250, "accounts": [{"id": "a", "venue": "b", "equity": NaN}]}',
            "equity: expected a finite number",
        ),
        (b"3", "expected an object, got integer 3"),
    ],
)
def test_a_file_that_is_no_snapshot(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "book.json"
    path.write_bytes(content)
    with pytest.raises(SnapshotError) as caught:
        read_snapshot(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="no such file; `marginwatch verify --save` writes one"):
        read_snapshot(tmp_path / "none.json")
    with pytest.raises(SnapshotError, match="cannot be read: Is a directory"):
        read_snapshot(tmp_path)


# -- any document ---------------------------------------------------------------------------------------------------------------------

JSON = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats() | strategies.text(max_size=5),
    lambda below: strategies.lists(below, max_size=3) | strategies.dictionaries(strategies.text(max_size=5), below, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place of a document, the document itself first."""
    rows = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, below in rows for place in places(below, (*path, key)))]


@given(strategies.sampled_from(places(whole())[1:]), JSON)
def test_anything_anywhere_is_read_or_refused_with_a_path(place: tuple[str | int, ...], value: Any) -> None:
    document: Any = whole()
    inside = document
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = copy.deepcopy(value)
    problems: tuple[Problem, ...] = ()
    snapshot = None
    try:
        snapshot = parse_snapshot(document, "book.json")
    except SnapshotError as error:
        problems = error.problems
    if snapshot is None:
        assert problems
        assert all(problem.message for problem in problems)
    else:
        # what is read can be written, and is the same when read again
        assert parse_snapshot(snapshot.model_dump(mode="json", by_alias=True), "book.json") == snapshot
