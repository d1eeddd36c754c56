"""The demo: places the five calls, shows them live, judges what was heard, and leaves the results in a folder."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from hearline.audio.wav import read_wav
from hearline.core.settings import Settings
from hearline.demo.cast import AGENT_TALK_MS, GREETING_MS, NUMBER, REPLY, RING_MS, Role, cast
from hearline.ops.stack import Stack
from hearline.phone.heard import HeardPrompt, find_prompts
from hearline.phone.judge import WHOLE, Timing, presence, prompts_of, timings
from hearline.phone.run import CallResult, PhoneResult, Phones
from hearline.sounds.manifest import load_manifest

TOLERANCE_MS = 40  # between planned and heard
AGENTS = 2
CALL_S = 100
NOTHING = "–"  # in a table


@dataclass
class Judged:
    """One call, compared with its role. It went as planned if ``faults`` is empty."""

    role: Role
    timeline: dict[str, Any]
    caller: CallResult
    heard: list[HeardPrompt] = field(default_factory=list)
    timings: list[Timing] = field(default_factory=list)
    agent: CallResult | None = None
    whisper: str | None = None
    faults: list[str] = field(default_factory=list)


def play(settings: Settings, out: Path, console: Console) -> list[Judged]:
    """Run the demo, and leave everything under ``out``. Raises StackError, AsteriskUnavailable, PhonesError,
    TimeoutError, OSError."""
    roles = cast(settings.sounds)
    folders = [out / f"{index}-{role.name}" for index, role in enumerate(roles, 1)]
    if others := set(out.iterdir() if out.exists() else ()) - set(folders):
        raise FileExistsError(f"{min(others)} is not the demo's: give --out another folder, since it is emptied")
    with tempfile.TemporaryDirectory(prefix="hearline-demo-") as state:
        own = settings.model_copy(update={"state": Path(state)})
        stack = Stack(own, callers=tuple(role.name for role in roles))
        with stack:
            with console.status("setting up") as status:

                def say(line: str) -> None:
                    console.print(f"[dim]· {line}[/dim]")
                    status.update(line)

                stack.up(say=say, always_open=True)
            results = _call(stack, settings.sounds, roles, Path(state), console)
            timelines = _timelines(own.state / "calls")
        console.print("[dim]· comparing what was planned with what the phones heard[/dim]")
        judged = _judge(roles, results, timelines, settings.sounds)
        _leave(folders, judged, settings.sounds)
    return judged


# ---- the calls -------------------------------------------------------------------------------------------------------
def _call(
    stack: Stack,
    sounds: Path,
    roles: list[Role],
    folder: Path,
    console: Console,
) -> dict[str, PhoneResult]:
    callers, agents = stack.accounts()
    passwords = {account.name: account.password for account in callers}
    speech = sounds / "zh" / "callers"
    script = {
        "callers": [
            {
                "name": role.name,
                "dial": f"sip:{NUMBER}@{stack.sip}",
                "start_ms": 150 * index,
                "account": {"user": role.name, "password": passwords[role.name]},
                "rtp": role.rtp,
                "say": [
                    {"at_ms": s.at_ms, "wav": str(speech / f"{s.sentence}.wav"), "gain_db": s.gain_db}
                    for s in role.says
                ],
                "record": str(folder / f"{role.name}.wav"),
                "said": str(folder / f"{role.name}-said.wav"),
            }
            for index, role in enumerate(roles)
        ],
        "agents": [
            {
                "name": agent.name,
                "account": {"user": agent.name, "password": agent.password, "server": stack.sip},
                "answer_after_ms": RING_MS,
                "hangup_after_ms": AGENT_TALK_MS,
                "say": [{"at_ms": GREETING_MS, "wav": str(speech / "agent-greeting.wav")}],
                "record": str(folder / f"{agent.name}.wav"),
            }
            for agent in agents[:AGENTS]
        ],
        "rtp_ports": [40_000, 40_999],
    }
    rows: dict[str, dict] = {}

    def note(event: dict) -> None:
        name = event["phone"]
        if event["event"] == "disconnected" and name in passwords:
            rows.setdefault(name, {})["over"] = True

    started = time.monotonic()
    with Phones(script, on_event=note) as phones, Live(console=console, refresh_per_second=8) as live:
        while not all(rows.get(role.name, {}).get("over") for role in roles):
            if time.monotonic() - started > CALL_S:
                break
            try:
                for row in stack.get("/calls")["calls"]:
                    name = row["channel"].removeprefix("PJSIP/").rpartition("-")[0]
                    rows.setdefault(name, {}).update(row, seen=time.monotonic())
            except OSError:
                pass
            live.update(_table(roles, rows, time.monotonic() - started))
            time.sleep(0.12)
        live.update(_table(roles, rows, time.monotonic() - started))
        results = phones.wait(15)
    if not console.is_terminal:
        console.line()  # when writing to a file, Live leaves its last line open
    return results


def _table(roles: list[Role], rows: dict[str, dict], elapsed_s: float) -> Table:
    table = Table(title=f"{NUMBER} · {elapsed_s:5.1f} s", title_style="bold", expand=False)
    for heading in ("caller", "step", "timer", "level", "verdict"):
        table.add_column(heading, min_width=9)
    for role in roles:
        row = rows.get(role.name, {})
        if not row:
            table.add_row(role.title, "[dim]dialling[/dim]", NOTHING, NOTHING, NOTHING)
            continue
        in_ivr = not row.get("over") and time.monotonic() - row.get("seen", 0) < 0.6
        step = (
            f"{row.get('step', '')} · {row.get('state', '')}"
            if in_ivr
            else "[dim]over[/dim]"
            if row.get("over")
            else "[green]with the agents[/green]"
        )
        timer = f"{row['timer_ms'] / 1000:.1f} s" if in_ivr and row.get("timer_ms") is not None else NOTHING
        level = row.get("level_dbov")
        verdict = (row.get("verdict") or NOTHING).replace("_", " ")
        colour = {"speech": "green", "too soft": "yellow", "noise": "magenta"}.get(verdict, "white")
        heard = NOTHING if level is None else f"{level:.0f} dBov"
        table.add_row(role.title, step, timer, heard, f"[{colour}]{verdict}[/{colour}]")
    return table


def _timelines(folder: Path) -> dict[str, dict]:
    """The records, by the name of the caller's account."""
    found = {}
    for file in folder.rglob("*.json"):
        record = json.loads(file.read_text("utf-8"))
        found[record["channel"].removeprefix("PJSIP/").rpartition("-")[0]] = record
    return found


