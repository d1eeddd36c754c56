"""Extracts the 8 kHz weights from Silero VAD's ONNX file, in the layout of `hearline.audio.vad.network`.

Run it once for each new version of the network: `pip install onnx`, then

    python tools/silero_weights.py tests/unit/models/silero_vad.onnx agi/hearline/audio/vad/silero_vad.npz
"""

import sys

import numpy as np
import onnx
from onnx import numpy_helper

from hearline.audio.vad.network import CONTEXT_SAMPLES, STATE_SHAPE, WINDOW_SAMPLES, SpeechNetwork

_QUIET_LINE = 10 ** ((-63 + 12) / 20)  # RMS of an analogue line's noise, as raised by the ears
_PREFIX = "If_0_else_branch__Inline_0__"  # the branch for 8 kHz


def main(model: str, weights: str) -> None:
    graph = onnx.load(model).graph
    by_rate = next(node for node in graph.node if node.op_type == "If")
    branch = next(attribute.g for attribute in by_rate.attribute if attribute.name == "else_branch")
    found = {}
    for node in branch.node:
        name = node.output[0].removeprefix(_PREFIX)
        if node.op_type == "Constant" and not name.startswith("/"):
            value = numpy_helper.to_array(node.attribute[0].t)
            if value.dtype == np.float32:
                found[name] = value
    np.savez(weights, **found)
    np.savez(weights, **found, settled_state=after_a_quiet_line())
    print(f"{weights}: {', '.join(f'{name} {value.shape}' for name, value in found.items())}")


def after_a_quiet_line() -> np.ndarray:
    """The state [2, 128] of the network, with the weights just written, after a second of line noise."""
    network = SpeechNetwork()
    states = np.zeros((1, *STATE_SHAPE), np.float32)
    count = WINDOW_SAMPLES * 31 + CONTEXT_SAMPLES
    noise = np.random.default_rng(0).normal(0, _QUIET_LINE, count).astype(np.float32)
    for start in range(0, count - CONTEXT_SAMPLES, WINDOW_SAMPLES):
        _, states, _ = network.run(noise[None, start : start + CONTEXT_SAMPLES + WINDOW_SAMPLES], states)
    return states[0]


if __name__ == "__main__":
    main(*sys.argv[1:])
