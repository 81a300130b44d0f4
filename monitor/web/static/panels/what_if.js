// Hypothetical changes of the chosen portfolio, and what its margin would be. Nothing is sent anywhere.
import { html, useRef, useState } from "../html.js";
import { Panel } from "../panel.js";
import { post } from "../api.js";
import { milliseconds } from "../format.js";
import { ChangeForm } from "./what_if_form.js";
import { Result } from "./what_if_result.js";
import { changeOf, closing, draftOf, emptyDraft, inWords } from "./what_if_changes.js";

export function WhatIf({ store, view }) {
  const [last, setLast] = useState(null);
  return html`<${Panel} id="what_if" title="What-if" wide asOf=${last?.portfolio === view.portfolio ? milliseconds(last.as_of) : ""}
    about="Put trades, orders and transfers together and see what margin, every account's own ratio and the portfolio's would become.">
    <p class="hypothetical"><span aria-hidden="true">◇</span> Hypothetical. Nothing is sent anywhere.</p>
    <${Workbench} key=${view.portfolio} store=${store} portfolio=${view.portfolio} onResult=${setLast} />
  </${Panel}>`;
}

function Workbench({ store, portfolio, onResult }) {
  const accounts = store.row("monitor", "monitor").portfolios.find((one) => one.id === portfolio)?.accounts ?? [];
  const [state, setState] = useState({ changes: [], draft: emptyDraft("position", accounts[0]), editing: null, error: null, busy: false });
  const [result, setResult] = useState(null);
  const form = useRef(null);
  const set = (part) => setState((before) => ({ ...before, ...part }));
  const report = store.row("reports", portfolio);

  const compute = async (changes) => {
    if (!changes.length) return set({ error: { field: "", message: "Add a change to the list first." } });
    set({ busy: true, error: null });
    try {
      // with the edited snapshot at once: what is saved later is what these figures are of
      const answer = await post(`/api/v1/portfolios/${encodeURIComponent(portfolio)}/what-if?snapshot=1`, { changes });
      setResult({ ...answer, changes });
      onResult(answer);
      set({ busy: false });
    } catch (error) {
      const found = refused(error, changes);
      set({ busy: false, ...found });
      if (found.draft) focusOn(form.current, `[name="${found.error.field}"]`);
    }
  };
  const keep = () => {
    const change = changeOf(state.draft);
    const place = state.editing ?? state.changes.length;
    const changes = [...state.changes.slice(0, place), change, ...state.changes.slice(place + 1)];
    set({ changes, editing: null, error: null, draft: emptyDraft(state.draft.kind, state.draft.account ?? accounts[0]) });
  };
  const edit = (place) => set({ editing: place, draft: draftOf(state.changes[place]), error: null });
  const drop = (place) => {
    set({ changes: state.changes.filter((_, at) => at !== place), editing: null, error: null });
    focusOn(form.current, state.changes.length > 1 ? `.changes li:nth-child(${Math.max(1, place)}) button` : KIND);
  };
  const clear = () => {
    set({ changes: [], editing: null, error: null });
    focusOn(form.current, KIND);
  };
  const cancel = () => {
    set({ editing: null, error: null });
    focusOn(form.current, KIND);
  };
  const example = () => {
    const changes = [closing(report)];
    set({ changes, editing: null, error: null });
    compute(changes);
  };
  const isWrong = state.error && !state.error.inForm;
  return html`<div class="workbench">
    <div class="what-if-input" ref=${form}>
      <${ChangeForm} ...${{ store, portfolio, accounts, draft: state.draft, editing: state.editing !== null, error: state.error }}
        onDraft=${(draft) => set({ draft })} onKeep=${keep} onCancel=${cancel} />
      <${Changes} ...${{ changes: state.changes, editing: state.editing, onEdit: edit, onDrop: drop }} />
      ${isWrong && html`<p class="error" role="alert">${state.error.message}</p>`}
      <p class="tools">
        <button type="button" class="primary" aria-disabled=${state.busy} onClick=${() => state.busy || compute(state.changes)}>
          ${state.busy ? "Computing …" : "Compute"}</button>
        ${closing(report) && html`<button type="button" onClick=${example}>Example: close the largest position</button>`}
        ${state.changes.length > 0 && html`<button type="button" onClick=${clear}>Clear</button>`}
      </p>
    </div>
    <div class="what-if-result" aria-busy=${state.busy}>
      <p class="visually-hidden" role="status">${result ? `Computed: ${result.changes.map(inWords).join("; ")}` : ""}</p>
      ${result
        ? html`<${Result} ...${{ result, portfolio, nowMs: store.nowMs(), isOf: result.changes === state.changes }} />`
        : html`<p class="empty">The result stands here: before, after, and the difference.</p>`}
    </div>
  </div>`;
}

function Changes({ changes, editing, onEdit, onDrop }) {
  if (!changes.length) return html`<p class="empty">No change yet.</p>`;
  return html`<ol class="changes" aria-label="Changes, in their order">
    ${changes.map((change, place) => html`<li key=${place} class=${place === editing ? "is-marked" : ""}>
      <span>${inWords(change)}</span> ${" "}
      <span class="tools"><button type="button" aria-label=${`Edit: ${inWords(change)}`} onClick=${() => onEdit(place)}>Edit</button>
        <button type="button" aria-label=${`Remove: ${inWords(change)}`} onClick=${() => onDrop(place)}>Remove</button></span></li>`)}</ol>`;
}

const FIELD = /^changes\[(\d+)\](?:\.(\w+))?/;

// the form has some fields of the API under another name
const ALIASES = { quantity: "size", limit_price: "price" };

// an error of one change opens that change, with what is wrong beside its field
function refused(error, changes) {
  const [, place, key = ""] = FIELD.exec(error.field ?? "") ?? [];
  if (!changes[place]) return { error: { field: "", message: error.message } };
  const message = error.message.replace(`${error.field}: `, "");
  return { editing: Number(place), draft: draftOf(changes[place]), error: { field: ALIASES[key] ?? key, message, inForm: true } };
}

const KIND = "[name=kind]:checked";

// once it is drawn: a button that was pressed may be gone, and the focus with it
function focusOn(element, selector) {
  requestAnimationFrame(() => requestAnimationFrame(() => element?.querySelector(selector)?.focus()));
}
