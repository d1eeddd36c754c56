// The phone in this page: whether the agent wants it, whether this window holds it, its line and its calls. What it looks
// like is panel.js's.

import { Fault, post } from "../link.js";
import { Alert } from "./alert.js";
import { Comeback, replacing } from "./comeback.js";
import { forget, microphone, news, play } from "./devices.js";
import { PhoneHold } from "./hold.js";
import { Line } from "./line.js";
import { silence } from "./silence.js";

const WANTED = "phone-in-page";
const AGAIN_MS = [1000, 2000, 5000, 10_000];

export class Phone {
  #line = null;
  #hold = null;
  #alert = new Alert();
  #comeback = new Comeback();
  #sounds = new Map(); // an audio element for each call
  #tries = 0;
  #retry = 0;
  #lapse = 0;
  #kept = null; // the talk that a reload would interrupt
  #sought = false; // whether a talk that a reload has interrupted was looked for
  #asked = new WeakSet(); // the calls to colleagues about a caller
  #silent = new WeakMap(); // what calls without a microphone send
  #returned = new WeakSet(); // the calls that take a talk back

  /** `changed()`: something to show has changed. `rings(call)`: the texts of the notification, [title, text].
   * `tell(what, call)`: something has happened: "no_answer", "consult_over", "transferred", "gone" … */
  constructor({ changed, rings, tell }) {
    Object.assign(this, { changed, rings, tell });
    this.agent = "";
    this.offered = false;
    this.elsewhere = false; // another window holds it
    this.fault = ""; // a word for which the page has a sentence
    this.offer = null; // the talk that a reload has interrupted
    this.server = null; // {registered, paused}, as agent assist sees it
    news.addEventListener("replaced", ({ detail }) => {
      for (const call of this.calls)
        if (call.microphone === detail.from) call.useMicrophone(new MediaStream([detail.to]));
    });
    news.addEventListener("lost", ({ detail }) => {
      for (const call of this.calls) if (call.microphone === detail.from) this.#silence(call);
    });
    for (const kind of ["change", "chosen"]) news.addEventListener(kind, () => this.#hearAgain());
    this.warn = (event) => event.preventDefault();
  }

  get wanted() {
    return localStorage.getItem(WANTED) === "on";
  }

  /** Choose whether this browser has the phone; not in a call, which would end with it. */
  want(on) {
    if (this.calls.length) return this.tell("not_now", null);
    const had = this.#line !== null;
    localStorage.setItem(WANTED, on ? "on" : "off");
    this.#tend();
    if (had && !on) post("phone", { over: true }).catch(() => {}); // the queues do not miss a phone that was given up
  }

  get calls() {
    return this.#line?.calls ?? [];
  }

  /** Whether this browser is in a call, in this window or in another one. */
  async inCallAnywhere() {
    return this.calls.length > 0 || ((await this.#hold?.inCallElsewhere()) ?? false);
  }

  /** "off", "insecure", "unsupported", "elsewhere", "opening", "ready", "lost", "refused", "taken" */
  get standing() {
    if (!(this.offered && this.wanted) && !this.calls.length) return "off";
    if (!isSecureContext) return "insecure";
    if (!globalThis.RTCPeerConnection || !navigator.locks) return "unsupported";
    if (this.elsewhere) return "elsewhere";
    const link = this.#line?.link ?? "off";
    return { registered: "ready", lost: "lost", refused: "refused", taken: "taken" }[link] ?? "opening";
  }

  /** The call that rings, the one with the caller, and the one with a colleague about it. */
  get ringing() {
    return this.#line?.ringing ?? null;
  }

  get main() {
    return this.calls.find((call) => call.state !== "ringing") ?? null;
  }

  get consult() {
    return this.calls.filter((call) => call.state !== "ringing")[1] ?? null;
  }

  /** Take note of the server's state of this agent. */
  follow({ agent, phone = null }) {
    if (agent !== this.agent) this.stop();
    this.agent = agent;
    this.offered = Boolean(phone);
    this.server = phone;
    this.#tend();
  }

  /** The agent has signed out: hang up, and give the phone away. */
  stop() {
    this.offered = false;
    this.server = null;
    this.#leave();
    this.changed();
  }

  /** The server has signed the agent out. A talk goes on, and its line is back once they have signed in again. */
  signedOut() {
    if (!this.calls.length) this.stop();
  }

  // ---- the line -----------------------------------------------------------------------------------------------------
  #tend() {
    const possible = !["off", "insecure", "unsupported"].includes(this.standing);
    if (possible && !this.#hold) {
      this.elsewhere = true;
      this.#hold = new PhoneHold({
        inCall: () => this.calls.length > 0,
        taken: () => this.#open(),
        given: () => {
          this.elsewhere = true;
          this.#close();
        },
      });
      this.#hold.wait();
    } else if (!possible) this.#leave();
    this.changed();
  }

  #leave() {
    if (!this.#hold) return;
    this.#close();
    this.#hold.leave();
    this.#hold = null;
    this.elsewhere = false;
  }

