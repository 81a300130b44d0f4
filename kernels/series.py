"""The legs of one unit and one expiry, summed: what every charge and every scenario of the unit is built from.

A series is summed anew whenever one of its legs changed, so nothing accumulates rounding errors from tick to tick. Formulas:
margin model, sections 3 to 5 and 8.
"""

from __future__ import annotations

import math

from kernels._jit import jit_inlined
from kernels.layout import GROUPS, INVERSE, LINEAR, NOT_FINITE, OK, OPTION, OUTCOME, Book, Table


@jit_inlined
def impact(notional: float, volume: float, volatility: float, rules: Table) -> tuple[float, bool]:
    """(liquidity charge in USD, whether it is the cap for want of data) of `notional` USD against `volume` USD in 24 hours.

    Square-root impact, `volatility` daily, at most liquidity_cap of the notional (model, section 7); 0 where eta is 0.
    """
    rule = rules[0]
    if rule["eta"] == 0.0 or notional == 0.0:
        return 0.0, False
    if not (volume > 0.0 and volatility > 0.0):
        return notional * rule["liquidity_cap"], True
    rate = rule["eta"] * volatility * math.sqrt(notional / (rule["adv_stress"] * volume))
    return notional * min(rule["liquidity_cap"], rate), False


@jit_inlined
def order_loss(leg: int, group: int, book: Book) -> float:
    """USD that the orders of a leg in a group lose at once where they fill at their limits: not netted (model, section 5)."""
    instrument = book.instruments[book.legs[leg]["instrument"]]
    fx = book.fx[instrument["fx"]]
    total = 0.0
    order = book.legs[leg]["first_order"]
    while order >= 0:
        resting = book.orders[order]
        if resting["group"] == group:
            if instrument["kind"] == LINEAR:
                loss = resting["quantity"] * (resting["limit"] - instrument["mark"]) * fx
            elif instrument["kind"] == INVERSE:
                loss = resting["quantity"] * (resting["limit"] / instrument["mark"] - 1.0)
            elif instrument["coin_settled"]:
                loss = resting["quantity"] * (resting["limit"] * instrument["forward"] - instrument["base"])
            else:
                loss = resting["quantity"] * (resting["limit"] - instrument["base"]) * fx
            total += max(0.0, loss)
        order = resting["next"]
    return total


@jit_inlined
def leg_notional(leg: int, book: Book) -> float:
    """USD notional of a leg's position, signed by its coin delta: mark notional; of options and outcomes delta times forward."""
    held = book.legs[leg]
    instrument = book.instruments[held["instrument"]]
    quantity = held["quantity"][0]
    if instrument["kind"] == LINEAR:
        return float(quantity * instrument["mark"] * book.fx[instrument["fx"]])
    if instrument["kind"] == INVERSE:
        return float(quantity)
    return float(quantity * instrument["delta"] * instrument["forward"] * book.fx[instrument["fx"]])


@jit_inlined
def _add_row(worth: float, row: int, series: int, group: int, book: Book) -> None:
    pnl, unit_pnl = book.pnl[series, group], book.rows[row]
    for scenario in range(unit_pnl.shape[0]):
        pnl[scenario] += worth * unit_pnl[scenario]


