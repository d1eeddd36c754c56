// The call note: its fields and ticks. What is written here stays until the server says that it is kept.

import { announce, by, make, write } from "./dom.js";
import { post } from "./link.js";
import { words } from "./words.js";

const SAVE_MS = 800; // after the last letter
const AGAIN_MS = 5000; // after it could not be saved
const LATE_TRIES = 12;
const ABOUT_THE_CALLER = ["title", "name", "resident", "origin", "address", "phone"];

const FIELDS = [...document.querySelectorAll("[data-note]")];
const TICKS = [...document.querySelectorAll("[data-tick]")];
const AGREED = by("agreed");

/** What the server is sent: `{name: "…", agreed: true, read_back: {phone: true}}`. */
function asSent(unsaved) {
  const sent = {};
  for (const [name, value] of unsaved)
    if (name.startsWith("tick:")) (sent.read_back ??= {})[name.slice(5)] = value;
    else sent[name] = value;
  return sent;
}

export class CallNote {
  #unsaved = new Map(); // what is not kept yet: a field's text, a tick
  #timer = 0;

  /** `send(changes)`: returns what the server answers, null where it takes nothing; `changed()`: a field has. */
  constructor({ send, changed }) {
    this.send = send;
    this.changed = changed;
    for (const field of FIELDS)
      field.addEventListener("input", () => {
        this.#write(field.dataset.note, field.value);
        const tick = TICKS.find((one) => one.dataset.tick === field.dataset.note);
        if (tick?.checked) this.#write(`tick:${tick.dataset.tick}`, (tick.checked = false)); // another fact now
        changed();
      });
    for (const tick of TICKS)
      tick.addEventListener("change", () => this.#write(`tick:${tick.dataset.tick}`, tick.checked));
    AGREED.addEventListener("change", () => this.#write("agreed", AGREED.checked));
    by("note").addEventListener("focusout", () => this.#timer && this.save());
  }

  #write(name, value) {
    this.#unsaved.set(name, value);
    write(by("note-state"), words().saving);
    this.#soon(SAVE_MS);
  }

  #soon(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.save(), ms);
  }

  /** The fields that fill phrases. */
  values = () => Object.fromEntries(FIELDS.map((field) => [field.dataset.note, field.value.trim()]));

  /** What the server has, but for what is being written here. */
  show(note) {
    for (const field of FIELDS) {
      const { note: name } = field.dataset;
      if (!this.#unsaved.has(name) && field.value !== note[name]) field.value = note[name];
    }
    for (const tick of TICKS)
      if (!this.#unsaved.has(`tick:${tick.dataset.tick}`)) tick.checked = note.read_back.includes(tick.dataset.tick);
    if (!this.#unsaved.has("agreed")) AGREED.checked = note.agreed;
  }

  /** Have it kept now. */
  async save() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (!this.#unsaved.size) return;
    const sent = new Map(this.#unsaved);
    const unsaved = this.#unsaved;
    const kept = (await this.send(asSent(sent)))?.kept;
    if (unsaved !== this.#unsaved) return; // another call's by now
    if (!kept) {
      write(by("note-state"), words().not_saved);
      return this.#soon(AGAIN_MS);
    }
    for (const [name, value] of sent) if (unsaved.get(name) === value) unsaved.delete(name);
    if (unsaved.size) return;
    const values = this.values();
    const more = ABOUT_THE_CALLER.some((name) => values[name]);
    const says = more && !AGREED.checked ? words().saved_matter : words().saved;
    write(by("note-state"), says);
    announce(words().saved);
  }

  /** Another call, or none. Returns what was not kept yet, for `noteSent`; null where all is. */
  forget() {
    const late = this.#unsaved.size ? asSent(this.#unsaved) : null;
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#unsaved = new Map();
    for (const field of FIELDS) field.value = "";
    for (const tick of [...TICKS, AGREED]) tick.checked = false;
    this.speak();
    return late;
  }

  /** In the language that is chosen now. */
  speak() {
    write(by("note-state"), words().note_hint);
  }
}

/** Send the note of a call that is over, until it is kept. */
export async function noteSent(what, tell) {
  for (let tries = 0; tries < LATE_TRIES; tries++) {
    try {
      if ((await post("note", what)).kept) return;
    } catch (error) {
      if (!["offline", "assist_away", "broken"].includes(error.why)) break; // nobody takes it any more
    }
    if (!tries) tell(words().not_saved);
    await new Promise((again) => setTimeout(again, AGAIN_MS));
  }
  tell(words().note_lost);
}

/** A note to read: who, then each fact with a tick where it was read back. */
export function noteLines(note) {
  const facts = FIELDS.map((field) => field.dataset.note)
    .filter((name) => note[name] && name !== "title")
    .map((name) => {
      const text = name === "name" ? `${note.name} ${note.title}`.trim() : note[name];
      const tick = note.read_back.includes(name) ? ` ✓ ${words().read_back}` : "";
      return make("div", {}, make("dt", {}, words()[`note_${name}`]), make("dd", {}, `${text}${tick}`));
    });
  return facts.length ? [make("dl", { class: "noted-facts" }, ...facts)] : [];
}
