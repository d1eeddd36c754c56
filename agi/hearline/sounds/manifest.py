"""The manifest of sounds: reads it, checks it, and expands it into `Sound`s."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from hearline.core.files import read_text
from hearline.sounds.numerals import chinese_number
from hearline.yamlfiles.located import Located, YamlError, load_located

MANIFEST_NAME = "manifest.yaml"
MARKER = "# ════ Written by `hearline sounds make`. Do not edit below this line. ════"
"""The line of the manifest below which register.py writes."""
SUFFIX = {8000: ".wav", 16000: ".wav16"}
"""Asterisk's file name suffix by sample rate, Hz. Both are RIFF files."""


class ManifestError(Exception):
    """The manifest cannot be used; the message gives file, line and problem."""


def prompt_path(root: Path | str, language: str, set: str, id: str, rate: int = 8000) -> Path:
    """The file of the sound `id` of a phrase set, under `root`, at a sample rate in Hz."""
    return Path(root) / language / set / f"{id}{SUFFIX[rate]}"


def music_path(root: Path | str, name: str, rate: int = 8000) -> Path:
    """The file of a piece of music, under `root`, at a sample rate in Hz."""
    return Path(root) / "music" / f"{name}{SUFFIX[rate]}"


@dataclass(frozen=True)
class Sound:
    """A sound that should exist in the sounds folder, spoken or composed, with one file per sample rate."""

    key: str
    """Path under the sounds folder without suffix: zh/lanzhi/opening."""
    rates: tuple[int, ...]
    level_dbov: float
    text: str | None
    """The spoken text with its placeholders filled; None for music."""
    voice: "Voice | None"
    shortest_ms: float
    longest_ms: float

    @property
    def files(self) -> dict[int, str]:
        """Path under the sounds folder by rate, Hz."""
        return {rate: self.key + SUFFIX[rate] for rate in self.rates}

    @property
    def text_hash(self) -> str:
        """A hash of the text, which is all that a recording depends on."""
        return _short_hash(self.text or "music")

    @property
    def recipe_hash(self) -> str:
        """A hash of text and voice, which a synthetic sound depends on."""
        if self.voice is None:
            return self.text_hash
        return _short_hash(f"{self.text}|{self.voice.engine}|{self.voice.name}|{self.voice.speed:g}")


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Voice(_Strict):
    """A voice, and the licence under which its output may be distributed."""

    engine: Literal["kokoro"]
    name: str
    speed: float = Field(1.0, ge=0.5, le=2.0)
    licence: str
    provenance: str


class Prompt(_Strict):
    """A text, possibly with its own voice."""

    text: str = Field(min_length=1)
    voice: str | None = None


def _prompt(value: Any) -> Any:
    """`none` → None; a string → a prompt in the voice of its set."""
    if value == "none":
        return None
    return {"text": value} if isinstance(value, str) else value


PromptOrNone = Annotated[Prompt | None, BeforeValidator(_prompt)]
Rate = Literal[8000, 16000]


class PhraseSet(_Strict):
    """The prompts of one folder, by id."""

    voice: str
    rates: tuple[Rate, ...] = Field(min_length=1)
    prompts: dict[str, PromptOrNone]

    def texts(self) -> Iterator[tuple[str, str, str]]:
        """(id, text, voice) of each prompt, except those that are `none`."""
        for prompt_id, prompt in self.prompts.items():
            if prompt is not None:
                yield prompt_id, prompt.text, prompt.voice or self.voice


