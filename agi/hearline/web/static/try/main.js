// "Try it": rings the hotline from the browser, and shows the call while it goes on.

import { announce, by, clock, make, write } from "../dom.js";
import { Fault, get, getSound, post } from "../link.js";
import { open, play } from "../phone/devices.js";
import { Line } from "../phone/line.js";
import { changeLanguage, inWords, language } from "../words.js";
import { Picture } from "./picture.js";
import { Story } from "./story.js";
import { Voice } from "./voice.js";
import { minus, textsIn } from "./words.js";

const DRAW_MS = 100;
const CONNECT_MS = 8000; // to reach the telephone system
const MEDIA_MS = 5000; // from the answer until sound flows
const SILENT_MS = 2500; // of the server's stream, which never is silent for longer than 0.5 s
const RECORD_MS = 4000; // after the end of a call, for its record to come
const FLOOR_DBOV = -90;
const THEMES = ["auto", "light", "dark"];
const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"];
const RECORDING = "caller-ask";

const words = () => textsIn(language());
const story_ = () => trial?.story ?? null;

let about = null; // of the hotline, as the server describes it
let trial = null; // the newest call: {story, line, call, voice, source, stage, …}
let fault = null; // {why, body}: the sentence in the banner

const picture = new Picture(by("picture"), { words, say: (id) => about?.prompts[id]?.words ?? "" });
const lengths = () => Object.fromEntries(Object.entries(about?.prompts ?? {}).map(([id, { ms }]) => [id, ms]));

// ---- a call ---------------------------------------------------------------------------------------------------------
async function begin() {
  if (!globalThis.RTCPeerConnection) return fail("no_webrtc");
  fail(null);
  by("far").srcObject = null;
  const mine = (trial = { story: new Story(), stage: "calling", startedAt: performance.now(), agent: "", voice: null });
  mine.voice = new Voice((name) => getSound(`try/callers/${name}`), () => mine === trial && showVoices());
  show();
  announce(words().stages.calling);
  try {
    about ??= await get("try");
    const account = await post("try/phone", {});
    if (mine !== trial || mine.stage === "over") return;
    mine.id = account.call;
    mine.line = new Line({
      account: async () => account,
      register: false,
      path: "try/ws",
      address: account.address,
      microphone: () => mine.voice.stream(),
      heard: (_call, stream) => hear(stream),
      changed: () => changed(mine),
      ended: (call) => ended(mine, call.why),
    });
    await mine.line.start();
    await connected(mine);
    if (mine.stage === "over") return;
    listen(mine);
    mine.call = mine.line.call(about.dial, { headers: account.headers });
    changed(mine);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    fail(error.why, error.body);
    over(mine);
  }
}

/** Play the far side; null: there is none any more. */
function hear(stream) {
  by("far").srcObject = stream;
  if (stream) play(by("far"), "speaker").catch(() => {}); // the page was clicked, so sound is allowed
}

/** Wait until the line reaches Asterisk. Throws a Fault. */
async function connected(mine) {
  const deadline = performance.now() + CONNECT_MS;
  while (!["connected", "registered"].includes(mine.line.link)) {
    if (mine.stage === "over") return;
    if (performance.now() > deadline) throw new Fault("no_line");
    await new Promise((soon) => setTimeout(soon, 20));
  }
}

/** Something about the telephone has changed. */
function changed(mine) {
  const call = mine.call;
  if (!call || mine.stage === "over") return;
  if (call.state === "talking" && !mine.answeredAt) {
    mine.answeredAt = performance.now();
    enter(mine, "ivr");
    setTimeout(() => mine.stage !== "over" && call.media !== "flows" && fail("no_media"), MEDIA_MS);
  }
  if (call.media === "flows" && fault?.why === "no_media") fail(null);
}

function ended(mine, why) {
  if (mine.stage === "over") return;
  const status = !mine.answeredAt && why && why !== "Canceled" ? why : "";
  if (status) fail("refused", { why: status });
  over(mine);
}

function over(mine) {
  if (mine.stage === "over") return;
  mine.story.end(performance.now());
  mine.endedAt = performance.now();
  mine.voice.close();
  mine.line?.stop();
  setTimeout(() => mine.source?.close(), RECORD_MS);
  enter(mine, "over");
}

