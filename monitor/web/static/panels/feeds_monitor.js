// The monitor itself: whether it reaches those it tells, keeps what it told, and how much it did.
import { html } from "../html.js";
import { Num } from "../number.js";
import { age } from "../format.js";
import { State, Table, Time, Trouble } from "./desk.js";

export function Itself({ store }) {
  const row = store.row("statistics", "monitor");
  const monitor = store.row("monitor", "monitor");
  const nowMs = store.nowMs();
  if (!row) return "";
  return html`<h3>The monitor itself</h3>
    ${monitor?.unready?.length > 0 && html`<${Trouble}>not ready: ${monitor.unready.join(", ")}</${Trouble}>`}
    <${Receivers} receivers=${row.receivers} />
    <dl class="states">
      <${Outbox} outbox=${row.outbox} nowMs=${nowMs} />
      <${Heartbeat} beat=${row.heartbeat} nowMs=${nowMs} />
      <${Recording} recording=${row.recording} />
      <${ParseErrors} errors=${row.parse_errors} />
      <${Fact} name="Evaluations">${figure("evaluations", row.evaluations, "evaluations")}
        ${monitor?.started_ms && html` <span class="muted">since <${Time} ms=${monitor.started_ms} nowMs=${nowMs} /></span>`}</${Fact}>
      <${Fact} name="Pages connected">${figure("pages", row.pages, "pages")}</${Fact}>
    </dl>`;
}

const figure = (path, value, name, as = "count") => html`<${Num} of="statistics" id="monitor" path=${path} value=${value} as=${as} figure=${name} />`;

function Fact({ name, trouble, children }) {
  const mark = trouble ? html`<span aria-hidden="true">▲</span> ` : "";
  return html`<div class=${trouble ? "fact has-trouble" : "fact"}><dt>${mark}${name}</dt><dd>${children}</dd></div>`;
}

const COUNTS = ["delivered", "waiting", "silenced", "escalated", "failed"];
const COLUMNS = ["Receiver", null, "Delivered", "Waiting", "Silenced", "Passed on", "Given up"];

function Receivers({ receivers }) {
  if (!receivers.length) return html`<${Trouble}>No receiver is configured: nobody is told of alerts.</${Trouble}>`;
  return html`<${Table} label="Receivers of alerts" columns=${COLUMNS}>
    ${receivers.map((one, place) => html`<${Receiver} key=${one.name} one=${one} path=${`receivers.${place}`} />`)}</${Table}>`;
}

function Receiver({ one, path }) {
  const [name, shape, word] = one.failing ? ["down", "✕", "failing"] : ["fresh", "●", "works"];
  const failing = figure(`${path}.failing`, one.failing, "receiver_failing");
  return html`<tr><th scope="row"><${State} name=${name} shape=${shape} word=${word} /> ${one.name}
      ${one.failing > 0 && html` <span class="failure">${failing} times in a row: ${one.last_error}</span>`}</th>
    ${COUNTS.map((count) => html`<td class="n" key=${count}>${figure(`${path}.${count}`, one[count], `receiver_${count}`)}</td>`)}</tr>`;
}

function Outbox({ outbox, nowMs }) {
  const oldest = outbox.oldest_pending_ms;
  const count = (name) => figure(`outbox.${name}`, outbox[name], `outbox_${name}`);
  return html`<${Fact} name="Outbox" trouble=${outbox.problem}>${outbox.problem || "works"}, ${count("pending")} to deliver
    ${oldest && html` <span class="muted">(the oldest for ${age((nowMs - oldest) / 1000)})</span>`}
    , ${count("writes")} writes, ${count("failures")} failed</${Fact}>`;
}

function Heartbeat({ beat, nowMs }) {
  if (!beat) return html`<${Fact} name="Heartbeat">not configured</${Fact}>`;
  const problem = beat.withheld_because ? `withheld: ${beat.withheld_because}` : beat.last_error ? `failing: ${beat.last_error}` : "";
  const count = (name) => figure(`heartbeat.${name}`, beat[name], `heartbeat_${name}`);
  return html`<${Fact} name="Heartbeat" trouble=${problem}>${problem && `${problem}, `}${count("sent")} sent
    ${beat.last_sent_ms && html` <span class="muted">(the last ${age((nowMs - beat.last_sent_ms) / 1000)} ago)</span>`}
    , ${count("withheld")} withheld, ${count("failed")} failed</${Fact}>`;
}

function Recording({ recording }) {
  if (!recording) return html`<${Fact} name="Recording">off</${Fact}>`;
  const problem = [recording.failing && "failing, ", !recording.replayable && "not replayable, "].filter(Boolean).join("");
  const count = (name) => figure(`recording.${name}`, recording[name], `recording_${name}`);
  const rate = recording.gb_per_day === null ? "" : figure("recording.gb_per_day", recording.gb_per_day, "recording_rate", "quantity");
  return html`<${Fact} name="Recording" trouble=${problem}>${problem}${count("ops")} ops, ${count("dropped")} dropped
    ${rate && html`, ${rate} GB a day`}</${Fact}>`;
}

function ParseErrors({ errors }) {
  if (!errors.length) return html`<${Fact} name="Parse errors">none</${Fact}>`;
  const count = (place) => figure(`parse_errors.${place}.count`, errors[place].count, "parse_errors");
  return html`<${Fact} name="Parse errors" trouble=${true}><ul>
    ${errors.map((one, place) => html`<li key=${`${one.venue}|${one.feed}|${one.kind}`}>${count(place)} × ${one.kind} in ${one.venue} ${one.feed}</li>`)}
  </ul></${Fact}>`;
}
