"""The command line, as scripts and people use it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import wave
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hearline.audio.wav import read_wav
from hearline.cli import dialplan
from hearline.cli.app import app
from hearline.core.settings import STATE_LONGEST, Settings, socket_of
from hearline.media.worker_client import WorkerDown
from hearline.pbx.ami_messages import proof_of
from hearline.pbx.config import KEY_CODES
from hearline.server.door import Door
from hearline.server.flow_store import FlowStore, load_calendar

REPO = Path(__file__).resolve().parents[2]
FLOW = str(REPO / "ivr_flows" / "hotline.yaml")
SPEECH = REPO / "sounds" / "zh" / "callers" / "caller-ask.wav"


def run(*arguments: str):
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture
def wav(tmp_path):
    def write(name: str, samples: np.ndarray, rate: int = 8_000) -> str:
        with wave.open(str(tmp_path / name), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(rate)
            out.writeframes(samples.astype("<i2").tobytes())
        return str(tmp_path / name)

    return write


@pytest.fixture
def caller(wav):
    """Somebody who speaks 5 s into the call, at −23 dBov plus ``gain_db``."""
    return lambda gain_db=0.0: wav(
        "caller.wav", np.concatenate([np.zeros(5 * 8_000), read_wav(SPEECH) * 10 ** (gain_db / 20)])
    )


@pytest.fixture
def silence(wav):
    return wav("silence.wav", np.zeros(800))


@pytest.mark.parametrize(
    "verb",
    [
        [],
        ["serve"],
        ["dialplan"],
        ["stack"],
        ["stack", "up"],
        ["stack", "prepare"],
        ["stack", "down"],
        ["stack", "status"],
        ["stack", "logs"],
        ["demo"],
        ["flow"],
        ["flow", "check"],
        ["flow", "run"],
        ["calendar"],
        ["calendar", "draft"],
        ["hints"],
        ["hints", "check"],
        ["hints", "run"],
        ["hints", "report"],
        ["listen"],
        ["sounds"],
        ["sounds", "check"],
        ["sounds", "make"],
    ],
)
def test_every_verb_explains_itself(verb):
    answer = run(*verb, "--help")
    assert answer.exit_code == 0
    usage, *said = [part for part in re.split(r"\n\n+", answer.output) if not part.startswith(("Options", "Commands"))]
    assert usage.startswith("Usage: ") and said
    for name, _, text in re.findall(r"^  (-\S+)( \S+)*?(?:  +|\n +)(\S.*)?$", answer.output, re.M):
        assert text, f"{name} is not explained"


def test_lists_in_help_stay_lists():
    lines = run("listen", "--help").output.splitlines()
    assert [line.split()[0] for line in lines if line.startswith(("    speech ", "    too_soft ", "    noise "))] == [
        "speech", "too_soft", "noise",
    ]  # fmt: skip
    assert "    hearline listen call.wav" in lines


def test_help_waits_for_no_library():
    """Verbs import what they need when they are called."""
    heavy = ["jinja2", "numpy", "onnxruntime", "prometheus_client", "pydantic", "rich", "yaml"]
    code = f"import sys, hearline.cli.app; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def typed(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    """As people type it who have a locale for western Europe."""
    command = [sys.executable, "-m", "hearline", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "latin-1"})


def test_what_the_locale_lacks_is_written_as_json_has_it(tmp_path):
    flow = tmp_path / "热线😀.yaml"
    flow.write_text("like: 无\n", "utf-8")
    told = typed("flow", "check", flow, "--json")
    assert json.loads(told.stdout)["file"] == str(flow) and not told.stderr
    in_words = typed("flow", "check", flow)
    assert in_words.returncode == told.returncode == 1 and rb"\u70ed\u7ebf\ud83d\ude00.yaml" in in_words.stdout
    helped = typed("--help")
    assert helped.returncode == 0 and b"Hearline answers" in helped.stdout


# ---- serve -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("option", "text", "remedy"),
    [
        ("allow", "foo", "Write addresses or networks, e.g. --allow 192.0.2.10,10.0.0.0/8"),
        ("allow", "10.0.0.5/8", "Write addresses or networks"),
        ("agi", "4573", "write HOST:PORT"),
        ("media", "localhost", "write HOST:PORT"),
        ("status", "127.0.0.1:99999", "write HOST:PORT"),
    ],
)
def test_serve_names_the_option_that_is_wrong_and_the_remedy(option, text, remedy, monkeypatch):
    given = run("serve", f"--{option}", text)
    monkeypatch.setenv(f"HEARLINE_{option.upper()}", text)
    from_environment = run("serve")
    for answer in (given, from_environment):
        assert answer.exit_code == 2
        assert f"hearline serve: --{option} (HEARLINE_{option.upper()}): " in answer.output
        assert text in answer.output and remedy in answer.output


# ---- dialplan --------------------------------------------------------------------------------------------------------
PARTS = (
    "", "-call", "-nuisance", "-fallback", "-queue", "-ring", "-lost", "-ended", "-phones-of", "-join", "-to-agent",
    "-to-queue", "-about", "-web-phone", "-pause", "-message", "-ivr", "-guard", "-channels",
)  # fmt: skip


def test_the_dialplan_is_printed_ready_to_be_included():
    answer = run("dialplan")
    assert answer.exit_code == 0
    contexts = re.findall(r"^\[(.+)\]$", answer.output, re.M)
    assert contexts == [f"hearline{x}" for x in PARTS]
    assert "{{" not in answer.output and "/stack/" not in answer.output


def test_the_other_files_are_written_beside_it_and_told_of(tmp_path, monkeypatch):
    monkeypatch.setenv("HEARLINE_AGI", "0.0.0.0:14573")
    monkeypatch.setenv("HEARLINE_SITE", "sh-1")
    answer = run("dialplan", "--out", tmp_path / "etc", "--messages", "/srv/messages")
    assert answer.exit_code == 0
    files = {file.name: file.read_text("utf-8") for file in (tmp_path / "etc").iterdir()}
    assert set(files) == set(dialplan.GOES_INTO)
    for name in files:
        assert f"{tmp_path / 'etc' / name}  in {dialplan.GOES_INTO[name]}" in answer.output
    assert files["hearline.conf"] == run("dialplan", "--messages", "/srv/messages").output
    assert re.findall(r"^(\w+) = (.+)$", files["hearline-globals.conf"], re.M) == [
        ("HEARLINE_AGI", "agi://127.0.0.1:14573"),
        ("HEARLINE_SITE", "sh-1"),
        ("HEARLINE_FALLBACK_QUEUE", "care"),
        ("HEARLINE_SOUNDS", str(REPO / "sounds")),
        ("HEARLINE_MESSAGES", "/srv/messages"),
        ("HEARLINE_KEYS", "#".join(f"hearline-{key}" for key in KEY_CODES.values())),
    ]
    assert all((tmp_path / "etc" / name).stat().st_mode & 0o044 for name in files), (
        "Asterisk reads them as another user"
    )


def test_with_agent_assist_one_file_holds_the_proof_and_is_closed_to_others(tmp_path, monkeypatch):
    (tmp_path / "secret").write_text("of the manager interface\n")
    monkeypatch.setenv("HEARLINE_AMI_SECRET_FILE", str(tmp_path / "secret"))
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "hearline-globals.conf").write_text("from before there was a secret, readable by all")
    assert run("dialplan", "--out", tmp_path / "etc").exit_code == 0
    proof = proof_of("of the manager interface")
    for file in (tmp_path / "etc").iterdir():
        text, closed = file.read_text("utf-8"), file.name == "hearline-globals.conf"
        assert (f"HEARLINE_PROOF = {proof}\n" in text) is (proof in text) is closed
        assert not closed or file.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("HEARLINE_AGI", "foo", "HEARLINE_AGI: 'foo' is not an address"),
        ("HEARLINE_SOUNDS", "/nowhere", "cannot be read"),
        ("HEARLINE_AMI_SECRET_FILE", "/nowhere", "HEARLINE_AMI_SECRET_FILE: /nowhere: No such file"),
        ("HEARLINE_AMI_SECRET_FILE", str(SPEECH), f"HEARLINE_AMI_SECRET_FILE: {SPEECH}: not UTF-8 text"),
    ],
)
def test_a_dialplan_that_cannot_be_made(variable, text, says, monkeypatch):
    monkeypatch.setenv(variable, text)
    answer = run("dialplan")
    assert answer.exit_code == 1 and says in answer.output


def test_the_fallback_queue_is_the_hotlines_or_there_is_no_dialplan(tmp_path, monkeypatch):
    flows = shutil.copytree(REPO / "ivr_flows", tmp_path / "flows")
    monkeypatch.setenv("HEARLINE_FLOWS", str(flows))
    hotline = (flows / "hotline.yaml").read_text("utf-8")
    (flows / "hotline.yaml").write_text(re.sub("(?m)^queue: .*$", "", hotline) + "\nqueue: seniors\n", "utf-8")
    assert run("dialplan", "--out", tmp_path / "out").exit_code == 0
    assert "HEARLINE_FALLBACK_QUEUE = seniors\n" in (tmp_path / "out" / "hearline-globals.conf").read_text()
    (flows / "hotline.yaml").write_text("begin: nowhere\n")
    answer = run("dialplan", "--out", tmp_path / "none")
    assert answer.exit_code == 1 and f"hearline flow check {flows / 'hotline.yaml'}` says why" in answer.output
    assert not (tmp_path / "none").exists()


WRONG = {
    "site": "Bad Site", "zone": "Asia/Shangai", "country": "China", "area_code": "010", "agi": "4573", "media": "x",
    "status": "x", "legs": "x", "page": "x", "phone": "x", "ami": "x", "ami_secret_file": "/nowhere", "allow": "x",
    "proxies": "x", "workers": "0", "recogniser_legs": "0", "whisper_tick": "perhaps", "audit_days": "0",
    "earlier_calls_days": "0", "trouble_days": "91", "page_certificate": "alone", "page_key": "alone",
    "try_it": "perhaps", "database": "mysql://root@localhost/calls",
    "timeline_days": "0", "figures_days": "89",
}  # fmt: skip
ANYTHING = {"flows", "sounds", "asterisk_templates", "state", "cache", "ami_user", "recogniser_model"}


def test_each_setting_can_be_wrong_or_is_whatever_one_likes():
    assert WRONG.keys() | ANYTHING == Settings.model_fields.keys()


@pytest.mark.parametrize("name", WRONG)
def test_serve_calls_a_wrong_setting_by_a_name_that_one_can_set(name, monkeypatch):
    if name.startswith("ami"):
        monkeypatch.setenv("HEARLINE_AMI", "127.0.0.1:5038")
        monkeypatch.setenv("HEARLINE_AMI_SECRET_FILE", FLOW)
    monkeypatch.setenv(f"HEARLINE_{name.upper()}", WRONG[name])
    answer = run("serve")
    assert answer.exit_code == 2 and len(answer.output.splitlines()) == 1
    option = f"--{name} (HEARLINE_{name.upper()})"
    known = set(re.findall(r"--[a-z-]+", run("serve", "--help").output))
    told = option if f"--{name}" in known else f"HEARLINE_{name.upper()}"
    assert answer.output.startswith(f"hearline serve: {told}: ") and "Value error" not in answer.output
    assert set(re.findall(r"--[a-z-]+", answer.output)) <= known


def test_serve_refuses_a_state_folder_with_no_room_for_its_socket(tmp_path, monkeypatch):
    """The longest path that fits is one that Linux takes."""
    monkeypatch.setenv("HEARLINE_AMI", "127.0.0.1:5038")
    monkeypatch.setenv("HEARLINE_AMI_SECRET_FILE", FLOW)
    monkeypatch.setenv("HEARLINE_STATE", "/a" + "州" * 28)
    monkeypatch.setenv("HEARLINE_AGI", "4573")  # it never serves here
    answer = run("serve")
    assert answer.exit_code == 2 and len(answer.output.splitlines()) == 1
    assert (
        answer.output.startswith("hearline serve: HEARLINE_STATE: the path has 86 bytes")
        and "at most 85" in answer.output
    )
    monkeypatch.chdir(tmp_path)
    longest = Path("a" * STATE_LONGEST)
    socket_of(longest).parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(socket_of(longest)))
    with socket.socket(socket.AF_UNIX) as taken, pytest.raises(OSError):
        taken.bind(str(socket_of(Path("a" * (STATE_LONGEST + 1)))))


@pytest.mark.parametrize("name", ["agi", "media", "status"])
def test_an_address_that_is_taken_is_called_by_the_name_of_its_setting(name, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = dict.fromkeys(("agi", "media", "status"), "127.0.0.1:0")
        where[name] = f"127.0.0.1:{taken.getsockname()[1]}"
        server = Door(Settings(state=tmp_path, **where))
        with pytest.raises((OSError, WorkerDown), match=f"HEARLINE_{name.upper()}") as told:
            server.start()
        server.watcher.stop()
        server._records.close()
    assert where[name] in str(told.value)


@pytest.mark.parametrize(
    "verb", [("flow", "check", "x.yaml"), ("dialplan",), ("callers", "forget", "1"), ("agents", "list")]
)
def test_a_variable_of_the_environment_that_is_wrong_is_called_by_its_name(verb):
    answer = subprocess.run(
        [sys.executable, "-m", "hearline", *verb],
        env=os.environ | {"HEARLINE_WORKERS": "abc"},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 2 and answer.stderr.startswith("hearline: HEARLINE_WORKERS: ")
    assert len(answer.stderr.splitlines()) == 1


@pytest.mark.parametrize("verb", [("flow", "check"), ("flow", "run")])
def test_sounds_that_are_not_there_are_told_of(verb, monkeypatch):
    monkeypatch.setenv("HEARLINE_SOUNDS", "/nowhere")
    answer = run(*verb, REPO / "ivr_flows" / "hotline.yaml")
    assert answer.exit_code and "/nowhere/manifest.yaml: cannot be read" in answer.output


def test_files_of_another_encoding_are_told_of(tmp_path, monkeypatch):
    flows = shutil.copytree(REPO / "ivr_flows", tmp_path / "flows")
    profiles = (flows / "profiles.yaml").read_text("utf-8")
    (flows / "profiles.yaml").write_text(profiles + "\n# 老年\n", "gbk")
    for name in ("profiles.yaml", "hotline.yaml"):
        answer = run("flow", "check", flows / name)
        assert answer.exit_code == 1 and f"{flows / 'profiles.yaml'}:1: not UTF-8 text" in answer.output
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds" / "manifest.yaml").write_text("brand: 蓝", "gbk")
    monkeypatch.setenv("HEARLINE_SOUNDS", str(tmp_path / "sounds"))
    for verb in ("dialplan", "sounds check"):
        answer = run(*verb.split())
        assert answer.exit_code and "manifest.yaml:1: not UTF-8 text" in answer.output


def test_templates_that_are_not_there_are_told_of(monkeypatch):
    monkeypatch.setenv("HEARLINE_ASTERISK_TEMPLATES", "/nowhere")
    answer = run("dialplan")
    assert answer.exit_code == 1 and "HEARLINE_ASTERISK_TEMPLATES: no templates in /nowhere/etc" in answer.output


def test_the_demo_says_that_softphones_are_missing_before_it_starts_anything(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("hearline.demo.play.play", lambda *_: pytest.fail("the demo has begun"))
    answer = run("demo", "--out", tmp_path)
    assert answer.exit_code == 1
    assert "pjsua2 is missing: run `make setup`, or pip install 'hearline[softphone]'" in answer.output


def test_the_demo_takes_away_nothing_but_its_own(tmp_path):
    (tmp_path / "1-speaks").mkdir()
    (tmp_path / "thesis.txt").touch()
    answer = run("demo", "--out", tmp_path)
    assert answer.exit_code == 1 and "give --out another folder" in " ".join(answer.output.split())
    assert (tmp_path / "thesis.txt").exists() and (tmp_path / "1-speaks").exists()


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").touch()
    answer = run("dialplan", "--out", tmp_path / "file")
    assert answer.exit_code == 1 and f"{tmp_path / 'file'}: " in answer.output and "--out" in answer.output


# ---- flow check ------------------------------------------------------------------------------------------------------
def test_the_shipped_flows_are_sound():
    files = sorted(map(str, (REPO / "ivr_flows").glob("*.yaml")))
    answer = run("flow", "check", *files)
    assert answer.exit_code == 0, answer.output
    assert answer.output.count(": ok") == len(files)


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_the_readme_shows_a_flow_as_it_is(readme):
    shown = re.findall(r"```yaml\n(.*?)```", (REPO / readme).read_text("utf-8"), re.DOTALL)
    assert shown and all(part in Path(FLOW).read_text("utf-8") for part in shown)


def test_a_bad_flow_names_file_line_and_remedy(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text((REPO / "ivr_flows/hotline.yaml").read_text().replace("play: opening", "play: openning"))
    answer = run("flow", "check", FLOW, bad)
    assert answer.exit_code == 1
    line = next(i for i, text in enumerate(bad.read_text().splitlines(), 1) if "openning" in text)
    assert f"{bad}:{line}: " in answer.output and "Did you mean 'opening'?" in answer.output
    machine = run("flow", "check", FLOW, bad, "--json")
    good, broken = map(json.loads, machine.stdout.splitlines())
    assert good["ok"] and not broken["ok"] and broken["faults"][0]["line"] == line


def test_calendars_are_checked_and_a_guessed_year_is_pointed_out(tmp_path):
    file = tmp_path / "calendar" / "china.yaml"
    file.parent.mkdir()
    file.write_text("2098:\n  guessed: true\n  holidays: {2098-01-01: 元旦}\n", "utf-8")
    answer = run("flow", "check", file)
    assert answer.exit_code == 0 and f"{file}: ok" in answer.output
    assert f"{file}:1: the days of 2098 are a guess. Draft it again, or correct it" in answer.output
    notes = json.loads(run("flow", "check", file, "--json").stdout)["notes"]
    assert [note["line"] for note in notes][-1] == 1
    file.write_text("2098:\n  holidays: {2099-01-01: 元旦}\n", "utf-8")
    answer = run("flow", "check", file)
    assert answer.exit_code == 1 and f"{file}:2: 2099-01-01 is not a day of 2098" in answer.output


def test_a_flow_is_checked_with_the_calendar_it_names(tmp_path):
    flows = shutil.copytree(REPO / "ivr_flows", tmp_path / "flows")
    office = flows / "office.yaml"
    office.write_text("like: hotline\nhours: {calendar: china, open: '09:00-18:00', closed: closed}\n", "utf-8")
    assert run("flow", "check", office).exit_code == 0
    (flows / "calendar" / "china.yaml").write_text("2026: {holidays: {2026-02-30: x}}\n", "utf-8")
    answer = run("flow", "check", office)
    assert answer.exit_code == 1 and f"{flows / 'calendar' / 'china.yaml'}:1: " in answer.output


def test_two_flows_of_a_folder_with_one_number(tmp_path):
    flows = shutil.copytree(REPO / "ivr_flows", tmp_path / "flows")
    hotline, training, other = (flows / name for name in ("hotline.yaml", "training.yaml", "a.yaml"))
    other.write_text('like: hotline\ntest_number: "8002"\n', "utf-8")  # training.yaml has it
    said = f"{training}:1: number 8002 belongs to a.yaml already. Give each flow a number of its own"
    store = FlowStore(flows, REPO / "sounds")
    store.refresh()
    assert store.rejected == {"training.yaml": said}
    for given in ([other, training], [training], [other]):
        answer = run("flow", "check", *given)
        assert answer.exit_code == 1 and answer.output.count(said) == 1, answer.output
    assert f"{other}: ok" in run("flow", "check", other, training).output
    assert run("flow", "check", hotline).exit_code == 0, "the clash of two others is none of its business"
    shutil.copy(other, tmp_path)  # another folder: no server loads both
    other.unlink()
    assert run("flow", "check", tmp_path / "a.yaml", training).exit_code == 0


# ---- calendar draft --------------------------------------------------------------------------------------------------
def test_a_draft_of_a_year_that_was_announced_is_what_is_shipped():
    draft = run("calendar", "draft", 2026).stdout
    assert draft in (REPO / "ivr_flows" / "calendar" / "china.yaml").read_text("utf-8")
    assert "    2026-10-01: 国庆节\n" in draft and "    2026-10-10: 国庆节调休\n" in draft and "guessed" not in draft


def test_a_draft_of_a_year_that_was_not_is_marked_as_a_guess_and_can_be_appended(tmp_path):
    file = tmp_path / "calendar" / "china.yaml"
    file.parent.mkdir()
    file.write_text(run("calendar", "draft", 2026).stdout + run("calendar", "draft", 2098).stdout, "utf-8")
    calendar, notes = load_calendar(file, date(2026, 6, 1))
    assert calendar.years[2098].guessed and not calendar.years[2026].guessed
    assert date(2098, 10, 1) in calendar.years[2098].holidays
    assert ["2098 are a guess" in note.problem for note in notes] == [True]


@pytest.mark.parametrize("missing", ["chinese_calendar", "holidays"])
def test_a_draft_without_its_libraries_names_the_command_that_brings_them(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    answer = run("calendar", "draft", 2098)
    assert answer.exit_code == 1 and not answer.stdout
    assert missing in answer.stderr and "pip install 'hearline[calendar]'" in answer.stderr


def test_the_server_imports_no_holiday_library():
    libraries = "{'holidays', 'chinese_calendar'}"
    code = f"import sys, hearline.server.door, hearline.server.assist; print({libraries} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_a_time_zone_that_there_is_not_is_told(monkeypatch):
    monkeypatch.setenv("HEARLINE_ZONE", "Asia/Shangai")
    answer = subprocess.run([sys.executable, "-m", "hearline", "flow", "check", FLOW], capture_output=True, text=True)
    assert answer.returncode == 2
    assert answer.stderr.startswith("hearline: HEARLINE_ZONE: 'Asia/Shangai' is not a known time zone. Did you mean")


def test_a_flow_that_is_not_there_or_is_a_folder():
    in_force = f"Give the path of a flow file; the flows in force are in {Settings().flows}"
    for verb, status in (("check", 1), ("run", 2)):
        answer = run("flow", verb, "/nowhere/x.yaml")
        assert answer.exit_code == status
        assert answer.output == f"/nowhere/x.yaml: No such file or directory. {in_force}\n"
    answer = run("flow", "check", REPO / "ivr_flows")
    assert answer.exit_code == 1 and f"Give files: {REPO / 'ivr_flows'}/*.yaml" in answer.output


def test_without_a_file_all_flows_in_force_are_checked(tmp_path, monkeypatch):
    flows = shutil.copytree(REPO / "ivr_flows", tmp_path / "flows")
    monkeypatch.setenv("HEARLINE_FLOWS", str(flows))
    monkeypatch.chdir(tmp_path)
    answer = run("flow", "check")
    assert answer.exit_code == 0
    checked = {*flows.glob("*.yaml"), *flows.glob("calendar/*.yaml")}
    assert {Path(line.removesuffix(": ok")) for line in answer.stdout.splitlines() if line.endswith(": ok")} == checked
    (flows / "calendar" / "china.yaml").write_text("2098: {holidays: {2099-01-01: 元旦}}\n", "utf-8")
    assert run("flow", "check").exit_code == 1
    monkeypatch.setenv("HEARLINE_FLOWS", str(tmp_path))
    answer = run("flow", "check")
    assert answer.exit_code == 1 and answer.output.startswith(f"{tmp_path}: no flows here. Set HEARLINE_FLOWS")


def test_hints_and_flows_that_are_given_to_each_others_check():
    for file in (REPO / "ivr_flows" / "hints").glob("*.yaml"):
        answer = run("flow", "check", file)
        assert answer.exit_code == 1
        assert answer.output == f"{file}: these are hints, not a flow. Check them with `hearline hints check {file}`\n"
    answer = run("hints", "check", FLOW)
    assert answer.exit_code == 1 and len(answer.output.splitlines()) == 1
    assert f"a flow is checked with `hearline flow check {FLOW}`" in answer.output


def test_findings_go_to_standard_output(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("nonsense: 1\n")
    hints = shutil.copytree(REPO / "ivr_flows" / "hints", tmp_path / "hints")
    (hints / "rules.yaml").write_text("nonsense: 1\n")
    for group, file in (("flow", bad), ("hints", hints / "rules.yaml")):
        answer = run(group, "check", file)
        assert answer.exit_code == 1 and f"{file}:1: " in answer.stdout and not answer.stderr


# ---- flow run --------------------------------------------------------------------------------------------------------
def flow_run(*arguments) -> dict:
    answer = run("flow", "run", FLOW, "--caller", *arguments, "--json")
    assert answer.exit_code == 0, answer.output
    assert answer.stdout.count("\n") == 1, "one object"
    return json.loads(answer.stdout)


@pytest.mark.parametrize("no_rtp", [[], ["--no-rtp"]])
def test_a_silent_caller(silence, no_rtp):
    result = flow_run(silence, *no_rtp)
    assert result["outcome"] == "hangup:noinput"
    starts = [(e["prompt"], e["at_ms"]) for e in result["events"] if e["event"] == "prompt_start"]
    ends = [e["at_ms"] for e in result["events"] if e["event"] == "prompt_end"]
    assert [prompt for prompt, _ in starts] == ["opening", "noinput-1", "noinput-2", "noinput-goodbye"]
    assert [start - end for (_, start), end in zip(starts[1:], ends)] == [3_000] * 3
    assert result["duration_ms"] - ends[-1] == 2_000
    reasons = {e["reason"] for e in result["events"] if e["event"] == "verdict"}
    assert reasons == ({"no_rtp"} if no_rtp else {"digital_silence"})
    assert all(e["at_ms"] == e["planned_ms"] for e in result["events"] if "planned_ms" in e), "a virtual clock is exact"


def test_a_caller_who_speaks(caller):
    result = flow_run(caller())
    assert result["outcome"] == "queue:care"
    [route] = [e for e in result["events"] if e["event"] == "route"]
    assert route["heard"] == "normal"


def test_a_caller_who_is_too_soft_once(caller):
    result = flow_run(caller(-29.0))
    assert result["outcome"] == "hangup:too_soft", "after the asking, silence: it still cannot be heard"
    prompts = [e["prompt"] for e in result["events"] if e["event"] == "prompt_start"]
    assert prompts == ["opening", "low-1", "low-2", "low-move", "low-goodbye"]


def test_a_caller_who_is_raised_instead(caller):
    answer = run("flow", "run", FLOW, "--caller", caller(-19.0))
    assert re.search(r"gain +\+9 dB \(-\d\d\.\d dBov\)", answer.output), answer.output
    assert "queue:care after" in answer.output


def test_a_key_and_a_hang_up_and_closed_hours(silence):
    assert flow_run(silence, "--key", "9000")["outcome"] == "queue:care"
    result = flow_run(silence, "--hangup-at", "9000")
    assert (result["outcome"], result["duration_ms"]) == ("hangup:caller", 9_000)
    assert flow_run(silence, "--closed")["outcome"] == "message"


@pytest.mark.parametrize(
    ("at", "outcome", "says"),
    [
        ("2026-10-01 07:59", "message", "Thu 2026-10-01 07:59 (Asia/Shanghai): closed, opens Thu 2026-10-01 08:00"),
        ("2026-10-01 08:00", "hangup:noinput", "open, closes Thu 2026-10-01 21:00"),
        ("2026-10-01T00:00Z", "hangup:noinput", "Thu 2026-10-01 08:00 (Asia/Shanghai): open"),
    ],
)
def test_a_moment_can_be_tried(silence, at, outcome, says, machine_zone):
    machine_zone("America/New_York")
    assert flow_run(silence, "--at", at)["outcome"] == outcome
    assert says in run("flow", "run", FLOW, "--caller", silence, "--at", at).output


def test_hours_without_a_zone_are_tried_in_the_sites(silence, tmp_path, monkeypatch):
    flow = tmp_path / "mine.yaml"
    flow.write_text('like: hotline\nhours: {open: "08:00-21:00", closed: closed}\n', "utf-8")
    monkeypatch.setenv("HEARLINE_ZONE", "Europe/Berlin")
    answer = run("flow", "run", flow, "--caller", silence, "--at", "2026-10-25 07:00")
    assert "Sun 2026-10-25 07:00 (Europe/Berlin): closed, opens Sun 2026-10-25 08:00" in answer.output


def test_a_moment_that_cannot_be_tried():
    answer = run("flow", "run", FLOW, "--at", "noon")
    assert answer.exit_code == 2 and "'noon' is not a time" in answer.output
    answer = run("flow", "run", FLOW, "--at", "2026-10-01 08:00", "--closed")
    assert answer.exit_code == 2 and "Leave out --closed" in answer.output


SURVEY = """\
begin: rate
steps:
  rate:
    play: opening
    collect: {name: rating, match: 1-5, personal: no}
    on: {collected: agent, nomatch: queue, noinput: queue}
  agent:
    collect: {name: agent, minlength: 4, maxlength: 6}
    on: {collected: queue:asked, nomatch: queue, noinput: queue}
