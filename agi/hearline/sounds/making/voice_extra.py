"""Imports the optional packages for making sounds."""

import importlib
import warnings
from types import ModuleType


class VoiceExtraMissing(Exception):
    """A package of the voice extra is not installed; the message says how to install it."""


def voice_extra(module: str) -> ModuleType:
    """Import `module`, which the voice extra installs. Raises VoiceExtraMissing."""
    try:
        with warnings.catch_warnings():
            # pydub warns if ffmpeg is missing, but WAV does not need it. jieba's warnings concern its own code.
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ImportError as error:
        raise VoiceExtraMissing(
            f"making sounds needs the voice extra ({error.name} is missing): pip install 'hearline[voice]'"
        ) from error
