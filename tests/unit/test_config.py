"""The rendered configuration: complete, private, and bound only to the given address."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import jinja2
import pytest

from hearline.assist.hints.events import Key
from hearline.pbx import config
from hearline.pbx.config import Layout, accounts, render, render_parts, whisper_waits

REPO = Path(__file__).resolve().parents[2]
TEMPLATES = REPO / "docker" / "asterisk" / "etc"
SOUNDS = REPO / "sounds"
ADDRESS = re.compile(r"\b\d+\.\d+\.\d+\.\d+\b")


@pytest.fixture
def layout(tmp_path) -> Layout:
    callers, agents = accounts(tmp_path / "stack")
    return Layout(
        home=tmp_path / "stack",
        sounds_dir=SOUNDS,
        messages_dir=tmp_path / "stack" / "spool" / "messages",
        callers=callers,
        agents=agents,
        whisper_waits=whisper_waits(SOUNDS),
    )


def rendered(layout: Layout) -> dict[str, str]:
    folder = render(TEMPLATES, layout).parent
    return {file.name: file.read_text("utf-8") for file in folder.iterdir()}


def settings(text: str) -> str:
    """A configuration without its comments."""
    return re.sub(r"(^|\s);.*", "", text)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_every_template_is_rendered_whole(layout):
    files = rendered(layout)
    assert set(files) == {file.name.removesuffix(".j2") for file in TEMPLATES.iterdir()}
    for name, text in files.items():
        assert "{{" not in text and "{%" not in text, f"{name} holds a template's marks"


def test_what_a_template_wants_and_nobody_gives_is_an_error(tmp_path, layout):
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "x.conf.j2").write_text("port = {{ sip_prot }}\n")
    with pytest.raises(jinja2.UndefinedError, match="sip_prot"):
        render(tmp_path / "templates", layout)


def test_asterisk_is_told_of_no_folder_but_ours(layout):
    places = re.findall(r"^ast\w+ => (.+)$", rendered(layout)["asterisk.conf"], re.M)
    assert len(places) == 11
    assert {place for place in places if not place.startswith(str(layout.home))} == {
        layout.modules_dir, layout.data_dir,
    }  # fmt: skip


def test_the_private_asterisk_goes_by_the_same_files_as_any_other(layout):
    parts = render_parts(TEMPLATES, layout)
    files = rendered(layout)
    assert parts == {name: files[name] for name in files if name.startswith("hearline")}
    others = "".join(text for name, text in files.items() if name not in parts)
    for name in parts:
        assert f'\n#tryinclude "{name}"\n' in f"\n{others}"
    assert not re.search("^#include", settings("".join(files.values())), re.M), (
        "which stops Asterisk where a file is missing"
    )
    assert not re.search(r"^\[hearline(-queue|-join|-guard|-ring|-message)?\]$", others, re.M), "told twice"


@pytest.mark.parametrize("new", [True, False])
def test_a_bridge_that_swallows_whispers_over_silence_is_left_out_where_it_does(layout, new):
    files = rendered(replace(layout, whispers_into_silence=new))
    assert "load = bridge_simple.so\nload = bridge_softmix.so\n" in files["modules.conf"]
    assert ('#tryinclude "hearline-bridges.conf"' in files["modules.conf"]) is not new
    assert re.findall(r"^noload = (\S+)", files["hearline-bridges.conf"], re.M) == [
        "bridge_simple.so", "bridge_native_rtp.so",
    ]  # fmt: skip


def test_every_key_of_an_agents_has_a_code_of_its_own_and_none_of_asterisks_samples(layout):
    files = rendered(layout)
    told = dict(
        re.findall(
            r"^hearline-(\w+) => (\*[\d#]),self,TryExec,"
            r'"UserEvent\(HearlineKey,Key: \1,Proof: \$\{HEARLINE_PROOF\}\)"$',
            files["hearline-features.conf"],
            re.M,
        )
    )
    assert set(told) == set(Key)
    assert len(set(told.values())) == len(told) and not {"*0", "*1", "*2", "*3"} & set(told.values())
    [names] = re.findall(r"^HEARLINE_KEYS = (.+)$", files["hearline-globals.conf"], re.M)
    assert names.split("#") == [f"hearline-{key}" for key in told]


# ---- addresses -------------------------------------------------------------------------------------------------------
def test_by_default_nothing_leaves_the_loopback(layout):
    for name, text in rendered(layout).items():
        masks = {"0.0.0.0/0.0.0.0", "127.0.0.1/255.255.255.255"}  # deny all, permit ourselves
        told = re.sub("|".join(map(re.escape, masks)), "127.0.0.1", settings(text))
        assert set(ADDRESS.findall(told)) <= {"127.0.0.1"}, name


def test_every_service_of_asterisk_that_nobody_needs_is_off(layout):
    files = rendered(layout)
    assert "bindaddr = 127.0.0.1" in files["manager.conf"]
    assert "write = call,originate,reporting\n" in files["hearline-manager.conf"], "neither system nor command"
    assert "enabled = no" in files["http.conf"]
    loaded = re.findall(r"^load = (\S+)", files["modules.conf"] + files["hearline-modules.conf"], re.M)
    assert "autoload = no" in files["modules.conf"]
    assert not {m for m in loaded if re.match(r"res_(http|ari|prometheus|pjsip_transport_websocket)|chan_websocket", m)}
    assert "app_system.so" not in loaded


@pytest.mark.parametrize("listen", ["0.0.0.0", "192.0.2.20"])
def test_listen_opens_sip_and_rtp_and_nothing_else(layout, listen):
    closed, opened = rendered(layout), rendered(replace(layout, listen=listen))
    changed = {name for name in closed if closed[name] != opened[name]}
    assert changed == {"pjsip.conf"}
    lines = set(opened["pjsip.conf"].splitlines()) ^ set(closed["pjsip.conf"].splitlines())
    assert {line.partition(" =")[0] for line in lines} <= {"bind", "media_address", "bind_rtp_to_media_address"}
    assert f"bind = {listen}:{layout.sip_port}" in lines


def test_rtp_is_bound_to_the_address_that_sip_listens_on(layout):
    assert "media_address = 127.0.0.1\nbind_rtp_to_media_address = yes" in rendered(layout)["pjsip.conf"]
    everywhere = rendered(replace(layout, listen="0.0.0.0"))["pjsip.conf"]
    assert "media_address" not in everywhere, "0.0.0.0 as a phone's RTP address would put the call on hold"


def test_rtp_keeps_to_its_ports(layout):
    text = rendered(replace(layout, rtp_first=31_000, rtp_last=31_099))["rtp.conf"]
    assert "rtpstart = 31000" in text and "rtpend = 31099" in text


# ---- passwords -------------------------------------------------------------------------------------------------------
def test_passwords_are_made_here_and_now(tmp_path):
    one, other = accounts(tmp_path / "one"), accounts(tmp_path / "other")
    passwords = [account.password for kind in (*one, *other) for account in kind]
    assert len(set(passwords)) == len(passwords) == 2 * (1 + len(config.AGENT_NUMBERS))
    assert min(map(len, passwords)) >= 16
    assert accounts(tmp_path / "one") == one, "they stay the same as long as the folder is there"


def test_no_password_is_in_the_repository():
    for file in [*TEMPLATES.iterdir(), *TEMPLATES.parent.glob("*.yaml"), TEMPLATES.parent / "Dockerfile"]:
        for value in re.findall(r"(?i)(?:password|secret)\s*[=:]+>?\s*(\S.*)", file.read_text("utf-8")):
            assert value.startswith("{{"), f"{file.name}: {value}"


def test_passwords_go_into_one_file_only(layout):
    layout = replace(layout, ami=replace(layout.ami, password="told-to-nobody-else"))
    passwords = [account.password for account in (*layout.callers, *layout.agents)]
    for name, text in rendered(layout).items():
        assert all((password in text) == (name == "pjsip.conf") for password in passwords), name
        assert (layout.ami.password in text) == (name == "manager.conf"), name


def test_what_holds_passwords_or_voices_is_its_owners_alone(layout):
    (layout.home / "etc").mkdir()
    (layout.home / "etc" / "pjsip.conf").write_text("left by an earlier version, readable by all")
    folder = render(TEMPLATES, layout).parent
    assert mode(layout.home / "accounts.json") == 0o600
    assert {mode(file) for file in folder.iterdir()} == {0o600}
    assert mode(layout.home / "spool" / "messages") == 0o700


# ---- what a call goes through ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "agi://127.0.0.1:4573"),
        ("0.0.0.0", "agi://127.0.0.1:4573"),
        ("2001:db8::5", "agi://[2001:db8::5]:4573"),
        ("::", "agi://[::1]:4573"),
        ("ivr.example.com", "agi://ivr.example.com:4573"),
    ],
)
def test_asterisk_is_given_an_address_that_it_can_read(layout, host, url):
    assert f"\nHEARLINE_AGI = {url}\n" in rendered(replace(layout, agi_host=host))["hearline-globals.conf"]


def test_each_file_opens_its_own_section(layout):
    """So that a line at the end of each of the operator's files is enough."""
    first = {name: re.search(r"^\[.+$", text, re.M) for name, text in render_parts(TEMPLATES, layout).items()}
    assert {name: found and found[0] for name, found in first.items()} == {
        "hearline.conf": "[hearline]",
        "hearline-globals.conf": "[globals](+)",
        "hearline-bridges.conf": "[modules](+)",
        "hearline-features.conf": "[applicationmap](+)",
        "hearline-manager.conf": None,  # the rights of a user whose secret is the operator's
        "hearline-modules.conf": "[modules](+)",
        "hearline-musiconhold.conf": "[hearline]",
        "hearline-queues.conf": "[hearline-queue](!)",
    }


