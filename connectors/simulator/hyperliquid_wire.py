"""The venue's JSON objects: states, contexts, metadata and rows, with exactly the keys and types of the recorded ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.simulator.hyperliquid_accounts import Account, Position, RestingOrder
from connectors.simulator.hyperliquid_figures import portfolio_terms
from connectors.simulator.hyperliquid_listing import MARGIN_TABLES, USDC, USDT0, Asset, Listing, SpotPair
from connectors.simulator.hyperliquid_outcomes import OutcomeBoard
from connectors.simulator.market import Market, Quote

Json = dict[str, Any]

ZERO_ADDRESS = "0x" + "0" * 40
USDC_BORROW_CAP = 50_000_000.0
USDT0_BORROW_CAP = 1_000_000.0
ABSTRACTIONS = {"standard": "default", "unified": "unifiedAccount", "portfolioMargin": "portfolioMargin"}


def num(value: float) -> str:
    """A decimal as the venue prints it: at most ten decimals, no trailing zeros but one after the point."""
    text = f"{value:.10f}".rstrip("0")
    if text.endswith("."):
        text += "0"
    return "0.0" if text == "-0.0" else text


def context(quote: Quote) -> Json:
    """A perpetual's asset context."""
    return {
        "funding": num(quote.funding),
        "openInterest": num(quote.open_interest),
        "prevDayPx": num(quote.previous_day),
        "dayNtlVlm": num(quote.day_notional),
        "premium": None if quote.premium is None else num(quote.premium),
        "oraclePx": num(quote.oracle),
        "markPx": num(quote.mark),
        "midPx": None if quote.mid is None else num(quote.mid),
        "impactPxs": None if quote.impact is None else [num(px) for px in quote.impact],
        "dayBaseVlm": num(quote.day_base),
    }


def spot_context(pair: SpotPair, market: Market) -> Json:
    """A spot pair's asset context."""
    price = num(market.spots[pair.name])
    return {
        "prevDayPx": num(pair.price),
        "dayNtlVlm": "64552049.6973299459",
        "markPx": price,
        "midPx": price,
        "circulatingSupply": "298462370.4079165459",
        "coin": pair.name,
        "totalSupply": "998882916.6303099394",
        "dayBaseVlm": "690824.1400000008",
    }


def _universe_row(asset: Asset) -> Json:
    row: Json = {"szDecimals": asset.sz_decimals, "name": asset.coin, "maxLeverage": asset.max_leverage, "marginTableId": asset.table}
    if asset.margin_mode is not None:
        row["onlyIsolated"] = True
        row["marginMode"] = asset.margin_mode
    if asset.delisted:
        row["isDelisted"] = True
    return row


def margin_table(table: int) -> Json:
    """A margin table; ids below 50 are one tier of that leverage."""
    description, tiers = ("", ((0.0, table),)) if table < 50 else MARGIN_TABLES[table]
    return {"description": description, "marginTiers": [{"lowerBound": num(b), "maxLeverage": lev} for b, lev in tiers]}


def meta(listing: Listing, dex: str) -> Json:
    """`meta` of one dex."""
    return {
        "universe": [_universe_row(asset) for asset in listing.dexs[dex].assets],
        "marginTables": [[table, margin_table(table)] for table in MARGIN_TABLES],
        "collateralToken": listing.collateral(dex),
    }


def perp_dexs(listing: Listing) -> list[Json | None]:
    """`perpDexs`: null for the first dex, then the builder dexs."""
    rows: list[Json | None] = [None]
    for dex in listing.dexs.values():
        if dex.name:
            coins = [asset.coin for asset in dex.assets]
            rows.append(
                {
                    "name": dex.name,
                    "fullName": dex.full_name,
                    "deployer": ZERO_ADDRESS,
                    "oracleUpdater": None,
                    "feeRecipient": None,
                    "assetToStreamingOiCap": [[coin, "100000000.0"] for coin in coins],
                    "subDeployers": [],
                    "deployerFeeScale": "1.0",
                    "lastDeployerFeeScaleChangeTime": "1970-01-01T00:00:00",
                    "assetToFundingMultiplier": [[coin, "1.0"] for coin in coins],
                    "assetToFundingInterestRate": [],
                }
            )
    return rows


