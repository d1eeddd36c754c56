"""The optional packages that sounds are made with."""

import importlib
import warnings
from types import ModuleType


class VoiceExtraMissing(Exception):
    """A package that makes sounds is not installed; the text says how to get it."""


def voice_extra(module: str) -> ModuleType:
    """Import `module` of the voice extra."""
    try:
        with warnings.catch_warnings():
            # pydub warns that ffmpeg is missing: WAV needs none. jieba's warnings are about its own code.
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ImportError as error:
        raise VoiceExtraMissing(
            f"making sounds needs the voice extra ({error.name} is missing): pip install 'hearline[voice]'"
        ) from error
