import { html } from "../html.js";
import { Panel } from "../panel.js";

export function Contribution({ store, view }) {
  return html`<${Panel} id="contribution" title="Contribution"></${Panel}>`;
}
