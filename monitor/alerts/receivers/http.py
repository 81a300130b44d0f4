"""The one place where alerts leave over HTTP. URLs and headers may hold secrets: no error or log here repeats one.

Poster.post(url, body, headers)   one request; any status is a Reply, no answer a PostError
judged(reply)                     a Reply as a Delivery: taken, to be tried again, or fatal with the remedy
deliver(...)                      both
encoded(document)                 a document as the bytes of JSON
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import quote, urlsplit

import aiohttp

from config.errors import masked
from config.secrets import Secret
from monitor.alerts.message import Delivery
from monitor.report.plain import plain

TIMEOUT_S = 10.0
JSON_HEADERS: Mapping[str, str | Secret] = {"Content-Type": "application/json; charset=utf-8"}

_LONGEST_WAIT_S = 300.0
_KEPT_OPEN_S = 300.0
_LONGEST_BODY = 64 * 1024
_LONGEST_SAYING = 200
_LONGEST_LINK = 1000
_OF_A_URL = ":/?#[]@!$&'()*+,;=%~-._"

_REMEDIES = {
    400: "it does not understand what is sent; check that the URL belongs to a receiver of this type",
    401: "it does not accept the credentials; check or renew the key, token or URL",
    403: "it does not accept the credentials; check or renew the key, token or URL",
    404: "it knows no such address; check the URL, or create it anew",
    405: "it takes no messages at this address; check the URL",
    410: "the address was given up; create a new one",
    413: "the message is too large for it; raise its limit",
}
_OTHER_REMEDY = "it will not take the message; check the URL and its settings"
_TO_BE_RETRIED = {408, 425, 429}


class PostError(Exception):
    """No answer was had: refused, timed out, bad address. The text names the kind, never the URL; `fatal`: a retry cannot help."""

    def __init__(self, text: str, *, fatal: bool = False) -> None:
        super().__init__(text)
        self.fatal = fatal


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer: its status, the wait that `Retry-After` asks for (at most 300 s), and the first 64 KiB of its body."""

    status: int
    retry_after_s: float | None = None
    body: bytes = b""

    @property
    def is_accepted(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Poster(Protocol):
    """The seam. Both raise PostError when there is no answer within `timeout_s`; any status is an answer, redirects are not followed."""

    async def post(self, url: Secret, body: bytes, headers: Mapping[str, str | Secret], timeout_s: float) -> Reply:
        """Post once."""

    async def get(self, url: Secret, timeout_s: float) -> Reply:
        """Get once."""


class HttpPoster:
    """`Poster` on aiohttp: connections are kept, so that a page seldom pays for a handshake. Close it, or use `async with`.

    A kept connection that the other end has closed meanwhile costs no page its turn: the request is made once more, on a new one.
    """

    def __init__(self, wall_s: Callable[[], float] = time.time) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._wall_s = wall_s

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def post(self, url: Secret, body: bytes, headers: Mapping[str, str | Secret], timeout_s: float) -> Reply:
        """Post once. Raises PostError."""
        return await self._request("POST", url, body, headers, timeout_s)

    async def get(self, url: Secret, timeout_s: float) -> Reply:
        """Get once. Raises PostError."""
        return await self._request("GET", url, None, {}, timeout_s)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _request(self, method: str, url: Secret, body: bytes | None, headers: Mapping[str, str | Secret], timeout_s: float) -> Reply:
        try:
            async with asyncio.timeout(timeout_s):
                try:
                    return await self._ask(method, url, body, headers)
                except aiohttp.ClientConnectorError:
                    raise
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                    return await self._ask(method, url, body, headers)
        except TimeoutError:
            raise PostError(f"no answer within {timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # aiohttp's own texts name host and URL, and a chained exception would print them.
            raise _post_error(error) from None

    async def _ask(self, method: str, url: Secret, body: bytes | None, headers: Mapping[str, str | Secret]) -> Reply:
        open_headers = {name: value.reveal() if isinstance(value, Secret) else value for name, value in headers.items()}
        async with self._open().request(method, url.reveal(), data=body, headers=open_headers, allow_redirects=False) as answer:
            wait = _wait_s(answer.headers.get("Retry-After"), answer.headers.get("Date"), self._wall_s)
            return Reply(answer.status, wait, await _beginning(answer.content))

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(keepalive_timeout=_KEPT_OPEN_S)
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=None)
            )
        return self._session


