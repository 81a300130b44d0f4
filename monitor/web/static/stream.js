// Follows the stream: connects, connects again, and calls a silent line stale. A dead line must never look like a quiet market.

const SILENCE_MS = 2500; // the monitor sends at least once a second
const WAITS_MS = [250, 500, 1000, 2000, 4000];

export function follow(store, url = streamUrl(), { WebSocket = window.WebSocket, refused = askAgain, beats = workerBeats } = {}) {
  let socket = null;
  let heard = clocks();
  let failures = 0;
  let dueMs = null; // when to connect again

  function connect() {
    dueMs = null;
    heard = clocks();
    const own = (socket = new WebSocket(url));
    own.onmessage = (event) => {
      if (own !== socket) return;
      heard = clocks();
      failures = 0;
      store.apply(JSON.parse(event.data));
    };
    own.onclose = () => own === socket && lost();
  }

  function lost() {
    const dead = socket;
    socket = null;
    dead.close();
    store.say("stale");
    if (failures++ > 0) refused();
    dueMs = clocks().steady + WAITS_MS[Math.min(failures - 1, WAITS_MS.length - 1)];
  }

  // either clock may tell the silence: one stands still while the machine sleeps, the other can be set back
  const rest = beats(() => {
    const now = clocks();
    if (socket && Math.max(now.steady - heard.steady, now.wall - heard.wall) > SILENCE_MS) lost();
    else if (!socket && now.steady >= dueMs) connect();
  });
  connect();
  return () => {
    rest();
    const open = socket;
    socket = null;
    open?.close();
  };
}

const clocks = () => ({ steady: performance.now(), wall: Date.now() });

function streamUrl() {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/v1/stream`;
}

// ten times a second: a hidden page's own timers may wait for a minute, and its title would call a dead line alive
function workerBeats(beat) {
  const worker = new Worker("/static/beat.js");
  worker.onmessage = beat;
  return () => worker.terminate();
}

// a WebSocket does not tell why it was refused
async function askAgain() {
  const answer = await fetch("/api/v1/silences").catch(() => null);
  if (answer?.status === 401) location.assign(`/login${location.hash}`);
}
