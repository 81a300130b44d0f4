// Every pool on its own while all prices move together: which dies first, what to send where, what is left without a venue.
import { html, useMemo, useState } from "../html.js";
import { move, percent } from "../format.js";
import { Panel, Scroll } from "../panel.js";
import { Sample } from "../charts/curve.js";
import { Ratios } from "./ratio_scale.js";
import { Transfers } from "./venue_transfers.js";
import { Failures, Report, Told, drawnFrom, reportOf, stateOf, teller } from "./report.js";

const ABOUT = "Cash cannot be moved between venues in an instant, so every pool has to survive a move of the market on its own.";

export function Venues({ store, view }) {
  const told = reportOf(store, view);
  return useMemo(
    () => html`<${Panel} id="venues" title="Venues" wide about=${ABOUT} asOf=${told.asOf}>
      <${Report} told=${told}><${Body} told=${told} /><//></${Panel}>`,
    drawnFrom(told),
  );
}

const nameOf = (pool) => `${pool.venue} ${pool.account} ${pool.pool}`;

function Body({ told }) {
  const { venues } = told.row;
  const tell = teller("reports", told.id, stateOf(told.late, told.row.provenance));
  if (!venues.pools.length) return html`<${Failures} failures=${venues.failures} /><p class="empty">No pools: nothing can be liquidated.</p>`;
  const drawn = venues.pools.map((pool, number) => ({ name: nameOf(pool), values: pool.ratios, number })).filter((one) => one.values.length);
  return html`<div class="columns">
      <div><section aria-labelledby="venue-moves"><h3 id="venue-moves">Ratio of each pool over a move of all coins together</h3>
        ${drawn.length ? html`<${Ratios} label=${`Ratio of each pool after a move of all coins together. ${drawn.map((one) => summary(one, venues)).join(" ")}`}
          moves=${venues.moves} series=${drawn} height=${260} axis="move of all coins together" />` : ""}
        <${Figures} told=${told} venues=${venues} tell=${tell} /></section>
        <section aria-labelledby="venue-send"><h3 id="venue-send">What to send where</h3><${Transfers} told=${told} venues=${venues} /></section></div>
      <div><section aria-labelledby="venue-first"><h3 id="venue-first">Which dies first</h3>
        <${First} tell=${tell} venues=${venues} />
        <${Pools} tell=${tell} venues=${venues} /></section>
        <section aria-labelledby="venue-out"><h3 id="venue-out">If a venue were gone</h3><${VenueOut} told=${told} /></section></div>
    </div>`;
}

function summary({ name, values }, { moves }) {
  const at = (place) => `${percent(values.at(place))} at ${move(moves.at(place), 0)}`;
  return `${name}: ${at(0)}, ${percent(values[moves.indexOf(0)])} now, ${at(-1)}.`;
}

function First({ tell, venues }) {
  const rest = venues.complete ? "" : " Pools without a figure are not among them.";
  return html`<ul class="first">${["down", "up"].map((side) => {
    const first = venues[`first_${side}`];
    if (!first) return html`<li key=${side}>${side === "down" ? "Down" : "Up"}: no pool is liquidated ${side === "down" ? "down to −99%"
      : "up to +400%"}.${rest}</li>`;
    const at = tell(`venues.first_${side}.move`, first.move, "move", "first_to_die", { inputs: [["pool", nameOf(first), "plain"]] });
    return first.move === 0 ? html`<li key=${side}><strong>${nameOf(first)}</strong> is at its limit now, ${at}.${rest}</li>`
      : html`<li key=${side}>${side === "down" ? "Down" : "Up"}: <strong>${nameOf(first)}</strong> first, at ${at}.${rest}</li>`;
  })}</ul>`;
}

