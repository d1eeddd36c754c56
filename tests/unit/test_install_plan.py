"""Installing on somebody's Asterisk: what is planned, what is changed, and that nothing of it stays."""

from __future__ import annotations

import os

import pytest

from asterisk_trees import FREEPBX_LINKED, MODULE
from hearline.install.difference import HIDDEN, difference
from hearline.install.disk import look
from hearline.install.profiles import PROFILES
from hearline.install.reload import calls_inside
from hearline.install.run import Refused
from hearline.install.wanted import merged_variables, theirs_alone
from hearline.pbx.ami_messages import proof_of
from hearline.pbx.conf_files import last, read
from hearline.pbx.config import CHANNEL_VARIABLES
from install_box import SECRET, Box

LINE = '#tryinclude "hearline/{}"'


@pytest.fixture(params=["debian", "freepbx"])
def box(request, tmp_path) -> Box:
    return Box(tmp_path / "box", request.param)


@pytest.fixture
def debian(tmp_path) -> Box:
    return Box(tmp_path / "box", "debian")


@pytest.fixture
def freepbx(tmp_path) -> Box:
    return Box(tmp_path / "box", "freepbx")


def texts(box: Box) -> dict[str, str]:
    return {str(file.relative_to(box.asterisk)): file.read_text() for file in box.asterisk.rglob("*") if file.is_file()}


# ---- there and back --------------------------------------------------------------------------------------------------
def test_a_plan_changes_nothing(box):
    before = box.shown()
    assert box.prepared().plan.steps
    assert box.differs_from(before) == []


def test_installed_and_taken_away_nothing_is_left(box):
    before = box.shown()
    assert box.install().left == ()
    assert box.differs_from(before)
    assert box.uninstall().left == ()
    assert box.differs_from(before) == []


def test_a_second_installation_changes_nothing(box):
    box.install()
    before = box.shown()
    assert box.install().steps == ()
    assert box.prepared().plan.steps == ()
    assert box.differs_from(before) == []


def test_what_is_not_installed_cannot_be_taken_away(box):
    before = box.shown()
    assert box.uninstall() is None
    assert box.differs_from(before) == []


def test_owners_modes_and_links_stay(box):
    before = box.shown()
    box.install()
    after = box.shown()
    assert {path: seen[:3] for path, seen in before.items()} == {path: after[path][:3] for path in before}
    assert [path for path in before if before[path][0].startswith("l") and before[path] != after[path]] == []


def test_new_folders_and_files_are_asterisks_and_closed_to_others(box):
    box.install()
    theirs = (box.asterisk / "extensions.conf").stat()
    messages = (box.path / "var/spool/asterisk/hearline-messages").stat()
    for path, mode in (
        ("", 0o750),
        ("/hearline.conf", 0o640),
        ("/hearline-globals.conf", 0o640),
        ("/manager.conf", 0o640),
    ):
        status = (box.asterisk / f"hearline{path}").stat()
        assert (status.st_uid, status.st_gid) == (theirs.st_uid, theirs.st_gid), path
        if box.profile == "debian":
            assert status.st_mode & 0o777 == mode, path
    assert (messages.st_mode & 0o777, messages.st_uid) == (0o700, theirs.st_uid)


def test_each_file_of_theirs_gets_one_line_at_its_end(debian):
    before = texts(debian)
    debian.install()
    after = texts(debian)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"extensions.conf", "features.conf", "musiconhold.conf", "queues.conf"}
    for name in changed:
        assert after[name] == before[name] + ("" if before[name].endswith("\n") else "\n") + LINE.format(name) + "\n"
    assert after["manager.d/hearline.conf"] == LINE.format("manager.conf") + "\n"
    new = {name for name in after if name not in before}
    assert {name for name in new if not name.startswith("hearline/")} == {"manager.d/hearline.conf"}


