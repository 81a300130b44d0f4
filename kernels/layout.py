"""The tables of a stress book: one structured array a thing, one record a row, and who points at whom.

A stress book holds everything of the `portfolio` method for one parameter set. Its tables form chains: a portfolio has units
(one a coin), a unit has series (one an expiry; perpetuals share the one without), a series has legs (one an account and
instrument). `first_*` is the head of a chain, `next*` the following row, -1 the end. A change marks the series, units and
portfolios above it, so that an evaluation costs what changed.

Scenarios [W]: column `v * K + k` of volatility node v (up, unchanged, down) and price node k. The K price nodes are the
ordinary ones ascending, then the extreme ones (down, up) where the set has any. W is 3 K rounded up to a multiple of 8; what is
left over prices the unshocked scenario. Groups [3]: positions; positions with the buy-side orders; with the sell-side orders.
Money is USD, quantities in coin (inverse: USD notional), prices per 1 coin.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Table = NDArray[Any]
"""A structured array of one of the record types below."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Flags = NDArray[np.bool_]

LINEAR, INVERSE, OPTION, OUTCOME = 0, 1, 2, 3
"""Kinds of an instrument; from OPTION on they are priced on a forward with a volatility. An outcome is a digital option."""

LANES = 8
"""Doubles in the widest vector register: rows of scenarios are padded to a multiple."""

OK = 0
MISSING_MARK, MISSING_INDEX, MISSING_FX, MISSING_FORWARD, MISSING_IV, MISSING_ENTRY, NOT_FINITE = 1, 2, 3, 4, 5, 6, 7
MISSING_ACCOUNT, UNKNOWN_INSTRUMENT = 8, 9
"""Status of a row: a value, or why there is none."""

GROUPS = 3
"""Order groups: positions, positions and buy-side orders, positions and sell-side orders."""

INSTRUMENT = np.dtype(
    [
        ("kind", "i4"),
        ("coin", "i4"),
        ("expiry", "i4"),
        ("fx", "i4"),
        ("settle", "i4"),
        ("row", "i4"),
        ("first_leg", "i4"),
        ("status", "i4"),
        ("call", "?"),
        ("coin_settled", "?"),
        ("moved", "?"),
        ("mark", "f8"),
        ("forward", "f8"),
        ("strike", "f8"),
        ("volatility", "f8"),
        ("volume", "f8"),
        ("used_volatility", "f8"),
        ("price", "f8"),
        ("base", "f8"),
        ("delta", "f8"),
        ("gamma", "f8"),
        ("vega", "f8"),
    ],
    align=True,
)
"""An instrument. `fx` and `settle` are rows of `Book.fx` and the settlement group (0: USD and coin). `row` is the row of `Book.rows`
of an option or outcome. `mark` in its settlement asset, `forward` and `strike` in USD per coin; NaN: unknown. `volatility` as told,
NaN or 0: unknown. `volume` USD in 24 hours. What pricing writes: `used_volatility` (told, or implied by an option's mark), `price`
(Black-76, unshocked; of an outcome N(d2) or N(-d2)), `base` (`price`, or the mark in USD per coin), and of `price` `delta`, `gamma`
(per USD), `vega` (per 1.00 of volatility)."""

EXPIRY = np.dtype(
    [
        ("coin", "i4"),
        ("columns", "i4"),
        ("unshocked", "i4"),
        ("perpetual", "?"),
        ("expiry_s", "i8"),
        ("day", "i8"),
        ("seconds", "f8"),
        ("years", "f8"),
        ("days", "f8"),
        ("decay", "f8"),
        ("horizon", "f8"),
    ],
    align=True,
)
"""An expiry of one coin, or its perpetuals. `columns` = 3 K of its scenarios are shocked, `unshocked` is the one of them that
moves nothing (-1: none). `expiry_s` whole seconds since 1970 (perpetuals: 0), `day` its UTC date as days since 1970, `seconds`
left (never negative), `years` = seconds / (365 * 86400), `decay` the near-expiry factor on price shocks, `horizon` the factor
(30 / DTE) ^ vol_exponent."""

GROWTH, LOG_GROWTH, FACTOR, INVERSE_FACTOR = 0, 1, 2, 3
"""Second index of `scenarios` [expiry, 4, W]: 1 + k and its logarithm (k decayed), sigma' / sigma without the clip and its inverse."""

