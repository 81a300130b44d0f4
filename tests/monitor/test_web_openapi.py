"""The description of the API: it names every address, and what is answered is as it says, whatever is asked."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import jsonschema
import pytest

from monitor.web.limits import Limits
from monitor.web.openapi import KINDS, OPENAPI, document
from monitor.web.server import ApiServer
from monitor.web.stream import STREAM
from tests.monitor.live.three_venues import three_venues
from tests.monitor.own_app import OwnApplication, cash_for, opening
from tests.monitor.own_desk import position
from tests.monitor.test_web import serving

PAGES = re.compile(r"/|/login|/logout|/static/.*")
"""What browsers ask for, which is no part of the API."""

FUZZ_S = 240.0
ANSWERS = {
    "/api/v1/status": "Status",
    "/api/v1/accounts": "Accounts",
    "/api/v1/portfolios": "Report",
    "/api/v1/calendar": "Calendar",
    "/api/v1/history": "History",
    "/api/v1/alerts": "Alerts",
    "/api/v1/silences": "Silences",
}


def test_every_address_is_described_and_no_other() -> None:
    routes = ApiServer(OwnApplication().app, "127.0.0.1", 0).application().router.routes()
    served = {
        (route.method.lower(), route.resource.canonical)
        for route in routes
        if route.resource is not None and route.method != "HEAD" and not PAGES.fullmatch(route.resource.canonical)
    }
    told = {(method, path) for path, methods in document()["paths"].items() for method in methods}
    assert told == served


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(document())
    known = document()["components"]["schemas"]
    assert {name for name in re.findall(r'#/components/schemas/(\w+)"', text)} <= known.keys()
    for name, schema in known.items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert text.count(f'/{name}"') or name == "Description", name


async def test_answers_are_as_described() -> None:
    own = OwnApplication()
    await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.95)))
    async with serving(own) as client:
        described = await client.document(OPENAPI)
        assert described == json.loads(json.dumps(document()))
        for path, name in ANSWERS.items():
            schema = {"$ref": f"#/components/schemas/{name}", "components": described["components"]}
            jsonschema.validate(await client.document(path), schema)


def test_the_kinds_of_the_calendar_are_told() -> None:
    source = (Path(__file__).parents[2] / "monitor" / "live" / "calendar.py").read_text()
    assert set(re.findall(r'"kind": "(\w+)"', source)) == set(KINDS)


@pytest.mark.slow
async def test_whatever_is_asked_is_answered_as_described(tmp_path: Path) -> None:
    async with three_venues("calm", 60.0) as desk:
        await desk.run(2.0)
        server = ApiServer(desk.app, "127.0.0.1", 0, limits=Limits(requests_per_s=1e6, requests_at_once=10**6))
        await server.start()
        try:
            found = await _fuzz(server, tmp_path)
            assert not found, found
        finally:
            await server.stop()


async def _fuzz(server: ApiServer, scratch: Path) -> str:
    # "" or what was found
    exceptions = str(Path(__file__).with_name("schemathesis.toml"))
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", exceptions, "run", server.url + OPENAPI]
    command += ["--max-examples", "20", "--exclude-path", STREAM, "--phases", "coverage,fuzzing", "--warnings", "off", "--seed", "1"]
    command += ["--no-color", "--suppress-health-check", "all", "--generation-database", "none"]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=scratch,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    printed, _ = await asyncio.wait_for(process.communicate(), FUZZ_S)
    return "" if process.returncode == 0 else printed.decode()[-12000:]
