// The frame of a panel. Its figures are one stop of the Tab key; arrow keys go from one to the next.
import { html, useEffect, useRef } from "./html.js";

export function Panel({ id, title, about, asOf, wide, actions, children }) {
  const section = useRef(null);
  useEffect(() => {
    const figures = section.current.querySelectorAll(".num");
    if (figures.length && ![...figures].some((one) => one.tabIndex === 0)) figures[0].tabIndex = 0;
  });
  return html`<section id=${`panel-${id}`} class=${wide ? "panel wide" : "panel"} aria-labelledby=${`title-${id}`} data-as-of=${asOf ?? ""} ref=${section} onKeyDown=${walk}>
    <header><h2 id=${`title-${id}`}>${title}</h2>${actions ?? ""}</header>
    ${about ? html`<p class="about">${about}</p>` : ""}
    ${children}
  </section>`;
}

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

function walk(event) {
  if (!event.target.classList.contains("num")) return;
  const figures = [...event.currentTarget.querySelectorAll(".num")];
  const here = figures.indexOf(event.target);
  const next = event.key === "Home" ? 0 : event.key === "End" ? figures.length - 1 : here + (STEPS[event.key] ?? 0);
  if (next === here || !figures[next]) return;
  event.preventDefault();
  event.target.tabIndex = -1;
  figures[next].tabIndex = 0;
  figures[next].focus();
}