def test_all_of_it_counts_where_asterisk_reads_it(box):
    """Read as Asterisk reads: from its own files on, with each section that ours add to there before."""
    box.install()
    found = texts(box)
    for main, section, name in (
        ("extensions.conf", "globals", "HEARLINE_AGI"),
        ("extensions.conf", "hearline", "exten"),
        ("features.conf", "applicationmap", "hearline-mute"),
        ("musiconhold.conf", "hearline", "directory"),
        ("queues.conf", "hearline-queue", "musicclass"),
        ("manager.conf", "hearline-assist", "read"),
    ):
        assert last(read(main, found), section, name), (main, section, name)
    assert last(read("manager.conf", found), "hearline-assist", "secret").value == SECRET
    assert last(read("extensions.conf", found), "globals", "HEARLINE_PROOF").value == proof_of(SECRET)
    assert [line.place for line in read("modules.conf", found) if "hearline" in line.value] == []


# ---- what changes in between -----------------------------------------------------------------------------------------
def test_what_people_change_meanwhile_survives(debian):
    expected = texts(debian)
    debian.install()
    for name in ("extensions.conf", "queues.conf", "manager.d/hearline.conf"):
        file = debian.asterisk / name
        file.write_text("; above\n" + file.read_text() + "[theirs]\nexten => 1,1,NoOp()\n")
    (debian.asterisk / "new.conf").write_text("new\n")
    for name in ("extensions.conf", "queues.conf"):
        end = "" if expected[name].endswith("\n") else "\n"
        expected[name] = "; above\n" + expected[name] + end + "[theirs]\nexten => 1,1,NoOp()\n"
    expected["manager.d/hearline.conf"] = "; above\n[theirs]\nexten => 1,1,NoOp()\n"
    expected["new.conf"] = "new\n"
    debian.uninstall()
    assert texts(debian) == expected


def test_a_line_that_people_have_taken_out_comes_back_with_the_next_installation(debian):
    before = debian.shown()
    debian.install()
    installed = debian.shown()
    (debian.asterisk / "queues.conf").write_text("[general]\npersistentmembers = yes\n")
    assert [step.path.rpartition("/")[2] for step in debian.install().steps] == ["queues.conf"]
    assert debian.differs_from(installed) == ["var/lib/hearline-install.json"]
    (debian.asterisk / "queues.conf").write_text("[general]\npersistentmembers = yes")
    debian.uninstall()
    assert debian.differs_from(before) == []


def test_a_file_of_ours_that_people_have_changed_is_not_written_over_and_stays(debian):
    debian.install()
    ours = debian.asterisk / "hearline" / "hearline.conf"
    ours.write_text("; mine now\n")
    with pytest.raises(Refused, match="hearline.conf has been changed since Hearline wrote it"):
        debian.install()
    done = debian.uninstall()
    assert [left for left in done.left if str(ours) in left]
    assert [left for left in done.left if left.startswith(f"{ours.parent} stays")]
    assert ours.read_text() == "; mine now\n"


def test_flows_belong_to_people_from_the_first_day_on(debian):
    debian.install()
    flow = debian.config / "flows" / "hotline.yaml"
    flow.write_text("number: 10086\n")
    assert debian.install().steps == ()
    done = debian.uninstall()
    assert flow.read_text() == "number: 10086\n"
    assert any(str(flow) in left for left in done.left)


def test_a_flow_that_people_have_removed_does_not_come_back(debian):
    debian.install()
    (debian.config / "flows" / "hotline.yaml").unlink()
    assert debian.install().steps == ()


def test_what_was_there_already_is_not_ours(debian):
    debian.config.mkdir()
    (debian.config / "ami-secret").write_text("theirs\n")
    before = debian.shown()
    debian.install()
    debian.uninstall()
    assert debian.differs_from(before) == []


