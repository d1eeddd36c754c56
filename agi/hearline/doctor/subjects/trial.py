"""One real call through the box's own dialplan."""

from __future__ import annotations

from contextlib import suppress

from hearline.doctor.box import Box
from hearline.doctor.checks import Finding, Subject, fault, ok
from hearline.pbx.ami import AmiDown, AmiRefused

SUBJECT = Subject("A call")
COMES_S, OPENS_S, ENDS_S = 5.0, 25.0, 5.0
PLAYING = "playing"
"""The state of a call while a prompt plays to it."""
LOOK = "journalctl --unit hearline --lines 20; tail -20 /var/log/asterisk/messages.log"


@SUBJECT.check("call-placed", "Asterisk places a call into its dialplan", "may-originate", "agi", "audiosocket")
def placed(box: Box) -> Finding:
    try:
        box.trial.place()
    except (AmiDown, AmiRefused) as error:
        return fault(f"refused: {error}", "a call", LOOK)
    return ok(f"to {box.trial.where}")


@SUBJECT.check("call-ivr", "The call reaches the IVR, and its sound the media worker", "call-placed")
def reached(box: Box) -> Finding:
    try:
        row = box.trial.wait(lambda row: row is not None, COMES_S)
    except TimeoutError:
        _hang_up(box)
        found = f"the call to {box.trial.where} was not in the IVR within {COMES_S:.0f} s"
        return fault(found, "a call in the IVR", f"asterisk -rx 'dialplan show {box.trial.where}'; {LOOK}")
    assert row is not None
    return ok(f"flow {row['flow']}, step {row['step']}")


@SUBJECT.check("call-opening", "The first prompt is played to its end", "call-ivr")
def opening(box: Box) -> Finding:
    try:
        row = box.trial.wait(lambda row: row is None or row["state"] != PLAYING, OPENS_S)
    except TimeoutError:
        _hang_up(box)
        return fault(f"it still played after {OPENS_S:.0f} s", "the end of the prompt", LOOK)
    if row is None:
        return fault("the call was gone before", "the end of the prompt", LOOK)
    return ok(f"step {row['step']} had played after {row['at_ms'] / 1_000:.1f} s")


@SUBJECT.check("call-ended", "The call ends when the caller hangs up", "call-opening")
def ended(box: Box) -> Finding:
    _hang_up(box)
    try:
        box.trial.wait(lambda row: row is None, ENDS_S)
    except TimeoutError:
        return fault(f"the call was still there {ENDS_S:.0f} s later", "no call", LOOK)
    return ok("it is gone")


def _hang_up(box: Box) -> None:
    with suppress(AmiDown, AmiRefused):  # it is over already
        box.trial.hang_up()
