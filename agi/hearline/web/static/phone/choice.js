// Which sound device to use, what has changed among them, how loud a sound is: decisions without a browser's devices.

export const KINDS = { microphone: "audioinput", speaker: "audiooutput", ring: "audiooutput" };

/** Gain control is off: it would raise the noise of a room while the agent listens, and hide a soft voice from the
 * meters. */
const SOUND = { echoCancellation: true, noiseSuppression: true, autoGainControl: false };

/** Entries that stand for whatever the system has chosen, and not for a device. */
const STAND_INS = ["default", "communications", ""];

/** The devices that can be chosen for `what`, out of those that the browser lists: `[{id, label}]`. Empty as long as the
 * browser hides them, which it does until the microphone is allowed. */
export const offered = (listed, what) =>
  listed
    .filter((one) => one.kind === KINDS[what] && one.label && !STAND_INS.includes(one.deviceId))
    .map((one) => ({ id: one.deviceId, label: one.label }));

/** True if the browser names its devices, so that one that is missing is gone. */
export const named = (listed) => listed.some((one) => one.label);

/** What to use for `what`, if `wanted` (`{id, label}`, or null for the system's choice) was chosen: `{id, label, gone}`;
 * an empty id stands for the system's choice. A browser gives its devices new ids when its site data is deleted, so the
 * name counts as well. */
export function pick(listed, what, wanted) {
  if (!wanted) return { id: "", label: "", gone: false };
  const devices = offered(listed, what);
  const found = devices.find((one) => one.id === wanted.id) ?? devices.find((one) => one.label === wanted.label);
  if (found) return { ...found, gone: false };
  if (!named(listed)) return { ...wanted, gone: false }; // not known yet
  return { id: "", label: wanted.label, gone: true };
}

/** What has been plugged in and pulled out between two lists: `{come, gone}`, each the names of the devices, once each
 * (a headset is a microphone and a loudspeaker). */
export function changes(before, after) {
  if (!named(before) || !named(after)) return { come: [], gone: [] };
  const names = (listed) => new Set(["microphone", "speaker"].flatMap((what) => offered(listed, what)).map((one) => one.label));
  const [then, now] = [names(before), names(after)];
  return { come: [...now].filter((one) => !then.has(one)), gone: [...then].filter((one) => !now.has(one)) };
}

/** The constraints for the microphone with this id; an empty id stands for the system's choice. */
export const constraints = (id) => ({ audio: { ...SOUND, ...(id ? { deviceId: { exact: id } } : {}) }, video: false });

/** The word for why there is no microphone, for which the page has a sentence with the remedy. */
export function reason(error) {
  switch (error?.name) {
    case "NotAllowedError":
    case "SecurityError":
      return /system/i.test(error.message) ? "denied_by_system" : "denied";
    case "NotFoundError":
    case "OverconstrainedError":
      return "none";
    case "NotReadableError":
    case "AbortError":
      return "busy";
    default:
      return "broken";
  }
}

/** The level of samples in −1…1, in dBov; null if they hold no sound at all, as those of a muted microphone. */
export function dbov(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return sum > 0 ? 10 * Math.log10(sum / samples.length) : null;
}
