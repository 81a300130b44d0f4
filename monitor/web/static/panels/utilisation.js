// Utilisation over time: the last hour of what is chosen and of the worst others, with the alerts that were told.
import { html, useEffect, useMemo, useRef, useState } from "../html.js";
import { Lines } from "../charts/line.js";
import { clock, number, percent } from "../format.js";
import { STEPS, stepOf, timeOf } from "../history.js";
import { Level, ofPortfolio } from "../level.js";
import { Num } from "../number.js";
import { Panel, Scroll } from "../panel.js";
import { isWorse, poolName } from "../worst.js";
import { usePast } from "./utilisation_alerts.js";

const OTHERS = 4;
const LEAST = 36; // steps across the chart
const KEPT_MS = 10_000; // the worst others change so often at most
const HIGHEST = 2; // of the chart: figures tell what lies beyond
const ABOUT = `The highest utilisation of each 5 seconds of the last hour: the chosen pool and portfolio (click one in the risk summary) and the worst others. Shapes mark alerts.
  Point at the chart, or move the slider under it, to read the lines at a time.`;

export function Utilisation({ store, view }) {
  const [lookedMs, look] = useState(null);
  const drawn = useDrawn(store, view);
  const ids = drawn.map((one) => one.id).join(" ");
  useEffect(() => store.history.want(drawn.map((one) => one.id)), [ids]);
  const past = usePast(store);
  const second = Math.floor(store.nowMs() / 1000);
  // an hour of lines does not change ten times a second
  const { first, last, series } = useMemo(() => valuesOf(store, drawn), [ids, second, store.history.version]);
  const most = Math.max(0, ...series.flatMap((one) => one.values));
  const at = lookedMs === null ? null : Math.min(last, Math.max(first, stepOf(lookedMs)));
  const label = `Utilisation of ${series.map((one) => one.name).join(", ")} over time; the table below has the figures`;
  const chart = useMemo(() => html`<${Lines} label=${label} times=${[timeOf(first), timeOf(last + 1)]}
    stepMs=${timeOf(1)} series=${series} levels=${levelsOf(drawn)} marks=${marksOf(past, series, first)} top=${Math.min(HIGHEST, Math.max(1.05, most * 1.05))}
    at=${at === null ? null : timeOf(at)} onAt=${look} />`, [series, past, at]);
  return html`<${Panel} id="utilisation" title="Utilisation over time" about=${ABOUT} wide>
    ${store.history.problem ? html`<p class="note" role="status">${store.history.problem}</p>` : ""}
    ${view.pool && !store.row("pools", view.pool) ? html`<p class="note" role="status">The chosen pool ${view.pool} is not there now.</p>` : ""}
    ${chart}
    <${Slider} first=${first} last=${last} at=${at} series=${series} onAt=${look} />
    ${most > HIGHEST ? html`<p class="note">Beyond ${percent(HIGHEST, 0)} lines run along the upper edge.</p>` : ""}
    <${Legend} drawn=${drawn} series=${series} first=${first} at=${at} /><//>`;
}

const levelsOf = (drawn) => Object.entries(drawn[0]?.row.levels ?? {}).map(([level, at]) => ({ level, at }));

// from the first value on, where there is less than an hour of them
function valuesOf(store, drawn) {
  const last = stepOf(store.nowMs());
  const series = drawn.map((one) => ({ ...one, values: store.history.ratios(one.id, last - STEPS + 1, last) }));
  const begins = Math.min(...series.map((one) => one.values.findIndex((value) => value !== null)).filter((place) => place >= 0));
  const cut = Math.max(0, Math.min(begins, STEPS - LEAST));
  return { last, first: last - STEPS + 1 + cut, series: series.map((one) => ({ ...one, values: one.values.slice(cut) })) };
}

// what is drawn: the chosen pool, the chosen portfolio and the worst others, each with a kind of line that it keeps while it is drawn
function useDrawn(store, view) {
  const kept = useRef({ key: "", untilMs: 0, ids: [], slots: new Map() }).current;
  const pools = store.rows("pools").filter(([, row]) => row.level !== null || row.last_margin_ratio !== null);
  const key = `${view.pool} ${view.portfolio}`;
  const now = performance.now();
  if (kept.key !== key || now > kept.untilMs || kept.ids.length < Math.min(OTHERS, pools.length)) {
    const worst = pools.sort(([, one], [, other]) => (isWorse(one, other) ? -1 : 1)).map(([id]) => `pools/${id}`);
    const chosen = [store.row("pools", view.pool) && `pools/${view.pool}`, `portfolios/${view.portfolio}`].filter(Boolean);
    const others = worst.filter((id) => !chosen.includes(id)).slice(0, OTHERS + (2 - chosen.length));
    Object.assign(kept, { key, untilMs: now + KEPT_MS, ids: [...chosen, ...others], slots: slotsOf(kept.slots, chosen, others) });
  }
  return kept.ids.map((id) => describe(store, id, kept.slots.get(id))).filter((one) => one.row);
}