# ---- the judgement ---------------------------------------------------------------------------------------------------
def _judge(
    roles: list[Role], results: dict[str, PhoneResult], timelines: dict[str, dict], sounds: Path
) -> list[Judged]:
    prompts = prompts_of(sounds / "zh" / "lanzhi")
    agent_calls = [call for result in results.values() for call in result.calls if result.name.startswith("agent")]
    return [
        _judge_one(role, results[role.name], timelines.get(role.name), agent_calls, prompts, sounds) for role in roles
    ]


def _judge_one(
    role: Role, result: PhoneResult, timeline: dict | None, agent_calls: list[CallResult], prompts: dict, sounds: Path
) -> Judged:
    call = result.call
    judged = Judged(role, timeline or {"outcome": None, "duration_ms": 0, "events": []}, call)
    if timeline is None or call.recording is None:
        judged.faults.append("no record of this call")
        return judged
    recording = read_wav(call.recording)
    judged.heard = [p for p in find_prompts(recording, prompts) if p.complete > 0.2]
    judged.timings = timings(timeline, judged.heard, call.end("rx_packets"))
    if timeline["outcome"] != role.outcome:
        judged.faults.append(f"ended with {timeline['outcome']}, planned {role.outcome}")
    if tuple(p.id for p in judged.heard) != role.prompts:
        judged.faults.append(f"heard {[p.id for p in judged.heard]}, planned {list(role.prompts)}")
    judged.faults += [f"{p.id} was heard only in part" for p in judged.heard if p.complete < WHOLE]
    judged.faults += [
        f"{t.what}: {t.heard_ms:.0f} ms, planned {t.planned_ms:.0f}"
        for t in judged.timings
        if abs(t.error_ms) > TOLERANCE_MS
    ]
    if role.whisper:
        _judge_agent(judged, recording, agent_calls, sounds)
    return judged


