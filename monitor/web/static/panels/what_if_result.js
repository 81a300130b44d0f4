// Before, after and the difference, for the portfolio and for every pool of its accounts.
import { html } from "../html.js";
import { Num } from "../number.js";
import { Level, ofPortfolio } from "../level.js";
import { Scroll } from "../panel.js";
import { age, clock, milliseconds, move, number, price, signed } from "../format.js";
import { inWords } from "./what_if_changes.js";

const LIQUIDATION = "liquidation.price";
const ROUNDING = 1e-9; // relative: two sums of the same parts in another order
const PORTFOLIO = [
  ["margin_ratio", "Utilisation", "percent", "what_if_ratio"],
  ["maintenance_margin", "Maintenance margin", "usd", "what_if_maintenance"],
  ["initial_margin", "Initial margin", "usd", "what_if_initial"],
  ["equity", "Equity", "usd", "what_if_equity"],
  ["excess", "Excess", "usd", "what_if_excess"],
  ["cross.maintenance_margin", "Venues' own rules together", "usd", "what_if_cross"],
  ["families.directional", "Directional family", "usd", "what_if_family"],
  ["families.volatility", "Volatility family", "usd", "what_if_family"],
  ["families.correlation", "Correlation family", "usd", "what_if_family"],
  ["families.liquidity", "Liquidity charge", "usd", "what_if_family"],
];
const POOL = [
  ["margin_ratio", "Utilisation", "percent", "what_if_pool_ratio"],
  ["equity", "Equity", "usd", "what_if_pool_equity"],
  ["maintenance_margin", "Maintenance margin", "usd", "what_if_pool_maintenance"],
  [LIQUIDATION, "Liquidation price", "price", "what_if_pool_liquidation"],
];

export function Result({ result, portfolio, nowMs, isOf }) {
  const asOfMs = milliseconds(result.as_of);
  return html`<div class="what-if-head"><h3>${result.changes.map(inWords).join("; ")}</h3>
      <p class="muted">As of ${clock(asOfMs, { now: nowMs })} UTC, ${age((nowMs - asOfMs) / 1000)} ago.
        ${!isOf && html` <strong>The list has changed since.</strong>`}</p></div>
    <${Scroll} label="What the changes would do"><table class="what-if-table">
      <caption class="visually-hidden">Margin before and after the hypothetical changes</caption>
      <thead><tr><th scope="col">Figure</th><th scope="col" class="n">Before</th>
        <th scope="col" class="n">After</th><th scope="col" class="n">Difference</th></tr></thead>
      ${group(result, PORTFOLIO, placesOf(result, "portfolios", (row) => row.id === portfolio), `Portfolio ${portfolio}`)}
      ${pools(result).map((key) => group(result, POOL, placesOf(result, "accounts", (row) => keyOf(row) === key), poolName(key)))}
    </table><//>
    <${Assumptions} sentences=${result.assumptions} />
    <p class="tools"><button type="button" onClick=${() => save(result, portfolio)}>Save the changed snapshot</button>
      <span class="note">a file for <code>marginwatch report FILE</code>, which says the same</span></p>`;
}

const keyOf = (row) => `${row.venue}/${row.id}/${row.pool}`;

const pools = ({ before, after }) => [...new Set([...after.accounts, ...before.accounts].map(keyOf))];

function poolName(key) {
  const [venue, account, ...pool] = key.split("/");
  return `${account} · ${pool.join("/")} · ${venue}`;
}

// where the row stands in the document before, and after: a pool may come or go
function placesOf(result, list, fits) {
  return ["before", "after"].map((id) => {
    const index = result[id][list].findIndex(fits);
    return { id, path: `${list}.${index}`, row: result[id][list][index] ?? null };
  });
}

function group(result, figures, places, title) {
  const [before, after] = places;
  const rows = figures.filter(([path]) => valueOf(before.row, path) !== undefined || valueOf(after.row, path) !== undefined);
  return html`<tbody key=${title}><tr class="group">
    <th scope="rowgroup" colspan="4">${title} ${levels(before.row, after.row, figures === PORTFOLIO ? ofPortfolio : (level) => level)}</th></tr>
    ${rows.map(([path, name, as, figure]) => html`<tr key=${path}><th scope="row">${name}</th>
      ${places.map((place) => html`<td class="n" key=${place.id}><${Figure} ...${{ place, path, as, figure }} /></td>`)}
      <td class="n"><${Difference} ...${{ before: before.row, after: after.row, path, as }} /></td></tr>`)}</tbody>`;
}

function levels(before, after, named) {
  if (!before || !after) return html`<span class="muted">${after ? "comes into being" : "goes"}</span>`;
  const same = before.level === after.level;
  return html`<span class="levels">${same ? "" : html`<${Level} level=${named(before.level)} /> → `}<${Level} level=${named(after.level)} /></span>`;
}

function Figure({ place, path, as, figure }) {
  const { id, row } = place;
  if (!row) return html`<span class="muted">no such pool</span>`;
  const inputs = [["equity", row.equity, "money"], ["maintenance margin", row.maintenance_margin, "money"]];
  const told = { as, figure, inputs, reason: reasonOf(row, path) };
  return html`<${Num} of="what-if" id=${id} path=${`${place.path}.${path}`} value=${valueOf(row, path)} ...${told} />
    ${path === LIQUIDATION && row.liquidation && html`<span class="of-instrument">${row.liquidation.instrument.replace(/^[^:]+:/, "")}</span>`}`;
}

// why there is no figure
function reasonOf(row, path) {
  if (path === LIQUIDATION && row.status === "ok") return "none";
  return row.failures?.[0]?.reason ?? row.cross?.failures?.[0]?.reason ?? "no figure";
}

const valueOf = (row, path) => path.split(".").reduce((found, key) => (found === null ? null : found?.[key]), row);

// reckoned from the two figures that stand beside it; none between prices of different instruments
function Difference({ before, after, path, as }) {
  const [one, other] = [number(valueOf(before, path)), number(valueOf(after, path))];
  const comparable = path !== LIQUIDATION || before?.liquidation?.instrument === after?.liquidation?.instrument;
  if (!comparable || !Number.isFinite(one ?? NaN) || !Number.isFinite(other ?? NaN)) return html`<span class="muted">–</span>`;
  const moved = Math.abs(other - one) <= ROUNDING * Math.max(Math.abs(one), Math.abs(other)) ? 0 : other - one;
  const inputs = [["before", one, as], ["after", other, as]];
  return html`<${Num} value=${moved} as="signed" text=${moved ? TEXTS[as](moved) : "0"} figure="what_if_difference" inputs=${inputs} />`;
}

const TEXTS = { percent: (value) => `${move(value, 2).replace("%", "")} pp`, usd: signed, price: (value) => `${value > 0 ? "+" : ""}${price(value)}` };

function Assumptions({ sentences }) {
  if (!sentences.length) return "";
  return html`<div class="assumptions"><h4>Assumed</h4><ul>${sentences.map((sentence) => html`<li key=${sentence}>${sentence}</li>`)}</ul></div>`;
}

function save(result, portfolio) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(result.snapshot, null, 1)], { type: "application/json" }));
  link.download = `what-if-${portfolio}-${result.as_of.replace(/[^\dTZ]/g, "")}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
