// The agent's page: shows the server's state, and posts the agent's actions. Its only own state is what the agent is
// typing, and the look of the page.

import { Aloud } from "./aloud.js";
import { announce, by, clock, composing, make, timeOfDay, write } from "./dom.js";
import { allSaid, cardBody, gist } from "./card.js";
import { Fault, get, getSound, Link, post } from "./link.js";
import { CallNote, noteLines, noteSent } from "./note.js";
import { choices } from "./phone/devices.js";
import { PhonePanel } from "./phone/panel.js";
import { Phrases } from "./phrases.js";
import { changeLanguage, inWords, language, words, writeWords } from "./words.js";

const CLOCKS_MS = 250;
const SIGN_IN_MS = 25_000; // the PIN may have to wait for its check while somebody guesses PINs
const CONFIRM_MS = 4000;
const FLOOR_DBOV = -60;
const TOO_LATE_MS = 3000; // an older whisper is not played
const THEMES = ["auto", "light", "dark"];
const ACTING = ["keys", "hint-acts", "hint-body", "outcomes", "done", "help-list"].map((id) => `#${id} button`).join();

let link = null;
let state = null;
let levels = null;
let shown = null; // the call on the screen, even while the connection is lost
let skew = 0; // our clock − the server's, ms
let lostSince = null;
let preview = null; // a card that was opened without a call
let asteriskLostAt = null;
let saidAt = null; // the time of the last whisper that was played, or was too old to play

const aloud = new Aloud(
  () => state && showHeard(),
  () => (tel.phone.standing === "off" ? "" : choices("speaker").chosen), // where they hear the caller
);
const serverNow = () => Date.now() - skew;
const live = () => link?.live && state?.asterisk;
const inCall = () => live() && state.state === "talking";

const note = new CallNote({
  send: (changes) => act("note", { note: changes }),
  changed: () => {
    if (!state) return;
    showHint(state);
    showOutcomes();
    phrases.show();
  },
});

const tel = new PhonePanel({ tell, caller: () => [words().states.ringing, state?.call ? queueName(state.call) : ""] });

/** The values for the phrases' gaps: from this call's note, else from an earlier call, else from the phrase set. */
const gaps = () => ({ ...state?.gaps, ...written(state?.call?.known), ...written(note.values()) });
const written = (values) => Object.fromEntries(Object.entries(values ?? {}).filter(([, value]) => value));

// ---- signing in and out ---------------------------------------------------------------------------------------------
function showSignIn(fault = "") {
  link?.end();
  aloud.stop();
  link = state = levels = preview = shown = null;
  note.forget();
  by("desk").hidden = true;
  by("sign-in").hidden = false;
  by("pin").value = "";
  write(by("sign-in-fault"), fault);
  document.title = "Hearline";
  by(by("agent").value ? "pin" : "agent").focus();
}

function showDesk() {
  by("sign-in").hidden = true;
  by("desk").hidden = false;
  connect();
  phrases.look();
  placeFocus();
}

/** Put the focus on the card, unasked: it then has no ring, which would look like a mark of the card's. */
function placeFocus() {
  by("hint").classList.add("placed");
  by("hint").focus();
}
by("hint").addEventListener("blur", () => by("hint").classList.remove("placed"));

function connect() {
  link?.end();
  showLink();
  link = new Link({
    state: (sent) => {
      skew = Date.now() - sent.now;
      const before = state;
      state = sent;
      asteriskLostAt = sent.asterisk ? null : (asteriskLostAt ?? sent.now);
      show(before);
    },
    levels: (sent) => {
      levels = sent;
      showLevels();
    },
    live: () => {
      lostSince = null;
      state = null;
      showLink();
    },
    lost: (since) => {
      lostSince = since;
      aloud.stop();
      levels = null;
      showLink();
      showLevels();
      showClocks();
      announce(words().lost(timeOfDay(since, words().lang)), true);
    },
    over: () => {
      showLink("over");
      announce(words().over, true);
    },
    signedOut: () => {
      tel.phone.signedOut();
      showSignIn(words().faults.signed_out());
    },
  });
}

