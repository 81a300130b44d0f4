"""A running monitor, asked by a command through its API."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from config.errors import masked

TIMEOUT_S = 30.0
MOST_BYTES = 64 * 2**20


class MonitorError(Exception):
    """The monitor did not give what was asked; the sentence says why and what to do."""


class MonitorClient:
    """The monitor at a base URL such as `http://127.0.0.1:9876`; `token_env` names the variable that holds its token. MonitorError."""

    def __init__(self, url: str, token_env: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise MonitorError(f"{masked(url)} is no address of a monitor: give one such as http://127.0.0.1:9876")
        self.url = url.rstrip("/")
        self._headers = {} if token_env is None else {"Authorization": f"Bearer {_token(token_env)}"}

    def get(self, path: str, query: Mapping[str, str | int] | None = None) -> dict[str, Any]:
        """What a GET of `path` ("/api/v1/alerts") answers. Raises MonitorError."""
        return self._ask("GET", f"{path}?{urlencode(query)}" if query else path)

    def post(self, path: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """What a POST of a document answers. Raises MonitorError."""
        return self._ask("POST", path, json.dumps(document).encode())

    def delete(self, path: str) -> dict[str, Any]:
        """What a DELETE answers. Raises MonitorError."""
        return self._ask("DELETE", path)

    def _ask(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        headers = self._headers if body is None else {**self._headers, "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", data=body, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                found = json.loads(answer.read(MOST_BYTES))
        except urllib.error.HTTPError as error:
            raise MonitorError(f"the monitor at {self.url} answers {error.code}: {_said(error)}") from None
        except (OSError, ValueError) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise MonitorError(f"no answer from {self.url}: {reason}; is the monitor running there?") from None
        if not isinstance(found, dict):
            raise MonitorError(f"what answers at {self.url} is no monitor of this version")
        return found


def _said(error: urllib.error.HTTPError) -> str:
    with error:
        try:
            return str(json.loads(error.read(65_536))["error"])
        except (ValueError, KeyError, TypeError, OSError):
            return error.reason or "no reason given"


def _token(name: str) -> str:
    token = os.environ.get(name, "").strip()
    if not token:
        raise MonitorError(f"the environment variable {name} holds no token")
    return token
