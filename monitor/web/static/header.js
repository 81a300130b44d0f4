// What stands above all panels: whether the page can be believed, how bad the worst of it is, and what is looked at.
import { html, useLayoutEffect, useRef } from "./html.js";
import { clock, wholeAge } from "./format.js";
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
  return html`<header class="top" ref=${useRoom()}>
    <div class="top-line">
      <h1 class="brand"><img src="/static/favicon.svg" alt="" /> marginwatch</h1>
      <${Connection} store=${store} />
      <${Worst} store=${store} view=${view} />
      <a id="firing" href="#panel-alerts">${firing === 1 ? "1 alert firing" : `${firing} alerts firing`}</a>
      <div class="tools far">
        <label>Portfolio <select id="portfolio" value=${view.portfolio} onChange=${(event) => view.setPortfolio(event.target.value)}>
          ${monitor.portfolios.map((one) => html`<option key=${one.id} value=${one.id}>${one.id}</option>`)}</select></label>
        <${Theme} />
        ${IS_LOOPBACK ? "" : html`<form method="post" action="/logout"><button type="submit">Log out</button></form>`}
      </div>
    </div>
    ${store.connection === "stale" ? html`<${Silent} store=${store} />` : ""}
    ${store.connection === "delayed" ? html`<p class="banner banner-stale"
      role="alert">What the monitor tells comes late: figures below are of ${clock(store.asOfMs)} UTC.</p>` : ""}
    ${view.missing ? html`<p class="banner banner-unready"
      role="alert">Portfolio ${view.missing} is not configured. ${view.portfolio ? `Shown is ${view.portfolio}.` : ""}</p>` : ""}
    ${monitor.ready ? "" : html`<div class="banner banner-unready" role="alert" id="unready">The monitor is not ready. What it lacks:
      <ul>${monitor.unready.map((reason) => html`<li key=${reason}>${reason}</li>`)}</ul></div>`}
    <nav aria-label="Panels"><ul>${PANELS.map(([id, name]) => html`<li key=${id}><a href=${`#panel-${id}`}>${name}</a></li>`)}</ul></nav>
  </header>`;
}

// what a link leads to must not end up under what stands above all panels, which grows with banners and wraps
function useRoom() {
  const top = useRef(null);
  useLayoutEffect(() => {
    const seen = new ResizeObserver(() => {
      const { position } = getComputedStyle(top.current);
      document.documentElement.style.scrollPaddingTop = `${position === "sticky" ? top.current.offsetHeight + 8 : 8}px`;
    });
    seen.observe(top.current);
    return () => seen.disconnect();
  }, []);
  return top;
}

const STATES = { live: ["●", "live"], delayed: ["◐", "delayed"], stale: ["✕", "STALE"], connecting: ["○", "connecting"] };

// only the word is announced: a screen reader would read out every second
function Connection({ store }) {
  const [glyph, word] = STATES[store.connection];
  const more = { delayed: ` by ${Math.round(store.delayMs / 1000)} s`, stale: ` for ${silence(store)}` }[store.connection] ?? "";
  return html`<p class="connection" id="connection" data-connection=${store.connection}><span role="status">
    <span class="glyph" aria-hidden="true">${glyph}</span> ${word}</span>${more},
    last frame <time datetime=${new Date(store.asOfMs).toISOString()}>${clock(store.asOfMs)} UTC</time></p>`;
}

const silence = (store) => wholeAge(store.sinceFrameMs() / 1000);

function Silent({ store }) {
  return html`<p class="banner banner-stale" role="alert" id="silent">No data from the monitor for
    ${" "}<span aria-live="off">${silence(store)}</span>. Figures below are of ${clock(store.asOfMs)} UTC.</p>`;
}

function Worst({ store, view }) {
  const { worst, unknown } = worstOf(store);
  const show = () => {
    (worst.section === "pools" ? view.setPool : view.setPortfolio)(worst.id);
    goTo("panel-utilisation");
  };
  return html`<p class=${store.connection === "stale" ? "worst out-of-date" : "worst"} id="worst">Worst
    ${worst ? html` <${Level} level=${worst.level} /> <${Num} of=${worst.section} id=${worst.id} path="margin_ratio" value=${worst.row.margin_ratio}
      as="percent" figure=${worst.section === "pools" ? "margin_ratio" : "portfolio_margin_ratio"}
      inputs=${[["maintenance margin", worst.row.maintenance_margin, "money"], ["equity", worst.row.equity, "money"]]} />
      ${" "}<button type="button" class="plain" onClick=${show}>${worst.name}</button>` : " –"}
    ${unknown ? html` <a href="#panel-summary"><${Level} level="none" word=${`${unknown} without figure`} /></a>` : ""}</p>`;
}

// theme.js keeps what is chosen
function Theme() {
  const chosen = document.documentElement.dataset.theme;
  return html`<label>Theme <select id="theme">${["auto", "light", "dark"].map((one) => html`<option value=${one}
    selected=${one === chosen}>${one}</option>`)}</select></label>`;
}
