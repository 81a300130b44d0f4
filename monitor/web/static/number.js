// Every figure on the page: what is shown, the full value, where in the API it stands, and how it comes about.
import { html } from "./html.js";
import { FORMATS } from "./format.js";
import { explain } from "./tooltip.js";

// of, id, path: section, row and dotted path of the stream, which the API's documents have too; left out for what the page reckons itself.
// as: a name of FORMATS. figure: a key of FORMULAS. inputs: [[name, value, as], ...]. state: why it is not to be taken at face value:
// "stale", "proxy", "unreconciled", "last known", or several in one text. reason: what stands in the place of a value that there is not.
// text: what is shown instead of the formatted value; brief: the state's word is not shown where a neighbour tells it.
export function Num({ of, id, path, value, as = "usd", figure, inputs, note, state, reason, text, brief }) {
  const known = value !== null && value !== undefined;
  const shown = text ?? (known || !reason ? FORMATS[as](value) : reason);
  const kinds = (state ?? "").split(/[ ,]+/).filter(Boolean).map((kind) => ` is-${kind}`).join("");
  return html`<data class=${`num${known ? "" : " is-unknown"}${kinds}`} value=${known ? String(value) : ""} data-key=${of ? `${of}|${id}|${path}` : undefined}
    tabindex="-1" ref=${(element) => explain(element, { figure, value, as, inputs, note, state })}>${shown}${state ? html`<span class=${brief ? "mark visually-hidden" : "mark"}> ${state}</span>` : ""}</data>`;
}
