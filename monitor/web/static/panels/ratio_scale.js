// Ratios over a move of the price, on a scale on which 2 % and 10 % can be told apart as well as 85 % and 100 %.
import { html } from "../html.js";
import { percent } from "../format.js";
import { Curve } from "../charts/curve.js";

const LEVELS = [{ at: 0.85, level: "warning", text: "85%" }, { at: 0.9, level: "critical", text: "90%" }, { at: 1, level: "liquidation", text: "100%" }];
const TICKS = [0, 0.02, 0.1, 0.25, 0.5, 1, 1.5];
const TOP = 1.5;

export function Ratios({ label, moves, series, marks, height, axis }) {
  const scale = { from: 0, to: TOP, root: true, ticks: TICKS, format: (value) => percent(value, 0) };
  const over = series.some((one) => one.values.some((value) => value === "Infinity" || value > TOP));
  return html`<${Curve} label=${label} moves=${moves} series=${series} levels=${LEVELS} marks=${marks} scale=${scale} height=${height} axis=${axis} />
    <p class="note">Square-root scale.${over ? " Above 150% the line is drawn dotted along the upper edge." : ""}</p>`;
}
