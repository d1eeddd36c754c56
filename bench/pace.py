"""How well can a speaker's syllable rate be measured from the signal alone, without knowing what is said?

    python -m bench.pace          # fetches seven packages (about 180 MB) and measures; some minutes

It uses recordings whose texts are known, in languages where syllables of a text can be counted safely: Russian and
Czech (by vowels), Italian and Dutch (by rule), Mandarin (by characters; these are the shipped prompts, which are
synthetic). From them it takes stretches of some seconds of speech, at three tempos, as A-law at 20 dB SNR. Ways to
measure the rate:

- peaks: the number per second of peaks of the level between 300 and 1,300 Hz that stand out by 1.5 dB (after De Jong &
  Wempe, Behavior Research Methods 41, 2009), mapped to syllables by a straight line;
- spectrum: a ridge regression on such counts in five bands, and on how fast the level rises and falls in each.

They are fitted to the voices for tuning. `strange` is `spectrum`, fitted to all voices of the other languages.
`constant` always claims the mean rate, for comparison.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
import yaml
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hearline.audio import g711
from hearline.core.settings import Settings

from .ears.mixing import at_active_level, at_rms
from .ears.packages import fetch, folder_of
from .ears.sources import Package

RATE = 8000
NEAR = 0.15
SPEECH_DBOV, SNR_DB = -24.0, 20.0
TEMPOS = (0.8, 1.0, 1.25)
EACH = 20  # stretches per voice and tempo
HELD_OUT = ("ru ivrvoiceru", "cs m", "nl v", "zh zf_xiaoxiao")

ASTERISK = {"it": "it_IT_m_Carlo", "ru": "ru_RU_f_IvrvoiceRU"}
PACKAGES = [
    *(Package(f"asterisk-core-sounds-{part}", "debian", "1.6.1-1", "CC BY-SA 3.0, ru: CC BY 3.0")
      for language in ASTERISK for part in (language, f"{language}-wav")),
    *(Package(name, "debian", "1.0.1-1.1", "GPL-2+")
      for name in ("fillets-ng-data", "fillets-ng-data-cs", "fillets-ng-data-nl")),
]  # fmt: skip

NUCLEI = {
    "cs": "ou|au|eu|[aeiouyáéěíóúůý]|(?<=[^aeiouyáéěíóúůý])[rl](?=[^aeiouyáéěíóúůýrl]|$)",
    "it": "[iu]?[aeoàèéòó][iu]?|[ìíùú]|[iu]+",
    "nl": "aai|ooi|oei|eeu|ieu|aa|ee|oo|uu|ie|oe|eu|ui|ij|ei|ou|au|[aeiouyéèëïöü]",
    "ru": "[аеёиоуыэюя]",
    "zh": "[\u4e00-\u9fff]",
}


@dataclass(frozen=True)
class Said:
    """A recording, float [n] at 8 kHz, and the number of syllables in its text."""

    sound: np.ndarray
    syllables: int


def syllables(language: str, text: str) -> int:
    """The number of syllables in `text`; 0 if they cannot be counted (digits, remarks in brackets)."""
    if re.search(r"[\d\[\]#*]", text) or (language == "it" and "?" in text):  # "?": the Italian list has lost accents
        return 0
    words = re.findall(r"[^\W\d_]+", text.lower())
    if language == "it":  # an i that only softens the consonant, a u that belongs to it
        words = [re.sub("(?<=[cg])i(?=[aeou])", "", word.replace("qu", "k")) for word in words]
    return sum(len(re.findall(NUCLEI[language], word)) for word in words)


Line = tuple[str, str, Path, str]
"""Voice, language, recording, text."""


# ---- recordings ----------------------------------------------------------------------------------------------------
def voices() -> dict[str, list[Said]]:
    """The recordings by language and speaker."""
    found: dict[str, list[Said]] = {}
    for voice, language, file, text in [*_prompts(), *_dialogues(), *_shipped()]:
        count = syllables(language, text)
        if count >= 6 and file.exists():
            sound = _read(file)
            if sound.size > RATE // 2:
                found.setdefault(voice, []).append(Said(sound, count))
    return {voice: _as_read(said) for voice, said in found.items()}


def _prompts() -> Iterator[Line]:
    for language, folder in ASTERISK.items():
        package = f"asterisk-core-sounds-{language}"
        texts = _share(package) / f"doc/{package}/core-sounds-{language}.txt.gz"
        sounds = _share(f"{package}-wav") / "asterisk/sounds" / folder
        voice = f"{language} {folder.split('_')[-1].lower()}"
        for line in gzip.decompress(texts.read_bytes()).decode("utf-8", "replace").splitlines():
            if found := re.match(r"([\w/.-]+):\s*(.+)", line.strip()):
                yield voice, language, sounds / f"{found[1]}.wav", found[2]


def _dialogues() -> Iterator[Line]:
    """Dialogues of a game: two actors in each language, who speak naturally."""
    game = "games/fillets-ng"
    line = re.compile(r'dialogId\("([^"]+)",[^\n]*\n\s*dialogStr\("([^"]*)"\)')
    for language in ("cs", "nl"):
        sounds = _share(f"fillets-ng-data-{language}") / game / "sound"
        for script in sorted((_share("fillets-ng-data") / game).glob(f"script/*/dialogs_{language}.lua")):
            for name, text in line.findall(script.read_text("utf-8")):
                if who := re.match(r"[^-]+-([vm])-", name):
                    file = sounds / script.parent.name / language / f"{name}.ogg"
                    yield f"{language} {who[1]}", language, file, text


def _shipped() -> Iterator[Line]:
    root = Settings().sounds
    manifest = yaml.safe_load((root / "manifest.yaml").read_text("utf-8"))
    for name in ("lanzhi", "travel", "callers"):
        phrases = manifest["languages"]["zh"][name]
        for prompt, told in phrases["prompts"].items():
            told = told if isinstance(told, dict) else {"text": told}
            speaker = manifest["voices"][told.get("voice", phrases["voice"])]["name"]
            text = told["text"].format(brand=manifest["brand"])
            yield f"zh {speaker}", "zh", root / "zh" / name / f"{prompt}.wav", text


def _share(package: str) -> Path:
    return folder_of(next(p for p in PACKAGES if p.name == package)) / "usr/share"


def _read(file: Path) -> np.ndarray:
    sound, rate = soundfile.read(file, dtype="float32", always_2d=True)
    return soxr.resample(sound.mean(1), rate, RATE)


def _as_read(said: list[Said]) -> list[Said]:
    """Drop recordings that do not match their text, which shows in a rate far from the voice's usual one."""
    rates = np.array([one.syllables / speech_s(one.sound) for one in said])
    usual = np.abs(rates / np.median(rates) - 1) < 0.4
    return [one for one, keep in zip(said, usual) if keep]


