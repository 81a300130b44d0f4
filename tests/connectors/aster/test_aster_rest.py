"""Typed requests: paths, weights, the allow-list, the clock, errors; and the discovery of sub-accounts."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from math import inf
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.aster.discovery import discover
from connectors.aster.errors import (
    AddressBanned,
    ClockRefused,
    CredentialError,
    ForbiddenRequest,
    KeyRefused,
    ListenKeyUnknown,
    NeverDeposited,
    SignatureRefused,
    TornRead,
    VenueError,
    VenueUnavailable,
    WebPage,
)
from connectors.aster.rest import PUBLIC, V1, V3, AccountRest, AsterRest
from connectors.aster.settings import AgentKey, AsterAccountRef, HmacKey
from connectors.aster.signing import signer_of
from connectors.errors import BudgetError, ConnectorError, HttpError, ProtocolError, RateLimited, Timeout
from connectors.fields import WrongShape
from connectors.memory import HttpRequest
from connectors.model import PositionSide
from connectors.transport import HttpResponse, HttpTransport
from tests.connectors.aster import aster_wire as wire

REFERENCE = wire.reference()
ACCOUNT = wire.account([wire.asset("USDT", "1000")], [wire.position("BTCUSDT", "0.5", "60000"), wire.position("ETHUSDT")])
RISK = [wire.risk("BTCUSDT", "0.500", price="40000")]
ORDER = {"symbol": "BTCUSDT", "orderId": 5, "side": "BUY", "type": "LIMIT", "origQty": "3", "executedQty": "1", "price": "50000"}
BOTH_MODES = {"multiAssetsMargin": True}, {"dualSidePosition": False}

Call = Callable[[AccountRest], Awaitable[Any]]


def position_fields(read: Any) -> Any:
    return [(position.instrument, position.quantity, position.reported_liquidation_price) for position in read.positions]


# call, its requests and answers (v3 path, v1 path, answer), weight, what it returns
CALLS: list[tuple[str, Call, list[tuple[str, str, str, Any]], int, Any]] = [
    (
        "account",
        lambda rest: rest.account(REFERENCE),
        [("GET", "v3/accountWithJoinMargin", "v4/account", ACCOUNT), ("GET", "v3/positionRisk", "v2/positionRisk", RISK)],
        10,
        [("aster:BTCUSDT", 0.5, 40_000.0)],
    ),
    (
        "account_only",
        lambda rest: rest.account_only(REFERENCE),
        [("GET", "v3/accountWithJoinMargin", "v4/account", ACCOUNT)],
        5,
        [("aster:BTCUSDT", 0.5, None)],
    ),
    (
        "modes",
        lambda rest: rest.modes(),
        [
            ("GET", "v3/multiAssetsMargin", "v1/multiAssetsMargin", BOTH_MODES[0]),
            ("GET", "v3/positionSide/dual", "v1/positionSide/dual", BOTH_MODES[1]),
        ],
        60,
        (True, False),
    ),
    ("orders", lambda rest: rest.orders(), [("GET", "v3/openOrders", "v1/openOrders", [])], 40, ()),
    (
        "adl",
        lambda rest: rest.adl(),
        [("GET", "v3/adlQuantile", "v1/adlQuantile", [{"symbol": "BTCUSDT", "adlQuantile": {"BOTH": 3}}])],
        5,
        {("aster:BTCUSDT", PositionSide.BOTH): 3},
    ),
    ("brackets", lambda rest: rest.brackets(), [("GET", "v3/leverageBracket", "v1/leverageBracket", [])], 1, []),
    (
        "create_listen_key",
        lambda rest: rest.create_listen_key(),
        [("POST", "v3/listenKey", "v1/listenKey", {"listenKey": wire.LISTEN_KEY})],
        1,
        wire.LISTEN_KEY,
    ),
    ("keep_listen_key", lambda rest: rest.keep_listen_key(wire.LISTEN_KEY), [("PUT", "v3/listenKey", "v1/listenKey", {})], 1, None),
]


@pytest.mark.parametrize("ref", [wire.DESK, wire.OLD], ids=["v3", "hmac"])
@pytest.mark.parametrize(("call", "exchanges", "weight", "expected"), [row[1:] for row in CALLS], ids=[row[0] for row in CALLS])
async def test_request_goes_where_its_key_is_taken_and_spends_its_weight(
    ref: AsterAccountRef, call: Call, exchanges: list[tuple[str, str, str, Any]], weight: int, expected: Any
) -> None:
    desk = wire.Desk(ref)
    names = [f"{method} /fapi/{v1 if ref is wire.OLD else v3}" for method, v3, v1, _ in exchanges]
    desk.venue.table |= {name: answer for name, (*_, answer) in zip(names, exchanges, strict=True)}
    found = await call(desk.account)
    assert (position_fields(found) if hasattr(found, "positions") else found) == expected
    assert [
        f"{request.method} {request.url.partition('?')[0].removeprefix('https://fapi.asterdex.com')}" for request in desk.venue.requests
    ] == names
    assert desk.spent == weight
    listen_key = names[0].endswith("listenKey")
    for request in desk.venue.requests:
        keys = [key for key, _ in wire.sent_pairs(request)]
        if ref is wire.OLD:
            assert request.headers["X-MBX-APIKEY"] == wire.HMAC_KEY
            assert keys == ([] if listen_key else ["timestamp", "recvWindow", "signature"])
        else:
            first = ["listenKey"] if request.method == "PUT" else []
            assert keys == [*first, "nonce", "user", "signer", "signature"]
            assert request.headers == ({} if request.method == "GET" else {"Content-Type": "application/x-www-form-urlencoded"})


@pytest.mark.parametrize(
    ("path", "call", "expected"),
    [
        ("agent", lambda rest: rest.agents(), [wire.agent()]),
        ("getSubAccountList", lambda rest: rest.sub_accounts(), [{"accountId": 1, "subAccountName": "x", "parentAccount": False}]),
    ],
)
async def test_what_only_agents_may_ask(path: str, call: Call, expected: list[Any]) -> None:
    desk = wire.Desk()
    desk.venue.table[f"GET /fapi/v3/{path}"] = expected
    assert len(await call(desk.account)) == 1
    assert desk.spent == 5
    old = wire.Desk(wire.OLD)
    with pytest.raises(CredentialError, match=r"^account old: an HMAC key cannot"):
        await call(old.account)
    assert (old.spent, old.venue.requests) == (0, [])


async def test_public_reads() -> None:
    desk = wire.Desk()
    row = {"symbol": "BTCUSDT", "markPrice": "1", "indexPrice": "2", "lastFundingRate": "0", "nextFundingTime": 3, "time": 4}
    desk.venue.table |= {
        "GET /fapi/v3/exchangeInfo": wire.exchange_info(),
        "GET /fapi/v3/fundingInfo": wire.FUNDING,
        "GET /fapi/v3/premiumIndex": [row],
    }
    assert await desk.rest.exchange_info() == wire.exchange_info()
    assert await desk.rest.funding_info() == wire.FUNDING
    assert (await desk.rest.premium_index()).received_ns == desk.clock.monotonic_ns()
    await desk.rest.public("/fapi/v3/premiumIndex", [("symbol", wire.CJK)])
    assert desk.venue.requests[-1].url.endswith("/fapi/v3/premiumIndex?symbol=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT")
    assert desk.spent == 22
    assert all(request.headers == {} for request in desk.venue.requests)


class Untouchable:
    """A signer that must not be asked."""

    hmac = False
    needs_signature_for_listen_key = True

    @property
    def headers(self) -> dict[str, str]:
        raise AssertionError("asked for headers")

    def sign(self, pairs: list[tuple[str, str]]) -> str:
        raise AssertionError("asked to sign")


class UntouchableHmac(Untouchable):
    hmac = True
    needs_signature_for_listen_key = False


WRITES = [
    "order",
    "order/test",
    "batchOrders",
    "allOpenOrders",
    "countdownCancelAll",
    "leverage",
    "marginType",
    "positionMargin",
    "positionSide/dual",
    "multiAssetsMargin",
    "placeStrategyOrder",
    "transfer",
    "withdraw",
    "approveAgent",
    "registerAndApproveAgent",
    "approveBuilder",
    "agent",
    "listenKey",
    "noop",
    "asset/wallet/transfer",
    "createSubAccount",
]
VERSIONS = ["v1", "v2", "v3", "v4"]
ODD = [
    "",
    "/",
    "/fapi/v3/listenKey/",
    "/fapi/v3//listenKey",
    "/fapi/v3/listenkey",
    "/fapi/v3/agent?x=1",
    "//fapi/v3/agent",
    "/fapi/v3/account",
]
PATHS = [*(f"/fapi/{version}/{name}" for version in VERSIONS for name in WRITES), *(path for _, path in [*V1, *V3]), *PUBLIC, *ODD]
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "get", "Post", ""]


def is_stopped(method: str, path: str, desk: wire.Desk, allowed: Mapping[tuple[str, str], int]) -> None:
    if (method, path) not in allowed:
        with pytest.raises(ForbiddenRequest):
            asyncio.run(desk.account.request(method, path, [("symbol", "BTCUSDT")]))
    if (method, path) not in {*V1, *V3, *(("GET", public) for public in PUBLIC)}:
        with pytest.raises(ForbiddenRequest):
            asyncio.run(desk.rest.send(method, path, "", "something"))
    if path not in PUBLIC:
        with pytest.raises(ForbiddenRequest):
            asyncio.run(desk.rest.public(path))


@pytest.mark.parametrize("signer", [Untouchable(), UntouchableHmac()], ids=["v3", "hmac"])
def test_everything_off_the_list_is_stopped_before_it_is_signed_or_paid(signer: Untouchable) -> None:
    desk = wire.Desk(signer=signer, measured=False)
    for method in METHODS:
        for path in PATHS:
            is_stopped(method, path, desk, V1 if signer.hmac else V3)
    assert (desk.spent, desk.venue.requests) == (0, [])


@given(st.text(max_size=8), st.text(max_size=30))
def test_any_other_words_are_stopped_too(method: str, path: str) -> None:
    desk = wire.Desk(signer=Untouchable(), measured=False)
    is_stopped(method, path, desk, V3)
    assert (desk.spent, desk.venue.requests) == (0, [])


def test_the_list_itself() -> None:
    """Read it: nothing but reads, and a listen key that is made and prolonged but never closed."""
    for allowed in (V1, V3):
        writes = {(method, path.rpartition("/")[2]) for method, path in allowed if method != "GET"}
        assert writes == {("POST", "listenKey"), ("PUT", "listenKey")}
    reads = {path.partition("/fapi/")[2] for method, path in [*V1, *V3] if method == "GET"}
    assert reads == set(
        [
            "v3/accountWithJoinMargin",
            "v3/positionRisk",
            "v3/leverageBracket",
            "v3/positionSide/dual",
            "v3/multiAssetsMargin",
            "v3/openOrders",
            "v3/adlQuantile",
            "v3/agent",
            "v3/getSubAccountList",
            "v4/account",
            "v2/positionRisk",
            "v1/leverageBracket",
            "v1/positionSide/dual",
            "v1/multiAssetsMargin",
            "v1/openOrders",
            "v1/adlQuantile",
        ]
    )


async def test_clock_is_measured_before_the_first_signature() -> None:
    desk = wire.Desk(measured=False)
    desk.venue.ahead_ms = -30_000
    desk.venue.table["GET /fapi/v3/openOrders"] = []
    await desk.account.orders()
    await desk.account.orders()
    assert [request.url.partition("?")[0].rpartition("/")[2] for request in desk.venue.requests] == ["time", "openOrders", "openOrders"]
    (_, first, second) = desk.venue.requests
    nonces = [int(dict(wire.sent_pairs(request))["nonce"]) for request in (first, second)]
    assert nonces == [(wire.NOW_MS - 30_000) * 1000, (wire.NOW_MS - 30_000) * 1000 + 1]


def strict_about_nonces(desk: wire.Desk, code: int = -4225) -> Callable[[HttpRequest], Any]:
    """The venue's own rule: within 10 s of its time, each value once."""
    seen: set[int] = set()

    def answer(request: HttpRequest) -> Any:
        pairs = dict(wire.sent_pairs(request))
        said_ms = int(pairs["timestamp"]) if "timestamp" in pairs else int(pairs["nonce"]) / 1000
        off_ms = said_ms - desk.clock.time_ms() - desk.venue.ahead_ms
        value = int(pairs.get("nonce", 0))
        if abs(off_ms) > 10_000 or value in seen:
            return HttpResponse(400, body=orjson.dumps(wire.error(code)))
        seen.update({value} if value else ())
        return []

    return answer


