"""Random snapshot documents for property tests, and simple changes to a document."""

from __future__ import annotations

import math
import random
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.reference.black76 import black76, digital

Document = dict[str, Any]
Row = dict[str, Any]

DAY = 86400
COINS = {"BTC": 100_000.0, "ETH": 3_500.0, "SOL": 180.0, "PEPE": 0.0000115}
VENUES = ("hyperliquid", "aster", "deribit", "bybit")
EXPIRIES = (-DAY, 0, 1, 900, 1800, DAY, int(7.3 * DAY), 34 * DAY, 125 * DAY, 300 * DAY)
SIGNED = ("quantity", "total", "amount")


@dataclass
class _Draw:
    """What one document is drawn with; `hidden` holds each option's volatility, also where the document leaves it out."""

    rng: random.Random
    as_of: int
    failures: bool
    text: bool
    fx: dict[str, float] = field(default_factory=dict)
    index: dict[str, float] = field(default_factory=dict)
    hidden: dict[str, float] = field(default_factory=dict)

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def near(self, value: float, spread: float) -> float:
        return value * (1.0 + self.rng.uniform(-spread, spread))

    def size(self, price: float, low: float = 3.5, high: float = 6.3) -> float:
        return float(10.0 ** self.rng.uniform(low, high) / price)

    def sign(self) -> float:
        return self.rng.choice((-1.0, 1.0))

    def number(self, value: float) -> float | str:
        return repr(value) if self.text and self.chance(0.2) else value

    def time(self, seconds: int) -> int | str:
        if self.chance(0.5):
            return seconds * 1000 + self.rng.choice((0, 506, 999))
        return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def random_document(
    rng: random.Random,
    *,
    coins: tuple[str, ...] = tuple(COINS),
    accounts: int = 4,
    positions: int = 5,
    expiries: tuple[int, ...] = EXPIRIES,
    options: bool = True,
    outcomes: bool = False,
    orders: bool = True,
    spot: bool = True,
    overrides: bool = True,
    failures: bool = False,
    exact_hedges: bool = False,
    text: bool = True,
) -> Document:
    """A valid snapshot with up to `accounts` accounts of up to `positions` positions each, all legs between 3e3 and 2e6 USD.

    `outcomes` lists digital options on Hyperliquid too, `spot` draws balances of coins and spot hedging, `overrides` parameters of the
    document's own, `failures` leaves out fx, indices, marks and volatilities here and there (so that units fail), `exact_hedges`
    mirrors perpetual positions into other accounts (exact ties of worst scenarios and branches), `text` writes some numbers as
    strings. Times to expiry are seconds. Now and then a stablecoin is off its peg.
    """
    as_of = 1_795_262_400 + rng.randrange(0, 30 * DAY)
    draw = _Draw(rng, as_of, failures, text)
    chosen = tuple(coin for coin in coins if draw.chance(0.7)) or coins[:1]
    draw.index = {coin: draw.near(COINS[coin], 0.2) for coin in chosen}
    draw.fx = {"USDT": draw.near(0.9998, 0.0005), "USDC": draw.near(1.0, 0.0003)}
    # of its own: what `rng` draws from here on stays as it was
    peg = random.Random(as_of)
    if peg.random() < 0.3:
        draw.fx[peg.choice(("USDT", "USDC"))] = peg.uniform(0.85, 1.05)
    listed = [row for coin in chosen for row in _instruments(draw, coin, expiries if options else ())]
    if outcomes:
        listed += [row for coin in chosen for row in _outcomes(draw, coin, expiries)]
    names = [f"account-{number}" for number in range(rng.randint(1, accounts))]
    books = [_account(draw, name, rng.choice(VENUES), listed, positions, orders, spot) for name in names]
    if exact_hedges:
        _mirror(draw, books, listed)
    document: Document = {
        "version": 1,
        "as_of": draw.time(as_of),
        "parameters": "uta",
        "fx": {asset: draw.number(value) for asset, value in draw.fx.items() if not (failures and draw.chance(0.03))},
        "index": {coin: draw.number(value) for coin, value in draw.index.items() if not (failures and draw.chance(0.05))},
        "beta": {coin: draw.rng.uniform(0.5, 2.0) for coin in chosen if draw.chance(0.5)},
        "volume_24h_usd": {row["id"]: 10.0 ** rng.uniform(6.0, 9.5) for row in listed if draw.chance(0.8)},
        "daily_volatility": {coin: rng.uniform(0.01, 0.12) for coin in chosen if draw.chance(0.8)},
        "instruments": listed,
        "accounts": books,
        "portfolios": _portfolios(draw, names),
    }
    if overrides and draw.chance(0.5):
        document["overrides"] = _overrides(draw, chosen)
    return document