def spot_meta(listing: Listing) -> Json:
    """`spotMeta`: tokens and pairs; array positions are not the indices."""
    tokens = [
        {
            "name": t.name,
            "szDecimals": t.sz_decimals,
            "weiDecimals": t.wei_decimals,
            "index": t.index,
            "tokenId": f"0x{t.index:032x}",
            "isCanonical": t.index < 2,
            "evmContract": None,
            "fullName": None,
            "deployerTradingFeeShare": "0.0",
        }
        for t in listing.tokens.values()
    ]
    universe = [{"tokens": [p.base, USDC], "name": p.name, "index": p.index, "isCanonical": p.index == 0} for p in listing.pairs.values()]
    return {"universe": universe, "tokens": tokens}


def mids(market: Market, board: OutcomeBoard, dex: str) -> dict[str, str]:
    """`allMids`: the live perpetuals of a dex, and with the first the spot pairs and the sides of outcomes."""
    found = {a.coin: num(market.mid(a.coin)) for a in market.listing.dexs[dex].assets if not a.delisted}
    if not dex:
        found |= {name: num(price) for name, price in (market.spots | board.mids()).items()}
    return found


def _position(account: Account, position: Position) -> Json:
    value, unrealized = account.value(position), account.unrealized(position)
    leverage: Json = {"type": "isolated" if position.isolated else "cross", "value": position.leverage}
    if position.isolated:
        leverage["rawUsd"] = num(position.raw_usd)
    liquidation = account.position_liquidation_price(position)
    decimals = 6 - account.market.listing.assets[position.coin].sz_decimals
    return {
        "type": "oneWay",
        "position": {
            "coin": position.coin,
            "szi": num(position.size),
            "leverage": leverage,
            "entryPx": num(round(position.entry, decimals)),
            "positionValue": num(abs(value)),
            "unrealizedPnl": num(unrealized),
            "returnOnEquity": num(unrealized * position.leverage / (abs(position.size) * position.entry)),
            "liquidationPx": None if liquidation is None else num(liquidation),
            "marginUsed": num(account.margin_used(position)),
            "maxLeverage": account.max_leverage(position.coin),
            "cumFunding": {
                "allTime": num(position.funding_all_time),
                "sinceOpen": num(position.funding_since_open),
                "sinceChange": num(position.funding_since_change),
            },
        },
    }


def _summary(equity: float, notional: float, raw: float, used: float) -> Json:
    return {"accountValue": num(equity), "totalNtlPos": num(notional), "totalRawUsd": num(raw), "totalMarginUsed": num(used)}


def clearinghouse_state(account: Account, dex: str) -> Json:
    """`clearinghouseState` of one dex at the market's current marks."""
    cross, isolated = list(account.cross(dex)), list(account.isolated(dex))
    equity, cross_used = account.cross_equity(dex), account.cross_initial(dex)
    cross_notional = sum(abs(account.value(p)) for p in cross)
    raw = equity - account.cross_value(dex)
    isolated_equity = sum(account.isolated_equity(p) for p in isolated)
    notional = cross_notional + sum(abs(account.value(p)) for p in isolated)
    index = account.market.listing.index
    return {
        "marginSummary": _summary(equity + isolated_equity, notional, raw + sum(p.raw_usd for p in isolated), cross_used + isolated_equity),
        "crossMarginSummary": _summary(equity, cross_notional, raw, cross_used),
        "crossMaintenanceMarginUsed": num(account.cross_maintenance(dex)),
        "withdrawable": num(account.withdrawable(dex)),
        "assetPositions": [_position(account, p) for p in sorted((*cross, *isolated), key=lambda p: index[p.coin])],
        "time": account.market.now_ms,
    }


def _balance(account: Account, token: int) -> Json:
    hold = 0.0
    if account.pooled:
        hold = sum(account.parked(dex) for dex in account.dexs_of(token)) + account.isolated_total(token)
    name = account.market.listing.tokens[token].name
    return {
        "coin": name,
        "token": token,
        "total": num(account.total(token)),
        "hold": num(hold),
        "entryNtl": num(account.cost_basis.get(token, 0.0)),
    }


def _outcome_balances(account: Account) -> list[Json]:
    """Balances of outcome sides, by their number: they have no token; what was settled stays as a row of zeros."""
    return [
        {"coin": f"+{side}", "total": num(held.size), "hold": "0.0", "entryNtl": num(held.cost)}
        for side, held in sorted(account.outcomes.items())
    ]