function Pools({ tell, venues }) {
  return html`<${Scroll} label="Pools and the moves that liquidate them, table"><table class="figures"><caption>Liquidated at, all coins together</caption>
    <thead><tr><th scope="col">Pool</th><th scope="col" class="n">Ratio now</th><th scope="col" class="n">Down</th><th scope="col" class="n">Up</th>
      </tr></thead>
    <tbody>${venues.pools.map((pool, place) => html`<tr key=${nameOf(pool)}><th scope="row">
      <${Sample} number=${place} /> ${pool.account} <span class="muted">${pool.venue} ${pool.pool}</span>
        ${pool.assumed ? html`<span class="tag" title="Taken as one cross pool at its instruments' tiers: its venue has no rule here">assumed</span>` : ""}</th>
      ${pool.failures.length ? html`<td colspan="3"><${Failures} failures=${pool.failures} /></td>`
        : html`<td class="n">${tell(`venues.pools.${place}.ratio`, pool.ratio, "percent", "margin_ratio")}</td>
          <td class="n">${tell(`venues.pools.${place}.down`, pool.down, "move", "dies_at", { reason: "none to −99%" })}</td>
            <td class="n">${tell(`venues.pools.${place}.up`, pool.up, "move", "dies_at", { reason: "none to +400%" })}</td>`}</tr>`)}</tbody>
            </table></${Scroll}>
    ${venues.pools.some((pool) => pool.assumed)
      ? html`<p class="note">Assumed: the pool is taken as one cross pool at its instruments' tiers, because its venue's rule or its pools are not known here.</p>` : ""}`;
}

function Figures({ venues, tell }) {
  const [open, setOpen] = useState(false);
  const pools = venues.pools.map((pool, place) => ({ ...pool, place })).filter((pool) => pool.ratios.length);
  return html`<details onToggle=${(event) => setOpen(event.currentTarget.open)}><summary>The figures of this chart</summary>
    ${open ? html`<${Scroll} label="Ratio of each pool over a move, table"><table class="figures"><caption>Ratio after a move of all coins together</caption>
      <thead><tr><th scope="col" class="n">Move</th>
        ${pools.map((pool) => html`<th scope="col" class="n" key=${pool.place}>${pool.account} ${pool.pool}</th>`)}</tr></thead>
      <tbody>${venues.moves.map((at, row) => html`<tr key=${at}><th scope="row" class="n">${tell(`venues.moves.${row}`, at, "move", "curve_move")}</th>
        ${pools.map((pool) => html`<td class="n"
          key=${pool.place}>${tell(`venues.pools.${pool.place}.ratios.${row}`, pool.ratios[row], "percent", "ratio_there")}</td>`)}</tr>`)}</tbody>
            </table></${Scroll}>` : ""}</details>`;
}

function VenueOut({ told }) {
  const state = stateOf(told.late, told.row.provenance);
  const tell = teller("reports", told.id, state);
  const rows = Object.entries(told.row.venue_out);
  return html`<${Scroll} label="If a venue were gone, table"><table class="figures">
    <caption>The rest of the portfolio with that venue's positions and equity gone, USD</caption>
    <thead><tr><th scope="col">Without</th><th scope="col" class="n">Equity</th><th scope="col" class="n">Requirement</th>
      <th scope="col" class="n">Ratio</th><th scope="col" class="n">Excess</th><th scope="col">Level</th></tr></thead>
    <tbody>${rows.map(([venue, rest]) => html`<tr key=${venue}><th scope="row">${venue}</th>
      ${rest.status === "failed" ? html`<td colspan="5"><${Failures} failures=${rest.failures} /></td>`
        : html`<td class="n">${tell(`venue_out.${venue}.equity`, rest.equity, "usd", "rest_equity")}</td>
          <td class="n">${tell(`venue_out.${venue}.maintenance_margin`, rest.maintenance_margin, "usd", "rest_margin")}</td>
          <td class="n">${tell(`venue_out.${venue}.margin_ratio`, rest.margin_ratio, "percent", "rest_ratio",
            { inputs: [["requirement", rest.maintenance_margin, "usd"], ["equity", rest.equity, "usd"]] })}</td>
          <td class="n">${tell(`venue_out.${venue}.excess`, rest.excess, "signed", "rest_excess")}</td>
            <td><${Told} level=${rest.level} state=${state} /></td>`}</tr>`)}</tbody></table></${Scroll}>`;
}
