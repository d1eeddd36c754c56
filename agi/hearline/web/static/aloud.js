// The sounds of the page. A phone plays nothing while it holds, so the page plays the whisper that calls the agent back
// to the caller.

const NOTES_HZ = [660, 880];
const NOTE_S = 0.25;
const LOUD = 0.1; // of the notes; full scale is 1
const ON_ITS_WAY_MS = 300; // sound that was played may still be on its way to the loudspeaker
const TOUCHES = ["keydown", "mousedown", "touchend"];

export class Aloud {
  #audio = null;
  #sounding = null; // the nodes of the present sound

  /** `changed()`: called when the browser begins to allow sound, which most do only after the first click or key.
   * `where()`: the id of the device to play on; empty for the system's. */
  constructor(changed, where = () => "") {
    this.allowed = false;
    this.where = where;
    try {
      this.#audio = new AudioContext();
    } catch {
      return; // this browser has no sound
    }
    const touched = () => this.#audio.resume();
    for (const touch of TOUCHES) addEventListener(touch, touched, true);
    this.#audio.addEventListener("statechange", () => {
      if (this.allowed || this.#audio.state !== "running") return;
      this.allowed = true;
      for (const touch of TOUCHES) removeEventListener(touch, touched, true);
      if (!this.#sounding) this.#audio.suspend(); // otherwise it would occupy the loudspeaker for a whole shift
      changed();
    });
  }

  /** Play two soft notes, then the sound from `fetchWav()`; if that fails, only the notes. */
  async say(fetchWav) {
    this.stop();
    if (!this.allowed) return;
    const nodes = (this.#sounding = []);
    const end = (ms) => setTimeout(() => nodes === this.#sounding && this.stop(), ms + ON_ITS_WAY_MS);
    const coming = fetchWav()
      .then((wav) => this.#audio.decodeAudioData(wav))
      .catch(() => null);
    const where = this.where();
    if (this.#audio.setSinkId && this.#audio.sinkId !== where) await this.#audio.setSinkId(where).catch(() => {});
    await this.#audio.resume();
    if (nodes !== this.#sounding) return;
    const rung = this.#ring(nodes);
    const buffer = await coming;
    if (nodes !== this.#sounding) return;
    if (buffer) {
      const words = new AudioBufferSourceNode(this.#audio, { buffer });
      this.#start(nodes, words, this.#audio.destination, rung);
      words.onended = () => end(0);
    } else end(NOTES_HZ.length * NOTE_S * 1000);
  }

  /** Stop at once. */
  stop() {
    for (const node of this.#sounding ?? []) node.disconnect();
    if (this.#sounding) this.#audio.suspend();
    this.#sounding = null;
  }

  /** Play the notes. Returns the time at which they end. */
  #ring(nodes) {
    const volume = new GainNode(this.#audio, { gain: 0 });
    volume.connect(this.#audio.destination);
    let from = this.#audio.currentTime;
    for (const frequency of NOTES_HZ) {
      const note = new OscillatorNode(this.#audio, { frequency });
      this.#start(nodes, note, volume, from);
      volume.gain.setValueAtTime(0, from);
      volume.gain.linearRampToValueAtTime(LOUD, from + 0.02);
      volume.gain.linearRampToValueAtTime(0, from + NOTE_S - 0.01);
      note.stop((from += NOTE_S));
    }
    return from;
  }

  #start(nodes, node, where, at) {
    node.connect(where);
    node.start(Math.max(at, this.#audio.currentTime));
    nodes.push(node);
  }
}