async def _beginning(content: aiohttp.StreamReader) -> bytes:
    try:
        return await content.readexactly(_LONGEST_BODY)
    except asyncio.IncompleteReadError as whole:
        return whole.partial
    except aiohttp.ClientPayloadError:
        return b""  # The status was had; to send it all again would be a second page.


def _post_error(error: Exception) -> PostError:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return PostError("no connection: its host name is not found")
    if isinstance(error, aiohttp.ClientSSLError):
        return PostError("no connection: its certificate or TLS is not accepted")
    if isinstance(error, aiohttp.NonHttpUrlClientError | ValueError):
        return PostError("its URL cannot be used; write it as https://host/path", fatal=True)
    return PostError(f"no connection ({type(error).__name__})")


def _wait_s(header: str | None, date: str | None, wall_s: Callable[[], float]) -> float | None:
    if header is None:
        return None
    try:
        wait = float(header)
    except ValueError:
        until = _date(header)
        if until is None:
            return None
        # By the other end's own clock where it tells it, so that ours may be wrong.
        wait = max(0.0, (until - (_date(date or "") or datetime.fromtimestamp(wall_s(), UTC))).total_seconds())
    return min(wait, _LONGEST_WAIT_S) if wait >= 0 else None


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def encoded(document: Any) -> bytes:
    """A document as the bytes of JSON, whatever text and numbers are in it: infinity is "Infinity", half a character a "?"."""
    return json.dumps(plain(document), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


def as_link(text: str) -> str:
    """The text as an address that a receiver may be given as a link, in plain ASCII; empty where it is none, or longer than 1,000."""
    try:
        parts = urlsplit(text)
        found = quote(text, safe=_OF_A_URL) if parts.scheme in ("http", "https") and parts.hostname else ""
    except ValueError:
        return ""
    return found if len(found) <= _LONGEST_LINK else ""


def without(text: str, *secrets: Secret) -> str:
    """What the other end says, as it may be repeated: one line without the secrets, keys and addresses, at most 200 characters."""
    for secret in secrets:
        text = re.sub(re.escape(secret.reveal()), "***", text, flags=re.IGNORECASE)
    return " ".join(masked(text).split())[:_LONGEST_SAYING]


def judged(reply: Reply, saying: str = "") -> Delivery:
    """2xx is taken; 408, 425, 429 and 5xx are to be tried again; all else is fatal. `saying`: what the other end says, without secrets."""
    if reply.is_accepted:
        return Delivery(True)
    status = f"HTTP status {reply.status}"
    said = f' ("{saying}")' if saying else ""
    if reply.status in _TO_BE_RETRIED or reply.status >= 500:
        return Delivery(False, f"{status}{said}", reply.retry_after_s)
    if 300 <= reply.status < 400:
        return Delivery(False, f"{status}: it redirects, which is not followed; configure the address it leads to", fatal=True)
    return Delivery(False, f"{status}{said}: {_REMEDIES.get(reply.status, _OTHER_REMEDY)}", fatal=True)


def unanswered(error: PostError) -> Delivery:
    """What no answer means."""
    return Delivery(False, str(error), fatal=error.fatal)


async def deliver(
    poster: Poster, url: Secret, body: bytes, headers: Mapping[str, str | Secret] = JSON_HEADERS, timeout_s: float = TIMEOUT_S
) -> Delivery:
    """Post and judge by the status; what the answer says is not repeated, it may name the URL."""
    try:
        reply = await poster.post(url, body, headers, timeout_s)
    except PostError as error:
        return unanswered(error)
    return judged(reply)
