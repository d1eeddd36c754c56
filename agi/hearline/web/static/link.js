// The stream from the server, and whether it is alive.
//
// The server sends something twice a second. After 1.5 s of silence the connection counts as lost, until a new stream
// has brought the whole state: an old state is never shown as live.

const SILENT_MS = 1500;
const LOOK_MS = 100;
const AGAIN_MS = [250, 500, 1000, 2000]; // waits before reconnecting; the last one is repeated

export class Link {
  /**
   * The listener's methods: state(state) and levels(levels) take the newest ones; lost(since): nothing is known from
   * then on (ms since 1970); live(): a new stream begins, and its state follows; over(): another window has taken our
   * place; signedOut(): nobody is signed in here any more.
   */
  constructor(listener) {
    this.listener = listener;
    this.live = false;
    this.tries = 0;
    this.timer = setInterval(() => this.look(), LOOK_MS);
    this.waken = () => this.look();
    for (const event of ["visibilitychange", "focus", "online"]) addEventListener(event, this.waken);
    this.open();
  }

  open() {
    this.close();
    this.lastHeard = this.openedAt = Date.now();
    const source = (this.source = new EventSource("api/events"));
    const hear = (kind, take) =>
      source.addEventListener(kind, (event) => {
        if (source !== this.source) return;
        this.lastHeard = Date.now();
        take(JSON.parse(event.data));
      });
    hear("state", (state) => {
      if (!this.live) {
        this.live = true;
        this.tries = 0;
        this.listener.live();
      }
      this.listener.state(state);
    });
    hear("levels", (levels) => this.live && this.listener.levels(levels));
    hear("beat", () => {});
    hear("over", () => {
      this.lose();
      this.end();
      this.listener.over();
    });
    source.onerror = () => source === this.source && this.again();
  }

  look() {
    if (this.source && Date.now() - this.lastHeard > SILENT_MS) this.again();
  }

  again() {
    this.lose();
    this.close();
    const wait = AGAIN_MS[Math.min(this.tries++, AGAIN_MS.length - 1)];
    this.retry = setTimeout(async () => {
      if (await signedOut()) {
        this.end();
        this.listener.signedOut();
      } else this.open();
    }, wait);
  }

  lose() {
    if (!this.live) return;
    this.live = false;
    this.listener.lost(this.lastHeard);
  }

  close() {
    clearTimeout(this.retry);
    this.source?.close();
    this.source = null;
  }

  end() {
    this.close();
    clearInterval(this.timer);
    for (const event of ["visibilitychange", "focus", "online"]) removeEventListener(event, this.waken);
  }
}

/** True if the server reports that nobody is signed in; false also if it cannot be reached. */
async function signedOut() {
  try {
    return (await fetch("api/me", { signal: AbortSignal.timeout(SILENT_MS) })).status === 401;
  } catch {
    return false;
  }
}

/** Post to the server; returns its answer. Throws a Fault, also if there is no answer within `withinMs`. */
export async function post(path, what, withinMs = 5000) {
  let answer;
  try {
    answer = await fetch(`api/${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(what),
      signal: AbortSignal.timeout(withinMs),
    });
  } catch {
    throw new Fault("offline");
  }
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Fault(body.error ?? "broken", body);
  return body;
}

/** The server's JSON at a path. Throws a Fault. */
export const get = async (path) => (await ask(path)).json();

/** A sound file from the server, as bytes. Throws a Fault. */
export const getSound = async (path) => (await ask(path)).arrayBuffer();

async function ask(path) {
  let answer;
  try {
    answer = await fetch(`api/${path}`, { signal: AbortSignal.timeout(5000) });
  } catch {
    throw new Fault("offline");
  }
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => ({}));
  throw new Fault(body.error ?? "broken", body);
}

/** `why`: a word for which the page has a sentence. `body`: the rest of the server's answer. */
export class Fault extends Error {
  constructor(why, body = {}) {
    super(why);
    this.why = why;
    this.body = body;
  }
}
