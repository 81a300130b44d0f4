"""The live page in Chromium while a demo crashes: the summary goes through the levels and back, and so do title, alerts and chart."""

from __future__ import annotations

import pytest

from tests.e2e.browser import DESK, PHONE, START_S, Tab
from tests.e2e.programs import MARGINWATCH, Launcher, fetch, free_port, until

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

STORY_S = 40
LARGEST_PICTURE = 300_000
"""Bytes; `make screenshot` puts it into the README."""

LEVELS = ["ok", "warning", "critical", "liquidation"]

# every level that a pool's row has shown in turn, every title, and the most alerts and marks that there were
WATCH = """
  const seen = (window.seen = { levels: {}, shown: [], titles: [], alerts: 0, marks: 0 });
  const add = (list, one) => one !== list.at(-1) && list.push(one);
  setInterval(() => {
    seen.shown = [...document.querySelectorAll("#pools tr[data-pool]")].map((row) => row.dataset.pool);
    for (const row of document.querySelectorAll("#pools tr[data-pool]"))
      add((seen.levels[row.dataset.pool] ??= []), row.querySelector("[data-level]").dataset.level);
    add(seen.titles, document.title);
    seen.alerts = Math.max(seen.alerts, document.querySelectorAll("#panel-alerts li.alert").length);
    seen.marks = Math.max(seen.marks, document.querySelectorAll("#panel-utilisation .mark[role=img]").length);
  }, 50);
"""

# title and every row together: a pool that was liquidated is gone, and went as it was
CALM = "document.title.startsWith('ok') && seen.shown.length && seen.shown.every((pool) => seen.levels[pool].at(-1) === 'ok')"


async def test_a_crash_goes_through_the_page(tab: Tab, shared_launcher: Launcher) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    demo = await shared_launcher.start(*MARGINWATCH, "demo", "--duration", str(STORY_S), "--port", str(port), "--no-terminal")

    async def listens() -> bool:
        return (await fetch(f"{base}/-/healthy"))[0] == 200

    await until(listens, START_S, lambda: demo.printed[-3000:])
    # before the story begins: every level is seen, however slow the machine
    await tab.page.add_init_script(WATCH)
    await tab.open(base)
    await tab.shows("document.title.includes('LIQUIDATION')", STORY_S)
    assert (await tab.shot("page", whole=False)).stat().st_size < LARGEST_PICTURE
    await tab.shot("crash-1280-light")
    await tab.size(*DESK, "dark")
    await tab.shot("crash-1280-dark")
    await tab.size(*PHONE)
    await tab.shot("crash-390-light")
    await tab.size(*DESK)
    await tab.shows(CALM, STORY_S)
    seen = await tab.ask("window.seen")
    # or it would say that it cannot reach the demo
    await tab.page.goto("about:blank")
    assert await demo.ended(STORY_S) == 0, demo.printed
    went = {pool: levels for pool, levels in seen["levels"].items() if _through(levels)}
    assert went, seen["levels"]
    for level in ("WARNING", "LIQUIDATION"):
        assert any(title.startswith(level) for title in seen["titles"]), seen["titles"]
    assert seen["alerts"] >= 2
    assert seen["marks"] >= 2


def _through(levels: list[str]) -> bool:
    # every level in turn on the way up, and fine in the end
    up = iter(levels)
    return all(level in up for level in LEVELS) and levels[-1] == "ok"
