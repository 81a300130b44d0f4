"""Every pool on its own under one move: who is liquidated first, what to send where, one venue gone, concentration."""

from __future__ import annotations

import math
import random
from copy import deepcopy
from typing import Any

import pytest

from monitor.margin.portfolio import PortfolioResult, portfolio_result
from monitor.margin.result import Level
from monitor.margin.venue_view import PoolCurve, VenueView, concentration, move_grid, venue_out, venue_view
from monitor.stress.load import book_of
from tests.kernels.stress_books import CUTS, REFERENCE, number, parameters_of
from tests.monitor.margin.documents import BTC, HYPE, INSTRUMENTS, account, collateral, document, held, listed, moved, parsed, pool
from tests.reference import margin_model
from tests.reference.books import Document, random_document
from tests.reference.equity import movable
from tests.reference.market import Market
from tests.reference.snapshot import parse


def view(source: Document, **more: Any) -> VenueView:
    return venue_view(parsed(source), "p", **more)


def by_pool(found: VenueView) -> dict[tuple[str, str], PoolCurve]:
    return {(curve.account, curve.pool): curve for curve in found.pools}


def reasons(found: VenueView | PoolCurve | PortfolioResult) -> list[str]:
    return sorted({str(failure.reason) for failure in found.failures})


LONG = account("hl", pools=[pool("main", -80_000.0, "BTC")], positions=[held("BTC", 1.0)])
SHORT = account("as", None, "aster", equity=30_000.0, positions=[held("aster:BTCUSDT", -1.0)])


# -- curves and deaths ---------------------------------------------------------------------------------------------------------


def test_a_hedge_on_two_venues_dies_on_both_sides() -> None:
    found = view(document(LONG, SHORT), moves=(-0.1, 0.0, 0.1))
    assert [(curve.venue, curve.account, curve.pool, curve.assumed) for curve in found.pools] == [
        ("aster", "as", "account", True),
        ("hyperliquid", "hl", "main", False),
    ]
    short, long = found.pools
    assert long.ratio == pytest.approx(1_250.0 / 20_000.0)
    assert long.ratios == pytest.approx([0.0125 * 9e4 / 1e4, 1_250.0 / 2e4, 0.0125 * 1.1e5 / 3e4])
    assert short.ratios == pytest.approx([0.004 * 9e4 / 4e4, 400.0 / 3e4, 0.004 * 1.1e5 / 2e4])
    # 1e5 (1 + x) - 80,000 = 1,250 (1 + x), and 30,000 - 1e5 x = 400 (1 + x)
    assert found.first_down == (1, long.down)
    assert found.first_up == (0, short.up)
    assert long.down == pytest.approx(80_000.0 / 98_750.0 - 1, rel=1e-7)
    assert short.up == pytest.approx(29_600.0 / 100_400.0, rel=1e-7)
    assert (long.up, short.down) == (None, None)
    assert (found.coin, found.portfolio, found.failures) == ("all", "p", ())


PORTFOLIO_MARGIN = account(
    "pm",
    "portfolio_margin",
    pools=[pool("portfolio", 20_000.0, "HYPE", "ETH", collateral=[collateral("HYPE", 500.0, HYPE, 0.825)], limit=0.95)],
    positions=[held("HYPE", -400.0), held("ETH", 5.0)],
)
SPOT = account(
    "spot",
    None,
    "aster",
    equity=None,
    balances=[{"asset": "USDT", "total": 9_000.0}, {"asset": "BTC", "total": 0.1, "collateral_ratio": 0.9}],
    debts=[{"asset": "ETH", "amount": 1.0}, {"asset": "USDT", "amount": 150.0}, {"asset": "USDC", "amount": -50.0}],
    positions=[held("aster:BTCUSDT", 0.5, entry=95_000.0), held("aster:ETHUSDT", -20.0, entry=3_900.0)],
)
DESK = document(LONG, SHORT, PORTFOLIO_MARGIN, SPOT, fx={"USDC": 1.0, "USDT": 0.98}, beta={"ETH": 1.3, "HYPE": 1.7})


