"""Streaming models for sherpa-onnx of a few kilobytes, one of each kind. So the engine, its loading of models and its
results are the real ones, and the "recognised" text is known: `tiny_model` recognises any sound as `SAYS`, over and
over; the others recognise characters of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SAYS = "我不支道"  # 知 mistaken for a character that sounds alike
_TOKENS = ["<blk>", *SAYS, "<unk>"]
_LOUD = -9.0  # mean log mel energy above which there is a sound


def tiny_model(folder: Path) -> Path:
    """Write the model into ``folder``."""
    size = _tokens(folder, _TOKENS)

    # Encoder: one frame out of nine in, with how quiet it was in favour of the blank.
    blank = np.zeros((1, 1, size), np.float32)
    blank[..., 0] = -10.0
    _save(
        folder / "encoder.onnx",
        [
            _node("ReduceMean", ["x"], "mean", axes=[1, 2]),
            _node("Sub", ["mean", "loud"], "over"),
            _node("Mul", ["over", "blank"], "encoder_out"),
            _node("Identity", ["h"], "next_h"),
            _node("Identity", ["c"], "next_c"),
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
            _node("Max", ["y", "zero"], "known"),
            _node("Gather", ["follows", "known"], "rows"),
            _node("Squeeze", ["rows", "one"], "decoder_out"),
        ],
        {"y": ("N", 1)},
        {"decoder_out": ("N", size)},
        {"zero": np.array(0, np.int64), "follows": follows, "one": np.array([1], np.int64)},
        {"context_size": 1, "vocab_size": size},
        types={"y": TensorProto.INT64},
    )
    _save(
        folder / "joiner.onnx",
        [_node("Add", ["encoder_out", "decoder_out"], "logit")],
        {"encoder_out": ("N", size), "decoder_out": ("N", size)},
        {"logit": ("N", size)},
        {},
        {"joiner_dim": size},
    )
    return folder


def tiny_ctc(folder: Path) -> Path:
    """A zipformer2 with CTC: its only layer counts the pieces of sound, and outputs a character for every other one."""
    size = _tokens(folder, _TOKENS)
    states = {
        "cached_key_0": (1, "N", 1), "cached_nonlin_attn_0": (1, "N", 1, 3), "cached_val1_0": (1, "N", 1),
        "cached_val2_0": (1, "N", 1), "cached_conv1_0": ("N", 4, 1), "cached_conv2_0": ("N", 4, 1),
        "embed_states": ("N", 128, 3, 19), "processed_lens": ("N",),
    }  # fmt: skip
    turns = np.eye(size, dtype=np.float32)[[1, 0, 2, 0, 3, 0, 4, 0]]
    _save(
        folder / "ctc.onnx",
        [
            *(_node("Identity", [name], f"new_{name}") for name in states if name != "processed_lens"),
            _node("Add", ["processed_lens", "one"], "new_processed_lens"),
            _node("Mod", ["processed_lens", "eight"], "turn"),
            _node("Gather", ["turns", "turn"], "token"),
            _node("Unsqueeze", ["token", "axis"], "token of the piece"),
            _node("ReduceMean", ["x"], "mean", axes=[1, 2]),
            _node("Mul", ["mean", "nothing"], "no"),
            _node("Add", ["token of the piece", "no"], "log_probs"),
        ],
        {"x": ("N", 8, 80)} | states,
        {"log_probs": ("N", 1, size)} | {f"new_{name}": shape for name, shape in states.items()},
        {"one": np.array([1]), "eight": np.array([8]), "axis": np.array([1]), "turns": turns,
         "nothing": np.array(0, np.float32)},
        {"model_type": "zipformer2", "encoder_dims": 4, "query_head_dims": 1, "value_head_dims": 1, "num_heads": 1,
         "num_encoder_layers": 1, "cnn_module_kernels": 3, "left_context_len": 1, "T": 8, "decode_chunk_len": 8},
        {"processed_lens": TensorProto.INT64, "new_processed_lens": TensorProto.INT64},
    )  # fmt: skip
    return folder


def tiny_paraformer(folder: Path) -> Path:
    """A Paraformer that takes every third frame for the same character."""
    size = _tokens(folder, ["<blank>", "<s>", "</s>", *SAYS, "<unk>"])
    always = np.zeros((1, 1, size), np.float32)
    always[..., 4] = 1.0
    nothing, lengths = np.array(0, np.float32), TensorProto.INT32
    _save(
        folder / "encoder.onnx",
        [
            _node("ReduceMean", ["speech"], "mean", axes=[2]),
            _node("Mul", ["mean", "ones"], "enc"),
            _node("Identity", ["speech_lengths"], "enc_len"),
            _node("Squeeze", ["mean", "last"], "flat"),
            _node("Mul", ["flat", "nothing"], "no"),
            _node("Add", ["no", "third"], "alphas"),
        ],
        {"speech": ("N", "T", 560), "speech_lengths": ("N",)},
        {"enc": ("N", "T", 4), "enc_len": ("N",), "alphas": ("N", "T")},
        {"ones": np.ones((1, 1, 4), np.float32), "last": np.array([2]), "nothing": nothing,
         "third": np.array(0.34, np.float32)},
        {"model_type": "paraformer", "vocab_size": size, "lfr_window_size": 7, "lfr_window_shift": 6,
         "encoder_output_size": 4, "decoder_num_blocks": 1, "decoder_kernel_size": 3,
         "neg_mean": ",".join(["0"] * 560), "inv_stddev": ",".join(["1"] * 560)},
        {"speech_lengths": lengths, "enc_len": lengths},
    )  # fmt: skip
    _save(
        folder / "decoder.onnx",
        [
            _node("ReduceMean", ["acoustic_embeds"], "mean", axes=[2]),
            _node("Mul", ["mean", "nothing"], "no"),
            _node("Add", ["no", "always"], "logits"),
            _node("ArgMax", ["logits"], "sample_ids", axis=2, keepdims=0),
            _node("Identity", ["in_cache_0"], "out_cache_0"),
        ],
        {"enc": ("N", "T", 4), "enc_len": ("N",), "acoustic_embeds": ("N", "L", 4), "acoustic_embeds_len": ("N",),
         "in_cache_0": ("N", 4, 2)},
        {"logits": ("N", "L", size), "sample_ids": ("N", "L"), "out_cache_0": ("N", 4, 2)},
        {"nothing": nothing, "always": always},
        {},
        {"enc_len": lengths, "acoustic_embeds_len": lengths, "sample_ids": TensorProto.INT64},
    )  # fmt: skip
    return folder


def _tokens(folder: Path, tokens: list[str]) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokens.txt").write_text("".join(f"{token} {i}\n" for i, token in enumerate(tokens)), "utf-8")
    return len(tokens)


def _node(what: str, inputs: list[str], output: str, **more: object) -> onnx.NodeProto:
    return helper.make_node(what, inputs, [output], **more)


def _save(file, nodes, inputs, outputs, constants, about, types=None) -> None:
    def value(name, shape):
        return helper.make_tensor_value_info(name, (types or {}).get(name, TensorProto.FLOAT), shape)

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
