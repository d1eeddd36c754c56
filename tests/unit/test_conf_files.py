"""Asterisk's configuration files, read as Asterisk reads them."""

from __future__ import annotations

import time

from hearline.pbx.conf_files import active, last, read


def test_comments_do_not_count():
    text = "a = 1 ; one\n;b = 2\n;-- c = 3\nd = 4 --; e = 5\n;--- f = 6\ng = \\;7\n"
    assert list(active(text)) == [(1, "a = 1"), (4, "e = 5"), (6, "g = ;7")]


def test_what_ends_a_line_and_what_is_blank_is_what_asterisk_takes_for_it():
    text = "\ufeff[general]\r\n; a\x0cb = 1\n; c\u2028d = 2\n; e\x85f = 3\n; g\rh = 4\n\x01 i = 5\xa0\n"
    assert list(active(text)) == [(1, "[general]"), (6, "i = 5\xa0")]


def test_capitals_of_a_section_do_not_matter():
    files = {"a.conf": "[General]\nEnabled = yes\n"}
    assert last(read("a.conf", files), "general", "enabled").value == "yes"


def test_of_two_sections_of_one_name_the_first_counts_and_what_adds_to_it():
    """As Asterisk 22.10's `manager show settings` says."""
    ports = "[general]\nport = 1\n[x]\nport = 2\n[general]\nport = 3\n"
    assert last(read("a.conf", {"a.conf": ports}), "general", "port").value == "1"
    assert last(read("a.conf", {"a.conf": ports + "[general](+)\nport = 4\n"}), "general", "port").value == "4"
    assert last(read("a.conf", {"a.conf": "[ general ]\nport = 5\n"}), "general", "port") is None


def test_files_that_include_each_other_are_read_in_no_time():
    names = [f"{number}.conf" for number in range(12)]
    files = {name: "x = 1\n" + "".join(f"#include {other}\n" for other in names[:4]) for name in names}
    began = time.monotonic()
    assert len([line for line in read("0.conf", files) if line.name]) < 100
    assert time.monotonic() - began < 1.0


def test_a_file_that_a_program_has_written_for_thousands_of_phones_is_read_in_no_time():
    text = "[ext-local]\n" + "".join(f"exten => {n},1,Dial(PJSIP/{n},20,tT) ; {n}\n" for n in range(200_000))
    began = time.monotonic()
    assert len(read("a.conf", {"a.conf": text})) == 200_001
    assert time.monotonic() - began < 5.0


def test_includes_are_followed_and_sections_go_on_in_them():
    files = {
        "manager.conf": '[general]\nenabled = yes\n#include "manager.d/*.conf"\n#tryinclude <gone.conf>\n',
        "manager.d/b.conf": "[general](+)\nchannelvars = B\n",
        "manager.d/a.conf": "channelvars => A\n[user]\nsecret = x\n",
        "manager.d/.hidden.conf": "channelvars = H\n",
        "manager.d/deep/c.conf": "[general](+)\nchannelvars = C\n",
    }
    lines = read("manager.conf", files)
    assert [(line.place, line.section, line.value) for line in lines if line.name == "channelvars"] == [
        ("manager.d/a.conf:1", "general", "A"),
        ("manager.d/b.conf:2", "general", "B"),
    ]
    assert last(lines, "general", "ChannelVars").value == "B"
    assert last(lines, "user", "channelvars") is None


def test_an_absolute_include_may_lie_in_the_folder_and_a_circle_ends():
    files = {"a.conf": '#include "/etc/asterisk/b.conf"\n', "b.conf": "[s]\nx = 1\n#include a.conf\n"}
    assert [line.value for line in read("a.conf", files) if line.name == "x"] == ["1"]