@pytest.mark.parametrize("coin", ["all", "BTC", "ETH"])
def test_the_ratio_after_a_move_is_that_of_the_moved_document(coin: str) -> None:
    moves = (-0.3, -0.05, 0.0, 0.02, 0.4)
    found = view(DESK, moves=moves, coin=coin)
    betas = {"BTC": 1.0, "ETH": 1.3, "HYPE": 1.7}
    for number_of, move in enumerate(moves):
        factors = {name: 1 + move * beta for name, beta in betas.items()} if coin == "all" else {coin: 1 + move}
        # a given equity is that of the moment: it moves with what the account holds
        there = moved(DESK, factors)
        there["accounts"][1]["equity"] += -BTC * 0.98 * (factors.get("BTC", 1.0) - 1)
        expected = by_pool(view(there, moves=()))
        for name, curve in by_pool(found).items():
            assert curve.ratios[number_of] == pytest.approx(number(expected[name].ratio), rel=1e-12), (name, move)


def test_at_its_death_a_pool_has_ratio_one_and_no_other_died_before() -> None:
    found = view(DESK)
    assert found.first_down is not None
    assert found.first_up is not None
    for side, (first, move) in (("down", found.first_down), ("up", found.first_up)):
        curve = found.pools[first]
        assert getattr(curve, side) == move
        ratios = [pool_there.ratios[0] for pool_there in view(DESK, moves=(move,)).pools]
        assert ratios[first] == pytest.approx(1.0, rel=1e-6)
        assert max(ratios) == ratios[first]
        others = [abs(getattr(one, side)) for one in found.pools if getattr(one, side) is not None]
        assert abs(move) == min(others)


@pytest.mark.parametrize(("equity", "ratio"), [(0.0, math.inf), (1_000.0, 1.25)])
def test_a_pool_that_is_dead_already_dies_first_at_once(equity: float, ratio: float) -> None:
    dead = account("dead", pools=[pool("main", equity - 1e5, "BTC")], positions=[held("BTC", 1.0)])
    found = view(document(LONG, dead))
    assert (found.pools[0].account, found.pools[0].ratio) == ("dead", ratio)
    assert found.first_down == found.first_up == (0, 0.0)


def test_one_venue_and_a_coin_that_nobody_holds() -> None:
    found = view(document(LONG), coin="HYPE")
    assert (found.first_down, found.first_up) == (None, None)
    assert set(found.pools[0].ratios) == {found.pools[0].ratio}
    assert [transfer.usd for transfer in found.transfers] == [0.0]
    assert found.common_ratio == pytest.approx(found.pools[0].ratio)


def test_only_the_portfolios_own_accounts() -> None:
    source = document(LONG, SHORT)
    source["portfolios"] = [{"id": "p", "accounts": ["hl"]}, {"id": "q", "accounts": ["as"]}]
    assert [curve.account for curve in view(source).pools] == ["hl"]
    with pytest.raises(KeyError):
        venue_view(parsed(source), "nobody")


def test_the_grid_reaches_half_both_ways_and_takes_the_portfolios_nodes() -> None:
    grid = move_grid()
    assert (grid[0], grid[-1], len(grid)) == (-0.5, 0.5, 41)
    assert 0.0 in grid
    snapshot = parsed(document(LONG, SHORT, overrides={"BTC": {"price_range": 0.13}}))
    result = portfolio_result(book_of(snapshot, parameters_of(snapshot, "uta"), CUTS), "p")
    whole = move_grid(result)
    assert {0.13, -0.13, *grid} <= set(whole)
    assert list(whole) == sorted(whole)
    assert view(document(LONG, SHORT)).moves == grid


# -- accounts without pools ----------------------------------------------------------------------------------------------------


def test_a_computed_equity_is_the_references() -> None:
    found = by_pool(view(DESK))["spot", "account"]
    book = parse(DESK)
    equity = movable(book.accounts["spot"], Market(book), margin_model.UTA)
    margin = 0.98 * (0.5 * BTC * 0.004 + 20.0 * 4_000.0 * 0.005)
    assert found.ratio == pytest.approx(margin / equity, rel=1e-12)
    assert found.asset == "USD"
    source = deepcopy(DESK)
    source["accounts"][3]["equity"] = equity
    given = by_pool(view(source))["spot", "account"]
    assert given.ratios == pytest.approx(found.ratios, rel=1e-12)


