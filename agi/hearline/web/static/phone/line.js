// A phone line in the browser: the one wrapper of JsSIP. It registers (or not), keeps its socket, and holds the calls.
//
//   const line = new Line({
//     account: async () => ({ user, password, uri, ice }), // asked at start and after a refusal; kept in memory only
//     register: true,                    // false: the line only calls out
//     path: "ws", address: "",                        // the websocket's path
//     address: "",                       // of this browser, as the server sees it; only a line without a microphone needs it
//     microphone: async () => stream,    // a new MediaStream for each call; the line stops its tracks at the call's end
//     heard: (call, stream) => {},       // the far side's sound: a MediaStream, or null when the call is over
//     changed: () => {},                 // `line.link`, `line.calls` or something in a call has changed
//     ended: (call) => {},               // a call is over: `call.why`
//   });
//   await line.start();                  // rejects if the account is refused: the Error of `account()`
//   line.link                            // "off", "connecting", "connected", "registered", "lost", "refused", "taken"
//   line.take()                          // "taken": another browser has a newer password; take the line back from it
//   line.calls                           // the calls that are not over, the oldest first
//   line.ringing, line.talk              // the incoming call that rings, the first call that has been answered; or null
//   line.call("8090")                    // call a number: returns the Call. `{ headers: ["Replaces: …"] }` adds headers
//   await line.stop();                   // hang up, unregister, close the socket
//
// A Call (call.js):
//   call.incoming, call.number, call.name, call.since (ms; of the answer; null before)
//   call.left, call.why                  // hung up here; once over: JsSIP's cause
//   call.noMicrophone                    // why the call could not be made: the word of the microphone's fault
//   call.state                           // "ringing" (theirs), "calling" (ours), "talking", "over"
//   call.muted, call.held, call.heldByThem
//   call.media                           // "opening", "flows", "broken" (being mended)
//   call.answer(), call.hangUp()         // answer() rejects if there is no microphone, and the call goes on ringing
//   call.mute(on), call.hold(on)         // hold() returns false if the line is lost just now
//   call.digits("12#")                   // RFC 4733
//   await call.transfer("8017")          // blind; rejects if it was refused, and the call goes on
//   await call.transfer(otherCall)       // attended: connects both far sides, and both calls end here
//   call.useMicrophone(stream)           // another microphone, in the talk
//   call.dialog                          // { callId, ours, theirs }: what `Replaces` needs to take the call back
//
// While the socket is lost, the sound of a talk goes on. The line connects again by itself, trying every 1 to 2 s,
// registers, and tells Asterisk where each call's messages go now. If the media broke, ICE starts again.

import { Call } from "./call.js";

const EXPIRES_S = 120;
const AGAIN_S = { least: 1, most: 2 }; // between two tries to connect
const ASK_MS = 10_000; // how often we make sure that the socket is alive
const ANSWER_MS = 4000; // a live one answers within

export class Line {
  #how;
  #jssip = null;
  #ua = null;
  #socket = null;
  #asking = 0;
  #wasRegistered = false; // with this password
  #account = null;

  constructor(how) {
    this.#how = { register: true, path: "ws", heard: () => {}, changed: () => {}, ended: () => {}, ...how };
    this.link = "off";
    this.calls = [];
  }

  get ringing() {
    return this.calls.find((call) => call.state === "ringing") ?? null;
  }

  get talk() {
    return this.calls.find((call) => call.state === "talking") ?? null;
  }

