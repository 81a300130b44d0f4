"""What handlers of the API that take a document share: reading it, refusing it, and answers in JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

JSON = "application/json"

READ_S = 10.0
"""A body that takes longer is not waited for."""


class Refused(Exception):
    """What was asked is not done. `field` names the key to blame, empty for none; `status` is HTTP's."""

    def __init__(self, field: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.field, self.status = field, status

    def answer(self, headers: Mapping[str, str] | None = None) -> web.Response:
        """The refusal as it is answered."""
        return answer({"error": str(self), "field": self.field}, self.status, headers)


def answer(document: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A document as JSON."""
    return web.Response(body=orjson.dumps(document), content_type=JSON, status=status, headers=headers)


async def read_document(request: web.Request, example: str) -> Any:
    """What the body of a request says; `example` is one that could be sent. Raises Refused."""
    # browsers send other types across origins without asking first
    if request.content_type != JSON:
        raise Refused("", f"send a document as Content-Type: {JSON}", 415)
    try:
        async with asyncio.timeout(READ_S):
            return orjson.loads(await request.read())
    except TimeoutError:
        raise Refused("", f"the body did not come within {READ_S:g} s", 408) from None
    except web.HTTPRequestEntityTooLarge as error:
        raise Refused("", error.text or error.reason, 413) from None
    except orjson.JSONDecodeError:
        raise Refused("", f"the body is not JSON; send such as {example}") from None