def _judge_agent(judged: Judged, recording, agent_calls: list[CallResult], sounds: Path) -> None:
    """Check that the agent heard the whisper, the caller did not, and then both heard each other."""
    gone = judged.caller.disconnected_at
    mine = [c for c in agent_calls if c.recording and abs(c.disconnected_at - gone) < 1.0]
    if not mine:
        judged.faults.append("no agent answered")
        return
    judged.agent = mine[0]
    agent_heard = read_wav(mine[0].recording)
    whispers = prompts_of(sounds / "zh" / "whisper")
    named = {name: sound for name, sound in whispers.items() if name.endswith(f"-{judged.role.whisper}")}
    found = [p for p in find_prompts(agent_heard, named) if p.complete > 0.5]
    if not found:
        judged.faults.append("the agent heard no whisper")
    else:
        judged.whisper = found[0].id
        if found[0].complete < WHOLE:
            judged.faults.append(f"the agent heard only {found[0].complete:.0%} of {found[0].id}")
        if not presence(recording, whispers[found[0].id]).absent:
            judged.faults.append("the caller heard the whisper")
    if not presence(recording, read_wav(sounds / "zh/callers/agent-greeting.wav")).heard:
        judged.faults.append("the caller did not hear the agent")
    if not presence(agent_heard, read_wav(sounds / f"zh/callers/{REPLY}.wav")).heard:
        judged.faults.append("the agent did not hear the caller")


# ---- what is left ----------------------------------------------------------------------------------------------------
def _leave(folders: list[Path], judged: list[Judged], sounds: Path) -> None:
    from hearline.phone.picture import draw_call

    manifest = load_manifest(sounds)
    texts = {id: manifest.prompt_text("zh", "lanzhi", id) or "" for id in manifest.languages["zh"]["lanzhi"].prompts}
    for folder, call in zip(folders, judged, strict=True):
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        heard = said = agent = None
        if call.caller.recording:
            heard = folder / "caller-heard.wav"
            shutil.copy(call.caller.recording, heard)
            spoken = call.caller.recording.with_name(f"{call.role.name}-said.wav")
            if spoken.exists():
                said = folder / "caller-said.wav"
                shutil.copy(spoken, said)
        if call.agent and call.agent.recording:
            agent = folder / "agent-heard.wav"
            shutil.copy(call.agent.recording, agent)
        record = {
            "caller": call.role.name,
            "as_planned": not call.faults,
            "faults": call.faults,
            "whisper": call.whisper,
            **call.timeline,
            "heard": [asdict(p) for p in call.heard],
            "timings": [{**asdict(t), "error_ms": round(t.error_ms, 1)} for t in call.timings],
        }
        (folder / "timeline.json").write_text(json.dumps(record, ensure_ascii=False, indent=1), "utf-8")
        first = next((e["at_ms"] for e in call.timeline["events"] if e["event"] == "prompt_start"), 0)
        offset = first - call.heard[0].start_ms if call.heard else 0.0
        agent_at = None
        if call.agent:
            agent_at = offset + (call.agent.answered_at - call.caller.answered_at) * 1_000
        draw_call(
            folder / "call.png",
            heard,
            said,
            call.timeline,
            agent,
            name=f"{call.role.title} {call.role.title_zh}",
            texts=texts,
            offset_ms=offset,
            agent_offset_ms=agent_at,
        )
