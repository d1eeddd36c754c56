// What tells the agent that the phone rings: the tone on the ring device, the window's title, a notification.

import { Ring } from "./sounds.js";

const BLINK_MS = 1000;
const MARK = "☎ ";

/** Ask whether notifications may be shown; to be called in a click, since browsers refuse otherwise. */
export function askForNotifications() {
  if (globalThis.Notification?.permission === "default") Notification.requestPermission();
}

export class Alert {
  #ring = new Ring();
  #blinking = 0;
  #notice = null;

  /** Begin; `title` and `text` are the notification's. Rejects if the browser does not allow sound yet. */
  async start(title, text) {
    if (this.#blinking) return;
    this.#blinking = setInterval(() => this.#mark(!document.title.startsWith(MARK)), BLINK_MS);
    this.#mark(true);
    this.#notify(title, text);
    await this.#ring.start();
  }

  stop() {
    if (!this.#blinking) return;
    clearInterval(this.#blinking);
    this.#blinking = 0;
    this.#mark(false);
    this.#notice?.close();
    this.#notice = null;
    this.#ring.stop();
  }

  #mark(on) {
    const title = document.title.replace(MARK, "");
    document.title = on ? MARK + title : title;
  }

  #notify(title, body) {
    if (document.hasFocus() || globalThis.Notification?.permission !== "granted") return;
    try {
      this.#notice = new Notification(title, { body, tag: "hearline-phone", requireInteraction: true });
    } catch {
      return; // on telephones, only service workers may
    }
    this.#notice.onclick = () => {
      window.focus();
      this.#notice?.close();
    };
  }
}
