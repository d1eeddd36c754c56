"""The hotline, as the page "Try it" shows it: what the flow says, and the words and lengths of its recordings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hearline.audio.wav import read_wav
from hearline.core.settings import Settings
from hearline.server.flow_store import DEFAULT, FlowStore
from hearline.sounds.manifest import Manifest, ManifestError, load_manifest, prompt_path
from hearline.web.try_it.hotline import Hotline, Spoken

CALLERS = ("caller-ask",)  # that the page plays
SAMPLES_PER_MS = 8


class HotlineReader:
    """Reads it from the folders of the settings."""

    def __init__(self, settings: Settings) -> None:
        self._sounds = settings.sounds
        self._flows = FlowStore(settings.flows, settings.sounds, settings.zone, home=settings.home)

    def read(self) -> Hotline:
        """The flow `hotline` as it is now, with its test number if it has one, since that is open at any hour. Waits
        for the disk. Raises OSError, ValueError."""
        self._flows.refresh()
        flow = self._flows.flows.get(DEFAULT)
        if flow is None or not flow.words.number:
            raise ValueError(f"there is no flow {DEFAULT!r} with a number")
        try:
            manifest = load_manifest(self._sounds)
        except ManifestError as error:
            raise ValueError(str(error)) from None
        language, words = flow.plan.language, flow.words
        return Hotline(
            number=words.number,
            dial=words.test_number or words.number,
            title=words.title,
            prompts=_spoken(manifest, self._sounds, language, flow.plan.phrases, flow.plan.prompts),
            callers=_spoken(manifest, self._sounds, language, "callers", CALLERS),
            queues=manifest.queue_names(language),
        )


def _spoken(manifest: Manifest, sounds: Path, language: str, name: str, ids: Iterable[str]) -> dict[str, Spoken]:
    found = {}
    for one in sorted(ids):
        length = read_wav(prompt_path(sounds, language, name, one)).size // SAMPLES_PER_MS
        found[one] = Spoken(manifest.prompt_text(language, name, one) or "", length)
    return found
