// Which position costs what: the portfolio's requirement taken apart, position by position.
import { html, useMemo, useState } from "../html.js";
import { Panel, Scroll } from "../panel.js";
import { SignedBar } from "../charts/bars.js";
import { Failures, Report, drawnFrom, reportOf, stateOf, stressOf, teller } from "./report.js";

const ABOUT = "What each position adds to the requirement at the worst scenario (+) or takes off it as a hedge (−).";
const NO_LEG = "balance, no leg";
const NOTHING = 0.005; // USD

const COLUMNS = [
  { key: "name", title: "Position" },
  { key: "contribution", title: "Contribution", as: "signed", figure: "contribution" },
  { key: "standalone", title: "Alone", as: "usd", figure: "standalone_margin" },
  { key: "benefit", title: "Hedge benefit", as: "signed", figure: "leg_hedge_benefit" },
  { key: "leave_one_out", title: "Left out", as: "signed", figure: "leave_one_out" },
  { key: "notional", title: "Notional", as: "usd", figure: "leg_notional" },
  { key: "quantity", title: "Quantity", as: "quantity", figure: "leg_quantity" },
];

export function Contribution({ store, view }) {
  const told = reportOf(store, view);
  return useMemo(
    () => html`<${Panel} id="contribution" title="Position contribution" wide about=${ABOUT} asOf=${told.asOf}>
      <${Report} told=${told}><${Body} told=${told} /><//></${Panel}>`,
    drawnFrom(told),
  );
}

function Body({ told }) {
  const [sort, setSort] = useState({ key: "contribution", down: true });
  const units = told.row.units.map((unit, place) => ({ ...unit, path: `units.${place}`, state: stateOf(told.late, unit.provenance) }));
  const failed = units.filter((unit) => unit.status === "failed");
  const valued = units.filter((unit) => unit.status !== "failed");
  const legs = sorted(valued.flatMap(legsOf), sort);
  const extent = Math.max(0, ...legs.map((leg) => Math.abs(leg.contribution)));
  return html`${failed.length ? "" : html`<${Failures} failures=${told.row.failures}
    what="No figure for the portfolio" />`}${failed.map((unit) => html`<${Failures} key=${unit.coin} failures=${unit.failures}
      what=${`No figure for ${unit.coin}`} />`)}
    ${legs.length ? html`<${Scroll} label="Position contribution, table"><table class="figures contribution">
        <caption>${legs.length} ${legs.length === 1 ? "row" : "rows"}, USD. + adds to the requirement, − takes off it.</caption>
        <${Head} sort=${sort} setSort=${setSort} />
        <tbody>${legs.map((leg) => html`<${Leg} key=${leg.path} leg=${leg} extent=${extent} id=${told.id} />`)}</tbody>
        <${Totals} told=${told} units=${valued} />
      </table></${Scroll}>` : failed.length || told.row.failures.length ? "" : html`<p class="empty">No positions: nothing contributes.</p>`}`;
}

function legsOf(unit) {
  return unit.positions.map((leg, place) => ({
    ...leg,
    name: `${leg.instrument} ${leg.account ?? ""} ${leg.side ?? ""}`,
    benefit: leg.standalone === null ? null : leg.standalone - leg.contribution,
    path: `${unit.path}.positions.${place}`,
    state: unit.state,
    coin: unit.coin,
    worst: unit.worst,
  }));
}

// by size, since a large hedge matters as much as a large risk; unknown ones last
function sorted(legs, { key, down }) {
  const size = (leg) => (leg[key] === null ? -1 : Math.abs(leg[key]));
  const order = key === "name" ? (a, b) => b.name.localeCompare(a.name) : (a, b) => size(b) - size(a);
  return legs.toSorted((a, b) => (down ? order(a, b) : order(b, a)));
}

function Head({ sort, setSort }) {
  const choose = (key) => setSort({ key, down: sort.key === key ? !sort.down : key !== "name" });
  const direction = (key) => (sort.key !== key ? undefined : sort.down ? "descending" : "ascending");
  return html`<thead><tr>${COLUMNS.map(({ key, title }) => html`<th scope="col" class=${key === "name" ? "" : "n"} key=${key} aria-sort=${direction(key)}>
    <button type="button" class="sort" onClick=${() => choose(key)}>${title} <span
      aria-hidden="true">${sort.key !== key ? "↕" : sort.down ? "↓" : "↑"}</span></button></th>`)}</tr></thead>`;
}

function Leg({ leg, extent, id }) {
  const tell = teller("reports", id, leg.state);
  const inputs = {
    contribution: [["worst price move", leg.worst.price, "move"], ["worst volatility shock", leg.worst.vol, "move"]],
    benefit: [["alone", leg.standalone, "usd"], ["contribution", leg.contribution, "signed"]],
  };
  const [name, owner] = whose(leg);
  return html`<tr><th scope="row"><span class="instrument">${name}</span> <span class="muted">${owner}</span></th>
    ${COLUMNS.slice(1).map(({ key, as, figure }) => html`<td class=${key === "contribution" ? "n barred" : "n"}
      key=${key}>${key === "contribution" ? html`<${SignedBar} value=${leg.contribution} extent=${extent} />` : ""}
      ${tell(key === "benefit" ? null : `${leg.path}.${key}`, leg[key], as, figure, { inputs: inputs[key], reason: NO_LEG })}
      ${key === "quantity" && isInUsd(leg) ? html` <span class="muted">USD</span>` : ""}</td>`)}</tr>`;
}

