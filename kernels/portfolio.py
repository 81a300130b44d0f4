"""From what changed to the margin of every portfolio it touches (margin model, sections 5, 7 and 8).

`evaluate` empties the queues of a stress book in order: instruments are priced, then series summed, units evaluated, portfolios
totalled. Each step queues only what depends on it.
"""

from __future__ import annotations

import math

import numpy as np

from kernels._jit import jit_inlined, jit_on_tick
from kernels.layout import (
    CHOICES,
    COINS_QUEUED,
    CUTS,
    GROUPS,
    INSTRUMENTS_QUEUED,
    MISSING_FX,
    MISSING_INDEX,
    MISSING_MARK,
    NOT_FINITE,
    OK,
    OPTION,
    OUTCOME,
    PORTFOLIOS_QUEUED,
    SERIES_QUEUED,
    UNITS_QUEUED,
    Book,
    Ints,
    Table,
)
from kernels.series import sum_series
from kernels.stress import price_outcome, price_rows
from kernels.unit import evaluate_unit, stressed_collateral

NOTHING = 1e-12
"""Equity below this share of what it is the difference of is rounding, and 0."""


@jit_inlined
def queue_portfolio(portfolio: int, book: Book) -> None:
    """Have a portfolio totalled at the next evaluation."""
    if not book.portfolios[portfolio]["queued"]:
        book.portfolios[portfolio]["queued"] = True
        book.queue[PORTFOLIOS_QUEUED, book.queued[PORTFOLIOS_QUEUED]] = portfolio
        book.queued[PORTFOLIOS_QUEUED] += 1


@jit_inlined
def queue_unit(unit: int, book: Book) -> None:
    """Have a unit evaluated."""
    if not book.units[unit]["queued"]:
        book.units[unit]["queued"] = True
        book.queue[UNITS_QUEUED, book.queued[UNITS_QUEUED]] = unit
        book.queued[UNITS_QUEUED] += 1


@jit_inlined
def queue_series(series: int, book: Book) -> None:
    """Have a series summed."""
    if not book.series[series]["queued"]:
        book.series[series]["queued"] = True
        book.queue[SERIES_QUEUED, book.queued[SERIES_QUEUED]] = series
        book.queued[SERIES_QUEUED] += 1


@jit_inlined
def queue_coin(coin: int, book: Book) -> None:
    """Have everything that a coin's index enters computed anew."""
    if not book.coins[coin]["moved"]:
        book.coins[coin]["moved"] = True
        book.queue[COINS_QUEUED, book.queued[COINS_QUEUED]] = coin
        book.queued[COINS_QUEUED] += 1


@jit_inlined
def queue_instrument(number: int, book: Book) -> None:
    """Have an instrument priced."""
    if not book.instruments[number]["moved"]:
        book.instruments[number]["moved"] = True
        book.queue[INSTRUMENTS_QUEUED, book.queued[INSTRUMENTS_QUEUED]] = number
        book.queued[INSTRUMENTS_QUEUED] += 1


@jit_on_tick
def move_forwards(rows: Ints, forward: float, instruments: Table, queue: Ints, queued: Ints) -> None:
    """Write the forward (USD per coin) of the options and outcomes `rows` and queue them: a tick of an expiry in one call.

    `queue` and `queued` are those of the book, which has room for every instrument.
    """
    count = queued[INSTRUMENTS_QUEUED]
    for number in rows:
        instruments[number]["forward"] = forward
        if not instruments[number]["moved"]:
            instruments[number]["moved"] = True
            queue[INSTRUMENTS_QUEUED, count] = number
            count += 1
    queued[INSTRUMENTS_QUEUED] = count


@jit_inlined
def _price_instruments(book: Book) -> None:
    count = book.queued[INSTRUMENTS_QUEUED]
    moved = book.queue[INSTRUMENTS_QUEUED, :count]
    options = 0
    for position in range(count):
        number = moved[position]
        instrument = book.instruments[number]
        instrument["moved"] = False
        if instrument["kind"] == OPTION:
            # options to the front: they are priced together
            moved[position], moved[options] = moved[options], moved[position]
            options += 1
        elif instrument["kind"] == OUTCOME:
            price_outcome(number, book.instruments, book.expiries, book.pricing, book.scenarios, book.rows)
        else:
            instrument["status"] = OK if instrument["mark"] > 0.0 else MISSING_MARK
    if options > 0:
        price_rows(moved[:options], book.instruments, book.expiries, book.pricing, book.scenarios, book.rows)
    for position in range(count):
        instrument = book.instruments[moved[position]]
        if instrument["status"] == OK and not book.fx[instrument["fx"]] > 0.0:
            instrument["status"] = MISSING_FX
        leg = instrument["first_leg"]
        while leg >= 0:
            queue_series(book.legs[leg]["series"], book)
            leg = book.legs[leg]["next_of_instrument"]
    book.queued[INSTRUMENTS_QUEUED] = 0


