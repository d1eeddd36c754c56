"""The recogniser: its logic on an engine's results, and the running process, with the real engine and a model of a few
kilobytes (`tiny_recogniser`), for legs that come in over AudioSocket."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import signal
import socket
import time
import uuid
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hearline.assist.calls.legs import Leg
from hearline.assist.hints.cards import Group
from hearline.assist.hints.events import Side
from hearline.assist.hints.hint_store import HintStore
from hearline.assist.speech import recognition as recognition_module
from hearline.assist.speech.recogniser import BEAT_S, MOST_WAITING, Recogniser, load
from hearline.assist.speech.recognition import Recognition
from hearline.assist.speech.sherpa import ModelFault, Sherpa, find_model
from hearline.audio.wav import read_wav
from hearline.cli.app import app
from hearline.core.settings import Settings
from hearline.media.relay import FRAMES, Relay, unpacked
from hearline.media.worker_client import WorkerClient

pytest.importorskip("sherpa_onnx", reason="the extra `recogniser` is not installed")
pytest.importorskip("onnx", reason="the tiny model cannot be made")
from tiny_recogniser import SAYS, tiny_ctc, tiny_model, tiny_paraformer  # noqa: E402

SENTENCE = read_wav(Settings().sounds / "zh" / "callers" / "agent-reply.wav")
FRAME = b"\0" * 320


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"))


# ---- by itself -----------------------------------------------------------------------------------------------------
class Scripted:
    """An engine that reads its results out of the sound: each datagram's first sample is the number of the result."""

    def __init__(self, *results: tuple[str, bool]) -> None:
        self.results, self.streams = results, 0

    def stream(self) -> int:
        self.streams += 1
        return self.streams

    def hear(self, stream: int, samples: np.ndarray) -> tuple[str, bool]:
        return self.results[samples[0]]


def datagram(leg: str, number: int, result: int) -> bytes:
    return uuid.UUID(leg).bytes + number.to_bytes(4, "big") + np.full(800, result, np.int16).tobytes()


def listening(engine: Scripted, *phrases: str) -> tuple[Recogniser, str, list[dict]]:
    told: list[dict] = []
    recogniser, leg = Recogniser(engine, told.append), str(uuid.uuid4())
    recogniser.obey({"leg": leg, "groups": {"group": json.loads(json.dumps(asdict(Group(Side.AGENT, phrases))))}})
    return recogniser, leg, told


def test_a_group_is_told_once_and_nothing_of_what_was_said():
    recogniser, leg, told = listening(
        Scripted(("我不知", False), ("我不知道", False), ("我不知道啊", True)), "我不知道"
    )
    for number in range(3):
        recogniser.take(datagram(leg, number, number))
        recogniser.work()
    assert told == [{"leg": leg, "spoken": "group"}]


def test_where_sound_is_missing_two_halves_are_no_phrase():
    engine = Scripted(("我不", False), ("知道", False))
    recogniser, leg, told = listening(engine, "我不知道")
    recogniser.take(datagram(leg, 0, 0))
    recogniser.work()
    recogniser.take(datagram(leg, 3, 1))
    recogniser.work()
    assert told == [{"lost_ms": 200}] and engine.streams == 2


def test_what_waits_too_long_is_dropped():
    recogniser, leg, told = listening(Scripted(("我不知道", True)), "我不知道")
    for number in range(MOST_WAITING + 1):
        recogniser.take(datagram(leg, number, 0))
    assert told == [{"lost_ms": MOST_WAITING * 100}]
    recogniser.work()
    assert told[1:] == [{"leg": leg, "spoken": "group"}]


def test_a_leg_that_nobody_asked_for_or_that_ended_is_not_heard():
    recogniser, leg, told = listening(Scripted(("我不知道", True)), "我不知道")
    recogniser.take(datagram(str(uuid.uuid4()), 0, 0))
    recogniser.obey({"leg": leg})
    recogniser.take(datagram(leg, 0, 0))
    recogniser.work()
    assert told == []


# ---- the way there -------------------------------------------------------------------------------------------------
def test_a_relay_never_waits_and_drops_what_nobody_takes(tmp_path):
    path, leg = str(tmp_path / "sound"), str(uuid.uuid4())
    relay = Relay(leg, path)
    for _ in range(FRAMES):
        relay.take(FRAME)  # nobody there yet
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as taker:
        taker.bind(path)
        taker.settimeout(1)
        for _ in range(FRAMES):
            relay.take(FRAME)
        assert unpacked(taker.recv(65_536)) == (leg, 1, FRAME * FRAMES)
        began = time.monotonic()
        for _ in range(10_000 * FRAMES):  # nobody reads
            relay.take(FRAME)
        assert time.monotonic() - began < 5
        taker.setblocking(False)
        kept = []
        with suppress(BlockingIOError):
            while True:
                kept.append(unpacked(taker.recv(65_536))[1])
        assert kept == list(range(2, 2 + len(kept))) and len(kept) < 10_000  # the rest was dropped
        for _ in range(FRAMES):
            relay.take(FRAME)
        assert unpacked(taker.recv(65_536))[1] == 10_002
    relay.close()


