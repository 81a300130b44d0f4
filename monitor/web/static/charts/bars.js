// Bars beside figures: the figure says the value, the bar how it compares. The sign is a side of the zero line and a glyph.
import { html } from "../html.js";
import { linear } from "./scale.js";

const WIDTH = 120;
const HEIGHT = 14;

// from a zero line in the middle; `extent` is the largest size among the bars
export function SignedBar({ value, extent }) {
  const place = linear([-(extent || 1), extent || 1], [8, WIDTH - 8]);
  const [zero, end] = [place(0), place(value ?? 0)];
  const side = value > 0 ? "adds" : "takes";
  return html`<svg class="bar" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true">
    <line class="zero" x1=${zero} x2=${zero} y1="0" y2=${HEIGHT} />
    ${value ? html`<rect class=${side} x=${Math.min(zero, end)} width=${Math.max(0.5, Math.abs(end - zero))} y="3" height=${HEIGHT - 6} />
      <text class=${side} x=${value > 0 ? zero - 3 : zero + 3} y="10.5" text-anchor=${value > 0 ? "end" : "start"}>${value > 0 ? "+" : "−"}</text>` : ""}
  </svg>`;
}

// from the left edge; amounts in USD that are not negative, nothing where rounding leaves less than a cent
export function Bar({ value, extent, kind = "plain" }) {
  const width = value >= 0.005 && extent > 0 ? Math.max(0.5, (value / extent) * WIDTH) : 0;
  return html`<svg class="bar" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
    <rect class=${kind} x="0" width=${width} y="3" height=${HEIGHT - 6} /></svg>`;
}