@pytest.mark.parametrize(("ref", "path", "code"), [(wire.DESK, "v3", -4225), (wire.DESK, "v3", -1021), (wire.OLD, "v1", -1021)])
@pytest.mark.parametrize("off_ms", [-30_000, 30_000])
async def test_clock_that_went_wrong_is_measured_once_and_the_request_made_again(
    ref: AsterAccountRef, path: str, code: int, off_ms: int
) -> None:
    desk = wire.Desk(ref)
    desk.venue.ahead_ms = off_ms if ref is wire.OLD else abs(off_ms)
    desk.venue.table[f"GET /fapi/{path}/openOrders"] = strict_about_nonces(desk, code)
    assert await desk.account.orders() == ()
    assert [request.url.partition("?")[0].rpartition("/")[2] for request in desk.venue.requests] == ["openOrders", "time", "openOrders"]
    assert desk.spent == 40 + 1 + 40
    assert desk.venue_clock.offset_ms == desk.venue.ahead_ms


async def test_clock_refused_twice_is_told() -> None:
    desk = wire.Desk()
    desk.venue.table["GET /fapi/v3/openOrders"] = wire.error(-4225)
    with pytest.raises(ClockRefused):
        await desk.account.orders()
    assert len(desk.venue.asked("/fapi/v3/openOrders")) == 2


