"""Builds the clips from the sounds. The same seed gives the same clips, whatever else is built with them."""

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hearline.audio.hearing import Verdict
from hearline.audio.level.p56 import active_speech_level, rms_dbov
from hearline.audio.settings import FRAME_MS, FRAME_SAMPLES
from hearline.audio.wav import read_wav

from . import mixing, rooms, synthetic
from .clips import Clip, Spoken
from .labels import onset_and_end_ms, spoken_by_ms, talking
from .mixing import FLAT, RATE, TELEPHONE
from .recordings import Sound
from .sources import Split

PROMPTS = Path(__file__).parents[2] / "sounds" / "zh" / "lanzhi"

LEVELS_DBOV = (-20, -26, -32, -38, -44)
SNRS_DB = (None, 20, 10, 5)
NOISES = ("white", "pink", "street", "real", "babble")
ECHO_LOSSES_DB = (20, 25, 30, 35, 40)
BACKGROUND_DBOV = -41.0  # 15 dB under a caller's normal −26
VERDICT_MS = 3000
_AUDIBLE_DBOV = -60.0  # level of the loudest 200 ms; softer sounds are as soft as line noise
_LEVEL_AFTER_MS = (1000, 3000)

# How many of each: enough to measure a share to half of its bar.
_COUNTS = {
    "speech": 80,  # of one level and SNR
    "soft": 240, "answered": 300, "no_signal": 256, "tone": 240, "noise": 300, "real_noise": 200, "music": 200,
    "babble": 400, "other_babble": 160, "transient": 160, "background": 400, "echo": 480, "barge_in": 240,
    "key": 1024,
    "handset": 600, "far_talker": 400,
}  # fmt: skip
_DISTANCES = ("handset", "far_talker")


@dataclass(frozen=True)
class Material:
    """The sounds of one split, and the prompts that are played."""

    split: Split
    speakers: list[Sound]
    noises: list[Sound]
    music: list[Sound]
    transients: list[Sound]
    prompts: dict[str, np.ndarray]
    """int16 at 8 kHz."""

    @classmethod
    def of(cls, sounds: list[Sound], split: Split) -> "Material":
        def kind(name: str) -> list[Sound]:
            return [s for s in sounds if s.split == split and s.kind == name]

        prompts = {file.stem: read_wav(file) for file in sorted(PROMPTS.glob("*.wav"))}
        return cls(split, kind("speech"), kind("noise"), kind("music"), kind("transient"), prompts)


def build(
    material: Material, seed: int = 1, scale: float = 1.0, of_each: Mapping[str, float] | None = None
) -> list[Clip]:
    """All clips of one split. `scale` multiplies the number of all kinds, `of_each` that of the kinds it names; 0 makes
    none."""
    n = {name: count * (of_each or {}).get(name, 1) for name, count in _COUNTS.items()}

    def many(name: str, make: Callable[..., Clip], count: float, *args: object) -> Iterator[Clip]:
        return _many(material.split, seed, scale, name, make, count, *args)

    clips: list[Clip] = []
    for level in LEVELS_DBOV:
        for snr in SNRS_DB:
            clips += many(f"speech {level} {snr}", _speech, n["speech"], material, level, snr)
    clips += many("soft", _speech, n["soft"], material, -50, None)
    clips += many("answered", _answered, n["answered"], material)
    clips += many("no_signal", _no_signal, n["no_signal"], material.split)
    clips += many("tone", _tone, n["tone"], material.split)
    clips += many("noise", _made_noise, n["noise"], material)
    clips += many("real_noise", _real_noise, n["real_noise"], material)
    clips += many("music", _music, n["music"], material)
    clips += many("babble", _babble_clip, n["babble"], material, (-45,))
    clips += many("other_babble", _babble_clip, n["other_babble"], material, (-50, -40, -35, -30))
    clips += many("transient", _transient, n["transient"], material)
    clips += many("background", _background, n["background"], material)
    clips += many("echo", _echo, n["echo"], material, False)
    clips += many("barge_in", _echo, n["barge_in"], material, True)
    clips += many("key", _keys, n["key"], material.split)
    for kind in _DISTANCES:
        clips += many(kind, _at_a_distance, n[kind], material, kind)
    return clips


