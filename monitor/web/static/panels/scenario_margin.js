// What one coin requires, part by part, and the families that the portfolio's scenario loss falls into.
import { html } from "../html.js";
import { Bar } from "../charts/bars.js";
import { Failures, stateOf, stressOf, teller } from "./report.js";

const CONTINGENCIES = {
  short_option: "short options",
  vega_spread: "vega spread",
  stablecoin_spread: "stablecoin spread",
  delta_spread: "delta spread",
  spot_basis: "spot basis",
  perpetual_future: "perpetuals and futures",
};

const GROUPS = { positions: "positions only", buy_orders: "positions and buy orders", sell_orders: "positions and sell orders" };

export function UnitMargin({ told, unit, path, state }) {
  const tell = teller("reports", told.id, state);
  const parts = [
    ["max loss", `${path}.max_loss`, unit.max_loss, "max_loss",
      [["worst price move", unit.worst.price, "move"], ["worst volatility shock", unit.worst.vol, "move"]]],
    ...Object.entries(CONTINGENCIES).map(([key, name]) => [name, `${path}.contingency.${key}`, unit.contingency[key], key]),
    ["order loss", `${path}.order_loss`, unit.order_loss, "order_loss"],
  ];
  const inputs = parts.map(([name, , value]) => [name, value, "usd"]);
  return html`<table class="parts"><caption>USD. Binding: ${GROUPS[unit.binding_orders] ?? unit.binding_orders}.</caption>
    <thead><tr><th scope="col">Part</th><th scope="col" class="bars">of the requirement</th><th scope="col" class="n">Amount</th></tr></thead>
    <tbody>${parts.map(([name, at, value, figure, from]) => html`<tr key=${name}><th scope="row">${name}</th>
      <td><${Bar} value=${value} extent=${unit.maintenance_margin} /></td><td class="n">${tell(at, value, "usd", figure, { inputs: from })}</td></tr>`)}</tbody>
    <tfoot><tr class="total"><th scope="row" colspan="2">maintenance margin of ${unit.coin}</th>
      <td class="n">${tell(`${path}.maintenance_margin`, unit.maintenance_margin, "usd", "unit_margin", { inputs })}</td></tr>
      <tr><th scope="row" colspan="2">initial margin of ${unit.coin}</th>
        <td class="n">${tell(`${path}.initial_margin`, unit.initial_margin, "usd", "unit_initial",
          { inputs: [["maintenance margin", unit.maintenance_margin, "usd"]] })}</td></tr></tfoot></table>
    <dl class="facts">${greeks(unit).map(([name, key, as, figure]) => html`<div key=${key}><dt>${name}</dt>
      <dd>${tell(`${path}.${key}`, unit[key], as, figure)}</dd></div>`)}</dl>`;
}

const greeks = (unit) => [
  [`delta, ${unit.coin}`, "delta", "quantity", "unit_delta"],
  ["gamma", "gamma", "quantity", "unit_gamma"],
  ["vega, USD", "vega", "signed", "unit_vega"],
  [`hedging spot, ${unit.coin}`, "hedging_spot", "quantity", "hedging_spot"],
];

const FAMILIES = [
  ["directional", "directional", "price alone"],
  ["volatility", "volatility", "what volatility adds to it"],
  ["correlation", "correlation", "of these: coins that stop hedging each other"],
  ["liquidity", "liquidity", "on top: the cost of getting out"],
];

export function Families({ told }) {
  const { row, id, late } = told;
  const [stress] = stressOf(row);
  if (!row.families || !row.loss) return html`<${Failures} failures=${stress.failures?.length ? stress.failures : row.failures} />`;
  const tell = teller("reports", id, stateOf(late, row.provenance));
  const { families, loss } = row;
  const extent = Math.max(...Object.values(families));
  const losses = [["each coin at its own worst", "sum"], ["all coins together", "joint"], ["counted", "shift"]];
  const inputs = losses.map(([name, key]) => [name, loss[key], "usd"]);
  return html`<table class="parts families"><caption>USD. Directional and volatility add up to the loss counted; liquidity comes on top.</caption>
    <thead><tr><th scope="col">Family</th><th scope="col" class="bars">size</th><th scope="col" class="n">Loss</th></tr></thead>
    <tbody>${FAMILIES.map(([name, key, means]) => html`<tr key=${key}><th scope="row">${name} <span class="muted">${means}</span></th>
      <td><${Bar} value=${families[key]} extent=${extent} kind=${key === "correlation" ? "within" : "plain"} /></td>
      <td class="n">${tell(`families.${key}`, families[key], "usd", `family_${key}`, { inputs })}</td></tr>`)}</tbody>
    <tfoot>${losses.map(([name, key]) => html`<tr key=${key} class=${key === "shift" ? "total" : ""}><th scope="row" colspan="2">loss, ${name}</th>
      <td class="n">${tell(`loss.${key}`, loss[key], "usd", `loss_${key}`, { inputs: key === "shift" ? inputs : [] })}</td></tr>`)}</tfoot></table>`;
}
