"""The channels of one connection: which are wanted, asked for, granted, refused. The venue drops what it does not know without a word,
so only a channel that its answer echoes is granted (venue notes 2.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from connectors.deribit.rpc import NS, Reply, Rpc
from connectors.events import Event

MOST_CHANNELS = 500
"""Channels in one request (venue notes 2.8)."""

FAILED_RETRY_S = 10.0
NOT_ECHOED = "the venue does not know this channel, or no longer: it is asked for again by itself"


class Subscriptions:
    """Keeps the granted channels equal to the wanted ones. `scope` is `public` or `private`.

    `told(granted, refused, now_ns)` is called for the channels of each answer, the refused ones by why, and gives events. A refused channel
    is asked for again after `retry_s`, all channels of a request that failed after ten seconds.
    """

    def __init__(
        self,
        rpc: Rpc,
        scope: str,
        *,
        retry_s: float,
        told: Callable[[frozenset[str], dict[str, str], int], list[Event]],
    ) -> None:
        self.granted: set[str] = set()
        self.refused: dict[str, str] = {}
        self._rpc = rpc
        self._scope = scope
        self._retry_s = retry_s
        self._told = told
        self._wanted: dict[str, None] = {}
        self._asked: set[str] = set()
        self._again_ns: dict[str, int] = {}

    def want(self, channels: Iterable[str]) -> None:
        """The channels wanted from now on, most important first; `sync` asks for them."""
        self._wanted = dict.fromkeys(channels)
        for gone in self.refused.keys() - self._wanted.keys():
            del self.refused[gone], self._again_ns[gone]

    def forget(self) -> None:
        """The connection opened or ended: nothing is subscribed to, and whatever was refused may be asked for at once."""
        self.granted.clear()
        self.refused.clear()
        self._asked.clear()
        self._again_ns.clear()

    def sync(self, now_ns: int) -> None:
        """Ask for what is wanted and lacking, and give up what is wanted no longer. Call it after `want` and once a tick."""
        surplus = sorted(self.granted - self._wanted.keys())
        for batch in _batches(surplus):
            self._unsubscribe(batch, now_ns)
        lacking = [channel for channel in self._wanted if channel not in self.granted and channel not in self._asked]
        due = [channel for channel in lacking if now_ns >= self._again_ns.get(channel, now_ns)]
        for batch in _batches(due):
            self._subscribe(batch, now_ns)

    def renew(self, channels: Iterable[str], now_ns: int) -> None:
        """Subscribe to granted channels anew, so that the venue sends their state again."""
        for batch in _batches([channel for channel in channels if channel in self.granted]):
            self._unsubscribe(batch, now_ns)
            self._subscribe(batch, now_ns)

    def _unsubscribe(self, channels: tuple[str, ...], now_ns: int) -> None:
        self.granted.difference_update(channels)
        # Whatever it answers: frames of a channel nobody wants are ignored.
        self._rpc.call(f"{self._scope}/unsubscribe", {"channels": list(channels)}, lambda reply, at_ns: [], now_ns)

    def _subscribe(self, channels: tuple[str, ...], now_ns: int) -> None:
        self._asked.update(channels)
        self._rpc.call(
            f"{self._scope}/subscribe", {"channels": list(channels)}, lambda reply, at_ns: self._answered(channels, reply, at_ns), now_ns
        )

    def _answered(self, channels: tuple[str, ...], reply: Reply, now_ns: int) -> list[Event]:
        self._asked.difference_update(channels)
        granted: frozenset[str] = frozenset()
        if reply.error is not None:
            why, pause_s = str(reply.error), FAILED_RETRY_S
        elif not isinstance(reply.result, list):
            why, pause_s = "the venue's answer is not a list of channels: update marginwatch or report it", self._retry_s
        else:
            granted = frozenset(channel for channel in reply.result if channel in channels)
            why, pause_s = NOT_ECHOED, self._retry_s
        refused = {channel: why for channel in channels if channel not in granted and channel in self._wanted}
        for channel in granted:
            self.refused.pop(channel, None)
            self._again_ns.pop(channel, None)
        self.granted.update(granted)
        self.refused.update(refused)
        self._again_ns.update(dict.fromkeys(refused, now_ns + round(pause_s * NS)))
        return self._told(granted, refused, now_ns)


def _batches(channels: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(channels[start : start + MOST_CHANNELS]) for start in range(0, len(channels), MOST_CHANNELS)]
