// What brings all pools to one ratio: sentences of who sends whom, and the amounts in each pool's own token.
import { html } from "../html.js";
import { signed } from "../format.js";
import { Scroll } from "../panel.js";
import { Failures, stateOf, teller } from "./report.js";

const NOTHING = 0.005; // USD
const NO_HELP = "No transfer helps: the pools together have no equity left against their requirement. Only cash from outside or smaller positions do.";

export function Transfers({ told, venues }) {
  if (venues.failures.length) return html`<${Failures} failures=${venues.failures} what="Not known" />`;
  if (venues.common_ratio === "Infinity") return html`<p>${NO_HELP}</p>`;
  if (!venues.transfers.length) return html`<p class="empty">Nothing to send: no pool has a requirement.</p>`;
  const tell = teller("reports", told.id, stateOf(told.late, told.row.provenance));
  const steps = pairs(venues.transfers);
  const step = ({ from, to, usd }) => html`<li key=${`${named(from)} ${named(to)}`}>Send ${tell(null, usd, "usd", "transfer_step")} USD from
    ${" "}<strong>${named(from)}</strong> to <strong>${named(to)}</strong>.</li>`;
  return html`${steps.length ? html`<ol class="steps">${steps.map(step)}</ol>` : html`<p>Nothing to send: the pools stand at one ratio already.</p>`}
    <p class="note">Then every pool stands at ${tell("venues.common_ratio", venues.common_ratio, "percent", "common_ratio")}. Whether a venue would let it out is not looked at; the monitor sends nothing.</p>
    <${Scroll} label="What each pool gets or gives, table"><table class="figures"><caption>+ the pool gets, − it gives</caption>
      <thead><tr><th scope="col">Pool</th><th scope="col" class="n">USD</th><th scope="col" class="n">In its token</th></tr></thead>
      <tbody>${venues.transfers.map((one, place) => html`<tr key=${named(one)}>
        <th scope="row">${one.account} <span class="muted">${one.venue} ${one.pool}</span></th>
        <td class="n">${tell(`venues.transfers.${place}.usd`, one.usd, "signed", "transfer_usd")}</td>
        <td class="n">${tell(`venues.transfers.${place}.amount`, one.amount, "signed", "transfer_amount",
          { note: one.asset, text: signed(one.amount, one.asset) })}</td>
          </tr>`)}</tbody></table></${Scroll}>`;
}

const named = (one) => `${one.venue} ${one.account} ${one.pool}`;

// the largest giver to the largest taker, until nothing is left
function pairs(transfers) {
  const open = (sign) => transfers.filter((one) => sign * one.usd > NOTHING).map((one) => ({ one, left: Math.abs(one.usd) })).sort((a, b) => b.left - a.left);
  const [givers, takers, steps] = [open(-1), open(1), []];
  while (givers.length && takers.length) {
    const usd = Math.min(givers[0].left, takers[0].left);
    steps.push({ from: givers[0].one, to: takers[0].one, usd });
    for (const side of [givers, takers]) {
      side[0].left -= usd;
      if (side[0].left <= NOTHING) side.shift();
    }
  }
  return steps;
}
