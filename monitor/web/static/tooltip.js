// The one tooltip of the page: shown for the figure that is pointed at, focused or tapped, ended by Escape (WCAG 1.4.13).
import { FORMATS } from "./format.js";
import { FORMULAS } from "./formulas.js";

const told = new WeakMap(); // element -> what Num was given
let layer = null;
let shown = null;
let leaving = null;

export function explain(element, what) {
  if (!element) return;
  told.set(element, what);
  if (element === shown) fill(what);
}

export function startTooltips() {
  layer = document.createElement("div");
  layer.id = "tip";
  layer.setAttribute("role", "tooltip");
  layer.hidden = true;
  document.body.append(layer);
  const over = (event) => {
    const element = event.target.closest?.(".num");
    if (element) show(element);
    else if (event.target.closest?.("#tip")) clearTimeout(leaving);
  };
  document.addEventListener("pointerover", over);
  document.addEventListener("focusin", over);
  document.addEventListener("click", over);
  document.addEventListener("pointerout", (event) => event.target.closest?.(".num, #tip") && leave());
  document.addEventListener("focusout", leave);
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  document.addEventListener("scroll", hide, { capture: true, passive: true });
}

function show(element) {
  clearTimeout(leaving);
  if (!told.has(element)) return;
  if (shown && shown !== element) shown.removeAttribute("aria-describedby");
  shown = element;
  fill(told.get(element));
  element.setAttribute("aria-describedby", "tip");
  layer.hidden = false;
  place(element.getBoundingClientRect());
}

function leave() {
  clearTimeout(leaving);
  leaving = setTimeout(hide, 150);
}

function hide() {
  clearTimeout(leaving);
  shown?.removeAttribute("aria-describedby");
  shown = null;
  layer.hidden = true;
}

function place(at) {
  const { width, height } = layer.getBoundingClientRect();
  const left = Math.min(Math.max(8, at.left), innerWidth - width - 8);
  const below = at.bottom + 6 + height <= innerHeight;
  layer.style.left = `${Math.max(8, left)}px`;
  layer.style.top = `${below ? at.bottom + 6 : Math.max(8, at.top - height - 6)}px`;
}

function fill({ figure, value, as, inputs = [], note, state }) {
  const about = FORMULAS[figure] ?? { name: figure };
  const lines = [
    line("strong", about.name),
    line("p", `exactly ${value ?? "unknown"}`, "tip-exact"),
    about.formula && line("p", about.formula, "tip-formula"),
    inputs.length && inputsOf(inputs),
    about.source && line("p", about.source, "tip-source"),
    state && line("p", state, "tip-state"),
    note && line("p", note, "tip-note"),
  ];
  layer.replaceChildren(...lines.filter(Boolean));
}

function inputsOf(inputs) {
  const list = line("dl", "");
  for (const [name, value, as] of inputs) list.append(line("dt", name), line("dd", (FORMATS[as] ?? FORMATS.plain)(value)));
  return list;
}

function line(tag, text, name) {
  const element = document.createElement(tag);
  element.textContent = text;
  if (name) element.className = name;
  return element;
}