def _portfolios(draw: _Draw, names: list[str]) -> list[Row]:
    some = draw.rng.sample(names, draw.rng.randint(1, len(names)))
    return [{"id": "desk", "accounts": names}, {"id": "some", "accounts": some}, {"id": "first", "accounts": names[:1]}]


def _overrides(draw: _Draw, coins: tuple[str, ...]) -> Row:
    rng = draw.rng
    found: dict[str, Row] = {}
    if draw.chance(0.5):
        nodes = rng.choice((3, 7, 11))
        found = {coin: {"price_nodes": nodes} for coin in coins}
    if draw.chance(0.7):
        choices: Row = {
            "price_range": rng.uniform(0.05, 0.6),
            "near_expiry": rng.choice((0.0, 1800.0, 86400.0)),
            "option_base": rng.choice(("model", "mark")),
            "extreme_multiple": rng.choice((0.0, 2.0, 3.0)),
            "extreme_weight": rng.choice((0.0, 0.35, 1.0)),
            "collateral_stress": rng.choice((0.0, 0.5, 1.0)),
            "spot_in_stablecoin_spread": draw.chance(0.5),
            "regime_power": rng.choice((0.0, 0.5, 1.0)),
        }
        coin = rng.choice(coins)
        found[coin] = found.get(coin, {}) | {name: choices[name] for name in rng.sample(sorted(choices), 3)}
    if draw.chance(0.5):
        found["*"] = {
            "correlation_shift": rng.choice((0.0, 0.3, 1.0)),
            "eta": rng.choice((0.0, 1.0)),
            "safety_buffer": rng.choice((0.0, 0.2)),
        }
    return found


def _instruments(draw: _Draw, coin: str, expiries: tuple[int, ...]) -> list[Row]:
    inverse: Row = {"coin": coin, "settle": coin, "inverse": True}
    dated = draw.as_of + draw.rng.choice((900, 20 * DAY, 34 * DAY))
    rows: list[Row] = [
        {"id": f"hyperliquid:{coin}", "kind": "perpetual", "coin": coin, "settle": "USDC", "tiers": [[0, 0.0125, 0]], "max_leverage": 40},
        {"id": f"aster:{coin}USDT", "kind": "perpetual", "coin": coin, "settle": "USDT"},
        {"id": f"bybit:{coin}USDT", "kind": "perpetual", "coin": coin, "settle": "USDT", "inverse": False},
        {"id": f"bybit:{coin}-F", "kind": "future", "coin": coin, "settle": "USDT", "expiry": draw.time(dated)},
        {"id": f"deribit:{coin}-PERPETUAL", "kind": "perpetual", **inverse},
        {"id": f"deribit:{coin}-F", "kind": "future", "expiry": draw.time(dated), **inverse},
    ]
    for row in rows:
        fx = draw.fx.get(row["settle"], 1.0)
        row["mark"] = None if draw.failures and draw.chance(0.03) else draw.number(draw.near(draw.index[coin] / fx, 0.004))
    rows.append({"id": f"hyperliquid:spot:{coin}", "kind": "spot", "coin": coin, "settle": "USDC", "mark": draw.index[coin]})
    if coin == "PEPE":
        return rows
    for seconds in draw.rng.sample(expiries, min(3, len(expiries))):
        rows += [_option(draw, coin, seconds) for _ in range(4)]
    return list({row["id"]: row for row in rows}.values())