@jit_inlined
def _sum_group(series: int, group: int, book: Book) -> int:
    # one walk over the legs; sums stay in locals, through the table each addition would have to be stored
    slope = delta = vega = calls = puts = gross = weight = marked = order_loss_sum = 0.0
    value = value_coin = notional = gross_notional = 0.0
    status = OK
    out = book.series[series]
    for currency in range(book.settle.shape[2]):
        book.settle[series, group, currency] = 0.0
    if out["has_options"]:
        for scenario in range(book.rows.shape[1]):
            book.pnl[series, group, scenario] = 0.0
    leg = out["first_leg"]
    while leg >= 0:
        held = book.legs[leg]
        instrument = book.instruments[held["instrument"]]
        if instrument["status"] != OK:
            # one exit for the whole function: with two, every round of the loop counts references to all arrays
            status = instrument["status"]
            break
        fx = book.fx[instrument["fx"]]
        quantity = held["quantity"][group]
        if instrument["kind"] >= OPTION:
            coins = quantity * instrument["delta"]
            size, price = abs(coins), instrument["forward"] * fx
            vega += quantity * instrument["vega"]
            # an outcome is paid in full, and its contract is one of money, not one coin
            if instrument["kind"] == OPTION:
                size = abs(quantity)
                if instrument["call"]:
                    calls += quantity
                else:
                    puts += quantity
            value += quantity * instrument["base"] * fx
            signed = coins * price
            _add_row(quantity * fx, instrument["row"], series, group, book)
        else:
            price = instrument["mark"]
            if instrument["kind"] == LINEAR:
                price *= fx
                coins = quantity
                value += quantity * (instrument["mark"] - held["entry"]) * fx
            else:
                coins = quantity / price
                if held["entry"] > 0.0:
                    value_coin += quantity * (1.0 / held["entry"] - 1.0 / price)
            size = abs(coins)
            signed = coins * price
            slope += signed
            gross += size
        delta += coins
        weight += size
        marked += size * price
        notional += signed
        gross_notional += abs(signed)
        book.settle[series, group, instrument["settle"]] += coins
        if group > 0 and held["first_order"] >= 0:
            order_loss_sum += order_loss(leg, group, book)
        leg = held["next"]
    out["slope"][group] = slope * book.expiries[out["expiry"]]["decay"]
    out["delta"][group], out["vega"][group], out["calls"][group], out["puts"][group] = delta, vega, calls, puts
    out["gross"][group], out["weight"][group], out["basis"][group] = gross, weight, marked
    out["order_loss"][group] = order_loss_sum
    if group == 0:
        # the part of equity that the positions are, without what the accounts' anchors hold
        out["value"], out["value_coin"] = value, value_coin
        out["gross_notional"], out["net_notional"] = gross_notional, notional
        if status == OK and not math.isfinite(slope + delta + value + value_coin + gross_notional):
            status = NOT_FINITE
    return status


@jit_inlined
def _sum_liquidity(series: int, book: Book) -> None:
    total = 0.0
    flagged = 0
    leg = book.series[series]["first_leg"]
    while leg >= 0:
        # legs of one instrument are neighbours
        number = book.legs[leg]["instrument"]
        instrument = book.instruments[number]
        gross = bound = 0.0
        # an outcome held short loses at most what it does not pay yet, an option held short any amount
        is_bound = instrument["kind"] >= OPTION
        while leg >= 0 and book.legs[leg]["instrument"] == number:
            quantity = book.legs[leg]["quantity"][0]
            gross += abs(leg_notional(leg, book))
            fx = book.fx[instrument["fx"]]
            if quantity >= 0.0:
                bound += quantity * instrument["base"] * fx
            else:
                bound -= quantity * max(0.0, 1.0 - instrument["base"]) * fx
                is_bound = is_bound and instrument["kind"] == OUTCOME
            leg = book.legs[leg]["next"]
        charge, is_flagged = impact(gross, instrument["volume"], book.coins[instrument["coin"]]["daily_volatility"], book.rules)
        total += min(charge, bound) if is_bound else charge
        flagged += is_flagged
    book.series[series]["liquidity"] = total
    book.series[series]["flagged"] = flagged


@jit_inlined
def sum_series(series: int, book: Book) -> None:
    """Sum the legs of one series. Where one has no value the series takes over its status, and its sums must not be read."""
    status = OK
    for group in range(GROUPS if book.series[series]["has_orders"] else 1):
        status = _sum_group(series, group, book)
        if status != OK:
            break
    book.series[series]["status"] = status
    if status == OK and book.rules[0]["eta"] > 0.0:
        _sum_liquidity(series, book)
