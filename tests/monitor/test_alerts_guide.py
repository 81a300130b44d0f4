"""docs/alerts.md says what is so: every rule, setting and receiver stands there, and its code verifies our signatures."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from config import load
from config.alerts import AlertSettings
from config.receivers import ReceiverType
from config.secrets import Secret
from monitor.alerts.receivers.webhook import signature
from monitor.alerts.rules import Rule

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "alerts.md").read_text(encoding="utf-8")


def test_every_rule_has_its_row() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", GUIDE, re.MULTILINE)
    assert [name for name in rows if name in {rule.value for rule in Rule}] == [name for name in rows if name not in get_args(ReceiverType)]
    assert {rule.value for rule in Rule} <= set(rows)


def test_every_setting_and_receiver_is_named() -> None:
    words = set(re.findall(r"\w+", GUIDE))
    assert set(AlertSettings.model_fields) <= words
    assert set(get_args(ReceiverType)) <= words


def test_its_configuration_is_valid(tmp_path: Path) -> None:
    for name in ("slack_url", "heartbeat_url"):
        (tmp_path / name).write_text("https://hooks.example.com/x")
    (tmp_path / "pd_key").write_text("key")
    account = '[[accounts]]\nid = "a"\nvenue = "hyperliquid"\naddress = "0x' + "1" * 40 + '"\n'
    blocks = [re.sub(r"^ {3}", "", block, flags=re.MULTILINE) for block in re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)]
    assert len(blocks) == 4
    for number, block in enumerate(blocks):
        path = tmp_path / f"{number}.toml"
        path.write_text(account + block)
        load(path, environ={"PAGERDUTY_KEY": "key", "HOME": "/me"}, quiet=True)


@pytest.fixture
def is_genuine() -> Callable[[bytes, dict[str, str], bytes], bool]:
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    found: dict[str, Any] = {}
    exec(code, found)
    verify: Callable[[bytes, dict[str, str], bytes], bool] = found["is_genuine"]
    return verify


def test_its_code_verifies_our_signatures(is_genuine: Callable[[bytes, dict[str, str], bytes], bool]) -> None:
    body, now = b'{"a": "\xc3\xa4"}', str(int(time.time()))
    headers = {"X-Marginwatch-Timestamp": now, "X-Marginwatch-Signature": signature(Secret("key"), now, body)}
    assert is_genuine(b"key", headers, body)
    assert not is_genuine(b"other", headers, body)
    assert not is_genuine(b"key", headers, body + b" ")
    assert not is_genuine(b"key", {}, body)
    old = str(int(now) - 3600)
    assert not is_genuine(b"key", {"X-Marginwatch-Timestamp": old, "X-Marginwatch-Signature": signature(Secret("key"), old, body)}, body)
