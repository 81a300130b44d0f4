// What the panels of a report share: the report of the chosen portfolio, what its figures may be taken for, and failures in words.
import { html } from "../html.js";
import { age, milliseconds } from "../format.js";
import { Level } from "../level.js";
import { Num } from "../number.js";

export const CENT = 0.01; // USD
const STALE_MS = 10_000; // a report is made every second or two
const WORDS = { STALE: "stale", OUTCOME: "implied", PROXY: "proxy", CONFIGURED: "configured", MISSING: "missing" }; // LIVE and AGING say nothing

// the report of the chosen portfolio; `late` is "stale" where it is too old to be taken for now
export function reportOf(store, view) {
  const row = store.row("reports", view.portfolio);
  return { id: view.portfolio, row, asOf: row?.as_of, late: row && lateness(store, row.as_of), age: row && age(ageS(store, row.as_of)) };
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
    html`<${Num} of=${path ? of : undefined} id=${id} path=${path} value=${value} as=${as} figure=${figure} state=${state} text=${nothing(value, as)} ...${more} />`;
}

// what rounding leaves of sums and differences in USD; the value keeps it
const nothing = (value, as) => ((as === "usd" || as === "signed") && typeof value === "number" && Math.abs(value) < CENT / 2 ? "0.00" : undefined);

export function Failures({ failures, what = "No figure" }) {
  if (!failures?.length) return "";
  return html`<div class="failures"><strong>${what}:</strong>
    <ul>${failures.map((one) => html`<li key=${one.detail}>${one.detail} <code>${one.reason}</code></li>`)}</ul></div>`;
}

export function Late({ told, what = "This report" }) {
  return told.late ? html`<p class="notice"><span aria-hidden="true">◷</span> ${what} is stale: ${told.age} old. What follows was true then.</p>` : "";
}

export const Waiting = () => html`<p class="empty">No report yet: the first one comes within a few seconds of the first prices.</p>`;

// a level that is as old as its figures
export const Told = ({ level, state }) => html`<${Level} level=${level} word=${state && level ? `${level}, ${state}` : undefined} />`;

// a table that is wider than a phone scrolls by itself, with the keyboard too
export function Scroll({ label, children }) {
  return html`<div class="scroll" role="region" aria-label=${label} tabindex="0">${children}</div>`;
}
