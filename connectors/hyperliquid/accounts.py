"""What the connector knows of one account, and which of its REST jobs is due. No I/O."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from connectors.hyperliquid.ledger import Watched
from connectors.hyperliquid.reference import MAIN_DEX
from connectors.hyperliquid.settings import AccountRef
from connectors.model import Section, Wallet

PORTFOLIO_MARGIN = "portfolioMargin"


class Job(Enum):
    """A REST job of an account.

    ADMIT: first look, until it succeeded once. REFRESH: something changed it. POLL: it is not pushed. FULL: every dex.
    WALLET: the wallet with its portfolio-margin fields. MODE, ROLE: the venue's word for its mode and for what it is.
    """

    ADMIT = "admit"
    REFRESH = "refresh"
    POLL = "poll"
    FULL = "full"
    WALLET = "wallet"
    MODE = "mode"
    ROLE = "role"


@dataclass(slots=True)
class AccountState:
    """One account. `pushed`: it holds a push slot. `bridged`: it is polled all the same, as its pushes are not fresh (yet).

    `touched` are dexs that a fill or transfer moved since the last fetch, `unfresh_ns` says since when its pushes are not fresh.
    `due` maps a job to its monotonic nanosecond.
    """

    ref: AccountRef
    due: dict[Job, int] = field(default_factory=dict)
    admitted: bool = False
    role_known: bool = False
    pushed: bool = False
    bridged: bool = False
    portfolio_margin: bool | None = None
    sections: dict[str, Section] = field(default_factory=dict)
    assets: frozenset[str] = frozenset()
    touched: set[str] = field(default_factory=set)
    last_fetch_ns: int | None = None
    unfresh_ns: int | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _rotation: int = 0

    @property
    def alias(self) -> str:
        """Its configured name."""
        return self.ref.alias

    @property
    def watched(self) -> Watched:
        """It as frames name it."""
        return Watched(self.ref.alias, self.ref.address.lower())

    @property
    def is_polled(self) -> bool:
        """Whether its state comes from REST now."""
        return not self.pushed or self.bridged

    @property
    def uses_portfolio_margin(self) -> bool:
        """Whether its wallet must be polled for the portfolio-margin fields; the configured hint counts until the venue said."""
        if self.portfolio_margin is None:
            return (self.ref.mode_hint or "").replace("_", "").lower() == PORTFOLIO_MARGIN.lower()
        return self.portfolio_margin

    @property
    def dexs_in_use(self) -> tuple[str, ...]:
        """The first dex, those with positions, and those moved since the last fetch."""
        held = {name for name, section in self.sections.items() if section.positions}
        return MAIN_DEX, *sorted((held | self.touched) - {MAIN_DEX})

    @property
    def instruments(self) -> set[str]:
        """Instruments it holds positions in."""
        return {position.instrument for section in self.sections.values() for position in section.positions}

    def dexs_to_poll(self, every: Iterable[str]) -> tuple[str, ...]:
        """The dexs in use and one other, in turn, so that a position on a new dex is seen without fetching all each time."""
        used = self.dexs_in_use
        idle = [dex for dex in every if dex not in used]
        if not idle:
            return used
        self._rotation = (self._rotation + 1) % len(idle)
        return *used, idle[self._rotation]

    def note_sections(self, sections: Iterable[Section], *, complete: bool) -> None:
        """Remember ledgers; an older one never replaces a newer one.

        `complete`: those not named are empty, but one that held positions is kept, so that it is asked for by name.
        """
        found = {section.name: section for section in sections}
        if complete:
            self.sections = {name: section for name, section in self.sections.items() if name in found or section.positions}
        for name, section in found.items():
            known = self.sections.get(name)
            if known is None or known.time_ms <= section.time_ms:
                self.sections[name] = section

    def note_wallet(self, wallet: Wallet) -> None:
        """Remember the assets of a wallet and, from a complete one, whether portfolio margin is on."""
        self.assets = frozenset(balance.asset for balance in wallet.balances if balance.total)
        if wallet.portfolio_margin_enabled is not None:
            self.portfolio_margin = wallet.portfolio_margin_enabled

    def schedule(self, job: Job, at_ns: int) -> None:
        """Make the job due at that time, or sooner if it was."""
        self.due[job] = min(at_ns, self.due.get(job, at_ns))
        self.wake.set()

    def next_job(self) -> tuple[Job, int] | None:
        """The job that is due first, and when."""
        if not self.due:
            return None
        job = min(self.due, key=self.due.__getitem__)
        return job, self.due[job]


def holds_nothing(sections: Iterable[Section], wallet: Wallet) -> bool:
    """Whether an answer shows neither positions nor money: what an agent's address looks like, and a wrong address."""
    return not any(section.positions or section.cash for section in sections) and not any(balance.total for balance in wallet.balances)
