"""Hearline: an IVR and agent-assist plugin for Asterisk."""

import os

# onnxruntime's Linux builds report every start to their maker. A machine that hears callers tells nobody anything.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.1.0"
