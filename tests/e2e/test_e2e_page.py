"""The live page in Chromium beside the API of a calm demo: the same figures, within reach of keyboard and screen reader."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]

from tests.e2e.browser import DESK, PHONE, START_S, Tab, note
from tests.e2e.parity import REPORTED, agrees, same, sample, value_at
from tests.e2e.programs import MARGINWATCH, PROJECT, Launcher, Running
from tests.e2e.wire import Wire

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

PANELS = ["summary", "utilisation", "contribution", "scenarios", "modes", "venues", "what_if", "calendar", "alerts", "feeds"]
STALE_S = 3.0
STATIC_LIMIT = 1_500_000
MOST_STOPS = 400
WITH_INPUTS = {"Utilisation (margin ratio)", "Excess"}
SECTIONS = {"pools", "portfolios", "reports", "rules", "modes", "calendar", "venues", "connections", "statistics"}

# when the line's word changes, and how long after the last frame it became stale, by the page's own clock
WATCH_LINE = """() => {
  const line = (window.line = { states: [], staleAfterMs: null });
  let frame = performance.now(), stamp = "";
  const look = () => {
    const element = document.querySelector("#connection");
    const told = element.querySelector("time").dateTime, state = element.dataset.connection;
    if (told !== stamp) [frame, stamp] = [performance.now(), told];
    if (state === line.states.at(-1)) return;
    line.states.push(state);
    if (state === "stale") line.staleAfterMs ??= performance.now() - frame;
  };
  const all = { subtree: true, childList: true, attributes: true, characterData: true };
  new MutationObserver(look).observe(document.querySelector("#app"), all);
  look();
}"""

# what the tip says of every figure that is drawn
TIPS = """async () => {
  const { FORMULAS } = await import("/static/formulas.js");
  const names = new Set(Object.values(FORMULAS).map((one) => one.name));
  const tip = document.querySelector("#tip");
  return [...document.querySelectorAll(".num")].filter((one) => one.checkVisibility()).map((one) => {
    one.dispatchEvent(new PointerEvent("pointerover", { bubbles: true, pointerType: "mouse" }));
    const name = tip.querySelector("strong")?.textContent ?? "";
    const panel = one.closest("section.panel")?.id ?? "header";
    const told = { panel, key: one.dataset.key ?? one.textContent, name, named: !tip.hidden && names.has(name) };
    const isNumber = Number.isFinite(Number(one.value || "no"));
    return { ...told, isNumber, formula: Boolean(tip.querySelector(".tip-formula")), inputs: tip.querySelectorAll("dd").length };
  });
}"""

FIRST_FIGURES = """new MutationObserver((_, watch) => {
  if (!document.querySelector(".num[data-key]")) return;
  window.firstFiguresMs = performance.now();
  watch.disconnect();
}).observe(document, { subtree: true, childList: true });"""

PAINT = """() => {
  const asked = ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind));
  const files = asked.filter((one) => !one.name.includes("/api/"));
  const paint = performance.getEntriesByName("first-contentful-paint")[0].startTime;
  const bytes = files.reduce((sum, one) => sum + one.transferSize, 0);
  return { paint, figures: window.firstFiguresMs, files: files.length, bytes };
}"""


class Demo:
    """A demo and where its page is."""

    def __init__(self, running: Running, base: str) -> None:
        self.running, self.base = running, base


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo(shared_launcher: Launcher) -> Demo:
    running = await shared_launcher.start(*MARGINWATCH, "demo", "--scenario", "calm", "--duration", "600", "--port", "0", "--no-terminal")
    base = (await running.says("/-/healthy", START_S)).strip().removesuffix("/-/healthy")
    await running.says("first live ratio of every account", START_S)
    return Demo(running, base)


async def test_every_panel_shows_the_figures_of_the_api(demo: Demo, tab: Tab) -> None:
    await tab.open(demo.base)
    assert await tab.ask("[...document.querySelectorAll('section.panel')].map((one) => one.id)") == [f"panel-{name}" for name in PANELS]
    samples = await sample(tab, demo.base, 4.0, 60.0)
    assert samples.wrong() == {}
    assert samples.share() > 0.5
    exact = {
        (panel, samples.as_told(where, as_of, figures))
        for (panel, where), told in samples.shown.items()
        if where[0] == "reports" and panel in REPORTED
        for as_of, figures in told
    }
    assert [panel for panel, is_so in exact if is_so is False] == []
    assert {panel for panel, is_so in exact if is_so} == set(REPORTED)
    assert {where[0] for _, where in samples.shown} >= SECTIONS
    assert {where[1] for _, where in samples.shown if where[0] == "pools"} == {name for section, name in samples.rows if section == "pools"}
    unlike = [(key, text, value) for key, seen in samples.texts.items() for text, value in seen if not agrees(text, value)]
    assert unlike == []


async def test_a_stopped_monitor_is_stale_within_three_seconds(demo: Demo, tab: Tab) -> None:
    await tab.open(demo.base)
    await tab.ask(WATCH_LINE)
    with tab.expecting("WebSocket|ERR_CONNECTION|Failed to load"):
        demo.running.signal(signal.SIGSTOP)
        try:
            await tab.shows("line.staleAfterMs !== null", 10.0)
            assert await tab.ask("document.querySelector('#silent').textContent") != ""
            assert (await tab.page.title()).startswith("STALE")
        finally:
            demo.running.signal(signal.SIGCONT)
        silent_s = await tab.ask("line.staleAfterMs") / 1000
        await tab.shows("line.states.at(-1) === 'live'", 15.0)
    note("stale", f"a stopped monitor was stale {silent_s:.2f} s after its last frame")
    assert silent_s <= STALE_S
    assert await tab.ask("document.querySelector('#silent')") is None


async def test_a_closed_line_is_stale_at_once_and_comes_back(demo: Demo, tab: Tab) -> None:
    wire = Wire(int(demo.base.rpartition(":")[2]))
    await wire.start()
    try:
        await tab.open(wire.url)
        await tab.ask(WATCH_LINE)
        with tab.expecting("WebSocket|ERR_"):
            wire.cut()
            await tab.shows("line.states.includes('stale') && line.states.at(-1) === 'live'", 10.0)
        assert await tab.ask("line.staleAfterMs") <= 1000 * STALE_S
    finally:
        # what it asks for when nobody is there any more is no defect
        await tab.page.close()
        await wire.stop()


async def test_a_what_if_is_what_the_report_says_of_the_edited_snapshot(
    demo: Demo, tab: Tab, shared_launcher: Launcher, tmp_path: Path
) -> None:
    await tab.open(demo.base)
    panel = tab.page.locator("#panel-what_if")
    await panel.locator("#what-if-account").select_option("iris")
    await panel.locator("#what-if-instrument").fill("hyperliquid:BTC")
    await panel.locator("#what-if-direction").select_option("sell")
    await panel.locator("#what-if-size").fill("7.5")
    await panel.get_by_role("button", name="Add to the list").click()
    async with tab.page.expect_response(lambda answer: "what-if" in answer.url) as asked:
        await panel.get_by_role("button", name="Compute").click()
    answer = await (await asked.value).json()
    edited = tmp_path / "edited.json"
    edited.write_text(json.dumps(answer["snapshot"]))
    reporting = await shared_launcher.start(*MARGINWATCH, "report", edited)
    assert await reporting.ended(60.0) == 0, reporting.printed
    assert differences(answer["after"], json.loads(reporting.printed)) == []
    before, after = (answer[when]["portfolios"][0]["maintenance_margin"] for when in ("before", "after"))
    assert before != after
    await tab.page.wait_for_selector("#panel-what_if [data-key]")
    told = await tab.ask("[...document.querySelectorAll('#panel-what_if [data-key]')].map((one) => [one.dataset.key, one.value])")
    shown = [(key.split("|"), value) for key, value in told]
    assert [(key, value) for key, value in shown if not same(value, value_at(answer[key[1]], key[2]))] == []
    assert {(key[1], key[2]) for key, _ in shown} >= {(when, "portfolios.0.margin_ratio") for when in ("before", "after")}
    assert any(key[2].startswith("accounts.") for key, _ in shown)


@pytest.mark.parametrize("width", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_no_violation(demo: Demo, tab: Tab, scheme: Literal["light", "dark"], width: tuple[int, int]) -> None:
    await tab.size(*width, scheme)
    await tab.open(demo.base)
    found = await Axe().run(tab.page)
    await tab.shot(f"calm-{width[0]}-{scheme}")
    assert found.violations_count == 0, found.generate_report()
    # wider than the window: only tables may scroll sideways, in their own frames
    assert await tab.ask("document.documentElement.scrollWidth - innerWidth") <= 0


async def test_the_keyboard_reaches_every_panel_and_every_figure(demo: Demo, tab: Tab) -> None:
    await tab.open(demo.base)
    reached: list[str] = []
    for _ in range(MOST_STOPS):
        await tab.page.keyboard.press("Tab")
        reached.append(await tab.ask("document.activeElement.closest('section.panel')?.id ?? document.activeElement.tagName"))
        if reached[-1] == "BODY":
            break
    assert [name for name in PANELS if f"panel-{name}" not in reached] == []
    await tab.page.focus("#panel-summary .num[tabindex='0']")
    seen = [await tab.ask("document.activeElement.dataset.key")]
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp", "End", "Home"):
        await tab.page.keyboard.press(key)
        assert await tab.ask("document.activeElement.classList.contains('num') && !document.querySelector('#tip').hidden"), key
        seen.append(await tab.ask("document.activeElement.dataset.key ?? document.activeElement.value"))
    assert seen[0] == seen[4] == seen[6]
    assert len(set(seen)) >= 4
    await tab.page.keyboard.press("Escape")
    assert await tab.ask("document.querySelector('#tip').hidden && document.activeElement.classList.contains('num')")


async def test_every_figure_tells_its_formula_and_inputs(demo: Demo, tab: Tab) -> None:
    await tab.open(demo.base)
    tips = await tab.ask(TIPS)
    assert len(tips) > 200
    assert [tip for tip in tips if not tip["named"]] == []
    assert sorted({tip["name"] for tip in tips if tip["isNumber"] and not tip["formula"]}) == []
    assert (
        sorted({tip["name"] for tip in tips if tip["panel"] == "panel-summary" and tip["name"] in WITH_INPUTS and not tip["inputs"]}) == []
    )


async def test_links_lead_to_panels(demo: Demo, tab: Tab) -> None:
    await tab.open(demo.base)
    targets = await tab.ask("[...document.querySelectorAll('a[href^=\"#\"]')].map((one) => one.hash.slice(1))")
    assert {f"panel-{name}" for name in PANELS} <= set(targets)
    assert await tab.ask("(names) => names.filter((name) => !document.getElementById(name))", targets) == []


async def test_the_page_is_light_and_asks_nobody_else(demo: Demo, tab: Tab) -> None:
    folder = PROJECT / "monitor" / "web" / "static"
    on_disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    urls: list[str] = []
    tab.page.on("request", lambda request: urls.append(request.url))
    await tab.page.add_init_script(FIRST_FIGURES)
    await tab.open(demo.base)
    told = await tab.ask(PAINT)
    weight = f"{on_disk / 1e3:.0f} kB of static files, {told['bytes'] / 1e3:.0f} kB transferred in {told['files']} files"
    note("weight", f"{weight}; first contentful paint {told['paint']:.0f} ms, first figures {told['figures']:.0f} ms, on loopback")
    assert on_disk < STATIC_LIMIT
    assert [url for url in urls if urlsplit(url).netloc != urlsplit(demo.base).netloc and not url.startswith(("data:", "blob:"))] == []


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Where two documents differ, numbers by more than rounding."""
    if isinstance(one, dict) and isinstance(other, dict):
        found = [f"{path}.{key}: only in one" for key in one.keys() ^ other.keys()]
        return found + [line for key in one.keys() & other.keys() for line in differences(one[key], other[key], f"{path}.{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [line for place, pair in enumerate(zip(one, other, strict=True)) for line in differences(*pair, f"{path}.{place}")]
    if isinstance(one, float) and isinstance(other, int | float):
        return [] if one == pytest.approx(other, rel=1e-9, abs=1e-9) else [f"{path}: {one} {other}"]
    return [] if one == other else [f"{path}: {one} {other}"]