// of an inverse contract the quantity is its notional
const isInUsd = ({ quantity, notional }) => quantity !== 0 && Math.abs(quantity) === notional;

function whose({ instrument, account, side, coin }) {
  if (account !== null) return [instrument, [account, side].filter(Boolean).join(", ")];
  return [instrument.startsWith("spot:") ? `hedging spot ${coin}` : `collateral in ${coin}`, "all accounts"];
}

const sum = (rows, key) => rows.reduce((total, row) => total + (row[key] ?? 0), 0);

function Totals({ told, units }) {
  const [stress, prefix] = stressOf(told.row);
  return html`<tfoot>${units.map((unit) => html`<${CoinTotal} key=${unit.coin} id=${told.id} unit=${unit} />`)}
    ${stress.maintenance_margin === null ? "" : html`<${Bridge} told=${told} units=${units} />
      <${Whole} told=${told} units=${units} stress=${stress} path=${`${prefix}maintenance_margin`} />`}</tfoot>`;
}

function CoinTotal({ id, unit }) {
  const tell = teller("reports", id, unit.state);
  const legs = unit.positions.filter((leg) => leg.account !== null);
  const [alone, parts] = [sum(unit.positions, "standalone"), sum(unit.positions, "contribution")];
  const margin = unit.maintenance_margin;
  return html`<tr class="subtotal"><th scope="row">${unit.coin} <span class="muted">sum of its rows</span></th>
    <td class="n">${tell(`${unit.path}.maintenance_margin`, margin, "signed", "unit_margin", { inputs: [["sum of contributions", parts, "signed"]] })}</td>
    <td class="n">${tell(null, alone, "usd", "standalone_sum")}</td>
    <td class="n">${tell(null, alone - margin, "signed", "leg_hedge_benefit",
      { inputs: [["alone", alone, "usd"], ["requirement of the coin", margin, "usd"]] })}</td>
    <td class="n"></td><td class="n">${tell(null, sum(legs, "notional"), "usd", "gross_notional")}</td><td class="n"></td></tr>`;
}

// from the coins' requirements to the portfolio's: only what is not nothing
function Bridge({ told, units }) {
  const { row, id, late } = told;
  const tell = teller("reports", id, stateOf(late, row.provenance));
  const offset = row.loss.shift - row.loss.sum;
  const parts = [
    ["offset between coins", null, offset, "coin_offset", [["loss, sum", row.loss.sum, "usd"], ["loss, shifted", row.loss.shift, "usd"]]],
    ["liquidity", "liquidity", row.liquidity, "liquidity_charge"],
    ["safety buffer", "buffer", row.buffer, "buffer"],
    ["borrowed assets", "borrow", row.borrow, "borrow"],
  ].filter(([, , value]) => Math.abs(value) >= NOTHING);
  return html`${parts.map(([name, path, value, figure, inputs]) => html`<tr key=${name} class="bridge">
    <th scope="row">${value < 0 ? "less" : "plus"} ${name}</th>
      <td class="n">${tell(path, value, "signed", figure, { inputs })}</td><td class="n"></td><td class="n"></td><td class="n"></td>
        <td class="n"></td><td class="n"></td></tr>`)}
    ${parts.length || units.length < 2 ? "" : html`<tr class="bridge"><th scope="row">offset between coins, liquidity, buffer, borrowed</th>
      <td class="n">${tell(null, offset, "signed", "coin_offset", { note: "This parameter set takes nothing off and adds nothing." })}</td>
      <td class="n"></td><td class="n"></td><td class="n"></td><td class="n"></td><td class="n"></td></tr>`}`;
}

function Whole({ told, units, stress, path }) {
  const { row, id, late } = told;
  const tell = teller("reports", id, stateOf(late, row.provenance));
  const alone = units.reduce((total, unit) => total + sum(unit.positions, "standalone"), 0);
  const margin = stress.maintenance_margin;
  return html`<tr class="total"><th scope="row">Portfolio requirement</th>
    <td class="n">${tell(path, margin, "signed", "portfolio_maintenance_margin",
      { inputs: units.map((unit) => [unit.coin, unit.maintenance_margin, "usd"]) })}</td>
    <td class="n">${tell(null, alone, "usd", "standalone_sum")}</td>
    <td class="n">${tell("hedge_benefit", row.hedge_benefit, "signed", "hedge_benefit",
      { inputs: [["sum alone", alone, "usd"], ["requirement", margin, "usd"]] })}</td>
    <td class="n"></td><td class="n">${tell("gross_notional", row.gross_notional, "usd", "gross_notional",
      { inputs: [["net notional", row.net_notional, "signed"]] })}</td><td class="n"></td></tr>`;
}
