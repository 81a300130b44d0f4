// The same book under other rules: the stress method, position by position, each venue's own rule, Hyperliquid's three modes.
import { html, useMemo } from "../html.js";
import { number } from "../format.js";
import { Panel, Scroll } from "../panel.js";
import { Failures, Report, Told, drawnFrom, lateness, reportOf, stateOf, stressOf, teller } from "./report.js";

const ABOUT = "What the same positions require under other rules: offsets counted or not, each venue's own rule, Hyperliquid's account modes.";
const MODES = [["standard", "standard"], ["unified", "unified"], ["portfolio_margin", "portfolio margin"]];

export function Modes({ store, view }) {
  const told = reportOf(store, view);
  const accounts = store.row("monitor", "monitor")?.portfolios.find((one) => one.id === view.portfolio)?.accounts ?? [];
  const [rules, modes] = [store.sections.rules ?? {}, store.sections.modes ?? {}];
  return useMemo(
    () => html`<${Panel} id="modes" title="Mode comparison" wide about=${ABOUT} asOf=${told.asOf}>
      <div class="columns"><div><${Report} told=${told}><${Methods} told=${told} /><//></div>
        ${accounts.filter((id) => modes[id]).map((id) => html`<${AccountModes} key=${id} store=${store} id=${id} row=${modes[id]}
          now=${modeOf(rules, id)} />`)}</div>
      <${Rules} store=${store} accounts=${accounts} rules=${rules} /></${Panel}>`,
    [...drawnFrom(told), rules, modes, accounts.join()],
  );
}

const modeOf = (rules, id) => Object.values(rules).find((one) => one.id === id && one.venue === "hyperliquid")?.mode;

function Methods({ told }) {
  const { row, id, late } = told;
  const [stress, prefix] = stressOf(row);
  const tell = teller("reports", id, stateOf(late, row.provenance));
  const { cross } = row;
  const equity = number(row.equity);
  const over = (margin) => (margin === null || equity === null ? null : margin <= 0 ? 0 : equity > 0 ? margin / equity : "Infinity");
  const from = (margin) => [["requirement", margin, "usd"], ["equity", equity, "usd"]];
  return html`<section aria-labelledby="mode-methods"><h3 id="mode-methods">Portfolio against cross</h3>
    <p class="note">${eligibility(row)}</p>
    <${Failures} failures=${stress.failures} what="No portfolio figure" /><${Failures} failures=${cross.failures} what="No cross figure" />
    <${Scroll} label="Portfolio against cross, table"><table class="figures">
      <caption>USD, against an equity of ${tell("equity", row.equity, "usd", "portfolio_equity")}</caption>
      <thead><tr><th scope="col">Method</th><th scope="col" class="n">Maintenance</th><th scope="col" class="n">Initial</th>
        <th scope="col" class="n">Ratio</th><th scope="col" class="n">Initial ratio</th></tr></thead>
      <tbody><tr><th scope="row">portfolio <span class="muted">stress of all legs together</span></th>
          <td class="n">${tell(`${prefix}maintenance_margin`, stress.maintenance_margin, "usd", "portfolio_maintenance_margin")}</td>
            <td class="n">${tell(`${prefix}initial_margin`, stress.initial_margin, "usd", "portfolio_initial_margin")}</td>
          <td class="n">${tell(`${prefix}margin_ratio`, stress.margin_ratio, "percent", "portfolio_margin_ratio",
            { inputs: from(stress.maintenance_margin) })}</td>
            <td class="n">${tell(`${prefix}initial_ratio`, stress.initial_ratio, "percent", "initial_ratio", { inputs: from(stress.initial_margin) })}</td></tr>
        <tr><th scope="row">cross <span class="muted">position by position</span></th>
          <td class="n">${tell("cross.maintenance_margin", cross.maintenance_margin, "usd", "cross_maintenance")}</td>
            <td class="n">${tell("cross.initial_margin", cross.initial_margin, "usd", "cross_initial")}</td>
          <td class="n">${tell(null, over(cross.maintenance_margin), "percent", "cross_ratio", { inputs: from(cross.maintenance_margin) })}</td>
            <td class="n">${tell(null, over(cross.initial_margin), "percent", "cross_initial_ratio", { inputs: from(cross.initial_margin) })}</td>
            </tr></tbody></table></${Scroll}>
    <${Saving} tell=${tell} cross=${cross} margin=${stress.maintenance_margin} /></section>`;
}

function eligibility({ method, eligibility: { eligible, reasons } }) {
  if (eligible) return "The portfolio method stands for this portfolio: nothing in the configuration speaks against it.";
  return html`The portfolio method does not stand for this portfolio, so its figures elsewhere are those of ${method}: ${reasons.join("; ")}.`;
}

