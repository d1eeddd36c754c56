"""`hearline doctor` names what is wrong with a box, and that alone. Each check has a case that breaks exactly it."""

from __future__ import annotations

import json
import os
import re
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from healthy_box import ASTERISK, SECRET, SERVER, WORKER, Break, HealthyBox
from hearline.assist.selftest.whisper_permission import NOT_YET
from hearline.cli.app import app
from hearline.core.settings import made_pair
from hearline.doctor.box import NoServer, Wanted, settings_of_server
from hearline.doctor.checks import Finding, Level, Subject
from hearline.doctor.console import read_dialplan, read_queues
from hearline.doctor.machine_facts import Process
from hearline.doctor.run import CALL, STATIC, examine, exit_code
from hearline.doctor.subjects import files, trial
from hearline.doctor.subjects.server import FOR_PHONES
from hearline.pbx.ami import AmiRefused
from hearline.pbx.ami_messages import proof_of
from hearline.wire.certificates import make
from test_tls import sign

CHECKS = {check.id: check for subject in (*STATIC, CALL) for check in subject.checks}
WRONG = (Level.WARNING, Level.FAULT)


@pytest.fixture
def healthy(tmp_path) -> HealthyBox:
    return HealthyBox(tmp_path)


def levels(healthy: HealthyBox, *more: Subject) -> dict[str, Level]:
    return {result.check.id: result.finding.level for result in examine(healthy.box, (*STATIC, *more))}


def dependents(id: str) -> set[str]:
    """The checks that need this one, directly or not."""
    found: set[str] = set()
    while more := {check.id for check in CHECKS.values() if {id, *found} & set(check.needs)} - found:
        found |= more
    return found


def test_a_healthy_box_has_nothing_wrong(healthy):
    results = examine(healthy.box)
    assert [(result.check.id, result.finding.found) for result in results if result.finding.level is not Level.OK] == []
    assert exit_code(results) == 0


def test_checks_need_only_checks_that_exist_and_do_not_go_round_in_circles():
    assert len(CHECKS) == sum(len(subject.checks) for subject in (*STATIC, CALL)) >= 30
    for check in CHECKS.values():
        assert set(check.needs) <= CHECKS.keys()
        assert check.id not in dependents(check.id)


def _say_nothing(healthy: HealthyBox) -> None:
    healthy.say = {}
    without = [process for process in healthy.machine.processes() if process.pid != ASTERISK]
    healthy.machine.processes = lambda: without


def _without(*names: str) -> Break:
    def edit(healthy: HealthyBox) -> None:
        for name in names:
            healthy.hear("module show", name, f"gone-{name}")

    return edit


def _unaccounted(healthy: HealthyBox) -> None:
    healthy.accounts.remove("8017")


def _no_whisper(healthy: HealthyBox) -> None:
    (healthy.own_sounds("zh") / "lanzhi" / "opening.wav").unlink()


def _unspoken(healthy: HealthyBox) -> None:
    manifest = healthy.sounds / "manifest.yaml"
    text = manifest.read_text("utf-8")
    manifest.unlink()
    manifest.write_text(re.sub(r"queues:\n +care: \S+", "queues: {}", text), "utf-8")


def _last_years(healthy: HealthyBox) -> None:
    flows = healthy.settings.flows
    calendar = "timezone: Asia/Shanghai\n2001:\n  holidays: {2001-01-01: new year}\n"
    (flows / "calendar" / "old.yaml").write_text(calendar)
    hours = '{calendar: old, open: "08:00-21:00", closed: closed}'
    (flows / "extra.yaml").write_text(f'like: hotline\nnumber: "8101"\nhours: {hours}\n')


def _few_descriptors(healthy: HealthyBox, of: int) -> None:
    healthy.machine.descriptors = lambda pid: 1_024 if pid == of else 9_999


def _phones_in_pages(healthy: HealthyBox, *deaf: int) -> None:
    healthy.set(phone="127.0.0.1:8088")
    healthy.say["module show"] += "".join(f"{module}  x  0  Running  core\n" for module in FOR_PHONES)
    healthy.say["pjsip show endpoints"] += " Endpoint:  web-8016/8016    Unavailable   0 of inf\n"
    healthy.say["pjsip show endpoint web-8016"] = healthy.say["pjsip show endpoint agent-8016"]
    healthy.deaf.update(deaf)


