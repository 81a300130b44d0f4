"""GET /api/v1/openapi.json: the API described for programs (OpenAPI 3.1). What a figure means is in docs/api.md and the report format.

The report, the status and what is in them are described as far as a client needs to find its way; they may have more keys than are listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import orjson
from aiohttp import web

from monitor.alerts.silences import LONGEST_MS
from monitor.web.alerts import ALERTS, SILENCES
from monitor.web.alerts import MOST as MOST_ALERTS
from monitor.web.history import HISTORY
from monitor.web.history import MOST as MOST_SERIES
from monitor.web.kept import CALENDAR, PORTFOLIOS
from monitor.web.reload import RELOAD
from monitor.web.stream import STREAM
from monitor.web.what_if import WHAT_IF
from monitor.what_if.changes import MOST as MOST_CHANGES

OPENAPI = "/api/v1/openapi.json"

Schema = dict[str, Any]

KINDS = ("funding", "expiry", "key_expiry", "maintenance")
"""Of entries of the calendar."""

_LATEST_MS = 2**53


def _object(required: str = "", **properties: Schema) -> Schema:
    return {"type": "object", "required": required.split(), "properties": properties}


def _closed(required: str, **properties: Schema) -> Schema:
    return _object(required, **properties) | {"additionalProperties": False}


def _list(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


TEXT: Schema = {"type": "string"}
BOOLEAN: Schema = {"type": "boolean"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
NAME: Schema = {"type": "string", "minLength": 1}
OBJECT: Schema = {"type": "object"}
FIGURE: Schema = {"anyOf": [NUMBER, {"type": "null"}, {"enum": ["Infinity", "-Infinity"]}], "description": "null is unknown"}
TIME_MS: Schema = {"type": "integer", "description": "Unix milliseconds"}
LEVEL: Schema = {"enum": ["ok", "warning", "critical", "liquidation", "breach", None]}

_FIGURES = ("equity", "maintenance_margin", "initial_margin", "margin_ratio", "excess")
_MARGINS = {name: _ref("Figure") for name in _FIGURES}

_SCHEMAS: Mapping[str, Schema] = {
    "Figure": FIGURE,
    "Failure": _object("reason detail", reason=TEXT, detail=TEXT),
    "Error": _object("error", error=TEXT, field=TEXT),
    "Pool": _object(
        "venue account pool status failures level margin_ratio",
        venue=TEXT,
        account=TEXT,
        pool=TEXT,
        mode=TEXT,
        asset=TEXT,
        status={"enum": ["ok", "failed"]},
        failures=_list(_ref("Failure")),
        level=LEVEL,
        last_margin_ratio=_ref("Figure"),
        cash_to_safety=_ref("Figure"),
        distance=_ref("Figure"),
        liquidation_price=_ref("Figure"),
        data_age_s=_ref("Figure"),
        stale=BOOLEAN,
        reconciled=_or_null(BOOLEAN),
        **_MARGINS,
    ),
    "Status": _object(
        "version as_of_ms ready unready pools portfolios alerts feeds connectors venues receivers",
        version=INTEGER,
        as_of_ms=TIME_MS,
        ready=BOOLEAN,
        unready=_list(TEXT),
        pools=_list(_ref("Pool")),
        portfolios=_list(_object("id status margin_ratio", id=TEXT, status={"enum": ["ok", "failed"]}, **_MARGINS)),
        alerts=_list(_ref("Firing")),
        feeds=_list(_object("venue feed account status since_s", venue=TEXT, feed=TEXT, status=TEXT, since_s=NUMBER)),
        connectors=_list(OBJECT),
        venues=OBJECT,
        receivers=_list(OBJECT),
    ),
    "Accounts": _object(
        "version as_of_ms accounts",
        version=INTEGER,
        as_of_ms=TIME_MS,
        accounts=_list(
            _object(
                "id venue tags levels status margin_ratio pools positions",
                id=TEXT,
                venue=TEXT,
                tags=_list(TEXT),
                levels=_object("warning critical liquidation", warning=NUMBER, critical=NUMBER, liquidation=NUMBER),
                status={"enum": ["ok", "failed"]},
                margin_ratio=_ref("Figure"),
                pools=_list(_ref("Pool")),
                positions=_list(OBJECT),
                address=_or_null(TEXT),
            )
        ),
    ),
    "Portfolio": _object(
        "id status failures",
        id=TEXT,
        method={"enum": ["portfolio", "cross"]},
        status={"enum": ["ok", "failed"]},
        failures=_list(_ref("Failure")),
        level=LEVEL,
        units=_list(OBJECT),
        **_MARGINS,
    ),
    "Report": _object(
        "version as_of parameters portfolios accounts modes",
        version=INTEGER,
        as_of=TEXT,
        parameters=_object("name dated", name=TEXT, dated=TEXT),
        portfolios=_list(_ref("Portfolio")),
        accounts=_list(_object("id venue pool status", id=TEXT, venue=TEXT, pool=TEXT, status={"enum": ["ok", "failed"]})),
        modes=OBJECT,
        sets=_list(_list(TEXT)),
    ),
    "Calendar": _object(
        "version as_of_ms entries",
        version=INTEGER,
        as_of_ms=TIME_MS,
        entries=_list(_object("time_ms kind", time_ms=_or_null(TIME_MS), kind={"enum": list(KINDS)})),
    ),
    "History": _object(
        "version as_of_ms step_s series",
        version=INTEGER,
        as_of_ms=TIME_MS,
        step_s=NUMBER,
        series={
            "type": "object",
            "additionalProperties": _object("start_ms ratios", start_ms=TIME_MS, ratios=_list(_ref("Figure"))),
        },
    ),
    "Firing": _object("key rule level since_ms", key=TEXT, rule=TEXT, level=LEVEL, since_ms=TIME_MS, ratio=_ref("Figure"), detail=TEXT),
    "Alert": _object("id key rule change level time_ms text", id=TEXT, key=TEXT, rule=TEXT, change=TEXT, level=LEVEL, text=TEXT),
    "Silence": _object("id key until_ms reason up_to", id=TEXT, key=TEXT, until_ms=TIME_MS, reason=TEXT, up_to=TEXT),
    "Alerts": _object(
        "version as_of_ms firing silences history outbox_problem",
        version=INTEGER,
        as_of_ms=TIME_MS,
        firing=_list(_ref("Firing")),
        silences=_list(_ref("Silence")),
        history=_list(_ref("Alert")),
        outbox_problem=TEXT,
    ),
    "Silences": _object("version as_of_ms silences", version=INTEGER, as_of_ms=TIME_MS, silences=_list(_ref("Silence"))),
    "NewSilence": _closed(
        "key reason",
        key=NAME,
        reason=NAME,
        for_s={"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_MS // 1000},
        until_ms={"type": "integer", "exclusiveMinimum": 0, "maximum": _LATEST_MS},
        up_to={"enum": ["warning", "critical", "liquidation"]},
    )
    | {"oneOf": [{"required": ["for_s"]}, {"required": ["until_ms"]}]},
    "SilenceAnswer": _object("version silence", version=INTEGER, silence=_ref("Silence"), fits=INTEGER),
    "Change": {
        "oneOf": [
            _closed(
                "kind account instrument quantity",
                kind={"const": "position"},
                account=NAME,
                instrument=NAME,
                quantity=_ref("Quantity"),
                price=_or_null({"type": "number", "exclusiveMinimum": 0}),
                side={"enum": ["long", "short", None]},
            ),
            _closed(
                "kind account instrument quantity limit_price",
                kind={"const": "order"},
                account=NAME,
                instrument=NAME,
                quantity=_ref("Quantity"),
                limit_price={"type": "number", "exclusiveMinimum": 0},
                reduce_only=BOOLEAN,
            ),
            _closed(
                "kind asset amount",
                kind={"const": "transfer"},
                asset=NAME,
                amount={"type": "number", "exclusiveMinimum": 0},
                **{"from": _or_null(NAME), "to": _or_null(NAME), "from_pool": _or_null(NAME), "to_pool": _or_null(NAME)},
            ),
        ]
    },
    "Quantity": {"type": "number", "description": "signed: positive buys, negative sells; not 0", "not": {"const": 0}},
    "WhatIf": _closed(
        "changes",
        changes=_list(_ref("Change"), minItems=1, maxItems=MOST_CHANGES),
        instruments=_list(OBJECT, maxItems=MOST_CHANGES),
        index={"type": "object", "additionalProperties": {"type": "number", "exclusiveMinimum": 0}},
    ),
    "WhatIfAnswer": _object(
        "version portfolio as_of assumptions before after",
        version=INTEGER,
        portfolio=TEXT,
        as_of=TEXT,
        assumptions=_list(TEXT),
        before=_ref("Report"),
        after=_ref("Report"),
        snapshot=OBJECT,
    ),
    "Description": OBJECT,
    "Reloaded": _object("version changed", version=INTEGER, changed=_list(TEXT)),
}


def _json(schema: str, description: str = "as asked") -> Schema:
    return {"description": description, "content": {"application/json": {"schema": _ref(schema)}}}


def _plain(description: str) -> Schema:
    return {"description": description, "content": {"text/plain": {"schema": TEXT}}}


_SAID = {
    "400": "the request is not understood; `field` names the key",
    "401": "a token is needed",
    "403": "the host name or the origin of the page is not ours",
    "404": "there is no such thing",
    "409": "the portfolio has no value now",
    "413": "the request is too large",
    "415": "send application/json",
    "429": "too often; see Retry-After",
    "503": "too many are waiting; see Retry-After",
}


def _operation(name: str, summary: str, answers: Mapping[str, Schema], refusals: str = "", *, body: str = "", **more: Any) -> Schema:
    told = {status: _json("Error", _SAID[status]) for status in f"401 403 429 {refusals}".split()}
    asked = {"requestBody": {"required": True, "content": {"application/json": {"schema": _ref(body)}}}} if body else {}
    return {"operationId": name, "summary": summary, "responses": {**answers, **told}, **asked, **more}


def _parameter(name: str, schema: Schema, description: str, where: str = "query") -> Schema:
    return {"name": name, "in": where, "schema": schema, "description": description, "required": where == "path"}


_ID = _parameter("id", NAME, "of the portfolio", "path")
_PATTERN = _parameter("key", TEXT, "only alerts whose key fits this pattern, such as hyperliquid/*")

_PATHS: Mapping[str, Schema] = {
    "/-/healthy": {"get": _operation("healthy", "Whether the process answers", {"200": _plain("it does")}, security=[])},
    "/-/ready": {
        "get": _operation(
            "ready",
            "Whether every account had a value once, or a declared failure",
            {"200": _plain("ready"), "503": _plain("not ready, a reason a line")},
        )
    },
    "/metrics": {"get": _operation("metrics", "Metrics for Prometheus", {"200": {"description": "in the format asked for"}})},
    "/api/v1/status": {"get": _operation("status", "The whole program at one instant", {"200": _json("Status")})},
    "/api/v1/accounts": {"get": _operation("accounts", "Accounts with their pools and positions", {"200": _json("Accounts")})},
    PORTFOLIOS: {
        "get": _operation(
            "portfolios",
            "The report of a portfolio and all that share its parameters; up to a second old",
            {"200": {"description": "the report, or both", "content": {"application/json": {"schema": _ref("ReportAnswer")}}}},
            "404",
            parameters=[
                _parameter("portfolio", TEXT, "its id; the first one by default"),
                _parameter("snapshot", TEXT, "given with any value: answers {report, snapshot}"),
            ],
        )
    },
    WHAT_IF: {
        "post": _operation(
            "what_if",
            "The report with hypothetical changes; nothing is sent anywhere and nothing live changes",
            {"200": _json("WhatIfAnswer")},
            "400 404 409 413 415 503",
            body="WhatIf",
            parameters=[_ID, _parameter("snapshot", TEXT, "given with any value: the edited snapshot too")],
        )
    },
    HISTORY: {
        "get": _operation(
            "history",
            "Margin ratios of the last hour, the highest of each step",
            {"200": _json("History")},
            "400",
            parameters=[_parameter("id", _list(TEXT, maxItems=MOST_SERIES), "pools/VENUE/ACCOUNT/POOL or portfolios/ID; may be repeated")],
        )
    },
    CALENDAR: {"get": _operation("calendar", "What is due: funding, expiries, keys, maintenance", {"200": _json("Calendar")})},
    ALERTS: {
        "get": _operation(
            "alerts",
            "What fires, what was told to whom, and silences",
            {"200": _json("Alerts")},
            "400",
            parameters=[
                _parameter("limit", {"type": "integer", "minimum": 1, "maximum": _LATEST_MS}, f"at most {MOST_ALERTS} are told"),
                _parameter("before_ms", {"type": "integer", "minimum": 0, "maximum": _LATEST_MS}, "only alerts before this time"),
                _PATTERN,
            ],
        )
    },
    SILENCES: {
        "get": _operation("silences", "Silences that hold now", {"200": _json("Silences")}),
        "post": _operation("silence", "A new silence", {"201": _json("SilenceAnswer")}, "400 413 415", body="NewSilence"),
    },
    SILENCES + "/{id}": {
        "delete": _operation(
            "unsilence",
            "End a silence",
            {"200": _json("SilenceAnswer")},
            "404",
            parameters=[_parameter("id", NAME, "of the silence", "path")],
        )
    },
    STREAM: {
        "get": _operation(
            "stream",
            "WebSocket: what the page shows, as it changes (docs/api.md)",
            {"101": {"description": "frames follow"}},
            "400 503",
        )
    },
    RELOAD: {"post": _operation("reload", "Read the configuration again, where it allows that", {"200": _json("Reloaded")}, "400")},
    OPENAPI: {"get": _operation("openapi", "This document", {"200": _json("Description")})},
}


def document() -> dict[str, Any]:
    """The document, ready for JSON."""
    answer = {"anyOf": [_ref("Report"), _object("report snapshot", report=_ref("Report"), snapshot=_or_null(OBJECT))]}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "marginwatch",
            "version": version("marginwatch"),
            "description": "Live margin of market-making accounts. Read-only towards the venues.",
        },
        "security": [{}, {"token": []}, {"cookie": []}],
        "paths": dict(_PATHS),
        "components": {
            "schemas": {**_SCHEMAS, "ReportAnswer": answer},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "cookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "marginwatch_9876",
                    "description": "marginwatch_ and the port that the monitor listens on",
                },
            },
        },
    }


class OpenApiEndpoint:
    """Serves the document."""

    def __init__(self) -> None:
        self._body = orjson.dumps(document())

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Serve it."""
        router.add_get(OPENAPI, self._answer)

    async def _answer(self, request: web.Request) -> web.Response:
        return web.Response(body=self._body, content_type="application/json")
