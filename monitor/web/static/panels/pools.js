// The pools of the risk summary, the worst first: no figure is not a good figure, and stands above all.
import { html, memo, useLayoutEffect, useRef, useState } from "../html.js";
import { Meter } from "../charts/meter.js";
import { clock, money, number, percent, quantity, wholeAge } from "../format.js";
import { Level, rank } from "../level.js";
import { Num } from "../number.js";
import { Scroll } from "../panel.js";

const SHOWN = 25;
const HOLD_MS = 4000; // rows keep their places for so long after the pointer or a key was at work among them
const HEADS = ["Pool", "Level", "Utilisation", "Equity", "Maintenance", "Initial", "Excess", "To safety", "Est. liquidation", "Next funding",
  "Data age", "What the venue does next"];
const FIGURES = new Set(["Equity", "Maintenance", "Initial", "Excess", "To safety", "Est. liquidation", "Next funding", "Data age"]);
const FIGURES_OF_MARGIN = ["margin_ratio", "equity", "maintenance_margin", "initial_margin", "excess"]; // where there is none of them the reason has their room

export function Pools({ store, view }) {
  const [filter, setFilter] = useState("");
  const [members, setMembers] = useState(false);
  const [all, setAll] = useState(false);
  const ordered = useOrder();
  const rows = store.rows("pools").filter(matching(store, view, filter, members));
  const pools = ordered.of(rows);
  const nowS = store.nowS();
  const addresses = new Map(store.row("monitor", "monitor").accounts.map((one) => [`${one.venue}/${one.id}`, one.address]));
  const table = useFocusKept();
  return html`<div class="tools pools-tools"><h3>Pools <span class="muted">${pools.length}</span></h3>
      <label>Filter <input type="search" id="pool-filter" value=${filter} placeholder="account, venue, mode"
        onInput=${(event) => setFilter(event.target.value)} /></label>
      <label><input type="checkbox" id="pool-members" checked=${members}
        onChange=${(event) => setMembers(event.target.checked)} /> only accounts of ${view.portfolio}</label></div>
    <${Scroll} label="Pools">
      <table class="sticky" id="pools" ref=${table} onPointerMove=${ordered.hold} onKeyDown=${ordered.hold}><thead><tr>
        ${HEADS.map((head) => html`<th key=${head} scope="col" class=${FIGURES.has(head) ? "n" : ""}>${head}</th>`)}</tr></thead>
      <tbody>${pools.filter(([id], place) => all || place < SHOWN || id === view.pool).map(([id, row]) => html`<${Pool} key=${id} id=${id} row=${row}
        chosen=${id === view.pool} choose=${view.setPool} address=${addresses.get(`${row.venue}/${row.account}`)}
        ageS=${row.data_at_s === null ? null : Math.max(0, Math.floor(nowS - row.data_at_s))} />`)}</tbody></table>
    <//>
    ${pools.length ? "" : html`<p class="empty">${rows.length || filter || members ? "No pool matches."
      : "No pool yet: accounts without positions and collateral have none."}</p>`}
    ${pools.length > SHOWN ? html`<button type="button" aria-expanded=${all}
      onClick=${() => setAll(!all)}>${all ? `Show the worst ${SHOWN} only` : `Show all ${pools.length}`}</button>` : ""}`;
}

function matching(store, view, filter, members) {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const monitor = store.row("monitor", "monitor");
  const accounts = members ? new Set(monitor.portfolios.find((one) => one.id === view.portfolio)?.accounts ?? []) : null;
  const tags = words.length ? new Map(monitor.accounts.map((one) => [`${one.venue}/${one.id}`, one.tags.join(" ")])) : null;
  return ([id, row]) => {
    if (accounts && !accounts.has(row.account)) return false;
    const text = words.length ? `${id} ${row.mode} ${row.asset} ${row.level ?? "no figure"} ${tags.get(`${row.venue}/${row.account}`) ?? ""}`.toLowerCase() : "";
    return words.every((word) => text.includes(word));
  };
}