def test_a_coin_without_a_price_under_a_given_equity_only_lacks_its_moves() -> None:
    dust = SHORT | {"balances": [{"asset": "DUST", "total": 5.0, "collateral_ratio": 0.9}]}
    assert by_pool(view(document(dust)))["as", "account"].ratios == by_pool(view(document(SHORT)))["as", "account"].ratios
    computed = dust | {"equity": None, "positions": []}
    assert reasons(view(document(computed)).pools[0]) == ["MISSING_INDEX"]


@pytest.mark.parametrize(
    ("changed", "more", "expected"),
    [
        ({"positions": [held("aster:BARE", 1.0)]}, {}, "UNKNOWN_TIER"),
        ({"positions": [held("aster:NOMARK", 1.0)]}, {}, "MISSING_MARK"),
        ({"positions": [held("aster:INVERSE", 1.0)]}, {}, "UNSUPPORTED_MODE"),
        ({}, {"fx": {"USDC": 1.0}}, "MISSING_FX"),
        ({"equity": None}, {}, "MISSING_ENTRY"),
    ],
)
def test_what_an_assumed_pool_lacks(changed: Document, more: Document, expected: str) -> None:
    extra = (
        listed("aster:BARE", "BTC", BTC, settle="USDT", tiers=[]),
        listed("aster:NOMARK", "BTC", None, settle="USDT"),
        listed("aster:INVERSE", "BTC", BTC, settle="BTC", inverse=True),
    )
    found = view(document(LONG, SHORT | changed, instruments=(*INSTRUMENTS, *extra), **more))
    failed, alive = found.pools
    assert reasons(failed) == [expected]
    assert (failed.ratio, failed.ratios, failed.down, failed.up) == (None, (), None, None)
    assert alive.ratio == pytest.approx(1_250.0 / 20_000.0)
    assert found.first_down == (1, alive.down), "what is known is still shown"
    assert (found.transfers, found.common_ratio) == ((), None), "and nothing is sent on half of the picture"
    assert expected in reasons(found)


def test_what_settles_in_its_coin_or_another_needs_no_fx() -> None:
    extra = (listed("aster:OWN", "BTC", BTC, 0.01, settle="BTC"), listed("aster:CROSSED", "ETH", 0.04, 0.01, settle="BTC"))
    for name, expected in (("aster:OWN", 0.01 * BTC), ("aster:CROSSED", 0.01 * 0.04 * BTC)):
        (curve,) = view(document(SHORT | {"positions": [held(name, -1.0)]}, instruments=(*INSTRUMENTS, *extra))).pools
        assert curve.ratio == pytest.approx(expected / 30_000.0)
    missing = {"index": {"ETH": 4_000.0}}
    (curve,) = view(document(SHORT | {"positions": [held("aster:CROSSED", -1.0)]}, instruments=(*INSTRUMENTS, *extra), **missing)).pools
    assert reasons(curve) == ["MISSING_FX"]


def test_a_pool_margined_in_a_coin_is_worth_its_index() -> None:
    coin = account("coin", None, "aster", pools=[pool("BTC", 0.5, asset="BTC")])
    found = view(document(LONG, coin))
    assert found.failures == ()
    (given, taken) = sorted(found.transfers, key=lambda transfer: transfer.usd)
    assert (given.account, given.asset) == ("coin", "BTC")
    assert [given.usd, given.amount] == pytest.approx([-0.5 * BTC, -0.5])
    assert taken.usd == pytest.approx(0.5 * BTC)


def test_spot_and_closed_positions_are_no_legs() -> None:
    spot = listed("aster:spot:BTC", "BTC", BTC, tiers=[]) | {"kind": "spot"}
    rows = [held("aster:BTCUSDT", -1.0), held("aster:spot:BTC", 1.0), held("aster:ETHUSDT", 0.0)]
    found = view(document(SHORT | {"positions": rows}, instruments=(*INSTRUMENTS, spot)))
    assert found.pools[0].ratio == pytest.approx(400.0 / 30_000.0)