by("sign-in-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await post("sign-in", { agent: by("agent").value.trim(), pin: by("pin").value }, SIGN_IN_MS);
    by("pin").value = "";
    write(by("sign-in-fault"), "");
    showDesk();
  } catch (error) {
    write(by("sign-in-fault"), sentence(error));
    by("pin").select();
  }
});

/** The sentence for a fault. */
function sentence(error) {
  if (!(error instanceof Fault)) throw error;
  return (words().faults[error.why] ?? words().faults.broken)(error.body);
}

/** Post an action for the call on the screen; returns the server's answer. Shows a fault, and returns null then. */
async function act(path, what = {}) {
  try {
    return await post(path, { call: state.call?.id, ...what });
  } catch (error) {
    if (error.why === "signed_out") showSignIn(sentence(error));
    else tell(sentence(error));
    return null;
  }
}

/** Show a short message at the bottom of the window; screen readers read it out, too. */
function tell(text) {
  announce(text);
  by("toast")?.remove();
  const toast = make("p", { id: "toast", class: "toast", "aria-hidden": "true" }, text);
  document.body.append(toast);
  setTimeout(() => toast.remove(), 4000);
}

// ---- the state ------------------------------------------------------------------------------------------------------
function show(before) {
  const call = state.call;
  if (call?.id !== shown?.id) forgetCaller(shown);
  if (call) note.show(call.note); // it may come from another window, or from a colleague
  shown = call ?? null;
  if (state.state !== "idle" && state.state !== before?.state) preview = null;
  if (state.card && state.card.hint !== before?.card?.hint) preview = null;
  document.body.dataset.state = state.state;
  write(by("me"), words().me(state.agent));
  document.title = `${words().states[state.state]} · ${state.agent} · Hearline`;
  by("call").hidden = !call;
  by("keys").hidden = state.state !== "talking";
  by("note").hidden = by("closing").hidden = !call || state.state === "ringing";
  by("long").hidden = !state.long || state.state !== "talking";
  by("done").hidden = state.state !== "after";
  by("meters").hidden = state.state !== "talking";
  if (call) showCall(call);
  showPhrases();
  showAsking(before);
  showOutcomes();
  showOwn();
  showKeys();
  showHeard();
  showHint(before);
  sayOnHold();
  showLink();
  showClocks();
  if (state.state !== "talking") levels = null;
  showLevels();
  tellChange(before);
  tel.follow(state);
  by("desk").dataset.at = state.at; // for measurements of the delay
}

/** The list of phrases, in the phrase set of the call, with its gaps filled. */
function showPhrases() {
  const drawn = JSON.stringify(gaps());
  if (by("phrase-list").dataset.set !== state.phrases) phrases.look();
  else if (by("phrase-list").dataset.drawn !== drawn) phrases.show();
  by("phrase-list").dataset.set = state.phrases;
  by("phrase-list").dataset.drawn = drawn;
}

/** Another call begins, or none is left: remove everything about the last one, and send off its unsaved note. */
function forgetCaller(last) {
  const late = note.forget();
  if (last && late) noteSent({ call: last.id, note: late }, tell);
  endConfirming();
  for (const part of ["note", "closing"]) if (by(part).contains(document.activeElement)) placeFocus();
  by("earlier").open = false;
}

const MORE_WAIT_S = 5;

function showCall(call) {
  write(by("number"), call.number || words()[call.withheld ? "withheld" : "anonymous"]);
  write(by("queue"), queueName(call));
  write(by("wait-title"), call.passed_on_by ? words().transfer : words().wait);
  write(by("wait"), call.passed_on_by ? words().passed_on(call.passed_on_by) : words().seconds(call.wait_s));
  // `wait` is the last wait in a queue; beside it is the time since the caller first came into one.
  by("whole-wait-row").hidden = call.since_came_s < call.wait_s + MORE_WAIT_S;
  write(by("whole-wait"), clock(call.since_came_s));
  write(by("call-id"), call.id);
  write(by("heard"), words().heards[call.heard] ?? words().heards.unknown);
  by("heard").dataset.heard = call.heard;
  write(by("lately"), call.lately ? words().lately(call.lately.count, call.lately.days) : "");
  write(by("known"), call.known.name ? words().known(`${call.known.name} ${call.known.title}`.trim()) : "");
  const noted = state.state === "ringing" ? noteLines(call.note) : []; // a colleague has passed the call on
  by("noted").hidden = !noted.length;
  by("noted").replaceChildren(...noted);
  const earlier = call.earlier;
  write(by("earlier-title"), earlier ? words().earlier(earlier.length) : words().earlier_wait);
  by("earlier").classList.toggle("none", !earlier?.length);
  const drawn = JSON.stringify([earlier, language()]);
  if (by("earlier-list").dataset.drawn !== drawn) {
    by("earlier-list").dataset.drawn = drawn;
    by("earlier-list").replaceChildren(...(earlier ?? []).map(earlierCall));
  }
}