def _taken(healthy: HealthyBox) -> None:
    other = Process(99, 1, ("/usr/bin/other",))
    processes = [*healthy.machine.processes(), other]
    healthy.machine.processes = lambda: processes
    healthy.machine.listeners = lambda: {5038: ASTERISK, 4573: SERVER, 9092: other.pid}


NOT_HERE = {"login": {"assist-connected", *dependents("assist-connected")}}
"""What cannot run besides the dependents: agent assist, which has the same login."""
BREAKS: dict[str, Break] = {
    # ---- Asterisk
    "console": _say_nothing,
    "version": lambda b: b.hear("core show version", "Asterisk 22.10", "Asterisk 22.3"),
    "modules": _without("res_agi.so"),
    "modules-assist": _without("app_chanspy.so"),
    "module-volume": _without("func_volume.so"),
    "module-refer": _without("res_pjsip_refer.so"),
    "whispers-over-silence": lambda b: b.say.update(
        {"bridge technology show": "Name  Type  Priority  Suspended\nsimple_bridge  1to1Mix  50  No\n"}
    ),
    # ---- dialplan
    "configuration": lambda b: (b.etc / "extensions.conf").unlink(),
    "included": lambda b: b.edit("musiconhold.conf", '#tryinclude "hearline', ';"'),
    "tryinclude": lambda b: b.edit("queues.conf", "#tryinclude", "#include"),
    "files": lambda b: b.edit("hearline.conf", "Set(TIMEOUT(absolute)=900)", "Set(TIMEOUT(absolute)=800)"),
    "contexts": lambda b: b.hear("dialplan show", "'hearline-fallback'", "'fallback'"),
    "globals": lambda b: b.hear("dialplan show globals", "HEARLINE_SITE=test", "HEARLINE_SITE=other"),
    "proof": lambda b: b.hear("dialplan show globals", proof_of(SECRET), "another"),
    "entry": lambda b: b.hear("dialplan show 8001@from-trunk", "Goto(hearline,", "Goto(elsewhere,"),
    "clocks": lambda b: (
        b.hear("dialplan show", "Goto(hearline,${EXTEN},1)", "GotoIfTime(8:00-20:00,*,*,*?hearline,${EXTEN},1)"),
        setattr(b.machine, "offset_minutes", lambda zone: 480 if zone else 0),
    ),
    # ---- queues and agents
    "queues": lambda b: b.hear("queue show", "care has", "cars has"),
    "members": lambda b: b.say.update({"queue show": b.say["queue show"].partition("Members:")[0] + "No Members\n"}),
    "member-phones": lambda b: b.hear("queue show", "from PJSIP/agent-8016", "from PJSIP/agent-9999"),
    "spoken-queues": lambda b: _unspoken(b),
    "wrapup": lambda b: (b.edit("queues.conf", "strategy = rrmemory", "strategy = rrmemory\nwrapuptime = 10"),),
    "music": lambda b: b.hear("moh show classes", "hearline", "other"),
    "keys": lambda b: b.hear("features show", "hearline-mute", "other-mute"),
    "key-codes": lambda b: b.say.update({"features show": b.say["features show"] + "theirs  no def  *6\n"}),
    "accounts": _unaccounted,
    "teams": lambda b: b.accounts.set_role("8001", team="alone"),
    # ---- SIP and sound
    "transport": lambda b: b.say.update({"pjsip show transports": "No objects found.\n"}),
    "rtp-ports": lambda b: b.hear("rtp show settings", "20999", "20099"),
    "endpoints": lambda b: b.say.update({"pjsip show endpoints": "No objects found.\n"}),
    "dtmf": lambda b: b.say.update({"pjsip show endpoint caller": " dtmf_mode : none\n allow : (alaw)\n"}),
    "codecs": lambda b: b.say.update({"pjsip show endpoint caller": " dtmf_mode : auto\n allow : (g729)\n"}),
    "direct-media": lambda b: b.say.update({"pjsip show endpoint caller": " direct_media : true\n allow : (alaw)\n"}),
    "public-address": lambda b: b.edit(
        "pjsip.conf", "[transport-udp]", "[trunk]\ntype=identify\nmatch=8.8.8.8\n[transport-udp]"
    ),
    # ---- manager interface
    "secret": lambda b: b.set(ami_secret_file=b.etc / "no-such-file"),
    "secret-private": lambda b: b.settings.ami_secret_file.chmod(0o444),
    "login": lambda b: (setattr(b, "refuses", "Authentication failed"), b.ready["assist"].update(connected=False)),
    "may-call": lambda b: b.actions.pop("Redirect"),
    "may-originate": lambda b: b.actions.pop("Originate"),
    "may-reporting": lambda b: b.actions.pop("CoreShowChannels"),
    "sees-call": lambda b: b.hear("manager show user hearline-assist", "read perm: call,", "read perm: "),
    "sees-agent": lambda b: b.hear("manager show user hearline-assist", ",agent", ""),
    "sees-user": lambda b: b.hear("manager show user hearline-assist", "agent,user", "agent"),
    "too-much": lambda b: b.hear("manager show user hearline-assist", "write perm: ", "write perm: system,"),
    "channelvars": lambda b: b.edit("manager.conf", "HEARLINE_QUEUED_AT,", ""),
    "channelvars-once": lambda b: b.edit("manager.conf", "channelvars =", "channelvars = THEIRS\nchannelvars ="),
    "eventfilter": lambda b: b.edit("manager.conf", "secret =", "eventfilter(name(Hold),action(exclude)) =\nsecret ="),
    "loopback": lambda b: b.edit("manager.conf", "bindaddr = 127.0.0.1", "bindaddr = 0.0.0.0"),
    # ---- the server
    "addresses": lambda b: b.set(agi="4573", ami="5038", page="9673"),
    "server": lambda b: b.set(status="down:1"),
    "agi": lambda b: setattr(b, "alive", ""),
    "audiosocket": lambda b: b.deaf.add(9092),
    "prompts": lambda b: b.ready.update(unreadable_prompts={"zh/lanzhi/opening": "not a WAV"}),
    "same-settings": lambda b: setattr(b.machine, "environment", lambda pid: {"HEARLINE_SITE": "other"}),
    "assist-connected": lambda b: b.ready["assist"].update(connected=False),
    "assist-gets-all": lambda b: b.ready["assist"].update(missing=["manager.conf: `read` lacks agent"]),
    "legs": lambda b: b.deaf.add(9192),
    "whispers": lambda b: b.ready["assist"].update(whispers=False, why="a caller would hear them"),
    "hints-in-force": lambda b: b.ready["assist"].update(rejected_hints="rules.yaml:3: …"),
    "page": lambda b: setattr(b, "page", 502),
    "page-phones": lambda b: _phones_in_pages(b, 8088),
    # ---- files
    "flows": lambda b: (b.settings.flows / "travel.yaml").write_text("begin: nowhere\n"),
    "calendars": lambda b: _last_years(b),
    "hints": lambda b: (b.settings.flows / "hints" / "rules.yaml").write_text("no: rules\n"),
    "sounds": _no_whisper,
    "sounds-readable": lambda b: setattr(b.machine, "lets", lambda user, path, what: "whisper" not in str(path)),
    "messages": lambda b: b.messages.chmod(0o755),
    "state": lambda b: b.set(state=b.etc / "no-such-folder"),
    "proof-private": lambda b: (b.etc / "hearline-globals.conf").chmod(0o644),
    "certificates": lambda b: b.edit("http.conf", "enabled = no", "tlscertfile = /no/such.pem"),
    "page-certificate": lambda b: b.set(page="192.0.2.10:9673"),
    # ---- the machine
    "clock": lambda b: setattr(b.machine, "clock_is_set", lambda: False),
    "disk-state": lambda b: setattr(b.machine, "free_bytes", lambda f: 10**11 if f == b.messages else 10**7),
    "disk-messages": lambda b: setattr(b.machine, "free_bytes", lambda f: 10**9 if f == b.messages else 10**11),
    "descriptors-asterisk": lambda b: _few_descriptors(b, ASTERISK),
    "descriptors-hearline": lambda b: _few_descriptors(b, SERVER),
    "scheduling": lambda b: setattr(b.machine, "runs_ahead", lambda pid: pid != WORKER),
    "ports": lambda b: _taken(b),
}


