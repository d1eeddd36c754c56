// The phone's sound devices: the microphone, and what plays the caller and the ring. The choice is kept in the browser.
//
// While a call goes on, nothing switches by itself, except away from a device that is gone.

import { changes, constraints, named, offered, pick, reason } from "./choice.js";

const KEPT = "phone-devices"; // {microphone: {id, label}, speaker: …, ring: …}; what is not there is the system's choice
const SETTLE_MS = 200; // a headset comes and goes as several devices
const WHATS = ["microphone", "speaker", "ring"];

/** `why`: a word for which the page has a sentence with the remedy. */
export class DeviceFault extends Error {
  constructor(why, cause) {
    super(why, { cause });
    this.why = why;
  }
}

/** What happens to the devices, as events:
 *
 * change: `detail` is {come, gone, back, inCall}: the names of devices that were plugged in, were pulled out, and of
 * those among the first that were chosen before.
 * fell: `detail` is {what, label}: that device could not be used, so the system's choice is.
 * replaced: `detail` is {from, to}: use this microphone's track in place of that one, in the call that goes on.
 * lost: `detail` is {from, why}: the call has no microphone any more.
 * chosen: `detail` is {what}. */
export const news = new EventTarget();
const report = (kind, detail) => news.dispatchEvent(new CustomEvent(kind, { detail }));

/** True if this browser can play on a device other than the system's. */
export const canChooseSpeaker = () => "setSinkId" in HTMLMediaElement.prototype;

let listed = []; // as the browser has listed them last
const fallen = new Set(); // for which of `WHATS` the chosen device is missing, and that was reported
const talking = new Set(); // the tracks of the microphone that calls use
const replacing = new Set(); // those that another one is about to replace
const playing = new Map(); // audio elements, by what they play

const kept = () => {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) ?? {};
  } catch {
    return {};
  }
};

/** The devices that can be chosen for `what`, and the one that was: `{devices: [{id, label}], chosen, gone}`, where
 * `chosen` is empty for the system's choice, and `gone` is the name of a chosen device that is not there. */
export function choices(what) {
  const { id, label, gone } = pick(listed, what, kept()[what]);
  return { devices: offered(listed, what), chosen: id, gone: gone ? label : "" };
}

/** Choose a device, by its id; an empty one leaves it to the system. It counts at once, in a call as well. */
export async function choose(what, id) {
  const all = kept();
  const label = offered(listed, what).find((one) => one.id === id)?.label;
  if (label) all[what] = { id, label };
  else delete all[what];
  localStorage.setItem(KEPT, JSON.stringify(all));
  fallen.delete(what);
  if (what === "microphone") await Promise.all([...talking].map(replace));
  else await Promise.all([...played(what)].map((audio) => route(audio, what)));
  report("chosen", { what });
}

/** Have the browser list its devices again. */
export async function look() {
  listed = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
}

/** True while a call uses the microphone. */
export function inCall() {
  for (const track of talking) if (track.readyState === "ended") talking.delete(track);
  return talking.size > 0;
}

/** The microphone for a call; whoever asks ends its tracks. If it is pulled out, or another one is chosen, there will be
 * news of the kind "replaced". Throws a DeviceFault. */
export async function microphone() {
  const stream = await open();
  use(stream.getAudioTracks()[0]);
  return stream;
}

/** The chosen microphone, for anything but a call. Throws a DeviceFault. */
export async function open() {
  if (!navigator.mediaDevices?.getUserMedia) throw new DeviceFault(isSecureContext ? "unsupported" : "insecure");
  const { id, label, gone } = pick(listed, "microphone", kept().microphone);
  try {
    if (gone) fell("microphone", label);
    const stream = await navigator.mediaDevices.getUserMedia(constraints(id)).catch((error) => {
      if (!id || reason(error) === "denied") throw error;
      fell("microphone", label);
      return navigator.mediaDevices.getUserMedia(constraints(""));
    });
    if (!named(listed)) {
      await look(); // now the browser names its devices, and allows their use
      for (const [audio, plays] of playing) route(audio, plays);
    }
    return stream;
  } catch (error) {
    throw new DeviceFault(reason(error), error);
  }
}

function use(track) {
  talking.add(track);
  track.addEventListener("ended", () => replace(track)); // pulled out; `stop()` raises no event
}

/** Put the chosen microphone in the place of this track. */
async function replace(from) {
  if (!talking.has(from) || replacing.has(from)) return;
  replacing.add(from);
  try {
    const [to] = (await open()).getAudioTracks();
    if (!talking.delete(from)) return to.stop(); // the call is over
    to.enabled = from.enabled; // muted stays muted
    use(to);
    report("replaced", { from, to });
    from.stop();
  } catch (error) {
    talking.delete(from);
    report("lost", { from, why: error.why });
  } finally {
    replacing.delete(from);
  }
}

/** Play an audio element on the device for "speaker" or "ring". Rejects if the browser does not allow sound yet. */
export async function play(audio, what) {
  playing.set(audio, what);
  await route(audio, what);
  return audio.play();
}

/** Forget an audio element that will not play again. */
export const forget = (audio) => playing.delete(audio);

function* played(what) {
  for (const [audio, plays] of playing) if (plays === what) yield audio;
}

async function route(audio, what) {
  if (!canChooseSpeaker()) return;
  const { id, label, gone } = pick(listed, what, kept()[what]);
  if (gone) fell(what, label);
  if (audio.sinkId === id) return;
  try {
    await audio.setSinkId(id);
  } catch {
    if (id && named(listed)) fell(what, label);
    if (audio.sinkId) await audio.setSinkId("").catch(() => {});
  }
}

/** Report, once, that a chosen device cannot be used. */
function fell(what, label) {
  if (fallen.has(what)) return;
  fallen.add(what);
  report("fell", { what, label });
}

// ---- devices come and go --------------------------------------------------------------------------------------------
async function changed() {
  const before = listed;
  await look();
  const { come, gone } = changes(before, listed);
  const wanted = kept();
  const missing = (list, what) => pick(list, what, wanted[what]).gone;
  const back = WHATS.filter((what) => missing(before, what) && !missing(listed, what));
  for (const what of back) fallen.delete(what);
  const calling = inCall();
  for (const what of WHATS) if (!missing(before, what) && missing(listed, what)) fell(what, wanted[what].label);
  for (const [audio, what] of playing) {
    const lost = audio.sinkId && !offered(listed, what).some((one) => one.id === audio.sinkId);
    if (lost || !(calling && what === "speaker")) await route(audio, what);
  }
  const there = new Set(offered(listed, "microphone").map((one) => one.id));
  for (const track of talking) {
    const { deviceId } = track.getSettings();
    const wasNamed = offered(before, "microphone").some((one) => one.id === deviceId);
    if (wasNamed && !there.has(deviceId)) await replace(track);
  }
  if (come.length || gone.length)
    report("change", { come, gone, back: back.map((what) => wanted[what].label), inCall: calling });
}

let settling = 0;
navigator.mediaDevices?.addEventListener?.("devicechange", () => {
  clearTimeout(settling);
  settling = setTimeout(changed, SETTLE_MS);
});
look();
