// The alerts of the last hour: asked for once, and what the stream tells after.
import { useEffect, useMemo, useState } from "../html.js";

const MOST = 200;

export function usePast(store) {
  const [asked, setAsked] = useState([]);
  const isLive = store.connection === "live";
  useEffect(() => {
    if (!isLive) return undefined;
    const end = new AbortController();
    read(end.signal).then(setAsked, () => undefined); // the stream tells the newest 50 anyway
    return () => end.abort();
  }, [isLive]);
  const recent = store.sections.recent;
  return useMemo(() => [...new Map([...asked, ...Object.values(recent ?? {})].map((one) => [one.id, one])).values()], [asked, recent]);
}

async function read(signal) {
  const answer = await fetch(`/api/v1/alerts?limit=${MOST}`, { signal });
  return answer.ok ? (await answer.json()).history : [];
}