@pytest.mark.parametrize("id", BREAKS)
def test_what_is_broken_is_named_alone(healthy, id):
    BREAKS[id](healthy)
    results = {result.check.id: result.finding for result in examine(healthy.box)}
    found = {name: finding.level for name, finding in results.items()}
    assert {name: results[name].found for name, level in found.items() if level in WRONG}.keys() == {id}
    assert results[id].found and results[id].wanted and results[id].remedy
    blocked = dependents(id) & found.keys() if found[id] is Level.FAULT else set()
    not_run = {name for name, level in found.items() if level is Level.NOT_RUN}
    assert not_run == blocked | NOT_HERE.get(id, set())


def test_every_check_has_a_case():
    assert {*BREAKS, "assist"} == {check.id for subject in STATIC for check in subject.checks}


def _certified(healthy: HealthyBox, *names: str) -> tuple[Path, Path]:
    healthy.set(page="192.0.2.10:9673")
    pair = made_pair(healthy.settings.state)
    make(*pair, names or ["192.0.2.10"])
    return pair


def _page_certificate(healthy: HealthyBox) -> Finding:
    return CHECKS["page-certificate"].look(healthy.box)


def test_a_certificate_in_order_is_named(healthy):
    _certified(healthy)
    assert _page_certificate(healthy).found == "for 192.0.2.10, 396 days, made by Hearline"
    pair = _certified(healthy)
    sign(pair, timedelta(days=-1), timedelta(days=100, hours=1))
    assert _page_certificate(healthy).found == "for desk.example.com, 100 days, of others' making"