async def test_concurrent_requests_never_share_a_nonce() -> None:
    desk = wire.Desk()
    desk.venue.table["GET /fapi/v3/openOrders"] = strict_about_nonces(desk)
    await asyncio.gather(*(desk.account.orders() for _ in range(30)))
    assert len(desk.venue.requests) == 30


async def test_read_says_when_it_was_asked_for_by_the_venues_clock() -> None:
    desk = wire.Desk()
    desk.venue.ahead_ms = 5_000
    await desk.rest.server_time()
    assert desk.venue_clock.age_s() == 0.0

    def slow(request: HttpRequest) -> Any:
        desk.clock.shift(0.7)
        return ACCOUNT

    desk.venue.table |= {"GET /fapi/v3/accountWithJoinMargin": slow, "GET /fapi/v3/positionRisk": RISK}
    assert (await desk.account.account(REFERENCE)).began_ms == wire.NOW_MS + 5_000

    def refuse(request: HttpRequest) -> Any:
        desk.clock.shift(60.0)
        return wire.error(-1021)

    desk.venue.next("GET /fapi/v3/accountWithJoinMargin", refuse)
    asked_again_ms = wire.NOW_MS + 5_000 + 700 + 60_000
    assert (await desk.account.account(REFERENCE)).began_ms == asked_again_ms, "of the attempt that was answered"


