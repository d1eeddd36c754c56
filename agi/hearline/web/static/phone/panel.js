// The phone's part of the page: what it shows, its buttons and its keys.

import { announce, by, clock, make, write } from "../dom.js";
import { words } from "../words.js";
import { askForNotifications } from "./alert.js";
import { Phone } from "./phone.js";
import { PhoneSettings } from "./settings.js";

const CLOCK_MS = 250;
const CONFIRM_MS = 4000;
const WHISPER_MS = 10_000; // longer than any whisper; should the news of the join not come, the agent is taken to talk
const KEYS = "123456789*0#";
const GAP_PX = 12; // between the phone that stays in view and what is focused below it
const ECHO = "600"; // the extension that echoes

export class PhonePanel {
  #state = null;
  #open = ""; // which part is open: "to", "keypad" or none
  #confirming = 0;
  #said = "";
  #hinted = false; // whether it shows that the agent hears the whisper

  /** `tell(text)`: shows a notice. `caller()`: the texts for a notification of the call that rings, [title, text]. */
  constructor({ tell, caller }) {
    this.tell = tell;
    this.phone = new Phone({ changed: () => this.show(), rings: caller, tell: (what, call) => this.#happened(what, call) });
    this.settings = new PhoneSettings({ tell, echoCall: () => this.phone.call(ECHO) });
    by("tel-keys").replaceChildren(
      ...[...KEYS].map((key) => make("button", { type: "button", "data-digit": key }, key)),
    );
    by("tel").addEventListener("click", (event) => {
      const { tel, digit } = event.target.closest("button")?.dataset ?? {};
      if (tel) this.#do[tel]();
      if (digit) this.#press(digit);
    });
    by("tel-to").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#dial(this.phone.main ? "ask" : "call");
    });
    by("tel-digits").addEventListener("beforeinput", (event) => {
      if (event.data) this.#press(event.data);
      event.preventDefault();
    });
    by("tel-on").addEventListener("change", () => {
      if (by("tel-on").checked) askForNotifications();
      this.phone.want(by("tel-on").checked);
    });
    by("tel-settings").addEventListener("click", () => this.settings.open());
    setInterval(() => (this.#hinted === this.#hearsWhisper() ? this.#showClock() : this.show()), CLOCK_MS);
    new ResizeObserver(() => {
      document.documentElement.style.setProperty("--tel-height", `${by("tel").offsetHeight}px`);
    }).observe(by("tel"));
    document.addEventListener("focusin", ({ target }) => this.#uncover(target));
  }

  /** Scroll what the keyboard has focused out from under the phone, where that stays in view. Styles alone do this for
   * buttons, but not for fields, of which browsers look at the caret. */
  #uncover(element) {
    const tel = by("tel");
    const follows = tel.compareDocumentPosition(element) === Node.DOCUMENT_POSITION_FOLLOWING;
    if (!follows || !tel.parentElement.contains(element) || !element.matches(":focus-visible")) return;
    if (getComputedStyle(tel).position !== "sticky") return;
    const covered = tel.getBoundingClientRect().bottom + GAP_PX - element.getBoundingClientRect().top;
    if (covered > 0) scrollBy(0, -covered);
  }

  /** The keys of the page that are the phone's: what to do, by key. */
  get shortcuts() {
    if (this.phone.standing === "off") return {};
    const click = (name) => () => by("tel").querySelector(`[data-tel=${name}]:not([hidden])`)?.click();
    return {
      p: () => by("tel").focus(),
      a: () => (this.phone.offer ? this.#do.back() : this.phone.ringing && this.#do.answer()),
      e: () => this.#end(),
      m: click("mute"),
      w: click("hold"),
      t: click("to"),
      k: click("keypad"),
      j: click("join"),
    };
  }

  get helpKeys() {
    return this.phone.offered ? words().phone.help_keys : [];
  }

  get inCall() {
    return this.phone.calls.length > 0;
  }

  /** Show the server's state of the agent. */
  follow(state) {
    this.#state = state;
    this.phone.follow(state);
  }

  /** Write everything in the chosen language. */
  speak() {
    for (const element of document.querySelectorAll("[data-p]")) write(element, words().phone[element.dataset.p]);
    by("tel-number").placeholder = words().phone.number_hint;
    for (const button of by("tel-keys").children)
      if (words().phone.key_names[button.dataset.digit])
        button.setAttribute("aria-label", words().phone.key_names[button.dataset.digit]);
    this.settings.speak();
    this.show();
  }

  // ---- what it shows ------------------------------------------------------------------------------------------------
  show() {
    const { phone } = this;
    const { standing, ringing, main, consult, offer } = phone;
    const said = words().phone;
    const focused = by("tel").contains(document.activeElement) && document.activeElement;
    by("tel-choice").hidden = !phone.offered;
    by("tel-on").checked = phone.wanted;
    by("tel").hidden = standing === "off";
    by("tel").dataset.standing = standing;
    const paused = standing === "ready" && phone.server?.paused;
    write(by("tel-state"), this.#standing());
    write(by("tel-paused"), paused ? (said.paused[paused] ?? said.paused.other) : "");
    write(by("tel-fault"), this.#fault());
    const talk = consult ?? main;
    const talking = talk?.state === "talking";
    this.#hinted = this.#hearsWhisper();
    const joined = talking && !this.#hinted;
    const shown = {
      here: ["elsewhere", "taken"].includes(standing),
      answer: ringing,
      back: offer,
      refuse: ringing,
      mute: talk,
      hold: main && !consult && joined,
      join: consult && talking,
      to: !ringing && !consult && !offer && (main ? joined : standing === "ready"),
      keypad: talking,
      end: talk,
    };
    for (const [name, on] of Object.entries(shown)) by("tel").querySelector(`[data-tel=${name}]`).hidden = !on;
    if (!shown.to && this.#open === "to") this.#open = "";
    if (!shown.keypad && this.#open === "keypad") this.#open = "";
    for (const part of ["to", "keypad"]) {
      by(`tel-${part}`).hidden = this.#open !== part;
      by("tel").querySelector(`[data-tel=${part}]`).setAttribute("aria-expanded", `${this.#open === part}`);
    }
    this.#label("mute", talk?.muted);
    this.#label("hold", main?.held);
    write(by("tel").querySelector("[data-tel=to] span"), main ? said.transfer : said.dial);
    write(by("tel").querySelector("[data-tel=end] span"), this.#confirming ? words().again : consult ? said.end_consult : said.end);
    for (const button of by("tel-to").querySelectorAll("[data-for]"))
      button.hidden = button.dataset.for !== (main ? "talk" : "idle");
    if (!talk) this.#endConfirming();
    if (focused && focused.closest("[hidden]")) by("tel").focus();
    this.#showClock();
    this.#announce();
  }

  #label(name, on) {
    const button = by("tel").querySelector(`[data-tel=${name}]`);
    button.setAttribute("aria-pressed", `${Boolean(on)}`);
    write(button.querySelector("span"), words().phone[on ? `${name}_on` : name]);
  }

  #standing() {
    const { standing } = this.phone;
    if (standing === "lost" && this.inCall) return words().phone.standing.lost_in_call;
    if (standing === "ready" && this.phone.main) return ""; // nobody in a talk is ready for a call
    return words().phone.standing[standing] ?? "";
  }

  #fault() {
    const { fault } = this.phone;
    if (!fault) return "";
    if (fault === "no_sound") return words().sound_off;
    const device = words().devices.faults[fault];
    // The sentences about microphones are also the settings', whose button is another one.
    if (device) return device.replace(words().devices.again, words().phone[this.phone.ringing ? "answer" : "dial"]);
    return words().phone.faults[fault] ?? (words().faults[fault] ?? words().faults.broken)({});
  }

  #showClock() {
    write(by("tel-call"), this.#calls().join(" · "));
  }

  /** What is to be said about the calls. */
  #calls() {
    const said = words().phone;
    const { ringing, main, consult, offer } = this.phone;
    if (offer) return [said.offer];
    if (ringing) return [said.ringing(this.#who(ringing))];
    const talk = consult ?? main;
    if (!talk) return [];
    const who = this.#who(talk);
    if (this.#hearsWhisper()) return [said.hint_first];
    const parts =
      talk.state === "talking"
        ? [said.talking(who), clock((Date.now() - talk.since) / 1000)]
        : [said.calling(who)];
    if (talk.muted) parts.push(said.muted);
    if (consult) parts.push(said.caller_waits);
    else if (main.held) parts.push(said.held);
    if (talk.heldByThem) parts.push(said.held_by_them);
    if (talk.media === "broken") parts.push(said.broken);
    return parts;
  }

  /** True from the answer until the caller is there: the agent hears the whisper. */
  #hearsWhisper() {
    const { main, consult } = this.phone;
    if (consult || main?.state !== "talking" || !main.incoming) return false;
    return this.#state?.state === "ringing" && Date.now() - main.since < WHISPER_MS;
  }

  /** The caller's number comes from agent assist, which hides most of it. */
  #who(call) {
    const known = this.phone.isCallers(call) && this.#state?.call;
    return known ? known.number || words()[known.withheld ? "withheld" : "anonymous"] : call.number;
  }

  /** Have a change of the calls or of the line read out; the clock is left out. */
  #announce() {
    const { ringing, standing } = this.phone;
    const says = this.#saying();
    if (says === this.#said) return;
    const first = !this.#said;
    this.#said = says;
    if (!first && standing !== "off") announce(says + (ringing ? words().phone.press_a : ""), Boolean(ringing));
  }

  #saying() {
    const parts = [this.#standing(), ...this.#calls()].filter((part) => part && !/^[\d:]+$/.test(part));
    return parts.join(words().phone.stop);
  }

  /** Tell what has happened, in place of what has become of it. */
  #happened(what, call) {
    this.#said = this.#saying();
    this.show();
    const says = words().phone.happened[what];
    this.tell(typeof says === "function" ? says(call?.number ?? "") : says);
  }

  // ---- what the agent does ------------------------------------------------------------------------------------------
  #do = {
    here: () => this.phone.takeHere(),
    answer: () => this.phone.answer(),
    back: () => this.phone.takeBack(),
    refuse: () => this.phone.refuse(),
    mute: () => this.phone.mute(),
    hold: () => this.phone.hold(),
    join: () => this.phone.connect(),
    end: () => this.phone.hangUp(),
    to: () => this.#toggle("to", "tel-number"),
    keypad: () => this.#toggle("keypad", "tel-digits"),
    pass: () => this.#dial("pass"),
  };

  #toggle(part, field) {
    this.#open = this.#open === part ? "" : part;
    this.show();
    if (this.#open) by(field).focus();
  }

  #dial(how) {
    const number = by("tel-number").value.replace(/[^0-9*#+]/g, "");
    if (!number) return by("tel-number").focus();
    by("tel-number").value = "";
    this.#open = "";
    by("tel").focus();
    this.phone[how](number);
  }

  #press(keys) {
    this.phone.digits(keys.replace(/[^0-9*#]/g, ""));
  }

  /** By the key `e`, a talk ends only when it is pressed a second time: one stray key must not cost a caller the call. */
  #end() {
    const talk = this.phone.consult ?? this.phone.main;
    if (this.phone.ringing) return this.#do.refuse();
    if (!talk) return;
    if (talk.state !== "talking" || this.#confirming) {
      this.#endConfirming();
      return this.#do.end();
    }
    this.#confirming = setTimeout(() => this.#endConfirming(), CONFIRM_MS);
    by("tel").querySelector("[data-tel=end]").classList.add("asking");
    announce(words().again);
    this.show();
  }

  #endConfirming() {
    if (!this.#confirming) return;
    clearTimeout(this.#confirming);
    this.#confirming = 0;
    by("tel").querySelector("[data-tel=end]").classList.remove("asking");
    this.show();
  }
}