const queueName = (call) => (language() === "zh" && call.queue_zh) || call.queue;

function earlierCall(one) {
  const at = new Date(one.at).toLocaleString(words().lang, {
    month: "short",
    day: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    hour12: false,
  });
  const [kind, by_] = (one.ended ?? "").split(":");
  const ended = by_ === "caller" ? words().ended.caller : words().ended[kind];
  const said = one.agent ? words().talked(one.agent, one.talk_s === null ? "" : clock(one.talk_s)) : (ended ?? "");
  const parts = [said, words().heards[one.heard], words().outcomes[one.outcome] ?? one.outcome].filter(Boolean);
  return make("li", {}, make("b", {}, at), ` ${parts.join(" · ")}`, ...(one.note ? noteLines(one.note) : []));
}

/** The card on the screen: the server's, or the one picked from the list. */
function showHint(before) {
  const card = shownCard();
  const filling = gaps();
  const ours = card && card !== preview && state.state === "talking"; // it belongs to the call
  const promised = ours ? state.hold.promised_ms : null;
  const pressed = ours ? card.keys.map(isOn) : [];
  const shown = JSON.stringify([card, filling, state.state, language(), preview, promised, pressed, state.supervisors]);
  if (by("hint").dataset.shown === shown) return;
  by("hint").dataset.shown = shown;
  const backTo = focusOn(by("hint"));
  by("hint").classList.toggle("empty", !card);
  write(by("hint-section"), card?.section ?? "");
  write(by("hint-kind"), card && card === preview ? words().preview : "");
  const [title, why] = words().no_card[state.state];
  write(by("hint-title"), card ? inWords(card.title) : title);
  by("hint-body").replaceChildren(...(card ? cardBody(card, filling, promised) : [make("p", { class: "why" }, why)]));
  by("hint-acts").hidden = !card;
  by("hint-acts").querySelector("[data-do=used]").hidden = !ours;
  by("card-acts").replaceChildren(...(ours ? cardActs(card) : []));
  backTo();
  by("expiry").hidden = !card || card === preview;
  const news = card && card !== preview && card.hint !== before?.card?.hint;
  if (news) announce(`${inWords(card.title)}. ${gist(card, filling)}`);
}

/** Keeps the focus in a part that is drawn again. Returns a function that puts it back on the same button, or else on
 * the card. */
function focusOn(part) {
  const at = document.activeElement;
  const [name, value] = Object.entries(at.dataset).find(([name]) => DRAWN.includes(name)) ?? [];
  if (!name || !part.contains(at)) return () => {};
  return () => (part.querySelector(`[data-${name}="${value}"]`) ?? by("hint")).focus();
}
const DRAWN = ["promise", "key", "rule", "coming"];

/** Buttons for the keys that belong to a card, and for the cards that may follow. */
function cardActs(card) {
  const keys = card.keys.filter((key) => key !== "supervisor" || state.supervisors !== null);
  return [
    ...keys.map((key) =>
      make(
        "button",
        { type: "button", "data-key": key, "aria-pressed": key in words().key_on ? `${isOn(key)}` : null },
        make("span", {}, keyLabel(key)),
      ),
    ),
    ...card.next.map(({ title, rule }) => make("button", { type: "button", "data-rule": rule }, `${inWords(title)} →`)),
  ];
}

const shownCard = () => preview ?? state.card ?? null;

