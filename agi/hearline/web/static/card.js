// A card of the standard: what to say, what to do, what to bear in mind, what to avoid, and what never to say.

import { make } from "./dom.js";
import { inWords, words } from "./words.js";

const OPEN = /\{(\w+)\}/g;

/** A text with known values filled in; other fields stay visible as gaps. */
export const filled = (text, gaps) => text.replace(OPEN, (_, name) => gaps[name] || words().unfilled[name] || "…");

/** The words of a card whose required fields are known. */
const sayable = (card, gaps) => card.say.filter((saying) => saying.needs.every((name) => gaps[name]));

/** The gist of a card: its first words for the caller, or else what to do. */
export function gist(card, gaps) {
  const [first] = sayable(card, gaps);
  if (first) return filled(first.text, gaps);
  return [...card.do, ...card.know].map(inWords).join(words().then) || card.never[0];
}

/** All words of a card for the caller, in order. */
export const allSaid = (card, gaps) => sayable(card, gaps).map((saying) => filled(saying.text, gaps));

/** The elements of a card's body. `promised`: the promised wait, ms; null: none can be promised now. */
export function cardBody(card, gaps, promised = null) {
  const words_ = sayable(card, gaps).map((saying) => said(saying, gaps, promised));
  const parts = [
    part("say", "ul", words_, { lang: "zh-CN" }),
    part("do", card.do.length > 1 ? "ol" : "ul", card.do.map(line)),
  ];
  if (card.first === "do") parts.reverse();
  parts.push(part("know", "ul", card.know.map(line)), part("avoid", "ul", card.avoid.map(line)));
  parts.push(part("never", "ul", card.never.map((text) => make("li", {}, text)), { lang: "zh-CN" }));
  return parts.flat();
}

const line = (both) => make("li", {}, inWords(both));

/** A heading and its list; nothing if the list is empty. */
function part(name, tag, items, attributes = {}) {
  if (!items.length) return [];
  const grave = name === "avoid" || name === "never";
  const heading = make("h3", { class: grave ? "label grave" : "label" }, words()[name]);
  return [heading, make(tag, { class: name, ...attributes }, ...items)];
}

function said(saying, gaps, promised) {
  const parts = [make("span", {}, filled(saying.text, gaps))];
  const when = inWords(saying.for);
  if (when) parts.unshift(make("span", { class: "when", lang: words().lang }, when));
  if (saying.promise_ms && promised !== null) {
    const pressed = `${promised === saying.promise_ms}`;
    const attributes = { type: "button", lang: words().lang, "data-promise": saying.promise_ms, "aria-pressed": pressed };
    parts.push(" ", make("button", attributes, words().promise(saying.promise_ms / 60_000)));
  }
  return make("li", {}, ...parts);
}
