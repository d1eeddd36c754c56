// What the hotline hears of this tab: nothing, a recorded caller, or the microphone. All of it goes through one stream, so
// that changing it needs no new negotiation, and a recorded caller needs no permission for the microphone.

const SOFT_DB = -27; // of the recordings, which are at −23 dBov: too soft even after the line has been raised by 9 dB

export class Voice {
  #audio = new AudioContext();
  #out = this.#audio.createMediaStreamDestination();
  #playing = null;
  #microphone = null;
  #recordings = new Map();
  #changed;

  /** `fetchWav(name)`: a recorded caller's file, as bytes. `changed()`: `now` has changed. */
  constructor(fetchWav, changed) {
    this.fetchWav = fetchWav;
    this.#changed = changed;
    this.now = "silent";
    // Without a source, some browsers send nothing at all, as silent phones do; but the hotline is to hear digital silence.
    const nothing = new ConstantSourceNode(this.#audio, { offset: 0 });
    nothing.connect(this.#out);
    nothing.start();
  }

  /** The stream for the call. */
  async stream() {
    await this.#audio.resume();
    return this.#out.stream;
  }

  silent() {
    this.#stop();
    this.#show("silent");
  }

  /** Play a recorded caller once, softly or not. */
  async speak(name, softly) {
    this.#stop();
    const kind = softly ? "soft" : "speak";
    this.#show(kind);
    const buffer = await this.#recording(name);
    if (this.now !== kind || this.#playing) return; // changed meanwhile
    const volume = new GainNode(this.#audio, { gain: softly ? 10 ** (SOFT_DB / 20) : 1 });
    const source = new AudioBufferSourceNode(this.#audio, { buffer });
    source.connect(volume).connect(this.#out);
    source.onended = () => {
      if (this.#playing !== source) return;
      this.#playing = null;
      this.#show("silent");
    };
    this.#playing = source;
    source.start();
  }

  /** Pass on the microphone. `ask()`: resolves to its stream. Rejects as `ask` does. */
  async microphone(ask) {
    const stream = await ask();
    this.#stop();
    this.#microphone = { stream, source: this.#audio.createMediaStreamSource(stream) };
    this.#microphone.source.connect(this.#out);
    this.#show("microphone");
  }

  close() {
    this.#stop();
    this.#audio.close();
  }

  /** Forget what plays, or the microphone. */
  #stop() {
    const playing = this.#playing;
    this.#playing = null;
    playing?.stop();
    this.#microphone?.source.disconnect();
    this.#microphone?.stream.getTracks().forEach((track) => track.stop());
    this.#microphone = null;
  }

  #show(now) {
    if (this.now === now) return;
    this.now = now;
    this.#changed();
  }

  async #recording(name) {
    if (!this.#recordings.has(name))
      this.#recordings.set(name, await this.#audio.decodeAudioData(await this.fetchWav(name)));
    return this.#recordings.get(name);
  }
}
