// One call of a line; the head of line.js says how it is used.

const RESTART_MS = 1500; // from the media's break to a new start of ICE, unless they came back by themselves
const AGAIN_MS = 5000; // between two starts
const GIVE_UP_MS = 15_000; // broken for this long, the call is over: Asterisk gives it up, too (rtp_timeout)
const GATHER_MS = 300; // from the first ICE candidate: later ones are not waited for
const KEY_MS = 120; // of a DTMF tone, and of the gap after it
const BUSY = 486;
const HANGS_UP_MS = 500;

export class Call {
  #how;
  #session = null;
  #stream = null;
  #answering = false;
  #mending = 0;
  #givingUp = 0;

  /** `session`: JsSIP's, of an incoming call. `how`: what the line provides. */
  constructor(how, session = null) {
    this.#how = how;
    this.incoming = Boolean(session);
    this.state = session ? "ringing" : "calling";
    this.media = "opening";
    this.muted = this.held = this.heldByThem = false;
    this.since = null;
    this.why = "";
    this.left = false; // hung up here
    this.noMicrophone = ""; // why there is none, so that the call could not be made
    this.number = session?.remote_identity.uri.user ?? "";
    this.name = session?.remote_identity.display_name ?? "";
    if (session) this.#follow(session);
  }

  /** Call a number, once the microphone is open. */
  async begin(ua, number, headers) {
    this.number = number;
    try {
      this.#stream = await this.#how.microphone();
    } catch (error) {
      this.noMicrophone = error.why ?? "broken";
      this.#over(this.noMicrophone);
      return;
    }
    if (this.state === "over") return stopped(this.#stream);
    this.#follow(ua.call(number, { ...this.#media(), extraHeaders: headers }));
  }

  /** Rejects if there is no microphone; the call then goes on ringing. */
  async answer() {
    if (this.state !== "ringing" || this.#answering) return;
    this.#answering = true;
    try {
      const stream = await this.#how.microphone();
      if (this.state !== "ringing") return stopped(stream);
      this.#stream = stream;
      this.#session.answer(this.#media());
    } catch (error) {
      this.#answering = false;
      throw error;
    }
  }

  hangUp() {
    if (this.state === "over") return;
    this.left = true;
    if (!this.#session || this.#session.isEnded()) return this.#over("");
    if (this.state !== "ringing" && !this.#how.connected()) {
      // Asterisk hears of it when the line is back; until then neither side hears the other.
      this.#stream?.getTracks().forEach((track) => track.stop());
      this.#how.heard(this, null);
      return;
    }
    this.#session.terminate(this.state === "ringing" ? { status_code: BUSY } : {});
  }

  mute(on) {
    if (on) this.#session?.mute({ audio: true });
    else this.#session?.unmute({ audio: true });
    this.muted = on;
    this.#how.changed();
  }

  /** Returns false if it is not possible just now. */
  hold(on) {
    if (this.state !== "talking" || !this.#how.connected()) return false;
    const done = on ? this.#session.hold() : this.#session.unhold();
    if (done) this.held = on;
    this.#how.changed();
    return done;
  }

  digits(keys) {
    if (this.state !== "talking") return;
    this.#session.sendDTMF(keys, { transportType: "RFC2833", duration: KEY_MS, interToneGap: KEY_MS });
  }

  /** To a number: blind. To another call: attended. Resolves once the transfer is done, which ends this call. */
  transfer(to) {
    const attended = to instanceof Call;
    return new Promise((done, refused) => {
      if (this.state !== "talking" || !this.#how.connected()) return refused(new Error("lost"));
      // Asterisk may report a failure of a transfer that succeeds; then it hangs up at once.
      const failed = ({ status_line, response, cause }) => {
        const why = String(status_line?.status_code ?? response?.status_code ?? cause ?? "refused");
        setTimeout(() => refused(new Error(why)), HANGS_UP_MS);
      };
      // After an attended transfer, Asterisk leaves it to us to end this call.
      const accepted = () => {
        for (const call of attended ? [this, to] : [this]) call.hangUp();
        done();
      };
      this.#session.on("ended", done); // Asterisk may hang up before it reports
      const eventHandlers = { accepted, requestFailed: failed, failed };
      const target = attended ? to.#session.remote_identity.uri.toString() : to;
      this.#session.refer(target, { eventHandlers, replaces: attended ? to.#session : undefined });
    });
  }

  /** The microphone's track that is in use. */
  get microphone() {
    return this.#stream?.getAudioTracks()[0] ?? null;
  }

  async useMicrophone(stream) {
    const sender = this.#session?.connection?.getSenders().find((one) => one.track?.kind === "audio" || !one.track);
    if (!sender) return stopped(stream);
    const [track] = stream.getAudioTracks();
    track.enabled = !(this.muted || this.held || this.heldByThem);
    await sender.replaceTrack(track);
    stopped(this.#stream);
    this.#stream = stream;
  }

  /** What names this call to Asterisk; null until it is answered. */
  get dialog() {
    const id = this.state === "talking" ? this.#session._dialog?.id : null;
    return id ? { callId: id.call_id, ours: id.local_tag, theirs: id.remote_tag } : null;
  }

  /** The line has been lost. */
  lost() {
    if (this.state === "ringing") this.#session.terminate({ status_code: BUSY }); // the caller's side gave it up, too
  }

  /** The line is back. */
  back() {
    if (this.left) return this.#session.terminate();
    if (this.state !== "talking") return;
    if (this.media === "broken") return this.#restart();
    // The Contact in it is where Asterisk sends this call's messages from now on. If it has given the call up (481),
    // JsSIP ends the call.
    this.#session.sendRequest("UPDATE", {
      extraHeaders: [`Contact: ${this.#session.contact}`],
      eventHandlers: { onDialogError: () => this.#session.onDialogError() },
    });
  }

  #media() {
    return {
      mediaStream: this.#stream,
      mediaConstraints: { audio: true, video: false },
      pcConfig: { iceServers: this.#how.ice },
    };
  }

  #follow(session) {
    this.#session = session;
    if (session.connection) this.#watch(session.connection);
    else session.on("peerconnection", ({ peerconnection }) => this.#watch(peerconnection));
    session.on("accepted", () => {
      this.state = "talking";
      this.since = Date.now();
      if (this.muted) session.mute({ audio: true });
      this.#how.changed();
    });
    session.on("confirmed", () => {
      session.onTransportError = () => {}; // JsSIP would end the talk if the socket is lost in the middle of a hold
    });
    for (const [event, on] of [["hold", true], ["unhold", false]])
      session.on(event, ({ originator }) => {
        this[originator === "remote" ? "heldByThem" : "held"] = on;
        this.#how.changed();
      });
    let gathering = 0;
    session.on("icecandidate", ({ ready }) => (gathering ||= setTimeout(ready, GATHER_MS)));
    session.on("sdp", (event) => {
      clearTimeout(gathering);
      gathering = 0;
      if (event.originator === "local") event.sdp = located(event.sdp, this.#how.address);
    });
    for (const event of ["ended", "failed"]) session.on(event, ({ cause }) => this.#over(cause));
  }

  #watch(connection) {
    connection.addEventListener("track", ({ track, streams }) => {
      this.#how.heard(this, streams[0] ?? new MediaStream([track]));
    });
    // Before JsSIP, which ends the call when ICE fails.
    const changed = (event) => {
      const state = connection.iceConnectionState;
      if (state === "failed") event.stopImmediatePropagation();
      if (["connected", "completed"].includes(state)) this.#flows();
      else if (["disconnected", "failed"].includes(state)) this.#broken();
    };
    connection.addEventListener("iceconnectionstatechange", changed, true);
  }

  #flows() {
    clearTimeout(this.#mending);
    clearTimeout(this.#givingUp);
    this.#mending = this.#givingUp = 0;
    this.media = "flows";
    this.#how.changed();
  }

  #broken() {
    if (this.media === "broken") return;
    this.media = "broken";
    this.#mending = setTimeout(() => this.#restart(), RESTART_MS);
    this.#givingUp = setTimeout(() => this.hangUp(), GIVE_UP_MS);
    this.#how.ask(); // perhaps the whole network has changed
    this.#how.changed();
  }

  #restart() {
    clearTimeout(this.#mending);
    if (this.state !== "talking" || this.media !== "broken") return;
    this.#mending = setTimeout(() => this.#restart(), AGAIN_MS);
    if (this.#how.connected()) this.#session.renegotiate({ rtcOfferConstraints: { iceRestart: true } });
  }

  #over(why) {
    if (this.state === "over") return;
    this.state = "over";
    this.why = why ?? "";
    clearTimeout(this.#mending);
    clearTimeout(this.#givingUp);
    stopped(this.#stream);
    this.#how.heard(this, null);
    this.#how.over(this);
  }
}

const stopped = (stream) => stream?.getTracks().forEach((track) => track.stop());

/** An SDP in which the browser's hidden addresses (NAME.local) are the one by which the server sees it. Browsers hide them
 * from pages without a microphone. Without any address Asterisk begins no ICE, and takes 0.0.0.0 for a hold. The right
 * address it then learns by ICE. */
export function located(sdp, address) {
  if (!address) return sdp;
  let shown = sdp.replace(/^(a=candidate:(?:\S+ ){4})[-\w]+\.local /gm, `$1${address} `);
  if (!/^a=candidate:/m.test(shown))
    shown = shown.replace(/^a=ice-ufrag:/m, `a=candidate:1 1 udp 1 ${address} 9 typ host\r\n$&`);
  const [, port] = shown.match(/^a=candidate:(?:\S+ ){5}(\d+) /m) ?? [, 9];
  const family = address.includes(":") ? "IP6" : "IP4";
  return shown.replace(/^m=audio 9 /m, `m=audio ${port} `).replace(/^c=IN IP4 0\.0\.0\.0/m, `c=IN ${family} ${address}`);
}
