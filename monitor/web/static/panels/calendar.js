// What is due: funding, expiries, keys that expire, maintenance that venues announce.
import { html, useState } from "../html.js";
import { Panel } from "../panel.js";
import { Num } from "../number.js";
import { levelOf, ofPortfolio } from "../level.js";
import { age, clock, signed } from "../format.js";
import { More } from "./desk.js";

const KINDS = { funding: "funding", expiry: "expiry", key_expiry: "key expires", maintenance: "maintenance" };
const FILTERS = [["", "everything"], ["funding", "funding"], ["expiry", "expiries"], ["key_expiry", "keys"], ["maintenance", "maintenance"]];
const SHOWN = 10;
const STALE_MS = 60_000;
const DAY_MS = 86_400_000;

export function Calendar({ store }) {
  const [kind, setKind] = useState("");
  const [all, setAll] = useState(false);
  const calendar = store.row("calendar", "calendar");
  const nowMs = store.nowMs();
  const due = (calendar?.entries ?? []).map((entry, index) => ({ entry, index })).filter(({ entry }) => !kind || entry.kind === kind);
  const shown = all ? due : due.slice(0, SHOWN);
  const stale = calendar && nowMs - calendar.as_of_ms > STALE_MS;
  const filter = html`<label class="filter">Show <select value=${kind} onChange=${(event) => setKind(event.target.value)}>
    ${FILTERS.map(([value, word]) => html`<option key=${value} value=${value}>${word}</option>`)}</select></label>`;
  return html`<${Panel} id="calendar" title="Calendar" asOf=${calendar?.as_of_ms} actions=${filter}
    about="What is due, all times UTC. Ratios after an event are with everything else as it is now.">
    ${stale && html`<${Stale} asOfMs=${calendar.as_of_ms} nowMs=${nowMs} />`}
    ${!calendar && html`<p class="empty">The calendar is computed every 15 s; the first one is not there yet.</p>`}
    ${calendar && !due.length && html`<p class="empty">Nothing is due${kind ? " of this kind" : ""}.</p>`}
    ${days(shown, nowMs).map(([day, entries]) => html`<h3 class="day" key=${day}>${day}</h3>
      <ul class="due">${entries.map(({ entry, index }) => html`<${Entry} key=${keyOf(entry)} ...${{ store, entry, index, nowMs, stale }} />`)}</ul>`)}
    ${due.length > SHOWN && html`<${More} all=${all} onChange=${setAll} fewer=${`Show the next ${SHOWN} only`} more=${`Show all ${due.length}`} />`}
  </${Panel}>`;
}

function Stale({ asOfMs, nowMs }) {
  const told = `stale: as of ${clock(asOfMs, { now: nowMs })}, ${age((nowMs - asOfMs) / 1000)} ago`;
  return html`<p class="callout callout-stale"><span aria-hidden="true">◷</span> ${told}</p>`;
}

const keyOf = (entry) => [entry.kind, entry.time_ms, entry.portfolio, entry.venue, entry.account, entry.pool].join("|");

// entries come in the order of their time, those without one first
function days(due, nowMs) {
  const found = new Map();
  for (const one of due) {
    const day = dayOf(one.entry.time_ms, nowMs);
    found.set(day, [...(found.get(day) ?? []), one]);
  }
  return [...found];
}

