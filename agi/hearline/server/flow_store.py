"""The flows of a folder, read again when a file has changed. A broken edit is rejected and the old flow stays."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

from hearline.call.flow import Fault, Flow, FlowError, Prompts, TimerWords, read_flow, read_profiles
from hearline.call.hours import SharedCalendar, read_calendar
from hearline.core.zones import DEFAULT_ZONE
from hearline.sounds.manifest import ManifestError, PhraseSet, load_manifest
from hearline.yamlfiles.checked import stamp

log = logging.getLogger(__name__)

PROFILES = "profiles.yaml"
CALENDARS = "calendar"  # the folder
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


def load_flow(file: Path, flows: Path, sounds: Path, zone: str = DEFAULT_ZONE) -> Flow:
    """Read one flow file; profiles, calendars and prompts come from the given folders.

    Raises FlowError, OSError, ManifestError.
    """
    beside = file.parent / PROFILES
    profiles_file = beside if beside.exists() else flows / PROFILES
    folders = [file.parent, flows]

    def calendar_named(name: str) -> SharedCalendar:
        calendar = _found(f"{CALENDARS}/{name}.yaml", folders)
        return load_calendar(calendar, datetime.now(UTC).date())[0]

    return _read(file, load_profiles(profiles_file), prompts_of(sounds), folders, calendar_named, zone)


def load_calendar(file: Path, today: date) -> tuple[SharedCalendar, list[Fault]]:
    """A calendar and its notes, see ``read_calendar``. Raises FlowError, OSError."""
    return read_calendar(_text_of(file), str(file), today)


def load_profiles(file: Path) -> dict[str, TimerWords]:
    """Raises FlowError, OSError."""
    return read_profiles(_text_of(file), str(file))


def _text_of(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        raise FlowError([Fault(str(file), 1, "not UTF-8 text", "Save the file as UTF-8")]) from None


def _found(name: str, folders: list[Path]) -> Path:
    """The file of this name in the first folder that has it."""
    return next((file for folder in folders if (file := folder / name).exists()), folders[0] / name)


def _read(
    file: Path,
    profiles: dict[str, TimerWords],
    prompts: Prompts,
    folders: list[Path],
    calendar_named: Callable[[str], SharedCalendar],
    zone: str,
) -> Flow:
    def text_of(name: str) -> str:
        return _text_of(_found(f"{name}.yaml", folders))

    return read_flow(_text_of(file), str(file), file.stem, profiles, prompts, text_of, calendar_named, zone)


class FlowStore:
    """All flows of ``flows``, and the calendars they name; asked at every new call, so an edit counts from the next
    call on.

    Args:
        zone: the time zone of hours that say none.
        now: the time, aware.
    """

    def __init__(
        self,
        flows: Path,
        sounds: Path,
        zone: str = DEFAULT_ZONE,
        now: Callable[[], datetime] = partial(datetime.now, UTC),
    ) -> None:
        self._folder, self._sounds, self._zone, self._now = flows, sounds, zone, now
        self._lock = threading.Lock()
        self._stamp: tuple = ()
        self.flows: dict[str, Flow] = {}
        self.calendars: dict[str, SharedCalendar] = {}
        self.rejected: dict[str, str] = {}  # file name: why
        self.notes: dict[str, str] = {}  # calendars in use whose days somebody should look at
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
        files = [*sorted(self._folder.glob("*.yaml")), *self._calendar_files(), self._sounds / "manifest.yaml"]
        now = self._now()
        return *stamp(files), (now.year, now.month)  # a calendar that runs out says so every month

    def _calendar_files(self) -> list[Path]:
        return sorted((self._folder / CALENDARS).glob("*.yaml"))

    def _read_all(self) -> None:
        self.rejected = {}
        try:
            profiles = load_profiles(self._folder / PROFILES)
            prompts = prompts_of(self._sounds)
        except Exception as error:  # whatever is wrong with a file, the others and what was loaded before stay
            self._reject("manifest.yaml" if isinstance(error, ManifestError) else PROFILES, error)
            return
        calendar_named, notes = self._read_calendars()
        kept: dict[str, Flow] = {}
        numbers: dict[str, str] = {}  # who has it
        # Who had a number keeps it: a copy of a flow must not take its calls.
        files = sorted(self._folder.glob("*.yaml"), key=lambda f: (f.stem != DEFAULT, f.stem not in self.flows, f.name))
        for file in files:
            if file.name == PROFILES:
                continue
            try:
                flow = _read(file, profiles, prompts, [self._folder], calendar_named, self._zone)
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
        used = {flow.words.hours.calendar for flow in kept.values() if flow.words.hours}
        self.notes = {name: "\n".join(map(str, said)) for name, said in notes.items() if name in used and said}
        for note in self.notes.values():
            log.warning("opening hours may be wrong: %s", note)

    def _read_calendars(self) -> tuple[Callable[[str], SharedCalendar], dict[str, list[Fault]]]:
        """Read all calendars. Returns the look-up by name that flows use, and each calendar's notes."""
        kept: dict[str, SharedCalendar] = {}
        broken: dict[str, Exception] = {}
        notes: dict[str, list[Fault]] = {}
        for file in self._calendar_files():
            name = file.stem
            try:
                kept[name], notes[name] = load_calendar(file, self._now().date())
            except Exception as error:
                self._reject(f"{CALENDARS}/{file.name}", error)
                broken[name] = error
                if name in self.calendars:
                    kept[name] = self.calendars[name]
        self.calendars = kept

        def named(name: str) -> SharedCalendar:
            if name in kept:
                return kept[name]
            raise broken.get(name) or FileNotFoundError(name)

        return named, notes

    def _reject(self, name: str, error: Exception) -> None:
        self.rejected[name] = str(error) or repr(error)
        log.error("%s is rejected, what was loaded before stays: %s", name, self.rejected[name])

    def for_number(self, dialled: str) -> tuple[Flow, bool]:
        """The flow for a dialled number, and whether it was dialled by its test number (open at any hour).

        An unknown number gets the hotline: a caller is never turned away for a number. Raises LookupError where the
        hotline is not loaded either: the queue is right for its callers then, another flow may not be.
        """
        self.refresh()
        dialled = dialled.lstrip("+")
        for flow in self.flows.values():
            if dialled in _numbers(flow):
                return flow, dialled == (flow.words.test_number or "").lstrip("+")
        if DEFAULT in self.flows:
            return self.flows[DEFAULT], False
        raise LookupError(f"no flow has this number, and {DEFAULT!r} is not loaded")

    def named(self, name: str) -> Flow:
        """The flow that the dialplan asks for by its name. Raises LookupError."""
        self.refresh()
        if name not in self.flows:
            raise LookupError(f"no flow {name!r} is loaded")
        return self.flows[name]


def _numbers(flow: Flow) -> list[str]:
    """What can be dialled for it; a leading plus does not count."""
    return [number.lstrip("+") for number in (flow.words.number, flow.words.test_number) if number]