function showOutcomes() {
  const picked = state.call?.outcome;
  const drawn = JSON.stringify([state.outcomes, picked, language()]);
  const where = by("outcomes");
  if (where.dataset.drawn !== drawn) {
    const focused = document.activeElement?.dataset?.outcome;
    where.dataset.drawn = drawn;
    where.replaceChildren(
      ...state.outcomes.map((card) => {
        const name = card.id.replace(/^closing-/, "");
        const label = words().outcomes[name] ?? inWords(card.title);
        return make("button", { type: "button", "data-outcome": card.id, "aria-pressed": `${picked === name}` }, label);
      }),
    );
    if (focused) where.querySelector(`[data-outcome="${focused}"]`)?.focus();
  }
  const card = state.outcomes.find((one) => one.id === `closing-${picked}`);
  write(by("closing-says"), card ? allSaid(card, gaps()).join(" → ") : "");
}

function showOwn() {
  const count = state.left_first_today; // null until it has been looked up
  write(by("left-first"), count === null ? "" : words().left_first(count));
  if (document.activeElement !== by("volume")) by("volume").value = state.volume_db;
  showVolume();
}

/** The keys, pressed in while their action goes on; e.g. the same key stops a prompt. */
function showKeys() {
  for (const key of Object.keys(words().key_on)) {
    const button = document.querySelector(`#keys [data-key=${key}]`);
    button.setAttribute("aria-pressed", `${isOn(key)}`);
    write(button.querySelector("span"), keyLabel(key));
  }
  document.querySelector("#keys [data-key=supervisor]").hidden = state.supervisors === null;
}

/** True while this key's action goes on. */
function isOn(key) {
  if (key === "low_volume" || key === "receiver") return state.playing === key;
  return { callback: state.callback, mute: state.muted, supervisor: Boolean(state.call?.help) }[key] ?? false;
}

function keyLabel(key) {
  if (key === "supervisor" && state.call?.help?.coming) return words().coming(state.call.help.coming);
  return isOn(key) ? words().key_on[key] : words()[`key_${key}`];
}

/** The requests for a supervisor, which only supervisors' pages get. */
function showAsking(before) {
  by("helps").hidden = !state.asking.length;
  const drawn = JSON.stringify([state.asking, language()]);
  if (by("help-list").dataset.drawn !== drawn) {
    by("help-list").dataset.drawn = drawn;
    const backTo = focusOn(by("help-list"));
    by("help-list").replaceChildren(...state.asking.map(asks));
    backTo();
  }
  const known = new Set(before?.asking.map((one) => one.call));
  const more = state.asking.filter((one) => !one.coming && !known.has(one.call));
  for (const one of more) announce(words().asks_help(one.agent, queueName(one), clock(0)), true);
  if (more.length && before) aloud.say(() => Promise.reject());
}

function asks(one) {
  const text = make("span", { "data-since": one.since, "data-agent": one.agent, "data-queue": queueName(one) });
  if (one.coming) return make("li", {}, text, ` ${words().help_taken(one.coming)}`);
  const coming = { type: "button", class: "strong", "data-coming": one.agent, "data-call": one.call };
  return make("li", {}, text, " ", make("button", coming, words().i_come));
}

/** Say so if there are no whispers, so that the agent does not wait for one. */
function showHeard() {
  const muted = state.muted && state.state === "talking";
  write(by("no-whispers"), !state.whispers_allowed ? words().whispers_off : muted ? words().whispers_muted : "");
  write(by("no-sound"), aloud.allowed || !by("aloud").checked ? "" : words().sound_off);
}

/** Play the whisper that a phone does not play while it holds: once, and not if it is too old. */
async function sayOnHold() {
  const at = state.hold?.whisper_at ?? null;
  if (at === saidAt) return;
  saidAt = at;
  if (at === null || !live() || state.now - at > TOO_LATE_MS || !by("aloud").checked) aloud.stop();
  else if (aloud.allowed && (await isOurs(at)) && at === saidAt) aloud.say(() => getSound("hold-whisper"));
}

/** True in one of this browser's windows, the one that gets the lock, which it keeps as long as the whisper may be
 * played. Without TLS there are no locks, and windows see each other's storage only after a moment, so two of them may
 * play it. */
