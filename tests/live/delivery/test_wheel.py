"""An installation of the wheel, without a checkout, has flows, sounds, the dialplan, and a stack to call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from world import REPO


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The folder that the wheel is installed into; the libraries are those of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, REPO], check=True, timeout=300)
    [wheel] = folder.glob("hearline-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "lib", wheel], check=True, timeout=120)
    return folder


def hearline(installed: Path, *arguments: str, timeout: float = 60) -> str:
    """What the command prints, run in an empty folder."""
    (installed / "empty").mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEARLINE_")}
    environment |= {"PYTHONPATH": str(installed / "lib"), "HEARLINE_STATE": str(installed / "state"), "COLUMNS": "140"}
    command = [sys.executable, "-m", "hearline", *arguments]
    done = subprocess.run(
        command, cwd=installed / "empty", env=environment, timeout=timeout, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_carries_flows_sounds_and_dialplan(installed):
    shipped = installed / "lib" / "hearline" / "shipped"
    flow = str(shipped / "ivr_flows" / "hotline.yaml")
    assert "ok" in hearline(installed, "flow", "check", flow)
    caller = str(shipped / "sounds" / "zh" / "callers" / "caller-wei.wav")
    assert json.loads(hearline(installed, "flow", "run", flow, "--caller", caller, "--json"))["outcome"] == "queue:care"
    dialplan = hearline(installed, "dialplan")
    assert "[hearline-queue]" in dialplan
    hearline(installed, "dialplan", "--out", "out")
    assert str(shipped / "sounds") in (installed / "empty" / "out" / "hearline-globals.conf").read_text("utf-8")
    assert "all in order" in hearline(installed, "sounds", "check")


def test_the_wheel_installs_itself_on_an_asterisk(installed, tmp_path):
    asterisk = tmp_path / "asterisk"
    asterisk.mkdir()
    for name, text in (
        ("extensions.conf", "[globals]\n"),
        ("features.conf", "[applicationmap]\n"),
        ("manager.conf", "[general]\nenabled = yes\n"),
        ("modules.conf", "[modules]\nautoload = yes\n"),
        ("musiconhold.conf", ""),
        ("queues.conf", ""),
    ):
        (asterisk / name).write_text(text)
    units = tmp_path / "units"
    units.mkdir()
    journal = ["--journal", str(tmp_path / "journal.json"), "--no-reload"]
    where = ["--asterisk", str(asterisk), "--config", str(tmp_path / "own"), "--messages", str(tmp_path / "messages")]
    hearline(installed, "install", "--apply", *where, "--unit", str(units / "hearline.service"), *journal)
    shipped = installed / "lib" / "hearline" / "shipped"
    assert f"{shipped}/sounds" in (asterisk / "hearline" / "hearline-globals.conf").read_text("utf-8")
    assert (tmp_path / "own" / "flows" / "hotline.yaml").exists() and (units / "hearline.service").exists()
    hearline(installed, "uninstall", *journal)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["asterisk", "units"]


def test_the_wheel_brings_up_a_stack(installed):
    try:
        card = json.loads(hearline(installed, "stack", "up", "--json", timeout=150))
        assert "95160" in card["numbers"]
        assert json.loads(hearline(installed, "stack", "status", "--json"))
    finally:
        hearline(installed, "stack", "down")