@pytest.mark.parametrize(
    ("breaks", "level", "found", "remedy"),
    [
        (lambda b, p: p[1].chmod(0o604), Level.FAULT, "every account", "chmod o= "),
        (lambda b, p: make(p[0], p[1].with_name("x"), ["192.0.2.10"]), Level.FAULT, "is not the key", "make --for"),
        (lambda b, p: p[0].write_text("rubbish"), Level.FAULT, "no certificate in PEM", "renew"),
        (lambda b, p: sign(p, timedelta(-9), timedelta(-1)), Level.FAULT, "ended on", "renew"),
        (lambda b, p: sign(p, timedelta(-9), timedelta(9, 60)), Level.WARNING, "ends in 9 days", "renew"),
        (lambda b, p: make(*p, ["desk"]), Level.WARNING, "is for desk, not for 192.0.2.10", "make --for 192.0.2.10"),
        (lambda b, p: b.set(page_certificate=p[0], page_key=p[1].with_name("no")), Level.FAULT, "No such file", "make"),
        (
            lambda b, p: setattr(b.machine, "lets", lambda user, path, what: path.name != "key.pem"),
            Level.FAULT, "the server's account cannot read", "chown :hearline",
        ),
    ],
)  # fmt: skip
def test_a_certificate_that_is_not_in_order_is_named(healthy, breaks, level, found, remedy):
    breaks(healthy, _certified(healthy))
    finding = _page_certificate(healthy)
    assert finding.level is level and found in finding.found and remedy in finding.remedy, finding


def test_a_certificate_that_the_unit_hides_from_the_server_is_named(healthy, monkeypatch):
    pair = _certified(healthy)
    monkeypatch.setattr(files, "HIDDEN", (str(pair[0].parent),))
    assert _page_certificate(healthy).level is Level.OK, "the server was started by hand"
    healthy.machine.environment = lambda pid: {"HEARLINE_SITE": "test", "INVOCATION_ID": "1"}
    finding = _page_certificate(healthy)
    assert finding.level is Level.FAULT and f"hides {pair[0]}" in finding.found and "/etc/hearline" in finding.remedy


@pytest.mark.parametrize(
    ("command", "before", "after", "found"),
    [
        ("module show", "res_crypto.so", "", "not loaded: res_crypto.so"),
        ("pjsip show endpoints", "web-8016", "web8016", "no endpoint is called web-NUMBER"),
        ("module show", "res_crypto.so", "res_crypto.so", "Asterisk's HTTP server at 127.0.0.1:8088"),
    ],
)
def test_what_is_found_of_phones_in_pages(healthy, command, before, after, found):
    _phones_in_pages(healthy)
    healthy.hear(command, before, after)
    assert CHECKS["page-phones"].look(healthy.box).found == found


def test_whispers_that_were_not_tried_yet_are_no_fault(healthy):
    healthy.ready["assist"].update(whispers=False, why=NOT_YET)
    assert CHECKS["whispers"].look(healthy.box).level is Level.NOT_RUN


def test_a_setting_that_is_misspelt_is_named(healthy):
    set_there = {"HEARLINE_SITE": "test", "HEARLINE_PAGE_CERT": "x", "HEARLINE_MIRROR": "y"}
    healthy.machine.environment = lambda pid: set_there
    finding = CHECKS["same-settings"].look(healthy.box)
    assert finding.level is Level.WARNING and "HEARLINE_PAGE_CERT," in finding.found and "MIRROR" not in finding.found


