"""What was already told of the log-like feeds: the venue sends the last rows again after every reconnect."""

from __future__ import annotations

from dataclasses import dataclass, field

MOST_KEYS = 20_000


@dataclass(slots=True)
class LogMemory:
    """Rows of one log of one account. `primed`: a first snapshot was seen, so what a later one adds happened since."""

    primed: bool = False
    _keys: dict[str, None] = field(default_factory=dict)

    def is_new(self, key: str) -> bool:
        """Whether the row was not seen before; remembers it, and forgets the oldest beyond `MOST_KEYS`."""
        if key in self._keys:
            return False
        self._keys[key] = None
        if len(self._keys) > MOST_KEYS:
            del self._keys[next(iter(self._keys))]
        return True


class Memory:
    """Logs by (account alias, feed). Outlives connections and moves of an account between them."""

    def __init__(self) -> None:
        self._logs: dict[tuple[str, str], LogMemory] = {}

    def log(self, account: str, feed: str) -> LogMemory:
        """The memory of one log."""
        return self._logs.setdefault((account, feed), LogMemory())

    def forget(self, account: str) -> None:
        """Forget the logs of an account."""
        self._logs = {key: log for key, log in self._logs.items() if key[0] != account}
