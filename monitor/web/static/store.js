// What the page knows: rows by section and id, as the stream told them (docs/api.md), and whether the line is alive.

const DELAYED_MS = 3000; // a frame that came so much later than the quickest one is news of the past

export function createStore(now = Date.now) {
  const listeners = new Set();
  const store = {
    sections: {}, // replaced where something changed, so that equal means unchanged
    sequence: 0,
    asOfMs: null, // of the last frame, the monitor's clock
    clockS: null, // the same moment on the clock of *_at_s
    receivedMs: null, // our clock
    frames: 0,
    connection: "connecting", // connecting, live, delayed, stale
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    apply(frame) {
      if (frame.type === "snapshot") store.sections = frame.rows;
      else store.sections = merged(store.sections, frame.rows, frame.gone);
      Object.assign(store, { sequence: frame.sequence, asOfMs: frame.as_of_ms, clockS: frame.clock_s, receivedMs: now() });
      store.frames += 1;
      quickest = Math.min(quickest, store.receivedMs - frame.as_of_ms);
      store.say(store.receivedMs - frame.as_of_ms - quickest > DELAYED_MS ? "delayed" : "live");
      tell();
    },
    say(connection) {
      if (store.connection === connection) return;
      store.connection = connection;
      tell();
    },
    // the monitor's clock now, seconds, as *_at_s has it; null before the first frame
    nowS: () => (store.clockS === null ? null : store.clockS + (now() - store.receivedMs) / 1000),
    // the monitor's wall clock now, Unix ms
    nowMs: () => (store.asOfMs === null ? null : store.asOfMs + now() - store.receivedMs),
    row: (section, id) => store.sections[section]?.[id],
    rows: (section) => Object.entries(store.sections[section] ?? {}),
  };
  let quickest = Infinity;

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