# ---- the model -----------------------------------------------------------------------------------------------------
def test_the_real_engine_hears_8_khz_and_begins_anew_after_a_pause(model):
    engine = Sherpa(model)
    stream, texts, ends = engine.stream(), [], 0
    pause = np.zeros(12_000, np.int16)
    for at in range(0, (whole := np.concatenate([pause, SENTENCE, pause, SENTENCE])).size, 800):
        text, ended = engine.hear(stream, whole[at : at + 800])
        texts.append(text)
        ends += ended
    assert texts[14] == "" and any(SAYS in text for text in texts)
    assert ends >= 1 and len(texts[-1]) < max(map(len, texts)) * 2


@pytest.mark.parametrize("make", [tiny_ctc, tiny_paraformer])
def test_the_other_kinds_of_models_run_as_well(tmp_path, make):
    engine = Sherpa(make(tmp_path))
    text, _ = engine.hear(engine.stream(), np.tile(SENTENCE, 2))
    assert len(text) >= 3 and set(text) <= set(SAYS)


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        (["encoder.onnx", "decoder.onnx", "joiner.onnx"], "transducer"),
        (["encoder-epoch-99-avg-1.int8.onnx", "encoder-epoch-99-avg-1.onnx", "decoder-epoch-99-avg-1.onnx",
          "joiner-epoch-99-avg-1.int8.onnx", "joiner-epoch-99-avg-1.onnx"], "transducer"),
        (["encoder.int8.onnx", "decoder.int8.onnx"], "paraformer"),
        (["ctc-epoch-20-avg-1-chunk-16-left-128.int8.onnx"], "zipformer2_ctc"),
    ],
)  # fmt: skip
def test_a_model_is_known_by_its_files(tmp_path, files, kind):
    for name in [*files, "tokens.txt"]:
        (tmp_path / name).touch()
    found = find_model(tmp_path)
    assert found.kind == kind
    cheap = [Path(file).name for file in found.files.values() if "int8" in file]
    assert cheap == [name for name in files if "int8" in name]


def test_a_folder_without_a_model_says_what_is_missing(tmp_path):
    with pytest.raises(ModelFault, match=r"no such folder.*HEARLINE_RECOGNISER_MODEL"):
        find_model(tmp_path / "none")
    with pytest.raises(ModelFault, match=r"no tokens\.txt"):
        find_model(tmp_path)
    (tmp_path / "tokens.txt").touch()
    (tmp_path / "encoder.onnx").touch()
    with pytest.raises(ModelFault, match=r"encoder\.onnx; needed are .*joiner"):
        find_model(tmp_path)


# ---- as it runs ----------------------------------------------------------------------------------------------------
class Legs:
    def __init__(self) -> None:
        self.live: list[Leg] = []


@pytest.fixture(scope="module")
def line():
    """A real media worker."""
    settings = Settings()
    line = WorkerClient("127.0.0.1:0", settings.allow, capacity=8)
    line.start()
    yield line
    line.stop()


class Phone:
    """Stands where Asterisk stands: brings the sound of one leg to the worker, over and over again."""

    def __init__(self, line: WorkerClient, legs: Legs, name: str, side: Side, samples: np.ndarray) -> None:
        self._visit = line.announce(None)
        self.leg = Leg(name, side, "Test/caller", self._visit, 0.0, live_at=0.0)
        self._samples, self._legs = samples, legs

    async def speak(self) -> None:
        """Until cancelled."""
        _, writer = await asyncio.open_connection(*self._visit.address)
        writer.write(b"\x01\x00\x10" + uuid.UUID(self._visit.uuid).bytes)
        began = time.monotonic()
        try:
            for number in itertools.count():
                if number == 10:  # by now the worker has told of it
                    self._legs.live.append(self.leg)
                at = number * 160 % (self._samples.size - 160)
                writer.write(b"\x10\x01\x40" + self._samples[at : at + 160].astype("<i2").tobytes())
                await asyncio.sleep(max(0.0, began + 0.02 * number - time.monotonic()))
        finally:
            self._legs.live.remove(self.leg)
            writer.close()


