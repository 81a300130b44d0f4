import { html } from "../html.js";
import { Panel } from "../panel.js";

export function Utilisation({ store, view }) {
  return html`<${Panel} id="utilisation" title="Utilisation"></${Panel}>`;
}
