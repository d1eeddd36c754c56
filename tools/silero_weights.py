"""Take the 8 kHz weights out of Silero VAD's ONNX file, as `hearline.audio.network` wants them.

Run once for a new version of the network: `pip install onnx`, then

    python tools/silero_weights.py tests/unit/models/silero_vad.onnx agi/hearline/audio/silero_vad.npz
"""

import sys

import numpy as np
import onnx
from onnx import numpy_helper

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
    print(f"{weights}: {', '.join(f'{name} {value.shape}' for name, value in found.items())}")


if __name__ == "__main__":
    main(*sys.argv[1:])
