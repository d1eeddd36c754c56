// Small helpers for the document.

/** The element with this id. */
export const by = (id) => document.getElementById(id);

/** A new element: `make("p", {class: "say", lang: "zh-CN"}, "words", otherElement)`. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Set a text if it differs, so that unchanged text is neither painted nor read out again. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** True if an input method is composing a character, so that the key is not a shortcut. (Some browsers report it only
 * by the key code, 229.) */
export const composing = (event) => event.isComposing || event.keyCode === 229;

/** Have a screen reader read a text out: `urgent` at once, otherwise at the next pause. */
export function announce(text, urgent = false) {
  const where = by(urgent ? "urgent" : "polite");
  where.textContent = "";
  requestAnimationFrame(() => (where.textContent = text));
}

/** 75 → 1:15 */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** The time of day of a moment (ms since 1970), e.g. 14:05:09. */
export const timeOfDay = (ms, lang) =>
  new Date(ms).toLocaleTimeString(lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