def test_without_any_equity_told_an_empty_account_is_at_zero() -> None:
    (curve,) = view(document(account("empty", None, "aster"))).pools
    assert (curve.ratio, curve.down, curve.up) == (0.0, None, None)


def test_pools_of_a_venue_without_a_rule_are_taken_as_described() -> None:
    rows = [pool("USDT", 130_000.0, asset="USDT", positions=["aster:BTCUSDT"])]
    for venue, assumed in (("elsewhere", True), ("aster", False)):
        (curve,) = view(document(SHORT | {"venue": venue, "equity": None, "pools": rows})).pools
        assert (curve.pool, curve.asset, curve.assumed) == ("USDT", "USDT", assumed)
        assert curve.ratio == pytest.approx(400.0 / 30_000.0)


# -- transfers -----------------------------------------------------------------------------------------------------------------


def sent(source: Document, found: VenueView) -> Document:
    """The document once the transfers have arrived."""
    after = deepcopy(source)
    rows = {row["id"]: row for row in after["accounts"]}
    for transfer in found.transfers:
        row = rows[transfer.account]
        if row.get("pools"):
            next(one for one in row["pools"] if one["id"] == transfer.pool)["cash"] += transfer.amount
        elif row.get("equity") is not None:
            row["equity"] += transfer.usd
        else:
            row["balances"].append({"asset": "USD", "total": transfer.usd})
    return after


def test_two_pools_by_hand() -> None:
    found = view(document(LONG, SHORT, fx={"USDC": 0.5, "USDT": 1.0}))
    # 10,000 and 30,000 USD of equity, 625 and 400 USD of margin
    assert found.common_ratio == pytest.approx(1_025.0 / 40_000.0)
    short, long = found.transfers
    assert (short.account, short.asset, long.account, long.asset) == ("as", "USD", "hl", "USDC")
    assert long.usd == pytest.approx(625.0 * 40_000.0 / 1_025.0 - 10_000.0)
    assert long.amount == pytest.approx(2 * long.usd), "in a token that is worth half"
    assert short.usd == pytest.approx(-long.usd)


LENT = PORTFOLIO_MARGIN["pools"][0]["collateral"]
WEAK = account("weak", "portfolio_margin", pools=[pool("portfolio", 99_000.0, "BTC", collateral=LENT)], positions=[held("BTC", -1.0)])


@pytest.mark.parametrize("accounts", [(LONG, SHORT, PORTFOLIO_MARGIN, SPOT), (WEAK, SHORT), (WEAK, LONG), (PORTFOLIO_MARGIN, WEAK)])
def test_once_the_transfers_have_arrived_all_ratios_are_the_same(accounts: tuple[Document, ...]) -> None:
    source = document(*accounts, fx={"USDC": 0.99, "USDT": 0.98})
    found = view(source)
    ratio = number(found.common_ratio)
    assert sum(transfer.usd for transfer in found.transfers) == pytest.approx(0.0, abs=1e-6)
    after = view(sent(source, found))
    assert [curve.ratio for curve in after.pools] == pytest.approx([ratio] * len(after.pools), rel=1e-6)
    before = {curve.account: number(curve.ratio) for curve in found.pools}
    for transfer in found.transfers:
        assert (transfer.usd > 0) == (before[transfer.account] > ratio), "from the healthier to the weaker"


def test_where_the_venue_sees_less_the_worse_figure_is_equalised() -> None:
    doubted = LONG | {"reported": {"main equity": 15_000.0}}
    source = document(doubted, SHORT)
    found = view(source)
    assert found.common_ratio == pytest.approx(1_650.0 / 45_000.0)
    assert {transfer.account: transfer.usd for transfer in found.transfers}["hl"] == pytest.approx(
        1_250.0 / (1_650.0 / 45_000.0) - 15_000.0
    )


