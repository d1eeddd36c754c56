"""An engine run with a clock that jumps from deadline to deadline."""

from __future__ import annotations

from hearline.call import engine as e
from hearline.call.plan import Plan, Verdict

PROMPT_MS = 4_000  # the length of every prompt here


class VirtualCall:
    """Runs an engine with a clock that jumps from deadline to deadline.

    ``log`` holds (ms, what): prompts started, stopped, and the outcome; ``keyed`` (ms, keys, whether they matched).
    """

    def __init__(self, plan: Plan, begin: str | None = None) -> None:
        self.engine = e.Engine(plan, begin)
        self.now = 0
        self.log: list[tuple[int, str]] = []
        self.keyed: list[tuple[int, str, bool]] = []
        self.finish: e.Finish | None = None
        self.line = Verdict.NO_SIGNAL
        self.maybe = False
        self._prompt_end: tuple[int, int] | None = None
        self._do(self.engine.start(0))

    def _do(self, actions: list[e.Action]) -> None:
        for action in actions:
            match action:
                case e.Play(prompt, play_id, _, planned):
                    assert planned == self.now, "a prompt is planned for the moment it starts"
                    self.log.append((self.now, prompt))
                    self._prompt_end = (self.now + PROMPT_MS, play_id)
                case e.Stop():
                    assert self._prompt_end is not None, "nothing was playing"
                    self.log.append((self.now, "stop"))
                    self._prompt_end = None
                case e.Keyed(_, keys, matched):
                    self.keyed.append((self.now, keys, matched))
                case e.Finish(outcome):
                    assert self.finish is None, "a call ends once"
                    self.finish = action
                    self.log.append((self.now, outcome))
        assert (self.engine._timer is not None) == (self.engine.state in e.TIMED), "a timer where one should run"
        assert bool(self.engine._keys) == (self.engine.state is e.State.COLLECTING), "keys where they are collected"

    def run_to(self, ms: int) -> None:
        """Let time pass to ``ms`` (or to the end of the call)."""
        while self.finish is None:
            due = self.engine.deadline
            ends = self._prompt_end[0] if self._prompt_end else due
            upcoming = min(due, ends)
            if upcoming > ms:
                break
            assert upcoming >= self.now, "time does not go back"
            self.now = upcoming
            if self._prompt_end and self._prompt_end[0] == upcoming:
                play_id = self._prompt_end[1]
                self._prompt_end = None
                self._do(self.engine.handle(e.PromptEnded(play_id), self.now))
            else:
                self._do(self.engine.due(self.now, self.line, self.maybe))
        self.now = max(self.now, ms) if self.finish is None else self.now

    def run(self) -> VirtualCall:
        self.run_to(10**9)
        return self

    def at(self, ms: int, event: e.Event) -> VirtualCall:
        self.run_to(ms)
        self._do(self.engine.handle(event, self.now))
        return self

    def press(self, ms: int, keys: str, every_ms: int = 300) -> VirtualCall:
        """The caller presses these keys from ``ms`` on."""
        for number, key in enumerate(keys):
            self.at(ms + number * every_ms, e.Key(key))
        return self

    def speak(self, ms: int, lasts_ms: int, verdict: Verdict = Verdict.SPEECH) -> VirtualCall:
        """The caller speaks from ``ms`` on, as the ears would report it (detected after 150 ms, ended after 700 ms)."""
        self.at(ms + 150, e.SpeechStarted())
        if lasts_ms > 1_000:
            self.at(ms + 1_150, e.Heard(verdict))
        return self.at(ms + lasts_ms + 700, e.SpeechEnded(verdict, 700))
