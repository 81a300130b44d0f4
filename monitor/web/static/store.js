// What the page knows: rows by section and id, as the stream told them (docs/api.md), and whether the line is alive.

const DELAYED_MS = 3000; // a frame that came so much later than the quickest one is news of the past
const DRIFT = 2e-4; // clocks of two machines drift apart by less; without an allowance a day of it would look like a delay

// `now` does not jump when the machine's clock is set, and may stand still while it sleeps; `wall` is the other way round. Milliseconds.
export function createStore(now = () => performance.timeOrigin + performance.now(), wall = Date.now) {
  const listeners = new Set();
  let receivedWallMs = null;
  let quickest = Infinity; // our clock less the monitor's, ms, of the frame that came quickest
  const store = {
    sections: {}, // replaced where something changed, so that equal means unchanged
    sequence: 0,
    asOfMs: null, // of the last frame, the monitor's clock
    clockS: null, // the same moment on the clock of *_at_s
    receivedMs: null, // our clock
    delayMs: 0, // by how much the last frame came later than the quickest
    frames: 0,
    connection: "connecting", // connecting, live, delayed, stale
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    apply(frame) {
      const receivedMs = now();
      const anew = frame.type === "snapshot";
      store.sections = anew ? frame.rows : merged(store.sections, frame.rows, frame.gone);
      const lag = receivedMs - 1000 * frame.clock_s;
      // another connection may be to a monitor that was started anew, whose clock began elsewhere
      quickest = anew ? lag : Math.min(lag, quickest + DRIFT * (receivedMs - store.receivedMs));
      Object.assign(store, { sequence: frame.sequence, asOfMs: frame.as_of_ms, clockS: frame.clock_s, receivedMs, delayMs: lag - quickest });
      receivedWallMs = wall();
      store.frames += 1;
      store.connection = store.delayMs > DELAYED_MS ? "delayed" : "live";
      tell();
    },
    say(connection) {
      if (store.connection === connection) return;
      store.connection = connection;
      tell();
    },
    // rather too long than too short
    sinceFrameMs: () => (store.receivedMs === null ? null : Math.max(now() - store.receivedMs, wall() - receivedWallMs) + store.delayMs),
    // the monitor's clock now, seconds, as *_at_s has it; null before the first frame
    nowS: () => (store.clockS === null ? null : store.clockS + store.sinceFrameMs() / 1000),
    // the monitor's wall clock now, Unix ms
    nowMs: () => (store.asOfMs === null ? null : store.asOfMs + store.sinceFrameMs()),
    row: (section, id) => store.sections[section]?.[id],
    rows: (section) => Object.entries(store.sections[section] ?? {}),
  };

  function tell() {
    for (const listener of listeners) listener();
  }
  return store;
}

function merged(sections, rows, gone) {
  const found = { ...sections };
  for (const [section, told] of Object.entries(rows)) found[section] = { ...found[section], ...told };
  for (const [section, ids] of Object.entries(gone)) {
    found[section] = { ...found[section] };
    for (const id of ids) delete found[section][id];
  }
  return found;
}