function describe(store, id, slot) {
  const section = id.slice(0, id.indexOf("/"));
  const own = id.slice(section.length + 1);
  const row = store.row(section, own);
  return { id, section, own, slot, row, name: section === "pools" && row ? poolName(row) : `portfolio ${own}` };
}

// the chosen ones have lines of their own, the others keep theirs
function slotsOf(before, chosen, others) {
  const slots = new Map(chosen.map((id) => [id, id.startsWith("portfolios/") ? "portfolio" : "pool"]));
  const free = new Set(Array.from({ length: OTHERS + 1 }, (_, place) => place));
  for (const id of others) {
    if (!free.has(before.get(id))) continue;
    slots.set(id, before.get(id));
    free.delete(before.get(id));
  }
  for (const id of others) {
    if (slots.has(id)) continue;
    const [slot] = free;
    slots.set(id, slot);
    free.delete(slot);
  }
  return slots;
}

function marksOf(past, series, first) {
  const drawn = new Map(series.map((one) => [one.id, one.values]));
  return past.map((alert) => ({ alert, id: alert.kind === "portfolio" ? `portfolios/${alert.name}` : `pools/${alert.venue}/${alert.account}/${alert.name}` }))
    .filter(({ alert, id }) => alert.change !== "repeated" && drawn.has(id) && stepOf(alert.time_ms) >= first)
    .map(({ alert, id }) => ({ id: alert.id, ms: alert.time_ms, level: alert.level, text: `${clock(alert.time_ms)} UTC ${alert.text}`, details: alert.details.slice(0, 3),
      at: number(alert.ratio) ?? drawn.get(id)[stepOf(alert.time_ms) - first] ?? 0 }));
}

function Slider({ first, last, at, series, onAt }) {
  const here = at ?? last;
  const told = `${clock(timeOf(here))} UTC: ${series.map((one) => `${one.name} ${percent(one.values[here - first])}`).join(", ")}`;
  return html`<input type="range" class="time" aria-label="Time that is looked at" aria-valuetext=${told} min="0" max=${last - first} value=${here - first}
    onInput=${(event) => onAt(timeOf(first + Number(event.target.value)))} onBlur=${() => onAt(null)} />`;
}

function Legend({ drawn, series, first, at }) {
  const values = new Map(series.map((one) => [one.id, one.values]));
  return html`<${Scroll} label="Lines of the chart"><table class="sticky legend"><thead><tr><th scope="col">Line</th><th scope="col">Level</th>
    <th scope="col" class="n">Now</th>
      <th scope="col" class="n">${at === null ? "At …" : `At ${clock(timeOf(at))} UTC`}</th><th scope="col" class="n">Highest</th>
        <th scope="col" class="n">Lowest</th></tr></thead>
    <tbody>${drawn.map((one) => html`<${Line} key=${one.id} one=${one} values=${values.get(one.id) ?? []}
      place=${at === null ? null : at - first} />`)}</tbody></table><//>`;
}

function Line({ one: { section, own, slot, row, name }, values, place }) {
  const known = values.filter((value) => value !== null);
  const reckoned = (value, figure) => html`<td class="n"><${Num} value=${value} as="percent" figure=${figure} reason="none" /></td>`;
  return html`<tr><th scope="row"><svg class="sample" viewBox="0 0 34 8" aria-hidden="true"><path class=${`series series-${slot}`} d="M0 4H34" />
    </svg> ${name}</th>
    <td><${Level} level=${section === "pools" ? row.level : ofPortfolio(row.level)} /></td>
    <td class="n"><${Num} of=${section} id=${own} path="margin_ratio" value=${row.margin_ratio} as="percent"
      figure=${section === "pools" ? "margin_ratio" : "portfolio_margin_ratio"}
      inputs=${[["maintenance margin", row.maintenance_margin, "money"], ["equity", row.equity, "money"]]} state=${row.stale ? "stale" : ""}
        reason="no figure" /></td>
    ${place === null ? html`<td class="n muted">–</td>` : reckoned(values[place] ?? null, "ratio_at")}
    ${reckoned(known.length ? Math.max(...known) : null, "ratio_highest")}
    ${reckoned(known.length ? Math.min(...known) : null, "ratio_lowest")}</tr>`;
}
