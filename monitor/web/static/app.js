// The page: what is chosen, and the panels in their order. How figures get here: stream.js -> store.js -> panels/ -> number.js.
import { html, render, useEffect, useState } from "./html.js";
import { createStore } from "./store.js";
import { follow } from "./stream.js";
import { startTooltips } from "./tooltip.js";
import { Header } from "./header.js";
import { Summary } from "./panels/summary.js";
import { Utilisation } from "./panels/utilisation.js";
import { Contribution } from "./panels/contribution.js";
import { Scenarios } from "./panels/scenarios.js";
import { Modes } from "./panels/modes.js";
import { Venues } from "./panels/venues.js";
import { WhatIf } from "./panels/what_if.js";
import { Calendar } from "./panels/calendar.js";
import { Alerts } from "./panels/alerts.js";
import { Feeds } from "./panels/feeds.js";

const PANELS = [Summary, Utilisation, Contribution, Scenarios, Modes, Venues, WhatIf, Calendar, Alerts, Feeds];

function App({ store }) {
  const [, redraw] = useState(0);
  useEffect(() => onFrames(store, () => redraw((times) => times + 1)), [store]);
  const view = useView(store);
  if (!store.sections.monitor) return html`<p class="loading" role="status">${store.connection === "stale" ? "The monitor does not answer. Trying again …" : "Connecting to the monitor …"}</p>`;
  return html`<${Header} store=${store} view=${view} />
    <main class=${store.connection === "live" ? "" : "out-of-date"}>${PANELS.map((Panel) => html`<${Panel} key=${Panel.name} store=${store} view=${view} />`)}</main>`;
}

// at most one redraw a picture, and one a second for ages where nothing comes
function onFrames(store, redraw) {
  let asked = 0;
  const ask = () => (asked ||= requestAnimationFrame(() => ((asked = 0), redraw())));
  const silent = setInterval(ask, 1000);
  const end = store.subscribe(ask);
  return () => (end(), clearInterval(silent), cancelAnimationFrame(asked));
}

// what is chosen stands in the address, so that it can be sent to a colleague
function useView(store) {
  const [chosen, choose] = useState(() => Object.fromEntries(new URLSearchParams(location.hash.slice(1))));
  useEffect(() => {
    const changed = () => choose(Object.fromEntries(new URLSearchParams(location.hash.slice(1))));
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  const set = (key) => (value) => {
    const next = { ...chosen, [key]: value };
    history.replaceState(null, "", `#${new URLSearchParams(next)}`);
    choose(next);
  };
  const portfolios = store.row("monitor", "monitor")?.portfolios ?? [];
  const known = portfolios.some((one) => one.id === chosen.portfolio);
  return {
    portfolio: known ? chosen.portfolio : portfolios[0]?.id,
    pool: chosen.pool,
    coin: chosen.coin,
    alert: chosen.alert,
    setPortfolio: set("portfolio"),
    setPool: set("pool"),
    setCoin: set("coin"),
  };
}

const store = createStore();
startTooltips();
render(html`<${App} store=${store} />`, document.querySelector("#app"));
follow(store);
