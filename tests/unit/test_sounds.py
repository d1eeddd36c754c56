"""The sounds: exact wording, files in order, every kind of fault found, recordings take precedence."""

import json
import shutil
import wave
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from hearline.audio.level.p56 import active_speech_level
from hearline.cli.sounds import app
from hearline.sounds import ManifestError, load_manifest, prompt_path
from hearline.sounds.check import check_sounds
from hearline.sounds.edges import LEADING_MS, TRAILING_MS, silence_at_edges
from hearline.sounds.making.make import make_sounds
from hearline.sounds.manifest import MARKER
from hearline.sounds.numerals import chinese_number
from hearline.sounds.register import Entry, file_hash, read_register, register

SOUNDS = Path(__file__).parents[2] / "sounds"

# The service standard, §1, spelled out: {brand} is a placeholder in the texts as well.
SAME = {
    "low-1": "对不起，我听不清您的声音，麻烦您大声一点，好吗？",
    "low-2": "对不起，我听不清您的声音，麻烦您大声一点，好吗？",
    "low-goodbye": "对不起，电话声音太小，请您换一部电话再拨，好吗？谢谢您的来电，再见！",
    "nuisance-1": "对不起，您还需要咨询什么业务方面的问题吗？",
    "nuisance-goodbye": "对不起，我听不清您的声音，请您换一部电话再拨，谢谢您的来电，再见。",
    "speakerphone": "对不起，我听不清您的声音，请您将话筒拿起来好吗？",
    "speakerphone-ask": None,
    "speakerphone-no": None,
    "speakerphone-other": None,
}
STANDARD = {
    "lanzhi": SAME
    | {
        "opening": "您好，{brand}，请问有什么可以帮您？",
        "noinput-1": "您好，{brand}，您的电话已接通，请问有什么可以帮您？",
        "noinput-2": "您好，您的电话已接通，请问能听见我的声音吗？",
        "noinput-goodbye": "对不起，您的电话没有声音，谢谢您的来电，再见。",
        "low-move": "很抱歉，您的电话声音太小，麻烦您换个位置好吗？",
    },
    "training": SAME
    | {
        "opening": "您好！很高兴为您服务！",
        "noinput-1": "您好！这里是{brand}客服中心，您的电话已接通，请问有什么可以帮您？",
        "noinput-2": "您好！您的电话已接通，请问您能听见我的声音吗？",
        "noinput-goodbye": "对不起！您的电话无声，请您换一部话机再拨，谢谢您的来电，再见！",
        "low-move": None,
        "nuisance-goodbye": "对不起，我听不清您的声音，请您换一部电话再拨，谢谢您的来电，再见！",
    },
    "travel": SAME
    | {
        "opening": "您好，欢迎您致电{brand}客服热线！请问您需要什么服务？",
        "noinput-1": "您好！这里是{brand}客服中心，您的电话已接通，请问有什么可以帮助您的吗？",
        "noinput-2": "您好！您的电话已接通，请问您能听见我的声音吗？",
        "noinput-goodbye": "对不起！由于电话信号不好，请您换一部电话再拨，谢谢您的来电，再见！",
        "low-move": None,
        "speakerphone-ask": "对不起，我听不清您的声音，请问您用的是免提吗？",
        "speakerphone-no": "对不起，我听不清楚您的声音。",
        "speakerphone-other": "我听不清楚您提的问题，请您换一部电话再打好吗？",
    },
}
OURS = {"closed", "message-thanks"}
"""Prompts that the standard asks for without wording them."""


# ── wording ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("set_name", STANDARD)
def test_wording_is_the_standards_to_the_letter(set_name):
    prompts = load_manifest(SOUNDS).languages["zh"][set_name].prompts
    texts = {id: prompt.text if prompt else None for id, prompt in prompts.items() if id not in OURS}
    assert texts == STANDARD[set_name]


def test_every_set_has_the_same_ids_and_our_own_prompts():
    sets = load_manifest(SOUNDS).languages["zh"]
    wanted = STANDARD["lanzhi"].keys() | OURS
    assert all(sets[name].prompts.keys() == wanted for name in STANDARD)
    closed = load_manifest(SOUNDS).prompt_text("zh", "lanzhi", "closed")
    assert "蓝智慧养老" in closed and "早上八点到晚上九点" in closed and "请在提示音后留言" in closed