def test_a_new_version_writes_its_files_again_and_the_rest_stays(debian):
    before = debian.shown()
    debian.install()
    debian.changes["channel_variables"] = "HEARLINE_PROOF,HEARLINE_NEW"
    steps = debian.install().steps
    assert [step.path.removeprefix(str(debian.asterisk)) for step in steps] == ["/hearline/manager.conf"]
    debian.changes["secret"] = ""
    gone = {step.path.removeprefix(str(debian.asterisk)): step.act for step in debian.install().steps}
    assert gone == {
        "/features.conf": "write",
        "/manager.d/hearline.conf": "remove",
        "/hearline/manager.conf": "remove",
        "/hearline/features.conf": "remove",
        "/hearline/hearline-manager.conf": "remove",
        "/hearline/hearline-features.conf": "remove",
    }
    debian.uninstall()
    assert debian.differs_from(before) == []


def test_a_file_of_theirs_behind_a_link_gets_the_line_and_the_link_stays(debian):
    kept = debian.path / "srv" / "extensions.conf"
    kept.parent.mkdir()
    (debian.asterisk / "extensions.conf").rename(kept)
    (debian.asterisk / "extensions.conf").symlink_to(kept)
    before = debian.shown()
    debian.install()
    assert (debian.asterisk / "extensions.conf").is_symlink()
    assert kept.read_text().endswith(LINE.format("extensions.conf") + "\n")
    debian.uninstall()
    assert debian.differs_from(before) == []


# ---- channelvars -----------------------------------------------------------------------------------------------------
def test_their_channel_variables_are_repeated_with_ours(freepbx):
    freepbx.install()
    found = last(read("manager.conf", texts(freepbx)), "general", "channelvars")
    assert found.file == "hearline/manager.conf"
    names = found.value.split(",")
    assert found.value.startswith("AMPUSER,CALLERID(num-pres),CUT(X,-,1),HEARLINE_PROOF,")
    assert names.count("CALLERID(num-pres)") == 1
    assert set(CHANNEL_VARIABLES) <= set(names)


@pytest.mark.parametrize(
    ("theirs", "ours", "merged"),
    [("", "A,B", "A,B"), ("B", "A,B", "B,A"), ("CUT(X,-,1), B", "A,CUT(X,-,1)", "CUT(X,-,1),B,A")],
)
def test_variables_are_merged(theirs, ours, merged):
    assert merged_variables(theirs, ours) == merged


def test_a_setting_that_would_override_ours_is_named(debian):
    (debian.asterisk / "manager.d" / "zz.conf").write_text("[general](+)\nchannelvars = THEIRS\n")
    assert any("manager.d/zz.conf:2 sets channelvars" in said for said in debian.prepared().wishes.conflicts)


def test_without_manager_d_the_line_goes_into_manager_conf(debian):
    (debian.asterisk / "manager.conf").write_text("[general]\nenabled = yes\n")
    before = debian.shown()
    debian.install()
    assert last(read("manager.conf", texts(debian)), "hearline-assist", "read")
    assert not (debian.asterisk / "manager.d" / "hearline.conf").exists()
    debian.uninstall()
    assert debian.differs_from(before) == []


def test_a_folder_that_is_included_and_missing_is_made(debian):
    (debian.asterisk / "manager.d" / "README.conf").unlink()
    (debian.asterisk / "manager.d").rmdir()
    before = debian.shown()
    debian.install()
    assert last(read("manager.conf", texts(debian)), "hearline-assist", "read")
    assert debian.install().steps == ()
    debian.uninstall()
    assert debian.differs_from(before) == []


# ---- what forbids it -------------------------------------------------------------------------------------------------
def test_a_section_that_is_missing_is_opened(debian):
    (debian.asterisk / "features.conf").write_text("[general]\n")
    debian.install()
    assert (debian.asterisk / "hearline/features.conf").read_text().splitlines()[1] == "[applicationmap]"