def _option(draw: _Draw, coin: str, seconds: int) -> Row:
    rng = draw.rng
    venue, settle = rng.choice((("deribit", coin), ("deribit", "USDC"), ("bybit", "USDT")))
    years = max(0, seconds) / (365 * DAY)
    forward = draw.index[coin] / draw.fx.get(settle, 1.0) * (1.0 + 0.06 * years + rng.uniform(-0.001, 0.001))
    sigma = rng.uniform(0.25, 1.1)
    strike = float(f"{forward * math.exp(rng.uniform(-1.8, 1.8) * sigma * math.sqrt(years) + rng.uniform(-0.02, 0.02)):.3g}")
    call = draw.chance(0.5)
    price = black76(forward, strike, sigma, years, call)
    mark = price / forward if settle == coin else price
    name = f"{venue}:{coin}-{settle}-{seconds}-{strike:g}-{'C' if call else 'P'}"
    draw.hidden[name] = sigma
    row = {
        "id": name,
        "kind": "option",
        "coin": coin,
        "settle": settle,
        "option_type": "call" if call else "put",
        "strike": strike,
        "expiry": draw.time(draw.as_of + seconds),
        "forward": draw.number(forward),
        "iv": draw.number(sigma),
        "mark": None,
    }
    # Time value lost in rounding cannot be inverted: only options with a day left may go without iv.
    if seconds >= DAY and draw.chance(0.3):
        row |= {"iv": rng.choice((None, 0.0)), "mark": draw.number(mark)}
    elif draw.chance(0.4):
        row["mark"] = draw.near(mark, 0.02)
    if draw.failures and draw.chance(0.05):
        row |= rng.choice(({"forward": None}, {"iv": None, "mark": None}, {"iv": 0.0, "mark": 0.0}))
    return row


def _outcomes(draw: _Draw, coin: str, expiries: tuple[int, ...]) -> list[Row]:
    rng, rows = draw.rng, list[Row]()
    settle = rng.choice(("USDC", "USDT"))
    for number in range(6):
        seconds, sigma, call = rng.choice(expiries), rng.uniform(0.25, 1.1), draw.chance(0.5)
        years = max(0, seconds) / (365 * DAY)
        forward = draw.near(draw.index[coin] / draw.fx[settle], 0.002)
        strike = forward * math.exp(rng.uniform(-1.8, 1.8) * sigma * math.sqrt(years) + rng.uniform(-0.02, 0.02))
        row: Row = {"id": f"hyperliquid:#{coin}-{number}", "kind": "outcome", "coin": coin, "settle": settle}
        row |= {"option_type": "call" if call else "put", "strike": strike, "expiry": draw.time(draw.as_of + seconds)}
        row |= {"forward": draw.number(forward), "iv": draw.number(sigma), "mark": None}
        if draw.chance(0.5):
            row["mark"] = min(1.0, max(0.0, digital(forward, strike, sigma, years, call) + rng.uniform(-0.02, 0.02)))
        if draw.failures and draw.chance(0.05):
            row |= rng.choice(({"forward": None}, {"iv": None}, {"iv": 0.0}))
        rows.append(row)
    return rows


def has_strike(row: Row) -> bool:
    """Whether a row of instruments is priced on a forward with a volatility."""
    return row["kind"] in ("option", "outcome")


def _account(draw: _Draw, name: str, venue: str, listed: list[Row], positions: int, orders: bool, spot: bool) -> Row:
    rng = draw.rng
    hedge_mode = venue == "aster" and draw.chance(0.7)
    own = [row for row in listed if row["id"].startswith(f"{venue}:") or draw.chance(0.1)]
    held = rng.sample(own, min(len(own), rng.randint(0, positions)))
    account: Row = {"id": name, "venue": venue, "positions": [_position(draw, row, hedge_mode) for row in held]}
    if hedge_mode:
        account["positions"] += [
            _position(draw, listed_row, False, -sign_of(row)) | {"side": "short" if sign_of(row) > 0.0 else "long"}
            for listed_row, row in zip(held, list(account["positions"]), strict=True)
            if draw.chance(0.4)
        ]
    if draw.chance(0.7):
        account["equity"] = draw.number(10.0 ** rng.uniform(4.0, 7.0) * (-1.0 if draw.chance(0.03) else 1.0))
        for row in account["positions"]:
            if draw.chance(0.2):
                row["entry"] = None
    account["balances"] = _balances(draw, spot)
    if draw.chance(0.5):
        account["spot_hedging"] = draw.chance(0.8)
    if draw.chance(0.3):
        account["hedge_cap"] = {coin: draw.size(draw.index[coin], 3.0, 6.0) for coin in draw.index if draw.chance(0.7)}
    account["debts"] = _debts(draw) if draw.chance(0.4) else []
    if orders:
        account["orders"] = [_order(draw, row) for row in (*rng.sample(own, min(2, len(own))), *held[:2]) if draw.chance(0.6)]
    return account


