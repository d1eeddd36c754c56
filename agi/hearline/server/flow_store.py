"""The flows of a folder, which are read again when a file changes. A broken edit is rejected, and the old flow stays.

Calls use the loaded `Flows`, which is immutable and replaced as a whole. Only the watching thread reads files.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

from hearline.call.flow import Fault, Flow, FlowError, Prompts, TimerWords, read_flow, read_profiles
from hearline.call.hours import SharedCalendar, read_calendar
from hearline.core.files import read_text
from hearline.core.numbers import Home, normal
from hearline.core.settings import Settings
from hearline.core.zones import DEFAULT_ZONE
from hearline.sounds.manifest import MANIFEST_NAME, ManifestError, PhraseSet, load_manifest
from hearline.yamlfiles.watched import Watched

log = logging.getLogger(__name__)

PROFILES = "profiles.yaml"
CALENDARS = "calendar"  # the folder
DEFAULT = "hotline"
_NUMBER_LINE = re.compile(r"^(?:test_)?number\s*[:：]\s*[\"'“]?(\+?\d+)", re.MULTILINE)


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
        return read_text(file)
    except UnicodeDecodeError:
        raise FlowError([Fault(str(file), 1, "not UTF-8 text", "Save the file as UTF-8")]) from None


def _found(name: str, folders: list[Path]) -> Path:
    """The file of this name in the first folder that has it; in the first folder if none does."""
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


@dataclass(frozen=True)
class SharedNumber:
    """The flow in ``file`` claims a number that belongs to the flow ``owner``."""

    file: Path
    owner: str
    fault: Fault


@dataclass(frozen=True)
class Flows:
    """The loaded flows and calendars.

    ``by_name``: the flows. ``numbers``: the flow of each number, in its normal form. ``rejected``: by file name, why
    the newest version is not in force. ``not_loaded``: by file name, the numbers of files without any version in force;
    their callers go to the queue. ``notes``: by name, what somebody should check in the calendars in use.
    """

    by_name: Mapping[str, Flow] = field(default_factory=dict)
    numbers: Mapping[str, str] = field(default_factory=dict)
    rejected: Mapping[str, str] = field(default_factory=dict)
    not_loaded: Mapping[str, frozenset[str]] = field(default_factory=dict)
    calendars: Mapping[str, SharedCalendar] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


class FlowStore(Watched[Flows]):
    """All flows of the folder ``flows``, and the calendars they name. The first `refresh` or `look` loads them; from
    then on an edit counts within a second, for the calls that begin afterwards.

    Args:
        zone: the time zone of opening hours without one.
        now: returns the time, aware.
        home: country and area of numbers that do not include them.
    """

    def __init__(
        self,
        flows: Path,
        sounds: Path,
        zone: str = DEFAULT_ZONE,
        now: Callable[[], datetime] = partial(datetime.now, UTC),
        home: Home = Home(),
    ) -> None:
        self._folder, self._sounds, self._zone, self._now, self._home = flows, sounds, zone, now, home
        nothing = Flows(not_loaded=_with_default({}, {}))
        super().__init__("the flows", self._all_files, self._read_all, nothing)

    @property
    def flows(self) -> Mapping[str, Flow]:
        return self.value.by_name

    @property
    def rejected(self) -> dict[str, str]:
        """By file name, why the newest version is not in force."""
        return {**self.value.rejected, **({self._folder.name: self.fault} if self.fault else {})}

    @property
    def notes(self) -> Mapping[str, str]:
        return self.value.notes

    # ---- for calls: never blocks ------------------------------------------------------------------------------------
    def for_number(self, dialled: str) -> tuple[Flow, bool]:
        """The flow for a dialled number, and whether that is its test number, which is open at any hour.

        A number without a flow gets the hotline, so that no caller is turned away because of it. Raises LookupError if
        the flow of this number is not loaded: the caller then belongs in the queue, not in another flow.
        """
        flows, number = self.value, normal(dialled, self._home)
        name = flows.numbers.get(number) or flows.numbers.get(number.lstrip("+"))  # some trunks strip the plus
        if name is None:
            missing = next((file for file, numbers in flows.not_loaded.items() if number in numbers), None)
            if missing or DEFAULT not in flows.by_name:
                raise LookupError(f"{missing or f'{DEFAULT}.yaml'} is not loaded; see /ready")
            return flows.by_name[DEFAULT], False
        flow = flows.by_name[name]
        return flow, bool(_forms(dialled, self._home) & _forms(flow.words.test_number, self._home))

    def named(self, name: str) -> Flow:
        """The flow of this name, for the dialplan. Raises LookupError if it is not loaded."""
        if name not in self.value.by_name:
            raise LookupError(f"the flow {name!r} is not loaded; see /ready")
        return self.value.by_name[name]

    # ---- for the watching thread ------------------------------------------------------------------------------------
    def _all_files(self) -> list[Path]:
        beside = [self._folder / PROFILES, self._sounds / MANIFEST_NAME]
        return [*flow_files(self._folder), *calendar_files(self._folder), *beside]

    def _stamp(self) -> object:
        now = self._now()
        return super()._stamp(), (now.year, now.month)  # the notes on a calendar that runs out are renewed every month

    def _read_all(self, before: Flows) -> Flows:
        """Read all files. A fault in one file leaves the others, and its own earlier version, in force."""
        rejected: dict[str, str] = {}

        def reject(name: str, error: Exception) -> None:
            rejected[name] = str(error) or repr(error)
            log.error("%s is rejected, and the version loaded before stays in force: %s", name, rejected[name])

        files = flow_files(self._folder)
        try:
            profiles = load_profiles(self._folder / PROFILES)
            prompts = prompts_of(self._sounds)
        except Exception as error:
            reject(MANIFEST_NAME if isinstance(error, ManifestError) else PROFILES, error)
            lost = {file.name: self._numbers_in(file) for file in files if file.stem not in before.by_name}
            return replace(before, rejected=rejected, not_loaded=_with_default(lost, before.by_name))
        calendars, calendar_named, notes = self._read_calendars(before, reject)
        kept: dict[str, Flow] = {}
        missing: dict[str, frozenset[str]] = {}
        numbers: dict[str, str] = {}  # number: its flow
        for file in _by_right(files, before.by_name):
            flow: Flow | None
            try:
                flow = _read(file, profiles, prompts, [self._folder], calendar_named, self._zone)
                if shared := _taken(flow, file, numbers, self._home):
                    raise FlowError([shared.fault])
            except Exception as error:
                reject(file.name, error)
                flow = before.by_name.get(file.stem)
            if flow is None:
                missing[file.name] = self._numbers_in(file)
            else:
                kept[file.stem] = flow
                numbers |= {form: file.stem for form in _numbers(flow, self._home) if form not in numbers}
        log.info("flows read: %s", ", ".join(kept))
        used = {flow.words.hours.calendar for flow in kept.values() if flow.words.hours}
        noted = {name: "\n".join(map(str, said)) for name, said in notes.items() if name in used and said}
        for note in noted.values():
            log.warning("opening hours may be wrong: %s", note)
        return Flows(kept, numbers, rejected, _with_default(missing, kept), calendars, noted)

    def _read_calendars(
        self, before: Flows, reject: Callable[[str, Exception], None]
    ) -> tuple[dict[str, SharedCalendar], Callable[[str], SharedCalendar], dict[str, list[Fault]]]:
        """Read all calendars. Returns them, the function by which flows find one, and each calendar's notes."""
        kept: dict[str, SharedCalendar] = {}
        broken: dict[str, Exception] = {}
        notes: dict[str, list[Fault]] = {}
        for file in calendar_files(self._folder):
            name = file.stem
            try:
                kept[name], notes[name] = load_calendar(file, self._now().date())
            except Exception as error:
                reject(f"{CALENDARS}/{file.name}", error)
                broken[name] = error
                if name in before.calendars:
                    kept[name] = before.calendars[name]

        def named(name: str) -> SharedCalendar:
            if name in kept:
                return kept[name]
            raise broken.get(name) or FileNotFoundError(name)

        return kept, named, notes

    def _numbers_in(self, file: Path) -> frozenset[str]:
        """The numbers of a file that cannot be loaded, as far as they can be recognised."""
        try:
            found = _NUMBER_LINE.findall(read_text(file))
        except (OSError, UnicodeDecodeError):
            return frozenset()
        return frozenset(form for number in found for form in _forms(number, self._home))


