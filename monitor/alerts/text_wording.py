"""What the alert of each rule is called, what it says where the detector says no more, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.alerts.rules import Rule


@dataclass(frozen=True, slots=True)
class Wording:
    """`noun` stands before the place in the first line. `claim` is said whatever the detector adds; `remedy` is what to do, empty
    where the detector's own sentence says it.

    `has_figures`: what is left of the equity belongs into the first line.
    """

    noun: str
    claim: str = ""
    remedy: str = ""
    has_figures: bool = False


WORDINGS = {
    Rule.LEVEL: Wording("", has_figures=True),
    Rule.DATA: Wording("no data", remedy="until it is back, look at the account on the venue's own page"),
    Rule.UNRECONCILED: Wording("unreconciled", remedy="go by the worse figure until both agree"),
    Rule.DISTANCE: Wording("near liquidation", remedy="add margin or reduce", has_figures=True),
    Rule.RISING: Wording("rising fast", remedy="see what moves it: a price, a fill or a transfer", has_figures=True),
    Rule.ADL_QUEUE: Wording("ADL queue", remedy="reduce it or its leverage"),
    Rule.NET_DELTA: Wording("unhedged", remedy="is a hedge leg gone? compare the venues"),
    Rule.DELISTED: Wording("market halted or delisted", remedy="close it or move it while it trades"),
    Rule.DEPEG: Wording("collateral off its peg", remedy="hold less of it as collateral"),
    Rule.MODE: Wording("unexpected mode"),
    Rule.KEY: Wording("key"),
    Rule.ACCOUNT_FAILURE: Wording("cannot monitor"),
    Rule.STALE_FEED: Wording("stale feed", remedy="it reconnects by itself; if that does not help, see the venue's status page"),
    Rule.CLOCK: Wording("clock off"),
    Rule.NETWORK: Wording("monitor has lost its network", "nothing is being watched", "watch the venues' own pages"),
    Rule.RECEIVER: Wording("alerts do not reach", remedy="check its key and its limits; the other receivers get its alerts"),
    Rule.OUTBOX: Wording("alerts are not kept on disk", "they go out from memory", "free the disk or the file"),
    Rule.LIQUIDATION_SEEN: Wording("the venue liquidated", remedy="check the hedges on the other venues"),
    Rule.MARGIN_CALL: Wording("margin call", remedy="add margin or reduce"),
    Rule.MODE_CHANGED: Wording("mode changed", remedy="its pools and limits are others now: check them"),
    Rule.TRANSFER: Wording("transfer", remedy="if nobody here did that, lock the account"),
    Rule.PARAMETERS: Wording("parameters", remedy="check the margin at the new ones"),
    Rule.TEST: Wording("test", "nothing is wrong"),
}
"""One for every rule."""