def spot_state(account: Account, *, complete: bool) -> Json:
    """`spotClearinghouseState`; not `complete`: as the WebSocket sends it, without the portfolio-margin flag and ratio."""
    shown = set(account.wallet) | {USDC}
    if account.mode == "portfolioMargin":
        return _portfolio_spot_state(account, complete)
    balances = [_balance(account, t) for t in account.market.listing.tokens if t in shown]
    state: Json = {"balances": balances + _outcome_balances(account)}
    if account.pooled:
        pools = sorted(shown & {dex.collateral for dex in account.market.listing.dexs.values()})
        state["tokenToAvailableAfterMaintenance"] = [[token, num(account.available(token))] for token in pools]
    return state


def borrowed_usdc(account: Account) -> tuple[float, float]:
    """(borrowed, supplied) USDC of a portfolio-margin account: what the margin parked on its dexs leaves of the net total."""
    parked = sum(account.parked(dex) for dex in account.dexs_of(USDC)) + account.isolated_total(USDC)
    free = account.total(USDC) - parked
    return max(0.0, -free), max(0.0, free)


def borrow_power(account: Account) -> float:
    """USDC that the supplied collateral lets a portfolio-margin account borrow."""
    return sum(
        account.supplied(t.index) * account.market.borrow_price(t.index) * t.ltv for t in account.market.listing.tokens.values() if t.ltv
    )


def _portfolio_balance(account: Account, token: int, power: float) -> Json:
    row = _balance(account, token)
    listed = account.market.listing.tokens[token]
    if token == USDC:
        borrowed, supplied = borrowed_usdc(account)
        own_hold = min(account.total(USDC) - supplied, account.total(USDC))
        row["hold"] = num(own_hold - power)
        row |= {"spotHold": num(own_hold)} if power else {}
    else:
        borrowed, supplied = 0.0, account.supplied(token) if listed.ltv else 0.0
    if token == USDT0 and power:
        row |= {"hold": num(-min(power, USDT0_BORROW_CAP)), "spotHold": "0.0"}
    if listed.ltv is not None:
        row["ltv"] = num(listed.ltv)
    row |= {"borrowed": num(borrowed)} if borrowed else {}
    row |= {"supplied": num(supplied)} if supplied else {}
    return row


def _portfolio_spot_state(account: Account, complete: bool) -> Json:
    tokens = account.market.listing.tokens
    power = borrow_power(account)
    shown = [t for t, listed in tokens.items() if listed.ltv is not None or t in account.wallet]
    state: Json = {"portfolioMarginEnabled": True} if complete else {}
    state["balances"] = [_portfolio_balance(account, token, power) for token in shown] + _outcome_balances(account)
    if complete:
        requirement, value = portfolio_terms(account)
        state["portfolioMarginRatio"] = num(requirement / value if requirement and value > 0.0 else 0.0)
    state["tokenToPortfolioBorrowRatio"] = [[USDC, num(borrowed_usdc(account)[0] / USDC_BORROW_CAP)]]
    supplies = [t for t in tokens.values() if t.ltv and account.wallet.get(t.index)]
    state["tokenToPortfolioSupplyRatio"] = [[t.index, num(account.wallet[t.index] / t.supply_cap)] for t in supplies]
    available = {t: account.wallet.get(t, 0.0) for t, listed in tokens.items() if listed.ltv is not None}
    available |= {USDC: account.available(USDC), USDT0: min(power, USDT0_BORROW_CAP)}
    state["tokenToAvailableAfterMaintenance"] = [[token, num(value)] for token, value in available.items()]
    return state


def reserve_states(market: Market) -> list[list[Any]]:
    """`allBorrowLendReserveStates`: the lending pools with the borrow oracle price, the only place it is published."""
    return [
        [
            t.index,
            {
                "borrowYearlyRate": "0.05",
                "supplyYearlyRate": "0.0008244951",
                "balance": "3245960.0596176102",
                "utilization": "0.0183221137",
                "oraclePx": num(market.borrow_price(t.index)),
                "ltv": num(t.ltv),
                "totalSupplied": "3306530.3251102199",
                "totalBorrowed": "60582.62446067",
            },
        ]
        for t in market.listing.tokens.values()
        if t.ltv is not None
    ]


