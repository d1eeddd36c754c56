// All standard phrases, with search; and the ways of naming a character.

import { gist } from "./card.js";
import { by, composing, make, write } from "./dom.js";
import { Fault, get } from "./link.js";
import { inWords, words } from "./words.js";

const TYPING_MS = 120;

/**
 * Makes a list follow a search field, by `fetchFound(query)` and `show(found)`; outdated answers are dropped. Returns a
 * function that searches at once, and resolves to true if the list then shows the answer to the present query.
 */
function follow(field, fetchFound, show) {
  let asked = 0;
  let timer = 0;
  const look = async () => {
    clearTimeout(timer);
    const mine = ++asked;
    try {
      const found = await fetchFound(field.value.trim());
      if (mine === asked) show(found);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
    }
    return mine === asked;
  };
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(look, TYPING_MS);
  };
  field.addEventListener("input", (event) => event.isComposing || soon()); // an unfinished word finds nothing
  field.addEventListener("compositionend", soon);
  return look;
}

export class Phrases {
  /** `callUp(card)`: called when the agent picks a card. `gaps()`: the values for its gaps. */
  constructor(callUp, gaps) {
    this.callUp = callUp;
    this.gaps = gaps;
    this.found = [];
    const search = by("search");
    this.look = follow(
      search,
      (q) => get(`phrases?q=${encodeURIComponent(q)}`),
      ({ phrases }) => {
        this.found = phrases;
        this.show();
      },
    );
    search.addEventListener("keydown", async (event) => {
      // Fast typists press Enter before the list has followed.
      if (event.key === "Enter" && !composing(event) && (await this.look()) && this.found.length)
        this.callUp(this.found[0]);
    });
    this.lookUp = follow(
      by("character"),
      (q) => get(`characters?q=${encodeURIComponent(q)}`),
      ({ characters }) => {
        const list = by("character-list");
        list.replaceChildren(
          ...characters.map(({ character, ask }) =>
            make("li", {}, make("b", {}, character), " ", ...ask.flatMap((one, i) => (i ? [make("br"), one] : [one]))),
          ),
        );
        if (!characters.length && by("character").value.trim())
          list.append(make("li", { lang: words().lang, class: "small" }, words().characters_none));
      },
    );
  }

  /** Write the list that was found last. */
  show() {
    write(by("search-found"), by("search").value.trim() ? words().found(this.found.length) : "");
    let section = "";
    const items = [];
    for (const card of this.found) {
      if (card.section !== section)
        items.push(make("li", { class: "section-line", "aria-hidden": "true" }, card.section));
      section = card.section;
      const button = make(
        "button",
        { type: "button", class: "phrase" },
        make("span", { class: "unseen" }, `${card.section} `),
        make("span", { class: "phrase-title" }, inWords(card.title)),
        make("span", { class: "phrase-says", lang: card.say[0] ? "zh-CN" : words().lang }, gist(card, this.gaps())),
      );
      button.addEventListener("click", () => this.callUp(card));
      items.push(make("li", {}, button));
    }
    by("phrase-list").replaceChildren(...items);
  }
}
