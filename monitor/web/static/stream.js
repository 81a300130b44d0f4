// Follows the stream: connects, connects again, and calls a silent line stale. A dead line must never look like a quiet market.

const SILENCE_MS = 2500; // the monitor sends at least once a second
const WAITS_MS = [250, 500, 1000, 2000, 4000];

export function follow(store, url = streamUrl(), { WebSocket = window.WebSocket, refused = askAgain } = {}) {
  let socket = null;
  let heardMs = Date.now();
  let failures = 0;
  let retry = null;

  function connect() {
    retry = null;
    heardMs = Date.now();
    const own = (socket = new WebSocket(url));
    own.onmessage = (event) => {
      heardMs = Date.now();
      failures = 0;
      if (own === socket) store.apply(JSON.parse(event.data));
    };
    own.onclose = () => {
      if (own === socket) lost();
    };
  }

  function lost() {
    const dead = socket;
    socket = null;
    dead.close();
    store.say("stale");
    if (failures++ > 0) refused();
    retry = setTimeout(connect, WAITS_MS[Math.min(failures - 1, WAITS_MS.length - 1)]);
  }

  const watch = setInterval(() => {
    if (socket && Date.now() - heardMs > SILENCE_MS) lost();
  }, 250);
  connect();
  return () => {
    clearInterval(watch);
    clearTimeout(retry);
    const open = socket;
    socket = null;
    open?.close();
  };
}

function streamUrl() {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/v1/stream`;
}

// a WebSocket does not tell why it was refused
async function askAgain() {
  const answer = await fetch("/api/v1/silences").catch(() => null);
  if (answer?.status === 401) location.assign("/login");
}
