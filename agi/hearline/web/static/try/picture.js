// The picture of a call, drawn while it goes on: prompts, timers, the level with its thresholds, verdicts and steps, one
// below another on one time axis. It grows to the right; when it is full, it shows a longer span.

const SVG = "http://www.w3.org/2000/svg";
const SPANS_MS = [20_000, 30_000, 45_000, 60_000, 90_000, 120_000, 180_000, 300_000, 600_000, 1_200_000, 3_600_000];
const FULL = 0.93; // of the width; then the span grows
const TICKS_MS = [1000, 2000, 5000, 10_000, 20_000, 60_000, 120_000, 300_000, 600_000];
const TICK_PX = 46; // at least
const LOW_DBOV = -90;
const CHAR_PX = 6.6; // of a small Latin letter; a Chinese character is twice as wide
const PAD = 4;

// name, height
const LANES = [
  ["says", 40],
  ["timers", 20],
  ["marks", 34],
  ["level", 120],
  ["verdicts", 20],
  ["steps", 20],
];
const TITLE = 17;
const GAP = 5;
const AXIS = 20;

export const HEIGHT = LANES.reduce((sum, [, height]) => sum + height + TITLE + GAP, AXIS);

export class Picture {
  /** `words()`: the texts in the chosen language. `say(id)`: a prompt's words. */
  constructor(svg, { words, say }) {
    this.svg = svg;
    this.words = words;
    this.say = say;
    this.svg.setAttribute("height", HEIGHT);
  }

  draw(story, nowMs) {
    const width = this.svg.clientWidth || 640;
    const now = story.at(nowMs);
    const span = SPANS_MS.find((ms) => now <= ms * FULL) ?? now / FULL;
    const x = (ms) => (ms / span) * width;
    const parts = [];
    let top = 0;
    for (const [name, height] of LANES) {
      parts.push(text(0, top + 12, this.words().lanes[name], "lane-title"));
      top += TITLE;
      const lane = element("g", { class: `lane ${name}`, transform: `translate(0 ${top})` });
      lane.append(...this[name](story, { x, now, width, height, span }));
      parts.push(lane);
      top += height + GAP;
    }
    parts.push(...this.axis(span, width, top));
    if (now > 0 && story.endedAt === null) parts.push(element("line", { class: "now", x1: x(now), x2: x(now), y1: TITLE, y2: top }));
    this.svg.replaceChildren(...parts);
  }

  says(story, { x, now, height }) {
    const bars = story.prompts.flatMap((prompt) => {
      const to = prompt.to ?? now;
      const words = this.say(prompt.id);
      const planned = prompt.to === null && prompt.until > to;
      return [
        planned ? box(x(prompt.from), 0, x(prompt.until) - x(prompt.from), height, "planned") : "",
        box(x(prompt.from), 0, x(to) - x(prompt.from), height, "prompt", { "data-prompt": prompt.id }),
        clipped(x(prompt.from), height, x(planned ? prompt.until : to) - x(prompt.from), [
          [15, prompt.id, "small-text strong-text"],
          [32, words, "small-text", "zh-CN"],
        ]),
      ];
    });
    const stays = story.stays.flatMap((stay) => {
      const to = stay.to ?? now;
      const name = this.words().stays[stay.kind](stay.name);
      return [
        box(x(stay.from), 0, x(to) - x(stay.from), height, stay.kind, { "data-stay": stay.kind }),
        clipped(x(stay.from), height, x(to) - x(stay.from), [[24, name, "small-text strong-text"]]),
      ];
    });
    return [...bars, ...stays].filter(Boolean);
  }

  timers(story, { x, now, height }) {
    return story.timers.flatMap((timer) => {
      const to = timer.to ?? now;
      const seconds = (ms) => (ms / 1000).toFixed(timer.exact ? 2 : 1);
      const label = timer.exact
        ? `${seconds(timer.until - timer.from)} → ${seconds(timer.to - timer.from)} s`
        : timer.to === null
          ? `${seconds(Math.max(0, timer.until - now))} s`
          : `${seconds(to - timer.from)} s`;
      return [
        box(x(timer.from), 0, x(timer.until) - x(timer.from), height, "planned-timer"),
        box(x(timer.from), 0, x(to) - x(timer.from), height, "timer", { "data-timer": timer.step }),
        clipped(x(timer.from), height, x(Math.max(to, timer.until)) - x(timer.from), [[14, label, "small-text"]]),
      ];
    });
  }

