// What calendar, alerts, feeds and what-if have in common.
import { html } from "../html.js";
import { clock } from "../format.js";
import { Scroll } from "../panel.js";

export function Time({ ms, nowMs }) {
  return html`<time datetime=${new Date(ms).toISOString()}>${clock(ms, { now: nowMs })}</time>`;
}

// a state is told by a shape and a word; its colour only repeats it
export function State({ name, shape, word }) {
  return html`<span class=${`feed-state state-${name}`}><span aria-hidden="true">${shape}</span> ${word}</span>`;
}

export function Trouble({ children }) {
  return html`<p class="callout callout-trouble" role="alert"><span aria-hidden="true">▲</span> ${children}</p>`;
}

// opens what is left out of a list, and closes it again
export function More({ all, onChange, fewer, more }) {
  return html`<button type="button" class="more" aria-expanded=${all} onClick=${() => onChange(!all)}>${all ? fewer : more}</button>`;
}

// columns: names; those after a null are of numbers. What is wider than the page scrolls, also by keyboard.
export function Table({ label, columns, tall, children }) {
  const numbers = columns.indexOf(null);
  const names = columns.filter((name) => name !== null);
  const heads = names.map((name, place) => {
    const isNumber = numbers >= 0 && place >= numbers && name !== "Source";
    return html`<th scope="col" key=${name} class=${isNumber ? "n" : ""}>${name}</th>`;
  });
  return html`<${Scroll} label=${label} tall=${tall}>
    <table class="feed-table"><thead><tr>${heads}</tr></thead><tbody>${children}</tbody></table><//>`;
}
