// The frame of a panel. Its figures are one stop of the Tab key; arrow keys go from one to the next, up and down within a column.
// asOf: of what it tells, where that is older than the last frame: ISO or Unix ms.
import { clock, milliseconds } from "./format.js";
import { html, useEffect, useRef } from "./html.js";

export function Panel({ id, title, about, asOf, wide, actions, children }) {
  const section = useRef(null);
  useEffect(() => {
    if (section.current.querySelector('.num[tabindex="0"]')) return;
    const first = section.current.querySelector(".num");
    if (first) first.tabIndex = 0;
  });
  const [at, asOfMs] = typeof asOf === "number" ? [new Date(asOf).toISOString(), asOf] : [asOf ?? "", milliseconds(asOf)];
  return html`<section id=${`panel-${id}`} class=${wide ? "panel wide" : "panel"} aria-labelledby=${`title-${id}`} data-as-of=${at} ref=${section}
    onKeyDown=${walk}>
    <header><h2 id=${`title-${id}`} tabindex="-1">${title}</h2>
      ${asOfMs ? html`<span class="as-of">as of <time datetime=${at}>${clock(asOfMs)}</time> UTC</span>` : ""}${actions ?? ""}</header>
    ${about ? html`<p class="about">${about}</p>` : ""}
    ${children}
  </section>`;
}

// a table that is wider than a phone scrolls by itself, with the keyboard too
export function Scroll({ label, tall, children }) {
  return html`<div class=${tall ? "scroll subscriptions" : "scroll"} role="region" aria-label=${label} tabindex="0">${children}</div>`;
}

function walk(event) {
  const here = event.target;
  if (!here.classList.contains("num") || event.altKey || event.ctrlKey || event.metaKey) return;
  const next = neighbour(event.key, here, event.currentTarget);
  if (!next || next === here) return;
  event.preventDefault();
  for (const one of event.currentTarget.querySelectorAll('.num[tabindex="0"]')) one.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

function neighbour(key, here, panel) {
  if (key === "ArrowDown") return inColumn(here, "nextElementSibling") ?? beside(here, panel, 1);
  if (key === "ArrowUp") return inColumn(here, "previousElementSibling") ?? beside(here, panel, -1);
  if (key === "ArrowRight") return beside(here, panel, 1);
  if (key === "ArrowLeft") return beside(here, panel, -1);
  if (key === "Home") return figures(panel)[0];
  return key === "End" ? figures(panel).at(-1) : null;
}

const figures = (panel) => [...panel.querySelectorAll(".num")].filter((one) => one.checkVisibility());

function beside(here, panel, step) {
  const all = figures(panel);
  return all[all.indexOf(here) + step];
}

// null outside of a table, and where the table ends
function inColumn(here, sibling) {
  const cell = here.closest("td, th");
  for (let row = cell?.parentElement[sibling]; row; row = row[sibling]) {
    const found = row.cells[cell.cellIndex]?.querySelector(".num");
    if (found?.checkVisibility()) return found;
  }
  return null;
}
