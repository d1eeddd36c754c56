// Small things about the document.

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

/** Write a text where it is another one: what has not changed is neither painted nor read out again. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Does this key belong to an input method that is composing a character? Then it is no command of ours. (Some browsers
 * tell it only by the key code, 229.) */
export const composing = (event) => event.isComposing || event.keyCode === 229;

/** Have it read out: `urgent` at once, else when there is a pause. */
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

/** When it was, as a clock shows it. */
export const timeOfDay = (ms, lang) =>
  new Date(ms).toLocaleTimeString(lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
