// One window holds the phone: the others wait, and can ask for it. Needs Web Locks, so a secure context.

const NAME = "hearline-phone";
const ANSWER_MS = 500;

export class PhoneHold {
  #release = null;
  #waiting = null;
  #answered = null;
  #channel = null;

  /** `inCall()`: true while this window cannot give the phone away. `taken()`, `given()`: this window has it now, or no
   * longer. */
  constructor({ inCall, taken, given }) {
    Object.assign(this, { inCall, taken, given });
  }

  get held() {
    return Boolean(this.#release);
  }

  /** Take the phone as soon as no other window holds it. */
  wait() {
    if (this.#waiting || this.held) return;
    this.#listen();
    const stop = (this.#waiting = new AbortController());
    const hold = () => {
      if (this.#waiting !== stop) return;
      this.#waiting = null;
      return new Promise((release) => {
        this.#release = release;
        this.taken();
      });
    };
    navigator.locks.request(NAME, { signal: stop.signal }, hold).catch((error) => {
      if (error.name !== "AbortError") throw error;
    });
  }

  /** Give it up, and wait no longer. */
  leave() {
    this.#waiting?.abort();
    this.#waiting = null;
    this.#channel?.close();
    this.#channel = null;
    this.#give();
  }

  /** Ask the window that holds it. Resolves to false if that one is in a call. */
  ask() {
    this.#listen();
    return new Promise((answer) => {
      this.#answered = answer;
      this.#channel.postMessage("ask");
      setTimeout(() => answer(true), ANSWER_MS);
    });
  }

  /** Resolves to true if another window holds it and is in a call. */
  inCallElsewhere() {
    if (this.held) return false;
    this.#listen();
    return new Promise((answer) => {
      this.#answered = (free) => answer(!free);
      this.#channel.postMessage("in a call?");
      setTimeout(() => answer(false), ANSWER_MS);
    });
  }

  #listen() {
    this.#channel ??= new BroadcastChannel(NAME);
    this.#channel.onmessage = ({ data }) => {
      if (data === "busy") return this.#answered?.(false);
      if (!this.held) return;
      if (this.inCall()) return this.#channel.postMessage("busy");
      if (data !== "ask") return;
      this.#give();
      this.given();
      // The window that asked waits already; this one queues up behind it.
      setTimeout(() => this.#channel && this.wait(), ANSWER_MS);
    };
  }

  #give() {
    this.#release?.();
    this.#release = null;
  }
}
