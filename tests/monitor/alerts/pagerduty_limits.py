"""PagerDuty's documented limits, written from its documentation of Events API v2 (PD-CEF)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")
_HEAD = {"routing_key", "event_action", "dedup_key", "payload", "client", "client_url", "links", "images"}
_PAYLOAD = {"summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"}


def pagerduty_problems(body: bytes) -> list[str]:
    """What PagerDuty would refuse; empty for a good event."""
    found = [] if len(body) <= 512_000 else [f"{len(body)} bytes"]
    event = json.loads(body, parse_constant=lambda constant: found.append(f"{constant} is no JSON"))
    found += [f"unknown field {name}" for name in set(event) - _HEAD]
    if not re.fullmatch(r"[A-Za-z0-9]{32}", event["routing_key"]):
        found.append("routing key")
    if event["event_action"] not in ("trigger", "acknowledge", "resolve"):
        found.append("event_action")
    if not 1 <= len(event["dedup_key"]) <= 255:
        found.append("dedup_key")
    if event["event_action"] == "trigger":
        found += _payload(event["payload"])
    return found + [problem for link in event.get("links", []) for problem in _link(link)]


def _payload(payload: Mapping[str, Any]) -> list[str]:
    found = [f"unknown field payload.{name}" for name in set(payload) - _PAYLOAD]
    found += [f"{name} is empty" for name in ("summary", "source") if not payload[name]]
    if len(payload["summary"]) > 1024:
        found.append("summary")
    if payload["severity"] not in ("critical", "error", "warning", "info"):
        found.append("severity")
    if "timestamp" in payload and not _TIME.fullmatch(payload["timestamp"]):
        found.append("timestamp")
    return found


def _link(link: Mapping[str, str]) -> list[str]:
    return [] if re.fullmatch(r"https?://[!-~]+", link["href"]) and link["text"] else ["link"]
