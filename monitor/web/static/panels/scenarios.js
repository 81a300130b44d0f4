// What the worst scenario is and what the others would cost: one coin's grid, the portfolio over price, and the families of loss.
import { html, useMemo } from "../html.js";
import { move, signed } from "../format.js";
import { Panel, Scroll } from "../panel.js";
import { Heatmap, Key } from "../charts/heatmap.js";
import { ScenarioCurve } from "./scenario_curve.js";
import { Families, UnitMargin } from "./scenario_margin.js";
import { Failures, Report, drawnFrom, reportOf, stateOf, teller } from "./report.js";

const ABOUT = "Profit and loss if price and volatility jumped now. The requirement has to cover the worst of these scenarios.";
const NEAR = 1e-9; // nodes are compared after a way through JSON

export function Scenarios({ store, view }) {
  const told = reportOf(store, view);
  const units = told.row?.units ?? [];
  const place = Math.max(0, units.findIndex((unit) => unit.coin === view.coin));
  return useMemo(
    () => html`<${Panel} id="scenarios" title="Scenario analysis" wide about=${ABOUT} asOf=${told.asOf}
      actions=${units.length ? html`<${Coins} units=${units} place=${place} view=${view} />` : ""}>
      <${Report} told=${told}><${Body} told=${told} unit=${units[place]} path=${`units.${place}`} /><//></${Panel}>`,
    [...drawnFrom(told), place],
  );
}

function Coins({ units, place, view }) {
  return html`<label class="chooser">Coin <select id="coin" value=${units[place].coin} onChange=${(event) => view.setCoin(event.target.value)}>
    ${units.map((unit) => html`<option key=${unit.coin} value=${unit.coin}>${unit.coin}</option>`)}</select></label>`;
}

function Body({ told, unit, path }) {
  if (!unit) return told.row.failures.length ? html`<${Failures} failures=${told.row.failures} />`
    : html`<p class="empty">No positions: no scenario moves this portfolio.</p>`;
  const state = stateOf(told.late, unit.provenance);
  return html`<div class="columns">
      <div><section aria-labelledby="scenario-grid"><h3 id="scenario-grid">${unit.coin}: price × volatility</h3>
        ${unit.status === "failed" ? html`<${Failures} failures=${unit.failures} what=${`No figure for ${unit.coin}`} />`
          : html`<${Grid} told=${told} unit=${unit} path=${path} state=${state} />`}</section>
        <section aria-labelledby="scenario-margin"><h3 id="scenario-margin">What ${unit.coin} requires</h3>
          ${unit.status === "failed" ? html`<p class="empty">Unknown without its scenarios.</p>`
            : html`<${UnitMargin} told=${told} unit=${unit} path=${path} state=${state} />`}</section></div>
      <div><section aria-labelledby="scenario-curve"><h3 id="scenario-curve">Portfolio over price</h3>
        <${ScenarioCurve} told=${told} coin=${unit.coin} /></section>
        <section aria-labelledby="scenario-families"><h3 id="scenario-families">Families of loss, all coins</h3><${Families} told=${told} /></section></div>
    </div>`;
}

function Grid({ told, unit, path, state }) {
  const tell = teller("reports", told.id, state);
  const grid = gridOf(unit);
  const columns = [
    ...grid.volatilities.map(({ shock, place }) => ({ key: `s${place}`, place, head: html`vol ${tell(`${path}.vol_nodes.${place}`, shock, "move", "volatility_node")}` })),
    { key: "all", head: "worst vol" },
  ];
  const index = told.row.inputs?.find((one) => one.kind === "index" && one.name === unit.coin)?.value;
  const rows = grid.prices.map(({ shock, place }) => ({ key: `k${place}`, place, zero: shock === 0, extreme: place === null, head: head(tell, path, shock, place, index) }));
  return html`<${Scroll} label=${`Scenarios of ${unit.coin}, table`}>
    <${Heatmap} caption="USD. Rows: move of the price; columns: relative shock of volatility." corner="price" columns=${columns} rows=${rows}
      extent=${grid.extent}
      cell=${(row, column) => (row.extreme ? extremeCell(tell, unit, path, column, grid) : cellOf(tell, unit, path, row, column, grid))} /></${Scroll}>
    <${Key} extent=${grid.extent} format=${signed} />
    <p class="note">${sentence(unit, grid)}</p>`;
}

function head(tell, path, shock, place, index) {
  const inputs = index ? [["index", index, "price"], ["index there", index * (1 + shock), "price"]] : [];
  if (place === null) return html`${tell(`${path}.worst.price`, shock, "move", "extreme_node", { inputs })} <span class="muted">extreme</span>`;
  return tell(`${path}.price_nodes.${place}`, shock, "move", "price_node", { inputs });
}

// totals of every node, prices from the highest down, volatilities from the lowest up; an extreme node stands in the table where it binds
function gridOf(unit) {
  const prices = unit.price_nodes.map((shock, place) => ({ shock, place }));
  const volatilities = unit.vol_nodes.map((shock, place) => ({ shock, place })).sort((a, b) => a.shock - b.shock);
  const totals = unit.vol_nodes.map((_, s) => unit.price_nodes.map((_, k) => unit.linear[k] + unit.option[s][k] + unit.spot[k] + unit.collateral[k]));
  const at = (nodes, shock) => nodes.findIndex((one) => Math.abs(one - shock) < NEAR);
  const worst = { price: at(unit.price_nodes, unit.worst.price), volatility: at(unit.vol_nodes, unit.worst.vol) };
  if (worst.price < 0) prices.push({ shock: unit.worst.price, place: null });
  prices.sort((a, b) => b.shock - a.shock);
  return { prices, volatilities, totals, worst, extent: Math.max(unit.max_loss, ...totals.flat().map(Math.abs)) };
}

function cellOf(tell, unit, path, row, column, { totals, worst }) {
  const k = row.place;
  const parts = [["linear", unit.linear[k], "signed"], ["spot", unit.spot[k], "signed"], ["collateral", unit.collateral[k], "signed"]];
  if (column.key === "all") {
    const inputs = unit.vol_nodes.map((shock, s) => [`volatility ${move(shock)}`, totals[s][k], "signed"]);
    return { value: unit.all[k], content: tell(`${path}.all.${k}`, unit.all[k], "signed", "scenario_all", { inputs }) };
  }
  const [s, value] = [column.place, totals[column.place][k]];
  const inputs = [["option", unit.option[s][k], "signed"], ...parts];
  return { value, mark: k === worst.price && s === worst.volatility ? "binding" : "", content: tell(null, value, "signed", "scenario_pnl", { inputs }) };
}

function extremeCell(tell, unit, path, column, { worst }) {
  if (column.key !== "all" && column.place !== worst.volatility) return { value: 0, content: html`<span class="muted">not told</span>` };
  const inputs = [["max loss", unit.max_loss, "usd"]];
  return { value: -unit.max_loss, mark: column.key === "all" ? "" : "binding", content: tell(null, -unit.max_loss, "signed", "scenario_extreme", { inputs }) };
}

function sentence(unit, { worst }) {
  const rule = "The binding cell sets the max loss.";
  if (worst.price < 0) return `${rule} Here it is an extreme node, beyond the ordinary range: its loss counts at the weight that the parameter set gives it. Other extreme nodes are not told.`;
  if (!(unit.max_loss > 0)) return `${rule} No scenario loses, so there is none. Extreme nodes, where the parameter set has them, lose nothing either.`;
  return `${rule} Extreme nodes beyond this range, where the parameter set has them, count at their weight and lose less here.`;
}