function worstFirst(one, other) {
  const unknown = (rank(other.level) < 0) - (rank(one.level) < 0);
  return unknown || rank(other.level) - rank(one.level) || number(other.margin_ratio) - number(one.margin_ratio);
}

// rows that change places under the pointer cannot be read
function useOrder() {
  const kept = useRef({ order: new Map(), untilMs: 0 }).current;
  return {
    hold: () => (kept.untilMs = performance.now() + HOLD_MS),
    of(rows) {
      const sorted = [...rows].sort(([, one], [, other]) => worstFirst(one, other));
      if (performance.now() < kept.untilMs) sorted.sort(([one], [other]) => (kept.order.get(one) ?? -1) - (kept.order.get(other) ?? -1));
      kept.order = new Map(sorted.map(([id], index) => [id, index]));
      return sorted;
    },
  };
}

// a row that is moved within the table loses the focus
function useFocusKept() {
  const table = useRef(null);
  const focused = table.current?.contains(document.activeElement) ? document.activeElement : null;
  useLayoutEffect(() => {
    if (focused?.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
  });
  return table;
}

const Pool = memo(({ id, row, address, chosen, choose, ageS }) => {
  const state = [row.stale && "stale", row.reconciled === false && "unreconciled"].filter(Boolean).join(" ");
  const unit = /^USD|^DAI/.test(row.asset) ? "" : row.asset;
  const amount = (path, inputs) => html`<${Num} of="pools" id=${id} path=${path} value=${row[path]} figure=${path} inputs=${inputs}
    text=${money(row[path], unit)} note=${`in ${row.asset}`} />`;
  return html`<tr class=${chosen ? "is-chosen" : ""} data-pool=${id}>
    <th scope="row"><button type="button" class="plain" aria-pressed=${chosen} onClick=${() => choose(id)}>${row.account} / ${row.pool}</button>
      <span class="sub">${row.venue} · ${row.mode.replaceAll("_", " ")}</span>
      ${address ? html`<span class="sub"><${Num} value=${address} as="text" text=${`${address.slice(0, 6)}…${address.slice(-4)}`} figure="address" />
        </span>` : ""}</th>
    <td><${Level} level=${row.level} /></td>
    ${FIGURES_OF_MARGIN.every((path) => row[path] === null) ? html`<td colspan="6" class="why"><${NoFigure} id=${id} row=${row} /></td>` : html`
    <td>${row.margin_ratio === null
      ? html`<div class="why"><${NoFigure} id=${id} row=${row} /></div>`
      : html`<${Use} of="pools" id=${id} row=${row} figure="margin_ratio" state=${state} />`}</td>
    <td class="n">${amount("equity", [["maintenance margin", row.maintenance_margin, "money"], ["excess", row.excess, "money"]])}</td>
    <td class="n">${amount("maintenance_margin", [["positions", row.positions, "count"]])}</td>
    <td class="n">${amount("initial_margin", [["positions", row.positions, "count"]])}</td>
    <td class="n">${amount("excess", [["limit", row.limit, "plain"], ["equity", row.equity, "money"],
      ["maintenance margin", row.maintenance_margin, "money"]])}</td>
    <td class="n"><${Safety} id=${id} row=${row} amount=${amount} /></td>`}
    <td class="n"><${Liquidation} id=${id} row=${row} /></td>
    <td class="n"><${Funding} id=${id} row=${row} unit=${unit} /></td>
    <td class="n"><${Num} value=${ageS} as="age" text=${wholeAge(ageS)} figure="data_age" state=${row.stale ? "stale" : ""} /></td>
    <td class="why">${row.next ? html`<${Num} of="pools" id=${id} path="next" value=${row.next} as="text" text=${inShort(row.next, row.level)}
      figure="venue_next" />` : html`<span class="reason">unknown while there is no figure</span>`}</td>
  </tr>`;
});

// a utilisation with its bar, of a pool or a portfolio
export function Use({ of, id, row, figure, state }) {
  const levels = Object.entries(row.levels).map(([name, value]) => [name, value, "percent"]);
  const note = row.reconciled === false ? differs(row) : row.model_error
    ? `own valuation of the collateral was ${percent(Math.abs(row.model_error), 3)} from the venue's at its last read` : "";
  return html`<div class="use"><${Meter} ratio=${row.margin_ratio} level=${row.level} levels=${row.levels} />
    <${Num} of=${of} id=${id} path="margin_ratio" value=${row.margin_ratio} as="percent" figure=${figure} state=${state} note=${note}
      inputs=${[["maintenance margin", row.maintenance_margin, "money"], ["equity", row.equity, "money"], ...levels]} /></div>`;
}

const differs = (row) => `the venue's own figure differs${row.reported_difference === null ? ""
  : ` by ${percent(Math.abs(row.reported_difference), 3)}`}: check this pool at the venue`;

function NoFigure({ id, row }) {
  return html`<${Reasons} failures=${row.failures} stale=${row.stale} />
    ${row.last_margin_ratio === null ? "" : html` (<${Num} of="pools" id=${id} path="last_margin_ratio" value=${row.last_margin_ratio} as="percent"
      figure="last_margin_ratio" state="last known" />)`}`;
}

export function Reasons({ failures, stale }) {
  if (!failures.length) return html`<span class="reason">${stale ? "the data are stale" : "no reason told"}</span>`;
  return html`<span class="reason">${failures.map((one) => `${one.reason.toLowerCase().replaceAll("_", " ")}: ${one.detail}`).join("; ")}</span>`;
}

function Safety({ id, row, amount }) {
  const isNone = row.cash_to_safety === null && row.reduce === null;
  if (isNone) return row.level === null ? html`<span class="reason">–</span>`
    : html`<span class="muted">${row.level === "ok" ? "none needed" : "none suffices"}</span>`;
  const toSafety = [["warning level", row.levels.warning, "percent"], ["maintenance margin", row.maintenance_margin, "money"],
    ["equity", row.equity, "money"]];
  const reduce = row.reduce && html`<span class="sub">or <${Num} of="pools" id=${id} path="reduce.quantity"
    value=${row.reduce.quantity} as="quantity" text=${`${row.reduce.quantity > 0 ? "+" : ""}${quantity(row.reduce.quantity)}`}
    figure="reduce" inputs=${toSafety} note=${row.reduce.instrument} /> ${symbol(row.reduce.instrument)}</span>`;
  return html`${row.cash_to_safety === null ? "" : amount("cash_to_safety", toSafety)}${reduce}`;
}

function Liquidation({ id, row }) {
  if (row.liquidation_price === null) return html`<span
    class="muted">${row.level === null ? "–" : row.level === "liquidation" ? "reached" : "none found"}</span>`;
  return html`<${Num} of="pools" id=${id} path="liquidation_price" value=${row.liquidation_price} as="price" figure="liquidation_price"
    inputs=${[["distance", row.distance, "move"]]} note=${row.worst_instrument} />
    <span class="sub">${symbol(row.worst_instrument)} <${Num} of="pools" id=${id} path="distance" value=${row.distance} as="move" figure="distance"
      inputs=${[["estimated liquidation price", row.liquidation_price, "price"]]} note=${row.worst_instrument} /></span>`;
}

function Funding({ id, row, unit }) {
  const next = row.next_funding;
  if (!next) return html`<span class="muted">no perpetuals</span>`;
  if (next.amount === null) return html`<${Reasons} failures=${next.failures.slice(0, 1)} />`;
  const note = next.as_last_told ? "the rate is of the last time that it was told" : "";
  return html`<${Num} of="pools" id=${id} path="next_funding.amount" value=${next.amount} as="signed"
    text=${`${next.amount > 0 ? "+" : ""}${money(next.amount, unit)}`} figure="next_funding" note=${note}
    inputs=${[["ratio after it", next.ratio_after, "percent"]]} /><span class="sub">${clock(next.time_ms, { seconds: false })} UTC</span>`;
}

const symbol = (instrument) => instrument.slice(instrument.indexOf(":") + 1);

// the step that comes next; the whole of it stands in the tip
function inShort(text, level) {
  const steps = text.split("; ");
  return level === "liquidation" && steps.length > 1 ? steps[1] : steps[0];
}
