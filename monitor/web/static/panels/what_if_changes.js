// Changes as the form has them (texts), as the API takes them, and in words.
import { quantity as shown } from "../format.js";

export function emptyDraft(kind, account) {
  if (kind === "transfer") return { kind, from: account ?? "", to: "", asset: "", amount: "", from_pool: "", to_pool: "" };
  return { kind, account: account ?? "", instrument: "", direction: "buy", size: "", price: "", side: "", reduce_only: false };
}

export function draftOf(change) {
  if (change.kind === "transfer") {
    const { kind, from, to, asset, amount, from_pool = "", to_pool = "" } = change;
    return { kind, from: from ?? "", to: to ?? "", asset, amount: String(amount), from_pool, to_pool };
  }
  return {
    kind: change.kind,
    account: change.account,
    instrument: change.instrument,
    direction: change.quantity < 0 ? "sell" : "buy",
    size: String(Math.abs(change.quantity)),
    price: String(change.price ?? change.limit_price ?? ""),
    side: change.side ?? "",
    reduce_only: change.reduce_only ?? false,
  };
}

export function changeOf(draft) {
  const { kind } = draft;
  if (kind === "transfer") {
    const pools = Object.entries({ from_pool: draft.from_pool, to_pool: draft.to_pool }).filter(([, pool]) => pool);
    return { kind, from: draft.from || null, to: draft.to || null, asset: draft.asset.trim(), amount: Number(draft.amount), ...Object.fromEntries(pools) };
  }
  const { account, instrument, direction, size, price, side, reduce_only } = draft;
  const trade = { kind, account, instrument: instrument.trim(), quantity: (direction === "sell" ? -1 : 1) * Number(size) };
  if (kind === "order") return { ...trade, limit_price: Number(price), reduce_only };
  return { ...trade, ...(price && { price: Number(price) }), ...(side && { side }) };
}

export function inWords(change) {
  if (change.kind === "transfer") {
    const [from, to] = [place(change.from, change.from_pool), place(change.to, change.to_pool)];
    return `transfer ${shown(change.amount)} ${change.asset} from ${from} to ${to}`;
  }
  const trade = `${change.quantity < 0 ? "sell" : "buy"} ${shown(Math.abs(change.quantity))} ${change.instrument}`;
  if (change.kind === "order") return `${change.account}: order to ${trade} at ${shown(change.limit_price)}${change.reduce_only ? ", reduce only" : ""}`;
  return `${change.account}: ${trade}${change.side ? ` (${change.side} side)` : ""} ${change.price ? `at ${shown(change.price)}` : "at the mark"}`;
}

const place = (account, pool) => (account ? [account, pool].filter(Boolean).join(" ") : "outside");

// the trade that closes the position with the largest notional; null where none is held
export function closing(report) {
  const held = (report?.units ?? []).flatMap((unit) => unit.positions ?? []).filter((one) => one.quantity && one.notional !== null);
  if (!held.length) return null;
  const { account, instrument, quantity, side } = held.reduce((most, one) => (Math.abs(one.notional) > Math.abs(most.notional) ? one : most));
  return { kind: "position", account, instrument, quantity: -quantity, ...(side && { side }) };
}
