"""`hearline doctor` on a real Asterisk: nothing is wrong with the private stack, a call is followed, and what is broken
for real is named."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hearline.doctor.box import Box, Wanted, box_of
from hearline.doctor.checks import Level
from hearline.doctor.run import CALL, STATIC, examine
from world import until

STATIC_S = 5.0
OF_THE_MACHINE = {"clock", "scheduling", "disk-state", "disk-messages"}
"""What may be wrong with the machine of the tests."""
OF_THE_TESTS = {
    "spoken-queues": "no whisper for 400: agents are joined at once",
    "accounts": "1 members have no account: 8021",
}
"""What the queue of test-queues.conf lacks."""


@contextmanager
def doctor(world, **wanted) -> Iterator[Box]:
    stack = world.stack
    box = box_of(stack.server_settings(), stack.home / "etc", stack.console, Wanted(own=True, **wanted))
    try:
        yield box
    finally:
        box.manager.close()


def wrong(world) -> dict[str, str]:
    """What the doctor names, with what it found."""
    with doctor(world) as box:
        return {
            result.check.id: result.finding.found
            for result in examine(box)
            if result.finding.level in (Level.FAULT, Level.WARNING)
            and result.check.id not in OF_THE_MACHINE
            and OF_THE_TESTS.get(result.check.id) != result.finding.found
        }


@contextmanager
def edited(world, name: str, before: str, after: str, *reload: str) -> Iterator[None]:
    file: Path = world.stack.home / "etc" / name
    as_it_was = file.read_text("utf-8")
    assert before in as_it_was
    file.write_text(as_it_was.replace(before, after), "utf-8")
    try:
        for command in reload:
            world.stack.console(command)
        yield
    finally:
        file.write_text(as_it_was, "utf-8")
        for command in reload:
            world.stack.console(command)


def test_a_healthy_box_has_no_faults_and_is_looked_at_within_5_s(world):
    with doctor(world) as box:
        began = time.monotonic()
        results = examine(box)
        took = time.monotonic() - began
    named = {result.check.id: result.finding.found for result in results if result.finding.level is not Level.OK}
    assert dict(named.items() - OF_THE_TESTS.items()).keys() <= OF_THE_MACHINE, named
    assert took < STATIC_S


def test_a_call_is_placed_heard_of_and_ended(world):
    with doctor(world, context="hearline-phones", number="8001") as box:
        found = {result.check.id: result.finding for result in examine(box, (*STATIC, CALL))}
    assert found["entry"].found == "the number leads there from hearline-phones"
    assert found["call-placed"].found == "to 8001@hearline-phones"
    assert found["call-ivr"].found == "flow hotline, step opening"
    assert found["call-opening"].level is Level.OK
    assert found["call-ended"].level is Level.OK
    assert [channel for channel in world.channels() if "8001" in channel[0]] == []


@pytest.mark.parametrize(
    ("right", "kind", "named"),
    [
        ("originate", "write", "may-originate"),
        ("reporting", "write", "may-reporting"),
        ("user", "read", "sees-user"),
        ("agent", "read", "sees-agent"),
    ],
)
def test_a_right_that_was_taken_away_is_named(world, right, kind, named):
    rights = {"write": "call,originate,reporting", "read": "call,agent,user"}[kind]
    fewer = ",".join(one for one in rights.split(",") if one != right)
    with edited(world, "hearline-manager.conf", f"{kind} = {rights}", f"{kind} = {fewer}", "manager reload"):
        assert wrong(world).keys() == {named, "files"}


@pytest.mark.parametrize(
    ("module", "named"),
    [("app_userevent.so", "modules-assist"), ("func_volume.so", "module-volume"), ("app_exec.so", "modules")],
)
def test_a_module_that_was_unloaded_is_named(world, module, named):
    world.stack.console(f"module unload {module}")
    try:
        found = wrong(world)
        assert found.keys() == {named} and module.partition(".")[0] in found[named]
    finally:
        world.stack.console(f"module load {module}")
        until(lambda: "1 modules loaded" in world.stack.console(f"module show like {module}"), 3)


def test_a_queue_without_members_and_one_that_is_gone_are_named(world):
    reload = "module reload app_queue.so"
    with edited(world, "queues.conf", "member =>", "; member =>", reload):
        assert wrong(world).keys() == {"members"}
    with edited(world, "queues.conf", "[care]", "[cares]", reload):
        assert wrong(world).keys() == {"queues"}


def test_an_endpoint_that_hears_no_keys_is_named(world):
    settings = "context = hearline-phones\ndtmf_mode = none\nallow = g722\ndirect_media = yes\n"
    with world.endpoints(f"[deaf-trunk]\ntype = endpoint\n{settings}"):
        found = wrong(world)
    assert found.keys() == {"dtmf", "codecs", "direct-media"} and "deaf-trunk" in found["dtmf"]
