"""Who gets in: the token, the cookie of a login and its end, origins, limits, and the headers of every answer."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from monitor import status
from monitor.web import answers
from monitor.web.access import POLICY, Access, add_headers
from monitor.web.credentials import LIFE_S, MOST_ENDED, Credentials
from monitor.web.limits import Buckets, Limits, asker
from monitor.web.server import ApiServer
from tests.monitor.own_app import OwnApplication, started
from tests.monitor.reloads import ReloadedApplication, desk

TOKEN = "correct horse battery staple"
OTHER = "another token altogether"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
WRONG = {"Authorization": "Bearer wrong"}
PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class Clock:
    """Monotonic seconds, moved by hand."""

    def __init__(self) -> None:
        self.now_s = 5000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: str

    @property
    def cookie(self) -> str:
        """What it sets, without attributes."""
        return self.headers.get("Set-Cookie", "").partition(";")[0]


class Client:
    """Asks one server, and remembers all answers. Keeps no cookies."""

    def __init__(self, server: ApiServer, session: aiohttp.ClientSession, clock: Clock) -> None:
        self.server, self.clock = server, clock
        self.answers: list[Answer] = []
        self._session = session

    async def ask(self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any) -> Answer:
        url = self.server.url + path
        async with self._session.request(method, url, headers=headers, allow_redirects=False, **more) as told:
            answer = Answer(told.status, {str(name): value for name, value in told.headers.items()}, await told.text())
        self.answers.append(answer)
        return answer

    async def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        return await self.ask("GET", path, headers)

    async def login(self, token: str, headers: dict[str, str] | None = None) -> Answer:
        return await self.ask("POST", "/login", headers, data={"token": token})

    async def cookie(self) -> dict[str, str]:
        """The header of somebody who has logged in."""
        return {"Cookie": (await self.login(TOKEN)).cookie}


@asynccontextmanager
async def serving(own: OwnApplication | None = None, token: str | None = TOKEN, limits: Limits | None = None) -> AsyncIterator[Client]:
    clock = Clock()
    server = ApiServer((own or OwnApplication()).app, "127.0.0.1", 0, token, limits=limits, clock=clock)
    await server.start()
    try:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            yield Client(server, session, clock)
    finally:
        await server.stop()


# -- the cookie --------------------------------------------------------------------------------------------------------------------------


async def test_a_login_gives_a_cookie_that_opens_everything() -> None:
    async with serving() as client:
        answer = await client.login(TOKEN, PAGE)
        assert (answer.status, answer.headers["Location"]) == (303, "/")
        attributes = set(answer.headers["Set-Cookie"].split("; ")[1:])
        assert attributes == {"HttpOnly", "SameSite=Strict", "Path=/", f"Max-Age={LIFE_S}"}
        assert answer.cookie.startswith(f"marginwatch_{client.server.port}=")
        for path in ("/api/v1/accounts", "/metrics", "/"):
            assert (await client.get(path)).status == 401
            assert (await client.get(path, {"Cookie": answer.cookie})).status == 200


@pytest.mark.parametrize(("link", "secure"), [("https://margin.desk.example", True), ("http://margin.desk.example", False)])
async def test_the_cookie_is_secure_where_the_page_is(link: str, secure: bool) -> None:
    async with serving(ReloadedApplication(desk(alerts={"link": link}))) as client:
        assert ("Secure" in (await client.login(TOKEN)).headers["Set-Cookie"].split("; ")) == secure


async def test_a_script_logs_in_with_json() -> None:
    async with serving() as client:
        answer = await client.ask("POST", "/login", json={"token": TOKEN})
        assert (answer.status, answer.body) == (204, "")
        assert (await client.get("/api/v1/status", {"Cookie": answer.cookie})).status == 200
        refused = await client.ask("POST", "/login", json={"token": "wrong"})
        assert (refused.status, refused.cookie) == (401, "")
        assert "not the token" in refused.body


async def test_the_cookie_ends_with_its_time() -> None:
    async with serving() as client:
        cookie = await client.cookie()
        client.clock.now_s += LIFE_S - 1
        assert (await client.get("/api/v1/status", cookie)).status == 200
        client.clock.now_s += 2
        assert (await client.get("/api/v1/status", cookie)).status == 401


async def test_the_cookie_ends_when_the_token_is_replaced() -> None:
    async with serving() as client:
        cookie = await client.cookie()
        client.server.token = OTHER
        assert (await client.get("/api/v1/status", cookie)).status == 401
        assert (await client.login(TOKEN)).status == 401
        assert (await client.get("/api/v1/status", {"Cookie": (await client.login(OTHER)).cookie})).status == 200


async def test_the_cookie_of_another_process_is_not_taken() -> None:
    async with serving() as before, serving() as client:
        assert (await client.get("/api/v1/status", await before.cookie())).status == 401


def test_a_cookie_cannot_be_made_or_changed() -> None:
    clock = Clock()
    credentials = Credentials(TOKEN, clock)
    cookie = credentials.cookie()
    end, _, digest = cookie.partition(".")
    nonce = digest.partition(".")[0]
    assert credentials.left_s(cookie) == LIFE_S
    made = [
        "",
        ".",
        end,
        f"{end}.",
        f"{int(end) + 1}.{digest}",
        f"{end}.{digest[:-1]}",
        f"{end}.{digest[len(nonce) + 1 :]}",
        f"x.{digest}",
        f".{digest}",
        "\udcff.ü",
        TOKEN,
    ]
    assert [given for given in made if credentials.left_s(given)] == []
    assert not credentials.is_token(cookie)
    credentials.token = None
    assert not credentials.left_s(credentials.cookie())


async def test_logging_out_ends_the_cookie_wherever_it_was_copied_to_and_no_other() -> None:
    async with serving() as client:
        mine, other = await client.cookie(), await client.cookie()
        assert mine != other
        await client.ask("POST", "/logout", mine)
        assert (await client.get("/api/v1/status", mine)).status == 401
        assert (await client.get("/api/v1/status", other)).status == 200


def test_cookies_that_were_ended_are_not_remembered_without_end() -> None:
    credentials = Credentials(TOKEN, Clock())
    cookies = [credentials.cookie() for _ in range(MOST_ENDED + 1)]
    last = credentials.cookie()
    for cookie in cookies[:-1]:
        credentials.end(cookie)
    assert credentials.left_s(last)
    credentials.end(cookies[-1])
    assert not any(credentials.left_s(cookie) for cookie in [*cookies, last])


async def test_logging_out_clears_the_cookie() -> None:
    async with serving() as client:
        answer = await client.ask("POST", "/logout", PAGE | await client.cookie())
        assert (answer.status, answer.headers["Location"]) == (303, "/login")
        assert answer.cookie == f'marginwatch_{client.server.port}=""'
        assert {"Max-Age=0", "Path=/"} < set(answer.headers["Set-Cookie"].split("; "))
        assert (await client.ask("POST", "/logout")).status == 204


# -- the page ----------------------------------------------------------------------------------------------------------------------------


async def test_a_browser_is_sent_to_the_login_and_back() -> None:
    async with serving() as client:
        for method in ("GET", "HEAD"):
            answer = await client.ask(method, "/", PAGE)
            assert (answer.status, answer.headers.get("Location")) == (303, "/login")
        assert (await client.get("/", PAGE | WRONG)).status == 401
        for path in ("/api/v1/status", "/nothing", "/static/app.js"):
            answer = await client.get(path, PAGE)
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert "a token is needed" in answer.body
        form = await client.get("/login", PAGE)
        assert (form.status, form.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        needed = re.findall(r'(?:href|src)="([^"]+)"', form.body)
        assert needed
        for path in needed:
            assert (await client.get(path)).status == 200, path
        again = await client.get("/login", PAGE | await client.cookie())
        assert (again.status, again.headers["Location"]) == (303, "/")


async def test_a_wrong_token_shows_the_form_again_and_says_so() -> None:
    async with serving() as client:
        assert "not the token" not in (await client.get("/login")).body
        answer = await client.login("wrong", PAGE)
        assert (answer.status, answer.cookie) == (401, "")
        assert "<form" in answer.body
        assert "This is not the token of this monitor." in answer.body


async def test_without_a_token_nobody_has_to_log_in() -> None:
    async with serving(token=None) as client:
        for answer in (await client.get("/login", PAGE), await client.login("any", PAGE)):
            assert (answer.status, answer.headers["Location"], answer.cookie) == (303, "/", "")
        assert (await client.get("/api/v1/status")).status == 200
        for path in ("/login", "/static/login.css", "/-/healthy"):
            assert (await client.get(path, {"Host": "desk.example"})).status == 403


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"tocken=x", "application/x-www-form-urlencoded"),
        (b"&".join([b"token=x", *[b"a=b"] * 20]), "application/x-www-form-urlencoded"),
        (b"token=a&token=b", "application/x-www-form-urlencoded"),
        (b"\xff\xfe", "application/json"),
        (b'["token"]', "application/json"),
        (b'{"token": 5}', "application/json"),
        (b"token=x", "text/plain"),
        (b"", ""),
    ],
)
async def test_what_is_no_login_is_refused(body: bytes, kind: str) -> None:
    async with serving() as client:
        answer = await client.ask("POST", "/login", {"Content-Type": kind}, data=body)
        assert (answer.status, answer.cookie) == (400, "")


async def test_a_token_of_any_bytes_is_only_wrong() -> None:
    async with serving() as client:
        answer = await client.ask("POST", "/login", {"Content-Type": "application/x-www-form-urlencoded"}, data=b"token=\xff%ff%ed%a0%80")
        assert answer.status == 401


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null", "http://127.0.0.1:1"])
async def test_a_page_of_another_origin_may_neither_log_in_nor_out(origin: str) -> None:
    async with serving() as client:
        for answer in (await client.login(TOKEN, {"Origin": origin}), await client.ask("POST", "/logout", {"Origin": origin})):
            assert (answer.status, answer.cookie) == (403, "")
        assert (await client.login(TOKEN, {"Origin": client.server.url})).status == 204


async def test_what_is_longer_than_the_limit_is_refused() -> None:
    async with serving() as client:
        assert (await client.login("x" * 262_144)).status == 413
        assert (await client.login("x" * 262_000)).status == 401


# -- limits ------------------------------------------------------------------------------------------------------------------------------


async def test_wrong_tokens_lock_the_login_but_no_scrape() -> None:
    async with serving() as client:
        for _ in range(5):
            assert (await client.get("/api/v1/status", WRONG)).status == 401
            assert (await client.login("wrong")).status == 401
        refused = await client.get("/api/v1/status", WRONG)
        assert (refused.status, refused.headers["Retry-After"]) == (429, "6")
        locked = await client.login(TOKEN, PAGE)
        assert (locked.status, locked.headers["Retry-After"], locked.cookie) == (429, "6", "")
        assert "Too many wrong tokens" in locked.body
        assert (await client.get("/metrics", BEARER)).status == 200
        assert (await client.get("/api/v1/status")).status == 401
        client.clock.now_s += 6.0
        assert (await client.login(TOKEN)).status == 204
        assert (await client.login("wrong")).status == 401
        assert (await client.login(TOKEN)).status == 429


async def test_logins_at_once_are_counted_one_by_one() -> None:
    async with serving() as client:
        answers = await asyncio.gather(*(client.login(f"wrong {number}") for number in range(20)))
        assert sorted(answer.status for answer in answers) == [401] * 10 + [429] * 10


async def test_no_token_and_an_old_cookie_are_no_wrong_tokens() -> None:
    async with serving() as client:
        for _ in range(20):
            assert (await client.get("/api/v1/status")).status == 401
            assert (await client.get("/api/v1/status", {"Cookie": "marginwatch=1.2"})).status == 401
        assert (await client.login(TOKEN)).status == 204


async def test_who_asks_too_often_is_told_when_to_ask_again() -> None:
    async with serving(limits=Limits(requests_per_s=0.5, requests_at_once=3)) as client:
        assert [(await client.get("/api/v1/status", BEARER)).status for _ in range(4)] == [200, 200, 200, 429]
        refused = client.answers[-1]
        assert refused.headers["Retry-After"] == "2"
        assert "ask again in 2 s" in refused.body
        assert [(await client.get(path, BEARER)).status for path in ("/-/healthy", "/metrics", "/login", "/")] == [200, 200, 429, 429]
        client.clock.now_s += 2.0
        assert [(await client.get("/api/v1/status", BEARER)).status for _ in range(2)] == [200, 429]


async def test_the_usual_limit_is_generous() -> None:
    async with serving() as client:
        assert {(await client.get("/nothing", BEARER)).status for _ in range(200)} == {404}
        assert (await client.get("/nothing", BEARER)).status == 429
        client.clock.now_s += 1.0
        assert [(await client.get("/nothing", BEARER)).status for _ in range(51)] == [404] * 50 + [429]


def test_a_bucket_is_full_at_first_and_fills_up_again() -> None:
    clock = Clock()
    buckets = Buckets(2.0, 2, clock)
    assert [buckets.take("a"), buckets.take("a"), buckets.take("a")] == [0.0, 0.0, 0.5]
    assert (buckets.wait_s("a"), buckets.take("b")) == (0.5, 0.0)
    clock.now_s += 100.0
    assert [buckets.take("a"), buckets.wait_s("a"), buckets.take("a"), buckets.wait_s("a")] == [0.0, 0.0, 0.0, 0.5]


def test_the_table_of_addresses_is_bounded() -> None:
    buckets = Buckets(1.0, 1, Clock(), most=3)
    assert [buckets.take(address) for address in ("a", "b", "c")] == [0.0] * 3
    assert buckets.wait_s("nobody") == 0.0
    assert buckets.take("d") == 0.0
    assert len(buckets) == 3
    assert [buckets.wait_s(address) > 0.0 for address in ("a", "b", "c", "d")] == [False, True, True, True]


@pytest.mark.parametrize(
    ("remote", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        (None, ""),
        ("a socket", "a socket"),
    ],
)
def test_who_is_counted(remote: str | None, counted: str) -> None:
    assert asker(remote) == counted


# -- headers and secrets -----------------------------------------------------------------------------------------------------------------


def _is_guarded(answer: Answer, cached: str = "no-store") -> bool:
    expected = {
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": cached,
    }
    return {name: answer.headers.get(name) for name in expected} == expected


async def test_every_answer_has_its_headers(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def broken(app: object) -> dict[str, Any]:
        raise RuntimeError("a defect")

    monkeypatch.setattr(status, "status", broken)
    async with serving(limits=Limits(requests_at_once=20)) as client:
        assert (await client.get("/static/login.css")).status == 200
        assert _is_guarded(client.answers.pop(), "no-cache")
        asked = {
            "/": 200,
            "/login": 303,
            "/-/healthy": 200,
            "/metrics": 200,
            "/api/v1/accounts": 200,
            "/api/v1/nothing": 404,
            "/nothing": 404,
            "/static/nothing": 404,
            "/api/v1/status": 500,
        }
        for path, expected in asked.items():
            assert (await client.get(path, BEARER)).status == expected, path
        assert (await client.get("/", PAGE)).status == 303
        assert (await client.get("/api/v1/status")).status == 401
        assert (await client.ask("POST", "/api/v1/status", BEARER)).status == 405
        assert (await client.ask("POST", "/api/v1/silences", BEARER, data=b"x")).status == 415
        assert (await client.login("wrong", PAGE)).status == 401
        assert (await client.login(TOKEN)).status == 204
        while (await client.get("/nothing")).status != 429:
            pass
        assert [answer for answer in client.answers if not _is_guarded(answer)] == []
    assert "a defect" in caplog.text


def test_the_policy_lets_nothing_in_from_elsewhere() -> None:
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules.pop("img-src") == "'self' data:"
    assert set(rules.values()) == {"'self'", "'none'"}
    assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == "'none'"
    assert rules["form-action"] == "'self'"


async def test_the_token_is_in_no_answer_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "a-token-of-one-word"
    async with serving(token=secret) as client:
        cookie = {"Cookie": (await client.login(secret, PAGE)).cookie}
        for path in ("/", "/metrics", "/api/v1/status", "/api/v1/accounts", "/nothing"):
            assert (await client.get(path, cookie)).status in (200, 404)
            assert (await client.get(path, {"Authorization": f"Bearer {secret}x"})).status == 401
        for kind in (PAGE, {}):
            assert (await client.login(f"{secret}x", kind)).status == 401
            assert (await client.ask("POST", "/login", kind, json={"token": f"{secret}x", "more": 1})).status == 401
        reader, writer = await asyncio.open_connection("127.0.0.1", client.server.port)
        writer.write(f"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\0\r\n\r\n".encode())
        assert (await reader.read(100)).startswith(b"HTTP/1.0 400")
        writer.close()
        await writer.wait_closed()
        told = "".join(answer.body + str(answer.headers) for answer in client.answers)
    assert secret not in told
    assert secret not in caplog.text
    assert "a wrong token was sent from 127.0.0.1" in caplog.text
    assert "Error handling request from 127.0.0.1" in caplog.text


# -- upgrades ----------------------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def streaming() -> AsyncIterator[tuple[aiohttp.ClientSession, str, Access]]:
    """A server with nothing but the guard and a WebSocket that repeats what it hears."""

    async def repeat(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(await socket.receive_str())
        await socket.close()
        return socket

    access = Access(TOKEN)
    application = web.Application(middlewares=[access.guard])
    application.on_response_prepare.append(add_headers)
    application.router.add_get("/stream", repeat)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            yield session, f"http://127.0.0.1:{runner.addresses[0][1]}/stream", access
    finally:
        await runner.cleanup()


async def test_a_stream_passes_the_guard_with_a_cookie_only() -> None:
    async with streaming() as (session, url, access):
        async with session.ws_connect(url, headers={"Cookie": f"marginwatch={access.credentials.cookie()}"}) as socket:
            await socket.send_str("a frame")
            assert await socket.receive_str() == "a frame"
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(url)
        assert refused.value.status == 401


# -- addresses ---------------------------------------------------------------------------------------------------------------------------


async def test_addresses_of_accounts_are_told_only_where_the_configuration_says_so() -> None:
    own = ReloadedApplication(desk())
    async with started(own), serving(own) as client:
        assert "address" not in (await client.get("/api/v1/accounts", BEARER)).body
        assert await own.reload(desk(monitor={"show_addresses": True})) == ["[monitor] show_addresses"]
        assert f'"address":"0x{0xB001:040x}"' in (await client.get("/api/v1/accounts", BEARER)).body


def test_an_account_without_an_address_has_none_to_show() -> None:
    own = ReloadedApplication(desk(monitor={"show_addresses": True}))
    accounts = tuple(account.model_copy(update={"address": ""}) for account in own.settings.accounts)
    own.app.settings = own.settings.model_copy(update={"accounts": accounts})
    assert [account["address"] for account in status.accounts(own.app)["accounts"]] == [None]


# -- what is no request ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/login", "/api/v1/silences"])
@pytest.mark.parametrize(
    ("headers", "body"), [({"Content-Encoding": "gzip"}, b"no gzip"), ({"Transfer-Encoding": "chunked"}, b"zz\r\n"), ({}, b"")]
)
async def test_a_broken_body_is_the_fault_of_its_sender(
    path: str, headers: dict[str, str], body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.server.port)
        told = {"Host": "127.0.0.1", "Content-Type": "application/json", "Content-Length": str(len(body))} | BEARER | headers
        if "Transfer-Encoding" in told:
            del told["Content-Length"]
        head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        writer.write(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        assert b" 400 " in await asyncio.wait_for(reader.readline(), 5.0)
        writer.close()
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(("path", "status"), [("/login", b"400"), ("/api/v1/silences", b"408")])
async def test_a_body_that_does_not_come_is_not_waited_for(path: str, status: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "READ_S", 0.01)
    async with serving() as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.server.port)
        told = {"Host": "127.0.0.1", "Content-Type": "application/json", "Content-Length": "100"} | BEARER
        head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        writer.write(f"POST {path} HTTP/1.1\r\n{head}\r\n{{".encode())
        assert status in await asyncio.wait_for(reader.readline(), 5.0)
        writer.close()


@pytest.mark.parametrize("host", ["[::1", "[", "127.0.0.1.elsewhere.example", "127.0.0.1@elsewhere.example", "elsewhere.example:80"])
async def test_without_a_token_a_host_that_is_no_loopback_name_is_refused(host: str) -> None:
    async with serving(token=None) as client:
        assert (await client.get("/api/v1/status", {"Host": host})).status == 403
