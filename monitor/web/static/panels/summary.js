import { html } from "../html.js";
import { Panel } from "../panel.js";
import { Num } from "../number.js";
import { Level } from "../level.js";

export function Summary({ store, view }) {
  const pools = store.rows("pools");
  return html`<${Panel} id="summary" title="Risk summary" wide>
    <table><thead><tr><th scope="col">Pool</th><th scope="col">Level</th><th scope="col">Utilisation</th><th scope="col">Equity</th></tr></thead><tbody>
    ${pools.map(([id, row]) => html`<tr key=${id}><th scope="row">${row.account} ${row.pool}</th><td><${Level} level=${row.level} /></td>
      <td><${Num} of="pools" id=${id} path="margin_ratio" value=${row.margin_ratio} as="percent" figure="margin_ratio" inputs=${[["maintenance margin", row.maintenance_margin, "usd"], ["equity", row.equity, "usd"]]} /></td>
      <td><${Num} of="pools" id=${id} path="equity" value=${row.equity} as="usd" figure="equity" /></td></tr>`)}
    </tbody></table></${Panel}>`;
}