function isOurs(at) {
  if (!navigator.locks) {
    const taken = localStorage.getItem("said") === `${at}`;
    localStorage.setItem("said", at);
    return !taken;
  }
  return new Promise((resolve) => {
    navigator.locks.request(`said ${at}`, { ifAvailable: true }, (lock) => {
      resolve(Boolean(lock));
      return lock && new Promise((over) => setTimeout(over, TOO_LATE_MS));
    });
  });
}

function showVolume() {
  const db = Number(by("volume").value);
  write(by("volume-db"), `${db > 0 ? "+" : db < 0 ? "−" : ""}${Math.abs(db)} dB`);
}

function showLevels() {
  for (const meter of document.querySelectorAll(".meter")) {
    const level = levels?.[meter.dataset.side];
    const dbov = level?.dbov ?? null;
    const side = words()[`${meter.dataset.side}_side`];
    const says = dbov === null ? words().no_sound : level.speaking ? words().speaking : words().quiet;
    const bar = meter.querySelector(".bar");
    bar.firstElementChild.style.transform = `scaleX(${dbov === null ? 0 : Math.max(0, 1 - dbov / FLOOR_DBOV)})`;
    meter.classList.toggle("speaking", Boolean(level?.speaking));
    write(meter.querySelector(".meter-says"), says);
    const value = `${Math.round(Math.max(FLOOR_DBOV, dbov ?? FLOOR_DBOV))}`;
    if (bar.getAttribute("aria-valuenow") !== value) {
      bar.setAttribute("aria-valuenow", value);
      bar.setAttribute("aria-valuetext", words().level(side, says, dbov === null ? null : Math.round(dbov)));
    }
    bar.setAttribute("aria-label", side);
  }
  if (levels) by("meters").dataset.at = levels.at;
}

/** Show the connection. If there is none, grey the page out and show since when. */
function showLink(over) {
  const lost = lostSince !== null;
  const noAsterisk = !lost && state && !state.asterisk;
  const text = over
    ? words().over
    : lost
      ? words().lost(timeOfDay(lostSince, words().lang))
      : noAsterisk
        ? words().asterisk(timeOfDay(asteriskLostAt + skew, words().lang))
        : "";
  document.body.dataset.link = lost || over ? "lost" : noAsterisk ? "asterisk" : link?.live ? "live" : "opening";
  write(by("banner-text"), text);
  by("banner").hidden = !text;
  by("here").hidden = !over;
  const short =
    lost || over
      ? words().lost_short
      : noAsterisk
        ? words().asterisk_short
        : link?.live
          ? words().linked
          : words().linking;
  write(by("link"), short);
  const stale = Boolean(text) || !link?.live;
  for (const button of document.querySelectorAll(ACTING))
    button.setAttribute("aria-disabled", `${stale}`);
}

/** Update the clocks, which stop while the connection is lost. */
function showClocks() {
  if (!state) return;
  const now = lostSince === null ? serverNow() : lostSince - skew;
  const [call, hold] = [state.call, state.hold];
  const time = clock((now - state.since) / 1000);
  write(by("state"), state.state === "idle" ? words().states.idle : `${words().states[state.state]} ${time}`);
  if (call) {
    if (state.state === "ringing" && !call.passed_on_by)
      write(by("wait"), words().seconds(Math.round(call.wait_s + (now - state.now) / 1000)));
  }
  showHold(hold, now);
  for (const asked of document.querySelectorAll("[data-since]"))
    write(asked, words().asks_help(asked.dataset.agent, asked.dataset.queue, clock((now - asked.dataset.since) / 1000)));
  const card = state.card;
  if (card) {
    const left = Math.max(0, Math.min(1, (card.until - now) / Math.max(1, card.until - card.from)));
    by("expiry").firstElementChild.style.transform = `scaleX(${left})`;
    if (state.state === "after" && now >= card.until) {
      state.card = null;
      showHint(state);
    }
  }
}