def _numbers(flow: Flow, home: Home) -> set[str]:
    """All numbers that reach this flow."""
    return _forms(flow.words.number, home) | _forms(flow.words.test_number, home)


def _forms(number: str | None, home: Home) -> set[str]:
    """The forms in which a number may be dialled: the normal one, and the same without the plus, which some trunks
    strip."""
    form = normal(number or "", home)
    return {form, form.lstrip("+")} - {""}


def _by_right(files: Iterable[Path], loaded: Collection[str] = ()) -> list[Path]:
    """Flow files in the order in which they get their numbers. A flow that has a number keeps it: a copy of its file
    must not take its calls."""
    return sorted(files, key=lambda file: (file.stem != DEFAULT, file.stem not in loaded, file.name))


def _taken(flow: Flow, file: Path, owners: Mapping[str, str], home: Home) -> SharedNumber | None:
    """The first number of the flow that another flow has. ``owners``: the flow of each number."""
    for form in sorted(_numbers(flow, home)):
        if (owner := owners.get(form)) is not None:
            problem = f"number {form} belongs to {owner}.yaml already"
            return SharedNumber(file, owner, Fault(str(file), 1, problem, "Give each flow a number of its own"))
    return None


def shared_numbers(flows: Mapping[Path, Flow], home: Home) -> list[SharedNumber]:
    """The flows of one folder, by file, that a server would reject because another of them has their number."""
    owners: dict[str, str] = {}
    found = []
    for file in _by_right(flows):
        if shared := _taken(flows[file], file, owners, home):
            found.append(shared)
        else:
            owners |= dict.fromkeys(_numbers(flows[file], home), file.stem)
    return found


