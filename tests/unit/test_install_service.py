"""The systemd unit that an installation writes: what it starts, what it may, and how exposed systemd finds it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hearline.core.settings import Settings
from hearline.install.releases import lasting
from hearline.install.service import STATE, environment_file, peers, read_environment, unit

REPO = Path(__file__).resolve().parents[2]
CONFIG = Path("/etc/hearline")
PROGRAM = Path("/opt/hearline/.venv/bin/hearline")
EXPOSURE = 1.5
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze here")


def text(assist: bool = True, program: Path = PROGRAM, **settings) -> str:
    return unit(program, CONFIG, Settings(**{"state": STATE} | settings), assist)


@needs_systemd
@pytest.mark.parametrize("assist", [True, False])
def test_systemd_finds_it_hardly_exposed(tmp_path, assist):
    file = tmp_path / "hearline.service"
    file.write_text(text(assist))
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(file)], capture_output=True, text=True
    )
    found = re.search(r"exposure level for hearline.service: ([0-9.]+)", done.stdout + done.stderr)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= EXPOSURE


@needs_systemd
def test_systemd_understands_it(tmp_path):
    program = tmp_path / "hearline"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    file = tmp_path / "hearline.service"
    file.write_text(text(program=program))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "hearline.service" in line]
    assert (done.returncode, said) == (0, [])


def test_the_example_in_the_guide_is_this_unit():
    """The guide installs by hand what `hearline install` writes."""
    assert (REPO / "docs" / "hearline.service").read_text("utf-8") == text(assist=False)


def test_the_secret_comes_as_a_credential_only_with_agent_assist():
    assert "LoadCredential=ami-secret:/etc/hearline/ami-secret" in text()
    assert "Environment=HEARLINE_AMI_SECRET_FILE=%d/ami-secret" in text()
    assert "ami-secret" not in text(assist=False)


def test_a_state_elsewhere_may_be_written_to(tmp_path):
    assert "StateDirectory=hearline" in text()
    elsewhere = text(state=tmp_path)
    assert f"ReadWritePaths={tmp_path}" in elsewhere and "StateDirectory=hearline" not in elsewhere


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "localhost"),
        ({"allow": "127.0.0.0/8, 10.0.0.5"}, "localhost 10.0.0.5/32"),
        ({"ami": "10.0.0.5:5038"}, "localhost 10.0.0.5"),
        ({"ami": "pbx.example.com:5038"}, "any"),
        ({"ami": "127.0.0.1:5038", "phone": "10.0.0.5:8088"}, "localhost 10.0.0.5"),
        ({"ami": "127.0.0.1:5038", "phone": "127.0.0.1:8088"}, "localhost"),
        ({"ami": "127.0.0.1:5038", "proxies": "192.0.2.1"}, "localhost 192.0.2.1/32"),
        ({"ami": "127.0.0.1:5038", "page": "0.0.0.0:9673"}, "any"),
        ({"page": "0.0.0.0:9673"}, "localhost"),
        ({"status": "192.0.2.9:9573"}, "any"),
    ],
)
def test_only_the_addresses_that_it_needs_are_open(settings, expected):
    assert peers(Settings(**settings)) == expected
    line = f"IPAddressAllow={expected}\n" if expected != "any" else ""
    assert line in text(**settings)
    assert ("IPAddressDeny=any" in text(**settings)) == (expected != "any")


@pytest.mark.skipif(sys.platform != "linux", reason="a call of Linux")
def test_the_libraries_work_without_memory_that_is_both_written_and_run():
    """MemoryDenyWriteExecute: the same by the kernel's own switch, PR_SET_MDWE, which systemd's filter resembles."""
    script = (
        "import ctypes, sys\n"
        "if ctypes.CDLL(None, use_errno=True).prctl(65, 1, 0, 0, 0): sys.exit(77)\n"
        "import mmap\n"
        "try: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)\n"
        "except (OSError, PermissionError): pass\n"
        "else: sys.exit(78)\n"
        "import numpy as np\n"
        "assert np.linalg.norm(np.fft.rfft(np.ones(160))) > 0\n"
        "import hearline.media._frames, hearline.audio.vad.detector, hearline.server.door, hearline.server.page\n"
        "import sherpa_onnx\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip("this kernel has no PR_SET_MDWE")
    assert done.returncode == 0, done.stderr


NOBODY = 65_534
SERVE = """
import ctypes, runpy, sys
assert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0, "PR_SET_MDWE"
sys.argv = ["hearline", "serve"]
runpy.run_module("hearline", run_name="__main__")
"""
CONFINED = """
ip link set lo up
case $2 in /root/*)  # a Python that only root reaches: for this process it lies in a folder that everybody may enter
    mount -t tmpfs tmpfs /mnt
    mkdir /mnt/python
    mount --bind "$2" /mnt/python
    mount -t tmpfs -o mode=755 tmpfs /root
    mkdir -p "$2"
    mount --bind /mnt/python "$2"
esac
mount --bind "$1" "$1"
mount -o remount,bind,ro /
touch "$1/../writable" 2> /dev/null && exit 9
cd "$1"
shift 2
exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs "$@"
"""


@pytest.fixture
def state():
    """A folder that an account without rights reaches, and that belongs to it."""
    with tempfile.TemporaryDirectory(prefix="hearline-state-") as folder:
        os.chown(folder, NOBODY, NOBODY)
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can lock a process up like this")
def test_the_server_starts_where_it_may_write_only_its_state(state):
    """As its unit starts it: without root, capabilities, and memory that is both written and run, on a read-only disk.
    It says that it is ready, and then that it goes on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(state / "notify"))
        os.chown(state / "notify", NOBODY, NOBODY)
        told.settimeout(30)
        variables = {
            "HEARLINE_STATE": str(state), "HEARLINE_FLOWS": str(REPO / "ivr_flows"), "PYTHONDONTWRITEBYTECODE": "1",
            "HEARLINE_SOUNDS": str(REPO / "sounds"), "NOTIFY_SOCKET": str(state / "notify"), "WATCHDOG_USEC": "300000",
        }  # fmt: skip
        script = ["sh", "-ec", CONFINED, "sh", str(state), sys.base_prefix, sys.executable, "-c", SERVE]
        command = ["unshare", "--mount", "--net", "--propagation", "private", *script]
        server = subprocess.Popen(command, env=os.environ | variables, stderr=subprocess.PIPE, text=True)
        try:
            assert told.recv(100) == b"READY=1"
            assert told.recv(100) == b"WATCHDOG=1"
            status = Path(f"/proc/{server.pid}/status").read_text()
            assert f"Uid:\t{NOBODY}\t{NOBODY}\t" in status and "CapEff:\t0000000000000000" in status
        except TimeoutError:
            server.kill()
            pytest.fail(server.communicate()[1][-2000:])
        finally:
            server.terminate()
            server.communicate(timeout=15)


# ---- settings and releases -------------------------------------------------------------------------------------------
def test_settings_are_read_as_they_were_written():
    given = {"HEARLINE_ALLOW": "127.0.0.0/8, ::1", "HEARLINE_SITE": "shanghai", "HEARLINE_ZONE": 'a"b\\c'}
    written = environment_file(given | {"HEARLINE_CACHE": "/x"})
    assert read_environment(written) == given


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=it's", "it's"), ("A='it''s'", "its"), ('A="a b" ', "a b"), ("A = a b  ", "a b"), ("A=a\\\nb", "ab"),
        ("A=a\r\nB=c", "a"), ('A="never closed', "never closed"), ('A="a \\" \\$ \\n"', 'a " $ \\n'),
        ("A=a # b", "a # b"),
        ("# A=x\n;A=y\nA=z", "z"), ("A=1\nA=2", "2"), ("A=", ""), ("A=a\\ b", "a b"), ("A='a\nb'", "a\nb"),
    ],
)  # fmt: skip
def test_settings_are_read_as_systemd_reads_them(text, value):
    assert read_environment(text)["A"] == value


@pytest.mark.parametrize("text", ["A", "export A=x", "\ufeffA=x", "#A=x\\\nA=y", ""])
def test_what_is_no_setting_for_systemd_is_none(text):
    assert "A" not in read_environment(text)


def test_a_path_in_the_current_release_goes_through_the_link(tmp_path):
    for version in ("1.2.0", "1.3.0"):
        (tmp_path / version / "bin").mkdir(parents=True)
    (tmp_path / "current").symlink_to("1.3.0")
    assert lasting(tmp_path / "1.3.0" / "bin" / "hearline") == tmp_path / "current" / "bin" / "hearline"
    assert lasting(tmp_path / "1.2.0" / "bin" / "hearline") == tmp_path / "1.2.0" / "bin" / "hearline"
    assert lasting(tmp_path / "current" / "bin" / "hearline") == tmp_path / "current" / "bin" / "hearline"