def test_without_autoload_the_modules_are_named(debian):
    (debian.asterisk / "modules.conf").write_text("[modules]\nautoload = no\n")
    debian.install()
    loaded = [line.value for line in read("modules.conf", texts(debian)) if line.name == "load"]
    assert "app_audiosocket.so" in loaded


def test_bridges_are_changed_only_if_asked_for(debian):
    debian.install()
    assert not (debian.asterisk / "hearline" / "hearline-bridges.conf").exists()
    debian.changes["bridges"] = True
    debian.install()
    refused = [line.value for line in read("modules.conf", texts(debian)) if line.name == "noload"]
    assert "bridge_simple.so" in refused


def test_a_line_of_ours_that_was_there_before_stays(debian):
    file = debian.asterisk / "queues.conf"
    file.write_text(file.read_text() + '\n#tryinclude "hearline/queues.conf"\n; mine\n')
    before = debian.shown()
    debian.install()
    debian.install()
    assert [left for left in debian.uninstall().left if "queues.conf keeps the line" in left]
    assert debian.differs_from(before) == []


def test_capitals_and_a_mark_before_the_text_hide_nothing_of_theirs(debian):
    file = debian.asterisk / "manager.conf"
    text = file.read_text().replace("[general]\n", "[General]\r\nchannelvars = THEIRS\r\n")
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    before = debian.shown()
    debian.install()
    assert "channelvars = THEIRS,HEARLINE" in (debian.asterisk / "hearline" / "manager.conf").read_text()
    debian.uninstall()
    assert debian.differs_from(before) == []


def test_a_second_section_of_the_same_name_does_not_count_and_is_no_reason_to_refuse(debian):
    file = debian.asterisk / "manager.conf"
    file.write_text(
        file.read_text().replace("[general]\n", "[general]\nchannelvars = A\n") + "[general]\nchannelvars = B\n"
    )
    debian.install()
    assert "channelvars = A,HEARLINE" in (debian.asterisk / "hearline" / "manager.conf").read_text()


def test_a_file_for_thousands_of_phones_is_read(freepbx):
    file = freepbx.asterisk / "extensions_additional.conf"
    file.write_text(file.read_text() + "".join(f"exten => {n},1,Dial(PJSIP/{n})\n" for n in range(200_000)))
    assert file.stat().st_size > 4 * 1024 * 1024
    assert not freepbx.prepared().wishes.conflicts


def test_a_file_that_asterisk_reads_from_a_database_is_named(debian):
    (debian.asterisk / "extconfig.conf").write_text("[settings]\nextensions.conf => odbc,asterisk\nqueues => odbc,x\n")
    with pytest.raises(Refused, match=r"extconfig.conf:2 has Asterisk read extensions.conf from a database"):
        debian.install()


def test_hearline_included_by_hand_is_named(debian):
    with open(debian.asterisk / "extensions.conf", "a") as file:
        file.write('#tryinclude "hearline.conf"\n')
    with pytest.raises(Refused, match=r"extensions.conf:\d+ includes Hearline's files already"):
        debian.install()


def test_a_file_in_our_place_is_named_and_stays(debian):
    (debian.asterisk / "hearline").mkdir()
    (debian.asterisk / "hearline" / "hearline.conf").write_text("; theirs\n")
    before = debian.shown()
    with pytest.raises(Refused, match="was not written by `hearline install`"):
        debian.install()
    assert debian.differs_from(before) == []


def test_a_link_in_place_of_our_folder_is_not_followed(debian):
    (debian.path / "elsewhere").mkdir()
    (debian.asterisk / "hearline").symlink_to(debian.path / "elsewhere")
    with pytest.raises(Refused, match="hearline is not a folder: move it away"):
        debian.install()
    assert list((debian.path / "elsewhere").iterdir()) == []


def test_a_file_with_two_names_is_not_parted(debian):
    os.link(debian.asterisk / "queues.conf", debian.path / "queues-too.conf")
    with pytest.raises(Refused, match=r"queues.conf has 2 names \(hard links\)"):
        debian.install()


