// Where the market figures of the chosen portfolio come from (monitor/resolvers/provenance.py), the worst first.
import { html, useState } from "../html.js";
import { Num } from "../number.js";
import { milliseconds } from "../format.js";
import { More, State, Table } from "./desk.js";

// as bad as they get, the worst first: shape, word, state of Num
const PROVENANCES = {
  MISSING: ["✕", "missing", ""],
  CONFIGURED: ["✎", "configured", "proxy"],
  PROXY: ["≈", "proxy", "proxy"],
  OUTCOME: ["◇", "from outcomes", "proxy"],
  STALE: ["▲", "stale", "stale"],
  AGING: ["◑", "ageing", ""],
  LIVE: ["●", "live", ""],
};
const ORDER = Object.keys(PROVENANCES);
const RELIABLE = ["LIVE", "AGING"];
const KINDS = {
  fx: ["fx", "price"],
  index: ["index", "price"],
  forward: ["forward", "price"],
  implied_volatility: ["implied volatility", "percent"],
  daily_volatility: ["daily volatility", "percent"],
  volume: ["volume, 24 h", "usd"],
};

export function Provenance({ store, portfolio }) {
  const [all, setAll] = useState(false);
  const report = store.row("reports", portfolio);
  if (!report?.inputs) return html`<h3>Market figures</h3><p class="empty">${whyNone(report, portfolio)}</p>`;
  const rows = distinct(report.inputs).sort((one, other) => ORDER.indexOf(one.input.provenance) - ORDER.indexOf(other.input.provenance));
  const trouble = rows.filter(({ input }) => !RELIABLE.includes(input.provenance));
  const live = rows.length - trouble.length;
  const shown = all ? rows : trouble;
  const sinceS = (store.nowMs() - milliseconds(report.as_of)) / 1000;
  return html`<h3>Market figures of ${portfolio} <span class=${`tally ${trouble.length ? "has-trouble" : ""}`}>${live} of ${rows.length} live</span></h3>
    <p class="about">Index, fx, forwards and volatilities that the portfolio's margin rests on. What no venue tells is derived (proxy) or configured.</p>
    ${shown.length > 0 && html`<${Table} label="Market figures" columns=${["From", "Figure", null, "Value", "Age", "Source"]}>
      ${shown.map(({ input, index }) => html`<${Row} key=${`${input.kind}|${input.name}`} ...${{ input, index, portfolio, sinceS }} />`)}</${Table}>`}
    ${live > 0 && html`<${More} all=${all} onChange=${setAll} fewer="Show trouble only" more=${`Show the ${live} that are live`} />`}`;
}

function whyNone(report, portfolio) {
  const failures = (report?.failures ?? []).map((failure) => `${failure.reason}: ${failure.detail}`);
  return failures.length ? `The report of ${portfolio} failed. ${failures.join("; ")}` : `There is no report of ${portfolio} yet.`;
}

// a stablecoin stands once for every coin that needs it
function distinct(inputs) {
  const found = new Map();
  inputs.forEach((input, index) => {
    const key = `${input.kind}|${input.name}`;
    if (!found.has(key)) found.set(key, { input, index });
  });
  return [...found.values()];
}

function Row({ input, index, portfolio, sinceS }) {
  const [shape, word, state] = PROVENANCES[input.provenance] ?? ["?", input.provenance, ""];
  const [kind, as] = KINDS[input.kind] ?? [input.kind, "price"];
  const ageS = input.age_s === null ? null : input.age_s + sinceS;
  const figure = { as, figure: `input_${input.kind}`, state, reason: "missing", inputs: [["source", input.source, "plain"]] };
  return html`<tr><td><${State} name=${input.provenance} shape=${shape} word=${word} /></td>
    <th scope="row">${kind} <span class="names">${nameOf(input)}</span></th>
    <td class="n"><${Num} of="reports" id=${portfolio} path=${`inputs.${index}.value`} value=${input.value} ...${figure} /></td>
    <td class="n"><${Num} value=${ageS} as="age" figure="input_age" reason="never told" inputs=${[["at the report", input.age_s, "age"]]} /></td>
    <td class="source">${input.source}</td></tr>`;
}

// a forward is named by venue, coin, settlement and expiry
function nameOf({ kind, name }) {
  const [venue, coin, settle, expiry] = name.split(":");
  if (kind !== "forward" || !/^\d+$/.test(expiry ?? "")) return name;
  const date = new Date(Number(expiry)).toISOString().slice(0, 16).replace("T", " ");
  return `${venue} ${coin}${settle === coin ? "" : ` in ${settle}`} ${date}`;
}
