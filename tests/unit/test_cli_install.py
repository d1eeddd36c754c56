"""`hearline install` and `uninstall` as people use them: options, words, exit statuses."""

from __future__ import annotations

import errno
import os
import shutil

import pytest
from typer.testing import CliRunner

from hearline.cli.app import app
from hearline.core.settings import Settings
from hearline.install import reload
from install_box import Box


@pytest.fixture(params=["debian", "freepbx"])
def box(request, tmp_path) -> Box:
    return Box(tmp_path / "box", request.param)


def options(box: Box) -> list[str]:
    messages = box.path / "var/spool/asterisk/hearline-messages"
    return [
        "--asterisk", str(box.asterisk), "--config", str(box.config), "--unit", str(box.unit), "--no-reload",
        "--messages", str(messages), "--journal", str(box.journal),
    ]  # fmt: skip


def install(box: Box, *more: str):
    return CliRunner().invoke(app, ["install", *options(box), *more])


def uninstall(box: Box, *more: str):
    return CliRunner().invoke(app, ["uninstall", "--no-reload", "--journal", str(box.journal), *more])


def test_without_an_option_it_shows_what_would_change(box):
    before = box.shown()
    seen = install(box)
    assert seen.exit_code == 0, seen.output
    assert '+#tryinclude "hearline/extensions.conf"' in seen.output and "`--apply` makes them" in seen.output
    assert box.differs_from(before) == []


def test_there_and_back(box):
    before = box.shown()
    done = install(box, "--apply")
    assert done.exit_code == 0, done.output
    assert f"write: {box.unit}" in done.output and "next: systemctl enable --now hearline" in done.output
    secret = (box.config / "ami-secret").read_text().strip()
    assert secret and secret not in done.output and secret not in install(box).output
    assert (box.config / "flows" / "hotline.yaml").exists()
    assert f"HEARLINE_FLOWS={box.config}/flows" in (box.config / "hearline.env").read_text()
    installed = box.shown()
    assert "nothing to change" in install(box).output
    assert install(box, "--apply").exit_code == 0
    assert box.differs_from(installed) == []
    shown = uninstall(box, "--plan")
    assert '-#tryinclude "hearline/extensions.conf"' in shown.output and secret not in shown.output
    assert box.differs_from(installed) == []
    assert uninstall(box).exit_code == 0
    assert box.differs_from(before) == []
    assert "not installed" in uninstall(box).output


def test_the_settings_that_were_given_reach_the_server_and_the_dialplan(box, monkeypatch):
    monkeypatch.setenv("HEARLINE_AGI", "10.0.0.7:4573")
    monkeypatch.setenv("HEARLINE_ALLOW", "127.0.0.0/8, 10.0.0.5")
    assert install(box, "--apply").exit_code == 0
    monkeypatch.delenv("HEARLINE_AGI")
    monkeypatch.delenv("HEARLINE_ALLOW")
    assert "HEARLINE_AGI = agi://10.0.0.7:4573\n" in (box.asterisk / "hearline/hearline-globals.conf").read_text()
    assert "IPAddressAllow=localhost 10.0.0.5/32\n" in box.unit.read_text()
    assert "nothing to change" in install(box).output, "its own file of settings says the same"


def test_without_agent_assist_the_manager_interface_is_left_alone(box):
    before = box.shown()
    assert install(box, "--apply", "--no-assist").exit_code == 0
    assert not [path for path in box.differs_from(before) if "manager" in path or "secret" in path]
    assert "LoadCredential" not in box.unit.read_text()


def test_the_servers_own_account_can_read_all_but_the_secret(box):
    install(box, "--apply")
    for path in (box.config, box.config / "flows", box.config / "hearline.env", box.config / "flows/hotline.yaml"):
        assert path.stat().st_mode & 0o004, path
    assert (box.config / "ami-secret").stat().st_mode & 0o777 == 0o400
    for file in ("hearline-globals.conf", "manager.conf"):
        assert (box.asterisk / "hearline" / file).stat().st_mode & 0o007 == 0


