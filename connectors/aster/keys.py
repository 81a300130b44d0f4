"""Whether an account's key may be used: what the venue says of it, judged. Pure.

A monitor holds no key that could trade. One that could is refused unless the account says `allow_unsafe_key`; so is one whose rights
cannot be read, which every HMAC key is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from connectors.aster.answers import Agent
from connectors.aster.errors import KeyRefused, NeverDeposited, SignatureRefused, VenueError
from connectors.events import FailureReason

EXPIRY_WARNING_MS = 7 * 24 * 3600 * 1000
HMAC_RIGHTS = "an HMAC key's rights cannot be read, it may be able to trade"

_ALLOW = "or set allow_unsafe_key for this account"


@dataclass(frozen=True, slots=True)
class KeyVerdict:
    """`reason` None: the key may be used. `detail` says why not and what to do, `warnings` are sentences for the user otherwise."""

    reason: FailureReason | None = None
    detail: str = ""
    expires_ms: int | None = None
    rights: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def judge_agents(alias: str, signer: str, agents: Iterable[Agent], now_ms: int, *, allow_unsafe: bool) -> KeyVerdict:
    """The verdict on the agent whose address is `signer`, at venue time `now_ms`."""
    own = next((agent for agent in agents if agent.address.lower() == signer.lower()), None)
    if own is None:
        return _refused(alias, "the venue lists no agent of this key: approve the agent for this account, or check its address")
    if own.expires_ms is not None and own.expires_ms <= now_ms:
        return _refused(alias, f"its agent expired on {_day(own.expires_ms)}: approve a new agent")
    if not own.can_read:
        return _refused(alias, "its agent may not read: approve an agent with the right to read")
    if own.rights and not allow_unsafe:
        return _unsafe(alias, f"its key may do more than read ({', '.join(own.rights)})")
    rights = ("read", *own.rights)
    unsafe = [f"the key may do more than read ({', '.join(own.rights)}): approve a read-only agent"] if own.rights else []
    return KeyVerdict(expires_ms=own.expires_ms, rights=rights, warnings=(*unsafe, *_expiry(own.expires_ms, now_ms)))


def judge_hmac(alias: str, *, allow_unsafe: bool) -> KeyVerdict:
    """The verdict on an HMAC key, of which the venue says nothing."""
    if not allow_unsafe:
        return _unsafe(alias, HMAC_RIGHTS)
    return KeyVerdict(warnings=(f"{HMAC_RIGHTS}: use a read-only agent",))


def judge_refusal(alias: str, refusal: VenueError, *, allow_unsafe: bool) -> KeyVerdict:
    """The verdict where the venue refused to list the agents."""
    if isinstance(refusal, NeverDeposited):
        return KeyVerdict(FailureReason.MISSING_ACCOUNT, f"account {alias} cannot be watched: {refusal}")
    if isinstance(refusal, KeyRefused | SignatureRefused):
        return KeyVerdict(FailureReason.KEY_REFUSED, f"account {alias} cannot be watched: {refusal}")
    if not allow_unsafe:
        return _unsafe(alias, f"the rights of its key cannot be read ({refusal})")
    return KeyVerdict(warnings=(f"the rights of the key cannot be read ({refusal})",))


def _refused(alias: str, why: str) -> KeyVerdict:
    return KeyVerdict(FailureReason.KEY_REFUSED, f"account {alias} cannot be watched: {why}")


def _unsafe(alias: str, why: str) -> KeyVerdict:
    return KeyVerdict(FailureReason.UNSAFE_KEY, f"account {alias} is not watched: {why}: use a read-only agent, {_ALLOW}")


def _expiry(expires_ms: int | None, now_ms: int) -> list[str]:
    if expires_ms is None or expires_ms - now_ms > EXPIRY_WARNING_MS:
        return []
    days = (expires_ms - now_ms) / 86_400_000
    return [f"the key expires in {days:.1f} days, on {_day(expires_ms)}: approve a new agent"]


def _day(time_ms: int) -> str:
    try:
        return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
    except (OverflowError, ValueError, OSError):
        return "an impossible date"
