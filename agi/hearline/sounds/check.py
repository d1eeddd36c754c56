"""Checks the sound files, and says what is wrong and what to do. Needs neither the voice extra nor a network."""

import wave
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from hearline.audio.level.p56 import active_speech_level
from hearline.sounds.clipping import CLIPPED_RUN, longest_clipped_run
from hearline.sounds.edges import LEADING_MS, TRAILING_MS, silence_at_edges
from hearline.sounds.manifest import Sound, load_manifest
from hearline.sounds.register import Entry, file_hash, read_register

LEVEL_TOLERANCE_DB = 1.0

_MAKE = "run `hearline sounds make`"
_MAKE_ANEW = "hearline sounds make --resynthesise --only"


@dataclass(frozen=True)
class Finding:
    """One fault in one file."""

    file: str
    fault: str
    """missing, stale, changed, format, clipped, level, long, short, untrimmed"""
    what: str
    remedy: str

    def line(self) -> str:
        """For people."""
        return f"{self.file}: {self.what}: {self.remedy}"

    def as_dict(self) -> dict[str, str]:
        """For machines."""
        return asdict(self)


@dataclass(frozen=True)
class CheckResult:
    """The number of files that should exist, and the faults found."""

    files: int
    findings: list[Finding]


def check_sounds(root: Path) -> CheckResult:
    """Check every file that the manifest in `root` asks for."""
    sounds = load_manifest(root).sounds()
    entries = read_register(root)
    findings = [
        finding
        for sound in sounds
        for rate, name in sound.files.items()
        for finding in check_file(root, sound, rate, name, entries.get(name))
    ]
    return CheckResult(sum(len(sound.files) for sound in sounds), findings)


def check_file(root: Path, sound: Sound, rate: int, name: str, entry: Entry | None) -> list[Finding]:
    """The faults of the file `name` of `sound` at `rate` Hz. `entry`: its registered entry, if there is one."""
    path = root / name
    if not path.is_file():
        return [Finding(name, "missing", "missing", _MAKE)]
    faults = [*_against_register(path, sound, name, entry)]
    try:
        samples = read_pcm(path, rate)
    except ValueError as error:
        return [*faults, Finding(name, "format", str(error), _MAKE)]
    newcomer = any(fault.fault == "changed" for fault in faults)
    return faults + _heard(samples, rate, sound, name, newcomer)


def read_pcm(path: Path, rate: int) -> np.ndarray:
    """The samples of a 16-bit mono WAV at `rate` Hz. Raises ValueError, which says what the file is instead."""
    try:
        with wave.open(str(path), "rb") as file:
            kind = (file.getframerate(), file.getsampwidth() * 8, file.getnchannels())
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"not a PCM WAV ({error})") from error
    if kind != (rate, 16, 1):
        channels = {1: "mono", 2: "stereo"}.get(kind[2], f"{kind[2]} channels")
        raise ValueError(f"wrong format: {kind[0]} Hz {kind[1]} bit {channels}, must be {rate} Hz 16 bit mono")
    return np.frombuffer(data, "<i2")


def _against_register(path: Path, sound: Sound, name: str, entry: Entry | None) -> list[Finding]:
    if entry is None or entry.sha256 != file_hash(path):
        what = "not the file that was registered; perhaps a new recording"
        return [Finding(name, "changed", what, f"{_MAKE} to take it over")]
    if entry.source == "synthetic" and entry.made_from != sound.recipe_hash:
        return [Finding(name, "stale", "its text or voice has changed since it was spoken", _MAKE)]
    if entry.source == "recording" and entry.made_from != sound.text_hash:
        remedy = f"record it again, or run `{_MAKE_ANEW} '{sound.key}'`"
        return [Finding(name, "stale", "its text has changed since it was recorded", remedy)]
    return []


def _heard(samples: np.ndarray, rate: int, sound: Sound, name: str, newcomer: bool) -> list[Finding]:
    """Faults in the audio itself. `newcomer`: the file has not been through `make`, which corrects some of them."""
    faults = []
    again = "record it again" if newcomer else f"run `{_MAKE_ANEW} '{sound.key}'`, or record it again"
    mend = f"{_MAKE} to correct it" if newcomer else again

    def fault(kind: str, what: str, remedy: str) -> None:
        faults.append(Finding(name, kind, what, remedy))

    run = longest_clipped_run(samples)
    if run >= CLIPPED_RUN:
        fault("clipped", f"clipped, {run} samples in a row at full scale", again)
    level = active_speech_level(samples, rate).active_dbov
    if abs(level - sound.level_dbov) > LEVEL_TOLERANCE_DB:
        fault("level", f"active level {level:.1f} dBov, must be {sound.level_dbov:.0f} ± 1", mend)
    length_ms = len(samples) * 1000 / rate
    if length_ms > sound.longest_ms:
        fault(
            "long",
            f"lasts {length_ms:.0f} ms, its text allows {sound.longest_ms:.0f}",
            "shorten its text, speed up its voice, or record it again",
        )
    elif length_ms < sound.shortest_ms:
        fault("short", f"lasts {length_ms:.0f} ms, its text needs {sound.shortest_ms:.0f}: cut off?", again)
    if sound.text is not None:  # music loops: its edges meet
        before, after = silence_at_edges(samples, rate)
        if before > LEADING_MS or after > TRAILING_MS:
            what = f"{before} ms of silence before and {after} ms after, at most {LEADING_MS} and {TRAILING_MS}"
            fault("untrimmed", what, mend)
    return faults
