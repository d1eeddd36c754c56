// The call note: its fields and ticks. Changes are kept here until the server reports that it has stored them.

import { announce, by, make, write } from "./dom.js";
import { post } from "./link.js";
import { words } from "./words.js";

const SAVE_MS = 800; // from the last keystroke
const AGAIN_MS = 5000; // from a failed save to the next try
const LATE_TRIES = 12;
const ABOUT_THE_CALLER = ["title", "name", "resident", "origin", "address", "phone"];

const FIELDS = [...document.querySelectorAll("[data-note]")];
const TICKS = [...document.querySelectorAll("[data-tick]")];
const AGREED = by("agreed");

/** The changes in the form for the server: `{name: "…", agreed: true, read_back: {phone: true}}`. */
function asSent(unsaved) {
  const sent = {};
  for (const [name, value] of unsaved)
    if (name.startsWith("tick:")) (sent.read_back ??= {})[name.slice(5)] = value;
    else sent[name] = value;
  return sent;
}

export class CallNote {
  #unsaved = new Map(); // changes that are not stored yet: texts of fields, and ticks
  #timer = 0;

  /** `send(changes)`: returns the server's answer, null if it failed. `changed()`: called when a field has changed. */
  constructor({ send, changed }) {
    this.send = send;
    this.changed = changed;
    for (const field of FIELDS)
      field.addEventListener("input", () => {
        this.#write(field.dataset.note, field.value);
        const tick = TICKS.find((one) => one.dataset.tick === field.dataset.note);
        if (tick?.checked) this.#write(`tick:${tick.dataset.tick}`, (tick.checked = false)); // not read back
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

  /** The values of all fields, for the gaps in phrases. */
  values = () => Object.fromEntries(FIELDS.map((field) => [field.dataset.note, field.value.trim()]));

  /** Show the server's note, except where there are unsaved changes. */
  show(note) {
    for (const field of FIELDS) {
      const { note: name } = field.dataset;
      if (!this.#unsaved.has(name) && field.value !== note[name]) field.value = note[name];
    }
    for (const tick of TICKS)
      if (!this.#unsaved.has(`tick:${tick.dataset.tick}`)) tick.checked = note.read_back.includes(tick.dataset.tick);
    if (!this.#unsaved.has("agreed")) AGREED.checked = note.agreed;
  }

  /** Save the changes now. */
  async save() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (!this.#unsaved.size) return;
    const sent = new Map(this.#unsaved);
    const unsaved = this.#unsaved;
    const kept = (await this.send(asSent(sent)))?.kept;
    if (unsaved !== this.#unsaved) return; // another call has begun meanwhile
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

  /** Another call begins, or none is left. Returns the unsaved changes, for `noteSent`; null if there are none. */
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

  /** Show the status text in the chosen language. */
  speak() {
    write(by("note-state"), words().note_hint);
  }
}

/** Send the note of a call that is over, until it is stored; gives up after `LATE_TRIES`. */
export async function noteSent(what, tell) {
  for (let tries = 0; tries < LATE_TRIES; tries++) {
    try {
      if ((await post("note", what)).kept) return;
    } catch (error) {
      if (!["offline", "assist_away", "broken"].includes(error.why)) break; // the server does not accept it any more
    }
    if (!tries) tell(words().not_saved);
    await new Promise((again) => setTimeout(again, AGAIN_MS));
  }
  tell(words().note_lost);
}

/** A note as elements to read: each fact, with a tick if it was read back. */
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
