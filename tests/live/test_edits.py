"""A flow is edited while the hotline runs: the next call goes by it; a broken edit costs nobody anything."""

from __future__ import annotations

from world import Scenario


def call_once(world, name: str):
    return world.place({name: Scenario("8103")}, timeout=30)[name]


def test_edits_count_from_the_next_call_and_broken_ones_do_not(world):
    file = world.flows / "edit.yaml"
    before = file.read_text("utf-8")
    assert call_once(world, "before").prompts == ["opening"]

    file.write_text(before.replace("play: opening", "play: low-1"), "utf-8")
    assert call_once(world, "edited").prompts == ["low-1"]

    file.write_text(before.replace("play: opening", "play: nothing-like-it"), "utf-8")
    assert call_once(world, "broken").prompts == ["low-1"]
    rejected = world.stack.get("/ready")["rejected_flows"]
    assert "edit.yaml:5" in rejected["edit.yaml"] and "nothing-like-it" in rejected["edit.yaml"]
    log = (world.stack.home / "log" / "hearline.log").read_text()
    assert "nothing-like-it" in log

    file.write_text(before, "utf-8")
    assert call_once(world, "mended").prompts == ["opening"]
    assert world.stack.get("/ready")["rejected_flows"] == {}