def test_the_profile_is_found_out_and_a_wrong_one_refused(box):
    tree = look(box.asterisk, ())
    other = next(name for name in PROFILES if name != box.profile)
    assert box.order().profile(tree, None) == box.profile
    with pytest.raises(Refused, match=f"use --profile {box.profile}"):
        box.order().profile(tree, other)


# ---- FreePBX ---------------------------------------------------------------------------------------------------------
def test_nothing_that_freepbx_writes_itself_is_touched(freepbx):
    before = freepbx.shown()
    freepbx.install()
    changed = {path.removeprefix("etc/asterisk/") for path in freepbx.differs_from(before) if path in before}
    assert changed == {
        "globals_custom.conf", "extensions_custom.conf", "features_applicationmap_custom.conf", "manager_custom.conf",
        "queues_post_custom.conf", "musiconhold_custom.conf",
    }  # fmt: skip
    for name in FREEPBX_LINKED:
        assert (freepbx.path / MODULE / name).read_text() == FREEPBX_LINKED[name]


def test_a_custom_file_that_is_missing_is_made_and_goes_again(freepbx):
    custom = freepbx.asterisk / "musiconhold_custom.conf"
    custom.unlink()
    before = freepbx.shown()
    freepbx.install()
    assert custom.read_text() == LINE.format("musiconhold.conf") + "\n"
    freepbx.uninstall()
    assert freepbx.differs_from(before) == []


def test_a_custom_file_that_is_a_link_is_refused(freepbx):
    (freepbx.asterisk / "globals_custom.conf").unlink()
    (freepbx.asterisk / "globals_custom.conf").symlink_to(f"../../{MODULE}/features.conf")
    with pytest.raises(Refused, match="is a link into .*FreePBX's own files stay untouched"):
        freepbx.install()


def test_a_custom_file_that_nothing_includes_is_named(freepbx):
    (freepbx.asterisk / "extensions_additional.conf").write_text("; Do NOT edit this file\n[globals]\n")
    with pytest.raises(Refused, match="extensions.conf does not include globals_custom.conf"):
        freepbx.install()


def test_the_features_that_freepbx_gives_its_channels_stay(freepbx):
    freepbx.install()
    lines = read("extensions.conf", texts(freepbx))
    assert [line.place for line in lines if line.name == "DYNAMIC_FEATURES"] == ["extensions_additional.conf:3"]
    for line in lines:
        if "Set(DYNAMIC_FEATURES=" in line.value:
            assert "${DYNAMIC_FEATURES}" in line.value


def test_callers_wait_in_freepbxs_own_queues(freepbx):
    freepbx.install()
    context = last(read("extensions.conf", texts(freepbx)), "globals", "HEARLINE_QUEUE_CONTEXT")
    assert context.value == "ext-queues"


def test_on_debian_queues_are_entered_directly(debian):
    debian.install()
    context = last(read("extensions.conf", texts(debian)), "globals", "HEARLINE_QUEUE_CONTEXT")
    assert context is None or context.value == ""


def test_the_custom_destination_is_said(freepbx):
    freepbx.install()
    assert ";   hearline,95160,1\n" in (freepbx.asterisk / "hearline" / "extensions.conf").read_text()


# ---- taking it away while it is used ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("extensions.conf", "[in]\nexten => 1,1,Goto(hearline,${EXTEN},1)\n"),
        ("queues.conf", "[care](hearline-queue)\n"),
        ("queues.conf", "[care]\nmember => Local/a@hearline-ring/n,0,1,PJSIP/a\n"),
    ],
)
def test_it_stays_while_their_files_lead_to_it(debian, name, text):
    debian.install()
    with open(debian.asterisk / name, "a") as file:
        file.write(text)
    before = debian.shown()
    with pytest.raises(Refused, match=f"your files still lead to Hearline: {name}"):
        debian.uninstall()
    assert debian.differs_from(before) == []
    assert debian.uninstall(anyway=True)
    assert (debian.asterisk / name).read_text().endswith(text)


