"""Faults of the simulated Deribit: those of every venue (`Faults`) and those of chains, heartbeats, tokens and sessions.

Feeds are named by the whole channel: `freeze("markprice.options.btc_usd")` loses it silently. `pongs_stopped` answers no request.
"""

from __future__ import annotations

from connectors.simulator.faults import Faults


class DeribitFaults(Faults):
    """The switches of one Deribit venue. Every one starts off; times are seconds of the venue."""

    def __init__(self) -> None:
        super().__init__()
        self.heartbeats_stopped = False
        self.tests_ignored = False
        self.token_expiries = 0
        self.iv_outage = False
        self.phantoms: dict[str, float] = {}
        self._volatilities: dict[str, float | None] = {}
        self._refuse_auth_until = -1.0
        self._too_many = 0

    def stop_heartbeats(self) -> None:
        """Send no heartbeat and no test request any more."""
        self.heartbeats_stopped = True

    def ignore_tests(self) -> None:
        """Overlook answers to test requests, so that sockets are closed though the client did its part."""
        self.tests_ignored = True

    def expire_tokens(self) -> None:
        """Let every access and refresh token that was given out be invalid from now on."""
        self.token_expiries += 1

    def tell_volatility(self, instrument: str, iv: float | None) -> None:
        """Publish another volatility of an option (a decimal: 2.5 is 250 %), or null; its price stays right."""
        self._volatilities[instrument] = iv

    def heal_volatilities(self) -> None:
        """Publish the right volatilities again."""
        self._volatilities.clear()

    def told_volatility(self, instrument: str, iv: float) -> float | None:
        """What is published of an option's volatility."""
        return self._volatilities.get(instrument, iv)

    def add_phantom(self, instrument: str, iv: float = 0.5) -> None:
        """Put a row of an instrument nobody listed into every chain frame."""
        self.phantoms[instrument] = iv

    def refuse_auth(self, until: float) -> None:
        """Refuse right credentials too until a venue time."""
        self._refuse_auth_until = until

    def refusing_auth(self, now: float) -> bool:
        """Whether credentials are refused at `now`."""
        return now < self._refuse_auth_until

    def too_many_requests(self, count: int = 1) -> None:
        """Answer the next `count` requests with 10028 and end their sessions."""
        self._too_many += count

    def take_too_many(self) -> bool:
        """Whether this request is one too many; takes one."""
        if self._too_many <= 0:
            return False
        self._too_many -= 1
        return True
