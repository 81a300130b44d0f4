// Alerts in words (docs/alerts.md).
import { html } from "../html.js";
import { rank } from "../level.js";

const RULES = {
  margin_level: "margin level",
  data: "no data",
  unreconciled: "unreconciled",
  distance: "near liquidation",
  rising: "rising fast",
  adl_queue: "near the front of the deleverage queue",
  net_delta: "unhedged",
  delisted: "market halted or delisted",
  depeg: "stablecoin off its peg",
  mode: "unexpected mode",
  key: "key",
  account_failure: "cannot be monitored",
  stale_feed: "stale feed",
  clock: "clock off",
  network: "the monitor has lost its network",
  receiver: "alerts do not reach",
  outbox: "alerts are not kept on disk",
  liquidation_seen: "the venue liquidated",
  margin_call: "margin call",
  mode_changed: "mode changed",
  transfer: "transfer",
  parameters: "parameters changed",
  test: "test",
};

const OUTCOMES = {
  pending: ["…", "waiting for"],
  delivered: ["✓", "delivered to"],
  silenced: ["◌", "held back by a silence from"],
  escalated: ["↷", "passed on from"],
  failed: ["✕", "failed at"],
  dropped: ["✕", "dropped at"],
};

export const ruleOf = (alert) => RULES[alert.rule] ?? alert.rule;

// a portfolio is breached; no venue acts on it
export const wordOf = (alert) => (alert.kind === "portfolio" && alert.level === "liquidation" ? "breach" : alert.level);

export function whose({ kind, venue, account, name }) {
  if (kind === "monitor") return "the monitor itself";
  if (kind === "pool") return [account, name, venue].filter(Boolean).join(" · ");
  if (kind === "account") return [account, venue].join(" · ");
  return [kind, ...[name, account, venue].filter(Boolean)].join(" ").replace(/^venue (.+)/, "all of $1");
}

export function Delivery({ receiver, outcome, attempts, reason }) {
  const [shape, word] = OUTCOMES[outcome] ?? ["", outcome];
  const tries = attempts > 1 ? `, ${attempts} attempts` : "";
  const why = reason ? `: ${reason}` : "";
  return html`<span class=${`delivery delivery-${outcome}`}><span aria-hidden="true">${shape}</span> ${word} ${receiver}${tries}${why}</span>`;
}

// Whether a silence holds the alert back: key and level as monitor/alerts/silences.py has them, with shell wildcards.
export function holds(silence, alert) {
  if (rank(alert.level) > rank(silence.up_to)) return false;
  return silence.key === alert.key || wildcards(silence.key).test(alert.key);
}

function wildcards(pattern) {
  const written = pattern.replace(/\[(!?)([^\]]+)\]|[*?]|[^\w]/g, (found, not, ones) => {
    if (ones) return `[${not ? "^" : ""}${ones.replace(/[\\^]/g, "\\$&")}]`;
    return found === "*" ? ".*" : found === "?" ? "." : `\\${found}`;
  });
  try {
    return new RegExp(`^${written}$`, "s");
  } catch {
    return /(?!)/; // a range the wrong way round fits nothing
  }
}
