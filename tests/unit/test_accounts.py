"""Accounts: roles, teams, hashes that become costlier, files of earlier versions, and invalid accounts."""

from __future__ import annotations

import json
import stat
import threading

import pytest

from hearline.store import accounts as module
from hearline.store.accounts import Account, Accounts, BadAccount, Role

CHEAP, DEARER = 2**10, 2**11


@pytest.fixture
def file(tmp_path):
    return tmp_path / "page" / "pins.json"


def test_a_file_of_pins_alone_is_one_of_agents(file):
    salt = bytes(16)
    old = {"8016": {"salt": salt.hex(), "hash": module._hash("271828", salt, 2**14).hex()}}
    file.parent.mkdir()
    file.write_text(json.dumps(old))
    accounts = Accounts(file, CHEAP)
    assert accounts.check("8016", "271828") and not accounts.check("8016", "000000")
    assert accounts.all() == [Account("8016", Role.AGENT, "", salt.hex(), old["8016"]["hash"])]
    accounts.set_pin("8017", "314159", Role.SUPERVISOR, "care")
    assert accounts.check("8016", "271828"), "the others stay"


def test_role_and_team_stay_until_others_are_given(file):
    accounts = Accounts(file, CHEAP)
    accounts.set_pin("8001", "271828", Role.SUPERVISOR, "care")
    before = accounts.of("8001").stamp
    assert accounts.set_pin("8001", "314159").role is Role.SUPERVISOR
    assert accounts.of("8001").stamp != before, "a new PIN ends sessions"
    stamp = accounts.of("8001").stamp
    changed = accounts.set_role("8001", team="sales")
    assert (changed.role, changed.team, changed.stamp) == (Role.SUPERVISOR, "sales", stamp)
    assert accounts.check("8001", "314159")
    accounts.remove("8001")
    assert accounts.of("8001") is None and not accounts.check("8001", "314159")


@pytest.mark.parametrize(
    "change",
    [
        lambda accounts: accounts.set_pin("8001", "271828", Role.SUPERVISOR),
        lambda accounts: accounts.set_role("8016", Role.SUPERVISOR),
        lambda accounts: accounts.set_role("8016", team="a\nb"),
        lambda accounts: accounts.set_role("8016", team="x" * 33),
        lambda accounts: accounts.set_role("nobody", Role.ADMIN),
        lambda accounts: accounts.remove("nobody"),
    ],
)
def test_what_is_unfit_changes_nothing(file, change):
    accounts = Accounts(file, CHEAP)
    accounts.set_pin("8016", "271828")
    before = file.read_bytes()
    with pytest.raises(BadAccount):
        change(accounts)
    assert file.read_bytes() == before


def test_a_right_pin_gets_the_dearer_hash_and_sessions_stay(file):
    Accounts(file, CHEAP).set_pin("8016", "271828")
    accounts = Accounts(file, DEARER)
    assert not accounts.check("8016", "000000")
    before = accounts.of("8016")
    assert before.cost == CHEAP
    assert accounts.check("8016", "271828")
    after = accounts.of("8016")
    assert after.cost == DEARER and after.hash != before.hash and after.stamp == before.stamp
    assert accounts.check("8016", "271828") and not accounts.check("8016", "000000")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_dearer_hash_never_brings_back_an_old_pin(file, monkeypatch):
    """Somebody sets another PIN while a right one is hashed anew."""
    Accounts(file, CHEAP).set_pin("8016", "271828")
    accounts = Accounts(file, DEARER)
    keep = accounts._keep_costlier

    def late(account, dearer):
        Accounts(file, DEARER).set_pin("8016", "314159")
        keep(account, dearer)

    monkeypatch.setattr(accounts, "_keep_costlier", late)
    accounts.check("8016", "271828")
    assert accounts.check("8016", "314159") and not accounts.check("8016", "271828")


def test_a_full_disk_keeps_nobody_from_signing_in(file, monkeypatch, caplog):
    Accounts(file, CHEAP).set_pin("8016", "271828")
    accounts = Accounts(file, DEARER)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_shared", full)
    assert accounts.check("8016", "271828")
    assert "stronger hash" in caplog.text


def test_a_number_that_nobody_has_costs_as_much(file, monkeypatch):
    hashed = []
    real = module._hash
    monkeypatch.setattr(module, "_hash", lambda pin, salt, cost: hashed.append(cost) or real(pin, salt, cost))
    Accounts(file, CHEAP).set_pin("old", "271828")
    accounts = Accounts(file, DEARER)
    accounts.set_pin("new", "271828")
    for number, costs in (("nobody", [DEARER]), ("new", [DEARER]), ("old", [CHEAP, DEARER])):
        hashed.clear()
        assert not accounts.check(number, "000000")
        assert hashed == costs


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"8016": {}}', '{"8016": 5}', '{"8016": {"salt": "zz", "hash": "00"}}', '{"8016": {"role": "king"}}',
     '{"8016": {"salt": "00", "hash": "00", "shoe": 42}}', '{"8016": {"salt": "00", "hash": "00", "team": 5}}'],
)  # fmt: skip
def test_a_damaged_file_is_named_and_what_was_loaded_stays(file, text):
    accounts = Accounts(file, CHEAP)
    accounts.set_pin("8016", "271828")
    file.write_text(text)
    assert accounts.check("8016", "271828")
    with pytest.raises(ValueError, match=str(file)):
        accounts.all()
    with pytest.raises(ValueError, match=str(file)):
        Accounts(file, CHEAP).check("8016", "271828")


@pytest.mark.parametrize("pin", ["\ud800" * 6, "1" * 10_000])
def test_no_pin_is_too_odd_to_be_looked_at(file, pin):
    assert not Accounts(file, CHEAP).check("8016", pin)


def test_changes_at_once_are_all_kept(file):
    accounts = Accounts(file, CHEAP)
    threads = [threading.Thread(target=accounts.set_pin, args=(str(n), "271828")) for n in range(8_000, 8_012)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(accounts.all()) == 12
