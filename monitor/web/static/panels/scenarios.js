import { html } from "../html.js";
import { Panel } from "../panel.js";

export function Scenarios({ store, view }) {
  return html`<${Panel} id="scenarios" title="Scenarios"></${Panel}>`;
}
