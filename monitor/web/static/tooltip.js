// The one tooltip of the page: shown for the figure that is pointed at, focused or tapped, ended by Escape (WCAG 1.4.13).
import { FORMATS } from "./format.js";
import { FORMULAS } from "./formulas.js";

const LINGER_MS = 150; // so that the pointer gets from the figure onto the tip

const told = new WeakMap(); // element -> the properties of its Num
let layer = null;
let shown = null;
let filled = "";
let leaving = 0;

// what is told of a figure again while its tip is open is shown at once
export function explain(element, what) {
  told.set(element, what);
  if (element === shown) fill(what);
}

export function forget(element) {
  if (element === shown) hide();
}

export function startTooltips() {
  layer = document.createElement("div");
  layer.id = "tip";
  layer.setAttribute("role", "tooltip");
  layer.hidden = true;
  document.body.append(layer);
  document.addEventListener("pointerover", (event) => event.pointerType !== "touch" && over(event));
  document.addEventListener("pointerout", (event) => event.pointerType !== "touch" && within(event, ".num, #tip") && leave());
  document.addEventListener("focusin", over);
  document.addEventListener("focusout", leave);
  document.addEventListener("click", (event) => (within(event, ".num, #tip") ? over(event) : hide()));
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  document.addEventListener("scroll", (event) => event.target !== layer && follow(), { capture: true, passive: true });
  addEventListener("resize", hide);
}

const within = (event, what) => event.target.closest?.(what);

function over(event) {
  const element = within(event, ".num");
  if (element) show(element);
  else if (within(event, "#tip")) clearTimeout(leaving);
}

function show(element) {
  clearTimeout(leaving);
  if (!told.has(element)) return;
  if (shown !== element) shown?.removeAttribute("aria-describedby");
  shown = element;
  layer.hidden = false;
  element.setAttribute("aria-describedby", "tip");
  fill(told.get(element));
  place(element.getBoundingClientRect());
}

function leave() {
  clearTimeout(leaving);
  leaving = setTimeout(hide, LINGER_MS);
}

function hide() {
  clearTimeout(leaving);
  shown?.removeAttribute("aria-describedby");
  shown = null;
  layer.hidden = true;
}

// focus scrolls a figure into view, and its tip with it
function follow() {
  if (!shown) return;
  const at = shown.getBoundingClientRect();
  if (at.bottom < 0 || at.top > innerHeight) hide();
  else place(at);
}

function place(at) {
  const { width, height } = layer.getBoundingClientRect();
  const left = Math.min(at.left, innerWidth - width - 8);
  const below = at.bottom + 6 + height <= innerHeight;
  layer.style.left = `${Math.max(8, left)}px`;
  layer.style.top = `${below ? at.bottom + 6 : Math.max(8, at.top - height - 6)}px`;
}

function fill({ figure, value, as = "usd", inputs = [], note, state }) {
  const about = FORMULAS[figure] ?? { name: figure ?? "" };
  const lines = [
    line("strong", about.name),
    line("p", exactly(value, as), "tip-exact"),
    about.formula && line("p", about.formula, "tip-formula"),
    inputs.length && inputsOf(inputs),
    about.source && line("p", about.source, "tip-source"),
    state && line("p", state, "tip-state"),
    note && line("p", note, "tip-note"),
  ].filter(Boolean);
  const text = lines.map((one) => one.outerHTML).join("");
  if (text === filled) return;
  filled = text;
  layer.replaceChildren(...lines);
}

// texts are told in full, numbers with all their digits
function exactly(value, as) {
  if (value === null || value === undefined) return "unknown";
  if (as === "text") return value;
  return `exactly ${value}${as === "percent" || as === "move" ? " (1 = 100 %)" : ""}`;
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