  marks(story, { x, width, height }) {
    const rows = [0, 0];
    const drawn = [];
    for (const mark of story.marks.filter(({ kind }) => kind !== "said")) {
      const label = this.words().marks[mark.kind](mark);
      const size = widthOf(label) + 2 * PAD;
      const at = x(mark.at);
      const left = Math.max(0, Math.min(at + PAD, width - size));
      const row = rows[0] <= left ? 0 : rows[1] <= left ? 1 : -1;
      // From its label downwards, so that no line crosses the label above.
      drawn.push(element("line", { class: "mark", x1: at, x2: at, y1: row < 0 ? height - 4 : row * 17, y2: height }));
      if (row < 0) continue; // no room: the list below has it
      rows[row] = left + size;
      drawn.push(text(left, 12 + row * 17, label, `small-text mark-${mark.kind}`));
    }
    return drawn;
  }

  level(story, { x, width, height }) {
    const y = (dbov) => (Math.max(LOW_DBOV, Math.min(0, dbov)) / LOW_DBOV) * height;
    const drawn = [box(0, 0, width, height, "ground")];
    for (const part of story.speech)
      drawn.push(box(x(part.from), 0, x(part.to ?? story.look.at_ms) - x(part.from), height, "speech"));
    if (story.ears) {
      const { too_soft_dbov: soft, normal_dbov: normal } = story.ears;
      for (const [dbov, kind] of [[normal, "normal"], [soft, "soft"]])
        drawn.push(element("line", { class: `threshold ${kind}`, x1: 0, x2: width, y1: y(dbov), y2: y(dbov) }));
      drawn.push(text(PAD, y(normal) - 4, this.words().normal_from(normal), "small-text threshold-text"));
      drawn.push(text(PAD, y(soft) + 13, this.words().too_soft_below(soft), "small-text threshold-text"));
    }
    if (story.levels.length) {
      const points = thinned(story.levels, width, x).map(({ at, dbov }) => `${x(at).toFixed(1)} ${y(dbov).toFixed(1)}`);
      const line = `M${points.join("L")}`;
      const [first, last] = [x(story.levels[0].at), x(story.levels.at(-1).at)];
      drawn.push(element("path", { class: "under", d: `${line}L${last} ${height}L${first} ${height}Z` }));
      drawn.push(element("path", { class: "curve", d: line }));
    }
    return drawn;
  }

  verdicts(story, { x, now, height }) {
    return story.verdicts.flatMap((run) => {
      const [from, to] = [x(run.from), x(run.to ?? Math.min(now, story.look.at_ms))];
      return [
        box(from, 0, to - from, height, `verdict ${run.name}`, { "data-verdict": run.name }),
        clipped(from, height, to - from, [[14, this.words().verdicts[run.name], "small-text on-verdict"]]),
      ];
    });
  }

  steps(story, { x, now, height }) {
    return story.steps.flatMap((run) => {
      const [from, to] = [x(run.from), x(run.to ?? now)];
      return [
        box(from, 0, to - from, height, "step", { "data-step": run.name }),
        clipped(from, height, to - from, [[14, run.name, "small-text"]]),
      ];
    });
  }

  axis(span, width, top) {
    const tick = TICKS_MS.find((ms) => (ms / span) * width >= TICK_PX) ?? TICKS_MS.at(-1);
    const drawn = [element("line", { class: "axis", x1: 0, x2: width, y1: top, y2: top })];
    for (let at = 0; at < span; at += tick) {
      const left = (at / span) * width;
      drawn.push(element("line", { class: "axis", x1: left, x2: left, y1: top, y2: top + 4 }));
      drawn.push(text(left + 2, top + 15, `${at / 1000} s`, "small-text soft-text"));
    }
    return drawn;
  }
}

/** At most two points a pixel: the loudest and the softest. */
function thinned(levels, width, x) {
  if (levels.length < 2 * width) return levels;
  const kept = [];
  let column = null;
  for (const level of levels) {
    const px = Math.floor(x(level.at));
    if (column?.px !== px) {
      if (column) kept.push(...column.points());
      column = { px, low: level, high: level, points() { return [this.low, this.high].sort((a, b) => a.at - b.at); } };
    } else if (level.dbov < column.low.dbov) column.low = level;
    else if (level.dbov > column.high.dbov) column.high = level;
  }
  return column ? [...kept, ...column.points()] : kept;
}

const widthOf = (label) =>
  [...label].reduce((sum, letter) => sum + (letter.codePointAt(0) > 0x2e80 ? 2 : 1) * CHAR_PX, 0);

function element(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const box = (x, y, width, height, kind, more = {}) =>
  element("rect", { x, y, width: Math.max(0, width), height, rx: 3, class: kind, ...more });

function text(x, y, words, kind, lang = "") {
  return element("text", { x, y, class: kind, ...(lang ? { lang } : {}) }, words);
}

/** Lines of text [y, words, class, lang] that end where their bar ends. */
function clipped(x, height, width, lines) {
  const frame = element("svg", { x, y: 0, width: Math.max(0, width - 2), height });
  if (width > 14) frame.append(...lines.map(([y, words, kind, lang]) => text(PAD, y, words, kind, lang)));
  return frame;
}
