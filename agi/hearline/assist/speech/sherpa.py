"""The engine that ships: sherpa-onnx (Apache-2.0) with a streaming model of the user's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

RATE = 8000
PAUSE_S = 0.8
"""A pause that ends an utterance."""
WHERE = "Put a streaming model for sherpa-onnx there (docs/operate.md says which), or unset HEARLINE_RECOGNISER_MODEL"


class ModelFault(Exception):
    """This folder holds no model that can be used; the text says what is wrong and what to do."""


@dataclass(frozen=True)
class Model:
    """What lies in a folder. ``kind``: as `sherpa_onnx.OnlineRecognizer` calls it."""

    kind: str
    files: dict[str, str]


def find_model(folder: Path) -> Model:
    """Tell by the files' names what model it is. Of several precisions the int8 one, which costs the least."""
    if not folder.is_dir():
        raise ModelFault(f"{folder}: no such folder. {WHERE}")
    if not (folder / "tokens.txt").is_file():
        raise ModelFault(f"{folder}: no tokens.txt. {WHERE}")
    files = {"tokens": str(folder / "tokens.txt")}
    onnx = sorted(folder.glob("*.onnx"), key=lambda file: ("int8" not in file.name, file.name))
    for part in ("encoder", "decoder", "joiner"):
        if found := next((file for file in onnx if part in file.name), None):
            files[part] = str(found)
    if "encoder" in files and "decoder" in files:
        return Model("transducer" if "joiner" in files else "paraformer", files)
    if ctc := next((file for file in onnx if "ctc" in file.name), None):
        return Model("zipformer2_ctc", {"tokens": files["tokens"], "model": str(ctc)})
    names = ", ".join(file.name for file in onnx) or "no .onnx file at all"
    wanted = "encoder*.onnx, decoder*.onnx and joiner*.onnx (transducer), the first two (paraformer) or *ctc*.onnx"
    raise ModelFault(f"{folder}: {names}; needed are {wanted}. {WHERE}")


class Sherpa:
    """See ``recogniser.Engine``. Raises ModelFault; a model that is broken inside ends the process, with a message of
    the library's on standard error."""

    def __init__(self, folder: Path) -> None:
        model = find_model(folder)
        from sherpa_onnx import OnlineRecognizer

        make: Callable[..., Any] = getattr(OnlineRecognizer, f"from_{model.kind}")
        try:
            self._recogniser = make(
                **model.files,
                num_threads=1,
                enable_endpoint_detection=True,
                rule2_min_trailing_silence=PAUSE_S,
            )
            # The first run is slow, and tells whether it runs at all.
            self.hear(self.stream(), np.zeros(RATE, np.int16))
        except Exception as error:  # whatever the library makes of the user's files
            raise ModelFault(f"{folder}: {error}. {WHERE}") from None

    def stream(self) -> Any:
        return self._recogniser.create_stream()

    def hear(self, stream: Any, samples: np.ndarray) -> tuple[str, bool]:
        stream.accept_waveform(RATE, samples.astype(np.float32) / 32_768)
        while self._recogniser.is_ready(stream):
            self._recogniser.decode_stream(stream)
        text, ended = self._recogniser.get_result(stream), self._recogniser.is_endpoint(stream)
        if ended:
            self._recogniser.reset(stream)
        return text, ended
