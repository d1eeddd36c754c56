// A card of the standard: what to say, what to do, what to bear in mind, what never to say.

import { make } from "./dom.js";
import { inWords, words } from "./words.js";

const OPEN = /\{(\w+)\}/g;

/** A text with what the agent has typed in; what is not known stays to be seen as a gap. */
export const filled = (text, fields) => text.replace(OPEN, (_, name) => fields[name] || words().unfilled[name] || "…");

/** What a card begins with: its first words for the caller, else what to do. */
export function gist(card, fields) {
  if (card.say.length) return filled(card.say[0].text, fields);
  return [...card.do, ...card.know].map(inWords).join(words().then) || card.never[0];
}

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
  if (card.know.length) {
    parts.push(
      make("h3", { class: "label" }, words().know),
      make("ul", { class: "know" }, ...card.know.map((line) => make("li", {}, inWords(line)))),
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