function enter(mine, stage) {
  if (mine.stage === stage || mine.stage === "over") return;
  mine.stage = stage;
  if (mine !== trial) return;
  show();
  announce(stage === "over" ? accountOf(mine) : words().stages[stage]);
}

// ---- what the server tells of it --------------------------------------------------------------------------------------
function listen(mine) {
  const { story } = mine;
  const source = (mine.source = new EventSource(`api/try/calls/${mine.id}/events`));
  mine.heardAt = performance.now();
  const hear = (kind, take) =>
    source.addEventListener(kind, (event) => {
      mine.heardAt = performance.now();
      if (fault?.why === "server_gone" && mine === trial) fail(null);
      take(JSON.parse(event.data), performance.now());
      if (mine === trial && kind !== "beat") show();
    });
  hear("beat", () => {});
  hear("look", (look, now) => {
    if (!story.endedAt) story.hear(look, now, lengths());
  });
  hear("over", (told, now) => {
    story.leave(told, now);
    if (String(told.outcome).startsWith("queue") && mine.stage === "ivr") enter(mine, "queue");
  });
  hear("record", (record) => story.settle(record));
  hear("missed", () => mine.stage !== "over" && fail("missed"));
  hear("lost", () => mine.stage !== "over" && fail("server_gone"));
  hear("agent", ({ agent, state }, now) => {
    const last = story.stays.at(-1);
    if (mine.stage === "over") return;
    if (state === "ringing") {
      story.stay("rings", agent, now);
      enter(mine, "rings");
    } else if (state === "talking") {
      mine.agent = agent;
      story.stay("talk", agent, now);
      enter(mine, "talk");
    } else if (last?.kind === "rings" && last.name === agent) {
      story.stay("queue", queueOf(mine), now);
      enter(mine, "queue");
    }
  });
  hear("talk", ({ event }, now) => {
    if (mine.stage !== "talk") return;
    if (event === "hold") story.stay("hold", "", now);
    if (event === "unhold") story.stay("talk", mine.agent, now);
  });
  hear("end", () => source.close());
}

const queueOf = (mine) => String(mine.story.over?.outcome ?? "").split(":")[1] ?? "";
const queueName = (queue) => about?.queues[queue] ?? queue;

// ---- the caller's side ----------------------------------------------------------------------------------------------
const SAY = {
  silent: (voice) => voice.silent(),
  soft: (voice) => voice.speak(RECORDING, true),
  speak: (voice) => voice.speak(RECORDING, false),
  microphone: (voice) => voice.microphone(openMicrophone),
};

async function say(how) {
  const mine = trial;
  if (!live(mine)) return announce(words().voices.idle);
  try {
    await SAY[how](mine.voice);
    mine.story.mark(mine.story.at(performance.now()), "said", { voice: how });
    if (/^(insecure|microphone_)/.test(fault?.why)) fail(null);
    show();
  } catch (error) {
    if (error instanceof Fault) fail(error.why, error.body);
    else throw error;
  }
}

/** The words of devices.js for why there is no microphone, and ours. */
const NO_MICROPHONE = {
  insecure: "insecure",
  unsupported: "no_webrtc",
  denied: "microphone_refused",
  denied_by_system: "microphone_system",
  none: "microphone_none",
};

async function openMicrophone() {
  try {
    return await open();
  } catch (error) {
    throw new Fault(NO_MICROPHONE[error.why] ?? "microphone_busy", { host: location.host });
  }
}

const live = (mine) => Boolean(mine) && mine.stage !== "over";

function press(key) {
  if (live(trial) && trial.answeredAt) trial.call.digits(key);
}

// ---- showing it -----------------------------------------------------------------------------------------------------
function fail(why, body = {}) {
  fault = why ? { why, body } : null;
  showFault();
}

function showFault() {
  by("banner").hidden = !fault;
  const sentence = fault ? (words().faults[fault.why] ?? words().faults.broken) : "";
  const text = typeof sentence === "function" ? sentence(fault.body) : sentence;
  write(by("banner-text"), text);
  if (text) announce(text, true);
}

