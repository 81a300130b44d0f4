"""Slack's documented limits, written from its documentation: https://docs.slack.dev/reference/block-kit and chat.postMessage."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_BARE_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt);)")
_ANGLED = re.compile(r"<([^<>]*)>")
_LINK = re.compile(r"https?://[!-;=?-{}~]+\|[^<>|]+")


def slack_problems(content: Mapping[str, Any]) -> list[str]:
    """What Slack would refuse, cut, or read as something else; empty for a good message."""
    found = []
    text = content.get("text", "")
    if not text.strip() and not content.get("blocks"):
        found.append("neither text nor blocks")
    if len(text) > 40_000:
        found.append("text is longer than 40,000")
    found += _markup(text)
    blocks = content.get("blocks", [])
    if len(blocks) > 50:
        found.append(f"{len(blocks)} blocks")
    for block in blocks:
        found += _BLOCKS.get(block["type"], _unknown)(block)
    return found


def _section(block: Mapping[str, Any]) -> list[str]:
    fields = block.get("fields", [])
    found = [] if "text" in block or fields else ["a section without text and fields"]
    if len(fields) > 10:
        found.append("more than 10 fields")
    found += [problem for one in fields for problem in _text(one, 2000)]
    return found + (_text(block["text"], 3000) if "text" in block else [])


def _header(block: Mapping[str, Any]) -> list[str]:
    return _text(block["text"], 150) + ([] if block["text"]["type"] == "plain_text" else ["a header that is not plain"])


def _context(block: Mapping[str, Any]) -> list[str]:
    elements = block["elements"]
    found = [] if 1 <= len(elements) <= 10 else [f"{len(elements)} elements in a context"]
    return found + [problem for one in elements for problem in _text(one, 3000)]


def _divider(block: Mapping[str, Any]) -> list[str]:
    return []


def _unknown(block: Mapping[str, Any]) -> list[str]:
    return [f"unknown block {block['type']}"]


def _text(told: Mapping[str, Any], longest: int) -> list[str]:
    text = told["text"]
    found = [] if told["type"] in ("mrkdwn", "plain_text") else [f"text type {told['type']}"]
    if not 1 <= len(text) <= longest:
        found.append(f"text of {len(text)} where {longest} is the limit")
    return found + (_markup(text) if told["type"] == "mrkdwn" else [])


def _markup(text: str) -> list[str]:
    found = ["bare &"] if _BARE_AMPERSAND.search(text) else []
    inside = _ANGLED.findall(text)
    found += [f"markup <{one}>" for one in inside if not _LINK.fullmatch(one)]
    if re.search("[<>]", _ANGLED.sub("", text)):
        found.append("bare < or >")
    return found


_BLOCKS = {"section": _section, "header": _header, "context": _context, "divider": _divider}
