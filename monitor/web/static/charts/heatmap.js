// A heat map that is a table: every cell has its figure, its colour only repeats sign and size.
import { html } from "../html.js";

const STEPS = 5;

// columns, rows: [{key, head}]; cell(row, column) -> {value, content, mark}: `mark` is the word for the one cell that binds
export function Heatmap({ caption, corner, columns, rows, cell, extent }) {
  return html`<table class="heat"><caption>${caption}</caption>
    <thead><tr><th scope="col">${corner}</th>${columns.map((one) => html`<th scope="col" key=${one.key}>${one.head}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.key} class=${row.zero ? "now" : ""}><th scope="row">${row.head}</th>
      ${columns.map((column) => html`<${Cell} key=${column.key} ...${cell(row, column)} extent=${extent} />`)}</tr>`)}</tbody></table>`;
}

function Cell({ value, content, mark, extent }) {
  return html`<td class=${`${shade(value, extent)} ${mark ? "marked" : ""}`}>${mark
    ? html`<span class="mark-word"><span aria-hidden="true">◆</span> ${mark}</span> ` : ""}${content}</td>`;
}

// gain-1 .. gain-5, loss-1 .. loss-5, or even
function shade(value, extent) {
  if (!value || !(extent > 0)) return "even";
  return `${value > 0 ? "gain" : "loss"}-${Math.min(STEPS, Math.max(1, Math.ceil((Math.abs(value) / extent) * STEPS)))}`;
}

export function Key({ extent, format }) {
  const steps = [5, 4, 3, 2, 1];
  return html`<p class="heat-key"><span>loss ${format(-extent)}</span>
    <span class="swatches" aria-hidden="true">${steps.map((one) => html`<i class=${`loss-${one}`} />`)}
      <i class="even" />${steps.toReversed().map((one) => html`<i class=${`gain-${one}`} />`)}</span>
    <span>gain ${format(extent)}</span></p>`;
}