async def test_torn_read_is_read_once_more() -> None:
    desk = wire.Desk()
    other = [wire.risk("BTCUSDT", "0.4", price="40000")]
    desk.venue.table |= {"GET /fapi/v3/accountWithJoinMargin": ACCOUNT, "GET /fapi/v3/positionRisk": RISK}
    desk.venue.next("GET /fapi/v3/positionRisk", other)
    assert position_fields(await desk.account.account(REFERENCE)) == [("aster:BTCUSDT", 0.5, 40_000.0)]
    assert desk.spent == 20
    desk.venue.next("GET /fapi/v3/positionRisk", other, other)
    with pytest.raises(TornRead):
        await desk.account.account(REFERENCE)
    assert len(desk.venue.requests) == 8


async def test_both_halves_of_a_read_are_paid_before_the_first_is_asked() -> None:
    desk = wire.Desk(weight_limit=12)
    desk.venue.table |= {"GET /fapi/v3/accountWithJoinMargin": ACCOUNT, "GET /fapi/v3/positionRisk": RISK}
    await desk.rest.spend(5)
    reading = asyncio.create_task(desk.account.account(REFERENCE))
    await desk.clock.advance(59.0)
    assert desk.venue.requests == []
    await desk.clock.advance(1.0)
    await reading
    assert len(desk.venue.requests) == 2


async def test_venue_usage_is_observed_and_nonsense_in_it_is_not() -> None:
    desk = wire.Desk()
    for used, ratio in (("1800", 0.75), ("nonsense", 0.75), ("-5", 0.75), ("", 0.75), ("2400", 1.0)):
        desk.venue.table["GET /fapi/v3/openOrders"] = HttpResponse(200, {"x-mbx-used-weight-1m": used}, b"[]")
        await desk.account.orders()
        assert desk.budget.statistics().venue_usage_ratio == ratio


