// A card of the standard: what to say, what to do, what never to say.

import { make } from "./dom.js";
import { inWords, words } from "./words.js";

const OPEN = /\{(\w+)\}/g;

/** A text with what the agent has typed in; what is not known stays to be seen as a gap. */
export const filled = (text, fields) => text.replace(OPEN, (_, name) => fields[name] || words().unfilled[name] || "…");

/** The elements of a card's body. */
export function cardBody(card, fields) {
  const parts = [];
  if (card.say.length) {
    parts.push(
      make("h3", { class: "label" }, words().say),
      make(
        "ul",
        { class: "say", lang: "zh-CN" },
        ...card.say.map((saying) => {
          const when = inWords(saying.for);
          const text = make("span", {}, filled(saying.text, fields));
          return make("li", {}, ...(when ? [make("span", { class: "when", lang: words().lang }, when), text] : [text]));
        }),
      ),
    );
  }
  if (card.do.length) {
    const list = card.do.length > 1 ? "ol" : "ul";
    parts.push(
      make("h3", { class: "label" }, words().do),
      make(list, { class: "do" }, ...card.do.map((step) => make("li", {}, inWords(step)))),
    );
  }
  if (card.never.length) {
    parts.push(
      make("h3", { class: "label never" }, words().never),
      make("ul", { class: "never", lang: "zh-CN" }, ...card.never.map((text) => make("li", {}, text))),
    );
  }
  return parts;
}
