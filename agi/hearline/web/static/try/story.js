// The story of one call: what the server tells of it, put in order on one time axis (ms since the line was opened). No
// document here.

const FRAME_MS = 20;
const LOOK_MS = 100;

export class Story {
  constructor() {
    this.prompts = []; // {id, from, until (planned), to (null: goes on)}
    this.timers = []; // {step, from, until, to}
    this.steps = []; // {name, from, to}
    this.verdicts = []; // {name, reason, from, to}
    this.speech = []; // {from, to}
    this.levels = []; // {at, dbov}
    this.marks = []; // {at, kind, …}
    this.stays = []; // after the IVR: {kind: "queue" | "rings" | "talk" | "hold", name, from, to}
    this.ears = null; // {too_soft_dbov, normal_dbov, …}
    this.look = null; // the newest
    this.over = null; // {outcome, heard, at}
    this.record = null;
    this.endedAt = null;
    this.#offset = null;
  }

  #offset; // our clock − the line's, ms

  /** The moment on the line's clock of a moment on ours (performance.now()). */
  at(nowMs) {
    return this.endedAt ?? (this.#offset === null ? 0 : Math.max(0, nowMs - this.#offset));
  }

  /** `lengths`: of the prompts, ms, by id. */
  hear(look, nowMs, lengths) {
    const at = look.at_ms;
    // The look that was the fastest on its way shows the difference of the clocks best.
    this.#offset = this.#offset === null ? nowMs - at : Math.min(this.#offset, nowMs - at);
    const before = this.look;
    this.look = look;
    this.ears ??= look.ears;
    look.levels_dbov.forEach((dbov, i) =>
      this.levels.push({ at: at - (look.levels_dbov.length - i - 0.5) * FRAME_MS, dbov }),
    );
    this.#prompt(look, lengths);
    this.#timer(look);
    this.#run(this.steps, { name: look.step }, look);
    this.#run(this.verdicts, { name: look.verdict, reason: look.reason }, look);
    for (const event of look.events) {
      if (event.event === "speech_start") this.speech.push({ from: event.onset_ms, to: null });
      else if (this.speech.length) this.speech.at(-1).to = event.end_ms;
    }
    if (look.gain_db && look.gain_db !== before?.gain_db) this.mark(at, "gain", { db: look.gain_db });
    const said = look.speech_ms > 0;
    if (said && look.final && !(before?.final && before.speech_ms > 0))
      this.mark(at, "verdict", { verdict: look.verdict, reason: look.reason, dbov: look.active_level_dbov });
  }

  #prompt(look, lengths) {
    const open = this.prompts.at(-1);
    const same = open && open.to === null && open.id === look.prompt && open.from === look.prompt_at_ms;
    if (same) return;
    if (open?.to === null) open.to = Math.min(open.until, look.at_ms);
    if (!look.prompt) return;
    this.prompts.push({
      id: look.prompt,
      from: look.prompt_at_ms,
      until: look.prompt_at_ms + (lengths[look.prompt] ?? 0),
      to: null,
    });
  }

  #timer(look) {
    const open = this.timers.at(-1);
    const until = look.timer_ms === null || look.flow_state !== "waiting" ? null : look.at_ms + look.timer_ms;
    if (open?.to === null) {
      // A caller who begins to speak stops the timer, and a sound may extend it.
      if (until !== null && open.step === look.step) return void (open.until = until);
      open.to = Math.min(open.until, look.at_ms);
    }
    if (until === null) return;
    const from = this.prompts.at(-1)?.to ?? look.at_ms - LOOK_MS;
    this.timers.push({ step: look.step, from: Math.max(from, this.timers.at(-1)?.to ?? 0), until, to: null });
  }

  #run(runs, what, look) {
    const last = runs.at(-1);
    if (last?.to === null) {
      if (Object.keys(what).every((name) => last[name] === what[name])) return;
      last.to = look.at_ms;
    }
    runs.push({ ...what, from: last?.to ?? look.at_ms - look.levels_dbov.length * FRAME_MS, to: null });
  }

  mark(at, kind, more = {}) {
    this.marks.push({ at, kind, ...more });
  }

  /** The call has left the IVR. */
  leave({ outcome, heard }, nowMs) {
    const at = this.at(nowMs);
    this.over = { outcome, heard, at };
    this.#closeAll(at, [this.prompts, this.timers, this.steps, this.verdicts, this.speech]);
    this.mark(at, "leaves", { outcome });
    const [kind, queue] = String(outcome).split(":");
    if (kind === "queue") this.stay("queue", queue ?? "", nowMs);
  }

  /** The record has the exact times, planned and actual: they replace what was seen ten times a second. */
  settle(record) {
    this.record = record;
    const prompts = [];
    const timers = [];
    for (const event of record.events ?? []) {
      if (event.event === "prompt_start")
        prompts.push({ id: event.prompt, from: event.at_ms, planned: event.planned_ms, until: null, to: null });
      const open = prompts.at(-1);
      if (open && open.to === null && event.event === "prompt_end") {
        open.until = event.planned_ms;
        open.to = event.at_ms;
      } else if (open && open.to === null && event.event === "prompt_stop") open.to = event.at_ms;
      if (event.event === "timer")
        timers.push({ step: event.step, from: event.from_ms, until: event.planned_ms, to: event.at_ms, exact: true });
      if (event.event === "key") this.mark(event.at_ms, "key");
    }
    for (const [i, prompt] of prompts.entries()) {
      const seen = this.prompts[i];
      prompt.to ??= seen?.to ?? record.duration_ms;
      prompt.until ??= seen?.until ?? prompt.to;
    }
    if (prompts.length) this.prompts = prompts;
    // Timers that a caller's voice stopped are not in the record.
    const missing = this.timers.filter((seen) => !timers.some((t) => Math.abs(t.from - seen.from) < 300));
    if (timers.length) this.timers = [...timers, ...missing].sort((a, b) => a.from - b.from);
    this.marks.sort((a, b) => a.at - b.at);
  }

  /** Where the call is after the IVR. */
  stay(kind, name, nowMs) {
    const at = this.at(nowMs);
    const last = this.stays.at(-1);
    if (last?.to === null) {
      if (last.kind === kind && last.name === name) return;
      last.to = at;
    }
    this.stays.push({ kind, name, from: at, to: null });
  }

  end(nowMs) {
    const at = this.at(nowMs);
    this.#closeAll(at, [this.prompts, this.timers, this.steps, this.verdicts, this.speech, this.stays]);
    this.endedAt = at;
  }

  #closeAll(at, lists) {
    for (const list of lists) {
      const last = list.at(-1);
      if (last?.to === null) last.to = Math.max(last.from, Math.min(at, last.until ?? at));
    }
  }

  /** ms that are left of the running timer; null if none runs. */
  timerLeft(nowMs) {
    const last = this.timers.at(-1);
    return last && last.to === null ? Math.max(0, last.until - this.at(nowMs)) : null;
  }
}
