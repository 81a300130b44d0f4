"""The one place where alerts leave over HTTP. URLs are secrets: no error or log here repeats one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import aiohttp

from config.secrets import Secret
from monitor.alerts.message import Delivery

_LONGEST_WAIT_S = 300.0


class PostError(Exception):
    """No answer was had: connection refused, timed out, bad address. The text names the kind, never the URL."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer: its status, and the wait that a `Retry-After` header in seconds asks for."""

    status: int
    retry_after_s: float | None = None


class Poster(Protocol):
    """The seam: post a JSON document. Raises PostError when there is no answer within `timeout_s`."""

    async def post_json(self, url: Secret, payload: Mapping[str, Any], timeout_s: float) -> Reply:
        """Post once; any status is an answer."""


class HttpPoster:
    """`Poster` on aiohttp: one session, redirects not followed (a page must not wander). Close it, or use `async with`."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def post_json(self, url: Secret, payload: Mapping[str, Any], timeout_s: float) -> Reply:
        """Post once; the body of the answer is not read. Raises PostError."""
        if self._session is None:
            self._session = aiohttp.ClientSession()
        limit = aiohttp.ClientTimeout(total=timeout_s)
        try:
            async with self._session.post(url.reveal(), json=payload, timeout=limit, allow_redirects=False) as answer:
                return Reply(answer.status, _seconds(answer.headers.get("Retry-After")))
        except TimeoutError:
            raise PostError(f"no answer within {timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # aiohttp's own texts name host and URL, and a chained exception would print them.
            raise PostError(type(error).__name__) from None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _seconds(header: str | None) -> float | None:
    try:
        wait = float(header or "")
    except ValueError:
        return None
    return min(wait, _LONGEST_WAIT_S) if wait >= 0 else None


async def deliver(poster: Poster, url: Secret, payload: Mapping[str, Any], timeout_s: float) -> Delivery:
    """Post and judge: 2xx is delivered, every other answer and no answer is not."""
    try:
        reply = await poster.post_json(url, payload, timeout_s)
    except PostError as error:
        return Delivery(False, str(error))
    if 200 <= reply.status < 300:
        return Delivery(True)
    return Delivery(False, f"HTTP status {reply.status}", reply.retry_after_s)