@jit_inlined
def _follow_coins(book: Book) -> None:
    for position in range(book.queued[COINS_QUEUED]):
        coin = book.coins[book.queue[COINS_QUEUED, position]]
        coin["moved"] = False
        unit = coin["first_unit"]
        while unit >= 0:
            queue_unit(unit, book)
            unit = book.units[unit]["next_of_coin"]
        cash = coin["first_cash"]
        while cash >= 0:
            queue_portfolio(book.cash[cash]["portfolio"], book)
            cash = book.cash[cash]["next_of_coin"]
    book.queued[COINS_QUEUED] = 0


@jit_inlined
def _cash(portfolio: int, book: Book) -> tuple[float, float, float]:
    # (equity, borrow, borrow for initial margin); says so where an asset that counts has no price
    total = borrow = initial = 0.0
    out = book.portfolios[portfolio]
    row = out["first_cash"]
    while row >= 0:
        held = book.cash[row]
        row = held["next"]
        if held["amount"] == 0.0 and held["maintenance"] == 0.0 and held["initial"] == 0.0:
            continue
        price = book.coins[held["coin"]]["index"] if held["coin"] >= 0 else book.fx[held["fx"]]
        if not price > 0.0:
            out["equity_status"] = MISSING_INDEX if held["coin"] >= 0 else MISSING_FX
            if held["maintenance"] != 0.0 or held["initial"] != 0.0:
                out["status"] = out["equity_status"]
            continue
        total += held["amount"] * price
        borrow += held["maintenance"] * price
        initial += held["initial"] * price
    return total, borrow, initial


@jit_inlined
def chosen_group(unit: int, choice: int, book: Book) -> int:
    """The order group of a unit under one of the four choices: its own binding one, or the same for all units."""
    if not book.units[unit]["has_orders"]:
        return 0
    return book.units[unit]["binding"] if choice == 0 else choice - 1


@jit_inlined
def joint_pnl(unit: int, group: int, node: int, options: float, max_loss: float, book: Book) -> float:
    """Two-sided P&L of a unit at an ordinary price node, never below -`max_loss`: what another unit may be offset with."""
    held = book.units[unit]
    coin = book.coins[held["coin"]]
    shock = book.nodes[held["coin"], node]
    linear = (held["slope"][group] + held["hedge"][group] * coin["index"]) * shock
    return float(max(-max_loss, linear + options + stressed_collateral(unit, group, book) * min(0.0, shock)))


@jit_inlined
def joint_loss(portfolio: int, choice: int, book: Book) -> float:
    """L_joint in USD under a choice of groups: all units at the same node of their own range together (model, section 7)."""
    least = 0.0
    for node in range(book.rules[0]["ordinary"]):
        total = 0.0
        unit = book.portfolios[portfolio]["first_unit"]
        while unit >= 0:
            held = book.units[unit]
            group = chosen_group(unit, choice, book)
            total += joint_pnl(unit, group, node, book.curves[unit, group, node], held["max_loss"][group], book)
            unit = held["next"]
        least = min(least, total)
    return -least


@jit_inlined
def _total_loss(portfolio: int, choice: int, book: Book) -> float:
    total = 0.0
    unit = book.portfolios[portfolio]["first_unit"]
    while unit >= 0:
        total += book.units[unit]["max_loss"][chosen_group(unit, choice, book)]
        unit = book.units[unit]["next"]
    return total


@jit_inlined
def _initial(portfolio: int, choice: int, loss_sum: float, loss_shift: float, book: Book) -> float:
    total = 0.0
    unit = book.portfolios[portfolio]["first_unit"]
    while unit >= 0:
        held = book.units[unit]
        group = chosen_group(unit, choice, book)
        share = loss_shift * held["max_loss"][group] / loss_sum if loss_sum > 0.0 else 0.0
        total += (share + held["maintenance"][group] - held["max_loss"][group]) * book.coins[held["coin"]]["im_factor"]
        unit = held["next"]
    return total


