// The form of one change.
import { html } from "../html.js";
import { emptyDraft } from "./what_if_changes.js";

const KINDS = [["position", "Trade"], ["order", "Resting order"], ["transfer", "Transfer"]];

const NUMBER = { type: "number", min: "0", step: "any", inputmode: "decimal" };
const NAME = { spellcheck: false, autocomplete: "off" };

const options = (names) => names.map((name) => html`<option key=${name} value=${name}>${name}</option>`);

export function ChangeForm({ store, portfolio, accounts, draft, editing, error, onDraft, onKeep, onCancel }) {
  const set = (part) => onDraft({ ...draft, ...part });
  const wrong = error?.inForm ? error.field : null;
  const shared = { draft, set, wrong, message: error?.message };
  const known = fieldsOf(draft).includes(wrong);
  const submit = (event) => (event.preventDefault(), onKeep());
  return html`<form class="change-form" aria-label=${editing ? "Edit a change" : "A change"} onSubmit=${submit}>
    <fieldset class="kinds"><legend>${editing ? "Edit" : "Add"}</legend>
      ${KINDS.map(([kind, word]) => html`<label key=${kind}><input type="radio" name="kind" value=${kind} checked=${draft.kind === kind}
        onChange=${() => onDraft(emptyDraft(kind, draft.account || draft.from || accounts[0]))} /> ${word}</label>`)}</fieldset>
    ${draft.kind === "transfer"
      ? html`<${Transfer} ...${{ store, portfolio, accounts, ...shared }} />`
      : html`<${Trade} ...${{ store, accounts, ...shared }} />`}
    ${wrong !== null && !known && html`<p class="error" role="alert">${error.message}</p>`}
    <p class="tools"><button type="submit">${editing ? "Keep" : "Add to the list"}</button>
      ${editing && html`<button type="button" onClick=${onCancel}>Leave as it was</button>`}</p>
  </form>`;
}

function fieldsOf({ kind }) {
  if (kind === "transfer") return ["from", "to", "asset", "amount", "from_pool", "to_pool"];
  return ["account", "instrument", "direction", "size", "price", kind === "order" ? "reduce_only" : "side"];
}

function Trade({ store, accounts, draft, set, wrong, message }) {
  const field = fieldWith({ draft, set, wrong, message });
  const venue = store.row("monitor", "monitor").accounts.find((one) => one.id === draft.account)?.venue;
  const isOrder = draft.kind === "order";
  const reduceOnly = (event) => set({ reduce_only: event.target.checked });
  return html`<div class="fields">
    ${field("account", "Account", html`<select required>${options(accounts)}</select>`)}
    ${field("instrument", "Instrument", html`<input required list="what-if-instruments" ...${NAME} placeholder=${`${venue ?? "venue"}:…`} />`)}
    ${field("direction", "Direction", html`<select><option value="buy">buy (+)</option><option value="sell">sell (−)</option></select>`)}
    ${field("size", "Size, coins (USD if inverse)", html`<input required ...${NUMBER} />`)}
    ${isOrder
      ? field("price", "Limit price", html`<input required ...${NUMBER} />`)
      : field("price", "Price", html`<input ...${NUMBER} placeholder="at the mark" />`)}
    ${isOrder
      ? html`<label class="check"><input type="checkbox" checked=${draft.reduce_only} onChange=${reduceOnly} /> Reduce only</label>`
      : field("side", "Side of hedge mode", html`<select><option value="">none</option>${options(["long", "short"])}</select>`)}
    <datalist id="what-if-instruments">${options(instruments(store, draft.account, venue))}</datalist>
  </div>`;
}

// what the account holds first, then what others hold on its venue
function instruments(store, account, venue) {
  const held = store.rows("reports").flatMap(([, report]) => (report.units ?? []).flatMap((unit) => unit.positions ?? []));
  const own = held.filter((one) => one.account === account).map((one) => one.instrument);
  const others = held.map((one) => one.instrument).filter((name) => name.startsWith(`${venue}:`));
  return [...new Set([...own.sort(), ...others.sort()])];
}

function Transfer({ store, portfolio, accounts, draft, set, wrong, message }) {
  const field = fieldWith({ draft, set, wrong, message });
  const ends = html`<select><option value="">outside</option>${options(accounts)}</select>`;
  const pools = (key, account, label) => {
    const names = poolsOf(store, account);
    return names.length > 1 && field(key, label, html`<select><option value="">as the venue does</option>${options(names)}</select>`);
  };
  return html`<div class="fields">
    ${field("from", "From", ends)}${pools("from_pool", draft.from, "Out of the pool")}
    ${field("to", "To", ends)}${pools("to_pool", draft.to, "Into the pool")}
    ${field("asset", "Asset", html`<input required list="what-if-assets" ...${NAME} placeholder="USDC" />`)}
    ${field("amount", "Amount", html`<input required ...${NUMBER} />`)}
    <datalist id="what-if-assets">${options(assets(store, portfolio, accounts))}</datalist>
  </div>`;
}

const poolsOf = (store, account) => store.rows("pools").filter(([, row]) => row.account === account).map(([, row]) => row.pool);

function assets(store, portfolio, accounts) {
  const ofPools = store.rows("pools").filter(([, row]) => accounts.includes(row.account)).map(([, row]) => row.asset);
  const report = store.row("reports", portfolio);
  const fx = (report?.inputs ?? []).filter((one) => one.kind === "fx").map((one) => one.name);
  return [...new Set([...ofPools, ...fx, ...(report?.units ?? []).map((unit) => unit.coin)])].sort();
}

// a control with its label, its value, and what the API said of it
function fieldWith({ draft, set, wrong, message }) {
  return (name, label, control) => {
    const isWrong = wrong === name;
    const told = isWrong ? { "aria-invalid": "true", "aria-describedby": `what-if-${name}-error` } : {};
    const change = (event) => set({ [name]: event.target.value });
    const event = control.type === "select" ? "onChange" : "onInput";
    const id = `what-if-${name}`;
    const own = { ...control.props, ...told, id, name, value: draft[name], [event]: change };
    return html`<div key=${name} class="field"><label for=${id}>${label}</label><${control.type} ...${own} />
      ${isWrong && html`<span class="error" id=${`${id}-error`} role="alert">${message}</span>`}</div>`;
  };
}
