// A store that remembers what was read of it, so that a panel is drawn again when that changed, and not ten times a second.

export function readerOf(store) {
  const read = new Map(); // name -> [what was found, how to look again]
  const note = (name, look) => {
    const found = look();
    read.set(name, [found, look]);
    return found;
  };
  const section = (name) => note(name, () => store.sections[name]);
  // ages count on in whole seconds
  const second = () => note("second", () => Math.floor((store.nowS() ?? 0) + 1e-6));
  const field = (name) => ({ get: () => note(name, () => store[name]), enumerable: true });
  const reader = {
    history: store.history,
    subscribe: store.subscribe,
    row: (name, id) => note(`${name} ${id}`, () => store.sections[name]?.[id]),
    rows: (name) => Object.entries(section(name) ?? {}),
    nowS: () => (second(), store.nowS()),
    nowMs: () => (second(), store.nowMs()),
    sinceFrameMs: () => (second(), store.sinceFrameMs()),
    // as of the next drawing, what is read counts
    forget: () => read.clear(),
    changed: () => [...read.values()].some(([found, look]) => look() !== found),
    sections: new Proxy({}, {
      get: (_, name) => section(name),
      has: (_, name) => section(name) !== undefined,
      ownKeys: () => Reflect.ownKeys(note("sections", () => store.sections)),
      getOwnPropertyDescriptor: (_, name) => ({ value: section(name), enumerable: true, configurable: true }),
    }),
  };
  const fields = ["connection", "sequence", "asOfMs", "clockS", "receivedMs", "delayMs", "frames"];
  return Object.defineProperties(reader, Object.fromEntries(fields.map((name) => [name, field(name)])));
}