def speech_s(sound: np.ndarray) -> float:
    """Seconds of speech, without pauses of 150 ms and more."""
    frames = sound[: sound.size // 80 * 80].reshape(-1, 80)
    level = 10 * np.log10(np.convolve(np.mean(frames**2, 1), np.ones(3) / 3, "same") + 1e-10)
    at = np.flatnonzero(level > np.percentile(level, 90) - 28)
    gaps = np.diff(at)
    return 0.01 * (1 + gaps[gaps <= 15].sum() + (gaps > 15).sum())


# ---- stretches -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Stretch:
    power: np.ndarray  # [frames of 10 ms, bins]
    seconds: float  # of speech
    syllables: int

    @property
    def rate(self) -> float:
        return self.syllables / self.seconds


def stretches(said: list[Said], seconds: float, rng: np.random.Generator) -> list[Stretch]:
    found = []
    for tempo in TEMPOS:
        for _ in range(EACH):
            parts, count, length = [], 0, 0.0
            while length < seconds:
                one = said[rng.integers(len(said))]
                sound = at_active_level(at_tempo(one.sound, tempo), SPEECH_DBOV)
                parts += [sound, np.zeros(int(rng.uniform(0.2, 0.8) * RATE))]
                count, length = count + one.syllables, length + speech_s(sound)
            whole = np.concatenate(parts)
            whole = whole + at_rms(rng.normal(size=whole.size), SPEECH_DBOV - SNR_DB)
            coded = g711.decode_alaw(g711.encode_alaw((whole.clip(-1, 1) * 32_767).astype(np.int16)))
            found.append(Stretch(power(coded / 32_768), length, count))
    return found


def at_tempo(sound: np.ndarray, tempo: float) -> np.ndarray:
    """The sound faster or slower at the same pitch, by overlapping pieces of 40 ms where they fit best (WSOLA)."""
    if tempo == 1.0:
        return sound
    piece, hop, search = 320, 160, 80
    window = np.hanning(piece)
    padded = np.concatenate([np.zeros(search), sound, np.zeros(2 * piece + search)])
    out, weight = np.zeros(int(sound.size / tempo) + 2 * piece), np.zeros(int(sound.size / tempo) + 2 * piece)
    at = search
    for to in range(0, int(sound.size / tempo), hop):
        out[to : to + piece] += window * padded[at : at + piece]
        weight[to : to + piece] += window
        wanted, middle = padded[at + hop : at + hop + piece], search + int((to + hop) * tempo)
        near = padded[middle - search : middle + search + piece]
        if wanted.size < piece or near.size < piece + 2 * search:
            break
        at = middle - search + int(np.argmax(np.correlate(near, wanted, "valid")))
    return (out / np.maximum(weight, 0.1))[: int(sound.size / tempo)]


HZ = np.fft.rfftfreq(256, 1 / RATE)


def power(sound: np.ndarray) -> np.ndarray:
    """Short-time power spectra: 25 ms windows, every 10 ms."""
    at = np.arange(200) + 80 * np.arange((sound.size - 200) // 80)[:, None]
    return np.abs(np.fft.rfft(sound[at] * np.hanning(200), 256)) ** 2


# ---- telling the rate ----------------------------------------------------------------------------------------------
def level(stretch: Stretch, low: float, high: float) -> np.ndarray:
    """The level in a band, in dB, every 10 ms; at least 25 dB under the loudest."""
    dB = 10 * np.log10(stretch.power[:, (low <= HZ) & (high > HZ)].sum(1) + 1e-12)
    return np.maximum(dB, np.percentile(dB, 95) - 25)


def peaks_per_s(stretch: Stretch, dB: np.ndarray, frames: int = 9, stand_out: float = 1.5) -> float:
    window = np.hanning(frames + 2)
    count, rising, extreme = 0, True, dB[0]
    for value in np.convolve(dB, window / window.sum(), "same"):
        if (value > extreme) is rising:
            extreme = value
        elif abs(value - extreme) > stand_out:
            count, rising, extreme = count + rising, not rising, value
    return count / stretch.seconds


def peak_features(stretch: Stretch) -> list[float]:
    return [np.log(peaks_per_s(stretch, level(stretch, 300, 1300)))]


def spectrum_features(stretch: Stretch) -> list[float]:
    found = []
    for low, high in ((300, 1300), (200, 800), (300, 3400), (1300, 2600), (2000, 3600)):
        dB = level(stretch, low, high)
        found += [peaks_per_s(stretch, dB, frames, out) for frames in (5, 9, 15) for out in (1, 3)]
        spectrum = np.abs(np.fft.rfft(dB - dB.mean(), 4096)) ** 2
        edges = np.searchsorted(np.fft.rfftfreq(4096, 0.01), [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20])
        parts = np.add.reduceat(spectrum[: edges[-1]], edges[:-1])
        found += list(np.log(parts / parts.sum()))
    return found


WAYS: dict[str, Callable[[Stretch], list[float]]] = {
    "peaks": peak_features,
    "spectrum": spectrum_features,
    "strange": spectrum_features,
    "constant": lambda _: [0.0],
}


def errors(way: str, heard: dict[str, list[Stretch]]) -> dict[str, np.ndarray]:
    """Relative errors by voice."""
    features = {voice: [WAYS[way](one) for one in ones] for voice, ones in heard.items()}
    rates = {voice: np.array([one.rate for one in ones]) for voice, ones in heard.items()}

    def error(voice: str) -> np.ndarray:
        strange = [other for other in heard if other.split()[0] != voice.split()[0]]
        known = strange if way == "strange" else [other for other in heard if other not in HELD_OUT]
        fit = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)))
        fit.fit(np.concatenate([features[v] for v in known]), np.log(np.concatenate([rates[v] for v in known])))
        return np.exp(fit.predict(features[voice])) / rates[voice] - 1

    return {voice: error(voice) for voice in heard}


def main() -> None:
    for failure in fetch(PACKAGES, print):
        raise SystemExit(failure)
    said = voices()
    for seconds in (10, 20):
        rng = np.random.default_rng(0)
        heard = {voice: stretches(said[voice], seconds, rng) for voice in sorted(said, key=lambda v: v in HELD_OUT)}
        told = {way: errors(way, heard) for way in WAYS}
        print(f"\n{seconds} s of speech: within ±{NEAR:.0%} (error, mean and standard deviation)\n")
        for voice in heard:
            each = [(way, errors_[voice]) for way, errors_ in told.items()]
            cells = [f"{way} {np.mean(abs(e) < NEAR):4.0%} ({e.mean():+4.0%} {e.std():3.0%})" for way, e in each]
            print(f"{'held out' if voice in HELD_OUT else 'tuning':10}{voice:15}", *cells, sep="   ")
        cells = [f"{way} {np.mean([abs(errors_[v]) < NEAR for v in HELD_OUT]):4.0%}" for way, errors_ in told.items()]
        print(f"{'held out, together':25}", *cells, sep="   ")


if __name__ == "__main__":
    main()
