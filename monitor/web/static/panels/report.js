// What the panels of a report share: the report of the chosen portfolio, what its figures may be taken for, and failures in words.
import { html } from "../html.js";
import { age, milliseconds } from "../format.js";
import { Level } from "../level.js";
import { Num } from "../number.js";

const STALE_MS = 30_000; // made every second or two, but for a tenth of the time at most: of a large book one comes every 10 or 20 s
const WORDS = { STALE: "stale", OUTCOME: "implied", PROXY: "proxy", CONFIGURED: "configured", MISSING: "missing" }; // LIVE and AGING say nothing

// the report of the chosen portfolio, `row` without any figure where it failed; `late` is "stale" where it is too old to be taken for now
export function reportOf(store, view) {
  const row = store.row("reports", view.portfolio);
  const late = row && lateness(store, row.as_of);
  return { id: view.portfolio, row, hasFigures: Boolean(row?.units), asOf: row?.as_of, late, age: late && age(ageS(store, row.as_of)) };
}

// what a panel of the report is drawn from: it is drawn again where one of these is another
export const drawnFrom = ({ row, late, age }) => [row, late, age];

// the panel's content, or why there is none, and above it that it is old
export function Report({ told, children }) {
  if (!told.id) return html`<p class="empty">No portfolio is configured.</p>`;
  if (!told.row) return html`<p class="empty">No report yet: the first one comes within a few seconds of the first prices.</p>`;
  return html`<${Late} told=${told} />${told.hasFigures ? children : html`<${Failures} failures=${told.row.failures} what="The report failed" />`}`;
}

export const lateness = (store, asOf) => (ageS(store, asOf) * 1000 > STALE_MS ? "stale" : "");

const ageS = (store, asOf) => (store.nowMs() - milliseconds(asOf)) / 1000;

// what to say of figures that rest on inputs of this provenance
export const stateOf = (late, provenance) => [...new Set([late, WORDS[provenance]])].filter(Boolean).join(" ") || undefined;

// the figures of the stress method, which stand in a part of their own where the portfolio goes by the cross comparator
export const stressOf = (row) => (row.method === "cross" ? [row.portfolio, "portfolio."] : [row, ""]);

// a function that writes figures of one row of a section; without a path the page reckoned the figure itself
export function teller(of, id, state) {
  return (path, value, as, figure, more) =>
    html`<${Num} of=${path ? of : undefined} id=${id} path=${path} value=${value} as=${as} figure=${figure} state=${state} ...${more} />`;
}

export function Failures({ failures, what = "No figure" }) {
  if (!failures?.length) return "";
  return html`<div class="failures"><strong>${what}:</strong>
    <ul>${failures.map((one) => html`<li>${one.detail} <code>${one.reason}</code></li>`)}</ul></div>`;
}

function Late({ told }) {
  if (!told.late) return "";
  return html`<p class="callout callout-stale"><span aria-hidden="true">◷</span> This report is stale: ${told.age} old. What follows was true then.</p>`;
}

// a level that is as old as its figures
export const Told = ({ level, state }) => html`<${Level} level=${level} word=${state && level ? `${level}, ${state}` : undefined} />`;
