// Silences that hold, and how to add and end them.
import { html, useState } from "../html.js";
import { age } from "../format.js";
import { Time } from "./desk.js";
import { EndDialog } from "./alerts_dialogs.js";

export function Silences({ store, said, onAdd, onSaid }) {
  const [ending, end] = useState(null);
  const nowMs = store.nowMs();
  const silences = store.rows("silences").map(([, silence]) => silence).sort((one, other) => one.until_ms - other.until_ms);
  return html`<div class="tools"><h3 id="silences" tabindex="-1">Silences <span class="tally">${silences.length}</span></h3>
      <button type="button" onClick=${onAdd}>Add a silence</button></div>
    <p class="said" role="status">${said}</p>
    ${!silences.length && html`<p class="empty">Nothing is silenced.</p>`}
    <ul class="silences">${silences.map((silence) => html`<${Row} key=${silence.id} silence=${silence} nowMs=${nowMs} onEnd=${end} />`)}</ul>
    ${ending && html`<${EndDialog} silence=${ending} onClose=${(told) => (end(null), told && onSaid(told))} />`}`;
}

function Row({ silence, nowMs, onEnd }) {
  return html`<li><code>${silence.key}</code>
    <span>up to ${silence.up_to}, until <${Time} ms=${silence.until_ms} nowMs=${nowMs} />, ${left(silence.until_ms, nowMs)}</span>
    <span class="reason">“${silence.reason}” <span class="muted">${silence.id}</span></span>
    <button type="button" aria-label=${`End the silence of ${silence.key}`} onClick=${() => onEnd(silence)}>End</button></li>`;
}

const left = (untilMs, nowMs) => (untilMs > nowMs ? `${age((untilMs - nowMs) / 1000)} left` : "ending");