PAUSES: list[tuple[HttpResponse, type[RateLimited], float | None, float]] = [
    (HttpResponse(429, {"retry-after": "7"}), RateLimited, 7.0, 7.0),
    (HttpResponse(429), RateLimited, None, 10.0),
    (HttpResponse(429, {"retry-after": "soon"}, b"<html>"), RateLimited, None, 10.0),
    (HttpResponse(200, body=orjson.dumps(wire.error(-1003))), RateLimited, None, 10.0),
    (HttpResponse(418, {"retry-after": "300"}), AddressBanned, 300.0, 300.0),
    (HttpResponse(418), AddressBanned, 120.0, 120.0),
    (HttpResponse(418, body=f'{{"code":-1003,"msg":"IP banned until {wire.NOW_MS + 90_000}."}}'.encode()), AddressBanned, 90.0, 90.0),
    (HttpResponse(400, body=f'{{"code":-1003,"msg":"IP banned until {wire.NOW_MS + 90_000}."}}'.encode()), AddressBanned, 90.0, 90.0),
    (HttpResponse(418, body=b'{"code":-1003,"msg":"banned until 99999999999999"}'), AddressBanned, 259_200.0, 259_200.0),
    (HttpResponse(418, body=f"banned until {wire.NOW_MS - 5}".encode()), AddressBanned, 10.0, 10.0),
]


@pytest.mark.parametrize(("response", "kind", "told_s", "paused_s"), PAUSES)
async def test_refusal_pauses_everything_for_the_time_it_names(
    response: HttpResponse, kind: type[RateLimited], told_s: float | None, paused_s: float
) -> None:
    desk = wire.Desk()
    desk.venue.table["GET /fapi/v3/openOrders"] = []
    desk.venue.next("GET /fapi/v3/openOrders", response)
    with pytest.raises(RateLimited) as caught:
        await desk.account.orders()
    assert (type(caught.value), caught.value.retry_after_s) == (kind, told_s)
    again = asyncio.create_task(desk.account.orders())
    await desk.clock.advance(paused_s - 0.5)
    assert not again.done()
    await desk.clock.advance(1.0)
    assert await again == ()


HTML = b"<!DOCTYPE html><html><body>maintenance of 0xdeadbeef</body></html>"
FAILURES: list[tuple[HttpResponse | Exception, type[ConnectorError], str]] = [
    (HttpResponse(400, body=orjson.dumps(wire.error(-2014))), KeyRefused, "code_2014"),
    (HttpResponse(401, body=orjson.dumps(wire.error(-2015))), KeyRefused, "code_2015"),
    (HttpResponse(200, body=orjson.dumps(wire.error(-2015))), KeyRefused, "code_2015"),
    (HttpResponse(400, body=orjson.dumps(wire.error(-1022))), SignatureRefused, "code_1022"),
    (HttpResponse(400, body=orjson.dumps(wire.error(-1021))), ClockRefused, "code_1021"),
    (HttpResponse(400, body=orjson.dumps(wire.error(-4225))), ClockRefused, "code_4225"),
    (HttpResponse(400, body=orjson.dumps(wire.error(-1125))), ListenKeyUnknown, "code_1125"),
    (HttpResponse(400, body=orjson.dumps(wire.error(-5050))), NeverDeposited, "code_5050"),
    (HttpResponse(200, body=orjson.dumps(wire.error(-1000))), VenueUnavailable, "code_1000"),
    (HttpResponse(503, body=orjson.dumps(wire.error(-1001))), VenueUnavailable, "code_1001"),
    (HttpResponse(200, body=orjson.dumps(wire.error(-1121))), VenueError, "code_1121"),
    (HttpResponse(200, body=HTML), WebPage, "html"),
    (HttpResponse(200, body=b""), ProtocolError, "not_json"),
    (HttpResponse(200, body=b"null"), WrongShape, "wrong_shape"),
    (HttpResponse(200, body=b'{"code":200,"msg":"success"}'), WrongShape, "wrong_shape"),
    (HttpResponse(200, body=b'{"code":true}'), WrongShape, "wrong_shape"),
    (HttpResponse(302, {"location": f"https://x/{wire.USER}"}), HttpError, "http_302"),
    (HttpResponse(403, body=HTML), HttpError, "http_403"),
    (HttpResponse(404, body=b"{}"), HttpError, "http_404"),
    (HttpResponse(503, body=HTML), HttpError, "http_503"),
    (HttpResponse(429), RateLimited, "rate_limited"),
    (HttpResponse(429, {"retry-after": "7"}), RateLimited, "rate_limited"),
    (HttpResponse(418), AddressBanned, "banned"),
    (HttpResponse(418, {"retry-after": "300"}), AddressBanned, "banned"),
    (Timeout("a request to fapi.asterdex.com", 10.0), Timeout, "timeout"),
]


