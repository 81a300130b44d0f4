import { html } from "../html.js";
import { Panel } from "../panel.js";

export function Venues({ store, view }) {
  return html`<${Panel} id="venues" title="Venues"></${Panel}>`;
}
