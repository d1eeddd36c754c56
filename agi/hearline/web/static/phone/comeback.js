// A reload in a talk: Asterisk keeps the call for some seconds, and this remembers which one it was, so that the page can
// take it back. No number and no password is kept.

const KEPT = "phone-talk"; // {agent, dialog, at}
const EVERY_MS = 1000; // how often `at` is renewed: it is when the page died
// Asterisk gives the call up after 15 s without sound (rtp_timeout), and since it counts whole seconds, perhaps after 14.
// Then the agent is rung, and the key that answers must not go to an offer that is void.
const LASTS_MS = 13_500;

export class Comeback {
  #timer = 0;
  #write = () => {};

  /** Remember this talk as long as it goes on. */
  keep(agent, dialog) {
    this.forget();
    this.#write = () => localStorage.setItem(KEPT, JSON.stringify({ agent, dialog, at: Date.now() }));
    this.#write();
    this.#timer = setInterval(this.#write, EVERY_MS);
    addEventListener("pagehide", this.#write);
  }

  forget() {
    clearInterval(this.#timer);
    removeEventListener("pagehide", this.#write);
    localStorage.removeItem(KEPT);
  }

  /** The talk that this agent's page was in when it died: `{dialog, left_ms}`; null if there is none. */
  find(agent) {
    try {
      const kept = JSON.parse(localStorage.getItem(KEPT));
      const left_ms = kept.at + LASTS_MS - Date.now();
      return kept.agent === agent && left_ms > 0 ? { dialog: kept.dialog, left_ms } : null;
    } catch {
      return null;
    }
  }
}

/** The headers of an INVITE that takes the place of this dialog's phone. */
export const replacing = ({ callId, ours, theirs }) => [
  `Replaces: ${callId};to-tag=${theirs};from-tag=${ours}`,
  "Require: replaces",
];