"""


def test_keys_are_pressed_one_after_the_other(tmp_path):
    flow = tmp_path / "survey.yaml"
    flow.write_text(SURVEY)
    answer = run("flow", "run", flow, "--keys", "5@1.5s", "--keys", "4071#@3s")
    assert answer.exit_code == 0 and "queue:asked after 4.36 s" in answer.output, answer.output
    assert "rating: 5\n" in answer.output and "agent: 4 keys\n" in answer.output and "4071" not in answer.output


@pytest.mark.parametrize("keys", ["5@1", "5@soon", "@1s", "5a@1s", "5", "1s5", "٣@1s"])
def test_keys_that_cannot_be_pressed(keys):
    answer = run("flow", "run", FLOW, "--keys", keys)
    if keys == "5":  # plain ms, as ever
        assert answer.exit_code == 0
    else:
        assert answer.exit_code == 2 and "3@4.5s" in answer.output


def test_people_get_a_table(silence):
    answer = run("flow", "run", FLOW, "--caller", silence)
    assert answer.exit_code == 0
    assert "hangup:noinput" in answer.output and "noinput-goodbye" in answer.output


@pytest.mark.parametrize("bad", ["nothing.wav", FLOW])
def test_a_caller_that_is_no_recording(bad):
    answer = run("flow", "run", FLOW, "--caller", bad)
    assert answer.exit_code == 2
    assert bad.rpartition("/")[2] in answer.output
