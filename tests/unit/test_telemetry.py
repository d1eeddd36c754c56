"""No library that runs here sends telemetry."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SPEECH = Path(__file__).resolve().parents[2] / "sounds" / "zh" / "callers" / "caller-ask.wav"


def test_the_speech_network_leaves_no_trace_of_telemetry(tmp_path):
    """onnxruntime keeps a device id and a queue of reports under the home folder where it is let to."""
    command = [sys.executable, "-m", "hearline", "listen", str(SPEECH)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_"))}
    subprocess.run(command, env=clean | {"HOME": str(tmp_path)}, check=True, capture_output=True, timeout=120)
    assert list(tmp_path.rglob("*")) == []
