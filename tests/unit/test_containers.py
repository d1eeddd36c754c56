"""What the containers' `init` makes, keeps and prints."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hearline.cli.app import app
from hearline.core.settings import Settings, made_pair
from hearline.ops import containers
from hearline.ops.containers import InitError, Phones, init
from hearline.wire.certificates import read_pair

REPO = Path(__file__).resolve().parents[2]
HOST = Phones(listen="127.0.0.1", sip_port=5070, rtp=(20000, 20999))
BRIDGE = Phones(listen="10.95.16.2", sip_port=5070, rtp=(20000, 20099), public="192.0.2.10")
PAGE_SECRETS = ("pins.json", "try.json", "key.pem")


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(
        state=tmp_path / "state", flows=REPO / "ivr_flows", sounds=REPO / "sounds", site="docker", ami="127.0.0.1:5038"
    )


def made(settings: Settings, phones: Phones, tmp_path: Path) -> dict[str, str]:
    """The files that init writes for Asterisk."""
    init(settings, phones, tmp_path / "asterisk", tmp_path / "accounts")
    return {file.name: file.read_text("utf-8") for file in (tmp_path / "asterisk" / "etc").iterdir()}


def test_what_is_made_once_is_kept(settings, tmp_path):
    first = made(settings, HOST, tmp_path)
    pins = (settings.state / "page" / "pins.json").read_text()
    assert made(settings, HOST, tmp_path) == first
    assert (settings.state / "page" / "pins.json").read_text() == pins


def test_each_service_reads_by_its_group_what_it_needs_and_nobody_else_does(settings, tmp_path):
    """In folders as the images have them; elsewhere only the owner reads."""
    etc, page = tmp_path / "asterisk" / "etc", settings.state / "page"
    for folder, mode in ((etc, 0o2750), (settings.state, 0o3770), (page, 0o2770)):
        folder.mkdir(parents=True)
        folder.chmod(mode)
    with_page = settings.model_copy(update={"page": "192.0.2.20:9673", "try_it": "anybody"})
    made(with_page, HOST, tmp_path)
    for file in (*etc.iterdir(), settings.state / "ami-secret", *(page / name for name in PAGE_SECRETS)):
        assert stat.S_IMODE(file.stat().st_mode) == 0o640 and file.stat().st_gid == file.parent.stat().st_gid, file
    assert stat.S_IMODE((tmp_path / "accounts" / "accounts.json").stat().st_mode) == 0o600


def test_outside_of_such_folders_only_the_owner_reads_secrets(settings, tmp_path):
    made(settings, HOST, tmp_path)
    for secret in (settings.state / "ami-secret", settings.state / "page" / "pins.json"):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_asterisk_finds_the_server_and_the_server_asterisk(settings, tmp_path):
    files = made(settings, HOST, tmp_path)
    secret = (settings.state / "ami-secret").read_text()
    assert f"[{settings.ami_user}]\nsecret = {secret}\n" in files["manager.conf"]
    assert "bindaddr = 127.0.0.1\nport = 5038\n" in files["manager.conf"] and "permit" not in files["manager.conf"]
    assert f"HEARLINE_AGI = agi://{settings.agi}" in files["hearline-globals.conf"]
    assert "external_" not in files["pjsip.conf"]


def test_behind_a_bridge_asterisk_names_the_public_address_to_everybody(settings, tmp_path):
    there = settings.model_copy(update={"ami": "10.95.16.2:5038", "agi": "10.95.16.3:4573", "phone": "10.95.16.2:8088"})
    files = made(there, BRIDGE, tmp_path)
    for line in (
        "bind = 10.95.16.2:5070",
        "external_signaling_address = 192.0.2.10",
        "external_media_address = 192.0.2.10",
        "local_net = 10.95.16.2/32",
    ):
        assert f"{line}\n" in files["pjsip.conf"]
    assert "rtpstart = 20000\nrtpend = 20099\n" in files["rtp.conf"]
    assert "[ice_host_candidates]\n10.95.16.2 => 192.0.2.10\n" in files["rtp.conf"]
    assert "bindaddr = 10.95.16.2\nbindport = 8088\n" in files["http.conf"]
    assert "bindaddr = 10.95.16.2\n" in files["manager.conf"]
    assert "permit = 10.95.16.3/255.255.255.255\n" in files["manager.conf"]
    assert "HEARLINE_AGI = agi://10.95.16.3:4573" in files["hearline-globals.conf"]
    assert BRIDGE.calls == 50


def test_flows_that_cannot_be_read_are_an_error_with_a_remedy(settings, tmp_path):
    with pytest.raises(InitError, match="must be readable for all: chmod"):
        init(settings.model_copy(update={"flows": tmp_path}), HOST, tmp_path / "asterisk", tmp_path / "accounts")


@pytest.fixture
def run(monkeypatch, settings, tmp_path):
    """Run `hearline stack init` with these options, as in its container."""
    monkeypatch.setattr(containers, "HOME", tmp_path / "asterisk")
    monkeypatch.setattr(containers, "KEPT", tmp_path / "accounts")
    for name in ("state", "flows", "sounds", "site", "ami"):
        monkeypatch.setenv(f"HEARLINE_{name.upper()}", str(getattr(settings, name)))
    return lambda *options: CliRunner().invoke(app, ["stack", "init", *options])


def test_it_prints_what_a_phone_and_a_browser_need(run):
    answer = run("--listen", "192.0.2.20", "--sip-port", "5080")
    assert answer.exit_code == 0, answer.output
    for text in ("192.0.2.20:5080", "http://127.0.0.1:9673/", "8001", "docker/asterisk/compose.yaml down"):
        assert text in answer.output
    assert re.search(r"^ +caller  \S{12,}$", answer.output, re.M) and re.search(r"^ +8016  \d{6}$", answer.output, re.M)
    assert run("--listen", "192.0.2.20", "--sip-port", "5080").output == answer.output


def test_behind_a_bridge_it_prints_the_public_address_and_how_many_phones(run, settings, monkeypatch):
    monkeypatch.setenv("HEARLINE_PAGE", "10.95.16.3:9673")
    there = "--listen", "10.95.16.2", "--public", "192.0.2.10", "--rtp", "20000-20099"
    answer = run(*there, "--page", "127.0.0.1")
    assert answer.exit_code == 0, answer.output
    for text in ("192.0.2.10:5070", "http://127.0.0.1:9673/", "50 phones", "compose.bridge.yaml down"):
        assert text in answer.output
    assert "10.95.16" not in answer.output and "Live calls" not in answer.output
    for page, browsers in (("0.0.0.0", "192.0.2.10"), ("192.0.2.11", "192.0.2.11")):
        answer = run(*there, "--page", page)
        assert f"https://{browsers}:9673/" in answer.output and "10.95.16" not in answer.output
        assert read_pair(*made_pair(settings.state)).names == (browsers,)
    run(*there, "--page", "127.0.0.1")
    assert not made_pair(settings.state)[0].exists(), "plain HTTP again, which browsers trust on loopback"


def test_a_page_that_others_reach_has_a_certificate_that_is_kept_for_the_server_alone(run, settings, monkeypatch):
    monkeypatch.setenv("HEARLINE_PAGE", "192.0.2.20:9673")
    answer = run("--listen", "192.0.2.20")
    certificate, key = made_pair(settings.state)
    assert "https://192.0.2.20:9673/" in answer.output and read_pair(certificate, key).names == ("192.0.2.20",)
    assert read_pair(certificate, key).fingerprint.replace(":", "") in re.sub(r"[\s:]", "", answer.output)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    assert run("--listen", "192.0.2.20").output == answer.output


@pytest.mark.parametrize("rtp", ["", "20000", "20099-20000", "x-y", "20000-70000"])
def test_ports_that_are_none_are_an_error(run, rtp):
    answer = run("--rtp", rtp)
    assert answer.exit_code == 1 and "write the first and the last port" in answer.output
