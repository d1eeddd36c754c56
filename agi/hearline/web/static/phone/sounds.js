// What the settings of the phone let one hear and see: the level of the microphone, one's own echo, and the ring.

import { dbov } from "./choice.js";
import { forget, open, play } from "./devices.js";

const LEVEL_MS = 100;
const WINDOW = 4096; // samples that a level is taken from, a power of two
export const ECHO_S = 3;
const SWITCH_S = 0.01; // sound that begins or ends at once clicks
const RING_HZ = [760, 950]; // by turns, as electronic telephones ring
const TURN_S = 0.05;
const RING_S = 1.2;
const PAUSE_S = 2.4;
const LOUD = 0.25; // full scale is 1

/** The level of the microphone, for a while. */
export class Meter {
  #audio = null;
  #timer = 0;
  #wanted = false;
  stream = null;

  /** `show(dbov)`: takes the level ten times a second; null if the microphone sends no sound. */
  constructor(show) {
    this.show = show;
  }

  /** Begin, or begin again with the microphone that is chosen now. Throws a DeviceFault. */
  async start() {
    this.stop();
    this.#wanted = true;
    const stream = await open();
    if (!this.#wanted || this.stream) return end(stream); // stopped, or begun again, meanwhile
    this.stream = stream;
    this.#audio = new AudioContext();
    const analyser = new AnalyserNode(this.#audio, { fftSize: WINDOW });
    this.#audio.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(WINDOW);
    this.#timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      this.show(dbov(samples));
    }, LEVEL_MS);
  }

  stop() {
    this.#wanted = false;
    clearInterval(this.#timer);
    this.#audio?.close();
    if (this.stream) end(this.stream);
    this.#audio = this.stream = null;
  }
}

const end = (stream) => stream.getTracks().forEach((track) => track.stop());

/** An audio element that plays what is connected to `node`. */
function loudspeaker(audio) {
  const node = audio.createMediaStreamDestination();
  const element = new Audio();
  element.srcObject = node.stream;
  return { node, element };
}

/** Plays what the microphone has picked up for some seconds on the chosen loudspeaker. */
export class Echo {
  #audio = null;
  #element = null;
  #timers = [];

  /** `show(step)`: takes "listen", "play", and "" at the end. */
  constructor(show) {
    this.show = show;
  }

  get runs() {
    return Boolean(this.#audio);
  }

  /** Listen to `stream`, and then play that. */
  async start(stream) {
    this.stop();
    const audio = (this.#audio = new AudioContext());
    const { node, element } = loudspeaker(audio);
    this.#element = element;
    // A delay as long as the listening is the whole recorder: the microphone is shut when its beginning comes out.
    const [from, until] = [audio.currentTime, audio.currentTime + ECHO_S];
    const door = new GainNode(audio, { gain: 1 });
    door.gain.setValueAtTime(1, until - SWITCH_S);
    door.gain.linearRampToValueAtTime(0, until);
    const delay = new DelayNode(audio, { delayTime: until - from, maxDelayTime: ECHO_S + 1 });
    audio.createMediaStreamSource(stream).connect(door).connect(delay).connect(node);
    this.show("listen");
    this.#timers = [
      setTimeout(() => this.show("play"), ECHO_S * 1000),
      setTimeout(() => this.stop(), 2 * ECHO_S * 1000),
    ];
    await play(element, "speaker");
  }

  stop() {
    if (!this.#audio) return;
    this.#timers.forEach(clearTimeout);
    this.#element.pause();
    forget(this.#element);
    this.#audio.close();
    this.#audio = this.#element = null;
    this.show("");
  }
}

/** The ring. */
export class Ring {
  #audio = null;
  #element = null;
  #timer = 0;

  get runs() {
    return Boolean(this.#audio);
  }

  /** Ring on the chosen device until `stop()`. Rejects if the browser does not allow sound yet. */
  async start() {
    if (this.#audio) return;
    this.#audio = new AudioContext();
    const { node, element } = loudspeaker(this.#audio);
    this.#element = element;
    const tone = new OscillatorNode(this.#audio, { frequency: RING_HZ[0] });
    const volume = new GainNode(this.#audio, { gain: 0 });
    tone.connect(volume).connect(node);
    tone.start();
    const once = () => {
      const from = this.#audio.currentTime;
      for (let turn = 0; turn * TURN_S < RING_S; turn++)
        tone.frequency.setValueAtTime(RING_HZ[turn % 2], from + turn * TURN_S);
      volume.gain.setValueAtTime(0, from);
      volume.gain.linearRampToValueAtTime(LOUD, from + SWITCH_S);
      volume.gain.setValueAtTime(LOUD, from + RING_S - SWITCH_S);
      volume.gain.linearRampToValueAtTime(0, from + RING_S);
    };
    once();
    this.#timer = setInterval(once, (RING_S + PAUSE_S) * 1000);
    await play(element, "ring");
  }

  stop() {
    if (!this.#audio) return;
    clearInterval(this.#timer);
    this.#element.pause();
    forget(this.#element);
    this.#audio.close();
    this.#audio = this.#element = null;
  }
}