def test_a_page_in_plain_http_is_in_order_behind_a_proxy_elsewhere(healthy):
    healthy.set(page="192.0.2.10:9673", proxies="192.0.2.1")
    assert _page_certificate(healthy).level is Level.OK


def test_no_secret_and_no_callers_number_comes_out(healthy):
    trouble = Subject("trouble")

    @trouble.check("leaks", "Nothing comes out")
    def leaks(box):
        raise ValueError(f"{SECRET} {proof_of(SECRET)} Local/13800005678@from-trunk")

    [result] = examine(healthy.box, [trouble])
    assert result.finding.level is Level.FAULT and "ValueError" in result.finding.found
    for hidden in (SECRET, proof_of(SECRET), "13800005678"):
        assert hidden not in str(result.finding)
    assert "5678" in result.finding.found


def test_a_check_that_fails_itself_ends_nothing(healthy):
    healthy.machine.clock_is_set = lambda: 1 / 0
    found = levels(healthy)
    assert {name for name, level in found.items() if level is not Level.OK} == {"clock"}


def test_what_was_not_run_names_what_it_comes_from(healthy):
    healthy.actions.pop("Originate")
    results = {result.check.id: result.finding for result in examine(healthy.box, (*STATIC, CALL))}
    said = {results[id].found for id in ("call-placed", "call-ivr", "call-opening", "call-ended")}
    assert said == {"not run because of may-originate"}


def test_who_may_not_use_the_console_is_told_to_be_root(healthy):
    healthy.say = {}
    results = examine(healthy.box)
    assert exit_code(results) == 2
    [console] = [result.finding for result in results if result.check.id == "console"]
    assert "cannot be reached" in console.found and console.remedy.startswith("sudo ")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_what_this_account_may_not_look_at_is_no_fault_of_the_box(healthy):
    for folder in (healthy.settings.state, healthy.settings.ami_secret_file):
        os.chown(folder, 0, 0)
    healthy.set(page_certificate=healthy.settings.state / "c", page_key=healthy.settings.state / "k")
    for folder in (healthy.etc, *healthy.etc.parents)[:-2]:
        folder.chmod(0o755)
    for file in healthy.etc.iterdir():
        file.chmod(0o600 if file.name == "manager.conf" else 0o644)
    os.seteuid(65_534)
    try:
        found = {result.check.id: result.finding for result in examine(healthy.box)}
    finally:
        os.seteuid(0)
    for id in ("secret", "state", "page-certificate"):
        assert found[id].level is Level.NOT_RUN and "may not look at" in found[id].found, (id, found[id])
        assert found[id].remedy.startswith("sudo ")
    assert "manager.conf: Permission denied" in found["configuration"].found
    assert {id for id, finding in found.items() if finding.level in WRONG} == {"configuration"}


@pytest.mark.parametrize(
    ("state", "page", "level"),
    [
        (0o755, 0o755, Level.WARNING),
        (0o750, 0o750, Level.WARNING),
        (0o3770, 0o2770, Level.OK),
        (0o2775, 0o2775, Level.WARNING),
    ],
)
def test_a_group_may_share_what_the_server_keeps_of_people_and_nobody_else(healthy, state, page, level):
    folder = healthy.box.settings.state
    (folder / "page").mkdir(exist_ok=True)
    (folder / "page").chmod(page)
    folder.chmod(state)
    assert levels(healthy)["state"] is level


def test_where_one_login_is_allowed_the_servers_own_counts(healthy):
    healthy.refuses = "Authentication failed"
    results = {result.check.id: result.finding for result in examine(healthy.box)}
    assert results["login"].level is Level.NOT_RUN and "allowmultiplelogin" in results["login"].found
    assert results["may-call"].level is Level.NOT_RUN
    assert results["assist-connected"].level is Level.OK
    assert not [id for id, finding in results.items() if finding.level in WRONG]


def test_exit_codes(healthy):
    healthy.ready["assist"].update(whispers=False)
    assert exit_code(examine(healthy.box)) == 1
    healthy.deaf.add(9092)
    assert exit_code(examine(healthy.box)) == 2


def test_without_agent_assist_calls_are_checked_all_the_same(healthy):
    healthy.set(ami="", ami_secret_file=None)
    healthy.ready.pop("assist")
    found = levels(healthy)
    assert {name: level for name, level in found.items() if level in WRONG} == {}
    assert found["assist"] is Level.NOT_RUN
    for name in ("modules", "entry", "queues", "agi", "audiosocket", "flows"):
        assert found[name] is Level.OK


