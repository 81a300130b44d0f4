// What is chosen. It stands in the address, so that it can be sent to a colleague: #portfolio=desk&pool=hyperliquid/iris/main&coin=BTC
import { useEffect, useMemo, useState } from "./html.js";

const CHOICES = ["portfolio", "pool", "coin", "alert"];

export function useView(store) {
  const [chosen, choose] = useState(read);
  useEffect(() => {
    const changed = () => choose(read());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  useEffect(() => write(chosen), [chosen]);
  const setters = useMemo(() => {
    const set = (key) => (value) => choose(({ panel: _, ...before }) => ({ ...before, [key]: value }));
    return { setPortfolio: set("portfolio"), setPool: set("pool"), setCoin: set("coin") };
  }, []);
  const portfolios = store.row("monitor", "monitor")?.portfolios ?? [];
  const isKnown = portfolios.some((one) => one.id === chosen.portfolio);
  const portfolio = isKnown ? chosen.portfolio : portfolios[0]?.id;
  const missing = isKnown ? undefined : chosen.portfolio; // a reload of the configuration may have taken it
  const { pool, coin, alert, panel } = chosen;
  return useMemo(() => ({ portfolio, missing, pool, coin, alert, panel, ...setters }), [portfolio, missing, pool, coin, alert, panel]);
}

function read() {
  const hash = location.hash.slice(1);
  if (hash.startsWith("panel-")) return { panel: hash };
  const told = new URLSearchParams(hash);
  return Object.fromEntries(CHOICES.filter((key) => told.has(key)).map((key) => [key, told.get(key)]));
}

function write({ panel, ...chosen }) {
  if (panel) return;
  const hash = new URLSearchParams(Object.entries(chosen).filter(([, value]) => value)).toString();
  if (hash !== location.hash.slice(1)) history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
}