def build_distances(material: Material, seed: int = 1, scale: float = 1.0) -> list[Clip]:
    """Only the clips of callers with the telephone at the mouth, and of callers across the room."""
    return build(material, seed, scale, {name: name in _DISTANCES for name in _COUNTS})


def _many(
    split: Split, seed: int, scale: float, name: str, make: Callable[..., Clip], count: float, *args: object
) -> Iterator[Clip]:
    for i in range(max(count > 0, round(count * scale))):
        yield make(np.random.default_rng([seed, zlib.crc32(f"{split} {name}".encode()), i]), i, *args)


# ── sounds of some length ──


def talk(rng: np.random.Generator, speaker: Sound, samples: int) -> np.ndarray:
    """Utterances of `speaker` at about the same level, with pauses between them, float [samples]."""
    parts: list[np.ndarray] = []
    length = 0
    while length < samples:
        piece = speaker.pieces[rng.integers(len(speaker.pieces))]
        # A speaker raises and lowers the voice by a dB or two between utterances.
        piece = piece * 10 ** (rng.normal(0, 1.5) / 20)
        pause = np.zeros(round(RATE * np.clip(rng.lognormal(np.log(0.22), 0.6), 0.08, 0.9)))
        parts += [piece, pause]
        length += piece.size + pause.size
    whole = np.concatenate(parts)[:samples]
    whole[-80:] *= np.linspace(1, 0, 80)
    return whole


