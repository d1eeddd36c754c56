"""Whatever happens to Hearline, the caller reaches the queue: within 2 s if a process dies, within 3 s if one hangs.
Tested in every step for the door and its worker together, and in the first two prompts and waits of each kind for each
of them alone.

The moment is judged by where Asterisk has the channel, and by the caller's ear, up to 100 ms later: from then on every
half second must be music.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

import pytest

from hearline.audio.wav import read_wav
from hearline.phone.heard import find_prompts
from hearline.phone.judge import prompts_of
from world import LOW, RATE, SILENCE, SOUNDS, SPEECH, TOO_SOFT, Phones, Scenario, World, dead

DEATH_S, HANG_S = 2.0, 3.0
PROMPTS = prompts_of(SOUNDS / "zh" / "lanzhi")
QUICK_MS = 600  # the waits of the flow `quick`
TURN_PAUSE_MS = 1_100
JITTER_MS = 100  # a phone hears so much later
ANSWER_MS = 200  # from the answer to the opening
EARS_MS = 150  # from a caller's last word to the beginning of Hearline's pause after it
ASK_MS = 1_000  # from the answer to the only words, in the opening, of a caller who is too soft


@dataclass(frozen=True)
class Moment:
    """``age_ms`` after its answer a call is in the middle of a step; the phone has heard ``prompts``."""

    age_ms: float
    prompts: list[str]
    waits: bool  # the last prompt is over
    soft: bool


def length_ms(prompt: str) -> float:
    return len(PROMPTS[prompt]) * 1_000 / RATE


def moments() -> dict[str, Moment]:
    """The middle of each prompt and of each wait."""
    asked = len(read_wav(SPEECH / "caller-ask.wav")) * 1_000 / RATE
    found = {}
    for steps, before, at in (
        (SILENCE, [], ANSWER_MS + JITTER_MS),
        (LOW, ["opening"], ASK_MS + asked + EARS_MS + TURN_PAUSE_MS + JITTER_MS),
    ):
        for number, step in enumerate(steps, 1):
            ms, heard, soft = length_ms(step), before + steps[:number], steps is LOW
            found[step] = Moment(at + ms / 2, heard, False, soft)
            found[f"wait after {step}"] = Moment(at + ms + QUICK_MS / 2, heard, True, soft)
            at += ms + QUICK_MS
    return found


MOMENTS = moments()
EARLY = {
    step: moment for step, moment in MOMENTS.items() if moment.age_ms < 13_000
}  # two prompts and waits of each kind


def kill(pids: list[int], number: int) -> None:
    for pid in pids:
        os.kill(pid, number)


def door_and_worker(world: World) -> list[int]:
    return world.server_pids()


def door(world: World) -> list[int]:
    return world.server_pids()[:1]


def worker(world: World) -> list[int]:
    return world.server_pids()[1:]


def restart(world: World) -> None:
    """Whatever is left of the server goes, a new one comes."""
    for pid in world.server_pids() if os.path.exists(f"/proc/{world.stack.running.server_pid}/task") else []:
        kill([pid], signal.SIGCONT)
    world.stack.stop_server()
    world.stack.start_server()


@pytest.fixture
def server(world: World):
    yield world
    restart(world)


CASES = [
    ("killed", door_and_worker, signal.SIGKILL, DEATH_S, MOMENTS),
    ("door killed", door, signal.SIGKILL, DEATH_S, EARLY),
    ("worker killed", worker, signal.SIGKILL, DEATH_S, EARLY),
    ("stopped", door_and_worker, signal.SIGSTOP, HANG_S, MOMENTS),
    ("door stopped", door, signal.SIGSTOP, HANG_S, EARLY),
    ("worker stopped", worker, signal.SIGSTOP, HANG_S, EARLY),
]


@pytest.mark.realtime
@pytest.mark.parametrize(
    ("what", "victims", "number", "seconds", "moments"), CASES, ids=[case[0].replace(" ", "-") for case in CASES]
)
def test_callers_in_every_step_reach_the_queue(server: World, what, victims, number, seconds, moments):
    oldest = max(moments, key=lambda step: moments[step].age_ms)
    oldest_ms = moments[oldest].age_ms
    ask = ((ASK_MS, "caller-ask", TOO_SOFT),)
    scenarios = {
        step: Scenario("8102", say=ask if moment.soft else (), start_ms=oldest_ms - moment.age_ms)
        for step, moment in moments.items()
    }
    scenarios["without rtp"] = Scenario("8102", rtp="none", start_ms=oldest_ms - 2_000)
    scenarios["at the door"] = Scenario("8102", start_ms=oldest_ms + 300)  # rings when nobody is there any more
    script, used = server.script(scenarios)
    with Phones(script) as phones:
        answered = phones.wait_for("answered", oldest, timeout=20)
        time.sleep(max(0, answered["at"] + oldest_ms / 1_000 - time.monotonic()))
        pids = victims(server)
        struck = time.monotonic()
        kill(pids, number)
        time.sleep(seconds)
        places = {c[0].removeprefix("PJSIP/").rpartition("-")[0]: c[5] for c in server.channels()}
        time.sleep(4.0 + 0.4)  # the one at the door has its time as well; and music enough to hear
        late = {c[0].removeprefix("PJSIP/").rpartition("-")[0]: c[5] for c in server.channels()}
        for name in scenarios:
            phones.hang_up(name)
        results = phones.wait(20)

    recordings = {name: read_wav(results[name].call.recording) for name in used}
    for name, moment in moments.items():
        age_ms = (struck - results[name].call.answered_at) * 1_000
        heard = find_prompts(recordings[name][: round(age_ms * RATE / 1_000)], PROMPTS)
        assert [prompt.id for prompt in heard] == moment.prompts, f"{name}: heard before Hearline was {what}: {heard}"
        waited_ms = age_ms - heard[-1].start_ms - length_ms(heard[-1].id)
        in_step = 0 <= waited_ms < QUICK_MS if moment.waits else waited_ms < 0
        assert in_step, f"{name}: {waited_ms:.0f} ms after the end of its prompt when Hearline was {what}"
    for name, account in used.items():
        where = late if name == "at the door" else places
        assert where.get(account) == "Queue", f"{name}: in {where.get(account)} {seconds} s after Hearline was {what}"
        since = (struck if name != "at the door" else results[name].call.answered_at) + seconds
        heard_s = since - results[name].call.answered_at + JITTER_MS / 1_000
        after = recordings[name][max(0, round(heard_s * RATE)) :]
        assert len(after) > 2 * RATE, f"{name}: too short to judge"
        assert not dead(after), f"{name}: silence instead of music, at s: {dead(after)}"


def test_a_stopped_server_that_goes_on_serves_again(server: World):
    kill(server.server_pids(), signal.SIGSTOP)
    time.sleep(2.5)
    kill(server.server_pids(), signal.SIGCONT)
    deadline = time.monotonic() + 10
    while not server.stack.ready():
        assert time.monotonic() < deadline, "not ready again"
        time.sleep(0.2)
    call = server.place({"after": Scenario("8102", hangup_at_ms=3_000)}, timeout=20)["after"]
    assert call.prompts == ["opening"]
    assert call.outcome == "hangup:caller"


def test_a_dead_worker_is_replaced(server: World):
    [before] = worker(server)
    kill([before], signal.SIGKILL)
    deadline = time.monotonic() + 10
    while server.metric("hearline_worker_restarts_total") < 1 or not server.stack.ready():
        assert time.monotonic() < deadline, "no new worker"
        time.sleep(0.2)
    assert server.metric("hearline_worker_restarts_total") == 1
    call = server.place({"after": Scenario("8102", hangup_at_ms=3_000)}, timeout=20)["after"]
    assert call.prompts == ["opening"]


def test_after_a_restart_calls_are_served(server: World):
    server.stack.stop_server()
    server.stack.start_server()
    call = server.place({"after": Scenario("8102", hangup_at_ms=3_000)}, timeout=20)["after"]
    assert call.prompts == ["opening"]


def test_without_any_server_a_caller_goes_straight_to_the_queue(server: World):
    server.stack.stop_server()
    try:
        call = server.place({"alone": Scenario("8102", hangup_at_ms=4_000)}, timeout=20)["alone"]
    finally:
        server.stack.start_server()
    assert call.timeline is None
    assert not dead(call.recording[RATE // 2 :])
