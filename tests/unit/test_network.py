"""Our version of the network computes the same as the published one."""

from pathlib import Path

import numpy as np
import pytest

from audio_corpus import CLIPS
from hearline.audio.vad.network import CONTEXT_SAMPLES, STATE_SHAPE, WINDOW_SAMPLES, SpeechNetwork
from hearline.audio.wav import read_wav

MODEL = Path(__file__).parent / "models" / "silero_vad.onnx"


@pytest.fixture(scope="module")
def published():
    import onnxruntime  # after hearline, which forbids it to report

    session = onnxruntime.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])

    def run(windows, states):
        state = np.ascontiguousarray(states.transpose(1, 0, 2))
        p, state = session.run(None, {"input": windows, "state": state, "sr": np.array(8000, np.int64)})
        return p[:, 0], state.transpose(1, 0, 2)

    return run


def windows_of(clips: list[np.ndarray]) -> np.ndarray:
    """float32 [windows, clips, 288]."""
    count = min(clip.size for clip in clips) // WINDOW_SAMPLES
    rows = [np.concatenate([np.zeros(CONTEXT_SAMPLES), clip / 32768]).astype(np.float32) for clip in clips]
    size = CONTEXT_SAMPLES + WINDOW_SAMPLES
    return np.stack([[row[k * WINDOW_SAMPLES :][:size] for row in rows] for k in range(count)])


def test_it_says_what_the_published_network_says(published):
    rng = np.random.default_rng(0)
    clips = [read_wav(path) for path in CLIPS] + [rng.normal(0, 2000, 4 * 8000), np.zeros(4 * 8000)]
    network = SpeechNetwork()
    ours = theirs = np.zeros((len(clips), *STATE_SHAPE), np.float32)
    spoken = 0
    for windows in windows_of(clips):
        p, ours, _ = network.run(windows, ours)
        expected, theirs = published(windows, theirs)
        np.testing.assert_allclose(p, expected, atol=1e-4)
        spoken += int((expected > 0.9).sum())
    assert spoken > 100


def test_a_call_is_heard_alike_alone_and_among_others():
    rng = np.random.default_rng(1)
    windows = rng.normal(0, 0.1, (50, CONTEXT_SAMPLES + WINDOW_SAMPLES)).astype(np.float32)
    states = rng.normal(0, 0.3, (50, *STATE_SHAPE)).astype(np.float32)
    network = SpeechNetwork()
    together, states_after, _ = network.run(windows, states)
    for call in (0, 7, 49):
        alone, state_after, _ = network.run(windows[[call]], states[[call]])
        np.testing.assert_allclose(alone, together[[call]], atol=1e-5)
        np.testing.assert_allclose(state_after, states_after[[call]], atol=1e-5)