COIN = np.dtype(
    [
        ("first_unit", "i4"),
        ("first_cash", "i4"),
        ("nodes", "i4"),
        ("moved", "?"),
        ("hedgeable", "?"),
        ("spot_in_spread", "?"),
        ("index", "f8"),
        ("daily_volatility", "f8"),
        ("extreme_weight", "f8"),
        ("collateral_stress", "f8"),
        ("im_factor", "f8"),
        ("f_a", "f8"),
        ("f_b", "f8"),
        ("f_c", "f8"),
        ("f_d", "f8"),
        ("f_e", "f8"),
        ("basis_factor", "f8"),
        ("basis_threshold", "f8"),
    ],
    align=True,
)
"""A coin and its parameters (model, section 10), those that the regime scales already scaled; `nodes` how many of the K price
nodes it has. NaN: unknown."""

LEG = np.dtype(
    [
        ("series", "i4"),
        ("instrument", "i4"),
        ("next", "i4"),
        ("next_of_instrument", "i4"),
        ("first_order", "i4"),
        ("quantity", "f8", (GROUPS,)),
        ("entry", "f8"),
    ],
    align=True,
)
"""One (portfolio, account, instrument, side). `quantity` of each group; legs of one instrument are neighbours in their series."""

ORDER = np.dtype([("next", "i4"), ("group", "i4"), ("quantity", "f8"), ("limit", "f8")], align=True)
"""A resting order of a leg; `group` 1 or 2."""

SERIES = np.dtype(
    [
        ("unit", "i4"),
        ("next", "i4"),
        ("expiry", "i4"),
        ("first_leg", "i4"),
        ("status", "i4"),
        ("flagged", "i4"),
        ("queued", "?"),
        ("has_options", "?"),
        ("had_options", "?"),
        ("has_orders", "?"),
        ("slope", "f8", (GROUPS,)),
        ("delta", "f8", (GROUPS,)),
        ("vega", "f8", (GROUPS,)),
        ("calls", "f8", (GROUPS,)),
        ("puts", "f8", (GROUPS,)),
        ("gross", "f8", (GROUPS,)),
        ("weight", "f8", (GROUPS,)),
        ("basis", "f8", (GROUPS,)),
        ("order_loss", "f8", (GROUPS,)),
        ("value", "f8"),
        ("value_coin", "f8"),
        ("liquidity", "f8"),
        ("gross_notional", "f8"),
        ("net_notional", "f8"),
    ],
    align=True,
)
"""The legs of one unit and one expiry, summed. `slope`: linear P&L per unit of k. `vega` per coin, without fx. `calls`, `puts`
net contracts of options. `gross`: perpetuals and futures in coin. `weight` sum of |coin quantity| (an option's contracts, an
outcome's coin delta), `basis` the same times the USD mark. `has_options`: legs with a row of `Book.rows`; `had_options`: at its last
sum. `value` USD and `value_coin` coin (inverse contracts) of the positions, for equity. A chain of series ascends by expiry."""

CHARGES = 6
SHORT_OPTION, VEGA_SPREAD, STABLECOIN_SPREAD, DELTA_SPREAD, SPOT_BASIS, PERPETUAL_FUTURE = range(CHARGES)
"""Columns of a unit's `charge`: contingencies A, B, C, D1, D2 and E of the model, section 4."""

UNIT = np.dtype(
    [
        ("portfolio", "i4"),
        ("coin", "i4"),
        ("next", "i4"),
        ("next_of_coin", "i4"),
        ("first_series", "i4"),
        ("status", "i4"),
        ("binding", "i4"),
        ("flagged", "i4"),
        ("queued", "?"),
        ("has_orders", "?"),
        ("has_options", "?"),
        ("options_moved", "?"),
        ("spot", "f8"),
        ("spot_ratio", "f8"),
        ("hedge_cap", "f8"),
        ("collateral", "f8"),
        ("collateral_ratio", "f8"),
        ("slope", "f8", (GROUPS,)),
        ("max_loss", "f8", (GROUPS,)),
        ("worst", "i4", (GROUPS,)),
        ("charge", "f8", (GROUPS, CHARGES)),
        ("stablecoin_factor", "f8", (GROUPS,)),
        ("order_loss", "f8", (GROUPS,)),
        ("maintenance", "f8", (GROUPS,)),
        ("delta", "f8", (GROUPS,)),
        ("hedge", "f8", (GROUPS,)),
        ("value", "f8"),
        ("liquidity", "f8"),
        ("gross_notional", "f8"),
        ("net_notional", "f8"),
    ],
    align=True,
)
"""A coin of a portfolio. In: `spot` signed hedge balance, `spot_ratio` its collateral ratio, `hedge_cap` (inf: none), `collateral`
sum of positive balances with `collateral_ratio` their weighted ratio. Out, by group: `slope` of the linear P&L, `max_loss`, `worst`
price node, six `charge`s, `stablecoin_factor` of C, `maintenance` of the unit; `binding` its own binding group. `options_moved`: a
series with options was summed since the unit took the worst of the volatility nodes."""

