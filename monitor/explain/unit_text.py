"""The explanation of one unit: parameters in force, instruments, scenarios, contingencies, order groups."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from kernels import layout
from monitor.explain.charges import Charge, charges, charges_total, expiry_rows
from monitor.explain.quotes import LegTerms, Quote, Shock
from monitor.explain.unit_terms import GroupTerms, Node, UnitTerms
from monitor.explain.writing import Explanation, price, usd
from monitor.margin.portfolio import GROUP_NAMES, PortfolioResult, UnitResult
from monitor.stress.book import StressBook

GROUP_WORDS = ("C (positions)", "C+A (with buy orders)", "C+B (with sell orders)")
_VOLATILITY = ("up", "unchanged", "down")


def explain_unit(out: Explanation, book: StressBook, result: PortfolioResult, engine: UnitResult, terms: UnitTerms) -> None:
    """Write one unit of a portfolio under the group that the engine says is binding."""
    row = book.accounts.portfolios[result.portfolio]
    record = book.tables.units.table[book.accounts.legs.units[row][book.market.coins[terms.coin]]]
    # without orders all groups are the positions
    group = terms.group(GROUP_NAMES.index(engine.binding_orders) if terms.has_orders else 0)
    out.heading(f"Unit {terms.coin} of portfolio {result.portfolio}")
    _parameters(out, terms)
    _instruments(out, terms)
    _legs(out, terms, group)
    _spot(out, record, engine, terms, group)
    binding = _scenarios(out, engine, terms, group)
    _worst_legs(out, terms, group, binding)
    _contingencies(out, engine, terms, group)
    _groups(out, record, engine, terms, group, result.choice)


def _parameters(out: Explanation, terms: UnitTerms) -> None:
    own, regime = terms.parameters, terms.regime
    daily = f"daily volatility {regime.daily:g}" if regime.daily > 0 else "daily volatility unknown"
    out.section("Parameters in force")
    out.line(f"index I {price(terms.index)} USD")
    formula = f"clip(({daily} / {own.sigma_ref:g}) ^ {own.regime_power:g}, 1, {own.regime_cap:g})"
    out.line(f"regime = {formula if regime.daily > 0 else daily} = {regime.factor:g}")
    out.line(f"price range R = {own.price_range:g} x {regime.factor:g} = {regime.price_range:g}, {own.price_nodes} nodes")
    extreme = f"+-{own.extreme_multiple:g} R at weight {own.extreme_weight:g}" if own.extreme_multiple > 0 else "none"
    out.line(f"extreme nodes: {extreme}; near_expiry {own.near_expiry:g} s; collateral_stress {own.collateral_stress:g}")
    out.line(f"volatility shocks of 30 days: {own.vol_up:+g}, 0, {-own.vol_down:+g}; times (30 / DTE) ^ {own.vol_exponent:g}")
    out.line(f"shocked volatilities within {own.vol_floor:g} and {own.vol_cap:g}; base of options: {own.option_base}")
    out.line(f"im_factor = 1 + ({own.im_factor:g} - 1) x {regime.factor:g} = {regime.im_factor:g}")
    out.line(f"f_E = {own.f_E:g} x {regime.factor:g} = {regime.f_e:g}; f_A {own.f_A:g}; f_B {own.f_B:g}; f_C {own.f_C:g}; f_D {own.f_D:g}")


def _instruments(out: Explanation, terms: UnitTerms) -> None:
    out.section("Instruments")
    quotes: dict[str, Quote] = {leg.quote.name: leg.quote for leg in terms.legs}
    for quote in quotes.values():
        (_option if quote.is_option else _linear)(out, quote)


def _life(quote: Quote) -> str:
    life = quote.life
    if not life.day:
        return "perpetual"
    decay = f", near-expiry decay {life.decay:g}" if life.decay != 1.0 else ""
    return f"{life.days:.4f} days, DTE {life.dte}, T {life.years:.6g} years{decay}"


def _linear(out: Explanation, quote: Quote) -> None:
    if quote.usd == quote.mark and quote.settlement == "USD":
        out.line(f"{quote.name}: mark {price(quote.mark)} USD; {_life(quote)}")
    else:
        out.line(
            f"{quote.name}: mark {price(quote.mark)} {quote.settlement} x fx {price(quote.fx)} = {price(quote.usd)} USD; {_life(quote)}"
        )


def _option(out: Explanation, quote: Quote) -> None:
    kind = "call" if quote.call else "put"
    if quote.is_outcome:
        kind = f"outcome, 1 {quote.settlement} {'above' if quote.call else 'not above'}"
    fx = "" if quote.fx == 1.0 else f", fx {price(quote.fx)}"
    out.line(f"{quote.name}: {kind} {price(quote.strike)} on forward {price(quote.forward)}{fx}; {_life(quote)}")
    up, down = (quote.shocked(s) for s in (quote.parameters.vol_up, -quote.parameters.vol_down))
    out.line(
        f"    sigma {quote.sigma:.6g} ({quote.sigma_from}), up {up:.6g}, down {down:.6g}; base {price(quote.base)} ({quote.base_from})"
    )
    delta, gamma, vega = quote.greeks
    out.line(f"    delta {delta:.6g}, gamma {gamma:.4g} per USD, vega {vega:.6g} per 1.00 of volatility")


def _legs(out: Explanation, terms: UnitTerms, group: GroupTerms) -> None:
    out.section(f"Legs, {GROUP_WORDS[group.group]}")
    if not terms.legs:
        out.line("none: balances only")
        return
    rows = []
    for leg in terms.legs:
        orders = math.fsum(order.quantity for order in leg.orders.get(group.group, ()))
        held = leg.quantity(group.group)
        rows.append([leg.name, price(leg.position), price(orders), price(held), price(leg.quote.delta(held))])
    out.table(("leg", "position", "orders", "quantity", "coin delta"), rows)


def _spot(out: Explanation, record: Mapping[str, float], engine: UnitResult, terms: UnitTerms, group: GroupTerms) -> None:
    spot = terms.spot
    out.section("Delta and spot")
    held = [(leg.quantity(group.group), leg.quote) for leg in terms.legs]
    size = math.fsum(abs(quote.coins(quantity)) for quantity, quote in held)
    out.check("delta D", "sum of coin deltas", group.delta, engine.delta, size, money=False)
    gammas = [quantity * quote.greeks[1] for quantity, quote in held]
    out.check("gamma", "sum of gammas", math.fsum(gammas), engine.gamma, max(size / terms.index, *map(abs, gammas), 0.0), money=False)
    vegas = [quantity * quote.greeks[2] * quote.fx for quantity, quote in held]
    out.check("vega", "sum of vegas x fx", math.fsum(vegas), engine.vega, max(size * terms.index, *map(abs, vegas), 0.0), money=False)
    for account, row in spot.hedging:
        out.line(f"hedging balance of {account}: {price(row.total)}")
    if spot.hedging:
        out.check(
            "hedge balance S",
            "sum of these",
            spot.signed,
            record["spot"],
            math.fsum(abs(row.total) for _, row in spot.hedging),
            money=False,
        )
    cap = "no cap" if math.isinf(spot.cap) else f"cap {price(spot.cap)}"
    formula = f"sign(S) x min(|S| {price(abs(spot.signed))}, |D| {price(abs(group.delta))}, {cap})"
    offsets = spot.signed * group.delta < 0.0
    out.check("hedging spot h", formula if offsets else "S does not offset D", group.hedge, engine.hedging_spot, size, money=False)
    if spot.positive:
        out.check("mean collateral ratio CRw", "balances weighted", spot.mean_ratio, record["collateral_ratio"], money=False)
        formula = f"max(0, positive balances {price(spot.positive)} - max(0, h))"
        free = max(0.0, float(record["collateral"]) - max(0.0, engine.hedging_spot))
        out.check("collateral x", formula, group.free, free, spot.positive, money=False)


def _scenarios(out: Explanation, engine: UnitResult, terms: UnitTerms, group: GroupTerms) -> tuple[Node, int]:
    volatility = terms.shocks.index(engine.worst_volatility)
    there = [node for node in group.nodes if math.isclose(node.k, engine.worst_price, rel_tol=1e-9, abs_tol=1e-12)]
    # an extreme node that was cut off may lie on an ordinary one
    binding = min(there, key=lambda node: node.counted)
    out.section("P&L in USD by price node (k: relative move); * binds")
    headings = ["k", "linear", *(["up", "unchanged", "down", "min"] if terms.has_options else []), "spot", "collateral", "all"]
    rows = []
    for node in group.nodes:
        options = [usd(value) for value in (*node.options, node.option)] if terms.has_options else []
        weight = "" if node in group.ordinary else f" x {node.weight:g}"
        mark = " *" if node is binding else ""
        cells = [usd(node.linear), *options, usd(node.spot), usd(node.collateral), f"{usd(node.all)}{weight}{mark}"]
        rows.append([f"{node.k:+.5g}", *cells])
    out.table(headings, rows)
    pnl = binding.weight * (binding.linear + binding.options[volatility] + binding.spot + binding.collateral)
    least = min(node.counted for node in group.nodes)
    what = f"P&L at the worst node, k {binding.k:+.5g}, volatility {_VOLATILITY[volatility]}"
    out.check(what, "the least of all", pnl, least, group.size)
    ours, theirs = (math.fsum(column) for column in ([node.all for node in group.ordinary], engine.all))
    out.check("all, summed over the nodes within the range", "", ours, theirs, group.size)
    out.check("max_loss", f"max(0, {usd(-least)})", group.max_loss, engine.max_loss, group.size)
    return binding, volatility


def _worst_legs(out: Explanation, terms: UnitTerms, group: GroupTerms, binding: tuple[Node, int]) -> None:
    node, volatility = binding
    out.section("Legs at the worst node, before its weight" if node.weight != 1.0 else "Legs at the worst node")
    rows = []
    for leg in terms.legs:
        quantity = leg.quantity(group.group)
        pnl = leg.quote.pnl(quantity, Shock(node.k, terms.shocks[volatility]))
        rows.append([leg.name, _formula(leg, quantity, node.k, terms.shocks[volatility]), usd(pnl)])
    out.table(("leg", "formula", "P&L"), rows, left=2)


def _formula(leg: LegTerms, quantity: float, k: float, s: float) -> str:
    quote = leg.quote
    move = f"{k * quote.life.decay:+.5g}"
    if quote.kind == layout.INVERSE:
        return f"{price(quantity)} USD x {move}"
    if quote.kind == layout.LINEAR:
        return f"{price(quantity)} x {price(quote.usd)} x {move}"
    worth = quote.base + quote.pnl(1.0, Shock(k, s)) / quote.fx
    fx = "" if quote.fx == 1.0 else f"{price(quote.fx)} x "
    return f"{fx}{price(quantity)} x ({price(worth)} - {price(quote.base)})"


def _contingencies(out: Explanation, engine: UnitResult, terms: UnitTerms, group: GroupTerms) -> None:
    out.section("Contingencies")
    if terms.legs:
        out.table(("expiry", "days", "net calls", "net puts", "vega / I", "delta"), expiry_rows(terms, group))
    found = charges(terms, group)
    for charge in found:
        out.check(f"{charge.letter:2} {charge.name}", charge.formula, charge.value, engine.contingency[charge.name], group.size)
    for name, loss in group.order_losses:
        out.line(f"order {name}: max(0, {usd(loss)})")
    out.check("order_loss", "sum of these" if group.order_losses else "no orders", group.order_loss, engine.order_loss)


def maintenance(group: GroupTerms, found: list[Charge]) -> float:
    """MM of a unit under an order group."""
    return group.max_loss + charges_total(found) + group.order_loss


def _groups(out: Explanation, record: Mapping[str, Any], engine: UnitResult, terms: UnitTerms, binding: GroupTerms, choice: int) -> None:
    out.section("Margin of the unit")
    groups = [terms.group(one) for one in range(len(GROUP_NAMES) if terms.has_orders else 1)]
    found = [charges(terms, group) for group in groups]
    rows = [["max_loss", *(usd(group.max_loss) for group in groups)]]
    rows += [[f"{same[0].letter} {same[0].name}", *(usd(charge.value) for charge in same)] for same in zip(*found, strict=True)]
    rows.append(["order_loss", *(usd(group.order_loss) for group in groups)])
    out.table(("", *(GROUP_WORDS[group.group] for group in groups)), rows)
    for group, own in zip(groups, found, strict=True):
        figure = engine.maintenance_margin if group is binding else record["maintenance"][group.group]
        out.check(f"MM {GROUP_WORDS[group.group]}", "sum of the column", maintenance(group, own), figure, group.size)
    if terms.has_orders:
        why = "the unit's own largest" if choice == 0 else "the same group for every unit, which needs the most for the portfolio"
        out.line(f"binding: {GROUP_NAMES[binding.group]}, {why}")
    value, factor = maintenance(binding, charges(terms, binding)), terms.regime.im_factor
    out.check("IM", f"{usd(value)} x im_factor {factor:g}", value * factor, engine.initial_margin, binding.size)
