import { html } from "../html.js";
import { Panel } from "../panel.js";

export function Calendar({ store, view }) {
  return html`<${Panel} id="calendar" title="Calendar"></${Panel}>`;
}
