// What fires, what was told to whom, and silences.
import { html, useEffect, useRef, useState } from "../html.js";
import { Panel } from "../panel.js";
import { rank } from "../level.js";
import { Trouble } from "./desk.js";
import { Firing } from "./alerts_firing.js";
import { Told } from "./alerts_told.js";
import { Silences } from "./alerts_silences.js";
import { SilenceDialog } from "./alerts_dialogs.js";
import { ruleOf, whose, wordOf } from "./alerts_words.js";

export function Alerts({ store, view }) {
  const [silencing, silence] = useState(null); // the key that the dialog opens with
  const [said, say] = useState("");
  const firing = store.rows("alerts").map(([, alert]) => alert).sort(worstFirst);
  const problem = store.row("statistics", "monitor")?.outbox?.problem;
  useMarked(view.alert, Boolean(store.sections.alerts || store.sections.recent));
  return html`<${Panel} id="alerts" title="Alerts" wide
    about="What fires now, what was told to whom, and what is held back. An alert ends by itself once its cause is gone.">
    <${Announcer} firing=${store.sections.alerts} />
    ${problem && html`<${Trouble}>Alerts cannot be written to the disk: ${problem}. They go out all the same, from memory.</${Trouble}>`}
    <div class="alerts-board">
      <div><${Firing} store=${store} alerts=${firing} marked=${view.alert} onSilence=${silence} />
        <${Silences} store=${store} said=${said} onAdd=${() => silence("")} onSaid=${say} /></div>
      <div><${Told} store=${store} marked=${view.alert} /></div>
    </div>
    ${silencing !== null && html`<${SilenceDialog} pattern=${silencing} onClose=${(told) => (silence(null), told && say(told))} />`}
  </${Panel}>`;
}

function worstFirst(one, other) {
  return rank(other.level) - rank(one.level) || one.since_ms - other.since_ms || one.key.localeCompare(other.key);
}

// the link of an alert leads to it, once; afterwards the page stays where the reader moved it
function useMarked(key, known) {
  const scrolled = useRef(null);
  useEffect(() => {
    if (!key || !known || scrolled.current === key) return;
    scrolled.current = key;
    (document.getElementById(`alert-${key}`) ?? document.getElementById("panel-alerts")).scrollIntoView({ block: "center" });
  }, [key, known]);
}

// Two regions that stay, so that screen readers hear what comes into them; the focus stays where it is.
function Announcer({ firing }) {
  const before = useRef(null);
  const [told, tell] = useState({ polite: "", assertive: "" });
  useEffect(() => {
    if (!firing) return;
    const news = before.current ? newsOf(before.current, firing) : null;
    before.current = firing;
    if (news?.polite || news?.assertive) tell(news);
  }, [firing]);
  return ["polite", "assertive"].map((how) => html`<p key=${how} class="visually-hidden" aria-live=${how}>${told[how]}</p>`);
}

function newsOf(before, now) {
  const worse = Object.values(now).filter((alert) => !before[alert.key] || rank(alert.level) > rank(before[alert.key].level));
  const ended = Object.values(before).filter((alert) => !now[alert.key]);
  const isWorst = (alert) => alert.level === "liquidation";
  const sentence = (alert) => `${wordOf(alert)}: ${ruleOf(alert)}, ${whose(alert)}.`;
  return {
    assertive: worse.filter(isWorst).map(sentence).join(" "),
    polite: [...worse.filter((alert) => !isWorst(alert)).map(sentence), ...ended.map((alert) => `Ended: ${ruleOf(alert)}, ${whose(alert)}.`)].join(" "),
  };
}