def test_it_stays_while_calls_are_in_it(debian):
    debian.install()
    with pytest.raises(Refused, match=r"calls are in Hearline \(1 channels\)"):
        debian.uninstall(lambda _: "PJSIP/a-1!hearline!95160!7!Up!AGI!x\n")


def test_the_guard_is_no_call():
    lines = "PJSIP/a-1!hearline-queue!s!7!Up!Queue!care\nLocal/watch@h-1;2!hearline-guard!watch!3!Up!AGI!\n" * 2
    assert calls_inside(lambda _: lines) == 2
    assert calls_inside(lambda _: None) == 0


# ---- reloads ---------------------------------------------------------------------------------------------------------
def test_only_what_has_changed_is_read_again(debian):
    asked: list[str] = []

    def console(command: str) -> str:
        asked.append(command)
        return ""

    assert debian.install(console).reloaded == tuple(asked)
    assert asked == [
        "moh reload", "module reload app_queue.so", "module reload features", "dialplan reload", "manager reload",
    ]  # fmt: skip
    asked.clear()
    debian.install(console)
    assert asked == []
    debian.changes["channel_variables"] = "HEARLINE_PROOF"
    debian.install(console)
    assert asked == ["manager reload"]


def test_a_running_asterisk_forgets_our_variables_before_our_file_goes(debian):
    """It keeps them when the setting just vanishes."""
    before = debian.shown()
    debian.install()
    seen = []

    def console(command: str) -> str:
        if command == "manager reload":
            found = last(read("manager.conf", texts(debian)), "general", "channelvars")
            seen.append(found and found.value)
        return ""

    debian.uninstall(console)
    assert seen == ["", None]
    assert debian.differs_from(before) == []


def test_where_they_have_variables_theirs_count_again(freepbx):
    freepbx.install()
    seen = []

    def console(command: str) -> str:
        if command == "manager reload":
            seen.append(last(read("manager.conf", texts(freepbx)), "general", "channelvars").value)
        return ""

    freepbx.uninstall(console)
    assert seen == ["AMPUSER,CALLERID(num-pres),CUT(X,-,1)"]


def test_lines_go_before_the_reload_and_files_after_it(debian):
    debian.install()
    seen = []

    def console(command: str) -> str:
        seen.append((command, "hearline/" in (debian.asterisk / "extensions.conf").read_text(),
                     (debian.asterisk / "hearline" / "hearline.conf").exists()))  # fmt: skip
        return ""

    debian.uninstall(console)
    assert ("dialplan reload", False, True) in seen


# ---- the diff --------------------------------------------------------------------------------------------------------
def test_the_diff_shows_what_comes_and_no_secret(box):
    steps = box.prepared().plan.steps
    told = difference(steps, [str(box.config / "ami-secret")])
    assert f"+secret = {HIDDEN}" in told and f"+HEARLINE_PROOF = {HIDDEN}" in told
    assert SECRET not in told and proof_of(SECRET) not in told
    assert "theirs-alone" not in told and "also-theirs" not in told
    assert "+" + LINE.format("extensions.conf") in told
    for step in steps:
        assert step.path in told


def test_of_copies_the_diff_shows_the_names(debian):
    steps = debian.prepared().plan.steps
    flows = str(debian.config / "flows")
    assert "+number: 95160" in difference(steps)
    told = difference(steps, named=flows)
    assert f"new file {flows}/hotline.yaml (mode 0644)\n" in told and "number: 95160" not in told


def test_our_lines_are_no_text_of_theirs():
    theirs = theirs_alone({"a.conf": 'x\n#tryinclude "hearline/a.conf"\ny', "hearline/a.conf": "z"})
    assert theirs == {"a.conf": "x\n\ny"}
