// A level is told by a shape and a word; its colour only repeats it.
import { html } from "./html.js";

export const SHAPES = { ok: "●", warning: "▲", critical: "◆", liquidation: "■", breach: "■", none: "✕" };

export const ORDER = ["ok", "warning", "critical", "liquidation"];

// the level of a portfolio: no venue liquidates it
export const ofPortfolio = (level) => (level === "liquidation" ? "breach" : level);

export const rank = (level) => ORDER.indexOf(level === "breach" ? "liquidation" : level);

// `none`: no figure, which is not a good figure
export function Level({ level, word }) {
  const name = level ?? "none";
  return html`<span class=${`level level-${name}`} data-level=${name}>
    <span aria-hidden="true">${SHAPES[name] ?? "●"}</span> ${word ?? (name === "none" ? "no figure" : name)}</span>`;
}

export function levelOf(ratio, levels) {
  if (ratio === null || ratio === undefined) return null;
  const value = ratio === "Infinity" ? Infinity : ratio;
  if (value >= levels.liquidation) return "liquidation";
  return value >= levels.critical ? "critical" : value >= levels.warning ? "warning" : "ok";
}
