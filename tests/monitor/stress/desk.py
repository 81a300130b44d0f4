"""A desk that trades at random: every event goes to a stress book and to a plain snapshot document of the same state.

The document is kept without asking the book, and equities that prices moved are valued by the plain reference, so that it
proves what the book has become.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

from connectors.events import Forwards, IndexPrices, MarkPrices, StablecoinPrices, Volatilities
from monitor.snapshot import AccountRow, BalanceRow, DebtRow, InstrumentRow, OrderRow, PositionRow, parse_snapshot
from monitor.stress.book import StressBook
from monitor.stress.load import book_of
from tests.kernels.stress_books import CUTS, REFERENCE, parameters_of
from tests.reference.books import COINS, Document, has_strike, random_document
from tests.reference.equity import movable
from tests.reference.market import Market, lacking
from tests.reference.snapshot import parse, whole_seconds

STEPS_S = (1, 1, 1, 60, 899, 3_600, 86_400, 8 * 86_400)
"""How far the clock moves at a time."""

EVENTS = {
    "tick": 10, "clock": 3, "forward": 4, "volatility": 4, "index": 4, "stablecoin": 3, "fill": 10, "orders": 6, "money": 4,
    "replace": 2, "daily_volatility": 2, "volume": 2, "list_instrument": 1, "add_account": 1,
}  # fmt: skip
"""Kinds of events and how often each happens."""

Row = dict[str, Any]

TRADED = ("perpetual", "future", "option", "outcome")
"""Kinds that make legs."""


class Desk:
    """`document` is the state by itself; `anchors` what of each told equity no price moves.

    With `checked` the book is evaluated after every event, and equities are followed so that `document` can be held against the
    reference; without, the events between two evaluations are the caller's.
    """

    def __init__(self, seed: int, name: str, *, checked: bool = False, **options: Any) -> None:
        self.rng = random.Random(seed)
        self.name = name
        self.checked = checked
        self.document = random_document(self.rng, text=False, **options)
        self._thin()
        self.document["as_of"] = whole_seconds(self.document["as_of"]) * 1000
        for row in self.document["instruments"]:
            if "expiry" in row:
                row["expiry"] = whole_seconds(row["expiry"]) * 1000
        self._enter_inverse()
        snapshot = parse_snapshot(self.document, "document")
        self.book: StressBook = book_of(snapshot, parameters_of(snapshot, name), CUTS)
        self.log: list[str] = []
        self.anchors: dict[str, float] = {}
        self._hedged = {row["id"] for row in self.document["accounts"] if any("side" in held for held in row["positions"])}
        for account in self.document["accounts"] if checked else ():
            self._anchor(account)

    def step(self) -> None:
        """One random event."""
        (name,) = self.rng.choices(list(EVENTS), list(EVENTS.values()))
        self.happen(name)

    def happen(self, name: str) -> None:
        """One event of a kind."""
        self.log.append(name)
        getattr(self, name)()
        if self.checked:
            self.book.evaluate()

    # -- the market ------------------------------------------------------------------------------------------------------------

    def _some(self, rows: Sequence[Row]) -> list[Row]:
        return self.rng.sample(rows, min(len(rows), self.rng.choice((1, 1, 1, 4))))

    def _contracts(self, *kinds: str) -> list[Row]:
        return [row for row in self.document["instruments"] if row["kind"] in kinds]

    def _nudged(self, value: float, missing: float) -> float | None:
        if self.rng.random() < missing:
            return None
        return value * math.exp(self.rng.gauss(0.0, self.rng.choice((1e-4, 0.01, 0.1))))

    def _mark(self, row: Row) -> float | None:
        if row["kind"] == "option":
            forward = row["forward"] or self.document["index"][row["coin"]]
            premium = forward * self.rng.uniform(0.0, 0.2)
            return self.rng.choice((None, 0.0, premium / forward if row["settle"] == row["coin"] else premium))
        if row["kind"] == "outcome":
            return self.rng.choice((None, 0.0, self.rng.random()))
        return self._nudged(self.document["index"][row["coin"]] / self.document["fx"].get(row["settle"], 1.0), 0.03)

    def tick(self) -> None:
        """Marks of some instruments, unknown now and then."""
        rows = self._some(self._contracts(*TRADED))
        for row in rows:
            row["mark"] = self._mark(row)
        marks = [_or_nan(row["mark"]) for row in rows]
        self.book.apply(MarkPrices("v", "feed", 0, [row["id"] for row in rows], marks, [], []))

    def forward(self) -> None:
        """The forward of an expiry on a venue."""
        options = self._contracts("option", "outcome")
        if options:
            chosen = self.rng.choice(options)
            venue, value = _venue(chosen), self._nudged(self.document["index"][chosen["coin"]], 0.05)
            for row in options:
                if (_venue(row), row["coin"], row["settle"], row["expiry"]) == (
                    venue,
                    *(chosen[key] for key in ("coin", "settle", "expiry")),
                ):
                    row["forward"] = value
            self.book.apply(Forwards(venue, "feed", 0, [chosen["coin"]], [chosen["settle"]], [chosen["expiry"] + 506], [_or_nan(value)]))

    def volatility(self) -> None:
        """Volatilities of some options; none, or 0, leaves the mark to imply one."""
        rows = self._some(self._contracts("option", "outcome"))
        for row in rows:
            row["iv"] = self.rng.choice((None, 0.0, self.rng.uniform(0.05, 1.5), self.rng.uniform(0.05, 1.5)))
        volatilities = [_or_nan(row["iv"]) for row in rows]
        self.book.apply(Volatilities("v", "feed", 0, [row["id"] for row in rows], volatilities))

    def index(self) -> None:
        """The index of one coin."""
        coin = self.rng.choice(list(self.document["index"]))
        value = self._nudged(self.document["index"][coin], 0.0)
        self.document["index"][coin] = value
        self.book.apply(IndexPrices("v", "feed", 0, {coin: _or_nan(value)}))

    def stablecoin(self) -> None:
        """The price of a stablecoin."""
        asset = self.rng.choice(list(self.document["fx"]))
        self.document["fx"][asset] = self.rng.uniform(0.98, 1.01)
        self.book.apply(StablecoinPrices("v", "feed", 0, {asset: self.document["fx"][asset]}))

    def clock(self) -> None:
        """Time passes, expiries too."""
        self.document["as_of"] += self.rng.choice(STEPS_S) * 1000
        self.book.market.set_clock(self.document["as_of"] + self.rng.choice((0, 999)))

    def daily_volatility(self) -> None:
        """The regime of a coin."""
        coin = self.rng.choice(list(self.document["index"]))
        value = self.rng.choice((None, self.rng.uniform(0.0, 0.2)))
        self.document["daily_volatility"][coin] = value
        self.book.market.set_daily_volatility(coin, _or_nan(value))

    def volume(self) -> None:
        """Volume of an instrument in 24 hours."""
        row = self.rng.choice(self._contracts(*TRADED))
        value = self.rng.choice((None, 0.0, 10.0 ** self.rng.uniform(4.0, 10.0)))
        self.document["volume_24h_usd"][row["id"]] = value
        self.book.market.set_volume(row["id"], _or_nan(value))

    def list_instrument(self) -> None:
        """A new listing: another strike or expiry, or one more perpetual."""
        row = deepcopy(self.rng.choice(self._contracts(*TRADED)))
        row["id"] = f"{row['id']}-{len(self.document['instruments'])}"
        if has_strike(row):
            row["strike"] *= self.rng.uniform(0.9, 1.1)
        if "expiry" in row:
            row["expiry"] += self.rng.choice((0, 86_400_000))
        self.document["instruments"].append(row)
        self.book.market.add_instrument(InstrumentRow.model_validate(row))

    # -- the accounts ------------------------------------------------------------------------------------------------------------

    def fill(self) -> None:
        """A position opened, changed, closed or turned; in hedge mode one side of it."""
        account = self._account()
        if account is None:
            return
        row = self._tradable(account)
        side = self.rng.choice(("long", "short")) if account["id"] in self._hedged else None
        standing = next((held for held in account["positions"] if (held["instrument"], held.get("side")) == (row["id"], side)), None)
        quantity = self._quantity(row, standing, side)
        position: Row = {"instrument": row["id"], "quantity": quantity, "entry": self._entry(row)}
        if side:
            position["side"] = side
        before = self._movable(account)
        account["positions"] = [held for held in account["positions"] if held is not standing] + ([position] if quantity else [])
        self.book.accounts.set_position(account["id"], PositionRow.model_validate(position))
        if account["id"] in self.anchors:
            # trading at the mark leaves the equity where it is
            self.anchors[account["id"]] += before - self._movable(account)

    def _quantity(self, row: Row, standing: Row | None, side: str | None) -> float:
        size: float = 10.0 ** self.rng.uniform(3.0, 6.0) / (
            1.0 if row.get("inverse") or row["kind"] == "outcome" else self.document["index"][row["coin"]]
        )
        sign = {"long": 1.0, "short": -1.0, None: self.rng.choice((-1.0, 1.0))}[side]
        if standing is None:
            return size * sign
        now = float(standing["quantity"])
        return self.rng.choice((0.0, size * sign, 0.5 * now, -now if side is None else 0.0))

    def _entry(self, row: Row) -> float:
        return float(self.document["index"][row["coin"]]) * self.rng.uniform(0.95, 1.05)

    def orders(self) -> None:
        """All resting orders of an instrument: more, others or none."""
        account = self._account()
        if account is None:
            return
        row = self._tradable(account)
        others = [order for order in account.get("orders", []) if order["instrument"] != row["id"]]
        rows = [self._order(row) for _ in range(self.rng.choice((0, 1, 1, 3)))]
        account["orders"] = others + rows
        self.book.accounts.set_orders(account["id"], row["id"], [OrderRow.model_validate(order) for order in rows])

    def _order(self, row: Row) -> Row:
        limit = self._entry(row)
        if row["kind"] == "option":
            limit *= 0.05 / (self.document["index"][row["coin"]] if row["settle"] == row["coin"] else 1.0)
        if row["kind"] == "outcome":
            limit = self.rng.uniform(0.01, 0.99)
        order: Row = {"instrument": row["id"], "quantity": self._quantity(row, None, None), "limit_price": limit}
        return order | {"reduce_only": True} if self.rng.random() < 0.2 else order

    def _drawn(self) -> Row:
        # a stranger's balances, debts and positions
        other = random_document(self.rng, coins=tuple(self.document["index"]), accounts=1, text=False, overrides=False)
        account: Row = other["accounts"][0]
        known = {*self.document["index"], *self.document["fx"], "USD"}
        for section in ("balances", "debts"):
            account[section] = [row for row in account.get(section, []) if row["asset"] in known]
        account["hedge_cap"] = {coin: cap for coin, cap in account.get("hedge_cap", {}).items() if coin in known}
        return account

    def money(self) -> None:
        """Balances, debts and equity as a venue tells them; without equity it is computed."""
        account = self._account()
        if account is None:
            return
        drawn = self._drawn()
        equity = drawn.get("equity") if self._has_entries(account) else drawn.get("equity", 1e5)
        account |= {"balances": drawn["balances"], "debts": drawn["debts"], "equity": equity}
        balances = [BalanceRow.model_validate(row) for row in account["balances"]]
        debts = [DebtRow.model_validate(row) for row in account["debts"]]
        self.book.accounts.set_money(account["id"], balances, debts, equity)
        self._told(account)

    def replace(self) -> None:
        """A whole account told anew."""
        account = self._account()
        if account is None:
            return
        drawn = self._drawn()
        account["positions"] = [held for held in account["positions"] if self.rng.random() < 0.7]
        account["orders"] = [order for order in account.get("orders", []) if self.rng.random() < 0.7]
        account |= {key: drawn[key] for key in ("balances", "debts", "hedge_cap")}
        account |= {"equity": drawn.get("equity", 1e5), "spot_hedging": self.rng.random() < 0.7}
        self.book.accounts.set_account(AccountRow.model_validate(account))
        self._told(account)

    def add_account(self) -> None:
        """A new account, and a new portfolio of it and of some others."""
        account = {"id": f"account-new-{len(self.document['accounts'])}", "venue": "v", "positions": [], "orders": []} | {
            key: value for key, value in self._drawn().items() if key in ("balances", "debts", "equity", "spot_hedging")
        }
        names = [row["id"] for row in self.document["accounts"]]
        self.document["accounts"].append(account)
        members = [*self.rng.sample(names, 1), account["id"]]
        portfolio: Row = {"id": f"portfolio-{len(self.document['portfolios'])}", "accounts": members}
        self.document["portfolios"].append(portfolio)
        tell: list[Callable[[], object]] = [
            lambda: self.book.accounts.set_account(AccountRow.model_validate(account)),
            lambda: self.book.accounts.add_portfolio(portfolio["id"], members, CUTS),
        ]
        self.rng.shuffle(tell)
        for one in tell:
            one()
        self._told(account)

    # -- what the document knows ------------------------------------------------------------------------------------------------

    def _account(self) -> Row | None:
        accounts = self.document["accounts"]
        if self.checked:
            # a venue's equity is held against prices: an account that lacks one waits
            accounts = [row for row in accounts if row.get("equity") is None or self._is_priced(row)]
        return self.rng.choice(accounts) if accounts else None

    def _tradable(self, account: Row) -> Row:
        rows = self._contracts(*TRADED)
        if self.checked and account.get("equity") is not None:
            rows = [row for row in rows if not self._lacks(row["id"])]
        standing = {held["instrument"] for held in account["positions"]}
        mine = [row for row in rows if row["id"] in standing]
        return self.rng.choice(mine if mine and self.rng.random() < 0.6 else rows)

    def _has_entries(self, account: Row) -> bool:
        return all(held.get("entry") is not None for held in account["positions"])

    def _thin(self) -> None:
        # few instruments, so that events meet
        traded = {row["instrument"] for account in self.document["accounts"] for row in (*account["positions"], *account.get("orders", []))}
        kept = [row for row in self.document["instruments"] if row["id"] in traded or self.rng.random() < 0.3]
        self.document["instruments"] = kept or self.document["instruments"]
        names = {row["id"] for row in self.document["instruments"]}
        volumes = self.document["volume_24h_usd"]
        self.document["volume_24h_usd"] = {name: volume for name, volume in volumes.items() if name in names}

    def _enter_inverse(self) -> None:
        inverse = {row["id"]: row["mark"] for row in self.document["instruments"] if row.get("inverse")}
        for account in self.document["accounts"]:
            for held in account["positions"]:
                if held["instrument"] in inverse and held.get("entry") is None:
                    held["entry"] = inverse[held["instrument"]]

    def _lacks(self, instrument: str) -> bool:
        book = parse(self.document)
        return any(lacking(book.instruments[instrument], Market(book)))

    def _is_priced(self, account: Row) -> bool:
        book = parse(self.document)
        return not any(any(lacking(leg.instrument, Market(book))) for leg in book.accounts[account["id"]].legs)

    def _movable(self, account: Row) -> float:
        if account["id"] not in self.anchors:
            return 0.0
        book = parse(self.document)
        parameters = REFERENCE[self.name].with_overrides(self.document.get("overrides", {}))
        return movable(book.accounts[account["id"]], Market(book), parameters)

    def _anchor(self, account: Row) -> None:
        self.anchors.pop(account["id"], None)
        if account.get("equity") is not None:
            self.anchors[account["id"]] = 0.0
            self.anchors[account["id"]] = account["equity"] - self._movable(account)

    def _told(self, account: Row) -> None:
        if self.checked:
            self._anchor(account)

    def exported(self) -> Document:
        """The state as a document, each equity moved to the prices of now."""
        found = deepcopy(self.document)
        for row, account in zip(found["accounts"], self.document["accounts"], strict=True):
            if account["id"] in self.anchors:
                row["equity"] = self.anchors[account["id"]] + self._movable(account)
        return found


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _venue(row: Row) -> str:
    return str(row["id"].partition(":")[0])


def small_desk(seed: int, name: str, **options: Any) -> Desk:
    """One to three coins and up to three accounts."""
    return Desk(seed, name, coins=tuple(COINS)[:3], accounts=3, positions=4, **options)
