"""The page's files: what is served as what, how often it is sent, and that nothing else is."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from monitor.web.access import OPEN
from monitor.web.pages import STATIC, Pages
from tests.monitor.test_web_access import Answer

HTML = {"Accept": "text/html"}
GZIP = {"Accept-Encoding": "gzip"}
INDEX = "<!doctype html><title>index</title>"
SCRIPT = "export const value = 1;\n" * 100
LOGIN = '<p role="alert"><!-- why --></p>'
HTM_PREACT = "72284e8e9079c87817145df1110f74e8a2aa040b2fc384922e18dfcb46fc1fd7"
"""Of preact/standalone.module.js in the npm package htm 3.1.1, which has preact in it."""


class Client:
    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session, self.port = session, port

    async def get(self, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> Answer:
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self._session.request(method, url, headers=headers, allow_redirects=False) as told:
            return Answer(told.status, {str(name): value for name, value in told.headers.items()}, (await told.read()).decode("latin-1"))


@asynccontextmanager
async def serving(pages: Pages) -> AsyncIterator[Client]:
    application = web.Application()
    pages.add_to(application.router)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession(auto_decompress=False, skip_auto_headers=["Accept-Encoding"]) as session:
            yield Client(session, runner.addresses[0][1])
    finally:
        await runner.cleanup()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with a page, and a secret beside it."""
    (tmp_path / "secret.txt").write_text("a secret")
    directory = tmp_path / "static"
    (directory / "panels").mkdir(parents=True)
    (directory / "index.html").write_text(INDEX)
    (directory / "login.html").write_text(LOGIN)
    (directory / "panels" / "summary.js").write_text(SCRIPT)
    (directory / "mark.svg").write_text("<svg/>")
    (directory / "LICENSE").write_text("as you like")
    return directory


async def test_a_browser_gets_the_page_and_everybody_else_the_list(files: Path) -> None:
    async with serving(Pages("the list", files)) as client:
        page = await client.get("/", HTML)
        assert (page.status, page.headers["Content-Type"], page.body) == (200, "text/html; charset=utf-8", INDEX)
        told = await client.get("/")
        assert (told.status, told.headers["Content-Type"], told.body) == (200, "text/plain; charset=utf-8", "the list")
        assert "Accept" in page.headers["Vary"].split(", ")
        assert told.headers["Vary"] == "Accept"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("panels/summary.js", "text/javascript; charset=utf-8"),
        ("login.html", "text/html; charset=utf-8"),
        ("mark.svg", "image/svg+xml"),
        ("LICENSE", "application/octet-stream"),
    ],
)
async def test_files_have_their_type(files: Path, path: str, kind: str) -> None:
    async with serving(Pages("", files)) as client:
        answer = await client.get(f"/static/{path}")
        assert (answer.status, answer.headers["Content-Type"]) == (200, kind)
        assert answer.body == (files / path).read_text()
        head = await client.get(f"/static/{path}", method="HEAD")
        assert (head.status, head.headers["Content-Length"], head.body) == (200, answer.headers["Content-Length"], "")


@pytest.mark.parametrize("more", [{}, GZIP])
async def test_a_file_that_is_known_is_not_sent_again(files: Path, more: dict[str, str]) -> None:
    async with serving(Pages("", files)) as client:
        first = await client.get("/static/panels/summary.js", more)
        etag = first.headers["Etag"]
        assert re.fullmatch(r'"[0-9a-f]{32}(-gzip)?"', etag)
        for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            answer = await client.get("/static/panels/summary.js", {"If-None-Match": known, **more})
            assert (answer.status, answer.body) == (304, ""), known
            kept = ("Etag", "Cache-Control", "Vary")
            assert {name: answer.headers[name] for name in kept} == {name: first.headers[name] for name in kept}
        for other in ('"other"', "", "nonsense", f'"{etag}'):
            assert (await client.get("/static/panels/summary.js", {"If-None-Match": other, **more})).status == 200, other
        assert first.headers["Cache-Control"] == "no-cache"


async def test_another_content_has_another_tag(files: Path) -> None:
    async with serving(Pages("", files)) as client:
        tags = {(await client.get(f"/static/{name}")).headers["Etag"] for name in ("index.html", "login.html", "mark.svg")}
        assert len(tags) == 3


