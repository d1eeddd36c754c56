"""The speech network: Silero VAD v6 (MIT, silero_vad.LICENSE.txt) on onnxruntime, many calls in one run."""

from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime

WINDOW_SAMPLES = 256  # 32 ms at 8 kHz
CONTEXT_SAMPLES = 32  # of the window before, in front of it
STATE_SHAPE = (2, 128)  # per call; onnxruntime wants [2, calls, 128]

_MODEL = Path(__file__).with_name("silero_vad.onnx")
_RATE = np.array(8000, dtype=np.int64)


class SpeechNetwork:
    """How probably is there speech in a window? Holds no call's state: that is the caller's."""

    def __init__(self) -> None:
        self._session = _session()
        self.settled_state = self._listen_to_silence()
        """State [2, 128] after half a second of silence: what a call starts with."""

    def run(self, windows: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities [calls] and new states [calls, 2, 128].

        `windows` float32 [calls, 32 + 256] (±1, context first), `states` float32 [calls, 2, 128].
        """
        state = np.ascontiguousarray(states.transpose(1, 0, 2))
        probability, state = self._session.run(None, {"input": windows, "state": state, "sr": _RATE})
        return probability[:, 0], state.transpose(1, 0, 2)

    def _listen_to_silence(self) -> np.ndarray:
        states = np.zeros((1, *STATE_SHAPE), np.float32)
        silence = np.zeros((1, CONTEXT_SAMPLES + WINDOW_SAMPLES), np.float32)
        for _ in range(15):  # about half a second
            _, states = self.run(silence, states)
        return states[0]


@cache
def _session() -> onnxruntime.InferenceSession:
    """One session a process; a session may be shared by detectors."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # A thread that spins while it waits would take the core from the next tick.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    return onnxruntime.InferenceSession(str(_MODEL), options, providers=["CPUExecutionProvider"])