def test_brand_is_filled_in_when_spoken_and_none_is_no_sound():
    manifest = load_manifest(SOUNDS)
    texts = {sound.key: sound.text for sound in manifest.sounds()}
    assert texts["zh/lanzhi/opening"] == "您好，蓝智慧养老，请问有什么可以帮您？"
    assert "zh/lanzhi/speakerphone-ask" not in texts
    assert not manifest.has_prompt("zh", "lanzhi", "speakerphone-ask")
    assert not any("{" in text for text in texts.values() if text)


def test_the_second_asking_is_another_recording():
    sounds = {sound.key: sound for sound in load_manifest(SOUNDS).sounds()}
    assert sounds["zh/lanzhi/low-1"].text == sounds["zh/lanzhi/low-2"].text
    first, second = (prompt_path(SOUNDS, "zh", "lanzhi", f"low-{n}") for n in (1, 2))
    assert length_ms(second) > length_ms(first)


# ── whispers ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_whisper_for_each_queue_wait_and_heard_and_none_over_three_seconds():
    waits = [0, *range(5, 65, 5), 75, 90, 120, 150, 180, 240, 300]
    heard = ["normal", "silent1", "silent2", "low", "noise", "key", "unknown"]
    for name in (f"care-{wait}-{case}" for wait in waits for case in heard):
        assert length_ms(prompt_path(SOUNDS, "zh", "whisper", name)) <= 3000, name


@pytest.mark.parametrize(
    ("waited_s", "heard", "id", "words"),
    [
        (0, "normal", "care-0-normal", "刚进来"),
        (4.9, "low", "care-0-low", "刚进来"),
        (20, "silent2", "care-20-silent2", "等了二十秒"),
        (89, "key", "care-75-key", "等了七十五秒"),
        (120, "noise", "care-120-noise", "等了两分钟"),
        (150, "silent1", "care-150-silent1", "等了两分半"),
        (4000, "unknown", "care-300-unknown", "超过五分钟"),
    ],
)
def test_the_whisper_for_a_wait_never_says_more_than_was_waited(waited_s, heard, id, words):
    manifest = load_manifest(SOUNDS)
    assert manifest.whisper_id("zh", "care", waited_s, heard) == id
    texts = {sound.key: sound.text for sound in manifest.sounds()}
    assert words in texts[f"zh/whisper/{id}"]


@pytest.mark.parametrize(
    ("n", "words"),
    [(0, "零"), (2, "二"), (10, "十"), (15, "十五"), (20, "二十"), (75, "七十五"), (100, "一百"), (105, "一百零五"),
     (110, "一百一十"), (999, "九百九十九")],
)  # fmt: skip
def test_numbers_are_said_as_people_say_them(n, words):
    assert chinese_number(n) == words


# ── the files of the repository ──────────────────────────────────────────────────────────────────────────


def test_the_repositorys_sounds_are_in_order():
    assert [finding.line() for finding in check_sounds(SOUNDS).findings] == []


def test_making_again_needs_neither_voice_nor_work(monkeypatch, tmp_path):
    root = copy_of(["lanzhi", "whisper"], tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "misaki", None)
    before = (root / "manifest.yaml").read_bytes()
    report = make_sounds(root)
    assert (report.spoken, report.recordings, report.refused) == ([], [], {})
    assert (root / "manifest.yaml").read_bytes() == before


# ── faults ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def root(tmp_path):
    """A folder with three sounds of the repository, in order."""
    return copy_of(["lanzhi"], tmp_path, keep=["opening", "low-1", "noinput-1"])


def test_a_copy_is_in_order(root):
    assert check_sounds(root).findings == []


def test_missing_is_found(root):
    (root / "zh/lanzhi/low-1.wav16").unlink()
    assert faults(root) == {("zh/lanzhi/low-1.wav16", "missing")}


def test_stale_is_found_when_the_text_the_brand_or_the_voice_changes(root):
    edit(root, "麻烦您大声一点", "麻烦您再大声一点")
    assert faults(root) == {("zh/lanzhi/low-1.wav", "stale"), ("zh/lanzhi/low-1.wav16", "stale")}
    edit(root, "brand: 蓝智慧养老", "brand: 蓝智慧")
    assert ("zh/lanzhi/opening.wav", "stale") in faults(root)


def test_clipped_is_found(root):
    alter(root, "zh/lanzhi/opening.wav", lambda x: np.clip(x * 20.0, -32768, 32767))
    assert ("zh/lanzhi/opening.wav", "clipped") in faults(root)


