import { html } from "../html.js";
import { Panel } from "../panel.js";

export function Modes({ store, view }) {
  return html`<${Panel} id="modes" title="Modes"></${Panel}>`;
}
