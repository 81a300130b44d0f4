"""What a session needs of a venue's protocol, and the counters it keeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from connectors.events import Event


@dataclass(slots=True)
class Tick:
    """What a protocol has to say once a tick: verdicts, frames to send, or why a new connection is needed."""

    events: list[Event] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)
    reconnect: str | None = None


class SessionProtocol(Protocol):
    """A venue's protocol on one connection: frames in, events and frames out, no I/O. Times are monotonic nanoseconds."""

    heartbeat_interval_s: float
    """`heartbeat` is sent this long after the last one; math.inf: the stream has no heartbeat of its own."""
    pong_timeout_s: float
    """How old a due pong may get, told for reasons and metrics; `pong_overdue` is what counts."""

    def opened(self, now_ns: int) -> list[bytes]:
        """The connection is up: the frames that replay all desired subscriptions (changes not yet sent are part of them)."""
        ...

    def receive(self, data: bytes, now_ns: int) -> list[Event]:
        """What a frame says. Never raises on bad input: that is a ParseError event."""
        ...

    def heartbeat(self, now_ns: int) -> bytes:
        """The heartbeat to send now; remembers that a pong is due."""
        ...

    def pong_overdue(self, now_ns: int) -> bool:
        """Whether a pong is missing for longer than `pong_timeout_s`."""
        ...

    def tick(self, now_ns: int) -> Tick:
        """Called once a tick while connected, first right after `opened`."""
        ...

    def closed(self, now_ns: int, reason: str) -> list[Event]:
        """The connection ended, or could not be opened (also repeatedly): forget due pongs, tell what is down now."""
        ...

    def outgoing(self) -> list[bytes]:
        """Frames due because the desired subscriptions changed, given out once; asked for after every `Session.wake`."""
        ...


@dataclass(slots=True)
class SessionStatistics:
    """Counters for metrics; only the session writes them. `failures` counts by kind why connections ended, resyncs or rotations failed."""

    frames: int = 0
    bytes: int = 0
    frames_sent: int = 0
    connects: int = 0
    reconnects: int = 0
    resyncs: int = 0
    rotations: int = 0
    last_frame_ns: int | None = None
    connected_ns: int | None = None
    connected: bool = False
    resynced: bool = False
    pending: int = 0
    pending_peak: int = 0
    failures: dict[str, int] = field(default_factory=dict)