def test_a_limit_of_its_own_is_part_of_the_ratio() -> None:
    strict = account("strict", None, "aster", pools=[pool("USDT", 130_000.0, asset="USDT", positions=["aster:BTCUSDT"], limit=0.5)])
    strict["positions"] = [held("aster:BTCUSDT", -1.0)]
    found = view(document(LONG, strict))
    # 400 against half of 30,000, and 1,250 against 20,000
    assert [curve.ratio for curve in found.pools] == pytest.approx([400.0 / 15_000.0, 1_250.0 / 20_000.0])
    assert found.common_ratio == pytest.approx((800.0 + 1_250.0) / 50_000.0)


def test_an_idle_pool_gives_what_it_has_and_one_in_debt_nothing() -> None:
    idle = account("idle", pools=[pool("main", 7_000.0), pool("xyz", -50.0)])
    found = view(document(LONG, idle))
    amounts = {(transfer.account, transfer.pool): transfer.usd for transfer in found.transfers}
    assert amounts == pytest.approx({("hl", "main"): 7_000.0, ("idle", "main"): -7_000.0, ("idle", "xyz"): 0.0}, abs=1e-6)
    assert found.common_ratio == pytest.approx(1_250.0 / 27_000.0)
    coins = account("coins", None, "aster", equity=9_000.0, balances=[{"asset": "BTC", "total": 0.1, "collateral_ratio": 0.9}])
    assert {transfer.account: transfer.usd for transfer in view(document(LONG, coins)).transfers} == pytest.approx(
        {"hl": 9_000.0, "coins": -9_000.0}
    )


def test_there_may_be_too_little_in_all_of_them() -> None:
    poor = document(LONG, SHORT | {"equity": -19_000.0})
    found = view(poor)
    assert number(found.common_ratio) == pytest.approx(1_650.0 / 1_000.0), "above 1.0: new money is needed"
    bankrupt = view(document(LONG, SHORT | {"equity": -25_000.0}))
    assert (bankrupt.common_ratio, bankrupt.transfers) == (math.inf, ())
    assert bankrupt.failures == ()


def test_without_margin_there_is_nothing_to_send() -> None:
    found = view(document(account("one", pools=[pool("main", 5.0)]), account("two", None, "aster", equity=9.0)))
    assert (found.common_ratio, [transfer.usd for transfer in found.transfers]) == (0.0, [0.0, 0.0])


def test_a_token_without_a_price_has_ratios_but_no_transfers() -> None:
    found = view(document(LONG, SHORT, fx={"USDT": 1.0}))
    assert all(curve.ratio is not None for curve in found.pools)
    assert (found.transfers, found.common_ratio, reasons(found)) == ((), None, ["MISSING_FX"])
    assert "USDC" in found.failures[0].detail


# -- one venue gone ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["uta", "house"])
@pytest.mark.parametrize("seed", range(6))
def test_the_rest_is_what_the_reference_says(seed: int, name: str) -> None:
    source = random_document(random.Random(seed), text=False)
    snapshot = parsed(source)
    for venue in {row["venue"] for row in source["accounts"]}:
        rest = margin_model.venue_out(source, venue)
        for portfolio in snapshot.portfolios:
            found = venue_out(snapshot, parameters_of(snapshot, name), portfolio.id, venue)
            left = next(row for row in rest["portfolios"] if row["id"] == portfolio.id)
            if not left["accounts"]:
                assert (found.margin_ratio, reasons(found)) == (None, ["MISSING_ACCOUNT"])
                continue
            expected = margin_model.evaluate(rest | {"portfolios": [left]}, REFERENCE[name])[portfolio.id]
            assert found.maintenance_margin == pytest.approx(expected["maintenance_margin"], rel=1e-9, abs=1e-6)
            assert found.equity == pytest.approx(expected["equity"], rel=1e-9, abs=1e-6)
            assert found.margin_ratio == pytest.approx(expected["margin_ratio"], rel=1e-9)


def test_a_venue_that_is_not_there_leaves_everything() -> None:
    snapshot = parsed(document(LONG | {"equity": 20_000.0}, SHORT))
    parameters = parameters_of(snapshot, "uta")
    whole = portfolio_result(book_of(snapshot, parameters, CUTS), "p")
    assert venue_out(snapshot, parameters, "p", "deribit").maintenance_margin == whole.maintenance_margin
    naked = venue_out(snapshot, parameters, "p", "aster")
    assert number(naked.maintenance_margin) > 5 * number(whole.maintenance_margin), "the hedge is gone"
    with pytest.raises(KeyError):
        venue_out(snapshot, parameters, "nobody", "aster")


