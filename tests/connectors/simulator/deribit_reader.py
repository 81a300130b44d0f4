"""A minimal reader of the simulated Deribit: asks over one connection and sorts what arrives."""

from __future__ import annotations

import json
from typing import Any

from connectors.simulator.deribit import DeribitVenue, credentials

SCOPE = "session:monitor account:read trade:read wallet:none"


class Reader:
    """One connection. `frames` are notifications in order, `beats` the types of heartbeats."""

    def __init__(self, venue: DeribitVenue, alias: str | None = None) -> None:
        self.venue, self.client = venue, venue.connect()
        self.frames: list[dict[str, Any]] = []
        self.beats: list[str] = []
        self._replies: dict[int, dict[str, Any]] = {}
        self._number = 0
        if alias is not None:
            self.login(alias)

    def reply(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The whole reply to a request."""
        self._number += 1
        self.client.receive(json.dumps({"jsonrpc": "2.0", "id": self._number, "method": method, "params": parameters}))
        self.drain()
        return self._replies.get(self._number, {})

    def ask(self, method: str, **parameters: Any) -> Any:
        """The result of a request that succeeds."""
        return self.reply(method, **parameters)["result"]

    def code(self, method: str, **parameters: Any) -> int:
        """The code of a request that fails."""
        return int(self.reply(method, **parameters)["error"]["code"])

    def login(self, alias: str, scope: str = SCOPE) -> Any:
        """Log in with the demo credentials."""
        own = credentials(alias)
        parameters = {"client_id": own.client_id, "client_secret": own.client_secret, "scope": scope}
        return self.ask("public/auth", grant_type="client_credentials", **parameters)

    def subscribe(self, *channels: str, private: bool = False) -> list[str]:
        """Subscribe; what the venue echoes."""
        found: list[str] = self.ask("private/subscribe" if private else "public/subscribe", channels=list(channels))
        return found

    def drain(self) -> None:
        """Sort what arrived."""
        for text in self.client.drain():
            frame = json.loads(text)
            if frame.get("method") == "subscription":
                self.frames.append(frame)
            elif frame.get("method") == "heartbeat":
                self.beats.append(frame["params"]["type"])
            else:
                self._replies[frame.get("id", 0)] = frame

    def take(self, channel: str = "") -> list[Any]:
        """The data of the frames (of a channel) that came since the last call."""
        self.drain()
        found = [frame["params"]["data"] for frame in self.frames if frame["params"]["channel"].startswith(channel)]
        self.frames = [frame for frame in self.frames if not frame["params"]["channel"].startswith(channel)]
        return found


def run(venue: DeribitVenue, seconds: float, step: float = 1.0) -> None:
    """Let the venue go on."""
    for _ in range(round(seconds / step)):
        venue.advance(step)
