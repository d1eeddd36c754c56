// Stands in for static/phone/line.js in the page's tests: a line without SIP, which the test plays on `window.line`.

class Call {
  constructor(line, number, incoming) {
    Object.assign(this, { line, number, incoming, name: "", state: incoming ? "ringing" : "calling", media: "opening" });
    Object.assign(this, { muted: false, held: false, heldByThem: false, since: null, why: "", left: false, sent: "" });
    this.dialog = this.microphone = null;
  }

  /** The far side answers, or the agent has. */
  talks() {
    Object.assign(this, { state: "talking", since: Date.now(), media: "flows" });
    this.dialog = { callId: "id", ours: "ours", theirs: "theirs" };
    this.line.changed();
  }

  /** The call is over. */
  over(why = "Terminated") {
    Object.assign(this, { state: "over", why });
    this.line.calls = this.line.calls.filter((one) => one !== this);
    this.line.how.heard(this, null);
    this.line.how.ended(this);
    this.line.changed();
  }

  /** Something else changes, e.g. `{media: "broken"}`. */
  becomes(what) {
    Object.assign(this, what);
    this.line.changed();
  }

  async answer() {
    if (window.microphoneFault) throw Object.assign(new Error(), { why: window.microphoneFault });
    this.talks();
  }

  hangUp() {
    this.left = true;
    this.over("");
  }

  mute(on) {
    this.becomes({ muted: on });
  }

  hold(on) {
    if (this.line.link !== "registered") return false;
    this.becomes({ held: on });
    return true;
  }

  digits(keys) {
    this.sent += keys;
  }

  async transfer(to) {
    if (window.transferFault) throw new Error(window.transferFault);
    this.line.transferred.push([this.number, to instanceof Call ? `call ${to.number}` : to]);
    if (to instanceof Call) to.over();
    this.over();
  }

  useMicrophone(stream) {
    this.microphone?.stop();
    [this.microphone] = stream.getAudioTracks();
  }
}

export class Line {
  constructor(how) {
    Object.assign(this, { how, link: "off", calls: [], dialled: [], transferred: [] });
    window.line = this;
  }

  get ringing() {
    return this.calls.find((call) => call.state === "ringing") ?? null;
  }

  changed() {
    this.how.changed();
  }

  async start() {
    this.account = await this.how.account();
    this.becomes("registered");
  }

  async take() {
    this.becomes("registered");
  }

  becomes(link) {
    this.link = link;
    this.changed();
  }

  /** A call rings. */
  rings(number = "13800005678") {
    this.calls.push(new Call(this, number, true));
    this.changed();
  }

  call(number, { headers = [] } = {}) {
    const call = new Call(this, number, false);
    this.dialled.push([number, ...headers]);
    this.calls.push(call);
    this.changed();
    return call;
  }

  async stop() {
    for (const call of [...this.calls]) call.hangUp();
    this.link = "off";
  }
}
