"""Hyperliquid's own margin rule: an account's pools in standard, unified and portfolio-margin mode.

Sources: Hyperliquid docs (margining, margin tiers, account abstraction modes, portfolio margin) and the recordings, as
written down in the venue notes: 4 (standard and isolated), 5.1 (which mode), 5.2 (unified), 5.4 (portfolio margin).

Pool names: a dex in standard mode ("main" for the first), a collateral token in unified mode ("USDC"), "portfolio", and
"iso:COIN" for every isolated position, which liquidates alone in all modes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from statistics import median

from connectors.events import (
    AccountEvent,
    AccountFailure,
    AccountSnapshot,
    CashFlow,
    FailureReason,
    Fill,
    ModeReport,
    SectionsSnapshot,
    WalletSnapshot,
)
from connectors.model import Balance, Position, Section, Wallet
from monitor.margin.hyperliquid_checks import check_available, check_isolated, check_maintenance, check_portfolio, check_standard
from monitor.margin.hyperliquid_mode import MODE_WORDS, AccountMode, ModeWatch
from monitor.margin.hyperliquid_rule import exposed, exposed_then, leg_of, same_positions, worth
from monitor.margin.ledger import Ledger, Recent
from monitor.margin.pooled import AMBIGUOUS_NS, Anchor, Effect, PooledWallet, anchor_portfolio, anchor_unified, effect_of, row_of, rows_of
from monitor.margin.pools import WHOLE_ACCOUNT, CollateralLeg, Leg, PoolSpec
from monitor.margin.result import Failure, PoolKind
from monitor.market import Market

__all__ = ["MODE_WORDS", "USDC", "VENUE", "AccountMode", "HyperliquidAccount", "HyperliquidRules"]

VENUE = "hyperliquid"
USDC = 0
REANCHOR_NS = 2_000_000_000
"""An account frame this soon after a wallet may still explain that wallet better than what was held at its receipt."""


@dataclass(frozen=True, slots=True)
class HyperliquidRules:
    """The venue's constants that are configuration: the portfolio-margin limit, and the USDC added while it would borrow.

    Whether the venue adds the latter to its own ratio is UNCONFIRMED; adding it is the conservative reading.
    """

    portfolio_margin_limit: float = 0.95
    min_borrow_offset: float = 20.0


class HyperliquidAccount:
    """Live state of one account and the pools it makes. `refresh` names why the account should be read again, or is empty."""

    followed: frozenset[str] = frozenset()

    def __init__(self, account: str, rules: HyperliquidRules | None = None) -> None:
        self.account = account
        self.rules = rules or HyperliquidRules()
        self.failure: Failure | None = None
        self.refresh = ""
        self.stale_frames = 0
        self._ledgers: dict[str, Ledger] = {}
        self._wallet: PooledWallet | None = None
        self._recent = Recent()
        self._scales: deque[float] = deque(maxlen=5)
        self._latest_ms = 0
        self._known: dict[str, Position] = {}
        """Last position told of each instrument: what one that is opened again will be like."""
        self._last_row = ("", False)
        self._rated: tuple[Anchor, float] | None = None
        self._mode = ModeWatch()

    @property
    def mode(self) -> AccountMode | None:
        """How the venue pools its margin; None until known."""
        return self._mode.mode

    # -- events ----------------------------------------------------------------------------------------------------------

    def apply(self, event: AccountEvent, market: Market) -> None:
        """Take what the venue told of this account."""
        match event:
            case SectionsSnapshot():
                self.on_sections(event, market)
            case WalletSnapshot():
                self.on_wallet(event, market)
            case AccountSnapshot():
                self.on_account(event, market)
            case Fill():
                self.on_fill(event, market)
            case CashFlow():
                self.on_flow(event, market)
            case ModeReport():
                self.on_mode(event)
            case AccountFailure():
                self.on_failure(event)

    def on_sections(self, event: SectionsSnapshot, market: Market) -> None:
        """Ledgers as a frame states them; older than what is known: counted and ignored."""
        self._replace(event.sections, event.received_ns, market)
        if event.complete:
            self._left_out({section.name for section in event.sections}, market)
        if self._wallet is not None and event.received_ns - self._wallet.received_ns < REANCHOR_NS:
            self._reanchor(market, at_receipt=False)

    def on_wallet(self, event: WalletSnapshot, market: Market) -> None:
        """The wallet; decides the mode together with what REST said before."""
        self._take_wallet(event.wallet, event.received_ns, self._latest_ms, self._latest_ms - AMBIGUOUS_NS // 1_000_000, market)

    def on_account(self, event: AccountSnapshot, market: Market) -> None:
        """A REST resync: everything, fetched close together."""
        if self.failure is not None and self.failure.reason is FailureReason.MISSING_ACCOUNT:
            self.failure = None
        self._replace(event.sections, event.received_ns, market)
        self._drop(self._ledgers.keys() - {section.name for section in event.sections}, market)
        if event.wallet is not None:
            frame_ms = max((section.time_ms for section in event.sections), default=self._latest_ms)
            if self._wallet is not None and frame_ms < self._wallet.time_ms:
                # An answer that was overtaken by a frame; what it was asked for is still open.
                self.stale_frames += 1
                self.refresh = "a newer wallet came before the answer" if self._mode.unconfirmed else self.refresh
            else:
                self._take_wallet(event.wallet, event.received_ns, frame_ms, frame_ms, market)

    def on_mode(self, event: ModeReport) -> None:
        """The venue's word for the mode: a cross-check, and the sign to read the account again when it changed."""
        self._mode.word = event.mode
        if event.mode is not None and event.mode not in MODE_WORDS:
            detail = f'the venue reports account mode "{event.mode}", which this version cannot margin: update marginwatch'
            self.failure = Failure(FailureReason.UNSUPPORTED_MODE, detail)
        elif self.failure is not None and self.failure.reason is FailureReason.UNSUPPORTED_MODE:
            self.failure = None
        if self._mode.contradicted:
            self.refresh = "account mode changed"

    def on_failure(self, event: AccountFailure) -> None:
        """The connector cannot serve this account as configured."""
        self.failure = Failure(event.reason, event.detail)

    def on_fill(self, event: Fill, market: Market) -> None:
        """Move position and cash at once, unless a frame already contains it or it is known."""
        if not self._recent.add(event):
            return
        self._latest_ms = max(self._latest_ms, event.time_ms)
        if event.instrument is None:
            if event.base is None or event.quote is None:
                self.refresh = "a spot execution of an unknown pair"
            self._move_wallet(event, market)
            return
        instrument = market.instruments.get(event.instrument)
        ledger = self._ledgers.get(instrument.section) if instrument else None
        if ledger is None:
            self.refresh = "an execution in an instrument or on a dex not known here"
            return
        if event.time_ms <= ledger.time_ms:
            return
        market.seed_mark(event.instrument, event.price, event.received_ns)
        moved = ledger.fill(event, bool(instrument and instrument.isolated_only), self._known.get(event.instrument))
        if ledger.doubt:
            self.refresh = ledger.doubt
        # the wallet was anchored without this execution's position, whatever its time: its cash has to move with it
        self._move_token_cash(ledger.name, moved, market)

    def on_flow(self, event: CashFlow, market: Market) -> None:
        """Move cash at once, under the same guard as an execution."""
        if not self._recent.add(event):
            return
        self._latest_ms = max(self._latest_ms, event.time_ms)
        ledger = self._ledgers.get(event.section) if event.section is not None else None
        if ledger is not None:
            if event.time_ms > ledger.time_ms:
                ledger.flow(event)
            if ledger.is_isolated(event.instrument):
                return
        self._move_wallet(event, market)

    # -- pools -----------------------------------------------------------------------------------------------------------

    def pools(self, market: Market) -> list[PoolSpec]:
        """The account's pools now. Never empty: an account without any shows one that says why, or an empty one."""
        if self.failure is not None:
            return [self._bare(self.failure)]
        if self.mode is None or not self._ledgers or (self.mode is not AccountMode.STANDARD and self._wallet is None):
            return [self._bare(Failure(FailureReason.NOT_READY, "waiting for the venue's first account state"))]
        pools = list(self._isolated_pools(market))
        if self.mode is AccountMode.STANDARD:
            pools += self._standard_pools(market)
        elif self.mode is AccountMode.UNIFIED:
            pools += self._unified_pools(market)
        else:
            pools.append(self._portfolio_pool(market))
        if self._mode.doubtful:
            for spec in pools:
                spec.doubt = spec.doubt or "the account's mode changed: waiting for the venue's state in the new one"
        if not pools:
            pools.append(self._spec("main", PoolKind.HYPERLIQUID_CROSS, "USDC", 0.0))
        return pools

    def instruments(self) -> set[str]:
        """Instruments with a position."""
        return {name for ledger in self._ledgers.values() for name in ledger.positions}

    def balances(self) -> Mapping[str, Balance]:
        """The wallet's rows by asset, as last told and moved by executions since."""
        return {} if self._wallet is None else self._wallet.balances

    def _bare(self, failure: Failure) -> PoolSpec:
        spec = self._spec(WHOLE_ACCOUNT, PoolKind.HYPERLIQUID_CROSS, "USDC", 0.0)
        spec.failures = (failure,)
        return spec

    def _spec(self, name: str, kind: PoolKind, asset: str, cash: float) -> PoolSpec:
        return PoolSpec(name, kind, self.mode.value if self.mode else "unknown", asset, cash)

    def _standard_pools(self, market: Market) -> Iterable[PoolSpec]:
        for ledger in self._ledgers.values():
            legs = self._legs(ledger, market)
            if not legs and ledger.cash == 0.0:
                continue
            spec = self._spec(ledger.name or "main", PoolKind.HYPERLIQUID_CROSS, self._asset(ledger.name, market), ledger.cash)
            spec.legs = legs
            spec.doubt = ledger.doubt
            check_standard(spec, ledger, market)
            yield spec

    def _unified_pools(self, market: Market) -> Iterable[PoolSpec]:
        assert self._wallet is not None
        for token in sorted(self._wallet.anchors.keys() | self._held_tokens(market)):
            anchor = self._wallet.anchors.get(token)
            ledgers = self._of_token(token, market)
            legs = [leg for ledger in ledgers for leg in self._legs(ledger, market)]
            if not legs and (anchor is None or anchor.total == anchor.cash == 0.0):
                continue
            name = market.asset_name(VENUE, token) or ("USDC" if token == USDC else f"token {token}")
            spec = self._spec(name, PoolKind.HYPERLIQUID_CROSS, name, anchor.cash if anchor else 0.0)
            spec.legs = legs
            spec.doubt = next((ledger.doubt for ledger in ledgers if ledger.doubt), "")
            comparisons = check_maintenance(spec, ledgers, market)
            if anchor is not None:
                comparisons += check_available(spec, anchor, scale=anchor.total - anchor.exposure.isolated)
            spec.comparisons = tuple(comparisons)
            self._unanchored(spec, anchor)
            yield spec

    def _unanchored(self, spec: PoolSpec, anchor: Anchor | None) -> None:
        if (anchor is None or not math.isfinite(anchor.cash)) and not spec.failures:
            self.refresh = f"the wallet does not explain pool {spec.name}"
            spec.failures = (Failure(FailureReason.NOT_READY, f"waiting for a wallet that explains the positions of pool {spec.name}"),)

    def _portfolio_pool(self, market: Market) -> PoolSpec:
        assert self._wallet is not None
        anchor = self._wallet.anchors.get(USDC)
        spec = self._spec("portfolio", PoolKind.HYPERLIQUID_PORTFOLIO_MARGIN, "USDC", anchor.cash if anchor else 0.0)
        spec.limit = self.rules.portfolio_margin_limit
        spec.borrows = True
        spec.borrow_offset = self.rules.min_borrow_offset
        spec.legs = [leg for ledger in self._ledgers.values() for leg in self._legs(ledger, market)]
        scale = anchor.scale if anchor else 1.0
        spec.collateral = [CollateralLeg(asset, amount, ratio * scale) for asset, amount, ratio in self._wallet.collateral()]
        foreign = [name for name, ledger in self._ledgers.items() if ledger.positions and self._token(name, market) != USDC]
        if foreign:
            where = f'dex "{foreign[0]}", which settles in {self._asset(foreign[0], market)}'
            detail = f"portfolio margin with positions on {where}, has no published rule"
            spec.failures = (Failure(FailureReason.UNSUPPORTED_MODE, detail),)
        spec.doubt = next((ledger.doubt for ledger in self._ledgers.values() if ledger.doubt), "")
        comparisons = check_maintenance(spec, list(self._ledgers.values()), market)
        if anchor is not None:
            comparisons += check_portfolio(spec, anchor, self._rated)
        spec.comparisons = tuple(comparisons)
        self._unanchored(spec, anchor)
        return spec

    def _isolated_pools(self, market: Market) -> Iterable[PoolSpec]:
        for ledger in self._ledgers.values():
            for position in ledger.positions.values():
                if not position.isolated:
                    continue
                instrument = market.instruments.get(position.instrument)
                symbol = instrument.symbol if instrument else position.instrument.partition(":")[2]
                spec = self._spec(f"iso:{symbol}", PoolKind.HYPERLIQUID_ISOLATED, self._asset(ledger.name, market), position.isolated_cash)
                spec.legs = [leg_of(position, market)]
                spec.doubt = ledger.doubt
                check_isolated(spec, position, market)
                if position.leverage <= 0 and not spec.failures:
                    # its margin is not in the execution that opened it: any number now would be a guess
                    spec.failures = (Failure(FailureReason.NOT_READY, f"{symbol} was just opened: waiting for the venue's frame"),)
                yield spec

    # -- frames and wallets -------------------------------------------------------------------------------------------------

    def _replace(self, sections: Iterable[Section], received_ns: int, market: Market) -> None:
        for section in sections:
            old = self._ledgers.get(section.name)
            if old is not None and section.time_ms < old.time_ms:
                self.stale_frames += 1
                continue
            new = Ledger.of(section)
            for position in section.positions:
                market.seed_mark(position.instrument, position.mark, received_ns)
                self._known[position.instrument] = position
            for item in self._recent.after(section.time_ms):
                self._reapply(new, item, market)
            self._keep_equity(old or Ledger(section.name, 0, 0.0), new, market)
            self._ledgers[section.name] = new
            self._latest_ms = max(self._latest_ms, section.time_ms)

    def _left_out(self, named: set[str], market: Market) -> None:
        # An idle dex that a frame leaves out is empty. One with positions may be flat by now, or the frame may be short.
        missing = self._ledgers.keys() - named
        for name in missing:
            if self._ledgers[name].positions:
                self._ledgers[name].doubt = self.refresh = "a frame left out this dex, which held positions"
        self._drop({name for name in missing if not self._ledgers[name].positions}, market)

    def _drop(self, names: Iterable[str], market: Market) -> None:
        for name in names:
            gone = self._ledgers.pop(name)
            self._keep_equity(gone, Ledger(name, gone.time_ms, 0.0), market)

    def _reapply(self, ledger: Ledger, item: Fill | CashFlow, market: Market) -> float:
        if isinstance(item, Fill):
            instrument = market.instruments.get(item.instrument) if item.instrument else None
            if instrument is not None and instrument.section == ledger.name:
                return ledger.fill(item, instrument.isolated_only, self._known.get(instrument.id))
        elif item.section == ledger.name:
            return ledger.flow(item)
        return 0.0

    def _keep_equity(self, old: Ledger, new: Ledger, market: Market) -> None:
        # A pooled wallet's cash was anchored with the old positions: a change no execution explained (a transfer of isolated
        # margin, a missed fill) leaves the account's equity as it is at the new frame's marks, until the next wallet.
        anchor = self._wallet.anchors.get(self._token(new.name, market)) if self._wallet is not None else None
        if anchor is None or same_positions(old, new):
            return
        anchor.cash += worth(old, new, market) - worth(new, new, market)
        self.refresh = "positions changed without an execution seen"

    def _take_wallet(self, wallet: Wallet, received_ns: int, time_ms: int, surely_ms: int, market: Market) -> None:
        # What happened until `surely_ms` is in it; until `time_ms`, in all likelihood.
        mode_before, comparable = self.mode, not self._mode.unconfirmed
        if self._mode.classify(wallet):
            self.refresh = "the wallet frame does not fit the account's mode"
        before, self._wallet = self._wallet, PooledWallet.of(wallet, received_ns, time_ms, self._wallet)
        if not self._mode.pooled:
            return
        self._reanchor(market, at_receipt=True)
        if before is not None and comparable and self.mode is mode_before:
            self._wallet.compare(before)
        known = [item for item in self._recent.after(surely_ms) if not self._is_isolated(item)]
        for effect in self._wallet.lacking(rows_of(known)):
            self._apply_effect(effect, market)

    def _reanchor(self, market: Market, *, at_receipt: bool) -> None:
        wallet = self._wallet
        if wallet is None or not self._mode.pooled:
            return
        available = wallet.wallet.available_after_maintenance
        for token in self._tokens(wallet, market):
            ledgers = self._of_token(token, market)
            total = next((row.total for row in wallet.wallet.balances if row.token == token), 0.0)
            later = wallet.total(token) - total + sum(self._moved_since(ledger, market) for ledger in ledgers)
            candidates = [exposed_then([Ledger.of(ledger.frame) for ledger in ledgers if ledger.frame is not None], market, later)]
            if at_receipt:
                candidates.insert(0, exposed(ledgers, market))
            if self.mode is AccountMode.UNIFIED:
                anchor = anchor_unified(total, available.get(token), candidates)
            else:
                candidates[-1] = replace(candidates[-1], collateral=self._collateral_value(market, ledgers))
                candidates[0] = replace(candidates[0], collateral=self._collateral_value(market)) if at_receipt else candidates[0]
                anchor = anchor_portfolio(total, available.get(token), wallet.wallet.portfolio_margin_ratio, candidates)
            before = wallet.anchors.get(token)
            if before is None or not before.residual <= anchor.residual:
                wallet.anchors[token] = anchor
                self._scale(anchor, replaces=before is not None)
                if wallet.wallet.portfolio_margin_ratio is not None:
                    self._rated = anchor, wallet.wallet.portfolio_margin_ratio

    def _moved_since(self, ledger: Ledger, market: Market) -> float:
        # Executions after the frame, which its positions lack.
        if ledger.frame is None:
            return 0.0
        framed = Ledger.of(ledger.frame)
        return sum(self._reapply(framed, item, market) for item in self._recent.after(ledger.time_ms) if isinstance(item, Fill))

    def _tokens(self, wallet: PooledWallet, market: Market) -> set[int]:
        if self.mode is AccountMode.PORTFOLIO_MARGIN:
            return {USDC}
        margin = set(market.sections.get(VENUE, {"": USDC}).values())
        return {row.token for row in wallet.balances.values() if row.token in margin and row.token is not None} | self._held_tokens(market)

    def _held_tokens(self, market: Market) -> set[int]:
        return {self._token(name, market) for name, ledger in self._ledgers.items() if ledger.positions}

    def _scale(self, anchor: Anchor, *, replaces: bool) -> None:
        # Between two feeds of different pace the implied scale is off by what the market moved meanwhile; the median of a few
        # keeps that out of the collateral's price. A lower one counts at once: it may be the venue knowing better.
        if replaces and self._scales:
            self._scales.pop()
        self._scales.append(anchor.implied)
        anchor.scale = min(anchor.implied, median(self._scales))

    def _collateral_value(self, market: Market, framed: Iterable[Ledger] = ()) -> float:
        # With `framed`: at the price of the account frames, as far as they hold the collateral's perpetual.
        assert self._wallet is not None
        told = {p.instrument: p.mark for ledger in framed if ledger.frame is not None for p in ledger.frame.positions}
        value = 0.0
        for asset, amount, ratio in self._wallet.collateral():
            perpetual = market.perpetual_of(VENUE, asset)
            moved = told[perpetual] / market.mark(perpetual) if perpetual in told else 1.0
            value += amount * ratio * market.asset_price(VENUE, asset) * moved
        return value

    def _move_wallet(self, item: Fill | CashFlow, market: Market) -> None:
        effect, row = effect_of(item), row_of(item)
        if self._wallet is None or not effect:
            return
        # What one row of the venue does, it does at once: its legs are in the wallet all or none.
        if row != self._last_row[0]:
            self._last_row = row, self._wallet.contains(item, effect)
        if not self._last_row[1]:
            self._apply_effect(effect, market)

    def _apply_effect(self, effect: Effect, market: Market) -> None:
        assert self._wallet is not None
        for asset, amount in effect.items():
            self._wallet.move(asset, amount, market.token_of(VENUE, asset))

    def _is_isolated(self, item: Fill | CashFlow) -> bool:
        ledger = self._ledgers.get(item.section) if isinstance(item, CashFlow) and item.section is not None else None
        return ledger is not None and ledger.is_isolated(item.instrument)

    def _move_token_cash(self, section: str, amount: float, market: Market) -> None:
        anchor = self._wallet.anchors.get(self._token(section, market)) if self._wallet is not None else None
        if anchor is not None:
            anchor.cash += amount

    # -- small things -------------------------------------------------------------------------------------------------------

    def _legs(self, ledger: Ledger, market: Market) -> list[Leg]:
        return [leg_of(position, market) for position in ledger.positions.values() if not position.isolated]

    @staticmethod
    def _token(section: str, market: Market) -> int:
        return market.sections.get(VENUE, {}).get(section, USDC)

    def _asset(self, section: str, market: Market) -> str:
        token = self._token(section, market)
        return market.asset_name(VENUE, token) or ("USDC" if token == USDC else f"token {token}")

    def _of_token(self, token: int, market: Market) -> list[Ledger]:
        return [ledger for name, ledger in self._ledgers.items() if self._token(name, market) == token]
