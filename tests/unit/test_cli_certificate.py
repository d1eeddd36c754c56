"""`hearline certificate`, and the certificates that the private stack makes by itself."""

from __future__ import annotations

import os
import re
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hearline.cli.app import app
from hearline.core.settings import Settings, made_pair, page_pair
from hearline.ops import stack as stacks
from hearline.ops.provision import certify_page, page_card
from hearline.ops.stack import Stack
from hearline.wire.certificates import make, read_pair
from test_tls import sign


@pytest.fixture
def state(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HEARLINE_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def run(*words: str):
    return CliRunner().invoke(app, ["certificate", *words])


def test_a_certificate_is_made_and_counts_without_a_setting_where_others_reach_the_page(state, monkeypatch):
    made = run("make", "--for", "desk.example.com, 192.0.2.10")
    assert made.exit_code == 0, made.output
    assert "desk.example.com, 192.0.2.10" in made.output and re.search(r"SHA-256 +([0-9A-F]{2}:){31}", made.output)
    assert run("show").exit_code == 1, "on loopback plain HTTP stays"
    monkeypatch.setenv("HEARLINE_PAGE", "0.0.0.0:9673")
    shown = run("show")
    assert shown.exit_code == 0 and "made by      Hearline" in shown.output
    assert run("make", "--for", "other").exit_code == 0, "ours may be replaced"


def test_what_others_have_made_is_never_replaced(state):
    pair = made_pair(state)
    pair[0].parent.mkdir(parents=True)
    sign(pair, timedelta(days=-1), timedelta(days=9))
    before = [file.read_bytes() for file in pair]
    for out in ((), ("--out", str(pair[0].parent))):
        refused = run("make", "--for", "desk", *out)
        assert refused.exit_code == 1 and "Hearline has not made" in refused.output
    certify_page(Settings(state=state, page="192.0.2.10:9673"), "192.0.2.10")
    assert [file.read_bytes() for file in pair] == before
    pair[0].unlink()
    assert run("make", "--for", "desk").exit_code == 1, "a key alone may be somebody's, too"


def test_elsewhere_it_names_the_settings(state, tmp_path):
    made = run("make", "--for", "desk", "--out", str(tmp_path / "tls"))
    assert f"HEARLINE_PAGE_CERTIFICATE={tmp_path}/tls/certificate.pem\n" in made.output
    assert f"HEARLINE_PAGE_KEY={tmp_path}/tls/key.pem\n" in made.output
    assert not state.exists()


@pytest.mark.parametrize(("names", "status"), [("0.0.0.0", 2), (" ,", 2), ("a b", 2)])
def test_names_that_are_none(state, names, status):
    assert run("make", "--for", names).exit_code == status


def test_a_folder_that_cannot_be_is_named(state):
    failed = run("make", "--for", "desk", "--out", "/proc/hearline")
    assert failed.exit_code == 1 and "/proc/hearline" in failed.output


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_makes_it_for_the_account_that_the_state_belongs_to(state):
    state.mkdir()
    os.chown(state, 10_001, 10_002)
    assert run("make", "--for", "desk").exit_code == 0
    for made in (*made_pair(state), made_pair(state)[0].parent):
        assert (made.stat().st_uid, made.stat().st_gid) == (10_001, 10_002)
    assert stat.S_IMODE(made_pair(state)[1].stat().st_mode) == 0o600


def test_one_setting_of_the_two_is_said_to_be_one(state, monkeypatch):
    monkeypatch.setenv("HEARLINE_PAGE_KEY", "/etc/hearline/key.pem")
    failed = CliRunner().invoke(app, ["certificate", "show"])
    assert "HEARLINE_PAGE_KEY: set HEARLINE_PAGE_CERTIFICATE as well" in str(failed.exception)


# ---- the private stack -----------------------------------------------------------------------------------------------
def test_a_stack_for_others_has_a_certificate_for_its_address_and_keeps_it(tmp_path):
    settings = Settings(state=tmp_path, page="192.0.2.10:9673")
    certify_page(settings, "192.0.2.10")
    assert read_pair(*page_pair(settings)).names == ("192.0.2.10",)
    card = page_card(settings, "192.0.2.10")
    assert card["page"] == "https://192.0.2.10:9673/" and len(card["fingerprint"]) == 95
    certify_page(settings, "192.0.2.10")
    assert page_card(settings, "192.0.2.10") == card
    certify_page(settings, "desk")
    assert read_pair(*page_pair(settings)).names == ("desk",)


def test_a_stack_on_loopback_has_none(tmp_path):
    settings = Settings(state=tmp_path, page="127.0.0.1:9673")
    certify_page(settings, "127.0.0.1")
    assert page_pair(settings) is None and page_card(settings, "127.0.0.1") == {"page": "http://127.0.0.1:9673/"}
    made = make(*made_pair(tmp_path), ["192.0.2.10"])
    certify_page(settings, "127.0.0.1")
    assert page_pair(settings) is None
    certify_page(settings, "192.0.2.10")  # opened again: nobody has to compare its fingerprint anew
    assert read_pair(*made_pair(tmp_path)).fingerprint == made.fingerprint
    bridge = Settings(state=tmp_path, page="10.95.16.3:9673")
    certify_page(bridge, "127.0.0.1")
    assert page_pair(bridge) is None, "published on loopback alone, it is plain HTTP"


def test_a_stack_on_all_addresses_has_one_for_those_that_it_knows(tmp_path):
    settings = Settings(state=tmp_path, page="0.0.0.0:9673")
    certify_page(settings, "0.0.0.0")
    names = read_pair(*page_pair(settings)).names
    assert {"localhost", "127.0.0.1"} <= set(names) and "0.0.0.0" not in names
    assert page_card(settings, "0.0.0.0")["page"] == f"https://{names[0]}:9673/"


def test_the_page_opens_with_the_phones_unless_its_address_is_set(tmp_path, monkeypatch):
    opened = {}
    monkeypatch.setattr(stacks, "_free_address", lambda wanted, option: opened.setdefault(option, wanted))
    monkeypatch.setattr(stacks, "_free", lambda port, *_: port)
    monkeypatch.setattr(stacks, "choose", lambda *_: 1 / 0)

    def page(listen: str, **more: str) -> str:
        opened.clear()
        with pytest.raises(ZeroDivisionError):
            Stack(Settings(state=tmp_path, **more))._start_asterisk(listen, print, None)
        return opened["HEARLINE_PAGE"]

    assert page("127.0.0.1") == "127.0.0.1:9673"
    assert page("192.0.2.10") == "192.0.2.10:9673"
    assert page("192.0.2.10", page="127.0.0.1:9999") == "127.0.0.1:9999"