function Saving({ tell, cross, margin }) {
  const known = margin !== null && cross.maintenance_margin !== null;
  const inputs = [["cross", cross.maintenance_margin, "usd"], ["portfolio", margin, "usd"]];
  const amount = known ? cross.maintenance_margin - margin : null;
  return html`<p class="saving"><strong>Saving ${tell("cross.saving", cross.saving, "percent", "saving",
    { inputs, reason: "unknown" })}, ${tell(null, amount, "signed", "saving_usd", { inputs, reason: "unknown" })} USD.</strong>
    ${amount < 0 ? " The stress asks for more than the positions one by one: it sees a loss that the venues' rates do not cover."
      : " That much of the requirement is met by positions that hedge each other."}${" "}
    No venue acts on it: each asks its own margin of its own account, and cash on one does not protect a position on another.</p>`;
}

function Rules({ store, accounts, rules }) {
  const rows = Object.entries(rules).filter(([, row]) => accounts.includes(row.id));
  return html`<section aria-labelledby="mode-rules"><h3 id="mode-rules">Each venue's own rule</h3>
    ${rows.length ? html`<${Scroll} label="Each venue's own rule, table"><table class="figures"><caption>In the pool's own token</caption>
      <thead><tr><th scope="col">Account</th><th scope="col">Rule</th>${POOL_HEAD}</tr></thead>
      ${rows.map(([id, row]) => html`<tbody key=${id}><tr><th scope="row">${row.id} <span class="muted">${row.venue} ${row.pool}</span></th>
        <td>${words(row.mode)}</td>
        <${PoolFigures} of="rules" id=${id} row=${row} state=${lateness(store, row.as_of)} /></tr>
        <tr><td colspan="6" class="next">${row.next ?? "What the venue does next is unknown to this version."}</td></tr></tbody>`)}</table>
          </${Scroll}>` : html`<p class="empty">No pool of this portfolio's accounts is told yet.</p>`}</section>`;
}

const POOL_HEAD = html`<th scope="col" class="n">Maintenance</th><th scope="col" class="n">Equity</th><th scope="col" class="n">Ratio</th>
  <th scope="col">Level</th>`;

const words = (mode) => mode?.replaceAll("_", " ") ?? "";

// four cells of a table; a failed pool says why in one
function PoolFigures({ of, id, path = "", row, state }) {
  if (row.failures.length) return html`<td colspan="4"><${Failures} failures=${row.failures} /></td>`;
  const tell = teller(of, id, state);
  const inputs = [
    ["maintenance margin", row.maintenance_margin, "money"],
    ["equity", row.equity, "money"],
    ["liquidated at", row.limit, "percent"],
    ["the venue's own ratio", row.raw_ratio, "percent"],
  ];
  return html`<td class="n">${tell(`${path}maintenance_margin`, row.maintenance_margin, "money", "maintenance_margin", { note: row.asset })}</td>
    <td class="n">${tell(`${path}equity`, row.equity, "money", "equity", { note: row.asset })} <span class="muted">${row.asset}</span></td>
    <td class="n">${tell(`${path}margin_ratio`, row.margin_ratio, "percent", "margin_ratio", { inputs })}</td>
      <td><${Told} level=${row.level} state=${state} /></td>`;
}

function AccountModes({ store, id, row, now }) {
  const state = lateness(store, row.as_of);
  return html`<section aria-labelledby=${`mode-of-${id}`}><h3 id=${`mode-of-${id}`}>${id} on Hyperliquid, under its three account modes</h3>
    <${Scroll} label=${`${id} under Hyperliquid's account modes, table`}><table class="figures">
      <caption>The same positions and cash, if the account were switched; in the pool's own token</caption>
      <thead><tr><th scope="col">Mode</th><th scope="col">Pool</th>${POOL_HEAD}</tr></thead>
      ${MODES.map(([key, name]) => html`<tbody key=${key}>${modeRows(row[key], key).map(({ pool, path, head, span }) => html`<tr key=${path}>
        ${head ? html`<th scope="rowgroup" rowspan=${span}>${name} ${key === now ? html`<span class="tag">now</span>` : ""}</th>` : ""}
        ${pool ? html`<td>${pool.pool} ${head && span > 1 ? html`<span class="muted">worst of ${span}</span>` : ""}</td>
          <${PoolFigures} of="modes" id=${id} path=${path} row=${pool} state=${state} />`
          : html`<td colspan="5">${row[key]?.failures.length ? html`<${Failures} failures=${row[key].failures} />`
            : "no pool"}</td>`}</tr>`)}</tbody>`)}</table></${Scroll}></section>`;
}

// the worst pool first
function modeRows(mode, key) {
  if (!mode || mode.failures.length || !mode.pools.length) return [{ head: true, span: 1, path: key }];
  const ratio = ({ pool }) => number(pool.margin_ratio) ?? Infinity;
  return mode.pools
    .map((pool, place) => ({ pool, path: `${key}.pools.${place}.` }))
    .toSorted((a, b) => (ratio(a) === ratio(b) ? 0 : ratio(b) - ratio(a)))
    .map((one, place) => ({ ...one, head: place === 0, span: mode.pools.length }));
}