def test_no_pattern_takes_an_extension_that_means_something_to_asterisk(layout):
    """A pattern that a lone h matches rings a phone of that name when somebody hangs up."""
    patterns = re.findall(r"^exten => _(\S+?),1", rendered(layout)["hearline.conf"], re.M)
    assert patterns
    for pattern in patterns:
        likeness = pattern.replace("+X", r"\+\d").replace("X", r"\d").replace("!", ".*")
        likeness = re.sub(r"(?<=\])\.$", ".+", likeness)
        assert not [e for e in ("h", "i", "s", "t", "T", "a", "o") if re.fullmatch(likeness, e)], pattern


def test_the_dialplan_knows_every_wait_that_there_is_a_whisper_for(layout):
    said = re.findall(r"Set\(SAID=(\d+)\)", rendered(layout)["hearline.conf"])
    assert list(map(int, said)) == [0, *whisper_waits(SOUNDS)]
    assert whisper_waits(SOUNDS) == sorted(set(whisper_waits(SOUNDS)))


def test_every_account_has_endpoint_auth_and_aor(layout):
    text = rendered(layout)["pjsip.conf"]
    for account in (*layout.callers, *layout.agents):
        assert text.count(f"\n[{account.name}]") == 3
    for agent in layout.agents:
        assert f"member => Local/{agent.name}@hearline-ring/n" in rendered(layout)["queues.conf"]


def test_agents_reach_each_other_and_the_queues_and_callers_do_not(layout):
    callers, agents = rendered(layout)["extensions.conf"].split("[hearline-agents]")
    for agent in layout.agents:
        assert f"exten => {agent.number},1,Goto(hearline-to-agent,{agent.name},1)\n" in agents
    assert "exten => 8090,1,Goto(hearline-to-queue,care,1)\n" in agents
    assert "hearline-to-" not in callers


def test_what_a_visitor_dials_is_a_number_and_no_place_in_the_dialplan(layout):
    """Goto() would read 1,ask as the extension 1, from the priority `ask` on."""
    visitor = config.Account("web-caller", "7000", "x")
    dialplan = rendered(replace(layout, phone_port=8088, try_phone=visitor))["extensions.conf"]
    context = dialplan[dialplan.index("[hearline-try]") :]
    assert re.findall(r"Goto\((.*)\)", context) == ["hearline,${FILTER(0-9,${EXTEN})},1"]
    assert "Goto(hearline,${FILTER(0-9,${EXTEN})},1)" in (REPO / "docs" / "operate.md").read_text("utf-8")
