"""How far a portfolio is from a ratio: the price move of one coin, or of all together, at which it gets there (model, section 9).
And what it would be worth and require at given moves.

Every trial price is a full evaluation on a copy of the book: index, marks, forwards and coin balances move, the grid is centred
anew, hedge and charges are taken anew, options and outcomes keep their volatility (sticky strike). Never assumes monotonicity.
"""

from __future__ import annotations

import math

import numpy as np

from kernels._jit import jit, jit_inlined
from kernels.black76 import digital_one, price_one
from kernels.layout import OK, OPTION, OUTCOME, Book, Floats
from kernels.portfolio import evaluate, queue_coin, queue_instrument, queue_portfolio

LOWEST_FACTOR = 1e-6
"""No price falls below this share of itself, whatever the beta."""


FINER = 16
"""Into how many parts the step of the scan with the nearest crossing is divided before bisection."""


@jit_inlined
def _move(number: int, factor: float, book: Book, trial: Book) -> None:
    held, moved = book.instruments[number], trial.instruments[number]
    if held["kind"] < OPTION:
        moved["mark"] = held["mark"] * factor
        return
    forward = held["forward"] * factor
    years = book.expiries[held["expiry"]]["years"]
    if held["kind"] == OUTCOME:
        price = digital_one(forward, held["strike"], held["used_volatility"], years, held["call"])
    else:
        price = price_one(forward, held["strike"], held["used_volatility"], years, held["call"])
    base = held["base"] + price - held["price"]
    moved["forward"] = forward
    moved["volatility"] = held["used_volatility"]
    # read only where the base is the mark
    moved["mark"] = base / forward if held["coin_settled"] else base


@jit
def isolate(portfolio: int, trial: Book) -> None:
    """Leave only one portfolio dependent on prices in a copy of a book, so that its evaluation costs nothing for the others."""
    for number in range(trial.instruments.shape[0]):
        kept = -1
        leg = trial.instruments[number]["first_leg"]
        while leg >= 0:
            following = trial.legs[leg]["next_of_instrument"]
            if trial.units[trial.series[trial.legs[leg]["series"]]["unit"]]["portfolio"] == portfolio:
                trial.legs[leg]["next_of_instrument"] = kept
                kept = leg
            leg = following
        trial.instruments[number]["first_leg"] = kept
    for coin in range(trial.coins.shape[0]):
        kept = -1
        unit = trial.coins[coin]["first_unit"]
        while unit >= 0:
            following = trial.units[unit]["next_of_coin"]
            if trial.units[unit]["portfolio"] == portfolio:
                trial.units[unit]["next_of_coin"] = kept
                kept = unit
            unit = following
        trial.coins[coin]["first_unit"] = kept
        trial.coins[coin]["first_cash"] = -1


@jit
def ratio_at_move(portfolio: int, move: float, weight: Floats, book: Book, trial: Book) -> float:
    """Margin ratio after coins move by `move * weight[coin]`; NaN without a value.

    `trial` is an isolated copy of the evaluated `book` and gets overwritten.
    """
    for coin in range(book.coins.shape[0]):
        if weight[coin] != 0.0:
            trial.coins[coin]["index"] = book.coins[coin]["index"] * max(LOWEST_FACTOR, 1.0 + move * weight[coin])
            queue_coin(coin, trial)
    for number in range(book.instruments.shape[0]):
        held = book.instruments[number]
        if weight[held["coin"]] != 0.0 and trial.instruments[number]["first_leg"] >= 0:
            _move(number, max(LOWEST_FACTOR, 1.0 + move * weight[held["coin"]]), book, trial)
            queue_instrument(number, trial)
    # its balances may be in a coin without a unit
    queue_portfolio(portfolio, trial)
    evaluate(trial)
    out = trial.portfolios[portfolio]
    return float(out["ratio"]) if out["status"] == OK and out["equity_status"] == OK else math.nan


@jit
def moved_figures(portfolio: int, moves: Floats, weight: Floats, book: Book, trial: Book, out: Floats) -> None:
    """`out` [move, 3]: equity and maintenance margin in USD, and margin ratio, at each of `moves`; NaN without a ratio.

    `weight` as `distances` takes it; `trial` is a copy of the evaluated `book` and gets overwritten.
    """
    isolate(portfolio, trial)
    for row in range(moves.shape[0]):
        ratio = ratio_at_move(portfolio, moves[row], weight, book, trial)
        known = not math.isnan(ratio)
        out[row, 0] = trial.portfolios[portfolio]["equity"] if known else math.nan
        out[row, 1] = trial.portfolios[portfolio]["maintenance"] if known else math.nan
        out[row, 2] = ratio


@jit
def distances(portfolio: int, targets: Floats, scan: Floats, weight: Floats, book: Book, trial: Book, out: Floats) -> None:
    """`out` [target, 2]: nearest move down and up at which the ratio crosses each target; NaN where it does not in the scan.

    `scan` ascending moves with 0 among them; every sign change is bracketed and the nearest of each side bisected to 1e-9.
    `weight` [coin]: 1 for the coin that moves alone, betas where all move.
    """
    isolate(portfolio, trial)
    ratios = np.empty(scan.shape[0])
    for node in range(scan.shape[0]):
        ratios[node] = ratio_at_move(portfolio, scan[node], weight, book, trial)
    zero = int(np.searchsorted(scan, 0.0))
    for row in range(targets.shape[0]):
        here = ratios[zero] >= targets[row]
        for side in range(2):
            out[row, side] = math.nan
            step = -1 if side == 0 else 1
            node = zero + step
            while 0 <= node < scan.shape[0] and (ratios[node] >= targets[row]) == here:
                node += step
            if not 0 <= node < scan.shape[0]:
                continue
            near, far = scan[node - step], scan[node]
            width = (far - near) / FINER
            # three crossings in one step of the scan are one sign change: look for the nearest
            for _ in range(FINER - 1):
                middle = near + width
                if (ratio_at_move(portfolio, middle, weight, book, trial) >= targets[row]) != here:
                    far = middle
                    break
                near = middle
            while abs(far - near) > 1e-9 * max(1.0, abs(near)):
                middle = 0.5 * (near + far)
                if (ratio_at_move(portfolio, middle, weight, book, trial) >= targets[row]) == here:
                    near = middle
                else:
                    far = middle
            out[row, side] = 0.5 * (near + far)