def run(
    model: Path, line: WorkerClient | None, legs: Legs, do, most: int = 2, **how: str
) -> tuple[Recognition, list[tuple[str, str]]]:
    """``do(recognition, heard)`` while a recognition is kept. → it, and what was heard on which channel."""
    heard: list[tuple[str, str]] = []
    pass_on = line.pass_on if line else lambda *_: None
    hints = HintStore(Settings().flows / "hints")

    def spoken(leg: Leg, group: str) -> None:
        heard.append((leg.channel, group))

    recognition = Recognition(model, most, hints, legs, pass_on, spoken, **how)

    async def together() -> None:
        kept = asyncio.create_task(recognition.keep())
        try:
            await do(recognition, heard)
            assert not kept.done()
        finally:
            kept.cancel()
            with suppress(asyncio.CancelledError):
                await kept

    asyncio.run(together())
    return recognition, heard


def children() -> list[int]:
    me = os.getpid()
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            if parent == me and b"recogniser\0" in (stat.parent / "cmdline").read_bytes():
                found.append(int(stat.parent.name))
    return found


async def until(holds, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def test_an_agent_who_says_a_forbidden_phrase_is_heard_and_nobody_else(model, line, caplog):
    """Sound comes in by AudioSocket; out comes the group, and nothing of what was said."""
    caplog.set_level(logging.INFO)
    legs = Legs()
    phones = [
        Phone(line, legs, "agent", Side.AGENT, SENTENCE),
        Phone(line, legs, "quiet", Side.AGENT, np.zeros(8_000, np.int16)),
        Phone(line, legs, "caller", Side.CALLER, SENTENCE),
    ]

    async def talk(recognition: Recognition, heard: list) -> None:
        await until(lambda: "the recogniser is ready" in caplog.text)
        speaking = [asyncio.create_task(phone.speak()) for phone in phones]
        await until(lambda: heard)
        await asyncio.sleep(0.4)  # the others had their time as well, and more
        for task in speaking:
            task.cancel()
        await until(lambda: not recognition._heard)
        assert len(children()) == 1

    recognition, heard = run(model, line, legs, talk, most=3)
    assert set(heard) == {("agent", "forbidden_phrase")}
    assert not recognition.failed and children() == []
    assert SAYS not in caplog.text and "知道" not in caplog.text


def test_more_legs_than_allowed_go_without_and_that_is_said_once(model, line, caplog):
    caplog.set_level(logging.INFO)
    legs = Legs()
    phones = [Phone(line, legs, f"agent {number}", Side.AGENT, SENTENCE) for number in range(3)]

    async def talk(_: Recognition, heard: list) -> None:
        await until(lambda: "the recogniser is ready" in caplog.text)
        speaking = [asyncio.create_task(phone.speak()) for phone in phones]
        await until(lambda: heard and "HEARLINE_RECOGNISER_LEGS" in caplog.text)
        await asyncio.sleep(0.4)
        for task in speaking:
            task.cancel()
        await asyncio.sleep(0)

    _, heard = run(model, line, legs, talk, most=1)
    assert len(set(heard)) == 1
    assert caplog.text.count("go without the recogniser") == 1


def errors(caplog) -> list[str]:
    return [record.message for record in caplog.records if record.levelno == logging.ERROR]


def test_a_recogniser_that_dies_is_started_anew_and_hears_who_talks_then(model, line, caplog):
    caplog.set_level(logging.INFO)
    legs = Legs()
    phone = Phone(line, legs, "agent", Side.AGENT, SENTENCE)

    async def kill(recognition: Recognition, heard: list) -> None:
        speaking = asyncio.create_task(phone.speak())
        for nth in (1, 2):
            await until(lambda nth=nth: caplog.text.count("the recogniser is ready") == nth)
            assert recognition.failed == ""
            await until(lambda: heard)
            os.kill(children()[0], signal.SIGKILL)
            await until(lambda: recognition.failed)
            heard.clear()
        await until(lambda: heard and not recognition.failed)
        speaking.cancel()
        await until(lambda: not recognition._heard)

    run(model, line, legs, kill)
    assert len(told := errors(caplog)) == 2
    assert all("started anew" in error and "killed by signal 9" in error for error in told)
    assert children() == []


@pytest.fixture
def made_up(monkeypatch, tmp_path):
    """Writes a module that is started in the recogniser's place."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    def write(text: str) -> str:
        (tmp_path / "made_up_recogniser.py").write_text(text)
        return "made_up_recogniser"

    return write


def test_a_recogniser_that_hangs_is_started_anew(model, caplog, monkeypatch, made_up):
    """It beats four times as fast as usual here, and our patience is a second."""
    beat_s = BEAT_S / 4
    quick = f"from hearline.assist.speech import recogniser; recogniser.BEAT_S = {beat_s}; recogniser.main()"
    monkeypatch.setattr(recognition_module, "HUNG_S", 4 * beat_s)
    caplog.set_level(logging.INFO)

    async def stop(recognition: Recognition, _: list) -> None:
        await until(lambda: "the recogniser is ready" in caplog.text)
        await asyncio.sleep(6 * beat_s)
        assert not recognition.failed, "it hears nothing, and says that it is there"
        [hangs] = children()
        os.kill(hangs, signal.SIGSTOP)
        await until(lambda: recognition.failed)
        await until(lambda: not recognition.failed and children())
        assert hangs not in children()

    run(model, None, Legs(), stop, module=made_up(quick))
    [error] = errors(caplog)
    assert "has not said that it is there for 1 s" in error and "talks go on without it" in error
    assert children() == []


def test_a_recogniser_that_hangs_while_it_loads_is_ended(model, caplog, monkeypatch, made_up):
    monkeypatch.setattr(recognition_module, "LOAD_S", 0.5)

    async def wait(recognition: Recognition, _: list) -> None:
        await until(lambda: recognition.failed)

    run(model, None, Legs(), wait, module=made_up("import time; time.sleep(600)"))
    [error] = errors(caplog)
    assert "has not loaded the model" in error and children() == []


def test_one_that_ends_again_and_again_is_started_ever_more_rarely(model, caplog, monkeypatch, made_up):
    monkeypatch.setattr(recognition_module, "RESTART_S", (0.1, 0.6, 0.6))
    caplog.set_level(logging.INFO)

    async def wait(_: Recognition, __: list) -> None:
        await until(lambda: caplog.text.count("the recogniser is ready") == 4)

    run(model, None, Legs(), wait, module=made_up("print('{\"ready\": true}', flush=True)"))
    ready = [record.created for record in caplog.records if "is ready" in record.message]
    first, second, third = np.diff(ready)
    assert first >= 0.1 and second >= 0.6 and third >= 0.6


@pytest.mark.parametrize("broken", ["missing", "rubbish"])
def test_a_bad_model_is_one_error_and_is_tried_again_until_it_is_mended(tmp_path, caplog, monkeypatch, broken):
    monkeypatch.setattr(recognition_module, "RARELY_S", 0.1)
    caplog.set_level(logging.INFO)
    model = tiny_model(tmp_path / "model")
    if broken == "missing":
        (model / "joiner.onnx").unlink()
        (model / "decoder.onnx").unlink()
    else:
        (model / "encoder.onnx").write_bytes(b"no model")
    tries = []

    async def wait(recognition: Recognition, _: list) -> None:
        def tried() -> int:
            tries.extend(pid for pid in children() if pid not in tries)
            return len(tries)

        await until(lambda: recognition.failed and tried() == 3)
        tiny_model(model)
        await until(lambda: not recognition.failed)

    run(model, None, Legs(), wait)
    [error] = errors(caplog)
    assert str(model) in error or "while it loaded the model" in error
    assert children() == []


# ---- tried on recordings -------------------------------------------------------------------------------------------
def test_recordings_are_tried_and_the_cost_told(model):
    wav = Settings().sounds / "zh" / "callers" / "agent-reply.wav"
    answer = CliRunner().invoke(app, ["hints", "hear", str(wav), "--model", str(model), "--json"])
    assert answer.exit_code == 0, answer.output
    *found, cost = [json.loads(line) for line in answer.output.splitlines() if line.startswith("{")]
    assert [(one["file"], one["group"]) for one in found] == [(str(wav), "forbidden_phrase")]
    assert 0 < found[0]["at_s"] < 2 and 0 < cost["core"] < 1 and cost["sound_s"] > SENTENCE.size / 8_000
    assert SAYS not in answer.output


def test_without_a_model_or_with_a_bad_one_the_remedy_is_told(tmp_path):
    wav = str(Settings().sounds / "zh" / "callers" / "agent-reply.wav")
    answer = CliRunner().invoke(app, ["hints", "hear", wav])
    assert answer.exit_code == 2 and "--model DIR" in answer.output
    answer = CliRunner().invoke(app, ["hints", "hear", wav, "--model", str(tmp_path)])
    assert answer.exit_code == 2 and "no tokens.txt" in answer.output


def test_what_is_not_installed_is_named(model, monkeypatch):
    monkeypatch.setattr("hearline.assist.speech.recogniser.find_spec", lambda name: None)
    with pytest.raises(ModelFault, match=r"sherpa_onnx is not installed: pip install 'hearline\[recogniser\]'"):
        load(model)
