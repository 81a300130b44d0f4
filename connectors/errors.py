"""What can go wrong between us and a venue.

    ConnectorError                 anything below
    ├── TransportError             the bytes did not arrive
    │   ├── ConnectFailed          no connection could be opened
    │   ├── ConnectionLost         an open connection ended, whoever ended it (`code`)
    │   ├── HttpError              the venue answered with a failure status (`status`)
    │   └── Timeout                no answer in time (`after_s`)
    ├── RateLimited                the venue told us to slow down (`retry_after_s`)
    ├── ProtocolError              bytes arrived but make no sense (`kind`)
    ├── ReferenceDataError         instruments, tiers or symbols are missing or contradict each other
    └── BudgetError                one request is heavier than our whole share of a limit

A message is one sentence naming the thing and the remedy. It never holds an account address, a credential or a url: a
place is named by its host (`place`), an account by its alias. `kind` is a short constant word, safe as a metric label.
"""

from __future__ import annotations

from urllib.parse import urlsplit


def place(url: str) -> str:
    """The host of a url (with its port, if any): the only part that may appear in a message."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None:
        return "an address that is no url"
    return host if port is None else f"{host}:{port}"


class ConnectorError(Exception):
    """Base of every error a connector raises."""

    kind: str = "connector"


class TransportError(ConnectorError):
    """The bytes did not arrive. Retrying may help."""

    kind = "transport"


class ConnectFailed(TransportError):
    """No connection could be opened; `cause` is a few words without addresses."""

    kind = "connect_failed"

    def __init__(self, host: str, cause: str) -> None:
        super().__init__(f"cannot connect to {host} ({cause}): check the network and the venue's url in the settings")
        self.host = host
        self.cause = cause


class ConnectionLost(TransportError):
    """An open connection ended; `code` is the WebSocket close code, None where no close frame was seen."""

    kind = "connection_lost"

    def __init__(self, host: str, code: int | None = None, cause: str = "") -> None:
        ended = "without a close frame" if code is None else f"with close code {code}"
        super().__init__(f"the connection to {host} ended {ended}{f' ({cause})' if cause else ''}: it is reopened by itself")
        self.host = host
        self.code = code


class HttpError(TransportError):
    """The venue answered with a failure status."""

    def __init__(self, host: str, status: int, what: str = "a request") -> None:
        super().__init__(f"{host} answered {what} with HTTP {status}: {_remedy(status)}")
        self.kind = f"http_{status}"
        self.host = host
        self.status = status


class Timeout(TransportError):
    """No answer within `after_s` seconds."""

    kind = "timeout"

    def __init__(self, what: str, after_s: float) -> None:
        super().__init__(f"{what} took longer than {after_s:g} s: check the network; it is tried again by itself")
        self.after_s = after_s


class RateLimited(ConnectorError):
    """The venue told us to slow down; `retry_after_s` is its own word for how long, None if it gave none."""

    kind = "rate_limited"

    def __init__(self, host: str, retry_after_s: float | None = None) -> None:
        pause = "" if retry_after_s is None else f" for {retry_after_s:g} s"
        super().__init__(f"{host} limits this address{pause}: lower ip_budget_share or what else uses the address")
        self.host = host
        self.retry_after_s = retry_after_s


class ProtocolError(ConnectorError):
    """Bytes arrived but make no sense; `kind` says how in one constant word, `detail` names the place in the message."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"the venue sent something unexpected ({kind}: {detail}): update marginwatch or report the message")
        self.kind = kind
        self.detail = detail


class ReferenceDataError(ConnectorError):
    """Instruments, tiers or symbols are missing or contradict each other."""

    kind = "reference_data"


class BudgetError(ConnectorError):
    """One request is heavier than our whole share of a limit, so waiting cannot help."""

    kind = "budget"

    def __init__(self, venue: str, weight: int, ours: int) -> None:
        super().__init__(f"a request of weight {weight} to {venue} is heavier than our share of {ours} per minute: raise ip_budget_share")


def _remedy(status: int) -> str:
    if status in (401, 403):
        return "check the credentials, and whether the venue refuses this address or country"
    if 400 <= status < 500:
        return "check the venue's url in the settings, or update marginwatch"
    return "the venue is failing; it is tried again by itself"