@pytest.mark.parametrize("ref", [wire.DESK, wire.OLD], ids=["v3", "hmac"])
@pytest.mark.parametrize(("response", "error", "kind"), FAILURES)
async def test_bad_answer_is_a_typed_error_that_holds_no_secret(
    ref: AsterAccountRef, response: HttpResponse | Exception, error: type[ConnectorError], kind: str
) -> None:
    desk = wire.Desk(ref)
    calls: list[tuple[str, Call]] = [
        ("GET /fapi/v1/openOrders", lambda rest: rest.orders()),
        ("GET /fapi/v4/account", lambda rest: rest.account_only(REFERENCE)),
        ("POST /fapi/v1/listenKey", lambda rest: rest.create_listen_key()),
    ]
    if ref is wire.DESK:
        calls = [(name.replace("v1", "v3").replace("v4/account", "v3/accountWithJoinMargin"), call) for name, call in calls]
    for name, call in calls:
        desk.venue.table[name] = response
        desk.clock.shift(1000.0)
        with pytest.raises(error) as caught:
            await call(desk.account)
        assert caught.value.kind == kind
        no_secret_in(caught.value)


def no_secret_in(error: BaseException) -> None:
    told = f"{error} {error!r} {error.args} {''.join(traceback.format_exception_only(error))} {vars(error)}".lower()
    assert not [secret for secret in wire.SECRETS if secret.lower().removeprefix("0x")[:20] in told]
    assert "0x" not in told
    assert "signature=" not in told
    assert error.__suppress_context__ or error.__context__ is None


KEY_REMEDY = (
    "its key was refused: check that the agent is approved by this account and not expired, that its IP whitelist holds this machine's "
    "address, and that it may read"
)
HMAC_KEY_REMEDY = (
    "its key was refused: HMAC keys made since March 2026 do not work, use an agent (API wallet) instead; else check that the key still "
    "exists, that its IP whitelist holds this machine's address, and that it may read"
)
SIGNATURE_REMEDY = "its signature was refused: check that the private key is this account's agent's, and that chain_id is the network's"
NONCE_REMEDY = (
    "its nonce was refused though it is the venue's own time: check that no other program signs for this account with a clock that "
    "runs ahead, and that requests do not take seconds to get there"
)
TIMESTAMP_REMEDY = "its timestamp was refused though it is the venue's own time: check that requests do not take seconds to get there"
REMEDIES = [
    (wire.DESK, -2015, KEY_REMEDY),
    (wire.OLD, -2015, HMAC_KEY_REMEDY),
    (wire.DESK, -1022, SIGNATURE_REMEDY),
    (wire.OLD, -1022, "its signature was refused: check that key and secret belong together"),
    (wire.DESK, -4225, NONCE_REMEDY),
    (wire.OLD, -1021, TIMESTAMP_REMEDY),
    (wire.DESK, -5050, "the venue refuses an account until its first deposit: check the address, or deposit"),
    (wire.DESK, -1121, "look the code up in the venue's API documentation, or update marginwatch"),
]


@pytest.mark.parametrize(("ref", "code", "remedy"), REMEDIES, ids=[f"{ref.alias}{code}" for ref, code, _ in REMEDIES])
async def test_refusal_names_the_request_the_account_and_the_remedy(ref: AsterAccountRef, code: int, remedy: str) -> None:
    desk = wire.Desk(ref)
    path = "/fapi/v1/openOrders" if ref is wire.OLD else "/fapi/v3/openOrders"
    desk.venue.table[f"GET {path}"] = wire.error(code)
    with pytest.raises(VenueError) as caught:
        await desk.account.orders()
    assert str(caught.value) == f"aster refused GET {path} for account {ref.alias} (code {code}): {remedy}"
    assert caught.value.code == code


