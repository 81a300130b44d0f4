// Ratios over time: lines told apart by dash, levels across with their names, marks where alerts were told. Gaps stay gaps.
import { html, useEffect, useRef } from "../html.js";
import { clock, percent } from "../format.js";
import { SHAPES } from "../level.js";
import { explain, forget } from "../tooltip.js";
import { linear, ticks } from "./scale.js";
import { useWidth } from "./width.js";

const EDGE = { left: 46, right: 104, top: 12, bottom: 22 };
const NARROW = { ...EDGE, right: 14 };
const MINUTE_MS = 60_000;

// times: [from, to] in ms; stepMs between two values of a series; series: [{id, slot, values}], values null where there was none
// levels: [{at, level}]; marks: [{id, ms, at, level, text, details}]; `at`: the time that is looked at, `onAt` is told where the pointer is
export function Lines({ label, times, stepMs, series, levels, marks, top, at, onAt, height = 260 }) {
  const [box, width] = useWidth();
  const edge = width < 520 ? NARROW : EDGE;
  const frame = { x: linear(times, [edge.left, width - edge.right]), y: linear([0, top], [height - edge.bottom, edge.top]), edge, width, height, top };
  const look = (event) => {
    const within = event.currentTarget.getBoundingClientRect();
    const share = (((event.clientX - within.left) / within.width) * width - edge.left) / (width - edge.left - edge.right);
    onAt(share < 0 || share > 1 ? null : times[0] + share * (times[1] - times[0]));
  };
  return html`<div class="chart" ref=${box}>
    <svg class="lines" viewBox=${`0 0 ${width} ${height}`} role="group" aria-label=${label} onPointerMove=${look} onPointerLeave=${() => onAt(null)}>
    <${Axes} frame=${frame} times=${times} />
    ${levels.map((one) => html`<${Threshold} key=${one.level} frame=${frame} ...${one} />`)}
    ${series.map((one) => html`<path key=${one.id} class=${`series series-${one.slot}`} d=${pathOf(one.values, times[0], stepMs, frame)} />`)}
    ${at === null ? "" : html`<line class="at" x1=${frame.x(at)} x2=${frame.x(at)} y1=${edge.top} y2=${height - edge.bottom} />`}
    ${marks.map((one) => html`<${Mark} key=${one.id} frame=${frame} ...${one} />`)}
  </svg></div>`;
}

function Axes({ frame, times }) {
  const { x, y, edge, width, height, top } = frame;
  const every = MINUTE_MS * [1, 2, 5, 10, 20].find((one) => (times[1] - times[0]) / (one * MINUTE_MS) <= (width < 520 ? 4 : 8));
  const minutes = [];
  for (let ms = Math.ceil(times[0] / every) * every; ms <= times[1]; ms += every) minutes.push(ms);
  return html`<g class="axes" aria-hidden="true">
    ${ticks(0, top, 5).map((value) => html`<g key=${value}><line class="grid" x1=${edge.left} x2=${width - edge.right} y1=${y(value)} y2=${y(value)} />
      <text x=${edge.left - 6} y=${y(value) + 4} text-anchor="end">${percent(value, 0)}</text></g>`)}
    ${minutes.map((ms) => html`<g key=${ms}><line class="grid" x1=${x(ms)} x2=${x(ms)} y1=${edge.top} y2=${height - edge.bottom} />
      <text x=${x(ms)} y=${height - 6} text-anchor="middle">${clock(ms, { seconds: false, now: ms })}</text></g>`)}
  </g>`;
}

// the names stand outside of the lines where there is room
function Threshold({ frame, at, level }) {
  const { y, edge, width } = frame;
  const outside = edge === EDGE;
  const right = width - edge.right;
  const below = level === "warning" ? 8 : level === "liquidation" ? -1 : 3;
  return html`<g class=${`threshold threshold-${level}`} aria-hidden="true"><line x1=${edge.left} x2=${right} y1=${y(at)} y2=${y(at)} />
    <text x=${outside ? right + 4 : edge.left + 4}
      y=${outside ? y(at) + below : y(at) + (level === "warning" ? 10 : -2)}>${SHAPES[level]} ${percent(at, 0)}${outside ? ` ${level}` : ""}</text></g>`;
}

function Mark({ frame, ms, at, level, text, details }) {
  const inside = Math.min(at ?? 0, frame.top);
  const mark = useRef(null);
  useEffect(() => explain(mark.current, { figure: "alert_mark", value: text, as: "text", note: details.join("; ") }));
  useEffect(() => {
    const own = mark.current;
    return () => forget(own);
  }, []);
  return html`<g class=${`num mark mark-${level}`} tabindex="-1" role="img" aria-label=${text} ref=${mark}>
    <circle class="target" cx=${frame.x(ms)} cy=${frame.y(inside)} r="11" />
      <text x=${frame.x(ms)} y=${frame.y(inside) + 4} text-anchor="middle">${SHAPES[level] ?? "●"}</text></g>`;
}

// one value alone is a point; what is beyond the top runs along it
function pathOf(values, fromMs, stepMs, { x, y, top }) {
  let drawn = "";
  let open = false;
  values.forEach((value, place) => {
    if (value === null) {
      open = false;
      return;
    }
    const point = `${x(fromMs + place * stepMs).toFixed(1)} ${y(Math.min(value, top)).toFixed(1)}`;
    const alone = !open && (values[place + 1] ?? null) === null;
    drawn += alone ? `M${point}h0.1` : `${open ? "L" : "M"}${point}`;
    open = true;
  });
  return drawn;
}
