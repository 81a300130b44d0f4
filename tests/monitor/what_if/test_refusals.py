"""What cannot be represented is refused with the key and the remedy, and what the monitor alone knows is said."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.snapshot import InstrumentRow, SnapshotError
from monitor.what_if.changes import ChangeError, read_request
from monitor.what_if.edit import edited
from monitor.what_if.known import Known, alone
from tests.monitor.what_if.desk import (
    ASTER,
    BTC,
    CALL,
    ETH,
    PERPETUAL,
    account,
    desk,
    edit,
    listed,
    option,
    perpetual,
    pool,
    refused,
    report,
    trade,
    transfer,
    uta,
)
from tests.monitor.what_if.test_pools import hedged, in_mode, multi_assets, portfolio_margin

SOL = "hyperliquid:SOL"
BUY = trade("iris", BTC, 1.0)
ORDER = {"kind": "order", "account": "iris", "instrument": BTC, "quantity": 1.0, "limit_price": 1.0}


@pytest.mark.parametrize(
    ("document", "field", "said"),
    [
        ([], "", "expected an object"),
        ({}, "changes", "no change"),
        ({"changes": []}, "changes", "no change"),
        ({"changes": None}, "changes", "expected a list, got nothing"),
        ({"changes": {}}, "changes", "expected a list, got an object"),
        ({"changes": [BUY] * 101}, "changes", "at most 100, got 101"),
        ({"changes": [BUY], "chanegs": 1}, "chanegs", 'did you mean "changes"'),
        ({"changes": [3]}, "changes[0]", "expected an object, got integer 3"),
        ({"changes": [{}]}, "changes[0].kind", "known: position, order, transfer"),
        ({"changes": [{"kind": "positon"}]}, "changes[0].kind", 'did you mean "position"'),
        ({"changes": [BUY | {"quantity": 0}]}, "changes[0].quantity", "other than 0"),
        ({"changes": [BUY | {"quantity": "1"}]}, "changes[0].quantity", "expected a number"),
        ({"changes": [BUY | {"quantity": 1e16}]}, "changes[0].quantity", "at most 1e+15"),
        ({"changes": [BUY | {"quantity": 10**400}]}, "changes[0].quantity", "finite"),
        ({"changes": [BUY, BUY | {"price": -1}]}, "changes[1].price", "greater than 0"),
        ({"changes": [BUY | {"side": "buy"}]}, "changes[0].side", '"long" or "short"'),
        ({"changes": [BUY | {"limit_price": 1.0}]}, "changes[0].limit_price", "unknown key"),
        ({"changes": [{"kind": "order", "account": "iris", "instrument": BTC, "quantity": 1}]}, "changes[0].limit_price", "missing"),
        ({"changes": [ORDER | {"reduce_only": 1}]}, "changes[0].reduce_only", "true or false"),
        ({"changes": [transfer(None, None, "USDC", 1.0)]}, "changes[0].to", "outside of the book"),
        ({"changes": [transfer("iris", "iris", "USDC", 1.0)]}, "changes[0].to", "ends where it began"),
        ({"changes": [transfer(None, "iris", "USDC", 0.0)]}, "changes[0].amount", "greater than 0"),
        ({"changes": [transfer(None, "iris", "USDC", 1.0, from_pool="main")]}, "changes[0].from_pool", "a pool of no account"),
        ({"changes": [BUY], "index": {"SOL": 0}}, "index.SOL", "greater than 0"),
        ({"changes": [BUY], "index": 3}, "index", "an object"),
        ({"changes": [BUY], "instruments": [{}]}, "instruments[0].id", "missing"),
        ({"changes": [BUY], "instruments": [perpetual(SOL, "SOL", "USDC", iv=1.0)]}, "instruments[0].iv", "a perpetual has none"),
    ],
)
def test_a_request_that_is_none(document: Any, field: str, said: str) -> None:
    with pytest.raises(ChangeError) as caught:
        read_request(document)
    assert caught.value.field == field
    assert said in str(caught.value)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ChangeError) as caught:
        read_request({"changes": [BUY | {"quantity": 0}, BUY | {"price": 0}]})
    assert "changes[0].quantity" in str(caught.value)
    assert "changes[1].price" in str(caught.value)


SPOT: dict[str, Any] = {"id": "hyperliquid:spot:BTC", "kind": "spot", "coin": "BTC", "settle": "USDC", "mark": 100_000.0}
OUTCOME: dict[str, Any] = {
    "kind": "outcome",
    "coin": "BTC",
    "settle": "USDC",
    "strike": 1.0,
    "option_type": "call",
    "expiry": "2026-12-25T08:00:00Z",
}


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ([trade("irsi", BTC, 1.0)], "account", 'did you mean "iris"'),
        ([trade("iris", "hyperliquid:BTTC", 1.0)], "instrument", 'did you mean "hyperliquid:BTC"'),
        ([trade("iris", "hyperliquid:qqqqqqqqqqqqqqqqqqq", 1.0)], "instrument", 'give its row under "instruments"'),
        ([trade("iris", ASTER, 1.0)], "instrument", "not an instrument of hyperliquid"),
        ([trade("iris", BTC, 1.0, side="long")], "side", "leave the side out"),
        ([trade("umbra", ASTER, 1.0, side="long")], "side", "one net position"),
        ([transfer("irsi", None, "USDC", 1.0)], "from", 'did you mean "iris"'),
        ([transfer(None, "irsi", "USDC", 1.0)], "to", 'did you mean "iris"'),
        ([transfer(None, "iris", "XYZ", 1.0)], "asset", "no USD price of XYZ"),
        ([transfer(None, "iris", "BTC", 1.0)], "asset", "in no pool of account iris (standard): they are in USDC"),
        ([transfer(None, "iris", "USDC", 1.0, to_pool="mian")], "to_pool", "it has main"),
        ([transfer("umbra", None, "BTC", 1.0)], "asset", "in no pool of account umbra"),
        ([transfer("noctua", None, "BTC", 1.1)], "amount", "has 1 BTC"),
        ([transfer(None, "noctua", "ETH", 1.0)], "asset", "it can have BTC, USD, USDC, USDT"),
        ([transfer(None, "noctua", "BTC", 1.0, to_pool="BTC")], "to_pool", "counts in its pool cross"),
    ],
)
def test_a_change_that_cannot_be_made(changes: list[dict[str, Any]], field: str, said: str) -> None:
    # the second of two, so that the number counts
    error = refused(desk(), BUY, *changes)
    assert (error.field, said in str(error)) == (f"changes[1].{field}", True), str(error)


def test_hedge_mode_asks_for_the_side_and_keeps_its_sign() -> None:
    assert "in hedge mode" in str(refused(hedged(), trade("umbra", ASTER, 1.0)))
    error = refused(hedged(), trade("umbra", ASTER, -4.0, side="long"))
    assert error.field == "changes[0].quantity"
    assert 'name the side "short"' in str(error)


def test_what_a_row_lacks_is_asked_for() -> None:
    document = desk()
    for row in document["instruments"]:
        row.pop("mark", None)
        row.pop("iv", None)
    assert f"no mark of {BTC}" in str(refused(document, BUY))
    assert f"no volatility of {CALL}" in str(refused(document, trade("noctua", CALL, 1.0)))
    document["instruments"][4].pop("forward")
    assert f"no forward of {CALL}" in str(refused(document, trade("noctua", CALL, 1.0)))
    del document["index"]["BTC"]
    assert "no USD index of BTC" in str(refused(document, trade("noctua", PERPETUAL, 1.0)))


def test_an_expired_contract_is_not_traded() -> None:
    document = desk() | {"as_of": "2026-12-25T08:00:00Z"}
    assert "has expired" in str(refused(document, trade("noctua", CALL, 1.0)))


def test_pools_refuse_what_their_rule_does_not_take() -> None:
    document = in_mode("portfolio_margin", id="portfolio")
    rows = [
        (trade("iris", "hyperliquid:C", 1.0), option("hyperliquid:C", 1e5, "call"), "linear contracts only"),
        (trade("iris", "hyperliquid:I", 1.0), perpetual("hyperliquid:I", "BTC", "BTC", inverse=True, mark=1e5), "inverse contract"),
        (trade("iris", "hyperliquid:L", 1.0), perpetual("hyperliquid:L", "BTC", "BTC", mark=1e5), "no rule"),
        (trade("iris", "hyperliquid:T", 1.0), perpetual("hyperliquid:T", "BTC", "USDT", mark=1e5), "settles in USDT"),
        (trade("iris", "hyperliquid:N", 1.0), perpetual("hyperliquid:N", "BTC", "USDC", mark=1e5, tiers=[]), "maintenance margin table"),
        (trade("iris", "hyperliquid:O", 1.0), {"id": "hyperliquid:O", **OUTCOME}, "outcome"),
        ({**ORDER, "instrument": SPOT["id"]}, SPOT, "changes no margin"),
        (trade("iris", SPOT["id"], 1.0, side="long"), SPOT, "leave it out"),
        (trade("iris", SPOT["id"], 1.0), SPOT | {"mark": None}, "give the price"),
    ]
    for change, row, said in rows:
        assert said in str(refused(document, change, instruments=[row]))
    assert "is not known" in str(refused(in_mode("some other", id="x", collateral_asset="USDT"), BUY))


def test_more_collateral_than_there_is_cannot_be_sent() -> None:
    assert "has 2 UBTC" in str(refused(portfolio_margin(), transfer("iris", None, "BTC", 2.5)))
    assert "collateral_ratios of [venues.aster]" in str(refused(multi_assets(), transfer(None, "umbra", "ETH", 1.0)))
    document = multi_assets()
    document["accounts"][1]["pools"][0]["collateral"][1]["price"] = None
    assert "no price of the collateral BTC" in str(refused(document, transfer(None, "umbra", "BTC", 1.0)))


def test_several_pools_of_an_asset_ask_which() -> None:
    document = desk()
    account(document, "iris")["pools"] = [pool(document, "iris", "main") | {"id": name} for name in ("xyz", "flx")]
    assert refused(document, transfer(None, "iris", "USDC", 1.0)).field == "changes[0].to_pool"
    assert refused(document, transfer(None, "iris", "BTC", 1.0, to_pool="xyz")).field == "changes[0].to_pool"
    after = edit(document, transfer("iris", "iris", "USDC", 1.0, from_pool="xyz", to_pool="flx")).document
    assert [row["cash"] for row in account(after, "iris")["pools"]] == [-400_001.0, -399_999.0]


def test_accounts_without_pools_take_cash_and_coin_of_known_ratio() -> None:
    document = desk()
    for row in document["accounts"]:
        row["pools"] = []
    after = edit(document, transfer("noctua", "iris", "USDC", 1_000.0), transfer("noctua", None, "BTC", 0.5)).document
    assert account(after, "iris")["equity"] == pytest.approx(101_050.0)
    assert account(after, "noctua")["equity"] == pytest.approx(149_000.0)
    assert "share of BTC counts" in str(refused(document, transfer(None, "iris", "BTC", 1.0)))
    assert "has 1 BTC" in str(refused(document, transfer("noctua", None, "BTC", 2.0)))
    assert "no pools of account iris" in str(refused(document, transfer("iris", None, "USDC", 1.0, from_pool="main")))


def test_spot_is_bought_with_cash() -> None:
    found = edit(portfolio_margin(), trade("iris", SPOT["id"], 1.0, price=99_000.0), instruments=[SPOT])
    row = pool(found.document, "iris", "portfolio")
    assert (row["cash"], row["collateral"][0]["amount"]) == (-499_000.0, 3.0)
    assert account(found.document, "iris")["equity"] == pytest.approx(250_050.0 - 99_000.0 + 75_000.0)


def test_what_the_snapshot_has_is_not_given_again() -> None:
    assert refused(desk(), BUY, instruments=[perpetual(BTC, "BTC", "USDC")]).field == "instruments[0].id"
    assert "no change names" in str(refused(desk(), BUY, instruments=[perpetual(SOL, "SOL", "USDC")]))
    assert refused(desk(), BUY, index={"BTC": 1.0}).field == "index.BTC"


def test_a_row_and_an_index_given_with_the_request() -> None:
    row = perpetual(SOL, "SOL", "USDC", mark=150.0)
    assert "no USD index of SOL" in str(refused(desk(), trade("iris", SOL, 10.0), instruments=[row]))
    found = edit(desk(), trade("iris", SOL, 10.0), instruments=[row], index={"SOL": 149.0})
    assert f"{SOL}: terms and price as given in the request" in found.assumptions
    assert report(found.document)["portfolios"][0]["status"] == "ok"
    assert found.document["index"]["SOL"] == 149.0


def known_sol(**row: Any) -> Known:
    return Known(
        rows={SOL: listed(SOL, "SOL", "USDC", **row)},
        notes={SOL: ("a note",)},
        listed=[SOL],
        index={"SOL": 150.0},
        beta={"SOL": 1.5},
        daily_volatility={"SOL": 0.05},
        refused={"hyperliquid:OLD": "hyperliquid:OLD is delisted"},
    )


def test_an_instrument_that_a_venue_lists_comes_with_what_is_known_of_it() -> None:
    found = edit(desk(), trade("iris", SOL, 10.0), known=known_sol(mark=151.0))
    document = found.document
    assert (document["index"]["SOL"], document["beta"]["SOL"], document["daily_volatility"]["SOL"]) == (150.0, 1.5, 0.05)
    assert "a note" in found.assumptions
    assert any("24 h volume" in one for one in found.assumptions)
    assert report(document)["portfolios"][0]["units"][-1]["coin"] == "SOL"
    assert "is delisted" in str(refused(desk(), trade("iris", "hyperliquid:OLD", 1.0), known=known_sol()))
    assert 'did you mean "hyperliquid:SOL"' in str(refused(desk(), trade("iris", "hyperliquid:SOLL", 1.0), known=known_sol()))


def test_without_a_mark_the_price_stands_for_it_and_else_the_index() -> None:
    priced = edit(desk(), trade("iris", SOL, 10.0, price=152.0), known=known_sol())
    assert priced.document["instruments"][-1]["mark"] == 152.0
    assert "the price of the first trade in it, 152, stands for it" in " ".join(priced.assumptions)
    indexed = edit(desk(), trade("iris", SOL, 10.0), known=known_sol())
    assert indexed.document["instruments"][-1]["mark"] == 150.0
    future = InstrumentRow.model_validate({"id": SOL, "kind": "future", "coin": "SOL", "settle": "USDC", "expiry": "2027-01-01T00:00:00Z"})
    assert "no mark of" in str(refused(desk(), trade("iris", SOL, 1.0), known=Known(rows={SOL: future}, index={"SOL": 150.0})))


def test_figures_of_the_venue_are_left_out_of_a_changed_account() -> None:
    document = desk()
    account(document, "iris")["reported"] = {"maintenance_margin": 9_999.0}
    account(document, "umbra")["reported"] = {"maintenance_margin": 9_999.0}
    found = edit(document, trade("iris", ETH, 1.0))
    assert account(found.document, "iris")["reported"] == {}
    assert account(found.document, "umbra")["reported"] == {"maintenance_margin": 9_999.0}
    assert any("reported of iris are left out" in one for one in found.assumptions)


def test_a_document_that_is_none_is_not_edited() -> None:
    with pytest.raises(SnapshotError, match="as_of"):
        edited({"version": 1}, read_request({"changes": [BUY]}), uta())


def test_one_portfolio_alone_reports_what_it_does_among_others() -> None:
    document = desk()
    document["portfolios"].append({"id": "pair", "accounts": ["iris", "umbra"]})
    document["accounts"].append({"id": "other", "venue": "aster", "equity": 1.0, "balances": [{"asset": "SOL", "total": 1.0}]})
    document["index"]["SOL"] = 150.0
    pair = alone(document, "pair")
    assert [row["id"] for row in pair["instruments"]] == [BTC, ASTER]
    assert pair["index"] == {"BTC": 100_000.0}
    assert report(pair)["portfolios"] == [report(document)["portfolios"][1]]
    with pytest.raises(KeyError):
        alone(document, "none")
