"""One Hyperliquid account in its three modes, made of one document; where an input is missing the mode says which."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.simulator.hyperliquid import ADDRESSES
from monitor.margin.hyperliquid import HyperliquidRules
from monitor.margin.modes import hyperliquid_modes
from monitor.margin.result import Failure, PoolKind, PoolResult
from monitor.margin.saved import saved_accounts
from monitor.snapshot import parse_snapshot
from tests.kernels.stress_books import number
from tests.monitor.loopback_venue import standing_venue
from tests.monitor.margin.documents import BTC, HYPE, INSTRUMENTS, account, collateral, document, held, listed, parsed, pool
from tests.monitor.test_saved_account import taken
from tests.reference.books import Document

Found = tuple[PoolResult, ...] | Failure
STANDARD, UNIFIED, PORTFOLIO = "standard", "unified", "portfolio_margin"


def modes(source: Document, **more: Any) -> dict[str, Found]:
    return hyperliquid_modes(parsed(source), "maker", **more)


def pools(found: Found) -> dict[str, PoolResult]:
    assert not isinstance(found, Failure), found
    return {result.pool: result for result in found}


def failure(found: Found) -> Failure:
    assert isinstance(found, Failure)
    return found


def standard(*, balances: tuple[Document, ...] = (), **more: Any) -> Document:
    """1 BTC short on the first dex and 10 GOLD long on xyz, with 20,000 and 5,000 USDC of equity, and 1 ETH isolated."""
    rows = [pool("main", 120_000.0, "BTC"), pool("xyz", -35_000.0, "xyz:GOLD"), pool("iso:ETH", 4_500.0, "ETH")]
    positions = [held("BTC", -1.0), held("xyz:GOLD", 10.0), held("ETH", -1.0)]
    return document(account(mode=STANDARD, pools=rows, positions=positions, balances=list(balances)), **more)


LENT = {"asset": "HYPE", "total": 200.0, "collateral_ratio": 0.825}


# -- from standard -------------------------------------------------------------------------------------------------------------


def test_a_standard_account_in_every_mode() -> None:
    found = modes(standard(balances=({"asset": "USDC", "total": 3_000.0}, LENT)))
    assert list(found) == [STANDARD, UNIFIED, PORTFOLIO]
    own = pools(found[STANDARD])
    assert {name: result.margin_ratio for name, result in own.items()} == {
        "iso:ETH": 80.0 / 500.0, "main": 1_250.0 / 20_000.0, "xyz": 1_000.0 / 5_000.0,
    }  # fmt: skip
    unified = pools(found[UNIFIED])
    assert set(unified) == {"iso:ETH", "USDC"}
    # both dexs and the spot wallet in one pool; HYPE is no margin here
    assert (unified["USDC"].equity, unified["USDC"].maintenance_margin) == (28_000.0, 2_250.0)
    whole = pools(found[PORTFOLIO])["portfolio"]
    counts = 200.0 * HYPE * 0.825
    assert number(whole.raw_ratio) == pytest.approx(2_250.0 / (28_000.0 + counts))
    assert number(whole.margin_ratio) == pytest.approx(2_250.0 / (28_000.0 + counts) / 0.95)
    assert whole.kind is PoolKind.HYPERLIQUID_PORTFOLIO_MARGIN
    assert [result.mode for found_in in found.values() for result in pools(found_in).values()] == [
        *[STANDARD] * 3, *[UNIFIED] * 2, *[PORTFOLIO] * 2,
    ]  # fmt: skip
    assert all(pools(found_in)["iso:ETH"].margin_ratio == 80.0 / 500.0 for found_in in found.values()), "isolated stands alone"


def test_a_spot_wallet_that_is_told_apart_stands_for_the_balances() -> None:
    wallet = [{"asset": "USDC", "total": 3_000.0}, LENT]
    apart = standard(balances=({"asset": "USDC", "total": 85_000.0},))
    apart["accounts"][0]["spot"] = wallet
    assert modes(apart) == modes(standard(balances=tuple(wallet)))
    apart["accounts"][0]["spot"] = []
    assert modes(apart) == modes(standard())


def test_the_constants_of_portfolio_margin_are_configuration() -> None:
    rules = HyperliquidRules(portfolio_margin_limit=0.9, min_borrow_offset=0.0)
    source = document(account(pools=[pool("main", 100_000.0, "BTC")], positions=[held("BTC", -1.0)], balances=[LENT]))
    whole = pools(modes(source, rules=rules)[PORTFOLIO])["portfolio"]
    # nothing is left of the cash: maintenance is borrowed against the HYPE, which then carries it twice
    assert number(whole.raw_ratio) == pytest.approx(2 * 1_250.0 / (1_250.0 + 200.0 * HYPE * 0.825))
    assert whole.limit == 0.9
    dearer = pools(modes(source)[PORTFOLIO])["portfolio"]
    assert number(dearer.raw_ratio) == pytest.approx((2 * 1_250.0 + 20.0) / (1_250.0 + 200.0 * HYPE * 0.825))


def test_unified_keeps_tokens_apart_and_portfolio_margin_has_no_rule_for_a_second_one() -> None:
    source = document(
        account(
            pools=[pool("main", 1e4), pool("hyna", -1e4, "hyna:SOL", asset="USDE")],
            positions=[held("hyna:SOL", 100.0)],
            balances=[{"asset": "USDE", "total": 1_000.0}],
        )
    )
    found = modes(source)
    unified = pools(found[UNIFIED])
    assert {name: (result.equity, result.asset) for name, result in unified.items()} == {
        "USDC": (1e4, "USDC"), "USDE": (6_000.0, "USDE"),
    }  # fmt: skip
    assert "USDE" in failure(found[PORTFOLIO]).detail


# -- from a pooled mode --------------------------------------------------------------------------------------------------------


def unified(*symbols: str, balances: tuple[Document, ...] = ()) -> Document:
    quantities = {"BTC": -1.0, "ETH": 10.0, "xyz:GOLD": 10.0}
    positions = [held(symbol, quantities[symbol]) for symbol in symbols]
    # the wallet's total is what the pool is worth already
    wallet = {"asset": "USDC", "total": 1e9}
    rows = [pool("USDC", 120_000.0, *symbols)]
    return document(account(mode="unifiedAccount", pools=rows, positions=positions, balances=[wallet, *balances]))


def test_a_unified_account_on_one_dex_in_every_mode() -> None:
    found = modes(unified("BTC", "ETH", balances=(LENT, {"asset": "USDT0", "total": 50.0, "collateral_ratio": 0.5})))
    equity, maintenance = 120_000.0 - BTC + 40_000.0, 1_250.0 + 800.0
    (own,) = pools(found[UNIFIED]).values()
    (whole,) = pools(found[PORTFOLIO]).values()
    (split,) = pools(found[STANDARD]).values()
    assert (own.pool, own.margin_ratio) == ("USDC", maintenance / equity)
    assert (split.pool, split.margin_ratio, split.mode) == ("main", maintenance / equity, STANDARD)
    assert whole.raw_ratio == pytest.approx(maintenance / (equity + 200.0 * HYPE * 0.825))


def test_how_cash_would_be_split_over_dexs_is_not_told() -> None:
    found = modes(unified("BTC", "xyz:GOLD"))
    missing = failure(found[STANDARD])
    assert str(missing.reason) == "UNSUPPORTED_MODE"
    assert "main, xyz" in missing.detail
    assert not isinstance(found[PORTFOLIO], Failure)


def test_a_portfolio_margin_account_in_every_mode() -> None:
    rows = [pool("portfolio", 110_000.0, "BTC", collateral=[collateral("UBTC", 0.5, BTC, 0.75)], limit=0.95)]
    balances = [{"asset": "USDC", "total": 10_000.0, "collateral_ratio": 0.5}, {"asset": "BTC", "total": 0.5, "collateral_ratio": 0.75}]
    found = modes(document(account(mode=PORTFOLIO, pools=rows, positions=[held("BTC", -1.0)], balances=balances)))
    assert number(pools(found[PORTFOLIO])["portfolio"].raw_ratio) == pytest.approx(1_250.0 / (10_000.0 + 37_500.0))
    for mode, name in ((UNIFIED, "USDC"), (STANDARD, "main")):
        (result,) = pools(found[mode]).values()
        assert (result.pool, result.equity, result.margin_ratio) == (name, 10_000.0, 0.125), "coins are no margin there"


def test_idle_tokens_are_pools_of_a_unified_account_only() -> None:
    source = document(
        account(mode=UNIFIED, pools=[pool("USDC", 120_000.0, "BTC"), pool("USDE", 9.0, asset="USDE")], positions=[held("BTC", -1.0)])
    )
    found = modes(source)
    names = {mode: list(pools(found_in)) for mode, found_in in found.items()}
    assert names == {STANDARD: ["main"], UNIFIED: ["USDC", "USDE"], PORTFOLIO: ["portfolio"]}


def test_a_flat_account() -> None:
    found = modes(document(account(mode=UNIFIED, pools=[pool("USDC", 500.0)])))
    names = {mode: list(pools(found_in)) for mode, found_in in found.items()}
    assert names == {STANDARD: ["main"], UNIFIED: ["USDC"], PORTFOLIO: ["portfolio"]}
    assert {result.margin_ratio for found_in in found.values() for result in pools(found_in).values()} == {0.0}


@pytest.mark.parametrize("name", list(ADDRESSES))
async def test_in_its_own_mode_an_account_is_what_it_is(name: str) -> None:
    async with standing_venue() as server:
        source, seen = await taken(server, ADDRESSES[name])
    snapshot = parse_snapshot(source, "saved.json")
    found = hyperliquid_modes(snapshot, snapshot.accounts[0].id)
    assert found[seen.pools[0].mode] == saved_accounts(snapshot)
    for mode in (STANDARD, UNIFIED, PORTFOLIO):
        if not isinstance(found[mode], Failure):
            assert all(result.margin_ratio is not None for result in pools(found[mode]).values()), mode


# -- collateral ----------------------------------------------------------------------------------------------------------------


def test_collateral_without_a_ratio_is_no_zero() -> None:
    found = modes(standard(balances=({"asset": "HYPE", "total": 200.0},)))
    missing = failure(found[PORTFOLIO])
    assert "HYPE" in missing.detail
    assert "collateral_ratio" in missing.detail
    assert not isinstance(found[UNIFIED], Failure)


@pytest.mark.parametrize(
    "balance",
    [
        {"asset": "HYPE", "total": 200.0, "collateral_ratio": 0.5},
        {"asset": "HYPE", "total": 200.0, "collateral_ratio": 0.0},
        {"asset": "HYPE", "total": 0.0},
        {"asset": "USDT", "total": 200.0},
        {"asset": "+92260", "total": 200.0},
    ],
)
def test_what_the_venue_lends_nothing_on_counts_nothing(balance: Document) -> None:
    with_it, without = (pools(modes(standard(balances=rows))[PORTFOLIO])["portfolio"] for rows in ((balance,), ()))
    assert with_it.margin_ratio == without.margin_ratio


def test_collateral_without_a_price() -> None:
    source = standard(balances=(LENT,), index={"BTC": BTC})
    missing = failure(modes(source)[PORTFOLIO])
    assert str(missing.reason) == "MISSING_PRICE"
    assert "HYPE" in missing.detail


# -- what cannot be told -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "reason", "remedy"),
    [
        (account(mode=UNIFIED, equity=1e6, positions=[held("BTC", 1.0)]), "NOT_READY", "verify --save"),
        (account(mode=None, pools=[pool("USDC", 1.0)]), "UNSUPPORTED_MODE", '"mode"'),
        (account(mode="magic", pools=[pool("USDC", 1.0)]), "UNSUPPORTED_MODE", '"mode"'),
    ],
)
def test_nothing_is_known_in_any_mode(row: Document, reason: str, remedy: str) -> None:
    for found in modes(document(row)).values():
        assert str(failure(found).reason) == reason
        assert remedy in failure(found).detail


def test_what_one_pool_lacks_is_shown_in_its_mode_and_fails_the_others() -> None:
    instruments = (listed("hyperliquid:BTC", "BTC", None), *INSTRUMENTS[1:])
    found = modes(standard(instruments=instruments))
    own = pools(found[STANDARD])
    assert own["main"].margin_ratio is None
    assert own["xyz"].margin_ratio == 0.2
    for mode in (UNIFIED, PORTFOLIO):
        assert str(failure(found[mode]).reason) == "MISSING_MARK"


def test_another_venue_or_account() -> None:
    source = document(account("elsewhere", venue="aster"))
    with pytest.raises(ValueError, match="aster"):
        hyperliquid_modes(parsed(source), "elsewhere")
    with pytest.raises(KeyError):
        hyperliquid_modes(parsed(source), "nobody")