@jit_inlined
def _total(portfolio: int, cash: float, borrow: float, initial_borrow: float, book: Book) -> None:
    out = book.portfolios[portfolio]
    rules = book.rules[0]
    equity = out["anchor"] + cash
    size = abs(out["anchor"]) + abs(cash)
    liquidity = gross = net = 0.0
    flagged = 0
    has_orders = False
    unit = out["first_unit"]
    while unit >= 0:
        held = book.units[unit]
        equity += held["value"]
        size += abs(held["value"])
        liquidity += held["liquidity"]
        gross += held["gross_notional"]
        net += held["net_notional"]
        flagged += held["flagged"]
        has_orders = has_orders or held["has_orders"]
        unit = held["next"]
    if abs(equity) <= NOTHING * size:
        equity = 0.0
    best = best_initial = -math.inf
    # without offset between coins and without buffer each unit's own binding group is the worst choice for both margins
    is_plain = rules["correlation_shift"] >= 1.0 and rules["safety_buffer"] == 0.0
    choices = 1 if is_plain or not has_orders else CHOICES
    for choice in range(choices):
        loss_sum = loss_shift = _total_loss(portfolio, choice, book)
        loss_joint = math.nan
        if rules["correlation_shift"] < 1.0:
            loss_joint = min(loss_sum, joint_loss(portfolio, choice, book))
            loss_shift = loss_joint + rules["correlation_shift"] * (loss_sum - loss_joint)
        buffer = rules["safety_buffer"] * loss_shift
        maintenance = loss_shift + liquidity + buffer + borrow
        unit = out["first_unit"]
        while unit >= 0:
            group = chosen_group(unit, choice, book)
            maintenance += book.units[unit]["maintenance"][group] - book.units[unit]["max_loss"][group]
            unit = book.units[unit]["next"]
        initial = _initial(portfolio, choice, loss_sum, loss_shift, book) + liquidity + buffer + initial_borrow
        if maintenance > best:
            best = maintenance
            out["choice"] = choice
            out["maintenance"] = maintenance
            out["loss_sum"], out["loss_joint"], out["loss_shift"], out["buffer"] = loss_sum, loss_joint, loss_shift, buffer
        if initial > best_initial:
            best_initial = initial
            out["initial_choice"] = choice
            out["initial"] = initial
    out["equity"], out["liquidity"], out["borrow"], out["flagged"] = equity, liquidity, borrow, flagged
    out["gross_notional"], out["net_notional"] = gross, net
    out["ratio"] = margin_ratio(out["maintenance"], equity)
    out["initial_ratio"] = margin_ratio(out["initial"], equity)
    if equity < 0.0 and out["first_unit"] >= 0:
        # whatever is held, nothing is left to carry it
        out["ratio"] = out["initial_ratio"] = math.inf
    if not math.isfinite(best + best_initial):
        out["status"] = NOT_FINITE
    if out["equity_status"] == OK and not math.isfinite(equity):
        out["equity_status"] = NOT_FINITE


@jit_inlined
def margin_ratio(margin: float, equity: float) -> float:
    """margin / equity; 0 without margin, +inf when no equity is left to carry one (model, section 1)."""
    if margin <= 0.0:
        return 0.0
    return margin / equity if equity > 0.0 else math.inf


@jit_inlined
def _band(portfolio: int, book: Book) -> None:
    out = book.portfolios[portfolio]
    band = -1
    if out["status"] == OK and out["equity_status"] == OK:
        band = 0
        for cut in range(CUTS):
            if out["ratio"] >= out["cuts"][cut]:
                band = cut + 1
    if band != out["band"]:
        out["band"] = band
        out["crossed"] = True


@jit_inlined
def evaluate_portfolio(portfolio: int, book: Book) -> None:
    """Total one portfolio from its units; the first unit without a value gives it its status."""
    out = book.portfolios[portfolio]
    out["status"] = out["refused_margin"]
    out["equity_status"] = out["refused"]
    out["failed_unit"] = -1
    cash, borrow, initial_borrow = _cash(portfolio, book)
    unit = out["first_unit"]
    while unit >= 0:
        if book.units[unit]["status"] != OK and out["failed_unit"] < 0:
            out["status"] = book.units[unit]["status"]
            out["failed_unit"] = unit
        unit = book.units[unit]["next"]
    if out["status"] == OK:
        _total(portfolio, cash, borrow, initial_borrow, book)
    _band(portfolio, book)


@jit_on_tick
def evaluate(book: Book) -> int:
    """Bring every portfolio that something queued touches up to date; returns how many. The queues are empty afterwards."""
    work = np.empty((GROUPS, 8, max(book.rows.shape[1], book.expiries.shape[0], book.settle.shape[2])))
    _price_instruments(book)
    _follow_coins(book)
    for position in range(book.queued[SERIES_QUEUED]):
        series = book.queue[SERIES_QUEUED, position]
        book.series[series]["queued"] = False
        sum_series(series, book)
        unit = book.series[series]["unit"]
        if book.series[series]["has_options"] or book.series[series]["had_options"]:
            book.units[unit]["options_moved"] = True
        book.series[series]["had_options"] = book.series[series]["has_options"]
        queue_unit(unit, book)
    book.queued[SERIES_QUEUED] = 0
    for position in range(book.queued[UNITS_QUEUED]):
        unit = book.queue[UNITS_QUEUED, position]
        book.units[unit]["queued"] = False
        evaluate_unit(unit, work, book)
        queue_portfolio(book.units[unit]["portfolio"], book)
    book.queued[UNITS_QUEUED] = 0
    count = book.queued[PORTFOLIOS_QUEUED]
    for position in range(count):
        portfolio = book.queue[PORTFOLIOS_QUEUED, position]
        book.portfolios[portfolio]["queued"] = False
        evaluate_portfolio(portfolio, book)
    book.queued[PORTFOLIOS_QUEUED] = 0
    return int(count)
