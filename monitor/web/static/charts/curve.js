// Figures over a price move: lines told apart by dash and marker, levels across, marked moves upright, what is off the scale on its edge.
import { html } from "../html.js";
import { move } from "../format.js";
import { SHAPES } from "../level.js";
import { linear, rooted, ticks } from "./scale.js";
import { useWidth } from "./width.js";

const EDGE = { left: 50, right: 58, top: 14, bottom: 32 };
const ROW = 12; // a line of labels
const LINES = 6;

// series: [{name, values}] over `moves`; values null where unknown, "Infinity" beyond every scale
// levels: [{at, level, text}] across; marks: [{at, level, text}] upright, at moves; scale: {from, to, root, format, ticks}: beyond `to` is drawn on the edge
export function Curve({ label, moves, series, levels = [], marks = [], scale, height = 220, axis }) {
  const [box, width] = useWidth();
  const x = linear([moves[0], moves.at(-1)], [EDGE.left, width - EDGE.right]);
  const seen = marks.filter((one) => one.at >= moves[0] && one.at <= moves.at(-1));
  const top = EDGE.top + (seen.length ? ROW * Math.ceil(seen.length / 2) : 0);
  const frame = { x, y: upright(scale, [height - EDGE.bottom, top]), width, height, top };
  return html`<div class="chart" ref=${box}><svg viewBox=${`0 0 ${width} ${height}`} role="img" aria-label=${label}>
    <${Axes} frame=${frame} moves=${moves} scale=${scale} axis=${axis} />
    ${labelled(levels, frame).map((one) => html`<${Limit} key=${one.level} frame=${frame} ...${one} />`)}
    ${series.map((one, number) => html`<${Line} frame=${frame} moves=${moves} scale=${scale} values=${one.values} number=${one.number ?? number}
      alone=${series.length === 1} />`)}
    ${[seen.filter((one) => one.at < 0), seen.filter((one) => one.at >= 0)].map((side) =>
      side.map((one, row) => html`<${Mark} key=${one.text} frame=${frame} ...${one} row=${row} />`))}
  </svg></div>`;
}

const upright = (scale, range) => (scale.root ? rooted : linear)([scale.from, scale.to], range);

function Axes({ frame, moves, scale, axis }) {
  const { x, y, width, height, top } = frame;
  const foot = height - EDGE.bottom;
  const values = scale.ticks ?? ticks(scale.from, scale.to, 6);
  return html`<g class="axes">
    ${values.map((value) => html`<g key=${value}>
      <line class=${value === 0 ? "zero" : "grid"} x1=${EDGE.left} x2=${width - EDGE.right} y1=${y(value)} y2=${y(value)} />
      <text x=${EDGE.left - 6} y=${y(value) + 3.5} text-anchor="end">${scale.format(value)}</text></g>`)}
    ${ticks(moves[0], moves.at(-1), width < 420 ? 4 : 10).map((value) => html`<g key=${value}>
      <line class=${value === 0 ? "zero" : "grid"} x1=${x(value)} x2=${x(value)} y1=${top} y2=${foot} />
      <text x=${x(value)} y=${foot + 13} text-anchor="middle">${move(value, 0)}</text></g>`)}
    <text class="axis" x=${(EDGE.left + width - EDGE.right) / 2} y=${height - 3} text-anchor="middle">${axis}</text></g>`;
}

// labels of levels stand beside the chart, from the highest down, none over another
function labelled(levels, { y }) {
  let last = -Infinity;
  return levels.toSorted((a, b) => b.at - a.at).map((one) => ({ ...one, label: (last = Math.max(y(one.at) - 3, last + ROW)) }));
}

function Limit({ frame, at, level, text, label }) {
  const [y, right] = [frame.y(at), frame.width - EDGE.right];
  return html`<g class=${`limit ${level}`}><line x1=${EDGE.left} x2=${right} y1=${y} y2=${y} />
    <text x=${right + 5} y=${label}>${SHAPES[level]} ${text}</text></g>`;
}

function Mark({ frame, at, level, text, row }) {
  const [x, down] = [frame.x(at), at < 0];
  const y = 10 + row * ROW;
  // a label that has no room on its side stands on the other
  const left = down ? x > 110 : x > frame.width - 110;
  return html`<g class=${`limit ${level}`}><line x1=${x} x2=${x} y1=${y - 8} y2=${frame.height - EDGE.bottom} />
    <text x=${left ? x - 3 : x + 3} y=${y} text-anchor=${left ? "end" : "start"}>${SHAPES[level]} ${text}</text></g>`;
}

function Line({ frame, moves, scale, values, number, alone }) {
  const points = moves.map((at, place) => ({ at, value: values[place] === "Infinity" ? Infinity : values[place] }));
  const { inside, over } = paths(points, scale, frame);
  const every = Math.ceil(moves.length / 7);
  const shown = alone ? [] : points.filter((one, place) => place % every === Math.floor((number * every) / 3) % every && isInside(one.value, scale));
  return html`<g class=${`line line-${number % LINES}`}><path d=${inside} /><path class="over" d=${over} />
    ${shown.map((one) => html`<path key=${one.at} class="marker" d=${marker(number, frame.x(one.at), frame.y(one.value))} />`)}</g>`;
}

const isInside = (value, scale) => value !== null && value <= scale.to && value >= scale.from;

// where it leaves the scale the line goes to the edge and on along it
function paths(points, scale, { x, y }) {
  const [edge, drawn] = [y(scale.to), { inside: "", over: "" }];
  const put = (to, from, until) => (drawn[to] += `M${from.map(round)}L${until.map(round)}`);
  points.slice(1).forEach((next, place) => {
    const last = points[place];
    if (last.value === null || next.value === null) return;
    const [beyond, later] = [last.value > scale.to, next.value > scale.to];
    if (!beyond && !later) return put("inside", [x(last.at), y(last.value)], [x(next.at), y(next.value)]);
    if (beyond && later) return put("over", [x(last.at), edge], [x(next.at), edge]);
    const [low, high] = beyond ? [next, last] : [last, next];
    const away = x(low.at) + (x(high.at) - x(low.at)) * share(y(low.value), edge, y(high.value));
    put("inside", [x(low.at), y(low.value)], [away, edge]);
    put("over", [away, edge], [x(high.at), edge]);
  });
  return drawn;
}

// how much of the way from one height to another lies before the edge; no telling of an endless one, so none
const share = (low, edge, high) => (Number.isFinite(high) && high !== low ? (edge - low) / (high - low) : 0.5);

const round = (value) => Math.round(value * 10) / 10;

const MARKERS = [
  (x, y) => `M${x - 3} ${y}a3 3 0 1 0 6 0a3 3 0 1 0 -6 0`,
  (x, y) => `M${x - 3} ${y - 3}h6v6h-6z`,
  (x, y) => `M${x} ${y - 4}l4 7h-8z`,
  (x, y) => `M${x} ${y - 4}l4 4l-4 4l-4 -4z`,
  (x, y) => `M${x} ${y + 4}l4 -7h-8z`,
  (x, y) => `M${x - 4} ${y}h8M${x} ${y - 4}v8`,
];

const marker = (number, x, y) => MARKERS[number % LINES](round(x), round(y));

// how a line looks, for the table that names it
export function Sample({ number }) {
  return html`<svg class="sample" viewBox="0 0 34 12" aria-hidden="true"><g class=${`line line-${number % LINES}`}>
    <path d="M0 6H34" /><path class="marker" d=${marker(number, 17, 6)} /></g></svg>`;
}
