"""Hearline: an IVR and agent-assist plugin for Asterisk."""

import os

# onnxruntime (it speaks the prompts for `make sounds`) reports every start to its maker. We tell nobody anything.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# The ears' matrices are small: a second thread gains nothing and takes the core from somebody else's tick.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

__version__ = "0.1.0"
