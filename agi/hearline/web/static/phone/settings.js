// The settings of the phone: a dialog that chooses microphone, loudspeaker and ring device, and tries them out.

import { by, make, write } from "../dom.js";
import { words } from "../words.js";
import { canChooseSpeaker, choices, choose, inCall, look, news } from "./devices.js";
import { Echo, Meter, Ring } from "./sounds.js";

const FLOOR_DBOV = -60;
const SPEAKING_DBOV = -45; // a voice at a headset is 20 dB louder, a quiet room 15 dB softer
const SAY_EVERY_MS = 1000; // for screen readers
const RING_TRIED_MS = 3600;
const GATHER_MS = 300; // a device that is pulled out is reported as gone, and for each of its uses
const WHATS = ["microphone", "speaker", "ring"];

/** Makes the dialog `#phone-settings`. `tell(text)` shows a notice on the page; `echoCall()`, if there is one, calls the
 * extension that echoes, once the phone is registered. */
export class PhoneSettings {
  #saidAt = 0;
  #ringing = 0;
  #fault = "";
  #news = [];

  constructor({ tell, echoCall = null }) {
    this.tell = tell;
    this.echoCall = echoCall;
    this.meter = new Meter((dbov) => this.#showLevel(dbov));
    this.echo = new Echo((step) => this.#showEcho(step));
    this.ring = new Ring();
    this.#make();
    for (const kind of ["change", "fell", "lost"])
      news.addEventListener(kind, ({ detail }) => {
        if (this.#news.push([kind, detail]) === 1) setTimeout(() => this.#tellNews(), GATHER_MS);
      });
    for (const kind of ["change", "fell", "chosen", "replaced"])
      news.addEventListener(kind, () => this.dialog.open && this.#showChoices());
  }

  /** Show the dialog. */
  async open() {
    if (this.dialog.open) return;
    this.speak();
    write(by("phone-news"), "");
    this.dialog.showModal();
    await look();
    this.#showChoices();
    await this.#listen();
  }

  /** Write everything in the chosen language. */
  speak() {
    const said = words().devices;
    for (const element of this.dialog.querySelectorAll("[data-w]")) write(element, said[element.dataset.w]);
    write(by("phone-settings-close"), words().close);
    this.#showFault();
    this.#showChoices();
    this.#showRing();
    this.#showEcho("");
    this.#showLevel(null);
  }

  #make() {
    const what = (name, ...more) =>
      make(
        "div",
        { class: "device" },
        make("label", { for: `phone-${name}`, "data-w": name }),
        make("select", { id: `phone-${name}` }),
        ...more,
      );
    const button = (id, word) => make("button", { type: "button", id, "data-w": word });
    const bar = { class: "bar", role: "meter", "aria-valuemin": FLOOR_DBOV, "aria-valuemax": 0, id: "phone-level" };
    const level = make("div", { class: "level" }, make("div", bar, make("i")), make("span", { class: "level-says" }));
    const fault = make("div", { id: "phone-fault", role: "alert", hidden: true });
    fault.append(make("p", { class: "fault" }), button("phone-again", "again"));
    this.dialog = make(
      "dialog",
      { id: "phone-settings", class: "phone-settings", "aria-labelledby": "phone-settings-title" },
      make("h2", { id: "phone-settings-title", "data-w": "title" }),
      fault,
      what("microphone", level),
      make("p", { id: "phone-one-speaker", class: "small", "data-w": "one_speaker", hidden: canChooseSpeaker() }),
      what("speaker", make("p", { class: "acts" }, button("phone-echo", "echo"), button("phone-echo-call", "echo_call"))),
      make("p", { id: "phone-echo-says", class: "small", role: "status" }),
      what("ring", make("p", { class: "acts" }, button("phone-ring-try", "try_ring"))),
      make("p", { id: "phone-news", class: "small", role: "status" }),
      make("form", { method: "dialog" }, make("button", { id: "phone-settings-close", class: "strong" })),
    );
    document.body.append(this.dialog);
    for (const name of WHATS)
      by(`phone-${name}`).addEventListener("change", async () => {
        await choose(name, by(`phone-${name}`).value);
        if (name === "microphone") await this.#listen();
      });
    for (const name of ["speaker", "ring"]) by(`phone-${name}`).disabled = !canChooseSpeaker();
    by("phone-again").addEventListener("click", () => this.#listen());
    by("phone-echo").addEventListener("click", () => this.#tryEcho());
    by("phone-echo-call").addEventListener("click", () => {
      this.dialog.close();
      this.echoCall();
    });
    by("phone-ring-try").addEventListener("click", () => (this.ring.runs ? this.#stopRing() : this.#tryRing()));
    this.dialog.addEventListener("close", () => {
      this.meter.stop();
      this.echo.stop();
      this.#stopRing();
    });
  }

  /** Take the microphone for the meter, or say why there is none. */
  async #listen() {
    try {
      await this.meter.start();
      this.#fault = "";
      if (!this.dialog.open) this.meter.stop();
    } catch (error) {
      this.#fault = error.why ?? "broken";
      this.#showLevel(null);
    }
    this.#showFault();
    this.#showChoices(); // now the browser names its devices
    this.#showEcho("");
  }

  /** Say what has happened to the devices, in one notice, since the next one would take its place. */
  #tellNews() {
    const news = this.#news.splice(0);
    const fallen = news.filter(([kind]) => kind === "fell").map(([, { label }]) => label);
    const texts = news.map(([kind, detail]) => {
      const gone = detail.gone?.filter((label) => !fallen.includes(label));
      return words().devices[kind]({ ...detail, gone });
    });
    const text = texts.filter(Boolean).join(words().lang === "en" ? " " : "");
    if (this.dialog.open) write(by("phone-news"), text);
    else this.tell(text);
  }

  #showFault() {
    by("phone-fault").hidden = !this.#fault;
    write(by("phone-fault").firstElementChild, this.#fault && words().devices.faults[this.#fault]);
  }

  #showChoices() {
    const said = words().devices;
    for (const name of WHATS) {
      const { devices, chosen, gone } = choices(name);
      const options = [["", said.system], ...devices.map((one) => [one.id, one.label])];
      if (gone) options[0][1] = said.instead(gone);
      const drawn = JSON.stringify(options);
      const select = by(`phone-${name}`);
      if (select.dataset.drawn !== drawn) {
        select.dataset.drawn = drawn;
        select.replaceChildren(...options.map(([value, text]) => make("option", { value }, text)));
      }
      select.value = chosen;
    }
  }

  #showLevel(dbov) {
    const says = words()[dbov === null ? "no_sound" : dbov > SPEAKING_DBOV ? "speaking" : "quiet"];
    const bar = by("phone-level");
    const meter = bar.parentElement;
    bar.firstElementChild.style.transform = `scaleX(${dbov === null ? 0 : Math.max(0, 1 - dbov / FLOOR_DBOV)})`;
    meter.classList.toggle("speaking", dbov > SPEAKING_DBOV && dbov !== null);
    const whole = dbov === null ? null : Math.round(Math.max(FLOOR_DBOV, dbov));
    write(meter.querySelector(".level-says"), whole === null ? says : `${says} ${whole} dBov`);
    bar.setAttribute("aria-label", words().devices.level);
    const now = performance.now();
    if (now - this.#saidAt < SAY_EVERY_MS) return;
    this.#saidAt = now;
    bar.setAttribute("aria-valuenow", `${whole ?? FLOOR_DBOV}`);
    bar.setAttribute("aria-valuetext", words().level(words().devices.level, says, whole));
  }

  async #tryEcho() {
    if (by("phone-echo").getAttribute("aria-disabled") === "true") return;
    if (this.echo.runs) return this.echo.stop();
    await this.echo.start(this.meter.stream).catch(() => this.echo.stop());
  }

  #showEcho(step) {
    const said = words().devices;
    write(by("phone-echo"), step ? said.stop : said.echo);
    by("phone-echo").setAttribute("aria-disabled", `${!this.meter.stream || inCall()}`);
    by("phone-echo-call").hidden = !this.echoCall || inCall();
    write(by("phone-echo-says"), step ? said.echo_steps[step] : inCall() ? said.echo_later : "");
  }

  async #tryRing() {
    this.#ringing = setTimeout(() => this.#stopRing(), RING_TRIED_MS);
    const begun = this.ring.start();
    this.#showRing();
    await begun.catch(() => this.#stopRing());
  }

  #stopRing() {
    clearTimeout(this.#ringing);
    this.ring.stop();
    this.#showRing();
  }

  #showRing() {
    write(by("phone-ring-try"), words().devices[this.ring.runs ? "stop" : "try_ring"]);
  }
}

