// A phone that holds plays no whisper. So the page rings, softly, 5 s before the agent must be back with the caller.

const AHEAD_S = 5;

export class HoldBell {
  #due = false;

  constructor(ring) {
    this.ring = ring;
  }

  /** Several times a second. `held`: s that the caller has been on hold, null where nobody is; `every` s go by alone. */
  look(held, every) {
    const due = held !== null && held % every >= every - AHEAD_S;
    if (due && !this.#due) this.ring();
    this.#due = due;
  }
}

let audio = null;

/** Two soft notes, half a second. A browser plays nothing before the first click or key. */
export function ring() {
  audio ??= new AudioContext();
  audio.resume();
  const volume = new GainNode(audio, { gain: 0 });
  volume.connect(audio.destination);
  [660, 880].forEach((frequency, i) => {
    const [from, note] = [audio.currentTime + i * 0.25, new OscillatorNode(audio, { frequency })];
    note.connect(volume);
    volume.gain.setValueAtTime(0, from);
    volume.gain.linearRampToValueAtTime(0.1, from + 0.02);
    volume.gain.linearRampToValueAtTime(0, from + 0.24);
    note.start(from);
    note.stop(from + 0.25);
  });
}