  async start() {
    this.#show("connecting");
    try {
      this.#jssip ??= await import("../vendor/jssip.js");
      this.#account = await this.#how.account();
    } catch (error) {
      this.#show("off");
      throw error;
    }
    if (this.link === "off") return; // stopped meanwhile
    const address = new URL(this.#how.path, document.baseURI);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    this.#socket = droppable(new this.#jssip.WebSocketInterface(address.href));
    this.#ua = new this.#jssip.UA({
      sockets: [this.#socket],
      uri: this.#account.uri,
      authorization_user: this.#account.user,
      password: this.#account.password,
      register: this.#how.register,
      register_expires: EXPIRES_S,
      session_timers: false, // they would end a talk whose socket is lost
      connection_recovery_min_interval: AGAIN_S.least,
      connection_recovery_max_interval: AGAIN_S.most,
      user_agent: "Hearline",
    });
    this.#listen(this.#ua);
    this.#ua.start();
    this.#asking = setInterval(() => this.#ask(), ASK_MS);
    addEventListener("online", this.#ask);
  }

  #listen(ua) {
    ua.on("connecting", () => this.link !== "lost" && this.#show("connecting"));
    ua.on("connected", () => {
      this.#show("connected");
      if (!this.#how.register) this.#back();
    });
    ua.on("disconnected", () => {
      if (this.link === "off") return;
      this.#show("lost");
      for (const call of [...this.calls]) call.lost();
    });
    ua.on("registered", () => {
      this.#wasRegistered = true;
      this.#show("registered");
      this.#back();
    });
    ua.on("unregistered", () => this.link === "registered" && this.#show("connected"));
    ua.on("registrationFailed", ({ response }) => {
      if (response) this.#refused(response.status_code);
      else setTimeout(() => ua === this.#ua && ua.isConnected() && ua.register(), AGAIN_S.most * 1000);
    });
    ua.on("newRTCSession", ({ originator, session }) => {
      if (originator !== "remote") return;
      // A second call while one goes on: this phone is busy, another phone of the agent may still ring.
      if (this.calls.length) return session.terminate({ status_code: 486 });
      this.#add(new Call(this.#callHow(), session));
    });
  }

  /** The password is refused: ask for a new one, and try again. If it was good before, somebody has asked for a newer one:
   * the same agent in another browser. Two that took the line from each other by turns would both miss calls. */
  async #refused(code) {
    if (this.#wasRegistered && [401, 403].includes(code)) return this.#show("taken");
    this.#show("refused");
    await new Promise((later) => setTimeout(later, AGAIN_S.least * 1000 * (1 + Math.random())));
    await this.take();
  }

  async take() {
    const ua = this.#ua;
    if (!ua) return;
    this.#wasRegistered = false;
    try {
      this.#account = await this.#how.account();
    } catch {
      return this.#refused(0);
    }
    if (ua !== this.#ua) return;
    ua.set("authorization_user", this.#account.user);
    ua.set("password", this.#account.password);
    if (ua.isConnected()) ua.register();
  }

  #callHow() {
    return {
      microphone: this.#how.microphone,
      ice: this.#account.ice ?? [],
      address: this.#how.address,
      connected: () => this.#ua?.isConnected() ?? false,
      ask: this.#ask,
      heard: this.#how.heard,
      changed: () => this.#how.changed(),
      over: (call) => {
        this.calls = this.calls.filter((one) => one !== call);
        this.#how.ended(call);
        this.#how.changed();
      },
    };
  }

  #add(call) {
    this.calls.push(call);
    this.#how.changed();
    return call;
  }

  /** The line is back: each call tells Asterisk its new address, and mends its media if they broke. */
  #back() {
    for (const call of [...this.calls]) call.back();
  }

  /** Ask the server for a sign of life. Without one in time the socket is dropped, which makes JsSIP connect again: after
   * a change of network the browser itself would take minutes to notice. */
  #ask = () => {
    const [ua, socket] = [this.#ua, this.#socket];
    if (!ua?.isConnected()) return;
    const late = setTimeout(() => ua === this.#ua && socket.drop(), ANSWER_MS);
    const alive = () => clearTimeout(late);
    ua.sendOptions(this.#account.uri, null, { eventHandlers: { succeeded: alive, failed: alive } });
  };

  call(number, { headers = [] } = {}) {
    const call = new Call(this.#callHow());
    call.begin(this.#ua, number, headers);
    return this.#add(call);
  }

  async stop() {
    const ua = this.#ua;
    this.#ua = this.#account = null;
    clearInterval(this.#asking);
    removeEventListener("online", this.#ask);
    this.#show("off");
    if (!ua) return;
    const gone = new Promise((done) => ua.once("disconnected", done));
    ua.stop();
    await gone;
  }

  #show(link) {
    if (this.link === link) return;
    this.link = link;
    this.#how.changed();
  }
}

/** A socket of JsSIP's that can be dropped as if the network had cut it. */
function droppable(socket) {
  socket.drop = () => {
    socket.disconnect();
    socket.ondisconnect(true, 1006, "");
  };
  return socket;
}