def test_wrong_rate_and_stereo_are_found(root):
    path = root / "zh/lanzhi/opening.wav"
    samples = read(path)
    for rate, channels in ((16000, 1), (8000, 2)):
        write(path, np.repeat(samples, channels), rate, channels)
        assert ("zh/lanzhi/opening.wav", "format") in faults(root)
    path.write_bytes(b"RIFF, or so it says")
    assert ("zh/lanzhi/opening.wav", "format") in faults(root)


@pytest.mark.parametrize(("gain_db", "found"), [(-1.5, True), (-0.5, False), (0.5, False), (1.5, True)])
def test_level_off_by_more_than_a_decibel_is_found(root, gain_db, found):
    alter(root, "zh/lanzhi/opening.wav", lambda x: x * 10 ** (gain_db / 20))
    assert (("zh/lanzhi/opening.wav", "level") in faults(root)) == found


def test_longer_than_its_text_allows_is_found(root):
    alter(root, "zh/lanzhi/opening.wav", lambda x: np.tile(x, 3))
    assert faults(root) == {("zh/lanzhi/opening.wav", "long")}


def test_cut_off_is_found(root):
    alter(root, "zh/lanzhi/opening.wav", lambda x: x[: len(x) // 4])
    assert ("zh/lanzhi/opening.wav", "short") in faults(root)


def test_silence_at_the_edges_is_found(root):
    alter(root, "zh/lanzhi/opening.wav", lambda x: np.pad(x, (800, 0)))
    assert faults(root) == {("zh/lanzhi/opening.wav", "untrimmed")}
    alter(root, "zh/lanzhi/low-1.wav", lambda x: np.pad(x, (0, 800)))
    assert ("zh/lanzhi/low-1.wav", "untrimmed") in faults(root)


def test_a_file_that_make_does_not_know_is_found(root):
    write(root / "zh/lanzhi/opening.wav", read(root / "zh/lanzhi/opening.wav")[::-1], 8000)
    assert ("zh/lanzhi/opening.wav", "changed") in faults(root)


def test_a_finding_is_one_line_with_file_what_and_remedy_and_the_exit_status_tells(root):
    fine = CliRunner().invoke(app, ["check", "--sounds", str(root)])
    assert fine.exit_code == 0, fine.output
    (root / "zh/lanzhi/opening.wav").unlink()
    bad = CliRunner().invoke(app, ["check", "--sounds", str(root)])
    assert bad.exit_code == 1
    assert bad.output.splitlines()[0] == "zh/lanzhi/opening.wav: missing: run `hearline sounds make`"
    machine = CliRunner().invoke(app, ["check", "--json", "--sounds", str(root)])
    assert json.loads(machine.output)["findings"][0]["fault"] == "missing"


# ── recordings ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_studio_recording_wins_and_is_levelled_like_the_rest(root):
    pytest.importorskip("soxr"), pytest.importorskip("pydub"), pytest.importorskip("soundfile")
    place = root / "zh/lanzhi/opening.wav"
    write(place, studio_take(seconds=4), 48000, channels=2)
    assert {("zh/lanzhi/opening.wav", "changed"), ("zh/lanzhi/opening.wav", "format")} == faults(root)

    assert make_sounds(root).recordings == ["zh/lanzhi/opening"]

    assert check_sounds(root).findings == []
    for name, rate in (("opening.wav", 8000), ("opening.wav16", 16000)):
        samples = read(root / "zh/lanzhi" / name, rate)
        before, after = silence_at_edges(samples, rate)
        assert active_speech_level(samples, rate).active_dbov == pytest.approx(-23, abs=0.2)
        assert before <= LEADING_MS and after <= TRAILING_MS
        assert len(samples) / rate == pytest.approx(4.05, abs=0.05)
        assert read_register(root)[f"zh/lanzhi/{name}"].source == "recording"

    taken = place.read_bytes()
    assert make_sounds(root).recordings == [] and place.read_bytes() == taken
    edit(root, "您好，{brand}，请问有什么可以帮您？", "您好，{brand}，请问有什么事？")
    assert "zh/lanzhi/opening" in make_sounds(root).refused and place.read_bytes() == taken
    assert ("zh/lanzhi/opening.wav", "stale") in faults(root)


def test_a_clipped_or_unreadable_recording_is_left_alone_with_a_reason(root):
    pytest.importorskip("soundfile"), pytest.importorskip("pydub")
    place = root / "zh/lanzhi/opening.wav"
    write(place, np.clip(studio_take(seconds=4) * 30.0, -32768, 32767), 48000, channels=2)
    bad = place.read_bytes()
    assert "clipped" in make_sounds(root).refused["zh/lanzhi/opening"] and place.read_bytes() == bad
    place.write_bytes(b"not a WAV")
    assert "not a WAV" in make_sounds(root).refused["zh/lanzhi/opening"]


# ── the manifest ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("voice: host\n", "voice: nobody\n", "unknown voice 'nobody'"),
        ("rates: [8000, 16000]", "rates: [8000, 44100]", "rates.1"),
        ("您好，{brand}，请问", "您好，{brnad}，请问", "unknown placeholder"),
        ("level_dbov: -23", "level_dbov: loud", "level_dbov"),
        ("hotline:", "hotlyne:", "hotlyne"),
        ("hotline:", "brand: two\nhotline:", "a second time"),
        ("languages:", "languages: [", "not valid YAML"),
    ],
)
def test_a_broken_manifest_is_told_with_file_and_line(root, old, new, complaint):
    text = (root / "manifest.yaml").read_text("utf-8")
    line = text[: text.index(old)].count("\n") + 1
    edit(root, old, new)
    with pytest.raises(ManifestError) as told:
        load_manifest(root)
    first = str(told.value).splitlines()[0]
    assert complaint in str(told.value)
    assert first.startswith(f"{root / 'manifest.yaml'}:")
    if complaint != "not valid YAML":
        assert f":{line}: " in str(told.value)


