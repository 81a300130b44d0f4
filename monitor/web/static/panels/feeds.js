import { html } from "../html.js";
import { Panel } from "../panel.js";

export function Feeds({ store, view }) {
  return html`<${Panel} id="feeds" title="Feeds"></${Panel}>`;
}
