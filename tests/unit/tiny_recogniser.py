"""A streaming transducer for sherpa-onnx that fits into a few kilobytes. It knows one thing: whoever makes a sound says
`SAYS`, again and again. So the engine, its way of loading a model and its results are the real ones, and what is
"recognised" is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SAYS = "我不支道"  # 知 mistaken for a character that sounds alike
_TOKENS = ["<blk>", *SAYS, "<unk>"]
_LOUD = -9.0  # mean log mel energy: louder is a sound


def tiny_model(folder: Path) -> Path:
    """Write it into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokens.txt").write_text("".join(f"{t} {i}\n" for i, t in enumerate(_TOKENS)), "utf-8")
    size = len(_TOKENS)

    # Encoder: one frame out of nine in, with how quiet it was in favour of the blank.
    blank = np.zeros((1, 1, size), np.float32)
    blank[..., 0] = -10.0
    _save(
        folder / "encoder.onnx",
        [
            helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1, 2], keepdims=1),
            helper.make_node("Sub", ["mean", "loud"], ["over"]),
            helper.make_node("Mul", ["over", "blank"], ["encoder_out"]),
            helper.make_node("Identity", ["h"], ["next_h"]),
            helper.make_node("Identity", ["c"], ["next_c"]),
        ],
        {"x": ("N", 9, 80), "h": (1, "N", 1), "c": (1, "N", 1)},
        {"encoder_out": ("N", 1, size), "next_h": (1, "N", 1), "next_c": (1, "N", 1)},
        {"loud": np.array(_LOUD, np.float32), "blank": blank},
        {"model_type": "lstm", "num_encoder_layers": 1, "T": 9, "decode_chunk_len": 4, "rnn_hidden_size": 1,
         "d_model": 1},
    )  # fmt: skip

    # Decoder: after each character the next one, after the last one the first.
    follows = np.zeros((size, size), np.float32)
    for token in range(size):
        follows[token, token + 1 if token < len(SAYS) else 1] = 5.0
    _save(
        folder / "decoder.onnx",
        [
            helper.make_node("Max", ["y", "zero"], ["known"]),
            helper.make_node("Gather", ["follows", "known"], ["rows"]),
            helper.make_node("Squeeze", ["rows", "one"], ["decoder_out"]),
        ],
        {"y": ("N", 1)},
        {"decoder_out": ("N", size)},
        {"zero": np.array(0, np.int64), "follows": follows, "one": np.array([1], np.int64)},
        {"context_size": 1, "vocab_size": size},
        integers={"y"},
    )
    _save(
        folder / "joiner.onnx",
        [helper.make_node("Add", ["encoder_out", "decoder_out"], ["logit"])],
        {"encoder_out": ("N", size), "decoder_out": ("N", size)},
        {"logit": ("N", size)},
        {},
        {"joiner_dim": size},
    )
    return folder


def _save(file, nodes, inputs, outputs, constants, about, integers=frozenset()) -> None:
    def value(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.INT64 if name in integers else TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        nodes,
        file.stem,
        [value(*item) for item in inputs.items()],
        [value(*item) for item in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, {name: str(value) for name, value in about.items()})
    onnx.checker.check_model(model)
    onnx.save(model, file)
