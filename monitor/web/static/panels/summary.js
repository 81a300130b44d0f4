// Risk summary: what each portfolio and each pool requires, how far it is from being liquidated, and what happens then.
import { html, memo } from "../html.js";
import { milliseconds, number, wholeAge } from "../format.js";
import { Level, ofPortfolio } from "../level.js";
import { Num } from "../number.js";
import { Panel, Scroll } from "../panel.js";
import { Pools, Reasons, Use } from "./pools.js";
import { lateness, stateOf, stressOf } from "./report.js";

const ABOUT = `Utilisation is maintenance margin over equity: at 100% a pool is liquidated by its venue. A portfolio is the same idea over all of its accounts, hedges
  counted; no venue acts on it. Point at a figure, or go to it with the arrow keys, for its formula.`;
const HEADS = ["Portfolio", "Level", "Utilisation", "Maintenance", "Initial", "Equity", "Excess", "To safety", "Liquidated at a move of",
  "Saving over cross", "Rests on", "What happens", "Age"];
const FIGURES = new Set(["Maintenance", "Initial", "Equity", "Excess", "To safety", "Liquidated at a move of", "Saving over cross", "Age"]);
const NOBODY = "no venue acts on this number: each account is liquidated by its own venue's rule, and equity cannot be moved between venues at once";
// as monitor/margin/stages.py has them: the report tells the stage's name alone
const STAGES = {
  normal: "nothing; debts are repaid automatically from 85%, orders cancelled and positions liquidated from 100%",
  auto_repay: "debts are repaid automatically until none is left; orders are cancelled and positions liquidated from 100%",
  cancel_orders_then_partial_liquidation_to_90: "all open orders are cancelled, then positions are liquidated in part until the ratio is 90%",
};

export function Summary({ store, view }) {
  return html`<${Panel} id="summary" title="Risk summary" about=${ABOUT} wide>
    <h3>Portfolios</h3>
    <${Scroll} label="Portfolios"><table class="sticky" id="portfolios"><thead><tr>
      ${HEADS.map((head) => html`<th key=${head} scope="col" class=${FIGURES.has(head) ? "n" : ""}>${head}</th>`)}</tr></thead>
      <tbody>${store.rows("portfolios").map(([id, row]) => html`<${Portfolio} key=${id}
        ...${{ id, row, report: store.row("reports", id), choose: view.setPortfolio }} chosen=${id === view.portfolio}
        settings=${store.row("monitor", "monitor").portfolios.find((one) => one.id === id)} ...${lookOf(store, id)} />`)}</tbody></table><//>
    <${Pools} store=${store} view=${view} /><//>`;
}

function lookOf(store, id) {
  const asOf = store.row("reports", id)?.as_of;
  return asOf ? { late: lateness(store, asOf), ageS: Math.max(0, Math.floor((store.nowMs() - milliseconds(asOf)) / 1000)) } : { late: "", ageS: null };
}

const Portfolio = memo(({ id, row, report, settings, chosen, choose, late, ageS }) => {
  const state = stateOf("", row.provenance) ?? "";
  const tell = (path, figure, as = "usd", inputs = []) => html`<td class="n">
    <${Num} of="portfolios" id=${id} path=${path} value=${row[path]} as=${as} figure=${figure} inputs=${inputs} state=${state} brief /></td>`;
  return html`<tr class=${chosen ? "is-chosen" : ""} data-portfolio=${id}>
    <th scope="row"><button type="button" class="plain" aria-pressed=${chosen} onClick=${() => choose(id)}>${id}</button>
      <span class="sub">${accountsOf(settings)} · ${row.parameters}${settings?.alarm === false ? " · not alerted" : ""}</span></th>
    <td><${Level} level=${ofPortfolio(row.level)} /></td>
    <td>${row.margin_ratio === null
      ? html`<div class="why"><${Reasons} failures=${row.failures} /></div>`
      : html`<${Use} of="portfolios" id=${id} row=${row} figure="portfolio_margin_ratio" state=${state} />`}</td>
    ${tell("maintenance_margin", "portfolio_maintenance_margin")}
    ${tell("initial_margin", "portfolio_initial_margin")}
    ${tell("equity", "portfolio_equity")}
    ${tell("excess", "portfolio_excess", "usd", [["equity", row.equity, "usd"], ["maintenance", row.maintenance_margin, "usd"]])}
    <${Look} id=${id} report=${report} late=${late} />
    ${tell("saving", "saving", "percent", [["portfolio requirement", row.maintenance_margin, "usd"], ["cross margins", row.cross_maintenance_margin, "usd"]])}
    <td class="why">${doubtsOf(row)}</td>
    <td class="why"><${Next} id=${id} report=${report} settings=${settings} /></td>
    <td class="n"><${Num} value=${ageS} as="age" text=${wholeAge(ageS)} figure="report_age" state=${late} /></td>
  </tr>`;
});

const accountsOf = (settings) => (settings?.accounts.length === 1 ? settings.accounts[0] : `${settings?.accounts.length ?? "?"} accounts`);

// what only a close look can tell
function Look({ id, report, late }) {
  if (!report) return html`<td class="n muted" colspan="2">not looked at yet</td>`;
  const [row, under] = stressOf(report);
  const state = stateOf(late, report.provenance);
  const figure = (path, value, as, name, none) => html`<${Num} of="reports" id=${id} path=${under + path} value=${value} as=${as} figure=${name}
    state=${state} brief reason=${none} />`;
  const at = row.distance?.all?.["1.0"];
  const side = (name) => figure(`distance.all.1.0.${name}`, at[name], "move", "portfolio_distance", `none ${name}`);
  const there = at && number(row.margin_ratio) >= 1; // then distances lead back
  return html`<td class="n">${figure("cash_to_safety", row.cash_to_safety, "usd", "portfolio_cash_to_safety", "unknown")}</td>
    <td class="n">${!at ? html`<span class="reason">unknown</span>` : there ? html`<strong>reached</strong> <span class="sub">${back(at, side)}</span>`
      : html`${side("down")} <span class="sub">${side("up")}</span>`}</td>`;
}

function back(at, side) {
  const sides = ["down", "up"].filter((name) => at[name] !== null);
  return sides.length ? html`back at ${sides.map((name, place) => html`${place ? ", " : ""}${side(name)}`)}` : "no move leads back";
}

function doubtsOf(row) {
  const doubts = [...new Set([...row.doubts, ...(row.not_to_be_relied_on ?? [])].map((one) => (typeof one === "string" ? one : one.detail)))];
  return html`<span>${(row.provenance ?? "unknown").toLowerCase()}</span>${doubts.length ? html`<span class="sub">${doubts.join("; ")}</span>` : ""}`;
}

function Next({ id, report, settings }) {
  const [row, under] = report ? stressOf(report) : [{}, ""];
  const stage = row.stage;
  const words = STAGES[stage] ?? stage;
  if (stage) return html`<${Num} of="reports" id=${id} path=${`${under}stage`} value=${stage} as="text" text=${words.split("; ")[0]}
    figure="portfolio_stage" note=${words} />`;
  return html`<${Num} value=${settings?.accounts.length > 1 ? NOBODY : `${NOBODY}; see the pools of its account below`} as="text"
    text="nobody acts on it" figure="portfolio_stage" />`;
}