BANNED = "nothing is asked until then: find out what else uses the address, and lower ip_budget_share"
REQUEST = "GET /fapi/v3/openOrders for account desk"
TROUBLES = [
    (
        HttpResponse(200, body=HTML),
        f"answered {REQUEST} with a web page instead of data: it is down for maintenance, or something in between (a proxy, a firewall) "
        "answers for it; it is tried again by itself",
    ),
    (
        HttpResponse(403, body=HTML),
        f"answered {REQUEST} with HTTP 403: check the credentials, and whether the venue refuses this address or country",
    ),
    (HttpResponse(429), "limits this address: lower ip_budget_share or what else uses the address"),
    (HttpResponse(429, {"retry-after": "7"}), "limits this address for 7 s: lower ip_budget_share or what else uses the address"),
    (HttpResponse(418), f"banned this address for 120 s, {BANNED}"),
    (HttpResponse(418, {"retry-after": "300"}), f"banned this address for 300 s, {BANNED}"),
]


@pytest.mark.parametrize(("response", "sentence"), TROUBLES)
async def test_pauses_and_web_pages_are_explained(response: HttpResponse, sentence: str) -> None:
    desk = wire.Desk()
    desk.venue.table["GET /fapi/v3/openOrders"] = response
    with pytest.raises(ConnectorError) as caught:
        await desk.account.orders()
    assert str(caught.value) == f"fapi.asterdex.com {sentence}"


async def test_request_without_an_answer_times_out() -> None:
    class Silent(HttpTransport):
        async def request(self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None) -> HttpResponse:
            await asyncio.get_running_loop().create_future()
            raise AssertionError

        async def close(self) -> None:
            return None

    desk = wire.Desk(http=Silent())
    asking = asyncio.create_task(desk.account.orders())
    await desk.clock.advance(9.9)
    assert not asking.done()
    await desk.clock.advance(0.2)
    with pytest.raises(Timeout, match=r"^GET /fapi/v3/openOrders for account desk took longer than 10 s"):
        await asking


async def test_request_heavier_than_our_share_says_so() -> None:
    desk = wire.Desk(weight_limit=39)
    with pytest.raises(BudgetError, match="weight 40 to aster is heavier than our share of 39"):
        await desk.account.orders()
    assert desk.venue.requests == []


async def test_wrong_key_for_the_network_is_no_secret_either() -> None:
    """Two accounts of one process: errors name the one they are about."""
    desk = wire.Desk()
    other = AsterAccountRef("hedge", wire.USER, AgentKey("0x" + "77" * 32))
    second = AccountRest(desk.rest, signer_of(other, replace(desk.config, chain_id=714), desk.nonces, desk.venue_clock), "hedge")
    desk.venue.table["GET /fapi/v3/agent"] = wire.error(-2015)
    for account, alias in ((desk.account, "desk"), (second, "hedge")):
        with pytest.raises(KeyRefused, match=f"for account {alias} ") as caught:
            await account.agents()
        no_secret_in(caught.value)


async def test_discovery_names_sub_accounts_and_says_what_it_cannot_find() -> None:
    desk = wire.Desk()
    rows = [
        {"accountId": 123456, "subAccountName": "grid", "parentAccount": False},
        {"accountId": 100000, "subAccountName": "", "parentAccount": True},
    ]
    desk.venue.table["GET /fapi/v3/getSubAccountList"] = rows
    found = await discover(desk.account)
    assert [(one.kind, one.name, one.account_id) for one in found.accounts] == [
        ("sub_account", "grid", "123456"),
        ("main", "main", "100000"),
    ]
    assert "123456" not in repr(found)
    assert "read-only agent" in found.notes[0]
    old = wire.Desk(replace(wire.OLD, credential=HmacKey("k", "s")))
    with pytest.raises(CredentialError, match="cannot ask the venue for getSubAccountList"):
        await discover(old.account)


async def test_failed_measurement_leaves_the_clock_unmeasured() -> None:
    desk = wire.Desk(measured=False)
    desk.venue.table["GET /fapi/v3/time"] = {"serverTime": "soon"}
    with pytest.raises(WrongShape):
        await desk.account.orders()
    assert desk.venue_clock.age_s() == inf
    assert not desk.venue.asked("/fapi/v3/openOrders"), "nothing is signed by a clock that nobody measured"


def test_objects_show_nothing() -> None:
    desk = wire.Desk()
    assert isinstance(desk.rest, AsterRest)
    shown = f"{desk.account!r} {desk.rest!r} {desk.config!r}".lower()
    assert not [secret for secret in wire.SECRETS if secret.lower() in shown]
