"""The account objects the simulated venue sends obey the field algebra of the recorded ones, through a whole scenario."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.simulator.hyperliquid import HyperliquidVenue, demo_desk
from connectors.simulator.hyperliquid_desk import ADDRESSES

DEXS = ("", "xyz", "hyna")
TABLES = {56: ((0, 40), (150e6, 20)), 55: ((0, 25), (100e6, 15)), 54: ((0, 20), (70e6, 10)), 53: ((0, 20), (40e6, 10)),
          52: ((0, 10), (20e6, 5)), 51: ((0, 10), (3e6, 5))}  # fmt: skip


def ask(venue: HyperliquidVenue, **query: Any) -> Any:
    status, _, body = venue.info(json.dumps(query).encode())
    assert status == 200
    return json.loads(body)


def maintenance(notional: float, table: int) -> float:
    """Marginal form, unlike the simulator's deductions: each slice of notional at its own tier's rate."""
    tiers = TABLES.get(table, ((0, table),))
    total = 0.0
    for (low, leverage), high in zip(tiers, [*(t[0] for t in tiers[1:]), float("inf")], strict=True):
        total += max(0.0, min(notional, high) - low) / (2 * leverage)
    return total


def moments(scenario: str) -> Iterator[HyperliquidVenue]:
    market, venue = demo_desk(30.0, scenario=scenario, seed=11, funding_interval_s=4.0)
    venue.rest._limit = 10**9
    for step in range(330):
        venue.advance(0.1)
        if step % 10 == 0 or 130 < step < 200:
            yield venue
    assert market.progress > 1.0


@pytest.fixture(scope="module", params=["crash", "squeeze"])
def states(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """Every account's objects at many moments, with the venue's metas and contexts of the same moment."""
    found = []
    for venue in moments(request.param):
        shared = {
            "metas": dict(zip(DEXS, ask(venue, type="allPerpMetas"), strict=True)),
            "contexts": {dex: ask(venue, type="metaAndAssetCtxs", dex=dex)[1] for dex in DEXS},
            "reserves": {token: row for token, row in ask(venue, type="allBorrowLendReserveStates")},
        }
        for name, address in ADDRESSES.items():
            perps = {dex: ask(venue, type="clearinghouseState", user=address, dex=dex) for dex in DEXS}
            orders = {dex: ask(venue, type="openOrders", user=address, dex=dex) for dex in DEXS}
            spot = ask(venue, type="spotClearinghouseState", user=address)
            found.append(shared | {"name": name, "perps": perps, "spot": spot, "orders": orders, "figures": venue.figures(address)})
    return found


def positions(state: dict[str, Any]) -> list[dict[str, Any]]:
    return [row["position"] for row in state["assetPositions"]]


def universe(moment: dict[str, Any], dex: str) -> dict[str, dict[str, Any]]:
    rows = zip(moment["metas"][dex]["universe"], moment["contexts"][dex], strict=True)
    return {row["name"]: row | context for row, context in rows}


def test_position_fields(states: list[dict[str, Any]]) -> None:
    for moment in states:
        for dex, state in moment["perps"].items():
            for p in positions(state):
                size, value = float(p["szi"]), float(p["positionValue"])
                row = universe(moment, dex)[p["coin"]]
                assert value == pytest.approx(abs(size) * float(row["markPx"]), rel=1e-12)
                entry_tick = 10.0 ** (row["szDecimals"] - 6)
                profit = size * (float(row["markPx"]) - float(p["entryPx"]))
                assert float(p["unrealizedPnl"]) == pytest.approx(profit, abs=abs(size) * entry_tick + 1e-6)
                if p["leverage"]["type"] == "cross":
                    assert float(p["marginUsed"]) == pytest.approx(value / p["leverage"]["value"], rel=1e-9)
                else:
                    equity = float(p["leverage"]["rawUsd"]) + size * float(row["markPx"])
                    assert float(p["marginUsed"]) == pytest.approx(equity, abs=1e-6)


def test_summaries(states: list[dict[str, Any]]) -> None:
    for moment in states:
        for dex, state in moment["perps"].items():
            for key, kinds in (("crossMarginSummary", {"cross"}), ("marginSummary", {"cross", "isolated"})):
                mine = [p for p in positions(state) if p["leverage"]["type"] in kinds]
                summary = {field: float(value) for field, value in state[key].items()}
                signed = sum(float(p["positionValue"]) * (1 if float(p["szi"]) > 0 else -1) for p in mine)
                assert summary["accountValue"] == pytest.approx(summary["totalRawUsd"] + signed, abs=1e-5)
                assert summary["totalNtlPos"] == pytest.approx(sum(float(p["positionValue"]) for p in mine), abs=1e-5)
                assert summary["totalMarginUsed"] == pytest.approx(sum(float(p["marginUsed"]) for p in mine), abs=1e-5)
            expected = sum(
                maintenance(float(p["positionValue"]), universe(moment, dex)[p["coin"]]["marginTableId"])
                for p in positions(state)
                if p["leverage"]["type"] == "cross"
            )
            assert float(state["crossMaintenanceMarginUsed"]) == pytest.approx(expected, abs=1e-6)


def test_standard_withdrawable_and_figures(states: list[dict[str, Any]]) -> None:
    checked = 0
    for moment in states:
        if moment["name"] not in ("atlas", "boreas", "electra", "fornax", "gemini", "helios"):
            continue
        assert "tokenToAvailableAfterMaintenance" not in moment["spot"]
        for dex, state in moment["perps"].items():
            held = {p["coin"]: p for p in positions(state)}
            reserved: dict[tuple[str, str], float] = {}
            for order in moment["orders"][dex]:
                leverage = held[order["coin"]]["leverage"]["value"] if order["coin"] in held else 40
                side = (order["coin"], order["side"])
                reserved[side] = reserved.get(side, 0.0) + float(order["limitPx"]) * float(order["sz"]) / leverage
            coins = {coin for coin, _ in reserved}
            increasing = 0.0
            for coin in coins:
                sides = [s for s in "BA" if coin not in held or (s == "B") == (float(held[coin]["szi"]) > 0)]
                increasing += max(reserved.get((coin, s), 0.0) for s in sides)
            cross = state["crossMarginSummary"]
            need = max(float(cross["totalMarginUsed"]), 0.1 * float(cross["totalNtlPos"]))
            free = max(0.0, float(cross["accountValue"]) - need - increasing)
            assert float(state["withdrawable"]) == pytest.approx(free, abs=1e-5)
            pool = moment["figures"].get(dex or "main")
            if pool is not None:
                checked += 1
                assert pool.equity == pytest.approx(float(cross["accountValue"]), abs=1e-6)
                assert pool.maintenance == pytest.approx(float(state["crossMaintenanceMarginUsed"]), abs=1e-6)
    assert checked > 500


def test_unified_available_identity(states: list[dict[str, Any]]) -> None:
    for moment in (m for m in states if m["name"] == "cygnus"):
        for token, dexs in ((0, ("", "xyz")), (235, ("hyna",))):
            row = next(r for r in moment["spot"]["balances"] if r["token"] == token)
            total, hold = float(row["total"]), float(row["hold"])
            used = sum(float(moment["perps"][d]["crossMaintenanceMarginUsed"]) for d in dexs)
            iso = sum(float(p["marginUsed"]) for d in dexs for p in positions(moment["perps"][d]) if p["leverage"]["type"] == "isolated")
            available = float(dict(moment["spot"]["tokenToAvailableAfterMaintenance"])[token])
            assert available == pytest.approx(total - used - iso, abs=1e-6)
            assert hold == pytest.approx(sum(float(moment["perps"][d]["marginSummary"]["accountValue"]) for d in dexs), abs=1e-6)
            pool = moment["figures"].get("USDC" if token == 0 else "USDE")
            assert pool is not None
            assert pool.equity == pytest.approx(total - iso, abs=1e-6)
            assert pool.maintenance == pytest.approx(used, abs=1e-6)


def test_portfolio_margin_identities(states: list[dict[str, Any]]) -> None:
    for moment in (m for m in states if m["name"] == "delphi"):
        spot, rows = moment["spot"], {row["token"]: row for row in moment["spot"]["balances"]}
        net = float(rows[0]["total"])
        used = sum(float(moment["perps"][d]["crossMaintenanceMarginUsed"]) for d in ("", "xyz"))
        collateral = power = 0.0
        for token, row in rows.items():
            if float(row.get("ltv", "0")) > 0 and "supplied" in row:
                price = float(moment["reserves"][token]["oraclePx"])
                collateral += float(row["supplied"]) * price * (0.5 + 0.5 * float(row["ltv"]))
                power += (float(row["total"]) - float(row["hold"])) * price * float(row["ltv"])
        borrowed = max(0.0, used - net)
        requirement = used + borrowed + (20.0 if borrowed else 0.0)
        ratio = requirement / (net + borrowed + collateral)
        assert float(spot["portfolioMarginRatio"]) == pytest.approx(ratio, abs=1e-9)
        available = float(dict(spot["tokenToAvailableAfterMaintenance"])[0])
        assert available == pytest.approx(net + collateral - used, abs=1e-5)
        assert float(rows[0]["hold"]) == pytest.approx(float(rows[0]["spotHold"]) - power, abs=1e-5)
        parked = sum(float(moment["perps"][d]["marginSummary"]["accountValue"]) for d in ("", "xyz"))
        assert float(rows[0]["borrowed"]) == pytest.approx(parked - net, abs=1e-5)
        pool = moment["figures"]["portfolio"]
        assert pool.raw_ratio == pytest.approx(ratio)
        assert pool.ratio == pytest.approx(ratio / 0.95)
        assert (pool.equity, pool.maintenance) == pytest.approx((net + borrowed + collateral, requirement))


def test_liquidation_prices(states: list[dict[str, Any]]) -> None:
    """Documented closed form, in the tier the position is in (no demo position is near another)."""
    for moment in states:
        spot = dict(moment["spot"].get("tokenToAvailableAfterMaintenance", []))
        for dex, state in moment["perps"].items():
            for p in positions(state):
                size, mark = float(p["szi"]), float(universe(moment, dex)[p["coin"]]["markPx"])
                rate, side = 1.0 / (2 * p["maxLeverage"]), 1.0 if size > 0 else -1.0
                if p["leverage"]["type"] == "isolated":
                    available = float(p["marginUsed"]) - abs(size) * mark * rate
                elif spot:
                    available = float(spot[moment["metas"][dex]["collateralToken"]])
                else:
                    available = float(state["crossMarginSummary"]["accountValue"]) - float(state["crossMaintenanceMarginUsed"])
                expected = mark - side * available / abs(size) / (1.0 - rate * side)
                if p["liquidationPx"] is None:
                    assert expected <= 1e-9
                else:
                    assert float(p["liquidationPx"]) == pytest.approx(expected, rel=1e-6, abs=1e-9)
