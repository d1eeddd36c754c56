"""A flow is edited while the hotline runs: the next call follows the edit, and a broken edit affects no call."""

from __future__ import annotations

import time

from world import Scenario, until

COUNTS_S = 1.5  # after an edit: the server looks twice a second, and believes what it has seen twice


def edit(file, text: str) -> None:
    file.write_text(text, "utf-8")
    time.sleep(COUNTS_S)


def call_once(world, name: str):
    return world.place({name: Scenario("8103")}, timeout=30)[name]


def test_edits_count_from_the_next_call_and_broken_ones_do_not(world):
    file = world.flows / "edit.yaml"
    before = file.read_text("utf-8")
    assert call_once(world, "before").prompts == ["opening"]

    edit(file, before.replace("play: opening", "play: low-1"))
    assert call_once(world, "edited").prompts == ["low-1"]

    edit(file, before.replace("play: opening", "play: nothing-like-it"))
    assert call_once(world, "broken").prompts == ["low-1"]
    rejected = world.stack.get("/ready")["rejected_flows"]
    assert "edit.yaml:5" in rejected["edit.yaml"] and "nothing-like-it" in rejected["edit.yaml"]
    log = (world.stack.home / "log" / "hearline.log").read_text()
    assert "nothing-like-it" in log

    edit(file, before)
    assert call_once(world, "mended").prompts == ["opening"]
    assert world.stack.get("/ready")["rejected_flows"] == {}


def test_a_broken_edit_of_the_hints_is_told(world):
    """The talks go on with the hints before it."""
    file = world.flows / "hints" / "rules.yaml"
    before = file.read_text("utf-8")
    until(lambda: world.stack.get("/ready")["assist"].get("rejected_hints") == "", 10)
    file.write_text(before.replace("silence:", "silense:", 1), "utf-8")
    until(lambda: "Did you mean 'silence'" in world.stack.get("/ready")["assist"]["rejected_hints"], 5)
    file.write_text(before, "utf-8")
    until(lambda: world.stack.get("/ready")["assist"]["rejected_hints"] == "", 5)
