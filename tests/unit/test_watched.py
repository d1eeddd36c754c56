"""Files that are edited during calls: one thread reads them, and nobody else waits for that."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from hearline.assist.hints.events import Key
from hearline.assist.playback.prompts import Prompts
from hearline.assist.playback.recordings import Recordings
from hearline.assist.playback.whispers import Whispers
from hearline.audio.wav import BadAudio
from hearline.server.flow_store import FlowStore
from hearline.sounds.prompt_store import LONGEST_S, PromptStore
from hearline.yamlfiles import watched
from hearline.yamlfiles.watched import Watched, Watcher

REPO = Path(__file__).resolve().parents[2]
SOUNDS = REPO / "sounds"
OPENING = "zh/lanzhi/opening"


def until(true, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def text(tmp_path):
    """A file, and what watches it."""
    file = tmp_path / "text"
    file.write_text("one")
    return file, Watched("the text", lambda: [file], lambda _: file.read_text(), "")


# ---- one thing that is watched ---------------------------------------------------------------------------------------
def test_an_edit_counts_when_two_looks_have_seen_it(text):
    """An editor may be in the middle of writing, or between taking the old file away and putting the new one there."""
    file, store = text
    assert store.look() and store.value == "one", "what was never read is read at once"
    file.write_text("two, ha")
    assert not store.look() and store.value == "one"
    file.write_text("two, whole")
    assert not store.look() and store.value == "one"
    assert store.look() and store.value == "two, whole"
    assert not store.look()
    kept = file.read_text()
    file.unlink()
    assert not store.look()
    file.write_text(kept)
    assert not store.look() and store.look() and store.value == kept


def test_an_edit_that_cannot_be_read_changes_nothing(text, caplog):
    file, store = text
    store.refresh()
    file.unlink()
    assert store.refresh() and store.value == "one"
    assert "No such file" in store.fault and "the text: edit rejected" in caplog.text
    file.write_text("three")
    assert store.refresh() and (store.value, store.fault) == ("three", "")


def test_a_value_is_used_once_it_is_prepared(text):
    _, store = text
    seen = []
    store.prepare = lambda value: seen.append((value, store.value))
    store.refresh()
    assert seen == [("one", "")] and store.value == "one"


# ---- the thread ------------------------------------------------------------------------------------------------------
def test_a_look_that_hangs_is_told_and_holds_nobody_up(monkeypatch):
    monkeypatch.setattr(watched, "STUCK_S", 0.05)
    go_on = threading.Event()
    watcher = Watcher({"flows": go_on.wait})
    try:
        assert not watcher.start(0.1)
        until(lambda: watcher.stuck)
        what, since = watcher.stuck
        assert what == "flows" and since >= 0.05
    finally:
        go_on.set()
        watcher.stop()
    until(lambda: not watcher.stuck)


def test_a_look_that_fails_is_looked_again(caplog, monkeypatch):
    monkeypatch.setattr(watched, "LOOK_S", 0.01)
    looks = []

    def look():
        looks.append(1)
        if len(looks) == 1:
            raise ZeroDivisionError

    watcher = Watcher({"flows": look})
    assert watcher.start(5.0)
    until(lambda: len(looks) > 2)
    watcher.stop()
    assert "flows: the check for edits failed" in caplog.text


# ---- flows -----------------------------------------------------------------------------------------------------------
@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(REPO / "ivr_flows", tmp_path / "flows")


def loaded(folder: Path) -> FlowStore:
    store = FlowStore(folder, SOUNDS)
    store.refresh()
    return store


def spoil(file: Path) -> None:
    file.write_text(file.read_text("utf-8").replace("steps:", "steps: ["), "utf-8")


@pytest.mark.parametrize("how", ["broken", "missing"])
def test_the_number_of_a_flow_that_is_not_loaded_reaches_no_other_flow(folder, how):
    """Whoever dialled the hotline was once given the nuisance prompts, and hung up on."""
    spoil(folder / "hotline.yaml") if how == "broken" else (folder / "hotline.yaml").unlink()
    store = loaded(folder)
    assert "nuisance" in store.flows, "which does not build on the hotline"
    for number in ("95160", "+8695160", "8001", "12345"):
        with pytest.raises(LookupError, match="hotline.yaml is not loaded"):
            store.for_number(number)
    assert store.for_number("8006")[0].name == "nuisance"
    assert "hotline.yaml" in store.value.not_loaded
    shutil.copy(REPO / "ivr_flows" / "hotline.yaml", folder)
    store.refresh()
    assert store.for_number("95160")[0].name == "hotline" and not store.value.not_loaded


def test_a_broken_flow_keeps_its_numbers_to_itself(folder):
    (folder / "complaints.yaml").write_text('like: hotline\nnumber: "95161"\nqueue: [', "utf-8")
    store = loaded(folder)
    assert list(store.value.not_loaded) == ["complaints.yaml"]
    with pytest.raises(LookupError, match="complaints.yaml is not loaded"):
        store.for_number("95161")
    assert store.for_number("12345")[0].name == "hotline"


def test_without_profiles_nothing_is_loaded_and_everything_is_named(folder):
    spoil(folder / "profiles.yaml")
    (folder / "profiles.yaml").write_text("standard: 3", "utf-8")
    store = loaded(folder)
    assert set(store.value.not_loaded) == {f.name for f in folder.glob("*.yaml")} - {"profiles.yaml"}
    with pytest.raises(LookupError):
        store.for_number("8006")


def test_what_was_loaded_once_stays(folder):
    store = loaded(folder)
    spoil(folder / "hotline.yaml")
    store.refresh()
    assert store.for_number("95160")[0].name == "hotline" and not store.value.not_loaded
    assert "hotline.yaml" in store.rejected
    shutil.rmtree(folder)  # a network folder that was unmounted
    store.refresh()
    assert store.for_number("95160")[0].name == "hotline" and store.named("nuisance")


@pytest.mark.parametrize(
    "name", [".#hotline.yaml", ".hotline.yaml.swp", ".hidden.yaml", "hotline.yaml~", "#hotline.yaml#"]
)
def test_what_editors_leave_behind_is_no_flow(folder, name):
    store = loaded(folder)
    shutil.copy(folder / "hotline.yaml", folder / name)
    (folder / "dangling.yaml").symlink_to("nowhere")
    (folder / "dangling.yaml").unlink()
    store.refresh()
    assert not store.rejected and store.for_number("95160")[0].name == "hotline"


def bomb(folder: Path) -> None:
    lines = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (folder / "bad.yaml").write_text("a0: &a0 [x, x, x]\n" + "\n".join(lines), "utf-8")


def deep(folder: Path) -> None:
    (folder / "bad.yaml").write_text("a: 1\nsteps: " + "[" * 900 + "]" * 900, "utf-8")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: os.mkfifo(folder / "bad.yaml"), "not a regular file"),
        (lambda folder: (folder / "bad.yaml").symlink_to("/dev/zero"), "not a regular file"),
        (lambda folder: (folder / "bad.yaml").mkdir(), "not a regular file"),
        (lambda folder: (folder / "bad.yaml").write_bytes(b"# \n" * 2_000_000), "larger than"),
        (bomb, "aliases"),
        (deep, "bad.yaml:2: nested more than 32 levels deep"),
    ],
)
def test_no_file_holds_the_others_up(folder, make, says):
    make(folder)
    began = time.monotonic()
    done = threading.Thread(target=lambda: store.refresh(), daemon=True)
    store = FlowStore(folder, SOUNDS)
    threading.stack_size(256 * 1024)  # as the server's sessions have
    try:
        done.start()
        done.join(5)
    finally:
        threading.stack_size(0)
    assert not done.is_alive() and time.monotonic() - began < 5
    assert says in store.rejected["bad.yaml"] and store.for_number("95160")[0].name == "hotline"


def test_a_call_waits_for_no_disk(folder, monkeypatch):
    store = loaded(folder)
    hangs = threading.Event()
    monkeypatch.setattr(store, "_stamp", hangs.wait)
    thread = threading.Thread(target=store.look, daemon=True)
    thread.start()
    try:
        for opened in ("open", "stat", "listdir", "scandir"):
            monkeypatch.setattr(os, opened, lambda *_: pytest.fail("a call has read the disk"))
        assert store.for_number("95160")[0].name == "hotline" and store.named("nuisance")
    finally:
        monkeypatch.undo()
        hangs.set()


# ---- recordings ------------------------------------------------------------------------------------------------------
@pytest.fixture
def sounds(tmp_path):
    """A sounds folder with the opening alone."""
    file = tmp_path / "sounds" / f"{OPENING}.wav"
    file.parent.mkdir(parents=True)
    shutil.copy(SOUNDS / f"{OPENING}.wav", file)
    return tmp_path / "sounds", file


def test_a_recording_is_as_it_is_on_disk_now(sounds):
    folder, file = sounds
    told = []
    store = PromptStore(folder, lambda read: told.append(dict(read)))
    store.want([OPENING])
    before = store.samples(OPENING)
    assert told == [{OPENING: before.tobytes()}]
    shutil.copy(SOUNDS / "zh/training/opening.wav", file)
    assert not store.look(), "it may still be written"
    assert store.look() and store.samples(OPENING).size != before.size and len(told) == 2
    assert not store.look()
    with pytest.raises(ValueError):
        store.samples(OPENING)[0] = 1


@pytest.mark.parametrize("spoil", [lambda file: file.unlink(), lambda file: file.write_bytes(b"RIFF, or so")])
def test_a_recording_that_cannot_be_read_any_more_stays(sounds, spoil):
    folder, file = sounds
    store = PromptStore(folder)
    store.want([OPENING])
    before = store.samples(OPENING)
    spoil(file)
    store.look(), store.look()
    assert store.samples(OPENING) is before and list(store.faults) == [OPENING]
    shutil.copy(SOUNDS / f"{OPENING}.wav", file)
    store.look(), store.look()
    assert store.faults == {} and np.array_equal(store.samples(OPENING), before)


def test_a_recording_that_was_never_there_says_so(sounds):
    store = PromptStore(sounds[0])
    store.want([OPENING, "zh/lanzhi/low-1"])
    with pytest.raises(BadAudio, match=r"low-1.wav: no such file"):
        store.samples("zh/lanzhi/low-1")
    with pytest.raises(BadAudio, match="not among the recordings"):
        store.samples("zh/lanzhi/low-2")


def test_a_recording_has_an_end(sounds, monkeypatch):
    monkeypatch.setattr("hearline.sounds.prompt_store.LONGEST_S", 1)
    store = PromptStore(sounds[0])
    store.want([OPENING])
    assert "longer than 1 s" in store.faults[OPENING] and LONGEST_S == 300


def test_what_keys_and_whispers_play_is_as_it_is_on_disk_now(tmp_path):
    """The IVR read a new recording, keys and whispers never did."""
    folder = shutil.copytree(SOUNDS, tmp_path / "sounds", copy_function=os.link)
    recordings = Recordings(folder)
    prompts, whispers = Prompts(recordings), Whispers(recordings)
    before = prompts.choose(Key.LOW_VOLUME, "zh/lanzhi", 0).samples, whispers.pcm("still-on-hold")
    for file in ("lanzhi/low-1", "hints/still-on-hold"):
        shutil.copy(SOUNDS / "zh/lanzhi/opening.wav", folder / "new")
        os.replace(folder / "new", folder / f"zh/{file}.wav")
    assert not recordings.look() and recordings.look()
    after = prompts.choose(Key.LOW_VOLUME, "zh/lanzhi", 0).samples, whispers.pcm("still-on-hold")
    assert before[0].size != after[0].size and before[1] != after[1]
    assert recordings.samples(OPENING).tobytes() == after[1]


def test_a_whisper_that_is_added_to_the_manifest_is_known(tmp_path):
    folder = shutil.copytree(SOUNDS, tmp_path / "sounds", copy_function=os.link)
    recordings = Recordings(folder)
    text = (folder / "manifest.yaml").read_text("utf-8")
    (folder / "new").write_text(
        text.replace("        still-on-hold:", "        hello: 您好。\n        still-on-hold:"), "utf-8"
    )
    os.replace(folder / "new", folder / "manifest.yaml")
    shutil.copy(SOUNDS / f"{OPENING}.wav", folder / "zh/hints/hello.wav")
    assert not recordings.look() and recordings.look()
    assert "hello" in Whispers(recordings).known() and Whispers(recordings).pcm("hello")
