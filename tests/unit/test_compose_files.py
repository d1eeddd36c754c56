"""The compose files: valid for Compose v2, nobody in them is root or can do more than needed, and only phones and page
are published. (`make docker-test` brings them up.)"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).resolve().parents[2]
FOLDER = REPO / "docker" / "asterisk"
FILES = ["compose.yaml", "compose.bridge.yaml", "services.yaml", "compose.private.yaml"]
STACKS = ["compose.yaml", "compose.bridge.yaml"]
BRIDGE = "${HEARLINE_BRIDGE:-10.95.16}"


def services(file: str) -> dict[str, dict]:
    """The services of a file, with what they extend."""
    own = yaml.safe_load((FOLDER / file).read_text("utf-8"))["services"]
    common = yaml.safe_load((FOLDER / "services.yaml").read_text("utf-8"))["services"]
    merged = {}
    for name, service in own.items():
        base = common.get(service.get("extends", {}).get("service"), {})
        environment = base.get("environment", {}) | service.get("environment", {})
        merged[name] = base | service | {"environment": environment}
    return merged


@pytest.mark.parametrize("file", FILES)
def test_every_file_is_valid_for_compose_v2(file):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", FOLDER / file]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", STACKS)
def test_nobody_is_root_has_a_capability_or_can_write_outside_volumes(file):
    for name, service in services(file).items():
        user, group = map(int, service["user"].split(":"))
        assert user > 0 and group > 0, name
        assert service["cap_drop"] == ["ALL"] and "cap_add" not in service and "privileged" not in service, name
        assert service["read_only"] is True and "no-new-privileges:true" in service["security_opt"], name
        for volume in service["volumes"]:
            assert "docker.sock" not in volume
            assert not volume.startswith("..") or ":ro" in volume, f"{name} can write to the checkout: {volume}"
    running = services(file)
    assert len({service["user"] for service in running.values()}) == len(running), "each has an account of its own"
    assert "etc:/srv/asterisk/etc:ro" in running["asterisk"]["volumes"]


@pytest.mark.parametrize("file", STACKS)
def test_no_secret_is_in_the_environment(file):
    for service in services(file).values():
        assert {name for name in service["environment"] if re.search("SECRET|PASSWORD|PIN", name)} <= {
            "HEARLINE_AMI_SECRET_FILE"
        }


@pytest.mark.parametrize("file", STACKS)
def test_asterisk_never_waits_for_hearline_and_both_come_back(file):
    running = services(file)
    for name in ("asterisk", "hearline"):
        assert running[name]["depends_on"] == {"init": {"condition": "service_completed_successfully"}}
        assert running[name]["restart"] == "unless-stopped" and running[name]["healthcheck"]["test"][0] == "CMD"
    assert "restart" not in running["init"], "it runs once"


def test_on_the_hosts_network_everything_is_on_loopback_unless_somebody_says_otherwise():
    running = services("compose.yaml")
    assert [running[name]["network_mode"] for name in ("init", "asterisk", "hearline")] == ["none", "host", "host"]
    assert "--listen=${HEARLINE_LISTEN:-127.0.0.1}" in running["init"]["command"]
    assert running["hearline"]["environment"]["HEARLINE_AMI"] == "127.0.0.1:5038"
    assert running["hearline"]["environment"]["HEARLINE_PHONE"] == "127.0.0.1:8088"
    assert running["hearline"]["environment"]["HEARLINE_PAGE"] == "${HEARLINE_LISTEN:-127.0.0.1}:9673"
    assert running["init"]["environment"] == running["hearline"]["environment"]
    own = {"HEARLINE_AGI", "HEARLINE_MEDIA", "HEARLINE_LEGS", "HEARLINE_STATUS", "HEARLINE_ALLOW"}
    assert not own & running["hearline"]["environment"].keys(), "their defaults are on loopback"


def test_the_bridge_publishes_sip_a_hundred_ports_for_rtp_and_the_page():
    running = services("compose.bridge.yaml")
    published = [port for service in running.values() for port in service.get("ports", ())]
    page = "${HEARLINE_PAGE_ADDRESS:-127.0.0.1}"
    assert published == ["5070:5070/udp", "20000-20099:20000-20099/udp", f"{page}:9673:9673"]
    assert {"--rtp=20000-20099", f"--page={page}"} <= set(running["init"]["command"])
    assert running["hearline"]["environment"]["HEARLINE_PHONE"] == f"{BRIDGE}.2:8088", "in the network of the two alone"
    for name, number in (("asterisk", 2), ("hearline", 3)):
        assert running[name]["networks"] == {"calls": {"ipv4_address": f"{BRIDGE}.{number}"}}
        assert "network_mode" not in running[name]
    assert running["init"]["environment"] == running["hearline"]["environment"]


def test_the_bridge_asks_for_the_public_address():
    [public] = [word for word in services("compose.bridge.yaml")["init"]["command"] if word.startswith("--public=")]
    assert re.fullmatch(r"--public=\$\{HEARLINE_PUBLIC_ADDRESS:\?[^}]+\}", public)


def test_init_writes_for_the_groups_of_the_others_and_they_have_no_group_but_their_own():
    common = services("services.yaml")
    groups = [common[name]["user"].partition(":")[2] for name in ("hearline", "asterisk")]
    assert common["init"]["group_add"] == groups
    assert not any("group_add" in common[name] for name in ("hearline", "asterisk"))


def test_both_images_have_the_same_folder_for_the_configuration():
    """With Compose v2, the new volume takes over the one of whichever container is made last."""
    of_both = [(REPO / "docker" / name / "Dockerfile").read_text("utf-8") for name in ("asterisk", "hearline")]
    hearline, asterisk = (re.findall(r"install -d (-o \d+ -g \d+ -m \d+) \S*asterisk/etc\b", text) for text in of_both)
    assert hearline == asterisk and len(hearline) == 1


@pytest.mark.parametrize("file", ["asterisk/Dockerfile", "hearline/Dockerfile"])
def test_base_images_are_pinned(file):
    text = (REPO / "docker" / file).read_text("utf-8")
    assert re.findall(r"^ARG DEBIAN=(.+)$", text, re.M)[0].partition("@")[2].startswith("sha256:")
    assert {line.split()[1] for line in text.splitlines() if line.startswith("FROM ")} == {"${DEBIAN}"}


def test_the_wheel_leaves_out_what_needs_a_checkout():
    left_out = re.search(r"OF_A_CHECKOUT = \((.+)\)", (REPO / "setup.py").read_text("utf-8"))[1]
    assert set(re.findall(r'"(.+?)"', left_out)) == {*STACKS, "services.yaml"}