  async #open() {
    this.elsewhere = false;
    const line = (this.#line = new Line({
      account: () => post("phone", {}),
      microphone,
      heard: (call, stream) => this.#hear(call, stream),
      changed: () => this.#see(),
      ended: (call) => this.#ended(call),
    }));
    try {
      await line.start();
      this.#tries = 0;
      this.fault = "";
    } catch (error) {
      if (line !== this.#line) return;
      this.fault = error instanceof Fault ? error.why : "broken";
      this.#retry = setTimeout(() => this.#open(), AGAIN_MS[Math.min(this.#tries++, AGAIN_MS.length - 1)]);
    }
    this.changed();
  }

  #close() {
    clearTimeout(this.#retry);
    clearTimeout(this.#lapse);
    this.#line?.stop();
    this.#line = this.offer = null;
    this.fault = "";
    this.#see();
  }

  /** Something has changed on the line. */
  #see() {
    const call = this.ringing;
    if (call) this.#alert.start(...this.rings(call)).catch(() => this.#failed("no_sound"));
    else {
      this.#alert.stop();
      if (this.fault === "no_sound" && !this.calls.length) this.fault = "";
    }
    const talk = this.main?.state === "talking" ? this.main : null;
    (talk ? addEventListener : removeEventListener)("beforeunload", this.warn);
    if (talk?.dialog && talk !== this.#kept) {
      this.#kept = talk;
      this.#comeback.keep(this.agent, talk.dialog);
    }
    if (this.#line?.link === "registered" && !this.calls.length) this.#offerBack();
    this.changed();
  }

  #ended(call) {
    if (call === this.#kept) {
      this.#kept = null;
      this.#comeback.forget();
    }
    if (!this.calls.length && this.standing === "off") queueMicrotask(() => this.#tend()); // it waited for the call
    if (this.#returned.has(call)) {
      if (!call.since) this.tell("too_late", call);
    } else if (call.noMicrophone) this.#failed(call.noMicrophone);
    else if (this.#asked.has(call)) {
      if (this.calls.length) this.tell("consult_over", call);
    } else if (!call.incoming && !call.since && !call.left) this.tell("no_answer", call);
  }

  #hear(call, stream) {
    const audio = this.#sounds.get(call);
    if (stream) {
      const player = audio ?? new Audio();
      this.#sounds.set(call, player);
      player.srcObject = stream;
      play(player, "speaker").catch(() => this.#failed("no_sound"));
    } else if (audio) {
      audio.srcObject = null;
      forget(audio);
      this.#sounds.delete(call);
    }
  }

  /** The microphone is gone. */
  #silence(call) {
    const stream = silence();
    this.#silent.set(call, stream);
    call.useMicrophone(stream);
  }

  /** Perhaps there is a microphone again, for the calls without one. */
  async #hearAgain() {
    for (const call of this.calls) {
      const stream = this.#silent.get(call);
      if (!stream || call.microphone !== stream.getAudioTracks()[0]) continue;
      const found = await microphone().catch(() => null);
      if (found) call.useMicrophone(found);
    }
  }

  #failed(fault) {
    this.fault = fault;
    this.changed();
  }

  // ---- after a reload -----------------------------------------------------------------------------------------------
  #offerBack() {
    if (this.#sought) return;
    this.#sought = true;
    this.offer = this.#comeback.find(this.agent);
    if (!this.offer) return;
    this.#lapse = setTimeout(() => {
      this.offer = null;
      this.#comeback.forget();
      this.changed();
    }, this.offer.left_ms);
    this.tell("offer", null);
  }

  /** Take the interrupted talk back. */
  takeBack() {
    const { dialog } = this.offer;
    clearTimeout(this.#lapse);
    this.offer = null;
    this.#returned.add(this.#line.call(this.agent, { headers: replacing(dialog) }));
  }

  // ---- what the agent does ------------------------------------------------------------------------------------------
  /** Take the phone back from another browser, or ask the window that holds it for it. */
  async takeHere() {
    if (this.standing === "taken") return this.#line.take();
    if (!(await this.#hold.ask())) this.tell("busy_elsewhere", null);
  }

  async answer() {
    await this.#try(() => this.ringing?.answer());
  }

  refuse() {
    this.ringing?.hangUp();
  }

  /** End the call with the colleague, else the one with the caller. */
  hangUp() {
    (this.consult ?? this.main)?.hangUp();
  }

  mute() {
    const call = this.consult ?? this.main;
    call?.mute(!call.muted);
  }

  hold() {
    const call = this.consult ? null : this.main;
    if (call && !call.hold(!call.held)) this.tell("not_now", call);
  }

  digits(keys) {
    (this.consult ?? this.main)?.digits(keys);
  }

  call(number) {
    this.fault = "";
    if (this.standing === "ready" && !this.calls.length) this.#line.call(number);
    else this.tell("not_now", null);
  }

  /** Speak with a colleague first; the caller is put on hold. */
  ask(number) {
    const caller = this.main;
    if (caller?.state !== "talking" || this.consult || (!caller.held && !caller.hold(true)))
      return this.tell("not_now", caller);
    this.#asked.add(this.#line.call(number));
  }

  /** Connect the caller with the colleague. */
  async connect() {
    const [caller, colleague] = [this.main, this.consult];
    if (colleague?.state !== "talking") return;
    await this.#pass(caller, colleague);
  }

  /** Pass the caller on to a number, unasked. */
  async pass(number) {
    if (this.main?.state === "talking") await this.#pass(this.main, number);
  }

  async #pass(call, to) {
    this.#asked.delete(to);
    try {
      await call.transfer(to);
      this.tell("transferred", call);
    } catch {
      if (to === this.consult) this.#asked.add(to);
      this.tell("not_transferred", call);
    }
  }

  /** True of a call from a caller, also of one that was taken back. */
  isCallers(call) {
    return call.incoming || this.#returned.has(call);
  }

  async #try(what) {
    try {
      this.fault = "";
      await what();
    } catch (error) {
      this.fault = error.why ?? "broken";
    }
    this.changed();
  }
}