def test_the_only_venue_gone_leaves_a_failure() -> None:
    snapshot = parsed(document(LONG))
    found = venue_out(snapshot, parameters_of(snapshot, "uta"), "p", "hyperliquid")
    assert (found.level, found.maintenance_margin, reasons(found)) == (Level.OK, None, ["MISSING_ACCOUNT"])


# -- concentration -------------------------------------------------------------------------------------------------------------


def concentrated(**more: Any) -> tuple[PortfolioResult, Document]:
    rows = [
        account("one", equity=1e6, positions=[held("BTC", 1.0), held("HYPE", 600.0)]),
        account("two", None, "aster", equity=1e6, positions=[held("aster:BTCUSDT", 2.0)]),
    ]
    source = document(*rows, **more)
    snapshot = parsed(source)
    return portfolio_result(book_of(snapshot, parameters_of(snapshot, "uta"), CUTS), "p"), source


def test_the_largest_coins_share_and_the_days_of_volume() -> None:
    volumes = {"hyperliquid:BTC": 1e9, "aster:BTCUSDT": 0.0}
    result, source = concentrated(volume_24h_usd=volumes)
    found = concentration(result, parsed(source))
    units = {unit.coin: unit for unit in result.units}
    # without offsets between coins a unit's margin is its own
    total = sum(unit.maintenance_margin for unit in units.values())
    assert total == pytest.approx(number(result.maintenance_margin))
    assert found.coin == "BTC"
    assert found.share == pytest.approx(units["BTC"].maintenance_margin / total)
    assert found.days == {"hyperliquid:BTC": 1e5 / 1e9, "hyperliquid:HYPE": None, "aster:BTCUSDT": math.inf}


def test_accounts_add_up_in_the_volume_of_an_instrument() -> None:
    rows = [account(name, equity=1e6, positions=[held("BTC", quantity)]) for name, quantity in (("one", 1.0), ("two", -3.0))]
    snapshot = parsed(document(*rows, volume_24h_usd={"hyperliquid:BTC": 1e6}))
    result = portfolio_result(book_of(snapshot, parameters_of(snapshot, "uta"), CUTS), "p")
    assert concentration(result, snapshot).days == {"hyperliquid:BTC": pytest.approx(0.4)}


def test_with_offsets_between_coins_the_shares_still_sum_to_one() -> None:
    # other shares of loss and of charges
    rows = [account("one", equity=1e6, positions=[held("BTC", 1.0), held("HYPE", -600.0)])]
    snapshot = parsed(document(*rows))
    result = portfolio_result(book_of(snapshot, parameters_of(snapshot, "house"), CUTS), "p")
    assert number(result.loss_shift) < number(result.loss_sum)
    found = concentration(result, snapshot)
    scale = number(result.loss_shift) / number(result.loss_sum)
    btc, hype = (scale * unit.max_loss + sum(unit.contingency.values()) for unit in sorted(result.units, key=lambda unit: unit.coin))
    assert found.coin == "BTC"
    assert found.share == pytest.approx(btc / (btc + hype))
    assert btc + hype == pytest.approx(number(result.maintenance_margin) - number(result.liquidity) - number(result.buffer))


def test_a_portfolio_without_margin_or_value_has_no_share() -> None:
    empty = parsed(document(account("one", equity=1e6)))
    result = portfolio_result(book_of(empty, parameters_of(empty, "uta"), CUTS), "p")
    assert concentration(result, empty) == concentration(PortfolioResult("p", "portfolio", Level.OK), empty)
    assert concentration(result, empty).coin is None
    failed, source = concentrated(index={"BTC": BTC}, volume_24h_usd={"hyperliquid:BTC": 1e9})
    found = concentration(failed, parsed(source))
    assert (found.coin, found.share, found.days["hyperliquid:BTC"]) == (None, None, 1e-4)
