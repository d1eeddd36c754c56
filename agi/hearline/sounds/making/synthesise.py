"""Text to speech with Kokoro-82M, in one thread, so that a machine always makes the same bytes."""

import json
from collections.abc import Callable

import numpy as np
import onnxruntime

from hearline.sounds.making.kokoro_parts import kokoro_parts
from hearline.sounds.making.voice_extra import voice_extra
from hearline.sounds.manifest import Voice

RATE = 24_000
"""Sample rate of the output, Hz."""

_STYLES = 510  # a speaker file holds one style of 256 numbers for each length in tokens
_QUIET = 0.01  # of full scale; softer sound at the edges is the network's padding


class Synthesiser:
    """A loaded voice. Loading is costly (2–5 s, 1 GB), so it is done once, and only if something must be spoken."""

    def __init__(self, speakers: set[str], say: Callable[[str], None] = lambda _: None):
        zh, jieba = voice_extra("misaki.zh"), voice_extra("jieba")
        jieba.setLogLevel("ERROR")
        parts = kokoro_parts(speakers, say)
        say("loading the voice")
        onnxruntime.set_seed(0)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # the same bytes each time
        self._session = onnxruntime.InferenceSession(str(parts.model), options, ["CPUExecutionProvider"])
        self._tokens: dict[str, int] = json.loads(parts.vocabulary.read_text("utf-8"))["vocab"]
        self._styles = {name: np.fromfile(path, "<f4").reshape(_STYLES, 256) for name, path in parts.speakers.items()}
        self._phonemes = zh.ZHG2P()

    def speak(self, text: str, voice: Voice) -> np.ndarray:
        """`text` as float32 ±1 [n] at RATE, with 50 ms before and 100 ms after the speech."""
        phonemes = self._phonemes(text)[0]
        ids = [self._tokens[p] for p in phonemes if p in self._tokens]
        if not ids or len(ids) > _STYLES:
            raise ValueError(f"cannot speak {len(ids)} phonemes at once (1…{_STYLES}): {text}")
        samples = self._session.run(
            None,
            {
                "tokens": np.array([[0, *ids, 0]], np.int64),
                "style": self._styles[voice.name][len(ids) - 1][None],
                "speed": np.array([voice.speed], np.float32),
            },
        )[0].ravel()
        loud = np.flatnonzero(np.abs(samples) > _QUIET)
        return samples[max(0, loud[0] - RATE // 20) : loud[-1] + RATE // 10]
