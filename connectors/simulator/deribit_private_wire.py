"""How the simulated Deribit writes an account: summaries, positions, orders, trades."""

from __future__ import annotations

from connectors.simulator.deribit_accounts import CURRENCIES, Account, Order, Position
from connectors.simulator.deribit_figures import Wallet, figures, position_delta, standard_margin, unit_greeks, wallet
from connectors.simulator.deribit_listing import Contract
from connectors.simulator.deribit_wire import Json

_DECIMALS = {"BTC": 8, "ETH": 6, "USDC": 6, "USDT": 6}
_LIMITS: Json = {
    "matching_engine": {
        "block_rfq_maker": {"rate": 10, "burst": 20},
        "cancel_all": {"rate": 5, "burst": 20},
        "guaranteed_mass_quotes": {"rate": 2, "burst": 2},
        "maximum_mass_quotes": {"rate": 10, "burst": 10},
        "maximum_quotes": {"rate": 500, "burst": 500},
        "spot": {"rate": 5, "burst": 20},
        "trading": {"total": {"rate": 5, "burst": 20}},
    },
    "limits_per_currency": False,
    "non_matching_engine": {"rate": 20, "burst": 100},
}


def summaries(account: Account) -> list[Json]:
    """A summary of every currency, as user.portfolio sends it. With cross collateral each repeats the margins of all."""
    return [summary(account, currency) for currency in CURRENCIES]


def summary(account: Account, currency: str) -> Json:
    """One currency's summary, in that currency but for the totals in USD; BNB is no collateral."""
    found, digits = wallet(account, currency), _DECIMALS.get(currency, 6)
    cross = account.cross and currency in _DECIMALS
    segregated = "segregated_" + account.plan.margin_model[-2:]
    margins = _cross_margins(account, currency) if cross else _own_margins(account, found)
    free = margins["margin_balance"] - margins["initial_margin"]
    numbers = {
        **margins,
        "options_value": found.options_value,
        "futures_session_upl": found.futures_profit,
        "options_session_upl": found.options_profit,
        "session_upl": found.futures_profit + found.options_profit,
        "options_pl": found.options_profit,
        "futures_pl": found.futures_profit,
        "total_pl": found.futures_profit + found.options_profit,
        "delta_total": found.delta_total,
        "projected_delta_total": found.projected_delta,
        "balance": found.balance,
        "equity": found.equity,
        "available_funds": max(free, 0.0),
        "available_withdrawal_funds": max(min(free, found.balance), 0.0),
    }
    return {
        **{name: round(value, digits) for name, value in numbers.items()},
        **(_totals(account) if cross else {}),
        "currency": currency,
        "margin_model": account.plan.margin_model if cross else segregated,
        "portfolio_margining_enabled": account.portfolio_margin,
        "cross_collateral_enabled": cross,
        **_greeks(found),
        **dict.fromkeys(("locked_balance", "session_rpl", "futures_session_rpl", "options_session_rpl"), 0.0),
        **dict.fromkeys(("additional_reserve", "fee_balance", "spot_reserve"), 0.0),
    }


def _own_margins(account: Account, found: Wallet) -> dict[str, float]:
    return {
        "margin_balance": found.equity if account.portfolio_margin else found.equity - found.options_value,
        "initial_margin": found.initial,
        "maintenance_margin": found.maintenance,
        "projected_initial_margin": found.projected_initial,
        "projected_maintenance_margin": found.projected_maintenance,
    }


def _cross_margins(account: Account, currency: str) -> dict[str, float]:
    total, usd = figures(account)["cross"], account.prices.usd(currency)
    return {
        "margin_balance": total.margin_balance / usd,
        "initial_margin": total.initial_margin / usd,
        "maintenance_margin": total.maintenance_margin / usd,
        "projected_initial_margin": total.initial_margin / usd,
        "projected_maintenance_margin": total.maintenance_margin / usd,
    }


def _totals(account: Account) -> Json:
    total = figures(account)["cross"]
    return {
        "total_equity_usd": round(total.equity, 9),
        "total_margin_balance_usd": round(total.margin_balance, 9),
        "total_initial_margin_usd": round(total.initial_margin, 9),
        "total_maintenance_margin_usd": round(total.maintenance_margin, 9),
        "total_delta_total_usd": round(total.delta_total, 9),
    }


def _greeks(found: Wallet) -> Json:
    return {
        "options_delta": round(found.options_delta, 5),
        "options_gamma": round(sum(found.gammas.values()), 5),
        "options_vega": round(sum(found.vegas.values()), 5),
        "options_theta": round(sum(found.thetas.values()), 5),
        "delta_total_map": {index: round(value, 9) for index, value in found.deltas.items()},
        "options_gamma_map": {index: round(value, 5) for index, value in found.gammas.items()},
        "options_vega_map": {index: round(value, 5) for index, value in found.vegas.items()},
        "options_theta_map": {index: round(value, 5) for index, value in found.thetas.items()},
    }


