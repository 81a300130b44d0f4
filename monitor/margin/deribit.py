"""Deribit's margin as pools: one in USD for all wallets of a cross model, one of each wallet of a segregated model.

The venue computes both figures and sends them with every frame; its own model is not rebuilt. The maintenance margin is the last one
reported, the margin balance moves from frame to frame with the indices and implied volatilities (`deribit_rule`). A pool's legs are
therefore no positions but its exposure to each index, without a margin of their own, so that only cash is a way to safety.

Pool names: "cross", and the currency of a segregated wallet ("BTC").
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from connectors.events import AccountEvent, AccountFailure, FailureReason, Source, SummarySnapshot
from connectors.model import CurrencySummary, ListedPosition, MarginTier, SummaryAccount
from monitor.margin.deribit_checks import check_cross, check_wallet, usd_price
from monitor.margin.deribit_rule import MODELS, STABLE, VENUE, Exposures, Prices, exposures, is_idle, own_index
from monitor.margin.pools import WHOLE_ACCOUNT, Leg, PoolSpec
from monitor.margin.result import Failure, PoolKind
from monitor.market import Market
from monitor.reconcile import Comparison

__all__ = ["CROSS", "VENUE", "DeribitAccount"]

CROSS = "cross"
USD = "USD"

ASK_AGAIN_NS = 5_000_000_000
"""A read that did not help is not asked for again sooner."""

UNPRICED_SHARE = 0.01
"""Of the margin balance: collateral without an index that is worth less is not worth a doubt."""

_FREE = (MarginTier(0.0, 0.0, 0.0),)


class DeribitAccount:
    """Live state of one account and the pools it makes. `refresh` names why the account should be read again, or is empty.

    `followed` are the indices and options whose prices and volatilities the pools were made with: they have to be made anew when
    one of them moves. An index that nobody told for `index_limit_s` seconds is no point to count moves from.
    """

    def __init__(self, account: str, index_limit_s: float = 10.0) -> None:
        self.account = account
        self.failure: Failure | None = None
        self.refresh = ""
        self.followed: frozenset[str] = frozenset()
        self._index_limit_s = index_limit_s
        self._state: SummaryAccount | None = None
        self._anchors: dict[str, Prices] = {}
        """By pool: what was known of the market when the venue's figures of it arrived."""
        self._indices: set[str] = set()
        self._checks: dict[str, tuple[Comparison, ...]] = {}
        """By pool: what the last read compared to."""
        self._heard_ns = 0
        self._asked_ns: int | None = None

    @property
    def state(self) -> SummaryAccount | None:
        """What the venue told last; None before the first read."""
        return self._state

    @property
    def mode(self) -> str | None:
        """The margin model, several joined by "+" where the wallets have different ones; None until known."""
        if self._state is None:
            return None
        busy = [row for row in self._state.summaries if not is_idle(row)] or self._state.summaries
        return "+".join(sorted({row.margin_model for row in busy})) or None

    def apply(self, event: AccountEvent, market: Market) -> None:
        """Take what the venue told of this account; other kinds than a Deribit account's are ignored."""
        match event:
            case SummarySnapshot():
                self._take(event, market)
            case AccountFailure():
                self.failure = Failure(event.reason, event.detail)

    def pools(self, market: Market) -> list[PoolSpec]:
        """The account's pools now. Never empty: an account without any shows one that says why, or an empty one."""
        state, self.followed, self._indices = self._state, frozenset(), set()
        if self.failure is not None:
            return [self._bare(self.failure)]
        if state is None:
            return [self._bare(Failure(FailureReason.NOT_READY, "waiting for the venue's first account state"))]
        cross = [row for row in state.summaries if row.is_cross]
        made = [self._cross_pool(cross, market)] if cross else []
        made += [self._wallet_pool(row, market) for row in state.summaries if not row.is_cross and not is_idle(row)]
        for spec in made:
            spec.doubt = state.doubt or spec.doubt
            spec.comparisons = self._checks.get(spec.name, ())
            if VENUE not in market.sections:
                spec.stale = (Failure(FailureReason.NOT_READY, "waiting for the venue's instruments"),)
        return made or [PoolSpec(WHOLE_ACCOUNT, PoolKind.DERIBIT_SEGREGATED, self.mode or "unknown", USD, 0.0)]

    def instruments(self) -> set[str]:
        """Instruments with a position, and the indices that the margin balance moves with."""
        held = set() if self._state is None else {position.instrument for position in self._state.positions}
        return held | self._indices

    # -- state ---------------------------------------------------------------------------------------------------------------

    def _take(self, event: SummarySnapshot, market: Market) -> None:
        before = {} if self._state is None else {row.currency: row for row in self._state.summaries}
        self._state, self._heard_ns = event.state, event.received_ns
        is_read = event.source is Source.POLL
        if is_read:
            # Pushes may go on where the venue refuses to be asked.
            self.failure = None
        changed = {_pool_of(row) for row in event.state.summaries if is_read or before.get(row.currency) != row}
        if changed:
            here = self._prices(event, market)
            self._anchors.update(dict.fromkeys(changed, here))
        if is_read:
            self._checks = {row.currency: check_wallet(row, event.state, market) for row in event.state.summaries if not row.is_cross}
            self._checks[CROSS] = check_cross(event.state, market)

    def _prices(self, event: SummarySnapshot, market: Market) -> Prices:
        rows = event.state.summaries
        names = {name for row in rows if (name := own_index(row.currency, market)) is not None}
        names |= {f"{VENUE}:{name}" for row in rows for name in (*row.delta_by_index, *row.gamma_by_index)}
        names |= {f"{VENUE}:{listed.price_index}" for p in event.state.positions if (listed := market.instruments.get(p.instrument))}
        fresh = {
            name: mark
            for name in names
            if (mark := market.mark(name)) > 0 and market.silent((name,), event.received_ns, self._index_limit_s, delta_alive=False) is None
        }
        return Prices(fresh, _volatilities((position.instrument for position in event.state.positions), market))

    def _ask(self, why: str) -> None:
        if self._asked_ns is None or self._heard_ns - self._asked_ns >= ASK_AGAIN_NS:
            self.refresh, self._asked_ns = why, self._heard_ns

    # -- pools ---------------------------------------------------------------------------------------------------------------

    def _bare(self, failure: Failure) -> PoolSpec:
        return PoolSpec(WHOLE_ACCOUNT, PoolKind.DERIBIT_SEGREGATED, self.mode or "unknown", USD, 0.0, failures=(failure,))

    def _cross_pool(self, rows: list[CurrencySummary], market: Market) -> PoolSpec:
        told = next((row for row in rows if row.total_margin_balance_usd is not None), rows[0])
        spec = PoolSpec(CROSS, PoolKind.DERIBIT_CROSS, told.margin_model, USD, math.nan)
        totals = (told.total_margin_balance_usd, told.total_maintenance_margin_usd, told.total_initial_margin_usd)
        if totals[0] is None or totals[1] is None or told.margin_model not in MODELS:
            return _unsupported(spec)
        found = self._exposures(spec, rows, market)
        balance = totals[0]
        for row in rows:
            price = usd_price(row)
            if row.currency in found.uncovered and (price is None or abs(row.equity * price) > UNPRICED_SHARE * abs(balance)):
                spec.doubt = f"no index of {row.currency}, which is collateral: its moves show at the venue's next account state only"
        spec.cash, spec.maintenance, spec.initial = balance, totals[1], totals[2] or 0.0
        now = self._now(spec, found, market)
        if now is not None:
            self._in_usd(spec, balance, totals[1], found, now)
        return spec

    def _wallet_pool(self, row: CurrencySummary, market: Market) -> PoolSpec:
        spec = PoolSpec(row.currency, PoolKind.DERIBIT_SEGREGATED, row.margin_model, row.currency, math.nan)
        if row.margin_model not in MODELS:
            return _unsupported(spec)
        spec.cash, spec.maintenance, spec.initial = row.margin_balance, row.maintenance_margin, row.initial_margin
        found = self._exposures(spec, [row], market)
        own = own_index(row.currency, market)
        if row.currency in found.uncovered:
            detail = (
                f"no index of {row.currency} is listed, which wallet {row.currency} has positions in: waiting for the venue's instruments"
            )
            spec.stale = (Failure(FailureReason.MISSING_INDEX, detail),)
            return spec
        now = self._now(spec, found, market)
        if now is None:
            return spec
        if row.currency in STABLE or own is None or not now.indices:
            self._in_usd(spec, row.margin_balance, row.maintenance_margin, found, now)
        else:
            self._in_coin(spec, row, own, found, now)
        return spec

    def _held(self) -> tuple[ListedPosition, ...]:
        return () if self._state is None else self._state.positions

    def _exposures(self, spec: PoolSpec, rows: list[CurrencySummary], market: Market) -> Exposures:
        found = exposures(rows, self._held(), market)
        spec.held = found.count
        if found.lacking:
            spec.doubt = f"{found.lacking[0]} is not in the venue's reference data: waiting for a refetch"
        self._indices |= {*found.balance.indices, *found.maintenance.indices}
        self.followed |= self._indices | found.balance.vegas.keys() | found.maintenance.vegas.keys()
        return found

    def _now(self, spec: PoolSpec, found: Exposures, market: Market) -> Prices | None:
        # The market now, None where a move cannot be told: the pool then stays where the venue told it, and is stale.
        needed = [*found.balance.indices, *found.maintenance.indices]
        anchor = self._anchors[spec.name]
        untold = [name for name in needed if not market.mark(name) > 0]
        loose = [name for name in needed if name not in anchor.indices]
        if untold or loose:
            name = (untold or loose)[0].partition(":")[2]
            detail = f"no price of index {name} now" if untold else f"index {name} was not known at the venue's last account state"
            spec.stale = (Failure(FailureReason.MISSING_INDEX, f"{detail}: waiting for the next one"),)
            if not untold:
                self._ask(detail)
            return None
        return Prices({name: market.mark(name) for name in needed}, _volatilities((*found.balance.vegas, *found.maintenance.vegas), market))

    def _in_usd(self, spec: PoolSpec, balance: float, maintenance: float, found: Exposures, now: Prices) -> None:
        before = self._anchors[spec.name]
        spec.maintenance = max(0.0, maintenance + found.maintenance.change(before, now))
        spec.cash = balance + found.balance.change(before, now)
        for name in dict.fromkeys([*found.balance.indices, *found.maintenance.indices]):
            slope = found.balance.slope(name, before, now) - found.maintenance.slope(name, before, now)
            spec.legs.append(Leg(name, slope, 0.0, _FREE))
            spec.cash -= slope * now.indices[name]

    def _in_coin(self, spec: PoolSpec, row: CurrencySummary, own: str, found: Exposures, now: Prices) -> None:
        # In USD the figures are lines over the index; divided by it, a constant and an inverse leg.
        before = self._anchors[spec.name]
        then, price = before.indices[own], now.indices[own]
        balance = row.margin_balance * then + found.balance.change(before, now)
        short = found.short_value + found.maintenance.change(before, now)
        spec.maintenance = max(0.0, row.maintenance_margin + short / price - found.short_value / then)
        rest = balance - found.balance.slope(own, before, now) * price - (short - found.maintenance.slope(own, before, now) * price)
        spec.legs = [Leg(own, -rest, 0.0, _FREE, inverse=True)]
        spec.cash = (balance - rest) / price


def _pool_of(row: CurrencySummary) -> str:
    return CROSS if row.is_cross else row.currency


def _volatilities(options: Iterable[str], market: Market) -> dict[str, float]:
    return {name: told for name in options if (told := market.volatility(name)) is not None}


def _unsupported(spec: PoolSpec) -> PoolSpec:
    detail = f"margin model {spec.mode} or its totals are not known: update marginwatch"
    spec.failures = (Failure(FailureReason.UNSUPPORTED_MODE, detail),)
    return spec
