"""The flows of a folder, read again when a file has changed. A broken edit is rejected and the old flow stays."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from hearline.call.flow import Fault, Flow, FlowError, Prompts, TimerWords, read_flow, read_profiles
from hearline.sounds.manifest import ManifestError, PhraseSet, load_manifest
from hearline.yamlfiles.checked import stamp

log = logging.getLogger(__name__)

PROFILES = "profiles.yaml"
DEFAULT = "hotline"


def prompts_of(sounds: Path) -> Prompts:
    """The prompts that the manifest lists, by (language, phrase set). Raises ManifestError."""
    languages = load_manifest(sounds).languages
    return {
        (language, name): phrases.prompts
        for language, sets in languages.items()
        for name, phrases in sets.items()
        if isinstance(phrases, PhraseSet)
    }


def load_flow(file: Path, flows: Path, sounds: Path) -> Flow:
    """Read one flow file; profiles and prompts come from the given folders.

    Raises FlowError, OSError, ManifestError.
    """
    beside = file.parent / PROFILES
    profiles_file = beside if beside.exists() else flows / PROFILES
    return _read(file, load_profiles(profiles_file), prompts_of(sounds), [file.parent, flows])


def load_profiles(file: Path) -> dict[str, TimerWords]:
    """Raises FlowError, OSError."""
    return read_profiles(_text_of(file), str(file))


def _text_of(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        raise FlowError([Fault(str(file), 1, "not UTF-8 text", "Save the file as UTF-8")]) from None


def _read(file: Path, profiles: dict[str, TimerWords], prompts: Prompts, folders: list[Path]) -> Flow:
    def text_of(name: str) -> str:
        found = next((f for folder in folders if (f := folder / f"{name}.yaml").exists()), folders[0] / f"{name}.yaml")
        return _text_of(found)

    return read_flow(_text_of(file), str(file), file.stem, profiles, prompts, text_of)


class FlowStore:
    """All flows of ``flows``; asked at every new call, so an edit counts from the next call on."""

    def __init__(self, flows: Path, sounds: Path) -> None:
        self._folder, self._sounds = flows, sounds
        self._lock = threading.Lock()
        self._stamp: tuple = ()
        self.flows: dict[str, Flow] = {}
        self.rejected: dict[str, str] = {}  # file name: why
        self.refresh()

    def refresh(self) -> bool:
        """Read what has changed and tell whether anything had. Never raises for a bad file."""
        with self._lock:
            stamp = self._look()
            if stamp == self._stamp:
                return False
            self._stamp = stamp
            self._read_all()
            return True

    def _look(self) -> tuple:
        return stamp([*sorted(self._folder.glob("*.yaml")), self._sounds / "manifest.yaml"])

    def _read_all(self) -> None:
        self.rejected = {}
        try:
            profiles = load_profiles(self._folder / PROFILES)
            prompts = prompts_of(self._sounds)
        except Exception as error:  # whatever is wrong with a file, the others and what was loaded before stay
            self._reject("manifest.yaml" if isinstance(error, ManifestError) else PROFILES, error)
            return
        kept: dict[str, Flow] = {}
        numbers: dict[str, str] = {}  # who has it
        # Who had a number keeps it: a copy of a flow must not take its calls.
        files = sorted(self._folder.glob("*.yaml"), key=lambda f: (f.stem != DEFAULT, f.stem not in self.flows, f.name))
        for file in files:
            if file.name == PROFILES:
                continue
            try:
                flow = _read(file, profiles, prompts, [self._folder])
                for number in _numbers(flow):
                    if numbers.setdefault(number, file.name) != file.name:
                        problem = f"number {number} is that of {numbers[number]} already"
                        raise FlowError([Fault(str(file), 1, problem, "Give each flow a number of its own")])
                kept[file.stem] = flow
            except Exception as error:
                self._reject(file.name, error)
                if file.stem in self.flows:
                    kept[file.stem] = self.flows[file.stem]
        self.flows = kept
        log.info("flows read: %s", ", ".join(kept))

    def _reject(self, name: str, error: Exception) -> None:
        self.rejected[name] = str(error) or repr(error)
        log.error("%s is rejected, what was loaded before stays: %s", name, self.rejected[name])

    def for_number(self, dialled: str) -> tuple[Flow, bool]:
        """The flow for a dialled number, and whether it was dialled by its test number (open at any hour).

        An unknown number gets the hotline: a caller is never turned away for a number. Raises LookupError where
        there is no flow at all.
        """
        self.refresh()
        dialled = dialled.lstrip("+")
        for flow in self.flows.values():
            if dialled in _numbers(flow):
                return flow, dialled == (flow.words.test_number or "").lstrip("+")
        for name in (DEFAULT, *self.flows):
            if name in self.flows:
                return self.flows[name], False
        raise LookupError("no flow is loaded")

    def named(self, name: str) -> Flow:
        """The flow that the dialplan asks for by its name. Raises LookupError."""
        self.refresh()
        if name not in self.flows:
            raise LookupError(f"no flow {name!r} is loaded")
        return self.flows[name]


def _numbers(flow: Flow) -> list[str]:
    """What can be dialled for it; a leading plus does not count."""
    return [number.lstrip("+") for number in (flow.words.number, flow.words.test_number) if number]
