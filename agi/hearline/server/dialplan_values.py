"""The values of Asterisk's templates for this installation: from the settings, the flows and the sounds."""

from __future__ import annotations

from pathlib import Path

from hearline.core.settings import Settings, address
from hearline.pbx.ami_messages import proof_of
from hearline.pbx.config import Parts, whisper_waits
from hearline.server.flow_store import DEFAULT, read_flows


class NoValues(Exception):
    """A setting or a flow is missing or wrong; the message says which, and what to do."""


def dialplan_values(settings: Settings, messages: Path, secret: str = "", sounds: Path | None = None) -> Parts:
    """Args:
        messages: the folder of callers' messages.
        secret: of the manager interface; empty without agent assist.
        sounds: the path of the sounds as Asterisk is to know it, if it is not that of the settings.

    Raises:
        NoValues, ManifestError, OSError.
    """
    waits = whisper_waits(settings.sounds)
    hotline = read_flows(settings).flows.get(DEFAULT)
    if hotline is None:
        raise NoValues(
            f"the flow {DEFAULT!r} cannot be used, so there is no queue for callers whom Hearline cannot serve; "
            f"`hearline flow check {settings.flows / DEFAULT}.yaml` says why"
        )
    try:
        host, port = address(settings.agi)
    except ValueError as error:
        raise NoValues(f"HEARLINE_AGI: {error}") from error
    return Parts(
        sounds_dir=sounds or settings.sounds.resolve(),
        messages_dir=messages,
        site=settings.site,
        agi_host=host,
        agi_port=port,
        fallback_queue=hotline.words.queue,
        whisper_waits=waits,
        proof=proof_of(secret) if secret else "",
    )


def secret_in(file: Path) -> str:
    """The secret of the manager interface in the file that HEARLINE_AMI_SECRET_FILE names. Raises NoValues."""
    try:
        return file.read_text("utf-8").strip()
    except OSError as error:
        raise NoValues(f"HEARLINE_AMI_SECRET_FILE: {error.filename}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise NoValues(f"HEARLINE_AMI_SECRET_FILE: {file}: not UTF-8 text") from error