function dayOf(ms, nowMs) {
  if (!ms) return "Now";
  const date = new Date(ms).toLocaleDateString("en-GB", { weekday: "short", day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
  const ahead = Math.floor(ms / DAY_MS) - Math.floor(nowMs / DAY_MS);
  return ahead === 0 ? `Today, ${date}` : ahead === 1 ? `Tomorrow, ${date}` : date;
}

function Entry({ store, entry, index, nowMs, stale }) {
  const figures = { funding: Funding, expiry: Expiry }[entry.kind];
  return html`<li>
    <span class="due-time">${entry.time_ms ? html`<${When} ms=${entry.time_ms} nowMs=${nowMs} />` : "announced"}</span>
    <span class="due-what"><strong>${KINDS[entry.kind] ?? entry.kind}</strong> ${whose(entry)} ${about(entry)}</span>
    <span class="due-figures">${figures && html`<${figures} ...${{ store, entry, index, state: stale ? "stale" : "" }} />`}
      ${(entry.failures ?? []).map((failure) => html`<span class="failure">${failure.reason}: ${failure.detail}</span>`)}</span>
  </li>`;
}

function When({ ms, nowMs }) {
  return html`<time datetime=${new Date(ms).toISOString()}>${hour(ms)}</time> <span class="muted">${until(ms, nowMs)}</span>`;
}

const hour = (ms) => new Date(ms).toISOString().slice(11, 16);

function until(ms, nowMs) {
  const left = (ms - nowMs) / 1000;
  return left > 0 ? `in ${age(left)}` : "passed";
}

const whose = (entry) => (entry.portfolio ? `portfolio ${entry.portfolio}` : [entry.account, entry.pool, entry.venue].filter(Boolean).join(" · "));

function about(entry) {
  const told = entry.kind === "expiry" ? entry.instruments : entry.statuses;
  return told ? html`<span class="names">${told.join(", ")}</span>` : "";
}

const ofCalendar = (index, path, value, told) =>
  html`<${Num} of="calendar" id="calendar" path=${`entries.${index}.${path}`} value=${value} reason="no figure" ...${told} />`;

function Funding({ store, entry, index, state }) {
  const pool = store.row("pools", `${entry.venue}/${entry.account}/${entry.pool}`);
  const isSame = pool?.next_funding?.time_ms === entry.time_ms;
  const after = { as: "percent", figure: "ratio_after_funding", state };
  const amount = { as: "signed", figure: "funding_due", state, reason: "amount unknown" };
  const text = entry.amount === null ? undefined : signed(entry.amount, entry.asset);
  return html`${ofCalendar(index, "amount", entry.amount, { ...amount, text })}
    <span class="change">${isSame
      ? html`<${NowAndAfter} pool=${pool} entry=${entry} />`
      : html`after: ${ofCalendar(index, "ratio_after", entry.ratio_after, after)}`}</span>`;
}

// both of the same tick: the calendar's own ratio is some seconds old
function NowAndAfter({ pool, entry }) {
  const next = pool.next_funding;
  const common = { of: "pools", id: `${entry.venue}/${entry.account}/${entry.pool}`, as: "percent", reason: "no figure" };
  const inputs = [["ratio now", pool.margin_ratio, "percent"], ["funding", next.amount, "signed"]];
  const margins = [["maintenance margin", pool.maintenance_margin, "money"], ["equity", pool.equity, "money"]];
  const state = pool.stale ? "stale" : next.as_last_told ? "last known" : "";
  return html`<${Num} ...${common} path="margin_ratio" value=${pool.margin_ratio} figure="margin_ratio" inputs=${margins}
      state=${pool.stale ? "stale" : ""} /> → ${" "}
    <${Num} ...${common} path="next_funding.ratio_after" value=${next.ratio_after} figure="ratio_after_funding" inputs=${inputs} state=${state} />`;
}

function Expiry({ store, entry, index, state }) {
  const levels = store.row("portfolios", entry.portfolio)?.levels;
  const [now, after] = levels ? [levelOf(entry.ratio, levels), levelOf(entry.ratio_after, levels)] : [];
  const figure = (path, as, name, inputs) => ofCalendar(index, path, entry[path], { as, figure: name, inputs, state });
  const inputs = [["ratio now", entry.ratio, "percent"], ["maintenance margin after", entry.maintenance_margin_after, "usd"]];
  const before = [["maintenance margin now", entry.maintenance_margin, "usd"]];
  return html`<span class="change">${figure("ratio", "percent", "ratio_before_expiry", before)} → ${figure("ratio_after", "percent", "ratio_after_expiry", inputs)}
      ${after && after !== now && html` <strong>${ofPortfolio(after)}</strong>`}</span>
    <span class="change muted">margin ${figure("maintenance_margin", "usd", "maintenance_before_expiry")} → ${" "}
      ${figure("maintenance_margin_after", "usd", "maintenance_after_expiry")}</span>`;
}
