"""What changed is said by keys and aliases: never a value, which may be a secret."""

from __future__ import annotations

from pathlib import Path

from monitor.reloading.difference import differences, fixed
from tests.monitor.reloads import desk, hooks


def test_differences_name_keys_and_aliases_and_no_values(tmp_path: Path) -> None:
    before = desk(receivers=hooks("one", "two"), fx={"USDC": 1.0, "DAI": 0.99})
    after = desk(
        "maker",
        receivers={**hooks("two", min_level="critical"), "three": {"type": "webhook", "url_env": "OTHER_URL"}},
        fx={"USDC": 0.98, "USDT": 1.0},
        market={"beta": {"SOL": 1.5}},
        metrics={"contributions": 5},
        heartbeat={"url_env": "HOOK_URL"},
        maintenance=[{"venue": "aster", "from": "2026-12-01T08:00:00Z", "until": "2026-12-01T09:00:00Z", "reason": "upgrade"}],
    )
    said = differences(before, after)
    assert said == [
        "receiver three added",
        "receiver one removed",
        "receiver two: min_level",
        "[metrics] contributions",
        "[market] beta",
        "[fx] USDC, DAI",
        "heartbeat added",
        "[[maintenance]]",
    ]
    assert differences(after, desk("maker", receivers=hooks("two")))[-2:] == ["heartbeat removed", "[[maintenance]]"]
    assert differences(before, before) == []
    assert fixed(before, after) == []
    assert not any("example" in line or "secret" in line for line in said)


def test_a_secret_that_changed_in_its_place_is_a_difference(tmp_path: Path) -> None:
    secret = tmp_path / "hook"
    secret.write_text("https://hook.example/first")
    receivers = {"hook": {"type": "webhook", "url_file": str(secret)}}
    before = desk(receivers=receivers)
    secret.write_text("https://hook.example/second")
    assert differences(before, desk(receivers=receivers)) == ["receiver hook: url"]
