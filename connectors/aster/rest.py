"""Typed requests. Every one first spends its weight from the budget of this address; the allow-list is all there is.

Raises `ForbiddenRequest` before anything is signed or spent; `RateLimited` (after telling the budget), `VenueError` by code,
`HttpError`, `Timeout` and the other transport errors; `ProtocolError` for an answer that makes no sense. No error text holds an
address, a key, or the venue's own words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import inf
from typing import Any
from urllib.parse import urlencode

import orjson

from connectors.aster.answers import (
    Agent,
    SubAccount,
    parse_account,
    parse_adl,
    parse_agents,
    parse_closes,
    parse_flag,
    parse_listen_key,
    parse_orders,
    parse_premium_index,
    parse_server_time,
    parse_sub_accounts,
    parse_turnover,
    with_position_risk,
)
from connectors.aster.errors import AddressBanned, ClockRefused, CredentialError, ForbiddenRequest, TornRead, WebPage, refusal
from connectors.aster.reference import Reference
from connectors.aster.settings import AsterConfig
from connectors.aster.signing import Signer, VenueClock
from connectors.clock import Clock, within
from connectors.errors import ProtocolError, RateLimited, place
from connectors.events import MarkPrices
from connectors.model import FuturesRead, Order, PositionSide
from connectors.ratelimit import Budget
from connectors.transport import HttpResponse, HttpTransport

PUBLIC: Mapping[str, int] = {
    "/fapi/v3/time": 1,
    "/fapi/v3/exchangeInfo": 1,
    "/fapi/v3/premiumIndex": 10,
    "/fapi/v3/fundingInfo": 1,
    "/fapi/v3/ticker/24hr": 40,
    "/fapi/v3/klines": 1,
}
"""Public reads and their weights (venue notes 1.2 and 4, the venue's "market data endpoints").

Of all symbols, klines of one symbol and fewer than 100.
"""

V3: Mapping[tuple[str, str], int] = {
    ("GET", "/fapi/v3/accountWithJoinMargin"): 5,
    ("GET", "/fapi/v3/positionRisk"): 5,
    ("GET", "/fapi/v3/leverageBracket"): 1,
    ("GET", "/fapi/v3/positionSide/dual"): 30,
    ("GET", "/fapi/v3/multiAssetsMargin"): 30,
    ("GET", "/fapi/v3/openOrders"): 40,
    ("GET", "/fapi/v3/adlQuantile"): 5,
    ("GET", "/fapi/v3/agent"): 5,
    ("GET", "/fapi/v3/getSubAccountList"): 5,
    ("POST", "/fapi/v3/listenKey"): 1,
    ("PUT", "/fapi/v3/listenKey"): 1,
}
"""Everything that may be asked with an agent's key, and its weight. The venue does not state that of `agent`."""

V1: Mapping[tuple[str, str], int] = {
    ("GET", "/fapi/v4/account"): 5,
    ("GET", "/fapi/v2/positionRisk"): 5,
    ("GET", "/fapi/v1/leverageBracket"): 1,
    ("GET", "/fapi/v1/positionSide/dual"): 30,
    ("GET", "/fapi/v1/multiAssetsMargin"): 30,
    ("GET", "/fapi/v1/openOrders"): 40,
    ("GET", "/fapi/v1/adlQuantile"): 5,
    ("POST", "/fapi/v1/listenKey"): 1,
    ("PUT", "/fapi/v1/listenKey"): 1,
}
"""Everything that may be asked with an HMAC key, and its weight."""

_V1_PATHS = {
    "accountWithJoinMargin": "/fapi/v4/account",
    "positionRisk": "/fapi/v2/positionRisk",
}
LISTEN_KEY_PATHS = frozenset({"/fapi/v3/listenKey", "/fapi/v1/listenKey"})
BAN_S = 120.0
LEAST_BAN_S = 10.0
LONGEST_BAN_S = 259_200.0
"""Seconds of a ban whose end the venue does not name; and bounds of one whose end it names by its clock (2 min to 3 days)."""

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_USED_WEIGHT = "x-mbx-used-weight-1m"
_BANNED_UNTIL = re.compile(rb"banned until (\d{12,14})")
_TOO_MANY_REQUESTS = -1003

Parameters = Sequence[tuple[str, str]]
"""Business parameters in the order they are sent."""


class AsterRest:
    """Public requests to one network, and the way of all others. `venue_clock` is kept by `server_time`."""

    def __init__(self, http: HttpTransport, config: AsterConfig, budget: Budget, venue_clock: VenueClock, clock: Clock) -> None:
        self.venue_clock = venue_clock
        self._http = http
        self._config = config
        self._budget = budget
        self._clock = clock

    async def public(self, path: str, params: Parameters = ()) -> Any:
        """The parsed answer to a public read."""
        if path not in PUBLIC:
            raise ForbiddenRequest("GET", path)
        await self._budget.spend(PUBLIC[path])
        return await self.send("GET", path, urlencode(params), f"GET {path}")

    async def server_time(self) -> int:
        """The venue's time (ms); measures `venue_clock`."""
        path = "/fapi/v3/time"
        await self._budget.spend(PUBLIC[path])
        before_ns = self._clock.monotonic_ns()
        server_ms = parse_server_time(await self.send("GET", path, "", f"GET {path}"))
        self.venue_clock.measured(before_ns, server_ms, self._clock.monotonic_ns())
        return server_ms

    async def exchange_info(self) -> Any:
        """Symbols, assets and limits, for `reference.build`."""
        return await self.public("/fapi/v3/exchangeInfo")

    async def funding_info(self) -> Any:
        """Funding intervals, for `reference.build`."""
        return await self.public("/fapi/v3/fundingInfo")

    async def premium_index(self) -> MarkPrices:
        """Marks and indices of all symbols."""
        answer = await self.public("/fapi/v3/premiumIndex")
        return parse_premium_index(answer, self._clock.monotonic_ns())

    async def turnover(self, reference: Reference) -> tuple[dict[str, float], list[str]]:
        """Turnover of the last 24 hours of all symbols by instrument, and what of the answer made no sense (weight 40)."""
        return parse_turnover(await self.public("/fapi/v3/ticker/24hr"), reference)

    async def daily_closes(self, symbol: str, days: int, now_ms: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Closing times (ms) and prices of a symbol's last days before `now_ms`, without the running one; fewer than 99."""
        params = [("symbol", symbol), ("interval", "1d"), ("limit", str(days + 1))]
        times, closes = parse_closes(await self.public("/fapi/v3/klines", params), now_ms)
        return times[-days:], closes[-days:]

    async def spend(self, weight: int) -> None:
        """Spend request weight, waiting for it in turn."""
        await self._budget.spend(weight)

    async def send(
        self, method: str, path: str, signed: str, what: str, headers: Mapping[str, str] | None = None, *, hmac: bool = False
    ) -> Any:
        """The parsed answer to a request whose weight is spent and whose query or form is `signed`, sent byte for byte."""
        if (method, path) not in V3 and (method, path) not in V1 and not (method == "GET" and path in PUBLIC):
            raise ForbiddenRequest(method, path)
        url, body = f"{self._config.rest_url}{path}", b""
        if method == "GET":
            url = f"{url}?{signed}" if signed else url
        else:
            body = signed.encode()
        sent = {**(headers or {}), **(_FORM if body else {})}
        request = self._http.request(method, url, body=body, headers=sent)
        response = await within(self._clock, self._config.request_timeout_s, request, what)
        self._observe(response)
        return self._read(response, what, hmac)

    def _observe(self, response: HttpResponse) -> None:
        used = response.headers.get(_USED_WEIGHT, "")
        if used.isascii() and used.isdigit():
            self._budget.observe_venue_usage(int(used) / self._config.weight_limit)

    def _read(self, response: HttpResponse, what: str, hmac: bool) -> Any:
        host = place(self._config.rest_url)
        try:
            answer = orjson.loads(response.body)
        except orjson.JSONDecodeError:
            answer = _NOT_JSON
        code = _code(answer)
        if response.status in (418, 429) or code == _TOO_MANY_REQUESTS:
            raise self._limited(response, host)
        if code is not None:
            raise refusal(code, what, hmac=hmac)
        response.raise_for_status(self._config.rest_url, what)
        if answer is _NOT_JSON:
            if response.body.lstrip()[:1] == b"<":
                raise WebPage(host, what)
            raise ProtocolError("not_json", f"the answer to {what}")
        return answer

    def _limited(self, response: HttpResponse, host: str) -> RateLimited:
        named = response.retry_after_s
        until = _BANNED_UNTIL.search(response.body)
        if response.status != 418 and until is None:
            self._budget.penalise(named)
            return RateLimited(host, named)
        if named is None and until is not None:
            named = min(LONGEST_BAN_S, max(LEAST_BAN_S, (int(until[1]) - self.venue_clock.now_ms()) / 1000))
        ban_s = BAN_S if named is None else named
        self._budget.penalise(ban_s)
        return AddressBanned(host, ban_s)


class AccountRest:
    """The requests of one account, signed by `signer`; `alias` is how error texts name it."""

    def __init__(self, rest: AsterRest, signer: Signer, alias: str) -> None:
        self.alias = alias
        self._rest = rest
        self._signer = signer
        self._allowed = V1 if signer.hmac else V3

    async def account(self, reference: Reference) -> FuturesRead:
        """Account and positionRisk back to back (weight 10), read once more where something traded in between; then TornRead."""
        with suppress(TornRead):
            return await self._account(reference)
        return await self._account(reference)

    async def account_only(self, reference: Reference) -> FuturesRead:
        """The account without liquidation prices (weight 5)."""
        began_ms, answer = await self._timed("GET", self._path("accountWithJoinMargin"))
        return parse_account(answer, began_ms, reference)

    async def modes(self) -> tuple[bool, bool]:
        """Whether multi-assets mode, and whether hedge mode, is on (weight 60)."""
        multi = parse_flag(await self._get("multiAssetsMargin"), "multiAssetsMargin")
        return multi, parse_flag(await self._get("positionSide/dual"), "dualSidePosition")

    async def orders(self) -> tuple[Order, ...]:
        """All resting orders (weight 40). Sets of conditional orders are not among them (venue notes 4.8)."""
        return parse_orders(await self._get("openOrders"))

    async def adl(self) -> dict[tuple[str, PositionSide], int]:
        """Places in the auto-deleveraging queue."""
        return parse_adl(await self._get("adlQuantile"))

    async def brackets(self) -> Any:
        """Margin tiers of all symbols, for `reference.build`."""
        return await self._get("leverageBracket")

    async def agents(self) -> tuple[Agent, ...]:
        """The account's agents, our own among them. Raises CredentialError for an HMAC key, which has none."""
        return parse_agents(await self._get_v3("agent"))

    async def sub_accounts(self) -> tuple[SubAccount, ...]:
        """The main account and its sub-accounts. Raises CredentialError for an HMAC key."""
        return parse_sub_accounts(await self._get_v3("getSubAccountList"))

    async def create_listen_key(self) -> str:
        """A listen key: the account's present one, prolonged by an hour, or a new one."""
        return parse_listen_key(await self.request("POST", self._path("listenKey")))

    async def keep_listen_key(self, key: str) -> None:
        """Prolong a listen key by an hour. Raises ListenKeyUnknown where it has lapsed."""
        await self.request("PUT", self._path("listenKey"), [] if self._signer.hmac else [("listenKey", key)])

    async def request(self, method: str, path: str, params: Parameters = ()) -> Any:
        """The parsed answer to a request of the allow-list; tried once more, after measuring the clock, where its time was refused."""
        return (await self._timed(method, path, params))[1]

    async def _timed(self, method: str, path: str, params: Parameters = (), *, paid: bool = False) -> tuple[int, Any]:
        weight = self._allowed.get((method, path))
        if weight is None:
            raise ForbiddenRequest(method, path)
        if self._rest.venue_clock.age_s() == inf:
            # A nonce of a clock that runs ahead would hold back the right ones after it.
            await self._rest.server_time()
        if not paid:
            await self._rest.spend(weight)
        with suppress(ClockRefused):
            return await self._send(method, path, params)
        await self._rest.server_time()
        await self._rest.spend(weight)
        return await self._send(method, path, params)

    async def _send(self, method: str, path: str, params: Parameters) -> tuple[int, Any]:
        began_ms, signer = self._rest.venue_clock.now_ms(), self._signer
        bare = path in LISTEN_KEY_PATHS and not signer.needs_signature_for_listen_key
        signed = urlencode(params) if bare else signer.sign(list(params))
        what = f"{method} {path} for account {self.alias}"
        return began_ms, await self._rest.send(method, path, signed, what, signer.headers, hmac=signer.hmac)

    async def _account(self, reference: Reference) -> FuturesRead:
        account, risk = self._path("accountWithJoinMargin"), self._path("positionRisk")
        # Both are paid for first, so that no wait for budget comes between the two.
        await self._rest.spend(self._allowed["GET", account] + self._allowed["GET", risk])
        began_ms, answer = await self._timed("GET", account, paid=True)
        _, positions = await self._timed("GET", risk, paid=True)
        return with_position_risk(parse_account(answer, began_ms, reference), positions)

    async def _get(self, name: str) -> Any:
        return await self.request("GET", self._path(name))

    async def _get_v3(self, name: str) -> Any:
        if self._signer.hmac:
            raise CredentialError(f"account {self.alias}: an HMAC key cannot ask the venue for {name}: use an agent (API wallet) instead")
        return await self._get(name)

    def _path(self, name: str) -> str:
        return _V1_PATHS.get(name, f"/fapi/v1/{name}") if self._signer.hmac else f"/fapi/v3/{name}"


class _NotJson:
    pass


_NOT_JSON = _NotJson()


def _code(answer: object) -> int | None:
    code = answer.get("code") if isinstance(answer, dict) else None
    return code if isinstance(code, int) and not isinstance(code, bool) and code < 0 else None
