// Whether what comes in can be relied on: subscriptions, connections, where market figures come from, and who is told.
import { html } from "../html.js";
import { Panel } from "../panel.js";
import { FeedsOfVenue, isLive } from "./feeds_venue.js";
import { Provenance } from "./feeds_market.js";
import { Itself } from "./feeds_monitor.js";

export function Feeds({ store, view }) {
  const feeds = store.rows("feeds");
  const live = feeds.filter(([, feed]) => isLive(feed)).length;
  const venues = [...new Set([...store.rows("venues").map(([venue]) => venue), ...feeds.map(([, feed]) => feed.venue)])].sort();
  const connections = store.rows("connections");
  const down = connections.filter(([, connection]) => !connection.connected).length;
  return html`<${Panel} id="feeds" title="Feeds" wide
    about="Every stream of data that figures rest on. A figure whose feed is silent is shown as stale, and an alert says so.">
    <p class="feeds-sum"><strong class=${live < feeds.length || !feeds.length ? "has-trouble" : ""}>${live} of ${feeds.length} feeds live</strong>,
      ${" "}<strong class=${down || !connections.length ? "has-trouble" : ""}>${connections.length - down} of ${connections.length} connections up</strong>.</p>
    <div class="venue-feeds">${venues.map((venue) => html`<${FeedsOfVenue} key=${venue} store=${store} venue=${venue} />`)}</div>
    <${Provenance} store=${store} portfolio=${view.portfolio} />
    <${Itself} store=${store} />
  </${Panel}>`;
}