def test_comments_survive_the_machines_writing(root):
    people = (root / "manifest.yaml").read_text("utf-8").partition(MARKER)[0]
    register(root, {"zh/lanzhi/new.wav": Entry("00", "synthetic", "11")})
    after, _, machine = (root / "manifest.yaml").read_text("utf-8").partition(MARKER)
    assert after == people and "#" in people
    assert yaml.safe_load(machine)["files"]["zh/lanzhi/new.wav"]["source"] == "synthetic"


# ── helpers ──────────────────────────────────────────────────────────────────────────────────────────────


def copy_of(sets: list[str], folder: Path, keep: list[str] | None = None) -> Path:
    """The repository's sounds in `folder`, only these sets and only the ids to `keep`; register included."""
    files = read_register(SOUNDS)
    data = yaml.safe_load((SOUNDS / "manifest.yaml").read_text("utf-8").partition(MARKER)[0])
    data.pop("music")
    data["languages"]["zh"] = {name: data["languages"]["zh"][name] for name in sets}
    if keep:
        for phrases in data["languages"]["zh"].values():
            phrases["prompts"] = {id: phrases["prompts"][id] for id in keep}
    root = folder / "sounds"
    root.mkdir()
    human = yaml.safe_dump(data, allow_unicode=True, sort_keys=False, width=1000, default_flow_style=None)
    (root / "manifest.yaml").write_text(f"# A comment.\n{human}\n", "utf-8")
    entries = {}
    for sound in load_manifest(root).sounds():
        for name in sound.files.values():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SOUNDS / name, root / name)
            entries[name] = files[name]
    register(root, entries)
    return root


def faults(root: Path) -> set[tuple[str, str]]:
    return {(finding.file, finding.fault) for finding in check_sounds(root).findings}


def edit(root: Path, old: str, new: str) -> None:
    path = root / "manifest.yaml"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def alter(root: Path, name: str, change) -> None:
    """Change a file's samples and register it as made so, as if `make` had gone wrong."""
    write(root / name, change(read(root / name)), 8000)
    known = read_register(root)[name]
    register(root, {name: Entry(file_hash(root / name), known.source, known.made_from)})


def read(path: Path, rate: int = 8000) -> np.ndarray:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (rate, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def write(path: Path, samples: np.ndarray, rate: int, channels: int = 1) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(np.round(samples).astype("<i2").tobytes())


def length_ms(path: Path) -> float:
    with wave.open(str(path)) as file:
        return file.getnframes() * 1000 / file.getframerate()


def studio_take(seconds: float) -> np.ndarray:
    """Interleaved stereo at 48 kHz: syllables of a hum, quiet, half a second of rumble before and after."""
    t = np.arange(round(seconds * 48000)) / 48000
    syllables = np.abs(np.sin(2 * np.pi * 2 * t)) + 0.05
    voice = 900 * syllables * sum(np.sin(2 * np.pi * 180 * h * t) / h for h in (1, 2, 3, 5, 8, 13))
    rumble = 300 * np.sin(2 * np.pi * 25 * np.arange(round((seconds + 1) * 48000)) / 48000)
    return np.repeat(np.pad(voice, 24000) + rumble, 2)
