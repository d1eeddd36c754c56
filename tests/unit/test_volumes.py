"""The volume that an agent chooses for whispers."""

from __future__ import annotations

import numpy as np
import pytest

from hearline.assist.playback.volumes import Volumes
from hearline.audio.level.p56 import rms_dbov
from hearline.core.settings import Settings
from hearline.server.assist import Service

MINE, ANOTHERS = "PJSIP/agent-8016-00000002", "PJSIP/agent-8017-00000003"


def test_a_whisper_is_as_loud_as_this_agent_wants_it(tmp_path):
    (tmp_path / "secret").write_text("x")
    settings = Settings(state=tmp_path, ami="127.0.0.1:1", ami_secret_file=tmp_path / "secret")
    service = Service(settings, lambda _status_told: None)
    for number in ("8016", "8017"):
        service._graph.hear(
            {"Event": "QueueMemberStatus", "MemberName": number, "StateInterface": f"PJSIP/agent-{number}"}
        )
    said = []
    service._say = lambda _channel, pcm: said.append(np.frombuffer(pcm, "<i2")) or True
    service._whisper(MINE, ("caller-too-soft", -3))
    service._volumes.set("8016", -6)
    service._whisper(MINE, ("caller-too-soft", -3))
    service._whisper(ANOTHERS, ("caller-too-soft", -3))
    first, mine, anothers = (rms_dbov(samples) for samples in said)
    assert mine == pytest.approx(first - 6, abs=0.2)
    assert anothers == pytest.approx(first, abs=0.01)


def test_volumes_are_kept_within_bounds(tmp_path):
    volumes = Volumes(tmp_path / "page" / "volumes.json")
    for db in (-20, 9, -4):
        volumes.set("8016", db)
        assert Volumes(tmp_path / "page" / "volumes.json").of("8016") == max(-12, min(6, db))


@pytest.mark.parametrize("text", ["", "[1]", '{"8016": "loud"}', "\xff"])
def test_a_file_that_cannot_be_read_costs_only_what_was_remembered(tmp_path, text):
    (tmp_path / "volumes.json").write_text(text, "latin-1")
    volumes = Volumes(tmp_path / "volumes.json")
    assert volumes.of("8016") == 0
    volumes.set("8016", 3)
    assert volumes.of("8016") == 3
