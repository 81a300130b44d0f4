"""The contract of docs/metrics.md as data: every metric and its labels."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
_SECTION_LABELS = {"Pools": {"venue", "account", "pool"}, "Portfolios": {"portfolio"}}
_CODE = re.compile(r"`([^`]+)`")
_OF_PROMETHEUS = {"job", "instance"}
# What prometheus_client tells of a process, and what Prometheus says of a target.
_ELSEWHERE = {
    "up": set[str](),
    **{
        f"process_{name}": set[str]()
        for name in ("resident_memory_bytes", "virtual_memory_bytes", "cpu_seconds_total", "open_fds", "max_fds", "start_time_seconds")
    },
}


def documented(text: str | None = None) -> dict[str, set[str]]:
    """Labels by metric name, with `job` and `instance`, which Prometheus adds; a histogram by its three names."""
    text = (PROJECT / "docs/metrics.md").read_text(encoding="utf-8") if text is None else text
    found = {name: labels | _OF_PROMETHEUS for name, labels in _ELSEWHERE.items()}
    section = ""
    for line in text.splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif line.startswith("| `"):
            found |= _row(line, _SECTION_LABELS.get(section, set()))
    return found


def _row(line: str, shared: set[str]) -> dict[str, set[str]]:
    names, labels, text = (cell.strip() for cell in line.strip("|").split("|", 2))
    told = set(_CODE.findall(labels))
    all_labels = ((shared - told) if "without" in labels else (shared | told)) | _OF_PROMETHEUS
    result: dict[str, set[str]] = {}
    for name in _CODE.findall(names):
        for full in _expanded(name, text):
            result[full] = all_labels
    return {name: labels for name, labels in result.items() if name.startswith("marginwatch_")}


def _expanded(name: str, text: str) -> list[str]:
    if name.endswith("*"):
        return [name.removesuffix("*") + end for end in _CODE.findall(text.partition(":")[2])]
    return [f"{name}_{part}" for part in ("bucket", "sum", "count")] if "histogram" in text else [name]
