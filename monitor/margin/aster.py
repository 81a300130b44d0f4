"""Aster's own margin rule: an account's pools in single-asset and in multi-assets mode.

Source: Aster docs (margin, liquidations, single-asset and multi-assets mode) and the recordings, as written down in the venue
notes 5.3 to 5.8.

Pool names: the margin asset in single-asset mode ("USDT", "USD1"), "multi-assets" for the one of multi-assets mode, and
"iso:SYMBOL" for every isolated position, which liquidates alone ("iso:SYMBOL:LONG" in hedge mode).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from connectors.events import AccountEvent, AccountFailure, FailureReason, FuturesSnapshot, Source
from connectors.model import FuturesAccount, Position, PositionSide
from monitor.margin.aster_checks import check_isolated, check_multi_assets, check_single
from monitor.margin.aster_collateral import Anchor, anchored, collateral_legs, is_priced, unexplained, with_old_index, without_index
from monitor.margin.aster_rule import (
    MAIN,
    MULTI_ASSETS,
    VENUE,
    AsterRules,
    is_isolated,
    lacking,
    leg_of,
    name_of,
    paid,
    settle_of,
    wallets,
)
from monitor.margin.pools import WHOLE_ACCOUNT, PoolSpec
from monitor.margin.result import Failure, PoolKind
from monitor.market import Market
from monitor.reconcile import Comparison

__all__ = ["MULTI_ASSETS", "VENUE", "AsterAccount", "AsterRules"]

USD = "USD"
"""What the multi-assets pool is counted in."""

ASK_AGAIN_NS = 5_000_000_000
"""A read that did not help is not asked for again sooner."""


class AsterAccount:
    """Live state of one account and the pools it makes. `refresh` names why the account should be read again, or is empty."""

    followed: frozenset[str] = frozenset()

    def __init__(self, account: str, rules: AsterRules | None = None) -> None:
        self.account = account
        self.rules = rules or AsterRules()
        self.failure: Failure | None = None
        self.refresh = ""
        self._state: FuturesAccount | None = None
        self._anchor: Anchor | None = None
        self._before: Anchor | None = None
        """The anchor of the read before the last."""
        self._heard_ns = 0
        self._asked_ns: int | None = None
        self._checks: dict[str, _Checks] = {}
        """By pool: what the read compared to. Made once a read, not at every push."""
        self._checked_revision = -1

    @property
    def mode(self) -> str | None:
        """How the venue pools the account's margin: `single_asset` or `multi_assets`; None until known."""
        return None if self._state is None else "multi_assets" if self._state.multi_assets else "single_asset"

    def apply(self, event: AccountEvent, market: Market) -> None:
        """Take what the venue told of this account; other kinds than a futures account's are ignored."""
        match event:
            case FuturesSnapshot():
                self._take(event, market)
            case AccountFailure():
                self.failure = Failure(event.reason, event.detail)

    def pools(self, market: Market) -> list[PoolSpec]:
        """The account's pools now. Never empty: an account without any shows one that says why, or an empty one."""
        if self.failure is not None:
            return [self._bare(self.failure)]
        if self._state is None:
            return [self._bare(Failure(FailureReason.NOT_READY, "waiting for the venue's first account state"))]
        pools = list(self._isolated_pools(self._state, market))
        if self._state.multi_assets:
            pools.append(self._multi_assets_pool(self._state, market))
        else:
            pools += self._single_asset_pools(self._state, market)
        for spec in pools:
            spec.doubt = self._state.doubt or spec.doubt
        return pools or [self._spec(MAIN, PoolKind.ASTER_CROSS, MAIN, 0.0)]

    def instruments(self) -> set[str]:
        """Instruments with a position."""
        return set() if self._state is None else {position.instrument for position in self._state.positions}

    # -- state ---------------------------------------------------------------------------------------------------------------

    def _take(self, event: FuturesSnapshot, market: Market) -> None:
        is_read = event.source is Source.POLL or self._state is None
        self._state, self._heard_ns = event.state, event.received_ns
        for position in event.state.positions:
            market.seed_mark(position.instrument, position.mark, event.received_ns)
        if is_read:
            # the connector serves the account, so what kept it from doing so is over
            self.failure = None
            self._checks.clear()
            if not event.state.multi_assets:
                # the totals of that mode are of one asset alone and say nothing of ratios
                self._before = self._anchor = None
            elif self._anchor is None or not self._old(market):
                # beside an old index the total would tie a move of the collateral in, to be counted again once the index speaks
                self._before, self._anchor = self._anchor or self._before, None
                self._tie(market)

    def _tie(self, market: Market) -> list[str]:
        # Anchors the valuation on the last read, at once or as soon as the indexes it lacks have come; returns those.
        assert self._state is not None
        read, anchor = self._state.read, self._anchor
        lacks = without_index(wallets(read.assets), market)
        if anchor is None:
            lacks += [asset for asset in self._old(market) if asset not in lacks]
        if not lacks and (anchor is None or any(is_priced(asset, market) for asset in anchor.unpriced)):
            self._anchor = anchored(read, market, self.rules, self._before)
            self._checks.clear()
        return lacks

    def _old(self, market: Market) -> list[str]:
        assert self._state is not None
        return with_old_index(wallets(self._state.read.assets), market, self.rules, self._heard_ns)

    def _ask(self, why: str) -> None:
        if self._asked_ns is None or self._heard_ns - self._asked_ns >= ASK_AGAIN_NS:
            self.refresh, self._asked_ns = why, self._heard_ns

    # -- pools ---------------------------------------------------------------------------------------------------------------

    def _bare(self, failure: Failure) -> PoolSpec:
        spec = self._spec(WHOLE_ACCOUNT, PoolKind.ASTER_CROSS, MAIN, 0.0)
        spec.failures = (failure,)
        return spec

    def _spec(self, name: str, kind: PoolKind, asset: str, cash: float) -> PoolSpec:
        return PoolSpec(name, kind, self.mode or "unknown", asset, cash)

    def _single_asset_pools(self, state: FuturesAccount, market: Market) -> Iterable[PoolSpec]:
        held = [position for position in state.positions if not is_isolated(position)]
        balances, margin = wallets(state.assets), market.sections.get(VENUE, {})
        settled = [settle_of(position, market) for position in held]
        named = [*(asset for asset in balances if asset in margin or not margin), *(asset for asset in settled if asset is not None)]
        # of which asset a position in an unknown instrument takes its margin is not known: it makes every pool a failure
        stray = [position for position, asset in zip(held, settled, strict=True) if asset is None]
        for asset in dict.fromkeys(named or ([MAIN] if stray else [])):
            own = [position for position, of in zip(held, settled, strict=True) if of == asset]
            spec = self._spec(asset, PoolKind.ASTER_CROSS, asset, balances.get(asset, 0.0) - paid(own))
            spec.legs = [leg_of(position, market) for position in (*own, *stray)]
            lacking(spec, own, market)
            self._check(spec, market, partial(check_single, spec, asset, state.read, market))
            yield spec

    def _isolated_pools(self, state: FuturesAccount, market: Market) -> Iterable[PoolSpec]:
        for position in state.positions:
            if not is_isolated(position):
                continue
            asset = settle_of(position, market) or MAIN
            spec = self._spec(f"iso:{name_of(position, market)}", PoolKind.ASTER_ISOLATED, asset, position.isolated_cash or 0.0)
            spec.legs = [leg_of(position, market)]
            lacking(spec, [position], market)
            if position.isolated_cash is None and not spec.failures:
                detail = f"the margin of {name_of(position, market)} is not known yet: waiting for the venue's next account state"
                spec.failures = (Failure(FailureReason.NOT_READY, detail),)
            told = _same(position, state.read.positions)
            if told is not None:
                self._check(spec, market, partial(check_isolated, spec, told, market))
            yield spec

    def _multi_assets_pool(self, state: FuturesAccount, market: Market) -> PoolSpec:
        held = [position for position in state.positions if not is_isolated(position)]
        spec = self._spec(MULTI_ASSETS, PoolKind.ASTER_MULTI_ASSETS, USD, -paid(held))
        spec.tolerance = self.rules.model_tolerance
        spec.legs = [leg_of(position, market) for position in held]
        lacking(spec, held, market)
        foreign = next((asset for p in held if (asset := settle_of(p, market)) and not market.is_at_par(VENUE, asset)), None)
        if foreign is not None and not spec.failures:
            detail = f"a position settles in {foreign}, whose price in USD nothing tells: margin it in single-asset mode"
            spec.failures = (Failure(FailureReason.MISSING_FX, detail),)
        lacks = self._tie(market)
        balances, anchor = wallets(state.assets), self._anchor
        if lacks or anchor is None:
            self._ask(f"the index of {', '.join(lacks)} was not known at the last read")
            detail = f"no index price now of {', '.join(lacks)}, which is collateral of the account"
            spec.failures = spec.failures or (Failure(FailureReason.MISSING_INDEX, detail),)
            return spec
        spec.cash += anchor.residual
        spec.collateral = collateral_legs(balances, anchor, self.rules, market)
        spec.doubt = unexplained(balances, anchor, self.rules, market)
        if spec.doubt:
            self._ask(spec.doubt)
        self._check(spec, market, partial(check_multi_assets, spec, anchor, state.read, market))
        return spec

    def _check(self, spec: PoolSpec, market: Market, check: Callable[[], None]) -> None:
        if self._checked_revision != market.revision:
            self._checks.clear()
            self._checked_revision = market.revision
        known = self._checks.get(spec.name)
        if known is None:
            check()
            self._checks[spec.name] = _Checks(spec.comparisons, spec.adjust_equity, spec.adjust_maintenance, spec.model_error, spec.remedy)
        else:
            spec.comparisons, spec.adjust_equity, spec.adjust_maintenance, spec.model_error, spec.remedy = known


class _Checks(NamedTuple):
    comparisons: tuple[Comparison, ...]
    adjust_equity: float
    adjust_maintenance: float
    model_error: float | None
    remedy: str


def _same(position: Position, told: Sequence[Position]) -> Position | None:
    def key(one: Position) -> tuple[str, PositionSide, bool]:
        return one.instrument, one.side, is_isolated(one)

    return next((one for one in told if key(one) == key(position)), None)