@pytest.mark.parametrize(
    ("accepted", "is_packed"),
    [
        ("gzip", True),
        ("br, GZIP ;q=0.5", True),
        ("deflate,gzip;q=1.0", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("br", False),
        ("", False),
    ],
)
async def test_what_is_smaller_compressed_is_sent_so_to_who_takes_it(files: Path, accepted: str, is_packed: bool) -> None:
    async with serving(Pages("", files)) as client:
        answer = await client.get("/static/panels/summary.js", {"Accept-Encoding": accepted})
        assert ("Content-Encoding" in answer.headers) == is_packed
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert answer.headers["Etag"].endswith('-gzip"') == is_packed
        body = answer.body.encode("latin-1")
        assert (gzip.decompress(body) if is_packed else body).decode() == SCRIPT
        small = await client.get("/static/mark.svg", {"Accept-Encoding": accepted})
        assert (small.body, small.headers.get("Content-Encoding")) == ("<svg/>", None)


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt",
        "..%2fsecret.txt",
        "%2e%2e/secret.txt",
        "%2e%2e%2fsecret.txt",
        "panels/../../secret.txt",
        "panels%2f..%2f..%2fsecret.txt",
        "..%5csecret.txt",
        "%00",
        "panels",
        "panels/",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "INDEX.html",
        "index.html%00.js",
        "index.html/",
    ],
)
async def test_nothing_else_is_served(files: Path, path: str) -> None:
    async with serving(Pages("", files)) as client:
        reached = await _raw(client, f"/static/{path}")
        assert reached.startswith(b"HTTP/1.1 404")
        assert b"secret" not in reached.partition(b"\r\n\r\n")[2]
        assert (await client.get("/static/", HTML)).status == 404


async def _raw(client: Client, path: str) -> bytes:
    # clients tidy up paths before they send them
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read(1000)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_files_are_read_once(files: Path) -> None:
    pages = Pages("", files)
    (files / "mark.svg").write_text("<svg>later</svg>")
    (files / "later.js").write_text("later")
    async with serving(pages) as client:
        assert (await client.get("/static/mark.svg")).body == "<svg/>"
        assert (await client.get("/static/later.js")).status == 404


def test_the_form_says_why_it_is_there_again(files: Path) -> None:
    pages = Pages("", files)
    assert pages.login().body == b'<p role="alert"></p>'
    again = pages.login(401, "<wrong>", {"Retry-After": "5"})
    assert (again.status, again.body, again.headers["Retry-After"]) == (401, b'<p role="alert">&lt;wrong&gt;</p>', "5")


# -- what is shipped ---------------------------------------------------------------------------------------------------------------------


async def test_every_shipped_file_is_served_with_a_type_that_browsers_take() -> None:
    names = [path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*") if path.is_file()]
    async with serving(Pages("")) as client:
        for name in names:
            answer = await client.get(f"/static/{name}")
            assert answer.status == 200, name
            is_known = answer.headers["Content-Type"] != "application/octet-stream"
            assert is_known or "." not in name.rpartition("/")[2], name
        assert (await client.get("/", HTML)).body == (STATIC / "index.html").read_text(encoding="utf-8").encode().decode("latin-1")


def test_pages_keep_to_the_policy() -> None:
    # what it forbids fails silently for the reader: the page would only look wrong
    for page in STATIC.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*\ssrc=)|<base\b", text) == [], page.name
        links = re.findall(r'(?:href|src|action)="([^"#]+)', text)
        assert [link for link in links if not link.startswith("/")] == [], page.name
        assert [link for link in links if link.startswith("/static/") and not (STATIC / link.removeprefix("/static/")).is_file()] == []


def test_what_others_wrote_is_as_they_released_it_with_its_licences() -> None:
    vendor = STATIC / "vendor"
    assert hashlib.sha256((vendor / "htm-preact.js").read_bytes()).hexdigest() == HTM_PREACT
    assert "Apache License" in (vendor / "LICENSE-htm.txt").read_text(encoding="utf-8")
    assert "The MIT License" in (vendor / "LICENSE-preact.txt").read_text(encoding="utf-8")
    assert len(list(vendor.iterdir())) == 3


def test_what_the_form_needs_is_open() -> None:
    needed = re.findall(r'(?:href|src|action)="([^"]+)"', (STATIC / "login.html").read_text(encoding="utf-8"))
    assert set(needed) <= OPEN
    assert {path for path in OPEN if path.startswith("/static/")} == {path for path in needed if path.startswith("/static/")}
