// Margin ratios of the last hour: what GET /api/v1/history has, and what the stream brings after. The highest of each step; what there
// was not stays a gap.
import { number } from "./format.js";

const STEP_MS = 5000;
export const STEPS = 720;
const AGAIN_MS = 10_000;
const MOST = 50; // ids in one request

// steps are counted since 1970, as the monitor does
export const stepOf = (ms) => Math.floor(ms / STEP_MS);
export const timeOf = (step) => step * STEP_MS;

export function createHistory(store, { fetch = (...asked) => window.fetch(...asked), later = setTimeout } = {}) {
  const rings = new Map(); // id -> ring
  const asked = new Set(); // ids that were asked for on this connection
  let wanted = [];
  let before = store.connection;
  const history = { problem: "", version: 0, want, ratios: (id, from, until) => rings.get(id)?.read(from, until) ?? [] };

  store.subscribe(() => {
    if (store.connection === "live" && before !== "live") {
      asked.clear(); // there may be a hole from when the line was dead
      ask();
    }
    before = store.connection;
    if (store.asOfMs !== null) note(stepOf(store.asOfMs));
  });

  function note(step) {
    for (const section of ["pools", "portfolios"]) {
      for (const [id, row] of store.rows(section)) ringOf(`${section}/${id}`).put(step, number(row.margin_ratio));
    }
  }

  function want(ids) {
    wanted = ids;
    if (store.connection === "live") ask();
  }

  async function ask() {
    const ids = wanted.filter((id) => !asked.has(id)).slice(0, MOST);
    if (!ids.length) return;
    for (const id of ids) asked.add(id);
    const answer = await fetch(`/api/v1/history?${new URLSearchParams(ids.map((id) => ["id", id]))}`).catch(() => null);
    const told = answer?.ok ? await answer.json().catch(() => null) : null;
    history.problem = told ? "" : `The monitor did not tell the last hour (${answer ? answer.status : "no answer"}): drawn from when this page was opened.`;
    history.version += 1;
    if (told) for (const [id, series] of Object.entries(told.series)) ringOf(id).fill(stepOf(series.start_ms), series.ratios.map(number));
    else later(() => retry(ids), AGAIN_MS);
  }

  function retry(ids) {
    for (const id of ids) asked.delete(id);
    ask();
  }

  function ringOf(id) {
    if (!rings.has(id)) rings.set(id, createRing());
    return rings.get(id);
  }
  return history;
}

// the last STEPS steps of one series; NaN: no value
function createRing() {
  const values = new Float64Array(STEPS).fill(NaN);
  let last = null;
  const higher = (step, value) => {
    const slot = ((step % STEPS) + STEPS) % STEPS;
    if (value !== null && !(values[slot] >= value)) values[slot] = value;
  };
  // clears what lies between; what lies ahead too, where the clock was set back
  const moveTo = (step) => {
    const [from, until] = last === null ? [step, step] : [Math.min(last, step) + 1, Math.max(last, step)];
    for (let one = Math.max(from, until - STEPS + 1); one <= until; one++) values[one % STEPS] = NaN;
    last = step;
  };
  return {
    put(step, value) {
      if (step !== last) moveTo(step);
      higher(step, value);
    },
    fill(first, told) {
      if (last === null) moveTo(first + told.length - 1);
      told.forEach((value, place) => {
        const step = first + place;
        if (step <= last && step > last - STEPS) higher(step, value);
      });
    },
    // from step `from` to `until`, both included: null where there is none
    read: (from, until) =>
      Array.from({ length: until - from + 1 }, (_, place) => {
        const step = from + place;
        const value = last === null || step > last || step <= last - STEPS ? NaN : values[step % STEPS];
        return Number.isNaN(value) ? null : value;
      }),
  };
}
