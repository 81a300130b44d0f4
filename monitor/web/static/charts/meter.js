// A utilisation as a bar with the three levels marked. The figure stands beside it, so it is hidden from screen readers.
import { html } from "../html.js";
import { number } from "../format.js";
import { linear } from "./scale.js";

const FULL = 1.1; // what lies beyond is told by the figure
const WIDTH = 110;
const place = linear([0, FULL], [0, WIDTH]);

export function Meter({ ratio, level, levels }) {
  const value = number(ratio);
  return html`<svg class="meter" viewBox=${`0 0 ${WIDTH} 12`} preserveAspectRatio="none" aria-hidden="true">
    <rect class="track" x="0" y="3" width=${WIDTH} height="6" />
    ${value === null ? "" : html`<rect class=${`used used-${level ?? "none"}`} x="0" y="3" width=${place(Math.min(FULL, Math.max(0, value)))} height="6" />`}
    ${["warning", "critical", "liquidation"].map((name) => html`<${Mark} key=${name} x=${place(levels[name])} high=${name === "liquidation"} />`)}
  </svg>`;
}

const Mark = ({ x, high }) => html`<line class="at-level" x1=${x} x2=${x} y1=${high ? 0 : 2} y2=${high ? 12 : 10} />`;
