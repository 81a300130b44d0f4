// The dialogs of what really happens: a silence is added, or ended. Errors stand as the API says them.
import { html, useEffect, useRef, useState } from "../html.js";
import { post, remove } from "../api.js";
import { Trouble } from "./desk.js";

const SILENCES = "/api/v1/silences";
const FOR_S = [[900, "15 minutes"], [3600, "1 hour"], [7200, "2 hours"], [28_800, "8 hours"], [86_400, "1 day"], [604_800, "7 days"]];
const UP_TO = [["warning", "warning only"], ["critical", "critical and below"], ["liquidation", "everything, liquidation too"]];

export function SilenceDialog({ pattern, onClose }) {
  const [form, setForm] = useState({ key: pattern, for_s: 3600, reason: "", up_to: "critical" });
  const [error, setError] = useState(null);
  const set = (name) => (event) => setForm({ ...form, [name]: event.target.value });
  const field = (name) => (error?.field === name ? { "aria-invalid": "true", "aria-describedby": "silence-error" } : {});
  const add = async () => {
    const { silence, fits } = await post(SILENCES, { ...form, for_s: Number(form.for_s) });
    return `Silence ${silence.id} of ${silence.key} holds. ${fitting(fits)}`;
  };
  return html`<${Dialog} title="Silence alerts" action=${`Silence for ${wordsOf(form.for_s)}`} run=${add} onError=${setError} onClose=${onClose}>
    <p>Alerts whose key fits are not sent for a while. They are still watched and shown here, and what still fires at the end is told then.</p>
    <label>Key of the alerts <input required maxlength="200" spellcheck=${false} value=${form.key} onInput=${set("key")} ...${field("key")} /></label>
    <p class="hint">An alert's key, or a pattern with * and ?, such as <code>hyperliquid/hl-main/*</code> or <code>*/data</code>.</p>
    <label>For how long <select value=${form.for_s} onChange=${set("for_s")} ...${field("for_s")}>${options(FOR_S)}</select></label>
    <label>Up to level <select value=${form.up_to} onChange=${set("up_to")} ...${field("up_to")}>${options(UP_TO)}</select></label>
    ${form.up_to === "liquidation" && html`<${Trouble}>Nobody will be told of liquidations either.</${Trouble}>`}
    <label>Reason <input required maxlength="500" autofocus=${Boolean(pattern)} value=${form.reason} onInput=${set("reason")} ...${field("reason")} /></label>
    ${error && html`<p id="silence-error" class="error" role="alert">${error.message}</p>`}
  </${Dialog}>`;
}

export function EndDialog({ silence, onClose }) {
  const [error, setError] = useState(null);
  const end = async () => {
    await remove(`${SILENCES}/${encodeURIComponent(silence.id)}`);
    return `The silence of ${silence.key} is ended.`;
  };
  return html`<${Dialog} title="End this silence?" action="End the silence" openerGoes run=${end} onError=${setError} onClose=${onClose}>
    <p><code>${silence.key}</code>, up to ${silence.up_to}: “${silence.reason}”</p>
    <p>What it held back and still fires is told at once.</p>
    ${error && html`<p class="error" role="alert">${error.message}</p>`}
  </${Dialog}>`;
}

// `run` does it and gives the sentence that says so; the focus goes back to where it came from, or to the list where that is gone
function Dialog({ title, action, openerGoes, run, onError, onClose, children }) {
  const dialog = useRef(null);
  const done = useRef(false);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    const opener = document.activeElement;
    dialog.current.showModal();
    const isBackTo = () => opener?.isConnected && !(done.current && openerGoes);
    return () => requestAnimationFrame(() => (isBackTo() ? opener : document.getElementById("silences"))?.focus());
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    onError(null);
    try {
      const told = await run();
      done.current = true;
      onClose(told);
    } catch (error) {
      onError(error);
      setBusy(false);
    }
  };
  return html`<dialog ref=${dialog} aria-labelledby="dialog-title" onClose=${() => onClose(null)}>
    <form onSubmit=${submit}><h2 id="dialog-title">${title}</h2>${children}
      <p class="tools"><button type="submit" class="primary" aria-disabled=${busy}>${action}</button>
        <button type="button" onClick=${() => onClose(null)}>Cancel</button></p></form></dialog>`;
}

const options = (choices) => choices.map(([value, word]) => html`<option key=${value} value=${value}>${word}</option>`);

const wordsOf = (seconds) => FOR_S.find(([value]) => value === Number(seconds))[1];

function fitting(fits) {
  if (fits === 0) return "No alert that fires now has such a key: is it written right?";
  return fits === 1 ? "1 alert that fires now has such a key." : `${fits} alerts that fire now have such a key.`;
}