function showHold(hold, now) {
  const longest = Math.round((hold?.longest_ms ?? 0) / 1000);
  const counted = hold?.count ? words().holds(hold.count, longest, hold.longest_by, hold.not_asked) : "";
  write(by("hold-counts"), counted);
  const on = Boolean(hold) && hold.since !== null;
  by("hold-now").hidden = !on;
  if (!on) return;
  const [held, every] = [(now - hold.since) / 1000, hold.every_ms / 1000];
  const left = Math.max(0, Math.ceil(every - (held % every)));
  if (hold.by === "caller") return write(by("hold-now"), words().held_by_caller(clock(held)));
  const back = words().on_hold(clock(held), left);
  const over = words().promised(remaining(hold.promised_ms / 1000 - held));
  write(by("hold-now"), hold.promised_ms ? `${back} · ${over}` : back);
}

/** The time left, such as 0:48; with a hyphen as sign, such as -0:05, if it is over. */
const remaining = (seconds) => (seconds < 0 ? `-${clock(-seconds)}` : clock(Math.ceil(seconds)));

/** Have changes of the state read out. */
function tellChange(before) {
  if (state.state === before?.state && state.call?.id === before?.call?.id) return;
  const call = state.call;
  if (state.state === "ringing")
    announce(
      words().rings(
        call.number || words()[call.withheld ? "withheld" : "anonymous"],
        queueName(call),
        words().seconds(call.wait_s),
        words().heards[call.heard] ?? words().heards.unknown,
      ),
    );
  else if (before && !state.card) announce(words().states[state.state]);
}

// ---- what the agent does --------------------------------------------------------------------------------------------
const phrases = new Phrases(
  async (card) => {
    by("hint").focus(); // at once, so that the next key press goes to the card and not to the search
    if (inCall() && card.rule) {
      preview = null;
      await act("call-up", { rule: card.rule });
    } else if (state) {
      preview = card;
      showHint(state);
    }
    by("hint").scrollIntoView({ block: "nearest" });
  },
  gaps,
);

let confirming = null;
let confirmed = 0; // the timer that ends it

const DO = {
  language: () => {
    changeLanguage();
    speak();
  },
  theme: () => {
    const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length];
    localStorage.setItem("theme", next);
    showTheme();
  },
  help: () => {
    showHelp();
    by("help").showModal();
  },
  "sign-out": async () => {
    if (await tel.phone.inCallAnywhere()) return tell(words().phone.happened.in_talk);
    const answer = await post("sign-out", {}).catch((error) => error);
    if (answer instanceof Fault) tell(sentence(answer)); // the next person here would still be signed in as you
    else {
      tel.phone.stop();
      showSignIn();
    }
  },
  here: connect,
  used: () => shownCard() && shownCard() !== preview && act("card", { did: "used", card: shownCard().id }),
  dismissed: () => {
    if (preview) {
      preview = null;
      showHint(state);
    } else if (state.card) act("card", { did: "dismissed", card: state.card.id });
  },
  done: async () => {
    await note.save();
    act("done");
  },
};

async function press(key) {
  if (key === "supervisor" && !state.call.help && !state.supervisors) {
    if (state.supervisors === false) tell(words().supervisor_away); // otherwise the page has no such key
    return;
  }
  const label = words()[`key_${key}`];
  if (key === "nuisance" && confirming !== key) {
    confirm(key);
    return;
  }
  endConfirming();
  const { muted, playing } = state;
  const asked = state.call.help;
  if (!(await act("press", { key }))) return;
  if (key === "mute") muted && tell(words().unmuted); // a notice above the hints says that they are muted
  else if (key === "ask_hold") return; // its card appears
  else if (key === "supervisor") tell(asked ? words().withdrawn : words().key_on.supervisor);
  else tell(playing === key ? words().stopped : words().pressed(label));
}

/** Ask for a second press of a key that cannot be undone. */
function confirm(key) {
  endConfirming();
  confirming = key;
  for (const button of document.querySelectorAll(`[data-key=${key}]`)) {
    write(button.querySelector("span"), words().again);
    button.classList.add("asking");
  }
  announce(words().again);
  confirmed = setTimeout(endConfirming, CONFIRM_MS);
}

