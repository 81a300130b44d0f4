// One venue: its subscriptions, connections, clock, announcements and request budget.
import { html, useState } from "../html.js";
import { Num } from "../number.js";
import { age } from "../format.js";
import { More, State, Table, Trouble } from "./desk.js";

// as bad as they get: the first ones stand first
const STATUS = {
  down: ["✕", "down"],
  stale: ["▲", "stale"],
  resyncing: ["↻", "reading anew"],
  connecting: ["…", "connecting"],
  polled: ["◐", "polled"],
  fresh: ["●", "live"],
};
const ORDER = Object.keys(STATUS);
const CALM = ["", "ok", "unlocked", "none"]; // words of a venue about itself that announce nothing
const BUDGET = [
  ["weight", "request weight"],
  ["connects", "new connections"],
  ["messages", "messages"],
  ["connections", "connections"],
  ["users", "accounts followed"],
];
const REFILLED = ["weight", "connects", "messages"]; // by the minute; a slot that is taken for good is no trouble
const UNLIMITED = 1e15;
const NEAR = 0.8;

export const isLive = (feed) => feed.status === "fresh" || feed.status === "polled";

export function FeedsOfVenue({ store, venue }) {
  const [all, setAll] = useState(false);
  const feeds = store.rows("feeds").filter(([, feed]) => feed.venue === venue).sort(worstFirst);
  const trouble = feeds.filter(([, feed]) => !isLive(feed));
  const live = feeds.length - trouble.length;
  const shown = all ? feeds : trouble;
  const row = store.row("venues", venue);
  const nowS = store.nowS();
  return html`<section class="venue-feed" aria-label=${`Feeds of ${venue}`}>
    <h3>${venue} <span class=${`tally ${trouble.length ? "has-trouble" : ""}`}>${live} of ${feeds.length} live</span></h3>
    ${row && html`<${Said} venue=${venue} row=${row} nowS=${nowS} />`}
    <${Connections} store=${store} venue=${venue} />
    ${row?.budget && html`<${Budget} venue=${venue} budget=${row.budget} />`}
    ${shown.length > 0 && html`<${Table} label=${`Subscriptions of ${venue}`} tall columns=${["State", "Feed", "Account", null, "For", "Stale after"]}>
      ${shown.map(([id, feed]) => html`<${Row} key=${id} id=${id} feed=${feed} nowS=${nowS} />`)}</${Table}>`}
    ${live > 0 && html`<${More} all=${all} onChange=${setAll} fewer="Show trouble only" more=${`Show the ${live} that are live`} />`}
  </section>`;
}

function worstFirst([, one], [, other]) {
  const worse = ORDER.indexOf(one.status) - ORDER.indexOf(other.status);
  return worse || (one.account ?? "").localeCompare(other.account ?? "") || one.feed.localeCompare(other.feed);
}

function Row({ id, feed, nowS }) {
  const [shape, word] = STATUS[feed.status] ?? ["?", feed.status];
  const limit = feed.stale_after_s ? undefined : "never";
  return html`<tr><td><${State} name=${feed.status} shape=${shape} word=${word} /></td>
    <th scope="row">${feed.feed}${feed.detail && html` <span class="muted">${feed.detail}</span>`}</th>
    <td>${feed.account ?? "market"}</td>
    <td class="n"><${Num} value=${nowS - feed.since_at_s} as="age" figure="feed_since" /></td>
    <td class="n"><${Num} of="feeds" id=${id} path="stale_after_s" value=${feed.stale_after_s} as="age" text=${limit} figure="stale_after" /></td></tr>`;
}

function Said({ venue, row, nowS }) {
  const announced = row.statuses.filter((status) => !CALM.includes(status.toLowerCase()));
  const lists = [["pushed", row.push_accounts], ["polled", row.polled_accounts], ["waiting", row.waiting_accounts]];
  const offset = row.clock_offset_s;
  return html`${announced.length > 0 && html`<${Trouble}>${venue} says of itself: ${announced.join(", ")}</${Trouble}>`}
    <p class="feed-line">Clock ${" "}<${Num} of="venues" id=${venue} path="clock_offset_s" value=${offset} as="quantity" text=${seconds(offset)}
        figure="clock_offset" reason="not told yet" />${offset !== null && html`<span class="muted">, told ${age(nowS - row.heard_at_s)} ago</span>`}
      ${lists.map(([word, names]) => names?.length > 0 && html`<span class="accounts"><span class="muted">${word}:</span> ${names.join(", ")}</span>`)}</p>`;
}

const seconds = (value) => (value === null ? undefined : `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value).toFixed(2)} s`);

function Connections({ store, venue }) {
  const rows = store.rows("connections").filter(([, one]) => one.venue === venue);
  rows.sort(([, one], [, other]) => one.connected - other.connected || one.name.localeCompare(other.name));
  if (!rows.length) return "";
  return html`<${Table} label=${`Connections of ${venue}`} columns=${["Connection", null, "Last frame", "Reconnects", "Resyncs", "Pending"]}>
    ${rows.map(([id, one]) => html`<${Connection} key=${id} id=${id} one=${one} nowS=${store.nowS()} />`)}</${Table}>`;
}

const COUNTS = [["reconnects", "reconnects"], ["resyncs", "resyncs"], ["pending", "pending_frames"]];

function Connection({ id, one, nowS }) {
  const [name, shape, word] = one.connected ? ["fresh", "●", "up"] : ["down", "✕", "down"];
  const since = (atS) => (atS === null ? null : nowS - atS);
  const inputs = [["frames so far", one.frames, "count"], ["connected for", since(one.connected_at_s), "age"]];
  const failures = Object.entries(one.failures ?? {}).map(([what, times]) => `${times} × ${what}`);
  return html`<tr><th scope="row"><${State} name=${name} shape=${shape} word=${word} /> ${one.name}
      ${failures.length > 0 && html` <span class=${one.connected ? "muted" : "failure"}>${failures.join(", ")}</span>`}</th>
    <td class="n"><${Num} value=${since(one.last_frame_at_s)} as="age" figure="frame_age" reason="none yet" inputs=${inputs} /></td>
    ${COUNTS.map(([path, figure]) => html`<td class="n" key=${path}>
      <${Num} of="connections" id=${id} path=${path} value=${one[path]} as="count" figure=${figure} /></td>`)}</tr>`;
}

function Budget({ venue, budget }) {
  const limited = BUDGET.filter(([key]) => budget[`${key}_limit`] > 0 && budget[`${key}_limit`] < UNLIMITED);
  const isNear = (key) => REFILLED.includes(key) && budget[`${key}_used`] >= NEAR * budget[`${key}_limit`];
  const figure = (path, name) => html`<${Num} of="venues" id=${venue} path=${`budget.${path}`} value=${budget[path]} as="count" figure=${name} />`;
  if (!limited.length && !budget.penalties_total) return "";
  return html`<ul class="budget" aria-label=${`Request budget of ${venue}`}>
    ${limited.map(([key, word]) => html`<li key=${key}>${word} ${figure(`${key}_used`, "budget_used")} of ${figure(`${key}_limit`, "budget_limit")}
      ${isNear(key) && html` <${State} name="stale" shape="▲" word="near the limit" />`}</li>`)}
    ${budget.waiting > 0 && html`<li>requests waiting ${figure("waiting", "budget_waiting")}</li>`}
    ${budget.penalties_total > 0 && html`<li class="has-trouble">penalties ${figure("penalties_total", "budget_penalties")}</li>`}</ul>`;
}
