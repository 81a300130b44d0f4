// Every figure on the page: what is shown, the full value, where in the API it stands, and how it comes about.
import { Component, html } from "./html.js";
import { FORMATS } from "./format.js";
import { explain, forget } from "./tooltip.js";

// of, id, path: section, row and dotted path of the stream, which the API's documents have too; left out for what the page reckons itself.
// as: a name of FORMATS. figure: a key of FORMULAS. inputs: [[name, value, as], ...]. state: why it is not to be taken at face value:
// "stale", "proxy", "unreconciled", "last known", or several in one text. reason: what stands in the place of a value that there is not.
// text: what is shown instead of the formatted value; brief: the state's word is not shown where a neighbour tells it.
// There are thousands of them: one is drawn again only where it is told something else than before.
export class Num extends Component {
  shouldComponentUpdate(next) {
    return !isSame(this.props, next);
  }
  componentDidMount() {
    explain(this.base, this.props);
  }
  componentDidUpdate() {
    explain(this.base, this.props);
  }
  componentWillUnmount() {
    forget(this.base);
  }
  render(told) {
    return drawn(told);
  }
}

function drawn({ of, id, path, value, as = "usd", reason, state, text, brief }) {
  const known = value !== null && value !== undefined;
  const shown = text ?? (known || !reason ? FORMATS[as](value) : reason);
  const kinds = (state ?? "").split(/[ ,]+/).filter(Boolean).map((kind) => ` is-${kind}`).join("");
  return html`<data class=${`num${known ? "" : " is-unknown"}${kinds}`} value=${known ? String(value) : ""} data-key=${of ? `${of}|${id}|${path}` : undefined}
    tabindex="-1">${shown}${state ? html`<span class=${brief ? "mark visually-hidden" : "mark"}> ${state}</span>` : ""}</data>`;
}

// inputs are lists of lists, made anew each time
function isSame(one, other) {
  if (Object.is(one, other)) return true;
  if (!one || !other || typeof one !== "object" || typeof other !== "object") return false;
  const keys = Object.keys(other);
  return keys.length === Object.keys(one).length && keys.every((key) => isSame(one[key], other[key]));
}