def stretch(rng: np.random.Generator, sound: Sound, samples: int) -> np.ndarray:
    """`samples` of a noise or of music, from anywhere in it; short recordings are repeated."""
    piece = sound.pieces[rng.integers(len(sound.pieces))]
    if piece.size >= samples:
        start = rng.integers(piece.size - samples + 1)
        return piece[start : start + samples].astype(float)
    edge = min(200, piece.size // 4)  # 25 ms, so that the seam does not click
    x, start = np.zeros(samples + piece.size), -int(rng.integers(piece.size))
    ramp = np.minimum(1, np.minimum(np.arange(piece.size) + 1, np.arange(piece.size)[::-1] + 1) / edge)
    while start < samples:
        skipped = max(0, -start)
        x[start + skipped : start + piece.size] += (piece * ramp)[skipped:]
        start += piece.size - edge
    return x[:samples]


def babble(rng: np.random.Generator, speakers: list[Sound], samples: int, talkers: int = 8) -> np.ndarray:
    """`talkers` different people talking at the same level, each from a random place in their recordings."""
    chosen = rng.choice(len(speakers), min(talkers, len(speakers)), replace=False)
    skip = RATE
    return sum(talk(rng, speakers[i], samples + skip)[skip:] for i in chosen)


def _noise(rng: np.random.Generator, material: Material, name: str, samples: int) -> tuple[str, np.ndarray]:
    """A background by its name in NOISES: (what it is in detail, float [samples] of any level)."""
    if name == "real":
        sound = material.noises[rng.integers(len(material.noises))]
        return sound.subkind, stretch(rng, sound, samples)
    if name == "babble":
        return name, babble(rng, material.speakers, samples)
    if name == "street":
        return name, synthetic.street(rng, samples)
    return name, synthetic.coloured(rng, samples, {"white": 0.0, "pink": 0.5}[name])


def _floor(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Line noise: −66 to −60 dBov."""
    return mixing.at_rms(synthetic.coloured(rng, samples, rng.uniform(0, 0.3)), rng.uniform(-66, -60))


def _band(rng: np.random.Generator) -> mixing.Band:
    return TELEPHONE if rng.random() < 0.8 else FLAT


def _law(i: int) -> str:
    return ("alaw", "mulaw")[i % 2]


def _whole_frames(seconds: float) -> int:
    """Samples of about `seconds`."""
    return round(seconds * 1000 / FRAME_MS) * FRAME_SAMPLES


# ── clips with speech ──


def _speech(rng: np.random.Generator, i: int, material: Material, level: int, snr: int | None) -> Clip:
    """A caller who begins to speak 1.0 to 2.5 s after the answer."""
    speaker = _turn(material.speakers, i, level, snr)
    said = talk(rng, speaker, _whole_frames(rng.uniform(2, 6)))
    clean = np.concatenate([np.zeros(_whole_frames(rng.uniform(1.0, 2.5))), said, np.zeros(_whole_frames(1.0))])
    return _call(rng, i, material, speaker, clean, level, snr, kind="speech")


def _answered(rng: np.random.Generator, i: int, material: Material) -> Clip:
    """A caller who is in the middle of a word when the call is answered."""
    level, snr = LEVELS_DBOV[i % 4], SNRS_DB[i // 4 % 3]
    speaker = _turn(material.speakers, i // 12, level, snr)
    said = talk(rng, speaker, _whole_frames(rng.uniform(3, 6)))
    loud = np.flatnonzero(talking(said, active_speech_level(said, RATE).active_dbov, hangover_frames=0))
    said = said[loud[loud < loud[0] + 60][rng.integers(np.sum(loud < loud[0] + 60))] * 80 :]
    clean = np.concatenate([said[: said.size // FRAME_SAMPLES * FRAME_SAMPLES], np.zeros(_whole_frames(1.0))])
    return _call(rng, i, material, speaker, clean, level, snr, kind="answered")


def _at_a_distance(rng: np.random.Generator, i: int, material: Material, kind: str) -> Clip:
    """Some 5 s of speech, close to the telephone or far from it. Every other close clip is the unchanged recording,
    with the room in which it was made."""
    far = kind == "far_talker"
    snr = (None, 30, 20, 10)[i % 4]
    level = int(rng.integers(-44, -24) if far else rng.integers(-48, -18))  # telephones raise distant voices
    speaker = _turn(material.speakers, i // 4, level=-26, snr=snr)
    silence = np.zeros(_whole_frames(1.0))
    clean = np.concatenate([silence, talk(rng, speaker, _whole_frames(6.5)), silence])
    if far or i // 4 % 2:
        clean = rooms.through_the_air(rng, clean, far, material.split)
    clip = _call(rng, i // 8, material, speaker, clean, level, snr, kind)
    return replace(clip, verdict=None, verdict_ms=None)  # the verdict on the level has rows of its own


def _turn(speakers: list[Sound], i: int, level: int, snr: int | None) -> Sound:
    """The speakers in turn, so that each is heard equally often, in a different order for each condition."""
    order = np.random.default_rng([abs(level), snr or 0, 7]).permutation(len(speakers))
    return speakers[order[i % len(speakers)]]


def _call(
    rng: np.random.Generator,
    i: int,
    material: Material,
    speaker: Sound,
    clean: np.ndarray,
    level: int,
    snr: int | None,
    kind: str,
) -> Clip:
    """`clean` speech as it arrives, at `level` and `snr`."""
    band = _band(rng)
    clean = mixing.at_active_level(mixing.band_limited(clean, band), level)
    name, x = "floor", clean + _floor(rng, clean.size)
    if snr is not None:
        name, noise = _noise(rng, material, NOISES[rng.integers(len(NOISES))], clean.size)
        x = x + mixing.at_rms(mixing.band_limited(noise, band), level - snr)

    frames = clean.size // FRAME_SAMPLES
    present, suppression = np.ones(frames, bool), "none"
    if snr in (None, 20):
        suppression = rng.choice(("none", "dropped", "comfort_noise"), p=(0.7, 0.18, 0.12))
    if suppression != "none":
        sent = mixing.not_suppressed(clean, level)
        if suppression == "dropped":
            present = sent
        else:
            comfort = mixing.at_rms(rng.standard_normal(clean.size), rng.uniform(-70, -60))
            x = np.where(np.repeat(sent, FRAME_SAMPLES), x, comfort)
    loss = rng.choice((0.0, 0.01, 0.03), p=(0.6, 0.2, 0.2))
    present = present & mixing.not_lost(rng, frames, loss)

    onset, end = onset_and_end_ms(clean, level)
    spoken = {}
    for ms in _LEVEL_AFTER_MS:
        at = spoken_by_ms(clean, level, ms)
        if at is not None:
            # The last word's hangover belongs to the speech, as everywhere in P.56.
            so_far = np.concatenate([clean[: at * RATE // 1000], np.zeros(RATE // 5)])
            spoken[ms] = Spoken(at, active_speech_level(so_far, RATE).active_dbov)
    return _clip(
        x, _law(i), present,
        kind=kind, subkind=speaker.subkind, split=material.split, speaker=speaker.name, language=speaker.subkind,
        level_dbov=active_speech_level(clean, RATE).active_dbov, nominal_dbov=level, snr_db=snr, noise=name,
        loss=float(loss), suppression=str(suppression), onset_ms=onset, end_ms=end, spoken=spoken,
        verdict=_speech_verdict(level), verdict_ms=min(onset + 2500, end),
    )  # fmt: skip


def _speech_verdict(level: int) -> Verdict | None:
    """The right verdict for this level; None at −38 dBov, the border, where either is right."""
    return "speech" if level >= -32 else "too_soft" if level <= -44 else None


# ── clips without speech ──


def _no_signal(rng: np.random.Generator, i: int, split: Split) -> Clip:
    kinds = ("no_rtp", "zeros", "idle", "comfort_noise", "comfort_noise", "hum-50", "hum-60", "sparse")
    subkind, samples = kinds[i % len(kinds)], _whole_frames(5)
    present, level, law = np.ones(samples // FRAME_SAMPLES, bool), None, _law(i // len(kinds))
    x = np.zeros(samples)
    if subkind == "no_rtp":
        present[:] = False
    elif subkind == "idle":
        x[:] = 8 / 32768  # A-law's code for silence, decoded
    elif subkind == "comfort_noise":
        level = rng.uniform(-70, -50)
        x = mixing.at_rms(synthetic.coloured(rng, samples, rng.uniform(0, 0.3)), level)
    elif subkind.startswith("hum"):
        level = rng.uniform(-58, -38)
        x = mixing.at_rms(synthetic.hum(samples, float(subkind[4:]), rng), level) + _floor(rng, samples)
    elif subkind == "sparse":  # silence suppression: a frame of comfort noise now and then
        level = rng.uniform(-70, -62)
        x = mixing.at_rms(rng.standard_normal(samples), level)
        present = rng.random(present.size) < 0.05
    return _clip(
        x, law, present, kind="no_signal", subkind=subkind, split=split, level_dbov=level,
        verdict="no_signal", verdict_ms=VERDICT_MS,
    )  # fmt: skip


def _tone(rng: np.random.Generator, i: int, split: Split) -> Clip:
    names = list(synthetic.CADENCES)
    subkind, level = names[i % len(names)], rng.uniform(-35, -10)
    x = synthetic.tones(_whole_frames(5), synthetic.CADENCES[subkind])
    x = x / np.sqrt(np.mean(np.square(x[x != 0]))) * 10 ** (level / 20)  # the level while it sounds
    return _other(rng, i // len(names), x, "tone", subkind, split, level)


def _keys(rng: np.random.Generator, i: int, split: Split) -> Clip:
    """One of the 16 keys, or several in a row, each of 50 ms to 1 s."""
    first, level = list(synthetic.KEYS)[i % 16], (-6, -10, -14, -20)[i // 16 % 4]
    on, off = rng.choice((0.05, 0.08, 0.1, 0.15, 0.25, 0.5, 1.0)), rng.choice((0.05, 0.1, 0.3))
    pressed = [first, *rng.choice(list(synthetic.KEYS), rng.integers(1, 9) if i // 64 % 2 else 0)]
    x, at = np.zeros(_whole_frames(6)), round(rng.uniform(0.3, 1.8) * RATE)
    for one in pressed:
        sound = synthetic.key(rng, one, on)
        sound = mixing.at_rms(sound, level)[: max(0, x.size - at)]
        x[at : at + sound.size] += sound
        at += round((on + off) * RATE)
    return _clip(
        x + _floor(rng, x.size), _law(i // 64), np.ones(x.size // FRAME_SAMPLES, bool),
        kind="key", subkind=first, split=split, level_dbov=float(level),
    )  # fmt: skip


def _made_noise(rng: np.random.Generator, i: int, material: Material) -> Clip:
    name, level = ("white", "pink", "street")[i % 3], rng.uniform(-45, -25)
    _, x = _noise(rng, material, name, _whole_frames(5))
    return _other(rng, i // 3, mixing.band_limited(x, _band(rng)), "noise", name, material.split, level)


def _real_noise(rng: np.random.Generator, i: int, material: Material) -> Clip:
    sound = material.noises[i % len(material.noises)]
    x = mixing.band_limited(stretch(rng, sound, _whole_frames(5)), _band(rng))
    kind = "babble" if sound.subkind == "crowd" else "noise"  # a recorded crowd is babble, too
    return _other(rng, i, x, kind, sound.subkind, material.split, rng.uniform(-45, -25), sound.name)


def _music(rng: np.random.Generator, i: int, material: Material) -> Clip:
    sound = material.music[i % len(material.music)]
    x = mixing.band_limited(stretch(rng, sound, _whole_frames(5)), _band(rng))
    return _other(rng, i, x, "music", sound.name, material.split, rng.uniform(-40, -20))


def _babble_clip(rng: np.random.Generator, i: int, material: Material, levels: tuple[int, ...]) -> Clip:
    x = mixing.band_limited(babble(rng, material.speakers, _whole_frames(5)), TELEPHONE)
    level = levels[i % len(levels)]
    return _other(rng, i, x, "babble", str(level), material.split, level)


def _other(
    rng: np.random.Generator, i: int, x: np.ndarray, kind: str, subkind: str, split: Split, level: float,
    speaker: str | None = None,
) -> Clip:  # fmt: skip
    """A sound that does not come from a caller, over line noise. Tones keep their level while they sound."""
    loud = x if kind == "tone" else mixing.at_rms(x, level)
    # Music may begin with silence: then there is no verdict yet.
    by_then = loud[: VERDICT_MS * RATE // 1000].reshape(-1, RATE // 5)
    audible = rms_dbov(by_then[np.argmax(np.square(by_then).sum(axis=1))]) >= _AUDIBLE_DBOV
    loss = float(rng.choice((0.0, 0.01, 0.03), p=(0.8, 0.1, 0.1)))
    return _clip(
        loud + _floor(rng, x.size), _law(i), mixing.not_lost(rng, x.size // FRAME_SAMPLES, loss),
        kind=kind, subkind=subkind, split=split, level_dbov=level, loss=loss, noise=speaker or subkind,
        verdict="noise" if audible else None, verdict_ms=VERDICT_MS,
    )  # fmt: skip


def _transient(rng: np.random.Generator, i: int, material: Material) -> Clip:
    """Short sounds over line noise. There is no right verdict, since both noise and silence would be acceptable."""
    samples, level = _whole_frames(5), rng.uniform(-35, -15)
    made = {"clicks": synthetic.clicks, "breath": synthetic.breath, "knock": synthetic.knock}
    choice = i % (len(made) + len(material.transients))
    if choice < len(made):
        name = subkind = list(made)[choice]
        x = made[name](rng, samples)
    else:
        sound = material.transients[choice - len(made)]
        name, subkind = sound.name, sound.subkind
        x = np.zeros(samples)
        for _ in range(rng.integers(1, 4)):
            piece = sound.pieces[rng.integers(len(sound.pieces))][: samples // 2]
            at = rng.integers(samples // 10, samples - piece.size)
            x[at : at + piece.size] += piece
    x = mixing.band_limited(x, _band(rng))
    loudest = max(np.sqrt(np.mean(np.square(x.reshape(-1, FRAME_SAMPLES)), axis=1)).max(), 1e-9)
    return _clip(
        x / loudest * 10 ** (level / 20) + _floor(rng, samples), _law(i), np.ones(samples // FRAME_SAMPLES, bool),
        kind="transient", subkind=subkind, split=material.split, level_dbov=level, noise=name,
    )  # fmt: skip


def _background(rng: np.random.Generator, i: int, material: Material) -> Clip:
    """One talker in the room, or a television: talk and music. The caller says nothing."""
    subkind, samples = ("talker", "television")[i % 2], _whole_frames(6)
    speaker = _turn(material.speakers, i // 2, -41, None)
    x = talk(rng, speaker, samples)
    if subkind == "television":
        music = stretch(rng, material.music[rng.integers(len(material.music))], samples)
        x = x + mixing.at_rms(music, -26 - rng.uniform(3, 15))
    x = mixing.convolved(x, mixing.room(rng, rng.uniform(0.4, 0.7), rng.uniform(-6, 3)))
    x = mixing.at_active_level(mixing.band_limited(x, TELEPHONE), BACKGROUND_DBOV)
    return _clip(
        x + _floor(rng, samples), _law(i // 2), np.ones(samples // FRAME_SAMPLES, bool),
        kind="background", subkind=subkind, split=material.split, speaker=speaker.name, language=speaker.subkind,
        level_dbov=active_speech_level(x, RATE).active_dbov, verdict_ms=VERDICT_MS,
    )  # fmt: skip


# ── our own prompt, coming back ──


def _echo(rng: np.random.Generator, i: int, material: Material, barge_in: bool) -> Clip:
    """A prompt that plays soon after the answer, and its echo; the caller is silent, or speaks over it."""
    names = list(material.prompts)
    name, loss_db = names[i % len(names)], ECHO_LOSSES_DB[i // len(names) % len(ECHO_LOSSES_DB)]
    law = _law(i // len(names) // len(ECHO_LOSSES_DB))
    prompt, delay_ms = material.prompts[name], rng.uniform(20, 250)
    start = _whole_frames(rng.uniform(0.06, 0.6))
    samples = start + -(-prompt.size // FRAME_SAMPLES) * FRAME_SAMPLES + _whole_frames(1.5 if barge_in else 0.8)
    played = np.zeros(samples, np.int16)
    played[start : start + prompt.size] = prompt
    back = mixing.echo(rng, mixing.coded(played / 32768, law) / 32768, loss_db, delay_ms)
    x = back + _floor(rng, samples)
    labels: dict[str, object] = {"noise": name}
    if barge_in:
        speaker = _turn(material.speakers, i, -26, None)
        level = int(rng.choice((-20, -26, -32)))
        begin = start + _whole_frames(rng.uniform(0.6, prompt.size / RATE - 1.0))
        said = talk(rng, speaker, min(samples - begin - FRAME_SAMPLES, _whole_frames(3)))
        clean = np.zeros(samples)
        clean[begin : begin + said.size] = said
        clean = mixing.at_active_level(mixing.band_limited(clean, _band(rng)), level)
        onset, end = onset_and_end_ms(clean, level)
        x = x + clean
        labels |= {
            "speaker": speaker.name, "language": speaker.subkind, "level_dbov": float(level), "nominal_dbov": level,
            "onset_ms": onset,
            "end_ms": end,
        }  # fmt: skip
    tail_ms = round(delay_ms) + 100
    return _clip(
        x, law, np.ones(samples // FRAME_SAMPLES, bool), far=mixing.framed(played),
        kind="barge_in" if barge_in else "echo", subkind=name, split=material.split, echo_loss_db=loss_db,
        prompt_ms=(start * 1000 // RATE, (start + prompt.size) * 1000 // RATE + tail_ms), **labels,
    )  # fmt: skip


def _clip(x: np.ndarray, law: str, present: np.ndarray, **labels: object) -> Clip:
    """`x` coded and cut into frames; frames that did not come are zeros."""
    frames = mixing.framed(mixing.coded(x, law)).copy()
    frames[~present] = 0
    return Clip(frames=frames, present=present, law=law, **labels)