# ---- a call ----------------------------------------------------------------------------------------------------------
ROW = {"flow": "hotline", "step": "opening", "state": "playing", "at_ms": 40}


def test_a_call_is_followed_to_its_end(healthy):
    healthy.calls = [[], [ROW], [ROW], [ROW | {"state": "waiting", "at_ms": 6_900}], []]
    results = examine(healthy.box, (*STATIC, CALL))
    assert {result.finding.level for result in results} == {Level.OK}
    said = {result.check.id: result.finding.found for result in results}
    assert said["call-placed"] == "to 8001@from-trunk"
    assert said["call-opening"] == "step opening had played after 6.9 s"
    assert [action for action, _ in healthy.asked][-2:] == ["Originate", "Hangup"]


@pytest.mark.parametrize(
    ("calls", "named"),
    [([], "call-ivr"), ([[ROW], []], "call-opening"), ([[ROW], *[[ROW]] * 99], "call-opening")],
)
def test_a_call_that_goes_wrong_is_named(healthy, monkeypatch, calls, named):
    for name in ("COMES_S", "OPENS_S", "ENDS_S"):
        monkeypatch.setattr(trial, name, 0.2)
    healthy.calls = list(calls)
    found = levels(healthy, CALL)
    assert {name for name, level in found.items() if level in WRONG} == {named}
    assert {name for name, level in found.items() if level is Level.NOT_RUN} == dependents(named)


def test_a_call_that_does_not_end_is_named(healthy, monkeypatch):
    monkeypatch.setattr(trial, "ENDS_S", 0.2)
    waiting = [ROW | {"state": "waiting"}]
    healthy.calls = [[ROW], *[waiting] * 99]
    assert {name for name, level in levels(healthy, CALL).items() if level in WRONG} == {"call-ended"}


def test_a_call_that_asterisk_refuses_is_named(healthy, monkeypatch):
    ask = HealthyBox._ask
    monkeypatch.setattr(HealthyBox, "_ask", lambda self, action, **h: _refuse(action) or ask(self, action, **h))
    assert {name for name, level in levels(healthy, CALL).items() if level in WRONG} == {"call-placed"}


def _refuse(action: str) -> None:
    if action == "Originate":
        raise AmiRefused("Permission denied")


# ---- what the console says -------------------------------------------------------------------------------------------
def test_freepbx_members_are_read():
    said = (
        "600 has 0 calls (max unlimited) in 'ringall' strategy (0s holdtime, 0s talktime), W:0, C:0, A:0, SL:0.0%\n"
        "   Members: \n"
        "      Ann Example (Local/8016@from-queue/n from hint:8016@ext-local) (ringinuse disabled) (Not in use) has\n"
        "   No Callers\n"
    )
    [member] = read_queues(said)["600"]
    assert (member.interface, member.phone) == ("Local/8016@from-queue/n", "hint:8016@ext-local")
    assert member.number == "8016"


def test_a_member_by_hint_is_named_by_the_work_number_alone_and_hears_no_whisper_before_the_join(healthy):
    ours = "Local/agent-8016@hearline-ring/n from PJSIP/agent-8016"
    healthy.hear("queue show", f"8016 ({ours})", "Ann Example (Local/8021@from-queue/n from hint:8021@ext-local)")
    healthy.say["core show hint 8021"] = "  8021@ext-local  : PJSIP/8021&Custom:DND8021  State:Idle  Watchers  0\n"
    for number in ("8017", "8018", "8019"):
        healthy.hear("queue show", f"@hearline-ring/n from PJSIP/agent-{number}", f"@ours/n from PJSIP/agent-{number}")
    _unspoken(healthy)
    found = {result.check.id: result.finding for result in examine(healthy.box)}
    assert found["accounts"].found == "1 members have no account: 8021"
    assert found["spoken-queues"].level is Level.OK
    assert not any("Ann" in f"{finding.found}{finding.remedy}" for finding in found.values())


def test_a_hint_that_names_a_phone_is_a_members_phone(healthy):
    healthy.hear("queue show", "from PJSIP/agent-8016", "from hint:8016@ext-local")
    healthy.say["core show hint 8016"] = "  8016@ext-local  : PJSIP/8016&Custom:DND8016  State:Idle  Watchers  0\n"
    assert levels(healthy)["member-phones"] is Level.OK
    healthy.say["core show hint 8016"] = "No hints matching extension 8016\n"
    assert levels(healthy)["member-phones"] is Level.WARNING


