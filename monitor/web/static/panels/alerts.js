import { html } from "../html.js";
import { Panel } from "../panel.js";

export function Alerts({ store, view }) {
  return html`<${Panel} id="alerts" title="Alerts"></${Panel}>`;
}