def test_what_is_wrong_is_said(box, tmp_path):
    other = {"debian": "freepbx", "freepbx": "debian"}[box.profile]
    before = box.shown()
    for given, status, said in (
        (["--plan", "--apply"], 2, "exclude each other"),
        (["--profile", "other"], 2, "there are `debian` and `freepbx`"),
        (["--profile", other], 1, f"use --profile {box.profile}"),
        (["--asterisk", str(tmp_path / "nowhere")], 1, "is no folder"),
    ):
        seen = install(box, *given)
        assert seen.exit_code == status and said in seen.output, seen.output
    assert box.differs_from(before) == []


def test_freepbx_takes_no_bridges(tmp_path):
    box = Box(tmp_path / "box", "freepbx")
    seen = install(box, "--apply", "--bridges")
    assert seen.exit_code == 1 and "modules.conf belongs to FreePBX" in seen.output


def test_a_running_asterisk_is_asked_to_reload(tmp_path, monkeypatch):
    """By the console of the Asterisk that uses these files, and of no other."""
    box = Box(tmp_path / "box", "debian")
    program = tmp_path / "bin" / "asterisk"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/asked\n')
    program.chmod(0o755)
    monkeypatch.setattr("hearline.pbx.console.PLACES", str(program.parent))
    given = [option for option in options(box) if option != "--no-reload"]
    done = CliRunner().invoke(app, ["install", *given, "--apply"])
    assert done.exit_code == 0 and "asterisk: dialplan reload\n" in done.output
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == [f"-C {box.asterisk}/asterisk.conf -rx {command}" for command in reload.COMMANDS.values()]
    program.write_text("#!/bin/sh\nexit 1\n")
    gone = CliRunner().invoke(app, ["uninstall", "--journal", str(box.journal)])
    assert gone.exit_code == 0 and "nothing was reloaded" in gone.output


def test_a_setting_that_is_wrong_is_named(box, monkeypatch):
    monkeypatch.setenv("HEARLINE_SITE", "Not A Site")
    seen = install(box)
    assert seen.exit_code == 2 and "HEARLINE_SITE" in seen.output


def test_somebody_elses_files_need_root(box, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    seen = install(box, "--apply")
    assert seen.exit_code == 1 and "run this as root" in seen.output


def test_flows_that_are_there_are_used_and_left_alone(box, flows):
    shipped = Settings.model_fields["flows"].default
    folder = box.config / "flows"
    folder.mkdir(parents=True)
    for name in ("hotline.yaml", "profiles.yaml"):
        (folder / name).write_bytes((shipped / name).read_bytes())
    (folder / "calendar").symlink_to(shipped / "calendar")
    before = box.shown()
    assert install(box, "--apply").exit_code == 0
    assert not [path for path in box.differs_from(before) if "etc/hearline/flows" in path]
    assert uninstall(box).exit_code == 0
    assert box.differs_from(before) == []


def test_where_asterisk_was_removed_first_the_rest_goes_all_the_same(box):
    before = box.shown()
    assert install(box, "--apply").exit_code == 0
    shutil.rmtree(box.asterisk)
    seen = uninstall(box)
    assert seen.exit_code == 0, seen.output
    assert [path for path in box.differs_from(before) if "etc/asterisk" not in path] == []


def test_a_setting_that_is_misspelt_is_named(box):
    box.config.mkdir(parents=True)
    (box.config / "hearline.env").write_text("HEARLINE_PAGE_CERT=/x\nHEARLINE_SITE=north\nPATH=/bin\n")
    seen = install(box)
    assert seen.exit_code == 0 and "hearline.env: HEARLINE_PAGE_CERT is no setting" in seen.output
    assert seen.output.count("is no setting") == 1


@pytest.mark.parametrize(
    ("number", "said"), [(errno.ENOSPC, "No space left on device"), (errno.EPERM, "even to root: see `lsattr`")]
)
def test_a_disk_that_takes_nothing_more_is_named_with_the_file_and_what_to_do(box, monkeypatch, number, said):
    def refuse(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fsync", refuse)
    seen = install(box, "--apply")
    assert seen.exit_code == 1 and said in seen.output and "hearline-install.json" in seen.output
    assert "None" not in seen.output and "run this as root" not in seen.output and "run this again" in seen.output