def sign_of(row: Row) -> float:
    """Sign of a position's quantity."""
    return math.copysign(1.0, float(row["quantity"]))


def _price(draw: _Draw, row: Row) -> float:
    """USD per unit of quantity, roughly."""
    return 1.0 if row.get("inverse") or row["kind"] == "outcome" else draw.index[row["coin"]]


def _position(draw: _Draw, row: Row, hedge_mode: bool, sign: float | None = None) -> Row:
    quantity = draw.size(_price(draw, row)) * (draw.sign() if sign is None else sign)
    if draw.chance(0.03) and not hedge_mode and sign is None:
        quantity = 0.0
    found: Row = {"instrument": row["id"], "quantity": draw.number(quantity)}
    if not has_strike(row) or draw.chance(0.5):
        found["entry"] = draw.number(draw.near(draw.index[row["coin"]], 0.05))
    if hedge_mode:
        found["side"] = "long" if quantity > 0.0 else "short"
    return found


def _order(draw: _Draw, row: Row) -> Row:
    quantity = draw.size(_price(draw, row)) * draw.sign()
    price = draw.index[row["coin"]]
    if row["kind"] == "option":
        price = 0.03 if row["settle"] == row["coin"] else 0.03 * price
    if row["kind"] == "outcome":
        price = 0.5
    order: Row = {"instrument": row["id"], "quantity": draw.number(quantity), "limit_price": draw.number(draw.near(price, 0.02))}
    if draw.chance(0.5):
        order["reduce_only"] = draw.chance(0.4)
    return order


def _balances(draw: _Draw, spot: bool) -> list[Row]:
    rows: list[Row] = [{"asset": asset, "total": draw.size(1.0, 4.0, 6.5)} for asset in ("USD", "USDC", "USDT") if draw.chance(0.5)]
    for coin in draw.index if spot else ():
        for _ in range(draw.rng.choice((0, 0, 1, 2))):
            row: Row = {"asset": coin, "total": draw.number(draw.size(draw.index[coin], 3.0, 6.0) * (-1.0 if draw.chance(0.4) else 1.0))}
            if draw.chance(0.8):
                row["collateral_ratio"] = draw.rng.choice((0.0, 0.5, 0.9, 0.95, 0.98, 1.0))
            if draw.chance(0.8):
                row["eligible_hedge"] = draw.chance(0.8)
            rows.append(row)
    return rows


def _debts(draw: _Draw) -> list[Row]:
    asset = draw.rng.choice(("USD", "USDC", "USDT", *draw.index))
    price = draw.index.get(asset, 1.0)
    rows: list[Row] = [{"asset": asset, "amount": draw.number(draw.size(price, 2.0, 5.0))}]
    if draw.chance(0.5):
        rows[0] |= {"mm_rate": 0.03, "im_rate": 0.12}
    return rows


def _mirror(draw: _Draw, accounts: list[Row], listed: list[Row]) -> None:
    """Give the last account the opposite of the perpetual positions of the others."""
    plain = {row["id"] for row in listed if row["kind"] == "perpetual" and not row.get("inverse")}
    rows = {row["instrument"]: row for account in accounts for row in account["positions"] if row["instrument"] in plain}
    accounts.append(
        {
            "id": "account-mirror",
            "venue": "aster",
            "equity": 1e6,
            "positions": [{"instrument": name, "quantity": -float(row["quantity"])} for name, row in rows.items() if draw.chance(0.7)],
        }
    )


def without_orders(document: Document) -> Document:
    """The same book without its resting orders."""
    return document | {"accounts": [account | {"orders": []} for account in document["accounts"]]}


def scaled(document: Document, factor: float) -> Document:
    """Positions, orders, balances, hedge caps, debts and given equity times `factor`."""
    found = deepcopy(document)
    for account in found["accounts"]:
        if account.get("equity") is not None:
            account["equity"] = float(account["equity"]) * factor
        account["hedge_cap"] = {coin: float(cap) * factor for coin, cap in account.get("hedge_cap", {}).items()}
        for section in ("positions", "orders", "balances", "debts"):
            for row in account.get(section, []):
                row |= {key: float(row[key]) * factor for key in SIGNED if key in row}
    return found