def extended(account: Account) -> Json:
    """The answer of get_account_summaries with `extended`; nothing in it is a person's."""
    return {
        "type": "subaccount",
        "mandatory_tfa": False,
        "mmp_enabled": False,
        "block_rfq_self_match_prevention": False,
        "login_enabled": False,
        "receive_notifications": False,
        "security_keys_enabled": True,
        "self_trading_extended_to_subaccounts": False,
        "change_margin_model_api_limit": {"timeframe": 86_400_000, "rate": 5},
        "summaries": [row | {"limits": _LIMITS} for row in summaries(account)],
    }


def position_row(account: Account, position: Position) -> Json:
    """A row of get_positions."""
    contract, prices = position.contract, account.prices
    mark, index = prices.mark(contract), prices.indices[contract.family.index]
    initial, maintenance = standard_margin(account, position)
    profit = account.profit(position)
    row = _row(contract, position.size, mark, index) | {
        "average_price": position.entry,
        "delta": round(position_delta(account, position), 9),
        "floating_profit_loss": round(profit, 9),
        "initial_margin": round(initial, 9),
        "maintenance_margin": round(maintenance, 9),
        "realized_profit_loss": round(position.realized, 9),
        "total_profit_loss": round(profit + position.realized, 9),
    }
    if contract.is_option:
        unit, usd = unit_greeks(account, position), index if contract.family.inverse else 1.0
        return row | {
            "average_price_usd": round(position.entry * usd, 4),
            "floating_profit_loss_usd": round(profit * usd, 4),
            "gamma": round(position.size * unit.gamma, 9),
            "vega": round(position.size * unit.vega, 5),
            "theta": round(position.size * unit.theta, 5),
        }
    return row | {
        "estimated_liquidation_price": None,
        "interest_value": 0.0,
        "leverage": 50,
        "open_orders_margin": 0.0,
        "realized_funding": 0.0,
        "size_currency": round(position.size / mark if contract.family.inverse else position.size, 9),
    }


def closed_row(contract: Contract, mark: float, index: float) -> Json:
    """A position that is gone, as user.changes tells it."""
    names = (
        "average_price",
        "delta",
        "floating_profit_loss",
        "initial_margin",
        "maintenance_margin",
        "realized_profit_loss",
        "total_profit_loss",
    )
    row = _row(contract, 0.0, mark, index) | dict.fromkeys(names, 0.0)
    if contract.is_option:
        return row | dict.fromkeys(("average_price_usd", "floating_profit_loss_usd", "gamma", "vega", "theta"), 0.0)
    return row | {"size_currency": 0.0, "leverage": 50, "open_orders_margin": 0.0, "estimated_liquidation_price": None}


def order_row(order: Order, stamp: int) -> Json:
    """An order as get_open_orders and user.changes show it."""
    return {
        "order_id": order.number,
        "instrument_name": order.contract.name,
        "direction": "buy" if order.amount > 0.0 else "sell",
        "amount": abs(order.amount),
        "filled_amount": abs(order.filled),
        "price": order.price,
        "average_price": order.price if order.filled else 0.0,
        "order_type": "limit",
        "order_state": order.state,
        "time_in_force": "good_til_cancelled",
        "reduce_only": False,
        "post_only": False,
        "replaced": False,
        "mmp": False,
        "api": True,
        "web": False,
        "is_liquidation": False,
        "is_rebalance": False,
        "risk_reducing": False,
        "label": "",
        "contracts": abs(order.amount),
        "max_show": abs(order.amount),
        "creation_timestamp": order.created_ms,
        "last_update_timestamp": stamp,
    }


def trade_row(account: Account, contract: Contract, amount: float, price: float, *, number: int, stamp: int, liquidation: bool) -> Json:
    """A trade as user.changes shows it; inside ETH and USDC books the ids are texts with the currency."""
    family, index = contract.family, account.prices.indices[contract.family.index]
    row: Json = {
        "trade_id": str(number) if family.settle == "BTC" else f"{family.settle}-{number}",
        "trade_seq": number,
        "timestamp": stamp,
        "instrument_name": contract.name,
        "direction": "buy" if amount > 0.0 else "sell",
        "amount": abs(amount),
        "contracts": abs(amount),
        "price": price,
        "mark_price": account.prices.mark(contract),
        "index_price": index,
        "fee": 0.0,
        "fee_currency": family.settle,
        "order_id": f"{family.settle}-{number + 10_000}",
        "order_type": "liquidation" if liquidation else "limit",
        "state": "filled",
        "tick_direction": 1,
        "liquidity": "T",
        "matching_id": None,
        "api": True,
        "post_only": False,
        "reduce_only": liquidation,
        "self_trade": False,
        "mmp": False,
        "profit_loss": 0.0,
        "risk_reducing": False,
    }
    return row | ({"liquidation": "T"} if liquidation else {})


def _row(contract: Contract, size: float, mark: float, index: float) -> Json:
    return {
        "instrument_name": contract.name,
        "kind": contract.kind,
        "direction": "buy" if size > 0.0 else "sell" if size < 0.0 else "zero",
        "size": size,
        "mark_price": mark,
        "index_price": index,
        "settlement_price": mark,
    }
