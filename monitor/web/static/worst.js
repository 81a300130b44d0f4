// The one figure by which a look at the header, or at the name of the tab, is enough.
import { number, percent } from "./format.js";
import { ofPortfolio, rank } from "./level.js";

const NAME = "marginwatch";

export const poolName = (row) => `${row.account}/${row.pool}`;

// {worst: {section, id, name, level, row}|null, unknown: how many have no figure}; portfolios that do not alarm are left out, as they are by alerts
export function worstOf(store) {
  const quiet = new Set((store.row("monitor", "monitor")?.portfolios ?? []).filter((one) => one.alarm === false).map((one) => one.id));
  let worst = null;
  let unknown = 0;
  const look = (section, id, row, name) => {
    if (row.level === null) unknown += 1;
    else if (worst === null || isWorse(row, worst.row)) worst = { section, id, name, row, level: section === "pools" ? row.level : ofPortfolio(row.level) };
  };
  for (const [id, row] of store.rows("pools")) look("pools", id, row, poolName(row));
  for (const [id, row] of store.rows("portfolios")) if (!quiet.has(id)) look("portfolios", id, row, id);
  return { worst, unknown };
}

// levels first: those of accounts differ
export function isWorse(one, other) {
  const difference = rank(one.level) - rank(other.level);
  return difference ? difference > 0 : number(one.margin_ratio) > number(other.margin_ratio);
}

function titleOf(store) {
  if (store.connection === "connecting") return NAME;
  if (store.connection === "stale") return `STALE - ${NAME}`;
  const told = store.row("monitor", "monitor")?.ready === false ? "NOT READY " : "";
  const { worst, unknown } = worstOf(store);
  const delayed = store.connection === "delayed" ? "DELAYED " : "";
  return `${delayed}${told}${summary(worst, unknown)} - ${NAME}`;
}

function summary(worst, unknown) {
  const lacking = unknown ? `${unknown} without figure` : "";
  if (worst === null) return lacking || "no pools";
  const level = `${worst.level === "ok" ? "ok" : worst.level.toUpperCase()} ${percent(worst.row.margin_ratio, 0)} ${worst.name}`;
  if (!lacking) return level;
  return worst.level === "ok" ? `NO FIGURE: ${lacking}, ${level}` : `${level}, ${lacking}`;
}

// hidden pages draw nothing, and their title is all that is seen of them
export function keepTitle(store) {
  return store.subscribe(() => {
    const title = titleOf(store);
    if (document.title !== title) document.title = title;
  });
}