function endConfirming() {
  clearTimeout(confirmed);
  if (!confirming) return;
  for (const button of document.querySelectorAll(`[data-key=${confirming}]`)) {
    write(button.querySelector("span"), words()[`key_${confirming}`]);
    button.classList.remove("asking");
  }
  confirming = null;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button");
  if (!button || button.getAttribute("aria-disabled") === "true") return;
  if (button.dataset.do) DO[button.dataset.do]();
  else if (button.dataset.key) press(button.dataset.key);
  else if (button.dataset.outcome) act("outcome", { outcome: button.dataset.outcome });
  else if (button.dataset.promise) act("promise", { ms: Number(button.dataset.promise) });
  else if (button.dataset.rule) act("call-up", { rule: button.dataset.rule });
  else if (button.dataset.coming) act("coming", { agent: button.dataset.coming, call: button.dataset.call });
});

// ---- volume ---------------------------------------------------------------------------------------------------------
by("volume").addEventListener("input", showVolume);
by("volume").addEventListener("change", () => act("volume", { db: Number(by("volume").value) }));

// ---- keys -----------------------------------------------------------------------------------------------------------
const KEYS = ["low_volume", "receiver", "callback", "mute", "nuisance", "ask_hold", "supervisor"];
const goTo = (id) => () => {
  by(id).classList.remove("placed");
  by(id).focus();
  by(id).scrollIntoView({ block: "nearest" });
};
const SHORTCUTS = {
  u: DO.used,
  x: DO.dismissed,
  d: () => state.state === "after" && live() && DO.done(),
  h: goTo("hint"),
  "/": goTo("search"),
  c: goTo("character"),
  n: () => !by("note").hidden && goTo("n-matter")(),
  o: () => !by("closing").hidden && by("outcomes").querySelector("button")?.focus(),
  "?": DO.help,
};

document.addEventListener("keydown", (event) => {
  if (composing(event)) return; // Escape then cancels only the character that is being composed
  const typing = event.target.closest?.("input:not([type=range], [type=checkbox]), textarea, select, dialog[open]");
  if (event.key === "Escape" && typing && !typing.matches("dialog")) by("hint").focus();
  const off = localStorage.getItem("shortcuts") === "off";
  if (off || typing || event.ctrlKey || event.altKey || event.metaKey || event.repeat || !state) return;
  const number = Number(event.key);
  const shortcut =
    number >= 1 && number <= KEYS.length ? () => inCall() && press(KEYS[number - 1]) : (SHORTCUTS[event.key] ?? tel.shortcuts[event.key]);
  if (!shortcut || ("ux".includes(event.key) && !live())) return;
  event.preventDefault();
  shortcut();
});

by("shortcuts").addEventListener("change", () => {
  localStorage.setItem("shortcuts", by("shortcuts").checked ? "on" : "off");
  showShortcuts();
});

function showShortcuts() {
  const on = localStorage.getItem("shortcuts") !== "off";
  by("shortcuts").checked = on;
  document.body.classList.toggle("no-shortcuts", !on);
}

by("aloud").addEventListener("change", () => {
  localStorage.setItem("aloud", by("aloud").checked ? "on" : "off");
  if (!by("aloud").checked) aloud.stop();
  if (state) showHeard();
});
by("aloud").checked = localStorage.getItem("aloud") !== "off";

// ---- how it looks ---------------------------------------------------------------------------------------------------
const theme = () => (THEMES.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "auto");

function showTheme() {
  document.documentElement.dataset.theme = theme();
  for (const button of document.querySelectorAll("[data-do=theme]")) write(button, words().theme[theme()]);
}

/** Write everything in the chosen language. */
function speak() {
  writeWords();
  showTheme();
  tel.speak();
  if (state) {
    note.speak();
    show(state);
    phrases.show();
  }
}

function showHelp() {
  by("help-keys").replaceChildren(
    ...[...words().help_keys, ...tel.helpKeys].flatMap(([key, what]) => [
      make("dt", {}, make("kbd", {}, key)),
      make("dd", {}, what),
    ]),
  );
}

// ---- begin ----------------------------------------------------------------------------------------------------------
speak();
showShortcuts();
setInterval(showClocks, CLOCKS_MS);
get("me").then(showDesk, (error) => showSignIn(error.why === "offline" ? sentence(error) : ""));
