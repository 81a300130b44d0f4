// What was told lately, and what became of it at each receiver: the stream has the alerts, the API their deliveries and older ones.
import { html, useEffect, useRef, useState } from "../html.js";
import { get } from "../api.js";
import { Num } from "../number.js";
import { Level } from "../level.js";
import { More, Time, Trouble } from "./desk.js";
import { Delivery, wordOf } from "./alerts_words.js";

const PAGE = 100;
const SHOWN = 8;
const GAP_MS = 1000;
const PENDING_MS = 4000; // a delivery takes a moment

export function Told({ store, marked }) {
  const { told, error, ended, older } = useHistory(store);
  const [all, setAll] = useState(false);
  const rows = [...told.values()].sort((one, other) => other.time_ms - one.time_ms || other.id.localeCompare(one.id));
  const first = rows.find((row) => row.key === marked)?.id;
  const shown = all ? rows : rows.filter((row, place) => place < SHOWN || row.id === first);
  return html`<h3>Told lately <span class="tally">${rows.length}</span></h3>
    ${error && html`<${Trouble}>Who got what cannot be read: ${error}</${Trouble}>`}
    ${!rows.length && html`<p class="empty">Nothing was told yet.</p>`}
    <ol class="told">${shown.map((row) => html`<${Row} key=${row.id} ...${{ row, marked: row.key === marked, nowMs: store.nowMs() }} />`)}</ol>
    <p class="tools">
      ${rows.length > SHOWN && html`<${More} all=${all} onChange=${setAll} fewer=${`Show the newest ${SHOWN} only`} more=${`Show all ${rows.length}`} />`}
      ${rows.length > 0 && (all || rows.length <= SHOWN) && html`<${Older} ended=${ended} onOlder=${() => (setAll(true), older())} />`}
    </p>`;
}

function Older({ ended, onOlder }) {
  return ended ? html`<span class="note">There are no older ones.</span>` : html`<button type="button" class="more" onClick=${onOlder}>Older</button>`;
}

function Row({ row, marked, nowMs }) {
  const [open, setOpen] = useState(false);
  const isPlain = row.change === "fired" || row.change === "resolved"; // its word says it already
  const word = row.change === "resolved" ? "resolved" : wordOf(row);
  return html`<li class=${marked ? "told-row is-marked" : "told-row"}>
    <span class="told-change"><span class="told-time"><${Time} ms=${row.time_ms} nowMs=${nowMs} /></span> <${Level} level=${row.level} word=${word} />
      ${!isPlain && html` <span class="muted">${row.change}</span>`}</span>
    <span class="told-text">${row.text} ${" "}
      <button type="button" class="link" aria-expanded=${open} aria-label=${`Details of ${row.text}`} onClick=${() => setOpen(!open)}>
        ${open ? "less" : "details"}</button>
      ${open && html`<${Details} row=${row} />`}</span>
    <span class="told-deliveries"><${Deliveries} deliveries=${row.deliveries} /></span>
  </li>`;
}

function Deliveries({ deliveries }) {
  if (!deliveries) return html`<span class="muted">deliveries not known</span>`;
  if (!deliveries.length) return html`<span class="muted">no receiver takes it</span>`;
  return deliveries.map((one) => html`<${Delivery} key=${one.receiver} ...${one} />`);
}

function Details({ row }) {
  return html`<ul class="details">${row.ratio !== null && html`<li>ratio <${Ratio} row=${row} /></li>`}
    ${row.details.map((line) => html`<li key=${line}>${line}</li>`)}<li><code>${row.key}</code></li></ul>`;
}

function Ratio({ row }) {
  return html`<${Num} of="recent" id=${row.id} path="ratio" value=${row.ratio} as="percent" figure="alert_ratio" state=${row.frozen ? "stale" : ""}
    inputs=${[["when the level was reached", row.ratio_at_crossing, "percent"]]} />`;
}

// alerts by id: those of the stream, with what the API adds to them
function useHistory(store) {
  const [read, setRead] = useState(new Map());
  const [error, setError] = useState("");
  const [ended, setEnded] = useState(false);
  const timer = useRef(0);
  const load = async (beforeMs) => {
    try {
      const { history } = await get(`/api/v1/alerts?limit=${PAGE}${beforeMs === undefined ? "" : `&before_ms=${beforeMs}`}`);
      setRead((before) => new Map([...before, ...history.map((row) => [row.id, row])]));
      setError("");
      return history;
    } catch (problem) {
      setError(problem.message);
      return [];
    }
  };
  const refresh = async () => {
    const history = await load();
    const waiting = history.some((row) => row.deliveries?.some((one) => one.outcome === "pending"));
    if (waiting) timer.current = setTimeout(refresh, PENDING_MS);
  };
  const recent = store.sections.recent ?? {};
  const newest = Object.keys(recent).sort().join("\n");
  useEffect(() => {
    timer.current = setTimeout(refresh, read.size ? GAP_MS : 0);
    return () => clearTimeout(timer.current);
  }, [newest]);
  const told = new Map([...Object.entries(recent), ...read]);
  const older = async () => {
    // those of the same millisecond as the oldest come again, and are known by their id
    const oldestMs = Math.min(...[...told.values()].map((row) => row.time_ms)) + 1;
    const history = await load(oldestMs);
    if (history.every((row) => told.has(row.id))) setEnded(true);
  };
  return { told, error, ended, older };
}
