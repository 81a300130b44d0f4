// The portfolio after a move of the price: what it earns or loses, and how full it is, with the moves at which the levels are crossed.
import { html, useState } from "../html.js";
import { money, move, number, percent } from "../format.js";
import { SHAPES } from "../level.js";
import { Curve } from "../charts/curve.js";
import { Scroll } from "../panel.js";
import { Failures, stateOf, stressOf, teller } from "./report.js";
import { Ratios } from "./ratio_scale.js";

const TARGETS = [["0.85", "warning", "85%"], ["0.9", "critical", "90%"], ["1.0", "liquidation", "100%"]];

export function ScenarioCurve({ told, coin }) {
  const [scope, setScope] = useState("all");
  const [stress, prefix] = stressOf(told.row);
  if (!stress.distance) return html`<${Failures} failures=${stress.failures}
    what="No curve" />${stress.failures?.length ? "" : html`<p class="empty">No curve: the ratio is unknown.</p>`}`;
  const key = scope === "all" || !stress.distance[coin] ? "all" : coin;
  const what = key === "all" ? "all coins together" : `${key} alone`;
  const scopes = ["all", stress.distance[coin] && coin].filter(Boolean);
  return html`<div class="choice" role="group"
    aria-label="What moves">${scopes.map((one) => html`<button type="button" key=${one} aria-pressed=${key === one}
      onClick=${() => setScope(one)}>${one === "all" ? "all coins together" : `${one} alone`}</button>`)}</div>
    <${Crossings} told=${told} ratio=${stress.margin_ratio} distance=${stress.distance[key]} path=${`${prefix}distance.${key}`} what=${what} />
    ${stress.curve?.[key] ? html`<${Charts} told=${told} curve=${stress.curve[key]} path=${`${prefix}curve.${key}`} distance=${stress.distance[key]}
      what=${what} />` : html`<p class="empty">The monitor tells no curve of this portfolio yet.</p>`}`;
}

function Crossings({ told, ratio, distance, path, what }) {
  const tell = teller("reports", told.id, stateOf(told.late, told.row.provenance));
  const over = TARGETS.some(([key]) => (number(ratio) ?? 0) >= Number(key));
  return html`<table class="crossings"><caption>Where the ratio crosses a level, ${what}.${over
    ? " Of a level that is reached already: where it falls below it." : ""}</caption>
    <thead><tr><th scope="col">Level</th><th scope="col" class="n">Down</th><th scope="col" class="n">Up</th></tr></thead>
    <tbody>${TARGETS.map(([key, level, text]) => html`<tr key=${key}><th scope="row"><span aria-hidden="true">${SHAPES[level]}</span> ${text}</th>
      ${["down", "up"].map((side) => html`<td class="n"
        key=${side}>${tell(`${path}.${key}.${side}`, distance[key][side], "move", "crossing",
          { reason: side === "down" ? "none down to −99%" : "none up to +400%", inputs: [["level", text, "plain"]] })}</td>`)}</tr>`)}</tbody></table>`;
}

function Charts({ told, curve, path, distance, what }) {
  const marks = marksOf(distance);
  const pnl = gains(curve);
  const known = pnl.filter((one) => one !== null);
  const span = [Math.min(0, ...known), Math.max(0, ...known)];
  const room = (span[1] - span[0]) * 0.05 || 1;
  const scale = { from: span[0] - (span[0] < 0 ? room : 0), to: span[1] + room, format: (value) => (value === 0 ? "0" : money(value)) };
  return html`<h4>Profit and loss, USD</h4>
    <${Curve} label=${`Profit and loss of the portfolio ${ends(curve.moves, pnl, money, what)}`}
      moves=${curve.moves} series=${[{ name: "P&L", values: pnl }]} marks=${marks} scale=${scale} axis=${`move of ${what}`} />
    <h4>Ratio, requirement over equity</h4>
    <${Ratios} label=${`Ratio of the portfolio ${ends(curve.moves, curve.margin_ratio, percent, what)}`}
      moves=${curve.moves} series=${[{ name: "ratio", values: curve.margin_ratio }]} marks=${marks} height=${190} axis=${`move of ${what}`} />
    <${Figures} told=${told} curve=${curve} pnl=${pnl} path=${path} what=${what} />`;
}

function ends(moves, values, shown, what) {
  const at = (place) => `${shown(values.at(place))} at ${move(moves.at(place), 0)}`;
  return `after a move of ${what}, from ${at(0)} to ${at(-1)}. Figures in the table below.`;
}

function marksOf(distance) {
  const found = TARGETS.flatMap(([key, level, text]) => ["down", "up"].map((side) => ({ at: distance[key][side], level, text })));
  return found.filter((one) => one.at !== null).map((one) => ({ ...one, text: `${one.text} ${move(one.at)}` }));
}

// equity after the move less equity now
function gains({ moves, equity }) {
  const now = number(equity[moves.indexOf(0)]);
  return equity.map((one) => (number(one) === null || now === null ? null : number(one) - now));
}

function Figures({ told, curve, pnl, path, what }) {
  const [open, setOpen] = useState(false);
  const tell = teller("reports", told.id, stateOf(told.late, told.row.provenance));
  const now = curve.equity[curve.moves.indexOf(0)];
  return html`<details onToggle=${(event) => setOpen(event.currentTarget.open)}><summary>The figures of both charts</summary>
    ${open ? html`<${Scroll} label="Portfolio over price, table"><table class="figures"><caption>After a move of ${what}</caption>
      <thead><tr><th scope="col" class="n">Move</th><th scope="col" class="n">P&L</th><th scope="col" class="n">Equity</th>
        <th scope="col" class="n">Requirement</th><th scope="col" class="n">Ratio</th></tr></thead>
      <tbody>${curve.moves.map((at, place) => html`<tr key=${at}><th scope="row" class="n">${tell(`${path}.moves.${place}`, at, "move", "curve_move")}</th>
        <td class="n">${tell(null, pnl[place], "signed", "curve_pnl",
          { inputs: [["equity there", curve.equity[place], "usd"], ["equity now", now, "usd"]] })}</td>
        <td class="n">${tell(`${path}.equity.${place}`, curve.equity[place], "usd", "curve_equity")}</td>
        <td class="n">${tell(`${path}.maintenance_margin.${place}`, curve.maintenance_margin[place], "usd", "curve_margin")}</td>
        <td class="n">${tell(`${path}.margin_ratio.${place}`, curve.margin_ratio[place], "percent", "curve_ratio",
          { inputs: [["requirement", curve.maintenance_margin[place], "usd"], ["equity", curve.equity[place], "usd"]] })}</td>
          </tr>`)}</tbody></table></${Scroll}>` : ""}</details>`;
}
