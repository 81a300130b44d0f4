"""POST /-/reload: only where the configuration allows it, only for whom the token and the origin allow."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from config.errors import ConfigError, Problem
from config.settings import Settings
from monitor.web.server import ApiServer
from tests.monitor.own_app import started
from tests.monitor.reloads import ENVIRON, ReloadedApplication, desk

ENABLED = {"web_reload": True}
GUARDED = {"web_reload": True, "token_env": "TOKEN"}

Ask = Callable[..., Any]


@asynccontextmanager
async def serving(monitor: dict[str, Any], load: Callable[[], Settings], token: str | None = None) -> AsyncIterator[Ask]:
    own = ReloadedApplication(desk(monitor=monitor))
    reloader = own.reloader(load)
    server = ApiServer(own.app, "127.0.0.1", 0, token, reloader.reload)
    reloader.adopted.append(lambda settings: setattr(server, "token", settings.monitor.token and settings.monitor.token.reveal()))
    async with started(own), aiohttp.ClientSession() as session:
        await server.start()

        async def ask(method: str = "POST", path: str = "/-/reload", **headers: str) -> tuple[int, Any]:
            async with session.request(method, server.url + path, headers=headers) as answer:
                text = await answer.text()
                return answer.status, json.loads(text) if answer.content_type == "application/json" else text

        yield ask
        await server.stop()


async def test_it_is_refused_unless_the_configuration_allows_it() -> None:
    async with serving({}, lambda: desk("maker", "hedger", monitor=ENABLED)) as ask:
        status, answer = await ask()
        assert status == 403
        assert "set web_reload = true under [monitor]" in answer["error"]
        assert (await ask("GET"))[0] == 405
        assert (await ask("HEAD"))[0] == 405


async def test_it_says_what_changed_and_what_did_not() -> None:
    async with serving(ENABLED, lambda: desk("maker", "hedger", monitor=ENABLED)) as ask:
        assert await ask() == (200, {"version": 1, "changed": ["account hedger added", "portfolio portfolio: accounts"]})
        assert await ask() == (200, {"version": 1, "changed": []})
        assert {account["id"] for account in (await ask("GET", "/api/v1/accounts"))[1]["accounts"]} == {"maker", "hedger"}
        assert "POST /-/reload" in (await ask("GET", "/"))[1]


async def test_what_is_not_taken_is_answered_with_the_reason() -> None:
    def broken() -> Settings:
        raise ConfigError("desk.toml", [Problem("accounts[0].adress", "unknown key")])

    async with serving(ENABLED, broken) as ask:
        assert await ask() == (400, {"error": "desk.toml: accounts[0].adress: unknown key"})
    async with serving(ENABLED, lambda: desk(monitor={**ENABLED, "listen": "127.0.0.1:1"})) as ask:
        assert await ask() == (400, {"error": "monitor.listen: restart the monitor to change it"})


async def test_a_page_of_another_origin_may_not_ask() -> None:
    async with serving(ENABLED, desk) as ask:
        status, answer = await ask(Origin="https://elsewhere.example")
        assert status == 403
        assert "another origin" in answer["error"]
        assert (await ask(Host="elsewhere.example"))[0] == 403


async def test_the_token_is_asked_for_and_changes_with_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    later: list[dict[str, Any]] = [GUARDED, ENABLED]
    async with serving(ENABLED, lambda: desk(monitor=later.pop(0))) as ask:
        assert await ask() == (200, {"version": 1, "changed": ["[monitor] token_env, token"]})
        assert (await ask())[0] == 401
        assert (await ask("GET", "/metrics"))[0] == 401
        bearer = {"Authorization": f"Bearer {ENVIRON['TOKEN']}"}
        assert (await ask("GET", "/metrics", **bearer))[0] == 200
        assert (await ask(**bearer))[0] == 200
        assert (await ask("GET", "/metrics"))[0] == 200


async def test_without_a_file_there_is_nothing_to_read_again() -> None:
    own = ReloadedApplication(desk(monitor=ENABLED))
    server = ApiServer(own.app, "127.0.0.1", 0)
    await server.start()
    async with aiohttp.ClientSession() as session, session.post(server.url + "/-/reload") as answer:
        assert answer.status == 403
        assert await answer.json() == {"error": "this monitor has no configuration file to read again"}
    await server.stop()
