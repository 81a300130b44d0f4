// What fires now, the worst first.
import { html, useState } from "../html.js";
import { Num } from "../number.js";
import { Level } from "../level.js";
import { age } from "../format.js";
import { More, Time } from "./desk.js";
import { holds, ruleOf, whose, wordOf } from "./alerts_words.js";

const SHOWN = 8;

export function Firing({ store, alerts, marked, onSilence }) {
  const [all, setAll] = useState(false);
  const shown = all ? alerts : alerts.filter((alert, place) => place < SHOWN || alert.key === marked);
  const elsewhere = marked && store.sections.alerts && !alerts.some((alert) => alert.key === marked);
  return html`<h3>Firing now <span class="tally">${alerts.length}</span></h3>
    ${elsewhere && html`<p class="callout" id=${`alert-${marked}`}>The alert <code>${marked}</code> does not fire now.
      ${" "}What was told of it lately is marked below.</p>`}
    ${!alerts.length && html`<p class="empty">Nothing fires.</p>`}
    <ul class="alerts">${shown.map((alert) => html`<${Row} key=${alert.key} ...${{ store, alert, marked: alert.key === marked, onSilence }} />`)}</ul>
    ${alerts.length > SHOWN && html`<${More} all=${all} onChange=${setAll} fewer=${`Show the worst ${SHOWN} only`} more=${`Show all ${alerts.length}`} />`}`;
}

function Row({ store, alert, marked, onSilence }) {
  const nowMs = store.nowMs();
  const silenced = store.rows("silences").some(([, silence]) => holds(silence, alert));
  return html`<li id=${`alert-${alert.key}`} class=${marked ? "alert is-marked" : "alert"} aria-current=${marked ? "true" : undefined}>
    <span class="alert-level"><${Level} level=${alert.level} word=${wordOf(alert)} /></span>
    <span class="alert-what"><strong>${ruleOf(alert)}</strong> ${whose(alert)}
      ${alert.subject && html` <span class="names">${alert.subject}</span>`}${silenced && html` <span class="held">silenced</span>`}</span>
    <span class="alert-ratio">${alert.ratio !== null && html`<${Ratio} alert=${alert} />`}</span>
    <span class="alert-detail"><span class="alert-since">since <${Time} ms=${alert.since_ms} nowMs=${nowMs} />, ${" "}
      for ${age((nowMs - alert.since_ms) / 1000)}</span> ${alert.detail}</span>
    <span class="alert-act"><button type="button" onClick=${() => onSilence(alert.key)} aria-label=${`Silence ${alert.key}`}>Silence</button></span>
  </li>`;
}

function Ratio({ alert }) {
  const inputs = [["when the level was reached", alert.ratio_at_crossing, "percent"]];
  return html`<${Num} of="alerts" id=${alert.key} path="ratio" value=${alert.ratio} as="percent" figure="alert_ratio" inputs=${inputs}
    state=${alert.frozen ? "stale" : ""} note=${alert.frozen ? "the data are old: the alert goes on until there are good ones" : ""} />`;
}
