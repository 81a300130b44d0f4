import { html } from "../html.js";
import { Panel } from "../panel.js";

export function WhatIf({ store, view }) {
  return html`<${Panel} id="what_if" title="WhatIf"></${Panel}>`;
}
