"""Who gets the page: nobody without the token, a browser by its login; and no address of an account for anybody."""

from __future__ import annotations

import re
from pathlib import Path

import aiohttp
import pytest

from config import DEMO
from tests.e2e.browser import START_S, Tab
from tests.e2e.operations import replaced
from tests.e2e.programs import MARGINWATCH, Launcher, fetch, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

TOKEN = "a-token-of-the-page"
ADDRESS = re.compile(r"0x[0-9a-fA-F]{8}")
DOCUMENTS = ("status", "accounts", "portfolios", "portfolios?snapshot=1", "alerts", "calendar", "history", "openapi.json")


async def test_the_page_is_for_those_who_know_the_token(tab: Tab, shared_launcher: Launcher, tmp_path: Path) -> None:
    port = free_port()
    path = tmp_path / "desk.toml"
    path.write_text(replaced(DEMO.read_text(), {'listen = "127.0.0.1:9876"': f'listen = "127.0.0.1:{port}"\ntoken_env = "PAGE_TOKEN"'}))
    command = (*MARGINWATCH, "demo", "--scenario", "calm", "--duration", "300", "--config", path, "--no-terminal")
    demo = await shared_launcher.start(*command, PAGE_TOKEN=TOKEN)
    await demo.says("first live ratio of every account", START_S)
    base = f"http://127.0.0.1:{port}"
    for name in ("", "static/app.js", *(f"api/v1/{document}" for document in DOCUMENTS), "api/v1/stream"):
        assert (await fetch(f"{base}/{name}"))[0] == 401, name
    assert (await fetch(f"{base}/api/v1/status", Authorization="Bearer another"))[0] == 401
    await _log_in(tab, base)
    told = {f"/api/v1/{name}": await fetch(f"{base}/api/v1/{name}", Authorization=f"Bearer {TOKEN}") for name in DOCUMENTS}
    assert {name: status for name, (status, _) in told.items() if status != 200} == {}
    seen = {name: body for name, (_, body) in told.items()}
    seen["page"] = await tab.page.content()
    seen["stream"] = await _frames(base, 20)
    assert {name: found.group() for name, body in seen.items() if (found := ADDRESS.search(body))} == {}
    assert [name for name, body in seen.items() if TOKEN in body] == []
    assert TOKEN not in demo.printed


async def _log_in(tab: Tab, base: str) -> None:
    await tab.page.goto(base)
    assert tab.page.url == f"{base}/login"
    with tab.expecting("401"):
        await tab.page.fill("#token", "not the token")
        await tab.page.get_by_role("button", name="Log in").click()
        await tab.page.wait_for_function("document.querySelector('#why').textContent.includes('not the token')")
    await tab.page.fill("#token", TOKEN)
    await tab.page.get_by_role("button", name="Log in").click()
    await tab.page.wait_for_url(f"{base}/")
    # the stream has let it in too, and what the page asks for later
    await tab.figures()
    assert await tab.ask("fetch('/api/v1/status').then((answer) => answer.status)") == 200
    cookies = await tab.page.context.cookies()
    assert [(one["httpOnly"], one["sameSite"], TOKEN in one["value"]) for one in cookies] == [(True, "Strict", False)]


async def _frames(base: str, count: int) -> str:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(headers=headers) as session, session.ws_connect(f"{base}/api/v1/stream") as socket:
        return "\n".join([await socket.receive_str() for _ in range(count)])