def test_a_call_finds_its_way_over_several_contexts(healthy):
    healthy.say["dialplan show"] += (
        "[ Context 'from-pstn' created by 'pbx_config' ]\n"
        "  '_X.' =>          1. Set(x=1)                                   [extensions.conf:3]\n"
        "                    2. Goto(ext-did,${EXTEN},1)                   [extensions.conf:4]\n"
        "[ Context 'ext-did' created by 'pbx_config' ]\n"
        "  Include =>        'from-trunk'                                  [pbx_config]\n"
    )
    healthy.wanted = Wanted(context="from-pstn")
    assert levels(healthy)["entry"] is Level.OK
    healthy.wanted = Wanted(context="no-such-context")
    assert levels(healthy)["entry"] is Level.FAULT
    healthy.wanted = Wanted()
    [entry] = [result for result in examine(healthy.box) if result.check.id == "entry"]
    assert entry.finding.found == "from from-trunk"


def test_files_that_are_included_by_way_of_another_file_count(healthy):
    """As an installation has it: Hearline's files lie in a folder of their own."""
    folder = healthy.etc / "hearline"
    folder.mkdir()
    for name in ("hearline.conf", "hearline-globals.conf"):
        (healthy.etc / name).rename(folder / name)
    lines = '#tryinclude "hearline-globals.conf"\n#tryinclude "hearline.conf"'
    healthy.edit("extensions.conf", lines, '#include "custom/*.conf"')
    (healthy.etc / "custom").mkdir()
    (healthy.etc / "custom" / "ours.conf").write_text(lines.replace('"h', '"hearline/h'))
    found = levels(healthy)
    assert {name for name, level in found.items() if level is not Level.OK} == set()


def test_labels_and_notes_in_the_dialplan_are_read():
    said = read_dialplan(
        "[ Context 'one' created by 'pbx_config' ]\n"
        "  's' =>            1. Answer()                                   [hearline.conf:12]\n"
        "     [ask]          2. Set(A=[x])                                 [hearline.conf:13]\n"
        "                    3. Hangup()\n"
    )
    assert said["one"].steps == {"s": ["Answer()", "Set(A=[x])", "Hangup()"]}


def test_a_box_that_others_use_is_never_told_to_mix_all_its_calls(healthy):
    BREAKS["whispers-over-silence"](healthy)
    [result] = [one for one in examine(healthy.box) if one.check.id == "whispers-over-silence"]
    assert "cards alone" in result.finding.remedy and "#tryinclude" not in result.finding.remedy


def test_the_command_line_prints_json_and_its_exit_code(tmp_path):
    file = tmp_path / "asterisk"
    file.mkdir()
    result = CliRunner().invoke(app, ["doctor", "--json", "--asterisk", str(file)])
    said = json.loads(result.stdout)
    assert result.exit_code == 2
    assert {one["check"] for one in said["checks"]} == {*BREAKS, "assist"}
    assert said["counts"]["fault"] == sum(one["level"] == "fault" for one in said["checks"])


def test_the_settings_can_be_those_of_the_running_server(healthy):
    server = Process(SERVER, 1, ("python", "/opt/bin/hearline", "serve", "--agi", "192.0.2.5:4573"))
    healthy.machine.processes = lambda: [Process(ASTERISK, 1, ("asterisk",)), server]
    healthy.machine.environment = lambda pid: {"HEARLINE_SITE": "north", "HEARLINE_AGI": "127.0.0.1:1", "PATH": "/bin"}
    settings = settings_of_server(healthy.machine)
    assert (settings.site, settings.agi) == ("north", "192.0.2.5:4573")
    healthy.machine.processes = lambda: [server, server]
    with pytest.raises(NoServer, match="several"):
        settings_of_server(healthy.machine)
    healthy.machine.processes = lambda: []
    with pytest.raises(NoServer, match="no Hearline server"):
        settings_of_server(healthy.machine)


def test_the_table_shows_remedies_and_sums_up_what_was_not_run(tmp_path):
    result = CliRunner().invoke(app, ["doctor", "--asterisk", str(tmp_path / "none")])
    assert "configuration" in result.stdout and "not run because of configuration: " in result.stdout
