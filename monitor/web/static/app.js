// The page: what is chosen, and the panels in their order. How figures get here: stream.js -> store.js -> panels/ -> number.js.
import { Component, html, render, useEffect, useState } from "./html.js";
import { setClock } from "./format.js";
import { createStore } from "./store.js";
import { readerOf } from "./reader.js";
import { createHistory } from "./history.js";
import { follow } from "./stream.js";
import { startTooltips } from "./tooltip.js";
import { goTo, startPlaces } from "./places.js";
import { keepTitle } from "./worst.js";
import { useView } from "./view.js";
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
const TRY_AGAIN_MS = 5000;
const REST = 2; // times as long as drawing took
const MOST_REST_MS = 250;

function App({ store }) {
  const [, redraw] = useState(0);
  useEffect(() => onFrames(store, () => redraw((times) => times + 1)), [store]);
  const view = useView(store);
  const known = Boolean(store.sections.monitor);
  useEffect(() => {
    if (known && view.panel) goTo(view.panel);
  }, [known, view.panel]);
  if (!known) return html`<p class="loading"
    role="status">${store.connection === "stale" ? "The monitor does not answer. Trying again …" : "Connecting to the monitor …"}</p>`;
  return html`<${Header} store=${store} view=${view} />
    <main class=${store.connection === "stale" ? "out-of-date"
      : ""}>${PANELS.map((panel) => html`<${Watched} key=${panel.name} panel=${panel} store=${store} view=${view} />`)}</main>`;
}

// a panel is drawn again where something changed that it read; a defect of one leaves the others standing
class Watched extends Component {
  constructor(props) {
    super(props);
    this.reader = readerOf(props.store);
  }
  componentDidCatch(error) {
    console.error(error);
    this.setState({ failed: String(error) });
    setTimeout(() => this.setState({ failed: null }), TRY_AGAIN_MS); // with other figures it may do
  }
  shouldComponentUpdate(next, state) {
    return next.view !== this.props.view || state.failed !== this.state.failed || this.reader.changed();
  }
  render({ panel, view }, { failed }) {
    if (failed) return html`<section class="panel" role="alert"><h2>${panel.name}</h2>
      <p class="reason">This panel cannot be drawn: ${failed}. It is tried again every few seconds.</p></section>`;
    this.reader.forget();
    return html`<${panel} store=${this.reader} view=${view} />`;
  }
}

// At most one redraw a picture, and one a second for ages where nothing comes. Where drawing takes long it is done less often, so that the page
// stays at hand; that the line died is shown at once.
function onFrames(store, redraw) {
  let [asked, waiting, spentMs, endedMs, connection] = [0, 0, 0, 0, store.connection];
  const draw = () => {
    asked = 0;
    connection = store.connection;
    const beganMs = performance.now();
    redraw();
    setTimeout(() => {
      endedMs = performance.now(); // layout and painting are in it
      spentMs = endedMs - beganMs;
    });
  };
  const ask = () => {
    clearTimeout(waiting);
    const restMs = store.connection === connection ? Math.min(MOST_REST_MS, REST * spentMs) - (performance.now() - endedMs) : 0;
    if (restMs > 0) waiting = setTimeout(ask, restMs);
    else asked ||= requestAnimationFrame(draw);
  };
  const silent = setInterval(ask, 1000);
  const end = store.subscribe(ask);
  return () => {
    end();
    clearInterval(silent);
    clearTimeout(waiting);
    cancelAnimationFrame(asked);
  };
}

const store = createStore();
store.history = createHistory(store);
setClock(() => store.nowMs() ?? Date.now());
startTooltips();
startPlaces();
keepTitle(store);
const root = document.querySelector("#app");
root.replaceChildren();
render(html`<${App} store=${store} />`, root);
follow(store);