CHOICES = 4
"""Order groups taken for the whole portfolio: each unit's own, all positions, all buy orders, all sell orders."""

CUTS = 6
"""Ratios at which a portfolio's band changes: each level, and each less the hysteresis."""

PORTFOLIO = np.dtype(
    [
        ("first_unit", "i4"),
        ("first_cash", "i4"),
        ("refused", "i4"),
        ("refused_margin", "i4"),
        ("status", "i4"),
        ("equity_status", "i4"),
        ("failed_unit", "i4"),
        ("choice", "i4"),
        ("initial_choice", "i4"),
        ("flagged", "i4"),
        ("band", "i4"),
        ("queued", "?"),
        ("crossed", "?"),
        ("anchor", "f8"),
        ("cuts", "f8", (CUTS,)),
        ("equity", "f8"),
        ("maintenance", "f8"),
        ("initial", "f8"),
        ("ratio", "f8"),
        ("initial_ratio", "f8"),
        ("loss_sum", "f8"),
        ("loss_joint", "f8"),
        ("loss_shift", "f8"),
        ("liquidity", "f8"),
        ("buffer", "f8"),
        ("borrow", "f8"),
        ("gross_notional", "f8"),
        ("net_notional", "f8"),
    ],
    align=True,
)
"""A portfolio. `anchor`: the part of its equity that no price moves. `refused` and `refused_margin`: an `equity_status` and a
`status` that its input has by itself. `status` is of the margins: from `failed_unit`, or -1 from a debt without a price; ratios
need both."""

CASH = np.dtype(
    [
        ("portfolio", "i4"),
        ("next", "i4"),
        ("coin", "i4"),
        ("fx", "i4"),
        ("next_of_coin", "i4"),
        ("amount", "f8"),
        ("maintenance", "f8"),
        ("initial", "f8"),
    ],
    align=True,
)
"""Balances less debts of one asset of a portfolio: `amount` counts in equity, `maintenance` and `initial` are debts times their
rates. Priced by `coin`, or where that is -1 by `fx`."""

RULES = np.dtype(
    [
        ("nodes", "i4"),
        ("ordinary", "i4"),
        ("correlation_shift", "f8"),
        ("eta", "f8"),
        ("liquidity_cap", "f8"),
        ("adv_stress", "f8"),
        ("safety_buffer", "f8"),
    ],
    align=True,
)
"""What holds for every portfolio of the set; `nodes` K and `ordinary` of the price grid."""

INSTRUMENTS_QUEUED, COINS_QUEUED, SERIES_QUEUED, UNITS_QUEUED, PORTFOLIOS_QUEUED = range(5)
"""Rows of `Book.queue` and `Book.queued`."""


class Book(NamedTuple):
    """A stress book: its tables, the P&L arrays, and what waits for evaluation.

    `fx` [asset] USD per unit (row 0: USD, 1); `settled_in` [settlement group] its row of `fx`; `nodes` [coin, K] relative price
    shocks; `scenarios` [expiry, 4, W]; `rows` [option or outcome, W] P&L of one contract before fx; `pnl` [series, 3, W] of the
    options; `settle` [series, 3, settlement group] coin delta; `curves` [unit, 3, K] the options' P&L at the worst volatility node;
    `queue` [5, row], `queued` [5].
    """

    rules: Table
    coins: Table
    pricing: Table
    instruments: Table
    expiries: Table
    legs: Table
    orders: Table
    series: Table
    units: Table
    portfolios: Table
    cash: Table
    fx: Floats
    settled_in: Ints
    nodes: Floats
    scenarios: Floats
    rows: Floats
    pnl: Floats
    settle: Floats
    curves: Floats
    queue: Ints
    queued: Ints
