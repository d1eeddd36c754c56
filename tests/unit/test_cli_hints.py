"""`hearline hints`, as scripts and people use it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hearline.cli.app import app

HINTS = Path(__file__).resolve().parents[2] / "ivr_flows" / "hints"
TALK = """\
{"at_ms": 0, "event": "joined", "wait_s": 24.5}
{"at_ms": 620, "event": "speech_started", "side": "agent", "ago_ms": 120}

{"at_ms": 4200, "event": "speech_ended", "side": "agent", "ago_ms": 700}
"""


def run(*arguments, input: str | None = None):
    return CliRunner().invoke(app, ["hints", *map(str, arguments)], input=input)


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(HINTS, tmp_path / "hints")
    return tmp_path / "hints"


def _edit(file: Path, old: str, new: str) -> None:
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), "utf-8")


def test_the_shipped_files_are_in_order():
    answer = run("check")
    assert answer.exit_code == 0 and answer.output.count(": ok") == 4


def test_a_fault_is_told_with_file_line_and_remedy(folder):
    _edit(folder / "rules.yaml", "card: answering", "card: answerin")
    answer = run("check", folder / "rules.yaml", folder / "cards.yaml")
    line = (folder / "rules.yaml").read_text().splitlines().index("  card: answerin") + 1
    assert answer.exit_code == 1
    assert f"{folder}/rules.yaml:{line}: " in answer.output and "Did you mean 'answering'?" in answer.output
    assert f"{folder}/cards.yaml: ok" in answer.output
    as_json = [json.loads(text) for text in run("check", "--json", *folder.glob("[rc]*s.yaml")).output.splitlines()]
    assert {Path(told["file"]).name: told["ok"] for told in as_json} == {
        "rules.yaml": False,
        "cards.yaml": True,
        "characters.yaml": True,
    }


def test_rules_are_not_called_well_before_the_cards_are(folder):
    _edit(folder / "cards.yaml", 'section: "2.1"', "section: 2.1")
    answer = run("check", folder / "rules.yaml")
    assert answer.exit_code == 1 and "Correct cards.yaml first" in answer.output
    assert run("check", folder / "mine.yaml").exit_code == 1
    (folder / "spoken.yaml").unlink()
    assert "cannot be read" in run("check", folder / "spoken.yaml").output


def test_a_conversation_is_run_in_no_time(tmp_path):
    file = tmp_path / "talk.jsonl"
    file.write_text(TALK)
    lines = run("run", "--events", file).output.splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["0.00", "s", "show_card", "answered_late", "answered-late"],
        ["4.20", "s", "hide_card", "answered_late", "answered-late"],
        ["6.50", "s", "show_card", "caller_silent", "caller-silent"],
    ]
    done = [json.loads(line) for line in run("run", "--json", "--until", 6_480, input=TALK).output.splitlines()]
    assert done[0] == {"at_ms": 0, "action": "count", "rule": "answered_late", "what": "fired"}
    assert "caller_silent" not in {action["rule"] for action in done}, "20 ms too early"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Begin with"),
        ('{"at_ms": 0, "event": "hold"}', "Begin with"),
        ('{"at_ms": 0, "event": "joined"}\n{"at_ms": 0, "event": "hole"}', "-:2: not an event: no event 'hole'"),
        ('{"at_ms": 9, "event": "joined"}\n{"at_ms": 8, "event": "hold"}', "-:2: at_ms is 8"),
        ('{"event": "joined"}', "-:1: at_ms is missing"),
        ("[]", "-:1: not an event"),
        ("nonsense", "-:1: not an event"),
        ('{"at_ms": "0", "event": "joined"}', "whole ms"),
    ],
)
def test_what_is_no_story_is_told_with_its_line(text, says):
    answer = run("run", input=text)
    assert answer.exit_code == 2 and says in answer.output


def test_files_that_cannot_be_read_are_told(tmp_path, folder):
    assert run("run", "--events", tmp_path / "none.jsonl").exit_code == 2
    assert run("report", tmp_path / "none.json").exit_code == 2
    (tmp_path / "bad.json").write_text("[1]")
    assert run("report", tmp_path / "bad.json").exit_code == 2
    _edit(folder / "rules.yaml", "card: answering", "card: answerin")
    assert run("run", folder / "rules.yaml", input=TALK).exit_code == 2


def test_the_report_names_what_nobody_uses(tmp_path):
    one, two = tmp_path / "1.json", tmp_path / "2.json"
    one.write_text(json.dumps({"listening": {"fired": 15, "shown": 15, "expired": 15}}))
    two.write_text(json.dumps({"listening": {"fired": 9, "shown": 9}, "before_hold": {"shown": 30, "used": 15}}))
    lines = run("report", one, two).output.splitlines()
    assert lines[1].split()[:3] == ["listening", "24", "24"] and "unused" in lines[1]
    rows = {row["rule"]: row for row in map(json.loads, run("report", "--json", one, two).output.splitlines())}
    assert rows["before_hold"]["used_share"] == 0.5 and not rows["before_hold"]["unused"]
    assert [name for name, row in rows.items() if row["unused"]] == ["listening"]
    assert not json.loads(run("report", "--json", "--enough", 25, one, two).output.splitlines()[0])["unused"]


def test_the_report_reads_the_records_of_talks(tmp_path):
    """As agent assist keeps them: a folder a day, and the counts of each agent who was in the talk."""
    events = [
        {"at_ms": 0, "event": "joined"},
        {"at_ms": 9_000, "event": "hints", "counts": {"listening": {"fired": 1, "shown": 1}}},
        {"at_ms": 20_000, "event": "hints", "counts": {"listening": {"fired": 2, "shown": 2, "used": 1}}},
    ]
    for day, name in (("2026-11-24", "one"), ("2026-11-25", "two")):
        (tmp_path / day).mkdir()
        (tmp_path / day / f"{name}.json").write_text(json.dumps({"talk": name, "caller": "", "events": events}))
    rows = {row["rule"]: row for row in map(json.loads, run("report", "--json", tmp_path).output.splitlines())}
    assert (rows["listening"]["fired"], rows["listening"]["shown"], rows["listening"]["used"]) == (6, 6, 2)