function show() {
  const stage = trial?.stage ?? "idle";
  document.body.dataset.stage = stage;
  write(by("stage"), words().stages[stage]);
  write(by("call"), live(trial) ? words().hang_up : words().call);
  write(by("voices-title"), live(trial) && trial.answeredAt ? words().voices.live : words().voices.idle);
  by("hotline").textContent = about ? inWords(about.title) : "";
  write(by("number"), about?.number ?? "");
  document.title = about ? words().document(inWords(about.title)) : "Hearline";
  showVoices();
  showNow();
  showLog();
  showAccount();
  showAgent();
}

function showVoices() {
  const now = live(trial) ? trial.voice.now : "silent";
  for (const button of document.querySelectorAll("[data-voice]")) {
    button.setAttribute("aria-pressed", button.dataset.voice === now);
    button.setAttribute("aria-disabled", !(live(trial) && trial.answeredAt));
  }
  for (const button of by("keys").children) button.setAttribute("aria-disabled", !(live(trial) && trial.answeredAt));
}

/** What the hotline says just now, or where the call is. */
function saying() {
  const story = story_();
  const stay = story?.stays.at(-1);
  if (!trial || trial.stage === "over") return [trial ? words().stages.over : words().nothing_yet, ""];
  if (stay?.to === null) {
    const text = { queue: words().in_queue, rings: words().rings_at, talk: words().far_side, hold: () => words().held };
    return [text[stay.kind](stay.kind === "queue" ? queueName(stay.name) : stay.name), ""];
  }
  const prompt = story.prompts.at(-1);
  if (prompt) return [about?.prompts[prompt.id]?.words ?? prompt.id, "zh-CN"];
  return [words().waits, ""];
}

function showNow() {
  const story = story_();
  const inIvr = live(trial) && story.look && !story.over;
  const look = inIvr ? story.look : null;
  const [text, lang] = saying();
  write(by("saying"), text);
  by("saying").lang = lang || words().lang;
  by("saying").classList.toggle("none", !live(trial));
  const left = inIvr ? story.timerLeft(performance.now()) : null;
  write(by("timer"), left === null ? "–" : words().seconds((left / 1000).toFixed(1)));
  write(by("step"), look?.step ?? "–");
  const verdict = by("verdict");
  verdict.dataset.verdict = look?.verdict ?? "";
  write(verdict, look ? (words().reasons[look.reason] ?? look.verdict) + (look.final ? "" : words().so_far) : "–");
  const loudest = look?.levels_dbov.length ? Math.max(...look.levels_dbov) : FLOOR_DBOV;
  const shown = Math.max(FLOOR_DBOV, Math.min(0, loudest));
  const says = look && shown > FLOOR_DBOV ? words().dbov(minus(Math.round(shown))) : look ? words().no_level : "–";
  write(by("level"), says);
  by("meter").setAttribute("aria-valuenow", Math.round(shown));
  by("meter").setAttribute("aria-valuetext", says);
  by("meter").firstElementChild.style.transform = `scaleX(${1 - shown / FLOOR_DBOV})`;
  by("meter").classList.toggle("speaking", look?.state === "SPEAKING");
}

/** The call's events as text, in their order: [ms, text, language]. */
function entries() {
  const story = story_();
  if (!story) return [];
  const { events } = words();
  const found = [
    ...story.timers
      .filter((timer) => timer.to !== null && timer.to >= timer.until - 20)
      .map(({ from, until, to }) => [to, events.timer(((until - from) / 1000).toFixed(1))]),
    ...story.prompts.map(({ id, from }) => [from, events.prompt(id, about?.prompts[id]?.words ?? "")]),
    ...story.marks.map((mark) => [mark.at, events[mark.kind](mark)]),
    ...story.stays.map(({ kind, name, from }) => [from, events[kind](kind === "queue" ? queueName(name) : name)]),
    ...(story.endedAt === null ? [] : [[story.endedAt, events.end()]]),
  ];
  return found.sort((a, b) => a[0] - b[0]);
}

let logged = "";
function showLog() {
  write(by("call-id"), trial?.id ? words().call_id(trial.id) : "");
  const found = entries();
  const now = JSON.stringify([found, language()]);
  if (now === logged) return;
  logged = now;
  const list = by("log");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.replaceChildren(
    ...found.map(([at, text]) => make("li", {}, make("time", {}, `${(at / 1000).toFixed(1)} s`), make("span", {}, text))),
    ...(found.length ? [] : [make("li", { class: "empty" }, make("span", { class: "small" }, words().log_empty))]),
  );
  if (atEnd) list.scrollTop = list.scrollHeight;
}