class WhisperSet(_Strict):
    """The sentences whispered to agents: one for each combination of queue, wait and what was heard."""

    voice: str
    rates: tuple[Rate, ...] = Field(min_length=1)
    longest_ms: float = Field(gt=0)
    sentence: str
    queues: dict[str, str]
    waits: tuple[int, ...] = Field(min_length=1)
    wait_words: dict[str | int, str]
    heard: dict[str, str]

    @model_validator(mode="after")
    def _waits_ascend(self) -> "WhisperSet":
        if list(self.waits) != sorted(set(self.waits)) or self.waits[0] != 0:
            raise ValueError("waits must begin with 0, in ascending order")
        for wanted in ("seconds", "minutes", "minutes_and_a_half"):
            if wanted not in self.wait_words:
                raise ValueError(f"wait_words must have {wanted}")
        try:
            list(self.texts())
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(f"unknown placeholder: {error}") from error
        return self

    def texts(self) -> Iterator[tuple[str, str, str]]:
        """(id, text, voice) of each sentence."""
        for queue, queue_words in self.queues.items():
            for wait in self.waits:
                for heard, heard_words in self.heard.items():
                    text = self.sentence.format(queue=queue_words, wait=self.words_for_wait(wait), heard=heard_words)
                    yield f"{queue}-{wait}-{heard}", text, self.voice

    def words_for_wait(self, seconds: int) -> str:
        """A wait in words: 20 → 等了二十秒, 150 → 等了两分半."""
        if seconds in self.wait_words:
            return self.wait_words[seconds]
        if seconds < 120 or seconds % 30:
            return self.wait_words["seconds"].format(number=chinese_number(seconds, counting=True))
        form = "minutes_and_a_half" if seconds % 60 else "minutes"
        return self.wait_words[form].format(number=chinese_number(seconds // 60, counting=True))

    def id_for(self, queue: str, waited_s: float, heard: str) -> str:
        """The id of the sentence for a wait of `waited_s`, rounded down. Raises KeyError if there is none."""
        if queue not in self.queues or heard not in self.heard:
            raise KeyError(f"no whisper for queue {queue!r}, heard {heard!r}")
        return f"{queue}-{max(wait for wait in self.waits if wait <= max(waited_s, 0))}-{heard}"


class Music(_Strict):
    """A piece composed by code."""

    rates: tuple[Rate, ...] = Field(min_length=1)
    level_dbov: float = Field(le=0)


class LengthBounds(_Strict):
    """Seconds per spoken character, pauses included."""

    shortest: float = Field(gt=0)
    longest: float = Field(gt=0)


def _set_kind(value: Any) -> str:
    return "whisper" if isinstance(value, dict) and "sentence" in value else "phrases"


class Manifest(_Strict):
    """All sounds. `sounds()` expands it; the other methods serve running calls."""

    brand: str
    hotline: str
    level_dbov: float = Field(le=0)
    s_per_character: LengthBounds
    voices: dict[str, Voice]
    languages: dict[str, dict[str, PhraseSet | WhisperSet]]
    music: dict[str, Music] = {}

    @model_validator(mode="before")
    @classmethod
    def _choose_set_kind(cls, data: Any) -> Any:
        """Read each set as its own kind; otherwise its errors would be reported twice, once for each kind."""
        if not isinstance(data, dict) or not isinstance(data.get("languages"), dict):
            return data
        problems: list = []
        languages: dict = {}
        for language, sets in data["languages"].items():
            if not isinstance(sets, dict):
                return data
            languages[language] = {}
            for name, value in sets.items():
                kind = WhisperSet if _set_kind(value) == "whisper" else PhraseSet
                try:
                    languages[language][name] = kind.model_validate(value)
                except ValidationError as error:
                    problems += [(("languages", language, name, *e["loc"]), e["msg"]) for e in error.errors()]
        if problems:
            raise _Problems(problems)
        return {**data, "languages": languages}

    def sounds(self) -> list[Sound]:
        """All sounds, in the order of the manifest."""
        found = []
        for language, sets in self.languages.items():
            for set_name, phrases in sets.items():
                for sound_id, text, voice in phrases.texts():
                    found.append(self._spoken(f"{language}/{set_name}/{sound_id}", text, voice, phrases))
        for name, music in self.music.items():
            found.append(Sound(f"music/{name}", music.rates, music.level_dbov, None, None, 40_000, 90_000))
        return found

    def has_prompt(self, language: str, set: str, id: str) -> bool:
        """True if a set has this prompt, False if it is `none`. Raises KeyError if the id is not listed."""
        return self._prompt(language, set, id) is not None

    def prompt_text(self, language: str, set: str, id: str) -> str | None:
        """The text of a prompt with its placeholders filled; None for `none`."""
        prompt = self._prompt(language, set, id)
        return None if prompt is None else self.fill(prompt.text)

    def whisper_id(self, language: str, queue: str, waited_s: float, heard: str) -> str:
        """The id, in the set `whisper`, of the sentence for an agent. Raises KeyError if there is none."""
        whisper = self.languages[language]["whisper"]
        if not isinstance(whisper, WhisperSet):
            raise KeyError("whisper")
        return whisper.id_for(queue, waited_s, heard)

    def _prompt(self, language: str, set: str, id: str) -> Prompt | None:
        phrases = self.languages[language][set]
        if not isinstance(phrases, PhraseSet):
            raise KeyError(id)
        return phrases.prompts[id]

    def queue_names(self, language: str) -> dict[str, str]:
        """The names of queues in the whisper before the join, for the queues that it knows."""
        whisper = self.languages.get(language, {}).get("whisper")
        return dict(whisper.queues) if isinstance(whisper, WhisperSet) else {}

    def fill(self, text: str) -> str:
        """`text` with the placeholders filled in."""
        return text.replace("{brand}", self.brand).replace("{hotline}", self.hotline)

    def _spoken(self, key: str, text: str, voice: str, phrases: PhraseSet | WhisperSet) -> Sound:
        filled = self.fill(text)
        characters = sum(c.isalnum() for c in filled)
        # Allow for one more character, since a single 「喂？」 is drawn out.
        longest_ms = (characters + 1) * self.s_per_character.longest * 1000
        if isinstance(phrases, WhisperSet):
            longest_ms = min(longest_ms, phrases.longest_ms)
        return Sound(
            key=key,
            rates=phrases.rates,
            level_dbov=self.level_dbov,
            text=filled,
            voice=self.voices[voice],
            shortest_ms=characters * self.s_per_character.shortest * 1000,
            longest_ms=longest_ms,
        )

    def contradictions(self) -> list[tuple[tuple, str]]:
        """(location, message) for each voice that is not in `voices`, and each unknown placeholder."""
        found: list[tuple[tuple, str]] = []
        for language, sets in self.languages.items():
            for name, phrases in sets.items():
                at = ("languages", language, name)
                if phrases.voice not in self.voices:
                    found.append(((*at, "voice"), f"unknown voice {phrases.voice!r}"))
                for prompt_id, prompt in getattr(phrases, "prompts", {}).items():
                    if prompt is None:
                        continue
                    if prompt.voice and prompt.voice not in self.voices:
                        found.append(((*at, "prompts", prompt_id), f"unknown voice {prompt.voice!r}"))
                    if "{" in self.fill(prompt.text):
                        message = "unknown placeholder; only {brand} and {hotline} can be used"
                        found.append(((*at, "prompts", prompt_id), message))
        return found


class _Problems(Exception):
    """Problems with their locations, found before pydantic's validation."""

    def __init__(self, problems: list[tuple[tuple, str]]):
        super().__init__(str(problems))
        self.problems = problems


def load_manifest(root: Path | str) -> Manifest:
    """Read `manifest.yaml` in the sounds folder `root`. Raises ManifestError."""
    path = Path(root) / MANIFEST_NAME
    try:
        text = read_text(path).partition(MARKER)[0]
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ManifestError(f"{path}:1: not UTF-8 text. Save the file as UTF-8") from None
    try:
        located = load_located(text)
    except YamlError as error:
        lines = [f"{path}:{line}: {problem}. {remedy}" for line, problem, remedy in error.problems]
        raise ManifestError("\n".join(lines)) from None
    if not isinstance(located.value, dict):
        raise ManifestError(f"{path}:1: must be a mapping with brand, voices, languages …")
    try:
        manifest = Manifest.model_validate(located.value)
        problems = manifest.contradictions()
    except _Problems as error:
        problems = error.problems
    except ValidationError as error:
        problems = [(e["loc"], e["msg"]) for e in error.errors()]
    if problems:
        raise ManifestError("\n".join(_one_line(path, located, *problem) for problem in problems))
    return manifest


def _one_line(path: Path, located: Located, location: tuple, message: str) -> str:
    name = ".".join(str(part) for part in location)
    return f"{path}:{located.line(location)}: {name}: {message}"