def borrow_lend_state(account: Account) -> Json:
    """`borrowLendUserState`."""
    if account.mode != "portfolioMargin":
        return {"tokenToState": [], "health": "healthy", "healthFactor": None}
    rows: list[list[Any]] = []
    borrowed, supplied_usdc = borrowed_usdc(account)
    for token in account.market.listing.tokens.values():
        if token.ltv is not None and (token.index == USDC or account.wallet.get(token.index)):
            supply = supplied_usdc if token.index == USDC else account.supplied(token.index)
            debt = borrowed if token.index == USDC else 0.0
            state = {side: {"basis": num(amount), "value": num(amount)} for side, amount in (("borrow", debt), ("supply", supply))}
            rows.append([token.index, state])
    factor = borrow_power(account) / borrowed if borrowed else None
    health = "healthy" if factor is None or factor >= 1.0 else "atRisk"
    return {"tokenToState": rows, "health": health, "healthFactor": None if factor is None else num(factor)}


def order_short(order: RestingOrder) -> Json:
    """An order as `openOrders` (REST) and `orderUpdates` print it."""
    row: Json = {
        "coin": order.coin,
        "side": "B" if order.buy else "A",
        "limitPx": num(order.price),
        "sz": num(order.remaining),
        "oid": order.oid,
        "timestamp": order.time_ms,
        "origSz": num(order.original),
        "cloid": order.cloid,
    }
    return row | ({"reduceOnly": True} if order.reduce_only else {})


def order_long(order: RestingOrder) -> Json:
    """An order as `frontendOpenOrders` and the `openOrders` feed print it."""
    return {
        "coin": order.coin,
        "side": "B" if order.buy else "A",
        "limitPx": num(order.price),
        "sz": num(order.remaining),
        "oid": order.oid,
        "timestamp": order.time_ms,
        "triggerCondition": "N/A",
        "isTrigger": False,
        "triggerPx": "0.0",
        "children": [],
        "isPositionTpsl": False,
        "reduceOnly": order.reduce_only,
        "orderType": "Limit",
        "origSz": num(order.original),
        "tif": "Alo",
        "cloid": order.cloid,
    }


def web_data3(account: Account) -> Json:
    """`webData3` of an account; `abstraction` is absent in the default mode."""
    user: Json = {
        "agentAddress": None,
        "agentValidUntil": None,
        "cumLedger": num(account.ledger_total),
        "serverTime": account.market.now_ms,
        "isVault": account.plan.role == "vault",
        "user": account.address,
    }
    if account.pooled:
        user["abstraction"] = ABSTRACTIONS[account.mode]
    return {"userState": user, "perpDexStates": [{"totalVaultEquity": "0.0"} for _ in account.market.listing.dexs]}


def order_update(order: RestingOrder, status: str, now_ms: int) -> Json:
    """One element of an `orderUpdates` frame."""
    return {"order": order_short(order), "status": status, "statusTimestamp": now_ms}


def sub_account(account: Account, *, all_dexs: bool) -> Json:
    """A row of `subAccounts`, or of `subAccounts2` with every dex (none for unified accounts, as recorded)."""
    row: Json = {"name": account.plan.name, "subAccountUser": account.address, "master": (account.plan.master or ZERO_ADDRESS).lower()}
    if not all_dexs:
        return row | {"clearinghouseState": clearinghouse_state(account, ""), "spotState": spot_state(account, complete=True)}
    names: Sequence[str] = () if account.mode == "unified" else list(account.market.listing.dexs)
    row["dexToClearinghouseState"] = [[dex, clearinghouse_state(account, dex)] for dex in names]
    row["spotState"] = spot_state(account, complete=True)
    return row | ({"abstraction": ABSTRACTIONS[account.mode]} if account.pooled else {})


def vault_details(account: Account) -> Json:
    """`vaultDetails` of a vault; its numbers are JSON numbers."""
    return {
        "name": account.plan.name,
        "vaultAddress": account.address,
        "leader": account.plan.master or ZERO_ADDRESS,
        "description": "A simulated vault.",
        "portfolio": [["day", {"accountValueHistory": [], "pnlHistory": [], "vlm": "0.0"}]],
        "apr": 0.1,
        "followerState": None,
        "leaderFraction": 0.05,
        "leaderCommission": 0.1,
        "followers": [],
        "maxDistributable": 0.0,
        "maxWithdrawable": 0.0,
        "isClosed": False,
        "relationship": {"type": "normal"},
        "allowDeposits": True,
        "alwaysCloseOnWithdraw": False,
    }