/** A sentence for what has become of the call. */
function accountOf(mine) {
  const { ended } = words();
  if (mine.agent) return ended.talk(mine.agent);
  const [kind, what] = String(mine.story.over?.outcome ?? "").split(":");
  if (kind === "queue" && mine.story.over.heard === "low") return ended.low;
  return ended[kind === "hangup" ? what : kind] ?? ended.unknown;
}

function showAccount() {
  const done = trial?.stage === "over" && trial.answeredAt && trial.story.over;
  by("account").hidden = !done;
  if (!done) return;
  const { story } = trial;
  const { facts } = words();
  write(by("account-text"), accountOf(trial));
  const spent = (kinds) =>
    story.stays.filter((stay) => kinds.includes(stay.kind)).reduce((sum, stay) => sum + (stay.to ?? stay.from) - stay.from, 0);
  const rows = [
    [facts.outcome, words().outcome(story.over.outcome)],
    [facts.heard, words().heards[story.over.heard] ?? story.over.heard],
    [facts.verdicts, verdictsOf(story)],
    [facts.ivr, clock(story.over.at / 1000)],
    [facts.waited, spent(["queue", "rings"]) ? clock(spent(["queue", "rings"]) / 1000) : ""],
    [facts.talked, spent(["talk", "hold"]) ? clock(spent(["talk", "hold"]) / 1000) : ""],
    [facts.punctual, punctuality(story.record)],
  ];
  by("account-facts").replaceChildren(
    ...rows.filter(([, value]) => value).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))),
  );
}

const verdictsOf = (story) =>
  story.marks.filter((mark) => mark.kind === "verdict").map((mark) => words().marks.verdict(mark)).join(", ") ||
  words().nothing_said;

function punctuality(record) {
  const off = (record?.events ?? []).filter((e) => e.planned_ms !== undefined).map((e) => Math.abs(e.at_ms - e.planned_ms));
  return off.length ? words().punctual(Math.max(...off)) : "";
}

function showAgent() {
  by("agent").hidden = !about?.agent;
  write(by("agent-number"), about?.agent?.number ?? "");
  write(by("agent-pin"), about?.agent?.pin ?? "");
}

// ---- the page -------------------------------------------------------------------------------------------------------
const theme = () => (THEMES.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "auto");

function writeWords() {
  document.documentElement.lang = words().lang;
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = words()[element.dataset.t];
  for (const button of document.querySelectorAll("[data-do=language]")) {
    button.textContent = words().other_language;
    button.lang = language() === "zh" ? "en" : "zh-CN";
  }
  document.documentElement.dataset.theme = theme();
  for (const button of document.querySelectorAll("[data-do=theme]")) write(button, words().theme[theme()]);
}

const ACTS = {
  call: () => (live(trial) ? hangUp() : begin()),
  language: () => {
    changeLanguage();
    writeWords();
    showFault();
    show();
    draw();
  },
  theme: () => {
    localStorage.setItem("theme", THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length]);
    writeWords();
  },
};

function hangUp() {
  const mine = trial;
  if (mine.call) mine.call.hangUp();
  over(mine);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.do) ACTS[button.dataset.do]();
  else if (button.dataset.voice) say(button.dataset.voice);
  else if (button.dataset.key) press(button.dataset.key);
});
by("keys").addEventListener("keydown", (event) => {
  if (KEYS.includes(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey) press(event.key);
});

function draw() {
  picture.draw(story_() ?? new Story(), performance.now());
}

setInterval(() => {
  if (trial?.stage === "over") return;
  if (live(trial)) {
    showNow();
    const quiet = trial.source && performance.now() - trial.heardAt > SILENT_MS;
    if (quiet && fault?.why !== "server_gone") fail("server_gone");
  }
  if (trial) draw();
}, DRAW_MS);
new ResizeObserver(draw).observe(by("picture"));
addEventListener("pagehide", () => live(trial) && hangUp());

by("keys").append(...KEYS.map((key) => make("button", { type: "button", "data-key": key }, key)));
writeWords();
show();
draw();
get("try").then(
  (told) => {
    about = told;
    show();
  },
  (error) => fail(error instanceof Fault ? error.why : "broken", error.body),
);
