"""What a portfolio's figures take for granted because nobody told it otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from kernels import layout
from monitor.stress.book import StressBook
from monitor.stress.market import SECOND_MS

_ALWAYS = (
    "no venue acts on this number, and equity cannot be moved between venues at once: every account can be liquidated on its own",
    "distances move index, marks and forwards of a coin together; volatilities, stablecoins and the time stay",
)


def assumptions(book: StressBook, name: str, beta: Mapping[str, float]) -> list[str]:
    """Sentences on what the figures of one portfolio assume, the data's own gaps first."""
    return [*_gaps(book, name, beta), *_ALWAYS]


def _gaps(book: StressBook, name: str, beta: Mapping[str, float]) -> Iterator[str]:
    row, table, listed = book.accounts.portfolios[name], book.tables.instruments.table, book.market.listed
    units = book.accounts.legs.listed_units(row)
    coins = [book.market.coin_names[book.tables.units.table["coin"][unit]] for unit in units]
    keys = [key for unit in units for key, _ in book.accounts.legs.of_unit(unit)]
    held = sorted({number for _, _, number, _ in keys})
    implied = [n for n in held if _is_option(table[n]) and not table["volatility"][n] > 0 and table["used_volatility"][n] > 0]
    yield from _named("volatility implied from the mark, none was told", [listed[n].id for n in implied])
    expired = [n for n in held if _is_option(table[n]) and (listed[n].expiry_ms or 0) // SECOND_MS <= book.market.as_of_s]
    for kind, counts in (("option", "intrinsic value"), ("outcome", "what it pays at the forward")):
        yield from _named(f"{counts}, the {kind} has expired", [listed[n].id for n in expired if listed[n].kind == kind])
    based = [n for n in held if _is_option(table[n]) and book.parameters.unit(listed[n].coin).option_base == "mark"]
    unmarked = [listed[n].id for n in based if not table["mark"][n] >= 0]
    yield from _named('the model\'s price as base although option_base is "mark", no mark was told', unmarked)
    yield from _volumes(book, held)
    yield from _named("beta 1, none was told", [coin for coin in coins if coin not in beta])
    follows = [coin for coin in coins if book.parameters.unit(coin).regime_power > 0]
    volatilities = book.tables.coins.table["daily_volatility"]
    calm = [coin for coin in follows if not volatilities[book.market.coins[coin]] > 0]
    yield from _named("factors of a calm market, no daily volatility was told", calm)
    yield from _money(book, name)
    if any(book.accounts.states[account].row.orders for account in book.accounts.members[row]):
        yield "resting orders count as filled at their marks where that needs more margin; reduce-only orders are left out"


def _is_option(record: Mapping[str, int]) -> bool:
    return bool(record["kind"] >= layout.OPTION)


def _volumes(book: StressBook, held: Iterable[int]) -> Iterator[str]:
    if book.parameters.portfolio.eta > 0:
        table, listed = book.tables.instruments.table, book.market.listed
        volatilities = book.tables.coins.table["daily_volatility"]
        unknown = [n for n in held if not (table["volume"][n] > 0 and volatilities[table["coin"][n]] > 0)]
        yield from _named("the liquidity cap, no 24 h volume or daily volatility was told", [listed[n].id for n in unknown])


def _money(book: StressBook, name: str) -> Iterator[str]:
    states = [book.accounts.states[account] for account in book.accounts.members[book.accounts.portfolios[name]]]
    bare = [
        (state.row.id, f"{balance.asset} of {state.row.id}")
        for state in states
        for balance in state.row.balances
        if balance.total > 0 and balance.collateral_ratio is None and balance.asset not in book.market.assets
    ]
    computes = {state.row.id for state in states if state.row.equity is None}
    for effect, counts in (("counts nothing in equity", True), ("does not move equity", False)):
        named = [what for account, what in bare if (account in computes) == counts]
        yield from _named(f"{effect}, no collateral ratio was told", named)
    common = book.parameters.portfolio
    rates = [
        f"{debt.asset} of {state.row.id}"
        for state in states
        for debt in state.row.debts
        if debt.amount and (debt.mm_rate is None or debt.im_rate is None)
    ]
    yield from _named(f"the set's rates on debts ({common.borrow_mm_rate:g}, initial {common.borrow_im_rate:g})", rates)
    with_cash = [state.row.id for state in states if state.row.equity is None and state.row.balances]
    yield from _named("equity computed from balances, entries and marks, none was told", with_cash)
    without = [state.row.id for state in states if state.row.equity is None and not state.row.balances]
    yield from _named("cash 0 in an equity computed from entries and marks, neither equity nor balances were told", without)


def _named(what: str, names: Iterable[str]) -> Iterator[str]:
    found = list(dict.fromkeys(names))
    if found:
        yield f"{what}: {', '.join(found)}"
