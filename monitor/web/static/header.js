// What stands above all panels: whether the page can be believed, and what is looked at.
import { html } from "./html.js";
import { age, clock } from "./format.js";

export function Header({ store, view }) {
  const monitor = store.row("monitor", "monitor");
  return html`<header class="top">
    <h1>marginwatch</h1>
    <p id="connection" data-connection=${store.connection} role="status">${store.connection} ${clock(store.asOfMs)} UTC</p>
    <label>Portfolio <select id="portfolio" value=${view.portfolio} onChange=${(event) => view.setPortfolio(event.target.value)}>
      ${monitor.portfolios.map((one) => html`<option value=${one.id}>${one.id}</option>`)}</select></label>
  </header>`;
}