def flow_files(folder: Path) -> list[Path]:
    """The flow files of a folder."""
    return [file for file in _visible(folder) if file.name != PROFILES]


def calendar_files(folder: Path) -> list[Path]:
    """The calendars of a folder of flows."""
    return _visible(folder / CALENDARS)


def _visible(folder: Path) -> list[Path]:
    """The YAML files of a folder, without the hidden ones that editors leave behind (``.#hotline.yaml``)."""
    return sorted(file for file in folder.glob("*.yaml") if not file.name.startswith((".", "#")))


def _with_default(missing: dict[str, frozenset[str]], loaded: Mapping[str, Flow]) -> dict[str, frozenset[str]]:
    """Add the hotline if it is not loaded, even if its file is gone: it gets all numbers without a flow."""
    return missing if DEFAULT in loaded else {f"{DEFAULT}.yaml": frozenset(), **missing}


def queues_led_to(flows: Mapping[str, Flow]) -> list[str]:
    """The queues to which these flows lead, the hotline's own first."""
    names = [name for name in (DEFAULT, *flows) if name in flows]
    turns = [turn for name in names for step in flows[name].plan.steps.values() for turn in step.on.values()]
    ends = [str(getattr(turn, "outcome", "")) for turn in turns]
    led = [end.removeprefix("queue:") for end in ends if end.startswith("queue:")]
    return list(dict.fromkeys([*(flows[name].words.queue for name in names), *led]))


def read_flows(settings: Settings) -> FlowStore:
    """The flows that are on disk now."""
    store = FlowStore(settings.flows, settings.sounds, settings.zone, home=settings.home)
    store.refresh()
    return store
