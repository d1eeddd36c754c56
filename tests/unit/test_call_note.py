"""The call note: fields and ticks, what is kept without the caller's consent, and notes from before there were
fields."""

from __future__ import annotations

import pytest

from hearline.assist.calls.call_note import LONGEST, CallNote, read_note

WRITTEN = {
    "title": "女士",
    "name": "李明",
    "resident": "王秀英",
    "origin": "朝阳区",
    "address": "幸福路 8 号",
    "phone": "13900000000",
    "matter": "问护理床",
}


def test_fields_and_ticks_change_one_by_one():
    note = CallNote().changed(WRITTEN).changed({"read_back": {"phone": True, "matter": True}})
    assert note.as_dict() == WRITTEN | {"read_back": ["matter", "phone"], "agreed": False}
    assert note.changed({"read_back": {"matter": False}}).read_back == {"phone"}
    assert note.changed({"agreed": True}).changed({"name": "李名"}).agreed


def test_a_fact_that_changes_was_not_read_back():
    note = CallNote().changed(WRITTEN | {"read_back": {"phone": True, "name": True}})
    assert note.changed({"phone": "13900000001"}).read_back == {"name"}
    assert note.changed({"phone": "13900000000"}).read_back == {"name", "phone"}, "as it was"
    assert note.changed({"phone": "13900000001", "read_back": {"phone": True}}).read_back == {"name", "phone"}


def test_without_leave_nothing_is_kept_of_who_they_are():
    note = CallNote().changed(WRITTEN | {"read_back": {"phone": True, "matter": True}})
    assert note.to_keep() == CallNote(matter="问护理床", read_back=frozenset({"matter"}))
    agreed = note.changed({"agreed": True})
    assert agreed.to_keep() == agreed


def test_a_note_is_read_as_it_was_kept():
    note = CallNote().changed(WRITTEN | {"read_back": {"phone": True}, "agreed": True})
    assert read_note(note.as_text()) == note
    assert CallNote().as_text() == "" and read_note("") == read_note(None) == CallNote()


@pytest.mark.parametrize(
    "text", ["Mrs Li asks for a bed", "123", '"quoted"', "[1]", "{", '{"name": 5}', '{"read_back": [[]]}']
)
def test_a_note_from_before_there_were_fields_is_its_matter(text):
    assert read_note(text) == CallNote(matter=text)


@pytest.mark.parametrize(
    "told",
    [
        {"surname": "x"},
        {"name": 5},
        {"name": None},
        {"matter": "x" * (LONGEST["matter"] + 1)},
        {"read_back": ["phone"]},
        {"read_back": {"title": True}},
        {"read_back": {"phone": 1}},
        {"agreed": "yes"},
    ],
)
def test_what_is_no_note_is_refused(told):
    with pytest.raises(ValueError):
        CallNote().changed(told)


def test_no_log_has_who_it_is():
    assert "李明" not in repr(CallNote().changed(WRITTEN))


def test_half_a_character_can_be_kept():
    assert "\ud83d" not in CallNote().changed({"matter": "half: \ud83d"}).as_text()
