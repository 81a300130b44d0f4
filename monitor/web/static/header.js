// What stands above all panels: whether the page can be believed, how bad the worst of it is, and what is looked at.
import { html } from "./html.js";
import { clock } from "./format.js";
import { Level } from "./level.js";
import { goTo } from "./places.js";
import { Num } from "./number.js";
import { worstOf } from "./worst.js";

const PANELS = [
  ["summary", "Risk summary"], ["utilisation", "Utilisation"], ["contribution", "Contribution"], ["scenarios", "Scenarios"], ["modes", "Modes"],
  ["venues", "Venues"], ["what_if", "What-if"], ["calendar", "Calendar"], ["alerts", "Alerts"], ["feeds", "Feeds"],
];
const IS_LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(location.hostname);

export function Header({ store, view }) {
  const monitor = store.row("monitor", "monitor");
  const firing = store.rows("alerts").length;
  return html`<header class="top">
    <div class="top-line">
      <h1 class="brand"><img src="/static/favicon.svg" alt="" /> marginwatch</h1>
      <${Connection} store=${store} />
      <${Worst} store=${store} view=${view} />
      <a id="firing" href="#panel-alerts">${firing === 1 ? "1 alert firing" : `${firing} alerts firing`}</a>
      <div class="tools far">
        <label>Portfolio <select id="portfolio" value=${view.portfolio} onChange=${(event) => view.setPortfolio(event.target.value)}>
          ${monitor.portfolios.map((one) => html`<option value=${one.id} selected=${one.id === view.portfolio}>${one.id}</option>`)}</select></label>
        <${Theme} />
        ${IS_LOOPBACK ? "" : html`<form method="post" action="/logout"><button type="submit">Log out</button></form>`}
      </div>
    </div>
    ${store.connection === "stale" ? html`<${Silent} store=${store} />` : ""}
    ${monitor.ready ? "" : html`<div class="banner banner-unready" role="alert" id="unready">The monitor is not ready. What it lacks:
      <ul>${monitor.unready.map((reason) => html`<li>${reason}</li>`)}</ul></div>`}
    <nav aria-label="Panels"><ul>${PANELS.map(([id, name]) => html`<li><a href=${`#panel-${id}`}>${name}</a></li>`)}</ul></nav>
  </header>`;
}

const STATES = { live: ["●", "live"], delayed: ["◐", "delayed"], stale: ["✕", "STALE"], connecting: ["○", "connecting"] };

// only the word is announced: a screen reader would read out every second
function Connection({ store }) {
  const [glyph, word] = STATES[store.connection];
  const seconds = Math.floor(store.sinceFrameMs() / 1000);
  const more = { delayed: ` by ${Math.round(store.delayMs / 1000)} s`, stale: ` for ${seconds} s` }[store.connection] ?? "";
  return html`<p class="connection" id="connection" data-connection=${store.connection}><span role="status"><span class="glyph" aria-hidden="true">${glyph}</span> ${word}</span>${more},
    last frame <time datetime=${new Date(store.asOfMs).toISOString()}>${clock(store.asOfMs)} UTC</time></p>`;
}

function Silent({ store }) {
  return html`<p class="banner banner-stale" role="alert" id="silent">No data from the monitor for
    ${" "}<span aria-live="off">${Math.floor(store.sinceFrameMs() / 1000)}</span> s. Figures below are of ${clock(store.asOfMs)} UTC.</p>`;
}

function Worst({ store, view }) {
  const { worst, unknown } = worstOf(store);
  const show = () => {
    (worst.section === "pools" ? view.setPool : view.setPortfolio)(worst.id);
    goTo("panel-utilisation");
  };
  return html`<p class=${store.connection === "stale" ? "worst out-of-date" : "worst"} id="worst">Worst
    ${worst ? html` <${Level} level=${worst.row.level} /> <${Num} of=${worst.section} id=${worst.id} path="margin_ratio" value=${worst.row.margin_ratio} as="percent"
      figure=${worst.section === "pools" ? "margin_ratio" : "portfolio_margin_ratio"} inputs=${[["maintenance margin", worst.row.maintenance_margin, "usd"], ["equity", worst.row.equity, "usd"]]} />
      ${" "}<button type="button" class="plain" onClick=${show}>${worst.name}</button>` : " –"}
    ${unknown ? html` <a href="#panel-summary"><${Level} level="none" word=${`${unknown} without figure`} /></a>` : ""}</p>`;
}

// theme.js keeps what is chosen
function Theme() {
  const chosen = document.documentElement.dataset.theme;
  return html`<label>Theme <select id="theme">${["auto", "light", "dark"].map((one) => html`<option value=${one} selected=${one === chosen}>${one}</option>`)}</select></label>`;
}
